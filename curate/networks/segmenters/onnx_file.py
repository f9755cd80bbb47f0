"""Metadata of an ONNX file, read without running it: inputs, outputs, files of weights.

Loading a model makes onnxruntime open every file the model names, so these names are checked first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

import numpy as np

from curate.errors import SourceError
from curate.networks.runtime.hub import import_optional

PIXEL_MEAN = (123.675, 116.28, 103.53)
"""SAM's, of red, green and blue on 0..255."""

_LARGEST = 2**31 - 1
"""Bytes of a message of protocol buffers; larger models keep their weights beside it."""

Shape = tuple[int | None, ...]


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
    damaged = SourceError(
        "it is no ONNX file, or damaged", str(path), "export or download it again"
    )
    onnx = import_optional("onnx", "an ONNX segmenter")
    protobuf = import_optional("google.protobuf.message", "an ONNX segmenter")
    try:
        if path.stat().st_size > _LARGEST:
            raise damaged
        content = path.read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise SourceError(f"it cannot be read: {reason}", str(path), "check the path") from None
    if not content:
        raise SourceError("it is empty", str(path), "export or download it again")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
        weights = {tensor.name for tensor in model.graph.initializer}
        inputs = {one.name: _shape(one) for one in model.graph.input if one.name not in weights}
        outputs = tuple(one.name for one in model.graph.output)
        locations = sorted(set(_external_locations(model, protobuf.Message)))
    except (protobuf.DecodeError, UnicodeDecodeError):
        raise damaged from None
    if not inputs and not outputs:
        raise SourceError("it is no ONNX file", str(path), "export or download it again")
    files = tuple(_data_file(path, location) for location in locations)
    return OnnxFile(path, inputs, outputs, files, _holds_mean(content))


def _holds_mean(content: bytes) -> bool:
    """Return whether SAM's three means are stored in the file as float32 or float16."""
    return any(np.array(PIXEL_MEAN, kind).tobytes() in content for kind in ("<f4", "<f2"))


def _shape(value: Any) -> Shape:
    dims = value.type.tensor_type.shape.dim
    return tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in dims)


def _external_locations(model: Any, message: type) -> Iterator[str]:
    """Yield the file names in all tensors of a model, wherever they stand."""
    todo = [model]
    while todo:
        one = todo.pop()
        if one.DESCRIPTOR.name == "TensorProto":  # its other fields are weights
            yield from (entry.value for entry in one.external_data if entry.key == "location")
            continue
        for field, value in one.ListFields():
            if field.message_type is not None:
                todo.extend([value] if isinstance(value, message) else value)


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
