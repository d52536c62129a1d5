"""An index is made once for the same files, and again when they change."""

from __future__ import annotations

import numpy as np

from insightedit.datasets.kept import kept


def test_the_second_time_is_read_and_a_change_is_seen(tmp_path):
    file = tmp_path / "shard.tar"
    file.write_text("one")
    made = []

    def build():
        made.append(1)
        return {"a": np.arange(3), "names": np.array(["x", "yy"])}

    folder = tmp_path / "index"
    for _ in range(2):
        held = kept(folder, "shards", [file], build)
        assert held["a"].tolist() == [0, 1, 2] and held["names"].tolist() == ["x", "yy"]
    assert len(made) == 1
    kept(folder, "shards", [file], build, recipe="other")
    file.write_text("three")
    kept(folder, "shards", [file], build)
    assert len(made) == 3
    kept(None, "shards", [file], build)
    assert len(made) == 4 and len(list(folder.iterdir())) == 3
