"""Images of an engine, ``images.parquet``: read once, compared with the files before each use."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, cast

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from curate.common import files
from curate.common.progress import Progress
from curate.dataset.notes import encodable
from curate.engine.coco_writing import ListedImage
from curate.errors import AuditError, SourceError
from curate.images import ImageFolder
from curate.images.file_lookup import ESCAPES
from curate.networks.generation.generating import list_pictures_below
from curate.store.audit_files import writing
from curate.store.engine_folder import IMAGES

POOL, VALIDATION, START, LEFT_OUT = "pool", "validation", "start", "left_out"
"""Roles: to be annotated in rounds; set aside to validate on; annotated before; not usable."""

_THREADS = 4
_TYPES = {"image_id": pa.int64(), "file_name": pa.string(), "height": pa.int64()} | {
    "width": pa.int64(),
    "pixels": pa.string(),
    "role": pa.string(),
    "reason": pa.string(),
}


def read_pictures(folder: Path, progress: Progress | None) -> pd.DataFrame:
    """Read all pictures below a folder.

    Args:
        folder: The folder.
        progress: Called with progress.

    Returns:
        ``image_id`` (from 1), ``file_name`` (the path under the folder), ``height`` and ``width``
        (as displayed, 0 where it does not open), ``pixels`` (hash of the file, "" likewise),
        ``role`` (:data:`POOL` or :data:`LEFT_OUT`) and ``reason`` (why it is left out, else "").

    Raises:
        SourceError: There are none, or none that opens.
    """
    names = list_pictures_below(folder)
    source = ImageFolder(folder)
    rows: list[tuple[str, int, int, str, str]] = []
    with ThreadPoolExecutor(_THREADS) as threads:
        seen = threads.map(lambda name: source.inspect(name, (0, 0)), names)
        for done, (name, found) in enumerate(zip(names, seen, strict=True), 1):
            height, width = found.header.displayed if found.header else (0, 0)
            reason = "" if found.header else f"{found.status}: {found.detail}"
            if (plain := str(encodable(name))) != name:
                reason, name = "its name is no text in UTF-8", plain
            elif name != name.strip() or not name.isprintable():
                reason = "its name begins or ends with a space, or holds a control character"
            rows.append((name, height, width, found.digest, reason))
            if progress:
                progress("reading pictures", done, len(names), 0)
    columns = ["file_name", "height", "width", "pixels", "reason"]
    frame = pd.DataFrame(rows, columns=columns)
    twice = frame.duplicated("pixels") & (frame["reason"] == "")
    frame.loc[twice, "reason"] = "the same file is there under another name"
    frame["role"] = [LEFT_OUT if reason else POOL for reason in frame["reason"]]
    frame.insert(0, "image_id", range(1, len(frame) + 1))
    if not (frame["role"] == POOL).any():
        reason = str(frame["reason"].iloc[0])
        what = f"none of its {len(frame):,} pictures opens ({reason})"
        do = "check the folder"
        if frame["reason"].str.endswith(ESCAPES).all():
            what = (
                f"its {len(frame):,} pictures are links that lead out of it, which are not followed"
            )
            do = "give the folder that they lead to, or copy the pictures"
        raise SourceError(what, str(folder), do)
    return frame


def write_images(folder: Path, images: pd.DataFrame) -> None:
    """Write ``images.parquet``."""
    table = pa.Table.from_pandas(images[list(_TYPES)], pa.schema(list(_TYPES.items())), False)
    with writing(folder / IMAGES) as temporary, files.open_file(temporary) as file:
        pq.write_table(table.replace_schema_metadata(None), file)


def read_images(project: Path) -> pd.DataFrame:
    """Return the images of an engine; see :func:`read_pictures`.

    Raises:
        AuditError: The file is missing or damaged.
    """
    path = project / IMAGES
    try:
        frame: pd.DataFrame = pq.read_table(path).to_pandas()
        return frame[list(_TYPES)]
    except (pa.ArrowException, OSError, KeyError) as error:
        what = f"it cannot be read ({' '.join(str(error).split())[:100]})"
        raise AuditError(what, str(path), "restore it from a copy") from error


def list_images(images: pd.DataFrame, ids: Iterable[int]) -> list[ListedImage]:
    """Return images by their ids, in that order."""
    rows = images.set_index("image_id", drop=False).loc[list(ids)]
    columns = (rows[name].tolist() for name in ("image_id", "file_name", "height", "width"))
    return [ListedImage(*values) for values in zip(*columns, strict=True)]


def find_changed(folder: Path, images: pd.DataFrame) -> dict[int, str]:
    """Return the images whose file is gone or not what it was, with the reason.

    Args:
        folder: The folder of pictures.
        images: Rows of ``images.parquet``.
    """
    found: dict[int, str] = {}
    rows = zip(
        *(images[name].tolist() for name in ("image_id", "file_name", "pixels")), strict=True
    )
    for image_id, name, digest in rows:
        reason = _compare(folder / name, digest)
        if reason:
            found[image_id] = reason
    return found


def refuse_changed(folder: Path, images: pd.DataFrame, purpose: str) -> None:
    """Check that pictures are what they were.

    Args:
        folder: The folder of pictures.
        images: Rows of ``images.parquet``.
        purpose: What they are needed for, for the error.

    Raises:
        SourceError: One is gone or has changed.
    """
    changed = find_changed(folder, images)
    if changed:
        first, reason = next(iter(changed.items()))
        name = str(images.set_index("image_id")["file_name"].loc[first])
        what = f"{len(changed):,} of {len(images):,} pictures {purpose} are not as they were"
        do = "put them back as they were, and run the same command again"
        raise SourceError(f"{what}: {name} {reason}", str(folder), do)


def _compare(path: Path, digest: str) -> str:
    try:
        with files.open_to_read(path) as file:
            hashed = hashlib.file_digest(cast(Any, file), partial(hashlib.blake2b, digest_size=16))
            found = hashed.hexdigest()
    except OSError as error:
        return f"cannot be read ({(error.strerror or str(error)).lower()})"
    return "" if found == digest else "has changed"


def names_of(images: Sequence[ListedImage]) -> str:
    """Return the content of ``images.txt``: a file name a line."""
    return "".join(f"{one.file_name}\n" for one in images)
