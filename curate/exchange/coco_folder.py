"""A queue as a folder of pictures with a COCO file: what FiftyOne reads, and COCO for crops."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pandas as pd

from curate import files
from curate.curation.audits import dataset_version
from curate.exchange.labels import Labels
from curate.exchange.picture_names import PictureNames
from curate.exchange.tool_coco import info_of_queue
from curate.exchange.views import (
    ExportedView,
    check_pictures,
    crops,
    pictures_of,
    save_picture,
    whole_images,
)
from curate.exchange.writers import DUMP, Outgoing
from curate.formats.base import new_folder
from curate.rle import area, bbox, encode
from curate.store import Audit

Annotate = Callable[[dict[str, Any], dict[str, Any], int], dict[str, Any]]
"""(a row of the queue, the mask's RLE, its category's number) to an annotation."""


@dataclass(frozen=True)
class FolderLayout:
    """How such a folder is laid out.

    Attributes:
        tool: Who reads it, for messages.
        labels: Name of the COCO file.
        pictures: Name of the folder of pictures.
        annotate: Makes an annotation.
    """

    tool: str
    labels: str
    pictures: str
    annotate: Annotate


def write_coco_folder(
    audit: Audit, rows: pd.DataFrame, out: Path, how: Outgoing, layout: FolderLayout
) -> int:
    """Write a queue as a folder of pictures with a COCO file.

    Args:
        audit: The audit it is of.
        rows: The queue.
        out: The folder.
        how: Crops, or whole images if that is left open.
        layout: Names, and what an annotation looks like.

    Returns:
        How many masks stand in it: those whose picture cannot be shown do not.

    Raises:
        CallError: There are no pictures.
    """
    folder = check_pictures(pictures_of(audit, how), layout.tool)
    names = PictureNames(audit)
    labels = Labels(audit)
    number = {name: k for k, name in enumerate(labels.listed(), 1)}
    head = {
        "info": info_of_queue(audit.path.name, dataset_version(audit)),
        "categories": [{"id": k, "name": name, "supercategory": ""} for name, k in number.items()],
    }
    images: list[bytes] = []
    written = 0
    with new_folder(out) as made:
        files.mkdir(made / layout.pictures)
        with files.open_file(made / layout.labels) as file:
            file.write(orjson.dumps(head, option=DUMP)[:-1] + b',"annotations":[')
            for view in crops(audit, rows) if how.crops else whole_images(audit, rows):
                name = names.of(view, crop=bool(how.crops))
                if not save_picture(folder, view, made / layout.pictures / name):
                    continue
                image = {"id": len(images) + 1, "file_name": name}
                image |= {"width": view.box.w, "height": view.box.h}
                images.append(orjson.dumps(image))
                ids = [number[labels.of(record)] for record in view.rows]
                for one in _annotations(view, len(images), ids, layout.annotate):
                    file.write((b",\n" if written else b"\n") + orjson.dumps(one, option=DUMP))
                    written += 1
            file.write(b'\n],"images":[\n' + b",\n".join(images) + b"\n]}\n")
    return written


def _annotations(
    view: ExportedView, image: int, categories: list[int], annotate: Annotate
) -> Iterator[dict[str, Any]]:
    """Yield the annotations of a view: its masks as seen in its window."""
    counts, boxes = encode(view.runs).to_pylist(), bbox(view.runs).tolist()
    areas = area(view.runs).tolist()
    for k, record in enumerate(view.rows):
        mask = {"size": [view.box.h, view.box.w], "counts": counts[k].decode("ascii")}
        seen = {"image_id": image, "area_px": areas[k]}
        seen |= {f"bbox_{side}": boxes[k][at] for at, side in enumerate("xywh")}
        yield annotate(record | seen, mask, categories[k])
