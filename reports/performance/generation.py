"""Time of a generation: all that follows the network, beside the network.

The network is SAM ViT-B at its real size with random weights, on the CPU; what it costs does not
depend on its weights. What follows does depend on the answers, so it gets plausible ones: objects
of all sizes, in parts and whole, about half of which pass the cut of the predicted IoU.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

SIDE, LOW, POINTS = 1024, 256, 64


def rows() -> list[dict[str, Any]]:
    """Time both parts for an image of the whole recipe: 21 crops, 3,072 points, 9,216 masks."""
    embed_s, answer_s = network_seconds()
    made = []
    for height, width in ((683, 1024), (1500, 2250)):
        crops, points, rest_s, counts = rest_seconds(height, width)
        network_s = crops * embed_s + points / POINTS * answer_s
        drawn = sum(counts.values())
        made.append(
            {
                "what": f"generation: all that follows the network, {width} x {height} px",
                "unit": "% of the network's own time (SAM ViT-B, CPU)",
                "value": 100 * rest_s / network_s,
                "goal": "under 20",
                "detail": f"{rest_s:.1f} s against {network_s:.0f} s ({crops} crops of "
                f"{embed_s:.2f} s and {points} points, {answer_s:.2f} s for {POINTS}); {drawn} "
                f"masks, {drawn - counts['predicted_iou']} over the cut of the predicted IoU, "
                f"{counts['kept']} kept",
            }
        )
    return made


def network_seconds() -> tuple[float, float]:
    """Return the seconds of embedding one crop, and of answering one batch of points."""
    from transformers import SamConfig, SamModel

    from curate.networks.loading import load_segmenter
    from curate.networks.segmenters.segmenter import Prompts

    with tempfile.TemporaryDirectory() as folder:
        SamModel(SamConfig()).save_pretrained(folder)
        model = load_segmenter(folder, device="cpu")
    image = np.random.default_rng(0).integers(0, 256, (683, 1024, 3), np.uint8)
    spots = np.random.default_rng(1).uniform(0, 683, (POINTS, 1, 2)).astype(np.float32)
    prompts = Prompts(points=spots, labels=np.ones((POINTS, 1), np.int8))
    embedded, answered = [], []
    for _ in range(3):
        begin = time.perf_counter()
        embedding = model.embed([image])[0]
        embedded.append(time.perf_counter() - begin)
        begin = time.perf_counter()
        model.segment(embedding, prompts, multimask=True)
        answered.append(time.perf_counter() - begin)
    return median(embedded), median(answered)


def rest_seconds(height: int, width: int) -> tuple[int, int, float, dict[str, int]]:
    """Return crops, points, seconds of all but the network, and candidates by reason."""
    from PIL import Image

    from curate.networks.generation import generate

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image.png"
        Image.fromarray(np.zeros((height, width, 3), np.uint8)).save(path)
        answers = Plausible()
        generate(path, Path(folder) / "warm", segmenter=answers, settings={"crop_layers": 0})
        taken = []
        for turn in range(3):
            answers = Plausible()
            begin = time.perf_counter()
            done = generate(path, Path(folder) / str(turn), segmenter=answers)
            taken.append(time.perf_counter() - begin - answers.seconds)
        return answers.crops, answers.points, median(taken), done.counts


class Plausible:
    """A segmenter's stand-in: three nested blobs a point, as logits, and scores like SAM's."""

    name, fingerprint, device, precision, low_side = "plausible", "plausible", "cpu", "float32", LOW

    def __init__(self) -> None:
        self.crops, self.points, self.seconds = 0, 0, 0.0
        self.random = np.random.default_rng(0)
        self.noise = self.random.normal(0, 0.25, (LOW, LOW)).astype(np.float32)

    def embed(self, images: Any) -> list[Any]:
        """Take no time and no picture."""
        from curate.networks.segmenters.segmenter import Embedding, Frame

        self.crops += len(images)
        return [Embedding(Frame.longest_side(*i.shape[:2], SIDE), ()) for i in images]

    def segment(self, embedding: Any, prompts: Any, *, multimask: bool) -> Any:
        """Answer each point with a part, more, and the whole; half the scores pass 0.88."""
        from curate.networks.segmenters.segmenter import Answer

        begin = time.perf_counter()
        self.points += len(prompts)
        spots = embedding.frame.to_input(prompts.points[:, 0]) * (LOW / SIDE)
        logits = np.stack([field for spot in spots for field in self.blobs(*spot)])
        scores = np.clip(self.random.normal(0.88, 0.08, (len(spots), 3)), 0, 1.02)
        shape = (len(spots), 3, LOW, LOW)
        answer = Answer(logits.reshape(shape), scores.astype(np.float32), embedding.frame)
        self.seconds += time.perf_counter() - begin
        return answer

    def blobs(self, x: float, y: float) -> Iterator[np.ndarray]:
        """Yield round things with wavy outlines, of 3 to 90 low-res pixels in radius."""
        rows, columns = np.mgrid[:LOW, :LOW].astype(np.float32)
        angle, far = np.arctan2(rows - y, columns - x), np.hypot(rows - y, columns - x)
        radius = np.exp(self.random.uniform(np.log(3), np.log(30)))
        waves = sum(
            self.random.normal(0, 0.12 / k) * np.cos(k * angle + self.random.uniform(0, 6))
            for k in range(2, 12)
        )
        for larger in (1, 1.7, 3):
            depth = radius * larger * (1 + waves) - far
            yield np.clip(6 * depth, -16, 16).astype(np.float32) + self.noise


if __name__ == "__main__":
    for row in rows():
        print(row)
