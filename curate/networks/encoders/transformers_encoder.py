"""Image encoders of the transformers library: ViT, DINOv2, CLIP's and SigLIP's, ConvNeXT, ..."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from curate.common.arrays import AnyArray, Float32Array
from curate.common.json_values import JsonObject
from curate.errors import SourceError
from curate.networks.encoders.pooling import WindowNetwork
from curate.networks.runtime.devices import (
    IMAGENET,
    Device,
    Normalisation,
    is_normalisation,
    translate_network_errors,
)
from curate.networks.runtime.hub import import_optional, model_fingerprint, read_config
from curate.networks.segmenters.transformers_sam import load_weights

DEFAULT_SIDE = 224
"""Side of the input where no file says it, in pixels."""

_MOST_SIDE = 2048
_VISION = ("vision_model", "vision_tower", "vision_encoder")
"""Parts of models of pictures and words, or of masks, that see the picture."""


class TransformersEncoder(WindowNetwork):
    """An image encoder of the transformers library.

    Args:
        name: Name given by the user.
        model: The library's, on its device.
        size: Height and width of its input.
        normal: Mean and deviation of each channel.
        patch: Side of a patch in pixels, 0 where it is not known.
        fingerprint: Of its files.
        place: Its device; it computes in float32.
    """

    def __init__(
        self,
        name: str,
        model: Any,
        size: tuple[int, int],
        normal: Normalisation,
        patch: int,
        fingerprint: str,
        place: Device,
    ) -> None:
        super().__init__(name, size, normal, patch)
        self.model = model
        self.fingerprint = fingerprint
        self.device = place.name
        self.precision = "float32"

    def run(self, inputs: Float32Array) -> AnyArray:
        """Return the last features, shape (n, tokens, numbers) or (n, numbers, rows, columns)."""
        torch = import_optional("torch", "an encoder")
        with translate_network_errors(self.name), torch.inference_mode():
            answer = self.model(pixel_values=torch.from_numpy(inputs).to(self.device))
            for field in ("last_hidden_state", "feature_maps", "image_embeds", "logits"):
                found = getattr(answer, field, None)
                if found is not None:
                    break
            found = found[-1] if isinstance(found, list | tuple) else found
            if not isinstance(found, torch.Tensor):
                raise SourceError(
                    "it gives no features of an image", self.name, "give an image encoder"
                )
            return np.asarray(found.float().cpu().numpy())


def load_transformers_encoder(folder: Path, name: str, device: Device) -> TransformersEncoder:
    """Load an image encoder from a folder that ``save_pretrained`` has written.

    Args:
        folder: With config.json and weights as safetensors; nothing of it is run or unpickled.
        name: Name given by the user.
        device: Where it runs.

    Raises:
        SourceError: It is no image encoder, or its files do not fit each other.
    """
    config = read_config(folder)
    model = load_weights("AutoModel", folder, spare=("pooler.",))
    seeing = next((part for one in _VISION if (part := getattr(model, one, None))), model)
    stated = [config]
    stated += [one for key in ("vision_config",) if isinstance(one := config.get(key), dict)]
    own = getattr(seeing, "config", None)
    if own is not None and hasattr(own, "to_dict"):
        stated.append(own.to_dict())
    size = _read_size(folder, stated)
    if getattr(seeing, "main_input_name", "pixel_values") != "pixel_values":
        what = f"it is a model of type {config.get('model_type')}, which sees no pictures"
        raise SourceError(what, str(folder), "give an image encoder, as ViT or DINOv2")
    patch = _number([one.get("patch_size") for one in stated])
    normal = _read_normalisation(folder)
    network = seeing.to(device.name).eval()
    return TransformersEncoder(
        name, network, size, normal, patch, model_fingerprint(folder), device
    )


def _read_size(folder: Path, configs: Sequence[Mapping[str, object]]) -> tuple[int, int]:
    """Return height and width of the input, as the preprocessing or the configuration has it."""
    prepared = _read_preprocessing(folder)
    for value in (
        prepared.get("crop_size") if prepared.get("do_center_crop", True) else None,
        prepared.get("size"),
        *(one.get("image_size") for one in reversed(configs)),
    ):
        if isinstance(value, dict):
            side = value.get("shortest_edge") or value.get("longest_edge")
            value = [value.get("height", side), value.get("width", side)]
        given = value if isinstance(value, list | tuple) else [value, value]
        pair = [one for one in given if isinstance(one, int) and not isinstance(one, bool)]
        if len(pair) == len(given) == 2:
            if not all(8 <= one <= _MOST_SIDE for one in pair):
                what = f"its input is {pair[0]} x {pair[1]} px"
                raise SourceError(what, str(folder), f"give one of 8 to {_MOST_SIDE} px")
            return pair[0], pair[1]
    return DEFAULT_SIDE, DEFAULT_SIDE


def _number(values: list[object]) -> int:
    """Return the first whole number over 0; a pair of equal ones is one; else 0."""
    for value in values:
        one = value[0] if isinstance(value, list | tuple) and len(set(value)) == 1 else value
        if isinstance(one, int) and one > 0:
            return one
    return 0


def _read_preprocessing(folder: Path) -> JsonObject:
    try:
        found = json.loads((folder / "preprocessor_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _read_normalisation(folder: Path) -> Normalisation:
    """Return mean and deviation of the preprocessing, ImageNet's where it has none."""
    found = _read_preprocessing(folder)
    try:
        given: Any = found  # whatever it is, it is tried as numbers
        mean, std = (tuple(float(v) for v in given[key]) for key in ("image_mean", "image_std"))
    except (KeyError, TypeError, ValueError, OverflowError):
        return IMAGENET
    return (mean, std) if is_normalisation(mean, std) else IMAGENET
