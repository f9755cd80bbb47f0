"""The same masks in each format that both read, at the size of real datasets.

Where curate has a writer for any dataset it writes; the rest is written here after the formats'
documents. Each is made twice: whole, and of a few images.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import curate
from curate import rle
from curate.formats.reading import read

Masks = dict[str, tuple[tuple[int, int], list[Any]]]
"""By name of the picture: height and width, and its masks."""


def repeat_coco(source: Path, out: Path, times: int, images: int | None = None) -> None:
    """Write a COCO file with its images and masks so many times, under new ids and names."""
    whole = json.loads(source.read_text())
    keep = {one["id"] for one in whole["images"][:images]}
    made: dict[str, list[Any]] = {"images": [], "annotations": []}
    for k in range(times):
        for one in whole["images"]:
            if one["id"] in keep:
                name = f"{k}_{one['file_name']}" if times > 1 else one["file_name"]
                new = {"id": one["id"] + k * 10_000_000, "file_name": name}
                made["images"].append(one | new)
        for one in whole["annotations"]:
            if one["image_id"] in keep:
                new = {"id": len(made["annotations"]) + 1}
                new["image_id"] = one["image_id"] + k * 10_000_000
                made["annotations"].append(one | new)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(whole | made))


def masks_of(source: Path) -> Masks:
    """Return all masks of a dataset, dense, by image."""
    table = read(source)
    sizes = table.images[["file_name", "height", "width"]].itertuples(index=False)
    found: Masks = {Path(name).name: ((int(h), int(w)), []) for name, h, w in sizes}
    for name, rows in table.masks.groupby("file_name", sort=False):
        (size, listed) = found[Path(str(name)).name]
        runs, _ = rle.decode_counts(
            rows["segmentation"].tolist(), [size[0]] * len(rows), [size[1]] * len(rows)
        )
        listed += [rle.to_dense(runs, k) for k in range(len(rows))]
    return found


def ids_of(size: tuple[int, int], masks: list[Any], most: int) -> Any:
    """Return an image of ids from 1, later masks over earlier ones."""
    ids = np.zeros(size, np.int64)
    for number, mask in enumerate(masks[:most], 1):
        ids[mask] = number
    return ids


def save(path: Path, pixels: Any) -> None:
    """Write pixels as a PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def link(picture: Path, path: Path) -> None:
    """Put a picture at a path, as RGB in the format of its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if picture.suffix == path.suffix:
        shutil.copyfile(picture, path)
    else:
        Image.open(picture).convert("RGB").save(path)


def kitti(masks: Masks, pictures: Path, out: Path) -> Path:
    """Write every mask as a car of KITTI."""
    for number, (name, (size, found)) in enumerate(masks.items()):
        ids = ids_of(size, found, 255)
        coded = np.where(ids > 0, 26 * 256 + ids, 7 * 256).astype(np.uint16)
        save(out / f"training/instance/{number:06}_10.png", coded)
        kinds = np.where(ids > 0, 26, 7).astype(np.uint8)
        save(out / f"training/semantic/{number:06}_10.png", kinds)
        link(pictures / name, out / f"training/image_2/{number:06}_10.png")
    return out


def mots(masks: Masks, pictures: Path, out: Path) -> Path:
    """Write every mask as a car of MOTS."""
    for number, (name, (size, found)) in enumerate(masks.items()):
        ids = ids_of(size, found, 999)
        coded = np.where(ids > 0, 1_000 + ids - 1, 0).astype(np.uint16)
        save(out / f"train/instances/{number:06}.png", coded)
        link(pictures / name, out / f"train/images/{number:06}.png")
    (out / "train/instances/labels.txt").write_text("car\n")
    return out / "train"


def ade20k(masks: Masks, pictures: Path, out: Path) -> Path:
    """Write every mask as a car of ADE20K."""
    for number, (name, (size, found)) in enumerate(masks.items()):
        stem = f"training/cells/ADE_train_{number:08}"
        ids = ids_of(size, found, 255)
        pixels = np.stack([(ids > 0) * 10, (ids > 0) * 145, ids], axis=-1).astype(np.uint8)
        save(out / f"{stem}_seg.png", pixels)
        known = [k for k in np.unique(ids).tolist() if k]
        lines = [f'{k:03} # 0 # 0 # car # car # ""\n' for k in range(1, len(known) + 1)]
        (out / f"{stem}_atr.txt").write_text("".join(lines) or '001 # 0 # 0 # car # car # ""\n')
        link(pictures / name, out / f"{stem}.jpg")
    return out


def written(name: str) -> Callable[[Path, Path, Path], Path]:
    """Return what writes an audit's dataset in one of curate's formats."""
    endings = {"coco": ".json", "cvat": ".xml"}

    def write(audit: Path, pictures: Path, out: Path) -> Path:
        target = out / f"data{endings.get(name, '')}"
        out.mkdir(parents=True)
        curate.write(audit, target, to=name, lossy=True, images="none", yes=True)
        beside = {"voc": target / "JPEGImages", "cvat": out / "images"}.get(name)
        for picture in pictures.iterdir() if beside else ():
            beside.mkdir(exist_ok=True)
            (beside / picture.name).symlink_to(picture)
        return target

    return write


BY_WRITER = {name: written(name) for name in ("cvat", "voc", "panoptic", "sa1b")}
BY_HAND = {"kitti": kitti, "mots": mots, "ade20k": ade20k}
