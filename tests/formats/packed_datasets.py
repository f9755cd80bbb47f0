"""The small dataset of every kind, packed with the standard library in the ways that people do."""

from __future__ import annotations

import gzip
import io
import shutil
import stat
import tarfile
import zipfile
from pathlib import Path

import small_datasets

from curate.common.archive_kinds import header_checksum

TIME = (2021, 3, 4, 5, 6, 8)


def pack(dataset: Path, way: str, out: Path) -> Path:
    """Pack a dataset and return the archive.

    Args:
        dataset: A file or a folder.
        way: One of those of :data:`CASES`.
        out: The folder to write into.
    """
    found = [dataset] if dataset.is_file() else sorted(dataset.rglob("*"))
    home = dataset.parent if dataset.is_file() or way == "zip-folder" else dataset
    names = {one.relative_to(home).as_posix(): one for one in found if one.is_file()}
    if way == "gz":
        assert dataset.is_file(), "only one file goes into a gzip file"
        path = out / f"{dataset.name}.gz"
        with path.open("wb") as raw, gzip.GzipFile(dataset.name, "wb", 9, raw, mtime=5) as file:
            file.write(dataset.read_bytes())
    elif way in ("tar", "tgz"):
        path = out / f"data.{way}"
        with tarfile.open(path, "w" if way == "tar" else "w:gz") as archive:
            for name, one in names.items():
                archive.add(one, name)
    else:
        path = out / "data.zip"
        path.write_bytes(zipped({name: one.read_bytes() for name, one in names.items()}, way))
    return path


def zipped(files: dict[str, bytes], way: str = "zip") -> bytes:
    """Return a zip with clutter, folders, comments and several ways of packing in it."""
    methods = [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.comment = b"ours"
        for number, (name, data) in enumerate(files.items()):
            info = zipfile.ZipInfo(name, TIME)
            info.compress_type = methods[0 if way == "zip-folder" else number % len(methods)]
            if way == "zip-stored":
                info.compress_type = zipfile.ZIP_STORED
            info.comment = b"note"
            info.external_attr = (stat.S_IFREG | 0o640) << 16
            archive.writestr(info, data)
            if number == 0:
                archive.writestr(zipfile.ZipInfo(f"__MACOSX/._{name}", TIME), b"clutter")
    return made.getvalue()


def build(kind: str, way: str, folder: Path) -> Path:
    """Make the packed dataset of a kind in a folder; nothing else lies there."""
    plain = small_datasets.build(kind, folder / "plain")
    path = pack(plain, way, folder)
    shutil.rmtree(folder / "plain")
    return path


CASES = (
    *((kind, "zip") for kind in small_datasets.KINDS if kind != "label-png"),
    ("label-png", "zip-folder"),
    ("coco", "zip-folder"),
    ("sa1b", "zip-folder"),
    ("png-folder", "zip-folder"),
    ("yolo", "zip-stored"),
    ("coco", "tar"),
    ("png-folder", "tar"),
    ("sa1b", "tgz"),
    ("yolo", "tgz"),
    ("coco", "gz"),
    ("cvat", "gz"),
    ("sa1b-tar", "gz"),
)
"""Kinds of datasets, and ways in which they are packed: every kind in a zip, every way for some."""


def with_byte(tar: bytes, header: int, at: int, value: bytes) -> bytes:
    """Return a tar with another byte in the header at an offset, whose checksum is right."""
    made = bytearray(tar)
    made[header + at : header + at + 1] = value
    made[header + 148 : header + 156] = b"%06o\0 " % header_checksum(
        bytes(made[header : header + 512])
    )
    return bytes(made)
