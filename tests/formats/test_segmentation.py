"""COCO's segmentation value: exactly pycocotools where it is sound, a finding where it is not."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from curate import rle
from curate.dataset.table import STATUSES
from curate.formats.segmentation import read_run_lengths, read_segmentation

coordinate = st.floats(-30, 60, allow_nan=False)
ring = st.lists(coordinate, min_size=6, max_size=24).map(lambda r: r[: len(r) // 2 * 2])
side = st.integers(1, 40)


@given(st.lists(ring, min_size=1, max_size=4), side, side)
def test_polygons_are_those_of_pycocotools(rings: list[list[float]], height: int, width: int):
    expected = coco_mask.merge(coco_mask.frPyObjects(rings, height, width))["counts"]
    assert read_segmentation(rings, height, width)[:4] == (expected, "ok", "", ())


def test_many_rings_are_merged_like_few():
    rng = np.random.default_rng(5)
    centres = rng.uniform(0, 300, (3000, 1))
    rings = (np.tile(centres, 6) + rng.uniform(-4, 4, (3000, 6))).tolist()
    expected = coco_mask.merge(coco_mask.frPyObjects(rings[:200], 300, 300))["counts"]
    assert read_segmentation(rings[:200], 300, 300).counts == expected
    assert read_segmentation(rings, 300, 300).status == "ok"


def test_rings_of_equal_length_stay_apart():
    rings = [[1, 1, 5, 1, 5, 5, 1, 5], [10, 10, 15, 10, 15, 15, 10, 15]]
    expected = coco_mask.merge(coco_mask.frPyObjects(rings, 20, 30))["counts"]
    assert read_segmentation(rings, 20, 30).counts == expected


@given(st.lists(st.integers(0, 9), max_size=30), st.integers(1, 6), st.integers(1, 6))
def test_run_lengths_decode_to_the_same_pixels(counts: list[int], height: int, width: int):
    edges = np.minimum(np.cumsum(counts), height * width)
    counts = [*np.diff(edges, prepend=0).tolist(), int(height * width - (edges[-1:].sum()))]
    read = read_segmentation({"size": [height, width], "counts": counts}, height, width)
    pixels = np.repeat(np.arange(len(counts)) % 2, counts).reshape((height, width), order="F")
    runs, codes = rle.decode_counts([read.counts], [height], [width])
    assert codes.tolist() == [0]
    assert (rle.to_dense(runs, 0) == pixels).all()


def test_compressed_counts_pass_as_they_are():
    value = {"size": [4, 5], "counts": "52203"}
    assert read_segmentation(value, 4, 5).counts == b"52203"
    assert read_segmentation({"size": [4, 5], "counts": b"52203"}, 4, 5).counts == b"52203"


@pytest.mark.parametrize(
    ("value", "status"),
    [
        (None, "no_segmentation"),
        ([], "no_segmentation"),
        ({}, "no_segmentation"),
        (7, "wrong_type"),
        ("abc", "wrong_type"),
        (True, "wrong_type"),
        ([["one", 2, 3, 4, 5, 6]], "wrong_type"),
        ([[True, 2, 3, 4, 5, 6]], "wrong_type"),
        ([[1, 2, 3, None, 5, 6]], "wrong_type"),
        ([[]], "no_segmentation"),
        ([[], None, ""], "no_segmentation"),
        ([[1, 2, 3, 4]], "bad_polygon"),
        ([[1, 2, 3, 4, 5]], "bad_polygon"),
        ([[1, 2], [3, 4], []], "bad_polygon"),
        ([[1, 2, float("nan"), 4, 5, 6]], "bad_polygon"),
        ([[1, 2, float("inf"), 4, 5, 6]], "bad_polygon"),
        ([[1, 2, 10**400, 4, 5, 6]], "bad_polygon"),
        ([[1e12, 1e12, 1e12 + 1, 1e12, 1e12, 1e12 + 1]], "bad_polygon"),
        ([[0, 0, 9e6, 0, 9e6, 9e6]], "bad_polygon"),
        ({"size": [4], "counts": "52203"}, "wrong_type"),
        ({"size": ["four", 5], "counts": "52203"}, "wrong_type"),
        ({"size": [4.5, 5], "counts": "52203"}, "wrong_type"),
        ({"size": [5, 4], "counts": "52203"}, "size_mismatch"),
        ({"size": [0, 4], "counts": "52203"}, "invalid_size"),
        ({"size": [10**9, 10**9], "counts": "52203"}, "invalid_size"),
        ({"size": [4, 5]}, "wrong_type"),
        ({"size": [4, 5], "counts": 7}, "wrong_type"),
        ({"size": [4, 5], "counts": "5\u20ac"}, "undecodable"),
        ({"size": [4, 5], "counts": "5\ud800"}, "undecodable"),
        ({"size": [4, 5], "counts": [5, -1, 16]}, "undecodable"),
        ({"size": [4, 5], "counts": [5, 5]}, "undecodable"),
        ({"size": [4, 5], "counts": [5, 10**30]}, "undecodable"),
        ({"size": [4, 5], "counts": [5, 14.5]}, "wrong_type"),
        ({"size": [4, 5], "counts": [5, "x"]}, "wrong_type"),
        ([{"size": [4, 5], "counts": [5, 15]}] * 2, "wrong_type"),
    ],
)
def test_what_is_wrong_is_named(value: Any, status: str):
    read = read_segmentation(value, 4, 5)
    assert (read.counts, read.status) == (None, status)
    assert read.detail


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (-1, 5), (2**31, 1), (10**9, 10**9)])
def test_a_useless_image_size_is_named(size: tuple[int, int]):
    for value in ([[1, 2, 3, 4, 5, 6]], {"size": [4, 5], "counts": "52203"}):
        assert read_segmentation(value, *size).status == "invalid_size"
    assert read_run_lengths([3], *size).status == "invalid_size"


def test_a_polygon_far_outside_is_empty_and_one_of_a_million_points_is_drawn():
    far = read_segmentation([[500, 500, 600, 500, 600, 600]], 40, 50)
    assert far.status == "ok"
    assert rle.area(rle.decode_counts([far.counts], [40], [50])[0]).tolist() == [0]
    angle = np.linspace(0, 2 * np.pi, 10**6, endpoint=False)
    points = np.stack([250 + 200 * np.cos(angle), 250 + 200 * np.sin(angle)], axis=1)
    many = read_segmentation([points.ravel().tolist()], 500, 500)
    area = rle.area(rle.decode_counts([many.counts], [500], [500])[0])[0]
    assert area == pytest.approx(np.pi * 200**2, rel=0.01)


json_value = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["size", "counts", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(json_value, st.integers(-2, 9), st.integers(-2, 9))
def test_any_value_gives_a_status(value: Any, height: int, width: int):
    read = read_segmentation(value, height, width)
    assert read.status in STATUSES
    assert (read.status == "ok") == (read.detail == "") == (read.counts is not None)
