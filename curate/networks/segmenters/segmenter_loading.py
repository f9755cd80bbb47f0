"""Loading of segmenters by name: folders of transformers, hub names, ONNX exports."""

from __future__ import annotations

from pathlib import Path

from curate.networks.runtime.devices import choose_device
from curate.networks.runtime.hub import model_folder
from curate.networks.runtime.trained_folder import check_training_ended
from curate.networks.segmenters.onnx_sam import load_onnx_segmenter
from curate.networks.segmenters.segmenter import Segmenter
from curate.networks.segmenters.transformers_sam import load_transformers_segmenter


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
