"""Writer of PNGs of instance ids: masks removed, changed and added."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from curate.common.arrays import AnyArray
from curate.dataset.notes import count_noun, plural
from curate.errors import CallError, SourceError
from curate.formats.edits import Addition, Edits
from curate.formats.new_pixels import PixelTally, image_size, new_runs
from curate.formats.png.id_claims import Box, Claim, Clash, Division, free_id
from curate.formats.png.id_codes import IdCode
from curate.formats.png.id_masks import ids_of, read_ids
from curate.formats.png.id_rewriting import largest_id, write_ids
from curate.formats.png.png_reading import PictureProblem, read_header, read_pixels


def by_png(
    source: Path, edits: Edits, paths: Mapping[str, Path], code: IdCode
) -> dict[str, PngEdits]:
    """Group edits by PNG.

    Args:
        source: The dataset.
        edits: All that changes.
        paths: All its PNGs, by name as source keys have it.
        code: How its ids are to be understood.

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
        for key, counts in division.held(self.name, opened.ids, opened.runs):
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

    Args:
        source: The dataset.
        files: What changes in its PNGs.

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
