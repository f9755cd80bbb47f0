"""Convolutional network of a mask verifier: P(good), predicted IoU, kind of error, redrawn mask.

A trunk of convolutions for each of two crops. The close one has a small decoder that draws the mask
anew; its error against the given mask, by bands of distance to the outline, is what the heads see
beside pooled features. It is trained on every pixel, which a few hundred masks are enough for; a
plain classifier of crops learns far less from them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from curate.common.arrays import Float32Array
from curate.errors import SourceError
from curate.networks.runtime.hub import import_optional
from curate.networks.verifiers.crops import CHANNELS, STRIP, STRIP_CHANNELS, MaskCrops

BANDS = (-1.01, -0.5, -0.2, -0.06, 0.06, 0.2, 0.5, 1.01)
"""Limits of bands of the signed distance, as the crop has it; features are averaged over each."""

_MOST_WIDTH = 1024

_FARTHEST = 8.0
"""Deviations from their mean at which an encoder's features end."""


@dataclass(frozen=True)
class FeatureStatistics:
    """Mean and standard deviation of an encoder's features, over the pictures of a training.

    Attributes:
        mean: Shape (channels,).
        deviation: Shape (channels,), over 0.
    """

    mean: Float32Array
    deviation: Float32Array


@dataclass(frozen=True)
class VerifierShape:
    """Sizes of a verifier's network.

    Attributes:
        width: Channels of the first layers; later ones have two and four times as many.
        hidden: Units of the layer before the heads.
        kinds: Kinds of error that it tells apart.
        categories: Categories that it knows.
        encoded: Channels of an image encoder's features; 0 without an encoder.
    """

    width: int = 16
    hidden: int = 96
    kinds: int = 9
    categories: int = 0
    encoded: int = 0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            low = 0 if name in ("categories", "encoded") else 1
            if not (isinstance(value, int) and low <= value <= _MOST_WIDTH * _MOST_WIDTH):
                raise SourceError(f"{name} is {value!r}", "config.json", "train the verifier again")
        if max(self.width, self.hidden) > _MOST_WIDTH:
            what = f"its layers are over {_MOST_WIDTH} wide"
            raise SourceError(what, "config.json", "train the verifier again")


