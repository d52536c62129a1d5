"""Step 1, describe, by a multimodal language model: it looks at the photograph, names the objects and what could stand
in their places. It draws no boxes: `segment` finds what is named here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from pydantic import Field

from insightedit.backends.chat.images import Detail, ImagePart
from insightedit.backends.chat.replies import (
    LONGEST_DETAIL,
    LONGEST_NAME,
    Caption,
    Described,
    Extracted,
    Target,
    Targets,
    Thing,
    words,
)
from insightedit.backends.describe.suitability import suitability
from insightedit.construct.ask import AskStep, ChatSection, together, told
from insightedit.construct.work import Asked, Description, Work
from insightedit.core.config import Knobs
from insightedit.core.errors import Unfit
from insightedit.core.record import Object, Reject, Replacement
from insightedit.flow.step import Context, Place

if TYPE_CHECKING:
    from insightedit.backends.chat.answer import Answer

ARTICLES = ("a", "an", "the")
WANTED = {
    "parentheses_in_name": "a name without parentheses",
    "name_too_long": f"a name of at most {LONGEST_NAME} words",
    "detail_too_long": f"a detail of at most {LONGEST_DETAIL} words",
    "no_name": "a name of letters",
    "same_kind": "a thing of another kind",
    "already_there": "a thing that is not in the image",
}


class MllmKnobs(Knobs):
    """Who looks, how closely, and what is asked for."""

    chat: ChatSection = ChatSection()
    split: bool = False  # the paper's way: a caption by `chat`, then objects from its words alone by `text`
    text: ChatSection | None = None  # None = `chat` does both
    max_side_px: int = Field(1024, ge=64)  # of the photograph as sent
    detail: Detail = "auto"
    max_objects: int = Field(12, ge=1)
    word_rules: bool = True  # never edit what is a body part, clothing, scenery or light by its name, whoever says so
    targets: int = Field(2, ge=0)  # things asked for, that could stand in a replaceable object's place; 0 = none
    max_tokens: int = Field(4096, ge=64)  # of a list of objects
    place: Place = Place()


class Looked(Description):
    """A description with the questions that it took; of its own class, so that other descriptions stay as they are."""

    asked: list[Asked] = []


class _Seen(NamedTuple):
    """What was seen in a photograph."""

    caption: str
    things: list[Thing]
    asked: list[Asked]


class DescribeByMllm(AskStep[Looked]):
    """Photo -> caption, named objects without boxes, and targets for their places.

    With `split` suitability is decided on the caption's words, as in the paper; otherwise on the image.
    """

    name, version, value = "describe", "mllm-1", Looked
    knobs: MllmKnobs

    @property
    def prompts(self) -> Sequence[str]:
        listing = ("caption", "extract") if self.knobs.split else ("describe",)
        return (*listing, "targets") if self.knobs.targets else listing

    async def one(self, work: Work, context: Context) -> Looked:
        """What is in one photograph.

        Raises:
            Unfit: it cannot be opened, there is no usable reply, or nothing in it that could be used.
            Stop: nobody answers any more, or the budget is spent.
        """
        part = await self.look(work, context, self.knobs.max_side_px, self.knobs.detail)
        seen = await (self._split(context, part) if self.knobs.split else self._whole(context, part))
        objects, rejects = self._sorted(work, seen.things)
        if not objects:
            why = f"{len(seen.things)} named, none usable: {rejects[0].reason}" if rejects else "no object named"
            raise Unfit("no_usable_object", why, "one or more")
        objects, asked, refused = await self._with_targets(work, context, part, objects)
        return Looked(
            photo_id=work.photo.photo_id,
            caption=seen.caption,
            objects=objects,
            rejects=rejects + refused,
            asked=seen.asked + asked,
        )

    async def _whole(self, context: Context, part: ImagePart) -> _Seen:
        """Caption and objects by one who looks."""
        knobs = self.knobs
        most = {"most": knobs.max_objects}
        answer = await self.ask(context, "describe", Described, most, [part], max_tokens=knobs.max_tokens)
        return _Seen(answer.value.caption, answer.value.objects, [told("describe", answer)])

    async def _split(self, context: Context, part: ImagePart) -> _Seen:
        """A caption by one who looks, then its objects by one who only reads."""
        knobs = self.knobs
        caption = await self.ask(context, "caption", Caption, {}, [part])
        slots = {"most": knobs.max_objects, "caption": caption.value.caption}
        read = await self.ask(context, "extract", Extracted, slots, chat=knobs.text, max_tokens=knobs.max_tokens)
        return _Seen(caption.value.caption, read.value.objects, [told("caption", caption), told("extract", read)])

    def _sorted(self, work: Work, things: list[Thing]) -> tuple[list[Object], list[Reject]]:
        """The usable objects, and why the others are not."""
        objects: list[Object] = []
        rejects: list[Reject] = []
        for place, thing in enumerate(things):
            object_id = f"{work.photo.photo_id}-m{place}"
            try:
                found = _object(object_id, thing, self.knobs.word_rules)
                if any((found.name, found.detail) == (other.name, other.detail) for other in objects):
                    raise Unfit("named_twice", found.name, "every object once")
                if len(objects) == self.knobs.max_objects:
                    wanted = f"at most {self.knobs.max_objects} of a photograph"
                    raise Unfit("too_many_objects", f"no. {place + 1}", wanted)
                objects.append(found)
            except Unfit as error:
                rejects.append(self.reject(work, error.reason, error.seen, error.wanted).but(object_id=object_id))
        return objects, rejects

    async def _with_targets(
        self, work: Work, context: Context, part: ImagePart, objects: list[Object]
    ) -> tuple[list[Object], list[Asked], list[Reject]]:
        """The objects, the replaceable ones with targets; what was asked; and which proposals do not do."""
        if not self.knobs.targets:
            return objects, [], []
        wanting = [thing for thing in objects if thing.replaceable]
        answers = await together(self._proposed(context, part, thing) for thing in wanting)
        found: dict[str, list[Replacement]] = {}
        asked: list[Asked] = []
        rejects: list[Reject] = []
        for thing, answer in zip(wanting, answers, strict=True):
            refused = [answer] if isinstance(answer, Unfit) else []
            if not isinstance(answer, Unfit):
                asked.append(told("targets", answer))
                proposals = answer.value.targets[: self.knobs.targets]
                found[thing.object_id], refused = _fitting(proposals, thing, objects)
            for error in refused:
                reject = self.reject(work, f"target_{error.reason}", error.seen, error.wanted)
                rejects.append(reject.but(object_id=thing.object_id))
        return [thing.but(targets=found.get(thing.object_id, [])) for thing in objects], asked, rejects

    async def _proposed(self, context: Context, part: ImagePart, thing: Object) -> Answer[Targets]:
        slots = {"name": thing.name, "detail": thing.detail, "count": self.knobs.targets}  # the detail says where it is
        return await self.ask(context, "targets", Targets, slots, [part])


def _object(object_id: str, thing: Thing, word_rules: bool) -> Object:
    """A thing that somebody named, as an object that `segment` will look for.

    Raises:
        Unfit: parentheses_in_name, name_too_long, detail_too_long, no_name.
    """
    category, name = _said(thing.category), _said(thing.name)
    if fault := thing.fault or ("" if _has_letters(category) and _has_letters(name) else "no_name"):
        raise _unfit(fault, thing.name, thing.detail)
    may_be_edited, _, rule = suitability(category, "", name) if word_rules else (True, True, "")
    removable, replaceable = thing.removable and may_be_edited, thing.replaceable and may_be_edited
    return Object(
        object_id=object_id,
        category=category,
        name=name,
        detail=thing.detail,
        box=[],
        removable=removable,
        replaceable=replaceable,
        unfit_because="" if removable and replaceable else (thing.reason if may_be_edited else rule),
    )


def _fitting(proposals: list[Target], thing: Object, objects: list[Object]) -> tuple[list[Replacement], list[Unfit]]:
    """The proposals that could stand in the thing's place, and what is wrong with the others."""
    kept: list[Replacement] = []
    refused: list[Unfit] = []
    for proposal in proposals:
        name = _said(proposal.name)
        taken = {other.name for other in objects} | {one.name for one in kept}
        if fault := _fault(name, proposal.detail, thing.category, taken):
            refused.append(_unfit(fault, name, proposal.detail))
        else:
            kept.append(Replacement(name=name, detail=proposal.detail))
    return kept, refused


def _fault(name: str, detail: str, category: str, taken: set[str]) -> str:
    """Why a proposal for the place of a thing of `category` does not do, as a word for the funnel; "" where it does."""
    if any(mark in name for mark in "()[]{}"):
        return "parentheses_in_name"
    if words(name) > LONGEST_NAME:
        return "name_too_long"
    if words(detail) > LONGEST_DETAIL:
        return "detail_too_long"
    if not _has_letters(name):
        return "no_name"
    if name == category or name.endswith(f" {category}"):  # a green mug for a red one: that is another kind of edit
        return "same_kind"
    return "already_there" if name in taken else ""


def _unfit(fault: str, name: str, detail: str) -> Unfit:
    return Unfit(fault, detail if fault == "detail_too_long" else name, WANTED[fault])


def _said(text: str) -> str:
    """A name as one says it inside a sentence: without article, small letters except in words like "TV"."""
    said = text.strip(" .").split()
    said = said[1:] if len(said) > 1 and said[0].lower() in ARTICLES else said
    return " ".join(word if word.isupper() and len(word) > 1 else word.lower() for word in said)


def _has_letters(name: str) -> bool:
    return any(char.isalpha() for char in name)
