"""FiftyOne, both ways, as its COCODetectionDataset: ``data/`` and ``labels.json``.

FiftyOne cuts a mask to its ``bbox`` and takes every further key as an attribute; loaded with
``label_types=["segmentations"]``, masks come in whole. Its own export numbers ids anew, keeps
attributes as keys, and makes polygons of masks that are not marked as crowds, which redraws them.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from curate.formats.json.sniffing import shape_of
from curate.people.exchange.coco_of_tools import (
    FolderLayout,
    read_coco_images,
    read_queue_version,
    write_coco_folder,
)
from curate.people.exchange.imported_images import ImageExport
from curate.people.exchange.queue_images import require_pictures
from curate.people.exchange.queue_writing import QueueRow
from curate.people.exchange.registry import ExchangeTool, ExportOptions, QueueWriter
from curate.people.exchange.tool_export import export_reader
from curate.people.exchange.tool_labels import safe_label
from curate.store.audit import StoredAudit
from curate.store.audit_sql import DATASET_VERSION

LABELS = "labels.json"
"""Name of its COCO file."""

ATTRIBUTES = (
    *("mask_id", "draw_id", DATASET_VERSION, "slot", "quality_score", "reasons", "priority"),
    *("rank", "action"),
)
"""Columns of a queue that become attributes; others bear names that mean something there."""


def write_fiftyone(audit: StoredAudit, rows: pd.DataFrame, out: Path, how: ExportOptions) -> int:
    """Write a queue as FiftyOne's COCODetectionDataset; whole images unless crops are asked for.

    Raises:
        CallError: There are no pictures.
    """
    return write_coco_folder(
        audit, rows, out, how, FolderLayout("FiftyOne", LABELS, "data", _attributes)
    )


def _attributes(record: QueueRow) -> dict[str, object]:
    shown = {key: record[key] for key in ATTRIBUTES if record.get(key) is not None}
    # FiftyOne's confidence is called score.
    return shown | ({"score": shown["quality_score"]} if "quality_score" in shown else {})


def _matches(path: Path) -> bool:
    return path.is_dir() and shape_of(path / LABELS).looks_coco


EXPORT = ImageExport(
    _matches,
    lambda path, wanted: read_coco_images(path / LABELS, path.name, wanted),
    safe_label,
    lambda path: read_queue_version(path / LABELS),
)

TOOL = ExchangeTool(
    "fiftyone",
    QueueWriter("FiftyOne (COCODetectionDataset)", write_fiftyone, require_pictures("FiftyOne")),
    export_reader("FiftyOne", EXPORT),
)
