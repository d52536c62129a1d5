"""The step `instruct`: simple and advanced English instructions for both directions of every edit, each verified."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from random import Random
from typing import Literal

from insightedit.construct.clues import Clue, Scene, clues, frame, places, references, relations, shades
from insightedit.construct.deeds import REMOVE, RESTORE, Deed, exchange, recolour, refinish, uncover
from insightedit.construct.geometry import covered
from insightedit.construct.grammar import (
    WORDS,
    a,
    core,
    dressed,
    head,
    looks_in,
    number,
    sentence,
    with_look,
    without_deixis,
    without_look,
    words_of,
)
from insightedit.construct.instruct_knobs import InstructMllmKnobs
from insightedit.construct.lexicon import lexicon
from insightedit.construct.photo_step import WorkStep
from insightedit.construct.referring import All, Is, Query, picks
from insightedit.construct.templates import (
    Speaker,
    additions,
    definite,
    simple_additions,
    where,
)
from insightedit.construct.work import Worded, Wording, Work
from insightedit.core.config import Knobs
from insightedit.core.record import Direction, Edit, Instruction, Object, Reject
from insightedit.core.seed import derive
from insightedit.flow.step import fingerprint

Told = tuple[str, str, Query]  # text, form, formula
Kind = Literal["simple", "advanced"]
DIRECTIONS: tuple[Direction, Direction] = ("forward", "reverse")
OTHER_THING = ("transplant", "replacement")  # methods that put another thing in the place of one
CHOICES = frozenset(["pair", "extreme", "pick"])
NAMING = CHOICES | {"count"}  # these offer the target by its name, beside others
HIDDEN = 0.3  # a landmark may be covered by this share of the edit's own mask
PLACING = frozenset(
    ["in", "on", "at", "behind", "below", "above", "under", "beside", "near", "left", "right", "between"]
)
LONGEST_DETAIL = 9  # words of a detailed description that still fit into an instruction


class InstructKnobs(Knobs):
    """Who words them; how many, how long, and whether kinds may be counted."""

    backend: Literal["templates", "mllm"] = "templates"
    simple_per_direction: int = 4
    advanced_per_direction: int = 3
    max_words: int = 20
    counting: bool = True  # say "of the three dandelions"; turn off where photographs are annotated incompletely
    mllm: InstructMllmKnobs = InstructMllmKnobs()


class Instruct(WorkStep[Wording]):
    """Words for every edit, there and back; a direction that cannot be named for certain is reported."""

    name, version, value = "instruct", "1", Wording
    knobs: InstructKnobs

    def fingerprint(self, before: str) -> str:
        """As of every step; how a model would be asked is no part of what templates say."""
        knobs = self.knobs.model_dump(mode="json", exclude={"backend", "mllm"})
        return fingerprint(before, self.name, self.version, self.seed, knobs)

    def one(self, work: Work) -> Wording:
        edits: list[Worded] = []
        rejects: list[Reject] = []
        for edit, thing in work.edits_with_objects():
            found = [
                line for way in DIRECTIONS for line in instructions(edit, work.objects, way, self.knobs, self.seed)
            ]
            edits.append(Worded(edit_id=edit.edit_id, instructions=found))
            named = {line.direction for line in found if line.kind == "simple"}
            rejects += [_nameless(work, edit, thing, way) for way in DIRECTIONS if way not in named]
        return Wording(photo_id=work.photo.photo_id, edits=edits, rejects=rejects)


def _nameless(work: Work, edit: Edit, thing: Object, way: Direction) -> Reject:
    return Reject(
        step="instruct",
        reason="no_unique_name",
        photo_id=work.photo.photo_id,
        object_id=thing.object_id,
        edit_id=edit.edit_id,
        seen=f"{way}: '{thing.name}' among {', '.join(sorted(other.name for other in work.objects))}"[:200],
        wanted="a name, colour or place that no other object shares",
    )


def instructions(
    edit: Edit, objects: Sequence[Object], way: Direction, knobs: InstructKnobs, seed: int
) -> list[Instruction]:
    """All instructions of one direction; fewer, or none, where nothing certain can be said."""
    simple = Random(derive(seed, edit.edit_id, way, "simple"))
    advanced = Random(derive(seed, edit.edit_id, way, "advanced"))
    scene = scene_of(edit, objects, way)
    if edit.task == "remove_add" and way == "reverse":
        plain, clever = simple_adds(scene, simple), advanced_adds(scene, edit, advanced)
    else:
        deed = deed_of(edit, scene, way)
        plain, clever = simple_deeds(scene, deed, simple), advanced_deeds(scene, deed, advanced, knobs.counting)
    lines: list[Instruction] = []
    wanted: tuple[tuple[Kind, int, Iterable[Told]], ...] = (
        ("simple", knobs.simple_per_direction, plain),
        ("advanced", knobs.advanced_per_direction, clever),
    )
    for kind, limit, told in wanted:
        made = (_written(text, form, query, scene, way, kind, knobs.max_words) for text, form, query in told)
        lines += _first((line for line in made if line is not None), limit)
    return lines


def _written(
    text: str, form: str, query: Query, scene: Scene, way: Direction, kind: Kind, max_words: int
) -> Instruction | None:
    """The instruction, if it is verified, short enough and free of stumbling repeats."""
    words = text.split()
    chosen = picks(query, scene.objects, scene.memo)
    tokens = words_of(text)
    stumbles = any(one == two for one, two in pairwise(tokens))
    if chosen != [scene.target.object_id] or len(words) > max_words or stumbles:
        return None
    return Instruction(
        text=text, direction=way, kind=kind, form=form, query=str(query), picks=chosen, n_words=len(words)
    )


def _first(lines: Iterable[Instruction], limit: int) -> list[Instruction]:
    """The first few that differ in text; no more are made than are wanted."""
    chosen: dict[str, Instruction] = {}
    for line in lines:
        if len(chosen) >= limit:
            break
        chosen.setdefault(line.text, line)
    return list(chosen.values())


# --- the scene that a reader of one direction sees -------------------------------------------------------------------


def scene_of(edit: Edit, objects: Sequence[Object], way: Direction) -> Scene:
    """The objects as that direction's first picture shows them; a thing to be added is among them as the target."""
    thing = next(known for known in objects if known.object_id == edit.object_id)
    before = way == "forward" or edit.task == "remove_add"
    target = looks_before(edit, thing) if before else looks_after(edit, thing)
    changed = way == "reverse" and (edit.task == "remove_add" or edit.method in OTHER_THING)
    region = thing.but(mask=edit.mask)
    hidden = [
        other.object_id
        for other in objects
        if changed and other.object_id != thing.object_id and (covered(other, region) or 0.0) > HIDDEN
    ]
    shown = tuple(target if other.object_id == thing.object_id else other for other in objects)
    return Scene(shown, target, frozenset(hidden))


