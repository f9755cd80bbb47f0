"""Folders of amg.py: PNGs and a CSV of one image."""

from __future__ import annotations

import os
import re
from collections import Counter
from functools import partial
from pathlib import Path

from curate import rle
from curate.errors import CallError
from curate.formats.amg.metadata_csv import SHEET, Sheet
from curate.formats.copying import Edit, find_cuts, list_entries, splice
from curate.formats.edits import Edits
from curate.formats.new_pixels import (
    PixelTally,
    image_size,
    new_runs,
    refuse_categories,
    refuse_polygons,
)
from curate.formats.png.mask_files import mask_size, read_masks
from curate.formats.png.mask_pngs import mask_png, redraw
from curate.formats.segmentation import Segmentation
from curate.formats.table_builder import TableBuilder, number, plain, with_problems

COLUMNS = {
    "area": "declared_area",
    "bbox_x0": "declared_x",
    "bbox_y0": "declared_y",
    "bbox_w": "declared_w",
    "bbox_h": "declared_h",
    "point_input_x": "prompt_x",
    "point_input_y": "prompt_y",
    "predicted_iou": "predicted_iou",
    "stability_score": "stability_score",
    "crop_box_x0": "crop_x",
    "crop_box_y0": "crop_y",
    "crop_box_w": "crop_w",
    "crop_box_h": "crop_h",
}
"""Columns of the CSV and what they are called here."""

MASK_NAME = re.compile(r"[0-9]+\.png", re.IGNORECASE)
"""What the PNGs of masks are called."""


class _Entry:
    """One mask of a folder: its key, its PNG and its line of the CSV."""

    def __init__(self, key: str, png: str, values: dict[str, str] | None = None) -> None:
        self.key, self.png = key, png
        self.values = values if values is not None else {}
        self.problems: list[str] = []
        self.again = False


def _entries(source: Path, name: str) -> tuple[Sheet, list[_Entry], list[str]]:
    """List the masks of a folder: the CSV's records in order, then the PNGs that it lacks.

    Returns:
        The CSV, its masks followed by the others, and the names of these others.
    """
    sheet = Sheet(source / name / SHEET)
    below = f"{name}/" if name else ""
    names = {e.name for e in list_entries(source / name) if MASK_NAME.fullmatch(e.name)}
    by_number = {f"{int(n[:-4])}.png": n for n in sorted(names, reverse=True)}
    found, claimed = [], set[str]()
    for line, png, values, problems in sheet.rows():
        real = by_number.get(png, png)
        unique = png and real not in claimed
        entry = _Entry(f"{below}{real}" if unique else f"{below}{SHEET}:{line}", real, values)
        entry.problems, entry.again = problems, bool(png) and not unique
        claimed.add(real)
        found.append(entry)
    others = sorted(names - claimed, key=lambda n: (int(n[:-4]), n))
    return sheet, [*found, *(_Entry(f"{below}{n}", n) for n in others)], others


def load_folder(rows: TableBuilder, source: Path, name: str, key: str) -> None:
    """Read one folder's masks into ``rows``.

    Args:
        rows: What collects them.
        source: The source.
        name: The folder's path under it; "" for the source itself.
        key: Source key of the image.
    """
    folder = source / name
    sheet, found, others = _entries(source, name)
    size, masks = read_masks([folder / e.png if e.png else None for e in found], None)
    detail = sheet.problem
    if not detail and others:
        some = ", ".join(others[:3]) + (", ..." if len(others) > 3 else "")
        detail = f"{len(others)} PNGs are not in {SHEET}: {some}"
    if not masks and not detail:
        detail = "it has no masks, so its size is not known"
    status = "unreadable" if sheet.problem else "ok"
    title = name or folder.resolve().name
    image = rows.image(title, size, status, detail, source_key=key, named_by_place=not name)
    for entry, mask in zip(found, masks, strict=True):
        stored = {}
        for column, ours in COLUMNS.items():
            stored[ours], problem = number(entry.values.get(column), column)
            entry.problems.append(problem)
        mask = with_problems(mask, entry.problems)
        if entry.again and mask.status == "ok":
            detail = f"an earlier line of {SHEET} has the same id"
            mask = Segmentation(mask.counts, "duplicate_id", detail)
        mask_id = int(entry.png[:-4]) if entry.png else None
        rows.mask(entry.key, image, mask, mask_id, stored)


