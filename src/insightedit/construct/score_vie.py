"""The paid half of judging by VIEScore: what a model says of every edit, kept as it came. `judge_vie` decides.

A step of its own, before `judge`, because a step's fingerprint covers all its knobs: a new threshold changes the
judge's only, and nothing is asked again. Who is asked about, and what is shown, belongs here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

from pydantic import Field

from insightedit.construct.ask import AskStep, ChatSection, together
from insightedit.construct.judge_local import LocalKnobs, locally
from insightedit.construct.work import Asked, Wording, Work
from insightedit.core.config import Knobs
from insightedit.core.image import decode_own
from insightedit.core.mask import Mask
from insightedit.core.record import Direction, Edit, Instruction, Record, Reject
from insightedit.flow.step import Context, Place
from insightedit.metrics.viescore import Score, Shown, Vie, VieKnobs, show

DIRECTIONS: tuple[Direction, Direction] = ("forward", "reverse")


class ScoreKnobs(Knobs):
    """What is asked about which edits. A change here asks anew, so the bars of the verdict are not among it."""

    chat: ChatSection = ChatSection()
    vie: VieKnobs = VieKnobs()
    first: LocalKnobs | None = LocalKnobs()  # who fails here is not asked about; None = all are
    both_directions: bool = True  # False: forward only, as InsightEdit, which skips the mirror image of a removal
    simple: int = Field(1, ge=0)  # wordings of each direction that are judged, the first ones
    advanced: int = Field(1, ge=0)
    place: Place = Place()


class Consistent(Record):
    """Semantic consistency of an edit under one wording, in each view."""

    direction: Direction
    kind: Literal["simple", "advanced"]
    text: str
    views: list[Score]


class Scored(Record):
    """What the judge said of one edit, in all views and directions that were asked about.

    Fields:
        unasked: why it was not asked about, from the local judge; empty: it was.
        consistency: one entry per judged wording.
        quality: of the painted pictures in each view; a photograph's own quality is not asked for.
    """

    edit_id: str
    unasked: list[str] = []
    consistency: list[Consistent] = []
    quality: list[Score] = []

    @property
    def scores(self) -> list[Score]:
        """All of them."""
        return [score for worded in self.consistency for score in worded.views] + self.quality

    @property
    def asked(self) -> list[Asked]:
        """Every question about it that was answered with scores."""
        return [
            Asked(
                prompt=score.prompt,
                version=score.version,
                model=score.judge,
                tokens_in=score.tokens_in,
                tokens_out=score.tokens_out,
                usd=score.usd,
            )
            for score in self.scores
            if score.parts
        ]


class Scoring(Record):
    """Of `score`."""

    photo_id: str
    edits: list[Scored]
    rejects: list[Reject] = []

    @property
    def asked(self) -> list[Asked]:
        """Every question that was answered with scores, for the row's provenance."""
        return [asked for edit in self.edits for asked in edit.asked]


@dataclass(frozen=True)
class Prepared:
    """An edit as it is shown, or why it is not."""

    edit_id: str
    shown: tuple[Shown, ...] = ()
    unasked: tuple[str, ...] = ()


def prepared(work: Work, knobs: ScoreKnobs) -> list[Prepared]:
    """Every edit of a photograph, judged locally, cut and encoded. Runs in a worker: it decodes pictures.

    Args:
        work: with pictures.
        knobs: of the step.
    """
    doubts = {name: one.reasons for name, one in locally(work, knobs.first).items()} if knobs.first else {}
    ready: list[Prepared] = []
    for edit in work.edits:
        if unasked := doubts.get(edit.edit_id):
            ready.append(Prepared(edit.edit_id, unasked=tuple(unasked)))
            continue
        source, edited = (decode_own(work.picture(name)) for name in (edit.source_sha256, edit.edited_sha256))
        shown = show(source, edited, Mask.from_rle(edit.mask.model_dump()), knobs.vie)
        ready.append(Prepared(edit.edit_id, tuple(shown)))
    return ready


class ScoreByVie(AskStep[Scoring]):
    """Edits with words -> VIEScores. A reply that is of no use leaves its score empty, with the reason."""

    name, version, value = "score", "1", Scoring
    needs = frozenset({"paint"})
    knobs: ScoreKnobs

    @property
    def prompts(self) -> Sequence[str]:
        return Vie.PROMPTS

    async def one(self, item: Work, context: Context) -> Scoring:
        """The scores of one photograph's edits.

        Raises:
            Unfit: a picture of the photograph cannot be decoded.
            Stop: nobody answers any more, or the budget is spent.
        """
        ready: list[Prepared] = await context.apart(prepared, item, self.knobs)
        worded = {one.edit_id: one.instructions for one in item.value("instruct", Wording).edits}
        vie = Vie(self.purse.chat(self.knobs.chat), self.knobs.vie, context.journal, self.name)
        asked = [
            self._scored(vie, edit, one, self._judged(worded.get(edit.edit_id, [])))
            for edit, one in zip(item.edits, ready, strict=True)
        ]
        scored = cast(list[Scored], await together(asked))  # `Vie` leaves a score empty and raises no `Unfit`
        return Scoring(photo_id=item.key, edits=scored)

    def _judged(self, instructions: Sequence[Instruction]) -> list[Instruction]:
        """The first wordings of each direction and kind."""
        chosen: list[Instruction] = []
        for way in DIRECTIONS[: 2 if self.knobs.both_directions else 1]:
            for kind, most in (("simple", self.knobs.simple), ("advanced", self.knobs.advanced)):
                fit = [one for one in instructions if one.direction == way and one.kind == kind]
                chosen += fit[:most]
        return chosen

    async def _scored(self, vie: Vie, edit: Edit, ready: Prepared, wordings: Sequence[Instruction]) -> Scored:
        if not wordings and not ready.unasked:
            ready = Prepared(edit.edit_id, unasked=("no_instruction",))
        if ready.unasked:
            return Scored(edit_id=edit.edit_id, unasked=list(ready.unasked))
        painted = {"source": ["edited"], "edited": ["source"], "neither": ["source", "edited"]}[edit.natural]
        # all questions at once, in a fixed order: how many are truly in flight is the limiter's to say
        sc = [
            vie.consistency(one if word.direction == "forward" else one.reversed(), word.text)
            for word in wordings
            for one in ready.shown
        ]
        pq = [vie.quality(getattr(one, side), one.view) for side in painted for one in ready.shown]
        scores = cast(list[Score], await together([*sc, *pq]))
        views = len(ready.shown)
        consistency = [
            Consistent(
                direction=word.direction, kind=word.kind, text=word.text, views=scores[at * views : (at + 1) * views]
            )
            for at, word in enumerate(wordings)
        ]
        return Scored(edit_id=edit.edit_id, consistency=consistency, quality=scores[len(sc) :])
