"""Loading of segmenters, detectors and encoders by name.

Only ``networks`` imports torch, transformers and onnxruntime, when they are first needed: the core
install has none of them.
"""

from __future__ import annotations

from pathlib import Path

from curate.errors import SourceError
from curate.networks.detectors.transformers_detector import Detector
from curate.networks.detectors.transformers_detector import load_detector as load
from curate.networks.encoders.encoder import (
    HANDCRAFTED,
    CachedEncoder,
    HandcraftedEncoder,
    MaskEncoder,
)
from curate.networks.encoders.onnx_encoder import load_onnx_encoder
from curate.networks.encoders.transformers_encoder import load_transformers_encoder
from curate.networks.runtime.devices import Device, choose_device
from curate.networks.runtime.hub import model_folder
from curate.networks.runtime.trained_folder import check_training_ended
from curate.networks.segmenters.embedding_cache import EmbeddingCache
from curate.networks.segmenters.onnx_sam import load_onnx_segmenter
from curate.networks.segmenters.segmenter import Segmenter
from curate.networks.segmenters.transformers_sam import load_transformers_segmenter

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


def holds_onnx(folder: Path) -> bool:
    """Whether a folder holds ONNX exports, and no model of the transformers library."""
    return folder.is_dir() and any(folder.glob("*.onnx")) and not (folder / "config.json").exists()


def load_segmenter(name: str, *, device: str | None = None) -> Segmenter:
    """Load a segmenter.

    Args:
        name: A folder that transformers' ``save_pretrained`` or ``curate train-segmenter`` has
            written, a hub name ("facebook/sam-vit-base"), or a folder with ONNX exports of an
            encoder and a decoder.
        device: "cpu", "cuda:0"; the first GPU, else the CPU, if None.

    Raises:
        CurateError: A package is missing, there is no such model or device, or the files are not
            those of a segmenter.
    """
    folder = Path(name).expanduser()
    if holds_onnx(folder):
        return load_onnx_segmenter(folder, device)
    check_training_ended(folder, "train-segmenter")
    chosen = choose_device(device)
    return load_transformers_segmenter(model_folder(name, "a segmenter"), name, chosen)


def load_encoder(name: str, *, device: str | None = None) -> MaskEncoder:
    """Load an encoder of what a picture shows inside a mask; its vectors are kept in the cache.

    Args:
        name: "handcrafted", for no network; else an ONNX file or a folder with one, a folder that
            transformers' ``save_pretrained`` has written, or a hub name
            ("facebook/dinov2-small").
        device: "cpu", "cuda:0"; the first GPU, else the CPU, if None.

    Raises:
        CurateError: A package is missing, there is no such model or device, the files hold code or
            pickled weights, or are not those of an image encoder.
    """
    if name == HANDCRAFTED:
        return HandcraftedEncoder()
    path = Path(name).expanduser()
    exports = sorted(path.glob("*.onnx")) if holds_onnx(path) else []
    if len(exports) > 1:
        do = "give the path of one of them"
        raise SourceError(f"it holds {len(exports)} ONNX files", str(path), do)
    if exports or path.suffix == ".onnx":
        file = exports[0] if exports else path
        return CachedEncoder(load_onnx_encoder(file, name, device), EmbeddingCache())
    if path.is_file():
        do = "give a folder that save_pretrained has written, or an ONNX file"
        raise SourceError("it is a file, and no ONNX file", str(path), do)
    place = Device(choose_device(device).name, "float32")
    folder = model_folder(name, "an encoder")
    return CachedEncoder(load_transformers_encoder(folder, name, place), EmbeddingCache())
