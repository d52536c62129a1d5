"""Step 2 of `imagine`, sample: a triple of texts becomes a few pairs of pictures, or says why it does not.

Two sampled pictures differ almost everywhere by a level or two. Outside a mask of what changed the second is made equal
to the first, so these rows promise what all rows do; and what is stored must pass the filter again, as it is stored.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from insightedit.backends.pair.changed import ChangedKnobs, settled
from insightedit.backends.pair.pairs import Pair, Sample, make_pairs
from insightedit.backends.pair.prompt_to_prompt import PromptToPrompt, PromptToPromptKnobs
from insightedit.backends.pair.sift import Scores, SiftKnobs, sift
from insightedit.backends.pair.triples import Triple, plain
from insightedit.construct.paint import stored
from insightedit.construct.source.scan import perceptual_hash
from insightedit.core.config import Knobs
from insightedit.core.errors import Unfit
from insightedit.core.image import decode_own
from insightedit.core.mask import Mask
from insightedit.core.record import Edit, Float, Judgement, Photo, Picture, Record, Reject, Rle
from insightedit.flow.step import Place, Step, fingerprint
from insightedit.metrics.clip import Clip, ClipKnobs, pair_scores
from insightedit.metrics.pixel import changed_inside, outside_difference

METHOD = "prompt_to_prompt"
WHERE = {"device", "batch_size"}  # of networks: results do not depend on them


class SampleKnobs(Knobs):
    """How pairs are sampled, which are kept, and how they are stored. `place.device` is that of both networks."""

    sampler: PromptToPromptKnobs = PromptToPromptKnobs()
    clip: ClipKnobs = ClipKnobs()
    sift: SiftKnobs = SiftKnobs()
    changed: ChangedKnobs = ChangedKnobs()
    jpeg_quality: int = 95
    place: Place = Place()


class ClipJudgement(Judgement):
    """A judgement by CLIP, on the pictures as they are stored. Cosines, -1..1.

    Fields:
        clip_source, clip_edited: a picture and its own caption.
        clip_dir: change of the pictures and change of the captions.
        clip_image: the two pictures.
    """

    clip_source: Float | None = None
    clip_edited: Float | None = None
    clip_dir: Float | None = None
    clip_image: Float | None = None


class SampledPair(Record):
    """A pair that is kept. `photo` is its first picture, which nobody photographed."""

    photo: Photo
    edit: Edit
    judgement: ClipJudgement


class Sampling(Record):
    """Of `sample`: the pairs of one triple, every sample that was tried, and each picture once."""

    heavy = frozenset({"pictures"})

    triple_id: str
    pairs: list[SampledPair]
    samples: list[Sample]
    rejects: list[Reject] = []
    pictures: list[Picture] = []


@dataclass(frozen=True)
class Idea:
    """A triple on its way."""

    triple: Triple
    values: dict[str, Record] = field(default_factory=dict)

    @property
    def key(self) -> str:
        return self.triple.triple_id

    def with_value(self, step: str, found: Record) -> Idea:
        """The triple with its pairs."""
        return replace(self, values={**self.values, step: found})


class SamplePairs(Step[Idea, Sampling]):
    """Triples -> pairs: samples drawn by seed, sifted by CLIP, made equal outside of what changed."""

    name, version, value = "sample", "1", Sampling
    device_share = 1.0
    knobs: SampleKnobs

    def __init__(self, knobs: SampleKnobs, seed: int = 0) -> None:
        super().__init__(knobs, seed)
        device = self.place.device
        self.sampler = PromptToPrompt(knobs.sampler.model_copy(update={"device": device}))
        self.clip = Clip(knobs.clip.model_copy(update={"device": device}))

    def setup(self) -> None:
        self.sampler.setup()
        self.clip.setup()

    def release(self) -> None:
        self.sampler.release()
        self.clip.release()

    def fingerprint(self, before: str) -> str:
        """As of every step, without where the networks run and how many samples go through them at once."""
        where: dict[str, Any] = {"place": True, "sampler": WHERE, "clip": WHERE}
        return fingerprint(
            before, self.name, self.version, self.seed, self.knobs.model_dump(mode="json", exclude=where)
        )

    def see_needs(self) -> None:
        """Find or download the weights of both networks; loads nothing.

        Raises:
            InputError: weights that cannot be had.
            BackendError: torch or diffusers is not installed.
        """
        _ = self.engine, self.clip.engine()

    @cached_property
    def engine(self) -> str:
        """Who samples, with which weights: for provenance."""
        return f"{METHOD}:{self.sampler.engine()}"

    def reject(self, item: Idea, reason: str, seen: str = "", wanted: str = "") -> Reject:
        return Reject(step=self.name, reason=reason, uri=item.key, seen=seen, wanted=wanted)

    def process(self, batch: Sequence[Idea]) -> list[Sampling | Reject]:
        return [self._sampled(idea) for idea in batch]

    def _sampled(self, idea: Idea) -> Sampling:
        triple, knobs = idea.triple, self.knobs
        made, samples = make_pairs(triple, self.sampler, self._score, knobs.sift, self.seed)
        pairs, rejects, pictures = list[SampledPair](), list[Reject](), list[Picture]()
        for one in made:
            try:
                pair, sides = self._stored(triple, one)
            except Unfit as unfit:
                seen = f"sample {one.sample.sample}: {unfit.seen}"
                rejects.append(self.reject(idea, unfit.reason, seen, unfit.wanted).but(step="sift"))
            else:
                pairs.append(pair)
                pictures += sides
        if not pairs:
            reasons = Counter(one.left_out for one in samples if one.left_out).most_common()
            seen = ", ".join(f"{count} {reason}" for reason, count in reasons)
            rejects.append(self.reject(idea, "no_pair_kept", f"{triple.instruction}: {seen}", "a sample that passes"))
        return Sampling(triple_id=idea.key, pairs=pairs, samples=samples, rejects=rejects, pictures=pictures)

    def _score(self, pictures: np.ndarray, caption: str, edited: str) -> Scores:
        """uint8 (N, 2, H, W, 3) and the two captions -> four cosines each, (N,)."""
        return pair_scores(self.clip, pictures, caption, edited)

    def _stored(self, triple: Triple, pair: Pair) -> tuple[SampledPair, list[Picture]]:
        """A pair as it is published.

        Raises:
            Unfit: nothing_changed, changed_everywhere; or as `sift`, where it passes no more once it is stored.
        """
        knobs = self.knobs
        edited, changed = settled(pair.before, pair.after, knobs.changed)
        sides = [stored(picture, knobs.jpeg_quality) for picture in (pair.before, edited)]
        pictures = [decode_own(side.jpeg) for side in sides]  # as a reader of the dataset sees them
        scores = self._score(np.stack(pictures)[None], triple.caption, triple.edited)
        names = ("before", "after", "direction", "image")
        found = {name: float(np.clip(getattr(scores, name)[0], -1, 1)) for name in names}  # rounding may pass 1
        _, (reason,) = sift(scores, knobs.sift)
        if reason:
            seen = ", ".join(f"{name} {value:.3f}" for name, value in found.items())
            raise Unfit(reason, seen, "as similar when stored as when sampled")
        photo = _photo(triple, pair.sample, sides[0], pictures[0])
        edit = _edit(triple, pair.sample, photo, sides[1], Mask.of(changed), self.engine)
        return SampledPair(photo=photo, edit=edit, judgement=_judgement(edit, pictures, changed, found)), sides


def _named(*parts: str) -> str:
    """16 hex digits that depend on nothing but the parts: an id of theirs."""
    return hashlib.sha256("/".join(parts).encode()).hexdigest()[:16]


def _photo(triple: Triple, sample: Sample, side: Picture, pixels: np.ndarray) -> Photo:
    """The first picture; all of one caption are one cluster, so that no caption lies in two splits."""
    height, width = pixels.shape[:2]
    return Photo(
        photo_id=_named(triple.triple_id, side.sha256),
        uri=f"{triple.triple_id}/{sample.sample}",
        sha256=side.sha256,
        phash=perceptual_hash(pixels),
        cluster=_named(plain(triple.caption)),
        width=width,
        height=height,
        orig_width=width,
        orig_height=height,
        caption=triple.caption,
    )


def _edit(triple: Triple, sample: Sample, photo: Photo, edited: Picture, mask: Mask, engine: str) -> Edit:
    """No object is named in it: the captions say what each side shows."""
    return Edit(
        edit_id=_named(triple.triple_id, photo.sha256, edited.sha256),
        photo_id=photo.photo_id,
        object_id="",
        task="free",
        method=METHOD,
        natural="neither",
        category="",
        object_before="",
        detail_before=triple.caption,
        detail_after=triple.edited,
        source_sha256=photo.sha256,
        edited_sha256=edited.sha256,
        mask=Rle(**mask.rle()),
        box=list(mask.box),
        mask_share=mask.share,
        border_share=mask.border_share,
        seed=sample.seed,
        engine=engine,
        hints={"tau": sample.tau, "guidance": sample.guidance},
    )


def _judgement(
    edit: Edit, pictures: Sequence[np.ndarray], changed: np.ndarray, found: dict[str, float]
) -> ClipJudgement:
    """Kept, in the direction that has words. `pictures` uint8 (H, W, 3) twice, `changed` bool (H, W).

    Raises:
        Unfit: nothing_changed.
    """
    source, edited = pictures
    equal, psnr = outside_difference(source, edited, changed)
    inside = changed_inside(source, edited, Mask.of(changed))
    if not inside:
        raise Unfit("nothing_changed", "0 levels as stored", "a difference inside the mask")
    return ClipJudgement(
        edit_id=edit.edit_id,
        changed=inside,
        outside_equal=equal,
        outside_psnr=psnr,
        clip_source=found["before"],
        clip_edited=found["after"],
        clip_dir=found["direction"],
        clip_image=found["image"],
        keep_forward=True,
    )
