"""AUC is that of Mann and Whitney; every picture is scored; what has no value says why."""

from __future__ import annotations

import json

import numpy as np
import pytest
from published import publish_small

from insightedit.core.errors import InputError
from insightedit.evaluate.faults import FAULTS
from insightedit.evaluate.known import of_dataset, of_scenes
from insightedit.evaluate.meta import Scored, auc, markdown, measure, records, table, truth
from insightedit.metrics.profile import get


def made(values, family=lambda number: str(number)):
    """Scored pictures of one score "s": values (N, 2), of the good and of the blurred one."""
    return [
        Scored(str(number), family(number), fault, {"s": float(value)}, {})
        for number, pair in enumerate(values)
        for fault, value in zip(("", "blurred_fill"), pair, strict=True)
    ]


def line_of(scored, name="s", fault="blurred_fill"):
    return next(one for one in table(scored) if (one.score, one.fault) == (name, fault))


def test_a_perfect_score_has_1_and_a_reversed_one_0():
    good, bad = np.arange(10.0) + 100, np.arange(7.0)
    assert auc(good, bad) == 1 and auc(bad, good) == 0


def test_ties_count_half():
    assert auc(np.zeros(4), np.zeros(5)) == 0.5
    assert auc(np.array([1.0, 1.0]), np.array([0.0, 1.0])) == 0.75
    assert auc(np.array([np.inf]), np.array([np.inf])) == 0.5


def test_noise_is_near_a_half_and_its_interval_holds_it():
    found = line_of(made(np.random.default_rng(0).normal(size=(300, 2))))
    assert abs(found.auc - 0.5) < 0.06 and found.low < 0.5 < found.high and found.n == found.families == 300


def test_the_interval_widens_when_edits_share_photographs():
    rng = np.random.default_rng(1)
    values = np.repeat(rng.normal([0.7, 0], 1, (12, 2)), 10, axis=0)  # ten times the same
    alone, shared = line_of(made(values)), line_of(made(values, lambda number: str(number // 10)))
    assert alone.auc == shared.auc and shared.families == 12
    assert shared.high - shared.low > 2 * (alone.high - alone.low)


def test_the_interval_is_not_drawn_to_what_is_easy_within_an_edit():
    values = np.random.default_rng(2).normal(0, 10, (14, 1)) + np.array([1.0, 0.0])  # own pairs are always right
    found = line_of(made(values))
    assert found.low < found.auc < found.high and abs(found.low + found.high - 2 * found.auc) < 0.1


def test_pairs_are_compared_with_their_own_good_picture():
    values = [(number + 0.5, number) for number in range(40)]  # a little better each, lost between edits
    found = line_of(made(values))
    assert found.paired == 1 and 0.5 < found.auc < 0.6


def test_a_score_without_values_says_why():
    scored = [Scored("a", "a", fault, {}, {"s": "unavailable: no trunk"}) for fault in ("", "blurred_fill")]
    found = line_of(scored)
    assert found.auc is None and found.n == 0 and "no trunk" in found.why
    assert "No value: `s` (unavailable: no trunk" in markdown(table(scored))


@pytest.fixture(scope="module")
def scored():
    profiles = [get("background_strict"), get("magicbrush")]
    profiles[1] = type(profiles[1])(**{**profiles[1].__dict__, "metrics": ("l1",)})
    return measure(of_scenes(8, seed=1, size=48), profiles, {"truth": truth})


def test_on_scenes_background_metrics_do_not_see_what_was_not_done(scored):
    for fault in ("nothing_changed", "blurred_fill"):
        assert line_of(scored, "background_strict.psnr_background", fault).auc == 0.5
    assert line_of(scored, "background_strict.psnr_background", "background_shifted").auc == 1
    assert line_of(scored, "background_strict.background_share", "over_edit").auc == 0.5
    assert line_of(scored, "truth.success", "nothing_changed").auc == 1
    assert line_of(scored, "magicbrush.l1", "nothing_changed").auc == 1


def test_the_table_has_every_score_and_goes_into_json(scored):
    lines = table(scored)
    text = markdown(lines)
    assert "`truth.success`" in text and text.splitlines()[0].count("|") == len(FAULTS) + 2
    again = json.loads(json.dumps(records(lines), allow_nan=False))
    assert len(again) == len(lines) and {one["fault"] for one in again} == set(FAULTS)
    assert table(scored) == lines


def test_a_reencoding_editor_loses_to_one_that_does_nothing():
    found = measure(of_scenes(4, seed=1, size=48), [get("background_strict")], {}, encoded=True)
    assert line_of(found, "background_strict.psnr_background", "nothing_changed").auc == 0


def test_a_chat_judge_is_scored_by_its_replies():
    def replies(edit, picture):
        done = 9 if np.array_equal(picture, edit.target) else 2
        given = {"sc": [done, 9], "pq": [9, 9]}
        return {part: json.dumps({"score": parts, "reasoning": ""}) for part, parts in given.items()}

    found = measure(of_scenes(2, seed=1, size=48), [get("viescore_0_10")], {}, replies=replies)
    assert {line_of(found, "viescore_0_10.sc", fault).auc for fault in ("nothing_changed", "over_edit")} == {1}
    assert line_of(found, "viescore_0_10.pq", "nothing_changed").auc == 0.5


def test_known_edits_of_a_dataset_are_its_kept_ones(tmp_path):
    publish_small(tmp_path / "run", 12)
    edits = of_dataset(tmp_path / "run", side=64)
    assert edits and len({edit.id for edit in edits}) == len(edits)
    for edit in edits:
        assert edit.source.shape == edit.target.shape and edit.mask.shape == edit.source.shape[:2]
        assert np.array_equal(edit.source[~edit.mask], edit.target[~edit.mask]) and edit.instruction
        assert all(not (other.mask & edit.mask).any() and other.id != edit.id for other in edit.beside)
    with pytest.raises(InputError):
        of_dataset(tmp_path / "nowhere")
