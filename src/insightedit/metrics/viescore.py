"""VIEScore (Ku et al. 2024) for edits: a judge's two scores each for semantic consistency and perceptual quality.

    SC = min(instruction followed, nothing else changed)      source, edited picture and instruction are seen
    PQ = min(naturalness, freedom from artifacts)             only the edited picture is seen
    O  = sqrt(SC * PQ)                                        of each sample; only then a mean over samples

As published the scale is 0 to 10; InsightEdit scored its data on 0 to 5. A reply that is refused, cut off or does not
fit gives no number but a reason, where the published parser draws a random number. Beside the whole picture the edited
crop can be judged: in the whole, a small edit hardly shows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Protocol, TypeVar

import numpy as np
from pydantic import Field

from insightedit.backends.chat.failures import Malformed, ReplyFailure, ServiceFailure
from insightedit.backends.chat.images import Detail, ImagePart, encode_part
from insightedit.backends.chat.prompt import Prompt, load
from insightedit.backends.chat.replies import ON_FIVE, REPLIES, Consistency, Quality, Reply
from insightedit.core.config import Knobs
from insightedit.core.errors import InputError
from insightedit.core.mask import Box, Mask
from insightedit.core.record import Float, Record, Small

if TYPE_CHECKING:  # the arithmetic needs nothing that asking needs
    from insightedit.backends.chat.answer import Answer, Journal
    from insightedit.backends.chat.request import ChatRequest

Top = Literal[5, 10]
View = Literal["whole", "crop"]
R = TypeVar("R", bound=Reply)
LONGEST_SAID = 2000  # characters of a judge's words that are kept
# how the prompts speak of what they show: "both images may be ...", "it may be ..."
PAIR_VIEWED: dict[View, str] = {"whole": "whole photographs", "crop": "cut out of photographs around the edited place"}
ONE_VIEWED: dict[View, str] = {"whole": "a whole photograph", "crop": "cut out of a photograph"}


class ViewKnobs(Knobs):
    """How large one view is sent, and how closely the judge looks."""

    max_side: int = Field(1024, ge=0)  # px of the longer side; 0 = as it is, never enlarged. InsightEdit: 1500
    detail: Detail = "auto"
    lossless: bool = False  # PNG, as InsightEdit; a judge sees no difference, and the request is several times larger


class VieKnobs(Knobs):
    """What is shown and on which scale; all of it decides the scores."""

    top: Top = 10  # of the scale: 10 as published, 5 as InsightEdit
    whole: ViewKnobs | None = ViewKnobs()  # None = not shown
    crop: ViewKnobs | None = ViewKnobs()
    context: float = Field(0.5, ge=0)  # what the crop shows around the edit, share of the edit's longer side
    least_crop_px: int = Field(256, ge=1)  # a tiny thing alone tells nothing
    largest_crop: float = Field(0.8, gt=0, le=1)  # share of the picture from which the crop would only be the whole
    max_tokens: int = Field(512, ge=1)


class Score(Record):
    """What the judge gave for one question. No number is ever guessed: `parts` is empty where there is none.

    Fields:
        parts: the two scores, 0..`top`; SC: followed, nothing else changed; PQ: naturalness, freedom from artifacts.
        top: of the scale.
        view: what was shown.
        reason: why there are no scores: refused, content_filter, truncated, malformed, bad_request; or rate_limited,
            server_error, timeout, connection, where the service failed for as long as it was allowed to.
        said: the judge's reasoning, or the reply that was of no use.
        judge: the model that answered, as the server names it.
        prompt, version: the question, and the hash of its words.
        tokens_in, tokens_out, usd: what it took; None = not known.
    """

    parts: list[Float] = []
    top: Small = 10
    view: View = "whole"
    reason: str = ""
    said: str = ""
    judge: str = ""
    prompt: str = ""
    version: str = ""
    tokens_in: int | None = None
    tokens_out: int | None = None
    usd: Float | None = None

    @property
    def value(self) -> float | None:
        """SC or PQ of this view: the smaller part, 0..`top`; None where there is no score."""
        return min(self.parts) if self.parts else None


# --- arithmetic ------------------------------------------------------------------------------------------------------


def worst(scores: Sequence[Score]) -> float | None:
    """The smallest value of several views or wordings, 0..top; None if there are none or one of them has no score."""
    values = [score.value for score in scores]
    known = [value for value in values if value is not None]
    return min(known) if known and len(known) == len(values) else None


def overall(sc: float | None, pq: float | None) -> float | None:
    """O = sqrt(SC * PQ) of one sample, on the scale of its parts; None if either is.

    The notebook of the publication divides both by 10 before: its O is a tenth of this one.
    """
    return None if sc is None or pq is None else math.sqrt(sc * pq)


@dataclass(frozen=True)
class Mean:
    """A mean over the samples that have a score, and how many that were: without the share it means nothing."""

    value: float | None  # None if no sample has one
    scored: int
    samples: int


def mean(values: Sequence[float | None]) -> Mean:
    """The mean over samples of SC, PQ or O; those without a score count in `samples` only, and are never filled in."""
    known = [value for value in values if value is not None]
    return Mean(math.fsum(known) / len(known) if known else None, len(known), len(values))


# --- what is shown ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shown:
    """One view of an edit, encoded for the judge."""

    view: View
    source: ImagePart
    edited: ImagePart

    def reversed(self) -> Shown:
        """The same view of the edit's way back."""
        return Shown(self.view, self.edited, self.source)


