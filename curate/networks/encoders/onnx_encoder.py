"""Image encoders as ONNX files: one input of pictures, a vector, tokens or a grid as answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from curate.common.arrays import AnyArray, Float32Array
from curate.common.fingerprint import fingerprint
from curate.errors import SourceError
from curate.networks.encoders.pooling import WindowNetwork
from curate.networks.encoders.transformers_encoder import DEFAULT_SIDE
from curate.networks.runtime.devices import IMAGENET
from curate.networks.segmenters.onnx_session import (
    OnnxFile,
    Session,
    choose_provider,
    open_session,
    read_onnx,
)

_MOST_SIDE = 2048


class OnnxEncoder(WindowNetwork):
    """An image encoder in an ONNX file; pictures enter normalised as ImageNet's are.

    Args:
        name: Name given by the user.
        session: The model in memory.
        size: Height and width of its input.
        most: Windows that it takes at once; 0 for any number.
    """

    def __init__(self, name: str, session: Session, size: tuple[int, int], most: int) -> None:
        super().__init__(name, size, IMAGENET)
        self.session = session
        self.fingerprint = fingerprint(session.file.path.resolve())[:16]
        self.device = session.device
        self.precision = "float32"
        self.most = most

    def run(self, inputs: Float32Array) -> AnyArray:
        """Return the first output for inputs of shape (n, 3, height, width)."""
        (name,) = self.session.file.inputs
        output = self.session.file.outputs[:1]
        if self.most == 0:
            return self.session.run(output, {name: inputs})[0]
        found = []
        for first in range(0, len(inputs), self.most):
            some = inputs[first : first + self.most]
            fill = np.repeat(some[-1:], self.most - len(some), 0)
            answer = self.session.run(output, {name: np.concatenate([some, fill])})[0]
            found.append(answer[: len(some)])
        return np.concatenate(found)


def load_onnx_encoder(path: Path, name: str, device: str | None) -> OnnxEncoder:
    """Load an image encoder from an ONNX file.

    Args:
        path: The file.
        name: Name given by the user.
        device: "cpu", "cuda:0"; the first GPU of onnxruntime, else the CPU, if None.

    Raises:
        SourceError: It is no ONNX file, or takes something else than pictures.
    """
    file = read_onnx(path)
    size, most = _input_of(file)
    return OnnxEncoder(name, open_session(file, choose_provider(device)), size, most)


def _input_of(file: OnnxFile) -> tuple[tuple[int, int], int]:
    """Return height and width of the input, and the windows at once, 0 for any number."""
    shapes = list(file.inputs.values())
    do = "give an encoder with one input of shape (n, 3, height, width)"
    if len(shapes) != 1 or not file.outputs:
        raise SourceError(f"it has {len(shapes)} inputs", str(file.path), do)
    (shape,) = shapes
    if len(shape) != 4 or shape[1] not in (3, None):
        shown = " x ".join("any" if one is None else str(one) for one in shape)
        raise SourceError(f"its input is of shape {shown}", str(file.path), do)
    height, width = (one or DEFAULT_SIDE for one in shape[2:])
    if not all(8 <= one <= _MOST_SIDE for one in (height, width)):
        raise SourceError(f"its input is {height} x {width} px", str(file.path), do)
    return (height, width), shape[0] or 0
