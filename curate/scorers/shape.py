"""Shape signal: distance from the usual size, elongation and place of a category, or image.

Two steps, since only a whole dataset can say what is usual: :func:`measure_shape` looks at each
mask, :func:`fit` learns from the measures of many (a sample is enough), :func:`apply` scores.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from curate.common.arrays import AnyArray, FloatArray, IntArray
from curate.common.json_values import JsonObject
from curate.dataset.table import MaskTable
from curate.scorers.geometry import geometry
from curate.scorers.scorer import Column, Scorer, has_pixels
from curate.store.audit_records import ShapeReference

FEATURES: tuple[str, ...] = ("relative_area", "elongation", "ellipse_fill")
"""Measures that are compared; all by their logarithm, so that half and double weigh the same."""

MIN_SCALE = 0.05
"""No feature is held to vary by less than about 5%: else equal boxes would make any other odd."""

SHRINK = 20
"""A category of this many masks is described half by its own masks and half by all."""

IMAGE_PEERS = 5
"""Fewer masks of one category in one image are not compared with each other."""

MAX_CATEGORIES = 5000
"""Categories that a reference describes; rarer ones are compared with all masks."""

ODD_AT = 3.0
"""Robust standard deviations from the median at which the score is 1/2."""


def measure_shape(table: MaskTable) -> pd.DataFrame:
    """Measure size, elongation and place of every mask.

    Returns:
        ``relative_area``: share of the image, (0, 1]; ``elongation``: ratio of the standard
        deviations along and across the main axis of the area, at least 1; ``ellipse_fill``: area /
        area of the ellipse of equal second moments, about 1 for an ellipse, 0.95 for a rectangle,
        lower the more the mask branches, bends or falls apart; ``centre_x`` and ``centre_y``:
        centre of mass as a share of width and height. NaN without a pixel.
    """
    g, masks = geometry(table), table.masks
    area = masks["area_px"].to_numpy(np.float64)
    half_trace = (g.var_xx + g.var_yy) / 2
    spread = np.hypot((g.var_xx - g.var_yy) / 2, g.var_xy)
    height, width = (masks[c].to_numpy(np.float64) for c in ("height", "width"))
    with np.errstate(divide="ignore", invalid="ignore"):
        columns = {
            "relative_area": area / (height * width),
            # A row of single pixels still has the variance of a pixel across, 1/12.
            "elongation": np.sqrt((half_trace + spread) / np.maximum(half_trace - spread, 1 / 12)),
            "ellipse_fill": area / (4 * np.pi * np.sqrt(g.var_xx * g.var_yy - g.var_xy**2)),
            "centre_x": g.mean_x / width,
            "centre_y": g.mean_y / height,
        }
    here = has_pixels(table)
    return pd.DataFrame(
        {name: np.where(here, values, np.nan) for name, values in columns.items()},
        index=masks.index,
    )


def _features(frame: pd.DataFrame) -> FloatArray:
    """Return the logarithms of the features, shape (n, features)."""
    values = frame[list(FEATURES)].to_numpy(np.float64)
    return np.log(np.where(values > 0, values, np.nan))


def _codes(names: pd.Series[Any]) -> tuple[IntArray, AnyArray]:
    """Return the number of each row's category (-1: none) and the categories."""
    codes, categories = pd.factorize(names, sort=True)
    return codes.astype(np.int64), np.asarray(categories, object)


