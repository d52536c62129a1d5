"""The last step: what the steps found, joined, split, and written as a dataset that others can load, read and check.

Everything is written into a folder beside the final one and swapped in when it is whole, so a reader never meets half
a dataset, and an older dataset stays until the new one is complete. The same input gives the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic import Field, field_validator

from insightedit import __version__
from insightedit.construct.card import PHOTOGRAPHS, Facts, Origin, write_card
from insightedit.construct.funnel import Spending
from insightedit.construct.page import MARK, Gallery, write_page
from insightedit.construct.row import FunnelLine, Row, pictures_of, published_schema, rows_of
from insightedit.construct.row_asked import AskedRow, with_asked
from insightedit.construct.shards import RejectWriter, SplitWriter, sync
from insightedit.construct.tally import Tally
from insightedit.construct.work import Work
from insightedit.core.config import Knobs
from insightedit.core.errors import OutputError
from insightedit.core.files import TEMPORARY, sha256_of, write_json, write_text
from insightedit.core.record import SCHEMA_VERSION, Record, Reject

DATASET, PAGE, INDEX, MANIFEST = "dataset", "page", "index.html", "manifest.json"
OLD = ".old"


class PublishKnobs(Knobs):
    """How the dataset is cut and what it is called."""

    name: str = "insightedit-dataset"  # what `load_dataset` is given in the card: a path, or OWNER/NAME on the Hub
    title: str = "Instruction-based image edits"
    splits: dict[str, float] = {"train": 0.9, "validation": 0.05, "test": 0.05}
    rows_per_file: int = Field(2000, ge=1)
    bytes_per_file: int = Field(500_000_000, ge=1)  # a file ends at whichever comes first
    page_rows: int = Field(200, ge=0)  # edits on the page at most

    @field_validator("splits")
    @classmethod
    def _whole(cls, splits: dict[str, float]) -> dict[str, float]:
        wrong = [name for name in splits if not re.fullmatch(r"[a-z][a-z0-9_]*", name)]
        if wrong:
            raise ValueError(f"a split is named in a-z, 0-9 and _, not {wrong[0]!r}")
        if abs(sum(splits.values()) - 1) > 1e-6 or min(splits.values()) < 0:
            raise ValueError("the shares of the splits must be positive and add up to 1")
        return splits


class Published(Record):
    """What was published and where."""

    dataset: Path
    page: Path
    rows: int
    directed_pairs: int
    photos: int
    splits: dict[str, int]
    rejects: int
    funnel: list[FunnelLine]
    content_hash: str  # SHA-256 over the sorted hashes of all files


def publish(
    works: Iterable[Work],
    rejects: Iterable[Reject],
    funnel: Sequence[FunnelLine],
    knobs: PublishKnobs,
    out: Path,
    preset: str,
    seed: int,
    recipe: str = "",
    origin: Origin = PHOTOGRAPHS,
    spent: Sequence[Spending] = (),
) -> Published:
    """Write `out`/dataset, `out`/index.html and `out`/page.

    Args:
        works: photographs with the values of all five steps, pictures included; one is held at a time.
        rejects: what the steps left out, but not the edits that were judged out: those are added here. Read after
            the works, so it may be filled while they pass.
        funnel: what every step kept, in order. If the judge's line has no reasons, they are counted here.
        knobs: how the dataset is cut and called.
        out: the folder of the run.
        preset: name of the configuration.
        seed: seed of the run.
        recipe: fingerprint of the effective configuration.
        origin: what the card says about where the pictures come from.
        spent: what the steps that asked language models took. If there is one, rows say who was asked (`AskedRow`).

    Raises:
        OutputError: the disk is full, or `out` holds something else under those names.
        InputError: a picture that an edit names is not there.
    """
    places = [out / DATASET, out / PAGE, out / INDEX]
    _refuse_strangers(*places)
    _recover(*places[:2])
    try:
        writing = _Writing(out, knobs, origin, spent)
        for work in works:
            writing.take(work)
        for reject in rejects:
            writing.reject(reject)
        return writing.finish(list(funnel), preset, seed, recipe)
    except OSError as error:
        raise OutputError(
            f"could not publish to {out}",
            error.strerror or str(error),
            "Free some space or choose another --out; what is built stays, and the same command continues",
        ) from error
    finally:
        for place in places[:2]:
            shutil.rmtree(_beside(place, TEMPORARY), ignore_errors=True)


class _Writing:
    """A dataset on its way to the disk."""

    def __init__(self, out: Path, knobs: PublishKnobs, origin: Origin, spent: Sequence[Spending]) -> None:
        self.out, self.knobs, self.origin, self.spent, self.tally = out, knobs, origin, spent, Tally()
        self.row: type[Row] = AskedRow if spent else Row
        self.folder, pictures = _beside(out / DATASET, TEMPORARY), _beside(out / PAGE, TEMPORARY)
        for folder in (self.folder, pictures):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        data = self.folder / "data"
        limits, schema = (knobs.rows_per_file, knobs.bytes_per_file), published_schema(self.row)
        self.splits = {name: SplitWriter(data, name, *limits, schema) for name in knobs.splits}
        self.rejects, self.judged_out = RejectWriter(self.folder / "rejects"), Counter[str]()
        self.gallery = Gallery(pictures, knobs.page_rows)

    def take(self, work: Work) -> None:
        """One photograph: its rows into their split, its judged-out edits to the rejects."""
        rows, judged_out = rows_of(work, self.knobs.splits)
        for edit in work.edits:
            self.tally.painted(edit.task, edit.method)
        for row in rows:
            self._row(with_asked(row, work) if self.spent else row)
        if rows:
            first = rows[0]
            self.tally.photo(first.source_dataset, first.author, first.license, first.license_url)
        for edit, reject in judged_out:
            self.rejects.add(reject)
            self.judged_out[reject.reason] += 1
            self.gallery.offer_reject(reject, edit, pictures_of(work, edit))

    def _row(self, row: Row) -> None:
        self.splits[row.split].add(row)
        self.tally.row(row.__dict__)
        self.gallery.offer(row)

    def reject(self, reject: Reject) -> None:
        """Something that an earlier step left out."""
        self.rejects.add(reject)
        self.gallery.offer_reject(reject)

    def finish(self, funnel: list[FunnelLine], preset: str, seed: int, recipe: str) -> Published:
        """Card, manifest and page; then all of it under the final names."""
        files = self._close()
        self.rejects.close()
        funnel = [self._with_reasons(line) for line in funnel]
        counted = self.tally.splits
        self.tally.splits = Counter({name: counted[name] for name in self.splits if counted[name]})  # in their order
        facts = Facts(
            name=self.knobs.name,
            title=self.knobs.title,
            preset=preset,
            seed=seed,
            recipe=recipe,
            tally=self.tally,
            funnel=funnel,
            rejects=self.rejects.rejects,
            split_bytes={name: self.splits[name].num_bytes for name in files},
            reject_bytes=self.rejects.num_bytes,
            origin=self.origin,
            row=self.row,
            spent=self.spent,
        )
        write_text(self.folder / "README.md", write_card(facts))
        content_hash = self._manifest(facts)
        note = f"insightedit {__version__}, preset {preset}, seed {seed}, content {content_hash[:12]}"
        pictures = self.gallery.folder
        index = _beside(self.out / INDEX, TEMPORARY)
        write_page(index, PAGE, self.gallery, self.tally, funnel, self.knobs.title, note, self.origin.things)
        _swap_in(self.folder, self.out / DATASET)
        _swap_in(pictures, self.out / PAGE)
        index.replace(self.out / INDEX)
        return Published(
            dataset=self.out / DATASET,
            page=self.out / INDEX,
            rows=self.tally.rows,
            directed_pairs=self.tally.pairs,
            photos=self.tally.photos,
            splits=dict(self.tally.splits),
            rejects=self.rejects.rejects,
            funnel=funnel,
            content_hash=content_hash,
        )

    def _with_reasons(self, line: FunnelLine) -> FunnelLine:
        """Judged-out edits become rejects only here, so a line of the judge without reasons gets them here."""
        if line.step != "judge" or line.reasons:
            return line
        return line.but(reasons=dict(sorted(self.judged_out.items(), key=lambda item: (-item[1], item[0]))))

    def _close(self) -> dict[str, list[Path]]:
        """Finish the files; those of each split that has any.

        `datasets` refuses a split without rows, so such a split has no file; a dataset without any row keeps one empty
        file, which holds the schema and can be streamed.
        """
        first = next(iter(self.splits))
        closed = {name: writer.close(not self.tally.rows and name == first) for name, writer in self.splits.items()}
        return {name: files for name, files in closed.items() if files}

    def _manifest(self, facts: Facts) -> str:
        """Write manifest.json, the last file; returns the hash of the content. No times: equal input, equal bytes."""
        paths = sorted(path for path in self.folder.rglob("*") if path.is_file())
        files = {
            path.relative_to(self.folder).as_posix(): {"sha256": sha256_of(path), "bytes": path.stat().st_size}
            for path in paths
        }
        content_hash = content_hash_of(str(entry["sha256"]) for entry in files.values())
        tally = self.tally
        manifest = {
            "schema_version": SCHEMA_VERSION,
            "made_by": f"insightedit {__version__}",
            "name": facts.name,
            "title": facts.title,
            "preset": facts.preset,
            "seed": facts.seed,
            "recipe": facts.recipe,
            "content_hash": content_hash,
            "totals": {
                "rows": tally.rows,
                "directed_pairs": tally.pairs,
                "forward": tally.forward,
                "reverse": tally.reverse,
                "photos": tally.photos,
                "rejects": facts.rejects,
            },
            "splits": {name: tally.splits[name] for name in self.splits},
            "yields": [line.model_dump() for line in tally.yields()],
            "funnel": [line.model_dump() for line in facts.funnel],
            **({"asked": [one.model_dump() for one in facts.spent]} if facts.spent else {}),
            "files": files,
        }
        write_json(self.folder / MANIFEST, manifest)
        return content_hash


def content_hash_of(hashes: Iterable[str]) -> str:
    """SHA-256 over the sorted hashes of files: what two equal datasets have in common."""
    return hashlib.sha256("\n".join(sorted(hashes)).encode()).hexdigest()


# --- places ----------------------------------------------------------------------------------------------------------


def _beside(place: Path, suffix: str) -> Path:
    return place.with_name(place.name + suffix)


def _refuse_strangers(dataset: Path, page: Path, index: Path) -> None:
    """Never replace what `publish` did not write."""
    strange = None
    if dataset.exists() and not _is_ours(dataset):
        strange = dataset
    if page.exists() and (not page.is_dir() or any(path.suffix != ".jpg" for path in page.iterdir())):
        strange = page
    if index.exists() and MARK not in index.read_text(encoding="utf-8", errors="replace"):
        strange = index
    if strange:
        raise OutputError(
            f"could not publish to {strange}",
            "there is something that insightedit did not write",
            "Move it away or choose another --out",
        )


def _is_ours(dataset: Path) -> bool:
    try:
        manifest = json.loads((dataset / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return dataset.is_dir() and not any(dataset.iterdir())
    return isinstance(manifest, dict) and "content_hash" in manifest


def _recover(*places: Path) -> None:
    """If a run stopped between the two renames of a swap, put the older folder back."""
    for place in places:
        old = _beside(place, OLD)
        if old.exists() and not place.exists():
            old.rename(place)
        shutil.rmtree(old, ignore_errors=True)


def _swap_in(folder: Path, place: Path) -> None:
    """Put a finished folder under its final name; what was there goes when the new one is in place."""
    for path in folder.rglob("*"):
        if path.is_file():
            sync(path)
    old = _beside(place, OLD)
    if place.exists():
        place.rename(old)
    folder.rename(place)
    shutil.rmtree(old, ignore_errors=True)


__all__ = ["FunnelLine", "PublishKnobs", "Published", "publish"]
