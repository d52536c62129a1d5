"""Benchmarks by name: every description that ships is whole, and what is missing is said with the expected layout."""

from __future__ import annotations

import re

import pytest

from insightedit.core.errors import ConfigError, InputError
from insightedit.core.lookup import pick
from insightedit.evaluate.benchmark import READERS, describe, names, open_benchmark
from insightedit.evaluate.sample import Fault
from insightedit.metrics.profile import PROFILES


@pytest.mark.parametrize("name", names())
def test_what_ships_is_whole(name):
    about = describe(name)
    assert about.name == name and about.title and about.citation and about.licence and about.profiles and about.groups
    reader = pick(READERS, about.reader, "reader")
    assert set(about.profiles) <= set(PROFILES)
    assert set(about.knobs) <= set(reader.model_fields) and len(reader.layout()) > 20
    if "path" in reader.model_fields:
        assert about.homepage and about.expected
        with pytest.raises(InputError, match=rf"needs its files.*{re.escape(about.homepage)}.*Expected layout"):
            open_benchmark(name)


def test_what_the_issue_asks_for_is_there():
    assert {
        "scenes", "reason-edit", "advancededit-eval", "magicbrush-single", "magicbrush-multi", "imgedit", "gedit-en",
        "gedit-cn", "editbench",
    } <= set(names())  # fmt: skip


def test_a_wrong_name_gets_the_nearest():
    with pytest.raises(ConfigError, match="Did you mean 'reason-edit'"):
        open_benchmark("reason_edit")
    with pytest.raises(ConfigError, match=r"unknown key 'sise'.*Did you mean 'size'"):
        open_benchmark("scenes", settings=["sise=64"])


def test_no_files_where_none_are_needed(tmp_path):
    with pytest.raises(ConfigError, match="has no files"):
        open_benchmark("scenes", tmp_path)


def test_a_count_that_was_not_published_is_named_or_allowed(own):
    root = own({}, {})
    with pytest.raises(InputError, match=r"2 samples are there, 300 were published.*allow-partial"):
        open_benchmark("advancededit-eval", root)
    part = open_benchmark("advancededit-eval", root, partial=True)
    assert len(part) == 2 and part.missing == ("2 samples are there, 300 were published",)


def test_repeated_ids_are_named_and_stay_apart(own):
    found = open_benchmark(str(own({"id": "a"}, {"id": "a"}, {"id": "b"}, {"id": "a"}, {"id": "a#2"})))
    assert [one.id for one in found.samples] == ["a", "a#3", "b", "a#4", "a#2"]
    assert [one.fault.status if one.fault else "" for one in found.samples] == ["", *["duplicate_id", ""] * 2]
    assert found.samples[1].fault == Fault("duplicate_id", "sample 'a' comes 2 times")


def test_a_folder_of_ones_own_needs_no_description(own):
    found = open_benchmark(str(own({}, folder="my set!")))
    assert (found.name, found.version, len(found)) == ("my-set-", 1, 1)
    assert [group.name for group in found.groups] == ["all"]


def test_a_folder_of_a_stranger_names_no_place_outside(own):
    root = own({})
    for knobs in ("reader: imgedit\n", "knobs: {path: /etc}\n", "knobs: {table: ../../secret.jsonl}\n"):
        (root / "benchmark.yaml").write_text("name: theirs\nversion: 1\n" + knobs)
        with pytest.raises(ConfigError, match="without knobs only"):
            open_benchmark(str(root))


def test_an_unknown_profile_is_refused(own):
    root = own({})
    (root / "benchmark.yaml").write_text("name: own\nversion: 1\nprofiles: [background]\n")
    with pytest.raises(ConfigError, match="no profile 'background'"):
        open_benchmark(str(root))


def test_groups_that_no_sample_is_in_are_left_out(own):
    root = own({"category": "cat"}, {"category": "dog"})
    (root / "benchmark.yaml").write_text(
        "name: pets\nversion: 3\nprofiles: [magicbrush]\n"
        "groups: {both: {weight_by_size: false}, cats: {categories: [cat]}, cows: {categories: [cow]}}\n"
    )
    found = open_benchmark(str(root))
    assert [group.name for group in found.groups] == ["both", "cats"] and found.profiles == ("magicbrush",)
    assert not found.groups[0].weight_by_size and len(found.members(found.groups[1])) == 1


def test_an_empty_benchmark_is_an_error(own):
    root = own({})
    (root / "samples.jsonl").write_text("\n\n")
    with pytest.raises(InputError, match="has no samples"):
        open_benchmark(str(root))
