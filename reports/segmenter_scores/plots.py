"""The calibration plot: what is expected of masks against how good they are."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from fusing import FUSED

sys.path.append(str(Path(__file__).resolve().parents[1] / "_common"))
from drawing import Panel, draw

BINS = 15
SHOWN = ("predicted_iou", "stability_score", "reprompt_score", FUSED)


def calibration(path: Path, masks: pd.DataFrame) -> None:
    """Draw, for bins of equally many masks, the mean score against the mean true IoU."""
    curves = {}
    for name in SHOWN:
        known = masks[[name, "true_iou"]].dropna().sort_values(name).to_numpy(np.float64)
        means = [part.mean(axis=0) for part in np.array_split(known, BINS)]
        curves[name] = [(min(max(x, 0.0), 1.0), float(y)) for x, y in means]
    curves["as it should be"] = [(0.0, 0.0), (1.0, 1.0)]
    draw(path, [Panel("Calibration on unseen images", "mean score", "mean true IoU", curves)])
