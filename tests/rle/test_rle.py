"""Kernels against pycocotools, scipy and plain pixels."""

from __future__ import annotations

import numpy as np
import pycocotools.mask as coco_mask
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from curate import rle
from curate.common.arrays import BoolArray


@st.composite
def batches(draw: st.DrawFn) -> list[BoolArray]:
    """Masks of one size: noise, smooth blobs, full, empty, one pixel, thin lines."""
    height, width = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    masks = []
    for kind in draw(st.lists(st.sampled_from("nbfe1l"), min_size=1, max_size=8)):
        mask = np.zeros((height, width), bool)
        if kind == "n":
            mask = rng.random((height, width)) < rng.random()
        elif kind == "b":
            smooth = ndimage.gaussian_filter(rng.standard_normal((height, width)), 2.0)
            mask = smooth > np.quantile(smooth, rng.random())
        elif kind == "f":
            mask[:] = True
        elif kind == "1":
            mask[rng.integers(height), rng.integers(width)] = True
        elif kind == "l":
            mask[rng.integers(height), :] = True
        masks.append(mask)
    return masks


def encode(masks: list[BoolArray]) -> list[dict[str, bytes]]:
    return [coco_mask.encode(np.asfortranarray(m.astype(np.uint8))) for m in masks]


def to_runs(masks: list[BoolArray]) -> rle.Runs:
    counts = [e["counts"] for e in encode(masks)]
    heights, widths = zip(*(m.shape for m in masks), strict=True)
    runs, codes = rle.decode_counts(counts, heights, widths)
    assert not codes.any()
    return runs


@given(batches())
def test_decode_measure_encode_equal_pycocotools(masks: list[BoolArray]) -> None:
    coded = encode(masks)
    runs = to_runs(masks)
    areas, boxes = rle.measure(runs)
    assert areas.tolist() == coco_mask.area(coded).tolist()
    assert boxes.tolist() == coco_mask.toBbox(coded).tolist()
    assert rle.encode_counts(runs).to_pylist() == [c["counts"] for c in coded]


@given(batches())
def test_pixels_come_back(masks: list[BoolArray]) -> None:
    runs = rle.concat([rle.from_dense(m) for m in masks])
    same = to_runs(masks)
    assert runs.starts.tolist() == same.starts.tolist()
    assert runs.ends.tolist() == same.ends.tolist()
    for k, mask in enumerate(masks):
        assert (rle.to_dense(runs, k) == mask).all()
        padded = np.pad(mask, 8)
        box = (-8, -8, mask.shape[1] + 16, mask.shape[0] + 16)
        assert (rle.to_dense(runs, k, box) == padded).all()
        assert (rle.to_dense(runs, k, (1, 2, 5, 4)) == padded[10:14, 9:14]).all()


@given(batches(), st.data())
def test_selecting_masks(masks: list[BoolArray], data: st.DataObject) -> None:
    runs = to_runs(masks)
    rows = np.array(data.draw(st.lists(st.integers(0, len(masks) - 1))), np.int64)
    chosen = runs[rows]
    assert len(chosen) == len(rows)
    for k, row in enumerate(rows):
        assert (rle.to_dense(chosen, k) == masks[row]).all()


@given(batches(), st.data())
def test_overlaps_equal_pixels(masks: list[BoolArray], data: st.DataObject) -> None:
    groups = data.draw(st.lists(st.integers(0, 2), min_size=len(masks), max_size=len(masks)))
    found = rle.overlaps(to_runs(masks), groups)
    expected = [
        (i, j, int((masks[i] & masks[j]).sum()))
        for i in range(len(masks))
        for j in range(i + 1, len(masks))
        if groups[i] == groups[j] and (masks[i] & masks[j]).any()
    ]
    pairs = zip(found.first, found.second, found.intersection, strict=True)
    assert [(int(i), int(j), int(n)) for i, j, n in pairs] == expected


@given(batches(), st.data())
def test_cross_overlaps_equal_pixels(masks: list[BoolArray], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(masks)))
    groups = data.draw(st.lists(st.integers(0, 1), min_size=len(masks), max_size=len(masks)))
    runs = to_runs(masks)
    found = rle.cross_overlaps(runs[:cut], groups[:cut], runs[cut:], groups[cut:])
    expected = [
        (i, j, int((masks[i] & masks[cut + j]).sum()))
        for i in range(cut)
        for j in range(len(masks) - cut)
        if groups[i] == groups[cut + j] and (masks[i] & masks[cut + j]).any()
    ]
    pairs = zip(found.first, found.second, found.intersection, strict=True)
    assert [(int(i), int(j), int(n)) for i, j, n in pairs] == expected


def test_masks_of_other_heights_are_not_paired() -> None:
    runs = rle.concat([rle.from_dense(np.ones((4, 6))), rle.from_dense(np.ones((6, 4)))])
    assert len(rle.overlaps(runs, [0, 0])) == 0


