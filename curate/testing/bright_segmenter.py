"""Segmenter without a network: it draws the bright body that a prompt points at.

What it answers can be told from the picture alone, so a test knows what must come back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import ndimage

from curate.common.arrays import AnyArray
from curate.networks.segmenters.segmenter import Answer, Embedding, Frame, Prompts

LEVEL = 120


@dataclass
class BrightSegmenter:
    """Bodies are connected pixels over 120; logits are distances from their outline, times 4.

    Attributes:
        side: Of the square input.
        low_side: Of the low-res logits.
        squashed: Whether an image is made square, whatever its shape; else padded.
        slope: Logits a pixel, by the (x, y) of a pixel of a body, where it is not 4.
        name: As of any segmenter.
        fingerprint: Likewise.
        device: Likewise.
        precision: Likewise.
        images_seen: How many images it was shown.
        prompts_seen: How many prompts it answered.
    """

    side: int = 160
    low_side: int = 160
    squashed: bool = False
    slope: dict[tuple[int, int], float] = field(default_factory=dict)
    name: str = "bright"
    fingerprint: str = "0123456789abcdef"
    device: str = "cpu"
    precision: str = "float32"
    images_seen: int = 0
    prompts_seen: int = 0

    def embed(self, images: Any) -> list[Embedding]:
        """Return each image's brightness."""
        lay: Callable[..., Frame] = Frame.stretch if self.squashed else Frame.longest_side
        self.images_seen += len(images)
        return [Embedding(lay(*i.shape[:2], self.side), (i.mean(axis=2),)) for i in images]

    def segment(self, embedding: Embedding, prompts: Prompts, *, multimask: bool) -> Answer:
        """Draw the body that each prompt points at; of three masks the middle one is right."""
        frame, gray = embedding.frame, embedding.parts[0]
        prompts.check(frame.height, frame.width)
        self.prompts_seen += len(prompts)
        bodies, _ = ndimage.label(gray > LEVEL)
        logits = np.stack(
            [self._draw(bodies, frame, prompts[k : k + 1]) for k in range(len(prompts))]
        )
        masks = 3 if multimask else 1
        # Beside the right one: a part of the thing, and more than it.
        shifts = np.array([-8.0, 0.0, 8.0] if multimask else [0.0], np.float32)
        low = logits[:, None] + shifts[:, None, None]
        iou = np.tile(
            np.array([0.7, 0.95, 0.8] if multimask else [0.95], np.float32), (len(low), 1)
        )
        assert iou.shape == (len(prompts), masks)
        return Answer(low.astype(np.float32), iou, frame)

    def _draw(self, bodies: Any, frame: Frame, prompt: Prompts) -> Any:
        height, width = bodies.shape
        inside = np.ones((height, width), bool)
        if prompt.boxes is not None:
            x0, y0, x1, y1 = prompt.boxes[0]
            rows, columns = np.mgrid[:height, :width] + 0.5
            inside = (columns >= x0) & (columns < x1) & (rows >= y0) & (rows < y1)
            found = np.bincount(bodies[inside], minlength=2)
            found[0] = 0
        else:
            assert prompt.points is not None
            assert prompt.labels is not None
            found = np.zeros(bodies.max() + 2, int)
            for x, y in prompt.points[0][prompt.labels[0] == 1].tolist():
                at = bodies[min(round(y), height - 1), min(round(x), width - 1)]
                found[at] += at > 0
        if not found.any():
            field = np.full((height, width), -50.0)
        else:
            body = (bodies == found.argmax()) & inside
            slope = next((s for (x, y), s in self.slope.items() if body[y, x]), 4.0)
            out, into = (ndimage.distance_transform_edt(m) for m in (~body, body))
            field = (np.where(body, into - 0.5, 0.5 - out)) * slope
        cells = (np.arange(self.low_side) + 0.5) / self.low_side * frame.side
        y = cells * frame.height / frame.resized_height - 0.5
        x = cells * frame.width / frame.resized_width - 0.5
        at = np.meshgrid(y, x, indexing="ij")
        return ndimage.map_coordinates(field, at, order=1, mode="nearest")

    def pack(self, embedding: Embedding) -> dict[str, AnyArray]:
        """Return an embedding as arrays that can be stored."""
        return {"gray": embedding.parts[0], "features": self._features(embedding)[None, None]}

    def _features(self, embedding: Embedding) -> Any:
        """Return the picture's brightness in cells of 4 px of the input, 0 on padding."""
        frame, cells = embedding.frame, self.side // 4
        shape = (frame.resized_height * cells / self.side, frame.resized_width * cells / self.side)
        rows, columns = (max(1, round(n)) for n in shape)
        gray = np.asarray(embedding.parts[0], float)
        small = ndimage.zoom(gray, (rows / frame.height, columns / frame.width), order=1)
        features = np.zeros((cells, cells))
        features[:rows, :columns] = small[:rows, :columns]
        return features

    def unpack(self, arrays: dict[str, AnyArray], frame: Frame) -> Embedding:
        """Return the embedding that :meth:`pack` took apart."""
        return Embedding(frame, (arrays["gray"],))
