"""Scenes -> pictures and exact masks; pairs of scenes -> pairs of pictures that differ only where the edit shows.

Two by two rays a pixel; a light with four points, so shadows have soft borders; ambient light; metal reflects the
things around it, the ground and the sky. A pixel depends on the scene and the size alone: not on the batch, not on
the process that draws it, and not on the machine (see solids).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from insightedit.core.errors import InputError
from insightedit.scenes.rays import NEAR, Crop, View, beams, ground_shadow, hit, into, look, may_shade, turned, view
from insightedit.scenes.scene import Ground, Pair, Scene, Thing
from insightedit.scenes.solids import MISS, SOLIDS, Array, Three

SMALLEST, LARGEST = 32, 256  # px
RAYS = 2  # a side of a pixel
RGB = {
    "red": (0.85, 0.10, 0.10), "green": (0.12, 0.60, 0.17), "blue": (0.13, 0.27, 0.90), "yellow": (0.93, 0.85, 0.13),
    "purple": (0.54, 0.14, 0.72), "cyan": (0.13, 0.80, 0.82), "orange": (0.96, 0.49, 0.06), "gray": (0.45, 0.45, 0.47),
}  # fmt: skip
Place = tuple[np.ndarray, np.ndarray]  # rows, columns of rays
SKY = np.float32(0.9)


@dataclass(frozen=True, eq=False)
class Picture:
    """`image` uint8 (S, S, 3); `owner` int8 (2 S, 2 S): index of the thing that each ray meets, -1 for the ground."""

    image: np.ndarray
    owner: np.ndarray

    def mask(self, index: int | None) -> np.ndarray:
        """bool (S, S): pixels that show the thing, be it with one ray of four; empty for None."""
        side = self.image.shape[0]
        if index is None:
            return np.zeros((side, side), bool)
        mask: np.ndarray = (self.owner == index).reshape(side, RAYS, side, RAYS).any(axis=(1, 3))
        return mask


@dataclass(frozen=True, eq=False)
class Rendered:
    """A pair as pictures. All masks bool (S, S)."""

    pair: Pair
    before: Picture
    after: Picture

    @cached_property
    def changed(self) -> np.ndarray:
        """Every pixel that differs: the thing, its shadow, its reflection, and nothing else."""
        changed: np.ndarray = (self.before.image != self.after.image).any(axis=2)
        return changed

    @property
    def subject_before(self) -> np.ndarray:
        """The subject in `before`; empty for an addition."""
        return self.before.mask(self.pair.index_before)

    @property
    def subject_after(self) -> np.ndarray:
        """The subject in `after`; empty for a removal."""
        return self.after.mask(self.pair.index_after)

    def reversed(self) -> Rendered:
        """The way back; no ray is cast again."""
        return Rendered(self.pair.reversed(), self.after, self.before)


class Stage:
    """Surroundings at one size: rays, light, ground. What several scenes with the same surroundings share.

    Args:
        scene: whose camera, light and ground are taken.
        size: side of the pictures in px, 32..256.

    Raises:
        InputError: a size outside that range.
    """

    def __init__(self, scene: Scene, size: int) -> None:
        if not SMALLEST <= size <= LARGEST:
            raise InputError(f"cannot draw {size} px", f"scenes are drawn at {SMALLEST} to {LARGEST} px", "Choose one")
        self.size, self.surroundings = size, (scene.camera, scene.light, scene.ground)
        self.light, self.ground = scene.light, scene.ground
        self.seen, self.beams = view(scene.camera, RAYS * size), beams(scene.light, RAYS * size)
        self.tone = _tone(scene, self.seen)  # (2 S, 2 S)
        self._shadows: dict[Thing, tuple[Crop, np.ndarray]] = {}

    def draw(self, scene: Scene) -> Picture:
        """Draw a scene that has these surroundings."""
        if (scene.camera, scene.light, scene.ground) != self.surroundings:
            raise ValueError("the scene has other surroundings than the stage")
        things, sight = scene.things, look(scene.things, self.seen)
        shine = np.float32(self.light.key * self.light.towards[2]) * self._lit(things)
        shine = (np.float32(self.light.ambient) + shine) * self.tone
        planes = np.empty((3, *shine.shape), np.float32)
        for plane, part in zip(planes, self.ground.colour, strict=True):
            np.multiply(shine, np.float32(part), out=plane)
        for index in range(len(things)):
            place = sight.rays(index)
            if len(place[0]):
                colours = self._surface(things, index, sight.depth[place], place)
                for plane, colour in zip(planes, colours, strict=True):
                    plane[place] = colour
        image = np.empty((self.size, self.size, 3), np.uint8)
        for channel, plane in enumerate(planes):
            light = np.minimum(plane, 1)
            rows = light[0::2] + light[1::2]
            image[..., channel] = (rows[:, 0::2] + rows[:, 1::2]) * np.float32(255 / 4) + np.float32(0.5)
        return Picture(image, sight.owner)

    def _lit(self, things: Sequence[Thing]) -> np.ndarray:
        """bool (2 S, 2 S): where the bare ground sees the light."""
        lit = np.ones(self.tone.shape, bool)
        for thing in things:
            if thing not in self._shadows:
                self._shadows[thing] = ground_shadow(thing, self.seen, self.beams)
            (rows, columns), dark = self._shadows[thing]
            lit[rows, columns] &= ~dark
        return lit

    def _surface(self, things: Sequence[Thing], index: int, depth: np.ndarray, place: Place) -> np.ndarray:
        """float32 (3, N): the N rays at `place` that meet thing `index` at `depth`."""
        thing, light, seen, (rows, columns) = things[index], self.light, self.seen, place
        ray = (seen.dx[0, columns], seen.dy[rows, 0], seen.dz[rows, 0])
        point = tuple(np.float32(start) + depth * part for start, part in zip(seen.eye, ray, strict=True))
        normal = _normal(thing, point)
        towards = (self.beams.right[0, columns], self.beams.away[rows, 0], self.beams.up)
        lit = np.ones(len(rows), bool)
        for other in things:
            if other is not thing and may_shade(other, thing, light):
                lit &= hit(other, point, towards, NEAR) == MISS
        key = np.float32(light.key) * lit
        facing = np.maximum(_dot(normal, towards), 0) * key
        ambient = np.float32(light.ambient) * (np.float32(0.65) + np.float32(0.35) * normal[2])
        mirror = _mirrored(ray, normal)
        glance = np.maximum(_dot(mirror, towards), 0)
        colour = np.array(RGB[thing.colour], np.float32)[:, None]  # (3, 1)
        if thing.material == "matte":
            return np.asarray(colour * (ambient + facing) + np.float32(0.12) * _power(glance, 3) * key)
        around = self._reflection(things, index, point, mirror)  # (3, N)
        tinted = colour * (np.float32(0.55) * (ambient + facing) + np.float32(0.6) * around)
        return np.asarray(tinted + np.float32(0.7) * _power(glance, 5) * key)

    def _reflection(self, things: Sequence[Thing], index: int, start: Three, towards: Three) -> np.ndarray:
        """float32 (3, N): what a mirror on thing `index` shows: sky, the ground's own colour, or other things, flat."""
        light, up = self.light, towards[2]
        sky = np.clip(np.float32(0.45) + up * np.float32(0.75), 0, SKY)
        floor = np.float32(light.ambient + 0.8 * light.key * light.towards[2])
        colours = np.where(up < 0, np.array(self.ground.colour, np.float32)[:, None] * floor, sky)  # (3, N)
        nearest = np.full(len(up), MISS)
        for other, thing in enumerate(things):
            if other == index:
                continue
            found = hit(thing, start, towards, NEAR)
            closer = found < nearest
            if closer.any():
                nearest = np.where(closer, found, nearest)
                flat = np.array(RGB[thing.colour], np.float32) * np.float32(light.ambient + 0.4 * light.key)
                np.copyto(colours, flat[:, None], where=closer)
        return colours


