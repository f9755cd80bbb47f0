"""Repairs of segmentations: whatever stands there, nothing is raised and no pixel is invented."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask
from random_cases import draws

from curate.formats.repairs import REPAIRS, bytes_of_text, mend
from curate.formats.segmentation import read_segmentation, rle_size

NUMBERS = st.one_of(
    st.integers(-3, 40),
    st.floats(-3, 40),
    st.sampled_from([None, True, "", "7", "x", float("nan"), float("inf"), 10**400, 1e300]),
)
JSON = st.recursive(
    st.one_of(NUMBERS, st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=7),
        st.dictionaries(st.sampled_from(["size", "counts", "x", "y"]), inner, max_size=4),
    ),
    max_leaves=25,
)


@draws(30)
@example({"size": 0, "counts": 0})
@given(JSON)
def test_nothing_is_raised(value: Any) -> None:
    made, kinds = mend(value)
    assert set(kinds) <= REPAIRS.keys()
    assert kinds or made is value
    read = read_segmentation(value, 20, 30)
    assert (read.counts is None) == (read.status != "ok")
    assert not (read.repairs and read.counts is None)
    assert rle_size(value) is None or len(rle_size(value) or ()) == 2


RING = st.lists(st.integers(0, 30), min_size=6, max_size=14).filter(lambda ring: len(ring) % 2 == 0)


@draws(20)
@given(st.lists(RING, min_size=1, max_size=3), st.lists(st.lists(st.integers(0, 9), max_size=4)))
def test_stray_rings_change_no_pixel(rings: list[list[int]], stray: list[list[int]]) -> None:
    short = [one for one in stray if len(one) in (0, 2, 4)]
    right = coco_mask.merge(coco_mask.frPyObjects(rings, 40, 40))["counts"]
    for value in (short + rings, rings + short):
        read = read_segmentation(value, 40, 40)
        assert read.counts == right
        assert read.repairs == (("stray_ring",) if short else ())


@pytest.mark.parametrize(
    "text",
    ["b'52203'", 'b"52203"', "b'5\\\\\\\\2'", "52203", "b'522", "b'5 2'", "b''", "'5'", "b'"],
)
def test_bytes_are_those_that_python_printed(text: str) -> None:
    found = bytes_of_text(text)
    if found is not None:
        assert found.replace("\\", "\\\\") == text[2:-1]
    assert (found is None) == (text in ("52203", "b'522", "b'5 2'", "'5'", "b'"))


@pytest.mark.parametrize(
    "value",
    [
        [[1, 2, 3, 4, float("nan"), 6, 7, 8]],
        [[1, 2, 3, 4, None, 6, 7, 8]],
        [[1, 2, 3, 4, 5, 6], 7],
        [[1, 2, 3, 4, 5, 6], "x"],
        [[1, 2, 3], [4, 5, 6], [7, 8, 9]],
        [[[[[[1, 2, 3, 4, 5, 6]]]]]],
        [{"x": 1}, {"x": 2}, {"x": 3}],
        {"size": [20, 30], "counts": "[1, 2, 597]"},
        {"size": [20, 30], "counts": [100.5, 499.5]},
        [{"size": [20, 30], "counts": [100, 500]}] * 2,
    ],
)
def test_what_may_mean_something_else_is_not_guessed(value: Any) -> None:
    read = read_segmentation(value, 20, 30)
    assert read.repairs == ()
    assert read.counts is None or isinstance(value, dict)
