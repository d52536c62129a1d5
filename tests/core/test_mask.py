"""Masks against scipy, pycocotools and numpy."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco
from scipy.ndimage import binary_dilation, binary_erosion

from insightedit.core.errors import Unfit
from insightedit.core.mask import Mask, compressed, grow, growth_px

OFFICIAL = np.ones((5, 5), bool)  # InsightEdit's structuring element; its step 3 iterates it 40 and 15 times


def blobs(seed: int, height: int = 90, width: int = 120) -> np.ndarray:
    """A few ellipses, boxes and lines anywhere, the frame's border included; bool (H, W)."""
    rng = np.random.default_rng(seed)
    canvas = np.zeros((height, width), np.uint8)
    for _ in range(int(rng.integers(1, 4))):
        at = (int(rng.integers(0, width)), int(rng.integers(0, height)))
        size = (int(rng.integers(1, width // 5)), int(rng.integers(1, height // 5)))
        kind = rng.integers(3)
        if kind == 0:
            cv2.ellipse(canvas, at, size, float(rng.integers(180)), 0, 360, 1, -1)
        elif kind == 1:
            cv2.rectangle(canvas, at, (at[0] + size[0], at[1] + size[1]), 1, -1)
        else:
            cv2.line(canvas, at, (at[0] + size[0], at[1] - size[1]), 1, 2)
    return canvas.astype(bool)


def drawn() -> dict[str, np.ndarray]:
    """Masks with a shape of their own."""
    shapes = {name: np.zeros((90, 120), bool) for name in ("empty", "full", "pixel", "corner", "ring", "left", "comb")}
    shapes["full"][:] = True
    shapes["pixel"][40, 60] = True
    shapes["corner"][89, 119] = True
    shapes["ring"][20:70, 30:90] = True
    shapes["ring"][30:60, 40:80] = False
    shapes["left"][10:80, 0] = True
    shapes["comb"][30:60:4, 20:100] = True
    return shapes


MASKS = drawn() | {f"seed {seed}": blobs(seed) for seed in range(40)}
MASKS |= {f"noise {seed}": np.random.default_rng(seed).random((90, 120)) < 0.002 for seed in range(5)}


def official(mask: np.ndarray, out: int, back: int, border: int = 0) -> np.ndarray:
    grown = binary_dilation(mask, OFFICIAL, iterations=out) if out else mask
    return binary_erosion(grown, OFFICIAL, iterations=back, border_value=border) if back else grown


@pytest.mark.parametrize(("out_px", "back_px"), [(80, 30), (2, 0), (2, 2), (6, 4), (10, 10), (24, 8), (40, 0), (8, 12)])
def test_growing_equals_the_official_step_away_from_the_border(out_px, back_px):
    for name, small in list(MASKS.items())[:: 1 if out_px < 20 else 3]:  # 40 iterations of scipy take their time
        room = out_px + 2
        frame = np.pad(small, room)
        ours = grow(Mask.of(frame), out_px, back_px).full()
        np.testing.assert_array_equal(ours, official(frame, out_px // 2, back_px // 2), err_msg=name)


@pytest.mark.parametrize(("out_px", "back_px"), [(80, 30), (6, 4), (10, 10), (4, 10)])
def test_at_the_border_what_lies_outside_counts_as_unknown(out_px, back_px):
    inner = np.zeros((90, 120), bool)
    inner[back_px : 90 - back_px, back_px : 120 - back_px] = True
    for name, mask in list(MASKS.items())[:: 1 if out_px < 20 else 3]:
        ours = grow(Mask.of(mask), out_px, back_px).full()
        theirs = official(mask, out_px // 2, back_px // 2)
        unknown_outside = official(mask, out_px // 2, back_px // 2, border=1)
        np.testing.assert_array_equal(ours, unknown_outside, err_msg=name)
        np.testing.assert_array_equal(ours & inner, theirs & inner, err_msg=name)


@pytest.mark.parametrize("side", ["left", "right", "top", "bottom"])
def test_an_object_cut_by_the_frame_keeps_touching_it_where_the_official_step_leaves_a_strip(side):
    mask = np.zeros((300, 300), bool)
    mask[120:180, 0:40] = True
    turns = {"left": 0, "bottom": 1, "right": 2, "top": 3}[side]
    mask = np.rot90(mask, turns)
    edge = {"left": np.s_[:, 0], "right": np.s_[:, -1], "top": np.s_[0], "bottom": np.s_[-1]}[side]
    assert not official(mask, 40, 15)[edge].any()
    ours = grow(Mask.of(mask), 80, 30).full()
    assert np.count_nonzero(ours[edge]) == 60 + 2 * 50


def test_growing_a_mask_never_loses_a_pixel():
    rng = np.random.default_rng(0)
    for name, mask in MASKS.items():
        out_px = int(rng.integers(0, 30))
        back_px = int(rng.integers(0, out_px + 1))
        grown = grow(Mask.of(mask), out_px, back_px).full()
        assert grown[mask].all(), f"{name}, {out_px} out, {back_px} back"


def test_growing_nothing_stays_nothing():
    assert grow(Mask.of(np.zeros((20, 30), bool)), 10, 4).area == 0


def test_growth_follows_the_object_within_its_limits():
    square = Mask.of(np.ones((100, 100), bool))
    assert growth_px(square, 0.04, 1, 24) == 4
    assert growth_px(square, 0.04, 6, 24) == 6
    assert growth_px(square, 0.90, 6, 24) == 24


def test_a_mask_is_its_crop_in_its_frame():
    for name, mask in MASKS.items():
        crop = Mask.of(mask)
        np.testing.assert_array_equal(crop.full(), mask, err_msg=name)
        assert crop.area == np.count_nonzero(mask)
        assert crop.share == pytest.approx(mask.mean())
        if crop.area:
            x, y, width, height = coco.toBbox(coco.encode(np.asfortranarray(mask.astype(np.uint8))))
            assert crop.box == (x, y, x + width, y + height), name


def test_a_mask_does_not_change_with_the_array_it_came_from():
    full = np.ones((4, 5), bool)
    mask = Mask.of(full)
    full[:] = False
    assert mask.area == 20


def test_run_length_code_equals_cocos_and_comes_back():
    for name, mask in MASKS.items():
        code = Mask.of(mask).rle()
        theirs = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
        assert code == {"size": [90, 120], "counts": theirs["counts"].decode()}, name
        for counts in (code["counts"], theirs["counts"], runs_of(mask)):
            np.testing.assert_array_equal(Mask.from_rle({"size": [90, 120], "counts": counts}).full(), mask, name)


def runs_of(mask: np.ndarray) -> list[int]:
    """Uncompressed counts, column by column, background first."""
    pixels = mask.ravel(order="F")
    runs = [len(part) for part in np.split(pixels, np.flatnonzero(np.diff(pixels)) + 1)]
    return [0, *runs] if pixels[0] else runs


@pytest.mark.parametrize("shape", [(1, 1), (1, 700), (700, 1), (33, 65)])
def test_run_length_code_survives_odd_frames_and_long_runs(shape):
    for share in (0.0, 0.001, 0.5, 1.0):
        mask = np.random.default_rng(3).random(shape) < share
        np.testing.assert_array_equal(Mask.from_rle(Mask.of(mask).rle()).full(), mask)


MALFORMED = {
    "too few pixels": {"size": [4, 5], "counts": [3, 2]},
    "too many pixels": {"size": [4, 5], "counts": [3, 200]},
    "negative": {"size": [4, 5], "counts": [23, -3]},
    "no runs": {"size": [4, 5], "counts": []},
    "no text": {"size": [4, 5], "counts": ""},
    "short text": {"size": [4, 5], "counts": "32"},
    "foreign text": {"size": [4, 5], "counts": "hello world"},
    "not ascii": {"size": [4, 5], "counts": "é"},
    "cut text": {"size": [90, 120], "counts": coco.encode(np.asfortranarray(blobs(1).astype(np.uint8)))["counts"][:-1]},
    "unfinished run": {"size": [4, 5], "counts": "P"},
    "no counts": {"size": [4, 5]},
    "no size": {"counts": [20]},
    "one side": {"size": [20], "counts": [20]},
    "negative side": {"size": [-4, -5], "counts": [20]},
    "no side": {"size": [0, 0], "counts": [0]},
    "infinite side": {"size": [float("inf"), 5], "counts": [20]},
    "huge": {"size": [1 << 31, 1 << 31], "counts": [20]},
    "null": {"size": [4, 5], "counts": None},
    "nested": {"size": [4, 5], "counts": [[1], [2]]},
}


@pytest.mark.parametrize("name", MALFORMED)
def test_run_length_code_that_does_not_fill_its_frame_is_refused(name):
    with pytest.raises(Unfit) as caught:
        Mask.from_rle(MALFORMED[name])
    assert caught.value.reason == "malformed_rle"


def test_damaged_run_length_code_is_refused_or_is_a_mask_of_that_frame():
    rng = np.random.default_rng(0)
    counts = bytearray(compressed(Mask.of(blobs(2)).rle())["counts"])
    for _ in range(300):
        damaged = bytearray(counts)
        for at in rng.integers(0, len(damaged), 2):
            damaged[at] = int(rng.integers(32, 127))
        try:
            mask = Mask.from_rle({"size": [90, 120], "counts": bytes(damaged)})
        except Unfit:
            continue
        assert mask.full().shape == (90, 120)
        again = Mask.from_rle(mask.rle())
        np.testing.assert_array_equal(again.full(), mask.full())


def test_polygons_are_rasterised_as_coco_does():
    rng = np.random.default_rng(0)
    for _ in range(30):
        polygons = [rng.uniform(-10, 130, 2 * int(rng.integers(3, 9))).tolist() for _ in range(int(rng.integers(1, 4)))]
        theirs = coco.decode(coco.merge(coco.frPyObjects(polygons, 90, 120))).astype(bool)
        np.testing.assert_array_equal(Mask.from_polygons(polygons, 120, 90).full(), theirs)


def test_a_polygon_along_pixel_borders_covers_exactly_its_pixels():
    mask = Mask.from_polygons([[10, 20, 50, 20, 50, 60, 10, 60]], 120, 90)
    assert mask.box == (10, 20, 50, 60) and mask.area == 40 * 40


def test_two_polygons_are_united():
    mask = Mask.from_polygons([[0, 0, 10, 0, 10, 10, 0, 10], [5, 5, 20, 5, 20, 20, 5, 20]], 40, 40)
    assert mask.area == 100 + 225 - 25


@pytest.mark.parametrize("far", [1e9, -1e9, 1e300, float("nan"), float("inf"), 10_000])
def test_points_that_crash_pycocotools_are_refused(far):
    with pytest.raises(Unfit) as caught:
        Mask.from_polygons([[0, 0, far, 0, 10, 10]], 40, 40)
    assert caught.value.reason == "malformed_polygon"


@pytest.mark.parametrize(
    ("box", "share"),
    [((30, 30, 60, 60), 0.0), ((0, 30, 30, 60), 0.25), ((0, 0, 30, 30), 0.5), ((0, 0, 120, 30), 210 / 300)],
)
def test_border_share_is_the_part_of_the_outline_that_the_frame_cuts(box, share):
    frame = np.zeros((90, 120), bool)
    frame[box[1] : box[3], box[0] : box[2]] = True
    if box[2] == 120:
        share = (120 + 30 + 30) / 300
    assert Mask.of(frame).border_share == pytest.approx(share)
    np.testing.assert_allclose(Mask.of(frame[::-1, ::-1]).border_share, share)


def test_the_whole_frame_is_all_border_and_nothing_has_none():
    assert Mask.of(np.ones((90, 120), bool)).border_share == 1.0
    assert Mask.of(np.zeros((90, 120), bool)).border_share == 0.0


def test_only_touching_pixels_count_as_border():
    frame = np.zeros((90, 120), bool)
    cv2.circle(frame.view(np.uint8), (0, 45), 20, 1, -1)
    assert 0 < Mask.of(frame).border_share <= 41 / (2 * 41 + 2 * 21)


def test_a_mask_resized_twice_as_large_and_back_is_the_same():
    for name, mask in MASKS.items():
        twice = Mask.of(mask).resized(240, 180)
        np.testing.assert_array_equal(twice.full(), mask.repeat(2, axis=0).repeat(2, axis=1), err_msg=name)
        np.testing.assert_array_equal(twice.resized(120, 90).full(), mask, err_msg=name)


def test_resizing_keeps_place_and_share():
    mask = Mask.of(blobs(7, 200, 300)).resized(150, 100)
    before = Mask.of(blobs(7, 200, 300))
    assert (mask.width, mask.height) == (150, 100)
    assert mask.share == pytest.approx(before.share, abs=0.01)
    assert np.allclose(np.array(mask.box) * 2, before.box, atol=2)