def conv_block(
    before: int,
    after: int,
    size: int | tuple[int, int],
    stride: int | tuple[int, int],
    padding: int = 0,
) -> Any:
    """Return a convolution, a batch normalisation and a ReLU.

    Args:
        before: Channels of the input.
        after: Channels of the output.
        size: Of the kernel, in pixels, by side or down and right.
        stride: Likewise.
        padding: Rows and columns of zeros on every side.
    """
    nn = import_optional("torch", "a verifier").nn
    return nn.Sequential(
        nn.Conv2d(before, after, size, stride, padding, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
    )


def build_network(
    shape: VerifierShape, seed: int, statistics: FeatureStatistics | None = None
) -> Any:
    """Return a network with random weights: a ``torch.nn.ModuleDict``, for :func:`run_network`.

    An encoder's features join those of each crop at a quarter of its resolution, through a
    convolution of a pixel onto as few channels as the first layers have.

    Args:
        shape: Sizes.
        seed: Of the weights.
        statistics: Of an encoder's features; a loaded network has its own.

    Raises:
        CallError: torch is not installed.
    """
    torch = import_optional("torch", "a verifier")
    nn = torch.nn
    w = shape.width
    code = w if shape.encoded else 0

    def block(before: int, after: int, stride: int = 1, size: int = 3) -> Any:
        return conv_block(before, after, size, stride, size // 2)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        parts: dict[str, object] = {}
        for name in ("close", "wide"):
            parts[f"{name}_1"] = nn.Sequential(block(CHANNELS, w, 2, 5), block(w, w))
            parts[f"{name}_2"] = nn.Sequential(block(w, 2 * w, 2), block(2 * w, 2 * w))
            parts[f"{name}_3"] = nn.Sequential(block(2 * w + code, 4 * w, 2), block(4 * w, 4 * w))
        across = (STRIP[1] + 3) // 4
        parts["strip_1"] = conv_block(STRIP_CHANNELS, w, (3, 5), (1, 1))
        parts["strip_2"] = conv_block(w, w, (3, 3), (1, 2))
        parts["strip_3"] = conv_block(w, 2 * w, (3, 3), (2, 2))
        parts["strip_4"] = conv_block(2 * w, 4 * w, (3, across), (1, 1))
        parts["strip_5"] = conv_block(4 * w, 4 * w, (5, 1), (1, 1))
        parts["up_2"] = block(6 * w + code, 2 * w)
        parts["up_1"] = block(3 * w, w)
        parts["draw"] = nn.Conv2d(w, 1, 1)
        bands = len(BANDS) - 1
        pooled = 2 * (bands * (2 * w + code) + 8 * w) + bands * (w + 1) + 4 + 12 * w
        named = 8 if shape.categories else 0
        if shape.categories:
            parts["category"] = nn.Embedding(shape.categories + 1, named, padding_idx=0)
        parts["hidden"] = nn.Sequential(
            nn.Dropout(0.2), nn.Linear(pooled + named, shape.hidden), nn.ReLU(inplace=True)
        )
        parts["heads"] = nn.Linear(shape.hidden, 2 + 1 + shape.kinds)
        network = nn.ModuleDict(parts)
        if shape.encoded:
            network["encoded"] = nn.Conv2d(shape.encoded, code, 1)
            none = np.zeros(shape.encoded, np.float32)
            known = statistics or FeatureStatistics(none, none + 1)
            network.register_buffer("encoded_mean", torch.from_numpy(known.mean.copy()))
            network.register_buffer("encoded_deviation", torch.from_numpy(known.deviation.copy()))
        return network.to(memory_format=torch.channels_last)


def stack_crops(crops: Sequence[MaskCrops], place: str) -> tuple[Any, Any, Any]:
    """Return crops as tensors on a device: close ones, wide ones, strips.

    Channels lie side by side in memory, which makes convolutions on a CPU a fifth faster.
    """
    torch = import_optional("torch", "a verifier")
    names = ("close", "wide", "strip")
    stacked = [np.stack([getattr(one, name) for one in crops]) for name in names]
    close, wide, strip = (
        torch.from_numpy(values).to(place, memory_format=torch.channels_last) for values in stacked
    )
    return close, wide, strip


def stack_encoded(crops: Sequence[MaskCrops], place: str) -> tuple[Any, Any, Any] | None:
    """Return an encoder's features of crops on a device: close ones, wide ones, which are known.

    None where none of the crops has any; those of other crops are 0.
    """
    torch = import_optional("torch", "a verifier")
    found = [one.encoded for one in crops]
    like = next((one for one in found if one is not None), None)
    if like is None:
        return None
    none = tuple(np.zeros_like(one) for one in like)
    stacked = [np.stack([(one or none)[k] for one in found]) for k in (0, 1)]
    known = torch.tensor([float(one is not None) for one in found], device=place)
    close, wide = (torch.from_numpy(values).to(place) for values in stacked)
    return close, wide, known


def run_network(
    network: Any, close: Any, wide: Any, strip: Any, category: Any, encoded: Any = None
) -> Mapping[str, Any]:
    """Run a verifier's network on a batch of n masks.

    Args:
        network: Of :func:`build_network`.
        close: Tensor (n, channels, side, side), see :func:`curate.networks.verifiers.crops`.
        wide: The same with surroundings.
        strip: Tensor (n, channels, places, offsets), the close crop along the outline.
        category: Numbers of the categories, shape (n,), from 1 on; 0 for unknown.
        encoded: See :func:`stack_encoded`; None for features that are all unknown.

    Returns:
        ``good`` and ``iou`` (logits, shape (n,)), ``kind`` (logits, (n, 1 + kinds), the first for
        no error) and ``mask`` (logits, (n, side / 2, side / 2)).
    """
    torch = import_optional("torch", "a verifier")
    function = torch.nn.functional
    features, halves = [], {}
    for k, (name, given) in enumerate((("close", close), ("wide", wide))):
        first = network[f"{name}_1"](given)
        second = network[f"{name}_2"](first)
        if "encoded" in network:
            code = _project(network, encoded, k, given, second)
            second = torch.cat([second, code], 1)
        third = network[f"{name}_3"](second)
        quarter = function.avg_pool2d(given[:, 4:5], 4)
        features += [_pool_bands(second, quarter), third.mean((2, 3)), third.amax((2, 3))]
        halves[name] = (first, second, third)
    first, second, third = halves["close"]
    up = function.interpolate(third, scale_factor=2.0, mode="nearest")
    up = network["up_2"](torch.cat([up, second], 1))
    up = function.interpolate(up, scale_factor=2.0, mode="nearest")
    up = network["up_1"](torch.cat([up, first], 1))
    drawn = network["draw"](up)
    share = torch.sigmoid(drawn)
    half = function.avg_pool2d(close[:, 3:7], 2)
    mask, distance, others = half[:, :1], half[:, 1:2], half[:, 3:]
    features.append(_pool_bands(torch.cat([up, share], 1), distance))
    both = (share * mask).sum((1, 2, 3))
    sizes = share.sum((1, 2, 3)), mask.sum((1, 2, 3))
    overlap = both / (sizes[0] + sizes[1] - both + 1e-3)
    features.append(torch.stack([overlap, both / (sizes[0] + 1e-3), both / (sizes[1] + 1e-3)], 1))
    features.append((others * mask).sum((1, 2, 3))[:, None] / (sizes[1][:, None] + 1e-3))
    features.append(_run_strip(network, strip))
    if "category" in network:
        features.append(network["category"](category))
    answers = network["heads"](network["hidden"](torch.cat(features, 1)))
    return {
        "good": answers[:, 0],
        "iou": answers[:, 1],
        "kind": answers[:, 2:],
        "mask": drawn[:, 0],
    }


def _project(network: Any, encoded: Any, which: int, given: Any, like: Any) -> Any:
    """Return an encoder's features of crops on a few channels; 0 where they are unknown, and beyond
    the picture.

    Args:
        network: The network.
        encoded: See :func:`stack_encoded`.
        which: 0 for the close crops, 1 for the wide ones.
        given: The crops.
        like: Features of the same place and resolution.
    """
    torch = import_optional("torch", "a verifier")
    if encoded is None:
        channels = network["encoded"].out_channels
        return like.new_zeros((len(like), channels, *like.shape[2:]))
    mean, deviation = network.encoded_mean, network.encoded_deviation
    values = (encoded[which] - mean[:, None, None]) / deviation[:, None, None]
    code = torch.relu(network["encoded"](values.clamp(-_FARTHEST, _FARTHEST)))
    inside = torch.nn.functional.avg_pool2d(given[:, 5:6], 4)
    return code * inside * encoded[2][:, None, None, None]


def _run_strip(network: Any, strip: Any) -> Any:
    """Return features of the band along the outline: mean, highest and spread over its places."""
    torch = import_optional("torch", "a verifier")
    function = torch.nn.functional
    for name, along, across in (
        ("strip_1", 1, 2),
        ("strip_2", 1, 1),
        ("strip_3", 1, 1),
        ("strip_4", 1, 0),
        ("strip_5", 2, 0),
    ):
        strip = function.pad(strip, (0, 0, along, along), mode="circular")  # an outline is closed
        strip = network[name](function.pad(strip, (across, across, 0, 0)))
    places = strip[:, :, :, 0]
    spread = places.var(2, unbiased=False).clamp_min(1e-6).sqrt()
    return torch.cat([places.mean(2), places.amax(2), spread], 1)


def _pool_bands(features: Any, distance: Any) -> Any:
    """Return the mean of features in each band of the signed distance, shape (n, bands * c)."""
    torch = import_optional("torch", "a verifier")
    bands = torch.stack(
        [
            ((distance[:, 0] >= low) & (distance[:, 0] < high)).flatten(1)
            for low, high in pairwise(BANDS)
        ],
        1,
    ).to(features.dtype)
    total = torch.einsum("nbp,ncp->nbc", bands, features.flatten(2))
    return (total / (bands.sum(2)[:, :, None] + 1e-3)).flatten(1)
