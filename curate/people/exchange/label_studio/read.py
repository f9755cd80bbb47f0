"""Decisions from Label Studio's JSON export.

Masks are matched by the id of their region, each annotation by itself. An unchanged one was
accepted, a changed one was fixed (also in its label alone), one that is gone or has no pixel left
was rejected, and a region with an id of its own was missing. Every annotation that was not skipped
counts, each for the person who made it; where that is one person in all of the export, and only a
number is known, ``--reviewer`` is the name. An image was reviewed where a task showed all of its
masks.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from curate.common.garbage_collection import pause_collector
from curate.common.json_values import JsonObject, is_finite_number
from curate.dataset.table import plain
from curate.errors import CallError, SourceError
from curate.formats.format import convert_read_errors
from curate.formats.json.sniffing import shape_of
from curate.formats.json.streaming import scan
from curate.formats.segmentation import json_type
from curate.people.exchange.compare import (
    EMPTY_NOTE,
    FOUND_AGAIN_NOTE,
    RENAMED_NOTE,
    ImportedPart,
    compare_with_audit,
)
from curate.people.exchange.exported_masks import ExportedMasks, name_draws
from curate.people.exchange.label_studio.regions import Region, parse_regions
from curate.people.exchange.label_studio.write import DATA_KEY, format_region_id
from curate.people.exchange.queue_writing import check_version
from curate.people.exchange.registry import DecisionReader, ImportedDecisions, ImportOptions
from curate.people.exchange.tool_labels import Labels, fill_category_names, label_studio_label
from curate.people.reviews.review_file import Reviews, file_identity
from curate.rle import Runs, concat, paste
from curate.store.audit import StoredAudit
from curate.store.audit_sql import DATASET_VERSION
from curate.store.rows_by_id import rows_of

_OWN_REGION = re.compile(r"mask_-?\d+")
"""Ids of regions that only masks of the audit have."""

_USER = re.compile(r"user -?\d+")
"""People of whom an export tells the number only."""

_TAIL_BYTES = 50_000
_NOTES = {
    "unlabelled": "unlabelled tasks",
    "skipped": "annotations that were skipped",
    "copied": "annotations that Label Studio copied from predictions, so not reviewed",
    "blank": "annotations started without predictions, so they reject no mask",
    "shapes": "new regions that are no masks",
    "numbers": "users known by number only (--reviewer names one who is alone in a file)",
}
_WINDOW = ("image_id", "x", "y", "w", "h", "height", "width")
_JSON_MIN = "it is Label Studio's JSON-MIN, which does not say which region is which mask"
_REVIEW_TYPES = {
    "reviewer": "object",
    "time": "datetime64[us, UTC]",
    "seconds": "float64",
    "draw_id": "Int64",
    "queue_kind": "object",
    "place": "object",
}


@dataclass(frozen=True)
class TaskAnnotation:
    """One person's annotation of a task.

    Attributes:
        place: Names it, for messages.
        reviewer: Who; None where the file does not say.
        seconds: How long it took; None likewise.
        time: When it was last changed; None likewise.
        result: Its regions, not checked yet.
        blank: Whether it was begun from nothing, not from what was sent.
    """

    place: str
    reviewer: str | None
    seconds: float | None
    time: datetime | None
    result: object
    blank: bool


@dataclass(frozen=True)
class Task:
    """One task that was written for this audit.

    Attributes:
        place: Names it, for messages.
        image_id: The image.
        corner: x and y of its window on the image.
        size: Height and width of the window: the size of its picture.
        image_size: Height and width of the image.
        masks: The masks that it shows.
        draw_id: The draw that showed them; None where it does not say.
        queue_kind: The kind of that draw; None likewise.
        annotations: What people made of it, without those that were skipped.
        skipped: How many those were.
        copied: How many annotations nobody made, but Label Studio out of what was sent.
    """

    place: str
    image_id: int
    corner: tuple[int, int]
    size: tuple[int, int]
    image_size: tuple[int, int]
    masks: list[int]
    draw_id: int | None
    queue_kind: str | None
    annotations: list[TaskAnnotation]
    skipped: int
    copied: int


def _matches(path: Path) -> bool:
    shape = shape_of(path)
    if shape.root != "list":
        return False
    first = shape.one("")
    if first:
        whole = type(first.get("data")) is dict and (
            "annotations" in first or "predictions" in first
        )
        return whole or "annotation_id" in first
    tail = shape.end[-_TAIL_BYTES:]  # one task may be longer than what is looked at
    return all(
        key in tail for key in (b'"data"', b'"predictions"', b'"' + DATA_KEY.encode() + b'"')
    )


def _read(reviews: Reviews, path: Path, options: ImportOptions) -> ImportedDecisions:
    if options.exported is not None:
        what = "a Label Studio export itself says which masks were exported"
        raise CallError(what, "--exported", "leave it out")
    if options.match is not None:
        raise CallError("Label Studio keeps the masks' ids", "--match", "leave it out")
    export = _LabelStudioExport(reviews.audit, path)
    shown = ExportedMasks(np.empty(0, np.int64), sure=True, ids_kept=True)
    certain = replace(options, assume_reviewed=True)  # who submits a task has seen it
    found = compare_with_audit(reviews.audit, export.read(), path.name, shown, certain)
    return export.finish(found, options.reviewer)


class _DrawnRegion(NamedTuple):
    """A region with a mask, and the mask of the audit that it is; None for a new one."""

    review: int
    task: Task
    mask_id: int | None
    mask: Runs
    label: str | None
    place: str


class _LabelStudioExport:
    """An export, and what is told of it at the end."""

    def __init__(self, audit: StoredAudit, path: Path) -> None:
        self._audit = audit
        self._path = path
        self._labels = Labels(audit, label_studio_label)
        self._counts: Counter[str] = Counter()
        self._seen: list[tuple[object, ...]] = []
        self._draws: set[int] = set()

    def read(self) -> Iterator[ImportedPart]:
        """Yield what people made of some tasks at a time."""
        path, count = self._path, 0
        with convert_read_errors(path), path.open("rb") as file, pause_collector():
            for batch in scan(file, path.name, frozenset([""])):
                values = batch.parse(path.name)
                tasks, own = _check_tasks(self._audit, values, path.name, count)
                count += len(values)
                for task in tasks:
                    self._counts["skipped"] += task.skipped
                    self._counts["copied"] += task.copied
                    self._counts["unlabelled"] += not task.annotations and not task.skipped
                    self._draws |= {task.draw_id} - {None}  # type: ignore[arg-type]
                if any(task.annotations for task in tasks):
                    yield self._make_part(tasks, own)

    def _make_part(self, tasks: list[Task], own: dict[int, str | None]) -> ImportedPart:
        """Return the regions of all annotations, each annotation as a review of its own."""
        pairs = [(task, made) for task in tasks for made in task.annotations]
        reviews: list[tuple[object, ...]] = []
        images: list[tuple[int, int, bool]] = []
        exported: list[tuple[int, int]] = []
        drawn: list[_DrawnRegion] = []
        for number, (task, made) in enumerate(pairs):
            known = {format_region_id(mask): mask for mask in task.masks}
            regions = parse_regions(made.result, task.size, f"{self._path.name}, {made.place}")
            blank = made.blank and not regions.keys() & known.keys()
            self._counts["blank"] += blank
            for name, region in regions.items():
                place = f"{made.place}, region {name[:60]}"
                self._check_region(region, name, known, place)
                if region.mask is not None:
                    drawn.append(
                        _DrawnRegion(
                            number, task, known.get(name), region.mask, region.label, place
                        )
                    )
            seconds = None if made.seconds is None else made.seconds / len(known)
            draw = (task.draw_id, task.queue_kind)
            reviews.append((made.reviewer, made.time, seconds, *draw, made.place))
            whole = task.size == task.image_size and not blank
            images.append((number, task.image_id, whole))
            exported += [(number, mask) for mask in task.masks if not blank]
            window = (*task.image_size, *task.corner, *reversed(task.size))
            self._seen.append((task.image_id, made.reviewer, made.time, *window))
        masks, runs = self._place_on_images(drawn, own)
        return ImportedPart(
            masks,
            runs,
            np.ones(len(masks), np.bool_),
            pd.DataFrame(images, columns=["review", "image_id", "complete"]),
            pd.DataFrame(exported, columns=["review", "mask_id"], dtype="int64"),
            pd.DataFrame(reviews, columns=list(_REVIEW_TYPES), dtype=object).astype(_REVIEW_TYPES),
        )

    def _place_on_images(
        self, drawn: list[_DrawnRegion], own: dict[int, str | None]
    ) -> tuple[pd.DataFrame, Runs]:
        """Return regions as rows of an :class:`ImportedPart`, and their masks on whole images."""
        labels = self._labels
        category = [
            labels.category(one.label)
            if one.mask_id is None
            else labels.category_now(one.label, own[one.mask_id])
            for one in drawn
        ]
        masks = pd.DataFrame(
            {
                "review": np.array([one.review for one in drawn], np.int64),
                "mask_id": pd.array([one.mask_id for one in drawn], "Int64"),
                "image_id": np.array([one.task.image_id for one in drawn], np.int64),
                "category": pd.Series(category, dtype=object),
                "place": pd.Series([one.place for one in drawn], dtype=object),
                "status": "ok",
                "status_detail": "",
            }
        )
        corners = [one.task.corner for one in drawn]
        sizes = np.array([one.task.image_size for one in drawn], np.int64).reshape(-1, 2)
        return masks, paste(concat([one.mask for one in drawn]), corners, sizes[:, 0], sizes[:, 1])

    def _check_region(self, region: Region, name: str, known: dict[str, int], place: str) -> None:
        """Refuse a region that bears a mask's id and cannot be the mask."""
        where = f"{self._path.name}, {place}"
        if name not in known and _OWN_REGION.fullmatch(name):
            raise SourceError("this mask does not belong to the task", where)
        if name in known and region.mask is None:
            do = "draw it with the brush or as a polygon"
            raise SourceError(f"it is a {region.kind[:40]}, no mask", where, do)
        self._counts["shapes"] += region.mask is None

    def finish(self, found: ImportedDecisions, reviewer: str | None) -> ImportedDecisions:
        """Return the decisions of the whole export, with who made them and what is left to tell."""
        names = ["image_id", "reviewer", "time", "height", "width", *"xywh"]
        seen = pd.DataFrame(self._seen, columns=names)
        people = set(seen["reviewer"])
        numbers = {name for name in people if isinstance(name, str) and _USER.fullmatch(name)}
        if reviewer is not None and people == numbers and len(people) == 1:
            for frame in (found.decisions, found.missing, found.reviewed_images, seen):
                if frame is not None:
                    frame["reviewer"] = reviewer
        elif reviewer is not None:
            self._counts["numbers"] = len(numbers)
        notes = {words: self._counts[name] for name, words in _NOTES.items()}
        notes |= {words: found.notes[words] for words in (RENAMED_NOTE, EMPTY_NOTE)}
        if again := found.notes[FOUND_AGAIN_NOTE]:
            notes[FOUND_AGAIN_NOTE] = again
        scope = name_draws(self._draws)
        return replace(found, notes=notes, untouched=None, seen=seen, scope=scope)


