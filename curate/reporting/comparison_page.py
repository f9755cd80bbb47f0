"""Page of a comparison: counts, tables, plots, and changed masks, before and after."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from curate.common import files
from curate.common.paths import AnyPath, check_folder
from curate.images import ImageFolder, window
from curate.render.crops import SHOWN_BYTES, DatasetImages
from curate.render.mask_drawing import Drawing, Painter
from curate.reporting.page_templates import render_template
from curate.reporting.plain_values import as_plain
from curate.rle import bbox, decode_counts
from curate.store.audit_files import writing

MOST_CHANGES = 48
"""Changed masks that are drawn."""

BYTES_OF_A_PICTURE = 24_000


@dataclass(frozen=True)
class ChangedMask:
    """A mask before and after.

    Attributes:
        label: The mask, in words.
        what: What happened to it.
        file_name: Its image.
        height: Of the image.
        width: Of the image.
        before: COCO counts; None where it was not there.
        after: COCO counts; None where it is gone.
        iou: Of both; None where there is none.
        drawing: Before and after over each other; None before it is drawn.
    """

    label: str
    what: str
    file_name: str
    height: int
    width: int
    before: bytes | None
    after: bytes | None
    iou: float | None = None
    drawing: Drawing | None = None


@dataclass(frozen=True)
class ComparedTable:
    """A table of a comparison: its heading, the names of its columns, its rows as text."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class ComparedPlot:
    """A plot of a comparison, as an SVG element."""

    title: str
    svg: str


@dataclass(frozen=True)
class ComparisonValues:
    """All that the page of a comparison shows.

    Attributes:
        title: What is compared.
        names: What is compared, before and after.
        counts: (what, how many).
        tables: Further numbers.
        changes: Changed masks, those to draw.
        total: Changed masks in all.
        plots: Plots, before beside after.
        plot_style: Style sheet of their classes.
    """

    title: str
    names: tuple[str, str]
    counts: Sequence[tuple[str, int]]
    tables: Sequence[ComparedTable]
    changes: Sequence[ChangedMask]
    total: int
    plots: Sequence[ComparedPlot] = ()
    plot_style: str = ""


def write_comparison(path: Path, values: ComparisonValues, images: AnyPath | None) -> None:
    """Write the page of a comparison.

    Args:
        path: The file; replaced in one step.
        values: What it shows.
        images: Folder of the pictures; without it masks stand on a neutral ground.

    Raises:
        CurateError: There is no such folder, or the file cannot be written.
    """
    check_folder(images)
    folder = ImageFolder(Path(images), SHOWN_BYTES) if images else None
    pictures: dict[str, str] = {}
    drawn = [_store(one, k, pictures) for k, one in enumerate(_draw(values.changes, folder))]
    plain = as_plain(replace(values, changes=drawn))
    assert isinstance(plain, dict)
    text = render_template("comparison.html", plain | {"pictures": dict(pictures)})
    with writing(path) as temporary:
        files.write_text(temporary, text, errors="replace")


def _store(one: ChangedMask, number: int, pictures: dict[str, str]) -> ChangedMask:
    if one.drawing is None or not one.drawing.picture:
        return one
    name = f"picture-{number}"
    pictures[name] = one.drawing.picture
    return replace(one, drawing=replace(one.drawing, picture=name))


def _draw(changes: Sequence[ChangedMask], folder: ImageFolder | None) -> Iterable[ChangedMask]:
    """Yield changed masks with both outlines over each other."""
    sizes = [np.array([getattr(one, name) for one in changes] * 2) for name in ("height", "width")]
    counts = [*(one.before for one in changes), *(one.after for one in changes)]
    runs, _ = decode_counts(counts, *sizes)
    boxes, n = bbox(runs).tolist(), len(changes)
    painter = Painter({k: k for k in range(2 * n)}, runs, DatasetImages(folder), BYTES_OF_A_PICTURE)
    for k, one in enumerate(changes):
        there = [tuple(map(float, boxes[i])) for i in (k, n + k) if boxes[i][2] > 0]
        box = window((one.width, one.height), [(x, y, w, h) for x, y, w, h in there])
        if box is None:
            yield one
            continue
        row: Mapping[str, object] = {
            "mask_id": k,
            "file_name": one.file_name,
            "width": one.width,
            "height": one.height,
        }
        yield replace(one, drawing=painter.draw(row, box, n + k, ()))
