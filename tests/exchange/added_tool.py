"""A tool of another package: a JSON object a line, each a picture with masks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from curate.formats.segmentation import read_segmentation
from curate.people.exchange.imported_images import (
    UNREAD,
    ImageExport,
    ImageFilter,
    ImportedImage,
    ImportedMask,
)
from curate.people.exchange.queue_images import group_by_image
from curate.people.exchange.registry import ExchangeTool, ExportOptions, QueueWriter
from curate.people.exchange.tool_export import export_reader
from curate.rle import encode_counts
from curate.store.audit import StoredAudit


def write_lines(audit: StoredAudit, rows: pd.DataFrame, out: Path, how: ExportOptions) -> int:
    lines = []
    for view in group_by_image(audit, rows):
        counts = [one.decode() for one in encode_counts(view.runs).to_pylist()]
        ids = [row["mask_id"] for row in view.rows]
        size = [view.height, view.width]
        lines.append({"name": view.file_name, "size": size, "ids": ids, "counts": counts})
    out.write_text("\n".join(map(json.dumps, lines)))
    return len(rows)


def read_lines(path: Path, wanted: ImageFilter) -> Iterator[ImportedImage]:
    for line in map(json.loads, path.read_text().splitlines()):
        image = ImportedImage(line["name"], tuple(line["size"]))
        read = wanted([image])[0]
        for number, counts in zip(line["ids"], line["counts"], strict=True):
            rle = {"size": line["size"], "counts": counts}
            mask = read_segmentation(rle, *image.size) if read else UNREAD
            image.shapes.append(ImportedMask(number, mask, None, f"mask {number}"))
        yield image


LINES = ExchangeTool(
    "lines",
    QueueWriter("Lines", write_lines),
    export_reader("Lines", ImageExport(lambda path: path.suffix == ".lines", read_lines)),
)
ONLY_OUT = ExchangeTool("only-out", QueueWriter("Only out", write_lines))
TAKEN = ExchangeTool("coco", QueueWriter("Not COCO", write_lines))
