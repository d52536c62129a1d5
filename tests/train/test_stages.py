"""The table of stages names groups and losses that exist, and each stage opens what the next one needs."""

import pytest

from insightedit.core.errors import ConfigError
from insightedit.model.assembly import Parts
from insightedit.model.editor import GROUPS, InsightEdit
from insightedit.model.pipeline import from_preset
from insightedit.train.optim import open_groups
from insightedit.train.stages import STAGES

FROZEN = {"vision", "projector", "language", "vae"}


def test_stages_name_known_groups_and_never_the_frozen_ones():
    for stage in STAGES.values():
        assert set(stage.groups) <= set(GROUPS) - FROZEN and len(set(stage.groups)) == len(stage.groups)


def test_everything_that_is_not_frozen_learns_in_the_last_stage():
    assert set(STAGES["joint"].groups) == set(GROUPS) - FROZEN


def test_only_the_last_stage_feeds_the_image_stream_and_trains_it():
    for name, stage in STAGES.items():
        assert stage.image_stream == ("image_attention" in stage.groups) == (name == "joint")


def test_a_group_of_a_stage_may_stay_frozen():
    pipeline = from_preset("tiny")
    names = ("comprehension", "bridge", "image_attention", "unet", "vae")
    editor = InsightEdit(Parts(**{name: getattr(pipeline, name) for name in names}))
    groups = open_groups(editor, STAGES["joint"], frozen=("bim",))
    assert "bim" not in groups and "unet" in groups
    assert not any(one.requires_grad for one in editor.groups()["bim"])
    assert any(one.requires_grad for one in editor.groups()["unet"])
    with pytest.raises(ConfigError, match="no group 'bmi'"):
        open_groups(editor, STAGES["joint"], frozen=("bmi",))