def _group_medians(values: FloatArray, groups: IntArray, sizes: IntArray) -> FloatArray:
    """Return the median of each group 0..len(sizes)-1, NaN for an empty group.

    ``values`` stand group by group; ``groups`` and ``sizes`` say which and how many.
    """
    first = np.cumsum(sizes) - sizes
    widest = int(sizes.max(initial=0))
    if len(sizes) * widest <= 4 * len(values):  # of much the same size: sorted row by row
        table = np.full((len(sizes), widest), np.inf)
        table[groups, np.arange(len(values)) - first[groups]] = values
        table.sort(axis=1)
        ordered, first = table.ravel(), np.arange(len(sizes)) * widest
    else:
        ordered = values[np.lexsort((values, groups))]
    medians = np.full(len(sizes), np.nan)
    filled = sizes > 0
    low, high = (first + (sizes - 1) // 2)[filled], (first + sizes // 2)[filled]
    medians[filled] = (ordered[low] + ordered[high]) / 2
    return medians


def _describe(
    values: FloatArray, groups: IntArray, count: int
) -> tuple[FloatArray, FloatArray, IntArray]:
    """Return median, robust standard deviation (shape (count, features)) and size per group.

    Rows of ``values`` that are not finite throughout, and those of no group (-1), are left out.
    """
    known = np.flatnonzero((groups >= 0) & np.asarray(np.isfinite(values).all(axis=1)))
    known = known[np.argsort(groups[known], kind="stable")]
    values, groups = values[known], groups[known]
    sizes = np.bincount(groups, minlength=count).astype(np.int64)
    medians, scales = np.empty((count, values.shape[1])), np.empty((count, values.shape[1]))
    for k in range(values.shape[1]):
        column = np.ascontiguousarray(values[:, k])
        medians[:, k] = _group_medians(column, groups, sizes)
        away = np.abs(column - medians[groups, k])
        scales[:, k] = np.maximum(1.4826 * _group_medians(away, groups, sizes), MIN_SCALE)
    return medians, scales, sizes


def fit(frame: pd.DataFrame) -> JsonObject:
    """Learn what is usual from masks, or from a random sample of them (200,000 are plenty).

    Args:
        frame: Columns :data:`FEATURES` and ``category``, a row a mask, in any order.

    Returns:
        JSON-able: median and robust standard deviation (1.4826 x median absolute deviation) of the
        logarithm of each feature, over all masks and per category, a category of n masks weighing
        n / (n + 20) against all; ``{}`` where there is no mask.
    """
    values = _features(frame)
    whole = np.asarray(np.isfinite(values).all(axis=1))
    values = np.where(whole[:, None], values, np.nan)
    everything = np.zeros(len(frame), np.int64)
    if not np.isfinite(values).any():
        return {}
    median, scale, _ = _describe(values, everything, 1)
    codes, names = _codes(frame["category"])
    medians, scales, sizes = _describe(values, codes, len(names))
    kept = np.lexsort((names.astype(str), -sizes))[:MAX_CATEGORIES]
    kept = np.sort(kept[sizes[kept] > 0])
    weight = (sizes / (sizes + SHRINK))[kept, None]
    fitted: ShapeReference = {
        "features": list(FEATURES),
        "median": median[0].tolist(),
        "scale": scale[0].tolist(),
        "category": [str(name) for name in names[kept]],
        "category_median": (weight * medians[kept] + (1 - weight) * median).tolist(),
        "category_scale": (weight * scales[kept] + (1 - weight) * scale).tolist(),
    }
    return fitted


def apply(frame: pd.DataFrame, reference: ShapeReference) -> pd.DataFrame:
    """Score masks against what is usual.

    Args:
        frame: Columns :data:`FEATURES`, ``category`` and ``image_id``; all masks of each image.
        reference: What :func:`fit` gave.

    Returns:
        ``shape_score`` in (0, 1]: 1 / (1 + (z / 3)^2), z being the largest distance of a feature
        from the usual in robust standard deviations: from that of the category, or, where the image
        has at least 5 masks of the category, from that of those if it is larger. NaN for a mask
        without a pixel. Own definition.
    """
    score = np.full(len(frame), np.nan)
    if reference and len(frame):
        values = _features(frame)
        here = np.asarray(np.isfinite(values).all(axis=1))
        values = np.where(here[:, None], values, np.nan)
        z = np.fmax(_from_category(values, frame, reference), _from_image(values, frame))
        score[here] = (1 / (1 + (z / ODD_AT) ** 2))[here]
    return pd.DataFrame({"shape_score": score}, index=frame.index)


def _from_category(
    values: FloatArray, frame: pd.DataFrame, reference: ShapeReference
) -> FloatArray:
    codes, names = _codes(frame["category"])
    known = {name: k for k, name in enumerate(reference["category"])}
    rows = np.array([known.get(str(name), -1) for name in names] + [-1], np.int64)[codes]
    # The last row stands for all masks: it serves those without a described category.
    medians = np.array([*reference["category_median"], reference["median"]])
    scales = np.array([*reference["category_scale"], reference["scale"]])
    return np.asarray((np.abs(values - medians[rows]) / scales[rows]).max(axis=1))


def _from_image(values: FloatArray, frame: pd.DataFrame) -> FloatArray:
    """Distance from the masks of equal image and category; 0 where they are too few."""
    codes, names = _codes(frame["category"])
    images, _ = pd.factorize(frame["image_id"].to_numpy(), sort=True)
    pairs = images.astype(np.int64) * (len(names) + 1) + codes + 1
    groups = pd.factorize(pairs, sort=True)[0].astype(np.int64)
    medians, scales, sizes = _describe(values, groups, int(groups.max()) + 1)
    z = (np.abs(values - medians[groups]) / scales[groups]).max(axis=1)
    return np.where(sizes[groups] >= IMAGE_PEERS, z, 0.0)


SCORERS = (
    Scorer(
        name="shape",
        question="is it unlike the others of its category or its image?",
        function=measure_shape,
        columns=(
            Column("relative_area", "Share of the image", "measure", "share"),
            Column("elongation", "Elongation", "measure"),
            Column("ellipse_fill", "Share of its ellipse", "measure", "share"),
            Column("centre_x", "Place across", "measure", "share"),
            Column("centre_y", "Place down", "measure", "share"),
        ),
        reads=(*FEATURES, "category", "image_id"),
        fit=fit,
        apply=apply,
        applied=(
            Column(
                "shape_score",
                "Usual shape",
                low_means="its size or shape is unlike the others of its category or image",
            ),
        ),
    ),
)
