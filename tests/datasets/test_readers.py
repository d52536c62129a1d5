"""The table of readers: every one can be named, has knobs that refuse strangers, and needs no torch."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError

from insightedit.core.config import Knobs
from insightedit.core.errors import ConfigError, InputError
from insightedit.core.lookup import pick
from insightedit.datasets.readers import READERS, reader
from insightedit.datasets.weights import ROLES


@pytest.mark.parametrize("name", READERS)
def test_every_reader_has_strict_knobs_and_a_role(name):
    chosen = pick(READERS, name, "reader")
    assert issubclass(chosen.Knobs, Knobs) and chosen.role in (*ROLES, "advanced_edit", "captions", "")
    with pytest.raises(ValidationError, match="Extra inputs"):
        chosen.Knobs(pth="x")


@pytest.mark.parametrize("name", sorted(set(READERS) - {"scenes", "scene_captions"}))  # which read no file
def test_every_reader_names_the_layout_of_what_is_not_there(name, tmp_path):
    knobs = {"path": str(tmp_path / "none")}
    if name == "llava":
        knobs["images"] = str(tmp_path)
    with pytest.raises(InputError, match=r"none.*Expected layout: "):
        reader(name, knobs)


def test_unknown_readers_and_knobs_are_suggested():
    with pytest.raises(ConfigError, match="Did you mean 'refcoco'"):
        reader("refcooc", {})
    with pytest.raises(ConfigError, match=r"unknown key 'max_sid' in datasets\.mine.*Did you mean 'max_side'"):
        reader("magicbrush", {"path": "x", "max_sid": 3}, "mine")


def test_reading_needs_no_torch():
    modules = sorted({place.partition(":")[0] for place in READERS.values()} | {"insightedit.datasets.mixture"})
    code = f"import sys, importlib\nfor name in {modules!r}: importlib.import_module(name)\n"
    code += "assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
