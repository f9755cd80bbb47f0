"""SA-1B: one JSON an image, in a folder, alone, or in tar archives that are read as streams."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from curate.archives import tar_stream
from curate.common.archive_kinds import GZIP, archive_kind
from curate.common.arrays import IntArray
from curate.common.garbage_collection import pause_collector
from curate.dataset.table import MaskTable
from curate.errors import SourceError
from curate.formats.coco.annotation_columns import Annotations, ImageRows
from curate.formats.coco.coco_format import number_keys
from curate.formats.coco.images_and_categories import image_fields, note_sizes
from curate.formats.format import PART_BYTES, Format, Part, convert_read_errors
from curate.formats.json.fast_reader import QuickReader
from curate.formats.json.json_columns import id_key, whole_number
from curate.formats.json.sniffing import HEAD_BYTES, shape_of, shape_of_bytes
from curate.formats.json.streaming import parse_document
from curate.formats.sa1b.sa1b_files import (
    Document,
    containers,
    contents,
    dataset_files,
    is_archive,
    pictures,
)
from curate.formats.sa1b.sa1b_writing import MARK, write
from curate.formats.segmentation import json_type
from curate.formats.untouched.sam_check import check_sa1b

_LOOKED_AT = 20_000
_LOOKED_AT_BYTES = 1 << 28
_BATCH_MASKS = 1000


def plan(source: Path, work: Path) -> Iterator[Part]:
    """Yield parts of about :data:`PART_BYTES` of JSON; see :class:`Format`."""
    index = 0
    with convert_read_errors(source):
        if not source.exists():
            raise FileNotFoundError
        for container, pieces in containers(source):
            for group in _group(pieces):
                yield Part(index, (container, tuple(group)))
                index += 1
    if index == 0:
        what = "it holds no JSON file of SA-1B"
        raise SourceError(what, str(source), "name the folder, JSON or tar archive that does")


def load(source: Path, part: Part) -> MaskTable:
    """Read the images of one part."""
    container, pieces = part.payload
    reader = _Sa1bReader()
    alone = source.is_file() and not container
    with convert_read_errors(source), pause_collector():
        for name, data in contents(source, container, pieces):
            reader.take(name, data, alone)
        return reader.table()


class _Sa1bReader:
    """Collects the documents of a part.

    Masks wait in ``quick`` or, parsed, in ``records``, never in both, so their order is kept.
    """

    def __init__(self) -> None:
        nothing = np.empty(0, np.int64)
        self.images = ImageRows(nothing, [], nothing, nothing)
        self.made = Annotations(self.images)
        self.quick = QuickReader()
        self.records: list[Any] = []
        self.ids: dict[int, str] = {}
        self.sizes: list[tuple[int, int]] = []
        self.names: list[str] = []
        self.waiting: list[tuple[int, int]] = []

    def take(self, name: str, data: bytes, alone: bool) -> None:
        """Take in one JSON file; a broken one is a finding, unless it is the whole source."""
        count = self._try_fast_path(name, data)
        if count is None:
            self._flush_quick()
            count = self._take_tolerantly(name, data, alone)
        self.names.append(name + MARK)
        self.waiting.append((len(self.sizes) - 1, count))
        if self.quick.count + len(self.records) >= _BATCH_MASKS:
            self._flush()

    def table(self) -> MaskTable:
        """Return everything taken in."""
        self._flush()
        self._settle_images()
        return self.made.table()

    def _try_fast_path(self, name: str, data: bytes) -> int | None:
        """Take in a file of which nothing needs a closer look; return its number of masks."""
        taken = self.quick.take_document(data)
        if taken is None:
            return None
        heights, widths = self.quick.sizes(taken)
        try:
            image = orjson.loads(data[slice(*taken.image)])
        except orjson.JSONDecodeError:
            image = None
        _, height, width, wrong = image_fields(image)
        sized = not wrong and height > 0
        if not (sized and (heights == height).all() and (widths == width).all()):
            self.quick.drop(taken)
            return None
        if self.records:
            self._flush_records()
        self._add_image(image, name, None)
        return taken.count

    def _take_tolerantly(self, name: str, data: bytes, alone: bool) -> int:
        try:
            image, annotations = _document(data, name)
        except SourceError as error:
            if alone:
                raise
            cut = "truncated" if "cut off" in error.what else "unreadable"
            self._add_image({}, name, (cut, f"{error}"))
            return 0
        self._add_image(image, name, None)
        self.records += annotations
        return len(annotations)

    def _add_image(
        self, image: dict[str, object], name: str, problem: tuple[str, str] | None
    ) -> None:
        row = len(self.sizes)
        file_name, height, width, wrong = image_fields(image)
        number = whole_number(image.get("image_id", image.get("id")))
        key = id_key(["file", name]) if number is None else number
        if key in self.ids:
            detail = f"the image id {key} is that of {self.ids[key]} too"
            self.images.findings.note(row, "duplicate_id", detail)
            key = id_key(["file", name])
        while key in self.ids:  # the same name twice in one archive
            key -= 1
        self.ids[key] = name
        self.sizes.append((height, width))
        self.images.names.append(file_name)
        self.images.keys.append("" if problem or wrong else name)
        note_sizes(self.images, image)
        if problem:
            self.images.findings.note(row, *problem)
        elif wrong:
            self.images.findings.note(row, "invalid_size", wrong)

    def _flush(self) -> None:
        self._flush_quick()
        self._flush_records()

    def _flush_quick(self) -> None:
        if self.quick.count:
            rows, keys = self._waiting()
            self.made.add_columns(self.quick.columns(), rows, keys)

    def _flush_records(self) -> None:
        if self.records:
            rows, keys = self._waiting()
            self._settle_images()
            self.made.add(self.records, rows, keys)
            self.records = []

    def _waiting(self) -> tuple[IntArray, pa.Array]:
        """Return image positions and source keys of the masks that wait, and forget them."""
        rows, times = np.array(self.waiting, np.int64).T
        which = np.repeat(np.arange(len(times)), times)
        numbers = np.arange(len(which)) - (np.cumsum(times) - times)[which]
        prefixes = pa.array(self.names, pa.large_string()).take(pa.array(which))
        self.names, self.waiting = [], []
        return rows[which], number_keys(prefixes, numbers)

    def _settle_images(self) -> None:
        self.images.ids = np.fromiter(self.ids, np.int64, len(self.ids))
        sizes = np.array(self.sizes, np.int64).reshape(-1, 2)
        self.images.heights, self.images.widths = sizes[:, 0].copy(), sizes[:, 1].copy()


def _document(data: bytes, name: str) -> tuple[dict[str, object], list[Any]]:
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        value = parse_document(data, name)
    if type(value) is not dict:
        raise SourceError(f"it is {json_type(value)}, not an object", name)
    image, annotations = value.get("image"), value.get("annotations")
    if type(annotations) is not list:
        raise SourceError(f"its annotations are {json_type(annotations)}, not a list", name)
    return (image if type(image) is dict else {}), annotations


def _group(pieces: Iterable[Document]) -> Iterator[list[Document]]:
    group: list[Document] = []
    size = 0
    for piece in pieces:
        if group and size + piece[2] > PART_BYTES:
            yield group
            group, size = [], 0
        group.append(piece)
        size += piece[2]
    if group:
        yield group


def _holds_sa1b(path: Path) -> bool:
    """Return whether an archive's first JSON file is an SA-1B record."""
    try:
        with path.open("rb") as file:
            if file.read(2) == b"\x1f\x8b":
                return True
            for member in islice(tar_stream.members(file, path.name), _LOOKED_AT):
                if member.regular and member.name.lower().endswith(".json"):
                    head = os.pread(file.fileno(), min(member.size, HEAD_BYTES), member.data)
                    return shape_of_bytes(head).looks_sa1b
    except (OSError, SourceError):
        return path.suffix.lower() == ".tar"
    return False


def _matches(path: Path) -> bool:
    if path.is_file():
        if archive_kind(path) == GZIP:  # it is unpacked, whatever is in it
            return False
        return _holds_sa1b(path) if is_archive(path) else shape_of(path).looks_sa1b
    if not path.is_dir():
        return False
    looked = 0
    try:
        for one in islice(dataset_files(path), _LOOKED_AT):
            lowered = one.name.lower()
            if lowered.endswith((".tar", ".tar.gz", ".tgz")) and one.is_file():
                return _holds_sa1b(one)
            if lowered.endswith(".json") and one.is_file():
                if shape_of(one).looks_sa1b:
                    return True
                looked += min(one.stat().st_size, HEAD_BYTES)
                if looked > _LOOKED_AT_BYTES:
                    return False
    except OSError:
        return False
    return False


FORMAT = Format(
    "sa1b",
    "SA-1B",
    _matches,
    plan,
    load,
    write,
    check_unedited=check_sa1b,
    own_ids=True,
    pictures=pictures,
)
