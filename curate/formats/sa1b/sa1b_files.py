"""JSON of an SA-1B dataset: one document an image, in a folder, alone, or in tar archives."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import orjson
import pyarrow as pa

from curate.archives import tar_stream
from curate.common.archive_kinds import TAR_BLOCK, looks_like_tar
from curate.common.arrays import AnyArray
from curate.common.files import open_to_read
from curate.common.own_records import DamagedRecord, read_record
from curate.errors import AuditError, SourceError
from curate.formats.coco.images_and_categories import image_fields
from curate.formats.format import convert_read_errors
from curate.formats.json.json_columns import text
from curate.formats.json.streaming import parse_document
from curate.formats.own_pictures import OwnPictures, under_one_of

_TRIED = 20  # JSON files that are read to see whether their pictures are beside them

Document = tuple[str, int, int]
"""A JSON in an archive: name, position, size. In a folder: name, -1, size."""

ABOUT = "generation.json"
"""What says how a folder of SA-1B was generated; it holds no masks."""

CANDIDATES = "candidates"
"""Folder beside :data:`ABOUT` with all that was drawn, kept or not."""

_NAMES = ("id", "bbox", "area", "predicted_iou", "stability_score", "crop_box", "point_coords")


def containers(source: Path) -> Iterator[tuple[str, Iterable[Document]]]:
    """Yield (archive name, its JSON files), and ("", JSON files) for those in no archive."""
    if source.is_file():
        if is_archive(source):
            yield escape_name(source.name), members(source)
        else:
            yield "", [(escape_name(source.name), -1, source.stat().st_size)]
        return
    loose: list[Document] = []
    for path in dataset_files(source):
        if not path.is_file():
            continue
        name = path.relative_to(source).as_posix()
        if path.suffix.lower() == ".json":
            loose.append((name, -1, path.stat().st_size))
        elif path.name.lower().endswith((".tar", ".tar.gz", ".tgz")):
            yield name, members(path)
    if loose:
        yield "", loose


def members(path: Path) -> Iterator[Document]:
    """Yield the JSON files of a tar archive.

    Raises:
        SourceError: The archive is compressed or broken.
    """
    with path.open("rb") as file:
        if file.read(2) == b"\x1f\x8b":
            what = "a compressed tar archive cannot be read in pieces"
            raise SourceError(what, path.name, "unpack it once with gunzip and name the .tar")
        for member in tar_stream.members(file, path.name):
            if member.regular and member.name.lower().endswith(".json"):
                yield member.name, member.data, member.size


def contents(
    source: Path, container: str, documents: Iterable[Document]
) -> Iterator[tuple[str, bytes]]:
    """Yield how source keys name some JSON files of one container, and their bytes."""
    alone = source.is_file()
    if not container:
        for name, _, _ in documents:
            path = source if alone else source / name
            with convert_read_errors(path), open_to_read(path) as file:
                data = file.read()
            yield escape_name(name), data
        return
    path = source if alone else source / container
    with path.open("rb") as file:
        for name, position, size in documents:
            yield key_of(escape_name(container), name), os.pread(file.fileno(), size, position)


def pictures(source: Path) -> OwnPictures | None:
    """Return the folder of the JSON files where the pictures are beside them.

    None where they stand in archives or in several folders: their names are no paths then.
    """
    if is_archive(source):
        return None
    files = [source] if source.is_file() else []
    for path in () if files else dataset_files(source):
        if path.suffix.lower() == ".json" and path.is_file():
            if files and path.parent != files[0].parent:
                return None
            files.append(path)
    names = []
    for file in files[:_TRIED]:
        value = parse_document(file.read_bytes(), file.name)
        names.append(image_fields(value.get("image") if type(value) is dict else None)[0])
    return under_one_of({file.parent for file in files}, names)


def key_of(container: str, name: str) -> str:
    """Return how source keys name a JSON file: ``sa_1.json`` or ``shard.tar!sa_1.json``."""
    return f"{container}!{name}" if container else name


def all_files(folder: Path) -> Iterator[Path]:
    """Yield what a folder holds, sorted by name, folders before what is in them.

    Links are there, wherever they lead; pipes, sockets and devices are not.
    """
    with os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        if entry.is_symlink() or entry.is_file() or entry.is_dir():
            yield Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            yield from all_files(Path(entry.path))


def dataset_files(folder: Path) -> Iterator[Path]:
    """Yield what a folder holds but for the records of its generation."""
    own = own_names(folder)
    if not own:
        return all_files(folder)
    return (p for p in all_files(folder) if p.relative_to(folder).parts[0] not in own)


def escape_name(name: str) -> str:
    """Return a file name as text that can be written anywhere."""
    return text(os.fsencode(name).decode("utf-8", "backslashreplace"))


def is_archive(path: Path) -> bool:
    """Return whether a file is a tar archive, or is called like one."""
    try:
        with path.open("rb") as file:
            head = file.read(TAR_BLOCK)
    except OSError:
        return False
    return looks_like_tar(head) or path.name.lower().endswith((".tar", ".tar.gz", ".tgz"))


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
    image: dict[str, object],
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
    rows = zip(segmentation.to_pylist(), *(columns[name].tolist() for name in _NAMES), strict=True)
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
