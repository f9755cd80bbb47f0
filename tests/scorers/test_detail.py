import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_tables import disc, table_of
from random_cases import draws
from scipy import ndimage

from curate.scorers.detail import SCORERS, apply, fit, measure_corners


def counts(*masks):
    return measure_corners(table_of(list(masks)))["corner_count"].tolist()


def box(width, height, left=10, top=10, size=(100, 120)):
    mask = np.zeros(size, bool)
    mask[top : top + height, left : left + width] = True
    return mask


def test_corners_of_plain_figures():
    point, line, triangle = box(1, 1), box(20, 1), np.zeros((100, 120), bool)
    for k in range(40):
        triangle[10 + k, 10 : 11 + k] = True
    nothing = np.zeros((100, 120), bool)
    found = counts(point, line, box(20, 30), triangle, box(20, 30) | box(20, 30, left=60), nothing)
    assert found[:5] == [1, 2, 4, 3, 8]
    assert np.isnan(found[5])


def test_a_hole_has_no_corners_and_a_bay_has():
    ring = box(40, 40) & ~box(10, 10, left=25, top=25)
    bay = box(40, 40) & ~box(10, 10, left=25, top=10)
    assert counts(ring, bay) == [4, 8]


def test_masks_at_the_border_of_the_image():
    assert counts(box(120, 100, 0, 0), box(30, 100, 90, 0), box(20, 20, 0, 80)) == [4, 4, 4]


def test_finer_outlines_have_more_corners():
    smooth = [disc(60, 50, r) for r in (5, 10, 20, 40)]
    found = counts(*smooth)
    assert found == sorted(found)
    assert found[0] >= 6
    assert found[-1] > 12


def border(mask):
    """Return the border pixels of all pieces as seen from outside, in an independent way."""
    outside = ndimage.label(np.pad(~mask, 1, constant_values=True))[0] == 1
    return np.pad(mask, 1) & ndimage.binary_dilation(outside)


@draws(30)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.1, 0.5, 0.8]))
def test_any_mask_has_from_one_corner_a_piece_to_one_a_border_pixel(seed, share):
    random = np.random.default_rng(seed)
    mask = random.random(tuple(random.integers(1, 30, 2))) < share
    mask.flat[random.integers(mask.size)] = True
    found = counts(mask)[0]
    pieces = ndimage.label(mask, np.ones((3, 3)))[1]
    # A border pixel may be passed more than once, where the mask is thin, but not thrice a side.
    assert pieces <= found <= 4 * border(mask).sum()
    turned = counts(np.ascontiguousarray(mask.T), np.ascontiguousarray(mask[::-1]))
    assert np.abs(np.array(turned) - found).max() <= 0.5 * found + 2 * pieces


def test_few_corners_for_its_size_score_low():
    random = np.random.default_rng(0)
    area = random.integers(100, 10_000, 500)
    usual = np.sqrt(area)
    frame = pd.DataFrame(
        {"area_px": area, "corner_count": np.rint(usual * random.uniform(0.9, 1.1, 500))}
    )
    reference = fit(frame)
    odd = pd.DataFrame(
        {"area_px": [900, 900, 900, 8100, 900], "corner_count": [30.0, 15.0, 60.0, 30.0, np.nan]}
    )
    score = apply(odd, reference)["detail_score"]
    assert score.iloc[:4].tolist() == pytest.approx([1, 0.5, 1, 1 / 3], abs=0.06)
    assert np.isnan(score.iloc[4])
    pd.testing.assert_frame_equal(apply(odd[::-1], reference)[::-1], apply(odd, reference))
    assert fit(frame[::-1]) == reference


def test_a_dataset_without_masks_has_no_reference():
    none = pd.DataFrame({"area_px": [0], "corner_count": [np.nan]})
    assert fit(none) == {}
    assert apply(none, {})["detail_score"].isna().all()


def test_real_masks_simplified_have_less_detail(data):
    from curate.formats.reading import read
    from curate.rle import to_dense

    table = read(data / "coco_val2017" / "instances.json")[:80]
    true = SCORERS[0](table)["corner_count"].to_numpy()
    fewer = []
    for row in np.flatnonzero(table.masks["area_px"].to_numpy() > 2000):
        dense = to_dense(table.runs, row)
        coarse = np.zeros_like(dense)
        y, x = np.nonzero(dense)
        coarse[y.min() : y.max() + 1, x.min() : x.max() + 1] = True
        fewer.append(counts(coarse)[0] < true[row])
    assert np.mean(fewer) > 0.95
