"""COCO and LVIS, both ways: queues out, corrected files in.

A queue that was written as COCO holds only some masks of each image. Such a file is known by its
content, and the exported masks are then those of the last draw that fits it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd

from curate.common import files
from curate.dataset.table import plain
from curate.errors import CallError, SourceError
from curate.formats.coco.coco_format import FORMAT
from curate.formats.coco.file_index import CocoIndex
from curate.formats.coco.images_and_categories import category_names
from curate.formats.format import new_file
from curate.formats.json.sniffing import shape_of
from curate.people.exchange.coco_of_tools import (
    FolderLayout,
    has_mask_ids,
    is_queue,
    make_annotation,
    make_queue_info,
    read_coco_images,
    read_queue_version,
    write_coco_folder,
)
from curate.people.exchange.compare import ImportedPart, compare_with_audit
from curate.people.exchange.exported_masks import (
    ExportedMasks,
    find_matching_draw,
    read_dataset_ids,
    read_exported,
)
from curate.people.exchange.image_names import ImageFinder
from curate.people.exchange.imported_images import ImageExport
from curate.people.exchange.queue_images import require_pictures
from curate.people.exchange.queue_writing import (
    BATCH,
    DUMP,
    QueueRow,
    check_version,
    plain_records,
    write_items,
)
from curate.people.exchange.registry import (
    DecisionReader,
    ExchangeTool,
    ExportOptions,
    ImportedDecisions,
    ImportOptions,
    QueueWriter,
)
from curate.people.exchange.tool_export import import_tool_export
from curate.people.exchange.tool_labels import Labels, safe_label, spell_categories
from curate.people.reviews.review_file import Reviews
from curate.rle import CocoRle
from curate.store.audit import StoredAudit
from curate.store.audit_sql import dataset_version
from curate.store.rows_by_id import rows_of


def read_categories(
    audit: StoredAudit, labels: Labels, masks: pd.DataFrame, listed: list[Any] | None, name: str
) -> list[str | None]:
    """Return the categories of masks of a corrected file, as the audit calls them.

    What stands for no category becomes none: the placeholder of a queue, and the only category of a
    file where the audit knows none. Where the audit knows numbers only, numbers are compared.

    Args:
        audit: The audit.
        labels: Its categories.
        masks: The masks, index their ids.
        listed: The categories that the file declares; None where it has no list of them.
        name: The file's name, for messages.

    Raises:
        SourceError: A mask got a ``category_id`` that the file does not declare.
    """
    ids = masks.index.to_numpy(np.int64)
    old = rows_of(audit, "masks", "mask_id", ids, ("category", "category_id"))
    old = old.drop_duplicates("mask_id").set_index("mask_id").reindex(ids)
    declared = category_names(listed)[0] or {}
    if not labels.names and len(declared) == 1:
        return [None] * len(masks)
    before = plain(old["category_id"]) if "category_id" in old else [None] * len(ids)
    numbers = plain(masks["category_id"]) if "category_id" in masks else [None] * len(ids)
    known = dict(labels.numbered)
    made: list[str | None] = []
    rows = zip(ids, plain(masks["category"]), numbers, spell_categories(old), before, strict=True)
    for mask, said, number, own, own_number in rows:
        kept = number is not None and number == own_number
        if number is not None and listed is not None and number not in declared and not kept:
            what = f"its category_id {number} is not among the file's categories"
            do = "declare it there, or give the mask one that is"
            raise SourceError(what, f"{name}, annotation {mask}", do)
        if said is None:
            made.append(own if kept or number is None else known.get(number, str(number)))
        elif labels.are_numbers and said not in labels.names and str(number) in labels.names:
            made.append(str(number))
        else:
            made.append(labels.category_now(said, own))
    return made


def write_coco(audit: StoredAudit, rows: pd.DataFrame, out: Path, how: ExportOptions) -> int:
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
        layout = FolderLayout("COCO", "instances.json", "images", _attributes)
        return write_coco_folder(audit, rows, out, how, layout)
    rows = rows.drop_duplicates("mask_id").reset_index(drop=True)
    categories, numbers = _categories(audit, rows)
    images = _images(audit, rows)
    info = make_queue_info(audit.info.source.get("path", audit.path), dataset_version(audit))

    def annotations() -> Iterator[dict[str, object]]:
        for start in range(0, len(rows), BATCH):
            batch = rows.iloc[start : start + BATCH]
            masks = _read_segmentations(audit, batch)
            pairs = zip(plain_records(batch), numbers[start : start + BATCH], strict=True)
            for record, number in pairs:
                if mask := masks.get(record["mask_id"]):
                    yield make_annotation(record, mask, int(number)) | _attributes(record)

    with new_file(out) as file:
        head = {"info": info, "licenses": [], "images": images, "categories": categories}
        file.write(orjson.dumps(head, option=DUMP)[:-1] + b',"annotations":[')
        written = write_items(file, annotations())
        file.write(b"\n]}\n")
    return written


def check_coco(audit: StoredAudit, out: Path, how: ExportOptions) -> None:
    """Check that a queue can be written as asked for; a writer's ``check``.

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
    require_pictures("COCO", whole=False)(audit, out, how)