def _check_tasks(
    audit: StoredAudit, values: list[Any], name: str, before: int
) -> tuple[list[Task], dict[int, str | None]]:
    """Return tasks of an export, and the audit's categories of their masks, by id.

    Args:
        audit: The audit.
        values: The export's elements.
        name: Its file's name, for messages.
        before: How many elements stood before them.

    Raises:
        SourceError: One is no task that was written for this audit, or a part of it is wrong.
    """
    tasks = []
    for k, value in enumerate(values, before + 1):
        if type(value) is not dict:
            raise SourceError(f"it is {json_type(value)}, not a task", f"{name}, element {k}")
        place = f"task {str(value.get('id', f'number {k}'))[:40]}"
        tasks.append(_parse_task(audit, value, name, place))
    ids = np.array([mask for task in tasks for mask in task.masks], np.int64)
    columns = ("image_id", "category", "category_id", "height", "width")
    known = fill_category_names(rows_of(audit, "masks", "mask_id", ids, columns))
    masks = known["mask_id"].tolist()
    sizes = (known[side].tolist() for side in ("image_id", "height", "width"))
    places = dict(zip(masks, zip(*sizes, strict=True), strict=True))
    for task in tasks:
        for mask in task.masks:
            where = f"{name}, {task.place}, mask {mask}"
            if mask not in places:
                raise SourceError("the audit has no such mask", where)
            if places[mask] != (task.image_id, *task.image_size):
                what = "it lies on another image than in the audit, or on one of another size"
                raise SourceError(what, where)
    return tasks, dict(zip(masks, plain(known["category"]), strict=True))


