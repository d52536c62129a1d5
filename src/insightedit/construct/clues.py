"""Which formulas are worth trying for an object of a scene: only those that pick it for certain come out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, product

from insightedit.construct.geometry import Side, beside, inside, tangled
from insightedit.construct.grammar import WORDS, core, number, plural, singular, words_of
from insightedit.construct.lexicon import lexicon
from insightedit.construct.referring import (
    EXTREMES,
    RELATIONS,
    SIDES,
    All,
    AnyOf,
    Between,
    Is,
    Memo,
    Most,
    Nth,
    Query,
    Rel,
    picks,
    truths,
)
from insightedit.core.record import Object

MOST_COUNTED = 5
VAGUE = frozenset(["feature", "container", "tableware"])  # fine to point with, too vague to ask for a new thing


@dataclass(frozen=True)
class Clue:
    """A formula that picks the target, and the manner of speaking that suits it."""

    style: str
    query: Query


@dataclass(frozen=True)
class Scene:
    """The objects that a reader sees (or will see once the thing is added), and the one that is meant."""

    objects: tuple[Object, ...]
    target: Object
    hidden: frozenset[str] = frozenset()  # ids of things that may not serve as landmarks: the edit covers them

    def picks_target(self, query: Query) -> bool:
        return picks(query, self.objects, self.memo) == [self.target.object_id]

    @cached_property
    def memo(self) -> Memo:
        """What formulas said of these objects so far."""
        return {}

    @cached_property
    def banned(self) -> frozenset[str]:
        """Words that would name the target, in both numbers; adjectives of colour, size and place are free."""
        words = {word for text in (self.target.name, self.target.category) for word in words_of(text)}
        nouns = {
            word
            for word in words
            if word not in WORDS.looks | WORDS.before_colour | WORDS.prepositions and len(word) > 2
        }
        nouns |= {core(text)[-1] for text in (self.target.name, self.target.category) if core(text)}
        return frozenset(form for word in nouns for form in (word, singular(word), plural(word)))

    def names_target(self, text: str) -> bool:
        return not self.banned.isdisjoint(words_of(text))

    @cached_property
    def named(self) -> list[Object]:
        """Other things with a name that is theirs alone: what a relation or a choice may mention."""
        return [
            thing
            for thing in self.objects
            if thing.object_id not in self.hidden | {self.target.object_id}
            and picks(Is("name", thing.name), self.objects, self.memo) == [thing.object_id]
        ]

    @cached_property
    def landmarks(self) -> list[Object]:
        """Named things whose name does not give the target's away."""
        return [thing for thing in self.named if not self.names_target(thing.name)]

    @cached_property
    def target_name(self) -> Query | None:
        """The target by its name, if that is its own alone."""
        query = Is("name", self.target.name)
        return query if self.picks_target(query) else None

    def true(self, query: Query) -> bool:
        """True of the target, of others perhaps too."""
        return truths(query, self.objects, self.memo)[self.target.object_id] is True


# --- parts of a description ------------------------------------------------------------------------------------------


def relations(scene: Scene) -> list[Query]:
    """How the target lies to its landmarks."""
    lone: Iterable[Query] = (Rel(word, Is("name", thing.name)) for thing in scene.landmarks for word in RELATIONS)
    pairs: Iterable[Query] = (
        Between(Is("name", a.name), Is("name", b.name)) for a, b in combinations(scene.landmarks, 2)
    )
    return [query for query in (*lone, *pairs) if scene.true(query)]


def frame(thing: Object) -> tuple[Query, ...]:
    """The part of the picture that the thing lies in; empty where no short phrase tells it."""
    across = Is("across", thing.across) if thing.across else None
    down = Is("down", thing.down) if thing.down else None
    match thing.across, thing.down:
        case ("middle", "middle"):
            return tuple(part for part in (across, down) if part)
        case ("middle" | None, "top" | "bottom"):
            return (down,) if down else ()
        case ("left" | "right", "middle" | None):
            return (across,) if across else ()
        case ("left" | "right", "top" | "bottom"):
            return tuple(part for part in (across, down) if part)
    return ()


def kinds(scene: Scene, thing: Object) -> list[Is]:
    """What kind of thing it is, in words that do not name the target."""
    known = lexicon()
    return [
        Is("kind", tag) for tag, words in known.kinds.items() if known.tag(thing, tag) and not scene.names_target(words)
    ]


def uses(scene: Scene, thing: Object) -> list[Is]:
    """What it is for."""
    known = lexicon()
    return [
        Is("use", tag) for tag, words in known.uses.items() if known.tag(thing, tag) and not scene.names_target(words)
    ]


def colours(thing: Object) -> list[Query]:
    """Its colour; none for people, whose clothes are what was measured."""
    return [Is("colour", thing.colour)] if thing.colour and not somebody(thing) else []


def somebody(thing: Object) -> bool:
    """Whether it is, or may be, a person."""
    return any(lexicon().is_person(phrase) for phrase in (thing.name, thing.category))


def heads(scene: Scene, thing: Object) -> list[tuple[Query, ...]]:
    """Ways to say what it is without its name: a kind, a coloured kind, a colour."""
    shades = [(query,) for query in colours(thing)]
    sorts: list[tuple[Query, ...]] = [(query,) for query in kinds(scene, thing)]
    return [*sorts, *[(*shade, *sort) for shade in shades for sort in sorts], *shades]


# --- clues for a thing that is in the picture ------------------------------------------------------------------------


