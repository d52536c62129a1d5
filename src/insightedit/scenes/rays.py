"""What a camera sees of a scene: which thing each ray meets first, how far away, and where shadow may fall.

The rays of a picture are separable (right depends on the column, away and up on the row), and a thing is only tried
where its box lies on the screen: both together make a picture of 64 x 64 px, four rays a pixel, a matter of
milliseconds without any batching of scenes into one array, which would leave the processor's cache.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from insightedit.scenes.scene import Camera, Light, Thing
from insightedit.scenes.solids import MISS, SOLIDS, Array, Three

GROUND = -1  # owner of a ray that meets no thing
LOOK_UP = 0.35  # height above the ground that the camera looks at
PENUMBRA = 0.05  # the light is four points this far apart, one for each ray of a pixel: shadows get soft borders
NEAR = 2e-3  # a ray from a surface has left it after this length

Crop = tuple[slice, slice]  # rows, columns


@dataclass(frozen=True)
class View:
    """A camera's rays for a grid of `side` x `side`: eye + t (dx, dy, dz), t counted along the line of sight.

    dx float32 (1, side), dy and dz float32 (side, 1); `forward` and `up` as (away, up) parts.
    """

    side: int
    eye: tuple[float, float, float]
    dx: np.ndarray
    dy: np.ndarray
    dz: np.ndarray
    slope: float  # tangent of half the view
    cosine: float
    sine: float
    _met: dict[Thing, tuple[Crop, np.ndarray]] = field(default_factory=dict)

    @property
    def ground(self) -> np.ndarray:
        """float32 (side, 1): t where the rays meet the ground."""
        return np.float32(-self.eye[2]) / self.dz

    def screen(self, points: list[tuple[float, float, float]]) -> list[tuple[float, float]]:
        """Points of the world -> (column, row) on the grid, not rounded."""
        found = []
        for x, y, z in points:
            right, away, up = x - self.eye[0], y - self.eye[1], z - self.eye[2]
            depth = (away * self.cosine - up * self.sine) * self.slope
            across, above = right / depth, (away * self.sine + up * self.cosine) / depth
            found.append(((across + 1) / 2 * self.side, (1 - above) / 2 * self.side))
        return found

    def meet(self, thing: Thing) -> tuple[Crop, np.ndarray]:
        """Where on the grid a thing can be, and float32 there: t of its surface or MISS. Kept for the next scene."""
        if thing not in self._met:
            rows, columns = place = self.crop(_box(thing))
            eye = (np.float32(self.eye[0]), np.float32(self.eye[1]), np.float32(self.eye[2]))
            self._met[thing] = place, hit(thing, eye, (self.dx[:, columns], self.dy[rows], self.dz[rows]))
        return self._met[thing]

    def crop(self, points: list[tuple[float, float, float]]) -> Crop:
        """The part of the grid that holds the hull of these points."""
        columns, rows = zip(*self.screen(points), strict=True)
        return self._clip(min(rows), max(rows)), self._clip(min(columns), max(columns))

    def _clip(self, low: float, high: float) -> slice:
        start, stop = max(0, math.floor(low) - 1), min(self.side, math.ceil(high) + 1)
        return slice(start, max(start, stop))


def view(camera: Camera, side: int) -> View:
    """The rays of a camera through the middles of `side` x `side` cells."""
    cosine, sine, slope = (round(math.cos(camera.elevation), 6), round(math.sin(camera.elevation), 6),
                           round(math.tan(camera.view / 2), 6))  # fmt: skip
    eye = (camera.right, camera.away - camera.distance * cosine, LOOK_UP + camera.distance * sine)
    place = ((np.arange(side, dtype=np.float32) + np.float32(0.5)) * np.float32(2 / side) - 1) * np.float32(slope)
    up = -place[:, None]  # (side, 1)
    return View(side, eye, place[None], cosine + up * sine, up * cosine - sine, slope, cosine, sine)


@dataclass(frozen=True)
class Beams:
    """Directions to the four points of a light: `right` float32 (1, side), `away` (side, 1), `up` a number."""

    light: Light
    right: np.ndarray
    away: np.ndarray
    up: Array


def beams(light: Light, side: int) -> Beams:
    """One point of the light for each ray of a pixel."""
    step = np.where(np.arange(side) % 2 == 0, -PENUMBRA / 2, PENUMBRA / 2).astype(np.float32)
    x, y, z = light.towards
    return Beams(light, (np.float32(x) + step)[None], (np.float32(y) + step)[:, None], np.float32(z))


def _box(thing: Thing) -> list[tuple[float, float, float]]:
    solid = SOLIDS[thing.shape]
    half, top = solid.half * thing.radius, solid.top * thing.radius
    return [(thing.right + x, thing.away + y, z) for x in (-half, half) for y in (-half, half) for z in (0.0, top)]


def framed(thing: Thing, seen: View) -> bool:
    """Whether the whole thing lies in the picture."""
    return all(0 <= place <= seen.side for corner in seen.screen(_box(thing)) for place in corner)


def thrown(thing: Thing, light: Light) -> list[tuple[float, float, float]]:
    """Corners of a region that holds the shadow that a thing throws on the ground."""
    solid, spread = SOLIDS[thing.shape], PENUMBRA / light.towards[2]
    half, top = solid.half * thing.radius, solid.top * thing.radius
    east, north = (-towards / light.towards[2] * top for towards in light.towards[:2])
    signs = [(x, y) for x in (-1, 1) for y in (-1, 1)]
    foot = [(thing.right + x * half, thing.away + y * half, 0.0) for x, y in signs]
    wide = half + spread * top
    return foot + [(thing.right + east + x * wide, thing.away + north + y * wide, 0.0) for x, y in signs]


def may_shade(thing: Thing, other: Thing, light: Light) -> bool:
    """Whether the shadow of `thing` can fall on `other`; True in doubt."""
    corners = thrown(thing, light)
    half = SOLIDS[other.shape].half * other.radius
    rights, aways = [x for x, _, _ in corners], [y for _, y, _ in corners]
    across = min(rights) <= other.right + half and other.right - half <= max(rights)
    return across and min(aways) <= other.away + half and other.away - half <= max(aways)


def into(thing: Thing, point: Three) -> Three:
    """A point of the world in the thing's own frame, where its radius is 1."""
    scale = np.float32(1 / thing.radius)
    x, y = (point[0] - np.float32(thing.right)) * scale, (point[1] - np.float32(thing.away)) * scale
    return (*turned(thing, x, y), point[2] * scale)


