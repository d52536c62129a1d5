"""Descriptions as formulas over objects: written as text, read back, and evaluated in three values.

A formula says of every object of a scene whether it fits: True, False, or None where that is doubtful. It picks an
object for certain when it is true of that one and false of every other. The words of an instruction are rendered from
its formula (templates.py), so that words and formula cannot disagree.

    all(kind("animal"), left_of(name("wine bottle")))
    smallest(any(name("fig"), name("spoon"), name("bowl")))
    nth(2, "left", 3, category("dandelion"))
"""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from insightedit.construct.geometry import (
    AXIS,
    Side,
    ahead,
    beside,
    between,
    bigger,
    covered,
    in_order,
    inside,
    on_top,
    taller,
)
from insightedit.construct.grammar import WORDS, core, head, singular, without_look
from insightedit.construct.lexicon import Truth, lexicon
from insightedit.core.record import Object

Truths = dict[str, Truth]  # object id -> whether the formula is true of it

FIELDS = ("name", "category", "kind", "use", "colour", "across", "down")
SIDES: dict[str, Side] = {"left_of": "left", "right_of": "right", "above": "top", "below": "bottom"}
RELATIONS = (*SIDES, "inside", "on")
EXTREMES: dict[str, Callable[[Object, Object], Truth]] = {
    "largest": bigger,
    "smallest": lambda one, other: bigger(other, one),
    "tallest": taller,
    "leftmost": lambda one, other: ahead(one, other, "left"),
    "rightmost": lambda one, other: ahead(one, other, "right"),
    "highest": lambda one, other: ahead(one, other, "top"),
    "lowest": lambda one, other: ahead(one, other, "bottom"),
}


# --- formulas --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Is:
    """The object has a property: its name, category, kind or use (of the lexicon), colour, third of the frame."""

    field: str
    value: str

    def __str__(self) -> str:
        return f"{self.field}({json.dumps(self.value, ensure_ascii=False)})"


@dataclass(frozen=True)
class Rel:
    """The object stands in a relation to the one thing that another formula picks."""

    relation: str
    anchor: Query

    def __str__(self) -> str:
        return f"{self.relation}({self.anchor})"


@dataclass(frozen=True)
class Between:
    """The object lies between two things."""

    first: Query
    second: Query

    def __str__(self) -> str:
        return f"between({self.first}, {self.second})"


@dataclass(frozen=True)
class All:
    """Every part is true of the object."""

    parts: tuple[Query, ...]

    def __str__(self) -> str:
        return f"all({', '.join(map(str, self.parts))})"


@dataclass(frozen=True)
class AnyOf:
    """A closed set: the object is one of those that the members pick, one each."""

    members: tuple[Query, ...]

    def __str__(self) -> str:
        return f"any({', '.join(map(str, self.members))})"


@dataclass(frozen=True)
class Most:
    """The object is the extreme one of those that `of` describes."""

    by: str
    of: Query

    def __str__(self) -> str:
        return f"{self.by}({self.of})"


@dataclass(frozen=True)
class Nth:
    """The object is number `n`, counted from a side, of exactly `count` that `of` describes."""

    n: int
    side: Side
    count: int
    of: Query

    def __str__(self) -> str:
        return f"nth({self.n}, {json.dumps(self.side)}, {self.count}, {self.of})"


Query = Is | Rel | Between | All | AnyOf | Most | Nth
Memo = dict[Query, Truths]


def parse(text: str) -> Query:
    """Read a formula back: `parse(str(query)) == query`.

    Raises:
        ValueError: the text is not a formula.
    """
    try:
        return _build(ast.parse(text, mode="eval").body)
    except (SyntaxError, TypeError, IndexError) as error:
        raise ValueError(f"not a formula: {text[:120]!r}") from error


