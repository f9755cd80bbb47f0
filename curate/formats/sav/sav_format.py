"""SA-V masklets: a JSON file a video, ``sav_000001_manual.json`` or ``..._auto.json``.

Facts, from the dataset's own documentation and files: ``masklet`` is a list of frames, each a list
with one RLE an object, in the order of ``masklet_id``; videos have 24 frames a second and every
fourth is annotated; where an object is not visible its RLE is empty, not absent. Stability scores
stand per frame and object in automatic files, and null in manual ones.

What this means here: an image is a frame; ``file_name`` is ``sav_000001/00012.jpg`` with the
number that the frame has in the video, as the dataset's own extracted frames are called. A mask is
an object in a frame in which it is visible; an empty or missing RLE is an absent object and no
mask. ``track_id`` is the masklet's id. Pruning puts SA-V's own empty RLE in the place of a dropped
mask, so that all the parallel lists stay valid, and leaves the video's statistics as they are. A
mask that is added is a new masklet of one frame.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from curate import rle
from curate.dataset.table import MaskTable, concat
from curate.errors import CurateError, SourceError
from curate.formats.copying import files_under
from curate.formats.format import PART_BYTES, Format, Part, convert_read_errors
from curate.formats.json.streaming import parse_document
from curate.formats.sav.frame_places import frame_key, stated_size
from curate.formats.sav.sav_writing import write
from curate.formats.segmentation import (
    Segmentation,
    json_type,
    read_segmentation,
    rle_size,
    valid_size,
)
from curate.formats.table_builder import TableBuilder, common_size, number, parts_of, with_problems
from curate.formats.untouched.sam_check import check_sav

FRAME_STEP = 4
"""Frames of the video from one annotated frame to the next."""

_HEAD = 1 << 16
_LOOK = 2000  # how many JSON files of a folder are looked at to tell the format


def matches(path: Path) -> bool:
    """Return whether a file, or a JSON file in a folder, begins like SA-V's."""
    try:
        if path.is_file():
            return _looks_right(path)
        named = files_under(path, ".json") if path.is_dir() else iter(())
        return any(_looks_right(path / name) for name, _ in islice(named, _LOOK))
    except (CurateError, OSError, ValueError):
        return False


def plan(source: Path, work: Path) -> Iterator[Part]:
    """Group videos into parts."""
    if source.is_file():
        yield Part(0, (source.name,))
        return
    named = ((n, size) for n, size in files_under(source, ".json") if _looks_right(source / n))
    found = parts_of(named, PART_BYTES)
    first = next(found, None)
    if first is None:
        raise SourceError("there is no SA-V JSON in it", str(source), "give the folder of it")
    yield first
    yield from found


def load(source: Path, part: Part) -> MaskTable:
    """Read the masks of some videos."""
    tables = []
    for name in part.payload:
        path = source if source.is_file() else source / name
        with convert_read_errors(path):
            document = parse_document(path.read_bytes(), name)
        table = _Video(document, name).table()
        # An empty RLE says that the object is not in the frame: no mask, and no defect either.
        visible = (table.masks["status"] != "empty").to_numpy(bool)
        tables.append(table if visible.all() else table[visible])
    return concat(tables)


def _looks_right(path: Path) -> bool:
    with open(path, "rb") as file:
        head = file.read(_HEAD)
    bare = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not bare.startswith(b"{"):
        return False
    return bool(re.search(rb'"masklet"\s*:\s*\[\s*[\[\]]', bare)) or (
        b'"video_id"' in bare and b'"masklet' in bare
    )


class _Video:
    """One file, checked as it is read."""

    def __init__(self, document: Any, name: str) -> None:
        self.name = name
        self.document = document if isinstance(document, dict) else {}
        frames = self.document.get("masklet")
        if not isinstance(frames, list):
            what = f"masklet is {json_type(frames)}, not a list of frames"
            raise SourceError(what, name, "check that it is an SA-V file")
        self.frames: list[Any] = frames
        self.scores = self._list("masklet_stability_score")
        self.ids = self._list("masklet_id")
        self.size = self._size()

    def _list(self, key: str) -> list[Any]:
        value = self.document.get(key)
        return value if isinstance(value, list) else []

    def _size(self) -> tuple[int, int]:
        stated = stated_size(*(self.document.get(f"video_{side}") for side in ("height", "width")))
        if stated is not None:
            return stated
        listed = (frame for frame in self.frames if isinstance(frame, list))
        return common_size(rle_size(one) for frame in listed for one in frame) or (0, 0)

    def _frame_number(self, frame: int) -> int:
        """Return a frame's number in the video."""
        total = self.document.get("video_frame_count")
        last = (len(self.frames) - 1) * FRAME_STEP
        # A copy whose frames are all annotated cannot have left three of four out.
        if isinstance(total, int | float) and last >= total:
            return frame
        return frame * FRAME_STEP

    def table(self) -> MaskTable:
        """Return all frames and their masks, empty ones included."""
        rows = TableBuilder()
        video = self.document.get("video_id")
        absent = _absent(self.frames)
        video = video if isinstance(video, str) else re.sub(r"_(manual|auto)$", "", self._stem())
        can_grow = self.size > (0, 0) and all(isinstance(frame, list) for frame in self.frames)
        for t, frame in enumerate(self.frames):
            key = frame_key(self.name, t)
            name = f"{video}/{self._frame_number(t):05d}.jpg"
            image = rows.image(name, self.size, source_key=key if can_grow else "")
            if not isinstance(frame, list):
                detail = f"the frame is {json_type(frame)}, not a list of masks"
                rows.mask(key, image, Segmentation(None, "wrong_type", detail))
                continue
            for j, value in enumerate(frame):
                if value is not None and (t, j) not in absent:
                    self._mask(rows, image, (t, j), value)
        return rows.table()

    def _stem(self) -> str:
        return self.name.rpartition("/")[2].rpartition(".")[0]

    def _mask(self, rows: TableBuilder, image: int, place: tuple[int, int], value: Any) -> None:
        t, j = place
        scores = self.scores[t] if t < len(self.scores) else None
        score = scores[j] if isinstance(scores, list) and j < len(scores) else None
        stability, problem = number(score, "the stability score")
        mask = with_problems(read_segmentation(value, *self.size), [problem])
        track = self.ids[j] if j < len(self.ids) else j
        whole = type(track) is int and abs(track) < 2**62
        optional = {"stability_score": stability, "track_id": track if whole else j}
        key = f"{frame_key(self.name, t)}/{j}"
        rows.mask(key, image, mask, None, optional)


def _absent(frames: list[Any]) -> set[tuple[int, int]]:
    """Return (frame, position) of every RLE without a pixel, whatever size it states."""
    found = [
        (t, j, value["counts"].encode("ascii", "replace"), size)
        for t, frame in enumerate(frames)
        if isinstance(frame, list)
        for j, value in enumerate(frame)
        if isinstance(value, dict) and isinstance(value.get("counts"), str)
        if (size := rle_size(value)) and valid_size(*size)
    ]
    counts = [one[2] for one in found]
    sizes = np.array([one[3] for one in found], np.int64).reshape(-1, 2)
    runs, codes = rle.decode_counts(counts, sizes[:, 0], sizes[:, 1])
    empty = (codes == 0) & (rle.area(runs) == 0)
    return {(found[i][0], found[i][1]) for i in np.flatnonzero(empty).tolist()}


FORMAT = Format("sav", "SA-V masklets", matches, plan, load, write, check_unedited=check_sav)
