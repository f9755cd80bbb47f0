from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy import ndimage

from curate import rle
from curate.errors import SourceError
from curate.networks.generation.mask_candidates import SCHEMA
from curate.networks.generation.mask_choice import REASONS, select_masks
from curate.networks.generation.recipe import Recipe

HEIGHT, WIDTH = 60, 80
CROPS = [(0, 0, 80, 60), (0, 0, 50, 38), (30, 22, 50, 38)]


def table_of(masks: np.ndarray, **columns: Any) -> pa.Table:
    """Candidates with these masks, sound in all else."""
    n = len(masks)
    runs = rle.concat([rle.from_dense(mask) for mask in masks])
    areas, boxes = rle.measure(runs)
    crops = np.array(columns.pop("crops", [CROPS[0]] * n))
    filled = {
        "id": np.arange(n),
        "crop_layer": np.zeros(n),
        **{f"crop_{side}": crops[:, k] for k, side in enumerate("xywh")},
        "point_x": np.zeros(n),
        "point_y": np.zeros(n),
        "mask": np.zeros(n),
        "predicted_iou": np.full(n, 0.95, np.float32),
        "drawn": np.ones(n, bool),
        "finite": np.ones(n, bool),
        "stability_score": np.ones(n),
        "area_px": areas,
        **{f"bbox_{side}": boxes[:, k] for k, side in enumerate("xywh")},
        "segmentation": rle.encode_counts(runs),
        **columns,
    }
    arrays = [pa.array(filled[field.name]).cast(field.type, safe=False) for field in SCHEMA]
    return pa.table(arrays, SCHEMA)


def reasons(table: pa.Table, **settings: Any) -> list[str]:
    found = select_masks(table, HEIGHT, WIDTH, Recipe(**settings))
    assert sum(found.counts().values()) == len(table)
    names = [list(REASONS)[code] for code in found.reasons]
    assert [k for k, name in enumerate(names) if name == "kept"] == found.rows.tolist()
    return names


def mask(x: int, y: int, w: int, h: int) -> np.ndarray:
    made = np.zeros((HEIGHT, WIDTH), bool)
    made[y : y + h, x : x + w] = True
    return made


def overlaps(masks: np.ndarray, nms: str) -> np.ndarray:
    """Return the IoU of any two masks, or of their boxes; 0 where there are no pixels."""
    flat = np.array([boxed(one) if nms == "box" else one for one in masks]).reshape(len(masks), -1)
    both = (flat.astype(np.float32) @ flat.T.astype(np.float32)).astype(float)
    areas = both.diagonal()
    return both / np.maximum(areas[:, None] + areas - both, 1)


def boxed(one: np.ndarray) -> np.ndarray:
    """Return the mask's box as a mask."""
    y, x = np.nonzero(one)
    box = np.zeros_like(one)
    if len(y):
        box[y.min() : y.max() + 1, x.min() : x.max() + 1] = True
    return box


def near_crop_edge(found: np.ndarray, crop: tuple[int, ...], margin: int) -> bool:
    """is_box_near_crop_edge of SAM's released code."""
    y, x = np.nonzero(found)
    box = np.array([x.min(), y.min(), x.max(), y.max()], float)
    of_crop = np.array([crop[0], crop[1], crop[0] + crop[2], crop[1] + crop[3]], float)
    of_image = np.array([0, 0, WIDTH, HEIGHT], float)
    at_crop = np.isclose(box, of_crop, atol=margin, rtol=0)
    return bool((at_crop & ~np.isclose(box, of_image, atol=margin, rtol=0)).any())


def greedy(rows: list[int], limit: float, overlap: Any) -> tuple[list[int], list[int]]:
    kept: list[int] = []
    lost: list[int] = []
    for row in rows:
        (lost if any(overlap(row, other) > limit for other in kept) else kept).append(row)
    return kept, lost


def cleaned(found: np.ndarray, small: int) -> np.ndarray:
    out = found.copy()
    for holes in (True, False):
        pieces, count = ndimage.label(~out if holes else out, np.ones((3, 3)))
        for piece in range(1, count + 1):
            if (pieces == piece).sum() < small:
                out[pieces == piece] = holes
    return out


