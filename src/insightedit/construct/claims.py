"""What a sentence by a language model says of the thing that it means, measured where it can be.

The model lists with each sentence its clues (`backends.chat.replies.Clue`). Three answers are possible: a clue is
certainly untrue; all clues together, as a formula of `referring`, pick the thing for certain and the sentence says
nothing else; or neither, and somebody has to be asked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from insightedit.backends.chat.replies import Clue, Sentence
from insightedit.construct.clues import Scene
from insightedit.construct.geometry import CLEAR_RATIO, Side, ahead, between, inside, on_top
from insightedit.construct.geometry import beside as beside_of
from insightedit.construct.grammar import WORDS, core, head, singular, words_of
from insightedit.construct.lexicon import Truth, lexicon
from insightedit.construct.referring import EXTREMES, All, Between, Is, Most, Nth, Query, Rel, truths
from insightedit.core.record import Object

Relation = Callable[[Object, Object], Truth]


def _beside(side: Side) -> Relation:
    return lambda one, other: beside_of(one, other, side)


RELATIONS: dict[str, Relation] = {
    "left_of": _beside("left"),
    "right_of": _beside("right"),
    "above": _beside("top"),
    "below": _beside("bottom"),
    "inside": inside,
    "on": on_top,
}
PARTS = {  # of the frame: field of the object, the third that is claimed, the one that contradicts it
    "at_left": ("across", "left", "right"),
    "at_right": ("across", "right", "left"),
    "at_top": ("down", "top", "bottom"),
    "at_bottom": ("down", "bottom", "top"),
}
ROWS: dict[str, Side] = {
    "nth_from_left": "left",
    "nth_from_right": "right",
    "nth_from_top": "top",
    "nth_from_bottom": "bottom",
}
# how a clue that is measured is spoken: one of its words stands in the sentence
SPOKEN: dict[str, frozenset[str]] = {
    clue: frozenset(words.split())
    for clue, words in {
        "left_of": "left",
        "right_of": "right",
        "above": "above over",
        "below": "below under beneath underneath",
        "inside": "in inside",
        "on": "on upon",
        "between": "between",
        "leftmost": "leftmost left",
        "rightmost": "rightmost right",
        "highest": "highest topmost uppermost top",
        "lowest": "lowest bottom",
        "largest": "largest biggest",
        "smallest": "smallest littlest tiniest",
        "tallest": "tallest",
        "at_left": "left",
        "at_right": "right",
        "at_top": "top upper",
        "at_bottom": "bottom lower",
        "nth_from_left": "left leftmost",
        "nth_from_right": "right rightmost",
        "nth_from_top": "top topmost",
        "nth_from_bottom": "bottom lowest",
    }.items()
}
# words that place, compare, count or exclude: a sentence with one that no clue accounts for says more than its clues
TELLING = frozenset(word for words in SPOKEN.values() for word in words if word not in ("in", "on", "over")) | {
    *"next beside near nearest close closest far farthest furthest behind front opposite around along across".split(),
    *"middle center centre central corner edge side".split(),
    *"larger smaller bigger taller shorter shortest nearer closer".split(),
    *"first second third fourth fifth last both all every each other others another except but not without".split(),
    *"neighbor neighbour two three four five pair".split(),
}
OTHER_IMAGE = re.compile(
    r"\b(?:first|second|other|new|edited|original|next|previous|final|resulting|target|reference|before|after)"
    r" (?:image|picture|photo|photograph|version)\b|\bin(?:side)? the mask\b|\bmasked\b|\binpaint",
    re.IGNORECASE,
)


class Fault(NamedTuple):
    """Why a sentence does not do: a word for the funnel, and words that somebody who mends it can act on."""

    reason: str
    why: str


@dataclass(frozen=True)
class Seen:
    """What the reader of one direction sees, numbered.

    Args:
        scene: the objects, and the one that is meant.
        order: object ids; number 1 is the first.
        adding: the thing that is meant is not there yet.
        complete: of a kind of which one thing is listed, all are.
        unplaced: things that somebody described and nobody found.
    """

    scene: Scene
    order: tuple[str, ...]
    adding: bool = False
    complete: bool = True
    unplaced: tuple[Object, ...] = ()

    @property
    def target(self) -> Object:
        return self.scene.target

    @property
    def number(self) -> int:
        """Of the thing that is meant."""
        return self.order.index(self.target.object_id) + 1

    @property
    def others(self) -> list[Object]:
        """All but the thing that is meant and what the reader cannot see."""
        gone = self.scene.hidden | {self.target.object_id}
        return [thing for thing in self.scene.objects if thing.object_id not in gone]

    def numbered(self) -> Iterator[tuple[int, Object]]:
        """All objects, in the order of their numbers."""
        by_id = {thing.object_id: thing for thing in self.scene.objects}
        return ((number, by_id[name]) for number, name in enumerate(self.order, 1))

    def named(self, numbers: Sequence[int]) -> str:
        """Numbers with their names, for a sentence: "2 (lamp), 3 (mug)"."""
        known = dict(self.numbered())
        return ", ".join(f"{number} ({known[number].name})" if number in known else str(number) for number in numbers)

    def pointed(self, clue: Clue) -> list[Object]:
        """The objects that a clue compares with; numbers that nothing bears, and the thing itself, are passed over."""
        known = {number: thing for number, thing in self.numbered() if thing.object_id != self.target.object_id}
        return [known[number] for number in clue.others if number in known]


# --- what is wrong for certain ---------------------------------------------------------------------------------------


def fault_of(sentence: Sentence, advanced: bool, seen: Seen, max_words: int) -> Fault | None:
    """Why nobody needs to be asked about a sentence, or None.

    An addition may name its thing: what is not there yet has to be called something. And a name that others share
    gives nothing away.
    """
    text, count = sentence.text, len(sentence.text.split())
    if count > max_words:
        return Fault("too_long", f"it has {count} words, and {max_words} are the most")
    if any(char.isalpha() and ord(char) > 0x24F for char in text):
        return Fault("not_english", "it is not written in English")
    if not words_of(text):
        return Fault("no_words", "it has no words")
    if found := OTHER_IMAGE.search(text):
        return Fault("speaks_of_other_image", f"'{found[0]}': whoever reads it sees one image only")
    if gone := _unseen(text, seen):
        return Fault("names_what_is_not_there", f"'{gone}' cannot be seen in the image that it starts from")
    if advanced and not seen.adding and seen.scene.names_target(text) and not _shared(text, seen):
        return Fault("names_the_object", f"it names the object, '{seen.target.name}'")
    for clue in sentence.clues:
        if untrue(clue, seen):
            against = seen.named(clue.others) or clue.word or (str(clue.count) if clue.count else "")
            said = " ".join([*clue.says.split("_"), against]).rstrip()
            return Fault("untrue_claim", f"it says '{said}', and that is not so in the image")
    return None


def _unseen(text: str, seen: Seen) -> str:
    """The name of something hidden that the sentence speaks of, if nothing else could be called so."""
    tokens = {singular(word) for word in words_of(text)}
    for thing in seen.scene.objects:
        noun = singular(head(thing.name))
        left = any(is_a(other, noun) for other in (*seen.others, seen.target))
        if thing.object_id in seen.scene.hidden and noun in tokens and not left:
            return thing.name
    return ""


def _shared(text: str, seen: Seen) -> bool:
    """Whether the words that name the thing would name another one as well."""
    nouns = {singular(word) for word in words_of(text) if word in seen.scene.banned}
    return all(any(is_a(other, noun) for other in seen.others) for noun in nouns)


def untrue(clue: Clue, seen: Seen) -> bool:
    """Whether hardly anybody would agree with a clue. What is not measured here is not untrue.

    A thing that hides under the edit is no landmark. Rivals are those that are certainly of the kind that it speaks of.
    """
    target, pointed = seen.target, seen.pointed(clue)
    if any(thing.object_id in seen.scene.hidden for thing in pointed):
        return True
    if clue.says in RELATIONS:
        return any(RELATIONS[clue.says](target, other) is False for other in pointed)
    if clue.says == "between":
        return len(pointed) == 2 and between(target, *pointed) is False
    if clue.says in EXTREMES:
        beats = EXTREMES[clue.says]
        return any(beats(other, target) is True for other in pointed or _group(clue.word, seen))
    if clue.says == "nearest_to":
        return len(pointed) == 1 and any(_nearer(other, target, pointed[0]) for other in _group(clue.word, seen))
    if clue.says in PARTS:
        field, _, against = PARTS[clue.says]
        return bool(getattr(target, field) == against)
    if clue.says == "in_middle":
        return "middle" not in (target.across, target.down) and None not in (target.across, target.down)
    if clue.says in ROWS:
        return _miscounted(clue, seen)
    return clue.says == "one_of" and not _may_be(clue.count, clue.word, seen)


def is_a(thing: Object, word: str) -> Truth:
    """Whether people would call the thing that; None for words that nothing here knows."""
    if _is_called(thing, word):
        return True
    tag = kind_of(word)
    return lexicon().tag(thing, tag) if tag else None


def _is_called(thing: Object, word: str) -> bool:
    """Whether its name or category says so."""
    noun, before = singular(head(word)), set(core(word)[:-1])
    names = [name for name in (thing.name, thing.category) if noun and singular(head(name)) == noun]
    return any(before <= set(core(name)[:-1]) for name in names)


def kind_of(word: str) -> str | None:
    """The tag of a kind of things that a noun names."""
    spoken = " ".join([*core(word)[:-1], singular(head(word))])
    return next((tag for tag, phrase in lexicon().kinds.items() if spoken in (tag, phrase)), None)


def _members(word: str, seen: Seen) -> list[tuple[Object, Truth]]:
    """The things that the reader sees, and whether each is of the kind that a noun names; where none is said, all are.

    Beside a thing that is called so, those that only are of that kind are doubtful: a person, and an astronaut.
    """
    things = [*seen.others, seen.target]
    if not word.strip():
        return [(thing, True) for thing in things]
    if not any(_is_called(thing, word) for thing in things):
        return [(thing, is_a(thing, word)) for thing in things]
    return [(thing, _is_called(thing, word) or (False if is_a(thing, word) is False else None)) for thing in things]


def _group(word: str, seen: Seen) -> list[Object]:
    """The others that are certainly of a kind."""
    known = _members(word, seen)
    return [thing for thing, fits in known if fits and thing.object_id != seen.target.object_id]


def _may_be(count: int, word: str, seen: Seen) -> bool:
    """Whether there may be so many of a kind."""
    if not word.strip() or count < 1:
        return True
    known = [fits for _, fits in _members(word, seen)]
    return known.count(True) <= count and (not seen.complete or count <= len(known) - known.count(False))


def _miscounted(clue: Clue, seen: Seen) -> bool:
    """Whether the thing certainly is another one in its row: so many come before it, or so few can."""
    if clue.count < 1 or not clue.word.strip():
        return False
    rivals = [(thing, fits) for thing, fits in _members(clue.word, seen) if thing.object_id != seen.target.object_id]
    places = [(fits, ahead(thing, seen.target, ROWS[clue.says])) for thing, fits in rivals]
    surely = sum(fits is True and before is True for fits, before in places)
    perhaps = sum(fits is not False and before is not False for fits, before in places)
    return surely >= clue.count or (seen.complete and perhaps < clue.count - 1)


def _nearer(one: Object, other: Object, place: Object) -> bool:
    """Whether `one` is clearly nearer to a place than `other`, from edge to edge and from middle to middle."""
    if one.object_id == place.object_id:
        return False
    gaps = [_gap(thing, place) for thing in (one, other)]
    ways = [_way(thing, place) for thing in (one, other)]
    return gaps[0] * CLEAR_RATIO < gaps[1] and ways[0] * CLEAR_RATIO < ways[1]


def _gap(one: Object, other: Object) -> float:
    """px between two boxes; 0 where they overlap."""
    (a0, b0, a1, b1), (c0, d0, c1, d1) = one.box, other.box
    return float((max(c0 - a1, a0 - c1, 0) ** 2 + max(d0 - b1, b0 - d1, 0) ** 2) ** 0.5)


def _way(one: Object, other: Object) -> float:
    """px between the middles of two boxes."""
    (a0, b0, a1, b1), (c0, d0, c1, d1) = one.box, other.box
    return float((((a0 + a1) - (c0 + c1)) ** 2 + ((b0 + b1) - (d0 + d1)) ** 2) ** 0.5 / 2)


# --- what is right for certain ---------------------------------------------------------------------------------------


def proof(sentence: Sentence, seen: Seen) -> Query | None:
    """The formula of a sentence's clues, if that picks the thing for certain and the sentence says nothing else.

    What stands in the sentence and in no clue, in a clue and not in the sentence, or cannot be measured, leaves doubt;
    so does a thing that was described and not found, unless its name or kind tells that it is not meant.
    """
    tokens = set(words_of(sentence.text))
    parts = [_formula(clue, tokens, seen) for clue in sentence.clues]
    known = tuple(part for part in parts if part is not None)
    if not known or len(known) < len(parts) or not _accounted(sentence.clues, tokens, seen):
        return None
    query = known[0] if len(known) == 1 else All(known)
    kinds = [part.of if isinstance(part, Most | Nth) else part for part in known]
    lexical = [kind for kind in kinds if isinstance(kind, Is) and kind.field in ("name", "category", "kind", "colour")]
    for thing in seen.unplaced:
        if not any(truths(kind, (thing,))[thing.object_id] is False for kind in lexical):
            return None
    return query if seen.scene.picks_target(query) else None


def _formula(clue: Clue, tokens: set[str], seen: Seen) -> Query | None:
    """A clue as a formula; None where it has none, or the sentence leaves room for another one."""
    anchors = [Is("name", thing.name) for thing in seen.pointed(clue) if set(core(thing.name)) <= tokens]
    whole = len(anchors) == len(clue.others)
    if clue.says == "name":
        return _name(tokens, seen.target)
    if clue.says == "kind":
        tag = kind_of(clue.word)
        return Is("kind", tag) if tag and singular(head(clue.word)) in map(singular, tokens) else None
    if clue.says == "colour":
        word = clue.word.strip().lower()
        return Is("colour", word) if word in WORDS.colours & tokens else None
    if clue.says in RELATIONS:
        return Rel(clue.says, anchors[0]) if whole and len(anchors) == 1 else None
    if clue.says == "between":
        return Between(*anchors) if whole and len(anchors) == 2 else None
    if clue.says in PARTS:
        field, value, _ = PARTS[clue.says]
        return Is(field, value)
    group = _kind(clue.word, tokens, seen)
    if clue.says in EXTREMES and group and not clue.others:
        return Most(clue.says, group)
    if clue.says in ROWS and group and seen.complete:
        count = sum(value is True for value in truths(group, seen.scene.objects, seen.scene.memo).values())
        return Nth(clue.count, ROWS[clue.says], count, group)
    return None


def _name(tokens: set[str], thing: Object) -> Query | None:
    """The thing by its name as far as the sentence says it: in full, or else its category."""
    for field, name in (("name", thing.name), ("category", thing.category)):
        if name and set(core(name)) <= tokens:
            return Is(field, name)
    return None


def _kind(word: str, tokens: set[str], seen: Seen) -> Is | None:
    """The group that a noun of the sentence names."""
    noun = singular(head(word))
    if noun not in map(singular, tokens) or core(word)[:-1]:
        return None
    for thing in seen.scene.objects:
        if thing.category == noun:
            return Is("category", noun)
    tag = kind_of(word)
    return Is("kind", tag) if tag else None


def _accounted(clues: Sequence[Clue], tokens: set[str], seen: Seen) -> bool:
    """Whether the sentence says what its clues say, and tells nothing and names nothing beside."""
    spoken = [SPOKEN[clue.says] for clue in clues if clue.says in SPOKEN]
    if not all(words & tokens for words in spoken) or TELLING & tokens - frozenset[str]().union(*spoken):
        return False
    pointed = [thing for clue in clues for thing in seen.pointed(clue)]
    meant = {singular(head(name)) for name in (seen.target.name, *(thing.name for thing in pointed))}
    meant |= {singular(head(clue.word)) for clue in clues if clue.says in EXTREMES or clue.says in ROWS}
    nouns = {singular(word) for word in tokens} - meant
    return all(singular(head(thing.name)) not in nouns for thing in seen.others)
