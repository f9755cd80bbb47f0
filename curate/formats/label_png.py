"""PNGs in which a pixel's value is the id of its instance: each value but 0 is one mask.

Gray of 1 to 16 bits and palette indexes are ids as they are; of 8-bit colour the id is
R + 256 G + 65536 B, as in COCO's panoptic PNGs, and alpha is not looked at. The source is one such
PNG, or a folder of them: its subfolder ``masks`` or ``labels`` where it has one, else all of it
but a subfolder ``images``. Pixels of masks that are dropped on writing become 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import cast

import numpy as np

from curate import rle
from curate.errors import CurateError, SourceError
from curate.formats.base import Format, Part
from curate.formats.edits import Edits, Stored
from curate.formats.label_png_writing import by_png, refuse_clashes
from curate.formats.new_pixels import (
    Tally,
    refuse_categories,
    refuse_polygons,
)
from curate.formats.png import (
    Header,
    PictureProblem,
    read_header,
    read_pixels,
)
from curate.formats.png_id_masks import MAX_COLOR_IDS, ids_of, is_id_kind, read_ids
from curate.formats.rows import Rows, parts_of, plain
from curate.formats.segmentation import Segmentation
from curate.formats.trees import Edit, copy_with_edits, files_under
from curate.formats.unedited.pngs import check_label_png
from curate.table import MaskTable

_LOOK = 3  # how many PNGs are looked at to tell the format
_LOOK_PIXELS = 30_000_000  # and of what size at most
_PART_BYTES = 1_000_000  # of PNG; ids pack some hundred times
_FILE_COST = 8_192  # what opening a file costs, in bytes of PNG
_SUBFOLDERS = ("masks", "labels")
_IMAGES = "images/"


def matches(path: Path) -> bool:
    """Return whether the first PNGs of a path look like ids: few values, in patches."""
    try:
        if path.is_file():
            return _looks_like_ids(path)
        if not path.is_dir() or (path / "metadata.csv").exists():
            return False
        first = list(islice(_names(path), _LOOK))
        return bool(first) and all(_looks_like_ids(path / name) for name, _ in first)
    except (CurateError, OSError, ValueError):
        return False


def plan(source: Path, work: Path) -> Iterator[Part]:
    """Group PNGs into parts."""
    if source.is_file():
        yield Part(0, (source.name,))
        return
    named = _names(source)
    found = parts_of(((name, size + _FILE_COST) for name, size in named), _PART_BYTES)
    first = next(found, None)
    if first is None:
        raise SourceError("there is no PNG in it", str(source), "give the folder of the PNGs")
    yield first
    yield from found


def load(source: Path, part: Part) -> MaskTable:
    """Read the masks of some PNGs; one that cannot be read is an image without masks."""
    rows = Rows()
    for name in part.payload:
        path = source if source.is_file() else source / name
        header: Header | None = None
        try:
            header = read_header(path)
            ids, runs, _ = read_ids(path, header)
        except PictureProblem as problem:
            status = "invalid_size" if problem.status == "invalid_size" else "unreadable"
            size = header.size if header else (0, 0)
            rows.image(name, size, status, problem.detail, named_by_place=path == source)
            continue
        image = rows.image(name, header.size, source_key=name, named_by_place=path == source)
        counts = rle.encode(runs).to_pylist()
        for value, one in zip(ids.tolist(), counts, strict=True):
            rows.mask(f"{name}#{value}", image, Segmentation(cast(bytes, one)), value)
    return rows.table()


def write(source: Path, out: Path | None, edits: Edits) -> Stored:
    """Copy with other ids for the pixels of masks that go, change or come.

    PNGs of which no mask does stay byte for byte.
    """
    edits.refuse_attributes(str(source))
    refuse_categories(edits, str(source))
    refuse_polygons(edits, str(source))
    names = [source.name] if source.is_file() else (name for name, _ in _names(source))
    paths = {plain(n): source if source.is_file() else source / n for n in names}
    files, tally = by_png(source, edits, paths), Tally()
    if edits.overlap is None:
        refuse_clashes(source, files.values())
    changes: dict[str, Edit | None] = {
        name: partial(mine.write, overlap=edits.overlap, tally=tally)
        for name, mine in files.items()
    }
    copy_with_edits(source, out, changes)
    return tally.stored()


def _names(source: Path) -> Iterator[tuple[str, int]]:
    below = next((name for name in _SUBFOLDERS if (source / name).is_dir()), "")
    for name, size in files_under(source, ".png", below):
        if not name.lower().startswith(_IMAGES):
            yield name, size


def _looks_like_ids(path: Path) -> bool:
    try:
        header = read_header(path)
        if header.height * header.width > _LOOK_PIXELS or not is_id_kind(header):
            return False
        pixels, _ = read_pixels(path, header)
    except PictureProblem:
        return False
    ids = ids_of(header)(pixels)
    if ids.shape[0] < 2 or ids.size < 16:
        return True
    # In a photo most neighbours differ; among ids only those at outlines do.
    changes = np.count_nonzero(ids[1:] != ids[:-1]) / ids[1:].size
    return bool(changes < 0.25) and len(np.unique(ids)) <= MAX_COLOR_IDS


FORMAT = Format(
    "label-png", "PNGs of instance ids", matches, plan, load, write, check_unedited=check_label_png
)
