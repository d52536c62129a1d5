"""Rendered scenes as the records that `publish` takes: one pair is one photograph's worth of work with one edit."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Literal

import numpy as np

from insightedit.construct.card import Origin
from insightedit.construct.row import FunnelLine, split_of
from insightedit.construct.source.scan import perceptual_hash
from insightedit.construct.work import Description, Painting, Segmentation, Verdict, Worded, Wording, Work
from insightedit.core.image import decode_own, encode_jpeg
from insightedit.core.mask import Mask
from insightedit.core.record import Edit, Instruction, Judgement, Object, Photo, Picture, Reject, Rle
from insightedit.core.seed import derive
from insightedit.metrics.pixel import changed_inside, outside_difference
from insightedit.scenes import grammar
from insightedit.scenes.formula import Seen, seen
from insightedit.scenes.published import ENGINE, LANGUAGE
from insightedit.scenes.referents import noun
from insightedit.scenes.render import Rendered, render_pair
from insightedit.scenes.sampling import pair_seed, sample
from insightedit.scenes.scene import Pair
from insightedit.scenes.spread import spread

LICENCE, LICENCE_URL = "CC0-1.0", "https://creativecommons.org/publicdomain/zero/1.0/"
AUTHOR = "insightedit scenes"
METHODS = {"remove": "removal", "replace": "replacement", "recolour": "recolour"}
EACH = 2  # sentences of a level, a direction and a part of the split
LEVELS: tuple[grammar.Level, ...] = ("simple", "advanced")
LOOKS = ("colour", "shape")
ORIGIN = Origin(
    things="rendered scenes",
    made="By `insightedit scenes` {version}, {preset} px, seed {seed}: both sides are drawn by one ray-caster, and "
    "differ only in what the edited thing causes: its pixels, its shadow, its reflections. The mask is exactly the "
    "pixels that differ. Instructions marked `heldout` in `instr_meta.form` use a combination or wording that no row "
    "of the train split shows; they lie in the other splits only.",
    licences="The pictures are drawn from numbers and show nobody's work: CC0-1.0, both sides.",
    limits="Four shapes, eight colours, two sizes, two materials, one light: a model that does well here has "
    "shown that it finds and changes the right thing, not that it edits photographs. Sentences come from a grammar. "
    "Reflections show other things flat, and no light bounces from one matte thing to another.",
)


@dataclass
class Scenes:
    """The works of a run, and while they pass, the funnel and the rejects: pairs with nothing to say in their split."""

    wanted: int
    size: int
    seed: int
    shares: dict[str, float]
    workers: int = 0
    funnel: list[FunnelLine] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)

    def works(self) -> Iterator[Work]:
        """Works in order of their numbers until there are as many as wanted."""
        kept = 0
        for found in spread(_Make(self.size, self.seed, self.shares), count(), self.workers):
            if kept == self.wanted:
                break
            if isinstance(found, Reject):
                self.rejects.append(found)
            else:
                kept += 1
                yield found
        out = len(self.rejects)
        reasons = {"held_out": out} if out else {}
        self.funnel.append(
            FunnelLine(step="sample", what="pairs", came_in=kept + out, kept=kept, rejected=out, reasons=reasons)
        )


@dataclass(frozen=True)
class _Make:
    size: int
    seed: int
    shares: dict[str, float]

    def __call__(self, numbers: Sequence[int]) -> list[Work | Reject]:
        return [_made(sample(pair_seed(self.seed, number)), self, f"{self.seed}/{number}") for number in numbers]


def _made(pair: Pair, run: _Make, place: str) -> Work | Reject:
    first = next(iter(run.shares))
    parts: tuple[grammar.Part, ...] = (
        ("train",) if split_of(pair.scene_id, run.shares) == first else ("train", "heldout")
    )
    said = _instructions(pair, parts)
    if not said:
        seen_as, wanted = f"{pair.task} {noun(seen(pair.full)[pair.subject], LOOKS)}", f"a pair that '{first}' may show"
        return Reject(step="sample", reason="held_out", photo_id=pair.scene_id, uri=place, seen=seen_as, wanted=wanted)
    return _work(render_pair(pair, run.size), said, place)


def _instructions(pair: Pair, parts: Sequence[grammar.Part]) -> list[Instruction]:
    """Both directions, both levels; of each part of the split as many."""
    draw = random.Random(derive(pair.seed, "words"))
    found: list[Instruction] = []
    ways: tuple[tuple[Literal["forward", "reverse"], Pair], ...] = (("forward", pair), ("reverse", pair.reversed()))
    for way, directed in ways:
        for part in parts:
            for level in LEVELS:
                said = grammar.instructions(directed, draw, EACH, part, level)
                found += [_instruction(one, way, part, _object_id(pair, pair.subject)) for one in said]
    return found


def _instruction(
    one: grammar.Instruction, way: Literal["forward", "reverse"], part: grammar.Part, object_id: str
) -> Instruction:
    return Instruction(
        text=one.text,
        direction=way,
        kind=one.level,
        form=one.kind if part == "train" else f"{one.kind}, heldout",
        query=f"{LANGUAGE}: {one.formula}",
        picks=[object_id],
        n_words=len(one.text.split()),
    )


def _object_id(pair: Pair, index: int) -> str:
    return f"{pair.scene_id}-{index}"


# --- records ---------------------------------------------------------------------------------------------------------


def _work(drawn: Rendered, said: list[Instruction], place: str) -> Work:
    pair, scene_id = drawn.pair, drawn.pair.scene_id
    sides = [Picture(sha256=hashlib.sha256(jpeg).hexdigest(), jpeg=jpeg) for jpeg in map(encode_jpeg, _images(drawn))]
    objects = [_object(drawn, index, thing) for index, thing in enumerate(seen(pair.before))]
    edit = _edit(drawn, sides[0].sha256, sides[1].sha256)
    values: dict[str, Any] = {
        "describe": Description(photo_id=scene_id, caption=_caption(pair), objects=objects),
        "segment": Segmentation(photo_id=scene_id, objects=objects),
        "paint": Painting(photo_id=scene_id, edits=[edit], pictures=sides),
        "instruct": Wording(photo_id=scene_id, edits=[Worded(edit_id=edit.edit_id, instructions=said)]),
        "judge": Verdict(photo_id=scene_id, edits=[_judgement(edit, drawn.changed, sides, said)]),
    }
    return Work(_photo(drawn, sides[0].sha256, place), values)


def _images(drawn: Rendered) -> tuple[np.ndarray, np.ndarray]:
    return drawn.before.image, drawn.after.image


def _photo(drawn: Rendered, sha256: str, place: str) -> Photo:
    height, width = drawn.before.image.shape[:2]
    return Photo(
        photo_id=drawn.pair.scene_id,
        uri=place,
        sha256=sha256,
        phash=perceptual_hash(drawn.before.image),
        cluster=drawn.pair.scene_id,
        width=width,
        height=height,
        orig_width=width,
        orig_height=height,
        author=AUTHOR,
        licence=LICENCE,
        licence_url=LICENCE_URL,
        source_dataset=AUTHOR,
    )


def _object(drawn: Rendered, index: int, thing: Seen) -> Object:
    mask = Mask.of(drawn.before.mask(index))
    return Object(
        object_id=_object_id(drawn.pair, index),
        category=thing.shape,
        supercategory="solid",
        name=noun(thing, LOOKS),
        detail=str(thing),
        box=list(mask.box),
        mask=Rle(**mask.rle()),
        mask_from="rendered",
        mask_score=1.0,
        area=mask.area,
        colour=thing.colour,
    )


def _edit(drawn: Rendered, source: str, edited: str) -> Edit:
    pair, mask = drawn.pair, Mask.of(drawn.changed)
    before, after = seen(pair.before)[pair.subject], seen(pair.after)[pair.subject] if pair.result else None
    recoloured = pair.task == "recolour"
    return Edit(
        edit_id=f"{derive(0, pair.scene_id, drawn.before.image.shape[0]):08x}{pair.scene_id[:8]}",
        photo_id=pair.scene_id,
        object_id=_object_id(pair, pair.subject),
        task="remove_add" if after is None else "replace",
        method=METHODS[pair.task],
        natural="neither",
        category=before.shape,
        category_after=after.shape if after else "",
        object_before=before.shape if recoloured else noun(before, LOOKS),
        object_after=None if after is None else after.shape if recoloured else noun(after, LOOKS),
        detail_before=str(before),
        detail_after=str(after) if after else "",
        look_before=before.colour if recoloured else None,
        look_after=after.colour if recoloured and after else None,
        source_sha256=source,
        edited_sha256=edited,
        mask=Rle(**mask.rle()),
        box=list(mask.box),
        mask_share=mask.share,
        border_share=mask.border_share,
        seed=pair.seed,
        engine=ENGINE,
    )


def _judgement(edit: Edit, changed: np.ndarray, sides: list[Picture], said: list[Instruction]) -> Judgement:
    """What is measured on the stored pictures; nothing else needs judging, for both sides are drawn."""
    source, edited = (decode_own(side.jpeg) for side in sides)
    equal, psnr = outside_difference(source, edited, changed)
    return Judgement(
        edit_id=edit.edit_id,
        changed=changed_inside(source, edited, Mask.of(changed)),
        outside_psnr=psnr,
        outside_equal=equal,
        keep_forward=any(one.direction == "forward" for one in said),
        keep_reverse=any(one.direction == "reverse" for one in said),
    )


def _caption(pair: Pair) -> str:
    things = [f"a {noun(thing)}" for thing in seen(pair.before)]
    ground = {"plain": "plain", "checks": "checked", "stripes": "striped", "waves": "wavy"}[pair.before.ground.pattern]
    return f"{', '.join(things)} on {ground} ground"
