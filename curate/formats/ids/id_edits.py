"""Edits of files in which a pixel's value is the id of its instance, of any kind of file."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

import numpy as np

from curate import rle
from curate.common.arrays import AnyArray, ByteArray, Int32Array
from curate.dataset.notes import count_noun, plural
from curate.errors import CallError
from curate.formats.edits import Addition, Edits
from curate.formats.ids.division import Box, Claim, Clash, Division, Paint, free_id
from curate.formats.ids.id_codes import IdCode
from curate.formats.new_pixels import PixelTally, image_size, new_runs


class IdFile(Protocol):
    """A file of ids that is open for edits.

    Attributes:
        size: Height and width in pixels.
        ids: All ids but 0.
        runs: Their pixels, one mask an id.
        palette: Its colours, shape (n, 3), or None.
        largest: The largest id that it can hold.
    """

    size: tuple[int, int]
    ids: list[int]
    runs: rle.Runs
    palette: ByteArray | None
    largest: int

    def read(self, box: Box) -> AnyArray:
        """Return the ids in a box."""


@dataclass(frozen=True)
class IdStorage:
    """How files of one kind hold ids.

    Attributes:
        noun: What people call such a file.
        open: Opens one; raises :class:`SourceError` where it cannot be read.
        write: (source, target, ids that become 0, what is set after that): writes one anew. Raises
            :class:`CallError` where no pixel has an id that goes, :class:`SourceError` where it
            cannot be read.
    """

    noun: str
    open: Callable[[Path], IdFile]
    write: Callable[[Path, BinaryIO, AbstractSet[int], Paint | None], None]


class ChangedPixels(NamedTuple):
    """Part of an id image around all pixels that change.

    Attributes:
        box: Where it is.
        old: The ids in it before, shape (height, width).
        new: Those after the edits.
    """

    box: Box
    old: Int32Array
    new: Int32Array


def by_file(
    source: Path, edits: Edits, paths: Mapping[str, Path], code: IdCode, storage: IdStorage
) -> dict[str, IdFileEdits]:
    """Group edits by file.

    Raises:
        CallError: A key names nothing.
    """
    files: dict[str, IdFileEdits] = {}

    def of(key: str) -> tuple[IdFileEdits, int]:
        name, _, value = key.rpartition("#")
        if name not in paths or not re.fullmatch("[0-9]{1,18}", value, re.ASCII):
            raise CallError(f"{key} names no mask of it", str(source))
        return files.setdefault(name, IdFileEdits(name, paths[name], code, storage)), int(value)

    for key in edits.drop:
        mine, value = of(key)
        mine.drop.add(value)
    for key, change in edits.change.items():
        mine, value = of(key)
        if change.ignore and code.is_void_zero and not code.void:
            mine.drop.add(value)  # what has no label is void
        elif change.ignore:
            mine.ignore[value] = key
        elif change.counts is not None:
            mine.change[value] = key, change.counts
        if change.category is not None:
            mine.relabel[value] = change.category
    for position, addition in enumerate(edits.add):
        name = addition.image_key
        if name not in paths:
            raise CallError(f"{name} names no image of it", str(source))
        files.setdefault(name, IdFileEdits(name, paths[name], code, storage)).add.append(
            (position, addition)
        )
    return files


@dataclass
class IdFileEdits:
    """Edits of one file of ids.

    Attributes:
        name: Its name, as source keys have it.
        path: The file.
        code: How its ids are to be understood.
        storage: How it holds them.
        drop: Ids that go.
        change: Source key and new pixels by id.
        add: New masks, each with its position among the edits.
        ignore: Source key by id of masks whose pixels become void.
        relabel: New category by id.
    """

    name: str
    path: Path
    code: IdCode
    storage: IdStorage
    drop: set[int] = field(default_factory=set)
    change: dict[int, tuple[str, bytes]] = field(default_factory=dict)
    add: list[tuple[int, Addition]] = field(default_factory=list)
    ignore: dict[int, str] = field(default_factory=dict)
    relabel: dict[int, str] = field(default_factory=dict)

    @property
    def has_new_pixels(self) -> bool:
        """Whether pixels of the file change, and not only what they are called."""
        return bool(self.drop or self.change or self.add or self.ignore)

    def clashes(self) -> list[Clash]:
        """Return which new pixels belong to other masks."""
        if not self.change and not self.add and not self.ignore:
            return []
        return self.divide(self.storage.open(self.path), None).clashes

    def write(self, source: Path, target: BinaryIO, overlap: str | None, tally: PixelTally) -> None:
        """Write the file anew.

        Args:
            source: The file.
            target: Where to.
            overlap: Whose a pixel is that two masks claim; see :class:`Division`.
            tally: Counts what became of new pixels.

        Raises:
            CallError: It has no such id, no id is left, or a mask would lose all its pixels.
            SourceError: It cannot be read.
        """
        if not self.change and not self.add and not self.ignore:
            self.storage.write(source, target, self.drop, None)
            return
        opened = self.storage.open(self.path)
        division = self.divide(opened, overlap)
        for key, counts in division.find_cut_masks(self.name, opened.ids, opened.runs):
            tally.held[key] = counts
        tally.runs += len(self.change) + len(self.add)
        gone = self.drop | self.change.keys() | self.ignore.keys()
        self.storage.write(source, target, gone, division.paint())

    def divide(self, opened: IdFile, overlap: str | None) -> Division:
        """Divide the pixels among masks that change, come and stay.

        Args:
            opened: The file, as :attr:`storage` opens it.
            overlap: Whose a pixel is that two masks claim; see :class:`Division`.

        Raises:
            CallError: It has no such id, or no id is left.
        """
        size, missing = opened.size, {*self.change, *self.ignore} - set(opened.ids)
        if missing:
            raise CallError(f"it has no mask with the id {min(missing)}", str(self.path))
        claims = [
            Claim(key, key, value, new_runs(counts, size, key))
            for value, (key, counts) in self.change.items()
        ]
        void = self.code.void_in(opened.palette)
        claims += self._voided(opened, void)
        for value, one, position in self._number(opened):
            image_size(size, one.height, one.width, self.name)
            mask = new_runs(one.counts, size, self.name)
            claims.append(Claim(position, f"the mask added to {self.name}", value, mask))
        others = {value for value in opened.ids if not self.code.is_instance(value)}
        gone = (self.drop | self.change.keys() | self.ignore.keys() | others) - void
        if any(one.over_void for _, one in self.add):
            gone, void = gone | void, frozenset[int]()
        return Division(claims, gone, opened.read, overlap, void)

    def find_changed_pixels(self, opened: IdFile, overlap: str | None) -> ChangedPixels | None:
        """Return the part of the image where ids change or are called otherwise; None for none.

        Args:
            opened: The file, as :attr:`storage` opens it.
            overlap: Whose a pixel is that two masks claim; see :class:`Division`.

        Raises:
            CallError: It has no such id, or no id is left.
        """
        gone = {*self.drop, *self.change, *self.ignore}
        touched = gone | self.relabel.keys()
        if missing := touched - set(opened.ids):
            raise CallError(f"it has no mask with the id {min(missing)}", str(self.path))
        claims = self.change or self.add or self.ignore
        paint = self.divide(opened, overlap).paint() if claims else None
        places = np.flatnonzero(np.isin(opened.ids, list(touched)))
        boxes = [tuple(box) for box in rle.bbox(opened.runs[places]).tolist()]
        if paint is not None:
            boxes.append((paint.x, paint.y, paint.ids.shape[1], paint.ids.shape[0]))
        if not boxes:
            return None
        window = _surround(boxes)
        old = opened.read(window).astype(np.int32)
        new = np.where(np.isin(old, list(gone)), np.int32(0), old)
        if paint is not None:
            x, y = paint.x - window[0], paint.y - window[1]
            part = new[y : y + paint.ids.shape[0], x : x + paint.ids.shape[1]]
            part[:] = np.where(paint.ids > 0, paint.ids, part)
        return ChangedPixels(window, old, new)

    def _number(self, opened: IdFile) -> Iterator[tuple[int, Addition, int]]:
        """Yield the id of each new mask, the mask, and its position among the edits."""
        taken, void = set(opened.ids), self.code.void_in(opened.palette)
        for position, one in self.add:
            ids = self.code.range_of(one.category, self.name)
            ids = range(ids.start, min(ids.stop, opened.largest + 1), ids.step)
            blocked = self.code.block(taken, ids)
            value = one.wanted_id
            if value is None or value in blocked | void or value not in ids:
                value = free_id(blocked, void, ids, str(self.path), self.storage.noun)
            taken.add(value)
            yield value, one, position

    def find_new_ids(self, opened: IdFile) -> dict[int, str | None]:
        """Return the category of each mask that is added, by the id that it gets."""
        return {value: one.category for value, one, _ in self._number(opened)}

    def _voided(self, opened: IdFile, void: AbstractSet[int]) -> Iterator[Claim]:
        """Yield the masks that become void, as claims of the void id on their own pixels.

        Raises:
            CallError: The file has no void id.
        """
        number = max((one for one in void if 0 < one <= opened.largest), default=0)
        if self.ignore and not number:
            what = f"this {self.storage.noun} has no void id for a mask that is to be ignored"
            do = "audit it with --void N, N being the id that training leaves out"
            raise CallError(what, str(self.path), do)
        places = {one: i for i, one in enumerate(opened.ids)}
        for value, key in self.ignore.items():
            yield Claim(key, key, number, opened.runs[np.array([places[value]])])


def _surround(boxes: Iterable[Box]) -> Box:
    """Return the smallest box around some."""
    found = np.array(list(boxes), np.int64)
    x, y = found[:, :2].min(axis=0).tolist()
    right, bottom = (found[:, :2] + found[:, 2:]).max(axis=0).tolist()
    return x, y, right - x, bottom - y


def refuse_clashes(source: Path, files: Iterable[IdFileEdits]) -> None:
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
