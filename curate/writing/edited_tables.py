"""Tables of an audit with all edits made to them, a part at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from curate.common.arrays import BoolArray, IntArray
from curate.formats.edits import Edits
from curate.store.audit import StoredAudit
from curate.store.audit_files import count_parts, part_names, read_part, to_frame

SCORES = ("predicted_iou", "stability_score", "score")
"""Scores of a mask that a source may state."""

NO_NAME = "(no category)"
"""What images are counted under for their masks without a category."""

Only = Callable[[IntArray], BoolArray]
"""From ids of images to whether they stay."""

_NOTHING: Mapping[str, Any] = {}


def image_columns(audit: StoredAudit, columns: Sequence[str], only: Only | None) -> pd.DataFrame:
    """Return some columns of the images that stay, those that there are; index ``image_id``."""
    parts = range(count_parts(audit.path))
    wanted = ("image_id", *columns)
    found = pd.concat([read_columns(audit, "images", k, wanted) for k in parts], ignore_index=True)
    if only is not None:
        found = found[only(found["image_id"].to_numpy(np.int64))]
    return found.set_index("image_id")


def image_labels(audit: StoredAudit, edits: Edits, only: Only | None) -> pd.DataFrame:
    """Return the categories of each listed image that stays: ``image_id``, ``label``, each once.

    As they will be, with all edits made; masks without pixels count for nothing.
    """
    added: dict[str, list[str]] = {}
    for one in edits.add:
        added.setdefault(one.image_key, []).append(one.category or NO_NAME)
    found = []
    for index in range(count_parts(audit.path)):
        images = read_columns(audit, "images", index, ("image_id", "source_key"))
        columns = ("source_key", "image_id", "category", "category_id", "area_px")
        labels = _labels(read_columns(audit, "masks", index, columns), edits)
        found.append(labels[labels["image_id"].isin(images["image_id"])])
        keys = _objects(images["source_key"]) if "source_key" in images and added else []
        new = [
            (number, label)
            for number, key in zip(images["image_id"], keys, strict=False)
            for label in added.get(text_or_nothing(key), ())
        ]
        if new:
            found.append(pd.DataFrame(new, columns=["image_id", "label"]))
    made = pd.concat(found, ignore_index=True).drop_duplicates()
    if only is not None:
        made = made[only(made["image_id"].to_numpy(np.int64))]
    return made.reset_index(drop=True)


def with_edits(masks: pd.DataFrame, edits: Edits) -> pd.DataFrame:
    """Return the masks of a part that stay, as people left them."""
    keys = masks["source_key"].astype(str)
    masks = masks[~keys.isin(edits.drop).to_numpy(np.bool_)].reset_index(drop=True)
    pixels = _objects(masks["segmentation"])
    names = [name or None for name in _objects(masks["category"])]
    numbers = _objects(masks["category_id"]) if "category_id" in masks else [None] * len(masks)
    crowds = _objects(masks["iscrowd"]) if "iscrowd" in masks else [None] * len(masks)
    ignored = [False] * len(masks)
    attributes: list[Mapping[str, str]] = [_NOTHING] * len(masks)
    for row, key in enumerate(masks["source_key"].astype(str)):
        if change := edits.change.get(key):
            pixels[row] = pixels[row] if change.counts is None else change.counts
            attributes[row] = change.attributes
            if change.ignore is not None:
                crowds[row], ignored[row] = int(change.ignore), change.ignore
            if change.category is not None:
                names[row], numbers[row] = change.category, None
    # Readers count the crossings of polygons, and of nothing else.
    ring = masks["outline_crossings"].notna() if "outline_crossings" in masks else False
    scores = {
        name: masks[name].to_numpy(np.float64, na_value=np.nan) for name in SCORES if name in masks
    }
    made = masks.drop(columns=["outline_crossings"], errors="ignore").assign(polygon=ring, **scores)
    columns = {
        "segmentation": pixels,
        "category": names,
        "category_id": numbers,
        "iscrowd": crowds,
        "ignored": ignored,
        "attributes": attributes,
    }
    return made.assign(**{k: pd.Series(v, made.index, object) for k, v in columns.items()})


def _labels(masks: pd.DataFrame, edits: Edits) -> pd.DataFrame:
    """Return ``image_id`` and ``label`` of the masks of a part that stay."""
    keys = masks["source_key"].astype(str)
    changed = {key: one for key, one in edits.change.items() if one.counts or one.category}
    stays = ~keys.isin(edits.drop) & ((masks["area_px"] > 0) | keys.isin(changed))
    names = [name or None for name in _objects(masks["category"])]
    numbers = _objects(masks["category_id"]) if "category_id" in masks else [None] * len(names)
    labels = [
        (changed[key].category if key in changed else None)
        or name
        or (NO_NAME if number is None else str(number))
        for key, name, number in zip(keys, names, numbers, strict=True)
    ]
    made = pd.DataFrame({"image_id": masks["image_id"].to_numpy(np.int64), "label": labels})
    return made[stays.to_numpy(np.bool_)].drop_duplicates()


def _objects(column: pd.Series[Any]) -> list[Any]:
    return list(column.astype(object).where(column.notna(), None))


def read_columns(
    audit: StoredAudit, view: str, index: int, columns: tuple[str, ...]
) -> pd.DataFrame:
    """Return those of some columns that a part of an audit has; ids are columns too."""
    names = [name for name in columns if name in part_names(audit.path, view, index)]
    frame = to_frame(read_part(audit.path, view, index, names))
    return frame if frame.index.name is None else frame.reset_index()


def text_or_nothing(value: object) -> str:
    """Return a text; "" for what is none."""
    return value if isinstance(value, str) else ""


def whole_or_none(value: Any) -> int | None:
    """Return a whole number; None for a missing value."""
    return None if value is None or pd.isna(value) else int(value)
