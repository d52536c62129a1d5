"""The one interface of every editor: (image, instruction, seed) -> image of the same size."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from insightedit import __version__
from insightedit.core.config import Knobs, validate
from insightedit.core.device import is_out_of_memory
from insightedit.core.errors import BackendError, ConfigError, InputError, InsightEditError, one_line
from insightedit.core.fingerprint import digest

MAX_INSTRUCTION = 10_000  # characters; every text encoder here reads far fewer tokens
MAX_SEED = 2**63  # exclusive; torch.Generator takes no more


def check_instruction(instruction: str) -> str:
    """The instruction without outer blanks.

    Raises:
        InputError: it is blank, longer than 10,000 characters, or holds a NUL.
    """
    if not instruction.strip():
        raise InputError("no instruction", "it is empty or blank", 'Say what to change: "make the car red"')
    if len(instruction) > MAX_INSTRUCTION:
        seen = f"{len(instruction):,} characters, at most {MAX_INSTRUCTION:,} are taken"
        raise InputError(
            "the instruction is too long", seen, "Say it in a sentence or two; encoders read 77 to 256 tokens"
        )
    if "\0" in instruction:
        raise InputError("the instruction holds a NUL character", "no program or tokenizer takes one", "Remove it")
    return instruction.strip()


def check_seed(seed: int) -> int:
    """The seed.

    Raises:
        InputError: it is not in [0, 2**63).
    """
    if not 0 <= seed < MAX_SEED:
        raise InputError(f"seed {seed} is no seed", "seeds are whole numbers 0 .. 2**63 - 1", "Choose one of these")
    return seed


class Editor(ABC):
    """Changes an image as an instruction says.

    Making one is cheap: settings are checked, nothing is loaded, torch is not imported. `setup` loads once; `edit`
    calls it when nobody did. A subclass names itself, its `Settings` and its `size_rule`, and implements `_edit` and,
    where there is something to load, `_setup` and `_weights`.

    Args:
        settings: a `Settings` of this editor; None for its defaults.
        values: single settings by name, over `settings`.

    Raises:
        ConfigError: an unknown setting (with a suggestion) or a value of the wrong kind.
    """

    name: ClassVar[str]
    size_rule: ClassVar[str]  # in words: the size that the network sees
    Settings: ClassVar[type[Knobs]] = Knobs

    settings: Knobs
    on_step: Callable[[int, int], None] | None = None  # told (steps done, of how many) while an image is made

    def __init__(self, settings: Knobs | None = None, **values: Any) -> None:
        if values and not self.Settings.model_fields:
            why = f"'{next(iter(values))}' was given"
            raise ConfigError(f"editor '{self.name}' takes no settings", why, "Leave it out")
        given = settings.model_dump() if settings else {}
        self.settings = validate(self.Settings, {**given, **values}, f"the settings of editor '{self.name}'")
        self._ready = False

    @property
    def steps(self) -> int | None:
        """Denoising steps of one image where they are known, for a progress bar."""
        return getattr(self.settings, "steps", None)

    def setup(self) -> None:
        """Load what is heavy, once; a second call does nothing.

        Raises:
            ConfigError: a setting that this machine cannot serve, or no model where one must be named.
            InputError: the weights are missing, partial, or of another kind.
            BackendError: a library that the editor needs is not installed.
        """
        if self._ready:
            return
        try:
            self._setup()
        except InsightEditError:
            raise
        except Exception as error:  # moving weights to a device fails in the ways of each driver
            raise _failure(f"editor '{self.name}' could not be set up", error) from error
        self._ready = True

    def edit(self, image: np.ndarray, instruction: str, seed: int = 0) -> np.ndarray:
        """One edit. Equal arguments give an equal image.

        Args:
            image: uint8 RGB (H, W, 3).
            instruction: what to change; not blank, at most 10,000 characters.
            seed: in [0, 2**63).

        Returns:
            uint8 RGB (H, W, 3), of the input's size.

        Raises:
            InputError: an argument is not what is said above.
            BackendError: the editor failed on this image, or gave back something else.
            ConfigError, InputError, BackendError: as `setup`.
        """
        _check_image(image)
        check_seed(seed)
        instruction = check_instruction(instruction)
        self.setup()
        try:
            edited = self._edit(image, instruction, seed)
        except InsightEditError:
            raise
        except Exception as error:  # networks and their libraries fail in their own ways; the next image may still do
            raise _failure(f"editor '{self.name}' failed on this image", error) from error
        return self._checked(edited, image)

    def edit_many(
        self, images: Sequence[np.ndarray], instructions: Sequence[str], seeds: Sequence[int]
    ) -> list[np.ndarray]:
        """`edit` for each; equal to editing them one by one, whatever lies beside them."""
        return [self.edit(*job) for job in zip(images, instructions, seeds, strict=True)]

    def fingerprint(self) -> str:
        """16 hex digits of what decides a result besides image, instruction and seed.

        That is: the editor, its settings, this package's version, and the weights. May download weights that are named
        by a hub id, since their revision is part of it; loads nothing.
        """
        return digest(self.name, __version__, self._deciding(), self._weights())

    def _deciding(self) -> dict[str, Any]:
        """The settings that a result depends on."""
        return self.settings.model_dump(mode="json")

    def _weights(self) -> str:
        """Which weights (or which program), so that two of one name are told apart. Empty: there are none."""
        return ""

    def _setup(self) -> None:  # noqa: B027 - an editor without weights has nothing to load
        """Load weights; called once."""

    @abstractmethod
    def _edit(self, image: np.ndarray, instruction: str, seed: int) -> np.ndarray:
        """`edit` after the checks and `setup`."""

    def _checked(self, edited: np.ndarray, source: np.ndarray) -> np.ndarray:
        if edited.dtype != np.uint8 or edited.shape != source.shape:
            raise BackendError(
                f"editor '{self.name}' broke its contract",
                f"it returned {edited.dtype} {edited.shape} for {source.dtype} {source.shape}",
                "An editor returns uint8 RGB of the input's size: mend it or report it",
            )
        return edited


def _check_image(image: np.ndarray) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise InputError(
            "cannot edit this array",
            f"it is {image.dtype} {image.shape}, editors take uint8 (H, W, 3)",
            "Read it with insightedit.core.image.read",
        )


def _failure(what: str, error: Exception) -> BackendError:
    """One line for what a library threw; running out of memory has a mend of its own."""
    short = "Lower the resolution, use dtype float16, or set offload=model"
    mend = short if is_out_of_memory(error) else "Try other settings"
    return BackendError(what, f"{type(error).__name__}: {one_line(error)}", mend)
