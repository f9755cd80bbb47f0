"""Byte ranges of the frames, masks and lists of an SA-V file."""

from __future__ import annotations

import io
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from curate.common.json_values import is_finite_number
from curate.errors import CallError
from curate.formats.json.byte_edits import Elements
from curate.formats.json.streaming import Batch, scan
from curate.formats.segmentation import valid_size

FRAMES = "masklet"
"""The key of the list of frames."""

Span = tuple[int, int]


def frame_key(name: str, frame: int) -> str:
    """Return the source key of a frame of a file."""
    return f"{name}#/{FRAMES}/{frame}"


def stated_size(height: Any, width: Any) -> tuple[int, int] | None:
    """Return a video's height and width as whole numbers; None where they are not usable."""
    sides = (height, width)
    if not all(is_finite_number(side) and side == int(side) for side in sides if side):
        return None
    rows, columns = (int(side or 0) for side in sides)
    return (rows, columns) if valid_size(rows, columns) else None


@dataclass
class Listed:
    """A list of a file.

    Attributes:
        elements: Where its end is.
        spans: Where each element begins and ends.
        values: The elements.
    """

    elements: Elements = field(default_factory=Elements)
    spans: list[Span] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)


class Video:
    """Byte ranges of the values of a file.

    Args:
        data: The file's bytes.
        name: Its name, for messages.
        wanted: Top-level keys to look at; None for all.

    Attributes:
        data: The file's bytes.
        name: Its name.
        frames: Where each frame begins and ends.
        lists: All other lists by key.
        values: Where other values stand, and the values, by key.

    Raises:
        SourceError: The file is not sound JSON.
    """

    def __init__(self, data: bytes, name: str, wanted: AbstractSet[str] | None) -> None:
        self.data, self.name = data, name
        self.frames: list[Span] = []
        self.lists: dict[str, Listed] = {}
        self.values: dict[str, tuple[Span, Any]] = {}
        self._items: dict[int, tuple[Elements, list[Span]] | None] = {}
        for batch in scan(io.BytesIO(data), name, wanted):
            if not batch.is_list:
                self.values[batch.key] = (_spans(batch)[0], batch.parse(name)[0])
            elif batch.key == FRAMES:
                self.frames += _spans(batch)
            else:
                listed = self.lists.setdefault(batch.key, Listed())
                listed.elements.take(batch)
                listed.spans += _spans(batch)
                listed.values += batch.parse(name)

    @cached_property
    def size(self) -> tuple[int, int] | None:
        """Height and width of the video as it states them; None where they are not usable."""
        sides = (self.values.get(f"video_{side}") for side in ("height", "width"))
        return stated_size(*(None if one is None else one[1] for one in sides))

    def items(self, frame: int) -> tuple[Elements, list[Span]] | None:
        """Return where the masks of a frame stand, counted from its beginning.

        Returns:
            None where the frame is no list.
        """
        if frame not in self._items:
            self._items[frame] = self.inside(self.frames[frame])
        return self._items[frame]

    def span(self, frame: int, position: int | None, key: str) -> Span:
        """Return where a mask stands; where ``position`` is None, a frame that is no list.

        Raises:
            CallError: There is no such mask.
        """
        found = self.items(frame) if frame < len(self.frames) else None
        if frame < len(self.frames) and position is None and found is None:
            return self.frames[frame]
        if found is None or position is None or position >= len(found[1]):
            raise CallError(f"{key} is not in it", self.name)
        start, (first, end) = self.frames[frame][0], found[1][position]
        return start + first, start + end

    def inside(self, span: Span) -> tuple[Elements, list[Span]] | None:
        """Return where the elements of an inner list stand; see :meth:`items`."""
        start, end = span
        if self.data[start : start + 1] != b"[":
            return None
        elements, spans = Elements(), list[Span]()
        for batch in scan(io.BytesIO(self.data[start:end]), self.name, {""}):
            elements.take(batch)
            spans += _spans(batch)
        return elements, spans


def _spans(batch: Batch) -> list[Span]:
    starts, ends = batch.starts + batch.base, batch.ends + batch.base
    return list(zip(starts.tolist(), ends.tolist(), strict=True))
