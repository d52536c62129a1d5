"""Properties of the arithmetic of boxes."""

import numpy as np

from insightedit.backends.segment import boxes


def some(seed: int, count: int = 40) -> np.ndarray:
    """Float (count, 4) xyxy in a frame of 100 x 80."""
    corners = np.random.default_rng(seed).uniform(0, (100, 80), (2, count, 2))
    return np.concatenate([corners.min(axis=0), corners.max(axis=0)], axis=1)


def test_overlap_is_that_of_counted_pixels():
    given = np.round(some(0, 12))
    drawn = np.zeros((12, 80, 100), bool)
    for mask, (x0, y0, x1, y1) in zip(drawn, given.astype(int), strict=True):
        mask[y0:y1, x0:x1] = True
    counted = [[(a & b).sum() / max(1, (a | b).sum()) for b in drawn] for a in drawn]
    assert np.allclose(boxes.iou(given, given), counted)


def test_a_box_without_area_overlaps_nothing():
    assert boxes.iou(np.array([[5.0, 5, 5, 9]]), np.array([[5.0, 5, 5, 9], [0, 0, 9, 9]])).tolist() == [[0, 0]]


def test_suppression_keeps_the_best_of_each_heap_whatever_the_order():
    given, scores = some(1), np.round(np.random.default_rng(2).uniform(size=40), 1)  # with ties
    kept = boxes.suppress(given, scores, 0.3)
    overlap = boxes.iou(given, given)
    for index in range(40):
        better = [one for one in kept if one != index and overlap[index, one] > 0.3 and scores[one] >= scores[index]]
        assert (index in kept) != bool(better), index
    shuffled = np.random.default_rng(3).permutation(40)
    again = boxes.suppress(given[shuffled], scores[shuffled], 0.3)
    assert np.array_equal(given[shuffled][again], given[kept])


def test_pixels_hold_the_box_inside_the_frame():
    beyond = np.array([[-5.0, -1, 200, 300], [99.9, 79.9, 120, 130], [-9, -9, -2, -2], [3.2, 4.7, 3.4, 4.8]])
    whole = boxes.on_pixels(beyond, 100, 80)
    assert whole == [(0, 0, 100, 80), (99, 79, 100, 80), (0, 0, 1, 1), (3, 4, 4, 5)]
    assert all(type(value) is int for box in whole for value in box)


def test_region_counts_are_those_of_a_slice():
    region = np.random.default_rng(4).random((80, 100)) > 0.5
    whole = np.array(boxes.on_pixels(some(5), 100, 80))
    assert boxes.pixels_inside(region, whole).tolist() == [region[b:d, a:c].sum() for a, b, c, d in whole]


def test_only_boxes_in_the_region_speak_for_it():
    region = np.zeros((80, 100), bool)
    region[20:60, 30:70] = True
    given = np.array([[30.0, 20, 70, 60], [40, 30, 45, 35], [0, 0, 100, 80], [72, 20, 99, 60], [60, 50, 90, 75]])
    told = [boxes.strongest_inside(given[[i]], np.array([0.5]), region) for i in range(5)]
    assert told == [0.5, 0.5, 0, 0, 0]  # the thing itself, a rest of it; the whole picture, a neighbour, mostly beside
    assert boxes.strongest_inside(given, np.array([0.3, 0.4, 0.9, 0.8, 0.7]), region) == 0.4


def test_a_thin_thing_fills_little_of_its_box_and_is_still_there():
    region = np.zeros((80, 100), bool)
    for step in range(60):
        region[10 + step, 20 + step : 23 + step] = True
    assert region.sum() < 0.1 * 62 * 60
    assert boxes.strongest_inside(np.array([[20.0, 10, 82, 70]]), np.array([0.6]), region) == 0.6
    corner = np.array([[60.0, 12, 80, 20]])  # within its bounds, but not on it
    assert boxes.strongest_inside(corner, np.array([0.9]), region) == 0


def test_no_boxes_and_no_region_are_nothing():
    region = np.zeros((80, 100), bool)
    assert boxes.strongest_inside(some(6), np.ones(40), region) == 0
    assert boxes.strongest_inside(np.zeros((0, 4)), np.zeros(0), ~region) == 0
