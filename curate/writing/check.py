"""Is a written dataset exactly what was meant? Read it and the source, by parts, and compare.

Masks are compared in the order in which they are read; only new ones are put behind the others of
their image first, since a format may read them anywhere among these.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
import orjson
import pandas as pd

from curate.curation.columns import plain
from curate.curation.snapshot import ID_NOT_OWN
from curate.formats.base import Format
from curate.formats.edits import Addition, Edits, Stored
from curate.table import BINARY, OPTIONAL_MASK_COLUMNS, STRING, MaskTable
from curate.versions import VersionHash, image_digests

_PIXELS = ("file_name", "height", "width", "segmentation")
_EQUAL = (*_PIXELS, "category", *OPTIONAL_MASK_COLUMNS)
_RENEWED = frozenset({"category_id"} | {c for c in OPTIONAL_MASK_COLUMNS if c[:9] == "declared_"})
"""What follows from a mask's pixels and category, and so differs where these were changed."""

_WITHOUT_IDS = "coco-results"
"""A format that has no ids: readers number its masks by their place in the file."""

_STAYS, _CHANGED, _ADDED = range(3)
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Checked:
    """What came of a comparison.

    Attributes:
        problem: What is wrong, as a clause; empty where nothing is.
        masks: How many masks the written dataset holds, as far as it was read.
        version: Its content id; "" where something is wrong.
    """

    problem: str
    masks: int = 0
    version: str = ""


class _Dataset:
    """One of the two datasets, mask after mask."""

    def __init__(self, form: Format, path: Path, work: Path) -> None:
        self.form, self.path, self.work = form, path, work
        self.images: list[npt.NDArray[np.uint64]] = []
        self.has_masks: list[npt.NDArray[np.bool_]] = []

    def tables(self) -> Iterator[MaskTable]:
        """Yield the parts."""
        for part in self.form.plan(self.path, self.work):
            yield self.form.load(self.path, part)

    def note_images(self, images: pd.DataFrame, masks: pd.DataFrame) -> None:
        """Remember the images of a part, and which of them have masks."""
        plain_images = pd.DataFrame(
            {name: images[name].astype(object) for name in ("file_name", "height", "width")}
        )
        hashes = pd.util.hash_pandas_object(plain_images.astype(str), index=False)
        self.images.append(np.asarray(hashes, np.uint64))
        self.has_masks.append(images.index.isin(masks["image_id"].to_numpy()))


class _Meant(_Dataset):
    """The source with the edits made to its masks in memory."""

    def __init__(self, form: Format, path: Path, work: Path, edits: Edits, stored: Stored) -> None:
        super().__init__(form, path, work)
        self.edits, self.stored = edits, stored
        self.add: dict[str, list[int]] = {}
        for k, one in enumerate(edits.add):
            self.add.setdefault(one.image_key, []).append(k)
        self.dropped = self.changed = self.added = 0

    def frames(self) -> Iterator[pd.DataFrame]:
        """Yield the masks that should be there, by parts, in order."""
        for table in self.tables():
            masks = table.masks
            goes = masks["source_key"].isin(self.edits.drop).to_numpy(np.bool_)
            self.dropped += int(goes.sum())
            kept = masks[~goes].assign(_own_id=_own_ids(self.form, masks)[~goes], _state=_STAYS)
            kept = pd.concat([self._changes(kept), *self._additions(table.images)])
            self.note_images(table.images, kept)
            yield _ordered(kept, table.images, kept["_state"].to_numpy() == _ADDED)

    def _changes(self, kept: pd.DataFrame) -> pd.DataFrame:
        keys = kept["source_key"]
        pixels = {k: c.counts for k, c in self.edits.change.items() if c.counts is not None}
        names = {k: c.category for k, c in self.edits.change.items() if c.category is not None}
        held = {k: c for k, c in self.stored.held.items() if isinstance(k, str)}
        touched = keys.isin(self.edits.change).to_numpy(np.bool_)
        self.changed += int(touched.sum())
        state = np.where(touched & keys.isin({**pixels, **names}), _CHANGED, _STAYS)
        return kept.assign(
            _state=state,
            segmentation=_replaced(kept["segmentation"], keys, pixels | held),
            category=_replaced(kept["category"], keys, names),
            status=kept["status"].where(~keys.isin(pixels), "ok"),
        )

    def _additions(self, images: pd.DataFrame) -> Iterator[pd.DataFrame]:
        if not self.add or "source_key" not in images:
            return
        here = images.index[images["source_key"].isin(self.add).to_numpy(np.bool_)]
        for image_id in here:
            numbers = self.add[str(images.at[image_id, "source_key"])]
            self.added += len(numbers)
            rows = [self._added(k, self.edits.add[k], images.loc[image_id]) for k in numbers]
            frame = pd.DataFrame(rows).assign(image_id=image_id, _own_id=False, _state=_ADDED)
            types = {"segmentation": BINARY, "category": STRING, "file_name": STRING}
            yield frame.astype(types | {"source_key": STRING, "status": STRING})

    def _added(self, number: int, one: Addition, image: pd.Series[Any]) -> dict[str, Any]:
        return {
            "source_key": f"the added mask {number}",
            "file_name": image["file_name"],
            "height": one.height,
            "width": one.width,
            "segmentation": self.stored.held.get(number, one.counts),
            "category": one.category,
            "status": "ok",
        }


