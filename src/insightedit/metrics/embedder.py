"""What every network that embeds shares: cheap to make, loaded once, let go, pickled without its weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import numpy as np
from pydantic import Field

from insightedit.backends.batching import BatchSize, each_of
from insightedit.core.config import Knobs
from insightedit.core.device import free_memory, where
from insightedit.core.fingerprint import engine
from insightedit.core.weights import find

if TYPE_CHECKING:
    import torch


class Loaded(Protocol):
    """A network ready to run; `width` is that of its embeddings."""

    @property
    def width(self) -> int: ...


N = TypeVar("N", bound=Loaded)
T = TypeVar("T")


class EmbedderKnobs(Knobs):
    """Which weights and where they run; `model` is a folder or a hub id."""

    model: str
    revision: str | None = None
    device: str = "auto"
    dtype: str = "auto"
    batch_size: int = Field(default=32, ge=1)


class Embedder(ABC, Generic[N]):
    """Making one is cheap and it pickles; `setup` loads. A subclass implements `_load`.

    Args:
        settings: which weights, and where they run.
    """

    def __init__(self, settings: EmbedderKnobs) -> None:
        self._weights = settings
        self._fits = BatchSize(settings.batch_size)  # what memory turned out to hold
        self._loaded: N | None = None

    def setup(self) -> None:
        """Load the network, once; a second call does nothing.

        Raises:
            ConfigError: a device or dtype that this machine does not have.
            InputError: the weights cannot be had, are partial (what is missing is named), or are of another network.
            BackendError: torch or transformers is not installed.
        """
        if self._loaded is None:
            self._loaded = self._load(*where(self._weights.device, self._weights.dtype))

    def release(self) -> None:
        """Let the weights go and free the device's memory; the next call loads them again."""
        if self._loaded is not None:
            self._loaded = None
            free_memory()

    def engine(self) -> str:
        """Which weights, for provenance: "model@revision-or-hash". Loads nothing.

        Raises:
            InputError: the weights cannot be had.
        """
        return engine(self._weights.model, find(self._weights.model, self._weights.revision))

    @abstractmethod
    def _load(self, device: torch.device, dtype: torch.dtype) -> N:
        """The network on its device."""

    def _embedded(self, what: str, items: Sequence[T], run: Callable[[N, Sequence[T]], list[np.ndarray]]) -> np.ndarray:
        """Rows of all items, float32 (N, D)."""
        self.setup()
        assert self._loaded is not None
        loaded = self._loaded
        rows = each_of(what, items, self._fits, lambda few: run(loaded, few), "Use another device or dtype")
        return np.stack(rows).astype(np.float32, copy=False) if rows else np.zeros((0, loaded.width), np.float32)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_loaded": None}  # to a worker go the settings; it loads its own