def _parse_task(audit: StoredAudit, value: dict[str, Any], name: str, place: str) -> Task:
    """Return a task in its types; what the writer put into its data maps it back."""
    where = f"{name}, {place}"
    own = _find_own_data(audit, value, where)
    masks = own.get("masks")
    if type(masks) is not list or not masks or any(not _is_int(mask) for mask in masks):
        raise SourceError("its list of masks is damaged", where)
    if len(set(masks)) < len(masks) or any(not _is_int(own.get(key)) for key in _WINDOW):
        raise SourceError("what maps it back to its image is damaged", where)
    image_id, x, y, w, h, height, width = (own[key] for key in _WINDOW)
    if min(x, y) < 0 or min(w, h) < 1 or x + w > width or y + h > height:
        raise SourceError("its window reaches outside its image", where)
    draw, kind = own.get("draw_id"), own.get("queue_kind")
    if not (draw is None or _is_int(draw)) or not (kind is None or type(kind) is str):
        raise SourceError("its record of the draw is damaged", where)
    made = value.get("annotations", [])
    if type(made) is not list or any(type(one) is not dict for one in made):
        raise SourceError("its annotations are not in it", where, "export it as JSON")
    done = [one for one in made if not one.get("was_cancelled")]
    counted = [_parse_annotation(one, name, place) for one in done if not _is_copied(one)]
    skipped, copied = len(made) - len(done), len(done) - len(counted)
    size, image_size = (h, w), (height, width)
    return Task(
        *(place, image_id, (x, y), size, image_size, masks, draw, kind, counted),
        skipped=skipped,
        copied=copied,
    )