def looks_before(edit: Edit, thing: Object) -> Object:
    """The object as the source picture shows it."""
    if edit.natural == "source" and (edit.look_before is None or edit.look_before in WORDS.colours):
        return thing.but(name=edit.object_before, category=edit.category, colour=edit.look_before or thing.colour)
    return _dressed(thing, edit.object_before, edit.category, edit.look_before)


def looks_after(edit: Edit, thing: Object) -> Object:
    """The object as the edited picture shows it, without the words for its old look."""
    return _dressed(
        thing, edit.object_after or edit.object_before, edit.category_after or edit.category, edit.look_after
    )


def _dressed(thing: Object, name: str, category: str, look: str | None) -> Object:
    """The object under a name and a look; a material becomes a part of the name, a colour is the object's colour."""
    shown = thing.but(name=name, category=category or thing.category, colour=None)
    if without_look(name) != without_look(thing.name):  # transplanted: another thing, of a size that nobody measured
        shown = shown.but(area=0, supercategory="", mask=None)
    if look is None:
        return shown
    shown = shown.but(name=without_look(name)) if looks_in(name) and look not in looks_in(name) else shown
    if look in WORDS.colours:
        return shown.but(colour=look)
    return shown.but(name=with_look(shown.name, look), colour=None)


def deed_of(edit: Edit, scene: Scene, way: Direction) -> Deed:
    """What is to be done in that direction to a thing that is there."""
    if edit.task == "remove_add":
        return REMOVE
    new = (edit.object_after or edit.object_before, edit.look_after)
    if way == "reverse":
        new = (edit.object_before, edit.look_before)
    if without_look(edit.object_before) != without_look(edit.object_after or edit.object_before):
        repainted = edit.natural != "source" if way == "reverse" else edit.method not in OTHER_THING
        return exchange(a(_new_name(without_deixis(new[0]), new[1], repainted)))
    if new[1] is None:
        return RESTORE
    if new[1] not in WORDS.colours:
        return refinish(new[1])
    old = edit.look_after if way == "reverse" else edit.look_before
    return uncover(new[1]) if old and old not in WORDS.colours else recolour(new[1])


def _new_name(name: str, look: str | None, repainted: bool) -> str:
    """The name of what comes instead; a look in the name is believed, unless it was painted over."""
    if lexicon().is_person(name):  # the colours of people are those of their clothes
        return name
    name = without_look(name) if repainted and look else name
    return name if looks_in(name) else with_look(name, look)


# --- simple ----------------------------------------------------------------------------------------------------------


