"""Arrays in ``.npy`` and ``.npz`` files, read without pickles and within bounds.

An array's header says its shape, and only then is anything read: Python objects never are, and
nothing larger than :data:`MOST_BYTES`.
"""

from __future__ import annotations

import ast
import io
import math
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple, cast

import numpy as np

from curate.archives.zip_listing import open_zip
from curate.common import files
from curate.common.arrays import AnyArray
from curate.formats.ids.id_judging import UnreadIds
from curate.formats.png.png_reading import BROKEN, PictureProblem

MOST_BYTES = 1_500_000_000
"""Bytes of an array that is read."""

_PYTHON_2 = re.compile(r"(\d)L\b")  # long numbers as Python 2 wrote them
_MAGIC = b"\x93NUMPY"
_MOST_MEMBERS = 10_000  # arrays of a file that are looked at
DAMAGED = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, ValueError)
"""Errors that only reading a damaged or encrypted archive raises, and not writing one."""

_BROKEN = (*BROKEN, *DAMAGED)
_PICKLE = (
    "it holds Python objects (a pickle), which can run code when opened: of cellpose's _seg.npy "
    "save the masks alone, np.save('x_masks.npy', data['masks'])"
)


class ArrayHeader(NamedTuple):
    """Header of an array.

    Attributes:
        shape: Its sides.
        fortran: Whether the first side is that along which values stand.
        dtype: Type of its values.
        version: Of the header.
        length: Bytes of the header.
    """

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[np.generic]
    version: tuple[int, int]
    length: int

    @property
    def size(self) -> int:
        """Bytes of the values."""
        return math.prod(self.shape) * self.dtype.itemsize

    def resized(self, shape: tuple[int, ...]) -> bytes:
        """Return the header of an array of another shape, of the same type and order."""
        made = io.BytesIO()
        described = {
            "descr": np.lib.format.dtype_to_descr(self.dtype),
            "fortran_order": self.fortran,
            "shape": shape,
        }
        if self.version == (1, 0):
            np.lib.format.write_array_header_1_0(made, described)
        else:
            np.lib.format.write_array_header_2_0(made, described)
        return made.getvalue()


@dataclass(frozen=True)
class StoredArray:
    """An array in a file.

    Attributes:
        path: The file.
        member: What it is called in an ``.npz``; "" for an ``.npy``.
        header: What it says of itself.
    """

    path: Path
    member: str
    header: ArrayHeader

    def values(self) -> AnyArray:
        """Read the array.

        Raises:
            PictureProblem: It is too large, cut off or broken.
        """
        if self.header.size > MOST_BYTES:
            size, most = self.header.size / 1e6, MOST_BYTES / 1e6
            what = f"the array takes {size:,.0f} MB, over the limit of {most:,.0f} MB"
            raise PictureProblem("undecodable", what)
        with broken_arrays(), _open(self.path, self.member) as file:
            file.read(self.header.length)
            data = _read(file, self.header.size)
        order: Literal["F", "C"] = "F" if self.header.fortran else "C"
        return np.frombuffer(data, self.header.dtype).reshape(self.header.shape, order=order)

    def rewritten(self, values: AnyArray) -> bytes:
        """Return the whole ``.npy`` with other values; the header stays where the shape does."""
        with _open(self.path, self.member) as file:
            head = file.read(self.header.length)
            _read(file, self.header.size)
            rest = file.read()
        if values.shape != self.header.shape:
            head = self.header.resized(values.shape)
        order: Literal["F", "C"] = "F" if self.header.fortran else "C"
        return head + values.astype(self.header.dtype, copy=False).tobytes(order) + rest


def list_arrays(path: Path) -> list[StoredArray]:
    """Return the arrays of a file, from their headers.

    Raises:
        UnreadIds: It holds Python objects.
        PictureProblem: It is missing, or cannot be read.
    """
    with broken_arrays():
        if path.suffix.lower() != ".npz":
            with _open(path, "") as file:
                return [StoredArray(path, "", _header(file))]
        made = []
        with open_zip(path) as archive:
            for name in _names(archive):
                with archive.open(name) as file:
                    try:
                        header = _header(cast(BinaryIO, file))
                    except UnreadIds:
                        continue  # a name or a list of names beside the masks
                made.append(StoredArray(path, name.removesuffix(".npy"), header))
        return made