def show(source: np.ndarray, edited: np.ndarray, mask: Mask | None, knobs: VieKnobs = VieKnobs()) -> list[Shown]:
    """The views of one edit. Takes milliseconds of CPU a picture: not on an event loop.

    Where the crop would be almost the whole picture, there is the whole picture once, and no crop.

    Args:
        source, edited: uint8 RGB (H, W, 3), of one size.
        mask: where the edit is; None = not known, so there is no crop.
        knobs: which views, and how large.

    Raises:
        InputError: two sizes, or no view is left.
    """
    if source.shape != edited.shape:
        why = f"they are {source.shape[1::-1]} and {edited.shape[1::-1]} px"
        raise InputError("cannot compare two pictures", why, "Bring the edited one to the source's size first")
    box = crop_box(mask, knobs.context, knobs.least_crop_px) if mask is not None and mask.area else None
    height, width = source.shape[:2]
    if box and (box[2] - box[0]) * (box[3] - box[1]) > knobs.largest_crop * width * height:
        box = None
    shown: list[Shown] = []
    whole = knobs.whole or (knobs.crop if box is None and mask is not None else None)
    if whole:
        shown.append(_shown("whole", source, edited, whole))
    if knobs.crop and box:
        rows, columns = slice(box[1], box[3]), slice(box[0], box[2])
        shown.append(_shown("crop", source[rows, columns], edited[rows, columns], knobs.crop))
    if not shown:
        raise InputError("there is nothing to show the judge", "every view is off", "Switch 'whole' or 'crop' on")
    return shown


def _shown(view: View, source: np.ndarray, edited: np.ndarray, knobs: ViewKnobs) -> Shown:
    before, after = (encode_part(image, knobs.max_side, knobs.detail, knobs.lossless) for image in (source, edited))
    return Shown(view, before, after)


def crop_box(mask: Mask, context: float, least_px: int) -> Box:
    """xyxy px, half-open: the box of a mask with context around it, inside the frame.

    Args:
        mask: not empty.
        context: added on each side, share of the box's longer side.
        least_px: of each side of the result, where the frame has as much.
    """
    x0, y0, x1, y1 = mask.box
    margin = round(context * max(x1 - x0, y1 - y0))
    left, right = _span(x0 - margin, x1 + margin, least_px, mask.width)
    top, bottom = _span(y0 - margin, y1 + margin, least_px, mask.height)
    return left, top, right, bottom


