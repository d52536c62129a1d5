"""What a step is, and the names of its results."""

from __future__ import annotations

import subprocess
import sys

import pytest
from heavy import Heavy, HeavyKnobs
from toys import Number, Plus, Times, ToyKnobs

from insightedit.core.config import Knobs
from insightedit.flow.step import AsyncStep, Place, Step, fingerprint


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


class InnerKnobs(Knobs):
    least: float = 0.5


class PinnedKnobs(Knobs):
    backend: str = "grabcut"
    min_side_px: int = 12
    inner: InnerKnobs = InnerKnobs()


class Pinned(Step):
    name, version, value = "pinned", "1", Number


def test_fingerprints_are_those_of_earlier_versions_so_that_finished_work_stays_finished():
    """Taken before steps had a place: whoever changes these makes every user paint and pay anew."""
    assert Times(ToyKnobs()).fingerprint("source") == "3431d3881d8d"
    assert Pinned(PinnedKnobs()).fingerprint("source") == "f7b3e791ce04"
    assert Pinned(PinnedKnobs(), 7).fingerprint("abc") == "d16d7437f7be"


def test_a_place_is_no_part_of_a_fingerprint_and_every_other_knob_is():
    marks = {
        Heavy(HeavyKnobs(place=place)).fingerprint("")
        for place in (Place(), Place(device="cpu"), Place(device_share=0.1), Place(batch_size=9), Place(in_flight=2))
    }
    assert len(marks) == 1 and Heavy(HeavyKnobs(least=0.6)).fingerprint("") not in marks


def test_a_place_says_more_than_the_class_where_it_says_anything():
    assert (Heavy(HeavyKnobs()).portion(), Heavy(HeavyKnobs()).share()) == (2, 0.6)
    step = Heavy(HeavyKnobs(place=Place(batch_size=5, device_share=0.0)))
    assert (step.portion(), step.share()) == (5, 0.0)
    assert (Plus(ToyKnobs()).portion(), Plus(ToyKnobs()).share(), Plus(ToyKnobs()).place) == (3, 0.0, Place())


def test_an_asynchronous_step_that_lacks_a_name_is_refused_too():
    with pytest.raises(TypeError, match="step Half lacks name"):
        type("Half", (AsyncStep,), {"version": "1", "value": Number})
