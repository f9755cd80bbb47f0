"""Names of array types, for annotations."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

BoolArray = npt.NDArray[np.bool_]
ByteArray = npt.NDArray[np.uint8]
Int32Array = npt.NDArray[np.int32]
IntArray = npt.NDArray[np.int64]
UInt64Array = npt.NDArray[np.uint64]
Float32Array = npt.NDArray[np.float32]
FloatArray = npt.NDArray[np.float64]
AnyArray = npt.NDArray[Any]
