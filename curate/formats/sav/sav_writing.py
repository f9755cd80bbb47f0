"""Writer of SA-V: masks removed or changed in their frames, masklets added to parallel lists.

A mask that goes leaves SA-V's own empty RLE in its place. A mask that is added is a masklet of its
own, visible in one frame and empty in all others. What the file says of other masklets stays as it
is; of a new one it says what follows from its mask.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO

from curate.errors import CallError
from curate.formats.coco.annotation_edits import mask_literal
from curate.formats.copying import Edit, copy_with_edits
from curate.formats.edits import Addition, Edits, Stored
from curate.formats.json.list_edits import Piece, splice_bytes
from curate.formats.json.object_text import Style
from curate.formats.json.streaming import parse_one
from curate.formats.mask_values import COMPRESSED, MaskValues, empty_counts, kind_of, measure_masks
from curate.formats.new_pixels import refuse_categories, refuse_polygons
from curate.formats.sav.frame_places import FRAMES, Video
from curate.formats.sav.masklets import append_masklets
from curate.formats.segmentation import rle_size, valid_size

_NUMBER = "(0|[1-9][0-9]{0,17})"
_KEY = re.compile(rf"(.*)#/{FRAMES}/{_NUMBER}(?:/{_NUMBER})?", re.DOTALL)

Place = tuple[int, int | None]
"""A frame and a position in it; None for a frame that is no list of masks."""


def write(source: Path, out: Path | None, edits: Edits) -> Stored:
    """Write the source with some masks gone, changed and added; every other byte stays.

    Args:
        source: A JSON file, or a folder with some.
        out: Where to; must not exist. None writes nothing.
        edits: What changes.

    Returns:
        How the new masks were stored.

    Raises:
        CallError: ``out`` exists, a key names nothing, or the format cannot hold what is asked.
        SourceError: A file that changes is broken.
        AuditError: ``out`` cannot be written.
    """
    refuse_categories(edits, str(source))
    refuse_polygons(edits, str(source))
    edits.refuse_attributes(str(source))
    values = MaskValues(edits.masks)
    changed: dict[str, Edit | None] = {
        name: partial(_write_file, asked, values)
        for name, asked in _by_file(edits, str(source)).items()
    }
    copy_with_edits(source, out, changed)
    return values.stored()


@dataclass
class _SavEdits:
    """Edits of one file."""

    drop: dict[Place, str] = field(default_factory=dict)
    change: dict[Place, tuple[str, bytes]] = field(default_factory=dict)
    add: list[tuple[int, Addition]] = field(default_factory=list)


def _by_file(edits: Edits, where: str) -> dict[str, _SavEdits]:
    found: dict[str, _SavEdits] = {}
    for key in edits.drop:
        name, place = _place(key, where, "mask")
        found.setdefault(name, _SavEdits()).drop[place] = key
    for key, change in edits.change.items():
        name, place = _place(key, where, "mask")
        if key in edits.drop:
            raise CallError("a mask cannot be dropped and changed at once", key)
        if change.counts is not None:
            found.setdefault(name, _SavEdits()).change[place] = (key, change.counts)
    for one in edits.add:
        name, (frame, position) = _place(one.image_key, where, "image")
        if position is not None:
            raise CallError(f"{one.image_key} names no image of it", where)
        found.setdefault(name, _SavEdits()).add.append((frame, one))
    return found


def _place(key: str, where: str, what: str) -> tuple[str, Place]:
    found = _KEY.fullmatch(key)
    if not found:
        raise CallError(f"{key} names no {what} of it", where)
    return found[1], (int(found[2]), None if found[3] is None else int(found[3]))


def _write_file(asked: _SavEdits, values: MaskValues, source: Path, target: BinaryIO) -> None:
    wanted = {FRAMES}
    if asked.change:
        wanted |= {"video_height", "video_width"}
    data = source.read_bytes()
    video = Video(data, source.name, None if asked.add else wanted)
    pieces = [*_drop_masks(video, asked), *_change_masks(video, asked, values)]
    if asked.add:
        pieces += append_masklets(video, asked.add, values)
    target.write(splice_bytes(data, sorted(pieces, key=lambda piece: piece[:2])))


def _drop_masks(video: Video, asked: _SavEdits) -> Iterator[Piece]:
    for (frame, position), key in asked.drop.items():
        start, end = video.span(frame, position, key)
        if position is None:
            yield start, end, b"[]"
        else:
            yield start, end, _empty_like(video.data[start:end], start, video.name)


def _empty_like(piece: bytes, at: int, where: str) -> bytes:
    """Return an RLE without pixels of the same size; null where the size is not usable."""
    size = rle_size(parse_one(piece, at, where))
    if size is None or not valid_size(*size):
        return b"null"
    return Style().value({"size": list(size), "counts": empty_counts(*size)}).encode("ascii")


def _change_masks(video: Video, asked: _SavEdits, values: MaskValues) -> Iterator[Piece]:
    keys, counts, spans, olds, sizes = [], [], [], [], []
    for (frame, position), (key, one) in asked.change.items():
        start, end = video.span(frame, position, key)
        old = parse_one(video.data[start:end], start, video.name)
        size = video.size or rle_size(old)
        if position is None or size is None:
            what = "the frame is no list of masks" if position is None else "no size is stated"
            raise CallError(f"{what}, so it cannot be changed", key)
        keys.append(key)
        counts.append(one)
        spans.append((start, end))
        olds.append(old)
        sizes.append(size)
    for i, mask in enumerate(measure_masks(counts, sizes, keys)):
        value = values.value(mask, kind_of(olds[i]) or COMPRESSED, keys[i], video.size is not None)
        literal = mask_literal(video.data[slice(*spans[i])].decode("utf-8"), value, Style())
        yield *spans[i], literal.encode("utf-8")