def naive(
    masks: np.ndarray, scores: np.ndarray, stable: np.ndarray, crops: list[int], recipe: Recipe
) -> list[str]:
    """The recipe on pixels, one candidate after the other."""
    said = ["kept"] * len(masks)
    for k, one in enumerate(masks):
        if scores[k] <= recipe.pred_iou:
            said[k] = "predicted_iou"
        elif not one.any():
            said[k] = "empty"
        elif stable[k] < recipe.stability:
            said[k] = "stability"
        elif near_crop_edge(one, CROPS[crops[k]], recipe.crop_margin_px):
            said[k] = "crop_edge"
        elif one.mean() >= recipe.coverage:
            said[k] = "coverage"

    pairs = overlaps(masks, recipe.nms)
    alive = sorted((k for k in range(len(masks)) if said[k] == "kept"), key=lambda k: -scores[k])
    zoom = [CROPS[c][2] * CROPS[c][3] for c in crops]
    for c in range(len(CROPS)):
        own = [k for k in alive if crops[k] == c]
        _, lost = greedy(own, recipe.nms_iou, lambda a, b: pairs[a, b])
        for k in lost:
            said[k] = "twin_in_crop"
    alive = sorted((k for k in alive if said[k] == "kept"), key=lambda k: (zoom[k], -scores[k]))
    alive, lost = greedy(alive, recipe.nms_iou, lambda a, b: pairs[a, b])
    for k in lost:
        said[k] = "twin_across_crops"
    after = {k: cleaned(masks[k], recipe.min_region_px) for k in alive}
    for k in alive:
        if not after[k].any():
            said[k] = "small"
    alive = [k for k in alive if said[k] == "kept"]
    alive.sort(key=lambda k: ((after[k] != masks[k]).any(), zoom[k], -scores[k]))
    pairs = overlaps(np.array([after.get(k, one) for k, one in enumerate(masks)]), recipe.nms)
    _, lost = greedy(alive, recipe.nms_iou, lambda a, b: pairs[a, b])
    for k in lost:
        said[k] = "twin_when_clean"
    return said