@given(batches(), st.integers(1, 9))
def test_components_equal_scipy(masks: list[BoolArray], small: int) -> None:
    found = rle.components(to_runs(masks), small=small)
    for k, mask in enumerate(masks):
        labels, count = ndimage.label(mask, np.ones((3, 3)))
        sizes = np.bincount(labels.ravel())[1:]
        assert found.count[k] == count
        assert found.largest_px[k] == sizes.max(initial=0)
        islands = np.delete(sizes, sizes.argmax()) if count else sizes
        assert found.small_island_px[k] == islands[islands < small].sum()
        holes = ndimage.binary_fill_holes(mask) & ~mask
        labels, count = ndimage.label(holes)
        sizes = np.bincount(labels.ravel())[1:]
        assert found.hole_count[k] == count
        assert found.hole_px[k] == holes.sum()
        assert found.largest_hole_px[k] == sizes.max(initial=0)
        assert found.small_hole_px[k] == sizes[sizes < small].sum()
        padded = np.pad(mask.astype(int), 1)
        edges = np.abs(np.diff(padded, axis=0)).sum() + np.abs(np.diff(padded, axis=1)).sum()
        assert found.perimeter_px[k] == edges


@given(batches(), st.floats(-6, 46), st.floats(-6, 46))
def test_points(masks: list[BoolArray], x: float, y: float) -> None:
    runs = to_runs(masks)
    n = len(masks)
    distances, inside = rle.distance(runs, [x] * n, [y] * n), rle.contains(runs, [x] * n, [y] * n)
    for k, mask in enumerate(masks):
        rows, columns = np.nonzero(mask)
        if not len(rows):
            assert np.isnan(distances[k])
            assert not inside[k]
            continue
        dx = np.maximum(np.maximum(columns - x, x - columns - 1), 0)
        dy = np.maximum(np.maximum(rows - y, y - rows - 1), 0)
        assert distances[k] == pytest.approx(np.sqrt((dx**2 + dy**2).min()))
        column, row = int(np.floor(x)), int(np.floor(y))
        within = 0 <= column < mask.shape[1] and 0 <= row < mask.shape[0]
        assert inside[k] == (within and mask[row, column])


def test_points_that_are_not_finite() -> None:
    runs = rle.from_dense(np.ones((3, 3)))
    assert np.isnan(rle.distance(runs, [np.nan], [1.0]))[0]
    assert not rle.contains(runs, [np.nan], [1.0])[0]


def test_label_image() -> None:
    labels = np.array([[0, 3, 3], [7, 3, 0], [7, 0, 3]], np.uint16)
    ids, runs = rle.from_label_image(labels)
    assert ids.tolist() == [3, 7]
    for k, number in enumerate(ids):
        assert (rle.to_dense(runs, k) == (labels == number)).all()


@pytest.mark.parametrize(
    ("counts", "size", "problem"),
    [
        (None, (3, 3), "there is no segmentation"),
        (b"9", (0, 3), "the declared image size is not usable"),
        (b"9", (10**9, 10**9), "the declared image size is not usable"),
        (b"9", (-3, -3), "the declared image size is not usable"),
        (b"8\xff", (3, 3), "the counts string holds a character that no run length has"),
        (b"P", (3, 3), "the counts string holds a character that no run length has"),
        (b"ooooooooooooo", (3, 3), "the counts string holds a character"),
        (b"O", (3, 3), "a run length is negative"),
        (b"72", (2, 4), "its runs are longer than the image"),
        (b"7", (3, 3), "its runs end before the image does"),
        (b"", (3, 3), "its runs end before the image does"),
    ],
)
def test_broken_counts_have_a_code(
    counts: bytes | None, size: tuple[int, int], problem: str
) -> None:
    good = coco_mask.encode(np.asfortranarray(np.eye(3, dtype=np.uint8)))["counts"]
    runs, codes = rle.decode_counts([good, counts, good], [3, size[0], 3], [3, size[1], 3])
    assert codes[0] == codes[2] == 0
    assert rle.PROBLEMS[codes[1]].startswith(problem)
    assert rle.area(runs).tolist() == [3, 0, 3]


@given(st.lists(st.binary(max_size=60), max_size=5), st.integers(1, 50), st.integers(1, 50))
def test_any_bytes_are_refused_or_read(counts: list[bytes], height: int, width: int) -> None:
    runs, _ = rle.decode_counts(counts, [height] * len(counts), [width] * len(counts))
    for k in range(len(counts)):
        span = slice(runs.offsets[k], runs.offsets[k + 1])
        starts, ends = runs.starts[span], runs.ends[span]
        assert (starts < ends).all()
        assert (starts[1:] > ends[:-1]).all()
        assert ((starts >= 0) & (ends <= height * width)).all()
    again, codes = rle.decode_counts(rle.encode_counts(runs), runs.heights, runs.widths)
    assert not codes.any()
    assert again.starts.tolist() == runs.starts.tolist()


def test_a_huge_declared_size_costs_nothing() -> None:
    whole = coco_mask.frPyObjects({"size": [46340, 46340], "counts": [5, 3, 46340**2 - 8]}, 0, 0)
    runs, codes = rle.decode_counts([whole["counts"]], [46340], [46340])
    assert not codes.any()
    assert rle.measure(runs)[0].tolist() == [3]
    assert rle.components(runs).count.tolist() == [1]


def test_nothing_at_all() -> None:
    runs, codes = rle.decode_counts([], [], [])
    assert len(runs) == len(codes) == 0
    assert len(rle.encode_counts(runs)) == 0
    assert len(rle.components(runs).count) == 0
    assert len(rle.overlaps(runs, [])) == 0
    assert len(rle.concat([])) == 0
