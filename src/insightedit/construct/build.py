"""`build`: photographs in, editing dataset out; continues where it was cut off.

out/work/       plan, scan and column groups: what a re-run continues from; may be deleted once the dataset is done
out/dataset/    the published shards
out/index.html  the page
out/config.yaml the effective configuration
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from insightedit.construct.funnel import count, most_frequent
from insightedit.construct.publish import Published, publish
from insightedit.construct.recipe import Recipe
from insightedit.construct.row import FunnelLine
from insightedit.construct.source.plan import Listing, Plan, survey
from insightedit.construct.source.scan import Scan
from insightedit.core import config
from insightedit.core.errors import InputError, InsightEditError, OutputError
from insightedit.core.files import read_json, write_json
from insightedit.flow.local import Line, Progress, Silent, run
from insightedit.flow.manifest import Manifest
from insightedit.flow.pool import Pool

NO_NOTES = (
    "The offline preset edits objects that somebody annotated: it has no network that could find them. Give "
    "--annotations COCO.json with boxes, polygons or RLE, or put it into the folder as annotations.json. Presets that "
    "find objects by themselves (paper, modern) need model weights and are not part of this version"
)


@dataclass(frozen=True)
class Built:
    """What a build left behind."""

    out: Path
    published: Published
    funnel: list[FunnelLine]
    cpu_s: dict[str, float]  # CPU seconds by step, over all runs of this recipe


def build(
    photos: Path,
    out: Path,
    recipe: Recipe,
    annotations: Path | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> Built:
    """Build a dataset from the photographs at `photos` into the folder `out`.

    Args:
        photos: a folder, a webdataset tar, a parquet file, or one image.
        out: a new folder, or one that the same photographs and source settings were built into before.
        recipe: the configuration.
        annotations: a COCO file; without it `annotations.json` beside the photographs is taken if there is one.
        workers: processes; 0 runs in this one.
        progress: told about every step.

    Raises:
        InputError: nothing to build from, or nothing came of it; the most frequent reasons are named.
        OutputError: `out` holds something else, is in use, or cannot be written.
    """
    beside = (photos if photos.is_dir() else photos.parent) / "annotations.json"
    listing = survey(photos, annotations or (beside if beside.is_file() else None))
    if not any(found.facts.notes for found in listing.found):
        raise InputError(
            f"no annotated object among {len(listing.found)} photographs in {photos}",
            "the offline preset needs them",
            NO_NOTES,
        )
    work = out / "work"
    _claim(out, recipe.identity(listing.mark))
    try:
        with FileLock(work / "lock", timeout=0):
            config.write(recipe, out / "config.yaml", "effective configuration of this dataset")
            plan, line = _do(listing, work, recipe, workers, progress or Silent())
            return _publish(plan, line, out, recipe, listing)
    except Timeout as error:
        raise OutputError(
            f"{out} is in use", "another build writes into it", "Wait for it, or choose another --out"
        ) from error


def _claim(out: Path, identity: dict[str, object]) -> None:
    """Bind an empty folder to this run, or check that it is this run's.

    Raises:
        OutputError: another recipe's folder, a folder of something else, or one that cannot be written.
    """
    note = out / "work" / "identity.json"
    if note.is_file():
        before = read_json(note)
        changed = [key for key in identity if before.get(key) != identity[key]]
        if changed:
            why = f"it was built with other {' and '.join(changed)}"
            raise OutputError(
                f"{out} belongs to another recipe", why, "Choose another --out, or delete that folder first"
            )
        return
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputError(f"{out} holds something else", "it is not empty and no build made it", "Choose a new --out")
    write_json(note, identity)


def _do(listing: Listing, work: Path, recipe: Recipe, workers: int, progress: Progress) -> tuple[Plan, Line]:
    scan = Line([Scan(recipe.source, listing.root)], listing.mark, Manifest(work / "scan"))
    plan = Plan(work)
    line = Line(recipe.steps(listing.root), listing.mark, Manifest(work / "shards"))
    for manifest in (scan.manifest, line.manifest):
        manifest.sweep()
    with Pool(workers, recipe.timeout_s) as pool:
        if not plan.path.is_file():
            progress.begin("scan", len(listing.found))
            asyncio.run(run(scan, listing.scan_shards(), pool, progress))
            plan.freeze(listing, scan, recipe.source, recipe.photos_per_shard)
        if not len(plan):
            raise InputError(
                "no photograph could be used", most_frequent(plan.rejects), "Mend what it says and run again"
            )
        for step in line.steps:
            progress.begin(step.name, len(plan))
        asyncio.run(run(line, plan.shards(), pool, progress))
    return plan, line


def _publish(plan: Plan, line: Line, out: Path, recipe: Recipe, listing: Listing) -> Built:
    counted = count(plan, line, len(listing.found))
    works = (work for items, _ in line.results(plan.shards()) for work in items)
    mark = line.marks[line.steps[-1].name]
    published = publish(works, counted.rejects, counted.funnel, recipe.publish, out, recipe.preset, recipe.seed, mark)
    if not published.rows:
        mend = f"{out / 'index.html'} shows them; photographs with clearer objects or outlines help"
        raise InsightEditError("no edit was good enough to keep", most_frequent(counted.rejects), mend)
    return Built(out, published, published.funnel, counted.cpu_s)
