"""Formulas in English: every phrase is rendered from the formula that was verified."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from insightedit.construct.clues import Clue, Scene, somebody
from insightedit.construct.deeds import Deed
from insightedit.construct.grammar import (
    NUMERALS,
    ORDINALS,
    WORDS,
    a,
    dressed,
    head,
    listing,
    lower_first,
    number,
    plural,
    sentence,
    the,
    with_look,
    without_deixis,
)
from insightedit.construct.lexicon import lexicon
from insightedit.construct.referring import All, AnyOf, Between, Is, Most, Nth, Query, Rel, walk

PLACES = {
    "left_of": "to the left of",
    "right_of": "to the right of",
    "above": "above",
    "below": "below",
    "inside": "in",
    "on": "on",
}
SIDES = {
    "left": "on the left side of the picture",
    "right": "on the right side of the picture",
    "top": "at the top of the picture",
    "bottom": "at the bottom of the picture",
}
COMPARED = {  # two of them, three of them
    "largest": ("looks bigger in the picture", "appears biggest"),
    "smallest": ("looks smaller in the picture", "appears smallest"),
    "tallest": ("looks taller in the picture", "appears tallest"),
    "leftmost": ("is farther to the left", "is farthest to the left"),
    "rightmost": ("is farther to the right", "is farthest to the right"),
    "highest": ("is higher up in the picture", "is highest up in the picture"),
    "lowest": ("is lower down in the picture", "is lowest down in the picture"),
}
ROWS = {
    "leftmost": "farthest to the left",
    "rightmost": "farthest to the right",
    "highest": "at the very top",
    "lowest": "at the very bottom",
}
FORMS = {  # the manner of speaking -> Instruction.form
    "relation": "description",
    "described": "description",
    "ask": "question",
    "what": "question",
    "pair": "question",
    "pick": "question",
    "use": "reasoning",
    "hop": "reasoning",
    "extreme": "reasoning",
    "keep": "reasoning",
    "count": "reasoning",
}
OPPOSITES = (
    ("largest", "smallest"),
    ("leftmost", "rightmost"),
    ("highest", "lowest"),
    ("left", "right"),
    ("top", "bottom"),
)
OPPOSITE = {one: other for pair in OPPOSITES for one, other in (pair, pair[::-1])}
ENDS = {"left": "left", "right": "right", "top": "upper", "bottom": "lower"}


# --- phrases ---------------------------------------------------------------------------------------------------------


def where(query: Query) -> str:
    """A place as a phrase behind a noun: "to the left of the bowl"."""
    match query:
        case Rel(relation=relation, anchor=anchor):
            return f"{PLACES[relation]} {definite(anchor)}"
        case Between(first=first, second=second):
            return f"between {definite(first)} and {definite(second)}"
        case All(parts=parts):
            thirds = {
                part.field: part.value for part in parts if isinstance(part, Is) and part.field in ("across", "down")
            }
            others = [where(part) for part in parts if isinstance(part, Rel | Between)]
            return " ".join([*others, *([third(**thirds)] if thirds else [])])
    return ""


def third(across: str = "", down: str = "") -> str:
    """A part of the picture: "in the upper left of the picture"."""
    if across == down == "middle":
        return "in the center of the picture"
    if across and down:
        return f"in the {'upper' if down == 'top' else 'lower'} {across} of the picture"
    return SIDES[across or down]


def _value(query: Query, field: str) -> str:
    parts = query.parts if isinstance(query, All) else (query,)
    return next((part.value for part in parts if isinstance(part, Is) and part.field == field), "")


def noun(query: Query, many: bool = False, thing: str = "thing") -> str:
    """The adjectives and the noun of a description, without article: "red piece of fruit"."""
    name, kind = _value(query, "name"), _value(query, "kind")
    words = name or (lexicon().kinds[kind] if kind else thing)
    words = plural(words) if many and not name else words
    return with_look(words, _value(query, "colour"))


def definite(query: Query, many: bool = False, thing: str = "thing") -> str:
    """A formula as "the ..."."""
    if isinstance(query, Most):
        return f"{the(noun(query.of, many, thing))} {ROWS[query.by]}"
    use = _value(query, "use")
    return " ".join(
        part for part in (the(noun(query, many, thing)), where(query), lexicon().uses[use] if use else "") if part
    )


# --- sentences about a thing in the picture --------------------------------------------------------------------------


@dataclass(frozen=True)
class Speaker:
    """Puts clues into sentences for one scene and one deed; `rng` chooses among equal ways."""

    scene: Scene
    deed: Deed
    rng: Random

    @property
    def person(self) -> bool:
        return somebody(self.scene.target)

    @property
    def unlike_a_thing(self) -> bool:
        """People, animals and scenery are not called things."""
        tags = lexicon().tags(self.scene.target) or {}
        return self.person or bool(tags.get("animal") or tags.get("scenery"))

    @property
    def many(self) -> bool:
        return number(self.scene.target.name) == "many"

    @property
    def pair(self) -> bool:
        return head(self.scene.target.name) in WORDS.pairs

    def speak(self, clue: Clue) -> tuple[str, str] | None:
        """(text, form) of a clue; None where no natural sentence says it."""
        manner, query = clue.style, clue.query
        if manner in ("relation", "described"):
            manner = self.rng.choice((manner, manner, "ask", "what"))
        if manner == "pair" and self.rng.random() < 0.4:
            manner = "keep"
        text: str | None = getattr(self, f"_{manner}")(query)
        return (sentence(text), FORMS[manner]) if text else None

    def _one_of(self, patterns: tuple[str, ...], thing: str) -> str:
        return self.rng.choice(patterns).format(x=thing)

    def _phrase(self, query: Query) -> str | None:
        """The target as a noun phrase; None where "thing" or a number would sound wrong."""
        kind = _value(query, "kind")
        if kind:
            return None if self.pair else definite(query, self.many)
        if self.unlike_a_thing:
            return None
        if self.many or (not _value(query, "colour") and self.rng.random() < 0.3):
            return None if _value(query, "colour") else f"whatever is {where(query)}"
        return definite(query, thing=self.rng.choice(("thing", "object")))

    def _relation(self, query: Query) -> str | None:
        phrase = self._phrase(query)
        return phrase and self._one_of(self.deed.long, phrase)

    _described = _relation

    def _ask(self, query: Query) -> str | None:
        phrase = self._phrase(query)
        return phrase and self._one_of(self.deed.ask, phrase)

    def _what(self, query: Query) -> str | None:
        """A question whose answer is the target."""
        kind, colour = _value(query, "kind"), _value(query, "colour")
        place = where(query)
        thing = bool(colour) and not kind
        if not place or (kind and self.pair) or (self.person and not kind):
            return None
        if thing and (self.many or self.unlike_a_thing):
            return None
        if kind == "person":
            return f"Who is {place}? {self._one_of(self.deed.then, 'that person')}"
        be, it = ("are", "them") if kind and self.many else ("is", "it")
        it = "that person" if self.person else it
        asked = f"Which {noun(query, self.many)}" if kind else f"What {colour} thing" if thing else "What"
        return f"{asked} {be} {place}? {self._one_of(self.deed.then, it)}"

    def _use(self, query: Query) -> str | None:
        clause, place = lexicon().uses[_value(query, "use")], where(query)
        then = self._one_of(self.deed.then, "it")
        spoken = [f"There is something {place or 'here'} {clause}. {then}"]
        if not self.unlike_a_thing:
            spoken.append(f"Find the {self.rng.choice(('thing', 'object'))} {place} {clause}. {then}")
        return self.rng.choice(spoken)

    def _hop(self, query: Query) -> str | None:
        """First one thing, then the other beside it."""
        if not isinstance(query, Rel) or self.person:
            return None
        anchor = query.anchor
        first = definite(anchor) if _value(anchor, "kind") else f"what is {where(anchor)}"
        it = "that person" if _value(anchor, "kind") == "person" else "it"
        what = (
            "what is" if self.many or self.unlike_a_thing else self.rng.choice(("the thing", "the object", "what is"))
        )
        target = f"{what} {PLACES[query.relation]} {it}"
        deed = self._one_of(self.deed.long, target)
        return self.rng.choice(
            (f"Find {first}. Then {lower_first(deed)}", f"Look for {first}, then {lower_first(deed)}")
        )

    def _members(self, query: Query) -> list[str]:
        among = next(part for part in walk(query) if isinstance(part, AnyOf))
        names = [definite(member) for member in among.members]
        self.rng.shuffle(names)
        return names

    def _anysomebody(self, query: Query) -> bool:
        names = {part.value for part in walk(query) if isinstance(part, Is) and part.field == "name"}
        return any(somebody(thing) for thing in self.scene.objects if thing.name in names)

    def _it(self, query: Query) -> str:
        return "that one" if self._anysomebody(query) else "it"

    def _pair(self, query: Query) -> str | None:
        if not isinstance(query, Most):
            return None
        asked = f"Which {COMPARED[query.by][0]}, {listing(self._members(query), 'or')}?"
        return f"{asked} {self._one_of(self.deed.then, self._it(query))}"

    def _keep(self, query: Query) -> str | None:
        """The other one of two."""
        if not isinstance(query, Most) or query.by not in OPPOSITE:
            return None
        kept = COMPARED[OPPOSITE[query.by]][0].removesuffix(" in the picture")
        deed = lower_first(self._one_of(self.deed.then, "the other").removeprefix("Please "))
        return f"Of {listing(self._members(query))}, keep the one that {kept} and {deed}"

    def _extreme(self, query: Query) -> str | None:
        if not isinstance(query, Most):
            return None
        one = f"the one that {COMPARED[query.by][1]}"
        return f"Of {listing(self._members(query))}, {lower_first(self._one_of(self.deed.long, one))}"

    def _pick(self, query: Query) -> str | None:
        use, colour = _value(query, "use"), _value(query, "colour")
        asked = f"is something {lexicon().uses[use]}" if use else f"is {colour}"
        names = listing(self._members(query), "or")
        return f"Which of these {asked}: {names}? {self._one_of(self.deed.then, self._it(query))}"

    def _count(self, query: Query) -> str | None:
        """The target's number in a row."""
        if not isinstance(query, Nth):
            return None
        row = f"{NUMERALS[query.count]} {plural(dressed(_value(query.of, 'category')))}"
        if query.count == 2:
            end = ENDS[query.side if query.n == 1 else OPPOSITE[query.side]]
            return f"Of the {row}, {lower_first(self._one_of(self.deed.long, f'the {end} one'))}"
        nth = "last" if query.n == query.count and self.rng.random() < 0.3 else ORDINALS[query.n]
        if self.rng.random() < 0.5:
            deed = lower_first(self._one_of(self.deed.long, f"the {nth} one"))
            return f"Count the {row} from the {query.side}, then {deed}"
        return f"Of the {row}, {lower_first(self._one_of(self.deed.long, f'the {nth} one from the {query.side}'))}"


