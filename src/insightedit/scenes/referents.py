"""Which words pick out one thing of a scene: nouns, and descriptions that ask for a comparison.

Words and formula are made together; a reference is given only if its formula picks that one thing for certain.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from insightedit.scenes.formula import ANYTHING, FIELDS, Formula, Seen, described, picks
from insightedit.scenes.scene import SHAPES

SIMPLE = "simple"
RELATION_WORDS = {
    "left_of": "to the left of", "right_of": "to the right of", "in_front_of": "in front of", "behind": "behind",
}  # fmt: skip
EXTREMES = ("leftmost", "rightmost", "nearest", "farthest", "largest", "smallest")
SAME = {"colour": "color", "shape": "shape"}
ODD = {"colour": "not_colour", "material": "not_material", "shape": "not_shape"}
KINDS = (*EXTREMES, *ODD.values(), *RELATION_WORDS, "same_colour", "same_shape", "closest")

# Which looks a noun names, the usual ones first; without a shape the noun is "object".
NOUNS = (
    ("colour", "shape"), ("shape",), ("colour",), ("size", "shape"), ("material", "shape"), ("size", "colour", "shape"),
    ("colour", "material", "shape"), ("size", "colour"), ("size", "material", "shape"),
    ("size", "colour", "material", "shape"),
)  # fmt: skip


@dataclass(frozen=True)
class Reference:
    """Words for one thing: `noun` without article, its formula, and the kind: "simple", or one of KINDS."""

    kind: str
    noun: str
    formula: Formula


def noun(thing: Seen, looks: Sequence[str] = ("size", "colour", "material", "shape")) -> str:
    """The looks named, in the order of English: size, colour, material, shape."""
    words = [getattr(thing, look) for look in FIELDS if look in looks]
    return " ".join(words if "shape" in looks else [*words, "object"])


def simple(things: Sequence[Seen], index: int) -> list[Reference]:
    """Nouns that fit the thing and no other one, the usual ones first."""
    return list(_nouns(things, index))


def _nouns(things: Sequence[Seen], index: int) -> Iterator[Reference]:
    for looks in NOUNS:
        formula = described(**{look: getattr(things[index], look) for look in FIELDS if look in looks})
        if picks(formula, things) == index:
            yield Reference(SIMPLE, noun(things[index], looks), formula)


def reasoning(things: Sequence[Seen], index: int) -> list[Reference]:
    """Descriptions of other kinds that pick the thing."""
    if len(things) < 2:
        return []
    return [found for found in _candidates(things, index) if picks(found.formula, things) == index]


def _candidates(things: Sequence[Seen], index: int) -> Iterator[Reference]:
    thing = things[index]
    groups = [("object", ANYTHING)]
    if sum(other.shape == thing.shape for other in things) > 1:
        groups.append((thing.shape, described(shape=thing.shape)))
    for kind in EXTREMES:
        for group, members in groups:
            yield Reference(kind, f"{kind} {group}", Formula(kind, (members,)))
    yield from _odd(things, index)
    for other in range(len(things)):
        anchor = next(_nouns(things, other), None) if other != index else None
        if anchor:
            yield from _about(anchor, comparable=len(things) > 2)


def _odd(things: Sequence[Seen], index: int) -> Iterator[Reference]:
    """ "The only object that is not red": said only where the others, two at least, share what it lacks."""
    others = [thing for other, thing in enumerate(things) if other != index]
    for look, kind in ODD.items():
        shared = {getattr(other, look) for other in others}
        if len(others) > 1 and len(shared) == 1:
            word = shared.pop()
            called = f"a {word}" if word in SHAPES else word
            yield Reference(kind, f"only object that is not {called}", Formula("lacks", (described(**{look: word}),)))


def _about(anchor: Reference, comparable: bool) -> Iterator[Reference]:
    for relation, words in RELATION_WORDS.items():
        yield Reference(relation, f"object {words} the {anchor.noun}", Formula(relation, (anchor.formula,)))
    if not comparable:  # of two things, one has nothing to be compared with
        return
    for look, word in SAME.items():
        if word not in anchor.noun:  # the noun names the look itself, which is what makes it a comparison
            formula = Formula("same", (look, anchor.formula))
            yield Reference(f"same_{look}", f"object with the same {word} as the {anchor.noun}", formula)
    yield Reference("closest", f"object closest to the {anchor.noun}", Formula("closest", (anchor.formula,)))
