"""What an object does to even ground goes with it; what merely stands beside it stays."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from insightedit.backends.paint.halo import with_halo

HEIGHT, WIDTH = 160, 200


def table() -> np.ndarray:
    """Even ground, brighter to the right, with a little grain."""
    ramp = np.linspace(150, 190, WIDTH)[None, :, None] + np.zeros((HEIGHT, 1, 3))
    return np.clip(ramp + np.random.default_rng(0).normal(0, 2, ramp.shape), 0, 255).astype(np.uint8)


def disc(x: int, y: int, radius: int) -> np.ndarray:
    return cv2.circle(np.zeros((HEIGHT, WIDTH), np.uint8), (x, y), radius, 1, -1).astype(bool)


def shaded(image: np.ndarray, shadow: np.ndarray, strength: float) -> np.ndarray:
    soft = cv2.GaussianBlur(shadow.astype(np.float32), (0, 0), 5)[..., None]
    return (image * (1 - strength * soft)).astype(np.uint8)


def scene() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    body, shadow = disc(90, 70, 22), disc(102, 88, 22)
    image = shaded(table(), shadow, 0.35)
    image[body] = (250, 250, 240)
    return image, body, shadow


def test_a_soft_shadow_on_even_ground_goes_with_its_object():
    image, body, shadow = scene()
    grown = with_halo(image, body)
    assert grown[body].all()
    assert grown[shadow & ~body].mean() > 0.6
    assert not (grown & ~cv2.dilate((body | shadow).astype(np.uint8), np.ones((25, 25))).astype(bool)).any()


def test_without_a_shadow_the_mask_stays():
    image, body = table(), disc(90, 70, 22)
    image[body] = (20, 20, 200)
    rim = cv2.dilate(body.astype(np.uint8), np.ones((13, 13))).astype(bool)  # its blurred edge may go with it
    assert not (with_halo(image, body) & ~rim).any()


def test_a_thing_with_edges_beside_it_is_no_shadow():
    image, body, neighbour = table(), disc(90, 70, 22), disc(126, 70, 14)
    image[body], image[neighbour] = (250, 250, 240), (60, 30, 30)
    grown = with_halo(image, body)
    assert grown[neighbour].mean() < 0.1


def test_other_objects_are_never_taken():
    image, body, shadow = scene()
    assert not (with_halo(image, body, avoid=shadow & ~body) & shadow & ~body).any()


def test_nothing_is_told_on_rough_ground():
    image, body, _ = scene()
    rough = np.random.default_rng(1).normal(0, 45, (*image.shape[:2], 1))
    image = np.clip(image + cv2.GaussianBlur(rough, (0, 0), 3)[..., None] * 6, 0, 255).astype(np.uint8)
    assert (with_halo(image, body) == body).all()


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_nothing_and_everything_stay_as_they_are(share):
    mask = np.full((HEIGHT, WIDTH), bool(share))
    assert (with_halo(table(), mask) == mask).all()


def test_equal_input_gives_equal_output_and_large_photographs_work():
    image, body, _ = scene()
    large = cv2.resize(image, None, fx=6, fy=6, interpolation=cv2.INTER_CUBIC)
    wide = cv2.resize(body.astype(np.uint8), None, fx=6, fy=6, interpolation=cv2.INTER_NEAREST).astype(bool)
    first, second = with_halo(large, wide), with_halo(large, wide)
    assert (first == second).all() and first.sum() > 1.1 * wide.sum()
