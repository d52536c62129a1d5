"""The published row of a build that asked language models: all that a row has, what the judge said, and who was asked.

A class of its own, so that the datasets of builds that ask nobody stay byte for byte what they were.
"""

from __future__ import annotations

from typing import Any, Literal

from insightedit.construct.row import Float, Row
from insightedit.construct.score_vie import Scored
from insightedit.construct.work import Asked, Verdict, Work
from insightedit.core.record import Direction, Record, Small
from insightedit.metrics.viescore import Score


class View(Record):
    """One question to the judge and its two scores, 0..`score_top`; None where there is none, with the reason."""

    question: Literal["sc", "pq"]  # semantic consistency of a wording, perceptual quality of a picture
    view: str  # whole, crop
    direction: Direction | None = None  # of sc
    text: str = ""  # the wording, of sc
    first: Float | None = None  # sc: instruction followed; pq: naturalness
    second: Float | None = None  # sc: nothing else changed; pq: freedom from artifacts
    reason: str = ""  # refused, truncated, ...


class Question(Record):
    """One question that was answered: of the photograph (then it stands in each of its rows) or of this edit."""

    step: str
    about: Literal["photo", "edit"]
    prompt: str
    version: str  # of the prompt: first 12 hex digits of the SHA-256 of its file
    model: str
    tokens_in: Small | None = None
    tokens_out: Small | None = None
    usd: Float | None = None


class AskedRow(Row):
    """A row with what was asked. Scores of VIEScore are on the scale 0..`score_top`."""

    # scores
    score_top: Small | None = None
    clip_dir: Float | None = None  # directional similarity, -1..1
    clip_source: Float | None = None  # of sampled pairs: a picture and its own caption, -1..1
    clip_edited: Float | None = None
    clip_image: Float | None = None  # of sampled pairs: the two pictures, -1..1
    residual_det: Float | None = None  # the detector's confidence that the removed thing is still there
    judge_views: list[View] = []
    judge_reason: str = ""  # the judge's words on the lowest score
    # provenance
    judge: str = ""  # the model, as the server names it
    asked: list[Question] = []


_CLIP = ("clip_dir", "clip_source", "clip_edited", "clip_image")


def with_asked(row: Row, work: Work) -> AskedRow:
    """A row with what was asked of its photograph and of its edit."""
    scored = _of(work.values.get("score"), row.edit_id)
    judged = next((one for one in work.value("judge", Verdict).edits if one.edit_id == row.edit_id), None)
    return AskedRow(
        **dict(row),
        score_top=getattr(judged, "top", None),
        **{name: getattr(judged, name, None) for name in _CLIP},
        residual_det=getattr(judged, "residual_det", None),
        judge_reason=getattr(judged, "judge_reason", ""),
        judge=getattr(judged, "judge", ""),
        judge_views=_views(scored) if isinstance(scored, Scored) else [],
        asked=[one for step, value in work.values.items() for one in _questions(step, value, row.edit_id)],
    )


def _of(value: Record | None, edit_id: str) -> Record | None:
    """What a step says of one edit, where it says something of each."""
    return next((one for one in getattr(value, "edits", []) if one.edit_id == edit_id), None)


def _views(scored: Scored) -> list[View]:
    said = [
        _view(score, question="sc", direction=worded.direction, text=worded.text)
        for worded in scored.consistency
        for score in worded.views
    ]
    return said + [_view(score, question="pq") for score in scored.quality]


def _view(score: Score, **about: Any) -> View:
    first, second = score.parts or (None, None)
    return View(view=score.view, first=first, second=second, reason=score.reason, **about)


def _questions(step: str, value: Record, edit_id: str) -> list[Question]:
    """Those about this edit; of a step that does not tell its edits apart, those about the photograph."""
    own: list[Asked] | None = getattr(_of(value, edit_id), "asked", None)
    about: Literal["photo", "edit"] = "photo" if own is None else "edit"
    asked: list[Asked] = getattr(value, "asked", []) if own is None else own
    return [Question(step=step, about=about, **one.model_dump()) for one in asked]
