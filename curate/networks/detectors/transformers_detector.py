"""Detectors of the transformers library: RT-DETR, D-FINE, DETR and their kin.

Answers are turned into boxes in pixels here: the library does it in processors of which some need
torchvision. Two families differ only in their scores: a sigmoid for each category, or a softmax
with "no object" as the last one.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from curate.common.arrays import ByteArray
from curate.errors import CallError, SourceError
from curate.networks.detectors.detections import Detections, Detector, detect_images
from curate.networks.detectors.preprocessing import DetectorInput, read_input
from curate.networks.detectors.training_record import read_record
from curate.networks.runtime.devices import (
    AdaptiveBatches,
    Device,
    choose_device,
    translate_network_errors,
)
from curate.networks.runtime.hub import (
    import_optional,
    model_fingerprint,
    model_folder,
    read_config,
)
from curate.networks.runtime.picture_keys import hash_pixels
from curate.networks.runtime.trained_folder import RECORD
from curate.networks.segmenters.transformers_sam import load_weights


@dataclass(frozen=True)
class CrossFittedDetector:
    """K detectors, each trained on all but its own K-th of the pictures (cross-fitting).

    A picture of the dataset goes to the detector that was not trained on it; any other picture goes
    to the first one.

    Attributes:
        name: Name given by the user.
        parts: The detectors, of the same categories.
        own: For each the keys of the pictures that only this one has not been trained on.
    """

    name: str
    parts: tuple[Detector, ...]
    own: tuple[frozenset[str], ...]

    @property
    def fingerprint(self) -> str:
        """A short hash of all weights and settings."""
        text = ";".join(part.fingerprint for part in self.parts)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def device(self) -> str:
        """torch's name of the device."""
        return self.parts[0].device

    @property
    def precision(self) -> str:
        """Type they compute in."""
        return self.parts[0].precision

    @property
    def categories(self) -> Mapping[int, str]:
        """Category names by label."""
        return self.parts[0].categories

    def was_trained_on(self, image: ByteArray) -> bool:
        """Return False: no picture goes to a detector that was trained on it."""
        del image
        return False

    def detect(self, images: Sequence[ByteArray]) -> list[Detections]:
        """Detect boxes in RGB images, each of shape (height, width, 3), uint8, of any sizes.

        Raises:
            CallError: An image is no such array, or the answer is not finite.
        """
        keys = [hash_pixels(image) for image in images]
        turn = [next((k for k, own in enumerate(self.own) if key in own), 0) for key in keys]
        found: dict[int, Detections] = {}
        for k, part in enumerate(self.parts):
            rows = [row for row, who in enumerate(turn) if who == k]
            seen = part.detect([images[row] for row in rows])
            found.update(zip(rows, seen, strict=True))
        return [found[row] for row in range(len(images))]


__all__ = ["Detections", "Detector", "TransformersDetector", "detect_images", "load_detector"]

IMAGE_BATCH = 8
"""Images of one batch, at first."""


@dataclass(frozen=True)
class Family:
    """Facts about an architecture that are missing in the library's configuration.

    Attributes:
        input: How its images are prepared where no file says so.
        softmax: Scores are a softmax over the categories and "no object", else sigmoids.
        processor: The library's class for its images.
    """

    input: DetectorInput = field(default_factory=DetectorInput)
    softmax: bool = False
    processor: str = "DeformableDetrImageProcessor"


_SQUARE = DetectorInput(fixed=(640, 640), normal=None)
FAMILIES = {
    "conditional_detr": Family(processor="ConditionalDetrImageProcessor"),
    "d_fine": Family(_SQUARE, processor="RTDetrImageProcessor"),
    "dab-detr": Family(processor="ConditionalDetrImageProcessor"),
    "deformable_detr": Family(),
    "deimv2": Family(_SQUARE, processor="RTDetrImageProcessor"),
    "detr": Family(softmax=True, processor="DetrImageProcessor"),
    "lw_detr": Family(),
    "rf_detr": Family(processor="RfDetrImageProcessor"),
    "rt_detr": Family(_SQUARE, processor="RTDetrImageProcessor"),
    "rt_detr_v2": Family(_SQUARE, processor="RTDetrImageProcessor"),
    "table-transformer": Family(softmax=True, processor="DetrImageProcessor"),
    "yolos": Family(DetectorInput(multiple=16), softmax=True, processor="YolosImageProcessor"),
}
"""By the ``model_type`` of config.json."""


