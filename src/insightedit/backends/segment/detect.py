"""Phrases -> boxes by Grounding DINO (Liu et al., 2023) or MM-Grounding-DINO (Zhao et al., 2024)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from pydantic import Field

from insightedit.backends.batching import BatchSize, each_of
from insightedit.backends.segment import boxes as geometry
from insightedit.backends.segment import load
from insightedit.backends.segment.found import Left, Tokens, checked
from insightedit.backends.segment.phrases import Query, Words
from insightedit.core.config import Knobs
from insightedit.core.errors import BackendError
from insightedit.core.fingerprint import engine
from insightedit.core.mask import Box

OUTSCORED = "another_phrase_fits_better"


class DetectorKnobs(Knobs):
    """Which detector, and what counts as found.

    A box answers a phrase if the best token of the phrase's span scores over `box_threshold` and the mean of the span
    over `text_threshold`. float32, because the network is small and its boxes decide everything after it.
    """

    model: str = "IDEA-Research/grounding-dino-tiny"  # openmmlab-community/mm_grounding_dino_large_all, a folder
    revision: str | None = None
    box_threshold: float = Field(default=0.4, ge=0, lt=1)
    text_threshold: float = Field(default=0.3, ge=0, lt=1)
    same_phrase_iou: float = Field(default=0.7, gt=0, le=1)  # over this, two boxes of one phrase are one thing
    other_phrase_iou: float = Field(default=0.9, gt=0, le=1)  # of two phrases; masks say more, later (rules.py)
    dtype: str = "float32"
    batch_size: int = Field(default=4, ge=1, le=256)


@dataclass(frozen=True, eq=False)
class Scored:
    """Every box of a picture (N queries of the network, over all its texts) and what each of P wordings scores there.

    Attributes:
        boxes: float (N, 4), xyxy px, not cut to the frame.
        best: float (N, P), the highest token of the wording's span, 0..1: the score that the authors publish, which
            is the highest token of the whole text, read for one phrase. Their thresholds are thresholds of it.
        mean: float (N, P), over the span: low where one word fits and the others do not ("red" of "red car").
    """

    boxes: np.ndarray
    best: np.ndarray
    mean: np.ndarray

    def only(self, columns: Sequence[int]) -> Scored:
        """The same boxes, some wordings."""
        return Scored(self.boxes, self.best[:, columns], self.mean[:, columns])


@dataclass(frozen=True)
class Detection:
    """A box that answers a wording (index into those asked for)."""

    wording: int
    box: Box
    score: float


class _Job(NamedTuple):
    """One text for one picture: which picture, its pixels (3, h, w), the text, all that is asked of it."""

    picture: int
    sheet: Any
    query: Query
    wordings: Sequence[Tokens]


class _Claim(NamedTuple):
    """A phrase's claim to a box, float xyxy px inside the frame."""

    score: float
    phrase: str
    wording: int
    box: np.ndarray

    def rank(self) -> tuple[object, ...]:
        """Better claims first; ties by what is claimed, never by the order of the phrases."""
        return -self.score, self.phrase, *self.box.tolist()


