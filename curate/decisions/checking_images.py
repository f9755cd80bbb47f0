"""Added masks and images looked at, checked before they are written, as decisions are."""

from __future__ import annotations

import numpy as np
import pandas as pd

from curate.decisions.checking import InputRows, columns_of, read_masks, texts, times, whole
from curate.decisions.lookup import known, rows_of
from curate.store import Audit

MISSING = ("image_id", "segmentation", "category", "reviewer", "time", "withdrawn", "key", "row")
LOOKED = ("image_id", "reviewer", "time", "draw_id", "key", "row")
"""Columns that added masks, and images looked at, may be given with."""


def check_missing(audit: Audit, given: pd.DataFrame, origin: str, now: int) -> pd.DataFrame:
    """Return added masks in their types, each of them sound; see :func:`check_decisions`."""
    columns_of(given, MISSING, ("image_id", "segmentation"))
    rows = _check_images(audit, given, origin, now)
    frame = rows.frame
    frame["category"] = texts(rows, "category")
    frame["withdrawn"] = frame["withdrawn"].astype("int64") if "withdrawn" in frame else 0
    images = rows_of(
        audit, "images", "image_id", frame["image_id"].to_numpy(), ["height", "width"]
    ).set_index("image_id")
    images = images.loc[frame["image_id"]]
    sizes = images["height"].to_numpy(np.int64), images["width"].to_numpy(np.int64)
    frame["segmentation"] = pd.Series(read_masks(rows, *sizes)[0], dtype=object)
    return frame


def check_looked(audit: Audit, given: pd.DataFrame, origin: str, now: int) -> pd.DataFrame:
    """Return images that were gone through in their types; see :func:`check_decisions`."""
    columns_of(given, LOOKED, ("image_id",))
    rows = _check_images(audit, given, origin, now)
    draws = whole(rows.frame, "draw_id", origin) if "draw_id" in rows.frame else pd.NA
    rows.frame["draw_id"] = draws
    rows.frame["draw_id"] = rows.frame["draw_id"].astype("Int64")
    return rows.frame


def _check_images(audit: Audit, given: pd.DataFrame, origin: str, now: int) -> InputRows:
    frame = given.reset_index(drop=True).copy(deep=False)
    frame["image_id"] = whole(frame, "image_id", origin)
    rows = InputRows(frame, origin, "image_id")
    here = known(audit, "images", "image_id", frame["image_id"].to_numpy(np.int64))
    rows.refuse(~here, lambda value: "the audit has no such image", "image_id")
    frame["time"] = times(rows, now)
    for name in ("reviewer", "key"):
        frame[name] = texts(rows, name)
    frame["reviewer"] = frame["reviewer"].fillna("").str.strip()
    return rows