def _find_own_data(audit: StoredAudit, value: JsonObject, where: str) -> dict[str, Any]:
    """Return the fields of a task that map it back; refuse a task of another dataset."""
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
    return own


def _is_int(value: object) -> bool:
    return type(value) is int and -(2**63) <= value < 2**63


def _is_copied(value: JsonObject) -> bool:
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


def _parse_annotation(value: dict[str, Any], name: str, task: str) -> TaskAnnotation:
    place = f"{task}, annotation {str(value.get('id', '?'))[:40]}"
    where = f"{name}, {place}"
    seconds = value.get("lead_time")
    if seconds is not None:
        if not is_finite_number(seconds) or seconds < 0:
            raise SourceError("its lead_time is no number of seconds", where)
        seconds = float(seconds)
    time = value.get("updated_at") or value.get("created_at")
    return TaskAnnotation(
        place=place,
        reviewer=_parse_reviewer(value.get("completed_by"), where),
        seconds=seconds,
        time=None if time is None else _parse_time(time, where),
        result=value.get("result"),
        blank="parent_prediction" in value
        and value["parent_prediction"] is None
        and value.get("parent_annotation") is None,
    )


def _parse_time(value: Any, where: str) -> datetime:
    try:
        found = datetime.fromisoformat(value)
    except (TypeError, ValueError, OverflowError):
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


READER = DecisionReader("Label Studio's JSON export", _matches, _read)
