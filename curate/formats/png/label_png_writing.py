"""Writer of PNGs of instance ids: masks removed, changed and added."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

import numpy as np

from curate import rle
from curate.common.arrays import AnyArray, BoolArray, Int32Array
from curate.dataset.notes import count_noun, plural
from curate.errors import CallError, SourceError
from curate.formats.edits import Addition, Edits
from curate.formats.new_pixels import PixelTally, image_size, new_runs
from curate.formats.png.id_codes import IdCode
from curate.formats.png.id_masks import ids_of, read_ids
from curate.formats.png.id_rewriting import Paint, largest_id, write_ids
from curate.formats.png.png_reading import PictureProblem, read_header, read_pixels

Box = tuple[int, int, int, int]
"""XYWH in pixels."""


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
        self._claims, self._read = claims, read
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
        for other, names in ((staying, None), (owner, self._claims)):
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
        ids = np.array([0, *(claim.id for claim in self._claims)], np.int32)
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
        for number, claim in enumerate(self._claims, 1):
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
    taken: AbstractSet[int], void: AbstractSet[int], allowed: tuple[int, int], where: str
) -> int:
    """Return the id for a new mask: that after the largest taken, else the lowest that is free.

    Args:
        taken: All ids of the image, of dropped masks too.
        void: Ids that no mask has.
        allowed: The lowest and the highest id that it can have.
        where: Name of the image, for the message.

    Raises:
        CallError: There is none.
    """
    lowest, highest = allowed
    largest = max((i for i in taken - void if lowest <= i <= highest), default=lowest - 1)
    for candidate in range(largest + 1, highest + 1):
        if candidate not in void:
            return candidate
    for candidate in range(lowest, min(largest, highest) + 1):
        if candidate not in taken and candidate not in void:
            return candidate
    what = "no id is left for a new mask: "
    if lowest > 1:
        what += f"its class takes ids from {lowest} on, and "
    do = "save it with more bits a pixel first"
    raise CallError(f"{what}this PNG holds ids up to {highest}", where, do)


def by_png(
    source: Path, edits: Edits, paths: Mapping[str, Path], code: IdCode
) -> dict[str, PngEdits]:
    """Group edits by PNG.

    Raises:
        CallError: A key names nothing.
    """
    files: dict[str, PngEdits] = {}

    def of(key: str) -> tuple[PngEdits, int]:
        name, _, value = key.rpartition("#")
        if name not in paths or not re.fullmatch("[0-9]{1,18}", value, re.ASCII):
            raise CallError(f"{key} names no mask of it", str(source))
        return files.setdefault(name, PngEdits(name, paths[name], code)), int(value)

    for key in edits.drop:
        mine, value = of(key)
        mine.drop.add(value)
    for key, change in edits.change.items():
        mine, value = of(key)
        if change.counts is not None:
            mine.change[value] = key, change.counts
    for position, addition in enumerate(edits.add):
        name = addition.image_key
        if name not in paths:
            raise CallError(f"{name} names no image of it", str(source))
        files.setdefault(name, PngEdits(name, paths[name], code)).add.append((position, addition))
    return files


@dataclass
class PngEdits:
    """Edits of one PNG.

    Attributes:
        name: Its name, as source keys have it.
        path: The file.
        code: How its ids are to be understood.
        drop: Ids that go.
        change: Source key and new pixels by id.
        add: New masks, each with its position among the edits.
    """

    name: str
    path: Path
    code: IdCode
    drop: set[int] = field(default_factory=set)
    change: dict[int, tuple[str, bytes]] = field(default_factory=dict)
    add: list[tuple[int, Addition]] = field(default_factory=list)

    def clashes(self) -> list[Clash]:
        """Return which new pixels belong to other masks."""
        if not self.change and not self.add:
            return []
        return self._division(_Opened(self.path), None).clashes

    def write(self, source: Path, target: BinaryIO, overlap: str | None, tally: PixelTally) -> None:
        """Write the PNG anew.

        Args:
            source: The PNG.
            target: Where to.
            overlap: Whose a pixel is that two masks claim; see :class:`Division`.
            tally: Counts what became of new pixels.

        Raises:
            CallError: It has no such id, no id is left, or a mask would lose all its pixels.
            SourceError: It cannot be read.
        """
        if not self.change and not self.add:
            write_ids(source, target, self.drop)
            return
        opened = _Opened(self.path)
        division = self._division(opened, overlap)
        for key, counts in division.find_cut_masks(self.name, opened.ids, opened.runs):
            tally.held[key] = counts
        tally.runs += len(self.change) + len(self.add)
        write_ids(source, target, self.drop | self.change.keys(), division.paint())

    def _division(self, opened: _Opened, overlap: str | None) -> Division:
        size, missing = opened.header.size, self.change.keys() - set(opened.ids)
        if missing:
            raise CallError(f"it has no mask with the id {min(missing)}", str(self.path))
        claims = [
            Claim(key, key, value, new_runs(counts, size, key))
            for value, (key, counts) in self.change.items()
        ]
        void = self.code.void_in(opened.palette)
        largest = largest_id(self.path, opened.header)
        taken = set(opened.ids)
        for position, one in self.add:
            first, last = self.code.range_of(one.category, self.name)
            value = free_id(taken, void, (first, min(last, largest)), str(self.path))
            taken.add(value)
            image_size(size, one.height, one.width, self.name)
            mask = new_runs(one.counts, size, self.name)
            claims.append(Claim(position, f"the mask added to {self.name}", value, mask))
        others = {value for value in opened.ids if not self.code.is_instance(value)}
        gone = (self.drop | self.change.keys() | others) - void
        return Division(claims, gone, opened.read, overlap, void)


def refuse_clashes(source: Path, files: Iterable[PngEdits]) -> None:
    """Raise where new pixels belong to other masks.

    Raises:
        CallError: Some do; says how many, and what decides whose they are.
    """
    clashes = [clash for mine in files for clash in mine.clashes()]
    if clashes:
        first = clashes[0]
        some = count_noun(len(clashes), "changed or added mask")
        what = f"{some} {plural(len(clashes), 'covers', 'cover')} pixels of other masks, such as "
        what += f"{first.one}, which covers {first.pixels} of {first.other}"
        do = "say whose these are with --overlap new or --overlap old"
        raise CallError(what, str(source), do)


class _Opened:
    """A PNG whose masks are in memory, and whose pixels are once they are needed."""

    def __init__(self, path: Path) -> None:
        try:
            self.header = read_header(path)
            found = read_ids(path, self.header, known=True)
        except PictureProblem as problem:
            raise SourceError(problem.detail, str(path), "mend it or leave it out") from problem
        self.ids: list[int] = found.ids.tolist()
        self.runs, self.palette = found.runs, found.palette
        self._path = path

    @cached_property
    def _pixels(self) -> AnyArray:
        return read_pixels(self._path, self.header)[0]

    def read(self, box: Box) -> AnyArray:
        """Return the ids in a box."""
        x, y, w, h = box
        return ids_of(self.header)(self._pixels[y : y + h, x : x + w])
