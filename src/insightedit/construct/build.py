"""`build`: photographs in, editing dataset out; continues where it was cut off.

out/work/       plan, scan and column groups: what a re-run continues from; may be deleted once the dataset is done
out/work/asked.json  what all runs asked and paid, by step; those that were killed are not in it
out/dataset/    the published shards
out/index.html  the page
out/config.yaml the effective configuration
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from insightedit.backends.chat.cost import Ledger
from insightedit.construct.ask import Purse
from insightedit.construct.folder import accounted, claimed
from insightedit.construct.funnel import Spending, count, most_frequent
from insightedit.construct.publish import Published, publish
from insightedit.construct.ready import see_needs
from insightedit.construct.recipe import Recipe
from insightedit.construct.row import FunnelLine
from insightedit.construct.source.plan import Listing, Plan, survey
from insightedit.construct.source.scan import Scan
from insightedit.core import config
from insightedit.core.errors import InputError, InsightEditError
from insightedit.flow.local import Line, Progress, Silent, run
from insightedit.flow.manifest import Manifest
from insightedit.flow.pool import Pool

NO_NOTES = (
    "The offline preset edits objects that somebody annotated: it has no network that could find them. Give "
    "--annotations COCO.json with boxes, polygons or RLE, or put it into the folder as annotations.json. The presets "
    "paper and modern find objects by themselves; `insightedit doctor paper` says what they need"
)


@dataclass(frozen=True)
class Built:
    """What a build left behind."""

    out: Path
    published: Published
    funnel: list[FunnelLine]
    cpu_s: dict[str, float]  # CPU seconds by step, over all runs of this recipe
    spent: list[Spending]  # what the answers took that it is made of, over all runs of this recipe


def build(
    photos: Path,
    out: Path,
    recipe: Recipe,
    annotations: Path | None = None,
    workers: int = 1,
    progress: Progress | None = None,
    budget_usd: float | None = None,
    ledger: Ledger | None = None,
) -> Built:
    """Build a dataset from the photographs at `photos` into the folder `out`.

    Args:
        photos: a folder, a webdataset tar, a parquet file, or one image.
        out: a new folder, or one that the same photographs and source settings were built into before.
        recipe: the configuration.
        annotations: a COCO file; without it `annotations.json` beside the photographs is taken if there is one.
        workers: processes; 0 runs in this one.
        progress: told about every step.
        budget_usd: what this run may pay language models; None = no limit.
        ledger: filled with what this run asks and pays, so that it can be shown however the run ends.

    Raises:
        ConfigError: steps that do not go together; no model, key or address for those that ask. Nothing is paid.
        InputError: nothing to build from, weights that cannot be had, or nothing came of it; the most frequent reasons
            are named.
        Stop: the budget is spent, or nobody answers. What is finished stays; the same call continues.
        OutputError: `out` holds something else, is in use, or cannot be written.
    """
    beside = (photos if photos.is_dir() else photos.parent) / "annotations.json"
    recipe.check()
    listing = survey(photos, annotations or (beside if beside.is_file() else None))
    if recipe.describe.backend == "annotations" and not any(found.facts.notes for found in listing.found):
        raise InputError(
            f"no annotated object among {len(listing.found)} photographs in {photos}",
            "describe.backend annotations needs them",
            NO_NOTES,
        )
    with claimed(out, recipe.identity(listing.mark)) as work:
        config.write(recipe, out / "config.yaml", "effective configuration of this dataset")
        purse = Purse(budget_usd, ledger)
        with accounted(work, purse.ledger):
            plan, line = _do(listing, work, recipe, purse, workers, progress or Silent())
        return _publish(plan, line, out, recipe, listing)


def _do(
    listing: Listing, work: Path, recipe: Recipe, purse: Purse, workers: int, progress: Progress
) -> tuple[Plan, Line]:
    scan = Line([Scan(recipe.source, listing.root)], listing.mark, Manifest(work / "scan"))
    plan = Plan(work)
    line = Line(recipe.steps(listing.root, purse), listing.mark, Manifest(work / "shards"))
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
        see_needs(line, plan)
        for step in line.steps:
            progress.begin(step.name, len(plan))
        asyncio.run(run(line, plan.shards(), pool, progress))
    return plan, line


def _publish(plan: Plan, line: Line, out: Path, recipe: Recipe, listing: Listing) -> Built:
    counted = count(plan, line, len(listing.found))
    works = (work for items, _ in line.results(plan.shards()) for work in items)
    mark = line.marks[line.steps[-1].name]
    published = publish(
        works,
        counted.rejects,
        counted.funnel,
        recipe.publish,
        out,
        recipe.preset,
        recipe.seed,
        mark,
        spent=counted.spent,
    )
    if not published.rows:
        mend = f"{out / 'index.html'} shows them; photographs with clearer objects or outlines help"
        raise InsightEditError("no edit was good enough to keep", most_frequent(counted.rejects), mend)
    return Built(out, published, published.funnel, counted.cpu_s, counted.spent)
