"""What other tools do to a file: read by code of its own, changed, and written back their way."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from boxes import rle
from pycocotools import mask as coco_mask


@dataclass
class Seen:
    """A mask as a tool shows it, and what it says of the draw that it was shown for."""

    mask_id: Any
    label: str | None
    pixels: np.ndarray
    draw: dict[str, Any] = field(default_factory=dict)


TRAVELS = ("draw_id", "slot", "dataset_version")
"""Attributes that say where a mask was sent out from; tools leave them alone."""

Change = Callable[[str, list[Seen]], list[Seen]]
"""(name of the picture, its masks) to its masks as people left them."""


def nothing(name: str, seen: list[Seen]) -> list[Seen]:
    del name
    return seen


def draw_in(values: dict[str, Any]) -> dict[str, Any]:
    """Return what some attributes say of a draw, and of the dataset."""
    return {key: values[key] for key in TRAVELS if values.get(key) is not None}


def by_row(element: ET.Element, height: int, width: int) -> np.ndarray:
    """Draw a mask of CVAT."""
    x, y, w, h = (int(element.get(side, "")) for side in ("left", "top", "width", "height"))
    counts = [int(count) for count in element.get("rle", "").split(",")]
    values = np.concatenate([np.full(n, k % 2, bool) for k, n in enumerate(counts)])
    pixels = np.zeros((height, width), bool)
    pixels[y : y + h, x : x + w] = values.reshape(h, w)
    return pixels


def cvat_images(folder: Path) -> list[tuple[str, int, int, list[Seen]]]:
    """Read a folder written for CVAT."""
    found = []
    for image in ET.parse(folder / "annotations.xml").getroot().findall("image"):
        height, width = int(image.get("height", "")), int(image.get("width", ""))
        seen = []
        for one in image.findall("mask"):
            values: dict[str, Any] = {a.attrib["name"]: a.text for a in one.findall("attribute")}
            pixels = by_row(one, height, width)
            seen.append(Seen(values["mask_id"], one.get("label"), pixels, draw_in(values)))
        found.append((image.get("name", ""), height, width, seen))
    return found


def cvat_xml(folder: Path, change: Change) -> Path:
    """Return a zip as CVAT exports it: runs over the tight box, every image of the job."""
    lines = ['<?xml version="1.0" encoding="utf-8"?>', "<annotations><version>1.1</version>"]
    for number, (name, height, width, seen) in enumerate(cvat_images(folder)):
        lines.append(
            f'<image id="{number}" name={quoteattr(name)} width="{width}" height="{height}">'
        )
        for one in change(name, seen):
            ys, xs = np.nonzero(one.pixels)
            cut = one.pixels[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1].ravel()
            edges = np.flatnonzero(np.diff(cut.astype(int), prepend=0, append=-1))
            counts = np.diff([0, *edges.tolist()]).tolist()
            box = f'left="{xs.min()}" top="{ys.min()}" width="{np.ptp(xs) + 1}"'
            lines.append(
                f'<mask label={quoteattr(one.label or "")} source="manual" occluded="0" '
                f'rle="{", ".join(map(str, counts))}" {box} height="{np.ptp(ys) + 1}" z_order="0">'
            )
            if one.mask_id is not None:
                lines.append(f'<attribute name="mask_id">{one.mask_id}</attribute>')
            lines += [f'<attribute name="{k}">{v}</attribute>' for k, v in one.draw.items()]
            lines.append("</mask>")
        lines.append("</image>")
    target = folder.with_name(f"{folder.name}-export.zip")
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("annotations.xml", "\n".join([*lines, "</annotations>"]))
    return target


def numbered(images: list[tuple[str, int, int, list[Seen]]], change: Change) -> dict[str, Any]:
    """Return COCO with ids from 1, and iscrowd 1 for every mask; ``mask_id`` beside them."""
    made: dict[str, Any] = {"images": [], "annotations": [], "categories": []}
    labels: dict[str | None, int] = {}
    for number, (name, height, width, seen) in enumerate(images, 1):
        image = {"id": number, "file_name": name, "height": height, "width": width}
        made["images"].append(image)
        for one in change(name, seen):
            labels.setdefault(one.label, len(labels) + 1)
            made["annotations"].append(
                {
                    "id": len(made["annotations"]) + 1,
                    "image_id": number,
                    "category_id": labels[one.label],
                    "segmentation": rle(one.pixels),
                    "iscrowd": 1,
                    "mask_id": one.mask_id,
                    **one.draw,
                }
            )
    made["categories"] = [{"id": number, "name": name} for name, number in labels.items()]
    return made


def cvat_coco(folder: Path, change: Change) -> Path:
    """Return a zip as CVAT exports COCO: ids anew, attributes, counts as numbers, iscrowd 1."""
    made = numbered(cvat_images(folder), change)
    for one in made["annotations"]:
        one["attributes"] = {"occluded": False}
        mask_id = one.pop("mask_id")
        if mask_id is not None:
            one["attributes"]["mask_id"] = mask_id
        one["attributes"] |= draw_in(one)
        pixels = coco_mask.decode(one["segmentation"]).ravel(order="F")
        edges = np.flatnonzero(np.diff(pixels.astype(int), prepend=0, append=-1))
        one["segmentation"]["counts"] = np.diff([0, *edges.tolist()]).tolist()
    target = folder.with_name(f"{folder.name}-coco.zip")
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("annotations/instances_default.json", json.dumps(made))
    return target


def coco_images(path: Path) -> list[tuple[str, int, int, list[Seen]]]:
    """Read COCO with the ``mask_id`` beside or among the attributes."""
    value = json.loads(path.read_text())
    names = {one["id"]: one["name"] for one in value["categories"]}
    found = []
    for image in value["images"]:
        seen = [
            Seen(
                one.get("mask_id", one.get("attributes", {}).get("mask_id")),
                names[one["category_id"]],
                coco_mask.decode(one["segmentation"]).astype(bool),
                draw_in(one | one.get("attributes", {})),
            )
            for one in value["annotations"]
            if one["image_id"] == image["id"]
        ]
        found.append((image["file_name"], image["height"], image["width"], seen))
    return found


def fiftyone(folder: Path, change: Change) -> Path:
    """Return a folder as FiftyOne exports COCO: ids anew, attributes as keys."""
    target = folder.with_name(f"{folder.name}-export")
    (target / "data").mkdir(parents=True)
    made = numbered(coco_images(folder / "labels.json"), change)
    (target / "labels.json").write_text(json.dumps(made))
    return target


def coco(path: Path, change: Change) -> Path:
    """Return a COCO file as a careful tool writes it: ids of new masks follow the largest."""
    source = path / "instances.json" if path.is_dir() else path
    made = numbered(coco_images(source), change)
    for one in made["annotations"]:
        mask_id = one.pop("mask_id")
        if mask_id is not None:
            one["attributes"] = {"mask_id": mask_id} | draw_in(one)
        one["iscrowd"] = 0
    target = path.with_name(f"{path.stem}-back.json")
    target.write_text(json.dumps(made))
    return target


def huggingface(path: Path, change: Change) -> Path:
    """Return the Parquet with its objects changed, as a list of objects."""
    rows = pq.read_table(path).to_pylist()
    for row in rows:
        objects = row["objects"]
        masks = [coco_mask.decode(one).astype(bool) for one in objects["segmentation"]]
        trio = zip(objects["id"], objects["category"], masks, strict=True)
        draws = [
            draw_in({key: objects[key][k] for key in TRAVELS if key in objects})
            for k in range(len(masks))
        ]
        seen = [Seen(*one, draw) for one, draw in zip(trio, draws, strict=True)]
        seen = change(row["file_name"], seen)
        row["objects"] = [
            {"id": one.mask_id, "category": one.label, "segmentation": rle(one.pixels), **one.draw}
            for one in seen
        ]
    target = path.with_name(f"{path.stem}-back.parquet")
    pq.write_table(pa.Table.from_pylist(rows), target)
    return target


TOOLS: dict[str, tuple[str, Callable[[Path, Change], Path]]] = {
    "CVAT for images": ("cvat", cvat_xml),
    "CVAT's COCO": ("cvat", cvat_coco),
    "FiftyOne": ("fiftyone", fiftyone),
    "COCO": ("coco", coco),
    "Hugging Face": ("huggingface", huggingface),
}
"""By what people use: the format that is written for it, and what comes back."""
