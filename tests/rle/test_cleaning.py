from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from curate import rle
from curate.rle.cleaning import clean

EIGHT = np.ones((3, 3))


def reference(mask: np.ndarray, small: int) -> np.ndarray:
    """SAM's remove_small_regions twice, on pixels; all-small masks vanish, as in the paper."""
    out = mask.copy()
    for holes in (True, False):
        pieces, count = ndimage.label(~out if holes else out, EIGHT)
        for piece in range(1, count + 1):
            if (pieces == piece).sum() < small:
                out[pieces == piece] = holes
    return out


@pytest.mark.parametrize("seed", range(60))
def test_it_is_what_sam_does_on_pixels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 30, 2)
    smooth = ndimage.uniform_filter(rng.normal(size=(6, height, width)), (0, 3, 3))
    masks = smooth > rng.normal(0, 0.1, (6, 1, 1))
    masks[0], masks[1] = False, True
    small = int(rng.integers(0, 40))
    done = clean(rle.concat([rle.from_dense(mask) for mask in masks]), small)
    for k, mask in enumerate(masks):
        expected = reference(mask, small)
        assert (rle.to_dense(done.runs, k) == expected).all()
        assert done.changed[k] >= (expected != mask).any()  # what is filled can be removed again
        alone = rle.from_dense(expected)  # no two runs that touch
        assert (done.runs[k : k + 1].starts == alone.starts).all()
        assert (done.runs[k : k + 1].ends == alone.ends).all()


def test_the_limit_is_strict() -> None:
    mask = np.zeros((40, 40), bool)
    mask[2:12, 2:12] = True  # 100 px stay
    mask[20:29, 2:13] = True  # 99 px go
    assert (rle.to_dense(clean(rle.from_dense(mask), 100).runs, 0)[15:] == 0).all()
    assert rle.area(clean(rle.from_dense(mask), 100).runs) == 100


def test_a_mask_of_small_islands_alone_is_nothing() -> None:
    mask = np.zeros((40, 40), bool)
    mask[2:11, 2:11] = mask[20:25, 20:25] = True
    done = clean(rle.from_dense(mask), 100)
    assert rle.area(done.runs) == 0
    assert done.changed.all()


def test_nothing_is_no_problem() -> None:
    assert len(clean(rle.concat([]), 100).runs) == 0
