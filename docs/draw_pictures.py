"""Draw the example pictures of the signals, of the demo's own planted defects.

    python docs/draw_pictures.py

For each signal whose defect can be seen, of the masks with that defect the one of lowest value,
outlined on its picture, into ``docs/pictures/``. The demo draws its scenes itself, so nobody else's
picture is published.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

import curate
from curate.demo_dataset import make_demo
from curate.demo_dataset.planted_truth import DemoTruth
from curate.rle import decode_counts, to_dense
from curate.store.audit import StoredAudit

OUT = Path(__file__).parent / "pictures"
SIDE = 240
LEAST_PX = 400
PLANTED = {
    "fragment_score": "islands",
    "hole_score": "holes",
    "outline_score": "ragged",
    "compact_score": "ragged",
    "straight_score": "cut_at_crop",
    "solidity_score": "islands",
    "crop_score": "cut_at_crop",
    "coverage_score": "whole_image",
    "uniqueness_score": "near_duplicate",
    "split_score": "merged",
    "shape_score": "odd_shape",
    "detector_score": "wrong_place",
    "agreement_score": "shifted",
    "edge_score": "wrong_place",
    "edge_offset_score": "dilated",
}
"""By signal, the defect of the demo that it is there for."""

YELLOW = np.array([255, 214, 0])


def outlined(
    picture: Image.Image, mask: npt.NDArray[np.bool_], box: tuple[int, int, int, int]
) -> Image.Image:
    """Return what surrounds a mask, enlarged, with its outline.

    Args:
        picture: The image that the mask lies on.
        mask: Shape (height, width).
        box: Left, top, right and bottom of the part to show, pixels.
    """
    size = (SIDE, round(SIDE * (box[3] - box[1]) / (box[2] - box[0])))
    pixels = np.asarray(picture.convert("RGB").crop(box).resize(size, Image.Resampling.LANCZOS))
    shape = Image.fromarray(mask).crop(box).resize(size, Image.Resampling.NEAREST)
    inside = np.asarray(shape, bool)
    framed = np.pad(inside, 2)
    rows, columns = inside.shape
    kept = np.ones_like(inside)
    for down in range(5):
        for right in range(5):
            kept &= framed[down : down + rows, right : right + columns]
    shown = pixels.astype(float)
    shown[inside] = 0.8 * shown[inside] + 0.2 * YELLOW
    shown[inside & ~kept] = YELLOW
    return Image.fromarray(shown.astype(np.uint8))


def window(row: pd.Series) -> tuple[int, int, int, int]:
    """Return a square around a mask's box, within its image: left, top, right, bottom."""
    side = int(min(max(1.6 * max(row["bbox_w"], row["bbox_h"]), 96), row["width"], row["height"]))
    left = int(row["bbox_x"] + row["bbox_w"] / 2 - side / 2)
    top = int(row["bbox_y"] + row["bbox_h"] / 2 - side / 2)
    left = min(max(left, 0), int(row["width"]) - side)
    top = min(max(top, 0), int(row["height"]) - side)
    return left, top, left + side, top + side


def audit_demo(folder: Path) -> tuple[DemoTruth, StoredAudit]:
    """Make the demo in a folder, and audit it with all that it brings."""
    data = make_demo(folder / "demo")
    audit = curate.audit(
        data.source,
        folder / "audit",
        images=data.pictures,
        detections=data.detections,
        compare={"second": data.second_annotator},
        soft_masks=data.soft_masks,
        deep=True,
    )
    return data, audit


def main() -> None:
    """Draw an example a signal."""
    OUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        data, audit = audit_demo(Path(work))
        masks = audit.masks()
        kind = data.masks["kind"].reindex(masks["source_key"].astype(str)).to_numpy()
        large = (masks["status"] == "ok") & (masks["area_px"] >= LEAST_PX)
        for name, planted in PLANTED.items():
            found = masks[large & (kind == planted)].sort_values(name)
            files = [(data.pictures / str(f)) for f in found["file_name"]]
            there = [k for k, file in enumerate(files) if file.is_file()]
            row, file = found.iloc[there[0]], files[there[0]]
            size = (np.array([row["height"]]), np.array([row["width"]]))
            runs, _ = decode_counts(found["segmentation"].iloc[[there[0]]], *size)
            with Image.open(file) as picture:
                drawn = outlined(picture, to_dense(runs, 0), window(row))
            drawn.save(OUT / f"{name}.jpg", quality=82)
            print(f"{name}: {row[name]:.3f}")


if __name__ == "__main__":
    main()
