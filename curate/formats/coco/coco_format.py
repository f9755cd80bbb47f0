"""COCO instances, LVIS and COCO results lists."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from curate.common.arrays import IntArray
from curate.common.garbage_collection import pause_collector
from curate.dataset.table import MaskTable
from curate.formats.coco.annotation_columns import UNKNOWN_SIZE, Annotations, ImageRows
from curate.formats.coco.coco_writing import LVIS as LVIS_DIALECT
from curate.formats.coco.coco_writing import Dialect, key_prefixes, write
from curate.formats.coco.file_index import (
    LISTED_TWICE,
    READ_BYTES,
    REPEATED,
    UNLISTED,
    CocoIndex,
    build,
    parts,
)
from curate.formats.coco.images_and_categories import (
    category_names,
    image_fields,
    note_sizes,
    pictures,
    states_no_size,
)
from curate.formats.coco.results_images import KnownImages
from curate.formats.format import Format, Part, ReadOptions, convert_read_errors
from curate.formats.json.fast_reader import QuickReader
from curate.formats.json.json_columns import text, whole_number
from curate.formats.json.sniffing import shape_of
from curate.formats.json.streaming import parse_each
from curate.formats.picture_sizes import PictureSizes
from curate.formats.segmentation import json_type
from curate.formats.untouched.json_list_check import check_coco


@dataclass(frozen=True)
class JsonPiece:
    """Some values of the file, as one JSON list.

    Attributes:
        data: The list's bytes.
        rows: (offset, length, ordinal, ...) of each value.
        name: The file's, for messages.
        slices: Each value's bytes; None where they stand in ``data`` as in the file.
    """

    data: bytes
    rows: IntArray
    name: str
    slices: list[bytes] | None

    def parse(self) -> list[Any]:
        """Return the values, parsed by the tolerant parser."""
        try:
            values = orjson.loads(self.data)
            if len(values) == len(self.rows):
                return list(values)
        except orjson.JSONDecodeError:
            pass
        offsets, lengths = self.rows[:, 0].tolist(), self.rows[:, 1].tolist()
        slices = self.slices
        if slices is None:
            base = offsets[0] - 1  # the list's bracket
            pairs = zip(offsets, lengths, strict=True)
            slices = [self.data[at - base : at - base + n] for at, n in pairs]
        return parse_each(slices, offsets, self.name)


def pieces_at(handle: int, name: str, rows: IntArray) -> Iterator[JsonPiece]:
    """Read values at (offset, length, ordinal, ...), some at a time."""
    total = np.cumsum(rows[:, 1])
    first = 0
    while first < len(rows):
        before = int(total[first - 1]) if first else 0
        last = max(int(np.searchsorted(total, before + READ_BYTES)), first + 1)
        yield _piece(handle, name, rows[first:last])
        first = last


def _piece(handle: int, name: str, rows: IntArray) -> JsonPiece:
    if (np.diff(rows[:, 2]) == 1).all():  # neighbours in the file: only commas stand between them
        begin, end = int(rows[0, 0]), int(rows[-1, 0] + rows[-1, 1])
        return JsonPiece(b"[" + os.pread(handle, end - begin, begin) + b"]", rows, name, None)
    slices = [os.pread(handle, n, at) for at, n in rows[:, :2].tolist()]
    return JsonPiece(b"[" + b",".join(slices) + b"]", rows, name, slices)


def plan(source: Path, work: Path) -> Iterator[Part]:
    """Index the file and yield parts of whole images; see :class:`Format`."""
    with pause_collector():
        index = build(source, work)
    yield from parts(index)


def load(source: Path, part: Part, known: bool = False, sized: bool = False) -> MaskTable:
    """Read one part's images and annotations from the file.

    Args:
        source: The file.
        part: The part.
        known: Whether the images are told apart from the file; see :class:`KnownImages`.
        sized: Whether images without a size have that of their picture; see :class:`PictureSizes`.
    """
    folder, first, count, low, high = part.payload
    index = CocoIndex.open(Path(folder))
    with convert_read_errors(source), source.open("rb") as file, pause_collector():
        prefix, image_prefix = key_prefixes(source.name, index.is_list)
        pictures = PictureSizes.open(Path(folder)) if sized else None
        images = _images(file.fileno(), source.name, index, (low, high), image_prefix, pictures)
        listed = index.categories
        if known:
            told = KnownImages.open(Path(folder))
            told.fill(images)
            listed = told.categories
        categories, placeholders = category_names(listed)
        made = Annotations(images, categories, placeholders, need_ids=not index.is_list)
        rows = index.annotations(first, count)
        quick = QuickReader()
        for piece in pieces_at(file.fileno(), source.name, rows):
            positions = piece.rows[:, 3] - low
            keys = number_keys(prefix, piece.rows[:, 2])
            named = index.is_list and b'"file_name"' in piece.data
            if named or not _try_fast_path(quick, made, piece.data, positions, keys):
                values = piece.parse()
                _note_images(made, values, positions)
                if index.is_list:
                    _add_odd_keys(images, values, positions, image_prefix)
                made.add(values, positions, keys)
        spare = None if index.spare_id is None else index.spare_id + rows[:, 2]
        return made.table(spare, index.find_repeated_ids())


def images_of(source: Path, part: Part, sized: bool = False) -> pd.DataFrame:
    """Return the images of a part, without its annotations; see :class:`Format`."""
    folder, _, _, low, high = part.payload
    index = CocoIndex.open(Path(folder))
    with convert_read_errors(source), source.open("rb") as file, pause_collector():
        _, prefix = key_prefixes(source.name, index.is_list)
        pictures = PictureSizes.open(Path(folder)) if sized else None
        images = _images(file.fileno(), source.name, index, (low, high), prefix, pictures)
        return images.frame()


def rings_of(source: Path, part: Part) -> Iterator[tuple[str, list[list[float]]]]:
    """Yield the polygons of a part by source key, as they stand in the file; see :class:`Format`.

    Rings of what is no number, or of fewer than three points, are left to the readers of masks.
    """
    folder, first, count, _, _ = part.payload
    index = CocoIndex.open(Path(folder))
    with convert_read_errors(source), source.open("rb") as file:
        prefix, _ = key_prefixes(source.name, index.is_list)
        for piece in pieces_at(file.fileno(), source.name, index.annotations(first, count)):
            keys = number_keys(prefix, piece.rows[:, 2]).to_pylist()
            for key, value in zip(keys, piece.parse(), strict=True):
                rings = value.get("segmentation") if type(value) is dict else None
                if type(rings) is list and rings and all(map(_is_ring, rings)):
                    yield key, rings


def _is_ring(ring: Any) -> bool:
    usable = type(ring) is list and len(ring) > 5 and len(ring) % 2 == 0
    return usable and all(type(number) in (int, float) for number in ring)


def number_keys(prefix: str | pa.Array, ordinals: IntArray) -> pa.Array:
    """Return source keys: a prefix (one for all, or one a mask) and each mask's number."""
    if isinstance(prefix, str):
        prefix = pa.scalar(prefix, pa.large_string())
    numbers = pc.cast(pa.array(ordinals), pa.large_string())
    return pc.binary_join_element_wise(prefix, numbers, pa.scalar("", pa.large_string()))


