"""Lines of YOLO's segmentation labels: reader and writer."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, cast

from curate import rle
from curate.formats.new_pixels import PixelTally, new_runs, ragged_error
from curate.formats.polygons import trace_rings
from curate.formats.segmentation import Segmentation, read_polygons

TOLERANCE = 0.01
"""How far outside 0 to 1 a coordinate may lie; rounding puts some there. As in the trainer."""

_LOOK = 1 << 20  # how many bytes of a file are looked at to tell the format
_LINE = re.compile(rb"(\s*)(\S+)(\s*)(.*?)(\s*)", re.DOTALL)


def has_polygon(path: Path) -> bool:
    """Return whether a line at the beginning of a label file is a polygon."""
    with open(path, "rb") as file:
        lines = file.read(_LOOK).splitlines()
    return any(
        len(line.split()) >= 7 and read_line(line, (1000, 1000), {}).mask.counts is not None
        for line in lines
    )


def is_of_boxes(path: Path) -> bool:
    """Return whether every line at the beginning of a label file is a box of a class."""
    with open(path, "rb") as file:
        lines = [line.split() for line in file.read(_LOOK).splitlines() if line.strip()]
    return bool(lines) and all(_class_of(line[0]) is not None and _is_box(line) for line in lines)


def _is_box(line: list[bytes]) -> bool:
    if not all(map(_is_number, line)):
        return False
    values = [float(field) for field in line[1:]]
    box = values[: coordinate_count(values)]
    return len(box) == 4 and all(-TOLERANCE <= value <= 1 + TOLERANCE for value in box)


class LabelLine(NamedTuple):
    """A label.

    Attributes:
        mask: Its mask.
        category: Its class; None where that is no whole number from 0.
        score: The model's confidence at its end; None where there is none.
        track: The number of the track behind that; None where there is none.
    """

    mask: Segmentation
    category: int | None
    score: float | None = None
    track: int | None = None


def read_line(line: bytes, size: tuple[int, int], names: dict[int, str]) -> LabelLine:
    """Read one label.

    Args:
        line: Its bytes, not blank.
        size: Height and width of the image in pixels.
        names: The declared classes; empty where none are.
    """
    first, *fields = line.split()
    category = _class_of(first)
    try:
        values = [float(field) for field in fields]
    except ValueError:
        odd = next(field for field in fields if not _is_number(field))
        detail = f"{odd[:40].decode('utf-8', 'replace')!r} is not a number"
        return LabelLine(Segmentation(None, "wrong_type", detail), category)
    count = len(values) - coordinate_count(values)
    extra = values[-count:] if count else []
    mask = _read_ring(values[: len(values) - count], size)
    if mask.status == "ok":
        if category is None:
            detail = f"the class {first[:40].decode('utf-8', 'replace')!r} is no whole number"
            mask = Segmentation(mask.counts, "bad_category", detail)
        elif names and category not in names:
            detail = f"the class {category} is not among the {len(names)} declared"
            mask = Segmentation(mask.counts, "bad_category", detail)
    track = int(extra.pop()) if extra and _is_track(extra[-1]) else None
    return LabelLine(mask, category, extra[0] if extra else None, track)


def coordinate_count(values: Sequence[float]) -> int:
    """Return how many of a line's numbers are coordinates.

    Behind them predictions have a confidence (an odd count, the last one from 0 to 1), the number
    of a track (an odd count, the last one a whole number over 1), or both.
    """
    count = len(values)
    if count % 2:
        return count - (0 <= values[-1] <= 1 or _is_track(values[-1]))
    both = count >= 6 and _is_track(values[-1]) and 0 <= values[-2] <= 1
    return count - 2 * both


def _is_track(value: float) -> bool:
    return 1 < value < 2**31 and value == int(value)


def _read_ring(values: list[float], size: tuple[int, int]) -> Segmentation:
    if len(values) in (0, 4):
        what = "a box, but no polygon" if values else "no coordinates"
        return Segmentation(None, "no_segmentation", f"the line has {what}")
    for value in values:
        if not -TOLERANCE <= value <= 1 + TOLERANCE:  # NaN is not within either
            what = "is not finite" if not math.isfinite(value) else "lies outside 0 to 1"
            return Segmentation(None, "bad_polygon", f"the coordinate {value:g} {what}")
    height, width = size
    ring = [value * (height if i % 2 else width) for i, value in enumerate(values)]
    return read_polygons([ring], height, width)


def _is_number(field: bytes) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _class_of(field: bytes) -> int | None:
    """Return a class; ``3.0`` is one, as trainers read it."""
    whole = re.fullmatch(rb"([0-9]{1,9})(\.0*)?", field)
    return int(whole[1]) if whole else None


def with_coordinates(line: bytes, coordinates: bytes) -> bytes:
    """Return a line with other coordinates; all else in it stays: class, score, track, blanks."""
    found = _LINE.fullmatch(line)
    if found is None:
        raise AssertionError("every line that is not blank has a class")
    fields = found[4].split()
    values = [float(field) if _is_number(field) else math.nan for field in fields]
    extra = fields[coordinate_count(values) :]
    return found[1] + found[2] + (found[3] or b" ") + b" ".join([coordinates, *extra]) + found[5]


def with_class(line: bytes, number: int) -> bytes:
    """Return a line with another class, all else as it was."""
    return re.sub(rb"\A(\s*)\S+", lambda found: found[1] + str(number).encode(), line)


class Coordinates(NamedTuple):
    """A mask as a label has it.

    Attributes:
        text: The coordinates of one polygon.
        seamed: Whether that runs along a seam.
    """

    text: bytes
    seamed: bool

    def count_in(self, tally: PixelTally) -> bytes:
        """Count that they are written, and return the text."""
        tally.polygons += 1
        tally.seams += self.seamed
        return self.text


def coordinates_of(
    counts: bytes, size: tuple[int, int], key: str, own: Sequence[float] | None = None
) -> Coordinates:
    """Return a mask as the coordinates of one polygon that is read back to exactly its pixels.

    OpenCV, with which YOLO's trainers draw, gives the same pixels at the image's own size, but for
    the seams between parts, and for rings of the source.

    Args:
        counts: The mask as COCO compressed counts.
        size: Height and width of its image in pixels.
        key: The mask's source key, or that of its image, for messages.
        own: The ring that the source has of it, alternating x and y in pixels, which is taken where
            it is read back so; None for none.

    Raises:
        CallError: The mask does not fit the image, has no pixel or is too ragged for one polygon.
    """
    exact = cast(bytes, rle.encode_counts(new_runs(counts, size, key))[0].as_py())
    for text in () if own is None else _spellings(own, size):
        if read_line(b"0 " + text, size, {}).mask.counts == exact:
            return Coordinates(text, seamed=False)
    found = trace_rings(counts, size, single=True, seams=True, inset=True)
    for text in _spellings(found.rings[0], size) if found else ():
        if found is not None and read_line(b"0 " + text, size, {}).mask.counts == exact:
            return Coordinates(text, found.seamed)
    raise ragged_error(key, "simplify it, or write another format")


def _spellings(ring: Sequence[float], size: tuple[int, int]) -> tuple[bytes, bytes]:
    """Return normalised coordinates with six digits, as most tools write them, and with all."""
    height, width = size
    values = [value / (height if i % 2 else width) for i, value in enumerate(ring)]
    short, long = (" ".join(map(spell, values)) for spell in ("{:.6f}".format, repr))
    return short.encode(), long.encode()