def _build(node: ast.expr) -> Query:
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)) or node.keywords:
        raise ValueError(f"not a formula: {ast.unparse(node)[:120]!r}")
    word, given = node.func.id, node.args
    match word:
        case "all":
            return All(tuple(map(_build, given)))
        case "any":
            return AnyOf(tuple(map(_build, given)))
        case "between":
            return Between(_build(given[0]), _build(given[1]))
        case "nth":
            n, side, count = (ast.literal_eval(value) for value in given[:3])
            if side not in AXIS:
                raise ValueError(f"no side is called {side!r}")
            return Nth(int(n), side, int(count), _build(given[3]))
        case _ if word in FIELDS and len(given) == 1:
            return Is(word, str(ast.literal_eval(given[0])))
        case _ if word in RELATIONS and len(given) == 1:
            return Rel(word, _build(given[0]))
        case _ if word in EXTREMES and len(given) == 1:
            return Most(word, _build(given[0]))
    raise ValueError(f"no formula is called {word!r}")


def walk(query: Query) -> Iterator[Query]:
    """The formula and all formulas inside it."""
    yield query
    match query:
        case Rel(anchor=inner) | Most(of=inner) | Nth(of=inner):
            yield from walk(inner)
        case Between(first=first, second=second):
            yield from walk(first)
            yield from walk(second)
        case All(parts=parts) | AnyOf(members=parts):
            for part in parts:
                yield from walk(part)


# --- evaluation ------------------------------------------------------------------------------------------------------


def evaluate(query: Query, objects: Sequence[Object]) -> set[str]:
    """Ids of the objects that the formula is certainly true of."""
    return {object_id for object_id, fits in truths(query, objects).items() if fits}


def picks(query: Query, objects: Sequence[Object], memo: Memo | None = None) -> list[str]:
    """The one object that fits for certain while all others certainly do not, as a list of one id; else empty."""
    found = truths(query, objects, memo)
    fitting = [object_id for object_id, fits in found.items() if fits is not False]
    return fitting if len(fitting) == 1 and found[fitting[0]] else []


def truths(query: Query, objects: Sequence[Object], memo: Memo | None = None) -> Truths:
    """What the formula says of each object. `memo` keeps what formulas said of these same objects before."""
    memo = {} if memo is None else memo
    if query not in memo:
        memo[query] = _truths(query, objects, memo)
    return memo[query]


def _truths(query: Query, objects: Sequence[Object], memo: Memo) -> Truths:
    match query:
        case Is(field="name"):
            return {thing.object_id: _named(thing, query.value, objects) for thing in objects}
        case Is():
            return {thing.object_id: _has(thing, query) for thing in objects}
        case Rel():
            return _related(query, objects, memo)
        case Between():
            return _between(query, objects, memo)
        case All():
            columns = [truths(part, objects, memo) for part in query.parts]
            return {thing.object_id: _and([column[thing.object_id] for column in columns]) for thing in objects}
        case AnyOf():
            return _one_of(query, objects, memo)
        case Most():
            return _most(query, objects, memo)
        case Nth():
            return _nth(query, objects, memo)


def _and(values: Sequence[Truth]) -> Truth:
    return False if False in values else None if None in values else True


def _doubt(objects: Sequence[Object]) -> Truths:
    return {thing.object_id: None for thing in objects}


def _one(query: Query, objects: Sequence[Object], memo: Memo) -> Object | None:
    """The object that a formula picks for certain."""
    chosen = picks(query, objects, memo)
    return next((thing for thing in objects if chosen == [thing.object_id]), None)


def _has(thing: Object, query: Is) -> Truth:
    match query.field:
        case "kind" | "use":
            return lexicon().tag(thing, query.value)
        case "category":
            same = singular(head(thing.category)) == singular(head(query.value))
            return (
                True
                if thing.category == query.value
                else None
                if same or head(thing.name) == head(query.value)
                else False
            )
        case "colour":
            return None if thing.colour is None else thing.colour == query.value
        case _:
            place = thing.across if query.field == "across" else thing.down
            return None if place is None else place == query.value


