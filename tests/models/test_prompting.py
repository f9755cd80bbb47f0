"""Prompts made from masks, against naive definitions; and what comes back for them."""

import numpy as np
import pytest

from curate.networks.segmenters.prompting import (
    MASK_LOGIT,
    POINTS_PER_PROMPT,
    PROMPT_KINDS,
    low_res_logits,
    make_prompts,
    pairwise_iou,
    prompt_masks,
    sample_inside,
)
from curate.networks.segmenters.segmenter import Frame
from curate.rle import concat, from_dense, to_dense
from curate.testing.bright_segmenter import BrightSegmenter

SIZES = [(480, 640), (640, 480), (1, 1000), (1000, 1), (33, 47)]


def runs_of(*masks):
    return concat([from_dense(np.asarray(m)) for m in masks])


def depth(mask):
    """Distance of each pixel of a mask to the nearest pixel outside, the border being outside."""
    padded = np.pad(mask, 1)
    off = np.argwhere(~padded)
    out = np.zeros(padded.shape)
    for y, x in np.argwhere(padded):
        out[y, x] = np.hypot(*(off - (y, x)).T).min()
    return out[1:-1, 1:-1]


@pytest.mark.parametrize("seed", range(8))
def test_the_first_point_is_the_deepest(seed):
    rng = np.random.default_rng(seed)
    mask = rng.random((14, 19)) < 0.8
    points = sample_inside(runs_of(mask), 0, POINTS_PER_PROMPT)
    deep = depth(mask)
    assert points.shape == (POINTS_PER_PROMPT, 2)
    assert all(mask[int(y), int(x)] for x, y in points)
    x, y = points[0].astype(int)
    assert deep[y, x] == deep.max()
    assert len({tuple(p) for p in points.tolist()}) == POINTS_PER_PROMPT


def test_a_mask_of_one_pixel_has_one_point():
    mask = np.zeros((5, 6), bool)
    mask[2, 4] = True
    np.testing.assert_array_equal(sample_inside(runs_of(mask), 0, 3), [[4, 2]] * 3)
    frame = Frame.longest_side(5, 6, 64)
    labels = make_prompts(runs_of(mask), frame, 16)["points"].labels
    np.testing.assert_array_equal(labels, [[1, -1, -1]])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("lay", [Frame.longest_side, Frame.stretch])
def test_a_mask_as_low_res_logits_is_its_share_of_each_cell(size, lay):
    height, width = size
    frame, low_side, fine = lay(height, width, 64), 16, 64
    mask = np.random.default_rng(1).random(size) < 0.02
    mask[: height // 2 + 1, width // 3 : width // 2] = True
    found = low_res_logits(runs_of(mask), 0, frame, low_side)
    # By points: what share of a fine raster in each cell lies on the mask.
    at = (np.arange(low_side * fine) + 0.5) / fine * 64 / low_side
    y = np.floor(at * height / frame.resized_height).astype(int)
    x = np.floor(at * width / frame.resized_width).astype(int)
    on = np.zeros((len(at), len(at)), bool)
    on[np.ix_(y < height, x < width)] = mask[np.ix_(y[y < height], x[x < width])]
    share = on.reshape(low_side, fine, low_side, fine).mean(axis=(1, 3))
    np.testing.assert_allclose(found, (2 * share - 1) * MASK_LOGIT, atol=0.35 * MASK_LOGIT)
    assert np.abs(found - (2 * share - 1) * MASK_LOGIT).mean() < 0.02 * MASK_LOGIT


@pytest.mark.parametrize("lay", [Frame.longest_side, Frame.stretch])
def test_low_res_logits_are_sums_of_overlaps_of_pixels_and_cells(lay):
    """By the definition, pixel by pixel: how much of it lies in each cell, both ways."""
    size, low_side = (61, 37), 16
    mask = np.random.default_rng(2).random(size) < 0.6
    mask[:, 5:8] = True  # runs that go on at the top of the next column
    frame = lay(*size, 64)
    scales = frame.resized_height / size[0] / 4, frame.resized_width / size[1] / 4
    shares = []
    for length, scale in zip(size, scales, strict=True):
        low, cell = np.arange(length)[:, None] * scale, np.arange(low_side)
        shares.append(np.clip(np.minimum(low + scale, cell + 1) - np.maximum(low, cell), 0, None))
    covered = shares[0].T @ mask @ shares[1]
    found = low_res_logits(runs_of(mask), 0, frame, low_side)
    np.testing.assert_allclose(found, (2 * covered - 1) * MASK_LOGIT, atol=1e-5)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("squashed", [False, True])
def test_a_planted_square_comes_back_where_it_was(size, squashed):
    """Through prompts, the input's frame, low-res logits and upsampling, in every way of asking."""
    height, width = size
    square = np.zeros(size, bool)
    top, left = height // 3, width // 4
    square[top : top + max(1, height // 2), left : left + max(1, width // 8)] = True
    picture = np.where(square, 200, 30).astype(np.uint8)[:, :, None].repeat(3, axis=2)
    segmenter = BrightSegmenter(side=1024, low_side=512, squashed=squashed)
    found = prompt_masks(segmenter, segmenter.embed([picture])[0], runs_of(square))
    assert tuple(found) == PROMPT_KINDS
    for way, answer in found.items():
        back = to_dense(answer.drawn.runs, 0)
        if way == "tight":
            assert not (back & ~square).any() or min(size) == 1
            continue
        rows, columns = np.nonzero(back)
        expected_rows, expected_columns = np.nonzero(square)
        assert abs(rows.min() - expected_rows.min()) <= 1, way
        assert abs(rows.max() - expected_rows.max()) <= 1, way
        assert abs(columns.min() - expected_columns.min()) <= 1, way
        assert abs(columns.max() - expected_columns.max()) <= 1, way
        assert pairwise_iou(runs_of(square), answer.drawn.runs)[0] > 0.9, way


def test_paired_iou():
    a, b = np.zeros((2, 6, 7), bool)
    a[1:4, 1:4], b[2:5, 1:4] = True, True
    none = np.zeros((6, 7), bool)
    found = pairwise_iou(runs_of(a, a, none, a), runs_of(b, a, none, none))
    np.testing.assert_array_equal(found, [6 / 12, 1, np.nan, 0])


def test_many_masks_are_asked_in_parts_and_stay_in_order():
    picture = np.full((100, 150), 30, np.uint8)
    masks = []
    for k in range(70):
        mask = np.zeros((100, 150), bool)
        y, x = 3 + 10 * (k // 14), 3 + 10 * (k % 14)
        mask[y : y + 6, x : x + 6] = True
        picture[mask] = 200
        masks.append(mask)
    segmenter = BrightSegmenter(side=300, low_side=300)
    image = np.repeat(picture[:, :, None], 3, axis=2)
    runs = runs_of(*masks)
    found = prompt_masks(segmenter, segmenter.embed([image])[0], runs, ways=("box", "point"))
    for way in ("box", "point"):
        assert (pairwise_iou(runs, found[way].drawn.runs) > 0.9).all()
        assert found[way].predicted_iou.shape == (70,)
