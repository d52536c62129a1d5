"""Step 3, paint: edits of a photograph, each differing from it inside one mask only."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from insightedit.backends.paint.halo import with_halo
from insightedit.backends.paint.material import remake, suitable_materials
from insightedit.backends.paint.patchmatch import fill, strangers
from insightedit.backends.paint.recolour import Painted, recolour, suitable_colours
from insightedit.backends.paint.transplant import cut_out, fits, place
from insightedit.construct.compose import composed
from insightedit.construct.menu import (
    LookKnobs,
    Refusal,
    RemovalKnobs,
    TransplantKnobs,
    Wish,
    mask_of,
    wishes,
    without_others,
)
from insightedit.construct.paint_knobs import NetworkKnobs
from insightedit.construct.photo_step import PhotoStep
from insightedit.construct.source.scan import open_photo
from insightedit.construct.work import Painting, Work
from insightedit.core.config import Knobs
from insightedit.core.errors import Unfit
from insightedit.core.image import encode_jpeg
from insightedit.core.mask import Mask, grow, growth_px
from insightedit.core.record import Edit, Object, Photo, Picture, Reject, Rle
from insightedit.core.seed import derive
from insightedit.flow.step import Place

ENGINE = "insightedit-classical"
BEST_LOOKS = 4  # the choice falls among so many of the most suitable looks
Donor = tuple[Photo, Object]


class PaintKnobs(Knobs):
    """Who paints which edits, how many, how they are stored."""

    backend: Literal["classical", "networks"] = "classical"
    networks: NetworkKnobs = NetworkKnobs()
    place: Place = Place()
    max_edits: int = 8  # painted per photo; composed ones come on top
    compose: bool = True
    jpeg_quality: int = 95
    removal: RemovalKnobs = RemovalKnobs()
    look: LookKnobs = LookKnobs()
    transplant: TransplantKnobs = TransplantKnobs()


@dataclass(frozen=True)
class Result:
    """What a wish became: the picture, and the words for what is there now."""

    painted: Painted
    look: str | None = None
    after: Object | None = None  # another thing


class Paint(PhotoStep[Painting]):
    """Objects with masks -> edits with pictures."""

    name, version, value = "paint", "1", Painting
    knobs: PaintKnobs

    def arrange(self, items: Sequence[Work]) -> Sequence[Work]:
        """Each photo gets objects of the shard's other photos as donors; metadata only."""
        items = super().arrange(items)
        if not self.knobs.transplant.per_object:
            return items
        bank = [(work.photo, thing) for work in items for thing in work.objects if self._may_donate(thing)]
        return [replace(work, donors=tuple(self._donors(work, bank))) for work in items]

    def _may_donate(self, thing: Object) -> bool:
        whole = mask_of(thing).border_share == 0
        return thing.replaceable and whole and (thing.mask_score or 0) >= self.knobs.transplant.min_mask_score

    def _donors(self, work: Work, bank: list[Donor]) -> list[Donor]:
        kinds = {(thing.category, thing.supercategory) for thing in work.objects}
        others = [
            donor
            for donor in bank
            if donor[0].cluster != work.photo.cluster and (donor[1].category, donor[1].supercategory) in kinds
        ]
        others.sort(key=lambda donor: derive(self.seed, work.photo.photo_id, donor[1].object_id))
        return others

    def one(self, work: Work) -> Painting:
        image = self.open(work)
        source = stored(image, self.knobs.jpeg_quality)
        edits: list[Edit] = []
        rejects: list[Reject] = []
        pictures = [source]
        for wish in wishes(work, self.knobs.removal, self.knobs.look, self.knobs.transplant):
            if isinstance(wish, Refusal):
                rejects.append(self._refused(work, wish.thing, wish.why))
                continue
            if len(edits) >= self.knobs.max_edits:
                break
            try:
                result = self._painted(image, work, wish)
                picture = stored(result.painted.image, self.knobs.jpeg_quality)
                edits.append(self._edit(work, wish, result, source, picture))
                pictures.append(picture)
            except Unfit as error:
                rejects.append(self._refused(work, wish.thing, error))
        if self.knobs.compose:
            edits += composed(edits)
        return Painting(photo_id=work.photo.photo_id, edits=edits, rejects=rejects, pictures=pictures)

    def _refused(self, work: Work, thing: Object, error: Unfit) -> Reject:
        return self.reject(work, error.reason, error.seen, error.wanted).but(object_id=thing.object_id)

    def _painted(self, image: np.ndarray, work: Work, wish: Wish) -> Result:
        """The picture of a wish.

        Raises:
            Unfit: monochrome_photo, no_suitable_colour, no_suitable_material, does_not_fit.
        """
        if wish.method == "removal":
            return Result(self._removed(image, work, wish.thing))
        if wish.method == "transplant":
            return self._transplanted(image, work, wish)
        if is_monochrome(image):
            raise Unfit("monochrome_photo", wish.thing.name, "a photograph in colour")
        mask = without_others(mask_of(wish.thing), wish.thing, work.objects).full()
        paint, suitable = {"recolour": (recolour, suitable_colours), "material": (remake, suitable_materials)}[
            wish.method
        ]
        look = self._chosen(suitable(image, mask), work, wish)
        return Result(paint(image, mask, look), look=look)

    def _chosen(self, looks: list[str], work: Work, wish: Wish) -> str:
        """One of the looks that suit best, another one each turn.

        Raises:
            Unfit: no_suitable_colour, no_suitable_material.
        """
        named = set(wish.thing.name.split()) | {wish.thing.colour}
        free = [look for look in looks if look not in named]
        if wish.turn >= len(free):
            kind = "colour" if wish.method == "recolour" else "material"
            raise Unfit(f"no_suitable_{kind}", f"{wish.thing.name}: {len(free)} suit", f"more than {wish.turn}")
        best = free[: max(BEST_LOOKS, wish.turn + 1)]  # suitable_* give the best first
        best.sort(key=lambda look: derive(self.seed, wish.thing.object_id, wish.method, look))
        return best[wish.turn]

    def _removed(self, image: np.ndarray, work: Work, thing: Object) -> Painted:
        knobs, mask = self.knobs.removal, mask_of(thing)
        growth = growth_px(mask, knobs.grow_share, knobs.grow_least_px, knobs.grow_most_px)
        hole = grow(mask, growth).full()
        others = neighbours(work, thing)
        if knobs.halo:
            hole = with_halo(image, hole, others & ~mask.full())
        hole &= ~strangers(others & ~mask.full(), mask.full())  # a neighbour stays whole; the ground it lies on may not
        seed = derive(self.seed, thing.object_id, "removal")
        return Painted(fill(image, hole, avoid=others & ~hole, seed=seed), hole)

    def _transplanted(self, image: np.ndarray, work: Work, wish: Wish) -> Result:
        """Remove, then put the donor there.

        Raises:
            Unfit: does_not_fit.
        """
        if wish.donor is None:
            raise Unfit("does_not_fit", "no donor", "an object of another photo")
        photo, donor = wish.donor
        there = open_photo(self.root, photo, self.source)
        cutout = cut_out(there, mask_of(donor).full())
        x0, y0, x1, y1 = wish.thing.box
        fit = fits(cutout, (x0, y0, x1, y1), image)
        if fit < self.knobs.transplant.min_fit:
            raise Unfit(
                "does_not_fit", f"{donor.name} for {wish.thing.name}: {fit:.2f}", f"{self.knobs.transplant.min_fit:g}"
            )
        cleared = self._removed(image, work, wish.thing)
        placed = place(cleared.image, cutout, (x0, y0, x1, y1))
        return Result(Painted(placed.image, placed.support | cleared.support), after=donor)

    def _edit(self, work: Work, wish: Wish, result: Result, source: Picture, picture: Picture) -> Edit:
        thing, after = wish.thing, result.after or wish.thing
        name = edit_id(work.photo.photo_id, thing.object_id, wish.method, result.look, after.object_id)
        edit = recorded(name, work, thing, wish.method, result, (source, picture))
        return edit.but(seed=derive(self.seed, thing.object_id, wish.method), engine=f"{ENGINE}/{wish.method}")


