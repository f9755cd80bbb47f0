"""Withdrawal of masks that people had added and that their corrected file does not hold any
more."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from curate.dataset.table import plain
from curate.people.reviews.import_origin import ImportOrigin
from curate.people.reviews.schema import IS_LAST_EVENT, REVIEWED_IMAGES
from curate.rle import bbox
from curate.store.rows_by_id import decode_masks

_ADDED_SQL = f"""
select m.missing_id, m.image_id, m.segmentation, m.category, m.reviewer, m.time, m.origin
from missing m where m.withdrawn = 0 and {IS_LAST_EVENT}
  and not exists (
    select 1 from incoming_missing n where n.image_id = m.image_id and n.reviewer = m.reviewer
      and n.category is m.category and n.segmentation = m.segmentation and n.withdrawn = 0)
"""

_IMPORTED_SQL = f"""
select exists (select 1 from standing where origin = ?1 and reviewer = ?2)
  or exists (select 1 from {REVIEWED_IMAGES} where origin = ?1 and reviewer = ?2)
  or exists (select 1 from missing where origin = ?1 and reviewer = ?2 and missing_id > coalesce(
    (select max(missing_id) from missing where origin = ?1 and reviewer = ?2
      and key like 'back|%'), 0))
"""
"""Whether a person's file was imported before and stands: one that comes again does not take back
what later ones have said."""

_INSERT = """
insert into missing (image_id, segmentation, category, reviewer, time, withdrawn, origin, key)
values (?, ?, ?, ?, ?, 1, ?, ?) on conflict (key) do nothing
"""


@dataclass(frozen=True)
class ShownWindow:
    """A piece of an image that a corrected file shows; all of it where ``box`` is None.

    Attributes:
        box: x, y, width and height.
        size: Height and width of the image; not asked where ``box`` is None.
        time: When it was left so, in microseconds since 1970; 0 where not known.
    """

    box: tuple[int, int, int, int] | None = None
    size: tuple[int, int] = (0, 0)
    time: int = 0


@dataclass
class ShownWindows:
    """Windows of images in each person's corrected file.

    Attributes:
        origin: The file.
        windows: By image and person.
    """

    origin: ImportOrigin
    windows: dict[tuple[int, str], list[ShownWindow]] = field(
        default_factory=lambda: defaultdict(list[ShownWindow])
    )


def drop_first_imports(connection: sqlite3.Connection, shown: ShownWindows) -> ShownWindows:
    """Return the windows of people of whom the same file was imported before.

    Must be called before anything of the batch is written.
    """
    people = {reviewer for _, reviewer in shown.windows}
    known = {
        reviewer
        for reviewer in people
        if connection.execute(_IMPORTED_SQL, (str(shown.origin), reviewer)).fetchone()[0]
    }
    windows = {key: value for key, value in shown.windows.items() if key[1] not in known}
    return ShownWindows(shown.origin, windows)


def withdraw_replaced(connection: sqlite3.Connection, shown: ShownWindows, now: int) -> int:
    """Withdraw earlier additions within a file's windows that it does not hold any more.

    Only additions from the same kind of file, made of the same draw or dataset, are withdrawn.
    """
    count = 0
    for row in connection.execute(_ADDED_SQL).fetchall():
        missing_id, image, mask, category, reviewer, time, origin = row
        windows = shown.windows.get((image, reviewer))
        if not windows or not shown.origin.is_of_the_same(ImportOrigin.parse(origin)):
            continue
        if any(_is_replaced(window, mask, time) for window in windows):
            key = f"gone|{now}|{missing_id}"
            values = (image, mask, category, reviewer, now, str(shown.origin), key)
            count += connection.execute(_INSERT, values).rowcount
    return count


def _is_replaced(window: ShownWindow, mask: bytes, time: int) -> bool:
    """Return whether a mask lies in a window and was there when people left it."""
    if window.time and window.time < time:
        return False
    if window.box is None:
        return True
    height, width = (np.array([side], np.int64) for side in window.size)
    runs, _ = decode_masks([mask], height, width)
    x, y, w, h = bbox(runs)[0].tolist()
    left, top, across, down = window.box
    return bool(left <= x and top <= y and x + w <= left + across and y + h <= top + down)


def make_windows(frame: pd.DataFrame, origin: ImportOrigin) -> ShownWindows:
    """Return the windows of a corrected file.

    Args:
        frame: ``image_id``, ``reviewer``; of crops ``x``, ``y``, ``w``, ``h``, ``height`` and
            ``width`` (of the image), NA for whole images; ``time`` where it is known.
        origin: The file.
    """
    found = ShownWindows(origin)
    boxes = [plain(frame[name]) if name in frame else [None] * len(frame) for name in "xywh"]
    sizes = [
        plain(frame[name]) if name in frame else [None] * len(frame) for name in ("height", "width")
    ]
    times = _parse_times(frame)
    people = [str(name or "").strip() for name in plain(frame["reviewer"])]
    for k, (image, who) in enumerate(zip(frame["image_id"].tolist(), people, strict=True)):
        box = tuple(side[k] for side in boxes)
        whole = any(side is None for side in box)
        window = (
            ShownWindow(None, (0, 0), times[k])
            if whole
            else ShownWindow(
                _optional_int(box), _optional_int((sizes[0][k], sizes[1][k])), times[k]
            )
        )
        found.windows[int(image), who].append(window)
    return found


def _optional_int(values: tuple[Any, ...]) -> Any:
    return tuple(int(value) for value in values)


def _parse_times(frame: pd.DataFrame) -> list[int]:
    if "time" not in frame:
        return [0] * len(frame)
    read = pd.to_datetime(frame["time"], utc=True)
    micro = read.dt.as_unit("us").astype("int64").where(read.notna(), 0)
    return [int(value) for value in micro]
