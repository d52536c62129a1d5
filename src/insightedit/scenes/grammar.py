"""Instructions for a pair: what is asked, of which thing, in which words; and which of them are kept for testing.

A sentence is a wording of the task around a reference (`referents`). For an addition the reference is the thing beside
which the new one is put, and the formula describes the new one: all(<its looks>, left_of(<reference>)).
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Literal

from insightedit.scenes.formula import FIELDS, Formula, Seen, described, every, seen, selects
from insightedit.scenes.referents import RELATION_WORDS, SIMPLE, Reference, noun, reasoning, simple
from insightedit.scenes.scene import COLOURS, SHAPES, TASKS, Pair, Task

Part = Literal["train", "heldout"]
Level = Literal["simple", "advanced"]
MOST_WORDS = 20  # of a reasoning instruction, as the published data promise
LINE, BESIDE = 0.45, 1.6  # an anchor of an addition is at most so far out of line, and so far away beyond both radii

# {it}: the thing spoken of; {new}: what comes, with its article; {colour}; {where}: "behind". The last is held out.
ACTIONS: dict[Task, tuple[str, ...]] = {
    "remove": ("remove {it}", "delete {it}", "take away {it}", "erase {it}", "get rid of {it}", "make {it} disappear"),
    "add": ("add {new} {where} {it}",
            "put {new} {where} {it}", "place {new} {where} {it}", "insert {new} {where} {it}"),
    "replace": ("replace {it} with {new}", "swap {it} for {new}", "turn {it} into {new}", "exchange {it} for {new}"),
    "recolour": ("make {it} {colour}", "turn {it} {colour}", "paint {it} {colour}",
                 "color {it} {colour}", "recolor {it} to {colour}"),
}  # fmt: skip
# Around a reasoning reference; {do} speaks of "it" where {the} came before. The last is held out.
FRAMES = ("{do the}", "find the {the} and {do it}", "what is the {the}? {do it}", "look for the {the}, then {do it}")
HELD_KINDS = frozenset({
    ("farthest", "recolour"), ("rightmost", "remove"), ("smallest", "replace"), ("same_colour", "remove"),
    ("behind", "recolour"), ("not_material", "replace"), ("nearest", "add"), ("closest", "remove"),
})  # fmt: skip


@dataclass(frozen=True)
class Instruction:
    """A sentence for one directed pair.

    `kind` is "simple" or a kind of `referents.KINDS`; `wording` names the patterns; `formula` picks the subject among
    the things of `pair.full`.
    """

    text: str
    task: Task
    kind: str
    wording: str
    formula: Formula

    @property
    def level(self) -> Level:
        return "simple" if self.kind == SIMPLE else "advanced"


def instruct(
    pair: Pair, draw: random.Random, level: Level | None = None, part: Part | None = None
) -> Instruction | None:
    """One instruction, every kind that fits being equally likely; None if there is none.

    Args:
        pair: the directed edit.
        draw: decides.
        level: "simple" or "advanced" only; None for either.
        part: "train" or "heldout" only (see `split_of`); None for either.
    """
    found = instructions(pair, draw, 1, part, level)
    return found[0] if found else None


def instructions(
    pair: Pair,
    draw: random.Random,
    count: int = 2,
    part: Part | None = None,
    level: Level | None = None,
) -> list[Instruction]:
    """Up to `count` instructions in drawn order, no two with the same description; arguments as for `instruct`."""
    options = [one for one in _spoken(pair) if level is None or (one[0].kind == SIMPLE) == (level == "simple")]
    found: list[Instruction] = []
    while options and len(found) < count:
        kind = draw.choice(sorted({reference.kind for reference, _, _ in options}))
        chosen = draw.choice([one for one in options if one[0].kind == kind])
        options.remove(chosen)
        sentence = _worded(pair, chosen, draw, part)
        if sentence is not None:
            found.append(sentence)
    return found


def holds(pair: Pair, instruction: Instruction) -> bool:
    """Evaluate the formula again: does it pick the subject, and are its anchors the same ones without the new thing?"""
    return selects(instruction.formula, seen(pair.full), pair.subject, adding=pair.task == "add")


# --- what may be said ------------------------------------------------------------------------------------------------

Spoken = tuple[Reference, Formula, str]  # the thing spoken of, the whole formula, and for additions the relation


@lru_cache(maxsize=64)
def _spoken(pair: Pair) -> list[Spoken]:
    """All that picks the subject for certain. Kept, because one pair is asked for several sentences in a row."""
    things = seen(pair.full)
    if pair.task != "add":
        both = [*simple(things, pair.subject), *reasoning(things, pair.subject)]
        return [(reference, reference.formula, "") for reference in both]
    new, rest = things[pair.subject], (*things[: pair.subject], *things[pair.subject + 1 :])
    looks = [described(**{look: getattr(new, look)}) for look in FIELDS]
    found = []
    for index, anchor in enumerate(rest):
        for relation in RELATION_WORDS:
            if _stands(pair, index, new, anchor, relation):
                for reference in (*simple(rest, index), *reasoning(rest, index)):
                    formula = every(*looks, Formula(relation, (reference.formula,)))
                    if selects(formula, things, pair.subject, adding=True):
                        found.append((reference, formula, relation))
    return found


def _stands(pair: Pair, index: int, new: Seen, anchor: Seen, relation: str) -> bool:
    """Whether the new thing stands where one would put it: near the anchor, on that side, in line with it."""
    right, away = new.right - anchor.right, new.away - anchor.away
    along, off = {
        "left_of": (-right, away), "right_of": (right, away), "in_front_of": (-away, right), "behind": (away, right),
    }[relation]  # fmt: skip
    radii = pair.thing.radius + pair.before.things[index].radius
    return abs(off) <= LINE and 0 < along <= radii + BESIDE


# --- words -----------------------------------------------------------------------------------------------------------


def _worded(pair: Pair, spoken: Spoken, draw: random.Random, part: Part | None) -> Instruction | None:
    """The description in a drawn wording of that part of the split, short enough; None if there is none."""
    reference, formula, relation = spoken
    frames = range(len(FRAMES)) if reference.kind != SIMPLE else range(1)
    wordings = list(product(range(len(ACTIONS[pair.task])), frames))
    draw.shuffle(wordings)
    for action, frame in wordings:
        if part in (None, _part(pair, reference.kind, action, frame)):
            text = _text(pair, reference, relation, action, frame)
            if len(text.split()) <= MOST_WORDS:
                return Instruction(text, pair.task, reference.kind, f"{action}/{frame}", formula)
    return None


def _text(pair: Pair, reference: Reference, relation: str, action: int, frame: int) -> str:
    pattern, the = ACTIONS[pair.task][action], f"the {reference.noun}"
    words = {"new": "", "colour": "", "where": RELATION_WORDS.get(relation, "")}
    if pair.result is not None:
        after = seen(pair.after)[pair.subject]
        looks = ("size", "colour", "material", "shape") if pair.task == "add" else ("colour", "shape")
        words |= {"new": _with_article(noun(after, looks)), "colour": after.colour}
    done = {"{do the}": pattern.format(it=the, **words), "{do it}": pattern.format(it="it", **words)}
    text = FRAMES[frame].replace("the {the}", the)
    for hole, deed in done.items():
        text = text.replace(hole, deed)
    return text


def _with_article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


# --- held out --------------------------------------------------------------------------------------------------------


def split_of(pair: Pair, instruction: Instruction) -> Part:
    """ "heldout" for what training never shows: combinations of things with a task, kinds of reasoning with a task,
    and wordings. Each alone is enough.
    """
    action, frame = map(int, instruction.wording.split("/"))
    return _part(pair, instruction.kind, action, frame)


def _part(pair: Pair, kind: str, action: int, frame: int) -> Part:
    last = action == len(ACTIONS[pair.task]) - 1 or frame == len(FRAMES) - 1
    return "heldout" if last or (kind, pair.task) in HELD_KINDS or held_out(pair) else "train"


def held_out(pair: Pair) -> bool:
    """Whether the pair itself is: four of the 32 combinations of colour and shape a task, in what goes or comes."""
    things = [pair.thing] if pair.result is None else [pair.thing, pair.result]
    return any(_combination(thing.colour, thing.shape) == 2 * TASKS.index(pair.task) for thing in things)


def _combination(colour: str, shape: str) -> int:
    return (COLOURS.index(colour) + 3 * SHAPES.index(shape)) % len(COLOURS)
