"""Cutting windows out of masks and putting pieces back, against arrays of pixels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.rle import concat, crop, encode_counts, from_dense, paste, to_dense


@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 9))
def test_cut_and_paste_are_what_slices_are(seed: int, height: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    pixels = rng.random((3, height, width)) < rng.random()
    runs = concat([from_dense(one) for one in pixels])
    x, y = rng.integers(0, width, 3), rng.integers(0, height, 3)
    boxes = np.column_stack([x, y, rng.integers(1, width - x + 1), rng.integers(1, height - y + 1)])
    pieces = crop(runs, boxes)
    back = paste(pieces, boxes[:, :2], runs.heights, runs.widths)
    for k, (x0, y0, w, h) in enumerate(boxes.tolist()):
        inside = pixels[k, y0 : y0 + h, x0 : x0 + w]
        assert np.array_equal(to_dense(pieces, k), inside)
        # Runs that touch are joined, so the spelling is the one that equal pixels have.
        assert encode_counts(pieces)[k] == encode_counts(from_dense(inside))[0]
        whole = np.zeros((height, width), bool)
        whole[y0 : y0 + h, x0 : x0 + w] = inside
        assert encode_counts(back)[k] == encode_counts(from_dense(whole))[0]


@pytest.mark.parametrize("box", [(0, 0, 4, 3), (-1, 0, 2, 2), (1, 1, 0, 1), (2, 2, 1, 2)])
def test_a_window_outside_the_image_is_refused(box: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="window"):
        crop(from_dense(np.ones((3, 3), bool)), [box])


def test_a_piece_outside_the_image_is_refused() -> None:
    with pytest.raises(ValueError, match="piece"):
        paste(from_dense(np.ones((3, 3), bool)), [(1, 0)], [3], [3])
