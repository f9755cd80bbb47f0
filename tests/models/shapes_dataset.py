"""A COCO dataset of plain shapes on noisy ground, with its pictures, for verifiers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

SIZE = (72, 96)


def write_shapes(folder: Path, count: int = 40, seed: int = 0, categories: int = 2) -> Path:
    """Write ``count`` pictures of three shapes each; return the annotation file.

    Shapes of the first category are discs, those of others boxes.
    """
    random = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    height, width = SIZE
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number in range(count):
        ground = random.integers(20, 100, 3)
        noisy = np.clip(ground + random.normal(0, 6, (*SIZE, 3)), 0, 255)
        picture = Image.fromarray(noisy.astype(np.uint8))
        images.append(
            {"id": number, "file_name": f"{number}.png", "height": height} | {"width": width}
        )
        for k in range(3):
            w, h = (int(v) for v in random.integers(14, 26, 2))
            x = 4 + 31 * k + int(random.integers(0, 4))
            y = int(random.integers(4, height - h - 4))
            kind = int(random.integers(categories))
            ink = tuple(int(v) for v in random.integers(150, 250, 3))
            drawn = Image.new("L", (width, height))
            for pen, colour in ((ImageDraw.Draw(picture), ink), (ImageDraw.Draw(drawn), 1)):
                (pen.rectangle if kind else pen.ellipse)([x, y, x + w, y + h], fill=colour)
            counts = [0, *_run_lengths(np.asarray(drawn))]
            annotations.append(
                {"id": len(annotations), "image_id": number, "category_id": kind + 1}
                | {"segmentation": {"size": [height, width], "counts": counts[1:]}}
                | {"bbox": [x, y, w + 1, h + 1], "area": int(np.asarray(drawn).sum()), "iscrowd": 0}
            )
        picture.save(folder / "images" / f"{number}.png")
    names = [{"id": k + 1, "name": name} for k, name in enumerate(("disc", "box")[:categories])]
    source = folder / "instances.json"
    source.write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": names})
    )
    return source


def _run_lengths(mask: np.ndarray[Any, Any]) -> list[int]:
    """Return COCO's uncompressed counts, background first."""
    flat = np.concatenate([[0], mask.ravel(order="F"), [2]])
    edges = np.flatnonzero(np.diff(flat))
    return [int(length) for length in np.diff(edges, prepend=0)]
