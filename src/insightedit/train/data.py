"""From an endless sequence of samples to this rank's batches, read ahead by other processes if asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from torch.utils.data import DataLoader, Dataset

from insightedit.datasets.mixture import Draw
from insightedit.train.batch import Batch, Batcher, Sample
from insightedit.train.order import places


class Source(Protocol):
    """What a mixture is to the loop: place -> draw, the same in every process."""

    def at(self, place: int) -> Draw: ...


class Places(Dataset[Sample]):
    """Samples by place. Endless; the sampler says which are wanted."""

    def __init__(self, source: Source) -> None:
        self.source = source

    def __getitem__(self, place: int) -> Sample:
        drawn = self.source.at(place)
        passed = {f"{skip.dataset} {skip.index}": f"{skip.reason} ({skip.detail})" for skip in drawn.skipped}
        return Sample(place, drawn.example, passed)


def batches(
    source: Source, batcher: Batcher, ticks: range, rank: int, ranks: int, batch: int, workers: int
) -> Iterator[Batch]:
    """One batch of this rank per tick (a backward pass; an update is one or several), in order."""
    wanted = [list(places(tick, rank, ranks, batch)) for tick in ticks]
    loader: DataLoader[Any] = DataLoader(Places(source), batch_sampler=wanted, collate_fn=batcher, num_workers=workers)
    return iter(loader)