def _images(
    handle: int,
    name: str,
    index: CocoIndex,
    part: tuple[int, int],
    prefix: str,
    pictures: PictureSizes | None,
) -> ImageRows:
    """Read the images of a part; those that no image object describes have no size yet."""
    rows = index.images(*part)
    n = len(rows)
    sizes = np.full((n, 2), UNKNOWN_SIZE, np.int64)
    images = ImageRows(rows[:, 0], [""] * n, sizes[:, 0], sizes[:, 1])
    images.listed = (rows[:, 3] != UNLISTED) | index.is_list
    numbers = rows[:, 0].tolist() if index.is_list else []
    images.keys = [f"{prefix}{number}" for number in numbers] or [""] * n
    described = np.flatnonzero(rows[:, 3] != UNLISTED)
    extents = np.stack([rows[described, 1], rows[described, 2], described, described], axis=1)
    for piece in pieces_at(handle, name, extents):
        for i, value in zip(piece.rows[:, 2].tolist(), piece.parse(), strict=True):
            images.names[i], sizes[i, 0], sizes[i, 1], problem = image_fields(value)
            note_sizes(images, value)
            if pictures is not None and states_no_size(value) and pictures.fill(images, i):
                problem = ""
            if problem:
                images.findings.note(i, "invalid_size", problem)
            elif rows[i, 3] != REPEATED and value.get("id") is not None:
                images.keys[i] = f"{prefix}{part[0] + i}"
            if rows[i, 3] in (LISTED_TWICE, REPEATED):
                other = "masks of that id are read with this image"
                other = other if rows[i, 3] == LISTED_TWICE else "masks go to the first of them"
                given = text(value.get("id") if type(value) is dict else None)
                images.findings.note(i, "duplicate_id", f"the id {given} occurs twice; {other}")
    return images


def _add_odd_keys(images: ImageRows, values: list[Any], rows: IntArray, prefix: str) -> None:
    """Note the keys of images that masks of a results list name by something else than a number.

    Their names, too: a mask may bear its image's ``file_name``, and an id that is text is a name.
    """
    for row, value in zip(rows.tolist(), values, strict=True):
        given = value.get("image_id") if type(value) is dict else None
        name = value.get("file_name") if type(value) is dict else None
        for one in (name, given):
            if type(one) is str:
                images.names[row] = images.names[row] or one
        if whole_number(given) is None:
            usable = type(given) in (str, int) or (type(given) is float and math.isfinite(given))
            images.keys[row] = prefix + json.dumps(given) if usable else ""


