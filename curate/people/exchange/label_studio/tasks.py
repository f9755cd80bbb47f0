"""Tasks of a Label Studio export: structure and identity checked before any mask is decoded."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from curate.errors import SourceError
from curate.formats.segmentation import json_type
from curate.people.exchange.label_studio.task_writing import DATA_KEY
from curate.people.exchange.queue_writing import check_version
from curate.people.exchange.tool_labels import fill_category_names
from curate.people.reviews.review_file import file_identity
from curate.store.audit import Audit
from curate.store.audit_sql import DATASET_VERSION
from curate.store.rows_by_id import rows_of

_NUMBERS = ("image_id", "x", "y", "w", "h", "height", "width")
_COLUMNS = ("image_id", "category", "category_id", "height", "width", "segmentation")
_JSON_MIN = "it is Label Studio's JSON-MIN, which does not say which region is which mask"


@dataclass(frozen=True)
class TaskAnnotation:
    """One person's annotation of a task.

    Attributes:
        where: Names it, for messages.
        reviewer: Who; None where the file does not say.
        seconds: How long it took; None likewise.
        time: When it was last changed; None likewise.
        result: Its regions, not checked yet.
        blank: Whether it was begun from nothing, not from what was sent.
    """

    where: str
    reviewer: str | None
    seconds: float | None
    time: datetime | None
    result: Any
    blank: bool = False


@dataclass(frozen=True)
class Task:
    """One task, sound and of this audit.

    Attributes:
        where: Names it, for messages.
        image_id: The image.
        corner: x and y of its window on the image.
        size: Height and width of the window: the size of its picture.
        image_size: Height and width of the image.
        masks: The masks that it shows.
        draw: ``draw_id`` and ``queue_kind``, where it says them.
        annotations: What people made of it, without those that were skipped.
        skipped: How many those were.
        copied: How many annotations nobody made, but Label Studio out of what was sent.
    """

    where: str
    image_id: int
    corner: tuple[int, int]
    size: tuple[int, int]
    image_size: tuple[int, int]
    masks: list[int]
    draw: dict[str, Any]
    annotations: list[TaskAnnotation]
    skipped: int
    copied: int


def check_tasks(
    audit: Audit, values: list[Any], name: str, before: int
) -> tuple[list[Task], pd.DataFrame]:
    """Return tasks of an export, and what the audit knows of their masks, by ``mask_id``.

    Args:
        audit: The audit.
        values: The export's elements.
        name: Its file's name, for messages.
        before: How many elements stood before them.

    Raises:
        SourceError: One is no task that was written for this audit, or a part of it is wrong.
    """
    owns: list[tuple[str, dict[str, Any], dict[str, Any]]] = []
    for k, value in enumerate(values, before + 1):
        if type(value) is not dict:
            raise SourceError(f"it is {json_type(value)}, not a task", f"{name}, element {k}")
        where = f"{name}, task {str(value.get('id', f'number {k}'))[:40]}"
        owns.append((where, value, _parse_data(audit, value, where)))
    ids = np.array([mask for _, _, own in owns for mask in own["masks"]], np.int64)
    known = fill_category_names(rows_of(audit, "masks", "mask_id", ids, _COLUMNS)).set_index(
        "mask_id"
    )
    columns = [known[side].tolist() for side in ("image_id", "height", "width")]
    places = dict(zip(known.index.tolist(), zip(*columns, strict=True), strict=True))
    return [_parse_task(where, value, own, places) for where, value, own in owns], known


def _parse_data(audit: Audit, value: dict[str, Any], where: str) -> dict[str, Any]:
    """Return the fields that the writer put into a task's data, in their types."""
    data = value.get("data")
    if type(data) is not dict and ("annotation_id" in value or DATA_KEY in value):
        raise SourceError(_JSON_MIN, where, "export it as JSON")
    own = data.get(DATA_KEY) if type(data) is dict else None
    if type(own) is not dict:
        do = "import what was made of a queue that `curate queue --to label-studio` wrote"
        raise SourceError("it does not say which masks it shows", where, do)
    check_version(audit, [own.get(DATASET_VERSION)], where)
    if own.get("dataset") != file_identity(audit)["fingerprint"]:
        raise SourceError("it was made of another dataset than this audit", where)
    masks = own.get("masks")
    if type(masks) is not list or not masks or any(not _is_int(mask) for mask in masks):
        raise SourceError("its list of masks is damaged", where)
    if len(set(masks)) < len(masks) or any(not _is_int(own.get(key)) for key in _NUMBERS):
        raise SourceError("what maps it back to its image is damaged", where)
    return own