class Detector:
    """Making one is cheap; `setup` loads.

    Args:
        knobs: which network and which thresholds.
        device: auto, cpu, cuda, cuda:N, mps.
    """

    KINDS: ClassVar[dict[str, str]] = {
        "grounding-dino": "GroundingDinoForObjectDetection",
        "mm-grounding-dino": "MMGroundingDinoForObjectDetection",
    }

    def __init__(self, knobs: DetectorKnobs, device: str = "auto") -> None:
        self.knobs, self.device = knobs, device

    def setup(self) -> None:
        """Load network, tokenizer and picture settings.

        Raises:
            BackendError, ConfigError, InputError: see `load.network`; and a tokenizer that does not fit.
        """
        net = load.network(self.KINDS, self.knobs.model, self.knobs.revision, self.device, self.knobs.dtype)
        from transformers import AutoTokenizer, GroundingDinoImageProcessorPil  # the one that needs no torchvision

        self._net, self._at_once = net, BatchSize(self.knobs.batch_size)
        self._eye = load.part(lambda: GroundingDinoImageProcessorPil.from_pretrained(net.folder), net.folder)
        tokenizer = load.part(lambda: AutoTokenizer.from_pretrained(net.folder), net.folder)
        self._words = Words(tokenizer, net.model.config.max_text_len)

    def engine(self) -> str:
        """The weights' name and identity, for provenance."""
        return engine(self.knobs.model, self._net.folder)

    def read(self, phrase: str) -> Tokens:
        """A phrase as the network reads it.

        Raises:
            Unfit: empty_phrase, phrase_too_long.
        """
        return self._words.read(phrase)

    def scored(self, images: Sequence[np.ndarray], wordings: Sequence[Sequence[Tokens]]) -> list[Scored]:
        """What each wording scores in each of the network's boxes.

        Only pictures of one size share a batch: padding one to another's size would change its boxes.

        Args:
            images: uint8 RGB (H, W, 3) of any sizes.
            wordings: for each image, what is looked for (see `read`).

        Raises:
            BackendError: the network gave no numbers.
            InputError: not an image.
        """
        groups: dict[tuple[int, ...], list[_Job]] = {}
        for picture, (image, asked) in enumerate(zip(images, wordings, strict=True)):
            if asked:
                sheet = self._sheet(checked(image))
                jobs = [_Job(picture, sheet, query, asked) for query in self._words.queries(asked)]
                groups.setdefault(tuple(sheet.shape), []).extend(jobs)
        answers: list[list[Scored]] = [[] for _ in images]
        for jobs in groups.values():
            found = each_of(f"{self.knobs.model} failed", jobs, self._at_once, self._forward, load.ANOTHER)
            for job, scores in zip(jobs, found, strict=True):
                answers[job.picture].append(scores)
        columns = [len(asked) for asked in wordings]
        return [_joined(*one) for one in zip(answers, images, columns, strict=True)]

    def _sheet(self, image: np.ndarray) -> Any:
        """Pixels as the network takes them, (3, h, w)."""
        return self._eye(images=image, input_data_format="channels_last", return_tensors="pt")["pixel_values"][0]

    def _forward(self, jobs: Sequence[_Job]) -> list[Scored]:
        """One pass over pictures of one size, each with a text of its own; boxes 0..1."""
        import torch

        length = max(len(job.query.ids) for job in jobs)
        fill = [length - len(job.query.ids) for job in jobs]
        ids = torch.tensor([job.query.ids + [0] * rest for job, rest in zip(jobs, fill, strict=True)])  # (B, L)
        real = torch.tensor([[1] * (length - rest) + [0] * rest for rest in fill])  # (B, L)
        pixels = torch.stack([job.sheet for job in jobs]).to(self._net.device, self._net.dtype)  # (B, 3, h, w)
        with torch.inference_mode():
            out = self._net.model(
                pixel_values=pixels, input_ids=ids.to(self._net.device), attention_mask=real.to(self._net.device)
            )
        boxes = out.pred_boxes.float().cpu().numpy()  # (B, Q, 4), cxcywh 0..1
        tokens = out.logits.float().sigmoid().cpu().numpy()  # (B, Q, 256), 0 where there is no token
        if not np.isfinite(boxes).all() or np.isnan(tokens).any():
            why = f"it overflowed in {self._net.dtype}"
            raise BackendError(f"{self.knobs.model} gave no numbers", why, "Use dtype=float32 for the detector")
        return [_read(boxes[row], tokens[row], job) for row, job in enumerate(jobs)]

    def detect(self, image: np.ndarray, phrases: Sequence[str]) -> tuple[list[Detection], list[Left]]:
        """The boxes of phrases in one picture, each box for the phrase that scores best there.

        Raises:
            Unfit: empty_phrase, phrase_too_long.
            BackendError, InputError: see `scored`.
        """
        scored = self.scored([image], [[self.read(phrase) for phrase in phrases]])[0]
        return chosen(scored, self.knobs, phrases, image.shape[1], image.shape[0])