@dataclass(frozen=True)
class TransformersDetector:
    """A detector of the transformers library behind the protocol of a detector.

    In bfloat16 where the device has it, except for the boxes: in steps of 1/256 a box in a picture
    of 1,000 px could not be right to the pixel.

    Attributes:
        name: Name given by the user.
        model: The library's, on its device.
        family: Of its architecture.
        input: How images are prepared.
        fingerprint: Of its files.
        where: Device and precision.
        trained_on: Keys of the pictures it was trained on, where that is known.
        images_at_once: Images a batch; halved when memory runs out.
    """

    name: str
    model: Any
    family: Family
    input: DetectorInput
    fingerprint: str
    where: Device
    trained_on: frozenset[str] = frozenset()
    images_at_once: AdaptiveBatches = field(default_factory=lambda: AdaptiveBatches(IMAGE_BATCH))

    @property
    def device(self) -> str:
        """torch's name of the device."""
        return self.where.name

    @property
    def precision(self) -> str:
        """Type of all computations but the boxes'."""
        return self.where.precision

    @property
    def categories(self) -> Mapping[int, str]:
        """Category names by label."""
        return {int(k): str(name) for k, name in self.model.config.id2label.items()}

    def was_trained_on(self, image: ByteArray) -> bool:
        """Return whether it was trained on this picture, as ``training.json`` records."""
        return bool(self.trained_on) and hash_pixels(image) in self.trained_on

    def detect(self, images: Sequence[ByteArray]) -> list[Detections]:
        """Detect boxes in RGB images, each of shape (height, width, 3), uint8, of any sizes.

        Raises:
            CallError: An image is no such array, or the answer is not finite.
        """
        by_size: dict[tuple[int, int], list[int]] = {}
        for k, image in enumerate(images):
            by_size.setdefault(self.input.size(*image.shape[:2]), []).append(k)
        found: dict[int, Detections] = {}
        for rows in by_size.values():
            batches = self.images_at_once.run(lambda part: self._detect(images, part), rows)
            found.update(zip(rows, (seen for batch in batches for seen in batch), strict=True))
        return [found[k] for k in range(len(images))]

    def _detect(self, images: Sequence[ByteArray], rows: Sequence[int]) -> list[Detections]:
        torch = import_optional("torch", "a detector")
        inputs = np.stack([self.input.prepare(images[k]) for k in rows])
        kind = self.device.partition(":")[0]
        half = torch.autocast(kind, torch.bfloat16, enabled=self.precision == "bfloat16")
        with translate_network_errors(self.name), torch.inference_mode(), half:
            answer = self.model(pixel_values=torch.from_numpy(inputs).to(self.device))
            logits, boxes = answer.logits.float(), answer.pred_boxes.float()
        if not (torch.isfinite(logits).all() and torch.isfinite(boxes).all()):
            raise CallError(
                "its answer is not finite (NaN or infinite)",
                self.name,
                "its weights are damaged, or it was trained for another input",
            )
        return [
            _to_image(boxes[k], *select_top(logits[k], softmax=self.family.softmax), images[row])
            for k, row in enumerate(rows)
        ]


def select_top(logits: Any, *, softmax: bool) -> tuple[Any, Any, Any]:
    """Return scores, labels and queries of one image's best answers, highest score first.

    Args:
        logits: Shape (queries, categories), with "no object" as a last category if ``softmax``.
        softmax: Each query answers once; else the best of all pairs of query and category, as many
            as there are queries, so that one box may have several categories.
    """
    if softmax:
        scores, labels = logits.softmax(-1)[:, :-1].max(-1)
        scores, order = scores.sort(descending=True, stable=True)
        return scores, labels[order], order
    queries, categories = logits.shape
    scores, order = logits.sigmoid().flatten().sort(descending=True, stable=True)
    order = order[:queries]
    return scores[:queries], order % categories, order // categories