def _is_int(value: Any) -> bool:
    return type(value) is int and -(2**63) <= value < 2**63


def _parse_task(
    where: str, value: dict[str, Any], own: dict[str, Any], places: dict[int, tuple[int, ...]]
) -> Task:
    for mask in own["masks"]:
        if mask not in places:
            raise SourceError("the audit has no such mask", f"{where}, mask {mask}")
        if places[mask] != (own["image_id"], own["height"], own["width"]):
            what = "it lies on another image than in the audit, or on one of another size"
            raise SourceError(what, f"{where}, mask {mask}")
    x, y, w, h = (own[key] for key in "xywh")
    if min(x, y) < 0 or min(w, h) < 1 or x + w > own["width"] or y + h > own["height"]:
        raise SourceError("its window reaches outside its image", where)
    annotations, skipped, copied = _parse_annotations(value.get("annotations", []), where)
    return Task(
        where=where,
        image_id=own["image_id"],
        corner=(x, y),
        size=(h, w),
        image_size=(own["height"], own["width"]),
        masks=own["masks"],
        draw=_parse_draw(own, where),
        annotations=annotations,
        skipped=skipped,
        copied=copied,
    )


def _parse_draw(own: dict[str, Any], where: str) -> dict[str, Any]:
    draw, kind = own.get("draw_id"), own.get("queue_kind")
    if not (draw is None or _is_int(draw)) or not (kind is None or type(kind) is str):
        raise SourceError("what it says of its draw is damaged", where)
    return {"draw_id": draw, "queue_kind": kind}


def _parse_annotations(values: Any, where: str) -> tuple[list[TaskAnnotation], int, int]:
    """Return annotations, the number skipped, and the number copied from predictions."""
    if type(values) is not list or any(type(value) is not dict for value in values):
        raise SourceError("its annotations are not in it", where, "export it as JSON")
    done = [value for value in values if not value.get("was_cancelled")]
    made = [value for value in done if not _is_copied(value)]
    annotations = [_parse_annotation(value, where) for value in made]
    return annotations, len(values) - len(done), len(done) - len(made)


def _is_copied(value: dict[str, Any]) -> bool:
    """Whether Label Studio made it out of a prediction for all tasks at once, unseen.

    Its menu "Create Annotations From Predictions" leaves no time taken and nobody who saved it
    (1.23; the Enterprise edition says "prediction"). Whoever saves it later changes all of that.
    """
    unseen = value.get("updated_by") is None and value.get("last_action") is None
    return (
        value.get("parent_prediction") is not None
        and value.get("lead_time") is None
        and (unseen or value.get("last_action") == "prediction")
    )


def _parse_annotation(value: dict[str, Any], where: str) -> TaskAnnotation:
    here = f"{where}, annotation {str(value.get('id', '?'))[:40]}"
    seconds = value.get("lead_time")
    if seconds is not None:
        sound = type(seconds) in (int, float) and math.isfinite(seconds) and seconds >= 0
        if not sound:
            raise SourceError("its lead_time is no number of seconds", here)
        seconds = float(seconds)
    time = value.get("updated_at") or value.get("created_at")
    return TaskAnnotation(
        where=here,
        reviewer=_parse_reviewer(value.get("completed_by"), here),
        seconds=seconds,
        time=None if time is None else _parse_time(time, here),
        result=value.get("result"),
        blank="parent_prediction" in value
        and value["parent_prediction"] is None
        and value.get("parent_annotation") is None,
    )


def _parse_time(value: Any, where: str) -> datetime:
    try:
        found = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        do = "write it as 2026-03-14T15:09:26Z"
        raise SourceError(f"its time {str(value)[:40]!r} is none", where, do) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _parse_reviewer(value: Any, where: str) -> str | None:
    """Return the annotator: the address where the export has it, else the user's number."""
    if type(value) is dict:
        name = value.get("email") or value.get("username")
        value = name if name else value.get("id")
    if type(value) is str:
        return value.strip() or None
    if value is None or _is_int(value):
        return None if value is None else f"user {value}"
    raise SourceError("it does not say who made it, but something else", where)
