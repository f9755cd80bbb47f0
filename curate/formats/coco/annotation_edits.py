"""Changed and added annotation objects of COCO, LVIS, results lists, SA-1B and amg."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from curate import rle
from curate.errors import CallError
from curate.formats.edits import Addition, Change, Edits
from curate.formats.json.byte_edits import Elements, JsonObject, Piece, Style, ordinals, read_span
from curate.formats.json.streaming import parse_one
from curate.formats.mask_values import MaskValues, NewMask, kind_of, measure_masks, usual_kind
from curate.formats.segmentation import json_type, read_segmentation, rle_size

SAMPLE = 100
"""How many of the first records of a list show how they are written."""

_BATCH = 1000

Changes = Mapping[int, tuple[str, Change]]
"""Source key and change of records, by number in their list."""


@dataclass(frozen=True)
class Rules:
    """Differences between formats that have such records.

    Attributes:
        values: Makes the segmentations.
        usual: Kind of segmentation for a mask that had none.
        size: Height and width of the image of a record; None where that is not known.
        category: The number of a category by its name, given the present one; None for formats
            without categories.
        short_box: Whether the box of a record is one pixel short in w and h.
    """

    values: MaskValues
    usual: str
    size: Callable[[JsonObject], tuple[int, int] | None]
    category: Callable[[str, Any], int | str] | None = None
    short_box: Callable[[JsonObject, tuple[int, int]], bool] = lambda record, size: False


class TemplateRecords:
    """The first records of a list, to write others like them.

    Args:
        elements: What kept them.
        where: Name of the file, for messages.
    """

    def __init__(self, elements: Elements, where: str) -> None:
        objects = [(at, one) for at, one in elements.sample if one[:1] == b"{"]
        self.records = [JsonObject(one, at, where) for at, one in objects]
        self.usual = usual_kind(record.get("segmentation") for record in self.records)

    def has(self, name: str) -> bool:
        """Return whether some of the records have a field."""
        return any(name in record.members for record in self.records)

    def like(self, name: str, values: Any) -> Any:
        """Return a number or a list of numbers as the first record that has such a field does."""
        first = next((r.get(name) for r in self.records if r.get(name) is not None), None)
        return match_number_type(first, values)

    @property
    def style(self) -> Style:
        """Style of the first record."""
        return self.records[0].style if self.records else Style()

    def write(self, literals: Mapping[str, str], style: Style) -> bytes:
        """Return a record with the fields in the order in which the first record has them."""
        known = list(self.records[0].members) if self.records else []
        order = sorted(literals, key=lambda n: known.index(n) if n in known else len(known))
        return style.object({name: literals[name] for name in order}).encode("utf-8")


def split_edits(edits: Edits, prefix: str) -> tuple[frozenset[int], dict[int, tuple[str, Change]]]:
    """Return which records of a list go, and which change.

    Args:
        edits: All edits of the list.
        prefix: What source keys have before the record's number.

    Raises:
        CallError: A key is not of this list, or a mask is to go and to change.
    """
    drop = ordinals(edits.drop, prefix)
    change = ordinals(edits.change, prefix)
    both = drop.keys() & change.keys()
    if both:
        raise CallError("a mask cannot be dropped and changed at once", drop[min(both)])
    return frozenset(drop), {n: (key, edits.change[key]) for n, key in change.items()}


def render_changed_records(
    file: BinaryIO, where: str, elements: Elements, changes: Changes, rules: Rules
) -> list[Piece]:
    """Return the new text of changed records.

    Args:
        file: The file that was scanned, open for reading and seeking.
        where: Its name, for messages.
        elements: Where the records stand; all that change were asked for.
        changes: What changes, by the number of the record.
        rules: What the format says of its records.

    Raises:
        CallError: A record cannot be changed so.
        SourceError: A record is not JSON.
    """
    pieces: list[Piece] = []
    numbers = sorted(changes)
    for first in range(0, len(numbers), _BATCH):
        some = numbers[first : first + _BATCH]
        records = [_record(file, where, elements.span(n), changes[n][0]) for n in some]
        drawn = _measure_redrawn(
            [(record, *changes[n]) for record, n in zip(records, some, strict=True)], rules
        )
        for n, record, mask in zip(some, records, drawn, strict=True):
            key, change = changes[n]
            if mask is not None:
                _renew(record, mask, rules, key)
            if change.category is not None and rules.category is not None:
                _relabel(record, rules.category(change.category, record.get("category_id")))
            if change.ignore is not None:
                record.set("iscrowd", "1" if change.ignore else "0")
            add_attributes(record, change.attributes, key)
            pieces.append((*elements.span(n), record.text().encode("utf-8")))
    return pieces


def measure_additions(additions: Sequence[Addition]) -> Iterator[tuple[Addition, NewMask]]:
    """Yield added masks with what is measured from their pixels.

    Raises:
        CallError: Counts do not decode.
    """
    for first in range(0, len(additions), _BATCH):
        some = additions[first : first + _BATCH]
        names = [f"added mask {first + i} of {one.image_key}" for i, one in enumerate(some)]
        sizes = [(one.height, one.width) for one in some]
        yield from zip(some, measure_masks([one.counts for one in some], sizes, names), strict=True)


def add_attributes(record: JsonObject, attributes: Mapping[str, str], key: str) -> None:
    """Put attributes into a record's own, beside those that it has.

    Raises:
        CallError: What it has under that name is no object.
    """
    if not attributes:
        return
    old = record.get("attributes")
    if old is None:
        record.set("attributes", record.style.value(dict(attributes)))
        return
    if type(old) is not dict:
        what = f"its attributes are {json_type(old)}, so nothing can be noted there"
        raise CallError(what, key, "leave --attributes out: the provenance file has them")
    inner = JsonObject(record.literal("attributes").encode("utf-8"))
    for name, value in attributes.items():
        inner.set(name, inner.style.value(value))
    record.set("attributes", inner.text())


def mask_literal(old: str, value: Any, style: Style) -> str:
    """Return a segmentation as JSON; where one RLE follows another, only what differs changes.

    Args:
        old: The segmentation that it replaces, as JSON.
        value: The new one.
        style: How it is written where nothing of the old one stays.
    """
    if type(value) is not dict or not old.startswith("{"):
        return style.value(value)
    inner = JsonObject(old.encode("utf-8"))
    for name in ("size", "counts"):
        if inner.get(name) != value[name]:
            inner.set(name, inner.style.value(value[name]))
    return inner.text()


def match_number_type(old: Any, values: Any) -> Any:
    """Return a number or numbers as floats where the old ones were floats."""
    if type(values) is list:
        is_float = type(old) is list and float in set(map(type, old))
        return [float(value) for value in values] if is_float else values
    return float(values) if type(old) is float and type(values) is int else values


def box_is_short(record: JsonObject, size: tuple[int, int]) -> bool | None:
    """Return whether a record's box is one pixel short, as boxes with inclusive maxima are.

    Returns:
        None where the box is neither that nor the mask's own.
    """
    box = record.get("bbox")
    counts = read_segmentation(record.get("segmentation"), *size).counts
    if counts is None or type(box) is not list or len(box) != 4:
        return None
    runs, _ = rle.decode_counts([counts], [size[0]], [size[1]])
    real = rle.bbox(runs)[0].tolist()
    if not len(runs.starts):
        return None
    if box == real:
        return False
    return True if box == _short(real) else None


def spell_box(mask: NewMask, short: bool) -> list[int]:
    """Return a mask's box, XYWH; one pixel less in w and h where the format has it so."""
    return _short(list(mask.box)) if short else list(mask.box)


