"""Four solids of radius 1 that stand on the ground at the origin: where a ray meets them, and their normals.

A ray is o + t d; coordinates are (x, y, z), z up. Every function takes scalars or arrays that broadcast. Only + - * /
and square roots touch the arrays: IEEE rounds those alike on every machine, so pixels do not depend on the machine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = Any  # float32 array or scalar
Three = tuple[Array, Array, Array]

CUBE = 0.85  # half the edge of the cube
CYLINDER = 0.82  # radius
CYLINDER_TOP = 1.75
CONE_TOP = 2.0
CONE = 0.5  # radius a unit of height below the tip
MISS = np.float32(1e9)
TINY = np.float32(1e-6)


@dataclass(frozen=True)
class Solid:
    """`span(o, d)` -> (near, far): t where a line enters and leaves, near > far or NaN if it misses; `normal(p)`.

    `half` is half the width of a box around it that may turn about the upright axis, `top` its height.
    """

    span: Callable[[Three, Three], tuple[Array, Array]]
    normal: Callable[[Three], Three]
    half: float
    top: float
    turns: bool = False  # whether turning about the upright axis changes it


def _roots(a: Array, b: Array, c: Array) -> tuple[Array, Array]:
    """Both solutions of a t^2 + 2 b t + c = 0; NaN where there are none, which no comparison calls a hit."""
    root, inverse = np.sqrt(b * b - a * c), 1 / a
    return (-b - root) * inverse, (root - b) * inverse


def _slab(o: Array, d: Array, low: float, high: float) -> tuple[Array, Array]:
    """Where a line is between two planes."""
    inverse = 1 / (d + TINY)  # never 0: no ray has that very direction
    one, other = (low - o) * inverse, (high - o) * inverse
    return np.minimum(one, other), np.maximum(one, other)


def _sphere(o: Three, d: Three) -> tuple[Array, Array]:
    x, y, z = o[0], o[1], o[2] - 1
    a = d[0] * d[0] + d[1] * d[1] + d[2] * d[2]
    b = x * d[0] + y * d[1] + z * d[2]
    return _roots(a, b, x * x + y * y + z * z - 1)


def _sphere_normal(p: Three) -> Three:
    return p[0], p[1], p[2] - 1


def _cube(o: Three, d: Three) -> tuple[Array, Array]:
    x, y, z = _slab(o[0], d[0], -CUBE, CUBE), _slab(o[1], d[1], -CUBE, CUBE), _slab(o[2], d[2], 0, 2 * CUBE)
    return np.maximum(np.maximum(x[0], y[0]), z[0]), np.minimum(np.minimum(x[1], y[1]), z[1])


def _cube_normal(p: Three) -> Three:
    x, y, z = np.abs(p[0]), np.abs(p[1]), np.abs(p[2] - CUBE)
    up, ahead = (z >= x) & (z >= y), y > x
    across = np.where(up | ahead, 0, np.sign(p[0])).astype(np.float32)
    away = np.where(up | ~ahead, 0, np.sign(p[1])).astype(np.float32)
    return across, away, np.where(up, np.sign(p[2] - CUBE), 0).astype(np.float32)


def _cylinder(o: Three, d: Three) -> tuple[Array, Array]:
    a = d[0] * d[0] + d[1] * d[1] + np.float32(1e-9)
    wall = _roots(a, o[0] * d[0] + o[1] * d[1], o[0] * o[0] + o[1] * o[1] - CYLINDER * CYLINDER)
    ends = _slab(o[2], d[2], 0, CYLINDER_TOP)
    return np.maximum(wall[0], ends[0]), np.minimum(wall[1], ends[1])


def _cylinder_normal(p: Three) -> Three:
    lid = p[2] > CYLINDER_TOP - 2e-3
    return np.where(lid, 0, p[0] / CYLINDER), np.where(lid, 0, p[1] / CYLINDER), lid.astype(np.float32)


def _cone(o: Three, d: Three) -> tuple[Array, Array]:
    """Of the double cone about the tip the part between the ground and the tip."""
    below, slope = CONE_TOP - o[2], CONE * CONE
    a = d[0] * d[0] + d[1] * d[1] - slope * d[2] * d[2]
    b = o[0] * d[0] + o[1] * d[1] + slope * below * d[2]
    c = o[0] * o[0] + o[1] * o[1] - slope * below * below
    near, far = _roots(a, b, c)
    ends = _slab(o[2], d[2], 0, CONE_TOP)
    # Where a < 0 the line is steeper than the wall and `near` the later root: falling, it is inside from there on;
    # rising, until `far`.
    steep, falls = a < 0, d[2] < 0
    enter = np.where(steep & ~falls, -MISS, near)
    leave = np.where(steep & falls, MISS, far)
    return np.maximum(enter, ends[0]), np.minimum(leave, ends[1])


def _cone_normal(p: Three) -> Three:
    wide = np.sqrt(p[0] * p[0] + p[1] * p[1]) + TINY
    flat = np.float32(1 / (1 + CONE * CONE) ** 0.5)
    return p[0] / wide * flat, p[1] / wide * flat, np.full_like(wide, CONE * flat)


SOLIDS = {
    "sphere": Solid(_sphere, _sphere_normal, 1.0, 2.0),
    "cube": Solid(_cube, _cube_normal, CUBE * 2**0.5, 2 * CUBE, turns=True),
    "cylinder": Solid(_cylinder, _cylinder_normal, CYLINDER, CYLINDER_TOP),
    "cone": Solid(_cone, _cone_normal, CONE * CONE_TOP, CONE_TOP),
}