def turned(thing: Thing, x: Array, y: Array, back: bool = False) -> tuple[Array, Array]:
    """Turn the ground's axes into the thing's, or back."""
    if not SOLIDS[thing.shape].turns:
        return x, y
    cosine = np.float32(round(math.cos(thing.turn), 6))
    sine = np.float32(round(math.sin(thing.turn), 6)) * (-1 if back else 1)
    return x * cosine + y * sine, y * cosine - x * sine


def hit(thing: Thing, origin: Three, towards: Three, least: float = 0.0) -> np.ndarray:
    """float32: length of the ray until it enters the thing, MISS where it does not, or starts inside."""
    scale = np.float32(1 / thing.radius)
    x, y = turned(thing, towards[0] * scale, towards[1] * scale)
    with np.errstate(invalid="ignore", divide="ignore"):  # the square roots of rays that pass it by
        near, far = SOLIDS[thing.shape].span(into(thing, origin), (x, y, towards[2] * scale))
    return np.where((near < far) & (near > least), near, MISS)


@dataclass(frozen=True)
class Sight:
    """What the rays meet first: `owner` int8 (side, side), index of the thing or GROUND; `depth` float32 alike.

    Of thing k, `alone[k]` is the number of rays that would meet it if it stood alone, all within `crops[k]`.
    """

    owner: np.ndarray
    depth: np.ndarray
    alone: list[int]
    crops: list[Crop]

    def rays(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows and columns of the rays that meet a thing first."""
        rows, columns = self.crops[index]
        down, across = np.nonzero(self.owner[rows, columns] == index)
        return down + rows.start, across + columns.start

    def share(self, index: int) -> float:
        """How much of a thing no other one hides, 0..1."""
        return float(np.count_nonzero(self.owner == index)) / max(1, self.alone[index])


def look(things: Sequence[Thing], seen: View) -> Sight:
    """Meet every thing where it can be."""
    owner = np.full((seen.side, seen.side), GROUND, np.int8)
    depth = np.repeat(seen.ground, seen.side, axis=1)  # (side, side): the ground is everywhere
    alone, crops = [], []
    for index, thing in enumerate(things):
        (rows, columns), found = seen.meet(thing)
        alone.append(int(np.count_nonzero(found < MISS)))
        crops.append((rows, columns))
        closer = found < depth[rows, columns]
        np.copyto(depth[rows, columns], found, where=closer)
        np.copyto(owner[rows, columns], np.int8(index), where=closer)
    return Sight(owner, depth, alone, crops)


def ground_shadow(thing: Thing, seen: View, to: Beams) -> tuple[Crop, np.ndarray]:
    """Where on the grid a thing can darken the bare ground, and bool there: whether it does."""
    rows, columns = seen.crop(thrown(thing, to.light))
    depth = seen.ground[rows]
    x, y = np.float32(seen.eye[0]) + depth * seen.dx[:, columns], np.float32(seen.eye[1]) + depth * seen.dy[rows]
    return (rows, columns), hit(thing, (x, y, np.float32(0)), (to.right[:, columns], to.away[rows], to.up)) < MISS