def _span(start: int, end: int, least: int, limit: int) -> tuple[int, int]:
    """A stretch inside 0..limit, of at least `least` px where there are as many: moved inwards rather than cut."""
    start, end = max(0, start), min(limit, end)
    length = max(end - start, min(least, limit))
    start = min(max(0, start - (length - (end - start)) // 2), limit - length)
    return start, start + length


# --- asking ----------------------------------------------------------------------------------------------------------


class Asker(Protocol):
    """Whom to ask: `backends.chat.client.Chat`, or anything that speaks like it."""

    def request(
        self,
        prompt: Prompt,
        reply: type[R],
        slots: Mapping[str, object],
        images: Sequence[ImagePart] = (),
        max_tokens: int = 1024,
    ) -> ChatRequest[R]:
        """A request to its model."""

    async def ask(self, request: ChatRequest[R], journal: Journal | None = None, step: str = "") -> Answer[R]:
        """A validated answer."""


@dataclass(frozen=True)
class Vie:
    """Asks for scores.

    Args:
        asker: whom.
        knobs: the scale and the length of a reply.
        journal: where answers are kept.
        step: under what they are counted.
    """

    asker: Asker
    knobs: VieKnobs = VieKnobs()
    journal: Journal | None = None
    step: str = ""
    PROMPTS: ClassVar[tuple[str, str]] = ("sc", "pq")

    async def consistency(self, shown: Shown, instruction: str) -> Score:
        """Semantic consistency of one view under one instruction.

        Raises:
            Stop: nobody answers any more, or the budget is spent.
        """
        slots = {"view": PAIR_VIEWED[shown.view], "top": self.knobs.top, "instruction": instruction}
        return await self._score("sc", slots, [shown.source, shown.edited], shown.view)

    async def quality(self, picture: ImagePart, view: View = "whole") -> Score:
        """Perceptual quality of one picture; which instruction it came from is not said, as published.

        Raises:
            Stop: as `consistency`.
        """
        return await self._score("pq", {"view": ONE_VIEWED[view], "top": self.knobs.top}, [picture], view)

    async def _score(self, name: str, slots: Mapping[str, object], images: list[ImagePart], view: View) -> Score:
        reply = ON_FIVE[name] if self.knobs.top == 5 else REPLIES[name]
        prompt, top = load(name), self.knobs.top
        blank = Score(top=top, view=view, prompt=name, version=prompt.version)
        try:
            request = self.asker.request(prompt, reply, slots, images, self.knobs.max_tokens)
            answer = await self.asker.ask(request, self.journal, self.step)
        except (ReplyFailure, ServiceFailure) as failure:
            return blank.but(reason=failure.reason, said=(failure.reply or failure.why)[:LONGEST_SAID])
        found: Any = answer.value
        usage, said = answer.usage, found.reasoning[:LONGEST_SAID]
        took = {"tokens_in": usage and usage.prompt, "tokens_out": usage and usage.completion, "usd": answer.cost}
        return blank.but(parts=parts(found), said=said, judge=answer.model, **took)


def parts(reply: Consistency | Quality) -> list[float]:
    """The two scores of a reply, in the published order."""
    if isinstance(reply, Consistency):
        return [reply.instruction_followed, reply.nothing_else_changed]
    return [reply.naturalness, reply.freedom_from_artifacts]


class _Published(Reply):
    score: Annotated[list[float], Field(min_length=2, max_length=2)]
    reasoning: str


def published_reply(text: str, top: Top = 10) -> Score:
    """The score in a reply of the published layout, {"score": [a, b], "reasoning": "..."}: of judges asked elsewhere.

    Both scores and the reasoning must be there, the scores be numbers and lie in 0..top. Anything else is malformed,
    where the published parser lets strings, single scores and scores out of range pass and at last draws a random one.
    """
    from insightedit.backends.chat.schema import NoFit, read_reply

    try:
        found = read_reply(text, _Published)
    except NoFit:
        return Score(top=top, reason=Malformed.reason, said=text[:LONGEST_SAID])
    if not all(0 <= score <= top for score in found.score):
        return Score(top=top, reason=Malformed.reason, said=text[:LONGEST_SAID])
    return Score(parts=found.score, top=top, said=found.reasoning[:LONGEST_SAID])
