"""Preprocessing of images for detectors: resizing, rescaling, normalisation.

Done here because the library's processors need torchvision for some models. Images of one batch
are of one size, so nothing is padded, and a box never depends on the rest of the batch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from PIL import Image

from curate.common.arrays import ByteArray, Float32Array
from curate.errors import SourceError
from curate.networks.runtime.devices import (
    IMAGENET,
    Normalisation,
    are_usual,
    check_rgb,
    is_normalisation,
)


@dataclass(frozen=True)
class DetectorInput:
    """Preprocessing of an image for a detector.

    Attributes:
        fixed: Height and width of every input, whatever the image's proportions; or None.
        shortest: Else the length of the shorter side, proportions kept,
        longest: unless the longer one would pass this.
        within: Else height and width that the image is made to fit into, proportions kept.
        multiple: Sides are cut to multiples of this (YOLOS' patches).
        resample: Pillow's number of the filter.
        rescale: Factor on bytes.
        normal: Mean and deviation after rescaling, or None.
    """

    fixed: tuple[int, int] | None = None
    shortest: int = 800
    longest: int = 1333
    within: tuple[int, int] | None = None
    multiple: int = 1
    resample: int = int(Image.Resampling.BILINEAR)
    rescale: float = 1 / 255
    normal: Normalisation | None = IMAGENET

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width of the input for an image of this size."""
        if self.fixed is not None:
            return self.fixed
        if self.within is not None:
            scale = min(self.within[0] / height, self.within[1] / width)
            return max(1, int(height * scale)), max(1, int(width * scale))
        low, high = min(height, width), max(height, width)
        # As the library rounds: the bounded shorter side is rounded, the longer one cut off.
        exact = min(float(self.shortest), self.longest * low / high)
        short, long = round(exact), int(exact * high / low)
        if short == low:
            short, long = low, high
        rows, columns = (short, long) if height <= width else (long, short)
        m = self.multiple
        return max(m, rows - rows % m), max(m, columns - columns % m)

    def prepare(self, image: ByteArray) -> Float32Array:
        """Return the input for an image, shape (3, height, width).

        Raises:
            CallError: The image is no array of bytes in RGB.
        """
        check_rgb(image, "detect")
        rows, columns = self.size(*image.shape[:2])
        resized = Image.fromarray(image).resize((columns, rows), Image.Resampling(self.resample))
        values = np.asarray(resized, np.float32) * np.float32(self.rescale)
        if self.normal is not None:
            mean, std = (np.asarray(v, np.float32) for v in self.normal)
            values = (values - mean) / std
        return np.ascontiguousarray(values.transpose(2, 0, 1))

    def as_config(self, processor: str) -> dict[str, object]:
        """Return this as a ``preprocessor_config.json`` for the library's class ``processor``."""
        size = {"shortest_edge": self.shortest, "longest_edge": self.longest}
        if self.within is not None:
            size = dict(zip(("max_height", "max_width"), self.within, strict=True))
        if self.fixed is not None:
            size = dict(zip(("height", "width"), self.fixed, strict=True))
        mean, std = self.normal or IMAGENET
        return {
            "image_processor_type": processor,
            "do_resize": True,
            "size": size,
            "resample": self.resample,
            "do_rescale": True,
            "rescale_factor": self.rescale,
            "do_normalize": self.normal is not None,
            "image_mean": list(mean),
            "image_std": list(std),
            "do_pad": self.fixed is None,
        }


def read_input(folder: Path, default: DetectorInput) -> DetectorInput:
    """Read the preprocessing of a model's folder.

    Args:
        folder: Perhaps with ``preprocessor_config.json``.
        default: What its architecture does where the file is silent.

    Raises:
        SourceError: The file cannot be read, or its values make no sense.
    """
    path = folder / "preprocessor_config.json"
    if not path.is_file():
        return default
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        return _parse_config(config, default)
    except (
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        RecursionError,
        OverflowError,
    ) as error:
        raise SourceError(
            f"it does not say how to prepare an image ({error})", str(path), "save it again"
        ) from None


class InputSizes(TypedDict, total=False):
    """The fields of :class:`DetectorInput` that say to which size an image is brought."""

    fixed: tuple[int, int] | None
    shortest: int
    longest: int
    within: tuple[int, int] | None


def _parse_config(config: Mapping[str, Any], default: DetectorInput) -> DetectorInput:
    if not config.get("do_resize", True):
        raise ValueError("do_resize is false, but images are of all sizes")
    rescale = float(config.get("rescale_factor", default.rescale))
    mean, std = default.normal or IMAGENET
    mean = tuple(float(v) for v in config.get("image_mean") or mean)
    std = tuple(float(v) for v in config.get("image_std") or std)
    if not is_normalisation(mean, std):
        raise ValueError(f"image_mean is {mean} and image_std {std}")
    if not are_usual([rescale]):
        raise ValueError(f"rescale_factor is {rescale}")
    normalised = config.get("do_normalize", default.normal is not None)
    resample = Image.Resampling(config.get("resample", default.resample))
    return DetectorInput(
        **_parse_sizes(config, default),
        multiple=default.multiple,
        resample=int(resample),
        rescale=rescale if config.get("do_rescale", True) else 1.0,
        normal=(mean, std) if normalised else None,
    )


def _parse_sizes(config: Mapping[str, Any], default: DetectorInput) -> InputSizes:
    """Return the fields of the size; also from the older form, a number and ``max_size``."""
    size = config.get("size")
    if size is None:
        return {
            "fixed": default.fixed,
            "shortest": default.shortest,
            "longest": default.longest,
            "within": default.within,
        }
    if isinstance(size, (int, float)):
        size = {"shortest_edge": size, "longest_edge": config.get("max_size", 1333)}
    elif isinstance(size, Sequence):
        size = dict(zip(("height", "width"), size, strict=True))
    lengths = {name: int(value) for name, value in size.items() if value}
    if not lengths or not all(1 <= v <= 1 << 14 for v in lengths.values()):
        raise ValueError(f"size is {size}")
    if "height" in lengths:
        return {"fixed": (lengths["height"], lengths["width"])}
    if "max_height" in lengths:
        return {"within": (lengths["max_height"], lengths["max_width"])}
    shortest = lengths["shortest_edge"]
    return {"shortest": shortest, "longest": lengths.get("longest_edge", 1 << 14)}
