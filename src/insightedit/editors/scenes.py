"""The small model that comes along: InsightEdit trained on rendered scenes, without torch, a second from start to end.

It says where a picture or an instruction lies outside what it was trained on, and edits all the same.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from PIL import Image
from pydantic import Field

from insightedit.core.config import Knobs
from insightedit.core.errors import InputError
from insightedit.core.files import read_json, shipped
from insightedit.core.fingerprint import of_folder
from insightedit.editors.editor import Editor

if TYPE_CHECKING:
    from insightedit.editors.light import LightPipeline

SHIPPED = "weights/scenes"
DOMAIN = "domain"  # folder inside the model's
MIN_SIDE = 16  # px: as `model.pixels`

log = logging.getLogger(__name__)


class ScenesSettings(Knobs):
    """`model`: another folder of `insightedit train-small`; `steps`: denoising steps, the model's own where None."""

    model: str | None = None
    steps: Annotated[int, Field(ge=1, le=1000)] | None = None


@dataclass(frozen=True)
class Domain:
    """What the model was trained on: how its eye saw those pictures, and the words of those instructions.

    `mean` (W,) and `whitening` (W, W) of the mean patch features of scenes; `limit`: the largest distance from the
    mean, in standard deviations over all directions, that is still called a scene.
    """

    mean: np.ndarray
    whitening: np.ndarray
    limit: float
    words: frozenset[str]

    @classmethod
    def read(cls, folder: Path) -> Domain:
        """From `domain.json` and `features.safetensors`."""
        from safetensors.numpy import load_file

        about, features = read_json(folder / "domain.json"), load_file(folder / "features.safetensors")
        return cls(features["mean"], features["whitening"], about["limit"], frozenset(about["words"]))

    def distance(self, v: np.ndarray) -> float:
        """Mean patch feature (W,) -> about 1 for a scene; Mahalanobis' distance over the root of W."""
        return float(np.sqrt(np.mean(((v - self.mean) @ self.whitening) ** 2)))

    def doubts(self, v: np.ndarray, instruction: str) -> list[str]:
        """What is unlike the training data, in words; nothing where all is like it."""
        found = []
        if (distance := self.distance(v)) > self.limit:
            found.append("this picture is unlike the rendered scenes that the small model knows "
                         f"(distance {distance:.1f}, scenes stay below {self.limit:.1f})")  # fmt: skip
        strange = [word for word in words_of(instruction) if word not in self.words]
        if strange:
            near = get_close_matches(strange[0], self.words, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else "; docs/scenes.md shows how it was told what to do"
            found.append(f"the small model never read {', '.join(map(repr, dict.fromkeys(strange)))}{hint}")
        return found


def words_of(instruction: str) -> list[str]:
    """Its words in small letters."""
    return re.findall(r"[^\W_]+", instruction.lower())


def as_taught(instruction: str) -> str:
    """The instruction as training words it: small letters, American spelling, no mark at the end."""
    plain = " ".join(instruction.lower().split()).rstrip(".! ")
    return re.sub(r"\bgrey\b", "gray", re.sub(r"\b(re)?colour\b", r"\1color", plain))


class Scenes(Editor):
    """Objects on a ground, 64 x 64: removes, adds, replaces, recolours."""

    name = "scenes"
    size_rule = "squashed to 64 x 64, result resized"
    Settings: ClassVar[type[Knobs]] = ScenesSettings
    settings: ScenesSettings
    pipe: LightPipeline
    domain: Domain

    def doubts(self, image: np.ndarray, instruction: str) -> list[str]:
        """What of picture uint8 (H, W, 3) and instruction lies outside the training data, in words."""
        self.setup()
        text = as_taught(instruction)
        _, v = self.pipe.comprehend(Image.fromarray(image), text)
        return self.domain.doubts(v, text)

    def _folder(self) -> Path:
        return shipped(SHIPPED) if self.settings.model is None else Path(self.settings.model).expanduser()

    def _weights(self) -> str:
        return of_folder(self._folder())

    def _setup(self) -> None:
        from insightedit.editors.light import LightPipeline

        folder = self._folder()
        if not (folder / DOMAIN / "domain.json").is_file():
            raise InputError(f"{folder} is no packed model of scenes", f"it has no {DOMAIN}/domain.json",
                             "Give one of `insightedit train-small`, or use --editor insightedit")  # fmt: skip
        self.pipe, self.domain = LightPipeline(folder), Domain.read(folder / DOMAIN)

    def _edit(self, image: np.ndarray, instruction: str, seed: int) -> np.ndarray:
        if min(image.shape[:2]) < MIN_SIDE:
            raise InputError(f"the picture is {image.shape[1]} x {image.shape[0]} px", f"both sides must be {MIN_SIDE} "
                             "or more", "Give a larger one")  # fmt: skip
        picture, text = Image.fromarray(image), as_taught(instruction)
        conditions, v = self.pipe.comprehend(picture, text)
        for doubt in self.domain.doubts(v, text):
            log.warning("%s", doubt)
        told = self.on_step or (lambda done, of: None)
        return np.asarray(self.pipe.paint(picture, conditions, self.pipe.draw(seed), self.settings.steps, told))
