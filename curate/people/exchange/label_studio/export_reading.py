"""Decisions from Label Studio's JSON export.

Masks are matched by the id of their region. An unchanged one was accepted, a changed one was fixed
(also in its label alone), one that is gone or has no pixel left was rejected, and a region with an
id of its own was missing. Every annotation that was not skipped counts, each for the person who
made it; where that is one person in all of the export, and only a number is known, ``--reviewer``
is the name. An image was reviewed where a task showed all of its masks.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from curate.common.garbage_collection import pause_collector
from curate.dataset.table import plain
from curate.errors import CallError, SourceError
from curate.formats.format import convert_read_errors
from curate.formats.json.sniffing import shape_of
from curate.formats.json.streaming import scan
from curate.people.exchange.compared_parts import name_draws
from curate.people.exchange.label_studio.regions import Region, parse_regions
from curate.people.exchange.label_studio.task_writing import DATA_KEY, format_region_id
from curate.people.exchange.label_studio.tasks import Task, check_tasks
from curate.people.exchange.readers import ImportedDecisions, ImportOptions, Reader
from curate.people.exchange.tool_labels import Labels, is_relabelled, label_studio_label
from curate.people.reviews.review_file import Reviews
from curate.rle import Runs, area, concat, paste
from curate.store.audit import Audit
from curate.store.rows_by_id import decode_masks, encode_canonical, pair_iou, rows_of

_FOREIGN = re.compile(r"mask_-?\d+")
"""Ids of regions that only masks of the audit have."""

_USER = re.compile(r"user -?\d+")
"""People of whom an export tells the number only."""

_TAIL_BYTES = 50_000
_NOTES = {
    "unlabelled": "tasks that nobody labelled",
    "skipped": "annotations that were skipped",
    "copied": "annotations that Label Studio made of our masks, so nobody looked at them",
    "blank": "annotations begun without our masks, so no mask was rejected by them",
    "renamed": "masks fixed in their category only",
    "shapes": "new regions that are no masks",
    "empty": "new masks without a pixel",
    "numbers": "users known by number only (--reviewer names one who is alone in a file)",
}


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


@dataclass
class _ExportTally:
    """Decisions so far, and regions of the current tasks that wait to be compared.

    Attributes:
        existing: Of each region with a mask's id: that id, who drew it, the region, and the task.
        added: Of each new region, likewise.
    """

    existing: list[tuple[int, dict[str, Any], Region, Task]] = field(default_factory=list)
    added: list[tuple[dict[str, Any], Region, Task]] = field(default_factory=list)
    decisions: list[pd.DataFrame] = field(default_factory=list)
    missing: list[pd.DataFrame] = field(default_factory=list)
    reviewed_images: list[dict[str, Any]] = field(default_factory=list)
    seen: list[dict[str, Any]] = field(default_factory=list)
    draws: set[int] = field(default_factory=set)
    counts: Counter[str] = field(default_factory=Counter)


def _read(reviews: Reviews, path: Path, options: ImportOptions) -> ImportedDecisions:
    if options.exported is not None:
        what = "a Label Studio export itself says which masks were exported"
        raise CallError(what, "--exported", "leave it out")
    if options.match is not None:
        raise CallError("Label Studio keeps the masks' ids", "--match", "leave it out")
    tally, count, labels = _ExportTally(), 0, Labels(reviews.audit, label_studio_label)
    with convert_read_errors(path), path.open("rb") as file, pause_collector():
        for batch in scan(file, path.name, frozenset([""])):
            values = batch.parse(path.name)
            tasks, known = check_tasks(reviews.audit, values, path.name, count)
            count += len(values)
            whole = _complete_images(reviews.audit, tasks)
            for task in tasks:
                _read_task(task, task.image_id in whole, tally)
            _decide_existing(tally, known, options.same_iou, labels)
            _decide_added(tally, labels)
    return _collect(tally, options.reviewer)


def _collect(tally: _ExportTally, reviewer: str | None) -> ImportedDecisions:
    """Return the decisions of the whole export."""
    empty = pd.DataFrame({"mask_id": np.empty(0, np.int64), "action": pd.Series([], dtype="str")})
    decisions = pd.concat(tally.decisions, ignore_index=True) if tally.decisions else empty
    missing = pd.concat(tally.missing, ignore_index=True) if tally.missing else None
    reviewed_images = pd.DataFrame(tally.reviewed_images, columns=["image_id", "reviewer", "time"])
    seen = pd.DataFrame(
        tally.seen, columns=["image_id", "reviewer", "time", "height", "width", *"xywh"]
    )
    frames = [frame for frame in (decisions, missing, reviewed_images, seen) if frame is not None]
    people = {name for f in frames if "reviewer" in f for name in f["reviewer"]}
    numbers = {name for name in people if isinstance(name, str) and _USER.fullmatch(name)}
    if reviewer is not None and people == numbers and len(people) == 1:
        for frame in frames:
            frame["reviewer"] = reviewer
    elif reviewer is not None:
        tally.counts["numbers"] = len(numbers)
    notes = {words: tally.counts[name] for name, words in _NOTES.items()}
    scope = name_draws(tally.draws)
    return ImportedDecisions(decisions, missing, reviewed_images, notes, seen=seen, scope=scope)


def _complete_images(audit: Audit, tasks: list[Task]) -> set[int]:
    """Return the images of which a task shows all of the audit's masks."""
    shown = {task.image_id: len(task.masks) for task in tasks if task.size == task.image_size}
    images = np.array(sorted(shown), np.int64)
    if not len(images):
        return set()
    there = rows_of(audit, "masks", "image_id", images)["image_id"].value_counts()
    return {image for image, count in shown.items() if int(there.get(image, 0)) == count}


