"""The table of stages names groups and losses that exist, and each stage opens what the next one needs."""

from insightedit.model.editor import GROUPS
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