# --- sentences about a thing that is still to come ------------------------------------------------------------------


def additions(clue: Clue, scene: Scene, detail: str, rng: Random) -> Iterator[tuple[str, str]]:
    """(text, form) for a place and what goes there, in random order of manner."""
    query = clue.query
    use, name = _value(query, "use"), _value(query, "name")
    new = (
        f"something {lexicon().uses[use]}"
        if use
        else detail
        if name and detail
        else a(without_deixis(noun(query, _many(scene))))
    )
    place = where(query)
    if clue.style == "step" and isinstance(query, All) and isinstance(query.parts[-1], Rel):
        step = query.parts[-1]
        first = definite(step.anchor) if _value(step.anchor, "kind") else f"what is {where(step.anchor)}"
        it = "that person" if _value(step.anchor, "kind") == "person" else "it"
        yield f"Find {first}. {PLACES[step.relation].capitalize()} {it}, add {new}.", "reasoning"
        return
    upper, add = place[:1].upper() + place[1:], rng.choice(("add", "place", "put"))
    if use:
        ways = [
            (f"{upper}, {add} {new}.", "reasoning"),
            (f"There is room {place} for {new}. Please add it.", "reasoning"),
            (f"What could go {place}? Add {new}.", "question"),
        ]
    elif name and not detail:  # a bare name: "Add a lamp above it" would be a simple one
        ways = [
            (f"There is room {place}. {add.capitalize()} {new} there.", "description"),
            (f"What could go {place}? {add.capitalize()} {new} there.", "question"),
        ]
    else:
        ways = [
            (f"{upper}, {add} {new}.", "description"),
            (f"{add.capitalize()} {new} {place}.", "description"),
            (f"There is room {place}. {add.capitalize()} {new} there.", "description"),
            (f"What could go {place}? {add.capitalize()} {new} there.", "question"),
            (f"Could you {add} {new} {place}?", "question"),
        ]
    rng.shuffle(ways)
    yield from ((sentence(text), form) for text, form in ways)


def _many(scene: Scene) -> bool:
    return number(scene.target.name) == "many" and head(scene.target.name) not in WORDS.pairs


def simple_additions(name: str, place: str, another: bool) -> list[str]:
    """Ways to ask for a new thing by its name."""
    new = f"another {name}" if another and number(name) == "one" else a(name)
    if place:
        return [f"{verb} {new} {place}." for verb in ("Add", "Put", "Place", "Insert")]
    return [
        f"Add {new}.",
        f"Insert {new} into the picture.",
        f"Put {new} in the picture.",
        f"Place {new} in the scene.",
    ]
