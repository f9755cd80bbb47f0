from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from curate.rle.outlines import outlines

masks = hnp.arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12)))


def inside(rings: list[np.ndarray], height: int, width: int) -> np.ndarray:
    """Fill by the rule of winding: a pixel is inside whose ray to the left goes over one more."""
    turns = np.zeros((height, width + 1), int)
    for ring in rings:
        for (x, y), (nx, ny) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
            assert (x == nx) != (y == ny)
            if x == nx:
                turns[min(y, ny) : max(y, ny), x] += 1 if ny < y else -1
    return turns.cumsum(axis=1)[:, :-1]


@given(masks)
def test_rings_go_around_the_mask_once_with_the_inside_on_the_right(mask: np.ndarray) -> None:
    rings = outlines(mask)
    assert (inside(rings, *mask.shape) == mask).all()
    for ring in rings:
        steps = np.roll(ring, -1, axis=0) - ring
        assert (steps * np.roll(steps, 1, axis=0) == 0).all()  # the direction changes at each


def test_pixels_that_touch_at_a_corner_have_one_ring() -> None:
    (ring,) = outlines(np.eye(3, dtype=bool))
    assert len(ring) == 12
    assert len(outlines(~np.eye(2, dtype=bool))) == 1
    assert outlines(np.zeros((2, 3), bool)) == []
