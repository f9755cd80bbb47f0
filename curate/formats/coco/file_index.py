"""On-disk index of a COCO file: byte ranges of images and annotations, image by image.

One pass over the file finds every annotation's bytes and image; a second one, over the index alone,
puts annotations of one image together. What is held in memory grows with the images, not with the
annotations, so that four million masks need no more than one million.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from curate.common import files
from curate.common.arrays import IntArray
from curate.errors import AuditError, SourceError
from curate.formats.format import PART_BYTES, PART_MASKS, Part, convert_read_errors
from curate.formats.json.fast_reader import QuickReader
from curate.formats.json.json_columns import id_key, text, to_integers
from curate.formats.json.streaming import Batch, scan
from curate.formats.segmentation import json_type

READ_BYTES = 1 << 18
"""How much JSON is parsed at a time: small enough to stay in the processor's cache."""

LISTED, LISTED_TWICE, REPEATED, UNLISTED = range(4)
"""Kinds of image: listed; listed, and another has its id; that other; only named by masks."""

_ROWS = 1 << 19
_IMAGES, _ANNOTATIONS, _SPOOL, _IDS, _META = (
    "images.npy",
    "annotations.bin",
    "spool.bin",
    "ids.bin",
    "index.json",
)
_NAMES = "names.json"


@dataclass(frozen=True)
class CocoIndex:
    """Index of a file as a worker opens it, besides its own rows.

    Attributes:
        folder: Where the index lies.
        is_list: Whether the file is a results list, without images and categories.
        categories: The categories as they stand in the file; None where there are none.
        spare_id: The first id that no annotation uses; None where none is left above.
        parts: Rows of (first annotation, number of them, first image, one past the last image).
    """

    folder: Path
    is_list: bool
    categories: list[Any] | None
    spare_id: int | None
    parts: list[list[int]]

    @classmethod
    def open(cls, folder: Path) -> CocoIndex:
        """Read the index that :func:`build` left in ``folder``."""
        with convert_read_errors(folder / _META):
            meta = json.loads((folder / _META).read_bytes())
        fields = ("is_list", "categories", "spare_id", "parts")
        return cls(folder, *(meta[name] for name in fields))

    def images(self, low: int, high: int) -> IntArray:
        """Return rows of (id, offset, length, kind) of the images from ``low`` to ``high``."""
        rows: IntArray = np.load(self.folder / _IMAGES, mmap_mode="r")[low:high]
        return np.array(rows)

    def annotations(self, first: int, count: int) -> IntArray:
        """Return rows of (offset, length, ordinal, image position), images in order."""
        path = self.folder / _ANNOTATIONS
        flat = np.fromfile(path, np.int64, count=count * 4, offset=first * 32)
        if len(flat) != count * 4:
            files.unlink(self.folder / _META, missing_ok=True)
            raise AuditError("the index is cut off", str(path), "run the same command again")
        rows = flat.reshape(-1, 4)
        return rows[np.argsort(rows[:, 3], kind="stable")]

    def find_repeated_ids(self) -> IntArray:
        """Return rows of (annotation id, how many have it) for ids that occur twice, sorted."""
        rows: IntArray = np.load(self.folder / "repeated.npy")
        return rows

    def ids(self) -> IntArray:
        """Return the key of every image's id."""
        rows: IntArray = np.load(self.folder / _IMAGES, mmap_mode="r")[:, 0]
        return np.array(rows)

    def names(self) -> tuple[dict[int, str], dict[int, str]]:
        """Return names and sizes that a results list itself states, by the keys of image ids.

        Returns:
            The file names that its masks bear, and the ids that are text.
        """
        with convert_read_errors(self.folder / _NAMES):
            names, texts = json.loads((self.folder / _NAMES).read_bytes())
        return {int(k): v for k, v in names.items()}, {int(k): v for k, v in texts.items()}


def build(source: Path, folder: Path) -> CocoIndex:
    """Index a COCO file or results list; an index of the same file is used again.

    Raises:
        SourceError: The file cannot be read, is cut off or broken, or holds no annotations.
    """
    with files.convert_write_errors(folder), convert_read_errors(source):
        facts = source.stat()
        stamp = [facts.st_size, facts.st_mtime_ns]
        try:
            meta = json.loads((folder / _META).read_bytes())
            if meta["stamp"] == stamp:
                return CocoIndex.open(folder)
        except (OSError, ValueError, KeyError, TypeError):
            pass
        files.mkdir(folder, parents=True, exist_ok=True)
        files.unlink(folder / _META, missing_ok=True)  # it speaks of files that are written anew
        with source.open("rb") as file, _Builder(source, folder) as builder:
            for batch in scan(file, source.name, builder.wanted, READ_BYTES):
                builder.take(batch)
            builder.finish(stamp)
    return CocoIndex.open(folder)


def parts(index: CocoIndex) -> Iterator[Part]:
    """Yield the parts of an indexed file."""
    for number, row in enumerate(index.parts):
        yield Part(number, (str(index.folder), *row))


