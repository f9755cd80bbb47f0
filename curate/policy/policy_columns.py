"""Columns available to policies: those of an audit, and derived ones on demand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from curate.dataset.table import MASK_COLUMNS, OPTIONAL_MASK_COLUMNS, plain
from curate.policy.expression import Values, values_of
from curate.rle import components, decode_counts
from curate.scorers import columns

STORED_SMALL_PX = 100
"""The limit with which scorers measure small islands and holes (SAM's)."""

SMALL_COLUMNS = frozenset({"small_island_px", "small_hole_px"})
"""Columns that depend on what a policy calls small."""

DERIVED: dict[str, tuple[str, ...]] = {
    "coverage": ("area_px", "height", "width"),
    "small_island_px": ("segmentation", "height", "width"),
    "small_hole_px": ("segmentation", "height", "width"),
    "largest_fragment_px": ("segmentation", "height", "width"),
    "duplicate_same_category": ("duplicate_of", "category"),
    "crowd_region": ("iscrowd",),
}
"""Columns that are worked out from others, and from which."""

NMS_COLUMNS: dict[str, tuple[str, ...]] = {
    name: (
        *("image_id", "area_px", "predicted_iou", "quality_score"),
        *(f"{box}_{side}" for box in ("bbox", "declared", "crop") for side in "xywh"),
    )
    for name in ("nms_by", "nms_box_iou")
}
"""Columns that the policy's box NMS writes: the mask it gave way to, and the IoU of the boxes."""


def known_columns() -> frozenset[str]:
    """Return every column that a condition can name: the table's, the scorers', the derived."""
    table = {"mask_id", "quality_score", *MASK_COLUMNS, *OPTIONAL_MASK_COLUMNS} - {"segmentation"}
    return frozenset({*table, *columns("mask"), *DERIVED, *NMS_COLUMNS})


class PolicyColumns:
    """The masks of some whole images, column by column, as conditions and reasons take them.

    Args:
        frame: Rows of ``masks``, index ``mask_id``.
        small_px: Islands and holes strictly under this area in pixels are small.
    """

    def __init__(self, frame: pd.DataFrame, small_px: int = STORED_SMALL_PX) -> None:
        self.frame, self.small_px = frame, small_px
        self._series: dict[str, pd.Series[Any] | None] = {}
        self._values: dict[str, Values] = {}

    def __len__(self) -> int:
        return len(self.frame)

    def __call__(self, name: str) -> Values:
        """Return a column's values, None where there is no such column."""
        if name not in self._values:
            series = self.series(name)
            self._values[name] = None if series is None else values_of(series)
        return self._values[name]

    def add(self, columns: Mapping[str, pd.Series[Any]]) -> None:
        """Put columns beside those of the frame."""
        self._series.update(columns)

    def series(self, name: str) -> pd.Series[Any] | None:
        """Return a column, worked out if it is a derived one; None where there is none."""
        if name not in self._series:
            self._series[name] = self._find(name)
        return self._series[name]

    def read_values(self, names: Sequence[str], rows: np.ndarray[Any, Any]) -> dict[str, list[Any]]:
        """Return columns at some rows as plain values, None where missing."""
        found = {name: self.series(name) for name in names}
        return {
            name: plain(series.iloc[rows]) for name, series in found.items() if series is not None
        }

    def positions(self, ids: pd.Series[Any]) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Return the row of each mask id, -1 where it is missing or not here."""
        wanted = ids.astype("Int64")
        here = self.frame.index.get_indexer(pd.Index(wanted.to_numpy(np.int64, na_value=-1)))
        return np.where(wanted.isna(), -1, here).astype(np.int64)

    def _find(self, name: str) -> pd.Series[Any] | None:
        if name == "mask_id":
            return self.frame.index.to_series()
        other_limit = name in SMALL_COLUMNS and self.small_px != STORED_SMALL_PX
        if name in self.frame.columns and not other_limit:
            series = self.frame[name]
            return None if _is_empty(series) else series
        sources = DERIVED.get(name)
        if sources is None or not all(source in self.frame.columns for source in sources):
            return None
        return _DERIVATIONS[name](self, name)


def _is_empty(series: pd.Series[Any]) -> bool:
    """Whether a column only stands there because another part of the audit has it."""
    return series.dtype == object and len(series) > 0 and bool(series.isna().all())


def _coverage(columns: PolicyColumns, _: str) -> pd.Series[Any]:
    frame = columns.frame
    pixels = frame["height"].astype("float64") * frame["width"].astype("float64")
    return frame["area_px"] / pixels.where(pixels > 0)


def _pieces(columns: PolicyColumns, wanted: str) -> pd.Series[Any]:
    """Count islands and holes from the masks themselves; NaN where there is no mask."""
    frame = columns.frame
    runs, _ = decode_counts(
        frame["segmentation"], frame["height"].to_numpy(), frame["width"].to_numpy()
    )
    found = components(runs, columns.small_px)
    present = found.count > 0
    small = {"small_island_px": found.small_island_px, "small_hole_px": found.small_hole_px}
    for name, pixels in (small | {"largest_fragment_px": found.largest_px}).items():
        if name == wanted or name not in frame.columns:
            columns.add({name: pd.Series(np.where(present, pixels, np.nan), index=frame.index)})
    series = columns.series(wanted)
    assert series is not None
    return series


def _same_category(columns: PolicyColumns, _: str) -> pd.Series[Any]:
    """1 where the kept twin has the same category (or neither has one), else 0; NaN: no twin."""
    twin = columns.positions(columns.frame["duplicate_of"])
    rows = np.flatnonzero(twin >= 0)
    category = columns.frame["category"]
    ours, theirs = (np.array(plain(category.iloc[at]), object) for at in (rows, twin[rows]))
    same = np.full(len(twin), np.nan)
    same[rows] = ours == theirs
    return pd.Series(same, index=columns.frame.index)


def _crowd_region(columns: PolicyColumns, _: str) -> pd.Series[Any]:
    """1 where a mask is a crowd region; audits say so themselves, as they may judge it anyway."""
    return columns.frame["iscrowd"]


_DERIVATIONS: dict[str, Callable[[PolicyColumns, str], pd.Series[Any]]] = {
    "coverage": _coverage,
    "small_island_px": _pieces,
    "small_hole_px": _pieces,
    "largest_fragment_px": _pieces,
    "duplicate_same_category": _same_category,
    "crowd_region": _crowd_region,
}
