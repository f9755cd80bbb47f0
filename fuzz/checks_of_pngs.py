"""Masks that were read from PNGs, held against Pillow's pixels."""

from __future__ import annotations

import io
import warnings
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from curate.dataset.table import MaskTable
from fuzz import reference
from fuzz.checks import Files, WrongSuccess, compare_mask, rows_by_key


def check_masks(files: Files, tables: Sequence[MaskTable]) -> None:
    """Check PNGs of one mask each, of the kinds in which every value but 0 is foreground."""
    for key, row in rows_by_key(tables).items():
        if row["status"] != "ok":
            continue  # Pillow takes PNGs that are cut off, or whose sizes differ from the image's
        pixels = _pixels(files.get(key), ("1", "L"))
        if pixels is not None and set(np.unique(pixels).tolist()) <= {0, 1, 255}:
            compare_mask(row, pixels != 0, False)


def check_ids(files: Files, tables: Sequence[MaskTable]) -> None:
    """Check PNGs of ids: a mask an id, with its pixels; and that none is left out."""
    counts: Counter[str] = Counter()
    ids: dict[str, Any] = {}
    for key, row in rows_by_key(tables).items():
        name, _, number = key.rpartition("#")
        counts[name] += 1
        if name not in ids:
            ids[name] = _ids(files.get(name))
        if ids[name] is not None and number.isdigit():
            compare_mask(row, ids[name] == int(number), False)
    for name, found in ids.items():
        if found is not None and counts[name] != np.count_nonzero(np.unique(found)):
            raise WrongSuccess(f"{name}: {counts[name]} masks of {len(np.unique(found))} values")


def _pixels(data: bytes | None, modes: tuple[str, ...]) -> Any:
    """Return a PNG's pixels; None where Pillow does not read it, or it is of another mode."""
    from PIL import Image

    if data is None or not data.startswith(b"\x89PNG"):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data)) as image:
                if image.mode not in modes or "transparency" in image.info:
                    return None
                if image.width * image.height > reference.MOST_PIXELS:
                    return None
                return np.asarray(image)
    except Exception:
        return None


def _ids(data: bytes | None) -> Any:
    pixels = _pixels(data, ("L", "I;16", "P", "RGB"))
    if pixels is None or data is None or data[24] not in (8, 16):
        return None
    if pixels.ndim == 3:
        return pixels.astype(np.int64) @ np.array([1, 256, 65536]) if data[24] == 8 else None
    return pixels.astype(np.int64)