class _Builder:
    """Collects what the scanner finds and writes the index."""

    wanted = frozenset({"", "images", "annotations", "categories"})

    def __init__(self, source: Path, folder: Path) -> None:
        self.source, self.folder = source, folder
        self.categories: list[Any] | None = None
        self.images: list[IntArray] = []
        self.names: dict[int, str] = {}
        self.texts: dict[int, str] = {}
        self.count = 0
        self.seen = set[str]()
        self.quick = QuickReader()
        self.spool: BinaryIO = files.open_file(folder / _SPOOL)
        self.ids: BinaryIO = files.open_file(folder / _IDS)

    def __enter__(self) -> _Builder:
        return self

    def __exit__(self, *_: object) -> None:
        self.spool.close()
        self.ids.close()
        for name in (_SPOOL, _IDS):
            files.unlink(self.folder / name, missing_ok=True)

    def take(self, batch: Batch) -> None:
        """Take in a batch of the scanner."""
        self.seen.add(batch.key)
        if batch.key in ("", "annotations") and self._try_fast_path(batch):
            return
        values = batch.parse(self.source.name)
        if not batch.is_list:
            if batch.key == "categories" and values == [None]:
                return
            what = f"{batch.key} is {json_type(values[0])}, not a list"
            place = f"{self.source.name}, byte {batch.base + int(batch.starts[0])}"
            raise SourceError(what, place)
        if batch.key == "categories":
            self.categories = (self.categories or []) + values
        elif batch.key == "images" and values:
            keys = [
                _image_id(value, batch.base + int(at))
                for value, at in zip(values, batch.starts, strict=True)
            ]
            self._add_images(np.array(keys, np.int64), batch)
        elif values:
            self._add_annotations(values, batch)

    def _add_images(self, keys: IntArray, batch: Batch) -> None:
        rows = np.empty((len(keys), 4), np.int64)
        rows[:, 0], rows[:, 1] = keys, batch.starts + batch.base
        rows[:, 2], rows[:, 3] = batch.ends - batch.starts, LISTED
        self.images.append(rows)

    def _try_fast_path(self, batch: Batch) -> bool:
        """Take in annotations whose ids are where they should be; say whether that was so."""
        data = batch.as_list() if batch.is_list and len(batch) else b""
        named_images = not batch.key and b'"file_name"' in data
        taken = self.quick.take_list(data) if data and not named_images else None
        if taken is None:
            return False
        images, named = self.quick.ids(taken, "image_id")
        ids, given = self.quick.ids(taken, "id")
        self.quick.drop(taken)
        if taken.count != len(batch) or not named.all():
            return False
        self._spool(images, ids[given], batch)
        return True

    def _add_annotations(self, values: list[Any], batch: Batch) -> None:
        images = _field(values, "image_id")
        keys, whole = to_integers(images)
        for i in np.flatnonzero(~whole).tolist():
            keys[i] = id_key(images[i])
        if not batch.key:
            self._note_names(values, images, keys)
        ids, given = to_integers(_field(values, "id"))
        self._spool(keys, ids[given], batch)

    def _note_names(self, values: list[Any], images: list[Any], keys: IntArray) -> None:
        for value, given, key in zip(values, images, keys.tolist(), strict=True):
            name = value.get("file_name") if type(value) is dict else None
            if type(name) is str and name:
                self.names.setdefault(key, text(name))
            if type(given) is str and given:
                self.texts.setdefault(key, text(given))

    def _spool(self, images: IntArray, ids: IntArray, batch: Batch) -> None:
        rows = np.empty((len(batch), 3), np.int64)
        rows[:, 0], rows[:, 1] = images, batch.starts + batch.base
        rows[:, 2] = batch.ends - batch.starts
        self.spool.write(rows.tobytes())
        self.ids.write(ids.tobytes())
        self.count += len(batch)

    def finish(self, stamp: list[int]) -> None:
        """Sort by image, cut into parts and write the index; its last file makes it valid."""
        if not self.seen & {"", "annotations"}:
            raise SourceError("there is no list of annotations", self.source.name)
        self.spool.close()
        self.ids.close()
        listed = np.concatenate(self.images) if self.images else np.empty((0, 4), np.int64)
        self.images = []
        keys, first_row = _settle_repeated(listed)
        unlisted = self._find_unlisted(keys)
        extra = np.zeros((len(unlisted), 4), np.int64)
        extra[:, 0], extra[:, 3] = unlisted, UNLISTED
        images = np.concatenate([listed, extra])
        places = np.concatenate([first_row, np.arange(len(listed), len(images))])
        order = np.argsort(np.concatenate([keys, unlisted]), kind="stable")
        lookup = (np.concatenate([keys, unlisted])[order], places[order])
        counts, sizes = self._tally(lookup, len(images))
        bounds = _cut(counts, sizes)
        starts = np.concatenate([[0], np.cumsum(counts)])
        self._scatter(lookup, bounds, starts)
        with files.open_file(self.folder / _IMAGES) as file:
            files.save_array(file, images)
        files.write_text(self.folder / _NAMES, json.dumps([self.names, self.texts]))
        meta = {
            "stamp": stamp,
            "is_list": "" in self.seen,
            "categories": self.categories,
            "spare_id": self._note_ids(),
            "parts": [
                [int(starts[i]), int(starts[j] - starts[i]), i, j] for i, j in pairwise(bounds)
            ],
        }
        partial = self.folder / (_META + ".partial")
        files.write_text(partial, json.dumps(meta))  # not orjson: names may hold half characters
        files.replace(partial, self.folder / _META)

    def _chunks(self) -> Iterator[tuple[int, IntArray]]:
        for first in range(0, self.count, _ROWS):
            n = min(_ROWS, self.count - first)
            flat = np.fromfile(self.folder / _SPOOL, np.int64, count=n * 3, offset=first * 24)
            yield first, flat.reshape(-1, 3)

    def _find_unlisted(self, keys: IntArray) -> IntArray:
        """Return ids that annotations name and no image has, sorted."""
        found = np.empty(0, np.int64)
        known = np.sort(keys)
        for _, rows in self._chunks():
            named = np.unique(rows[:, 0])
            found = np.union1d(found, named[~_among(named, known)])
        return found

    def _tally(self, lookup: tuple[IntArray, IntArray], n: int) -> tuple[IntArray, IntArray]:
        """Return annotations and bytes of each image."""
        counts, sizes = np.zeros(n, np.int64), np.zeros(n, np.int64)
        for _, rows in self._chunks():
            at = lookup[1][np.searchsorted(lookup[0], rows[:, 0])]
            counts += np.bincount(at, minlength=n)
            sizes += np.bincount(at, weights=rows[:, 2], minlength=n).astype(np.int64)
        return counts, sizes

    def _scatter(
        self, lookup: tuple[IntArray, IntArray], bounds: list[int], starts: IntArray
    ) -> None:
        """Write every annotation's row into its part's stretch of the index, in file order."""
        edges = np.array(bounds, np.int64)
        cursor = starts[edges[:-1]].copy()
        with files.open_file(self.folder / _ANNOTATIONS) as out:
            for first, rows in self._chunks():
                at = lookup[1][np.searchsorted(lookup[0], rows[:, 0])]
                part = np.searchsorted(edges, at, side="right") - 1
                order = np.argsort(part, kind="stable")
                made = np.empty((len(rows), 4), np.int64)
                made[:, 0], made[:, 1] = rows[order, 1], rows[order, 2]
                made[:, 2], made[:, 3] = first + order, at[order]
                used, begin = np.unique(part[order], return_index=True)
                for p, i, j in zip(used, begin, [*begin[1:], len(rows)], strict=True):
                    out.seek(int(cursor[p]) * 32)
                    out.write(made[i:j].tobytes())
                    cursor[p] += j - i

    def _note_ids(self) -> int | None:
        """Write which ids occur twice; return the first id that is free above all."""
        ids = np.fromfile(self.folder / _IDS, np.int64)
        ids.sort()
        twice = np.unique(ids[1:][ids[1:] == ids[:-1]])
        times = np.searchsorted(ids, twice, "right") - np.searchsorted(ids, twice, "left")
        with files.open_file(self.folder / "repeated.npy") as file:
            files.save_array(file, np.stack([twice, times], axis=1).astype(np.int64))
        top = max(int(ids[-1]), -1) if len(ids) else -1
        return top + 1 if top < 2**62 else None