def _to_image(boxes: Any, scores: Any, labels: Any, queries: Any, image: ByteArray) -> Detections:
    """Convert boxes from shares of the input (centre and size) to pixels of the image."""
    height, width = image.shape[:2]
    shares = boxes[queries].double().cpu().numpy()
    middle, half = shares[:, :2], shares[:, 2:] / 2
    corners = np.clip(np.concatenate([middle - half, middle + half], 1), 0, 1)
    corners *= (width, height, width, height)
    return Detections(
        np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], 1),
        scores.double().cpu().numpy(),
        labels.cpu().numpy().astype(np.int64),
    )


def load_detector(name: str, *, device: str | None = None) -> Detector:
    """Load an object detector of the transformers library.

    Args:
        name: A folder that ``save_pretrained`` or ``curate train-detector`` has written, with
            folds or without, or a hub name ("PekingU/rtdetr_r50vd", with "@revision" behind it if
            any).
        device: torch's name of it; the first GPU, else the CPU, if None.

    Raises:
        CallError: A package is missing, or there is no such model or device.
        SourceError: It is another kind of model, or its weights do not fit its configuration.
    """
    record = read_record(Path(name).expanduser())
    if record.folds:
        folders = [Path(name).expanduser() / fold for fold in record.folds]
        for folder in folders:
            if read_record(folder).folds:
                what = "it is one of several detectors, and says that it is several itself"
                raise SourceError(what, str(folder / RECORD), "train again")
        parts = [_load_one(str(folder), device) for folder in folders]
        return CrossFittedDetector(name, tuple(parts), tuple(record.folds.values()))
    return _load_one(name, device)


def _load_one(name: str, device: str | None) -> TransformersDetector:
    folder = model_folder(name, "a detector")
    place = choose_device(device)
    family = read_family(folder)
    model = load_weights("AutoModelForObjectDetection", folder)
    keep_boxes_float32(model)
    return TransformersDetector(
        name,
        model.to(place.name).eval(),
        family,
        read_input(folder, family.input),
        model_fingerprint(folder),
        place,
        read_record(folder).trained_on,
    )


def read_family(folder: Path) -> Family:
    """Return the family of the model in a folder.

    Raises:
        SourceError: It is no object detector, or one that needs a package that curate does without.
    """
    config = read_config(folder)
    kind = str(config.get("model_type"))
    if kind not in FAMILIES:
        raise SourceError(
            f"it is a model of type {kind}, no object detector that curate knows",
            str(folder),
            f"give one of {', '.join(sorted(FAMILIES))}",
        )
    stated = config.get("backbone_config") or {}
    backbone = stated if isinstance(stated, dict) else {}
    by_default = stated == {} and kind in {"detr", "conditional_detr", "deformable_detr"}
    by_timm = config.get("use_timm_backbone", by_default)
    if by_timm or backbone.get("model_type") == "timm_backbone":
        raise SourceError(
            "its backbone is one of the package timm, which curate does without",
            str(folder),
            "give one with a backbone of transformers, like facebook/detr-resnet-50@no_timm",
        )
    return FAMILIES[kind]


_BOX_HEAD = re.compile(r"(^|\.)\w*bbox\w*(\.\d+)?$")


def keep_boxes_float32(model: Any) -> None:
    """Make the layers that give boxes compute in float32 even where others use less."""
    torch = import_optional("torch", "a detector")
    for name, module in model.named_modules():
        if _BOX_HEAD.search(name) and not isinstance(module, torch.nn.ModuleList):
            module.forward = partial(_run_float32, module.forward)


def _run_float32(forward: Any, values: Any) -> Any:
    torch = import_optional("torch", "a detector")
    with torch.autocast(values.device.type, enabled=False):
        return forward(values.float())