def render(scene: Scene, size: int = 64) -> Picture:
    """Draw one scene; `size` as for `Stage`."""
    return Stage(scene, size).draw(scene)


def render_pair(pair: Pair, size: int = 64) -> Rendered:
    """Draw both sides; `size` as for `Stage`."""
    stage = Stage(pair.before, size)
    return Rendered(pair, stage.draw(pair.before), stage.draw(pair.after))


def render_pairs(pairs: Iterable[Pair], size: int = 64) -> Iterator[Rendered]:
    """Draw many pairs, in their order; the cut into batches changes no byte."""
    return (render_pair(pair, size) for pair in pairs)


def as_arrays(batch: Iterable[Rendered]) -> dict[str, np.ndarray]:
    """A batch as arrays: before, after uint8 (B, S, S, 3); changed, subject_before, subject_after bool (B, S, S)."""
    done = list(batch)
    columns = {
        "before": [one.before.image for one in done],
        "after": [one.after.image for one in done],
        "changed": [one.changed for one in done],
        "subject_before": [one.subject_before for one in done],
        "subject_after": [one.subject_after for one in done],
    }
    return {name: np.stack(values) for name, values in columns.items()}


# --- light -----------------------------------------------------------------------------------------------------------


def _wave(turns: Array) -> Array:
    """A smooth wave of period 1 and height 1 out of two parabolas: a sine would differ between machines."""
    part = turns - np.floor(turns)
    half = part - np.float32(0.5)
    return 16 * half * (np.abs(half) - np.float32(0.5))


