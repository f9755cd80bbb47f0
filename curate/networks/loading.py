"""Loading of segmenters, detectors and encoders by name.

Only ``networks`` imports torch, transformers and onnxruntime, when they are first needed: the core
install has none of them.
"""

from __future__ import annotations

from curate.networks.detectors.transformers_detector import Detector
from curate.networks.detectors.transformers_detector import load_detector as load
from curate.networks.encoders.encoder import (
    HANDCRAFTED,
    CachedEncoder,
    HandcraftedEncoder,
    MaskEncoder,
)
from curate.networks.encoders.encoder_loading import load_window_network
from curate.networks.segmenters.embedding_cache import EmbeddingCache
from curate.networks.segmenters.segmenter_loading import holds_onnx, load_segmenter

__all__ = ["holds_onnx", "load_detector", "load_encoder", "load_segmenter"]


def load_detector(name: str, *, device: str | None = None) -> Detector:
    """Load a detector: a folder, or a hub name; see
    :func:`curate.networks.detectors.transformers_detector.load_detector`.

    Args:
        name: A folder that transformers' ``save_pretrained`` or ``curate train-detector`` has
            written, or a hub name ("PekingU/rtdetr_r50vd").
        device: "cpu", "cuda:0"; the first GPU, else the CPU, if None.

    Raises:
        CurateError: A package is missing, there is no such model or device, or the files are not
            those of an object detector.
    """
    return load(name, device=device)


def load_encoder(name: str, *, device: str | None = None) -> MaskEncoder:
    """Load an encoder of what a picture shows inside a mask; its vectors are kept in the cache.

    Args:
        name: "handcrafted", for no network; else as of
            :func:`curate.networks.encoders.encoder_loading.load_window_network`.
        device: "cpu", "cuda:0"; the first GPU, else the CPU, if None.

    Raises:
        CurateError: A package is missing, there is no such model or device, the files hold code or
            pickled weights, or are not those of an image encoder.
    """
    if name == HANDCRAFTED:
        return HandcraftedEncoder()
    return CachedEncoder(load_window_network(name, device=device), EmbeddingCache())
