"""New masklets of an SA-V file: one value more in each of its parallel lists."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from curate.errors import CallError
from curate.formats.coco.annotation_edits import match_number_type, measure_additions
from curate.formats.edits import Addition
from curate.formats.json.json_columns import whole_number
from curate.formats.json.list_edits import Elements, Piece
from curate.formats.json.object_text import JsonObject, Style
from curate.formats.mask_values import COMPRESSED, MaskValues, NewMask, empty_counts
from curate.formats.sav.frame_places import Span, Video, frame_key

_SCORES = "masklet_stability_score"
_SMALL, _MEDIUM = 32**2, 96**2


def append_masklets(
    video: Video, add: Sequence[tuple[int, Addition]], values: MaskValues
) -> list[Piece]:
    """Work out what to put where so that a file has some masklets more.

    Args:
        video: Where things stand in the file, under all its keys.
        add: The frame of each new masklet, and its mask there.
        values: Makes the segmentations.

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
    pieces = found[0].appended(file, [one.encode("utf-8") for one in made])
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
            pieces += listed.elements.appended(io.BytesIO(video.data), texts)
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
