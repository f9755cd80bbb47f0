"""Convolutional network that sees objects which an image's masks do not explain.

It gets a picture, and its masks together as one more channel, and says of each pixel whether an
object lies there that has no mask. It goes down to a 32nd of the resolution and up again to half of
it, so that it runs on pictures of any size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from curate.common.arrays import BoolArray, Float32Array
from curate.errors import SourceError
from curate.networks.runtime.hub import import_optional
from curate.networks.verifiers.verifier_network import conv_block

INPUTS = 5
"""Red, green, blue, whether the pixel lies in the picture, whether a mask covers it."""

MULTIPLE = 32
"""Sides of an input are multiples of this."""

_MOST_CHANNELS = 256


@dataclass(frozen=True)
class ExhaustivityShape:
    """Size of the network.

    Attributes:
        width: Channels of the first layers; later ones have up to eight times as many.
    """

    width: int = 16

    def __post_init__(self) -> None:
        if not (isinstance(self.width, int) and 1 <= self.width <= _MOST_CHANNELS):
            what = f"its layers are {self.width!r} wide, not 1 to {_MOST_CHANNELS}"
            raise SourceError(what, "config.json", "train the verifier again")


def build_exhaustivity(shape: ExhaustivityShape, seed: int) -> Any:
    """Return a network with random weights: a ``ModuleDict``, for :func:`run_exhaustivity`.

    Args:
        shape: Its size.
        seed: Of the weights.

    Raises:
        CallError: torch is not installed.
    """
    torch = import_optional("torch", "a verifier")
    nn = torch.nn
    w = shape.width

    def block(before: int, after: int, stride: int = 1, size: int = 3) -> Any:
        return conv_block(before, after, size, stride, size // 2)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        channels = (w, 2 * w, 4 * w, 6 * w, 8 * w)
        parts: dict[str, object] = {}
        before = INPUTS
        for level, after in enumerate(channels, 1):
            size = 5 if level == 1 else 3
            parts[f"down_{level}"] = nn.Sequential(
                block(before, after, 2, size), block(after, after)
            )
            before = after
        parts["context"] = nn.Sequential(nn.Linear(8 * w, 8 * w), nn.ReLU(inplace=True))
        for level in (4, 3, 2, 1):
            after = channels[level - 1]
            parts[f"up_{level}"] = block(channels[level] + after, after)
        parts["draw"] = nn.Conv2d(w, 1, 1)
        # Hardly any pixel is of an unmasked object: it begins by saying so.
        parts["draw"].bias.data.fill_(-2.0)  # type: ignore[attr-defined]
        return nn.ModuleDict(parts)


def run_exhaustivity(network: Any, inputs: Any) -> Any:
    """Run the network on a batch.

    Args:
        network: Of :func:`build_exhaustivity`.
        inputs: Tensor (n, :data:`INPUTS`, height, width), sides multiples of :data:`MULTIPLE`.

    Returns:
        Logits of "an object without a mask lies here", shape (n, height / 2, width / 2).
    """
    torch = import_optional("torch", "a verifier")
    levels = []
    flow = inputs
    for level in range(1, 6):
        flow = network[f"down_{level}"](flow)
        levels.append(flow)
    flow = flow + network["context"](flow.mean((2, 3)))[:, :, None, None]
    for level in (4, 3, 2, 1):
        flow = torch.nn.functional.interpolate(flow, scale_factor=2.0, mode="nearest")
        flow = network[f"up_{level}"](torch.cat([flow, levels[level - 1]], 1))
    return network["draw"](flow)[:, 0]


def stack_channels(colours: Float32Array, inside: BoolArray, cover: BoolArray) -> Float32Array:
    """Return one input of the network, padded to multiples of :data:`MULTIPLE`.

    Args:
        colours: Standardised levels, shape (height, width, 3).
        inside: Which pixels lie in the picture, shape (height, width).
        cover: Which pixels a mask covers.

    Returns:
        Shape (:data:`INPUTS`, height, width), each side up to 31 more than before.
    """
    height, width = inside.shape
    padded = -(-height // MULTIPLE) * MULTIPLE, -(-width // MULTIPLE) * MULTIPLE
    result = np.zeros((INPUTS, *padded), np.float32)
    result[:3, :height, :width] = colours.transpose(2, 0, 1) * inside
    result[3, :height, :width] = inside
    result[4, :height, :width] = cover
    return result
