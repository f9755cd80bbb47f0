"""The nuclei as people corrected them: which masks they changed, and which they never judged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

HARD_IOU = 0.97
"""A mask is hard to see as wrong if its correction has less IoU with it, or if it was removed."""


def changes(data: Path) -> dict[str, Any]:
    """Read what people changed: ``removed``, ``modified`` (IoU by id), ``removed_images``."""
    found: dict[str, Any] = json.loads((data / "dsb2018/changes.json").read_text())
    return found


def ious(data: Path) -> dict[int, float]:
    """Return the IoU of every changed mask with its correction, 0 where it was removed."""
    changed = changes(data)
    found = {int(key): float(iou) for key, iou in changed["modified"].items()}
    return found | dict.fromkeys(changed["removed"], 0.0)


def judged(data: Path, masks: pd.DataFrame) -> pd.DataFrame:
    """Leave out the images that people removed whole: nobody judged their masks."""
    gone = changes(data)["removed_images"]
    return masks[~masks["file_name"].map(lambda name: Path(name).stem).isin(gone)]


def truths(data: Path, masks: pd.DataFrame) -> dict[str, npt.NDArray[np.bool_]]:
    """Return which masks people changed, and which of these were hard to see."""
    iou = pd.Series(masks.index.map(ious(data)), masks.index, dtype=float)
    return {"changed": iou.notna().to_numpy(), "hard": (iou < HARD_IOU).to_numpy()}
