"""Images with masks as a tool exports them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from curate.common.arrays import IntArray
from curate.formats.segmentation import Segmentation
from curate.people.exchange.exported_masks import read_dataset_ids

UNREAD = Segmentation(None, "no_segmentation", "it was not read")
"""What stands for the masks of pictures that nobody asked for."""

_ID = re.compile(r"(-?\d{1,19})(?:\.0*)?", re.ASCII)


@dataclass(frozen=True)
class ImportedMask:
    """A mask of a tool's export.

    Attributes:
        mask_id: What stands there as its ``mask_id``; None for nothing.
        mask: The mask, read for the size of its picture.
        label: Its category.
        where: Where it stands in the file, for messages.
        outline: Whether it came as a polygon.
        draw: Number and slot of the draw that it says it was shown for; None where it does not.
        version: What stands there as its ``dataset_version``; None for nothing.
        iscrowd: What stands there as ``iscrowd``, where it is more than how the tool spells a mask.
    """

    mask_id: object
    mask: Segmentation
    label: str | None
    where: str
    outline: bool = False
    draw: tuple[int, int] | None = None
    version: object = None
    iscrowd: int | None = None


@dataclass(frozen=True)
class ImportedImage:
    """A picture of a tool's export.

    Attributes:
        name: What the tool calls it.
        size: Height and width in pixels, as the file says.
        shapes: Its masks.
        number: Its id in the file; None where ids there mean nothing.
        others: How many things people put on it that are no masks.
    """

    name: str
    size: tuple[int, int]
    shapes: list[ImportedMask] = field(default_factory=list)
    number: int | None = None
    others: int = 0


ImageFilter = Callable[[Sequence[ImportedImage]], Sequence[bool]]
"""Pictures, before their masks are read, to whether these are wanted. Raises
:class:`~curate.errors.SourceError` where one is not as the audit says: a mask is drawn for the size
that the file states, which may be anything."""


@dataclass(frozen=True)
class ImageExport:
    """A tool's export of images with masks: detection, reading, labels.

    Attributes:
        matches: Whether a path holds such a file. Looks at content, is cheap, never raises.
        images: A path, and which images are wanted, to the images in it. Each of them is asked for
            once, in order, before its masks are read; masks of those not wanted are :data:`UNREAD`.
        label: The label that a category was written as.
        version: A path to the ``dataset_version`` that the file as a whole names; None for none.
    """

    matches: Callable[[Path], bool]
    images: Callable[[Path, ImageFilter], Iterable[ImportedImage]]
    label: Callable[[str], str] = str
    version: Callable[[Path], object] = lambda path: None

    def ids(self, path: Path) -> IntArray:
        """Return the mask ids in a file of this tool, or in a dataset; sorted."""
        if not self.matches(path):
            return read_dataset_ids(path)
        images = self.images(path, lambda some: [False] * len(some))
        claims = [parse_mask_id(shape.mask_id) for one in images for shape in one.shapes]
        known = [number for number in claims if number is not None]
        return np.unique(np.array(known, np.int64)) if known else read_dataset_ids(path)


def parse_draw(number: object, slot: object) -> tuple[int, int] | None:
    """Return the draw and slot that a mask names; None where it names none."""
    draw = parse_mask_id(number)
    return None if draw is None else (draw, 1 if parse_mask_id(slot) == 1 else 0)


def parse_mask_id(value: object) -> int | None:
    """Return a value as a mask id; None where it can be none."""
    if isinstance(value, str) and (found := _ID.fullmatch(value.strip())):
        value = int(found[1])
    if type(value) is float and value.is_integer() and abs(value) < 2**53:
        value = int(value)
    return value if type(value) is int and abs(value) < 2**62 else None
