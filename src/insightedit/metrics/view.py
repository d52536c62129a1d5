"""A sample as a profile looks at it: pictures of one size, the mask as a weight, the published crop."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from PIL import Image

from insightedit.metrics.outcome import Gap, Status
from insightedit.metrics.profile import MaskRule, Profile
from insightedit.metrics.sample import Sample

LONGEST_INSIGHTEDIT = 1500  # px, of the width; InsightEdit's filter looks at no height


@dataclass(frozen=True, eq=False)
class View:
    """Two pictures of one size, and what is made of them once for all metrics.

    Fields:
        reference, edited: uint8 RGB (H, W, 3).
        mask: uint8 (H, W), 255 = edited; None = the profile knows no mask.
        sample: as it came.
    """

    reference: np.ndarray
    edited: np.ndarray
    mask: np.ndarray | None
    sample: Sample

    @cached_property
    def pictures(self) -> tuple[np.ndarray, np.ndarray]:
        """Reference and edited picture, float32 (H, W, 3) in 0..1."""
        return _floats(self.reference), _floats(self.edited)

    @cached_property
    def weight(self) -> np.ndarray:
        """1 = background, 0 = edited, between them where the mask is grey; float32 (H, W).

        Raises:
            Gap: there is no mask.
        """
        if self.mask is None:
            raise Gap(Status.MISSING_MASK)
        return (1 - self.mask / 255).astype(np.float32)

    @cached_property
    def masked(self) -> tuple[np.ndarray, np.ndarray]:
        """Both pictures times the weight: edited places are black in both."""
        first, second = self.pictures
        weight = cv2.merge([self.weight] * 3)  # (H, W, 3): numpy is slow at broadcasting over three
        return first * weight, second * weight

    @cached_property
    def background(self) -> np.ndarray:
        """The weight, which is not zero everywhere.

        Raises:
            Gap: there is no mask, or no background.
        """
        if not self.weight.any():
            raise Gap(Status.NO_BACKGROUND, "the mask covers the whole picture")
        return self.weight

    @property
    def crop_box(self) -> tuple[int, int, int, int]:
        """SmartEdit's box, xyxy px half-open: any value above 0 counts; the last row and column of the mask are lost.

        Raises:
            Gap: there is no mask, or its box has no width or no height.
        """
        if self.mask is None:
            raise Gap(Status.MISSING_MASK)
        rows, columns = np.flatnonzero(self.mask.any(axis=1)), np.flatnonzero(self.mask.any(axis=0))
        box = int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1])
        if box[0] == box[2] or box[1] == box[3]:
            raise Gap(Status.EMPTY_CROP, f"the mask is {len(columns)} px wide and {len(rows)} px high")
        return box

    @property
    def crop(self) -> np.ndarray:
        """The edited picture in `crop_box`."""
        left, top, right, bottom = self.crop_box
        return self.edited[top:bottom, left:right]


def prepare(profile: Profile, sample: Sample) -> View:
    """The view of a sample.

    Raises:
        Gap: missing_output, missing_source, missing_target, unreadable, wrong_size, missing_mask, wrong_mask_size,
            empty_mask.
    """
    edited = _picture(sample.edited, Status.MISSING_OUTPUT)
    if profile.against == "target":
        reference = _picture(sample.target, Status.MISSING_TARGET)
    else:
        reference = _picture(sample.source, Status.MISSING_SOURCE)
    if profile.side:
        size = (profile.side, profile.side)
        return View(resized(reference, size), resized(edited, size), _mask(profile.mask, sample, size), sample)
    size = (reference.shape[1], reference.shape[0])
    if edited.shape != reference.shape and not profile.fit:
        seen = f"{edited.shape[1]} x {edited.shape[0]} px against {size[0]} x {size[1]}"
        raise Gap(Status.WRONG_SIZE, seen)
    return View(reference, resized(edited, size), _mask(profile.mask, sample, size), sample)


def judged_pair(profile: Profile, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    """Source and edited picture as the profile's judge sees them, uint8 RGB.

    Raises:
        Gap: one of them is missing.
    """
    source = _picture(sample.source, Status.MISSING_SOURCE)
    edited = _picture(sample.edited, Status.MISSING_OUTPUT)
    rule = profile.judge.pair if profile.judge else "as_is"
    if rule == "fit_edited":
        return source, resized(edited, (source.shape[1], source.shape[0]))
    if rule == "least":
        width, height = (min(source.shape[axis], edited.shape[axis]) for axis in (1, 0))
        if width > LONGEST_INSIGHTEDIT:
            width, height = LONGEST_INSIGHTEDIT, max(1, height * LONGEST_INSIGHTEDIT // width)
        way = Image.Resampling.LANCZOS
        return resized(source, (width, height), way), resized(edited, (width, height), way)
    return source, edited


def resized(image: np.ndarray, size: tuple[int, int], way: Image.Resampling = Image.Resampling.BICUBIC) -> np.ndarray:
    """uint8 (H, W) or (H, W, 3) -> the same of `size` (width, height), aspect ignored, by Pillow as published."""
    if (image.shape[1], image.shape[0]) == size:
        return image
    return np.asarray(Image.fromarray(image).resize(size, way))


def _picture(image: np.ndarray | None, missing: Status) -> np.ndarray:
    if image is None:
        raise Gap(missing)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise Gap(Status.UNREADABLE, f"{image.dtype} {image.shape} is no uint8 RGB picture")
    return image


def _mask(rule: MaskRule | None, sample: Sample, size: tuple[int, int]) -> np.ndarray | None:
    if rule is None:
        return None
    mask = _values(sample)
    if sample.source is not None and not _same_aspect(mask.shape, sample.source.shape):
        seen = f"a mask of {mask.shape[1]} x {mask.shape[0]} px, a source of {sample.source.shape[1::-1]}"
        raise Gap(Status.WRONG_MASK_SIZE, seen)
    mask = resized(mask, size, Image.Resampling.NEAREST)
    if rule.threshold is not None:
        mask = np.where(mask > rule.threshold, 255, 0).astype(np.uint8)
    if not mask.any():
        raise Gap(Status.EMPTY_MASK)
    if rule.dilate_px:
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * rule.dilate_px + 1, 2 * rule.dilate_px + 1))
        mask = cv2.dilate(mask, disc)
    return mask


def _values(sample: Sample) -> np.ndarray:
    mask = sample.mask
    if mask is None:
        raise Gap(Status.MISSING_MASK)
    if mask.ndim != 2 or not mask.size or mask.dtype not in (np.bool_, np.uint8):
        raise Gap(Status.UNREADABLE, f"{mask.dtype} {mask.shape} is no mask: bool or uint8 (H, W)")
    values = mask.astype(np.uint8) * 255 if mask.dtype == np.bool_ else mask
    if values.max() <= 1:  # of 255: the weight of 0 and 1 would leave everything in
        raise Gap(Status.EMPTY_MASK, "all values are 0 or 1 of 255; save a mask as 0 and 255")
    return values


def _same_aspect(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Whether a mask may be of this picture, perhaps of another resolution: two px of rounding are allowed."""
    return abs(one[1] * other[0] - other[1] * one[0]) <= 2 * max(one[0], other[0], one[1], other[1])


def _floats(image: np.ndarray) -> np.ndarray:
    return image.astype(np.float32) / 255
