"""What signals are worth: correlation with the true IoU, and errors found, with intervals."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from fusing import FUSED, WITHOUT
from scipy import stats

sys.path.append(str(Path(__file__).resolve().parents[1] / "_common"))
from ranking import describe, interval, random_order

from curate.common.arrays import FloatArray

Row = dict[str, Any]

COMPARED = (
    "predicted_iou",
    "stability_score",
    "stability without size",
    "segmenter_predicted_iou",
    "segmenter_stability_score",
    "segmenter_edge_band_px",
    "reprompt_score",
    "prompt_robustness_score",
    "reprompt_box_iou",
    "reprompt_point_iou",
    "quality_score",
    FUSED,
)
RANKED = (
    "quality_score",
    WITHOUT,
    "reprompt_score",
    "prompt_robustness_score",
    "reprompt_box_iou",
    "reprompt_point_iou",
    "reprompt_mask_iou",
    "segmenter_predicted_iou",
    "segmenter_stability_score",
)


def correlations(masks: pd.DataFrame, draws: int) -> list[Row]:
    """Return Pearson and Spearman of each signal with the true IoU, images drawn again."""
    rows = []
    names, of_mask = np.unique(masks["image_id"].to_numpy(), return_inverse=True)
    by_image = [np.flatnonzero(of_mask == k) for k in range(len(names))]
    random = np.random.default_rng(0)
    again = [
        np.concatenate([by_image[k] for k in random.integers(len(names), size=len(names))])
        for _ in range(draws)
    ]
    truth = masks["true_iou"].to_numpy(np.float64)
    drawn: dict[str, FloatArray] = {}
    for signal in COMPARED:
        values = masks[signal].to_numpy(np.float64)
        drawn[signal] = np.array([pearson(values[rows_], truth[rows_]) for rows_ in again])
        known = np.isfinite(values)
        low, high = interval(drawn[signal])
        rows.append(
            {
                "study": "correlation",
                "signal": signal,
                "masks": int(known.sum()),
                "value": pearson(values, truth),
                "low": low,
                "high": high,
                "spearman": float(stats.spearmanr(values[known], truth[known])[0]),
                "with_area": float(
                    stats.spearmanr(values[known], masks["area_px"].to_numpy()[known])[0]
                ),
            }
        )
    low, high = interval(drawn[FUSED] - drawn["predicted_iou"])
    gain = pearson(masks[FUSED].to_numpy(), truth)
    gain -= pearson(masks["predicted_iou"].to_numpy(np.float64), truth)
    rows.append(
        {
            "study": "correlation",
            "signal": "fused minus predicted_iou",
            "value": gain,
            "low": low,
            "high": high,
        }
    )
    return rows


def pearson(values: FloatArray, truth: FloatArray) -> float:
    """Return Pearson's r where both are known."""
    known = np.isfinite(values) & np.isfinite(truth)
    return float(np.corrcoef(values[known], truth[known])[0, 1])


def ranking(masks: pd.DataFrame, truth: npt.NDArray[np.bool_], word: str, draws: int) -> list[Row]:
    """Return how well each signal puts the errors among stored masks first."""
    about = {"study": "ranking", "truth": word}
    rows = []
    for signal in RANKED:
        suspicion = -masks[signal].to_numpy(np.float64)
        numbers, _ = describe(truth, suspicion, masks["image_id"], draws)
        value = numbers.pop("average_precision")
        rows.append({**about, "signal": signal, "value": value, **numbers})
    numbers = random_order(truth)
    value = numbers.pop("average_precision")
    rows.append({**about, "signal": "random (expected)", "value": value, **numbers})
    return rows
