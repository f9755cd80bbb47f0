"""Soft masks (logits or probabilities) on disk: lookup by mask, and checks before reading.

Names, suffix aside: a mask's own file is named by its ``mask_id``, or like the file that the mask
stands in (``a/masks/7.png``: ``a/masks/7.npy`` or ``7.npy``). A file for a whole image is named
like the image, as :mod:`curate.dataset.image_join` compares names, and holds a stack n x height x
width, one layer a mask, in the order of the image's masks in the source, or, as ``.npz``, an array
a mask under its ``mask_id``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from curate.archives.zip_listing import open_zip
from curate.common.arrays import AnyArray
from curate.errors import SourceError
from curate.images import MAX_BYTES
from curate.images.decode import open_picture
from curate.images.file_lookup import NAMELESS, NONE, Finder
from curate.images.image_pieces import source_of

SUFFIXES = (".npy", ".npz", ".png")
"""Suffixes of files that can hold soft masks."""

MAX_PIXELS = 178_956_970
"""Largest soft mask that is read, in pixels: each is looked at whole."""


class Unusable(Exception):
    """A soft mask cannot be used.

    Args:
        status: ``missing``, ``ambiguous``, ``unreadable``, ``wrong_type``, ``size_mismatch`` or
            ``not_finite``.
        detail: The facts, as a clause.
        final: Whether no other file may be taken instead.
    """

    def __init__(self, status: str, detail: str, *, final: bool = False) -> None:
        super().__init__(status, detail)
        self.status, self.detail, self.final = status, detail, final


@dataclass(frozen=True)
class Layers:
    """The arrays of one file, none of them read yet.

    Attributes:
        names: Name of each array; empty for the layers of a stack.
        shapes: Shape of each array.
        read: Takes the position of an array and gives it, of two dimensions.
        unpacked: Bytes a pixel that it takes in memory; 0 where it stays in its file.
    """

    names: Sequence[str]
    shapes: Sequence[tuple[int, ...]]
    read: Callable[[int], AnyArray]
    unpacked: int = 0


class SoftMasks:
    """A folder of soft masks. Nothing outside of it is opened; nothing is ever unpickled.

    Raises:
        SourceError: ``path`` is no folder.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_dir():
            raise SourceError("there is no such folder of soft masks", str(path), "check the path")
        self._root = self.path.resolve()
        self._finder = Finder(self.path, suffixes=SUFFIXES)

    def knowing(self, known: Mapping[str, str]) -> SoftMasks:
        """Return the folder with some names known; what was listed is not listed again."""
        made = copy(self)
        made._finder = self._finder.knowing(known)
        return made

    def find_all(self, file_names: Iterable[object]) -> dict[str, str]:
        """Find the files of all images of a dataset; see :meth:`Finder.find_all`."""
        return self._finder.find_all(file_names)

    def __getstate__(self) -> dict[str, object]:
        return {k: v for k, v in self.__dict__.items() if not k.startswith("_by_")}

    @cached_property
    def _by_path(self) -> dict[str, list[Path]]:
        files: dict[str, list[Path]] = {}
        for folder, below, names in os.walk(self._root):
            below.sort()
            for name in sorted(names):
                stem, suffix = os.path.splitext(name)
                if suffix.lower() in SUFFIXES:
                    path = Path(folder) / name
                    key = (path.parent / stem).relative_to(self._root).as_posix()
                    files.setdefault(key, []).append(path)
        return files

    @cached_property
    def _by_stem(self) -> dict[str, list[Path]]:
        stems: dict[str, list[Path]] = {}
        for key, paths in self._by_path.items():
            stems.setdefault(key.rsplit("/", 1)[-1], []).extend(paths)
        return stems

    def _find(self, name: str) -> Path | None:
        """Return the file of this name: the whole path, or, where only one has it, the last part.

        Raises:
            Unusable: Several files have the name.
        """
        found = self._by_path.get(name) or self._by_stem.get(name.rsplit("/", 1)[-1], [])
        if len(found) > 1:
            raise Unusable("ambiguous", f"{len(found)} files of soft masks are named {name}")
        if found and not found[0].resolve().is_relative_to(self._root):
            raise Unusable("missing", "its file is a link that leads out of the folder")
        return found[0] if found else None

    def of_image(self, masks: pd.DataFrame) -> Iterator[tuple[int, AnyArray | Unusable]]:
        """Yield (row, soft mask or why there is none) of each mask of one image, one at a time.

        Args:
            masks: All rows of one image, in any order; index ``mask_id``, columns ``source_key``,
                ``file_name``, ``height`` and ``width``.
        """
        keys = [natural_key(str(key)) for key in masks["source_key"]]
        order = sorted(range(len(masks)), key=keys.__getitem__)
        shared, problem = self._find_shared(masks)
        ids = masks.index.to_numpy(np.int64)
        sizes = masks[["height", "width"]].to_numpy(np.int64)
        for place, row in enumerate(order):
            size = (int(sizes[row, 0]), int(sizes[row, 1]))
            mask_id, key = int(ids[row]), str(masks["source_key"].iat[row])
            try:
                if shared is None:
                    yield row, self._own(mask_id, key, size, problem)
                elif shared.names:
                    yield row, _find_by_name(shared, str(mask_id), size)
                else:
                    yield row, _layer(shared, place, size)
            except Unusable as reason:
                yield row, reason

    def _find_shared(self, masks: pd.DataFrame) -> tuple[Layers | None, Unusable | None]:
        """Return the file of the whole image, or why it cannot be that."""
        try:
            path, reason = self._finder.find(masks["file_name"].iat[0])
            if path is None:
                told = reason not in (NONE, NAMELESS)
                return None, Unusable("ambiguous", reason) if told else None
            layers = open_layers(path)
            n, ids = len(masks), {str(i) for i in masks.index}
            if layers.names and (len(layers.names) > 1 or set(layers.names) & ids):
                return layers, None
            layers = _as_stack(layers)
            if len(layers.shapes) == n:
                return self._alone(layers, path, ids)
            stack = f"its image's file holds {len(layers.shapes)} soft masks"
            return None, Unusable("size_mismatch", f"{stack}, the image has {n} masks")
        except Unusable as problem:
            return None, problem

    def _alone(
        self, layers: Layers, path: Path, ids: set[str]
    ) -> tuple[Layers | None, Unusable | None]:
        """Refuse a file of one mask where another is named by the mask's id: either may be it."""
        others = [self._find(number) for number in ids] if len(ids) == 1 else []
        for other in others:
            if other is not None and other.resolve() != path.resolve():
                detail = f"{path.name} is named like its image, {other.name} by its mask_id"
                raise Unusable("ambiguous", detail, final=True)
        return layers, None

    def _own(
        self, mask_id: int, key: str, size: tuple[int, int], problem: Unusable | None
    ) -> AnyArray:
        """Return the soft mask in a file of its own."""
        if problem is not None and problem.final:
            raise problem
        names = [str(mask_id)]
        if "#" not in key and PurePosixPath(key).suffix.lower() in (".png", ".tif", ".tiff"):
            names.insert(0, _without_suffix(key.rsplit("!", 1)[-1]))
        for name in names:
            path = self._find(name)
            if path is not None:
                layers = _as_stack(open_layers(path))
                if len(layers.shapes) == 1:
                    return _layer(layers, 0, size)
                problem = problem or Unusable(
                    "size_mismatch", f"{path.name} holds {len(layers.shapes)} soft masks, not one"
                )
        raise problem or Unusable("missing", "there is no file of soft masks for it")


