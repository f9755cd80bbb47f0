"""Small datasets whose masks are listed in tables, with what careless tools lose."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from drawn_masks import Rng, runs_of, scene
from small_json_datasets import SIZES, picture

# --- run lengths in CSV --------------------------------------------------------------------------


def pairs_of(flat: np.ndarray) -> str:
    """Return the runs of a flat mask as pairs of start, from 1, and length."""
    counts = runs_of(flat)
    ends = np.cumsum(counts).tolist()
    made = [f"{end - n + 1} {n}" for end, n in zip(ends[1::2], counts[1::2], strict=True)]
    return " ".join(made)


def kaggle(folder: Path, rng: Rng) -> Path:
    """Sizes and classes, rows of images in any order, quotes, Windows line ends, a blank line."""
    names = ("a b.jpg", '"é, ""x"".png"', "none.png")
    rows = []
    for k, (name, size, count) in enumerate(zip(names, SIZES, (4, 3, 0), strict=True)):
        for i, mask in enumerate(scene(rng, size, count) if count else []):
            runs = pairs_of(mask.ravel("F"))
            runs = f'"{runs}"' if i == 1 else runs
            kind = ("3", "44_7_100", "3")[i % 3]
            rows.append(f"{name},{runs},{size[0]},{size[1]},{kind},{k}{i}")
        if not count:
            rows.append(f"{name},,{size[0]},{size[1]},,")
    rows[3:5] = rows[4], rows[3]
    rows[4:4] = [""]
    head = '\ufeffImageId,"EncodedPixels",Height,Width,ClassId,note'
    path = folder / "train.csv"
    path.write_bytes("\r\n".join([head, *rows]).encode("utf-8"))
    return path


def kaggle_rows(folder: Path, rng: Rng) -> Path:
    """Starts along the rows and image-wide columns, as in the Sartorius competition."""
    lines = ["id,annotation,width,height,cell_type,plate_time,sample_date"]
    for name, size, count in zip(("0a1", "0b2"), SIZES, (4, 3), strict=False):
        for mask in scene(rng, size, count):
            head = f"{name},{pairs_of(mask.ravel())},{size[1]},{size[0]}"
            lines.append(f"{head},astro,11h30m00s,2019-06-16")
    path = folder / "train.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def kaggle_pictures(folder: Path, rng: Rng) -> Path:
    """Names and runs alone: sizes are those of the pictures beside the file."""
    lines = ["ImageId,EncodedPixels"]
    (folder / "train_v2").mkdir()
    for k, (size, count) in enumerate(zip(SIZES, (4, 3, 0), strict=True)):
        (folder / "train_v2" / f"{k}.jpg").write_bytes(picture(size))
        masks = scene(rng, size, count) if count else []
        lines += [f"{k}.jpg,{pairs_of(mask.ravel('F'))}" for mask in masks] or [f"{k}.jpg,"]
    path = folder / "train_ship_segmentations_v2.csv"
    path.write_text("\n".join(lines) + "\n")
    return path
