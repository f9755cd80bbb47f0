"""What an encoder sees inside and around masks, against sums over cells written out."""

from __future__ import annotations

import numpy as np
import pytest

from curate import rle
from curate.networks.segmenters.segmenter import Embedding, Frame
from curate.scorers.embedding import compare

CELLS, SIDE = 16, 64
RANDOM = np.random.default_rng(0)


def seen(height: int = SIDE, width: int = SIDE) -> Embedding:
    return Embedding(Frame.longest_side(height, width, SIDE), ())


def runs(*boxes: tuple[int, int, int, int], height: int = SIDE, width: int = SIDE):
    masks = []
    for x, y, w, h in boxes:
        mask = np.zeros((height, width), bool)
        mask[y : y + h, x : x + w] = True
        masks.append(rle.from_dense(mask))
    return rle.concat(masks)


def test_whole_cells_give_what_the_definition_says() -> None:
    features = RANDOM.normal(size=(5, CELLS, CELLS))
    found = compare(features, seen(), runs((16, 20, 12, 8)))[0]
    rows, columns = np.mgrid[:CELLS, :CELLS]
    inside = (columns >= 4) & (columns < 7) & (rows >= 5) & (rows < 7)
    apart = [
        np.abs(np.subtract.outer(np.arange(CELLS), span)).min(axis=1)
        for span in (np.arange(5, 7), np.arange(4, 7))
    ]
    around = (apart[0][:, None] + apart[1][None, :] <= 2) & ~inside
    a, b = features[:, inside], features[:, around]
    gap = np.linalg.norm(a.mean(axis=1) - b.mean(axis=1))
    left = np.sqrt((a.var(axis=1).sum() + b.var(axis=1).sum()) / 2)
    assert found[0] == pytest.approx(gap / (gap + left))
    whole = features.reshape(5, -1).var(axis=1).sum()
    assert found[1] == pytest.approx(max(0, 1 - a.var(axis=1).sum() / whole))


def test_a_mask_beside_its_thing_has_less_of_both() -> None:
    features = RANDOM.normal(0, 0.1, (3, CELLS, CELLS))
    features[:, 4:10, 4:10] += 2
    right, beside = compare(features, seen(), runs((16, 16, 24, 24), (26, 16, 24, 24)))
    assert right[0] > 0.9
    assert right[1] > 0.9
    assert (beside < right - 0.3).all()


def test_padding_is_no_surroundings() -> None:
    features = RANDOM.normal(size=(2, CELLS, CELLS))
    short = {"height": 32, "width": SIDE}
    before = compare(features, seen(**short), runs((8, 16, 16, 16), **short))
    features[:, 8:] = 99
    np.testing.assert_array_equal(
        before, compare(features, seen(**short), runs((8, 16, 16, 16), **short))
    )


def test_a_mask_of_everything_has_no_surroundings() -> None:
    features = RANDOM.normal(size=(2, CELLS, CELLS))
    contrast, unity = compare(features, seen(), runs((0, 0, SIDE, SIDE)))[0]
    assert np.isnan(contrast)
    assert unity == pytest.approx(0, abs=1e-9)


def test_one_pixel_and_features_without_any_spread() -> None:
    features = RANDOM.normal(size=(2, CELLS, CELLS))
    assert np.isfinite(compare(features, seen(), runs((30, 30, 1, 1)))).all()
    assert np.isnan(compare(np.ones((2, CELLS, CELLS)), seen(), runs((8, 8, 8, 8)))).all()
