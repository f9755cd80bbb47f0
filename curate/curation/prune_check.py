"""Is a pruned dataset exactly the source without the dropped masks? Read both and see, by parts."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
import orjson
import pandas as pd

from curate.curation.columns import plain
from curate.formats.base import Format
from curate.table import OPTIONAL_MASK_COLUMNS

_EQUAL = ("file_name", "height", "width", "segmentation", "category", *OPTIONAL_MASK_COLUMNS)
_BLOCK = 1 << 20


class _Side:
    """One of the two datasets, mask after mask."""

    def __init__(self, form: Format, path: Path, work: Path, drop: AbstractSet[str]) -> None:
        self.form, self.path, self.work, self.drop = form, path, work, drop
        self.images: list[npt.NDArray[np.uint64]] = []
        self.has_masks: list[npt.NDArray[np.bool_]] = []
        self.found: set[str] = set()

    def frames(self) -> Iterator[pd.DataFrame]:
        """Yield the masks that stay, by parts, with ``_id`` and whether it is the source's own."""
        for part in self.form.plan(self.path, self.work):
            table = self.form.load(self.path, part)
            masks = table.masks
            goes = masks["source_key"].isin(self.drop).to_numpy(np.bool_)
            self.found.update(masks["source_key"][goes])
            ids = masks.index.to_numpy()
            own = len(ids) > 1 and bool((np.diff(ids) != 1).any())
            kept = masks[~goes].assign(_own_id=own, _id=masks.index.to_numpy()[~goes])
            self._note_images(table.images, kept)
            yield kept

    def _note_images(self, images: pd.DataFrame, kept: pd.DataFrame) -> None:
        plain_images = pd.DataFrame(
            {name: images[name].astype(object) for name in ("file_name", "height", "width")}
        )
        hashes = pd.util.hash_pandas_object(plain_images.astype(str), index=False)
        self.images.append(np.asarray(hashes, np.uint64))
        self.has_masks.append(images.index.isin(kept["image_id"].to_numpy()))


def check_masks(
    form: Format, source: Path, written: Path, drop: AbstractSet[str], kept: int
) -> str:
    """Compare a written dataset with what it should hold.

    Args:
        form: The format of both.
        source: The dataset that was pruned.
        written: The result.
        drop: Source keys of the masks that should be gone.
        kept: How many masks should be left.

    Returns:
        What is wrong, as a clause; empty where nothing is.
    """
    with tempfile.TemporaryDirectory(prefix="curate-") as work:
        folders = [Path(work) / name for name in ("source", "written")]
        for folder in folders:
            folder.mkdir()
        meant = _Side(form, source, folders[0], drop)
        real = _Side(form, written, folders[1], frozenset())
        total = 0
        for wanted, found in _in_step(meant.frames(), real.frames()):
            problem = _difference(wanted, found)
            if problem:
                return problem
            total += len(found)
    if total != kept:
        return f"it holds {total} masks instead of {kept}"
    if len(meant.found) != len(drop):
        return f"{len(drop) - len(meant.found)} of the masks to drop are not in the source"
    return _image_difference(meant, real)


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
    for column in _EQUAL:
        if _equal(wanted, found, column):
            continue
        a, b = _values(wanted, column), _values(found, column)
        for row, (mine, theirs) in enumerate(zip(a, b, strict=True)):
            if mine != theirs:
                return f"{wanted['source_key'].iloc[row]} has another {column}"
    # An id that the reader gave out itself may differ, and so may one that stood there twice.
    strict = wanted["_own_id"].to_numpy() & found["_own_id"].to_numpy()
    strict &= (wanted["status"] != "duplicate_id").to_numpy(np.bool_)
    moved = strict & (wanted["_id"].to_numpy() != found["_id"].to_numpy())
    if moved.any():
        return f"{wanted['source_key'].iloc[int(np.argmax(moved))]} has another id"
    return ""


def _equal(wanted: pd.DataFrame, found: pd.DataFrame, column: str) -> bool:
    """Whether a column is plainly the same on both sides; False may still be equal values."""
    if column not in wanted.columns or column not in found.columns:
        return column not in wanted.columns and column not in found.columns
    a, b = (frame[column].reset_index(drop=True) for frame in (wanted, found))
    return bool(a.equals(b))


def _values(frame: pd.DataFrame, column: str) -> list[Any]:
    return plain(frame[column]) if column in frame.columns else [None] * len(frame)


def _image_difference(meant: _Side, real: _Side) -> str:
    """Images must be the same, in order; one may be gone only where a list of masks names none."""
    if not meant.images and not real.images:
        return ""
    nothing = [np.empty(0, np.uint64)]
    before, after = (np.concatenate(s.images or nothing) for s in (meant, real))
    must = np.concatenate(meant.has_masks or [np.empty(0, np.bool_)])
    before = before[must | np.isin(before, after)]
    if len(before) != len(after) or (before != after).any():
        return "its images are not those of the source"
    return ""


def check_content(source: Path, written: Path) -> str:
    """Compare two datasets that should hold the same, file by file: bytes, or else parsed content.

    Returns:
        What is wrong, as a clause; empty where nothing is.
    """
    if source.is_file():
        return "" if _same(source, written) else "its content differs though no mask was dropped"
    names = [
        {p.relative_to(root).as_posix() for p in root.rglob("*") if not p.is_dir()}
        for root in (source, written)
    ]
    if names[0] != names[1]:
        return f"{min(names[0] ^ names[1])} is only in one of them"
    for name in sorted(names[0]):
        if not _same(source / name, written / name):
            return f"{name} differs though no mask was dropped"
    return ""


def _same(a: Path, b: Path) -> bool:
    if not a.is_file():  # a link to nowhere, a socket: there is no content to compare
        return True
    if a.stat().st_size == b.stat().st_size and _same_bytes(a, b):
        return True
    if a.suffix.lower() == ".json":
        return bool(orjson.loads(a.read_bytes()) == orjson.loads(b.read_bytes()))
    if a.suffix.lower() == ".xml":
        left, right = (ElementTree.canonicalize(from_file=str(p)) for p in (a, b))
        return left == right
    return False


def _same_bytes(a: Path, b: Path) -> bool:
    with a.open("rb") as left, b.open("rb") as right:
        while block := left.read(_BLOCK):
            if block != right.read(_BLOCK):
                return False
    return True
