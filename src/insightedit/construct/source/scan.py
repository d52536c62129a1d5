"""Opening every photograph once: is it whole, whose is it, has it been seen before."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from insightedit.construct.source.found import Facts, Found, read_bytes
from insightedit.core.config import Knobs
from insightedit.core.errors import Unfit
from insightedit.core.image import Limits, decode, fit_within
from insightedit.core.record import Photo, Reject
from insightedit.flow.step import Step

HASH_BITS = 64


class SourceKnobs(Knobs):
    """What photographs are taken, and at which size they are worked on."""

    max_side: int = 2048  # px of the longer side; larger photographs are reduced, 0 keeps them as they are
    min_side: int = 200
    max_bytes: int = 64_000_000
    max_pixels: int = 100_000_000
    licence: str = ""  # said of all photographs that state none themselves
    author: str = ""
    allow_unlicensed: bool = False
    near_duplicate_bits: int = 6  # perceptual hashes that differ in at most so many of 64 bits are one cluster

    @property
    def limits(self) -> Limits:
        return Limits(self.max_bytes, self.max_pixels, self.min_side)


class Scan(Step[Found, Photo]):
    """Candidate -> photograph: decoded once, hashed, measured; or a reject that says what is wrong with it."""

    name, version, value = "scan", "1", Photo
    batch_size = 4
    knobs: SourceKnobs

    def __init__(self, knobs: SourceKnobs, root: Path) -> None:
        super().__init__(knobs)
        self.root = root

    def reject(self, item: Found, reason: str, seen: str = "", wanted: str = "") -> Reject:
        return Reject(step="source", reason=reason, uri=item.uri, seen=seen, wanted=wanted)

    def process(self, batch: Sequence[Found]) -> list[Photo | Reject]:
        return [self._scan(found) for found in batch]

    def _scan(self, found: Found) -> Photo | Reject:
        knobs, facts = self.knobs, found.facts
        try:
            licence = facts.licence or knobs.licence or ("unstated" if knobs.allow_unlicensed else "")
            if not licence:
                raise Unfit(
                    "no_licence", "none stated", "a licence in the annotations, --licence, or --allow-unlicensed"
                )
            data = read_bytes(self.root, found.uri, knobs.max_bytes)
            image, (width, height) = decode(data, knobs.limits)
            _check_notes(facts, width, height)
        except Unfit as error:
            return self.reject(found, error.reason, error.seen, error.wanted)
        small = fit_within(image, knobs.max_side)
        sha256 = hashlib.sha256(data).hexdigest()
        return Photo(
            photo_id=sha256[:16],
            uri=found.uri,
            sha256=sha256,
            phash=perceptual_hash(small),
            cluster=sha256[:16],
            width=small.shape[1],
            height=small.shape[0],
            orig_width=width,
            orig_height=height,
            author=facts.author or knobs.author,
            licence=licence,
            licence_url=facts.licence_url,
            source_url=facts.source_url,
            source_dataset=facts.source_dataset,
            caption=facts.caption,
            note_width=facts.note_width or width,
            note_height=facts.note_height or height,
            notes=facts.notes,
        )


def _check_notes(facts: Facts, width: int, height: int) -> None:
    """Annotations must speak of this frame, perhaps at another scale.

    Raises:
        Unfit: annotation_size_mismatch.
    """
    if not facts.notes or not facts.note_width or not facts.note_height:
        return
    stretch = (facts.note_width / width) / (facts.note_height / height)
    if not 0.98 < stretch < 1.02:
        seen = f"annotated at {facts.note_width} x {facts.note_height}, upright photo {width} x {height}"
        raise Unfit("annotation_size_mismatch", seen, "annotations of the upright photograph")


def open_photo(root: Path, photo: Photo, knobs: SourceKnobs) -> np.ndarray:
    """The working image of a scanned photograph: uint8 RGB (height, width, 3).

    Raises:
        Unfit: changed_since_scan, or whatever `decode` finds.
    """
    data = read_bytes(root, photo.uri, knobs.max_bytes)
    if hashlib.sha256(data).hexdigest() != photo.sha256:
        raise Unfit("changed_since_scan", photo.uri, "the bytes that were scanned")
    return fit_within(decode(data, knobs.limits)[0], knobs.max_side)


def perceptual_hash(image: np.ndarray) -> int:
    """64-bit DCT hash of the grey picture (Zauner 2010), as OpenCV computes it."""
    return int.from_bytes(cv2.img_hash.pHash(np.ascontiguousarray(image)).tobytes(), "big")


def clusters(ids: Sequence[str], hashes: np.ndarray, max_bits: int) -> list[str]:
    """Near-duplicate clusters: for each photograph the smallest id that it is linked to.

    Two hashes that differ in at most `max_bits` bits agree in at least one of `max_bits + 1` bands of bits
    (pigeonhole), so only photographs that share a band are compared.

    Args:
        ids: photo ids, (N,).
        hashes: uint64 (N,).
        max_bits: largest Hamming distance of a link.
    """
    parent = list(range(len(ids)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    for left, right in _near_pairs(hashes, max_bits):
        a, b = root(left), root(right)
        if a != b:
            first, second = (a, b) if ids[a] <= ids[b] else (b, a)
            parent[second] = first
    return [ids[root(index)] for index in range(len(ids))]


def _near_pairs(hashes: np.ndarray, max_bits: int) -> Iterable[tuple[int, int]]:
    bands = max_bits + 1
    edges = np.linspace(0, HASH_BITS, bands + 1).astype(int)
    for low, high in pairwise(edges):
        band = (hashes >> np.uint64(low)) & np.uint64((1 << int(high - low)) - 1)
        order = np.argsort(band, kind="stable")
        for group in np.split(order, np.flatnonzero(np.diff(band[order])) + 1):
            for position, index in enumerate(group[:-1]):
                rest = group[position + 1 :]
                near = rest[np.bitwise_count(hashes[rest] ^ hashes[index]) <= max_bits]
                yield from ((int(index), int(other)) for other in near)
