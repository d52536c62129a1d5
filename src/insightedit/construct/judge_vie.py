"""The free half of judging by VIEScore: scores (`score_vie`) and measurements -> verdicts. Nobody is asked here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import Field

from insightedit.backends.segment.table import SEGMENTERS
from insightedit.construct.judge_local import LocalKnobs, locally
from insightedit.construct.photo_step import WorkStep
from insightedit.construct.score_vie import DIRECTIONS, Consistent, Scored, Scoring
from insightedit.construct.work import Verdict, Wording, Work
from insightedit.core.config import Knobs
from insightedit.core.errors import Unfit
from insightedit.core.image import decode_own
from insightedit.core.lookup import pick
from insightedit.core.mask import Mask
from insightedit.core.record import Direction, Edit, Float, Judgement, Object, Small
from insightedit.flow.step import Place
from insightedit.metrics.clip import Clip, ClipKnobs, direction
from insightedit.metrics.viescore import Score, crop_box, overall, worst

CLIP_CONTEXT, CLIP_LEAST_PX = 0.5, 64  # what CLIP sees around the edit: share of its longer side, px of a side


class Bars(Knobs):
    """The least scores, as shares of the scale's top: 0.7 is 7 of 10 and 3.5 of 5."""

    sc: float = Field(0.6, ge=0, le=1)
    pq: float = Field(0.5, ge=0, le=1)
    overall: float = Field(0.6, ge=0, le=1)


class ResidueKnobs(Knobs):
    """Is the thing still there after its removal? Asked of the detector."""

    segmenter: str = "grounded_sam"
    settings: dict[str, Any] = {}  # of the segmenter
    most: float = Field(0.3, ge=0, le=1)  # confidence from which it counts as still there


class JudgeVieKnobs(Knobs):
    """Which scores and measurements keep a direction. A change here asks nobody."""

    local: LocalKnobs = LocalKnobs()
    bars: Bars = Bars()
    by_method: dict[str, Bars] = {}  # method -> its own bars
    reverse_as_forward: bool = False  # a direction nobody was asked about is judged by the forward scores
    clip: ClipKnobs | None = None  # None = off; only replacements have words for both sides
    min_clip_direction: float = 0.08  # AnyEdit's bar for replacements
    residue: ResidueKnobs | None = None  # None = off
    place: Place = Place()

    def bars_of(self, method: str) -> Bars:
        """The bars for a kind of edit."""
        return self.by_method.get(method, self.bars)


class VieJudgement(Judgement):
    """A judgement with what was asked. Scores are on the scale 0..`top`; None = not scored, never guessed.

    Fields:
        sc_fwd_follow, ...: parts of SC by direction, and of PQ: each the worst over wordings and views.
        o_fwd, o_rev: sqrt(SC * PQ), with the PQ of the painted picture in both directions.
        clip_dir: directional similarity, -1..1.
        residual_det: the detector's confidence that the removed thing is still there, 0..1.
        judge, judge_reason: the model, and its words on the lowest score.
        faults_forward, faults_reverse: why a direction is not kept.
    """

    top: Small | None = None
    sc_fwd_follow: Float | None = None
    sc_fwd_overedit: Float | None = None
    sc_rev_follow: Float | None = None
    sc_rev_overedit: Float | None = None
    pq_natural: Float | None = None
    pq_artifact: Float | None = None
    o_fwd: Float | None = None
    o_rev: Float | None = None
    clip_dir: Float | None = None
    residual_det: Float | None = None
    judge: str = ""
    judge_reason: str = ""
    faults_forward: list[str] = []
    faults_reverse: list[str] = []


class VieVerdict(Verdict):
    """Of `judge`, with what was asked."""

    edits: list[VieJudgement]  # type: ignore[assignment]