def _read_task(task: Task, whole: bool, tally: _ExportTally) -> None:
    """Sort the regions of one task into existing and new ones."""
    tally.counts["skipped"] += task.skipped
    tally.counts["copied"] += task.copied
    tally.counts["unlabelled"] += not task.annotations and not task.skipped
    own = {format_region_id(mask): mask for mask in task.masks}
    for made in task.annotations:
        who = {"reviewer": made.reviewer, "time": made.time}
        seconds = None if made.seconds is None else made.seconds / len(own)
        regions = parse_regions(made.result, task.size, made.where)
        gone = [mask for name, mask in own.items() if name not in regions]
        blank = made.blank and len(gone) == len(own)
        tally.counts["blank"] += blank
        if gone and not blank:
            rows = [{"mask_id": mask, **who, "seconds": seconds, **task.draw} for mask in gone]
            places = [f"{made.where}, mask {mask}" for mask in gone]
            tally.decisions.append(_typed_frame(rows, action="reject", row=places))
        for name, region in regions.items():
            here = f"{made.where}, region {name[:60]}"
            if name in own:
                if region.mask is None:
                    do = "draw it with the brush or as a polygon"
                    raise SourceError(f"it is a {region.kind[:40]}, no mask", here, do)
                decision = {**who, "seconds": seconds, **task.draw, "row": here}
                tally.existing.append((own[name], decision, region, task))
            elif _FOREIGN.fullmatch(name):
                raise SourceError("this mask does not belong to the task", here)
            elif region.mask is None:
                tally.counts["shapes"] += 1
            else:
                tally.added.append(({**who, "row": here}, region, task))
        if whole and not blank:
            tally.reviewed_images.append({"image_id": task.image_id, **who})
        sides = zip("xywh", (*task.corner, *reversed(task.size)), strict=True)
        height, width = task.image_size
        seen = {"image_id": task.image_id, **who, "height": height, "width": width}
        tally.seen.append(seen | dict(sides))
    if task.draw["draw_id"] is not None:
        tally.draws.add(task.draw["draw_id"])


def _typed_frame(rows: list[dict[str, Any]], **columns: Any) -> pd.DataFrame:
    """Return rows as a frame whose columns have types even where all is missing."""
    frame = pd.DataFrame(rows).assign(**columns)
    types = {"seconds": "float64", "draw_id": "Int64", "reviewer": "object", "queue_kind": "object"}
    frame = frame.astype({name: kind for name, kind in types.items() if name in frame})
    return frame.assign(time=pd.to_datetime(frame["time"], utc=True))


def _place_on_images(pairs: list[tuple[Region, Task]]) -> Runs:
    """Return regions as masks on their whole images."""
    pieces = concat([region.mask for region, _ in pairs if region.mask is not None])
    sizes = np.array([task.image_size for _, task in pairs], np.int64).reshape(-1, 2)
    return paste(pieces, [task.corner for _, task in pairs], sizes[:, 0], sizes[:, 1])


def _decide_existing(
    tally: _ExportTally, known: pd.DataFrame, same_iou: float, labels: Labels
) -> None:
    """Decide on the masks that the current tasks still hold."""
    if not tally.existing:
        return
    after = _place_on_images([(region, task) for _, _, region, task in tally.existing])
    old = known.loc[[mask for mask, _, _, _ in tally.existing]]
    sizes = [old[side].to_numpy(np.int64) for side in ("height", "width")]
    before, _ = decode_masks(old["segmentation"], *sizes)
    iou, size = pair_iou(before, after), area(after)
    own = plain(old["category"])
    words = np.array(
        [
            labels.category_now(region.label, name)
            for name, (_, _, region, _) in zip(own, tally.existing, strict=True)
        ],
        object,
    )
    renamed = is_relabelled(own, words)
    same = iou >= same_iou
    tally.counts["renamed"] += int((same & renamed).sum())
    fixed = (size > 0) & (~same | renamed)
    action = np.where(size == 0, "reject", np.where(fixed, "fix", "accept"))
    masks = np.full(len(old), None, object)
    masks[fixed] = encode_canonical(after[fixed])
    words[~(fixed & renamed)] = None
    rows = [{"mask_id": mask, **decision} for mask, decision, _, _ in tally.existing]
    columns = {"action": action, "segmentation": masks, "iou": np.where(size > 0, iou, np.nan)}
    tally.decisions.append(_typed_frame(rows, **columns, category=words))
    tally.existing.clear()


def _decide_added(tally: _ExportTally, labels: Labels) -> None:
    """Record the new regions of the current tasks as missing masks."""
    if not tally.added:
        return
    runs = _place_on_images([(region, task) for _, region, task in tally.added])
    full = np.asarray(area(runs) > 0, np.bool_)
    tally.counts["empty"] += int((~full).sum())
    kept = [one for one, good in zip(tally.added, full.tolist(), strict=True) if good]
    tally.added.clear()
    if not kept:
        return
    rows = [
        {"image_id": task.image_id, "category": labels.category(region.label), **who}
        for who, region, task in kept
    ]
    masks = pd.Series(encode_canonical(runs[full]), dtype=object)
    tally.missing.append(_typed_frame(rows, segmentation=masks))


READER = Reader("label-studio", "Label Studio's JSON export", _matches, _read)
