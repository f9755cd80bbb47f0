"""All of a segmenter's signals as one number, learned where the truth is at hand."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from curate.quality import label_free

FUSED = "fused"
SIGNALS = (
    "predicted_iou",
    "stability_score",
    "segmenter_predicted_iou",
    "segmenter_stability_score",
    "segmenter_edge_band_px",
    "reprompt_score",
    "prompt_robustness_score",
    "reprompt_box_iou",
    "reprompt_point_iou",
    "reprompt_points_iou",
    "reprompt_mask_iou",
)
"""What the segmenter says of a mask; each needs a model, none needs a label."""

WITHOUT = "quality without the segmenter"

SHAPE = ("solidity_score", "edge_score", "shape_score", "compact_score", "area_px")
"""What can be seen without a model and helps to read the others."""


def fused(learned_on: pd.DataFrame, others: pd.DataFrame) -> npt.NDArray[np.float64]:
    """Return the IoU that boosted trees expect of each mask.

    Args:
        learned_on: Masks with their signals and ``true_iou``.
        others: Masks of other images.
    """
    from sklearn.ensemble import HistGradientBoostingRegressor

    names = [n for n in (*SIGNALS, *SHAPE) if n in learned_on and n in others]
    model = HistGradientBoostingRegressor(
        max_iter=150, learning_rate=0.06, max_leaf_nodes=12, min_samples_leaf=40, random_state=0
    )
    model.fit(learned_on[names].to_numpy(np.float64), learned_on["true_iou"])
    return model.predict(others[names].to_numpy(np.float64))


def deflated(learned_on: pd.DataFrame, others: pd.DataFrame) -> npt.NDArray[np.float64]:
    """Return stability less what is usual at a mask's size, a monotone function of its area."""
    from sklearn.isotonic import IsotonicRegression

    curve = IsotonicRegression(out_of_bounds="clip")
    known = learned_on["stability_score"].notna()
    curve.fit(np.log(learned_on.loc[known, "area_px"]), learned_on.loc[known, "stability_score"])
    usual = curve.predict(np.log(others["area_px"].clip(lower=1)))
    return others["stability_score"].to_numpy(np.float64) - usual


def quality_without(masks: pd.DataFrame) -> pd.Series:
    """Return what ``quality_score`` would be, had no segmenter been asked."""
    others = masks.drop(columns=[name for name in SIGNALS if name in masks])
    return label_free.apply(others, label_free.fit(others))
