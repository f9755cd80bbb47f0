"""SA-1B documents: one JSON an image, as the dataset itself has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from curate.common.arrays import AnyArray
from curate.common.own_records import DamagedRecord, read_record
from curate.errors import AuditError, SourceError

ABOUT = "generation.json"
"""What says how a folder of SA-1B was generated; it holds no masks."""

CANDIDATES = "candidates"
"""Folder beside :data:`ABOUT` with all that was drawn, kept or not."""

_NAMES = ("id", "bbox", "area", "predicted_iou", "stability_score", "crop_box", "point_coords")


def own_names(folder: Path) -> frozenset[str]:
    """Return the names in a folder that record its generation, and are no dataset.

    Raises:
        SourceError: The generation has not ended, so images lack, or were chosen otherwise.
        DamagedRecord: Its record cannot be read.
    """
    own = frozenset((ABOUT, CANDIDATES))
    if not (folder / ABOUT).is_file():
        return frozenset()
    try:
        about = read_record(folder / ABOUT, "a generation's", "curate generate")
    except DamagedRecord:
        raise
    except AuditError:  # somebody else's file of that name
        return frozenset()
    if about.get("state") != "complete":
        raise SourceError(
            "its generation has not ended",
            str(folder),
            "wait until it has, or run the same `curate generate` again",
        )
    return own


def document(
    image: dict[str, Any],
    segmentation: pa.LargeBinaryArray,
    columns: dict[str, AnyArray],
) -> bytes:
    """Return one image's JSON.

    Args:
        image: ``image_id``, ``width``, ``height`` and ``file_name``.
        segmentation: COCO's compressed counts of n masks.
        columns: ``id``, ``area``, ``predicted_iou`` and ``stability_score`` of shape (n,); ``bbox``
            and ``crop_box`` of shape (n, 4), XYWH; ``point_coords`` of shape (n, 2). Numbers that
            are not finite become null.
    """
    size = [image["height"], image["width"]]
    rows = zip(
        segmentation.to_pylist(),
        *(columns[name].tolist() for name in _NAMES),
        strict=True,
    )
    annotations = [
        {
            "id": number,
            "segmentation": {"size": size, "counts": counts.decode("ascii")},
            **dict(zip(_NAMES[1:-1], values, strict=True)),
            "point_coords": [point],
        }
        for counts, number, *values, point in rows
    ]
    made: bytes = orjson.dumps({"image": image, "annotations": annotations})
    return made
