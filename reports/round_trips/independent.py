"""What stands in a file that was written for a tool, read without any of the product's code."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

Pixels = npt.NDArray[np.bool_]
Seen = tuple[int, str, Pixels]
"""Mask id, name of the picture, pixels on the picture."""

_CORNER = re.compile(r"mask_\d+_at_(\d+)_(\d+)_\d+x\d+\.")


def equal_masks(path: Path, format: str, source: Path) -> int:
    """Return how many masks in a file are those of a COCO source, each pixel and no mask twice."""
    with redirect_stdout(StringIO()):
        truth = COCO(str(source))
    equal: set[int] = set()
    for number, picture, pixels in READERS[format](path):
        whole = truth.annToMask(truth.anns[number]).astype(bool)
        place = _CORNER.search(picture)
        x, y = (int(place[1]), int(place[2])) if place else (0, 0)
        height, width = pixels.shape
        piece = whole[y : y + height, x : x + width]
        if piece.shape == pixels.shape and (piece == pixels).all() and piece.sum() == whole.sum():
            equal.add(number)
    return len(equal)


def _cvat(path: Path) -> Iterator[Seen]:
    for image in ET.parse(path / "annotations.xml").getroot().iter("image"):
        for one in image.iter("mask"):
            left, top, width, height = (
                int(one.attrib[side]) for side in ("left", "top", "width", "height")
            )
            counts = [int(count) for count in one.attrib["rle"].split(",")]
            drawn = np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(height, width)
            pixels = np.zeros((int(image.attrib["height"]), int(image.attrib["width"])), bool)
            pixels[top : top + height, left : left + width] = drawn
            number = next(a.text for a in one if a.get("name") == "mask_id")
            yield int(number or 0), image.attrib["name"], pixels


def _coco(path: Path) -> Iterator[Seen]:
    file = path if path.is_file() else next(path.glob("*.json"))
    value: dict[str, Any] = json.loads(file.read_text())
    names = {one["id"]: one["file_name"] for one in value["images"]}
    for one in value["annotations"]:
        pixels = coco_mask.decode(one["segmentation"]).astype(bool)
        yield one["id"], names[one["image_id"]], pixels


def _parquet(path: Path) -> Iterator[Seen]:
    with pq.ParquetFile(path) as opened:
        for batch in opened.iter_batches(16, columns=["file_name", "objects"]):
            for row in batch.to_pylist():
                objects = row["objects"]
                for number, mask in zip(objects["id"], objects["segmentation"], strict=True):
                    yield number, row["file_name"], coco_mask.decode(mask).astype(bool)


READERS = {"cvat": _cvat, "fiftyone": _coco, "coco": _coco, "huggingface": _parquet}