class _Real(_Dataset):
    """The dataset as it was written."""

    def __init__(self, form: Format, path: Path, work: Path, edits: Edits, stored: Stored) -> None:
        super().__init__(form, path, work)
        self.version = VersionHash()
        self.add: dict[str, Counter[bytes]] = {}
        for k, one in enumerate(edits.add):
            self.add.setdefault(one.image_key, Counter())[stored.held.get(k, one.counts)] += 1

    def frames(self) -> Iterator[pd.DataFrame]:
        """Yield its masks by parts, in order."""
        for table in self.tables():
            masks = table.masks.assign(_own_id=_own_ids(self.form, table.masks), _state=_STAYS)
            self.note_images(table.images, masks)
            self.version.update(image_digests(table.masks, table.images, table.runs))
            yield _ordered(masks, table.images, self._added(masks, table.images))

    def _added(self, masks: pd.DataFrame, images: pd.DataFrame) -> npt.NDArray[np.bool_]:
        """Return which masks are taken for the new ones: of equal ones the last that were read."""
        found = np.zeros(len(masks), np.bool_)
        if not self.add or "source_key" not in images:
            return found
        here = images["source_key"][images["source_key"].isin(self.add)]
        owner = masks["image_id"].to_numpy()
        for image_id, key in here.items():
            left = Counter(self.add[str(key)])
            rows = np.flatnonzero(owner == image_id)
            counts = masks["segmentation"].iloc[rows].to_numpy(object)
            for row, one in zip(rows[::-1].tolist(), counts[::-1], strict=True):
                if left[one] > 0:
                    left[one] -= 1
                    found[row] = True
        return found


def _own_ids(form: Format, masks: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Return whose ids look like the source's own, not like those that a reader gave out."""
    ids = masks.index.to_numpy()
    if form.name == _WITHOUT_IDS or len(ids) < 2 or (np.diff(ids) == 1).all():
        return np.zeros(len(ids), np.bool_)
    found = masks["status_detail"].str.contains(ID_NOT_OWN, regex=True)
    return ~found.fillna(False).to_numpy(np.bool_)


def _replaced(
    column: pd.Series[Any], keys: pd.Series[Any], values: Mapping[str, Any]
) -> pd.Series[Any]:
    """Return a column with the values of some keys replaced."""
    at = np.flatnonzero(keys.isin(values).to_numpy(np.bool_))
    if not len(at):
        return column
    array = column.array.copy()
    array[at] = np.array([values[key] for key in keys.iloc[at]], object)
    return pd.Series(array, index=column.index)


def _ordered(
    masks: pd.DataFrame, images: pd.DataFrame, added: npt.NDArray[np.bool_]
) -> pd.DataFrame:
    """Sort masks by image as read, in each those that are new last, by their pixels.

    Args:
        masks: Masks of a part, in the order in which they were read.
        images: Its images.
        added: Which masks are new.

    Returns:
        The same rows, index from 0; their ids are the column ``_id``.
    """
    masks = masks.assign(_id=masks.index.to_numpy())
    place = images.index.get_indexer(pd.Index(masks["image_id"]))
    unlisted = place < 0
    if unlisted.any():  # images that only masks name stand behind the listed ones, by id
        rank = np.unique(masks["image_id"].to_numpy(), return_inverse=True)[1]
        place = np.where(unlisted, len(images) + rank, place)
    within = np.arange(len(masks), dtype=np.uint64)
    within[added] = _hashes(masks["segmentation"][added])
    return masks.iloc[np.lexsort((within, added, place))].reset_index(drop=True)


def _hashes(segmentation: pd.Series[Any]) -> npt.NDArray[np.uint64]:
    values = segmentation.to_numpy(object, na_value=b"")
    return np.asarray(pd.util.hash_array(values, categorize=False), np.uint64)


def check_written(
    form: Format, source: Path, written: Path, edits: Edits, stored: Stored
) -> Checked:
    """Compare a written dataset with what it should hold, mask by mask and to the pixel.

    Args:
        form: The format of both.
        source: The dataset that it was made of.
        written: The result.
        edits: What should have changed.
        stored: What the format says of how it stored it.
    """
    with tempfile.TemporaryDirectory(prefix="curate-") as work:
        folders = [Path(work) / name for name in ("source", "written")]
        for folder in folders:
            folder.mkdir()
        meant = _Meant(form, source, folders[0], edits, stored)
        real = _Real(form, written, folders[1], edits, stored)
        total = 0
        for wanted, found in _in_step(meant.frames(), real.frames()):
            problem = _difference(wanted, found)
            if problem:
                return Checked(problem, total)
            total += len(found)
    lost = len(edits.drop) - meant.dropped
    if lost:
        return Checked(f"{lost} of the masks to drop are not in the source", total)
    lost = len(edits.change) + len(edits.add) - meant.changed - meant.added
    if lost:
        return Checked(f"{lost} of the changes have no place in the source", total)
    problem = _image_difference(meant, real)
    return Checked(problem, total, "" if problem else real.version.hexdigest())


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
    for column in _EQUAL:
        if _equal(wanted, found, column):
            continue
        # What is not pixels or category is renewed in changed masks and free in added ones.
        compared = state < (_CHANGED if column in _RENEWED else _ADDED)
        compared |= column in _PIXELS
        a, b = _values(wanted, column), _values(found, column)
        if column == "category":
            compared |= np.array([value is not None for value in a], np.bool_)
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


def _same_category(wanted: pd.DataFrame, found: pd.DataFrame, column: str, row: int) -> bool:
    """Return whether a category that is meant by name stands there as a number without one."""
    if column != "category" or "category_id" not in found or wanted["_state"].iloc[row] == _STAYS:
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


def _image_difference(meant: _Dataset, real: _Dataset) -> str:
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
