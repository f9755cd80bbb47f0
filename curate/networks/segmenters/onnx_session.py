"""ONNX Runtime session of a model: device, input types, translated errors."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from curate.common.arrays import AnyArray
from curate.errors import CallError, SourceError
from curate.networks.runtime.hub import import_optional
from curate.networks.segmenters.onnx_file import OnnxFile

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

    Args:
        file: Its file, as read.
        device: As :func:`choose_provider` gives it.

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
