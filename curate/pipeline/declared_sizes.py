"""Declared image sizes compared with the pictures, for masks and for the file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from curate.dataset.notes import EXAMPLES, FILE_SHARE, Note, NoteRecord, as_dicts
from curate.dataset.table import STRING
from curate.images.image_folder import OTHER_SIZE, SWAPPED
from curate.store.audit_files import count_parts, part_names, read_part

OTHER = "size_mismatch"

LEAST_IMAGES = 3
"""Images that a file has at least for that to say something."""

_NOTES = {"swapped_sizes": SWAPPED, "other_sizes": OTHER_SIZE}
_LESS_GRAVE = ("ok", "empty", "bad_category")
_UNSEEN = ("missing", "unreadable", "truncated", "too_large")


def with_other_sizes(masks: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    """Return masks of which those of images of another size than their picture say so.

    What such a mask covers is not known, and neither is whether one that lies outside of its image
    is empty; so both get the status, and others keep their graver one. An undeclared category is
    told after it.

    Args:
        masks: Columns ``image_id``, ``status``, ``status_detail``.
        images: Index ``image_id``; may hold ``picture_status`` and ``picture_status_detail``.
    """
    if "picture_status" not in images:
        return masks
    other = images.loc[images["picture_status"] == OTHER, "picture_status_detail"]
    hit = masks["image_id"].isin(other.index) & masks["status"].isin(_LESS_GRAVE)
    if not hit.any():
        return masks
    rows = np.flatnonzero(hit.to_numpy(np.bool_))
    status, detail = (masks[name].to_numpy(object).copy() for name in ("status", "status_detail"))
    status[rows] = OTHER
    sizes = other.loc[masks["image_id"].iloc[rows]].to_numpy(object)
    kept = np.where((masks["status"] == "bad_category").to_numpy(np.bool_)[rows], detail[rows], "")
    detail[rows] = [
        f"{size}; {old}" if old else size for size, old in zip(sizes, kept, strict=True)
    ]
    made = {"status": status, "status_detail": detail}
    return masks.assign(**{k: pd.Series(v, masks.index, STRING) for k, v in made.items()})


def size_notes(out: Path) -> list[NoteRecord]:
    """Return notes on sizes that are wrong for nearly all images, as in ``audit.json``."""
    seen, images = 0, 0
    counts: Counter[str] = Counter()
    names: dict[str, list[str]] = {kind: [] for kind in _NOTES}
    details: dict[str, list[str]] = {kind: [] for kind in _NOTES}
    for index in range(count_parts(out)):
        if "picture_status" not in part_names(out, "images", index):
            return []
        wanted = ["file_name", "picture_status", "picture_status_detail"]
        frame = read_part(out, "images", index, wanted).to_pandas()
        images += len(frame)
        seen += int((~frame["picture_status"].isin(_UNSEEN)).sum())
        other = frame[frame["picture_status"] == OTHER]
        for kind, text in _NOTES.items():
            said = other["picture_status_detail"].str.startswith(text)
            counts[kind] += int(said.sum())
            first = other.loc[said, "file_name"].astype(str).head(EXAMPLES).tolist()
            names[kind] = [*names[kind], *first][:EXAMPLES]
            texts = other.loc[said, "picture_status_detail"].unique().tolist()
            details[kind] = list(dict.fromkeys([*details[kind], *texts]))[:2]
    return [
        made
        for kind, count in counts.items()
        if count >= LEAST_IMAGES and count > FILE_SHARE * seen
        for made in as_dicts(
            [Note(kind, _text(details[kind]), count, "images", tuple(names[kind]))],
            {"images": images},
        )
    ]


def _text(details: Iterable[str]) -> str:
    """Return the text common to all images: the whole detail, or the first as an example."""
    first, *others = details
    return first.replace("(picture", "(such as picture") if others else first