@pytest.mark.parametrize("nms", ["box", "mask"])
@pytest.mark.parametrize("seed", range(8))
def test_it_is_the_recipe_on_pixels(seed: int, nms: str) -> None:
    rng = np.random.default_rng(seed)
    n = 150
    masks = np.zeros((n, HEIGHT, WIDTH), bool)
    crops = rng.integers(0, 3, n).tolist()
    for k, one in enumerate(masks):
        x, y, w, h = CROPS[crops[k]]
        x0, y0 = x + 4 * rng.integers(0, w // 8), y + 4 * rng.integers(0, h // 8)
        one[y0 : y0 + 4 * rng.integers(0, 8), x0 : x0 + 4 * rng.integers(0, 8)] = True
        if k % 3 == 0:
            one &= rng.random(one.shape) > 0.02
        if k % 10 == 1:
            one[y + 1, x + 1] = True
        one[:y] = one[y + h :] = one[:, :x] = one[:, x + w :] = False
    masks[0] = True
    scores = rng.permutation(n).astype(np.float32) / n + np.float32(0.2)
    stable = rng.random(n)
    recipe = Recipe(
        pred_iou=0.4,
        keep_pred_iou=0,
        stability=0.1,
        keep_stability=0,
        crop_margin_px=2,
        nms=nms,
        nms_iou=0.5,
        min_region_px=20,
    )
    table = table_of(
        masks, predicted_iou=scores, stability_score=stable, crops=[CROPS[c] for c in crops]
    )
    found = select_masks(table, HEIGHT, WIDTH, recipe)
    said = [list(REASONS)[code] for code in found.reasons]
    assert said == naive(masks, scores.astype(float), stable, crops, recipe)
    assert len(set(said)) >= 7
    for k, row in enumerate(found.rows):
        assert (rle.to_dense(found.runs, k) == cleaned(masks[row], 20)).all()


def test_what_is_not_finite_is_counted_and_passes_nothing() -> None:
    masks = np.stack([mask(5, 5, 12, 12)] * 4)
    table = table_of(
        masks,
        predicted_iou=np.array([np.nan, np.inf, 0.95, 0.1], np.float32),
        finite=np.array([True, True, False, False]),
        stability_score=np.array([1, 1, np.nan, np.nan]),
    )
    assert reasons(table) == ["not_finite", "not_finite", "not_finite", "predicted_iou"]


def test_empty_masks_are_no_masks_even_without_cuts() -> None:
    table = table_of(np.stack([mask(0, 0, 0, 0)] * 2), stability_score=np.array([np.nan, 0.0]))
    assert reasons(table) == ["empty", "empty"]
    open_to_all = {"stability": 0, "keep_stability": 0, "pred_iou": -10, "keep_pred_iou": -10}
    assert reasons(table, **open_to_all) == ["empty", "empty"]


def test_cuts_are_sams_predicted_iou_over_stability_at_least() -> None:
    masks = np.stack([mask(5, 5, 12, 12), mask(40, 30, 12, 12)] * 2)
    table = table_of(
        masks,
        predicted_iou=np.array([0.5, 0.5, 0.75, 0.75], np.float32),
        stability_score=np.array([0.9, 0.9, 0.9, 0.875]),
    )
    cuts = {"pred_iou": 0.5, "keep_pred_iou": 0, "stability": 0.9, "keep_stability": 0}
    assert reasons(table, **cuts) == ["predicted_iou", "predicted_iou", "kept", "stability"]


def test_a_mask_of_the_whole_image_takes_nothing_with_it() -> None:
    table = table_of(
        np.stack([mask(0, 0, 80, 60), mask(0, 0, 80, 56)]),
        predicted_iou=np.array([0.99, 0.9], np.float32),
    )
    assert reasons(table) == ["coverage", "kept"]
    assert reasons(table, coverage=1.0) == ["kept", "twin_in_crop"]


def test_crossing_limbs_are_two_objects_by_mask_only() -> None:
    rising = np.zeros((HEIGHT, WIDTH), bool)
    for k in range(30):
        rising[10 + k : 16 + k, 20 + k : 26 + k] = True
    falling = rising.copy()
    falling[10:45] = rising[44:9:-1]
    table = table_of(np.stack([rising, falling]))
    assert reasons(table, nms="mask") == ["kept", "kept"]
    assert overlaps(np.stack([rising, falling]), "box")[0, 1] > 0.7
    assert reasons(table, nms="box") == ["kept", "twin_in_crop"]


def test_islands_and_holes() -> None:
    spotted = mask(5, 5, 30, 30)
    spotted[10:15, 10:15] = False  # a hole of 25 px
    spotted[50:55, 50:55] = True  # an island of 25 px
    crumbs = mask(60, 10, 9, 9) | mask(60, 30, 9, 9)
    found = select_masks(table_of(np.stack([spotted, crumbs])), HEIGHT, WIDTH, Recipe())
    assert found.counts()["small"] == 1
    assert (rle.to_dense(found.runs, 0) == mask(5, 5, 30, 30)).all()
    as_drawn = select_masks(
        table_of(np.stack([spotted, crumbs])), HEIGHT, WIDTH, Recipe(min_region_px=0)
    )
    assert (rle.to_dense(as_drawn.runs, 0) == spotted).all()
    assert as_drawn.counts()["kept"] == 2


def test_no_candidate_is_no_problem() -> None:
    assert reasons(table_of(np.zeros((1, HEIGHT, WIDTH), bool))[:0]) == []


def test_damaged_run_lengths_are_a_clear_error() -> None:
    table = table_of(np.stack([mask(5, 5, 12, 12)]), segmentation=[b"zzz"])
    with pytest.raises(SourceError, match="candidate 0: a candidate that passes cannot be read"):
        select_masks(table, HEIGHT, WIDTH, Recipe())
