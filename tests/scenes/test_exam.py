"""The exam: the same questions each time, fairly divided, on scenes that no training draws."""

from __future__ import annotations

import math
import random
from collections import Counter
from dataclasses import replace
from itertools import islice

import pytest

from insightedit.datasets.rendered import Rendered, RenderedKnobs
from insightedit.scenes.exam import FIRST, HELD, LEVELS, PARTS, exam_seed, mark, questions, summary, tally, why
from insightedit.scenes.grammar import HELD_KINDS, held_out, instructions, split_of
from insightedit.scenes.render import render_pair
from insightedit.scenes.sampling import pair_seed, sample, samples
from insightedit.scenes.scene import TASKS
from insightedit.scenes.truth import Verdict

EXAM = questions(96, seed=3)
LAST = {"remove": "disappear", "add": "insert ", "replace": "exchange ", "recolour": "recolor "}  # ways to say it


def test_the_same_seed_asks_the_same_and_a_longer_exam_begins_with_the_shorter():
    assert questions(20, seed=3) == EXAM[:20]
    assert not {one.pair.scene_id for one in questions(16, seed=4)} & {one.pair.scene_id for one in EXAM}
    assert len({one.key for one in EXAM}) == len({one.pair.scene_id for one in EXAM}) == len(EXAM)


def test_tasks_levels_parts_and_reasons_take_turns():
    cells = Counter((one.part, one.level, one.task) for one in EXAM)
    assert len(cells) == len(PARTS) * len(LEVELS) * len(TASKS) and set(cells.values()) == {6}
    for level in LEVELS:
        held = Counter(one.held for one in EXAM if one.level == level and one.part == "heldout")
        assert set(held) == set(HELD[level]) and len(set(held.values())) == 1
    assert {one.part for one in questions(8, 3, parts=("train",))} == {"train"}


def test_a_question_is_held_out_for_the_one_reason_that_it_gives():
    for one in EXAM:
        assert (one.held == "") == (one.part == "train")
        assert held_out(one.pair) == (one.held == "combination")
        assert ((one.kind, one.task) in HELD_KINDS) == (one.held == "kind")
        worded = "look for" in one.text or LAST[one.task] in one.text
        assert worded == (one.held == "wording"), one.text


def test_the_grammar_says_the_same_of_every_question():
    found = 0
    for one in EXAM[:32]:
        said = [said for trial in range(12) for said in instructions(one.pair, random.Random(trial), 99)]
        parts = {split_of(one.pair, other) for other in said if other.text == one.text}
        assert parts <= {one.part}
        found += bool(parts)
    assert found >= 12  # by chance the same sentence comes up again


def test_no_seed_of_an_exam_is_one_that_training_draws():
    exam = [
        exam_seed(f"{seed}/{number}", attempt) for seed in (0, -1, 2**40) for number in range(9) for attempt in (0, 9)
    ]
    training = [pair_seed(seed, number) for seed in (0, -1, 2**40, 2**31 - 1) for number in (0, 1, 2**33)]
    assert all(FIRST <= seed < 2 * FIRST for seed in exam) and all(0 <= seed < FIRST for seed in training)
    assert all(one.pair.seed >= FIRST and sample(one.pair.seed).scene_id == one.pair.scene_id for one in EXAM)


def test_no_scene_of_an_exam_is_published_or_drawn_for_training_with_the_same_seed():
    asked = {one.pair.scene_id for one in EXAM}
    assert not asked & {pair.scene_id for pair in islice(samples(3), 300)}
    reader = Rendered(RenderedKnobs(count=40, size=32, seed=3))
    drawn = {sample(int(reader.example(index, 0).id.split("-")[0], 16)).scene_id for index in range(0, 80, 7)}
    assert drawn and not asked & drawn
    assert all(int(reader.example(index, 5).id.split("-")[0], 16) < FIRST for index in range(6))


def test_the_answer_passes_and_the_source_fails_every_question():
    for one in EXAM[:: len(EXAM) // 16]:
        drawn = render_pair(one.pair)
        right, wrong = mark(one, drawn.after.image), mark(one, drawn.before.image)
        assert right.success and why(right) == "ok"
        assert not wrong.success and why(wrong) == "too near to 'unchanged' (inf)"


def verdict(**given) -> Verdict:
    return replace(Verdict(True, True, True, "unchanged", 0.1, 30.0, 4.0), **given)


def test_what_is_wrong_is_said():
    elsewhere = verdict(success=False, kept=False)
    assert why(elsewhere) == "changed elsewhere"
    both = verdict(success=False, done=False, kept=False, rival="other thing", closeness=1.5, background_psnr=12.34)
    assert why(both) == "too near to 'other thing' (1.50), background 12.3 dB"


def test_a_tally_counts_shares_their_error_and_infinite_backgrounds_apart():
    right, exact = verdict(), verdict(background_psnr=math.inf, inside_error=0.0)
    undone, spoilt = verdict(success=False, done=False, background_psnr=20.0), verdict(success=False, kept=False)
    marked = list(zip(EXAM, [right, exact, undone, spoilt], strict=False))
    line = tally(marked)
    assert (line.n, line.success, line.done, line.kept, line.exact) == (4, 0.5, 0.75, 0.75, 1)
    assert line.error == pytest.approx(0.25) and line.inside_error == 3.0
    assert line.background_psnr == pytest.approx((30 + 20 + 30) / 3)
    nothing = tally(marked, held="kind")
    assert nothing.n == 0 and math.isnan(nothing.success) and math.isnan(nothing.background_psnr)


def test_a_summary_has_a_line_for_each_cell_that_was_asked():
    marked = [(one, verdict(success=one.task == "add")) for one in EXAM]
    lines = summary(marked)
    assert len(lines) == 2 * 2 * 5 and sum(line.n for line in lines if line.task == "all") == len(EXAM)
    assert all(line.success == {"add": 1.0, "all": 0.25}.get(line.task, 0.0) for line in lines)
    only = summary([pair for pair in marked if pair[0].part == "train"])
    assert {line.part for line in only} == {"train"} and len(only) == 10
