from __future__ import annotations

import numpy as np
import pytest

from curate import rle
from curate.rle.nms import crop_nms, greedy_nms, mask_nms


def box_iou(a: np.ndarray, b: np.ndarray) -> float:
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / (a[2] * a[3] + b[2] * b[3] - width * height)


def naive(boxes: np.ndarray, groups: np.ndarray, order: list[int], limit: float) -> list[int]:
    """Keep the best, strike out what overlaps it, go on: the textbook's way."""
    by = [-1] * len(boxes)
    left = list(order)
    while left:
        best = left.pop(0)
        for other in list(left):
            if groups[other] == groups[best] and box_iou(boxes[other], boxes[best]) > limit:
                by[other] = best
                left.remove(other)
    return by


@pytest.mark.parametrize("seed", range(20))
def test_greedy_nms_is_the_naive_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 120
    boxes = np.column_stack([rng.integers(0, 30, (n, 2)), rng.integers(0, 40, (n, 2))]).astype(
        float
    )
    groups, score = rng.integers(0, 3, n), rng.random(n).round(1)
    score[rng.random(n) < 0.1] = np.nan
    found = greedy_nms(boxes, groups, (score,), 0.5)
    order = sorted(range(n), key=lambda i: (-np.nan_to_num(score[i], nan=-1), i))
    assert found.by.tolist() == naive(boxes, groups, order, 0.5)
    for row, by in enumerate(found.by):
        if by >= 0:
            assert found.iou[row] == pytest.approx(box_iou(boxes[row], boxes[by]))
        else:
            assert np.isnan(found.iou[row])


def test_an_iou_of_exactly_the_limit_is_two_objects() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 5]], float)
    zeros = np.zeros(2, np.int64)
    assert greedy_nms(boxes, zeros, (np.array([2.0, 1.0]),), 0.5).by.tolist() == [-1, -1]
    assert greedy_nms(boxes, zeros, (np.array([2.0, 1.0]),), 0.49).by.tolist() == [-1, 0]


def test_the_closer_crop_wins_over_the_better_score() -> None:
    boxes = np.tile([[10.0, 10, 20, 20]], (3, 1))
    crops = np.array([[0, 0, 100, 100], [0, 0, 50, 50], [np.nan] * 4])
    found = crop_nms(boxes, np.zeros(3, np.int64), (np.array([0.99, 0.9, 1.0]),), crops, 0.7)
    assert found.by.tolist() == [1, -1, 1]


def test_within_a_crop_the_better_score_wins_and_is_named() -> None:
    boxes = np.tile([[10.0, 10, 20, 20]], (4, 1))
    crops = np.tile([[0.0, 0, 50, 50]], (4, 1))
    images = np.array([1, 1, 1, 2])
    found = crop_nms(boxes, images, (np.array([0.9, 0.95, np.nan, 0.1]),), crops, 0.7)
    assert found.by.tolist() == [1, -1, 1, -1]


def test_nothing_is_no_problem() -> None:
    empty = np.empty((0, 4))
    found = crop_nms(empty, np.empty(0, np.int64), (np.empty(0),), empty, 0.7)
    assert len(found.by) == 0


def random_masks(rng: np.random.Generator, n: int, size: tuple[int, int]) -> np.ndarray:
    """Rectangles with pixels knocked out; some without any pixel."""
    masks = np.zeros((n, *size), bool)
    for mask in masks:
        y, x = rng.integers(0, size[0]), rng.integers(0, size[1])
        mask[y : y + rng.integers(0, 12), x : x + rng.integers(0, 12)] = True
        mask &= rng.random(size) > 0.1
    return masks


def mask_iou(a: np.ndarray, b: np.ndarray) -> float:
    both = (a & b).sum()
    return float(both / (a | b).sum()) if both else 0.0


def naive_masks(masks: np.ndarray, groups: np.ndarray, order: list[int], limit: float) -> list[int]:
    by = [-1] * len(masks)
    left = list(order)
    while left:
        best = left.pop(0)
        for other in list(left):
            same = groups[other] == groups[best]
            if same and mask_iou(masks[other], masks[best]) > limit:
                by[other] = best
                left.remove(other)
    return by


@pytest.mark.parametrize("seed", range(10))
def test_mask_nms_is_the_naive_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 90
    masks = random_masks(rng, n, (17, 23))
    groups, score = rng.integers(0, 3, n), rng.random(n).round(1)
    score[rng.random(n) < 0.1] = np.nan
    found = mask_nms(rle.concat([rle.from_dense(m) for m in masks]), groups, (score,), 0.3)
    order = sorted(range(n), key=lambda i: (-np.nan_to_num(score[i], nan=-1), i))
    assert found.by.tolist() == naive_masks(masks, groups, order, 0.3)
    assert (found.by >= 0).any()
    for row, by in enumerate(found.by):
        if by >= 0:
            assert found.iou[row] == pytest.approx(mask_iou(masks[row], masks[by]))
        else:
            assert np.isnan(found.iou[row])


def test_two_limbs_of_a_cross_share_a_box_but_hardly_a_pixel() -> None:
    rising = np.eye(40, dtype=bool)
    runs = rle.concat([rle.from_dense(rising), rle.from_dense(rising[::-1])])
    groups, score = np.zeros(2, np.int64), np.array([0.9, 0.8])
    boxes, crops = rle.bbox(runs).astype(float), np.tile([[0.0, 0, 40, 40]], (2, 1))
    assert crop_nms(boxes, groups, (score,), crops, 0.7).by.tolist() == [-1, 0]
    assert crop_nms(runs, groups, (score,), crops, 0.7).by.tolist() == [-1, -1]


def test_the_closer_crop_wins_by_masks_too() -> None:
    runs = rle.concat([rle.from_dense(np.ones((5, 5)))] * 4)
    crops = np.array([[0, 0, 100, 100], [0, 0, 50, 50], [0, 0, 50, 50], [np.nan] * 4])
    score = np.array([0.99, 0.9, 0.91, 1.0])
    found = crop_nms(runs, np.zeros(4, np.int64), (score,), crops, 0.7)
    assert found.by.tolist() == [2, 2, -1, 2]
