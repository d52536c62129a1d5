"""Which formulas are worth trying for an object of a scene: only those that pick it for certain come out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

from insightedit.construct.geometry import Side, inside, tangled
from insightedit.construct.grammar import WORDS, core, is_plural, number, plural, singular, words_of
from insightedit.construct.lexicon import lexicon
from insightedit.construct.referring import (
    EXTREMES,
    RELATIONS,
    All,
    AnyOf,
    Between,
    Is,
    Most,
    Nth,
    Query,
    Rel,
    picks,
    truths,
)
from insightedit.core.record import Object

MOST_COUNTED = 5


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
        return picks(query, self.objects) == [self.target.object_id]

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
            and picks(Is("name", thing.name), self.objects) == [thing.object_id]
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
        return truths(query, self.objects)[self.target.object_id] is True


# --- parts of a description ------------------------------------------------------------------------------------------


def relations(scene: Scene) -> list[Query]:
    """How the target lies to its landmarks."""
    lone = (Rel(word, Is("name", thing.name)) for thing in scene.landmarks for word in RELATIONS)
    pairs = (Between(Is("name", a.name), Is("name", b.name)) for a, b in combinations(scene.landmarks, 2))
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


def kinds(scene: Scene, thing: Object) -> list[Query]:
    """What kind of thing it is, in words that do not name the target."""
    known = lexicon()
    return [
        Is("kind", tag) for tag, words in known.kinds.items() if known.tag(thing, tag) and not scene.names_target(words)
    ]


def uses(scene: Scene, thing: Object) -> list[Query]:
    """What it is for."""
    known = lexicon()
    return [
        Is("use", tag) for tag, words in known.uses.items() if known.tag(thing, tag) and not scene.names_target(words)
    ]


def colours(thing: Object) -> list[Query]:
    return [Is("colour", thing.colour)] if thing.colour else []


def heads(scene: Scene, thing: Object) -> list[tuple[Query, ...]]:
    """Ways to say what it is without its name: a kind, a coloured kind, a colour."""
    shades = [(query,) for query in colours(thing)]
    sorts: list[tuple[Query, ...]] = [(query,) for query in kinds(scene, thing)]
    return [*sorts, *[(*shade, *sort) for shade in shades for sort in sorts], *shades]


# --- clues for a thing that is in the picture ------------------------------------------------------------------------


def clues(scene: Scene, counting: bool = True) -> Iterator[Clue]:
    """Everything certain that can be said to point at the target without its name, or as a choice."""
    plain = number(scene.target.name) != "many"
    for style, query in _untested(scene, plain, counting):
        if scene.picks_target(query):
            yield Clue(style, query)


def _untested(scene: Scene, plain: bool, counting: bool) -> Iterator[tuple[str, Query]]:
    places: list[tuple[Query, ...]] = [(query,) for query in relations(scene)]
    corner = frame(scene.target)
    for place in places:
        yield "relation", All(place)
    for first in heads(scene, scene.target):
        for place in (*places, *([corner] if corner else [])):
            yield "described", All((*first, *place))
        if len(first) == 2:
            yield "described", All(first)
    for use in uses(scene, scene.target):
        for place in (*places, *([corner] if corner else [])):
            yield "use", All((use, *place))
        if isinstance(use, Is) and use.value not in lexicon().broad:
            yield "use", All((use,))
    yield from (("hop", query) for query in hops(scene))
    if plain:
        yield from _choices(scene)
    if counting:
        yield from (("count", query) for query in _counts(scene))


def hops(scene: Scene) -> Iterator[Query]:
    """The target by a thing that is itself only described, by its place beside a landmark."""
    for middle in scene.objects:
        if middle.object_id in scene.hidden | {scene.target.object_id}:
            continue
        steps = [word for word in RELATIONS if _stands(scene, word, middle)]
        for landmark in scene.landmarks if steps else ():
            if landmark.object_id == middle.object_id:
                continue
            for word in RELATIONS:
                place = Rel(word, Is("name", landmark.name))
                for first in ((), *[(kind,) for kind in kinds(scene, middle)]):
                    described = All((*first, place))
                    if picks(described, scene.objects) == [middle.object_id]:
                        yield from (Rel(step, described) for step in steps)


def _stands(scene: Scene, word: str, anchor: Object) -> bool:
    """Whether the target stands in that relation to a thing, whatever that is called."""
    alias = anchor.but(name="\x00")
    others = [alias if thing.object_id == anchor.object_id else thing for thing in scene.objects]
    holds = word not in ("inside", "on") and truths(Rel(word, Is("name", "\x00")), others)[scene.target.object_id]
    return bool(holds)


def _choices(scene: Scene) -> Iterator[tuple[str, Query]]:
    """The target as one of two or three things that are all named."""
    if scene.target_name is None:
        return
    fair = [thing for thing in scene.named if number(thing.name) != "many" and _apart(thing, scene.target)]
    for others in (*combinations(fair, 1), *combinations(fair, 2)):
        if len(others) == 2 and not _apart(*others):
            continue
        members = (scene.target_name, *(Is("name", thing.name) for thing in others))
        among = AnyOf(tuple(sorted(members, key=str)))  # sorted: the order tells nothing
        for word in EXTREMES:
            yield ("pair" if len(others) == 1 else "extreme"), Most(word, among)
        if len(others) == 2:
            told = not set(words_of(" ".join(str(member) for member in members))) & WORDS.colours
            yield from (("pick", All((among, shade))) for shade in colours(scene.target) if told)
            yield from (("pick", All((among, use))) for use in uses(scene, scene.target))


def _apart(one: Object, other: Object) -> bool:
    """Whether two things are fair rivals: neither is a part of the other."""
    return not tangled(one, other) or inside(one, other) is True or inside(other, one) is True


def _counts(scene: Scene) -> Iterator[Query]:
    """The target by its number in a row of its kind."""
    of = Is("category", scene.target.category)
    found = truths(of, scene.objects)
    count = sum(value is True for value in found.values())
    if not 2 <= count <= MOST_COUNTED or is_plural(core(scene.target.category)[-1]):
        return
    sides: Sequence[Side] = ("left", "right", "top", "bottom")
    for side in sides:
        for n in range(1, count + 1):
            yield Nth(n, side, count, of)


# --- clues for a thing that is still to come ------------------------------------------------------------------------


def places(scene: Scene) -> Iterator[Clue]:
    """What the new thing is, and where it goes, so that nothing else in the finished picture fits both."""
    spots: list[tuple[Query, ...]] = [(query,) for query in relations(scene)]
    corner = frame(scene.target)
    kind_spots = (*spots, *([corner] if corner else []))
    known: list[tuple[str, tuple[Query, ...]]] = [
        ("kind", head) for head in heads(scene, scene.target) if head[-1:] != ()
    ]
    known = [(style, head) for style, head in known if any(isinstance(q, Is) and q.field == "kind" for q in head)]
    known += [("purpose", (use,)) for use in uses(scene, scene.target)]
    known += [("thing", (Is("name", scene.target.name),))]
    for style, head in known:
        for spot in kind_spots:
            if scene.picks_target(query := All((*head, *spot))):
                yield Clue(style, query)
    for step in hops(scene):
        for _, head in known:
            if scene.picks_target(query := All((*head, step))):
                yield Clue("step", query)


# --- references by name ----------------------------------------------------------------------------------------------


def references(scene: Scene) -> list[Query]:
    """The target by its name, with as little beside it as makes it the only one; the surest way first."""
    name = Is("name", scene.target.name)
    shades = [All((shade, name)) for shade in colours(scene.target) if shade_fits(scene.target)]
    if scene.target_name is not None:
        return [name, *(query for query in shades if scene.picks_target(query))]
    corner = frame(scene.target)
    spots = [All((name, *corner))] if corner else []
    spots += [All((name, place)) for place in relations(scene)]
    rows: list[Query] = [Most(word, name) for word in ("leftmost", "rightmost", "highest", "lowest")]
    return [query for query in (*shades, *spots, *rows) if scene.picks_target(query)]


def shade_fits(thing: Object) -> bool:
    """Whether the name leaves room for the colour: it holds no look of its own."""
    return not set(core(thing.name)[:-1]) & WORDS.looks and thing.colour not in core(thing.name)
