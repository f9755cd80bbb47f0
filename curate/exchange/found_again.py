"""Masks that stand in a corrected dataset under another id, equal to the pixel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from curate.decisions.lookup import canonical
from curate.exchange.parts import ComparisonTally, runs_of
from curate.rle import area


def found_again(
    before: tuple[pd.DataFrame, pd.DataFrame],
    after: tuple[pd.DataFrame, pd.DataFrame],
    tally: ComparisonTally,
) -> pd.Series[Any]:
    """Look for masks that are gone or changed under another id, equal to the pixel.

    Args:
        before: Masks of the audit whose pixels changed, and masks that are gone.
        after: Masks of the file whose pixels changed, and masks that are new.
        tally: Counts how many stand under an id that another mask had.

    Returns:
        New ids by old ones, of masks that are gone and stand there as new ones.
    """
    old = pd.concat([_spelled(frame, "old", k) for k, frame in enumerate(before)])
    new = pd.concat([_spelled(frame, "new", k) for k, frame in enumerate(after)])
    same = old.merge(new, on=["image_id", "counts", "twin"])
    plain = (same["kind_old"] == 1) & (same["kind_new"] == 1)
    tally.counts["under another's id"] += int((~plain).sum())
    tally.counts["found again"] += int(plain.sum())
    return same[plain].set_index("old")["new"]


def _spelled(frame: pd.DataFrame, name: str, kind: int) -> pd.DataFrame:
    """Return ids, images and masks that equal each other where the pixels do; twins are counted."""
    runs, _ = runs_of(frame)
    full = np.asarray(area(runs) > 0, np.bool_)
    spelled = pd.DataFrame(
        {
            name: frame.index.to_numpy(np.int64)[full],
            "image_id": frame["image_id"].to_numpy(np.int64)[full],
            "counts": pd.Series(canonical(runs[full]), dtype=object),
            f"kind_{name}": kind,
        }
    )
    return spelled.assign(twin=spelled.groupby(["image_id", "counts"]).cumcount())
