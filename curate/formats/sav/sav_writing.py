"""Writer of SA-V: masks removed or changed in their frames, masklets added to parallel lists.

A mask that goes leaves SA-V's own empty RLE in its place. A mask that is added is a masklet of its
own, visible in one frame and empty in all others. What the file says of other masklets stays as it
is; of a new one it says what follows from its mask.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from curate.errors import CallError
from curate.formats.coco.annotation_edits import mask_literal, match_number_type, measure_additions
from curate.formats.copying import Edit, copy_with_edits
from curate.formats.edits import Addition, Edits, Stored
from curate.formats.json.byte_edits import Elements, JsonObject, Piece, Style, splice_bytes
from curate.formats.json.json_columns import whole_number
from curate.formats.json.streaming import parse_one
from curate.formats.mask_values import (
    COMPRESSED,
    MaskValues,
    NewMask,
    empty_counts,
    kind_of,
    measure_masks,
)
from curate.formats.new_pixels import refuse_categories, refuse_polygons
from curate.formats.sav.frame_places import FRAMES, Span, Video, frame_key
from curate.formats.segmentation import rle_size, valid_size

_NUMBER = "(0|[1-9][0-9]{0,17})"
_KEY = re.compile(rf"(.*)#/{FRAMES}/{_NUMBER}(?:/{_NUMBER})?", re.DOTALL)

Place = tuple[int, int | None]
"""A frame and a position in it; None for a frame that is no list of masks."""

_SCORES = "masklet_stability_score"
_SMALL, _MEDIUM = 32**2, 96**2


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
    return values.count_stored()


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


def append_masklets(
    video: Video, add: Sequence[tuple[int, Addition]], values: MaskValues
) -> list[Piece]:
    """Work out what to put where so that a file has some masklets more.

    Raises:
        CallError: There is no such frame, a frame is no list of masks, or a mask is not of the
            video's size.
    """
    _check(video, add)
    masks = [mask for _, mask in measure_additions([one for _, one in add])]
    ids = video.lists.get("masklet_id")
    found = [items for t in range(len(video.frames)) if (items := video.items(t)) is not None]
    before = max(0 if ids is None else len(ids.values), *(len(spans) for _, spans in found))
    style = _style(video)
    rles = [
        style.value(values.value(mask, COMPRESSED, one.image_key, video.size is not None))
        for mask, (_, one) in zip(masks, add, strict=True)
    ]
    empty = [
        style.value({"size": [m.height, m.width], "counts": empty_counts(m.height, m.width)})
        for m in masks
    ]
    pieces = []
    for t in range(len(video.frames)):
        made = [rles[i] if frame == t else empty[i] for i, (frame, _) in enumerate(add)]
        pieces += _into_frame(video, t, made, empty[0], before)
    return pieces + _into_lists(video, [frame for frame, _ in add], masks, before)


def _check(video: Video, add: Sequence[tuple[int, Addition]]) -> None:
    for frame, one in add:
        if frame >= len(video.frames):
            raise CallError(f"{one.image_key} names no image of it", video.name)
        if video.size not in (None, (one.height, one.width)):
            what = f"the added mask is {one.width} x {one.height}, and the video is not"
            raise CallError(what, one.image_key)
    for t in range(len(video.frames)):
        if video.items(t) is None:
            what = "a frame of it is no list of masks, so no masklet can be added"
            raise CallError(what, frame_key(video.name, t), "mend the frame first")


def _style(video: Video) -> Style:
    """Return how the first RLE is written."""
    for t, (start, _) in enumerate(video.frames):
        found = video.items(t)
        for first, end in [] if found is None else found[1][:1]:
            data = video.data[start + first : start + end]
            if data.startswith(b"{"):
                return JsonObject(data, start + first, video.name).style
    return Style()


def _into_frame(video: Video, frame: int, made: list[str], empty: str, before: int) -> list[Piece]:
    """Return the text to append to a frame, filled up to as many masks as the others have."""
    found = video.items(frame)
    missing = 0 if found is None else before - len(found[1])
    return _into_inner(video, video.frames[frame], found, [empty] * missing + made)


def _into_inner(
    video: Video, span: Span, found: tuple[Elements, list[Span]] | None, made: list[str]
) -> list[Piece]:
    """Return the text to append to a list inside another."""
    if found is None:
        return []
    start, end = span
    file = io.BytesIO(video.data[start:end])
    pieces = found[0].append_elements(file, [one.encode("utf-8") for one in made])
    return [(first + start, last + start, text) for first, last, text in pieces]


def _into_lists(
    video: Video, frames: Sequence[int], masks: Sequence[NewMask], before: int
) -> list[Piece]:
    """Return the text to append to the lists beside the frames, one value a masklet."""
    pieces: list[Piece] = []
    for key, listed in video.lists.items():
        values = listed.values
        if key == _SCORES and values and all(type(one) is list for one in values):
            for span, scores in zip(listed.spans, values, strict=True):
                nothing = ["null"] * (before - len(scores) + len(frames))
                if len(scores) <= before:
                    pieces += _into_inner(video, span, video.inside(span), nothing)
        elif key.startswith("masklet_") and (len(values) == before or 0 < len(values) < before):
            last = values[-1] if values else None
            made = [None] * (before - len(values))
            made += [match_number_type(last, one) for one in _statistic(key, video, frames, masks)]
            texts = [Style().value(one).encode("utf-8") for one in made]
            pieces += listed.elements.append_elements(io.BytesIO(video.data), texts)
    span, number = video.values.get("masklet_num", ((0, 0), None))
    if whole_number(number) is not None:
        total = match_number_type(number, int(number) + len(frames))
        pieces.append((*span, Style().value(total).encode("utf-8")))
    return pieces


def _statistic(
    key: str, video: Video, frames: Sequence[int], masks: Sequence[NewMask]
) -> list[Any]:
    """Return a list's value for masklets drawn by hand in one frame; None where unknown."""
    count = len(video.frames)
    known: dict[str, list[Any]] = {
        "masklet_id": _free_ids(video, len(frames)),
        "masklet_size_rel": [m.area / (m.height * m.width) for m in masks],
        "masklet_size_abs": [float(m.area) for m in masks],
        "masklet_size_bucket": [_bucket(m.area) for m in masks],
        "masklet_visibility_changes": [int(frame + 1 < count) for frame in frames],
        "masklet_first_appeared_frame": list(frames),
        "masklet_frame_count": [count] * len(frames),
        "masklet_edited_frame_count": [1] * len(frames),
        "masklet_type": ["manual"] * len(frames),
    }
    return known.get(key, [None] * len(frames))


def _bucket(area: int) -> str:
    if area < _SMALL:
        return "small"
    return "medium" if area < _MEDIUM else "large"


def _free_ids(video: Video, n: int) -> list[int]:
    """Return ids above all others; where one has none, its position stands for it."""
    listed = video.lists.get("masklet_id")
    values = [] if listed is None else listed.values
    ids = [whole_number(one) for one in values]
    top = max([-1, *(j if one is None else one for j, one in enumerate(ids))])
    return [top + 1 + i for i in range(n)]
