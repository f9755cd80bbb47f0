"""Verbs about the content of datasets: diff, version."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd

from curate.api.early_checks import check_dataset
from curate.common.paths import AnyPath, check_folder
from curate.common.progress import MaskCounter, Progress
from curate.common.ranges import check_numbers
from curate.dataset.diff import compare_snapshots
from curate.dataset.difference import Difference
from curate.dataset.notes import mark_unprintable
from curate.dataset.snapshot import Snapshot, take_snapshot
from curate.dataset.table import IMAGE_COLUMNS, MASK_COLUMNS, MaskTable
from curate.dataset.version_id import version_of
from curate.formats.reading import dataset_path, detect, read_parts
from curate.rle import encode_counts, measure
from curate.store.audit import StoredAudit, open_audit
from curate.store.audit_files import count_parts, part_names, read_part, to_frame
from curate.store.audit_info import INFO


def diff(
    first: AnyPath,
    second: AnyPath,
    *,
    html: AnyPath | None = None,
    images: AnyPath | None = None,
    same_iou: float = 1.0,
    same_outline: float = 0.0,
    progress: Progress | None = None,
) -> Difference:
    """Say what happened to every mask from one dataset to another.

    Args:
        first: The dataset before, in any format, or an audit: the masks that were audited.
        second: The dataset after, or an audit; not necessarily of the same format.
        html: A file to write a page to, with the masks that changed most drawn before and after.
        images: Folder of the pictures for it; an audit's own, else none, if None.
        same_iou: Masks of this IoU and more count as unchanged, (0, 1].
        same_outline: So do masks whose outlines lie this far apart in the mean, or less, in pixels.
        progress: Called with (stage, masks done, masks in all or 0, masks just done).

    Returns:
        The difference; see :class:`curate.dataset.difference.Difference`.

    Raises:
        CurateError: One of them cannot be read, or a tolerance is out of its range; one sentence
            says why.
    """
    check_dataset(first)
    check_dataset(second)
    check_folder(images)
    check_numbers(same_iou=same_iou, same_outline=same_outline)
    a, b = (_snapshot(Path(path), progress) for path in (first, second))
    MaskCounter(progress, "comparing").add(0)
    found = compare_snapshots(a, b, same_iou=same_iou, same_outline=same_outline)
    if html is not None:
        from curate.reporting.difference_page import write_difference

        write_difference(Path(html), found, a, b, images or _find_images(first, second))
    return found


def _find_images(*paths: AnyPath) -> str | None:
    """Return the folder of pictures that one of several audits was given; None for none."""
    audits = [audit for path in paths if (audit := _audit_at(Path(path))) is not None]
    known = (audit.info.inputs.get("images") for audit in audits)
    return next((folder for folder in known if folder and Path(folder).is_dir()), None)


def version(path: AnyPath, *, format: str | None = None, masks: bool = False) -> str:
    """Return the version id of a dataset: the same for the same content in any format and order.

    Args:
        path: A dataset in any format, or an audit.
        format: The dataset's format, where its content does not tell.
        masks: Return a line a mask instead, for ``git diff`` to compare: image, category, pixels,
            box (x, y, width, height) and a hash of the pixels of 12 hex digits, with tabs between
            them, sorted. An image without masks has a line too, with its size.

    Returns:
        32 hex digits; see :mod:`curate.dataset.version_id`.

    Raises:
        CurateError: It cannot be read; one sentence says why.
    """
    check_dataset(path, format)
    audit = _audit_at(Path(path))
    if masks:
        parts = read_parts(Path(path), format) if audit is None else _audited_parts(audit)
        every = sorted(line for table in parts for line in _mask_lines(table))
        return "\n".join(line for _, line in every)
    if audit is None:
        return version_of(read_parts(Path(path), format))
    return audit.info.version or version_of(_audited_parts(audit))


def _mask_lines(table: MaskTable) -> Iterator[tuple[tuple[str, list[int]], str]]:
    """Yield a line a mask, and a line an image without masks, of one part of a dataset.

    Each comes after its image and box, by which they are sorted: a redrawn mask stays in its place.
    """
    masks = table.masks
    areas, boxes = measure(table.runs)
    counts = encode_counts(table.runs).to_pylist()
    columns = (masks["file_name"], masks["category"], areas.tolist(), boxes.tolist(), counts)
    for name, category, area, box, pixels in zip(*columns, strict=True):
        digest = hashlib.blake2b(pixels or b"", digest_size=6).hexdigest()
        told = "-" if pd.isna(category) else mark_unprintable(str(category))
        place = ",".join(map(str, box))
        image = mark_unprintable(str(name))
        yield (image, box), f"{image}\t{told}\t{area} px\t{place}\t{digest}"
    bare = table.images[~table.images.index.isin(masks["image_id"])]
    for name, height, width in zip(
        *(bare[column] for column in ("file_name", "height", "width")), strict=True
    ):
        image = mark_unprintable(str(name))
        yield (image, []), f"{image}\tno masks\t{width} x {height} px\t\t"


def _snapshot(path: Path, progress: Progress | None) -> Snapshot:
    audit, total = _audit_at(path), 0
    if audit is None:
        path = dataset_path(path)
        found = detect(path).name
        parts: Iterable[MaskTable] = read_parts(path, found)
    else:
        found, total = str(audit.info.source.get("format", "")), audit.info.mask_count or 0
        parts = _audited_parts(audit)
    read = MaskCounter(progress, f"reading {path.name}", total)
    return take_snapshot(str(path), found, _counted(parts, read))


def _counted(parts: Iterable[MaskTable], read: MaskCounter) -> Iterator[MaskTable]:
    """Yield the parts of a dataset, and count their masks."""
    read.add(0)
    for part in parts:
        yield part
        read.add(len(part))


def _audit_at(path: Path) -> StoredAudit | None:
    """Return the audit at a path; None where there is none.

    Raises:
        AuditError: There is one, but it is unfinished or of another version.
    """
    return open_audit(path) if (path / INFO).is_file() else None


def _audited_parts(audit: StoredAudit) -> Iterator[MaskTable]:
    """Read the masks of an audit as they were audited, part by part."""
    for k in range(count_parts(audit.path)):
        frames = {}
        for kind, needed in (
            ("masks", ["mask_id", *MASK_COLUMNS, "category_id"]),
            ("images", ["image_id", *IMAGE_COLUMNS, "named_by_place"]),
        ):
            there = set(part_names(audit.path, kind, k))
            names = [name for name in needed if name in there]
            frame = to_frame(read_part(audit.path, kind, k, names))
            frames[kind] = frame if frame.index.name == needed[0] else frame.set_index(needed[0])
        yield MaskTable(frames["masks"], frames["images"])
