"""Train a small SAM on one half of the nuclei, as first published.

    python reports/segmenter_scores/train.py --out FOLDER [--data FOLDER] [--half 0]

On pieces of images. Prints how it goes; goes on after the last finished stage if it is stopped.
"""

from __future__ import annotations

import argparse
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from nuclei import SIDE, Cutting, halves, plates
from transformers import SamModel

from curate.networks.segmenters.small_sam import build_small_sam
from curate.networks.segmenters.training_steps import (
    SegmenterSchedule,
    StepMetrics,
    train_on_scenes,
)

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[2] / "shared" / "data"
PATCH = 8
HOW = {"images": 8, "prompts": 12, "jitter": 0.15, "iou_weight": 5.0}
STAGES = (
    (512, SegmenterSchedule(1600, **HOW)),
    (None, SegmenterSchedule(1000, learning_rate=7e-4, **HOW)),
)
"""Longest side of the images (None: the study's scale, by their nuclei), and how long it trains."""


@dataclass
class Log:
    """Prints the averages of the last hundred updates, with the time that they took."""

    schedule: SegmenterSchedule
    start: float
    last: deque[StepMetrics]

    def __call__(self, progress: StepMetrics) -> None:
        """Take note of an update."""
        self.last.append(progress)
        if (progress.step + 1) % 50 == 0:
            loss, iou, error = np.mean([(p.loss, p.iou, p.iou_error) for p in self.last], axis=0)
            print(
                f"{progress.step + 1} of {self.schedule.steps}: "
                f"loss {loss:.3f}, IoU {iou:.3f}, error of predicted IoU {error:.3f}, "
                f"{time.perf_counter() - self.start:.0f} s, {time.process_time():.0f} s of CPU",
                flush=True,
            )


def train(data: Path, half: int, folder: Path) -> None:
    """Train through all stages; the model is saved after each."""
    start, done = time.perf_counter(), folder / "stages_done"
    finished = int(done.read_text()) if done.exists() else 0
    if finished:
        model = SamModel.from_pretrained(folder, use_safetensors=True, local_files_only=True)
    else:
        model = build_small_sam(side=SIDE, patch=PATCH, places=False, seed=half)
    for k, (longest, schedule) in list(enumerate(STAGES))[finished:]:
        seen = plates(data, halves(data)[half], longest)
        train_on_scenes(
            model,
            [(plate.image, plate.labels[None]) for plate in seen],  # cut before they are used
            schedule,
            seed=half + k,
            augment=Cutting(SIDE, schedule.prompts),
            progress=Log(schedule, start, deque(maxlen=50)),
        )
        model.save_pretrained(folder)
        done.write_text(str(k + 1))


def main() -> None:
    """Read the nuclei and train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the datasets")
    parser.add_argument("--out", type=Path, required=True, help="folder for the model")
    parser.add_argument("--half", type=int, default=0, choices=(0, 1), help="which half it sees")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    train(given.data, given.half, given.out)


if __name__ == "__main__":
    main()