def _read(boxes: np.ndarray, tokens: np.ndarray, job: _Job) -> Scored:
    """Span scores of one text; a wording that is not in it scores 0. boxes (Q, 4) cxcywh -> xyxy, tokens (Q, L)."""
    best, mean = (np.zeros((len(boxes), len(job.wordings))) for _ in range(2))
    for column, wording in enumerate(job.wordings):
        if wording in job.query.spans:
            span = tokens[:, slice(*job.query.spans[wording])]
            best[:, column], mean[:, column] = span.max(axis=1), span.mean(axis=1)
    half = boxes[:, 2:] / 2
    return Scored(np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1), best, mean)


def _joined(parts: Sequence[Scored], image: np.ndarray, wordings: int) -> Scored:
    """The boxes of all texts of a picture, in px."""
    height, width = image.shape[:2]
    boxes = np.concatenate([np.zeros((0, 4)), *(part.boxes for part in parts)]) * (width, height, width, height)
    nothing = np.zeros((0, wordings))
    best, mean = ([nothing, *(getattr(part, name) for part in parts)] for name in ("best", "mean"))
    return Scored(boxes, np.concatenate(best), np.concatenate(mean))


def chosen(
    scored: Scored, knobs: DetectorKnobs, phrases: Sequence[str], width: int, height: int
) -> tuple[list[Detection], list[Left]]:
    """Boxes over the thresholds, one for each thing: duplicates of a phrase go, of two phrases the better one stays.

    Args:
        scored: what each wording scores.
        knobs: the thresholds.
        phrases: the words of each column, to name a rival.
        width: of the picture, px.
        height: of the picture, px.

    Returns:
        The detections, by wording and falling score, and those that lost to another phrase (`Left.phrase` = wording).
    """
    winners: list[_Claim] = []
    left: list[Left] = []
    for claim in sorted(_claims(scored, knobs, phrases, width, height), key=_Claim.rank):
        rivals = [one for one in winners if one.wording != claim.wording]
        overlap = geometry.iou(claim.box[None], np.array([one.box for one in rivals]).reshape(-1, 4))[0]  # (R,)
        if rivals and overlap.max() > knobs.other_phrase_iou:
            rival = rivals[int(overlap.argmax())]
            seen = f"'{claim.phrase}' {claim.score:.2f} where '{rival.phrase}' has {rival.score:.2f}"
            place = geometry.on_pixels(claim.box[None], width, height)[0]
            left.append(Left(claim.wording, OUTSCORED, seen, "the best phrase of its box", place, claim.score))
        else:
            winners.append(claim)
    pixels = geometry.on_pixels(np.array([one.box for one in winners]).reshape(-1, 4), width, height)
    found = [Detection(one.wording, box, one.score) for one, box in zip(winners, pixels, strict=True)]
    return sorted(found, key=lambda one: (one.wording, -one.score, one.box)), left


def _claims(scored: Scored, knobs: DetectorKnobs, phrases: Sequence[str], width: int, height: int) -> Iterator[_Claim]:
    """Each phrase for itself: boxes over its thresholds, cut to the frame, without duplicates."""
    inside = scored.boxes.clip(0, (width, height, width, height))
    for wording, phrase in enumerate(phrases):
        over = (scored.best[:, wording] > knobs.box_threshold) & (scored.mean[:, wording] > knobs.text_threshold)
        over &= geometry.area(inside) > 0
        boxes, scores = inside[over], scored.best[over, wording]
        for index in geometry.suppress(boxes, scores, knobs.same_phrase_iou):
            yield _Claim(float(scores[index]), phrase, wording, boxes[index])