def _note_images(made: Annotations, values: list[Any], rows: IntArray) -> None:
    """Note annotations whose image is not listed, or whose image id is of the wrong type."""
    listed = made.images.listed
    known = np.ones(len(rows), np.bool_) if listed is None else listed[rows]
    given = [value.get("image_id") if type(value) is dict else 0 for value in values]
    if known.all() and set(map(type, given)) == {int}:
        return
    for i, value in enumerate(given):
        if type(values[i]) is not dict or (known[i] and whole_number(value) is not None):
            continue
        if known[i] and type(value) is str:
            continue  # an image listed by the same text; that ids are text is said once
        # An image listed by the same odd id is known: the mask can be used as it is.
        status = "wrong_type" if known[i] and value is not None else "unknown_image"
        made.findings.note(made.count + i, status, _unknown_image(value))


def _unknown_image(given: object) -> str:
    """Return the fault of an image id that stands for no image."""
    if given is None:
        return "there is no image_id"
    if whole_number(given) is None:
        number = type(given) in (int, float)
        what = f"{text(given)[:40]}, no number of an image" if number else json_type(given)
        return f"the image_id is {what}"
    return f"the image {text(given)[:80]} is not among the images"


def _try_fast_path(
    quick: QuickReader, made: Annotations, data: bytes, rows: IntArray, keys: pa.Array
) -> bool:
    """Append a batch read by the fast reader; False, and nothing is added, if any annotation
    needs the tolerant parser."""
    taken = quick.take_list(data)
    if taken is None:
        return False
    listed, named = made.images.listed, quick.ids(taken, "image_id")[1]
    known = listed is None or bool(listed[rows].all())
    if taken.count == len(rows) and known and named.all() and made.fits(*quick.sizes(taken), rows):
        made.add_columns(quick.columns(), rows, keys)
        return True
    quick.drop(taken)
    return False


def _is_coco(path: Path) -> bool:
    shape = shape_of(path)
    return shape.looks_coco and not shape.looks_lvis


def _is_lvis(path: Path) -> bool:
    shape = shape_of(path)
    return shape.looks_coco and shape.looks_lvis


def _is_results(path: Path) -> bool:
    return shape_of(path).looks_results


def _plan_sized(source: Path, work: Path, pictures: Path) -> Iterator[Part]:
    """Index the file as :func:`plan` does, and find the pictures of images without a size."""
    with pause_collector():
        index = build(source, work)
        rows = index.images(0, index.parts[-1][3])
        rows = rows[rows[:, 3] != UNLISTED]
        places = np.column_stack([rows[:, 1], rows[:, 2], np.arange(len(rows))])
        names: list[str] = []
        unsized: list[str] = []
        with convert_read_errors(source), source.open("rb") as file:
            for piece in pieces_at(file.fileno(), source.name, places):
                for value in piece.parse():
                    names.append(image_fields(value)[0])
                    if states_no_size(value):
                        unsized.append(names[-1])
        PictureSizes.build(pictures, names, unsized, work)
    yield from parts(index)


def _with_sizes(form: Format, dialect: Dialect | None, pictures: Path | None) -> Format:
    if pictures is None:
        return form
    return replace(
        form,
        write=partial(write, dialect=dialect, pictures=pictures),
        plan=partial(_plan_sized, pictures=pictures),
        load=partial(load, sized=True),
        images=partial(images_of, sized=True),
    )


def _configure_coco(options: ReadOptions) -> Format:
    return _with_sizes(FORMAT, None, options.images)


def _configure_lvis(options: ReadOptions) -> Format:
    return _with_sizes(LVIS, LVIS_DIALECT, options.images)


FORMAT = Format(
    "coco",
    "COCO instances",
    _is_coco,
    plan,
    load,
    write,
    configure=_configure_coco,
    check_unedited=check_coco,
    own_ids=True,
    images=images_of,
    rings=rings_of,
    pictures=pictures,
    ignores="crowd",
)
LVIS = Format(
    "lvis",
    "LVIS",
    _is_lvis,
    plan,
    load,
    partial(write, dialect=LVIS_DIALECT),
    configure=_configure_lvis,
    check_unedited=check_coco,
    own_ids=True,
    images=images_of,
    rings=rings_of,
    pictures=pictures,
)


def _plan_known(source: Path, work: Path, options: ReadOptions) -> Iterator[Part]:
    """Index the file as :func:`plan` does, and list the images that it is told of."""
    with pause_collector():
        index = build(source, work)
        KnownImages.build(options, index, work)
    yield from parts(index)


def _configure_results(options: ReadOptions) -> Format:
    if options.annotations is None and options.images is None:
        return RESULTS
    told = partial(_plan_known, options=options)
    return replace(RESULTS, plan=told, load=partial(load, known=True))


RESULTS = Format(
    "coco-results",
    "COCO results list",
    _is_results,
    plan,
    load,
    write,
    configure=_configure_results,
    check_unedited=check_coco,
    own_ids=True,
)