def natural_key(text: str) -> tuple[tuple[int, str], ...]:
    """Return a sort key that takes digits as numbers: ``a/10`` comes after ``a/9``."""
    return tuple((int(p), "") if p.isdecimal() else (-1, p) for p in re.split(r"(\d+)", text))


def _without_suffix(name: str) -> str:
    path = PurePosixPath(name.replace("\\", "/"))
    return path.with_suffix("").as_posix() if path.name else name


def _as_stack(layers: Layers) -> Layers:
    """Return a file's only array of three dimensions as the layers of a stack."""
    if len(layers.shapes) == 1 and not layers.names and len(layers.shapes[0]) == 2:
        return layers
    return replace(layers, names=())


def _find_by_name(layers: Layers, name: str, size: tuple[int, int]) -> AnyArray:
    if name not in layers.names:
        raise Unusable("missing", "its image's file of soft masks has no array of its mask_id")
    return _layer(layers, list(layers.names).index(name), size)


def _layer(layers: Layers, place: int, size: tuple[int, int]) -> AnyArray:
    """Check an array's shape against the image's, and what it takes, then read it."""
    shape = layers.shapes[place]
    if shape != size:
        found = " x ".join(map(str, shape))
        detail = f"its soft mask is {found} (height x width), the image {size[0]} x {size[1]}"
        raise Unusable("size_mismatch", detail)
    if shape[0] * shape[1] > MAX_PIXELS:
        raise Unusable("size_mismatch", f"its soft mask is over the limit of {MAX_PIXELS:,} pixels")
    taken = shape[0] * shape[1] * layers.unpacked
    if taken > MAX_BYTES:
        limit = f"over the limit of {MAX_BYTES / 1e6:,.0f} MB"
        detail = f"its soft mask unpacks to {taken / 1e6:,.0f} MB, {limit}: store it as .npy"
        raise Unusable("unreadable", detail)
    return layers.read(place)