def edit_folder(
    source: Path, name: str, edits: Edits, tally: PixelTally
) -> tuple[dict[str, Edit | None], dict[str, bytes]]:
    """Work out what changes in one folder.

    Args:
        source: The source.
        name: The folder's path under it; "" for the source itself.
        edits: What changes in this folder, and only that.
        tally: Counts what becomes of new pixels.

    Returns:
        Changed files and new ones, as :func:`curate.formats.copying.copy_with_edits` takes them.

    Raises:
        CallError: A key names nothing, or the folder cannot hold what is asked.
    """
    where = str(source / name)
    edits.refuse_attributes(where)
    refuse_categories(edits, where)
    refuse_polygons(edits, where)
    return _FolderEdits(source, name, edits, tally).build_files()


class _FolderEdits:
    def __init__(self, source: Path, name: str, edits: Edits, tally: PixelTally) -> None:
        self.folder, self.below = source / name, f"{name}/" if name else ""
        self.edits, self.tally = edits, tally
        self.sheet, self.entries, _ = _entries(source, name)
        self.places = {plain(entry.key): i for i, entry in enumerate(self.entries)}
        staying = (entry for entry in self.entries if plain(entry.key) not in edits.drop)
        self.staying = Counter(entry.png for entry in staying)
        self.changes: dict[str, Edit | None] = {}
        self.new: dict[str, bytes] = {}
        self.pieces: list[tuple[int, int, bytes]] = []
        for key in (*edits.drop, *edits.change):
            if key not in self.places:
                raise CallError(f"{key} names no mask of it", str(source))

    def build_files(self) -> tuple[dict[str, Edit | None], dict[str, bytes]]:
        """Return changed files and new ones."""
        self._drop()
        drawn = {k: one.counts for k, one in self.edits.change.items() if one.counts is not None}
        if drawn or self.edits.add:
            paths = [self.folder / entry.png for entry in self.entries if entry.png]
            size = mask_size(paths)
            for key, counts in drawn.items():
                self._redraw(key, new_runs(counts, size, key))
            self._add(size)
        if self.pieces:
            pieces = sorted(self.pieces, key=lambda piece: piece[:2])
            self.changes[plain(self.below + SHEET)] = partial(splice, pieces=pieces)
        return self.changes, self.new

    def _drop(self) -> None:
        """Drop lines, and PNGs that no other line names."""
        drop = self.edits.drop
        for key in drop:
            png = self.entries[self.places[key]].png
            if png and png not in self.staying and os.path.lexists(self.folder / png):
                self.changes[plain(self.below + png)] = None
        gone = [plain(entry.key) in drop for entry in self.entries[: len(self.sheet.records)]]
        self.pieces += find_cuts(self.sheet.spans, lambda i: i > 0 and gone[i - 1])

    def _redraw(self, key: str, mask: rle.Runs) -> None:
        place = self.places[key]
        png = self.entries[place].png
        if not png:
            what = f"its line of {SHEET} names no PNG, so it cannot be changed"
            raise CallError(what, key, "mend its id, or reject the mask")
        if self.staying[png] > 1:
            what = (
                f"{self.staying[png]} lines of {SHEET} name its PNG, so it cannot be changed alone"
            )
            raise CallError(what, key, "reject the others, or give them PNGs of their own")
        if os.path.lexists(self.folder / png):
            self.changes[plain(self.below + png)] = partial(redraw, mask=mask, where=key)
        else:
            self.new[self.below + png] = mask_png(mask, key)
        if place < len(self.sheet.records):
            self.pieces += self.sheet.replace_fields(place, _measure(mask))
        self.tally.runs += 1

    def _add(self, size: tuple[int, int]) -> None:
        numbers = [int(entry.png[:-4]) for entry in self.entries if entry.png]
        first = max(numbers, default=-1) + 1
        lines = []
        for i, one in enumerate(self.edits.add, first):
            height, width = image_size(size, one.height, one.width, one.image_key)
            mask = new_runs(one.counts, (height, width), one.image_key)
            self.new[f"{self.below}{i}.png"] = mask_png(mask, one.image_key)
            crop = {"crop_box_x0": 0, "crop_box_y0": 0, "crop_box_w": width, "crop_box_h": height}
            lines.append({"id": i} | _measure(mask) | crop)
            self.tally.runs += 1
        self.pieces += self.sheet.append_records(lines)


def _measure(mask: rle.Runs) -> dict[str, int]:
    """Return area and box as SAM's generator writes them: w and h are one less than the pixels."""
    x, y, w, h = (int(side) for side in rle.bbox(mask)[0])
    box = {"bbox_x0": x, "bbox_y0": y, "bbox_w": w - 1, "bbox_h": h - 1}
    return {"area": int(rle.area(mask)[0])} | box
