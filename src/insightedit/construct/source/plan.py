"""The plan of a run, frozen before work begins: which photographs, in which shards, under which identity."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from insightedit.construct.source.coco import Annotations
from insightedit.construct.source.found import Facts, Found
from insightedit.construct.source.scan import SourceKnobs, clusters
from insightedit.construct.source.shelves import list_photos
from insightedit.construct.work import Work
from insightedit.core.errors import InputError
from insightedit.core.files import atomic, read_json, write_json
from insightedit.core.record import Photo, Reject, arrow_schema, from_table, to_table
from insightedit.flow.local import Line, Shard
from insightedit.flow.step import fingerprint

SCAN_SHARD = 64  # candidates per scan shard


@dataclass(frozen=True)
class Listing:
    """What lies below a path, before anything is opened."""

    root: Path
    found: list[Found]
    rejects: list[Reject]

    @property
    def mark(self) -> str:
        """Fingerprint of the candidates, their sizes and what is said of them."""
        return fingerprint([(item.uri, item.bytes, item.facts.model_dump_json()) for item in self.found])

    def scan_shards(self) -> list[Shard]:
        pieces = range(0, len(self.found), SCAN_SHARD)
        return [Shard(at // SCAN_SHARD, self.found[at : at + SCAN_SHARD]) for at in pieces]


def survey(photos: Path, annotations: Path | None) -> Listing:
    """List the photographs and join their annotations.

    Raises:
        InputError: no such path, no photograph below it, or annotations that are not COCO.
    """
    notes = Annotations(annotations) if annotations else None
    root, entries = list_photos(photos)
    found: list[Found] = []
    rejects: list[Reject] = []
    for entry in entries:
        if isinstance(entry, Reject):
            rejects.append(entry)
            continue
        facts = notes.of(entry.uri, entry.name) if notes else None
        found.append(entry if facts is None else replace(entry, facts=_joined(entry.facts, facts)))
    if not found:
        why = "no .jpg, .png, .webp, .tif, .tar or .parquet lies below it"
        if rejects:
            why = f"{rejects[0].reason} in {rejects[0].uri}: {rejects[0].seen}"
        raise InputError(f"no photographs in {photos}", why, "Point PHOTOS at a folder of photographs or at shards")
    return Listing(root, found, rejects + ([*notes.rejects, *notes.missing()] if notes else []))


def _joined(beside: Facts, noted: Facts) -> Facts:
    """What a shard says beside the photograph, and over it what the annotations say."""
    return beside.but(**{name: value for name in Facts.model_fields if (value := getattr(noted, name))})


class Plan:
    """Photographs after scanning: without exact duplicates, with clusters, cut into shards. Lives in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / "photos.parquet"

    def freeze(self, listing: Listing, scanned: Line, knobs: SourceKnobs, per_shard: int) -> None:
        """Write photos.parquet (one row group per shard) and source-rejects.json from the finished scan."""
        photos, rejects = _without_copies(scanned, listing)
        ids = [photo_id for photo_id, _ in photos.values()]
        hashes = np.array([phash for _, phash in photos.values()], np.uint64)
        cluster = dict(zip(ids, clusters(ids, hashes, knobs.near_duplicate_bits), strict=True))
        wanted = ((photo, photo.uri) for photo in _photos(scanned, listing))
        kept = (photo.but(cluster=cluster[photo.photo_id]) for photo, uri in wanted if uri in photos)
        with atomic(self.path) as unfinished, pq.ParquetWriter(unfinished, arrow_schema(Photo)) as writer:
            for group in _groups(kept, per_shard):
                writer.write_table(to_table(group, Photo), row_group_size=per_shard)
        write_json(self.folder / "source-rejects.json", [item.model_dump() for item in [*listing.rejects, *rejects]])

    @property
    def rejects(self) -> list[Reject]:
        """What was left out before the first step."""
        return [Reject(**item) for item in read_json(self.folder / "source-rejects.json")]

    def __len__(self) -> int:
        return int(pq.read_metadata(self.path).num_rows)

    def shards(self) -> Iterator[Shard]:
        """Shards of photographs, one in memory at a time."""
        file = pq.ParquetFile(self.path)
        for number in range(file.num_row_groups):
            table: pa.Table = file.read_row_group(number)
            yield Shard(number, [Work(photo, {}) for photo in from_table(table, Photo)])


def _photos(scanned: Line, listing: Listing) -> Iterator[Photo]:
    for found, _ in scanned.results(listing.scan_shards()):
        yield from (item.photo for item in found)


def _without_copies(scanned: Line, listing: Listing) -> tuple[dict[str, tuple[str, int]], list[Reject]]:
    """uri -> (photo_id, hash) of the first of each set of identical files; rejects of scan and the further copies."""
    first: dict[str, str] = {}
    photos: dict[str, tuple[str, int]] = {}
    rejects: list[Reject] = []
    for found, left in scanned.results(listing.scan_shards()):
        rejects += left
        for photo in (item.photo for item in found):
            if photo.photo_id in first:
                same = first[photo.photo_id]
                seen = Reject(step="source", reason="exact_duplicate", uri=photo.uri, seen=f"same bytes as {same}")
                rejects.append(seen.but(photo_id=photo.photo_id, wanted="one copy"))
            else:
                first[photo.photo_id] = photo.uri
                photos[photo.uri] = (photo.photo_id, photo.phash)
    return photos, rejects


def _groups(photos: Iterable[Photo], size: int) -> Iterator[list[Photo]]:
    group: list[Photo] = []
    for photo in photos:
        group.append(photo)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group