def _hard(value: Array) -> Array:
    """-1 or 1 with a short soft border: the edge of a check or stripe."""
    return np.clip(4 * value, -1, 1)


def _pattern(ground: Ground, x: Array, y: Array) -> Array:
    """How much lighter or darker the ground is, -1..1."""
    east, north = (np.float32(part * ground.repeats) for part in ground.along)
    along = x * east + y * north + np.float32(ground.phase)
    if ground.pattern == "stripes":
        return _hard(_wave(along))
    across = y * east - x * north + np.float32(ground.phase * 1.7)
    if ground.pattern == "checks":
        return _hard(_wave(along) * _wave(across) * 2)
    slow = np.float32(0.45)
    return np.float32(0.6) * _wave(along + slow * across) + np.float32(0.4) * _wave(across - slow * along)


def _tone(scene: Scene, seen: View) -> np.ndarray:
    """float32 (side, side): how bright the bare ground is by its pattern and its distance, about 0.7..1.2."""
    depth, ground = seen.ground, scene.ground  # (side, 1)
    tone = 1 - np.clip((depth - np.float32(scene.camera.distance)) * np.float32(0.03), -0.1, 0.2)
    x, y = np.float32(seen.eye[0]) + depth * seen.dx, np.float32(seen.eye[1]) + depth * seen.dy
    if ground.pattern == "plain":
        return np.repeat(tone, seen.side, axis=1)
    return np.asarray(tone * (1 + np.float32(ground.contrast) * _pattern(ground, x, y)))


def _normal(thing: Thing, point: Three) -> Three:
    x, y, z = SOLIDS[thing.shape].normal(into(thing, point))
    return (*turned(thing, x, y, back=True), z)


def _mirrored(towards: Three, normal: Three) -> Three:
    """Unit vectors: the way on of a ray that a mirror with this normal reflects."""
    dx, dy, dz = towards
    twice = 2 * (dx * normal[0] + dy * normal[1] + dz * normal[2])
    x, y, z = dx - twice * normal[0], dy - twice * normal[1], dz - twice * normal[2]
    shorten = 1 / np.sqrt(x * x + y * y + z * z)
    return x * shorten, y * shorten, z * shorten


def _dot(one: Three, other: Three) -> Array:
    return one[0] * other[0] + one[1] * other[1] + one[2] * other[2]


def _power(value: Array, squarings: int) -> Array:
    for _ in range(squarings):
        value = value * value
    return value


__all__ = ["Picture", "Rendered", "Stage", "as_arrays", "render", "render_pair", "render_pairs"]