def _record(file: BinaryIO, where: str, span: tuple[int, int], key: str) -> JsonObject:
    data = read_span(file, *span)
    if data[:1] != b"{":
        what = f"it is {json_type(parse_one(data, span[0], where))}, not an object"
        raise CallError(what, key, "leave it out, or leave it as it is")
    return JsonObject(data, span[0], where)


def _measure_redrawn(
    some: Sequence[tuple[JsonObject, str, Change]], rules: Rules
) -> list[NewMask | None]:
    """Return the new mask of each record that gets one."""
    sizes, counts, keys = [], [], []
    for record, key, change in some:
        if change.counts is None:
            continue
        size = rules.size(record) or rle_size(record.get("segmentation"))
        if size is None:
            raise CallError("the size of its image is not given", key, "put it into the file")
        sizes.append(size)
        counts.append(change.counts)
        keys.append(key)
    made = iter(measure_masks(counts, sizes, keys))
    return [None if change.counts is None else next(made) for _, _, change in some]


def _renew(record: JsonObject, mask: NewMask, rules: Rules, key: str) -> None:
    """Put a mask into a record, with its box and its area where the record has them."""
    style = record.style
    old = record.get("segmentation")
    short = "bbox" in record.members and rules.short_box(record, (mask.height, mask.width))
    sized = rules.size(record) is not None
    value = rules.values.value(mask, kind_of(old) or rules.usual, key, sized)
    written = record.literal("segmentation") if old is not None else "null"
    record.set("segmentation", mask_literal(written, value, style))
    if "bbox" in record.members:
        record.set(
            "bbox", style.value(match_number_type(record.get("bbox"), spell_box(mask, short)))
        )
    if "area" in record.members:
        record.set("area", style.value(match_number_type(record.get("area"), mask.area)))


def _relabel(record: JsonObject, number: int | str) -> None:
    old = record.get("category_id")
    if type(old) is bool or old != number:
        record.set("category_id", json.dumps(number))


def _short(box: list[int]) -> list[int]:
    return [*box[:2], *np.maximum(np.array(box[2:]) - 1, 0).tolist()]