def _image_id(value: Any, at: int) -> int:
    """Return the key of an entry of ``images``; one that is no object gets a key of its own."""
    return id_key(value.get("id") if type(value) is dict else ["no object", at])


def _field(values: list[Any], name: str) -> list[Any]:
    try:
        return [value[name] for value in values]
    except (TypeError, KeyError, IndexError):
        return [value.get(name) if type(value) is dict else None for value in values]


def _among(values: IntArray, known: IntArray) -> Any:
    if not len(known):
        return np.zeros(len(values), bool)
    at = np.minimum(np.searchsorted(known, values), len(known) - 1)
    return known[at] == values


def _settle_repeated(listed: IntArray) -> tuple[IntArray, IntArray]:
    """Give images whose id another one has already an id of their own, in place.

    Returns:
        Ids that masks can name, and the row of the image that has it.
    """
    keys, first, times = np.unique(listed[:, 0], return_index=True, return_counts=True)
    if len(keys) < len(listed):
        repeated = np.ones(len(listed), bool)
        repeated[first] = False
        for row in np.flatnonzero(repeated).tolist():
            listed[row, 0] = id_key(["repeated", int(listed[row, 0]), row])
        listed[repeated, 3] = REPEATED
        listed[first[times > 1], 3] = LISTED_TWICE
    return keys, first


def _cut(counts: IntArray, sizes: IntArray) -> list[int]:
    """Return the image positions at which parts begin, and the number of images at the end."""
    bounds, masks, size, images = [0], 0, 0, 0
    for i, (n, b) in enumerate(zip(counts.tolist(), sizes.tolist(), strict=True)):
        full = masks + n > PART_MASKS or size + b > PART_BYTES or images >= PART_MASKS
        if full and i > bounds[-1]:
            bounds.append(i)
            masks = size = images = 0
        masks, size, images = masks + n, size + b, images + 1
    return [*bounds, len(counts)] if len(counts) else [0, 0]
