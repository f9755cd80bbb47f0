"""JSON files of an SA-1B dataset: in a folder, alone, or in tar archives."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from curate.errors import SourceError
from curate.formats.coco.image_objects import image_fields
from curate.formats.format import convert_read_errors
from curate.formats.json.json_columns import text
from curate.formats.json.streaming import parse_document
from curate.formats.own_pictures import OwnPictures, under_one_of
from curate.formats.sa1b import tar_stream
from curate.formats.sa1b.sa1b_document import own_names

_TRIED = 20  # JSON files that are read to see whether their pictures are beside them

Document = tuple[str, int, int]
"""A JSON in an archive: name, position, size. In a folder: name, -1, size."""


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
            with convert_read_errors(path):
                data = path.read_bytes()
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
        if path.suffix.lower() == ".json":
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
    """Yield what a folder holds, sorted by name, folders before what is in them."""
    with os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
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
            head = file.read(tar_stream.BLOCK)
    except OSError:
        return False
    return tar_stream.looks_like_tar(head) or path.name.lower().endswith(
        (".tar", ".tar.gz", ".tgz")
    )
