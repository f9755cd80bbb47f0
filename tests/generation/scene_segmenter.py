"""A segmenter that needs no network: it draws the rectangle whose colour it is pointed at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from curate.networks.segmenters.segmenter import Answer, Embedding, Frame, Prompts

SIDE, LOW = 256, 64


class SceneSegmenter:
    """Answers three masks a point, from the pixels of what it has embedded.

    On a rectangle of one colour: the rectangle itself (predicted IoU 0.95), its left half with a
    soft outline (0.93, not stable), and everything there is (0.91). On black: three masks of a
    predicted IoU of 0.1. Sides that reach the end of the picture are left open, as the network's
    are.
    """

    name, fingerprint, device, precision, low_side = "scene", "scene-1", "cpu", "float32", LOW

    def __init__(self, frame: str = "longest_side") -> None:
        self.frame = frame
        self.embedded: list[tuple[int, int]] = []
        self.batches: list[int] = []

    def embed(self, images: Sequence[np.ndarray]) -> list[Embedding]:
        made = []
        for image in images:
            height, width = image.shape[:2]
            self.embedded.append((height, width))
            frame = getattr(Frame, self.frame)(height, width, SIDE)
            made.append(Embedding(frame, (image,)))
        return made

    def segment(self, embedding: Embedding, prompts: Prompts, *, multimask: bool) -> Answer:
        assert multimask
        image, frame = embedding.parts[0], embedding.frame
        prompts.check(*image.shape[:2])
        self.batches.append(len(prompts))
        assert prompts.points is not None
        places = np.minimum(prompts.points[:, 0].astype(int), np.array(image.shape[1::-1]) - 1)
        colours, which = np.unique(image[places[:, 1], places[:, 0]], axis=0, return_inverse=True)
        answers = [self.answer(image, frame, colour) for colour in colours]
        return Answer(
            np.stack([logits for logits, _ in answers])[which],
            np.array([scores for _, scores in answers], np.float32)[which],
            frame,
        )

    def answer(
        self, image: np.ndarray, frame: Frame, colour: np.ndarray
    ) -> tuple[np.ndarray, list[float]]:
        if not colour.any():
            return np.full((3, LOW, LOW), -5, np.float32), [0.1, 0.1, 0.1]
        rows, columns = np.nonzero((image == colour).all(axis=2))
        box = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        half = box[0], box[1], (box[0] + box[2]) // 2, box[3]
        fields = [
            rectangle(frame, box, 3.0),
            rectangle(frame, half, 0.1),
            np.full((LOW, LOW), 9, np.float32),
        ]
        return np.stack(fields), [0.95, 0.93, 0.91]

    def pack(self, embedding: Embedding) -> dict[str, Any]:
        return {"image": embedding.parts[0]}

    def unpack(self, arrays: dict[str, Any], frame: Frame) -> Embedding:
        return Embedding(frame, (arrays["image"],))


def rectangle(frame: Frame, box: tuple[int, int, int, int], slope: float) -> np.ndarray:
    """Low-res logits that are ``slope`` times the depth in a rectangle, XYXY in pixels."""
    centres = (np.arange(LOW) + 0.5) * (SIDE / LOW)
    x = centres[None, :] * (frame.width / frame.resized_width)
    y = centres[:, None] * (frame.height / frame.resized_height)
    sides = [
        x - box[0] if box[0] > 0 else np.inf,
        box[2] - x if box[2] < frame.width else np.inf,
        y - box[1] if box[1] > 0 else np.inf,
        box[3] - y if box[3] < frame.height else np.inf,
    ]
    depth: np.ndarray = np.minimum.reduce([np.broadcast_to(side, (LOW, LOW)) for side in sides])
    return np.clip(slope * depth, -1e3, 1e3).astype(np.float32)


def picture(height: int, width: int, boxes: Sequence[tuple[int, int, int, int]]) -> np.ndarray:
    """A black picture with a rectangle of another colour for each box, XYWH."""
    made = np.zeros((height, width, 3), np.uint8)
    for k, (x, y, w, h) in enumerate(boxes):
        made[y : y + h, x : x + w] = (40 * (k + 1) % 256, 255 - 20 * k, 90 + k)
    return made
