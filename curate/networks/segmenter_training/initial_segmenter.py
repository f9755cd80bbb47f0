"""Initial weights of a segmenter that is trained: pretrained ones, or a small SAM's random ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import orjson

from curate.errors import CallError
from curate.networks.loading import holds_onnx
from curate.networks.runtime.devices import Device
from curate.networks.runtime.hub import model_folder
from curate.networks.runtime.trained_folder import check_training_ended
from curate.networks.segmenters.small_sam import build_small_sam, wrap_small_sam
from curate.networks.segmenters.trainable_segmenter import TrainableSegmenter, make_trainable
from curate.networks.segmenters.transformers_sam import load_transformers_segmenter
from curate.networks.training.training_files import save_pretrained

DEFAULT_SIZE = 256
"""Height and width of a new segmenter's input, in pixels."""

_FINE = 256
"""Largest input that is cut into patches of 8 px: four times as many cost a CPU too much."""


def load_start(name: str, *, size: int | None, encoder: bool, device: Device) -> TrainableSegmenter:
    """Load a segmenter's weights to train them further.

    Args:
        name: A folder or a hub name.
        size: Must be None: weights fit one size of input.
        encoder: Whether the image encoder is trained too.
        device: Where it is trained.

    Raises:
        CallError: There is no such model, or it is one that cannot be trained.
        SourceError: Its training has not ended, or its weights do not fit its configuration.
    """
    if size is not None:
        what = "--size is the input of a new segmenter, and weights fit their own"
        raise CallError(what, "train-segmenter", "leave out --size, or --from")
    if holds_onnx(Path(name).expanduser()):
        raise CallError(
            "it holds ONNX exports, which have no weights that can be trained",
            name,
            "give the model that they were exported from, as transformers saves it",
        )
    check_training_ended(Path(name).expanduser(), "train-segmenter")
    folder = model_folder(name, "a segmenter")
    return make_trainable(load_transformers_segmenter(folder, name, device), encoder=encoder)


def build_start(*, size: int | None, seed: int, device: Device) -> TrainableSegmenter:
    """Build a small SAM with random weights, of which everything is trained.

    Args:
        size: Height and width of the input in pixels; :data:`DEFAULT_SIZE` if None.
        seed: Of the weights.
        device: Where it is trained.

    Raises:
        CallError: The size is no multiple of the patches'.
    """
    side = size or DEFAULT_SIZE
    patch = 8 if side <= _FINE else 16
    if side % patch:
        raise CallError(f"--size is {side}", "train-segmenter", f"give a multiple of {patch}")
    model = build_small_sam(side=side, patch=patch, seed=seed)
    segmenter = wrap_small_sam(model, "a new SAM", f"new:{side}:{patch}:{seed}", device)
    return TrainableSegmenter(segmenter, encoder=True, is_new=True)


def save_segmenter(trained: TrainableSegmenter, folder: Path, start: Path | None) -> None:
    """Write a trained segmenter as ``save_pretrained`` does, with its preprocessing.

    Args:
        trained: The segmenter.
        folder: Where; not there yet.
        start: The folder of the weights that it started from, whose preprocessing is kept.
    """
    save_pretrained(trained.model, folder, _preprocessing(trained, start))


def _preprocessing(trained: TrainableSegmenter, start: Path | None) -> Mapping[str, object]:
    """Return the content of ``preprocessor_config.json``."""
    own = None if start is None else start / "preprocessor_config.json"
    if own is not None and own.is_file():
        try:
            found = orjson.loads(own.read_bytes())
        except orjson.JSONDecodeError:
            found = None
        if isinstance(found, dict):
            return found
    segmenter = trained.segmenter
    mean, std = segmenter.normal
    about: dict[str, object] = {"image_mean": list(mean), "image_std": list(std)}
    square = {"height": segmenter.side, "width": segmenter.side}
    if segmenter.kind.squashed:
        return about | {"image_processor_type": "Sam2ImageProcessor", "size": square}
    return about | {
        "image_processor_type": "SamImageProcessor",
        "processor_class": "SamHQProcessor"
        if segmenter.kind.model == "SamHQModel"
        else "SamProcessor",
        "size": {"longest_edge": segmenter.side},
        "pad_size": square,
        "mask_size": {"longest_edge": segmenter.low_side},
        "mask_pad_size": {"height": segmenter.low_side, "width": segmenter.low_side},
    }
