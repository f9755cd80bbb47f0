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
    hashes = [_hashes(names) for names, _ in _pictures(out)]
    if not hashes:
        return []
    values, counts = np.unique(np.concatenate(hashes), return_counts=True)
    shared = values[counts > 1]
    if not len(shared):
        return []
    found: Counter[str] = Counter()
    places: dict[str, list[str]] = {}
    for names, keys in _pictures(out):
        same = np.isin(_hashes(names), shared)
        found.update(names[same].tolist())
        for name, key in zip(names[same].tolist(), keys[same].tolist(), strict=True):
            places.setdefault(name, []).append(key.partition("#")[0])
    found = Counter({name: count for name, count in found.items() if count > 1})
    if not found:
        return []
    text = "images have one picture together with another image: two records of one image?"
    examples = tuple(
        f"{name} ({_name_places(places[name], count)})"
        for name, count in found.most_common(EXAMPLES)
    )
    return [Note(SHARED, text, sum(found.values()), "images", examples)]


def _name_places(files: list[str], count: int) -> str:
    """Name the files of the source in which an image stands, where these are several."""
    several = [one for one in dict.fromkeys(files) if one]
    if len(several) < 2:
        return f"{count} images"
    return f"in {' and '.join(several[:2])}{', ...' if len(several) > 2 else ''}"


def _pictures(out: Path) -> Iterator[tuple[pd.Series[str], pd.Series[str]]]:
    """Yield pictures and source keys of each part's images.

    Pictures are their files, or the images' names where none were given.
    """
    for index in range(count_parts(out)):
        known = part_names(out, "images", index)
        column = PICTURE if PICTURE in known else "file_name"
        wanted = [name for name in (column, "status", "source_key") if name in known]
        frame = read_part(out, "images", index, wanted).to_pandas()
        keys = frame["source_key"] if "source_key" in frame else pd.Series("", frame.index)
        names, keys = (one.fillna("").astype(str) for one in (frame[column], keys))
        # Whose id is used twice is there twice itself.
        named = (frame["status"] != "duplicate_id") & (names.str.strip() != "")
        yield names[named], keys[named]


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
