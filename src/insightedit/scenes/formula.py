"""Descriptions as formulas over the things of a scene: written as text, read back, evaluated in three values.

    all(colour("red"), shape("cube"))
    leftmost(anything())
    all(shape("sphere"), behind(all(colour("blue"), shape("cone"))))
    lacks(colour("red"))
    same("colour", all(size("big"), shape("cube")))

A formula says of every thing whether it fits: True, False, or None where a person might doubt it (two things almost
equally far to the left). It picks a thing for certain if it is true of that one and false of every other. What it looks
at is `Seen`: a thing as the picture shows it, which can be written as text and read back, so a published instruction is
verified again from its row alone.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from insightedit.scenes.rays import view
from insightedit.scenes.scene import COLOURS, MATERIALS, SHAPES, SIZES, Scene

Truth = bool | None
FIELDS = {"size": SIZES, "colour": COLOURS, "material": MATERIALS, "shape": SHAPES}
ACROSS, AWAY, CLOSER = 0.05, 0.35, 0.5  # differences that nobody overlooks: share of the frame, units, units
DOUBT = 0.3  # below this part of them the other way about is as good


@dataclass(frozen=True)
class Seen:
    """A thing as the picture shows it: `across` 0..1 from the left, `right` and `away` where it stands."""

    shape: str
    colour: str
    size: str
    material: str
    across: float
    right: float
    away: float

    def __str__(self) -> str:
        where = f"across {self.across:.3f}, right {self.right:.3f}, away {self.away:.3f}"
        return f"{self.size} {self.colour} {self.material} {self.shape} at {where}"


@lru_cache(maxsize=256)
def seen(scene: Scene) -> tuple[Seen, ...]:
    """The things of a scene, in their order."""
    camera = view(scene.camera, 1)
    found = []
    for thing in scene.things:
        ((across, _),) = camera.screen([(thing.right, thing.away, thing.radius)])
        looks = (thing.shape, thing.colour, thing.size, thing.material)
        found.append(Seen(*looks, round(across, 3), thing.right, thing.away))
    return tuple(found)


_SEEN = re.compile(r"(\w+) (\w+) (\w+) (\w+) at across (-?[\d.]+), right (-?[\d.]+), away (-?[\d.]+)")


def read_seen(text: str) -> Seen:
    """`read_seen(str(thing)) == thing`.

    Raises:
        ValueError: the text is not of that form.
    """
    found = _SEEN.fullmatch(text)
    if not found:
        raise ValueError(f"no thing of a scene: {text[:120]!r}")
    size, colour, material, shape, *place = found.groups()
    return Seen(shape, colour, size, material, *map(float, place))


# --- formulas --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Formula:
    """A word and what it is applied to: formulas, or a name for `size`, `colour`, `material`, `shape` and `same`."""

    word: str
    parts: tuple[Formula | str, ...] = ()

    def __str__(self) -> str:
        inner = (json.dumps(part) if isinstance(part, str) else str(part) for part in self.parts)
        return f"{self.word}({', '.join(inner)})"

    def within(self) -> Iterator[Formula]:
        """The formula and all formulas inside it."""
        yield self
        for part in self.parts:
            if isinstance(part, Formula):
                yield from part.within()


ANYTHING = Formula("anything")


def described(**looks: str) -> Formula:
    """The formula of a noun: `described(colour="red", shape="cube")`; of nothing said, `anything()`."""
    parts = tuple(Formula(name, (value,)) for name, value in looks.items())
    return ANYTHING if not parts else parts[0] if len(parts) == 1 else every(*parts)


def every(*parts: Formula) -> Formula:
    """True where all parts are."""
    return Formula("all", parts)


def parse(text: str) -> Formula:
    """`parse(str(formula)) == formula`.

    Raises:
        ValueError: the text is not a formula.
    """
    try:
        return _build(ast.parse(text, mode="eval").body)
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(f"not a formula: {text[:120]!r}") from error


def _build(node: ast.expr) -> Formula:
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)) or node.keywords:
        raise ValueError(f"not a formula: {ast.unparse(node)[:120]!r}")
    names = [part.value for part in node.args if isinstance(part, ast.Constant) and isinstance(part.value, str)]
    inner = [_build(part) for part in node.args if not isinstance(part, ast.Constant)]
    formula = Formula(node.func.id, (*names, *inner))
    if len(formula.parts) != len(node.args) or not _sound(node.func.id, names, len(inner)):
        raise ValueError(f"not a formula: {ast.unparse(node)[:120]!r}")
    return formula


def _sound(word: str, names: Sequence[str], inner: int) -> bool:
    """Whether a word has the parts that it needs."""
    if word in FIELDS:
        return inner == 0 and len(names) == 1 and names[0] in FIELDS[word]
    if word == "same":
        return inner == 1 and len(names) == 1 and names[0] in FIELDS
    if word == "all":
        return not names and inner > 0
    return not names and inner == (0 if word == "anything" else 1) and word in _WORDS


# --- evaluation ------------------------------------------------------------------------------------------------------


def truths(formula: Formula, things: Sequence[Seen]) -> list[Truth]:
    """What the formula says of each thing."""
    word, parts = formula.word, formula.parts
    if word in FIELDS:
        return [getattr(thing, word) == parts[0] for thing in things]
    if word == "anything":
        return [True] * len(things)
    columns = [truths(part, things) for part in parts if isinstance(part, Formula)]
    if word == "all":
        return [_and(list(row)) for row in zip(*columns, strict=True)]
    if word == "lacks":
        return [None if fits is None else not fits for fits in columns[0]]
    if word in _EXTREMES:
        return _most(things, columns[0], _EXTREMES[word])
    return _about(formula, things, _certain(columns[0]))


def picks(formula: Formula, things: Sequence[Seen]) -> int | None:
    """Index of the thing that the formula picks for certain, or None."""
    return _certain(truths(formula, things))


def selects(formula: Formula, things: Sequence[Seen], subject: int, adding: bool = False) -> bool:
    """Whether a formula picks the subject. Of an addition, `things` has the new thing, the reader's picture has not:
    what the formula starts from must be the same certain thing with it and without it.
    """
    if picks(formula, things) != subject:
        return False
    if not adding:
        return True
    rest = (*things[:subject], *things[subject + 1 :])
    anchors = [part for one in formula.within() if one.word in _RELATIONS for part in one.parts]
    for anchor in anchors:
        if not isinstance(anchor, Formula):
            return False
        with_new, without = picks(anchor, things), picks(anchor, rest)
        if with_new is None or without is None or with_new != without + (without >= subject):
            return False
    return bool(anchors)


def _certain(found: Sequence[Truth]) -> int | None:
    fitting = [index for index, fits in enumerate(found) if fits is not False]
    return fitting[0] if len(fitting) == 1 and found[fitting[0]] else None


def _and(values: Sequence[Truth]) -> Truth:
    return False if False in values else None if None in values else True


def _more(difference: float, plain: float) -> Truth:
    """True where it exceeds `plain`, False where it is about nothing or negative, None between."""
    return True if difference >= plain else False if difference <= DOUBT * plain else None


def _beats(difference: float, plain: float) -> Truth:
    """As `_more`, but what is nearly equal may be taken either way."""
    return True if difference >= plain else False if difference <= -plain else None


def _larger(one: Seen, other: Seen) -> Truth:
    return None if one.size == other.size else one.size == "big"


_EXTREMES: dict[str, Callable[[Seen, Seen], Truth]] = {
    "leftmost": lambda one, other: _beats(other.across - one.across, ACROSS),
    "rightmost": lambda one, other: _beats(one.across - other.across, ACROSS),
    "nearest": lambda one, other: _beats(other.away - one.away, AWAY),
    "farthest": lambda one, other: _beats(one.away - other.away, AWAY),
    "largest": _larger,
    "smallest": lambda one, other: _larger(other, one),
}
_RELATIONS: dict[str, Callable[[Seen, Seen], Truth]] = {
    "left_of": lambda one, anchor: _more(anchor.across - one.across, ACROSS),
    "right_of": lambda one, anchor: _more(one.across - anchor.across, ACROSS),
    "in_front_of": lambda one, anchor: _more(anchor.away - one.away, AWAY),
    "behind": lambda one, anchor: _more(one.away - anchor.away, AWAY),
}
_WORDS = {"anything", "all", "lacks", "closest", "same", *_EXTREMES, *_RELATIONS}


def _most(things: Sequence[Seen], member: Sequence[Truth], beats: Callable[[Seen, Seen], Truth]) -> list[Truth]:
    """True of a certain member that beats every other possible one; False of what is none or is surely beaten."""
    found: list[Truth] = []
    for index, thing in enumerate(things):
        rivals = [other for other in range(len(things)) if other != index and member[other] is not False]
        beaten = any(member[other] and beats(things[other], thing) for other in rivals)
        wins = [True if beats(thing, things[other]) else None for other in rivals]
        found.append(False if beaten or member[index] is False else _and([member[index], *wins]))
    return found


def _about(formula: Formula, things: Sequence[Seen], anchor: int | None) -> list[Truth]:
    """Formulas that start from one certain other thing; all is doubtful where there is none."""
    if anchor is None:
        return [None] * len(things)
    start, others = things[anchor], [index != anchor for index in range(len(things))]
    if formula.word == "closest":
        return _most(things, others, lambda one, other: _beats(_apart(other, start) - _apart(one, start), CLOSER))
    if formula.word == "same":
        name = str(formula.parts[0])
        return [
            other and getattr(thing, name) == getattr(start, name) for thing, other in zip(things, others, strict=True)
        ]
    relation = _RELATIONS[formula.word]
    return [other and relation(thing, start) for thing, other in zip(things, others, strict=True)]


def _apart(one: Seen, other: Seen) -> float:
    return math.hypot(one.right - other.right, one.away - other.away)
