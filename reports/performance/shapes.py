"""SA-1B-shaped masks drawn from a seed: 1500 x 2250 px, about 100 an image, smooth wavy outlines.

SA-1B's masks are cut from logits that were upsampled four times and more, and its islands and holes
under 100 px are gone; so outlines here are smooth curves, some masks have a real hole or a second
piece, sizes are spread log-uniformly, and objects overlap and nest as parts do in wholes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pycocotools.mask as coco_mask

HEIGHT, WIDTH = 1500, 2250


def _disc(rng: np.random.Generator, radius: float, cx: float, cy: float) -> tuple[Any, Any]:
    """Return the box slices and pixels of one wavy disc, cut at the image border."""
    reach = 1.7 * radius
    x0, x1 = int(max(0, cx - reach)), int(min(WIDTH, cx + reach)) + 1
    y0, y1 = int(max(0, cy - reach)), int(min(HEIGHT, cy + reach)) + 1
    x0, y0 = min(x0, WIDTH), min(y0, HEIGHT)
    x1, y1 = max(min(x1, WIDTH), x0), max(min(y1, HEIGHT), y0)
    yy, xx = np.mgrid[y0:y1, x0:x1]
    angle, distance = np.arctan2(yy - cy, xx - cx), np.hypot(yy - cy, xx - cx)
    outline = np.full(angle.shape, radius)
    for k in range(2, 9):
        outline += radius * rng.normal(0, 0.3 / k) * np.cos(k * angle + rng.uniform(0, 2 * np.pi))
    return (slice(y0, y1), slice(x0, x1)), distance < outline


def draw_mask(rng: np.random.Generator) -> np.ndarray:
    """Draw one mask as a Fortran-ordered uint8 image of 0 and 1."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8, order="F")
    while not mask.any():
        radius = float(np.exp(rng.uniform(np.log(10), np.log(420))))
        cx, cy = rng.uniform(0, WIDTH), rng.uniform(0, HEIGHT)
        box, pixels = _disc(rng, radius, cx, cy)
        mask[box][pixels] = 1
        if rng.random() < 0.1 and radius > 30:
            box, pixels = _disc(rng, radius * 0.3, cx, cy)
            mask[box][pixels] = 0
        if rng.random() < 0.1 and radius > 30:
            box, pixels = _disc(rng, radius * 0.3, cx + 1.5 * radius, cy)
            mask[box][pixels] = 1
    return mask


def draw_image(seed: int, masks: int = 100) -> dict[str, Any]:
    """Return one image in SA-1B's JSON layout; equal seeds give equal images."""
    rng = np.random.default_rng(seed)
    annotations = []
    for k in range(masks):
        rle = coco_mask.encode(draw_mask(rng))
        x, y, w, h = (float(v) for v in coco_mask.toBbox(rle))
        annotations.append(
            {
                "bbox": [x, y, w - 1, h - 1],
                "area": int(coco_mask.area(rle)),
                "segmentation": {"size": [HEIGHT, WIDTH], "counts": rle["counts"].decode()},
                "predicted_iou": float(rng.uniform(0.88, 1.02)),
                "point_coords": [[x + w / 2, y + h / 2]],
                "crop_box": [0.0, 0.0, float(WIDTH), float(HEIGHT)],
                "id": seed * 1000 + k,
                "stability_score": float(rng.uniform(0.95, 1.0)),
            }
        )
    image = {"image_id": seed, "width": WIDTH, "height": HEIGHT, "file_name": f"sa_{seed}.jpg"}
    return {"image": image, "annotations": annotations}


def write_folder(folder: Path, images: int, drawn: int = 40) -> None:
    """Write ``images`` SA-1B files; after the first ``drawn`` the drawings repeat under new ids."""
    folder.mkdir(parents=True, exist_ok=True)
    pool = [draw_image(seed) for seed in range(min(images, drawn))]
    for number in range(images):
        data = pool[number % len(pool)]
        data["image"] |= {"image_id": number, "file_name": f"sa_{number}.jpg"}
        for k, annotation in enumerate(data["annotations"]):
            annotation["id"] = number * 1000 + k
        (folder / f"sa_{number}.json").write_bytes(orjson.dumps(data))


def write_coco(path: Path, masks: int, per_image: int = 20, seed: int = 0) -> None:
    """Write one COCO file: annotations first and scattered over the images, half of them polygons.

    The masks of a thousand drawings repeat; ids, images and order do not.
    """
    rng = np.random.default_rng(seed)
    height, width = 480, 640
    drawn = [_small_annotation(rng, height, width) for _ in range(1000)]
    images = masks // per_image
    with path.open("wb") as file:
        file.write(b'{"annotations": [')
        for first in range(0, masks, 100_000):
            count = min(100_000, masks - first)
            owners, which = rng.integers(0, images, count), rng.integers(0, len(drawn), count)
            for k in range(count):
                head = b"," if first + k else b""
                ids = b'{"id": %d, "image_id": %d, ' % (first + k + 1, owners[k] + 1)
                file.write(head + ids + drawn[which[k]])
        file.write(b'], "categories": [{"id": 1, "name": "thing"}], "images": [')
        for k in range(images):
            record = {"id": k + 1, "file_name": f"{k:09d}.jpg", "height": height, "width": width}
            file.write((b"," if k else b"") + orjson.dumps(record))
        file.write(b"]}")


def _small_annotation(rng: np.random.Generator, height: int, width: int) -> bytes:
    """Return the tail of an annotation: everything but its ids."""
    radius = float(np.exp(rng.uniform(np.log(4), np.log(120))))
    cx, cy = rng.uniform(0, width), rng.uniform(0, height)
    angle = np.linspace(0, 2 * np.pi, int(8 + radius / 2), endpoint=False)
    reach = radius * (1 + 0.2 * np.cos(3 * angle + rng.uniform(0, 6)))
    x, y = (
        np.clip(cx + reach * np.cos(angle), 0, width),
        np.clip(cy + reach * np.sin(angle), 0, height),
    )
    ring = np.round(np.column_stack([x, y]).ravel(), 2).tolist()
    segmentation: Any = [ring]
    if rng.random() < 0.5:
        coded = coco_mask.frPyObjects([ring], height, width)[0]
        segmentation = {"size": [height, width], "counts": coded["counts"].decode()}
    box = [float(x.min()), float(y.min()), float(np.ptp(x)), float(np.ptp(y))]
    record = {"category_id": 1, "segmentation": segmentation, "bbox": box, "iscrowd": 0}
    area = float(0.5 * abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))))
    return orjson.dumps(record | {"area": area})[1:]
