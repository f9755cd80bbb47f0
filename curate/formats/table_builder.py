"""Mask table from single images and masks, for readers that find one at a time."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any

import pandas as pd

from curate.dataset.notes import Notes
from curate.dataset.table import MaskTable, finish
from curate.formats.format import Part
from curate.formats.repairs import REPAIRS
from curate.formats.segmentation import Segmentation, json_type

_MASK_FRAME = ("source_key", "image_id", "category", "file_name", "height", "width")
_OF_MASKS = (*_MASK_FRAME, "segmentation", "status", "status_detail")
_IMAGE_FRAME = ("file_name", "height", "width", "status", "status_detail", "source_key")


_NOTHING: Mapping[str, object] = MappingProxyType({})


KeyedRings = tuple[str, list[list[float]]]
"""A source key, and rings of alternating x and y in pixels."""

_KEPT_RINGS: ContextVar[list[KeyedRings] | None] = ContextVar("rings of added masks", default=None)
"""Where rings of masks that are added go; None: they are not kept."""


@contextmanager
def keep_rings() -> Iterator[list[KeyedRings]]:
    """Keep the rings of masks that are added to any builder in the block, as far as they have some.

    Yields:
        Their source keys and rings, in the order in which they are added.
    """
    kept: list[KeyedRings] = []
    before = _KEPT_RINGS.set(kept)
    try:
        yield kept
    finally:
        _KEPT_RINGS.reset(before)


class TableBuilder:
    """Images and their masks, in the order in which they are added.

    Ids of the source are kept where every image (or every mask) has one and no two are equal;
    otherwise all are numbered in order from 0.

    Attributes:
        notes: What holds for many masks or images, and is said once.
    """

    def __init__(self) -> None:
        self.notes = Notes()
        self._images: list[dict[str, object]] = []
        self._image_ids: list[int | None] = []
        self._columns: dict[str, list[Any]] = {name: [] for name in _OF_MASKS}
        self._mask_ids: list[int | None] = []

    def image(
        self,
        file_name: str,
        size: tuple[int, int],
        status: str = "ok",
        detail: str = "",
        image_id: int | None = None,
        *,
        source_key: str = "",
        named_by_place: bool = False,
        subset: str | None = None,
    ) -> int:
        """Add an image and return its position among the images.

        Args:
            file_name: Its name for people.
            size: Its height and width in pixels.
            status: A status word of the images table.
            detail: What is wrong with it, in words.
            image_id: Its id in the source; None where it has none.
            source_key: Where it stands in the source, so that a mask can be added to it; "" where
                none can.
            named_by_place: Whether its name is that of the dataset's own file or folder.
            subset: The split that the source says it is of; None where it says none.
        """
        self._image_ids.append(image_id)
        self._images.append(
            {
                "file_name": plain(file_name),
                "height": limit_side(size[0]),
                "width": limit_side(size[1]),
                "status": status,
                "status_detail": plain(detail),
                "source_key": plain(source_key),
                **({"named_by_place": True} if named_by_place else {}),
                **({} if subset is None else {"subset": plain(subset)}),
            }
        )
        return len(self._images) - 1

    def mask(
        self,
        key: str,
        image: int,
        segmentation: Segmentation,
        mask_id: int | None = None,
        optional: Mapping[str, object] = _NOTHING,
    ) -> None:
        """Add a mask of the image at position ``image``; ``optional`` are columns of the table."""
        picture, key = self._images[image], plain(key)
        kept = _KEPT_RINGS.get()
        if kept is not None and segmentation.rings is not None:
            kept.append((key, segmentation.rings))
        for kind in segmentation.repairs:
            self.notes.add(kind, REPAIRS[kind], key)
        columns = self._columns
        columns["source_key"].append(key)
        columns["image_id"].append(image)
        for name in ("file_name", "height", "width"):
            columns[name].append(picture[name])
        columns["segmentation"].append(segmentation.counts)
        columns["status"].append(segmentation.status)
        detail = segmentation.detail
        columns["status_detail"].append(plain(detail) if detail else "")
        for name, value in optional.items():
            is_named = name == "category" and value is not None
            self._add(name, plain(str(value)) if is_named else value)
        if segmentation.crossings is not None:
            self._add("outline_crossings", float(segmentation.crossings))
        self._mask_ids.append(mask_id)

    def _add(self, name: str, value: object) -> None:
        """Put a value of the present mask into a column; masks before it that had none get None."""
        column = self._columns.setdefault(name, [])
        missing = len(self._mask_ids) - len(column)
        if missing:
            column.extend([None] * missing)
        column.append(value)

    def table(self) -> MaskTable:
        """Return all that was added, measured."""
        image_ids = _keep_ids(self._image_ids)
        images = pd.DataFrame(self._images, columns=self._image_columns(), index=image_ids)
        count = len(self._mask_ids)
        columns = {n: [*one, *[None] * (count - len(one))] for n, one in self._columns.items()}
        columns["image_id"] = [image_ids[position] for position in columns["image_id"]]
        masks = pd.DataFrame(
            {name: pd.Series(values, dtype=_dtype(name)) for name, values in columns.items()}
        )
        masks = masks.set_axis(pd.Index(_keep_ids(self._mask_ids), dtype="int64"))
        return finish(masks, images, self.notes.list())

    def _image_columns(self) -> list[str]:
        optional = ("named_by_place", "subset")
        return [*_IMAGE_FRAME, *(n for n in optional if any(n in one for one in self._images))]


def _dtype(name: str) -> str:
    if name in ("image_id", "height", "width"):
        return "int64"
    if name in ("category_id", "track_id", "group_id", "iscrowd"):
        return "Int64"
    if name in _OF_MASKS:
        return "object"
    return "float64"


def _keep_ids(ids: list[int | None]) -> list[int]:
    """Return the ids where they are whole, different and fit a 64-bit integer; else 0, 1, ..."""
    known = [i for i in ids if i is not None and abs(i) < 2**62]
    if len(known) == len(ids) and len(set(known)) == len(known):
        return known
    return list(range(len(ids)))


def plain(text: str) -> str:
    """Return text in which bytes of a file name that are no text are written as escapes.

    File names need not be text; a table's strings must be. Keys are made with this both on reading
    and on pruning, so they meet again.
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def limit_side(size: int) -> int:
    """Return a declared image side, or 0 where it does not fit a 64-bit integer."""
    return size if abs(size) < 2**62 else 0