def _read_segmentations(audit: StoredAudit, rows: pd.DataFrame) -> dict[int, CocoRle]:
    ids = rows["mask_id"].to_numpy(np.int64)
    found = rows_of(audit, "masks", "mask_id", ids, ("height", "width", "segmentation"))
    found = found[found["segmentation"].notna()]
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


def _attributes(record: QueueRow) -> dict[str, object]:
    own = {"mask_id", "image_id", "category", "file_name", "height", "width", "status_detail"}
    own |= {"area_px", "bbox_x", "bbox_y", "bbox_w", "bbox_h", "category_id", "iscrowd"}
    known = {k: value for k, value in record.items() if k not in own and value is not None}
    return {"attributes": {"mask_id": record["mask_id"], **known}}


def _categories(
    audit: StoredAudit, rows: pd.DataFrame
) -> tuple[list[dict[str, object]], list[int]]:
    """Return the categories of the whole dataset as COCO lists them, and each row's category id.

    The source's own ids are kept where every mask has one and each id has one name; otherwise the
    names are numbered from 1, in alphabetical order, and masks without a category get one of their
    own, which comes back as none.
    """
    labels = Labels(audit)
    if labels.numbered:
        listed = [{"id": number, "name": name} for number, name in labels.numbered]
        return listed, rows["category_id"].astype("int64").tolist()
    number = {name: k for k, name in enumerate(labels.list_names(), 1)}
    ids = [number[labels.label(name)] for name in spell_categories(rows)]
    return [{"id": k, "name": name} for name, k in number.items()], ids


def _images(audit: StoredAudit, rows: pd.DataFrame) -> list[dict[str, object]]:
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
        for record in plain_records(found)
    ]


def _instances_file(path: Path) -> Path:
    """Return the file itself where a folder of crops is given."""
    return path / "instances.json" if path.is_dir() else path


def _matches(path: Path) -> bool:
    return shape_of(_instances_file(path)).looks_coco


EXPORT = ImageExport(
    _matches,
    lambda path, wanted: read_coco_images(_instances_file(path), path.name, wanted, crowds=True),
    safe_label,
    lambda path: read_queue_version(_instances_file(path)),
)
"""How COCO is read where its ids may have been numbered anew."""


def _read(reviews: Reviews, path: Path, options: ImportOptions) -> ImportedDecisions:
    if options.match is not None or has_mask_ids(_instances_file(path)):
        return import_tool_export(reviews, EXPORT, path, options)
    check_version(reviews.audit, [EXPORT.version(path)], path.name)
    with files.scratch() as work:
        shown = _find_exported(reviews, path, options)
        finder = ImageFinder(reviews.audit, path.name)
        parts = _read_parts(reviews.audit, finder, path, work)
        found = compare_with_audit(reviews.audit, parts, path.name, shown, options)
    strange = {"images in it that the audit does not have": finder.windows.count(None)}
    return replace(found, notes=found.notes | strange)