def clues(scene: Scene, counting: bool = True) -> list[Clue]:
    """What may point at the target without its name, or as a choice; whether it does is still to be verified."""
    places: list[tuple[Query, ...]] = [(query,) for query in relations(scene)]
    corner = frame(scene.target)
    found = [Clue("relation", All(place)) for place in places]
    for first in heads(scene, scene.target):
        found += [Clue("described", All((*first, *place))) for place in (*places, corner) if place]
        if len(first) == 2:
            found.append(Clue("described", All(first)))
    for use in uses(scene, scene.target):
        found += [Clue("use", All((use, *place))) for place in (*places, corner) if place]
        if use.value not in lexicon().broad:
            found.append(Clue("use", All((use,))))
    found += [Clue("hop", query) for query in hops(scene)]
    if number(scene.target.name) != "many":
        found += [Clue(style, query) for style, query in _choices(scene)]
    if counting:
        found += [Clue("count", query) for query in _counts(scene)]
    return found


def hops(scene: Scene) -> Iterator[Query]:
    """The target by a thing that is itself only described, by its place beside a landmark."""
    for middle in scene.objects:
        if middle.object_id in scene.hidden | {scene.target.object_id}:
            continue
        steps = [word for word, side in SIDES.items() if beside(scene.target, middle, side)]
        sorts = ((), *((kind,) for kind in kinds(scene, middle))) if steps else ()
        for landmark, word in product(scene.landmarks if sorts else (), RELATIONS):
            place = Rel(word, Is("name", landmark.name))
            if landmark is middle or truths(place, scene.objects, scene.memo)[middle.object_id] is not True:
                continue
            for described in (All((*sort, place)) for sort in sorts):
                if picks(described, scene.objects, scene.memo) == [middle.object_id]:
                    yield from (Rel(step, described) for step in steps)


def _choices(scene: Scene) -> Iterator[tuple[str, Query]]:
    """The target as one of two or three things that are all named."""
    if scene.target_name is None:
        return
    fair = [thing for thing in scene.named if number(thing.name) != "many" and _apart(thing, scene.target)]
    for others in (*combinations(fair, 1), *combinations(fair, 2)):
        if len(others) == 2 and not _apart(*others):
            continue
        members = (Is("name", scene.target.name), *(Is("name", thing.name) for thing in others))
        among = AnyOf(tuple(sorted(members, key=str)))  # sorted: the order tells nothing
        told = {word for member in members for word in words_of(member.value)}
        # "which is farther left, the left eye or ..." is no question
        for word in EXTREMES if not told & (WORDS.deictic | WORDS.before_colour) else ():
            yield ("pair" if len(others) == 1 else "extreme"), Most(word, among)
        if len(others) == 2:
            yield from (("pick", All((among, shade))) for shade in colours(scene.target) if not told & WORDS.colours)
            yield from (("pick", All((among, use))) for use in uses(scene, scene.target))


def _apart(one: Object, other: Object) -> bool:
    """Whether two things are fair rivals: neither is a part of the other."""
    return not tangled(one, other) or inside(one, other) is True or inside(other, one) is True


def _counts(scene: Scene) -> Iterator[Query]:
    """The target by its number in a row of its kind."""
    of = Is("category", scene.target.category)
    found = truths(of, scene.objects, scene.memo)
    count = sum(value is True for value in found.values())
    words = set(words_of(scene.target.category))
    countable = number(scene.target.category) == "one" and not words & (WORDS.deictic | WORDS.prepositions)
    if not 2 <= count <= MOST_COUNTED or not countable:
        return
    sides: Sequence[Side] = ("left", "right", "top", "bottom")
    for side in sides:
        for n in range(1, count + 1):
            yield Nth(n, side, count, of)


# --- clues for a thing that is still to come ------------------------------------------------------------------------


def places(scene: Scene) -> list[Clue]:
    """What the new thing is, and where it goes; whether anything else fits both is still to be verified."""
    spots: list[tuple[Query, ...]] = [(query,) for query in relations(scene)]
    spots += [corner] if (corner := frame(scene.target)) else []
    known: list[tuple[str, tuple[Query, ...]]] = [
        ("kind", first)
        for first in heads(scene, scene.target)
        if any(isinstance(part, Is) and part.field == "kind" and part.value not in VAGUE for part in first)
    ]
    known += [("purpose", (use,)) for use in uses(scene, scene.target)]
    known += [("thing", (Is("name", scene.target.name),))]
    found = [Clue(style, All((*first, *spot))) for style, first in known for spot in spots]
    return found + [Clue("step", All((*first, step))) for step in hops(scene) for _, first in known]


# --- references by name ----------------------------------------------------------------------------------------------


def references(scene: Scene) -> list[Query]:
    """The target by its name, with as little beside it as makes it the only one."""
    name = Is("name", scene.target.name)
    coloured = [query for query in shades(scene.target) if scene.picks_target(query)]
    if scene.target_name is not None or coloured:
        return [*([name] if scene.target_name is not None else []), *coloured]
    corner = frame(scene.target)
    placed = set(core(scene.target.name)) & WORDS.deictic  # the lower dog at the bottom: said twice
    spots = [All((name, *corner))] if corner and not placed else []
    spots += [All((name, place)) for place in relations(scene)]
    rows: list[Query] = [Most(word, name) for word in outermost(scene.target) if not placed]
    return [query for query in spots if scene.picks_target(query)] or [row for row in rows if scene.picks_target(row)]


def outermost(thing: Object) -> list[str]:
    """Which ends of a row it may be called: only near that side of the picture, for others may stand there unnoted."""
    ends = {"left": "leftmost", "right": "rightmost", "top": "highest", "bottom": "lowest"}
    return [ends[place] for place in (thing.across, thing.down) if place in ends]


def shades(thing: Object) -> list[Query]:
    """The thing by its colour and name, if the name leaves room for the colour: it holds no look of its own."""
    if set(core(thing.name)[:-1]) & WORDS.looks or thing.colour in core(thing.name):
        return []
    return [All((shade, Is("name", thing.name))) for shade in colours(thing)]
