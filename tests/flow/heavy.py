"""Toy steps with models: they tell where they ran, and note when they were set up and released."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import ClassVar

from toys import Number, Toy, ToyStep

from insightedit.core.config import Knobs
from insightedit.core.errors import ConfigError, Stop
from insightedit.flow.step import Place


class HeavyKnobs(Knobs):
    least: float = 0.5
    place: Place = Place()


class Heavy(ToyStep):
    """Its blob says: process, the GPUs that it sees, how often it was set up, whether torch was there before."""

    name, version, value = "heavy", "1", Number
    batch_size = 2
    device_share = 0.6
    knobs: HeavyKnobs
    told: ClassVar[list[str]] = []  # of all heavy steps in this process
    setups = 0

    def fingerprint(self, before: str) -> str:
        return super()._own_fingerprint(before)

    def setup(self) -> None:
        self.setups += 1
        self.told.append(f"+{self.name}")

    def release(self) -> None:
        self.told.append(f"-{self.name}")

    def process(self, batch: Sequence[Toy]) -> list[Number]:
        self.told.append(self.name)
        if batch[0].deed == "stop":
            raise Stop("the key is refused", "401", "Set another")
        if batch[0].deed == "config":
            raise ConfigError("no device 'cuda'", "torch does not see it", "Use cpu")
        seen = os.environ.get("CUDA_VISIBLE_DEVICES", "all")
        blob = f"{os.getpid()} {seen} {self.setups} {'torch' in sys.modules} {len(batch)}"
        return [Number(value=item.number, blob=blob.encode()) for item in batch]


class Other(Heavy):
    name, version, value = "other", "1", Number


class Light(Heavy):
    name, version, value = "light", "1", Number
    device_share = 0.4


class Computing(Heavy):
    """No model."""

    name, version, value = "computing", "1", Number
    device_share = 0.0


def shout(word: str) -> str:
    """What an asynchronous step may have done apart."""
    return f"{word.upper()} {os.getpid()}"


def fall(deed: str) -> None:
    """Worse things that may happen apart."""
    if deed == "die":
        os._exit(3)
    raise KeyError(deed)
