"""One call of the pipeline: what was asked, checked before any weight moves, and grouped by working size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image

from insightedit.core.errors import InputError
from insightedit.model.pixels import picture

Pictures = Image.Image | np.ndarray | Sequence[Image.Image | np.ndarray]
Generators = torch.Generator | Sequence[torch.Generator] | None
Callback = Callable[[Any, int, Any, dict[str, Any]], dict[str, Any]]

OUTPUT_TYPES = ("pil", "np", "pt", "latent")


@dataclass
class Guidance:
    """The scales of one call: words, source picture, image branch."""

    text: float
    image: float
    branch: float

    @property
    def needed(self) -> bool:
        """At scales 1 and 1 the guided sum is the fully conditioned prediction alone."""
        return self.text != 1 or self.image != 1


def pair(image: Pictures, instruction: str | Sequence[str]) -> tuple[list[Image.Image], list[str]]:
    """Equally many pictures and instructions; a single one meets all of the others.

    Raises:
        InputError: unequal numbers, none at all, no text, or a picture that cannot be used.
    """
    images = [image] if isinstance(image, Image.Image | np.ndarray) else list(image)
    words = [instruction] if isinstance(instruction, str) else list(instruction)
    if not all(isinstance(text, str) for text in words):
        raise InputError("an instruction is no text", f"it is a {type(words[0]).__name__}", "Pass str or a list of str")
    count = max(len(images), len(words))
    if not images or not words or {len(images), len(words)} - {1, count}:
        what = f"{len(images)} pictures and {len(words)} instructions do not pair"
        raise InputError(what, "each picture takes one instruction", "Pass as many of both, or a single one of either")
    upright = [picture(one) for one in images]
    return upright * (count // len(upright)), words * (count // len(words))


def per_picture(
    generator: Generators, count: int, device: torch.device
) -> tuple[list[torch.Generator], Callable[[], None]]:
    """A generator for each picture, and what to call at the end so that the one that was given has moved on.

    Pictures that share a generator draw from copies of it: one seed gives one image, alone or in a batch.
    """
    if generator is None:
        fresh = [torch.Generator(device) for _ in range(count)]
        for one in fresh:
            one.seed()
        return fresh, lambda: None
    if not isinstance(generator, torch.Generator):
        given = list(generator)
        if len(given) != count:
            raise InputError(f"{len(given)} generators for {count} pictures", "each picture takes one",
                             "Pass one, or as many as pictures")  # fmt: skip
        return given, lambda: None
    copies = [torch.Generator(generator.device) for _ in range(count)]
    for one in copies:
        one.set_state(generator.get_state())
    return copies, lambda: _move_on(generator, copies[0])


def _move_on(generator: torch.Generator, used: torch.Generator) -> None:
    generator.set_state(used.get_state())


def require(output_type: str, **positive: float) -> None:
    """Refuse an unknown output type and numbers below 1.

    Raises:
        InputError: naming it.
    """
    if output_type not in OUTPUT_TYPES:
        raise InputError(f"no output type '{output_type}'", "it is not known", f"Use {', '.join(OUTPUT_TYPES)}")
    for name, value in positive.items():
        if value < 1:
            raise InputError(f"{name}={value} is too small", "it counts something", f"Use {name}=1 or more")


@dataclass
class StepEnd:
    """What happens after a denoising step: the bar moves, the callback may replace the latents (as in diffusers)."""

    bar: Any
    callback: Callback | None
    names: Sequence[str]

    def __call__(self, pipeline: Any, step: int, t: Any, latents: torch.Tensor) -> torch.Tensor:
        """Latents (B, 4, h, w) -> those to go on with."""
        self.bar.update()
        if self.callback is None:
            return latents
        changed = self.callback(pipeline, step, t, dict.fromkeys(self.names, latents))
        return changed.pop("latents", latents)