def _names(archive: zipfile.ZipFile) -> list[str]:
    names = archive.namelist()
    if len(set(names)) < len(names):
        raise ValueError("two arrays have one name")
    return [name for name in names if name.endswith(".npy")][:_MOST_MEMBERS]


@contextmanager
def _open(path: Path, member: str) -> Iterator[BinaryIO]:
    if not member and path.suffix.lower() != ".npz":
        with files.open_to_read(path) as file:
            yield file
        return
    with open_zip(path) as archive, archive.open(f"{member}.npy") as packed:
        yield cast(BinaryIO, packed)


def _read(file: BinaryIO, size: int) -> bytes:
    """Read exactly so many bytes, whatever the file claims to have."""
    made = bytearray()
    while len(made) < size:
        block = file.read(min(1 << 24, size - len(made)))
        if not block:
            raise ValueError("the array ends early")
        made += block
    return bytes(made)


def _header(file: BinaryIO) -> ArrayHeader:
    head = _read(file, 8)
    if not head.startswith(_MAGIC):
        if head[:1] == b"\x80":
            raise UnreadIds(_PICKLE)
        raise ValueError("it is no array")
    version = head[6], head[7]
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise ValueError(f"its version {head[6]}.{head[7]} is not known")
    wide = 2 if version == (1, 0) else 4
    prefix = _read(file, wide)
    length = int.from_bytes(prefix, "little")
    if length > 10_000:  # NumPy's own limit
        raise ValueError("its header is too long")
    text = _read(file, length).decode("latin1" if version < (3, 0) else "utf-8")
    shape, fortran, dtype = _described(text)
    return ArrayHeader(shape, fortran, dtype, version, 8 + wide + length)


def _described(text: str) -> tuple[tuple[int, ...], bool, np.dtype[np.generic]]:
    """Return shape, order and type as the text of a header has them.

    NumPy's own parser is for files that are trusted: on others it raises whatever it meets.
    """
    try:
        said = ast.literal_eval(_PYTHON_2.sub(r"\1", text).strip())
        shape, fortran, descr = said["shape"], said["fortran_order"], said["descr"]
        dtype = np.lib.format.descr_to_dtype(descr)
    except Exception as error:
        raise ValueError("its header is broken") from error
    if dtype.hasobject:
        raise UnreadIds(_PICKLE)
    sides = type(shape) is tuple and all(type(one) is int and one >= 0 for one in shape)
    if not sides or type(fortran) is not bool:
        raise ValueError("its header is broken")
    return shape, fortran, dtype


@contextmanager
def broken_arrays() -> Iterator[None]:
    """Turn what reading broken arrays raises into a :class:`PictureProblem`."""
    try:
        yield
    except FileNotFoundError:
        raise PictureProblem("no_segmentation", "the file is missing") from None
    except _BROKEN as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise PictureProblem("undecodable", f"the array cannot be read ({reason})") from error


def write_archive(source: Path, target: BinaryIO, changed: dict[str, bytes]) -> None:
    """Write an ``.npz`` with other contents of some arrays, packed as they were.

    Args:
        source: The file.
        target: Where to.
        changed: New contents by what the arrays are called.
    """
    with open_zip(source) as archive, zipfile.ZipFile(target, "w") as new_archive:
        new_archive.comment = archive.comment
        for info in archive.infolist():
            content = changed.get(info.filename.removesuffix(".npy"))
            if content is not None and info.filename.endswith(".npy"):
                new_archive.writestr(info, content)
                continue
            with archive.open(info) as packed, new_archive.open(info, "w") as file:
                while block := packed.read(1 << 20):
                    file.write(block)