class JudgeByVie(WorkStep[VieVerdict]):
    """Scores and measurements -> verdicts."""

    name, version, value = "judge", "vie-1", VieVerdict
    needs = frozenset({"paint"})
    device_share = 0.3
    knobs: JudgeVieKnobs

    def __init__(self, knobs: JudgeVieKnobs, seed: int = 0) -> None:
        super().__init__(knobs, seed)
        self._clip: Clip | None = None
        self._segmenter: Any = None

    def share(self) -> float:
        """None of the GPU, unless a network is switched on."""
        return super().share() if self.knobs.clip or self.knobs.residue else 0.0

    def setup(self) -> None:
        """Load the networks that are switched on.

        Raises:
            BackendError, ConfigError, InputError: as `Clip.setup` and the segmenter's.
        """
        device = self.knobs.place.device
        if self.knobs.clip:
            self._clip = Clip(
                self.knobs.clip if device == "auto" else self.knobs.clip.model_copy(update={"device": device})
            )
            self._clip.setup()
        if self.knobs.residue:
            kind = pick(SEGMENTERS, self.knobs.residue.segmenter, kind="segmenter")
            self._segmenter = kind(kind.Settings(**{"device": device, **self.knobs.residue.settings}))
            self._segmenter.setup()

    def release(self) -> None:
        for network in (self._clip, self._segmenter):
            if network is not None:
                network.release()

    def one(self, work: Work) -> VieVerdict:
        scored = {item.edit_id: item for item in work.value("score", Scoring).edits}
        worded = {item.edit_id: item.instructions for item in work.value("instruct", Wording).edits}
        known = locally(work, self.knobs.local)
        found: list[VieJudgement] = []
        for edit, thing in work.edits_with_objects():
            judgement = judged(known[edit.edit_id], scored.get(edit.edit_id))
            ways = {instruction.direction for instruction in worded.get(edit.edit_id, [])}
            if not judgement.reasons:
                judgement = self._measured(judgement, work, edit, thing)
            found.append(self._decided(judgement, edit, scored.get(edit.edit_id), ways))
        return VieVerdict(photo_id=work.photo.photo_id, edits=found)

    def _measured(self, known: VieJudgement, work: Work, edit: Edit, thing: Object) -> VieJudgement:
        """With what the networks say, where they are switched on and have something to say."""
        words = captions(edit)
        if self._clip is not None and words is not None:
            box = crop_box(Mask.from_rle(edit.mask.model_dump()), CLIP_CONTEXT, CLIP_LEAST_PX)
            pictures = [
                decode_own(work.picture(name))[box[1] : box[3], box[0] : box[2]]
                for name in (edit.source_sha256, edit.edited_sha256)
            ]
            seen, said = self._clip.images(pictures), self._clip.texts(words)  # 2 x (2, D)
            known = known.but(clip_dir=float(direction(seen[:1], seen[1:], said[:1], said[1:])[0]))
        if self._segmenter is not None and edit.task == "remove_add":
            where = Mask.from_rle((thing.mask or edit.mask).model_dump())
            known = known.but(residual_det=self._present(decode_own(work.picture(edit.edited_sha256)), edit, where))
        return known

    def _present(self, edited: np.ndarray, edit: Edit, where: Mask) -> float | None:
        """How sure the detector is that the removed thing is still there; None for a name that it cannot look for."""
        try:
            return float(self._segmenter.present(edited, edit.object_before, where))
        except Unfit:
            return None

    def _decided(self, known: VieJudgement, edit: Edit, scored: Scored | None, ways: set[Direction]) -> VieJudgement:
        reasons, knobs = list(known.reasons), self.knobs
        if known.clip_dir is not None and known.clip_dir < knobs.min_clip_direction:
            reasons.append("wrong_direction")
        if knobs.residue and known.residual_det is not None and known.residual_det >= knobs.residue.most:
            reasons.append("still_there")
        bars = knobs.bars_of(edit.method)
        faults: dict[Direction, list[str]] = {way: [] if way in ways else ["no_instruction"] for way in DIRECTIONS}
        if scored is not None and not scored.unasked:
            faults |= {way: faults_of(self._asked(scored, way), scored.quality, bars) for way in ways}
        keep = {way: not reasons and not faults[way] for way in DIRECTIONS}
        if not any(keep.values()):  # a reason beside a kept direction would count the edit as left out
            reasons += [fault for way in DIRECTIONS if way in ways or not ways for fault in faults[way]]
        return known.but(
            keep_forward=keep["forward"],
            keep_reverse=keep["reverse"],
            reasons=list(dict.fromkeys(reasons)),
            faults_forward=faults["forward"],
            faults_reverse=faults["reverse"],
        )

    def _asked(self, scored: Scored, way: Direction) -> list[Consistent]:
        asked = [one for one in scored.consistency if one.direction == way]
        if not asked and way == "reverse" and self.knobs.reverse_as_forward:
            return [one for one in scored.consistency if one.direction == "forward"]
        return asked


