"""Whole numbers with gaps, read exactly: as floats, those beyond 2^53 would be other numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import pandas as pd
import pyarrow as pa

_EXACT = 2.0**53


def exact_integers(column: pa.ChunkedArray) -> pd.Series[Any]:
    """Return an int64 column as pandas' ``Int64``, missing values as NA; others as they are."""
    kinds = {pa.int64(): pd.Int64Dtype()}
    return cast("pd.Series[Any]", column.to_pandas(types_mapper=kinds.get))


def rounded_columns(frame: pd.DataFrame, types: Mapping[str, str]) -> list[str]:
    """Return the columns of integers that came as floats, of which some may be rounded.

    Args:
        frame: A result as DuckDB gives it to pandas: integers with gaps are floats there.
        types: DuckDB's types of its columns, by name.
    """
    floats = [
        name for name in frame if types.get(str(name)) == "BIGINT" and frame[name].dtype == "f8"
    ]
    return [str(name) for name in floats if bool((frame[name].abs() >= _EXACT).any())]
