"""A queue as a COCO instances file, or as a folder of crops with one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pandas as pd

from curate.curation.audits import dataset_version, source_of
from curate.curation.columns import plain
from curate.errors import CallError
from curate.exchange.coco_folder import FolderLayout, write_coco_folder
from curate.exchange.labels import Labels, names_of
from curate.exchange.tool_coco import info_of_queue
from curate.exchange.views import needs_pictures
from curate.exchange.writers import BATCH, DUMP, Outgoing, records
from curate.formats.base import new_file
from curate.store import Audit


def write_coco(audit: Audit, rows: pd.DataFrame, out: Path, how: Outgoing) -> int:
    """Write a queue as a COCO instances file that pycocotools loads.

    Masks are run lengths (also where the source has polygons), ``iscrowd`` is the true one, ids are
    ``mask_id``, and everything that the audit knows stands under ``attributes``, the ``mask_id``
    once more: tools number ids anew. A mask without a segmentation cannot stand in such a file and
    is left out; one that two people shall see stands there once. Crops are a folder with
    ``instances.json`` and ``images/``.

    Raises:
        CallError: Crops are asked for, and there are no pictures.
    """
    if how.crops:
        layout = FolderLayout("COCO", "instances.json", "images", _annotation)
        return write_coco_folder(audit, rows, out, how, layout)
    rows = rows.drop_duplicates("mask_id").reset_index(drop=True)
    categories, numbers = _categories(audit, rows)
    images = _images(audit, rows)
    info = info_of_queue(source_of(audit).get("path", audit.path), dataset_version(audit))
    written = 0
    with new_file(out) as file:
        head = {"info": info, "licenses": [], "images": images, "categories": categories}
        file.write(orjson.dumps(head, option=DUMP)[:-1] + b',"annotations":[')
        for start in range(0, len(rows), BATCH):
            batch = rows.iloc[start : start + BATCH]
            masks = _segmentations(audit, batch)
            for record, number in zip(records(batch), numbers[start : start + BATCH], strict=True):
                mask = masks.get(record["mask_id"])
                if mask is not None:
                    annotation = _annotation(record, mask, int(number))
                    separator = b",\n" if written else b"\n"
                    file.write(separator + orjson.dumps(annotation, option=DUMP))
                    written += 1
        file.write(b"\n]}\n")
    return written


def check_coco(audit: Audit, out: Path, how: Outgoing) -> None:
    """See that a queue can be written as asked for; a writer's ``check``.

    Raises:
        CallError: Crops are asked for, and ``out`` is the name of a file, or there are no pictures;
            or pictures are given for whole images, of which only the masks are written.
    """
    if not how.crops and how.images is not None:
        what = "whole images as COCO are a file of masks, without pictures"
        raise CallError(what, "--images", "leave it out, or add --crops")
    if how.crops and out.suffix.lower() == ".json":
        what = "crops are a folder of pictures with their JSON"
        raise CallError(what, str(out), "give a name without .json")
    needs_pictures("COCO", whole=False)(audit, out, how)


def _segmentations(audit: Audit, rows: pd.DataFrame) -> dict[int, dict[str, Any]]:
    if not len(rows):
        return {}
    ids = ", ".join(map(str, rows["mask_id"].tolist()))
    found = audit.query(
        "select mask_id, height, width, segmentation from masks "
        f"where segmentation is not null and mask_id in ({ids})"
    )
    return {
        int(mask): {"size": [int(h), int(w)], "counts": bytes(counts).decode("ascii")}
        for mask, h, w, counts in zip(
            found["mask_id"],
            found["height"],
            found["width"],
            plain(found["segmentation"]),
            strict=True,
        )
    }


def _annotation(record: dict[str, Any], mask: dict[str, Any], category: int) -> dict[str, Any]:
    own = {"mask_id", "image_id", "category", "file_name", "height", "width", "status_detail"}
    own |= {"area_px", "bbox_x", "bbox_y", "bbox_w", "bbox_h", "category_id", "iscrowd"}
    return {
        "id": record["mask_id"],
        "image_id": record["image_id"],
        "category_id": category,
        "segmentation": mask,
        "area": record["area_px"],
        "bbox": [record[f"bbox_{side}"] for side in "xywh"],
        "iscrowd": int(record.get("iscrowd") or 0),
        "attributes": {
            "mask_id": record["mask_id"],
            **{k: value for k, value in record.items() if k not in own and value is not None},
        },
    }


def _categories(audit: Audit, rows: pd.DataFrame) -> tuple[list[dict[str, Any]], list[int]]:
    """Return the categories of the whole dataset as COCO lists them, and each row's category id.

    The source's own ids are kept where every mask has one and each id has one name; otherwise the
    names are numbered from 1, in alphabetical order, and masks without a category get one of their
    own, which comes back as none.
    """
    labels = Labels(audit)
    if labels.numbered:
        listed = [{"id": number, "name": name} for number, name in labels.numbered]
        return listed, rows["category_id"].astype("int64").tolist()
    number = {name: k for k, name in enumerate(labels.listed(), 1)}
    ids = [number[labels.label(name)] for name in names_of(rows)]
    return [{"id": k, "name": name} for name, k in number.items()], ids


def _images(audit: Audit, rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the images of a queue, as COCO has them."""
    wanted = set(rows["image_id"].tolist())
    found = audit.query("select image_id, file_name, height, width from images order by image_id")
    found = found[found["image_id"].isin(wanted)]
    return [
        {
            "id": record["image_id"],
            "file_name": record["file_name"] or "",
            "height": record["height"],
            "width": record["width"],
        }
        for record in records(found)
    ]
