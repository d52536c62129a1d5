"""Samples: pictures that are checked one by one, hashes that follow content, parts of a benchmark."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest

from insightedit.core.errors import ConfigError, Unfit
from insightedit.evaluate.benchmark import open_benchmark
from insightedit.evaluate.pictures import FilePicture
from insightedit.evaluate.sample import STATUSES, Benchmark, Fault, Group, Sample, shown, source_of, status


def sample(root, art, **parts) -> Sample:
    art.put(root / "source.png", 1)
    found = {name: FilePicture(path) for name, path in parts.items()}
    return Sample("one", "test", "all", FilePicture(root / "source.png"), "do it", **found)


def test_pictures_come_as_arrays(tmp_path, art):
    one = sample(tmp_path, art, target=art.put(tmp_path / "target.png", 2), mask=art.mask(tmp_path / "mask.png"))
    seen = shown(one)
    assert np.array_equal(seen.source, art.pixels(1)) and np.array_equal(seen.target, art.pixels(2))
    assert seen.mask.shape == (16, 24) and (seen.mask[:, :12] == 255).all() and not seen.mask[:, 12:].any()
    assert not seen.gaps and status(one) is None
    assert shown(one, parts=()).mask is None


def test_a_soft_mask_keeps_its_greys_and_a_smaller_one_is_taken(tmp_path, art):
    one = sample(tmp_path, art, mask=art.mask(tmp_path / "mask.png", 12, 8, 200))
    assert sorted(np.unique(shown(one).mask)) == [0, 200] and shown(one).mask.shape == (8, 12)


def test_a_hole_is_a_mask_too(tmp_path, art):
    one = replace(sample(tmp_path, art, mask=art.hole(tmp_path / "mask.png")), mask_in="alpha")
    mask = shown(one).mask
    assert (mask[:, :12] == 255).all() and not mask[:, 12:].any()


def test_a_broken_mask_costs_the_mask_alone(tmp_path, art):
    for word, path in {
        "missing_mask": tmp_path / "none.png",
        "empty_mask": art.mask(tmp_path / "empty.jpg", value=3),  # noise of JPEG, not a mask
        "wrong_mask_size": art.mask(tmp_path / "tall.png", 16, 24),
        "unreadable": tmp_path / "text.png",
    }.items():
        (tmp_path / "text.png").write_text("no picture")
        one = sample(tmp_path, art, mask=path)
        seen = shown(one)
        assert seen.mask is None and seen.gaps["mask"].status == word == status(one).status
        assert "mask: " in seen.gaps["mask"].why and word in STATUSES
        assert status(one, parts=("target",)) is None


def test_a_target_of_another_shape_is_a_gap(tmp_path, art):
    seen = shown(sample(tmp_path, art, target=art.put(tmp_path / "target.png", 2, 16, 24)))
    assert seen.target is None and seen.gaps["target"].status == "wrong_target_size"


def test_without_its_source_a_sample_is_unfit(tmp_path, art):
    one = sample(tmp_path, art)
    (tmp_path / "source.png").write_bytes(art.png(1)[:100])
    with pytest.raises(Unfit, match="truncated") as error:
        source_of(one)
    assert error.value.reason == "unreadable"
    (tmp_path / "source.png").unlink()
    with pytest.raises(Unfit, match="missing_source"):
        shown(one)
    with pytest.raises(Unfit, match="missing_source"):
        one.asked()
    assert status(one).status == "missing_source"
    assert status(replace(one, fault=Fault("duplicate_id", "twice"))) == Fault("duplicate_id", "twice")


def test_a_hash_follows_what_it_is_of(tmp_path, art):
    one = sample(tmp_path, art, mask=art.mask(tmp_path / "mask.png"))
    asked, content = one.asked(), one.content()
    assert replace(one, clip_text="a cat").asked() == asked and replace(one, clip_text="a cat").content() != content
    assert replace(one, instruction="other").asked() != asked
    art.mask(tmp_path / "mask.png", value=250)
    assert one.asked() == asked and one.content() != content
    (tmp_path / "mask.png").unlink()
    assert one.asked() == asked and one.content() not in (content, "")
    art.put(tmp_path / "source.png", 9)
    assert one.asked() != asked
    assert pickle.loads(pickle.dumps(one)) == one  # noqa: S301


def benchmark(*categories: str) -> Benchmark:
    samples = tuple(
        Sample(f"{number}", "test", name, FilePicture("none"), "do") for number, name in enumerate(categories)
    )
    return Benchmark("test", 1, "", samples, ("magicbrush",), (Group("all"),))


def test_a_part_takes_from_each_category_in_turn_and_keeps_the_order():
    whole = benchmark("a", "a", "a", "b", "b", "c")
    assert [one.id for one in whole.first(4).samples] == ["0", "1", "3", "5"]
    assert len(whole.first(0.5)) == 3 and len(whole.first(0.01)) == 1 and len(whole.first(99)) == 6
    assert [one.id for one in whole.named(["5", "2"]).samples] == ["2", "5"]
    assert "only 2 of 6" in whole.named(["5", "2"]).remarks[0]
    with pytest.raises(ConfigError, match="no sample '7'"):
        whole.named(["7"])
    with pytest.raises(ConfigError, match="must be positive"):
        whole.first(0)


def test_groups_take_by_category_and_split():
    whole = benchmark("a", "b", "c")
    assert [one.id for one in whole.members(Group("some", categories=("a", "c")))] == ["0", "2"]
    assert whole.members(Group("none", splits=("x",))) == []
    assert whole.categories == ("a", "b", "c")


def test_the_fingerprint_of_a_benchmark_follows_its_words(own):
    one, same = own({}, {}), own({}, {}, folder="same")
    assert open_benchmark(str(one)).name == "own"
    (same / "benchmark.yaml").write_text("name: own\nversion: 1\n")
    assert open_benchmark(str(one)).fingerprint() == open_benchmark(str(same)).fingerprint()
    (same / "benchmark.yaml").write_text("name: own\nversion: 2\n")
    assert open_benchmark(str(one)).fingerprint() != open_benchmark(str(same)).fingerprint()
