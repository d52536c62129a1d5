"""What a step is, and the names of its results."""

from __future__ import annotations

import subprocess
import sys

import pytest
from toys import Number, Plus, Times, ToyKnobs

from insightedit.flow.step import Step, fingerprint


def test_a_step_that_lacks_a_name_is_refused_when_its_class_is_made():
    with pytest.raises(TypeError, match="step Half lacks name, value: set them as class attributes"):
        type("Half", (Step,), {"version": "1"})


def test_a_class_that_names_nothing_is_a_base_for_others():
    class Base(Step):
        pass

    class Full(Base):
        name, version, value = "full", "1", Number

    assert Full(ToyKnobs()).name == "full"


def test_a_fingerprint_depends_on_everything_that_decides_the_result():
    marks = [
        Times(ToyKnobs()).fingerprint("source"),
        Times(ToyKnobs(by=3)).fingerprint("source"),
        Times(ToyKnobs()).fingerprint("other source"),
        Plus(ToyKnobs()).fingerprint("source"),
        type("Newer", (Times,), {"version": "2"})(ToyKnobs()).fingerprint("source"),
    ]
    assert len(set(marks)) == 5 and all(len(mark) == 12 for mark in marks)


def test_a_seed_is_part_of_a_fingerprint():
    class Plain(Step):
        name, version, value = "plain", "1", Number

    assert Plain(ToyKnobs(), 1).fingerprint("") != Plain(ToyKnobs(), 2).fingerprint("")


def test_fingerprints_are_the_same_in_every_process():
    program = "from insightedit.flow.step import fingerprint; print(fingerprint('a', {'z': 1, 'b': [2, None]}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == fingerprint("a", {"b": [2, None], "z": 1})
