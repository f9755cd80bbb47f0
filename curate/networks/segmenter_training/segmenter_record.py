"""``training.json`` of a trained segmenter: provenance, settings, history, validation."""

from __future__ import annotations

from typing import TypedDict

from curate.common.json_values import JsonObject


class TrainingDataset(TypedDict):
    """A dataset or an audit that masks came from.

    ``fingerprint`` is of the dataset's content (of an audit, of the dataset that was audited);
    ``left_out`` counts images without masks or without a picture that opens, crowd regions, masks
    without usable pixels, and masks that an audit does not accept.
    """

    path: str
    kind: str
    format: str
    fingerprint: str
    pictures: str
    images: int
    masks: int
    left_out: dict[str, int]


class IouRecord(TypedDict):
    """Mean IoU of held-out masks with what is drawn for them from boxes and from points.

    ``iou`` is the mean of both; ``low`` and ``high`` are its 95% interval over images, None where
    there is one image alone.
    """

    iou: float
    low: float | None
    high: float | None
    box_iou: float
    point_iou: float


class InitialWeights(TypedDict):
    """The weights that a training started from; ``name`` is None for random ones."""

    name: str | None
    fingerprint: str


class SegmenterCounts(TypedDict):
    """Images and masks that were trained on, and those that were held out.

    ``tried_masks`` of the held-out masks were prompted for validation; ``too_close`` images look
    like a held-out one that was named, and were left out.
    """

    images: int
    masks: int
    held_out_images: int
    held_out_masks: int
    tried_masks: int
    too_close: int


class ImageRecord(TypedDict):
    """An image: the position of its dataset in ``datasets``, its id there, its picture's name."""

    dataset: int
    image_id: int
    file_name: str


class SplitImages(TypedDict):
    """The images that were trained on, and those that were held out."""

    train: list[ImageRecord]
    held_out: list[ImageRecord]


class SplitKeys(TypedDict):
    """The same by keys of the pictures' pixels."""

    train: list[str]
    held_out: list[str]


class SegmenterTrainingRecord(TypedDict):
    """The content of ``training.json``.

    ``validation`` is the IoU of the best epoch's weights, ``before`` that of the weights it started
    from, with the same prompts, and ``difference`` the first less the second, paired by image.
    ``weights`` is a hash of ``model.safetensors``.
    """

    tool: str
    tool_version: str
    identity: str
    datasets: list[TrainingDataset]
    settings: JsonObject
    device: str
    start: InitialWeights
    encoder_trained: bool
    weights: str
    validation: IouRecord
    before: IouRecord
    difference: IouRecord
    best_epoch: int
    stopped_early: bool
    history: list[dict[str, float]]
    counts: SegmenterCounts
    images: SplitImages
    picture_keys: SplitKeys
