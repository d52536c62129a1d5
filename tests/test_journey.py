"""From photographs to a loaded dataset, as a newcomer goes: build, inspect, load, train on it."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from insightedit.construct.build import build
from insightedit.construct.inspection import inspect
from insightedit.construct.recipe import Recipe
from insightedit.core.config import load, preset_path
from insightedit.core.files import read_json
from insightedit.metrics.pixel import block_grid

SETTINGS = ["source.min_side=100", "photos_per_shard=2", "paint.max_edits=4"]


@pytest.fixture(scope="module")
def journey(album, tmp_path_factory):
    recipe = load(Recipe, preset_path("build", "offline"), SETTINGS)
    return build(album, tmp_path_factory.mktemp("journey") / "out", recipe, workers=2)


def test_every_promise_holds(journey):
    inspection = inspect(journey.out)
    assert inspection.ok, [promise.name for promise in inspection.promises if not promise.holds]


def test_one_line_loads_it_and_the_pictures_are_what_they_say(journey):
    from datasets import Image, load_dataset

    splits = load_dataset(str(journey.out / "dataset"))
    rows = [row for split in splits.values() for row in split]
    assert len(rows) == journey.published.rows > 3
    features = next(iter(splits.values())).features
    assert all(isinstance(features[name], Image) for name in ("source_image", "edited_image", "mask"))
    for row in rows:
        source, edited, mask = (np.asarray(row[name]) for name in ("source_image", "edited_image", "mask"))
        assert source.shape == edited.shape == (row["height"], row["width"], 3) and mask.shape == source.shape[:2]
        outside = ~block_grid(mask > 127)
        assert (source[outside] == edited[outside]).all() and (source != edited).any()
        assert row["instr_fwd_simple"] if row["keep_fwd"] else row["instr_rev_simple"]
        assert row["license"] and row["author"] is not None


def test_several_kinds_of_edits_came_of_it_and_pairs_of_pairs(journey):
    from datasets import load_dataset

    rows = [row for split in load_dataset(str(journey.out / "dataset")).values() for row in split]
    assert {"removal", "recolour"} <= {row["method"] for row in rows}
    by_id = {row["edit_id"]: row for row in rows}
    composed = [row for row in rows if row["method"] == "composed"]
    assert composed
    for row in composed:
        first, second = (by_id[parent] for parent in row["parents"])
        assert row["source_sha256"] == first["edited_sha256"] and row["edited_sha256"] == second["edited_sha256"]


def test_the_number_of_workers_changes_nothing(journey, album, tmp_path):
    recipe = load(Recipe, preset_path("build", "offline"), SETTINGS)
    alone = build(album, tmp_path / "out", recipe, workers=0)
    assert alone.published.content_hash == journey.published.content_hash


@pytest.mark.parametrize("step", ["segment", "paint", "instruct", "judge"])
def test_a_run_continued_from_disk_ends_like_an_unbroken_one(journey, album, tmp_path, step):
    shutil.copytree(journey.out / "work", tmp_path / "out" / "work")
    later = ["segment", "paint", "instruct", "judge"]
    for name in later[later.index(step) :]:
        for path in (tmp_path / "out" / "work" / "shards").glob(f"*/{name}-*"):
            path.unlink()
    recipe = load(Recipe, preset_path("build", "offline"), SETTINGS)
    again = build(album, tmp_path / "out", recipe, workers=0)
    assert again.published.content_hash == journey.published.content_hash


def test_the_funnel_adds_up(journey):
    for line in journey.funnel:
        assert line.came_in == line.kept + line.rejected
    manifest = read_json(journey.out / "dataset" / "manifest.json")
    assert manifest["funnel"] == [line.model_dump() for line in journey.funnel]
