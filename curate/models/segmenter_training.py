"""Training of a promptable segmenter on images and their masks, as the SAM paper trains it.

Each image is embedded once; some of its objects are then prompted, half by a box with jitter and
half by a point inside, and prompted again with what the model drew. Everything is drawn with a
seed, so that two runs on one machine give the same weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from math import cos, pi
from typing import Any

import numpy as np
import numpy.typing as npt

from curate import rle
from curate.errors import CallError
from curate.models.extra import need
from curate.models.prompting import INSIDE, MASK_LOGIT
from curate.models.segmenter import Frame, ImageArray
from curate.rle import Runs

Masks = npt.NDArray[np.bool_]
Scene = tuple[ImageArray, "Runs | Masks"]
Tensor = Any
MEAN = (123.675, 116.28, 103.53)
SPREAD = (58.395, 57.12, 57.375)
FOCAL, DICE, IOU = 2.0, 1.0, 1.0
"""Weights of the losses. SAM's are 20, 1 and 1, its focal loss being a mean over all pixels."""
ENOUGH = 0.7
"""Mean IoU from which on each pixel counts the same, see :func:`mask_loss`."""
MOST_JITTER = 20.0
"""How far a corner of a box is moved at most, in pixels."""


@dataclass(frozen=True)
class Schedule:
    """How long a segmenter is trained, and on how much at once.

    Attributes:
        steps: Updates of the weights.
        images: Images an update; with fewer than four a new model hardly begins to learn.
        prompts: Objects prompted an image, at most.
        rounds: Times that each is prompted; from the second on with the mask drawn before.
        learning_rate: The highest; it rises over the first 5% of the steps and falls as a cosine.
        weight_decay: AdamW's.
        jitter: Standard deviation of a box corner as a share of the box's side. With SAM's, 0.1, a
            model in training for minutes sees too few bad masks to learn to tell them.
    """

    steps: int
    images: int = 4
    prompts: int = 8
    rounds: int = 2
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    jitter: float = 0.1

    def rate(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        rising = min(1.0, (step + 1) / max(1, self.steps // 20))
        return self.learning_rate * rising * (0.01 + 0.99 * (1 + cos(pi * step / self.steps)) / 2)


@dataclass(frozen=True)
class Progress:
    """What an update came to, averaged over its images and rounds.

    Attributes:
        step: Counted from 0.
        loss: The weighted sum that is minimised.
        iou: Mean IoU of what was drawn with the truth, in the input's pixels.
        iou_error: Root mean square of predicted minus true IoU.
    """

    step: int
    loss: float
    iou: float
    iou_error: float


# --- a model -------------------------------------------------------------------------------------


def small_sam(
    *, side: int, patch: int, hidden: int = 128, layers: int = 6, decoder: int = 64, seed: int = 0
) -> Any:
    """Return a transformers ``SamModel`` with random weights that a CPU can train.

    Args:
        side: Of the square input, in pixels; a multiple of ``patch``.
        patch: Side of a patch, in pixels; a low-res logit covers a quarter of it.
        hidden: Width of the image encoder, a multiple of 32.
        layers: Of the image encoder; every third attends to the whole image, the rest to windows.
        decoder: Width of the prompt encoder and the mask decoder, a multiple of 16.
        seed: Of the weights.

    Raises:
        CallError: The sizes do not fit each other, or the packages are missing.
    """
    if side % patch or hidden % 32 or decoder % 16:
        raise CallError(
            f"side {side}, patch {patch}, hidden {hidden}, decoder {decoder} do not fit",
            "small_sam",
            "side must be a multiple of patch, hidden of 32, decoder of 16",
        )
    torch, transformers = need("torch", "a segmenter"), need("transformers", "a segmenter")
    vision = {
        "hidden_size": hidden,
        "output_channels": decoder,
        "num_hidden_layers": layers,
        "num_attention_heads": hidden // 32,
        "image_size": side,
        "patch_size": patch,
        "window_size": 8,
        "global_attn_indexes": list(range(2, layers, 3)),
        "num_pos_feats": decoder // 2,
        "initializer_range": 0.02,  # the default, 1e-10, is for weights that are loaded
    }
    prompts = {"hidden_size": decoder, "image_size": side, "patch_size": patch}
    masks = {
        "hidden_size": decoder,
        "mlp_dim": 4 * decoder,
        "iou_head_hidden_dim": 128,
        # SAM's 16 dimensions a head: with fewer, a place cannot be told from its neighbours.
        "num_attention_heads": decoder // 16,
        "attention_downsample_rate": 1,
    }
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        config = transformers.SamConfig(
            vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=masks
        )
        model = transformers.SamModel(config)
        # Nor are the library's own draws meant for training: with a spread of 0.02 throughout, a
        # narrow decoder answers every prompt alike. torch's defaults are what SAM's code has.
        for module in model.modules():
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()
        # transformers draws these with half the hidden size as spread, since weights are loaded
        # over them; SAM's own code draws them with 1. Objects of many sizes need many frequencies.
        spread = torch.exp(torch.empty(decoder // 2).uniform_(-1.2, 1.2))
        frequencies = torch.randn(2, decoder // 2) * spread
        for part in (model.shared_image_embedding, model.prompt_encoder.shared_embedding):
            part.positional_embedding.copy_(frequencies)
    return model


def low_side(model: Any) -> int:
    """Return the height and width of a ``SamModel``'s low-res logits."""
    return 4 * int(model.config.prompt_encoder_config.image_embedding_size)


def pixel_values(image: ImageArray, side: int) -> tuple[npt.NDArray[np.float32], Frame]:
    """Return an image as SAM takes it: resized, normalised, padded with zeros.

    Args:
        image: RGB, shape (height, width, 3), uint8.
        side: Of the square input, in pixels.

    Returns:
        Shape (3, side, side), float32; how the image lies in it.
    """
    from PIL import Image

    frame = Frame.longest_side(image.shape[0], image.shape[1], side)
    small = Image.fromarray(image).resize(
        (frame.resized_width, frame.resized_height), Image.Resampling.BILINEAR
    )
    values = (np.asarray(small, np.float32) - np.array(MEAN, np.float32)) / np.array(
        SPREAD, np.float32
    )
    padded = np.zeros((3, side, side), np.float32)
    padded[:, : frame.resized_height, : frame.resized_width] = values.transpose(2, 0, 1)
    return padded, frame


# --- what is prompted ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Sample:
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


def _sample(
    model: Any, scenes: Iterable[Scene], most: int, random: np.random.Generator
) -> Sample | None:
    torch = need("torch", "training")
    side, low = int(model.config.vision_config.image_size), low_side(model)
    pixels: list[Any] = []
    owner, shares, inside = [], [], []
    for scene in scenes:
        values, frame = pixel_values(scene[0], side)
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
    return Sample(
        torch.from_numpy(np.stack(pixels)).to(device),
        torch.tensor(owner, device=device),
        cover.numpy() > 0.5,
        (halved[:, 0] > 0.5).to(device),
        torch.nn.functional.avg_pool2d(halved, 2)[:, 0].to(device),
        torch.from_numpy(np.stack(inside)).to(device),
    )


def _objects(
    scene: Scene, frame: Frame, most: int, random: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Return some of a scene's masks in the input, as shares of its pixels."""
    from PIL import Image

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
class Asked:
    """The prompts of some objects of a sample, growing from round to round; input pixels.

    Attributes:
        rows: Which objects of the sample.
        boxes: Shape (n, 4), or None.
        points: Shape (n, P, 2).
        labels: Shape (n, P).
        masks: Low-res logits drawn before, or None.
    """

    rows: npt.NDArray[np.int64]
    boxes: npt.NDArray[np.float32] | None = None
    points: list[npt.NDArray[np.float32]] = field(default_factory=list)
    labels: list[npt.NDArray[np.int64]] = field(default_factory=list)
    masks: Tensor | None = None

    def inputs(self, device: Any) -> dict[str, Tensor]:
        """Return what ``SamModel`` is called with: one prompt each, N images."""
        torch = need("torch", "training")
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
        """Whether one point is all that is given: then three masks are wanted, not one."""
        return self.boxes is None and len(self.points) == 1 and self.masks is None


def jittered_boxes(
    masks: Masks, random: np.random.Generator, jitter: float = 0.1
) -> npt.NDArray[np.float32]:
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
    boxes += np.clip(noise, -MOST_JITTER, MOST_JITTER)
    height, width = masks.shape[1:]
    boxes = np.clip(boxes, 0, np.tile([width, height], 2))
    ordered = np.concatenate(
        [np.minimum(boxes[:, :2], boxes[:, 2:]), np.maximum(boxes[:, :2], boxes[:, 2:])], axis=1
    )
    return ordered.astype(np.float32)


def points_inside(masks: Masks, random: np.random.Generator) -> npt.NDArray[np.float32]:
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


def _first_prompts(sample: Sample, random: np.random.Generator, jitter: float) -> list[Asked]:
    """Prompt half of the objects by a box and half by a point, or by a few."""
    order = random.permutation(len(sample.truth))
    half = (len(order) + int(random.integers(2))) // 2
    by_box, by_point = Asked(order[:half]), Asked(order[half:])
    asked = []
    if len(by_box.rows):
        by_box.boxes = jittered_boxes(sample.truth[by_box.rows], random, jitter)
        asked.append(by_box)
    if len(by_point.rows):
        for _ in range(1 if random.random() < 0.7 else INSIDE):
            by_point.points.append(points_inside(sample.truth[by_point.rows], random))
            by_point.labels.append(np.ones(len(by_point.rows), np.int64))
        asked.append(by_point)
    return asked


def _next_prompts(
    asked: Asked, logits: Tensor, sample: Sample, drawn: Masks, random: np.random.Generator
) -> None:
    """Show the model its own mask, and at times a point where it is wrong.

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
    points = points_inside(wrong, random)
    right = np.isnan(points[:, 0])
    points[right] = points_inside(truth[right], random)
    x, y = points.astype(np.int64).T
    asked.points.append(points)
    asked.labels.append(truth[np.arange(len(truth)), y, x].astype(np.int64))


# --- what is minimised ---------------------------------------------------------------------------


def mask_loss(logits: Tensor, soft: Tensor, inside: Tensor, evenness: float) -> Tensor:
    """Return focal and dice loss, for truth that may be a share between 0 and 1.

    Small objects are a hundredth of the image and less. If every pixel counts the same, a model
    without experience learns first to draw nothing, and then has little left to learn from. So
    at first object and ground count the same, and the better the model draws, the more do pixels.

    Args:
        logits: Shape (n, m, h, w).
        soft: Shape (n, 1, h, w): how much of each pixel lies on the object.
        inside: Same shape: 1 on the image, 0 on padding.
        evenness: From 0 (the ground counts as much as the object) to 1 (each pixel the same).

    Returns:
        Shape (n, m). The focal part is Lin et al.'s with gamma 2, by the object's area; where the
        truth is a share it is least when the probability equals it, so that the zero line comes
        to lie on the outline, finer than a low-res pixel.
    """
    torch = need("torch", "training")
    probability = logits.sigmoid() * inside
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(
        logits, soft.expand_as(logits), reduction="none"
    )
    focal = entropy * (probability - soft) ** 2 * inside
    area = soft.sum(dim=(-2, -1)).clamp(min=1)
    ground = (inside - soft).clamp(min=0).sum(dim=(-2, -1)).clamp(min=1)
    on = (focal * soft).sum(dim=(-2, -1)) / area
    off = (focal * (1 - soft)).sum(dim=(-2, -1)) / (area**evenness * ground ** (1 - evenness))
    shared = (probability * soft).sum(dim=(-2, -1))
    dice = 1 - (2 * shared + 1) / (probability.sum(dim=(-2, -1)) + area + 1)
    return FOCAL * (on + off) + DICE * dice


def _ious(logits: Tensor, truth: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
    """Return masks cut at 0 and their IoU with the truth, both on twice the low-res grid.

    Low-res pixels would be too coarse a measure: a small object is a few of them wide.
    """
    torch = need("torch", "training")
    resize = torch.nn.functional.interpolate
    drawn = resize(logits, scale_factor=2, mode="bilinear") > 0
    drawn = drawn & (resize(inside, scale_factor=2) > 0)
    both = (drawn & truth[:, None]).sum(dim=(-2, -1))
    either = (drawn | truth[:, None]).sum(dim=(-2, -1))
    return drawn, both / either.clamp(min=1)


def _ask(
    model: Any, embeddings: Tensor, asked: Asked, sample: Sample, evenness: float
) -> tuple[Tensor, Tensor, Masks, Tensor]:
    """Prompt once; return the loss, the mask for the next round, as pixels too, and numbers."""
    torch = need("torch", "training")
    device = embeddings.device
    rows = torch.from_numpy(asked.rows).to(device)
    answer = model(
        image_embeddings=embeddings[sample.owner[rows]],
        multimask_output=asked.ambiguous,
        **asked.inputs(device),
    )
    logits, predicted = answer.pred_masks[:, 0].float(), answer.iou_scores[:, 0].float()
    inside = sample.inside[rows][:, None]
    losses = mask_loss(logits, sample.soft[rows][:, None], inside, evenness)
    with torch.no_grad():
        drawn, ious = _ious(logits, sample.halved[rows], inside)
    each = torch.arange(len(rows), device=device)
    # Of three masks only the best is taught; the model's own choice is what it is shown next.
    best, chosen = losses.detach().argmin(dim=1), predicted.detach().argmax(dim=1)
    errors = (predicted - ious) ** 2
    loss = losses[each, best].mean() + IOU * errors.mean()
    numbers = torch.stack([loss.detach(), ious[each, best].mean(), errors.detach().mean()])
    return loss, logits[each, chosen], drawn[each, chosen].cpu().numpy(), numbers


# --- training ------------------------------------------------------------------------------------


def train_segmenter(
    model: Any,
    scenes: Sequence[Scene],
    schedule: Schedule,
    *,
    seed: int,
    augment: Callable[[Scene, np.random.Generator], Scene] | None = None,
    report: Callable[[Progress], None] | None = None,
) -> None:
    """Train a transformers ``SamModel`` in place, on the device where it is.

    Args:
        model: With random weights, or with those of an earlier training.
        scenes: RGB images (height, width, 3), uint8, each with the masks of its objects: a bool
            array (n, height, width) or ``Runs``. Empty masks are left out.
        schedule: How long, and on how much at once.
        seed: Of the order of images, of the objects and of the prompts.
        augment: Changes a scene at random before it is used.
        report: Called after each update.

    Raises:
        CallError: No scene has a mask, or the loss is not finite.
    """
    torch = need("torch", "training")
    random = np.random.default_rng(seed)
    useful = [k for k in range(len(scenes)) if len(scenes[k][1])]
    if not useful:
        raise CallError("no image has a mask", "train_segmenter", "give images with masks")
    frozen = {id(model.shared_image_embedding.positional_embedding)}
    frozen.add(id(model.prompt_encoder.shared_embedding.positional_embedding))
    weights = [p for p in model.parameters() if id(p) not in frozen]
    optimizer = torch.optim.AdamW(
        weights, lr=schedule.learning_rate, weight_decay=schedule.weight_decay
    )
    order: list[int] = []
    skill: float | None = None
    model.train()
    for step in range(schedule.steps):
        chosen = []
        for _ in range(schedule.images):
            order = order or random.permutation(useful).tolist()
            scene = scenes[order.pop()]
            chosen.append(augment(scene, random) if augment else scene)
        sample = _sample(model, chosen, schedule.prompts, random)
        if sample is None:
            continue
        for group in optimizer.param_groups:
            group["lr"] = schedule.rate(step)
        optimizer.zero_grad()
        numbers = _learn(model, sample, schedule, min(1.0, (skill or 0.0) / ENOUGH), random)
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        loss, iou, error = numbers.tolist()
        if not np.isfinite(loss):
            raise CallError(
                f"the loss is {loss} at step {step}", "train_segmenter", "lower learning_rate"
            )
        skill = iou if skill is None else skill + (iou - skill) / 30
        if report:
            report(Progress(step, loss, iou, error**0.5))
    model.eval()


def _learn(
    model: Any,
    sample: Sample,
    schedule: Schedule,
    evenness: float,
    random: np.random.Generator,
) -> Tensor:
    """Compute the gradient; return loss, IoU and squared error of the IoU."""
    torch = need("torch", "training")
    embeddings = model.vision_encoder(sample.pixels).last_hidden_state
    losses, numbers = [], []
    for asked in _first_prompts(sample, random, schedule.jitter):
        share = len(asked.rows) / len(sample.truth) / schedule.rounds
        for round_ in range(schedule.rounds):
            loss, logits, drawn, seen = _ask(model, embeddings, asked, sample, evenness)
            losses.append(loss * share)
            numbers.append(seen * share)
            if round_ + 1 < schedule.rounds:
                _next_prompts(asked, logits, sample, drawn, random)
    torch.stack(losses).sum().backward()
    return torch.stack(numbers).sum(dim=0)
