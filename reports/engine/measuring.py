"""How good a dataset is against the truth, and what people's seconds brought."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from curate import rle
from curate.dataset.table import MaskTable
from curate.demo_dataset.simulated_people import match_objects


def names_of(table: MaskTable) -> pd.Series[str]:
    """Return the file name of each mask, without folders."""
    return table.masks["file_name"].map(lambda name: Path(str(name)).name)


def by_image(table: MaskTable) -> dict[str, rle.Runs]:
    """Return the usable masks of a dataset, by the name of the image's file."""
    usable = (table.masks["status"] == "ok").to_numpy()
    names = names_of(table).to_numpy()
    return {
        str(name): table.runs[rows]
        for name, rows in pd.Series(np.flatnonzero(usable)).groupby(names[usable]).agg(list).items()
    }


def image_ious(truth: MaskTable, found: MaskTable) -> pd.DataFrame:
    """Return for each image of the truth how well its masks fit.

    Returns:
        Index ``file_name``: ``iou`` (sum over objects of the IoU with their mask, one mask an
        object), ``count`` (objects, and masks without an object: both count as 0), ``objects``,
        ``masks``.
    """
    wanted, got = by_image(truth), by_image(found)
    rows = {}
    for name in sorted({Path(str(one)).name for one in truth.images["file_name"]}):
        objects, masks = wanted.get(name), got.get(name)
        n, k = 0 if objects is None else len(objects), 0 if masks is None else len(masks)
        iou = np.zeros(0)
        if objects is not None and masks is not None:
            iou = match_objects(masks, objects)[1]
        matched = int(np.isfinite(iou).sum())
        rows[name] = (float(np.nansum(iou)), n + k - matched, n, k)
    columns = ["iou", "count", "objects", "masks"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("file_name")


@dataclass(frozen=True)
class Curve:
    """Mean IoU of the dataset over people's seconds, a point an image or a step.

    Attributes:
        seconds: Not falling, shape (n,).
        iou: Likewise, shape (n,): missing masks count 0, and so do false ones.
    """

    seconds: np.ndarray
    iou: np.ndarray

    def seconds_at(self, level: float) -> float:
        """Return the seconds at which a mean IoU is first reached, NaN where it never is."""
        above = np.flatnonzero(self.iou >= level)
        if not len(above):
            return float("nan")
        k = int(above[0])
        if k == 0:
            return float(self.seconds[0])
        low, high = self.iou[k - 1], self.iou[k]
        share = (level - low) / (high - low)
        return float(self.seconds[k - 1] + share * (self.seconds[k] - self.seconds[k - 1]))


def curve_of(images: pd.DataFrame, seconds: pd.Series[float], order: list[str]) -> Curve:
    """Return the curve of an arm in which images are finished one after the other.

    Args:
        images: What :func:`image_ious` gave for the finished dataset.
        seconds: People's seconds on an image, by file name.
        order: File names in the order in which they were finished; all others have no mask yet.
    """
    spent, total = [0.0], 0.0
    iou, count = 0.0, float(images["objects"].sum())
    values = [0.0]
    for name in order:
        total += float(seconds.get(name, 0.0))
        if name in images.index:
            row = images.loc[name]
            iou += row["iou"]
            count += row["count"] - row["objects"]
        spent.append(total)
        values.append(iou / count if count else 0.0)
    return Curve(np.array(spent), np.maximum.accumulate(np.array(values)))


def mean_interval(values: list[float], confidence: float = 0.95) -> tuple[float, float, float]:
    """Return the mean over seeds and its interval (Student's t); NaN bounds of a single value."""
    known = np.array([v for v in values if np.isfinite(v)])
    if len(known) < 2:
        return float(known.mean()) if len(known) else float("nan"), float("nan"), float("nan")
    half = stats.t.ppf((1 + confidence) / 2, len(known) - 1) * stats.sem(known)
    return float(known.mean()), float(known.mean() - half), float(known.mean() + half)
