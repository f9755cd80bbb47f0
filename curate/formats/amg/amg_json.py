"""JSON of amg.py: a list of records, one a mask, of one image without an image object."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from curate.errors import SourceError
from curate.formats.coco.annotation_edits import split_edits
from curate.formats.edits import Edits, Stored
from curate.formats.format import convert_read_errors
from curate.formats.json.json_columns import holds_text, whole_number
from curate.formats.json.list_edits import Elements, Piece
from curate.formats.json.streaming import scan
from curate.formats.mask_values import MaskValues
from curate.formats.new_pixels import refuse_categories, refuse_polygons
from curate.formats.repairs import FIELD_NOTES
from curate.formats.sa1b.sam_records import SAMPLE, SamRecords
from curate.formats.segmentation import Segmentation, json_type, read_segmentation, rle_size
from curate.formats.table_builder import TableBuilder, common_size, number, with_problems

_FIELDS = ("predicted_iou", "stability_score", "area", "bbox", "crop_box")


def load_records(rows: TableBuilder, path: Path, name: str, named_by_place: bool) -> None:
    """Read one file's masks into ``rows``.

    Args:
        rows: What collects them.
        path: The file.
        name: Its path under the source, with which source keys begin.
        named_by_place: Whether the file is the source itself.
    """
    records: list[Any] = []
    with convert_read_errors(path), open(path, "rb") as file:
        for batch in scan(file, name):
            if batch.key or not batch.is_list:
                raise SourceError("it is not a list of masks", str(path), "check the format")
            records.extend(batch.parse(name))
    read = [record if isinstance(record, dict) else {} for record in records]
    size = common_size(rle_size(record.get("segmentation")) for record in read)
    detail = "" if size else "no mask tells its size"
    image = rows.image(
        *(Path(name).stem, size or (0, 0), "ok", detail),
        source_key=name,
        named_by_place=named_by_place,
    )
    for i, record in enumerate(records):
        key = f"{name}#/{i}"
        if not isinstance(record, dict):
            detail = f"the record is {json_type(record)}, not an object"
            rows.mask(key, image, Segmentation(None, "wrong_type", detail))
            continue
        mask = read_segmentation(record.get("segmentation"), *(size or (0, 0)))
        stored, problems = _read_stored(record)
        if mask.status == "no_segmentation":
            rows.notes.add("no_segmentation", FIELD_NOTES["no_segmentation"], key)
        if holds_text([record.get(field) for field in _FIELDS]):
            rows.notes.add("text_numbers", FIELD_NOTES["text_numbers"], key)
        rows.mask(key, image, with_problems(mask, problems), optional=stored)


def _read_stored(record: dict[str, Any]) -> tuple[dict[str, float], list[str]]:
    """Read the numbers beside a mask."""
    point = record.get("point_coords")
    if isinstance(point, list) and point and isinstance(point[0], list):
        point = point[0]
    stored: dict[str, float] = {}
    problems = []
    for name in ("predicted_iou", "stability_score"):
        stored[name], problem = number(record.get(name), name)
        problems.append(problem)
    stored["declared_area"], problem = number(record.get("area"), "area")
    problems.append(problem)
    for name, value, columns in (
        ("bbox", record.get("bbox"), ("declared_x", "declared_y", "declared_w", "declared_h")),
        ("point_coords", point, ("prompt_x", "prompt_y")),
        ("crop_box", record.get("crop_box"), ("crop_x", "crop_y", "crop_w", "crop_h")),
    ):
        if value is None:
            continue
        if not isinstance(value, list) or len(value) != len(columns):
            problems.append(f"{name} is not a list of {len(columns)} numbers")
            continue
        for column, one in zip(columns, value, strict=True):
            stored[column], problem = number(one, name)
            problems.append(problem)
    return stored, problems


def edit_records(path: Path, name: str, edits: Edits) -> tuple[list[Piece], Stored]:
    """Work out what changes in one file, for :func:`curate.formats.copying.splice`.

    Args:
        path: The file.
        name: Its path under the source as :func:`curate.formats.table_builder.plain` writes it.
        edits: What changes in this file, and only that: source keys begin with its name, and the
            image key of an added mask is its name.

    Raises:
        CallError: A key names no mask of the file, or the file cannot hold what is asked.
        SourceError: The file is not sound JSON.
    """
    refuse_categories(edits, name)
    refuse_polygons(edits, name)
    values = MaskValues(edits.masks)
    drop, change = split_edits(edits, f"{name}#/")
    elements = Elements(change, drop, 0 if edits.only_drops else SAMPLE)
    sizes, top = list[tuple[int, int] | None](), 0
    with convert_read_errors(path), open(path, "rb") as file:
        for batch in scan(file, name):
            if batch.key or not batch.is_list:
                raise SourceError("it is not a list of masks", str(path), "check the format")
            elements.take(batch)
            if not edits.only_drops:
                records = [one for one in batch.parse(name) if type(one) is dict]
                sizes += [rle_size(one.get("segmentation")) for one in records]
                top = max(top, *(whole_number(one.get("id")) or 0 for one in records), 0)
        elements.check({*drop, *change}, name)
        pieces = elements.cuts()
        if not edits.only_drops:
            made = SamRecords(name, common_size(sizes), elements, values)
            ids = [top + i if made.has_ids() else None for i in range(1, len(edits.add) + 1)]
            pieces += made.changed(file, change) + made.appended(file, edits.add, ids)
    return sorted(pieces, key=lambda piece: piece[:2]), values.stored()
