"""Training samples of a segmenter: images, their objects, and prompts that grow by rounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from PIL import Image

from curate import rle
from curate.common.arrays import BoolArray, ByteArray, Float32Array, IntArray
from curate.networks.runtime.hub import import_optional
from curate.networks.segmenters.prompting import MASK_LOGIT, POINTS_PER_PROMPT
from curate.networks.segmenters.segmenter import Frame
from curate.networks.segmenters.transformers_sam import TransformersSegmenter
from curate.rle import Runs

Masks = BoolArray
Scene = tuple[ByteArray, "Runs | Masks"]
Tensor = Any
MAX_JITTER_PX = 20.0
"""How far a corner of a box is moved at most, in pixels."""


@dataclass(frozen=True)
class SampleImage:
    """An image in the input, and some of the objects on it.

    Attributes:
        pixels: Shape (3, side, side); None where the image was embedded before.
        shares: Shape (n, side, side): how much of each pixel lies on the object; n is 1 or more.
        inside: Shape (low, low): 1 where a low-res pixel lies on the image, 0 on padding.
    """

    pixels: Tensor | None
    shares: Float32Array
    inside: Float32Array


@dataclass(frozen=True)
class PromptedImages:
    """Some images in the input, and the objects on them that are prompted.

    Attributes:
        pixels: Shape (images, 3, side, side); None where they were embedded before.
        owner: Shape (n,): which image each object is on.
        truth: Shape (n, side, side), bool.
        halved: Shape (n, 2 * low, 2 * low), bool: the truth where IoU is measured.
        soft: Shape (n, low, low): share of a low-res pixel that lies on the object.
        inside: Shape (n, low, low): 1 where a low-res pixel lies on the image, 0 on padding.
    """

    pixels: Tensor | None
    owner: Tensor
    truth: Masks
    halved: Tensor
    soft: Tensor
    inside: Tensor


def lay_out_image(
    segmenter: TransformersSegmenter,
    scene: Scene,
    most: int,
    random: np.random.Generator,
    *,
    mirrored: bool = False,
) -> SampleImage | None:
    """Lay an image into a model's input, with some of its objects.

    Args:
        segmenter: The model that is trained.
        scene: The image with its masks.
        most: Objects, drawn at random where it has more.
        random: Where the choice comes from.
        mirrored: Whether left and right change places.

    Returns:
        None if no object is left: of an image without any, or of specks that resizing lost.
    """
    picture, masks = scene
    frame = segmenter.frame(*picture.shape[:2])
    laid = lay_out_objects(segmenter, masks, frame, most, random, mirrored=mirrored)
    if laid is None:
        return None
    picture = np.ascontiguousarray(picture[:, ::-1]) if mirrored else picture
    return replace(laid, pixels=segmenter.prepare(picture))


def lay_out_objects(
    segmenter: TransformersSegmenter,
    masks: Runs | Masks,
    frame: Frame,
    most: int,
    random: np.random.Generator,
    *,
    mirrored: bool = False,
) -> SampleImage | None:
    """Lay some objects of an image into a model's input, without the image.

    Args:
        segmenter: The model that is trained.
        masks: The image's.
        frame: How the image lies in the input.
        most: As in :func:`lay_out_image`, and so are the others.
        random: As there.
        mirrored: As there.
    """
    side, low = segmenter.side, segmenter.low_side
    found = _objects(masks, frame, most, random, mirrored)
    seen = (found > 0.5).any(axis=(1, 2))
    if not seen.any():
        return None
    inside = np.zeros((low, low), np.float32)
    rows, columns = frame.resized_height, frame.resized_width
    inside[: -(-rows * low // side), : -(-columns * low // side)] = 1
    return SampleImage(None, found[seen], inside)


def stack_images(images: Sequence[SampleImage], low: int, device: str) -> PromptedImages:
    """Return images as tensors on a device.

    Args:
        images: One or more.
        low: Height and width of the low-res logits.
        device: torch's name of it.
    """
    torch = import_optional("torch", "training")
    cover = torch.from_numpy(np.concatenate([image.shares for image in images]))
    counts = [len(image.shares) for image in images]
    owner = np.repeat(np.arange(len(images)), counts)
    inside = np.stack([image.inside for image in images])[owner]
    halved = torch.nn.functional.avg_pool2d(cover[:, None], cover.shape[-1] // low // 2)
    pixels = [image.pixels for image in images if image.pixels is not None]
    return PromptedImages(
        torch.stack(pixels).to(device) if pixels else None,
        torch.from_numpy(owner).to(device),
        cover.numpy() > 0.5,
        (halved[:, 0] > 0.5).to(device),
        torch.nn.functional.avg_pool2d(halved, 2)[:, 0].to(device),
        torch.from_numpy(inside).to(device),
    )


def _objects(
    masks: Runs | Masks, frame: Frame, most: int, random: np.random.Generator, mirrored: bool
) -> Float32Array:
    """Return some of an image's masks in the input, as shares of its pixels."""
    picked = random.permutation(len(masks))[:most].tolist()
    size = (frame.resized_width, frame.resized_height)
    found = np.zeros((len(picked), frame.side, frame.side), np.float32)
    for k, row in enumerate(picked):
        mask = rle.to_dense(masks, row) if isinstance(masks, Runs) else masks[row]
        grey = Image.fromarray(np.asarray(mask, np.uint8) * np.uint8(255))
        resized = np.asarray(grey.resize(size, Image.Resampling.BILINEAR))
        found[k, : size[1], : size[0]] = resized[:, :: -1 if mirrored else 1] / np.float32(255)
    return found


