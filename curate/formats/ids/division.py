"""Pixels of an id image divided among masks that change, come and stay."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import NamedTuple, cast

import numpy as np

from curate import rle
from curate.common.arrays import AnyArray, BoolArray, Int32Array
from curate.errors import CallError

Box = tuple[int, int, int, int]
"""XYWH in pixels."""


@dataclass(frozen=True)
class Paint:
    """New ids of some pixels.

    Attributes:
        x: Left column of a window on the picture.
        y: Its top row.
        ids: The ids in the window, shape (height, width); 0 leaves a pixel as it is. PNGs take -1
            too, which makes it 0.
    """

    x: int
    y: int
    ids: Int32Array


@dataclass(frozen=True)
class Claim:
    """A changed or new mask that claims its pixels.

    Attributes:
        key: Source key of a changed mask, position among the edits of a new one.
        name: What to call it in messages.
        id: The id that its pixels get.
        mask: Its pixels.
    """

    key: str | int
    name: str
    id: int
    mask: rle.Runs


class Clash(NamedTuple):
    """Two masks that want the same pixels: their names and how many pixels."""

    one: str
    other: str
    pixels: int


class Division:
    """The part of an id image that masks claim, divided among them and the masks that stay.

    Args:
        claims: The changed masks and then the new ones, one at least.
        gone: Ids whose pixels are free: of masks that are dropped or changed, and of what is no
            mask.
        read: Returns the ids in a box of the image.
        overlap: Who gets a pixel that two want: "new" the claim, and of two claims the later one;
            "old" the mask that stays, and of two claims the first. None is as "new"; see
            :attr:`clashes`.
        void: Ids whose pixels nobody gets.

    Attributes:
        claims: As given.
        clashes: Of each claim that wants pixels of another mask, the first such mask.
    """

    def __init__(
        self,
        claims: Sequence[Claim],
        gone: AbstractSet[int],
        read: Callable[[Box], AnyArray],
        overlap: str | None,
        void: AbstractSet[int] = frozenset(),
    ) -> None:
        self.clashes: list[Clash] = []
        self.claims, self._read = claims, read
        boxes = rle.bbox(rle.concat([claim.mask for claim in claims]))
        x, y = boxes[:, :2].min(axis=0).tolist()
        right, bottom = (boxes[:, :2] + boxes[:, 2:]).max(axis=0).tolist()
        self._boxes: list[Box] = [tuple(box) for box in boxes.tolist()]
        self._window: Box = (x, y, right - x, bottom - y)
        ids = read(self._window).astype(np.int32)
        self._open = ~np.isin(ids, list(void))
        free = np.isin(ids, [*gone, *void])
        self._staying: Int32Array = np.where(free, np.int32(0), ids)
        self._owner = np.zeros(ids.shape, np.int32)  # number of the claim, from 1
        for number, claim in enumerate(claims, 1):
            self._take(number, claim, overlap == "old")

    def _take(self, number: int, claim: Claim, old: bool) -> None:
        part = self._slices(self._boxes[number - 1])
        owner, staying = self._owner[part], self._staying[part]
        mine = rle.to_dense(claim.mask, 0, self._boxes[number - 1])
        for other, names in ((staying, None), (owner, self.claims)):
            there = other[mine & (other > 0)]
            if len(there):
                first = int(there[0])
                name = names[first - 1].name if names else f"the id {first}"
                self.clashes.append(Clash(claim.name, name, int((there == first).sum())))
                break
        mine &= self._open[part]
        owner[mine & (staying == 0) & (owner == 0) if old else mine] = number

    def _slices(self, box: Box) -> tuple[slice, slice]:
        x, y = box[0] - self._window[0], box[1] - self._window[1]
        return slice(y, y + box[3]), slice(x, x + box[2])

    def paint(self) -> Paint:
        """Return the ids that claimed pixels get."""
        ids = np.array([0, *(claim.id for claim in self.claims)], np.int32)
        return Paint(self._window[0], self._window[1], ids[self._owner])

    def find_cut_masks(
        self, name: str, ids: Sequence[int], runs: rle.Runs
    ) -> Iterator[tuple[str | int, bytes]]:
        """Yield the masks that lose pixels to others, with the pixels that are left.

        Args:
            name: Name of the image, as source keys have it.
            ids: Ids of all masks of the image as it was.
            runs: Their pixels.

        Yields:
            The key of a claim or of a mask that stays, and COCO compressed counts.

        Raises:
            CallError: Nothing is left of one.
        """
        for number, claim in enumerate(self.claims, 1):
            box = self._boxes[number - 1]
            left = self._owner[self._slices(box)] == number
            if left.sum() < rle.area(claim.mask)[0]:
                yield claim.key, _counts(left, box, claim.mask, claim.name)
        lost = np.unique(self._staying[(self._owner > 0) & (self._staying > 0)])
        places = {one: i for i, one in enumerate(ids)}
        for one in lost.tolist():
            mask = runs[np.array([places[one]])]
            box = cast(Box, tuple(rle.bbox(mask)[0].tolist()))
            left = self._read(box) == one
            x, y, w, h = _common(box, self._window)
            here = slice(y - box[1], y - box[1] + h), slice(x - box[0], x - box[0] + w)
            left[here] &= self._owner[self._slices((x, y, w, h))] == 0
            key = f"{name}#{one}"
            yield key, _counts(left, box, mask, key)


def _counts(pixels: BoolArray, box: Box, mask: rle.Runs, name: str) -> bytes:
    """Encode what is left of a mask; ``pixels`` are those in its box."""
    if not pixels.any():
        do = "leave that one out, or change who gets the pixels with --overlap"
        raise CallError("other masks would take all its pixels", name, do)
    left = rle.paste(rle.from_dense(pixels), [box[:2]], mask.heights, mask.widths)
    return cast(bytes, rle.encode_counts(left)[0].as_py())


def _common(a: Box, b: Box) -> Box:
    x, y = max(a[0], b[0]), max(a[1], b[1])
    right, bottom = min(a[0] + a[2], b[0] + b[2]), min(a[1] + a[3], b[1] + b[3])
    return x, y, right - x, bottom - y


def free_id(
    taken: AbstractSet[int],
    void: AbstractSet[int],
    allowed: range,
    where: str,
    noun: str,
) -> int:
    """Return the id for a new mask: that after the largest taken, else the lowest that is free.

    Args:
        taken: All ids of the image, of dropped masks too.
        void: Ids that no mask has.
        allowed: The ids that it can have, ascending.
        where: Name of the image, for the message.
        noun: What its file is, for the message.

    Raises:
        CallError: There is none.
    """
    lowest, step = allowed.start, allowed.step
    largest = max((i for i in taken - void if i in allowed), default=lowest - step)
    for candidate in range(largest + step, allowed.stop, step):
        if candidate not in void:
            return candidate
    for candidate in range(lowest, min(largest + 1, allowed.stop), step):
        if candidate not in taken and candidate not in void:
            return candidate
    what = "no id is left for a new mask: "
    if lowest > 1:
        what += f"its class takes ids from {lowest} on, and "
    do = "save it with more bits a pixel first"
    raise CallError(f"{what}this {noun} holds ids up to {allowed.stop - 1:,}", where, do)
