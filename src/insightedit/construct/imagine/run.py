"""`imagine`: captions in, editing dataset out; continues where it was cut off.

out/work/       proposals and column groups: what a re-run continues from; may be deleted once the dataset is done
out/work/asked.json  what all runs asked and paid; those that were killed are not in it
out/dataset/    the published shards, with the rows that `build` publishes
out/index.html  the page
out/config.yaml the effective configuration
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from insightedit.backends.chat.cost import Ledger
from insightedit.construct.ask import Purse
from insightedit.construct.build import Built
from insightedit.construct.folder import accounted, claimed
from insightedit.construct.funnel import most_frequent
from insightedit.construct.imagine.captions import Listing, read
from insightedit.construct.imagine.propose import Proposal, Propose, pages
from insightedit.construct.imagine.recipe import ImagineRecipe
from insightedit.construct.imagine.sample import Idea, SamplePairs
from insightedit.construct.imagine.works import ORIGIN, Proposals, count, works_of
from insightedit.construct.publish import publish
from insightedit.core import config
from insightedit.core.errors import InsightEditError
from insightedit.core.record import Reject
from insightedit.flow.local import Line, Progress, Shard, Silent, run
from insightedit.flow.manifest import Manifest
from insightedit.flow.pool import Pool
from insightedit.flow.step import fingerprint

NO_TRIPLE = "Give other captions, or triples of your own; see docs/imagined.md"
NO_PAIR = "{page} says why; more samples (sample.sampler.samples) or another model may find some"


def imagine(
    captions: Path,
    out: Path,
    recipe: ImagineRecipe,
    workers: int = 1,
    progress: Progress | None = None,
    budget_usd: float | None = None,
    ledger: Ledger | None = None,
) -> Built:
    """Make pairs of the captions at `captions` and publish them into the folder `out`.

    Args:
        captions: a list as `read` takes it.
        out: a new folder, or one that the same list was made into before.
        recipe: the configuration.
        workers: processes; 0 runs in this one. Those with a GPU come on top, one for each.
        progress: told about every step.
        budget_usd: what this run may pay language models; None = no limit. Nobody is asked about a list of triples.
        ledger: filled with what this run asks and pays, so that it can be shown however the run ends.

    Raises:
        InputError: no usable line in the list, or weights that are not here.
        InsightEditError: nothing came of it; the most frequent reasons are named.
        OutputError: `out` holds something else, is in use, or cannot be written.
        Stop: nobody answers any more, or the budget is spent; the same command continues.
    """
    listing = read(captions, recipe.propose.triples)
    with claimed(out, recipe.identity(listing.mark)) as work, Pool(workers, recipe.timeout_s) as pool:
        config.write(recipe, out / "config.yaml", "effective configuration of this dataset")
        this = _Run(recipe, work, pool, progress or Silent())
        purse, step = Purse(budget_usd, ledger), SamplePairs(recipe.sample, recipe.seed)
        with accounted(work, purse.ledger):
            proposals = this.propose(listing, purse, step)
        ideas = _ideas(listing, proposals)
        if not ideas:
            why = most_frequent([*listing.rejects, *proposals.rejects])
            raise InsightEditError("no edit could be put into words", why, NO_TRIPLE)
        line, shards = this.sample(ideas, step)
        return _publish(listing, proposals, line, shards, out, recipe, captions.stem)


@dataclass(frozen=True)
class _Run:
    recipe: ImagineRecipe
    work: Path
    pool: Pool
    progress: Progress

    def propose(self, listing: Listing, purse: Purse, sampling: SamplePairs) -> Proposals:
        """An edit in words for each caption that has none; `sampling` is what they are for."""
        knobs, found = self.recipe.propose, Proposals()
        asked = list(pages(listing.captions, knobs.triples.captions_per_request))
        if not asked:
            return found
        step, shards = Propose(knobs, self.recipe.seed, purse), _cut(asked, self.recipe.pages_per_shard)
        line = Line([step], fingerprint(listing.captions), Manifest(self.work / "proposals"))
        if not all(line.is_done(shard.number, step) for shard in shards):
            sampling.see_needs()  # words that are paid for are worth nothing where nobody can paint them
        self._do(line, shards)
        for items, rejects in line.results(shards):
            found.rejects += rejects
            for page in items:
                proposal = page.values[step.name]
                assert isinstance(proposal, Proposal)
                found.ideas += [Idea(triple, {step.name: proposal.of(triple)}) for triple in proposal.triples]
                found.rejects += proposal.rejects
                found.asked += proposal.asked
        return found

    def sample(self, ideas: Sequence[Idea], step: SamplePairs) -> tuple[Line, list[Shard]]:
        """Pairs of every triple."""
        line = Line([step], fingerprint([idea.key for idea in ideas]), Manifest(self.work / "shards"))
        shards = _cut(ideas, self.recipe.triples_per_shard)
        self._do(line, shards)
        return line, shards

    def _do(self, line: Line, shards: Sequence[Shard]) -> None:
        line.manifest.sweep()
        self.progress.begin(line.steps[0].name, sum(len(shard.items) for shard in shards))
        asyncio.run(run(line, shards, self.pool, self.progress))


def _cut(items: Sequence[Any], size: int) -> list[Shard]:
    return [Shard(at // size, items[at : at + size]) for at in range(0, len(items), size)]


def _ideas(listing: Listing, proposals: Proposals) -> list[Idea]:
    """Each triple once, those of the list first; a proposal that the list has already becomes a reject."""
    given = [Idea(triple) for triple in listing.triples]
    known = {idea.key for idea in given}
    for idea in (one for one in proposals.ideas if one.key in known):
        seen = f"{idea.triple.caption}: {idea.triple.instruction}"
        proposals.rejects.append(Reject(step="propose", reason="duplicate_triple", seen=seen, wanted="each once"))
    proposals.ideas = [idea for idea in proposals.ideas if idea.key not in known]
    return [*given, *proposals.ideas]


def _publish(
    listing: Listing,
    proposals: Proposals,
    line: Line,
    shards: list[Shard],
    out: Path,
    recipe: ImagineRecipe,
    name: str,
) -> Built:
    about = recipe.source
    counted = count(listing, proposals, sum(len(shard.items) for shard in shards), line, shards)
    works = (
        work
        for ideas, _ in line.results(shards)
        for idea in ideas
        for work in works_of(idea, about, about.dataset or name)
    )
    published = publish(
        works,
        counted.rejects,
        counted.funnel,
        recipe.publish,
        out,
        recipe.preset,
        recipe.seed,
        line.marks["sample"],
        ORIGIN,
        counted.spent,
    )
    if not published.rows:
        what, why = "no pair was good enough to keep", most_frequent(counted.rejects)
        raise InsightEditError(what, why, NO_PAIR.format(page=out / "index.html"))
    return Built(out, published, published.funnel, counted.cpu_s, counted.spent)
