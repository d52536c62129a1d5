"""The contract of every editor, on toys; construction is cheap; fingerprints tell results apart."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from insightedit.core.config import Knobs
from insightedit.core.errors import BackendError, ConfigError, InputError, UnknownName
from insightedit.editors.editor import Editor
from insightedit.editors.table import EDITORS, make


class ShiftSettings(Knobs):
    by: int = 1


class Shift(Editor):
    """Adds a number; counts its setups."""

    name = "shift"
    size_rule = "as it is"
    Settings = ShiftSettings
    settings: ShiftSettings
    setups = 0

    def _setup(self):
        self.setups += 1

    def _edit(self, image, instruction, seed):
        return image + np.uint8(self.settings.by + seed)


class Broken(Shift):
    """Answers what it is told to."""

    answer: object = None

    def _edit(self, image, instruction, seed):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def broken(answer: object) -> Broken:
    editor = Broken()
    editor.answer = answer
    return editor


def test_an_edit_sets_up_once_and_keeps_its_source(photo):
    editor, before = Shift(by=2), photo.copy()
    assert np.array_equal(editor.edit(photo, "brighter", 1), photo + np.uint8(3))
    editor.edit(photo, "brighter")
    editor.setup()
    assert editor.setups == 1 and np.array_equal(photo, before)


@pytest.mark.parametrize("words", ["", "  \n", "x" * 10_001, "a\0b"])
def test_an_instruction_that_says_nothing_is_refused_before_weights_load(photo, words):
    editor = Shift()
    with pytest.raises(InputError, match="instruction"):
        editor.edit(photo, words)
    assert editor.setups == 0


@pytest.mark.parametrize("image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)])
def test_an_array_that_is_no_picture_is_refused(image):
    with pytest.raises(InputError, match="uint8"):
        Shift().edit(image, "brighter")


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_a_seed_out_of_range_is_refused(photo, seed):
    with pytest.raises(InputError, match="seed"):
        Shift().edit(photo, "brighter", seed)


@pytest.mark.parametrize("answer", [np.zeros((70, 99, 3), np.uint8), np.zeros((70, 100, 3))])
def test_an_editor_that_breaks_its_contract_is_told_so(photo, answer):
    with pytest.raises(BackendError, match="broke its contract"):
        broken(answer).edit(photo, "brighter")


def test_what_a_library_throws_becomes_one_line_with_a_mend(photo):
    with pytest.raises(BackendError) as caught:
        broken(RuntimeError("shapes\n  do not match")).edit(photo, "brighter")
    assert "RuntimeError: shapes do not match" in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(BackendError, match="offload=model"):
        broken(RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")).edit(photo, "brighter")
    with pytest.raises(ConfigError, match="as it was"):
        broken(ConfigError("as it was", "", "")).edit(photo, "brighter")


def test_many_edits_are_the_edits_one_by_one(photo):
    images, seeds = [photo, photo[:40]], [3, 4]
    many = Shift().edit_many(images, ["a", "b"], seeds)
    for image, seed, edited in zip(images, seeds, many, strict=True):
        assert np.array_equal(edited, Shift().edit(image, "a", seed))


def test_unknown_settings_are_refused_with_a_suggestion():
    with pytest.raises(ConfigError, match="Did you mean 'by'"):
        Shift(bye=3)
    with pytest.raises(ConfigError, match="takes no settings"):
        make("identity", steps=3)
    with pytest.raises(UnknownName, match="Did you mean 'magicbrush'"):
        make("magicbrus")


def test_a_fingerprint_follows_the_settings():
    assert Shift().fingerprint() == Shift(by=1).fingerprint() == Shift(Shift().settings).fingerprint()
    assert len({Shift(by=by).fingerprint() for by in range(5)}) == 5


def test_every_editor_is_made_without_torch():
    code = (
        "import sys; from insightedit.editors.table import EDITORS, make; made = [make(name) for name in EDITORS]; "
        "print(len(made), all(editor.size_rule for editor in made), 'torch' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.stdout.split() == [str(len(EDITORS)), "True", "False"], answer.stderr


def test_every_editor_goes_by_its_name_in_the_table():
    assert all(make(name).name == name for name in EDITORS)


@pytest.mark.parametrize(
    ("name", "defaults"),
    [  # evaluation.md 1.8: what the authors ran
        ("instruct_pix2pix", (100, 7.5, 1.5)),
        ("magicbrush", (100, 7.5, 1.5)),
        ("instruct_diffusion", (100, 5.0, 1.25)),
        ("smartedit", (100, 7.5, 1.5)),
        ("insightedit", (None, None, None)),  # the checkpoint's own
        ("mgie", (100, 7.5, 1.5)),
    ],
)
def test_defaults_are_the_authors(name, defaults):
    settings = make(name).settings
    assert (settings.steps, settings.text_guidance_scale, settings.image_guidance_scale) == defaults


@pytest.mark.parametrize(
    ("values", "part"),
    [
        ({"dtype": "flot16"}, "Did you mean 'float16'"),
        ({"device": "gpu"}, "device"),
        ({"steps": 0}, "steps"),
        ({"text_guidance_scale": float("nan")}, "text_guidance_scale"),
        ({"image_guidance_scale": 0.9}, "image_guidance_scale"),  # diffusers would drop the guidance without a word
        ({"text_guidance_scale": 1.0}, "text_guidance_scale"),
        ({"resolution": 63}, "resolution"),
        ({"text_guidance": 5.0}, "Did you mean 'text_guidance_scale'"),
    ],
)
def test_wrong_values_are_refused(values, part):
    with pytest.raises(ConfigError, match=part):
        make("instruct_pix2pix", **values)


def test_identity_returns_its_input(photo):
    edited = make("identity").edit(photo, "make it red")
    assert np.array_equal(edited, photo) and edited is not photo
