"""Verification of a written dataset: mask by mask against the expected one, by parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from curate.common import files
from curate.common.arrays import BoolArray
from curate.common.progress import MaskCounter
from curate.dataset.table import OPTIONAL_MASK_COLUMNS, plain
from curate.errors import SourceError
from curate.formats.edits import Edits, Stored
from curate.formats.format import Format
from curate.writing.expected_dataset import ADDED, CHANGED, STAYS, MaskPlace, Meant, Written

_PIXELS = ("file_name", "height", "width", "segmentation")
_EQUAL = (*_PIXELS, "category", *(c for c in OPTIONAL_MASK_COLUMNS if c != "own_id"))
_RENEWED = frozenset(
    {"category_id", "outline_crossings"}
    | {c for c in OPTIONAL_MASK_COLUMNS if c.startswith("declared_")}
)
"""Columns derived from pixels and category, which differ where these were changed."""

_FOLLOWS_SIZE = frozenset({"height", "width", "segmentation", "outline_crossings"})
"""Columns derived from image size, which may be known only from a removed or changed mask."""


@dataclass(frozen=True)
class WriteCheck:
    """Result of a comparison.

    Attributes:
        problem: What is wrong, as a clause; empty where nothing is.
        masks: How many masks the written dataset holds, as far as it was read.
        version: Its content id; "" where something is wrong.
        version_before: Content id of the source, as it was read; "" where something is wrong.
        places: Where the added masks stand, by position among the edits.
    """

    problem: str
    masks: int = 0
    version: str = ""
    version_before: str = ""
    places: Mapping[int, MaskPlace] = field(default_factory=dict)


def check_written(
    form: Format,
    source: Path,
    written: Path,
    edits: Edits,
    stored: Stored,
    checked: MaskCounter | None = None,
) -> WriteCheck:
    """Compare a written dataset with what it should hold, mask by mask and to the pixel.

    Args:
        form: The format of both.
        source: The dataset that was written anew.
        written: The new one.
        edits: What changes.
        stored: How new pixels were stored.
        checked: Counts the masks that were compared; None for nobody.

    Raises:
        SourceError: A changed mask is of an image whose masks have several sizes.
    """
    with files.scratch() as work:
        folders = [work / name for name in ("source", "written")]
        for folder in folders:
            files.mkdir(folder)
        meant = Meant(form, source, folders[0], edits, stored)
        real = Written(form.of_copy(source), written, folders[1], edits, stored)
        total = 0
        for wanted, found in _in_step(meant.frames(), real.frames()):
            problem = _difference(wanted, found)
            if problem:
                return WriteCheck(problem, total)
            total += len(found)
            if checked is not None:
                checked.add(len(found))
    lost = len(edits.drop) - meant.dropped
    if lost:
        return WriteCheck(f"{lost} of the masks to drop are not in the source", total)
    lost = len(edits.change) + len(edits.add) - meant.changed - meant.added
    if lost:
        return WriteCheck(f"{lost} of the changes have no place in the source", total)
    problem = _image_difference(meant, real)
    version = "" if problem else real.version.hexdigest()
    return WriteCheck(problem, total, version, meant.version.hexdigest(), real.places())


def _in_step(
    left: Iterator[pd.DataFrame], right: Iterator[pd.DataFrame]
) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    """Cut two runs of frames into pieces of equal length; what only one has comes with nothing."""
    a: pd.DataFrame | None = None
    b: pd.DataFrame | None = None
    while True:
        a = a if a is not None and len(a) else next((f for f in left if len(f)), None)
        b = b if b is not None and len(b) else next((f for f in right if len(f)), None)
        if a is None and b is None:
            return
        if a is None or b is None:
            rest = pd.DataFrame()
            yield (rest if a is None else a), (rest if b is None else b)
            a = b = None
            continue
        n = min(len(a), len(b))
        yield a.iloc[:n], b.iloc[:n]
        a, b = a.iloc[n:], b.iloc[n:]


def _difference(wanted: pd.DataFrame, found: pd.DataFrame) -> str:
    if len(wanted) != len(found):
        frame, word = (wanted, "lacks") if len(wanted) else (found, "still has")
        return f"it {word} {frame['source_key'].iloc[0]}"
    state = wanted["_state"].to_numpy()
    resized = _find_resized(wanted, found)
    for column in _EQUAL:
        if _equal(wanted, found, column):
            continue
        # What is not pixels or category is renewed in changed masks and free in added ones.
        compared = state < (CHANGED if column in _RENEWED else ADDED)
        compared |= column in _PIXELS
        a, b = _values(wanted, column), _values(found, column)
        if column == "category":
            compared |= np.array([value is not None for value in a], np.bool_)
        if column in _FOLLOWS_SIZE:
            compared &= ~resized
        for row in np.flatnonzero(compared).tolist():
            if a[row] != b[row] and not _same_category(wanted, found, column, row):
                return f"{wanted['source_key'].iloc[row]} has another {column}"
    # An id that the reader gave out itself may differ, and so may one that stood there twice.
    strict = wanted["_own_id"].to_numpy(np.bool_) & found["_own_id"].to_numpy(np.bool_)
    strict &= (wanted["status"] != "duplicate_id").to_numpy(np.bool_)
    moved = strict & (wanted["_id"].to_numpy() != found["_id"].to_numpy())
    if moved.any():
        return f"{wanted['source_key'].iloc[int(np.argmax(moved))]} has another id"
    return ""


def _find_resized(wanted: pd.DataFrame, found: pd.DataFrame) -> BoolArray:
    """Return masks that stay, of images whose size is another because it was that of other masks.

    A size that is stated cannot change so: that nothing goes of what no edit names, the format's
    ``check_unedited`` sees in the files themselves. It sees too that these masks stand there as
    they stood: what is read of them depends on the size.

    Raises:
        SourceError: A changed mask is of such an image: it would not fit the others.
    """
    other = np.zeros(len(wanted), np.bool_)
    for column in ("height", "width"):
        other |= wanted[column].to_numpy(np.int64) != found[column].to_numpy(np.int64)
    other &= wanted["_touched"].to_numpy(np.bool_)
    stays = wanted["_state"].to_numpy() == STAYS
    if (other & ~stays).any():
        key = wanted["source_key"].iloc[int(np.argmax(other & ~stays))]
        what = "masks of its image have other sizes, and the image's is not given"
        raise SourceError(what, key, "put it into the file, or reject those masks")
    return np.asarray(other & stays, np.bool_)


def _same_category(wanted: pd.DataFrame, found: pd.DataFrame, column: str, row: int) -> bool:
    """Return whether a category that is meant by name stands there as a number without one."""
    if column != "category" or "category_id" not in found or wanted["_state"].iloc[row] == STAYS:
        return False
    number = found["category_id"].iloc[row]
    return bool(pd.notna(number)) and str(number) == wanted["category"].iloc[row]


def _equal(wanted: pd.DataFrame, found: pd.DataFrame, column: str) -> bool:
    """Whether a column is plainly the same on both sides; False may still be equal values."""
    if column not in wanted.columns or column not in found.columns:
        return column not in wanted.columns and column not in found.columns
    a, b = (frame[column].reset_index(drop=True) for frame in (wanted, found))
    return bool(a.equals(b))


def _values(frame: pd.DataFrame, column: str) -> list[Any]:
    return plain(frame[column]) if column in frame.columns else [None] * len(frame)


def _image_difference(meant: Meant, real: Written) -> str:
    """Images must be the same, in order, but for what is only known of them from their masks.

    One without masks may be gone where a list of masks names none. Where a size is only known from
    masks that go or change, it is another, or not known any more; that no size that is stated goes,
    others check.
    """
    nothing = [np.empty((0, 3), np.uint64)]
    before, after = (np.concatenate(s.images or nothing) for s in (meant, real))
    must, touched = (
        np.concatenate(some or [np.empty(0, np.bool_)]) for some in (meant.has_masks, meant.touched)
    )
    stays = must | np.isin(before[:, 0], after[:, 0])
    before, touched = before[stays], touched[stays]
    if len(before) != len(after) or (before[:, 0] != after[:, 0]).any():
        return "its images are not those of the source"
    before_sizes, sizes = before[:, 1:].view(np.int64), after[:, 1:].view(np.int64)
    if ((before_sizes != sizes).any(axis=1) & ~touched).any():
        return "its images have other sizes than those of the source"
    return ""