@dataclass
class PromptSet:
    """The prompts of some objects of a sample, growing from round to round; input pixels.

    Attributes:
        rows: Which objects of the sample.
        boxes: Shape (n, 4), or None.
        points: Shape (n, P, 2).
        labels: Shape (n, P).
        masks: Low-res logits drawn before, or None.
    """

    rows: IntArray
    boxes: Float32Array | None = None
    points: list[Float32Array] = field(default_factory=list)
    labels: list[IntArray] = field(default_factory=list)
    masks: Tensor | None = None

    def inputs(self, device: Any) -> dict[str, Tensor]:
        """Return the prompts as inputs of the library's models: one prompt each, N images."""
        torch = import_optional("torch", "training")
        given: dict[str, Tensor] = {}
        if self.boxes is not None:
            given["input_boxes"] = torch.from_numpy(self.boxes[:, None]).to(device)
        if self.points:
            points, labels = np.stack(self.points, axis=1), np.stack(self.labels, axis=1)
            given["input_points"] = torch.from_numpy(points[:, None]).to(device)
            given["input_labels"] = torch.from_numpy(labels[:, None]).to(device)
        if self.masks is not None:
            given["input_masks"] = self.masks[:, None]
        return given

    @property
    def ambiguous(self) -> bool:
        """Whether each prompt is a single point: then three masks are predicted, not one."""
        return self.boxes is None and len(self.points) == 1 and self.masks is None


def jitter_boxes(masks: Masks, random: np.random.Generator, jitter: float = 0.1) -> Float32Array:
    """Return each mask's box with every corner moved at random, as SAM's training does.

    Args:
        masks: Shape (n, height, width); none may be empty.
        random: Where the noise comes from.
        jitter: Standard deviation as a share of the box's side; at most 20 px are moved.

    Returns:
        Shape (n, 4), XYXY, on the image.
    """
    runs = rle.concat([rle.from_dense(mask) for mask in masks])
    boxes = rle.bbox(runs).astype(np.float64)
    sides = np.tile(boxes[:, 2:], 2)
    boxes[:, 2:] += boxes[:, :2]
    noise = random.normal(size=boxes.shape) * sides * jitter
    boxes += np.clip(noise, -MAX_JITTER_PX, MAX_JITTER_PX)
    height, width = masks.shape[1:]
    boxes = np.clip(boxes, 0, np.tile([width, height], 2))
    ordered = np.concatenate(
        [np.minimum(boxes[:, :2], boxes[:, 2:]), np.maximum(boxes[:, :2], boxes[:, 2:])], axis=1
    )
    return ordered.astype(np.float32)


def sample_points(masks: Masks, random: np.random.Generator) -> Float32Array:
    """Return a point of each mask, every pixel as likely; NaN where the mask is empty.

    Args:
        masks: Shape (n, height, width).
        random: Where the choice comes from.

    Returns:
        Shape (n, 2), x then y.
    """
    points = np.full((len(masks), 2), np.nan, np.float32)
    for k, mask in enumerate(masks):
        spots = np.flatnonzero(mask)
        if len(spots):
            y, x = divmod(int(random.choice(spots)), mask.shape[1])
            points[k] = (x, y)
    return points


def make_first_prompts(
    sample: PromptedImages, random: np.random.Generator, jitter: float
) -> list[PromptSet]:
    """Prompt half of the objects by a box and half by a point, or by a few."""
    order = random.permutation(len(sample.truth))
    half = (len(order) + int(random.integers(2))) // 2
    by_box, by_point = PromptSet(order[:half]), PromptSet(order[half:])
    asked = []
    if len(by_box.rows):
        by_box.boxes = jitter_boxes(sample.truth[by_box.rows], random, jitter)
        asked.append(by_box)
    if len(by_point.rows):
        for _ in range(1 if random.random() < 0.7 else POINTS_PER_PROMPT):
            by_point.points.append(sample_points(sample.truth[by_point.rows], random))
            by_point.labels.append(np.ones(len(by_point.rows), np.int64))
        asked.append(by_point)
    return asked


def refine_prompts(
    asked: PromptSet,
    logits: Tensor,
    sample: PromptedImages,
    drawn: Masks,
    random: np.random.Generator,
) -> None:
    """Add the model's own mask to the prompts, and at times a point where it is wrong.

    Half of the time the mask is shown as a stored one would be, without shades.
    """
    asked.masks = logits.detach()
    if random.random() < 0.5:
        asked.masks = MASK_LOGIT * (2.0 * (asked.masks > 0) - 1)
    if random.random() < 0.5:
        return
    truth = sample.truth[asked.rows]
    scale = truth.shape[-1] // drawn.shape[-1]
    wrong = truth != drawn.repeat(scale, axis=1).repeat(scale, axis=2)
    points = sample_points(wrong, random)
    right = np.isnan(points[:, 0])
    points[right] = sample_points(truth[right], random)
    x, y = points.astype(np.int64).T
    asked.points.append(points)
    asked.labels.append(truth[np.arange(len(truth)), y, x].astype(np.int64))
