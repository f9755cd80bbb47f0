"""Ground truth of a demo dataset: the planted defects and their places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pandas as pd

from curate.common import files
from curate.demo_dataset.annotation import DemoAnnotation, iou
from curate.demo_dataset.demo_writing import box_of, counts_string
from curate.errors import SourceError

MASK_FIELDS = (
    *("mask_id", "image_id", "category", "kind", "detail", "partner", "true_iou"),
    *("object_x", "object_y", "object_w", "object_h", "object_category", "object_counts"),
)
IMAGE_FIELDS = ("file_name", "kind")
MISSING_FIELDS = ("image_id", "category", "x", "y", "w", "h", "counts")


@dataclass(frozen=True)
class DemoTruth:
    """A demo dataset and what is wrong in it.

    Attributes:
        path: Its folder.
        masks: Index ``source_key`` (``instances.json#/annotations/17``); ``mask_id`` as written,
            ``image_id``, ``category``, ``kind`` (empty for a sound mask), ``detail``, ``partner``
            (key of the mask that it doubles, cuts or swallows, or empty), ``true_iou`` with the
            object (0 where there is none), the object's box ``object_x``, ``object_y``,
            ``object_w``, ``object_h`` (zeros where there is none), its right name
            ``object_category``, and its pixels ``object_counts`` (COCO compressed counts).
        images: Index ``image_id``; ``file_name`` and ``kind`` (empty for a sound picture).
        missing: Objects without a mask: ``image_id``, ``category``, box ``x``, ``y``, ``w``, ``h``,
            pixels ``counts``.
    """

    path: Path
    masks: pd.DataFrame
    images: pd.DataFrame
    missing: pd.DataFrame

    @property
    def source(self) -> Path:
        """The COCO file to audit."""
        return self.path / "instances.json"

    @property
    def pictures(self) -> Path:
        """The folder of pictures, for ``--images``."""
        return self.path / "images"

    @property
    def detections(self) -> Path:
        """A detector's boxes, for ``--detections``."""
        return self.path / "detections.json"

    @property
    def second_annotator(self) -> Path:
        """Another annotator's masks, for ``--compare second=FILE``."""
        return self.path / "second_annotator.json"

    @property
    def soft_masks(self) -> Path:
        """Logits, one file an image, for ``--soft-masks``."""
        return self.path / "soft_masks"


def write_truth(
    path: Path,
    annotations: Sequence[DemoAnnotation],
    ids: Sequence[int],
    dropped: Sequence[DemoAnnotation],
    pictures: dict[int, tuple[str, str]],
) -> None:
    """Write ``truth.json``.

    Args:
        path: Folder of the demo.
        annotations: In the order of the file.
        ids: Their written ids.
        dropped: Objects without a mask.
        pictures: Image id to file name and kind.
    """
    keys = [f"instances.json#/annotations/{k}" for k in range(len(annotations))]
    masks = {}
    for key, number, a in zip(keys, ids, annotations, strict=True):
        partner = keys[a.partner] if a.partner >= 0 else ""
        true = round(iou(a.mask, a.true), 4)
        values = (number, a.image_id, a.category, a.kind, a.detail, partner, true, *box_of(a.true))
        values = (*values, a.right_category, counts_string(a.true))
        masks[key] = dict(zip(MASK_FIELDS, values, strict=True))
    missing = []
    for a in dropped:
        values = (a.image_id, a.category, *box_of(a.true), counts_string(a.true))
        missing.append(dict(zip(MISSING_FIELDS, values, strict=True)))
    images = {str(i): dict(zip(IMAGE_FIELDS, v, strict=True)) for i, v in pictures.items()}
    whole = {"masks": masks, "images": images, "missing": missing}
    files.write_bytes(path / "truth.json", orjson.dumps(whole, option=orjson.OPT_INDENT_2))


def load_truth(path: Path) -> DemoTruth:
    """Read the truth of a demo dataset that was made before.

    Raises:
        SourceError: The folder has no readable ``truth.json``.
    """
    try:
        whole: dict[str, Any] = orjson.loads((path / "truth.json").read_bytes())
        masks = pd.DataFrame.from_dict(whole["masks"], orient="index", columns=list(MASK_FIELDS))
        images = pd.DataFrame.from_dict(whole["images"], orient="index", columns=list(IMAGE_FIELDS))
        missing = pd.DataFrame(whole["missing"], columns=list(MISSING_FIELDS))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SourceError(
            "it holds no demo's truth.json", str(path), "make a demo there first"
        ) from error
    images.index = images.index.astype("int64").rename("image_id")
    return DemoTruth(path, masks.rename_axis("source_key"), images, missing)