def _read_parts(
    audit: StoredAudit, finder: ImageFinder, path: Path, work: Path
) -> Iterator[ImportedPart]:
    """Yield the masks of a corrected file that are on the audit's images, some images at a time."""
    labels = Labels(audit)
    for part in FORMAT.plan(path, work):
        index = CocoIndex.open(work)
        spare = index.spare_id
        if spare is None:
            raise SourceError("it has ids beyond 62 bits", path.name)
        table = FORMAT.load(path, part)
        category = read_categories(audit, labels, table.masks, index.categories, path.name)
        _refuse_duplicates(table.masks, path.name)
        matched = _find_images(finder, table.images)
        at = np.flatnonzero(table.masks["image_id"].isin(matched.index))
        masks = table.masks.iloc[at]
        ids = masks.index.to_series()
        frame = pd.DataFrame(
            {
                "review": 0,
                "mask_id": ids.astype("Int64").where(ids < spare),  # beyond, a mask has none
                "image_id": matched.loc[masks["image_id"]].to_numpy(np.int64),
                "place": [f"annotation {number}" for number in ids.tolist()],
                "category": pd.Series(category, dtype=object).iloc[at].to_numpy(),
                "status": masks["status"],
                "status_detail": masks["status_detail"],
                **({"iscrowd": masks["iscrowd"]} if "iscrowd" in masks else {}),
            }
        )
        yield ImportedPart(
            frame.reset_index(drop=True),
            table.runs[at],
            masks["segmentation"].notna().to_numpy(np.bool_),
            pd.DataFrame({"review": 0, "image_id": matched.array, "complete": True}),
        )


def _find_images(finder: ImageFinder, images: pd.DataFrame) -> pd.Series[Any]:
    """Return the audit's image ids by the file's; images that the audit lacks are left out."""
    ids = images.index.tolist()
    names = ["" if name is None else str(name) for name in plain(images["file_name"])]
    stated = zip(images["height"].tolist(), images["width"].tolist(), strict=True)
    sizes = [size if min(size) > 0 else None for size in stated]
    found = finder.find(names, ids, sizes, [f"image {number}" for number in ids])
    pairs = {k: window.image_id for k, window in zip(ids, found, strict=True) if window}
    return pd.Series(pairs, dtype="int64")


def _refuse_duplicates(masks: pd.DataFrame, name: str) -> None:
    """Refuse masks of one id, and masks on images that are not in the file."""
    for status, what in (
        ("duplicate_id", "its id occurs twice"),
        ("unknown_image", "its image is not in the file"),
    ):
        bad = masks[(masks["status"] == status).to_numpy(np.bool_)]
        if len(bad):
            where = f"{name}, annotation {bad.index[0]}"
            raise SourceError(f"{what} ({bad['status_detail'].iloc[0]})", where)


def _find_exported(reviews: Reviews, path: Path, options: ImportOptions) -> ExportedMasks:
    """Return the masks that were exported."""
    if options.exported is not None:
        return read_exported(reviews, options.exported, read_dataset_ids)
    if not _is_queue(path):
        return ExportedMasks()
    return find_matching_draw(reviews, read_dataset_ids(path), path.name)


def _is_queue(path: Path) -> bool:
    attributes = shape_of(path).one("annotations").get("attributes")
    ranked = type(attributes) is dict and {"rank", "priority"} <= set(attributes)
    return ranked or is_queue(path)


TOOL = ExchangeTool(
    "coco",
    QueueWriter("COCO instances", write_coco, check_coco),
    DecisionReader("corrected COCO", _matches, _read),
)
