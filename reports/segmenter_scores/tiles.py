"""Images cut into overlapping tiles at the scale of the small segmenter; masks stay exact."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pycocotools.mask as coco_mask
from nuclei import SIDE, dense, scale_of
from PIL import Image

Masks = dict[int, npt.NDArray[np.bool_]]


@dataclass(frozen=True)
class Tiled:
    """A dataset of tiles.

    Attributes:
        document: COCO; every annotation stands in one tile, with its own id.
        image_of: By annotation id, the image that its tile was cut from.
        folder: Of the tiles' pictures.
    """

    document: dict[str, Any]
    image_of: dict[int, int]
    folder: Path


def scales(published: dict[str, Any]) -> dict[str, float]:
    """Return by how much each image is enlarged, by file name, from its masks as published."""
    by_image: dict[int, list[dict[str, Any]]] = {}
    for annotation in published["annotations"]:
        by_image.setdefault(annotation["image_id"], []).append(annotation)
    return {i["file_name"]: scale_of(by_image.get(i["id"], [])) for i in published["images"]}


def corners(length: int, tile: int) -> npt.NDArray[np.int64]:
    """Return where tiles begin along a side: half a tile apart, the last at the end."""
    last = max(length - tile, 0)
    return np.unique(np.r_[np.arange(0, last + 1, max(1, tile // 2)), last])


def cut(
    document: dict[str, Any], pictures: Path, folder: Path, scale: dict[str, float], most: int = 0
) -> Tiled:
    """Cut a dataset into tiles; each mask goes to the tile in whose middle it lies best.

    Args:
        document: COCO.
        pictures: Folder of its pictures.
        folder: Where the tiles' pictures go.
        scale: By how much each image is enlarged in the segmenter's input, by file name.
        most: Masks of an image at most, drawn by chance; 0 for all.
    """
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    by_image: dict[int, list[dict[str, Any]]] = {}
    for annotation in document["annotations"]:
        by_image.setdefault(annotation["image_id"], []).append(annotation)
    made = Tiled(
        {"images": [], "annotations": [], "categories": [{"id": 1, "name": "nucleus"}]}, {}, folder
    )
    for image in document["images"]:
        found = by_image.get(image["id"], [])
        picked = random.permutation(len(found))[: most or len(found)]
        masks = {found[k]["id"]: dense(found[k], image["height"], image["width"]) for k in picked}
        masks = {number: mask for number, mask in masks.items() if mask.any()}
        if masks:
            tile = max(8, round(SIDE / scale[image["file_name"]]))
            _cut_image(made, image, pictures, masks, tile)
    return made


def _cut_image(made: Tiled, image: dict[str, Any], pictures: Path, masks: Masks, tile: int) -> None:
    """Cut one image, and keep the tiles that a mask goes to."""
    height, width = image["height"], image["width"]
    tops, lefts = corners(height, tile), corners(width, tile)
    placed: dict[tuple[int, int], list[int]] = {}
    for number, mask in masks.items():
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        top = _best(tops, tile, (rows[0] + rows[-1]) / 2)
        left = _best(lefts, tile, (columns[0] + columns[-1]) / 2)
        placed.setdefault((top, left), []).append(number)
    pixels = Image.open(pictures / image["file_name"]).convert("RGB")
    for (top, left), numbers in placed.items():
        bottom, right = min(top + tile, height), min(left + tile, width)
        key = len(made.document["images"]) + 1
        name = f"{Path(image['file_name']).stem[:40]}_{image['id']}_{top}_{left}.png"
        pixels.crop((left, top, right, bottom)).save(made.folder / name)
        size = {"height": int(bottom - top), "width": int(right - left)}
        made.document["images"].append({"id": key, "file_name": name, **size})
        for number in numbers:
            inside = np.asfortranarray(masks[number][top:bottom, left:right].astype(np.uint8))
            shape = coco_mask.encode(inside)
            made.image_of[number] = image["id"]
            made.document["annotations"].append(
                {
                    "id": number,
                    "image_id": key,
                    "category_id": 1,
                    "iscrowd": 0,
                    "segmentation": shape | {"counts": shape["counts"].decode("ascii")},
                }
            )


def _best(starts: npt.NDArray[np.int64], tile: int, middle: float) -> int:
    """Return the start of the tile whose own middle is nearest."""
    return int(starts[np.abs(starts + tile / 2 - middle).argmin()])
