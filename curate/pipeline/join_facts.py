"""Facts about joins of inputs and images, for `audit.json`, `joins.json` and texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from curate.common import files
from curate.dataset.image_join import REASON_TEXTS, REASONS, Join, Listing, join
from curate.dataset.image_names import stem
from curate.dataset.notes import Note, printable
from curate.formats.own_pictures import is_picture
from curate.formats.png.png_reading import PictureProblem, read_picture
from curate.images import ImageFolder
from curate.pipeline.source_images import SourceImages
from curate.store.audit import JOINS
from curate.store.audit_files import count_parts, read_part, to_frame, write_json
from curate.store.audit_records import JoinRecord
from curate.store.known_pictures import PICTURE

EXAMPLES = 3
"""How many of what was not joined ``audit.json`` and the summary name."""


def join_facts(found: Join, images: Listing, things: Listing) -> JoinRecord:
    """Return the facts of a join as stored in ``audit.json``.

    Args:
        found: The join.
        images: The source's images.
        things: The images of the input, or its files.

    Returns:
        Its keys are of :data:`curate.dataset.image_join.KEYS`, its reasons of
        :data:`curate.dataset.image_join.REASONS`.
    """
    has = np.zeros(len(images), np.bool_)
    has[found.rows[found.rows >= 0]] = True
    bare = np.flatnonzero(~has)
    return {
        "things": len(things),
        "images": len(images),
        "joined": int((found.rows >= 0).sum()),
        "keys": found.by_key(),
        "not_joined": {
            reason: {"count": count, "examples": _labels(things, found, reason)[:EXAMPLES]}
            for reason, count in found.by_reason().items()
        },
        "images_without": {
            "count": len(bare),
            "examples": [images.label(int(row)) for row in bare[:EXAMPLES]],
        },
    }


def picture_facts(names: Sequence[str], pictures: Mapping[str, str]) -> JoinRecord:
    """Return which images have a picture and how it was found, in the form of :func:`join_facts`.

    Args:
        names: The file name of every image.
        pictures: Paths of pictures by file name, "" for none.
    """
    found = [name for name in names if pictures.get(name)]
    others = [name for name in dict.fromkeys(found) if pictures[name] != name]
    again = join(Listing([pictures[name] for name in others]), Listing(others))
    same = len(found) - len(others)
    bare = [name for name in names if not pictures.get(name)]
    return {
        "things": len(set(found)),
        "images": len(names),
        "joined": len(found),
        "keys": ({"file_name": same} if same else {}) | again.by_key(),
        "not_joined": {},
        "images_without": {"count": len(bare), "examples": bare[:EXAMPLES]},
    }


def note_left_over(
    folder: ImageFolder, images: SourceImages, pictures: Mapping[str, str]
) -> list[Note]:
    """Say that the one picture that is no image's may be that of the one image that has none.

    Args:
        folder: The folder of pictures.
        images: All images of the source.
        pictures: Paths of pictures by file name, "" for none.
    """
    texts, sizes = images.listing.texts, images.listing.sizes
    bare = [row for row, name in enumerate(texts) if not pictures.get(name)]
    if len(bare) != 1 or sizes is None:
        return []
    own, taken = folder.path.resolve(), {*pictures.values()}
    left = [name for name in folder.files() if is_picture(name) and name not in taken]
    left = [name for name in left if str(own / name) not in images.files]
    left = [name for name in left if "/" not in name] or left  # others may be masks in folders
    name = stem(texts[bare[0]])
    if len(left) != 1 or not name or not _has_size(own / left[0], tuple(sizes[bare[0]].tolist())):
        return []
    what = f"no picture is called {name}.*, and {left[0]}, of the same size, is no image's"
    text = f"{what}: if it is its picture, give both the same name"
    return [Note("picture_left_over", text, 1, "images", (texts[bare[0]],))]


def _has_size(path: Path, size: tuple[int, ...]) -> bool:
    try:
        return size == read_picture(path).upright
    except PictureProblem:
        return False


def own_picture_facts(out: Path, are: str) -> JoinRecord:
    """Return which images have a picture of the dataset's own, in the form of :func:`join_facts`.

    Args:
        out: The audit directory; all parts are scored.
        are: Where these pictures are, in words.
    """
    names: list[str] = []
    pictures: dict[str, str] = {}
    for index in range(count_parts(out)):
        frame = to_frame(read_part(out, "images", index, ["file_name", PICTURE]))
        for name, path in zip(frame["file_name"], frame[PICTURE], strict=True):
            if isinstance(name, str):
                names.append(name)
                pictures[name] = path if isinstance(path, str) else ""
    return {**picture_facts(names, pictures), "are": are}


def list_not_joined(found: Join, things: Listing) -> dict[str, list[str]]:
    """Return all that was not joined, by reason."""
    return {reason: _labels(things, found, reason) for reason in found.by_reason()}


def write_joins(out: Path, lists: Mapping[str, Mapping[str, list[str]]]) -> None:
    """Write the list of all that was not joined, by input and reason; none where there is none."""
    if any(lists.values()):
        write_json(out / JOINS, lists)
    else:
        with files.convert_write_errors(out):
            files.unlink(out / JOINS, missing_ok=True)


def join_lines(joins: Mapping[str, JoinRecord]) -> list[str]:
    """Say what was joined how, and what was not, a line for each.

    Args:
        joins: By input what :func:`join_facts` gave.
    """
    lines = []
    for name, facts in joins.items():
        if are := facts.get("are"):
            lines.append(f"{name}: {are}, {facts['joined']:,} of {facts['images']:,}")
            continue
        keys = ", ".join(f"{key} {count:,}" for key, count in facts["keys"].items())
        how = f" (by {keys})" if keys else ""
        lines.append(f"{name}: {facts['joined']:,} of {facts['images']:,} images joined{how}")
        for reason, missing in facts.get("not_joined", {}).items():
            examples = ", ".join(printable(text) for text in missing["examples"])
            text = REASON_TEXTS[reason]
            lines.append(f"  {missing['count']:>9,}  not joined: {text} (for example {examples})")
    return lines


def _labels(things: Listing, found: Join, reason: str) -> list[str]:
    rows = np.flatnonzero(found.reasons == REASONS.index(reason))
    return [things.label(int(row)) for row in rows]
