"""Initial weights of a detector: pretrained ones, or a small RT-DETR with random ones."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from curate.common.ranges import check_numbers
from curate.networks.detectors.preprocessing import DetectorInput, read_input
from curate.networks.detectors.training_record import read_record
from curate.networks.detectors.transformers_detector import FAMILIES, Family, read_family
from curate.networks.runtime.hub import import_optional, model_fingerprint, model_folder
from curate.networks.segmenters.transformers_sam import load_weights, silence_library
from curate.networks.training.training_files import save_pretrained

CATEGORY = "object"
"""The one category of a class-agnostic detector."""

DEFAULT_SIZE = 512
"""Height and width of the input, in pixels, where nothing else says them."""


@dataclass(frozen=True)
class InitialDetector:
    """A model to train.

    Attributes:
        model: The library's, with one category.
        family: Of its architecture.
        input: Of a fixed size: training has batches, and what is trained on one size is used on it.
        fingerprint: Of the weights and settings it starts with.
        is_new: Whether its weights are random.
    """

    model: Any
    family: Family
    input: DetectorInput
    fingerprint: str
    is_new: bool

    def groups(self, model: Any) -> tuple[list[Any], list[Any]]:
        """Return the parameters that learn slowly (a backbone that has learnt) and all others."""
        slow: list[Any] = []
        fast: list[Any] = []
        for name, values in model.named_parameters():
            if values.requires_grad:
                (slow if "backbone" in name and not self.is_new else fast).append(values)
        return slow, fast


def load_pretrained(name: str, *, size: int | None = None) -> InitialDetector:
    """Load a detector's weights, with a new head for one category.

    Args:
        name: A folder or a hub name. A detector of one category keeps its head.
        size: Height and width of the input in pixels; its own, if it has one fixed size, or
            :data:`DEFAULT_SIZE`, if None.

    Raises:
        CallError: There is no such model.
        SourceError: It is no detector, its training has not ended, or its weights do not fit its
            configuration.
    """
    read_record(Path(name).expanduser())
    folder = model_folder(name, "a detector")
    family = read_family(folder)
    found = read_input(folder, family.input)
    fixed = (size, size) if size else found.fixed or (DEFAULT_SIZE, DEFAULT_SIZE)
    prepared = replace(found, fixed=fixed)
    trained = load_weights("AutoModelForObjectDetection", folder)
    config = copy.deepcopy(trained.config)
    _set_single_category(config)
    for setting in ("eval_size", "anchor_image_size"):  # prepared for one size: worked out instead
        if hasattr(config, setting) and fixed != found.fixed:
            setattr(config, setting, None)
    model = _build(type(trained), config, seed=0)
    fits = {name: values.shape for name, values in model.state_dict().items()}
    known = {k: v for k, v in trained.state_dict().items() if fits.get(k) == v.shape}
    model.load_state_dict(known, strict=False)
    return InitialDetector(model, family, prepared, f"{model_fingerprint(folder)}:{fixed}", False)


def build_untrained(
    *, size: int = DEFAULT_SIZE, objects: int = 100, seed: int = 0
) -> InitialDetector:
    """Build a small RT-DETR with random weights, which trains on few images in little time.

    Args:
        size: Height and width of the input in pixels.
        objects: Most objects of an image.
        seed: Of the first weights.

    Raises:
        CallError: The size is out of range: under 64 px the model has fewer places than it asks
            about.
    """
    check_numbers(size=size)
    transformers = import_optional("transformers", "train-detector")
    places = sum((-(-size // stride)) ** 2 for stride in (8, 16, 32))
    width = 128  # by 4 heads: a power of 2 each
    sizes = [32, 64, 128, 256]
    backbone = transformers.RTDetrResNetConfig(
        embedding_size=32,
        hidden_sizes=sizes,
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_indices=[2, 3, 4],
    )
    config = transformers.RTDetrConfig(
        backbone_config=backbone,
        freeze_backbone_batch_norms=False,  # frozen ones would stay as they were made
        encoder_in_channels=sizes[1:],
        encoder_hidden_dim=width,
        encoder_ffn_dim=2 * width,
        encoder_attention_heads=4,
        hidden_expansion=0.5,
        d_model=width,
        decoder_in_channels=[width] * 3,
        decoder_ffn_dim=2 * width,
        decoder_attention_heads=4,
        decoder_layers=3,
        num_queries=min(places, max(20, 2 * objects)),
        num_denoising=min(100, max(10, objects)),
    )
    _set_single_category(config)
    model = _build(transformers.RTDetrForObjectDetection, config, seed)
    prepared = DetectorInput(fixed=(size, size), normal=None)
    return InitialDetector(
        model, FAMILIES["rt_detr"], prepared, f"new:{size}:{objects}:{seed}", True
    )


def _set_single_category(config: Any) -> None:
    """Set the category "object" in a configuration."""
    config.id2label, config.label2id = {0: CATEGORY}, {CATEGORY: 0}


def _build(kind: Any, config: Any, seed: int) -> Any:
    torch = import_optional("torch", "train-detector")
    with torch.random.fork_rng(devices=[]), silence_library():
        torch.manual_seed(seed)
        return kind(config)


def save_detector(start: InitialDetector, model: Any, folder: Path) -> None:
    """Write a trained model as ``save_pretrained`` does, with its preprocessing."""
    save_pretrained(model, folder, start.input.as_config(start.family.processor))
