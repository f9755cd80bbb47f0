"""PNGs in which a pixel's value is the id of its instance: each value but 0 is one mask.

Gray of 1 to 16 bits and palette indexes are ids as they are; of 8-bit colour the id is
R + 256 G + 65536 B, as in COCO's panoptic PNGs, and alpha is not looked at. The source is one such
PNG, or a folder of them: its subfolder ``masks`` or ``labels`` where it has one, else all of it
but a subfolder ``images``. Masks dropped on pruning become 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from curate import rle
from curate.errors import CallError, CurateError, SourceError
from curate.formats.base import Format, Part, dropping
from curate.formats.png import (
    GRAY,
    PALETTE,
    RGB,
    Header,
    PictureProblem,
    read_header,
    read_pixels,
)
from curate.formats.png_ids import CHANNELS, blank_ids
from curate.formats.rows import Rows, parts_of, plain
from curate.formats.segmentation import Segmentation
from curate.formats.trees import Edit, copy_with_edits, files_under
from curate.rle import Runs
from curate.table import MaskTable

MAX_COLOR_IDS = 65_535
"""More different colours than this are a picture, not ids."""

_LOOK = 3  # how many PNGs are looked at to tell the format
_LOOK_PIXELS = 30_000_000  # and of what size at most
_STRIP_PIXELS = 1 << 22  # pixels turned into runs at a time
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
            ids, runs = _read_ids(path, header)
        except PictureProblem as problem:
            status = "invalid_size" if problem.status == "invalid_size" else "unreadable"
            rows.image(name, header.size if header else (0, 0), status, problem.detail)
            continue
        image = rows.image(name, header.size)
        counts = rle.encode(runs).to_pylist()
        for value, one in zip(ids.tolist(), counts, strict=True):
            rows.mask(f"{name}#{value}", image, Segmentation(cast(bytes, one)), value)
    return rows.table()


def prune(source: Path, out: Path, drop: AbstractSet[str]) -> None:
    """Copy with the pixels of dropped masks set to 0; other PNGs stay byte for byte."""
    values: dict[str, set[int]] = {}
    for key in drop:
        name, _, value = key.rpartition("#")
        if not name or not value.isascii() or not value.isdigit():
            raise CallError(f"{key} names no mask of it", str(source))
        values.setdefault(name, set()).add(int(value))
    edits: dict[str, Edit | None] = {plain(n): partial(blank_ids, v) for n, v in values.items()}
    copy_with_edits(source, out, edits)


def _names(source: Path) -> Iterator[tuple[str, int]]:
    below = next((name for name in _SUBFOLDERS if (source / name).is_dir()), "")
    for name, size in files_under(source, ".png", below):
        if not name.lower().startswith(_IMAGES):
            yield name, size


def _looks_like_ids(path: Path) -> bool:
    try:
        header = read_header(path)
        if header.height * header.width > _LOOK_PIXELS or not _is_id_kind(header):
            return False
        pixels, _ = read_pixels(path, header)
    except PictureProblem:
        return False
    ids = _ids_of(header)(pixels)
    if ids.shape[0] < 2 or ids.size < 16:
        return True
    # In a photo most neighbours differ; among ids only those at outlines do.
    changes = np.count_nonzero(ids[1:] != ids[:-1]) / ids[1:].size
    return bool(changes < 0.25) and len(np.unique(ids)) <= MAX_COLOR_IDS


def _is_id_kind(header: Header) -> bool:
    if header.color in (GRAY, PALETTE):
        return True
    return header.color in CHANNELS and header.depth == 8


def _read_ids(path: Path, header: Header) -> tuple[npt.NDArray[np.int64], Runs]:
    """Read the masks of one PNG.

    Returns:
        The ids in ascending order, and their masks.

    Raises:
        PictureProblem: It is broken, or no picture of ids.
    """
    if not _is_id_kind(header):
        detail = f"a colour PNG of {header.depth} bits a channel holds no instance ids"
        raise PictureProblem("undecodable", detail)
    pixels, _ = read_pixels(path, header)
    return _label_runs(pixels, _ids_of(header))


def _ids_of(header: Header) -> Callable[[npt.NDArray[Any]], npt.NDArray[Any]]:
    """Return what turns decoded pixels into ids."""
    if header.color >= RGB and CHANNELS[header.color] >= 3:
        return lambda pixels: pixels[..., :3] @ np.array([1, 256, 65536], np.int32)
    if CHANNELS[header.color] == 2:
        return lambda pixels: pixels[..., 0]
    if header.color == GRAY and header.depth in (2, 4):
        scale = 255 // (2**header.depth - 1)  # decoding stretches them to 8 bits
        return lambda pixels: pixels // scale
    return lambda pixels: pixels


def _label_runs(
    pixels: npt.NDArray[Any], ids_of: Callable[[npt.NDArray[Any]], npt.NDArray[Any]]
) -> tuple[npt.NDArray[np.int64], Runs]:
    """Turn pixels into one mask an id, a strip of columns at a time to bound memory."""
    height, width = pixels.shape[:2]
    step = max(1, _STRIP_PIXELS // height)
    owners, starts, ends = [], [], []
    seen = np.zeros(0, np.int64)
    for x in range(0, width, step):
        ids, runs = rle.from_label_image(ids_of(pixels[:, x : x + step]))
        seen = np.union1d(seen, ids)
        if len(seen) > MAX_COLOR_IDS:
            detail = f"it has over {MAX_COLOR_IDS} different values: it is no picture of ids"
            raise PictureProblem("undecodable", detail)
        owners.append(np.repeat(ids, np.diff(runs.offsets)))
        starts.append(runs.starts.astype(np.int64) + x * height)
        ends.append(runs.ends.astype(np.int64) + x * height)
    owner, start, end = map(np.concatenate, (owners, starts, ends))
    order = np.lexsort((start, owner))
    owner, start, end = owner[order], start[order], end[order]
    # A run that goes on in the next strip was cut in two.
    apart = (owner[1:] != owner[:-1]) | (start[1:] != end[:-1])
    first, last = np.append(True, apart)[: len(start)], np.append(apart, True)[: len(start)]
    found, counts = np.unique(owner[first], return_counts=True)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    sizes = np.full(len(found), height, np.int32), np.full(len(found), width, np.int32)
    return found, Runs(offsets, start[first].astype(np.int32), end[last].astype(np.int32), *sizes)


FORMAT = Format("label-png", "PNGs of instance ids", matches, plan, load, dropping(prune))
