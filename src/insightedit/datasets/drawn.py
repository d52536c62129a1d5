"""Rendered pairs kept on disk as plain arrays: drawn once, read by any number of processes through memory maps."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from insightedit.core.errors import InputError
from insightedit.core.files import write_text
from insightedit.scenes.published import ENGINE
from insightedit.scenes.render import Rendered
from insightedit.scenes.scene import COLOURS, MATERIALS, SHAPES, SIZES, Scene
from insightedit.scenes.spread import rendered

LOOKS = {"size": SIZES, "colour": COLOURS, "material": MATERIALS, "shape": SHAPES}  # in the order of English
MOST = 6  # things in a scene
NOTE = "drawn.json"
SIDES = ("before", "after")


@dataclass(frozen=True)
class Drawn:
    """Pictures of pairs 0 .. count - 1 of a run, and what they show; each array for `before` and for `after`.

    SIDE uint8 (N, S, S, 3). owner_SIDE int8 (N, S, S): the thing that a pixel's first ray meets, -1 for the ground.
    looks_SIDE int8 (N, 6, 4): place in `LOOKS` of each thing's size, colour, material, shape; -1 where there is none.
    """

    folder: Path

    def __getitem__(self, name: str) -> np.ndarray:
        return self._maps[name]

    def __len__(self) -> int:
        return len(self["before"])

    @cached_property
    def _maps(self) -> dict[str, np.ndarray]:
        return {name: np.load(self.folder / f"{name}.npy", mmap_mode="r") for name in _shapes(1)}

    def __getstate__(self) -> dict[str, Path]:
        return {"folder": self.folder}  # a memory map would travel to another process as its content


def _shapes(size: int) -> dict[str, tuple[type, tuple[int, ...]]]:
    found: dict[str, tuple[type, tuple[int, ...]]] = {}
    for side in SIDES:
        found[side] = (np.uint8, (size, size, 3))
        found[f"owner_{side}"] = (np.int8, (size, size))
        found[f"looks_{side}"] = (np.int8, (MOST, len(LOOKS)))
    return found


def draw_all(
    folder: Path, count: int, size: int, seed: int, workers: int, advance: Callable[[], None] = lambda: None
) -> Drawn:
    """Draw what `folder` lacks, and nothing if it is whole.

    Raises:
        InputError: the folder holds other pairs.
    """
    if (folder / NOTE).exists():
        return opened(folder, count, size, seed)
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    maps = {
        name: np.lib.format.open_memmap(part / f"{name}.npy", "w+", kind, (count, *shape))
        for name, (kind, shape) in _shapes(size).items()
    }
    for place, one in enumerate(rendered(count, size, seed, workers)):
        _write(maps, place, one)
        advance()
    for array in maps.values():
        array.flush()
    write_text(part / NOTE, json.dumps(_note(count, size, seed)))
    part.rename(folder)
    return Drawn(folder)


def _write(maps: dict[str, np.memmap], place: int, one: Rendered) -> None:
    for side, picture, scene in zip(SIDES, (one.before, one.after), (one.pair.before, one.pair.after), strict=True):
        maps[side][place] = picture.image
        maps[f"owner_{side}"][place] = picture.owner[::2, ::2]
        maps[f"looks_{side}"][place] = looks_of(scene)


def looks_of(scene: Scene) -> np.ndarray:
    """int8 (6, 4), see `Drawn`."""
    looks = np.full((MOST, len(LOOKS)), -1, np.int8)
    for row, thing in enumerate(scene.things):
        looks[row] = [known.index(getattr(thing, look)) for look, known in LOOKS.items()]
    return looks


def opened(folder: Path, count: int, size: int, seed: int) -> Drawn:
    """The pictures of a folder that `draw_all` made.

    Raises:
        InputError: there are none, or they are other ones.
    """
    path = folder / NOTE
    if not path.exists():
        raise InputError(f"no drawn scenes in {folder}", f"it has no {NOTE}", "Draw them first: see docs/training.md")
    found, wanted = json.loads(path.read_text()), _note(count, size, seed)
    same = all(found.get(name) == wanted[name] for name in ("size", "seed", "engine"))
    if not same or found["count"] < count:
        raise InputError(f"{folder} holds other scenes", f"{found} instead of {wanted}", "Use another folder")
    return Drawn(folder)


def _note(count: int, size: int, seed: int) -> dict[str, object]:
    return {"count": count, "size": size, "seed": seed, "engine": ENGINE}


# --- what a small CLIP learns from them ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """One picture and what is known of it.

    `image` uint8 (S, S, 3); `caption`: every thing in words; `there` float32 (32,): 1 for each colour and shape that
    occur together; `patches` int64 (N, 4): per patch the look of what it shows plus 1, 0 for ground, -100 for too
    little of a thing to say.
    """

    image: np.ndarray
    caption: str
    there: np.ndarray
    patches: np.ndarray


def seen(drawn: Drawn, patch: int, chance: random.Random, least: float = 0.25) -> Seen:
    """A drawn picture, flipped half of the time; a thing must cover `least` of a patch to be what the patch shows."""
    side, number, flip = SIDES[chance.randrange(2)], chance.randrange(len(drawn)), chance.randrange(2)
    image, owner, looks = (drawn[f"{kind}{side}"][number] for kind in ("", "owner_", "looks_"))
    if flip:
        image, owner = image[:, ::-1], owner[:, ::-1]
    looks = looks[looks[:, 0] >= 0]
    there = np.zeros((len(COLOURS), len(SHAPES)), np.float32)
    there[looks[:, 1], looks[:, 3]] = 1
    words = [[known[place] for known, place in zip(LOOKS.values(), row, strict=True)] for row in looks]
    chance.shuffle(words)
    caption = ", ".join("a " + " ".join(row) for row in words)
    return Seen(np.ascontiguousarray(image), caption, there.ravel(), patch_labels(looks, owner, patch, least))


def patch_labels(looks: np.ndarray, owner: np.ndarray, patch: int, least: float) -> np.ndarray:
    """`looks` (things, 4) and `owner` int8 (S, S) -> int64 (N, 4), see `Seen`."""
    cells = owner.shape[0] // patch
    tiles = owner.reshape(cells, patch, cells, patch).swapaxes(1, 2).reshape(cells * cells, -1)  # (N, patch^2)
    shares = (tiles[:, :, None] == np.arange(len(looks))).mean(1)  # (N, things)
    most, share = shares.argmax(1), shares.max(1)[:, None]
    found: np.ndarray = np.where(share >= least, looks[most] + 1, np.where(share > 0, -100, 0)).astype(np.int64)
    return found