def judged(local: Judgement, scored: Scored | None) -> VieJudgement:
    """What was measured and what was said of one edit, side by side; `reasons` says why it was not asked about."""
    known = VieJudgement(**local.model_dump())
    if scored is None:
        return known.but(reasons=[*known.reasons, "not_asked"])
    if scored.unasked:
        return known.but(reasons=list(dict.fromkeys([*known.reasons, *scored.unasked])))
    natural, clean = _worst_parts(scored.quality)
    pq = worst(scored.quality)
    changes: dict[str, Any] = {"pq_natural": natural, "pq_artifact": clean}
    for way, short in (("forward", "fwd"), ("reverse", "rev")):
        views = [score for one in scored.consistency if one.direction == way for score in one.views]
        changes[f"sc_{short}_follow"], changes[f"sc_{short}_overedit"] = _worst_parts(views)
        changes[f"o_{short}"] = overall(worst(views), pq)
    lowest = min((score for score in scored.scores if score.parts), key=lambda score: min(score.parts), default=None)
    if lowest is not None:
        changes |= {"top": lowest.top, "judge": lowest.judge, "judge_reason": lowest.said}
    return known.but(**changes)


def _worst_parts(scores: Sequence[Score]) -> tuple[float | None, float | None]:
    """Each part's worst over wordings and views; None if one of them has no score."""
    if not scores or not all(score.parts for score in scores):
        return None, None
    first, second = (min(score.parts[part] for score in scores) for part in (0, 1))
    return first, second


def faults_of(asked: Sequence[Consistent], quality: Sequence[Score], bars: Bars) -> list[str]:
    """Why one direction's scores do not keep it: not_asked, sc_REASON and pq_REASON without a score, low_sc, low_pq,
    low_overall; empty: they do.

    Args:
        asked: its wordings with their scores.
        quality: of the painted pictures.
        bars: the least scores.
    """
    consistency = [score for one in asked for score in one.views]
    if not consistency or not quality:
        return ["not_asked"]
    lacking = [f"sc_{score.reason}" for score in consistency if not score.parts]
    lacking += [f"pq_{score.reason}" for score in quality if not score.parts]
    sc, pq = worst(consistency), worst(quality)
    together = overall(sc, pq)
    if sc is None or pq is None or together is None:
        return list(dict.fromkeys(lacking))
    least = {"sc": (sc, bars.sc), "pq": (pq, bars.pq), "overall": (together, bars.overall)}
    top = quality[0].top
    return [f"low_{name}" for name, (value, bar) in least.items() if value < bar * top]


def captions(edit: Edit) -> tuple[str, str] | None:
    """Words for both sides of a replacement, as CLIP knows them; None where there are none, or the same ones."""
    if edit.object_after is None:
        return None
    sides = ((edit.look_before, edit.object_before), (edit.look_after, edit.object_after))
    before, after = (f"a photo of {' '.join(filter(None, side))}" for side in sides)
    return None if before == after else (before, after)