def open_layers(path: Path) -> Layers:
    """Read what a file of soft masks says about its arrays.

    Raises:
        Unusable: It cannot be read, or holds no numbers that a soft mask is made of.
    """
    reader = {".npy": _open_npy, ".npz": _open_npz, ".png": _open_png}[path.suffix.lower()]
    try:
        return reader(path)
    except Unusable:
        raise
    except Exception as error:  # readers raise whatever they like on a broken file
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> Unusable:
    text = " ".join(str(error).split())[:200] or type(error).__name__
    return Unusable("unreadable", f"{path.name} cannot be read ({text})")


def _check_dtype(path: Path, dtype: np.dtype[Any]) -> None:
    if dtype.kind == "f" or dtype == np.uint16:
        return
    advice = "store floats, or probabilities times 65535 as 16 bit"
    raise Unusable("wrong_type", f"{path.name} holds {dtype}, no soft values: {advice}")


def _split(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Return the shapes of an array's layers: n x h x w, or n x 1 x h x w as SAM gives it."""
    if len(shape) == 3 or (len(shape) == 4 and shape[1] == 1):
        return [shape[-2:]] * shape[0]
    return [shape]


def _open_npy(path: Path) -> Layers:
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    _check_dtype(path, array.dtype)
    shapes = _split(array.shape)
    stack = array.reshape(-1, *shapes[0]) if array.ndim > 2 and len(shapes[0]) == 2 else [array]
    return Layers((), shapes, lambda k: stack[k])


def _open_png(path: Path) -> Layers:
    with open_picture(path, MAX_PIXELS) as (image, header):
        if not image.mode.startswith("I"):
            raise Unusable("wrong_type", f"{path.name} is no 16-bit gray PNG, no soft values")
        shape = header.stored

    def read(_: int) -> AnyArray:
        try:
            with open_picture(path, MAX_PIXELS) as (again, header):
                whole = np.empty(shape, np.uint16)
                source = source_of(path, again, header.stored, MAX_BYTES, gray=True)
                for one in source.pieces(0, shape[0]):
                    values = np.asarray(one.image)
                    whole[one.y :: one.dy, one.x :: one.dx][: len(values)] = values
                return whole
        except Exception as error:
            raise _unreadable(path, error) from error

    return Layers((), [shape], read, unpacked=2)


def _open_npz(path: Path) -> Layers:
    """Look at the arrays' headers; one array of three dimensions is a stack without names."""
    with open_zip(path) as archive:
        members = [m for m in archive.namelist() if m.endswith(".npy")]
        headers = []
        for member in members:
            with archive.open(member) as file:
                headers.append(_header(path, file))
    if not members:
        raise Unusable("wrong_type", f"{path.name} holds no arrays")
    if len(members) == 1 and len(headers[0][0]) > 2:
        shape, fortran, _ = headers[0]
        if fortran:
            raise Unusable("wrong_type", f"{path.name} is in Fortran order: store it in C order")
        size = headers[0][2].itemsize
        return Layers((), _split(shape), _Member(path, members[0]).read, size)
    names = [member.removesuffix(".npy") for member in members]
    readers = [_Member(path, member) for member in members]
    size = max((header[2].itemsize for header in headers), default=0)
    return Layers(names, [header[0] for header in headers], lambda k: readers[k].read(0), size)


def _header(path: Path, file: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    read = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    shape, fortran, dtype = read(file)
    _check_dtype(path, dtype)
    return shape, fortran, dtype


class _Member:
    """One array of a compressed file; kept open, so that layers in order are unpacked once."""

    def __init__(self, path: Path, member: str) -> None:
        self._path, self._member = path, member
        self._stack = ExitStack()

    @cached_property
    def _open(self) -> tuple[Any, tuple[int, ...], bool, np.dtype[Any], int]:
        archive = self._stack.enter_context(open_zip(self._path))
        file = self._stack.enter_context(archive.open(self._member))
        shape, fortran, dtype = _header(self._path, file)
        return file, shape, fortran, dtype, file.tell()

    def read(self, layer: int) -> AnyArray:
        """Return a layer; the last one, and any that cannot be read, closes the file."""
        try:
            file, shape, fortran, dtype, start = self._open
            wanted = int(shape[-2]) * int(shape[-1]) * dtype.itemsize
            file.seek(start + layer * wanted)
            data = file.read(wanted)
        except Exception as error:
            self._close()
            raise _unreadable(self._path, error) from error
        if len(data) < wanted or len(shape) == 2 or layer == shape[0] - 1:
            self._close()
        if len(data) < wanted:
            raise Unusable("unreadable", f"{self._path.name} ends too early")
        return np.frombuffer(data, dtype).reshape(shape[-2:], order="F" if fortran else "C")

    def _close(self) -> None:
        self._stack.close()
        self.__dict__.pop("_open", None)