def recorded(
    name: str, work: Work, thing: Object, method: str, result: Result, pictures: tuple[Picture, Picture]
) -> Edit:
    """The record of an edit, without seed and engine.

    Args:
        name: its id.
        work: of the photograph.
        thing: what was edited.
        method: of the edit; "removal" has no thing afterwards.
        result: what was painted.
        pictures: source and edited, as stored.

    Raises:
        Unfit: nothing_changed.
    """
    support, (source, picture) = Mask.of(result.painted.support), pictures
    if not support.area or picture.sha256 == source.sha256:
        raise Unfit("nothing_changed", thing.name, "a visible edit")
    removal, after = method == "removal", result.after or thing
    return Edit(
        edit_id=name,
        photo_id=work.photo.photo_id,
        object_id=thing.object_id,
        task="remove_add" if removal else "replace",
        method=method,
        natural="source",
        category=thing.category,
        category_after="" if removal else after.category,
        object_before=thing.name,
        object_after=None if removal else after.name,
        detail_before=thing.detail,
        detail_after=after.detail if result.after else "",
        look_before=thing.colour,
        look_after=after.colour if result.after else result.look,
        source_sha256=source.sha256,
        edited_sha256=picture.sha256,
        mask=Rle(**support.rle()),
        box=list(support.box),
        mask_share=support.share,
        border_share=support.border_share,
    )


def neighbours(work: Work, thing: Object) -> np.ndarray:
    """The photo's other objects with masks, bool (H, W)."""
    others = np.zeros((work.photo.height, work.photo.width), bool)
    for other in work.objects:
        if other.object_id != thing.object_id and other.mask is not None:
            others |= mask_of(other).full()
    return others


def is_monochrome(image: np.ndarray) -> bool:
    """A black-and-white photograph (perhaps toned): one coloured thing in it would look painted on."""
    sample = image[::8, ::8].astype(np.int16)
    tint = np.median(sample - sample.mean(axis=2, keepdims=True), axis=(0, 1))
    return bool(np.percentile(np.ptp(sample - tint, axis=2), 98) < 16)


def edit_id(*parts: object) -> str:
    """First 16 hex digits of the SHA-256 of what makes the edit what it is."""
    return hashlib.sha256("\x1f".join(str(part) for part in parts).encode()).hexdigest()[:16]


def stored(image: np.ndarray, quality: int) -> Picture:
    """A picture, uint8 RGB (H, W, 3), as it is kept."""
    data = encode_jpeg(image, quality)
    return Picture(sha256=hashlib.sha256(data).hexdigest(), jpeg=data)