def _named(thing: Object, name: str, objects: Sequence[Object]) -> Truth:
    """Whether people would call the thing by that name: it is doubtful for "bottle" and a wine bottle."""
    if thing.name == name:
        return True
    bearers = [other for other in objects if other.name == name]
    if bearers and all((covered(bearer, thing) or 0.0) >= 0.9 for bearer in bearers):
        return False  # a coffee cup with its saucer is no rival of its own cup
    if head(thing.name) != head(name) and any(thing.category == bearer.category == thing.name for bearer in bearers):
        return None  # a thing that is only called by its category may be anything in it: a person, a man
    return _may_be_called(thing, name)


def _may_be_called(thing: Object, name: str) -> Truth:
    """False, unless head and modifiers of `name` leave it open."""
    for known in {thing.name, thing.category}:
        if singular(head(known)) != singular(head(name)):
            continue
        missing = set(core(name)[:-1]) - set(core(known)[:-1])
        tail = name.lower().split()[len(core(name)) :]
        if not missing and all(word in known.lower().split() for word in tail):
            return None
        colours = missing & WORDS.colours
        if colours and without_look(name) != name and missing <= colours:
            if (thing.colour is None and not set(core(known)) & WORDS.colours) or thing.colour in colours:
                return None
        elif missing and not missing & (WORDS.before_colour | WORDS.looks) and known == thing.category == thing.name:
            return None  # a plain "bottle" may be a wine bottle
    return False


def _related(query: Rel, objects: Sequence[Object], memo: Memo) -> Truths:
    anchor = _one(query.anchor, objects, memo)
    if anchor is None:
        return _doubt(objects)
    found: Truths = {}
    for thing in objects:
        if thing.object_id == anchor.object_id:
            found[thing.object_id] = False
        elif query.relation == "inside":
            found[thing.object_id] = inside(thing, anchor)
        elif query.relation == "on":
            found[thing.object_id] = on_top(thing, anchor)
        else:
            found[thing.object_id] = beside(thing, anchor, SIDES[query.relation])
    return found


def _between(query: Between, objects: Sequence[Object], memo: Memo) -> Truths:
    first, second = _one(query.first, objects, memo), _one(query.second, objects, memo)
    if first is None or second is None or first.object_id == second.object_id:
        return _doubt(objects)
    ends = {first.object_id, second.object_id}
    return {thing.object_id: thing.object_id not in ends and between(thing, first, second) for thing in objects}


def _one_of(query: AnyOf, objects: Sequence[Object], memo: Memo) -> Truths:
    """True of the members; all is doubtful unless each member is one certain object of its own."""
    members = [_one(member, objects, memo) for member in query.members]
    ids = {member.object_id for member in members if member is not None}
    if len(ids) < len(query.members):
        return _doubt(objects)
    return {thing.object_id: thing.object_id in ids for thing in objects}


def _most(query: Most, objects: Sequence[Object], memo: Memo) -> Truths:
    """True of a certain member that beats all others that may be members; false of one that is beaten."""
    beats, member = EXTREMES[query.by], truths(query.of, objects, memo)
    rivals = [thing for thing in objects if member[thing.object_id] is not False]
    found: Truths = {}
    for thing in objects:
        others = [other for other in rivals if other.object_id != thing.object_id]
        beaten = any(member[other.object_id] and beats(other, thing) for other in others)
        if member[thing.object_id] is False or beaten:
            found[thing.object_id] = False
        else:
            found[thing.object_id] = _and([member[thing.object_id], *(beats(thing, other) or None for other in others)])
    return found


def _nth(query: Nth, objects: Sequence[Object], memo: Memo) -> Truths:
    """True only where membership, number and order of all members are certain."""
    member = truths(query.of, objects, memo)
    things = [thing for thing in objects if member[thing.object_id]]
    ordered = in_order(things, query.side)
    if None in member.values() or ordered is None:
        return _doubt(objects)
    right = len(things) == query.count and 1 <= query.n <= query.count
    chosen = ordered[query.n - 1].object_id if right else ""
    return {thing.object_id: thing.object_id == chosen for thing in objects}
