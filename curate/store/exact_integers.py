"""Whole numbers with gaps, read exactly: as floats, those beyond 2^53 would be other numbers."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pandas as pd
import pyarrow as pa

_EXACT = 2.0**53


def exact_integers(column: pa.ChunkedArray) -> pd.Series[Any]:
    """Return an int64 column as pandas' ``Int64``, missing values as NA; others as they are."""
    kinds = {pa.int64(): pd.Int64Dtype()}
    return cast("pd.Series[Any]", column.to_pandas(types_mapper=kinds.get))


def rounded_columns(frame: pd.DataFrame) -> list[str]:
    """Return the float columns of a frame whose numbers are so large that some may be rounded."""
    floats = frame.select_dtypes(np.float64)
    return [str(name) for name in floats if bool((floats[name].abs() >= _EXACT).any())]
