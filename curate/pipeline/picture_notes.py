"""Notes on pictures: one picture of several images, bands that are not shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from curate.common.arrays import AnyArray
from curate.dataset.notes import EXAMPLES, Note, NoteRecord, as_dicts
from curate.store.audit_files import count_parts, part_names, read_part
from curate.store.known_pictures import PICTURE

SHARED = "one_picture_for_images"
BANDS = "bands_not_shown"


def picture_notes(out: Path) -> list[NoteRecord]:
    """Return notes on pictures of all images, as in ``audit.json``.

    Args:
        out: The audit directory; all parts are scored.
    """
    notes, images = _note_bands(out)
    return as_dicts([*_note_shared(out), *notes], {"images": images})


def _note_shared(out: Path) -> list[Note]:
    """Say which images have the same picture: what is told of it counts for each of them."""
    hashes = [_hashes(names) for names in _pictures(out)]
    if not hashes:
        return []
    values, counts = np.unique(np.concatenate(hashes), return_counts=True)
    shared = values[counts > 1]
    if not len(shared):
        return []
    found: Counter[str] = Counter()
    for names in _pictures(out):
        found.update(names[np.isin(_hashes(names), shared)].tolist())
    found = Counter({name: count for name, count in found.items() if count > 1})
    if not found:
        return []
    text = "images have one picture together with another image: two records of one image?"
    examples = tuple(f"{name} ({count} images)" for name, count in found.most_common(EXAMPLES))
    return [Note(SHARED, text, sum(found.values()), "images", examples)]


def _pictures(out: Path) -> Iterator[pd.Series[str]]:
    """Yield the pictures of each part's images: their files, or the names where none were given."""
    for index in range(count_parts(out)):
        known = part_names(out, "images", index)
        column = PICTURE if PICTURE in known else "file_name"
        frame = read_part(out, "images", index, [column, "status"]).to_pandas()
        # Whose id is used twice is there twice itself.
        names = frame.loc[frame["status"] != "duplicate_id", column].dropna().astype(str)
        yield names[names.str.strip() != ""]


def _hashes(names: pd.Series[str]) -> AnyArray:
    return pd.util.hash_array(names.to_numpy(object))


def _note_bands(out: Path) -> tuple[list[Note], int]:
    """Say of pictures of many bands which are shown; return how many images there are too."""
    images, counts = 0, Counter[str]()
    examples: dict[str, list[str]] = {}
    for index in range(count_parts(out)):
        if "picture_status" not in part_names(out, "images", index):
            images += len(read_part(out, "images", index, ["image_id"]))
            continue
        wanted = ["file_name", "picture_status", "picture_status_detail"]
        frame = read_part(out, "images", index, wanted).to_pandas()
        images += len(frame)
        told = frame["picture_status_detail"].fillna("")
        some = frame[(frame["picture_status"] == "ok") & (told != "")]
        for text, group in some.groupby("picture_status_detail"):
            counts[str(text)] += len(group)
            names = group["file_name"].astype(str).head(EXAMPLES).tolist()
            examples[str(text)] = [*examples.get(str(text), []), *names][:EXAMPLES]
    notes = [
        Note(BANDS, f"a picture of many bands: {text}", count, "images", tuple(examples[text]))
        for text, count in counts.items()
    ]
    return notes, images
