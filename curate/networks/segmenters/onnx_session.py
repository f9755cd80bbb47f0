"""ONNX file and its session: names, shapes, files of weights, device, translated errors.

Loading a model makes onnxruntime open every file the model names, so the file is read first, by
:func:`read_onnx`, and these names are checked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

import numpy as np

from curate.common.arrays import AnyArray
from curate.errors import CallError, SourceError
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
    onnx = import_optional("onnx", "an ONNX segmenter")
    protobuf = import_optional("google.protobuf.message", "an ONNX segmenter")
    try:
        if path.stat().st_size > _LARGEST:
            do = "export it with its weights beside it"
            raise SourceError("it is larger than any ONNX file, over 2 GiB", str(path), do)
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
        raise SourceError(
            "it is no ONNX file, or damaged", str(path), "export or download it again"
        ) from None
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


def _external_locations(message: Any, kind: type) -> Iterator[str]:
    """Yield the file names in all tensors of a message; protocol buffers bound how deep it is."""
    if message.DESCRIPTOR.name == "TensorProto":  # its other fields are weights
        yield from (entry.value for entry in message.external_data if entry.key == "location")
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            for inner in [value] if isinstance(value, kind) else value:
                yield from _external_locations(inner, kind)


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


_TYPES = {
    "float": np.float32,
    "float16": np.float16,
    "double": np.float64,
    "uint8": np.uint8,
    "int8": np.int8,
    "int32": np.int32,
    "int64": np.int64,
    "bool": np.bool_,
}
_OUT_OF_MEMORY = re.compile(
    r"allocat|out of memory|OutOfMemory|ALLOC_FAILED|CUDA failure 2\b", re.I
)
_UNKNOWN_OPERATOR = re.compile(r"(\S+?)\([^)]*\) is not a registered function/op")
_CUDA = "CUDAExecutionProvider"
_CPU = "CPUExecutionProvider"


def choose_provider(wanted: str | None = None) -> str:
    """Return the device for onnxruntime: the requested one, else a GPU, else the CPU.

    Args:
        wanted: "cpu", "cuda" or "cuda:1"; None chooses.

    Raises:
        CallError: This onnxruntime cannot run there.
    """
    runtime = import_optional("onnxruntime", "an ONNX segmenter")
    has_gpu = _CUDA in runtime.get_available_providers()
    if wanted is None:
        return "cuda:0" if has_gpu else "cpu"
    kind, _, number = wanted.partition(":")
    if kind == "cpu":
        return "cpu"
    if kind != "cuda" or (number and not number.isdecimal()):
        raise CallError(f"onnxruntime runs on no {wanted}", "--device", "use cpu or cuda:0")
    if not has_gpu:
        raise CallError(
            "this onnxruntime is the build without CUDA",
            "--device",
            "pip install onnxruntime-gpu in its place, or use --device cpu",
        )
    return f"cuda:{int(number or 0)}"


@dataclass(frozen=True)
class Session:
    """A model in memory.

    Attributes:
        file: What it was made from.
        device: Where it really runs: "cpu", "cuda:0".
        types: The type of each input by its name.
        inner: onnxruntime's own session.
    """

    file: OnnxFile
    device: str
    types: dict[str, type[np.generic]]
    inner: Any

    def run(self, outputs: Sequence[str], inputs: Mapping[str, AnyArray]) -> list[AnyArray]:
        """Run the model and return some outputs; nodes that only others need are not computed.

        Args:
            outputs: Their names.
            inputs: Arrays by name; each is brought to the type that the model declares.

        Raises:
            MemoryError: The device has not enough memory.
            SourceError: The model fails.
        """
        options = import_optional("onnxruntime", "an ONNX segmenter").RunOptions()
        options.only_execute_path_to_fetches = True
        fed = {
            name: np.ascontiguousarray(array, self.types[name]) for name, array in inputs.items()
        }
        failed = ""
        try:
            return list(self.inner.run(list(outputs), fed, options))
        except Exception as error:  # its exceptions share no base but this
            failed = _line(error)
        if _OUT_OF_MEMORY.search(failed):
            raise MemoryError(f"out of memory: {failed}")
        raise SourceError(f"it does not run ({failed})", str(self.file.path), "export it again")


def open_session(file: OnnxFile, device: str) -> Session:
    """Load a model.

    Raises:
        SourceError: onnxruntime cannot load it; names an operator that it does not know.
    """
    runtime = import_optional("onnxruntime", "an ONNX segmenter")
    options = runtime.SessionOptions()
    options.log_severity_level = 3  # its warnings go past Python's, straight to the terminal
    kind, _, number = device.partition(":")
    chain = [(_CUDA, {"device_id": number or "0"}), _CPU] if kind == "cuda" else [_CPU]
    try:
        inner = runtime.InferenceSession(str(file.path), sess_options=options, providers=chain)
    except Exception as error:  # its exceptions share no base but this
        failed = _line(error)
    else:
        return _make_session(file, inner, device)
    if found := _UNKNOWN_OPERATOR.search(failed):
        raise SourceError(
            f"it uses the operator {found[1]}, which onnxruntime does not have",
            str(file.path),
            "export it without custom operators",
        )
    raise SourceError(
        f"onnxruntime cannot load it ({failed})", str(file.path), "export or download it again"
    )


def _make_session(file: OnnxFile, inner: Any, device: str) -> Session:
    types = {}
    for value in inner.get_inputs():
        name = value.type.removeprefix("tensor(").removesuffix(")")
        if name not in _TYPES:
            raise SourceError(
                f"its input {value.name} is of type {value.type}",
                str(file.path),
                "export it with inputs of type float",
            )
        types[value.name] = _TYPES[name]
    # A CUDA that does not load leaves onnxruntime on the CPU without an error.
    return Session(file, device if inner.get_providers()[0] != _CPU else "cpu", types, inner)


def _line(error: Exception) -> str:
    """Return the first line of onnxruntime's message, without its code and source position."""
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    first = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", first)
    return re.sub(r"\S*/onnxruntime/\S+ ", "", first).strip().rstrip(".")[:300]
