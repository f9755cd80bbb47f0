"""Do two datasets hold the same, file by file? Bytes, or else what JSON and XML mean by them."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import orjson

_BLOCK = 1 << 20


def check_content(source: Path, written: Path) -> str:
    """Compare two datasets that should hold the same, file by file: bytes, or else parsed content.

    Returns:
        What is wrong, as a clause; empty where nothing is.
    """
    if source.is_file():
        return "" if _same(source, written) else "its content differs though no mask was dropped"
    names = [
        {p.relative_to(root).as_posix() for p in root.rglob("*") if not p.is_dir()}
        for root in (source, written)
    ]
    if names[0] != names[1]:
        return f"{min(names[0] ^ names[1])} is only in one of them"
    for name in sorted(names[0]):
        if not _same(source / name, written / name):
            return f"{name} differs though no mask was dropped"
    return ""


def _same(a: Path, b: Path) -> bool:
    if not a.is_file():  # a link to nowhere, a socket: there is no content to compare
        return True
    if a.stat().st_size == b.stat().st_size and _same_bytes(a, b):
        return True
    if a.suffix.lower() == ".json":
        return bool(orjson.loads(a.read_bytes()) == orjson.loads(b.read_bytes()))
    if a.suffix.lower() == ".xml":
        left, right = (ElementTree.canonicalize(from_file=str(p)) for p in (a, b))
        return left == right
    return False


def _same_bytes(a: Path, b: Path) -> bool:
    with a.open("rb") as left, b.open("rb") as right:
        while block := left.read(_BLOCK):
            if block != right.read(_BLOCK):
                return False
    return True
