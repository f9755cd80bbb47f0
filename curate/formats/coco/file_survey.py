"""Survey of a COCO file for its writer, in one pass: places, ids and sizes."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from curate.common.arrays import IntArray
from curate.formats.coco.annotation_edits import SAMPLE
from curate.formats.coco.file_index import READ_BYTES
from curate.formats.coco.images_and_categories import image_fields, states_no_size
from curate.formats.json.byte_edits import Elements, JsonObject
from curate.formats.json.fast_reader import QuickReader
from curate.formats.json.json_columns import id_key, is_usable_size, to_integers
from curate.formats.json.streaming import CHUNK_BYTES, Batch, scan
from curate.formats.picture_sizes import find_pictures, picture_size
from curate.formats.segmentation import valid_size


class Survey:
    """Byte ranges of a file's lists, and its ids and sizes as far as they are needed.

    Args:
        drop: Numbers of annotations that go.
        change: Numbers of annotations that change.
        images: Numbers of images that get annotations.
        named: Keys of images that get annotations in a results list, where no image is listed;
            None for other files.
        sample: How many of the first annotations to keep.
        pictures: Folder of pictures, which tell sizes that the file does not state.
        wanted: Ids that new annotations are to have where they are free.

    Attributes:
        annotations: Where annotations stand.
        images: Where images stand.
        categories: Where categories stand.
        listed: The categories; None where there is no list of them.
        top: The highest id of an annotation; 0 where none is higher.
        found: Which of the ``named`` images some annotation is on.
        taken: Which of the ``wanted`` ids an annotation has.
    """

    def __init__(
        self,
        drop: AbstractSet[int],
        change: AbstractSet[int],
        images: Iterable[int] = (),
        named: Iterable[int] | None = None,
        sample: int = SAMPLE,
        pictures: Path | None = None,
        wanted: AbstractSet[int] = frozenset(),
    ) -> None:
        self._key = "annotations" if named is None else ""
        self.annotations = Elements(change, drop, sample)
        self.images = Elements(images, sample=1)
        self.categories = Elements(sample=1)
        self.listed: list[Any] | None = None
        self.top = 0
        self.found: set[int] = set()
        self.taken: set[int] = set()
        self._wanted = np.array(sorted(wanted), np.int64)
        self._named = np.array(sorted(set(named or ())), np.int64)
        self._sizes: dict[int, tuple[int, int]] = {}
        self._pictures, self._names = pictures, list[str]()
        self._unsized: dict[int, str] = {}
        self._quick = QuickReader()

    def scan(
        self, file: BinaryIO, where: str, *, images: bool, categories: bool, ids: bool
    ) -> None:
        """Scan the file.

        Args:
            file: The file, at its beginning.
            where: Its name, for messages.
            images: Whether images are wanted.
            categories: Whether categories are wanted.
            ids: Whether ids of annotations are wanted, which takes parsing them all.

        Raises:
            SourceError: The file is not sound JSON.
        """
        wanted = {self._key}
        wanted |= ({"images"} if images else set()) | ({"categories"} if categories else set())
        chunk = READ_BYTES if ids else CHUNK_BYTES
        for batch in scan(file, where, wanted, chunk):
            if not batch.is_list:
                continue
            if batch.key == "categories":
                self.categories.take(batch)
                self.listed = [*(self.listed or []), *batch.parse(where)]
            elif batch.key == "images":
                self.images.take(batch)
                self._note_sizes(batch.parse(where))
            else:
                self.annotations.take(batch)
                if ids and len(batch):
                    self._note_ids(batch, where)
        if self._pictures is not None:
            self._look_at(self._pictures)

    def size(self, record: JsonObject) -> tuple[int, int] | None:
        """Return height and width of the image of an annotation, or None; see :meth:`size_of`."""
        return self.size_of(record.get("image_id"))

    def size_of(self, image_id: Any) -> tuple[int, int] | None:
        """Return height and width of an image as it states them, or its picture; None for none."""
        return self._sizes.get(id_key(image_id))

    def _look_at(self, pictures: Path) -> None:
        """Take sizes that the file does not state from pictures."""
        paths = find_pictures(pictures, self._names, set(self._unsized.values()))
        for key, name in self._unsized.items():
            size = picture_size(pictures / paths[name]) if name in paths else (0, 0)
            if valid_size(*size):
                self._sizes.setdefault(key, size)

    def _note_sizes(self, values: list[Any]) -> None:
        if self._pictures is not None:
            self._names += [image_fields(value)[0] for value in values]
            for value in filter(states_no_size, values):
                self._unsized.setdefault(id_key(value.get("id")), image_fields(value)[0])
        plain = _plain_sizes(values)
        if plain is not None:
            for number, size in plain:
                self._sizes.setdefault(number, size)
            return
        for value in values:
            _, height, width, problem = image_fields(value)
            if not problem and valid_size(height, width):
                self._sizes.setdefault(id_key(value.get("id")), (height, width))

    def _note_ids(self, batch: Batch, where: str) -> None:
        ids, images = self._ids(batch, where)
        self.top = max(self.top, int(ids.max(initial=0)))
        if len(self._wanted):
            self.taken |= set(self._wanted[np.isin(self._wanted, ids)].tolist())
        if len(self._named):
            self.found |= set(self._named[np.isin(self._named, images)].tolist())

    def _ids(self, batch: Batch, where: str) -> tuple[IntArray, IntArray]:
        """Return the ids of a batch, and the keys of its images."""
        taken = self._quick.take_list(batch.as_list())
        if taken is not None:
            ids, given = self._quick.ids(taken, "id")
            images, whole = self._quick.ids(taken, "image_id")
            self._quick.drop(taken)
            if taken.count == len(batch) and whole.all():
                return ids[given], images
        values = [one if type(one) is dict else {} for one in batch.parse(where)]
        ids, given = to_integers([one.get("id") for one in values])
        keys = [id_key(one.get("image_id")) for one in values] if len(self._named) else []
        return ids[given], np.array(keys, np.int64)


def _plain_sizes(values: list[Any]) -> Iterable[tuple[int, tuple[int, int]]] | None:
    """Return ids and sizes of images where all are as they should be, else None."""
    try:
        rows = [(one["id"], one["height"], one["width"]) for one in values]
        array = np.array(rows, np.int64).reshape(-1, 3)
    except (TypeError, KeyError, IndexError, ValueError, OverflowError):
        return None
    if (
        set(map(type, chain.from_iterable(rows))) != {int}
        or not is_usable_size(*array[:, 1:].T).all()
    ):
        return None
    return ((number, (height, width)) for number, height, width in rows)
