"""Files of a queue and the record of its draw: both or none, even where a run is killed.

A file is made in a hidden folder beside its place, in which stands of which draw it is; then it is
named, then the draw is recorded, and the folder goes last. So a named file whose draw is not
recorded is known for one of a killed run, and the next run removes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import orjson
import pandas as pd

from curate.common import files
from curate.errors import AuditError
from curate.people.reviews import has_reviews, open_reviews
from curate.store.audit import StoredAudit
from curate.writing.naming import beside, find_left_beside, name_dataset

_NOTE = "draw.json"


@dataclass(frozen=True)
class QueueRequest:
    """Draw behind a queue's file.

    Attributes:
        number: The draw's number.
        masks: A short name of its masks, in their order.
    """

    number: int
    masks: str


def draw_of(number: int, record: pd.DataFrame) -> QueueRequest:
    """Return the identity of a draw, from its rows as recorded."""
    rows = record.sort_values("place", kind="stable") if "place" in record else record
    ids = rows["mask_id"].to_numpy("int64").tobytes()
    return QueueRequest(number, blake2b(ids, digest_size=16).hexdigest())


@contextmanager
def make_hidden(place: Path) -> Iterator[Path]:
    """Yield where a queue's file is made until it gets its name.

    Raises:
        AuditError: It cannot be written.
    """
    with beside(place) as folder:
        files.mkdir(folder / "made")
        yield folder / "made" / place.name


def name_queue(made: Path, place: Path, draw: QueueRequest | None) -> None:
    """Give a queue's file or folder its name, where nothing but an empty file has that.

    Args:
        made: Where :func:`make_hidden` had it made.
        place: Its place.
        draw: What it is of; None where no draw is recorded.

    Raises:
        CallError: Something has the name.
        AuditError: It cannot be named.
    """
    with files.convert_write_errors(place):
        if draw is not None:
            note = [draw.number, draw.masks, _identity(made)]
            files.write_bytes(made.parent.with_name(_NOTE), orjson.dumps(note))
        if place.is_file() and not place.stat().st_size and made.is_file():
            files.replace(made, place)
            return
    name_dataset(made, place)


def remove_unrecorded(audit: StoredAudit, place: Path) -> None:
    """Remove what a killed run has left at a place and beside it: a queue that was not recorded.

    Raises:
        AuditError: Something of it cannot be removed.
    """
    for folder in find_left_beside(place):
        with files.convert_write_errors(place):
            draw = _draw_left(folder, place)
            if draw is not None and not _is_recorded(audit, draw):
                remove(place)
            files.remove_tree(folder)


def remove(path: Path) -> None:
    """Remove a file or folder, if it is there."""
    if path.is_dir():
        files.remove_tree(path)
    else:
        files.unlink(path, missing_ok=True)


def _draw_left(folder: Path, place: Path) -> QueueRequest | None:
    """Return of which draw a killed run's file at a place is; None where none of its is there."""
    with suppress(OSError, ValueError):
        number, masks, identity = orjson.loads((folder / _NOTE).read_bytes())
        if identity == _identity(place):
            return QueueRequest(int(number), str(masks))
    return None


def _identity(path: Path) -> list[int]:
    about = path.lstat()
    return [about.st_dev, about.st_ino, about.st_mtime_ns]


def _is_recorded(audit: StoredAudit, draw: QueueRequest) -> bool:
    if not has_reviews(audit):
        return False
    try:
        reviews = open_reviews(audit)
    except AuditError:  # it was never finished
        return False
    if draw.number not in reviews.draws()["draw_id"].tolist():
        return False
    return draw_of(draw.number, reviews.read_draw(draw.number)) == draw
