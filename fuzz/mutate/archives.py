"""Changes of archives and of what is in them; and whether a plain parser takes a file."""

from __future__ import annotations

import io
import json
import sqlite3
import tarfile
import tomllib
import xml.etree.ElementTree as ET
import zipfile
import zlib
from random import Random

from fuzz.mutate import markup, pictures, raw, text, values
from fuzz.mutate.kinds import kind_of

_NAMES = ("../x.json", "/x.json", "a/../../x.json", "", "x" * 300, "é\\x.json", "a.xml", "b.json")
_INNER = {
    "json": values.mutate,
    "xml": markup.mutate,
    "text": text.mutate,
    "png": pictures.mutate_png,
}


def _inner(name: str, data: bytes, random: Random) -> bytes:
    change = _INNER.get(kind_of(name, data))
    if change is None or random.random() < 0.1:
        return raw.mutate(data, random)
    return change(data, random)


def mutate_zip(data: bytes, random: Random) -> bytes:
    """Return a zip with one member changed, renamed, repeated or gone."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [(one.filename, archive.read(one)) for one in archive.infolist()]
            packing = {one.compress_type for one in archive.infolist()}
    except (zipfile.BadZipFile, RuntimeError, OSError, zlib.error, NotImplementedError):
        return data
    if not members:
        return raw.mutate(data, random)
    at = random.randrange(len(members))
    name, content = members[at]
    way = random.random()
    if way < 0.65:
        members[at] = name, _inner(name, content, random)
    elif way < 0.72:
        del members[at]
    elif way < 0.8:
        members[at] = random.choice((*_NAMES, name + "x", name.upper())), content
    elif way < 0.86:
        members.append((random.choice((name, *_NAMES)), content))
    elif way < 0.9:
        members[at] = name, b"[" + b" " * 2_000_000 + b"]"
    packed = io.BytesIO()
    how = random.choice((zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED, zipfile.ZIP_LZMA))
    if random.random() < 0.8:
        how = min(packing)  # as it was
    with zipfile.ZipFile(packed, "w", how) as archive:
        for name, content in members:
            info = zipfile.ZipInfo(name)
            info.compress_type = how
            archive.writestr(info, content)
    return _lied(bytearray(packed.getvalue()), random) if way >= 0.9 else packed.getvalue()


def _lied(made: bytearray, random: Random) -> bytes:
    """Change a field of the list of members: a size, a flag, a method, a CRC, an offset."""
    at = made.find(b"PK\x01\x02")
    if at < 0:
        return bytes(made)
    place, size = random.choice(((8, 2), (10, 2), (16, 4), (20, 4), (24, 4), (28, 2), (42, 4)))
    value = random.choice((0, 1, 9, 99, 2**16 - 1, 2**31, 2**32 - 1)) % 2 ** (8 * size)
    made[at + place : at + place + size] = value.to_bytes(size, "little")
    return bytes(made)


def mutate_tar(data: bytes, random: Random) -> bytes:
    """Return a tar with one member changed, renamed, repeated or gone, or of another kind."""
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            found = [(one, archive.extractfile(one)) for one in archive.getmembers()]
            members = [(one, b"" if file is None else file.read()) for one, file in found]
    except (tarfile.TarError, OSError):
        return data
    if not members:
        return raw.mutate(data, random)
    at = random.randrange(len(members))
    info, content = members[at]
    way = random.random()
    if way < 0.7:
        members[at] = info, _inner(info.name, content, random)
    elif way < 0.76:
        del members[at]
    elif way < 0.84:
        info.name = random.choice(_NAMES[1:])
    elif way < 0.9:
        members.append((info, content))
    else:
        info.type = random.choice((tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, b"Z", b"x"))
        info.linkname = random.choice(("/etc/hostname", "../x", info.name))
    packed = io.BytesIO()
    how = random.choice((tarfile.PAX_FORMAT, tarfile.GNU_FORMAT))
    with tarfile.open(fileobj=packed, mode="w", format=how) as archive:
        for info, content in members:
            info.size = len(content) if info.isreg() else 0
            archive.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def parses(name: str, data: bytes) -> bool:
    """Return whether a plain parser that shares no code with curate takes a file's content."""
    try:
        return _parses(kind_of(name, data), data)
    except Exception:
        return False


def _parses(kind: str, data: bytes) -> bool:
    if kind == "json":
        json.loads(data)
    elif kind == "xml":
        ET.fromstring(data)
    elif kind == "toml":
        tomllib.loads(data.decode())
    elif kind == "text":
        data.decode()
    elif kind in ("png", "tiff", "picture"):
        from PIL import Image

        with Image.open(io.BytesIO(data)) as image:
            image.load()
    elif kind == "zip":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return archive.testzip() is None
    elif kind == "tar":
        with tarfile.open(fileobj=io.BytesIO(data)) as opened:
            return bool(opened.getmembers())
    elif kind == "parquet":
        import pyarrow.parquet as pq

        pq.read_table(io.BytesIO(data))
    elif kind == "sqlite":
        connection = sqlite3.connect(":memory:")
        try:
            connection.deserialize(data)
            return bool(connection.execute("pragma quick_check").fetchone()[0] == "ok")
        finally:
            connection.close()
    return True
