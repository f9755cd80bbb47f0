"""Columns of run-length CSV files, in the spellings of Kaggle's competitions.

Runs are pairs of start and length; starts count from 1, down the columns. Three competitions count
along the rows instead, which the names of their columns tell: Sartorius (``id, annotation``),
UW-Madison (``id, class, segmentation``) and Carvana (``img, rle_mask``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from curate.formats.csv.csv_records import Record
from curate.formats.json.json_columns import whole_number

_PIXELS = ("encodedpixels", "rle_mask", "encoding", "rle", "annotation", "segmentation")
_SURE = ("encodedpixels", "rle_mask")
_IMAGES = ("imageid", "image_id", "img", "id")
_JOINED = ("imageid_classid", "image_label")
_CATEGORIES = ("classid", "class_id", "class", "label", "cell_type")
_HEIGHTS = ("height", "img_height")
_WIDTHS = ("width", "img_width")
_OF_IMAGES = frozenset(
    {
        *(*_HEIGHTS, *_WIDTHS, "cell_type", "plate_time", "sample_date", "sample_id"),
        *("elapsed_timedelta", "organ", "data_source", "pixel_size", "tissue_thickness"),
        *("age", "sex", "usage", "dataset"),
    }
)
_WITH_ATTRIBUTES = re.compile(r"([0-9]+)(?:_[0-9]+)+", re.ASCII)

NO_MASK = frozenset({b"", b"-1", b"nan", b"NaN"})
"""What stands in the place of runs where an image has no mask."""


@dataclass(frozen=True)
class Columns:
    """Meaning of a file's columns, by position.

    Attributes:
        count: How many there are.
        image: The image's name, or that and the class, joined by ``_``.
        pixels: The runs.
        category: The class; None where there is none, or where it stands in ``image``.
        height: The image's height in pixels; None where it is not there.
        width: The image's width in pixels; None where it is not there.
        joined: Whether ``image`` holds the class too.
        by_row: Whether starts count along the rows.
        of_images: Columns that say something of the image, and so the same in each of its rows.
        needs_look: Whether the names alone do not tell that there are runs.
    """

    count: int
    image: int
    pixels: int
    category: int | None
    height: int | None
    width: int | None
    joined: bool
    by_row: bool
    of_images: tuple[int, ...]
    needs_look: bool

    @property
    def has_classes(self) -> bool:
        """Whether masks have classes."""
        return self.joined or self.category is not None

    def image_of(self, record: Record) -> str:
        """Return the name of a record's image."""
        text = record.text(self.image)
        return text.rpartition("_")[0] or text if self.joined else text

    def category_of(self, record: Record) -> str:
        """Return a record's class, "" where it has none; attributes behind it are left out."""
        if self.joined:
            name, _, category = record.text(self.image).rpartition("_")
            return category if name else ""
        text = record.text(self.category)
        found = _WITH_ATTRIBUTES.fullmatch(text)
        return found[1] if found else text

    def size_of(self, record: Record) -> tuple[int, int] | None:
        """Return height and width as a record states them; None where it does not."""
        if self.height is None or self.width is None:
            return None
        sides = [whole_number(record.text(side)) for side in (self.height, self.width)]
        height, width = (side or 0 for side in sides)
        return (height, width) if height > 0 and width > 0 else None

    def has_mask(self, record: Record) -> bool:
        """Return whether a record has runs; else it says that an image has no mask."""
        return record.value(self.pixels).strip() not in NO_MASK


def find_columns(names: Sequence[str]) -> Columns | None:
    """Return the meaning of the columns of a header; None where they are not of run lengths."""
    lowered = [name.lower() for name in names]

    def find(known: Sequence[str]) -> int | None:
        return next((lowered.index(name) for name in known if name in lowered), None)

    pixels, joined, image = find(_PIXELS), find(_JOINED), find(_IMAGES)
    place = image if joined is None else joined
    if pixels is None or place is None or len(set(lowered)) < len(lowered):
        return None
    category = find(_CATEGORIES) if joined is None else None
    kind, name = lowered[pixels], lowered[place]
    by_row = (
        (kind == "annotation" and name == "id")
        or (kind == "rle_mask" and name == "img")
        or (kind == "segmentation" and category is not None and lowered[category] == "class")
    )
    of_images = tuple(k for k, one in enumerate(lowered) if one in _OF_IMAGES)
    height, width = find(_HEIGHTS), find(_WIDTHS)
    sides = (height, width) if None not in (height, width) else (None, None)
    return Columns(
        *(len(names), place, pixels, category, *sides, joined is not None, by_row, of_images),
        needs_look=kind not in _SURE,
    )
