"""Both sides of the check after writing: the expected dataset, and the written one.

Masks come in the order in which they are read; only new ones are put behind the others of their
image, since a format may read them anywhere among these.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from curate.common.arrays import BoolArray, IntArray, UInt64Array
from curate.dataset.snapshot import ids_of_source
from curate.dataset.table import BINARY, STRING, MaskTable, plain
from curate.dataset.version_id import VersionHash, image_digests
from curate.formats.edits import Addition, Edits, Stored
from curate.formats.format import Format

STAYS, CHANGED, ADDED = range(3)
"""Change of a mask (column ``_state``)."""

_IMAGE = ("source_key", "file_name")

_WITHOUT_IDS = "coco-results"
"""A format that has no ids: readers number its masks by their place in the file."""


class MaskPlace(NamedTuple):
    """Place of a mask in a dataset: its id, as it is read, and its source key."""

    mask_id: int
    source_key: str


class _Dataset:
    """One of the two datasets, mask after mask.

    Attributes:
        images: By parts, a row an image: a hash of its names, its height and its width.
        has_masks: By parts, whether an image has masks.
        touched: By parts, whether a mask of an image goes, changes or comes.
    """

    def __init__(self, form: Format, path: Path, work: Path) -> None:
        self.form, self.path, self.work = form, path, work
        self.images: list[UInt64Array] = []
        self.has_masks: list[BoolArray] = []
        self.touched: list[BoolArray] = []

    def tables(self) -> Iterator[MaskTable]:
        """Yield the parts."""
        for part in self.form.plan(self.path, self.work):
            yield self.form.load(self.path, part)

    def note_images(self, images: pd.DataFrame, masks: pd.DataFrame) -> None:
        """Remember the images of a part, and which of them have masks."""
        # Where images have no names, as in results lists, their keys tell them apart.
        known = images if "source_key" in images else images.assign(source_key="")
        names = pd.DataFrame({name: known[name].astype(object) for name in _IMAGE})
        hashes = pd.util.hash_pandas_object(names.astype(str), index=False)
        sizes = images[["height", "width"]].to_numpy(np.int64).view(np.uint64)
        self.images.append(np.column_stack([np.asarray(hashes, np.uint64), sizes]))
        self.has_masks.append(images.index.isin(masks["image_id"].to_numpy()))


class Meant(_Dataset):
    """The source with the edits made to its masks in memory.

    Attributes:
        version: Hash of the source as it was read.
        dropped: How many masks were dropped so far.
        changed: How many were found that change.
        added: How many were added.
    """

    def __init__(self, form: Format, path: Path, work: Path, edits: Edits, stored: Stored) -> None:
        super().__init__(form, path, work)
        self.edits, self.stored = edits, stored
        self.add: dict[str, list[int]] = {}
        for k, one in enumerate(edits.add):
            self.add.setdefault(one.image_key, []).append(k)
        self.version = VersionHash()
        self.dropped = self.changed = self.added = 0

    def frames(self) -> Iterator[pd.DataFrame]:
        """Yield the masks that should be there, by parts, in order."""
        for table in self.tables():
            masks = table.masks
            self.version.update(image_digests(masks, table.images, table.runs))
            goes = masks["source_key"].isin(self.edits.drop).to_numpy(np.bool_)
            self.dropped += int(goes.sum())
            if self.form.ignores == "void":  # what is ignored there is no mask any more
                void = masks["source_key"].isin(self.edits.ignored).to_numpy(np.bool_)
                self.changed += int(void.sum())
                goes = goes | void  # what pandas gives is read-only
            kept = masks[~goes].assign(_own_id=_own_ids(self.form, table)[~goes], _state=STAYS)
            kept = pd.concat([self._changes(kept), *self._additions(table.images)])
            self.note_images(table.images, kept)
            edited = kept["image_id"][kept["_state"] != STAYS]
            touched = np.union1d(masks["image_id"][goes].to_numpy(), edited.to_numpy())
            self.touched.append(table.images.index.isin(touched))
            kept["_touched"] = kept["image_id"].isin(touched)
            yield _sort_masks(kept, table.images, kept["_state"].to_numpy() == ADDED)

    def _changes(self, kept: pd.DataFrame) -> pd.DataFrame:
        keys = kept["source_key"]
        pixels = {k: c.counts for k, c in self.edits.change.items() if c.counts is not None}
        names = {k: c.category for k, c in self.edits.change.items() if c.category is not None}
        held = {k: c for k, c in self.stored.held.items() if isinstance(k, str)}
        touched = keys.isin(self.edits.change).to_numpy(np.bool_)
        self.changed += int(touched.sum())
        # A mask that lost pixels to another is written anew too, with its area and box.
        renewed = keys.isin({**pixels, **names, **held})
        state = np.where(renewed, CHANGED, STAYS)
        kept = self._mark_ignored(kept)
        return kept.assign(
            _state=state,
            segmentation=_replace_values(kept["segmentation"], keys, pixels | held),
            category=_replace_values(kept["category"], keys, names),
            status=kept["status"].where(~keys.isin(pixels), "ok"),
        )

    def _mark_ignored(self, kept: pd.DataFrame) -> pd.DataFrame:
        marks = {k: int(c.ignore) for k, c in self.edits.change.items() if c.ignore is not None}
        here = kept["source_key"].isin(marks)
        if self.form.ignores != "crowd" or not here.any():
            return kept
        crowd = kept["iscrowd"] if "iscrowd" in kept else pd.Series(pd.NA, kept.index, "Int8")
        crowd = crowd.where(~here, kept["source_key"].map(marks))
        return kept.assign(iscrowd=crowd.astype("Int8"))

    def _additions(self, images: pd.DataFrame) -> Iterator[pd.DataFrame]:
        if not self.add or "source_key" not in images:
            return
        here = images.index[images["source_key"].isin(self.add).to_numpy(np.bool_)]
        for image_id in here:
            numbers = self.add[str(images.at[image_id, "source_key"])]
            self.added += len(numbers)
            rows = [self._make_row(k, self.edits.add[k], images.loc[image_id]) for k in numbers]
            frame = pd.DataFrame(rows).assign(image_id=image_id, _own_id=False, _state=ADDED)
            types = {"segmentation": BINARY, "category": STRING, "file_name": STRING}
            yield frame.astype(types | {"source_key": STRING, "status": STRING})

    def _make_row(self, number: int, one: Addition, image: pd.Series[Any]) -> dict[str, object]:
        return {
            "source_key": f"the added mask {number}",
            "file_name": image["file_name"],
            "height": one.height,
            "width": one.width,
            "segmentation": self.stored.held.get(number, one.counts),
            "category": one.category,
            "status": "ok",
        }


class Written(_Dataset):
    """The dataset as it was written.

    Attributes:
        version: Hash of the dataset as it was read.
    """

    def __init__(self, form: Format, path: Path, work: Path, edits: Edits, stored: Stored) -> None:
        super().__init__(form, path, work)
        self.version = VersionHash()
        self._places: dict[int, MaskPlace] = {}
        self._rows: dict[int, int] = {}  # of added masks, among all as they are read
        self._ids: list[IntArray] = []
        self._total = 0
        self.edits = edits
        self.add: dict[str, dict[bytes, list[int]]] = {}
        for k, one in enumerate(edits.add):
            same = self.add.setdefault(one.image_key, {})
            same.setdefault(stored.held.get(k, one.counts), []).append(k)

    def frames(self) -> Iterator[pd.DataFrame]:
        """Yield its masks by parts, in order."""
        for table in self.tables():
            masks = table.masks.assign(_own_id=_own_ids(self.form, table), _state=STAYS)
            self.note_images(table.images, masks)
            self.version.update(image_digests(table.masks, table.images, table.runs))
            added = self._find_added(masks, table.images)
            if self.add:
                self._ids.append(masks.index.to_numpy(np.int64))
            self._total += len(masks)
            yield _sort_masks(masks, table.images, added)

    def places(self) -> dict[int, MaskPlace]:
        """Return where added masks stand, by position among the edits, once all are read.

        Ids are those of :func:`curate.read`, and of an audit: where an id occurs in two parts, all
        masks are numbered in order.
        """
        ids = np.concatenate(self._ids or [np.zeros(0, np.int64)])
        if len(np.unique(ids)) == len(ids):
            return self._places
        rows = self._rows
        return {k: one._replace(mask_id=rows[k]) for k, one in self._places.items()}

    def _find_added(self, masks: pd.DataFrame, images: pd.DataFrame) -> BoolArray:
        """Return which masks are taken for the new ones: of equal ones the last that were read."""
        found = np.zeros(len(masks), np.bool_)
        if not self.add or "source_key" not in images:
            return found
        here = images["source_key"][images["source_key"].isin(self.add)]
        owner = masks["image_id"].to_numpy()
        categories = plain(masks["category"])
        for image_id, key in here.items():
            left = {one: list(numbers) for one, numbers in self.add[str(key)].items()}
            rows = np.flatnonzero(owner == image_id)
            counts = masks["segmentation"].iloc[rows].to_numpy(object)
            for row, one in zip(rows[::-1].tolist(), counts[::-1], strict=True):
                if left.get(one):
                    number = self._take_addition(left[one], categories[row])
                    name = str(masks["source_key"].iloc[row])
                    self._places[number] = MaskPlace(int(masks.index[row]), name)
                    self._rows[number] = self._total + row
                    found[row] = True
        return found

    def _take_addition(self, numbers: list[int], category: Any) -> int:
        """Take one of some additions of equal pixels: of this category, if there is one."""
        same = [k for k in numbers if self.edits.add[k].category == category]
        numbers.remove(number := (same or numbers)[-1])
        return number


def _own_ids(form: Format, table: MaskTable) -> BoolArray:
    """Return whose ids look like the source's own, not like those that a reader gave out."""
    masks = table.masks
    ids = masks.index.to_numpy()
    if form.name == _WITHOUT_IDS or len(ids) < 2 or (np.diff(ids) == 1).all():
        return np.zeros(len(ids), np.bool_)
    return ids_of_source(masks)


def _replace_values(
    column: pd.Series[Any], keys: pd.Series[Any], values: Mapping[str, object]
) -> pd.Series[Any]:
    """Return a column with the values of some keys replaced."""
    at = np.flatnonzero(keys.isin(values).to_numpy(np.bool_))
    if not len(at):
        return column
    array = column.array.copy()
    array[at] = np.array([values[key] for key in keys.iloc[at]], object)
    return pd.Series(array, index=column.index)


def _sort_masks(masks: pd.DataFrame, images: pd.DataFrame, added: BoolArray) -> pd.DataFrame:
    """Sort masks by image as read, in each those that are new last, by their pixels.

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


def _hashes(segmentation: pd.Series[Any]) -> UInt64Array:
    values = segmentation.to_numpy(object, na_value=b"")
    return np.asarray(pd.util.hash_array(values, categorize=False), np.uint64)