def common_size(sizes: Iterable[tuple[int, int] | None]) -> tuple[int, int] | None:
    """Return the most frequent size, the first of them on a tie; None where there is none."""
    counted = Counter(size for size in sizes if size is not None)
    return counted.most_common(1)[0][0] if counted else None


def number(value: object, name: str) -> tuple[float, str]:
    """Read one stored number.

    Args:
        value: A number, or text of a CSV file or an attribute; None and "" are "not stored".
        name: Its name in the file, for the message.

    Returns:
        The number (NaN where it is not stored or is no finite number), and what is wrong with it.
    """
    if value is None or value == "":
        return math.nan, ""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return math.nan, f"{name} is {json_type(value)}, not a number"
    try:
        read = float(value)
    except (ValueError, OverflowError):
        return math.nan, f"{name} is {str(value)[:40]!r}, not a number"
    if math.isinf(read):
        return math.nan, f"{name} is infinite"
    return read, ""


def with_problems(segmentation: Segmentation, problems: Iterable[str]) -> Segmentation:
    """Return a mask whose accompanying numbers are wrong: it keeps its pixels, and says so."""
    told = [problem for problem in problems if problem]
    if not told or segmentation.status == "wrong_type":
        return segmentation
    detail = "; ".join([segmentation.detail, *told] if segmentation.detail else told)
    status = "wrong_type" if segmentation.status == "ok" else segmentation.status
    return segmentation._replace(status=status, detail=detail)


def parts_of(items: Iterable[tuple[Any, int]], limit: int) -> Iterator[Part]:
    """Group items with weights into parts of about ``limit``; the payload is the items."""
    group: list[Any] = []
    weight = index = 0
    for item, cost in items:
        if group and weight + cost > limit:
            yield Part(index, tuple(group))
            group, weight, index = [], 0, index + 1
        group.append(item)
        weight += cost
    if group:
        yield Part(index, tuple(group))
