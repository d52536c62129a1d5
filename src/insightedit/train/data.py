"""From an endless sequence of samples to this rank's batches, read ahead by other processes if asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol, get_args

import numpy as np
from torch.utils.data import DataLoader, Dataset

from insightedit.core.errors import InputError, InsightEditError, Unfit
from insightedit.core.lookup import pick
from insightedit.datasets.example import EditExample, Example, TalkExample
from insightedit.datasets.mixture import Draw, MixtureKnobs, Skip
from insightedit.datasets.readers import READERS
from insightedit.model.tokens import IGNORE
from insightedit.train.batch import Batch, Batcher, Sample
from insightedit.train.order import places

WORDINGS = 256  # places that are asked for the longest question


class Source(Protocol):
    """What a mixture is to the loop: place -> draw, the same in every process."""

    def at(self, place: int) -> Draw: ...


class Taken(NamedTuple):
    """Of which dataset a draw was, and what was passed over for it."""

    dataset: str
    skipped: tuple[Skip, ...]


@dataclass
class Read(Batch):
    """A batch with the story of its draws. In a `stand_in` batch nothing edits but a sample that counts for nothing."""

    taken: list[Taken] = field(default_factory=list)
    stand_in: bool = False


class Places(Dataset[tuple[Sample, Taken] | InsightEditError]):
    """Samples by place. Endless; the sampler says which are wanted."""

    def __init__(self, source: Source) -> None:
        self.source = source

    def __getitem__(self, place: int) -> tuple[Sample, Taken] | InsightEditError:
        """Errors come back as values: on their way out of a reader process, torch would make a RuntimeError of them."""
        try:
            drawn = self.source.at(place)
        except InsightEditError as error:
            return error
        passed = {f"{skip.dataset} {skip.index}": f"{skip.reason} ({skip.detail})" for skip in drawn.skipped}
        return Sample(place, drawn.example, passed), Taken(drawn.dataset, drawn.skipped)


class Reading:
    """Samples -> `Read`, in the process that reads them.

    Args:
        batcher: samples -> tensors.
        alike: let every batch of talks hold an edit that counts for nothing, because ranks that share a model's
            weights (FSDP, ZeRO) must walk through the same layers.
    """

    def __init__(self, batcher: Batcher, alike: bool = False) -> None:
        self.batcher, self.alike = batcher, alike

    def __call__(self, drawn: Sequence[tuple[Sample, Taken] | InsightEditError]) -> Read | InsightEditError:
        """A batch, or the error that stops the run."""
        samples: list[Sample] = []
        taken: list[Taken] = []
        for one in drawn:
            if isinstance(one, InsightEditError):
                return one
            samples.append(one[0])
            taken.append(one[1])
        lacks = self.alike and _only_talks(samples)
        try:
            batch = self.batcher([*samples, _stand_in(self.batcher.layout.resolution)] if lacks else samples)
        except InsightEditError as error:
            return error
        if lacks:
            batch.tensors.tokens.labels[-1] = IGNORE
            batch.tensors.ids[-1] = "(stand-in)"
        return Read(**vars(batch), taken=taken, stand_in=lacks)


def _only_talks(samples: Sequence[Sample]) -> bool:
    return all(isinstance(one.example, TalkExample) for one in samples)


def _stand_in(side: int) -> Sample:
    grey = np.full((side, side, 3), 127, np.uint8)
    return Sample(0, EditExample("", "", "keep", grey, grey, "keep it"))


class Fits:
    """The check of a mixture: an example whose words exceed what the model takes is unfit, whatever the question."""

    def __init__(self, batcher: Batcher) -> None:
        self.batcher = batcher
        nothing = np.zeros((1, 1, 3), np.uint8)
        probe = EditExample("", "", "", nothing, nothing, "it")
        self.place = max(range(WORDINGS), key=lambda place: len(batcher.sequence(Sample(place, probe)).ids))

    def __call__(self, example: Example) -> None:
        """Raises Unfit."""
        try:
            self.batcher.sequence(Sample(self.place, example))
        except InputError as error:
            wanted = f"{self.batcher.layout.max_text} tokens at most, with the prompt"
            raise Unfit("words_do_not_fit", f"{error.what}; {error.why}", wanted) from error


def batches(
    source: Source,
    batcher: Batcher,
    ticks: range,
    rank: int,
    ranks: int,
    batch: int,
    workers: int,
    alike: bool = False,
) -> Iterator[Read]:
    """One batch of this rank per tick (a backward pass; an update is one or several), in order.

    Raises:
        InsightEditError: as the source and the batcher do.
    """
    wanted: Any = [places(tick, rank, ranks, batch) for tick in ticks]  # ranges: a long run has millions of places
    reading = Reading(batcher, alike)
    loader: DataLoader[Any] = DataLoader(Places(source), batch_sampler=wanted, collate_fn=reading, num_workers=workers)
    for read in loader:
        if isinstance(read, InsightEditError):
            raise read
        yield read


def deciding(knobs: MixtureKnobs) -> dict[str, Any]:
    """What of a mixture decides its sequence of samples: everything but where the files lie.

    Raises:
        UnknownName: there is no such reader.
    """
    datasets = []
    for name, one in knobs.datasets.items():
        fields = pick(READERS, one.reader or name, "reader").Knobs.model_fields
        where = {key for key, known in fields.items() if Path in (known.annotation, *get_args(known.annotation))}
        told = {key: value for key, value in one.knobs.items() if key not in where}
        datasets.append([name, one.reader or name, one.share, told])
    return {"datasets": datasets, "weights": knobs.weights}
