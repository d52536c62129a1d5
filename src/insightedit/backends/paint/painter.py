"""The one interface of every network that paints into a hole."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from insightedit.backends.batching import BatchSize, in_batches
from insightedit.core.config import Knobs, validate
from insightedit.core.device import DTYPES, is_out_of_memory
from insightedit.core.errors import BackendError, ConfigError, InsightEditError, one_line

PaintTask = Literal["remove", "replace", "add"]

Device = Annotated[str, Field(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")]
Dtype = Annotated[str, Field(pattern=f"^({'|'.join(DTYPES)})$")]


@dataclass(frozen=True, eq=False)
class Canvas:
    """One picture to paint, already cropped and sized for the model.

    Attributes:
        image: uint8 RGB (H, W, 3); H and W are multiples of the painter's `multiple`.
        hole: bool (H, W), what may change.
        prompt: what shall be there; "" for a removal.
        negative: what shall not; "" for nothing.
        task: what the painter is asked for; some networks have words of their own for it.
        seed: in [0, 2**63).
    """

    image: np.ndarray
    hole: np.ndarray
    prompt: str
    negative: str
    task: PaintTask
    seed: int


class PainterSettings(Knobs):
    """Settings of every painter.

    `model` is a folder in the public layout or a hub id, `revision` its commit, branch or tag. `device` is auto, cpu,
    cuda, cuda:N or mps; `dtype` auto (float16 on CUDA, else float32), float32, float16 or bfloat16. `offload` keeps
    weights in main memory and moves to the device one network ("model") or one layer ("sequential") at a time.
    `side` is the model's working side in px, to which sides are rounded by `multiple`.
    """

    model: str | None = None
    revision: str | None = None
    device: Device = "auto"
    dtype: Dtype = "auto"
    offload: Literal["none", "model", "sequential"] = "none"
    steps: int = Field(default=50, ge=1, le=1000)
    guidance: float = Field(default=7.5, ge=0, allow_inf_nan=False)
    side: int = Field(default=512, ge=64, le=4096)
    multiple: int = Field(default=8, ge=1, le=256)
    batch_size: int = Field(default=1, ge=1, le=256)


class Painter(ABC):
    """Fills holes. Making one is cheap: settings are checked, nothing is loaded, torch is not imported.

    A subclass names itself, its `Settings` and its `tasks`, and implements `_load`, `_paint`, `_unload` and `engine`.

    Args:
        settings: a `Settings` of this painter; None for its defaults.
        values: single settings by name, over `settings`.

    Raises:
        ConfigError: an unknown setting (with a suggestion) or a value of the wrong kind.
    """

    name: ClassVar[str]
    Settings: ClassVar[type[PainterSettings]] = PainterSettings
    tasks: ClassVar[frozenset[PaintTask]] = frozenset({"remove", "replace", "add"})

    settings: PainterSettings

    def __init__(self, settings: PainterSettings | None = None, **values: Any) -> None:
        given = settings.model_dump() if settings else {}
        self.settings = validate(self.Settings, {**given, **values}, f"the settings of painter '{self.name}'")
        self._ready = False
        self._size = BatchSize(self.settings.batch_size)  # what fitted once is remembered

    def setup(self) -> None:
        """Load what is heavy, once; a second call does nothing.

        Raises:
            ConfigError: a setting that this machine cannot serve, or no model where one must be named.
            InputError: the weights are missing, partial, or of another kind.
            BackendError: a library is not installed, or the device took the weights not.
        """
        if self._ready:
            return
        try:
            self._load()
        except InsightEditError:
            raise
        except Exception as error:  # moving weights to a device fails in the ways of each driver
            raise failure(f"painter '{self.name}' could not be set up", error) from error
        self._ready = True

    def paint(self, canvases: Sequence[Canvas]) -> list[np.ndarray]:
        """Paint each canvas; equal to painting them one by one, whatever lies beside them.

        Args:
            canvases: of any sizes, tasks and prompts; `batch_size` of one size and task go through the network at once.

        Returns:
            uint8 RGB of each canvas's size: what the network made of the whole canvas. Outside the hole it differs from
            the canvas; `stitch.laid` composes it onto the source.

        Raises:
            ConfigError: a task that this painter does not have, or as `setup`.
            BackendError: the network failed on a canvas, or gave back something else.
        """
        images = []
        for image in self.attempts(canvases):
            if isinstance(image, InsightEditError):
                raise image
            images.append(image)
        return images

    def attempts(self, canvases: Sequence[Canvas]) -> list[np.ndarray | InsightEditError]:
        """As `paint`, but what fails on one canvas is its result and spoils no other.

        Out of memory halves the batch, now and for later calls; only a single canvas that does not fit fails.

        Raises:
            ConfigError, InputError, BackendError: as `setup`, and for a canvas that no painter of this kind can use.
        """
        for canvas in canvases:
            self._check(canvas)
        self.setup()
        results: dict[int, np.ndarray | InsightEditError] = {}
        for places in _alike(canvases):
            made = in_batches([canvases[place] for place in places], self._size, self._paint)
            results |= {place: self._checked(image, canvases[place]) for place, image in zip(places, made, strict=True)}
        return [results[place] for place in range(len(canvases))]

    def release(self) -> None:
        """Let the weights go and free the device's memory; the next `paint` loads them again."""
        if self._ready:
            self._unload()
            self._ready = False

    @abstractmethod
    def engine(self) -> str:
        """Which network paints, for provenance: "name@revision-or-hash". Finds the weights, loads nothing."""

    @abstractmethod
    def _load(self) -> None:
        """Load; called once until `release`."""

    @abstractmethod
    def _paint(self, canvases: Sequence[Canvas]) -> list[np.ndarray]:
        """uint8 RGB (H, W, 3) for canvases of one size and task, at most `batch_size` of them."""

    def _unload(self) -> None:  # noqa: B027 - a painter may hold nothing
        """Drop what `_load` made and free the device."""

    def _check(self, canvas: Canvas) -> None:
        if canvas.task not in self.tasks:
            mend = f"Choose a painter that can; this one can {', '.join(sorted(self.tasks))}"
            raise ConfigError(f"painter '{self.name}' cannot {canvas.task}", "its network has not learnt it", mend)
        image, hole, multiple = canvas.image, canvas.hole, self.settings.multiple
        fits = image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3 and hole.dtype == np.bool_
        if not fits or hole.shape != image.shape[:2] or any(side % multiple or not side for side in hole.shape):
            why = f"image {image.dtype} {image.shape}, hole {hole.dtype} {hole.shape}"
            mend = f"Give uint8 (H, W, 3) and bool (H, W), sides multiples of {multiple}, as `window.view` makes them"
            raise BackendError(f"painter '{self.name}' cannot use this canvas", why, mend)

    def _checked(self, image: np.ndarray | Exception, canvas: Canvas) -> np.ndarray | InsightEditError:
        if isinstance(image, InsightEditError):
            return image
        if isinstance(image, Exception):  # networks and their libraries fail in their own ways
            return failure(f"painter '{self.name}' failed on a canvas", image)
        if image.dtype != np.uint8 or image.shape != canvas.image.shape:
            why = f"it returned {image.dtype} {image.shape} for {canvas.image.dtype} {canvas.image.shape}"
            mend = "A painter returns uint8 RGB of the canvas's size: mend it or report it"
            return BackendError(f"painter '{self.name}' broke its contract", why, mend)
        return image


def _alike(canvases: Sequence[Canvas]) -> list[list[int]]:
    """Places of canvases of one size and task, which a network can take at once."""
    groups: dict[tuple[object, ...], list[int]] = {}
    for place, canvas in enumerate(canvases):
        groups.setdefault((canvas.image.shape, canvas.task), []).append(place)
    return list(groups.values())


def failure(what: str, error: Exception) -> BackendError:
    """One line for what a library threw; running out of memory has a mend of its own."""
    short = "Lower side, use dtype float16, or set offload=model"
    mend = short if is_out_of_memory(error) else "Try other settings"
    return BackendError(what, f"{type(error).__name__}: {one_line(error)}", mend)
