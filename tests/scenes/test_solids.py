"""Where rays meet the solids, against walking along the ray and asking whether each point is inside."""

from __future__ import annotations

import numpy as np
import pytest

from insightedit.scenes.solids import CONE, CONE_TOP, CUBE, CYLINDER, CYLINDER_TOP, SOLIDS

INSIDE = {
    "sphere": lambda x, y, z: x**2 + y**2 + (z - 1) ** 2 < 1,
    "cube": lambda x, y, z: (abs(x) < CUBE) & (abs(y) < CUBE) & (abs(z - CUBE) < CUBE),
    "cylinder": lambda x, y, z: (x**2 + y**2 < CYLINDER**2) & (z > 0) & (z < CYLINDER_TOP),
    "cone": lambda x, y, z: (x**2 + y**2 < (CONE * (CONE_TOP - z)) ** 2) & (z > 0) & (z < CONE_TOP),
}


def rays(seed: int, count: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Origins around the solid and directions towards somewhere near it; every tenth from the ground up to a light."""
    random = np.random.default_rng(seed)
    origin = random.uniform(-4, 4, (count, 3)).astype(np.float32)
    origin[:, 2] = abs(origin[:, 2]) + 2.5
    towards = random.uniform([-1, -1, 0], [1, 1, 2], (count, 3)).astype(np.float32) - origin
    origin[::10, :2], origin[::10, 2] = origin[::10, :2] / 4, 0
    towards[::10] = random.uniform([-1, -1, 1], [1, 1, 3], (len(towards[::10]), 3))
    return origin, (towards / np.linalg.norm(towards, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("shape", SOLIDS)
def test_a_ray_enters_where_walking_along_it_first_finds_the_inside(shape):
    origin, towards = rays(3)
    with np.errstate(invalid="ignore", divide="ignore"):
        near, far = SOLIDS[shape].span(tuple(origin.T), tuple(towards.T))
    steps = np.arange(1e-3, 12, 4e-3)
    points = origin[:, :, None].astype(np.float64) + steps * towards[:, :, None]
    inside = INSIDE[shape](points[:, 0], points[:, 1], points[:, 2])  # (N, steps)
    hit = (near < far) & (far > 0.01)
    assert 0.2 < hit.mean() < 0.95
    for index in range(len(origin)):
        if hit[index] and far[index] - max(near[index], 0) > 0.02:
            first = steps[np.argmax(inside[index])]
            assert inside[index].any() and abs(first - max(near[index], 0)) < 0.01, (shape, origin[index])
        elif not hit[index]:
            assert inside[index].sum() <= 4, (shape, origin[index], towards[index])


@pytest.mark.parametrize("shape", SOLIDS)
def test_normals_are_unit_vectors_that_point_outwards(shape):
    origin, towards = rays(5)
    with np.errstate(invalid="ignore", divide="ignore"):
        near, far = SOLIDS[shape].span(tuple(origin.T), tuple(towards.T))
    hit = (near < far) & (near > 0)
    point = (origin + near[:, None] * towards)[hit]
    normal = np.stack(np.broadcast_arrays(*SOLIDS[shape].normal(tuple(point.T))), axis=1)
    assert np.allclose(np.linalg.norm(normal, axis=1), 1, atol=1e-2)
    assert ((normal * towards[hit]).sum(axis=1) < 1e-2).all()
    outside = (point + 0.02 * normal).astype(np.float64).T
    assert not INSIDE[shape](*outside).any()
