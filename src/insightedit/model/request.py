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
from insightedit.model.tokens import TokenSequence

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


@dataclass
class Settings:
    """What holds for every picture of a call.

    Raises:
        InputError: an unknown output type, no steps.
    """

    steps: int
    guidance: Guidance
    output_type: str = "pil"
    check_mm: bool = False
    keep_constants: bool = True

    def __post_init__(self) -> None:
        require(num_inference_steps=self.steps)
        if self.output_type not in OUTPUT_TYPES:
            known = ", ".join(OUTPUT_TYPES)
            raise InputError(f"no output type '{self.output_type}'", "it is not known", f"Use {known}")


@dataclass
class Group:
    """Pictures that go through together: they share a working size (width, height)."""

    places: list[int]
    images: list[Image.Image]
    tokens: list[TokenSequence]
    generators: list[torch.Generator]
    size: tuple[int, int]


def grouped(
    images: list[Image.Image],
    tokens: list[TokenSequence],
    generators: list[torch.Generator],
    sizes: list[tuple[int, int]],
) -> list[Group]:
    """By working size, in order of first appearance."""
    groups = []
    for size in dict.fromkeys(sizes):
        places = [place for place, own in enumerate(sizes) if own == size]
        chosen = [(images[place], tokens[place], generators[place]) for place in places]
        own, said, noise = (list(column) for column in zip(*chosen, strict=True))
        groups.append(Group(places, own, said, noise, size))
    return groups


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


def require(**positive: int) -> None:
    """Refuse numbers below 1.

    Raises:
        InputError: naming it.
    """
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