def simple_deeds(scene: Scene, deed: Deed, rng: Random) -> list[Told]:
    """Templates around the thing's name, each verb once."""
    known = references(scene)
    if not known:
        return []
    told: list[Told] = []
    short = scene.target_name is not None or known[0] in shades(scene.target)
    patterns = deed.brief if short else deed.long
    for pattern in rng.sample(patterns, len(patterns)):
        query = rng.choice(known[:2] if short else known)
        told.append((sentence(pattern.format(x=definite(query))), "template", query))
    return told


def simple_adds(scene: Scene, rng: Random) -> list[Told]:
    """Templates with the new thing's name, and its place where that is needed or can be told."""
    name = Is("name", scene.target.name)
    others = [thing for thing in scene.objects if thing.object_id != scene.target.object_id]
    another = any(head(thing.name) == head(scene.target.name) and number(thing.name) == "one" for thing in others)
    shade = scene.target.colour if shades(scene.target) else None
    spoken = with_look(without_deixis(scene.target.name), shade if rng.random() < 0.5 else None)
    another = another and spoken == without_deixis(scene.target.name)
    corner = frame(scene.target)
    spots = [All((name, place)) for place in relations(scene)] + ([All((name, *corner))] if corner else [])
    told: list[Told] = []
    queries: list[Query] = [name, *spots]
    for query in queries:
        if picks(query, scene.objects, scene.memo) == [scene.target.object_id]:
            told += [(sentence(text), "template", query) for text in simple_additions(spoken, where(query), another)]
    rng.shuffle(told)
    return told


# --- advanced --------------------------------------------------------------------------------------------------------


def advanced_deeds(scene: Scene, deed: Deed, rng: Random, counting: bool) -> Iterator[Told]:
    """Sentences in random order, the first ones of different styles; only a choice may name the target."""
    speaker = Speaker(scene, deed, rng)
    for clue in _dealt(clues(scene, counting), scene, rng):
        spoken = speaker.speak(clue)
        if spoken and (clue.style in NAMING or not scene.names_target(spoken[0])):
            yield (*spoken, clue.query)


def advanced_adds(scene: Scene, edit: Edit, rng: Random) -> Iterator[Told]:
    """What to add in other words than its name, or in its detailed ones, and a verified place."""
    detail = detail_of(edit.detail_before, scene.target.name)
    found = places(scene)
    # the bare name is the last resort: a description is what makes the instruction an advanced one
    bare = [clue for clue in found if not detail and _names(clue.query)]
    for clues_ in ([clue for clue in found if clue not in bare], bare):
        for clue in _dealt(clues_, scene, rng):
            for text, form in additions(clue, scene, detail, rng):
                yield text, form, clue.query
                break


def _names(query: Query) -> bool:
    return isinstance(query, All) and isinstance(query.parts[0], Is) and query.parts[0].field == "name"


def _dealt(found: list[Clue], scene: Scene, rng: Random) -> Iterator[Clue]:
    """Verified clues in rounds, one of every style in each, so that the first few differ; all choices are one style."""
    hands: dict[str, list[Clue]] = {}
    for clue in found:
        hands.setdefault("choice" if clue.style in CHOICES else clue.style, []).append(clue)
    for hand in hands.values():
        rng.shuffle(hand)
    while hands:
        for style in rng.sample(sorted(hands), len(hands)):
            while hands[style] and not scene.picks_target(hands[style][-1].query):
                hands[style].pop()
            if hands[style]:
                yield hands[style].pop()
            else:
                del hands[style]


def detail_of(detail: str, name: str) -> str:
    """The start of a detailed description as a noun phrase with its article, if it says more than the name does."""
    words = detail.strip().split(",")[0].split(".")[0].split()
    at = next((at for at, word in enumerate(words) if word.lower() == head(name)), None)
    if at is None or number(name) != "one" or " ".join(core(name)) != name.lower():
        return ""
    first = words[0].lower()
    if first in ("the", "this", "it", "there", "one", "half", "some") or WORDS.deictic & set(words[: at + 1]):
        return ""
    # up to the noun and what it comes with: where it is, and what it does there, the verified place tells
    ends = [end for end in range(at + 1, len(words)) if words[end] in PLACING or words[end].endswith("ing")]
    tail = words[at + 1 : ends[0] if ends else len(words)]
    kept = words[: at + 1] + (tail if tail[:1] == ["with"] and at + 1 + len(tail) <= LONGEST_DETAIL else [])
    text = dressed(" ".join(kept))
    text = text[:1].lower() + text[1:]
    text = text if first in ("a", "an") else a(text)
    return text if len(words_of(name)) + 1 < len(text.split()) <= LONGEST_DETAIL else ""
