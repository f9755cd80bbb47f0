"""Metadata of an ONNX file, read without loading it: inputs, outputs, files of weights.

Loading a model makes onnxruntime open every file the model names, so these names are checked first.
The reader below knows just enough of protocol buffers to walk an ONNX file: a field is a number, a
wire type and a value, and unneeded ones are skipped by their length, so that a file of gigabytes
costs milliseconds. Field numbers: onnx/onnx.proto of ONNX 1.18.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NoReturn

import numpy as np

from curate.errors import SourceError

PIXEL_MEAN = (123.675, 116.28, 103.53)
"""SAM's, of red, green and blue on 0..255."""

Shape = tuple[int | None, ...]

_DEPTH = 32
_VARINT, _EIGHT, _LENGTH, _FOUR = 0, 1, 2, 5
_TENSORS: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
"""Where a message of each kind holds messages that hold tensors: field number, kind."""


class _ParseError(Exception):
    """The bytes are not valid ONNX."""


@dataclass(frozen=True)
class OnnxFile:
    """Metadata of an ONNX file.

    Attributes:
        path: Where it is.
        inputs: Shape of each input by its name, None where a length is open; weights are not
            inputs.
        outputs: Names of the outputs.
        data_files: The files beside it that hold its weights, each seen to exist.
        normalises: Whether it holds SAM's pixel mean, so that its input is raw pixels.
    """

    path: Path
    inputs: dict[str, Shape]
    outputs: tuple[str, ...]
    data_files: tuple[Path, ...]
    normalises: bool


def read_onnx(path: Path) -> OnnxFile:
    """Read the names, shapes and files of an ONNX file.

    Raises:
        SourceError: It cannot be read or is no ONNX file, or weights that it names are missing or
            lie outside its folder.
    """
    try:
        with path.open("rb") as file:
            content = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise SourceError(f"it cannot be read: {reason}", str(path), "check the path") from None
    except ValueError:
        raise SourceError("it is empty", str(path), "export or download it again") from None
    try:
        graph = next((value for number, value in _length_fields(content) if number == 7), None)
        if graph is None:
            raise _ParseError
        names = _graph_names(graph)
        locations = sorted(set(_external_locations(content, "model", 0)))
    except (_ParseError, UnicodeDecodeError):
        raise SourceError(
            "it is no ONNX file, or damaged", str(path), "export or download it again"
        ) from None
    if not names[0] and not names[1]:
        raise SourceError("it is no ONNX file", str(path), "export or download it again")
    files = tuple(_data_file(path, location) for location in locations)
    return OnnxFile(path, *names, files, _holds_mean(content))


def _holds_mean(content: memoryview) -> bool:
    """Return whether SAM's three means are stored in the file as float32 or float16."""
    forms = (np.array(PIXEL_MEAN, kind).tobytes() for kind in ("<f4", "<f2"))
    return any(content.obj.find(form) >= 0 for form in forms)  # type: ignore[attr-defined]


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for k in range(10):
        if at >= len(data):
            raise _ParseError
        byte = data[at]
        value |= (byte & 127) << (7 * k)
        at += 1
        if byte < 128:
            return value, at
    raise _ParseError


def _length_fields(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield number and bytes of each length-delimited field; others are skipped."""
    for number, value in _fields(data):
        if isinstance(value, memoryview):
            yield number, value


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview | None]]:
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        value: int | memoryview | None = None
        if number == 0:
            raise _ParseError
        if wire == _VARINT:
            value, at = _varint(data, at)
        elif wire == _LENGTH:
            size, at = _varint(data, at)
            value = data[at : at + size]
            at += size
        elif wire in (_EIGHT, _FOUR):
            at += 8 if wire == _EIGHT else 4
        else:
            raise _ParseError
        if at > len(data):
            raise _ParseError
        yield number, value


def _text(data: memoryview) -> str:
    return bytes(data).decode("utf-8")


def _single_field(data: memoryview, number: int) -> memoryview:
    """Return a field that occurs once; of several the last counts."""
    last = data[:0]
    for found, value in _length_fields(data):
        if found == number:
            last = value
    return last


def _graph_names(graph: memoryview) -> tuple[dict[str, Shape], tuple[str, ...]]:
    """Return the inputs with their shapes, and the outputs."""
    weights, inputs, outputs = set(), {}, []
    for number, value in _length_fields(graph):
        if number == 5:
            weights.add(_text(_single_field(value, 8)))
        elif number == 11:
            inputs[_text(_single_field(value, 1))] = _shape(_single_field(value, 2))
        elif number == 12:
            outputs.append(_text(_single_field(value, 1)))
    return {k: v for k, v in inputs.items() if k not in weights}, tuple(outputs)


def _shape(kind: memoryview) -> Shape:
    """Return the shape in a TypeProto: tensor type, its shape, lengths that are numbers or open."""
    lengths = [
        value
        for number, value in _length_fields(_single_field(_single_field(kind, 1), 2))
        if number == 1
    ]
    return tuple(
        next((v for number, v in _fields(d) if number == 1 and isinstance(v, int)), None)
        for d in lengths
    )


def _external_locations(data: memoryview, kind: str, depth: int) -> Iterator[str]:
    """Yield the file names in all tensors below a message."""
    if depth > _DEPTH:
        raise _ParseError
    for number, value in _length_fields(data):
        if kind != "tensor":
            if below := _TENSORS[kind].get(number):
                yield from _external_locations(value, below, depth + 1)
        elif number == 13 and _text(_single_field(value, 1)) == "location":
            yield _text(_single_field(value, 2))


def _data_file(model: Path, location: str) -> Path:
    """Return the file with a model's weights, which must lie in the model's own folder."""

    def refuse(what: str, todo: str) -> NoReturn:
        raise SourceError(f"its weights are in {location!r}, {what}", str(model), todo)

    pure = PurePosixPath(location)
    odd = not location or "\0" in location or "\\" in location or ":" in location
    if odd or pure.is_absolute() or ".." in pure.parts or location.startswith("*"):
        refuse("which is no file in its folder", "use an export with its weights beside it")
    path = model.parent / location
    homes = (model.parent.resolve(), model.resolve().parent)  # a hub's cache links to its blobs
    if not any(path.resolve().is_relative_to(home) for home in homes):
        refuse("a link that leaves its folder", "put the file itself there")
    if not path.is_file():
        refuse("which is not there", "put that file beside it")
    return path
