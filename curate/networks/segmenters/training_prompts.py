"""Training samples of a segmenter: images, their objects, and prompts that grow by rounds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from curate import rle
from curate.common.arrays import BoolArray, ByteArray, Float32Array, IntArray
from curate.networks.runtime.hub import import_optional
from curate.networks.segmenters.prompting import MASK_LOGIT, POINTS_PER_PROMPT
from curate.networks.segmenters.segmenter import Frame
from curate.networks.segmenters.small_sam import low_res_side, prepare_image
from curate.rle import Runs

Masks = BoolArray
Scene = tuple[ByteArray, "Runs | Masks"]
Tensor = Any
MAX_JITTER_PX = 20.0
"""How far a corner of a box is moved at most, in pixels."""


@dataclass(frozen=True)
class PromptedImages:
    """Some images in the input, and the objects on them that are prompted.

    Attributes:
        pixels: Shape (images, 3, side, side).
        owner: Shape (n,): which image each object is on.
        truth: Shape (n, side, side), bool.
        halved: Shape (n, 2 * low, 2 * low), bool: the truth where IoU is measured.
        soft: Shape (n, low, low): share of a low-res pixel that lies on the object.
        inside: Shape (n, low, low): 1 where a low-res pixel lies on the image, 0 on padding.
    """

    pixels: Tensor
    owner: Tensor
    truth: Masks
    halved: Tensor
    soft: Tensor
    inside: Tensor


def draw_sample(
    model: Any, scenes: Iterable[Scene], most: int, random: np.random.Generator
) -> PromptedImages | None:
    """Lay images into a model's input, each with some of its objects.

    Args:
        model: What is to be taught; says how large the input is, and on which device.
        scenes: The images, each with its masks.
        most: Objects an image, drawn at random where it has more.
        random: Where the choice comes from.

    Returns:
        None if no object is left: of an image without any, or of specks that resizing lost,
        nothing is taken, not even the image.
    """
    torch = import_optional("torch", "training")
    side, low = int(model.config.vision_config.image_size), low_res_side(model)
    pixels: list[Any] = []
    owner, shares, inside = [], [], []
    for scene in scenes:
        values, frame = prepare_image(scene[0], side)
        found = _objects(scene, frame, most, random)
        seen = (found > 0.5).any(axis=(1, 2))
        if seen.any():
            within = np.zeros((low, low), np.float32)
            rows, columns = frame.resized_height, frame.resized_width
            within[: -(-rows * low // side), : -(-columns * low // side)] = 1
            owner += [len(pixels)] * int(seen.sum())
            inside += [within] * int(seen.sum())
            pixels.append(values)
            shares.append(found[seen])
    if not pixels:
        return None
    device = next(model.parameters()).device
    cover = torch.from_numpy(np.concatenate(shares))
    halved = torch.nn.functional.avg_pool2d(cover[:, None], side // low // 2)
    return PromptedImages(
        torch.from_numpy(np.stack(pixels)).to(device),
        torch.tensor(owner, device=device),
        cover.numpy() > 0.5,
        (halved[:, 0] > 0.5).to(device),
        torch.nn.functional.avg_pool2d(halved, 2)[:, 0].to(device),
        torch.from_numpy(np.stack(inside)).to(device),
    )


def _objects(scene: Scene, frame: Frame, most: int, random: np.random.Generator) -> Float32Array:
    """Return some of a scene's masks in the input, as shares of its pixels."""
    _, masks = scene
    picked = random.permutation(len(masks))[:most].tolist()
    size = (frame.resized_width, frame.resized_height)
    found = np.zeros((len(picked), frame.side, frame.side), np.float32)
    for k, row in enumerate(picked):
        mask = rle.to_dense(masks, row) if isinstance(masks, Runs) else masks[row]
        grey = Image.fromarray(np.asarray(mask, np.uint8) * np.uint8(255))
        resized = np.asarray(grey.resize(size, Image.Resampling.BILINEAR))
        found[k, : size[1], : size[0]] = resized / np.float32(255)
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
        """Return the prompts as inputs of ``SamModel``: one prompt each, N images."""
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
