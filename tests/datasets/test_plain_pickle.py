"""A pickle of plain data is read; one that would run something is refused before it does."""

from __future__ import annotations

import collections
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from insightedit.core.errors import InputError
from insightedit.datasets.plain_pickle import read

PLAIN = [{"ref_id": 7, "sentences": [{"sent": "left man", "tokens": ("left", "man")}], "x": [1.5, None, True]}]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_data_of_every_protocol(tmp_path, protocol):
    path = tmp_path / "refs(unc).p"
    path.write_bytes(pickle.dumps(PLAIN, protocol))
    assert read(path, "a pickle") == PLAIN


def test_bytes_strings_of_python_2_become_text(tmp_path):
    path = tmp_path / "refs.p"
    path.write_bytes(b"\x80\x02]q\x00}q\x01(U\x04sentq\x02U\x04caf\xe9q\x03X\x02\x00\x00\x00idq\x04\x8a\x01\x03ua.")
    assert read(path, "a pickle") == [{"sent": "café", "id": 3}]


class Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_code_is_refused_and_never_run(tmp_path, protocol):
    path, trace = tmp_path / "refs.p", tmp_path / "ran"
    path.write_bytes(pickle.dumps([Evil(trace)], protocol))
    with pytest.raises(InputError, match="plain data"):
        read(path, "a pickle")
    assert not trace.exists()


@pytest.mark.parametrize("value", [np.arange(3), collections.OrderedDict(a=1), Path("x"), len])
def test_any_class_is_refused(tmp_path, value):
    path = tmp_path / "refs.p"
    path.write_bytes(pickle.dumps(value))
    with pytest.raises(InputError, match="asks for"):
        read(path, "a pickle")


def test_broken_bytes_name_the_file_and_the_layout(tmp_path):
    path = tmp_path / "refs.p"
    whole = pickle.dumps(PLAIN, 2)
    rng = np.random.default_rng(0)
    samples = [b"", whole[:-3], b"not a pickle", b"\x80\x63."] + [rng.bytes(60) for _ in range(200)]
    for data in samples:
        path.write_bytes(data)
        try:
            read(path, "refs(unc).p")
        except InputError as error:
            assert "refs.p" in str(error) and "refs(unc).p" in error.mend
    with pytest.raises(InputError, match="no such file"):
        read(tmp_path / "none.p", "refs(unc).p")
