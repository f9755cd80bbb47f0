"""Writer of Open Images datasets: rows change, PNGs are redrawn in the size of the picture."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from curate import rle
from curate.errors import CallError
from curate.formats.copying import Edit, copy_with_edits, splice
from curate.formats.csv.csv_records import Record, spell_like
from curate.formats.csv.row_places import csv_rows_of
from curate.formats.edits import Addition, Change, Edits, Stored
from curate.formats.format import ReadOptions, convert_read_errors
from curate.formats.named_pictures import find_named, size_and_status
from curate.formats.new_pixels import PixelTally, image_size, new_runs, refuse_polygons
from curate.formats.open_images.layout import Folders, MaskColumns, class_labels, find_lists
from curate.formats.png.mask_files import mask_size
from curate.formats.png.mask_pngs import mask_png, redraw
from curate.formats.table_builder import plain

Piece = tuple[int, int, bytes]

_NO_OPTIONS = ReadOptions()
_KEY = re.compile(r"(.+):([0-9]{1,18})", re.DOTALL | re.ASCII)


@dataclass
class _ListEdits:
    """Changes of one list: by line, and masks that come by their image."""

    drop: set[int] = field(default_factory=set)
    change: dict[int, tuple[str, Change]] = field(default_factory=dict)
    add: dict[str, list[Addition]] = field(default_factory=dict)


def write(
    source: Path, out: Path | None, edits: Edits, options: ReadOptions = _NO_OPTIONS
) -> Stored:
    """Copy with other rows and PNGs for the masks that go, change or come.

    A new or redrawn mask is stored in the size of its picture. Boxes stay: they are those in which
    masks were drawn.
    """
    refuse_polygons(edits, str(source))
    edits.refuse_attributes(str(source))
    lists = {plain(name): (name, columns) for name, columns in find_lists(source)}
    writer = _OpenImagesWriter(source, options)
    asked = _by_list(source, lists, edits)
    for key, mine in asked.items():
        writer.take(*lists[key], mine)
    writer.finish([one for key, one in lists.items() if key not in asked])
    copy_with_edits(source, out, writer.changes, writer.new)
    return writer.tally.count_stored()


def _by_list(
    source: Path, lists: dict[str, tuple[str, MaskColumns]], edits: Edits
) -> dict[str, _ListEdits]:
    made: dict[str, _ListEdits] = {}

    def of(key: str) -> tuple[_ListEdits, int]:
        found = _KEY.fullmatch(key)
        if not found or found[1] not in lists:
            raise CallError(f"{key} names no mask of it", str(source))
        return made.setdefault(found[1], _ListEdits()), int(found[2])

    for key in edits.drop:
        mine, line = of(key)
        mine.drop.add(line)
    for key, change in edits.change.items():
        mine, line = of(key)
        mine.change[line] = key, change
    for one in edits.add:
        name, _, image = one.image_key.partition("#")
        if name not in lists or not image:
            raise CallError(f"{one.image_key} names no image of it", str(source))
        made.setdefault(name, _ListEdits()).add.setdefault(image, []).append(one)
    return made


class _OpenImagesWriter:
    """Works out what changes in a dataset's files."""

    def __init__(self, source: Path, options: ReadOptions) -> None:
        self.changes: dict[str, Edit | None] = {}
        self.new: dict[str, bytes] = {}
        self.tally = PixelTally()
        self._source, self._options, self._folders = source, options, Folders(source)
        self._labels = class_labels(source)
        self._codes = {name: code for code, name in reversed(self._labels.items())}
        self._rows, self._gone = Counter[str](), Counter[str]()  # that name a PNG, and that go
        self._redrawn: dict[str, Path] = {}  # list by PNG

    def take(self, name: str, columns: MaskColumns, edits: _ListEdits) -> None:
        """Work out the changes of one list."""
        path, pieces = self._source / name, list[Piece]()
        with convert_read_errors(path), path.open("rb") as file:
            newline = b"\r\n" if file.readline().endswith(b"\r\n") else b"\n"
        rows = self._read_rows(path, columns, edits)
        for record in csv_rows_of(path):
            png = record.text(columns.path)
            self._rows[png] += 1
            if record.line in edits.drop:
                self._gone[png] += 1
                pieces.append((record.start, record.stop, b""))
            elif record.line in edits.change:
                if edits.change[record.line][1].counts is not None:
                    self._redrawn[png] = path
                pieces += self._change(record, columns, rows, *edits.change[record.line])
        for image, added in edits.add.items():
            last = rows[image][-1]
            new = self._add(image, rows[image], columns, added)
            if last.line in edits.drop:
                pieces.append((last.start, last.start, b"".join(row + newline for row in new)))
            else:
                pieces.append((last.end, last.end, b"".join(newline + row for row in new)))
        pieces.sort(key=lambda piece: piece[:2])
        self.changes[plain(name)] = partial(splice, pieces=pieces)

    def finish(self, others: Sequence[tuple[str, MaskColumns]]) -> None:
        """Remove the PNGs that no row names any more, once all edited lists were taken.

        Args:
            others: The lists without edits.

        Raises:
            CallError: A PNG is to be redrawn that another row names, too.
        """
        touched = {*self._gone, *self._redrawn}
        for name, columns in others if touched else ():
            for record in csv_rows_of(self._source / name):
                png = record.text(columns.path)
                self._rows[png] += png in touched
        for png, path in self._redrawn.items():
            if self._rows[png] > 1:
                what = f"{self._rows[png]} rows name the PNG {png!r}, so it cannot be changed alone"
                raise CallError(what, str(path), "reject the others first")
        for png, count in self._gone.items():
            where = self._folders.find(png, "mask")
            if where and self._rows[png] == count:
                self.changes[plain(where)] = None

    def _read_rows(
        self, path: Path, columns: MaskColumns, edits: _ListEdits
    ) -> dict[str, list[Record]]:
        """Return all rows of the images that get new pixels, by the image's key.

        Raises:
            CallError: An edit names no row, or no image.
        """
        left = {*edits.drop, *edits.change}
        touched = set(edits.add)
        for record in csv_rows_of(path):
            left.discard(record.line)
            if record.line in edits.change:
                touched.add(plain(record.text(columns.image)))
        name = plain(path.relative_to(self._source).as_posix())
        for line in sorted(left):
            raise CallError(f"{name}:{line} names no mask of it", str(self._source))
        rows: dict[str, list[Record]] = {}
        for record in csv_rows_of(path):
            image = plain(record.text(columns.image))
            if image in touched:
                rows.setdefault(image, []).append(record)
        for image in sorted(touched - rows.keys()):
            raise CallError(f"{name}#{image} names no image of it", str(self._source))
        return rows

    def _size_of(self, rows: list[Record], columns: MaskColumns) -> tuple[int, int]:
        """Return height and width of an image: of its picture, else of most of its masks."""
        image = rows[0].text(columns.image)
        if self._options.images is not None:
            found = find_named(self._source / "any", [image], self._options)
            size, _, _ = size_and_status(found.folder, found.paths.get(image, ""))
        else:
            size, _, _ = size_and_status(self._source, self._folders.find_picture(image))
        if size != (0, 0):
            return size
        paths = (self._folders.find(record.text(columns.path), "mask") for record in rows)
        return mask_size(self._source / path for path in paths if path)

    def _change(
        self,
        record: Record,
        columns: MaskColumns,
        rows: dict[str, list[Record]],
        key: str,
        change: Change,
    ) -> list[Piece]:
        if change.counts is not None:
            where = self._folders.find(record.text(columns.path), "mask")
            if not where:
                raise CallError("its PNG is missing, so it cannot be redrawn", key, "reject it")
            size = self._size_of(rows[plain(record.text(columns.image))], columns)
            mask = new_runs(change.counts, size, key)
            self.changes[plain(where)] = partial(redraw, mask=mask, where=key)
            self.tally.runs += 1
        if change.category is None or columns.label >= len(record.fields):
            return []
        code = self._code(change.category, key)
        new = spell_like(code.encode("utf-8"), record.fields[columns.label])
        return [(*record.place(columns.label), new)]

    def _code(self, category: str, key: str) -> str:
        """Return the code of a class by its name."""
        code = self._codes.get(category)
        if code is not None:
            return code
        if category not in self._labels and self._labels:
            what = f"the class {category!r} is not among the class descriptions"
            raise CallError(what, key, "add it there, or write another format with --to")
        if not category or category != category.strip() or not category.isprintable():
            raise CallError(f"{category!r} cannot be the code of a class", key, "choose another")
        return category

    def _add(
        self, image: str, rows: list[Record], columns: MaskColumns, added: list[Addition]
    ) -> list[bytes]:
        """Return the rows of masks that come, and put their PNGs beside the others."""
        size = self._size_of(rows, columns)
        paths = (self._folders.find(record.text(columns.path), "mask") for record in rows)
        folder = next((path.rpartition("/")[0] for path in paths if path), None)
        if folder is None:
            what = "no PNG of its masks is there, so nothing tells where a new one belongs"
            raise CallError(what, image, "mend the paths of its masks first")
        made = []
        for number, one in enumerate(added):
            key = one.image_key
            height, width = image_size(size, one.height, one.width, key)
            mask = new_runs(one.counts, (height, width), key)
            if one.category is None:
                what = "the added mask has no category, and each row has one"
                raise CallError(what, key, "say which one it gets with --category NAME")
            code = self._code(one.category, key)
            box = hashlib.blake2b(b"%d %b" % (number, one.counts), digest_size=4).hexdigest()
            name = f"{rows[0].text(columns.image)}_{code.replace('/', '')}_{box}.png"
            if "/" in name or "\\" in name or len(name.encode()) > 250:
                raise CallError(f"no PNG can be called {name[:80]!r}", key, "choose another class")
            self.new[f"{folder}/{name}" if folder else name] = mask_png(mask, key)
            self.tally.runs += 1
            made.append(_row(rows[-1], columns, name, code, box, mask))
        return made


def _row(
    like: Record, columns: MaskColumns, name: str, code: str, box: str, mask: rle.Runs
) -> bytes:
    """Return a row of the list; what nobody knows of it is left empty."""
    fields = [b""] * columns.count
    old = [*like.fields, *fields]
    values = {columns.path: name, columns.label: code, columns.box: box}
    fields[columns.image] = old[columns.image]
    x, y, w, h = (int(side) for side in rle.bbox(mask)[0])
    height, width = int(mask.heights[0]), int(mask.widths[0])
    sides = (x / width, (x + w) / width, y / height, (y + h) / height)
    values |= {at: f"{side:.6f}" for at, side in zip(columns.sides, sides, strict=True)}
    for at, value in values.items():
        if at >= 0:
            fields[at] = spell_like(value.encode("utf-8", "surrogateescape"), old[at])
    return b",".join(fields)
