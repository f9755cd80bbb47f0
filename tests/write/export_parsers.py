"""Readers of exports that share nothing with curate: pycocotools, PIL, xml and written-down rules.

Each yields (split, image, category, pixels) for every mask, and (split, image, None, None) for an
image without masks, where the format names it. An image is its name without folder and ending.
"""

from __future__ import annotations

import base64
import csv
import io
import json
import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np
import pyarrow.parquet as pq
import yaml
from drawn_masks import decoded, rasterised
from PIL import Image
from rest_of_documents import figure_pixels, labelme_masks

Record = tuple[str, str, str | None, np.ndarray | None]

ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".bmp")


def stem(name: str) -> str:
    last = name.replace("\\", "/").rpartition("/")[2]
    root, ending = os.path.splitext(last)
    return root if ending.lower() in ENDINGS else last


def coco(out: Path) -> Iterator[Record]:
    """COCO instances: segmentations by pycocotools."""
    for path in sorted((out / "annotations").glob("*.json")) if out.is_dir() else [out]:
        split = path.stem.partition("_")[2] if out.is_dir() else ""
        content = json.loads(path.read_bytes())
        names = {one["id"]: one["name"] for one in content["categories"]}
        assert len(names) == len(content["categories"]) == len(set(names.values()))
        images = {one["id"]: one for one in content["images"]}
        assert len(images) == len(content["images"])
        owners = set()
        for one in content["annotations"]:
            image = images[one["image_id"]]
            owners.add(image["id"])
            size = image["height"], image["width"]
            made = one["segmentation"]
            if isinstance(made, list):
                mask = rasterised(made, size)
            else:
                assert tuple(made["size"]) == size
                mask = decoded(made["counts"], size)
            assert one["area"] == mask.sum()
            yield split, stem(_name(image)), names[one["category_id"]], mask
        for number in images.keys() - owners:
            yield split, stem(_name(images[number])), None, None


def _name(image: dict[str, Any]) -> str:
    return str(image.get("file_name") or image.get("coco_url", ""))


def yolo(out: Path) -> Iterator[Record]:
    """Ultralytics' rules: labels beside images, coordinates times the size, COCO's rasteriser."""
    stated = yaml.safe_load((out / "data.yaml").read_bytes())
    assert {"train", "val", "names", "nc"} <= stated.keys()
    assert sorted(stated["names"]) == list(range(stated["nc"]))
    folders = {name: out / stated[name] for name in ("train", "val", "test") if name in stated}
    for folder in dict.fromkeys(folders.values()):
        split = folder.name if folder.name != "images" else ""
        for picture in sorted(p for p in folder.rglob("*") if p.is_file()):
            with Image.open(picture) as opened:
                width, height = opened.size
            place = os.path.splitext(str(picture))[0]
            label = Path(f"{os.sep}labels{os.sep}".join(place.rsplit(f"{os.sep}images{os.sep}", 1)))
            lines = label.with_name(label.name + ".txt").read_text().splitlines()
            for line in lines:
                number, *values = line.split()
                ring = [float(v) * (height if k % 2 else width) for k, v in enumerate(values)]
                name = stated["names"][int(number)]
                yield split, stem(picture.name), name, rasterised([ring], (height, width))
            if not lines:
                yield split, stem(picture.name), None, None


def png_folder(out: Path) -> Iterator[Record]:
    for folder in sorted(out.rglob("masks")):
        image = folder.parent
        split = "" if image.parent == out else image.parent.name
        masks = sorted(folder.iterdir())
        for path in masks:
            yield split, image.name, None, np.asarray(Image.open(path)) > 0
        if not masks:
            yield split, image.name, None, None


def cvat(out: Path) -> Iterator[Record]:
    """CVAT's rules: run lengths by row inside the box, points of polygons."""
    root = ElementTree.parse(out / "annotations.xml" if out.is_dir() else out).getroot()
    labels = [one.findtext("name") for one in root.iter("label")]
    for image in root.iter("image"):
        split, name = image.get("subset") or "", stem(image.attrib["name"])
        height, width = int(image.attrib["height"]), int(image.attrib["width"])
        shapes = [one for one in image if one.tag in ("mask", "polygon")]
        for shape in shapes:
            assert shape.attrib["label"] in labels
            if shape.tag == "polygon":
                pairs = [pair.split(",") for pair in shape.attrib["points"].split(";")]
                ring = [float(value) for pair in pairs for value in pair]
                mask = rasterised([ring], (height, width))
            else:
                x, y, w, h = (int(shape.attrib[k]) for k in ("left", "top", "width", "height"))
                runs = [int(n) for n in shape.attrib["rle"].split(",")]
                flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
                mask = np.zeros((height, width), bool)
                mask[y : y + h, x : x + w] = flat.reshape(h, w)
            yield split, name, shape.attrib["label"], mask
        if not shapes:
            yield split, name, None, None


def sa1b(out: Path) -> Iterator[Record]:
    for path in sorted(out.rglob("*.json")):
        content = json.loads(path.read_bytes())
        split = "" if path.parent == out else path.parent.name
        assert path.stem == stem(content["image"]["file_name"])
        for one in content["annotations"]:
            mask = decoded(one["segmentation"]["counts"], one["segmentation"]["size"])
            yield split, path.stem, None, mask
        if not content["annotations"]:
            yield split, path.stem, None, None


def labelme(out: Path) -> Iterator[Record]:
    """labelme's rules: shapes of one label and group are one object, pictures beside documents."""
    labels = (out / "labels.txt").read_text(encoding="utf-8").splitlines()
    assert labels[0] == "__ignore__"
    for path in sorted(out.rglob("*.json")):
        content = json.loads(path.read_bytes())
        assert content["imageData"] is None
        assert path.stem == stem(content["imagePath"])
        size = content["imageHeight"], content["imageWidth"]
        split = "" if path.parent == out else path.relative_to(out).parts[0]
        masks = labelme_masks(content["shapes"], size)
        for label, pixels in masks.values():
            assert label in labels or label.splitlines() != [label]  # a list has one a line
            yield split, path.stem, label, np.frombuffer(pixels, bool).reshape(size)
        if not masks:
            yield split, path.stem, None, None


def supervisely(out: Path) -> Iterator[Record]:
    """The SDK's rules: a class allows its own type of figures; documents and pictures by name."""
    meta = json.loads((out / "meta.json").read_bytes())
    shapes = {one["title"]: one["shape"] for one in meta["classes"]}
    for path in sorted(out.glob("*/ann/*.json")):
        content = json.loads(path.read_bytes())
        size = content["size"]["height"], content["size"]["width"]
        split, name = path.parent.parent.name, stem(path.name.removesuffix(".json"))
        for one in content["objects"]:
            assert shapes[one["classTitle"]] in (one["geometryType"], "any")
            yield split, name, one["classTitle"], figure_pixels(one, size)
        if not content["objects"]:
            yield split, name, None, None


def unpacked_brush(data: list[int]) -> np.ndarray:
    """Label Studio's bit-packed values, by the documented layout, a bit at a time."""
    bits = "".join(f"{byte:08b}" for byte in data)
    at = 0

    def number(count: int) -> int:
        nonlocal at
        at += count
        return int(bits[at - count : at], 2)

    total, word = number(32), number(5) + 1
    sizes = [number(4) + 1 for _ in range(4)]
    values, done = np.zeros(total, np.uint8), 0
    while done < total:
        is_run, size = number(1), sizes[number(2)]
        count = number(size) + 1
        values[done : done + count] = (
            number(word) if is_run else [number(word) for _ in range(count)]
        )
        done += count
    assert done == total
    return values


def label_studio(out: Path) -> Iterator[Record]:
    """Label Studio's rules: alpha of brush masks by row, points of polygons in percent."""
    config = ElementTree.parse(out / "config.xml").getroot()
    tags = {one.attrib["name"]: one for one in config if one.tag.endswith("Labels")}
    images = {one.attrib["name"] for one in config if one.tag == "Image"}
    for task in json.loads((out / "tasks.json").read_bytes()):
        data = task["data"]
        split = data.get("subset", "")
        name = stem(unquote(data["image"].partition("?d=")[2]))
        (annotation,) = task["annotations"]
        ids = [one["id"] for one in annotation["result"]]
        assert len(ids) == len(set(ids))
        for one in annotation["result"]:
            height, width = one["original_height"], one["original_width"]
            (label,) = one["value"][one["type"]]
            tag = tags[one["from_name"]]
            assert tag.tag.lower() == one["type"]
            assert tag.attrib["toName"] == one["to_name"]
            assert one["to_name"] in images
            assert label in [choice.attrib["value"] for choice in tag]
            if one["type"] == "polygonlabels":
                points = one["value"]["points"]
                ring = [side for x, y in points for side in (x * width / 100, y * height / 100)]
                mask = rasterised([ring], (height, width))
            else:
                alpha = unpacked_brush(one["value"]["rle"]).reshape(height, width, 4)[..., 3]
                assert set(np.unique(alpha)) <= {0, 255}
                mask = alpha > 0
            yield split, name, label, mask
        if not annotation["result"]:
            yield split, name, None, None


def kaggle(out: Path) -> Iterator[Record]:
    """Pairs of start and length, down the columns, by the standard library's CSV."""
    paths = sorted(out.glob("*.csv")) if out.is_dir() else [out]
    for path in paths:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                size = int(row["Height"]), int(row["Width"])
                flat = np.zeros(size[0] * size[1], bool)
                numbers = [int(one) for one in row["EncodedPixels"].split()]
                for start, length in zip(numbers[::2], numbers[1::2], strict=True):
                    flat[start - 1 : start - 1 + length] = True
                split, name = path.stem if out.is_dir() else "", stem(row["ImageId"])
                mask = flat.reshape(size, order="F") if numbers else None
                yield split, name, (row["ClassId"] or "object") if numbers else None, mask


def huggingface(out: Path) -> Iterator[Record]:
    """Rows of Parquet, the split in the name of the file, run lengths by pycocotools."""
    paths = sorted((out / "data").glob("*.parquet"))
    for path in paths:
        split, _, number = path.stem.partition("-")
        assert number.endswith(f"-of-{sum(one.stem.startswith(split) for one in paths):05d}")
        table = pq.read_table(path)
        features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
        assert list(features) == table.column_names
        for row in table.to_pylist():
            size, objects = (row["height"], row["width"]), row["objects"]
            if row.get("image"):
                with Image.open(io.BytesIO(row["image"]["bytes"])) as opened:
                    assert opened.size == size[::-1]
            for k, one in enumerate(objects["segmentation"]):
                assert tuple(one["size"]) == size
                mask = decoded(one["counts"], size)
                assert objects["area"][k] == mask.sum()
                yield split, stem(row["file_name"]), objects["category"][k] or "object", mask
            if not objects["segmentation"]:
                yield split, stem(row["file_name"]), None, None


def label_png(out: Path) -> Iterator[Record]:
    """PNGs of ids: each value but 0 is a mask."""
    for path in sorted(out.rglob("masks/*.png")):
        split = "" if path.parents[1] == out else path.parents[1].name
        pixels = _png(path)
        values = [value for value in np.unique(pixels).tolist() if value]
        assert values == list(range(1, len(values) + 1))
        for value in values:
            yield split, path.stem, None, pixels == value
        if not values:
            yield split, path.stem, None, None


def _png(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def voc(out: Path) -> Iterator[Record]:
    """Pascal VOC: instances by the one PNG, classes by the other and the colours of the map."""
    names = {}
    for line in (out / "labelmap.txt").read_text("utf-8").splitlines()[1:]:
        name, color, parts, actions = line.split(":")
        assert parts == actions == ""
        names[tuple(map(int, color.split(",")))] = name
    lists = sorted((out / "ImageSets/Segmentation").glob("*.txt"))
    listed = {stem: path.stem for path in lists for stem in path.read_text("utf-8").splitlines()}
    found = sorted((out / "SegmentationObject").glob("*.png"))
    assert {path.stem for path in found} == set(listed)
    for path in found:
        pixels, colors = _png(path), []
        with Image.open(out / "SegmentationClass" / path.name) as image:
            assert image.mode == "P"
            drawn = np.asarray(image.convert("RGB"))
        split = "" if listed[path.stem] == "trainval" else listed[path.stem]
        for value in np.unique(pixels).tolist():
            if value not in (0, 255):  # background and void
                (color,) = np.unique(drawn[pixels == value], axis=0).tolist()
                colors.append(color)
                yield split, path.stem, names[tuple(color)], pixels == value
        if not colors:
            yield split, path.stem, None, None


def panoptic(out: Path) -> Iterator[Record]:
    """COCO panoptic, by the rules of its page: ids are R + 256 G + 65536 B."""
    for path in sorted((out / "annotations").glob("*.json")):
        split = path.stem.partition("_")[2]
        content = json.loads(path.read_bytes())
        names = {one["id"]: one["name"] for one in content["categories"]}
        images = {one["id"]: one for one in content["images"]}
        assert len(images) == len(content["annotations"])
        for one in content["annotations"]:
            name = stem(images[one["image_id"]]["file_name"])
            colors = _png(path.with_suffix("") / one["file_name"]).astype(np.int64)
            ids = colors @ np.array([1, 256, 65536])
            for segment in one["segments_info"]:
                mask = ids == segment["id"]
                assert segment["area"] == mask.sum()
                yield split, name, names[segment["category_id"]], mask
            if not one["segments_info"]:
                yield split, name, None, None


def fiftyone(out: Path) -> Iterator[Record]:
    """FiftyOne's rules: numpy.load of unpacked arrays, sides of boxes cut off, or rounded."""
    assert "version" not in json.loads((out / "metadata.json").read_bytes())
    for sample in json.loads((out / "samples.json").read_bytes())["samples"]:
        with Image.open(out / sample["filepath"]) as opened:
            width, height = opened.size
        facts = sample["metadata"]
        assert (facts["width"], facts["height"]) == (width, height)
        name, split = stem(sample["filepath"]), "".join(sample["tags"])
        for one in sample["ground_truth"]["detections"]:
            x, y, w, h = one["bounding_box"]
            left, top = int(width * x), int(height * y)
            right, bottom = int(width * (x + w)), int(height * (y + h))
            assert (left, top) == (round(width * x), round(height * y))
            assert (right, bottom) == (round(width * (x + w)), round(height * (y + h)))
            packed = base64.b64decode(one["mask"]["$binary"]["base64"])
            piece = np.load(io.BytesIO(zlib.decompress(packed)), allow_pickle=False)
            assert piece.shape == (bottom - top, right - left)
            mask = np.zeros((height, width), bool)
            mask[top:bottom, left:right] = piece
            yield split, name, one["label"], mask
        if not sample["ground_truth"]["detections"]:
            yield split, name, None, None


PARSERS: dict[str, Callable[[Path], Iterator[Record]]] = {
    "coco": coco,
    "huggingface": huggingface,
    "kaggle-csv": kaggle,
    "cvat": cvat,
    "label-png": label_png,
    "labelme": labelme,
    "lvis": coco,
    "panoptic": panoptic,
    "sa1b": sa1b,
    "supervisely": supervisely,
    "voc": voc,
    "yolo": yolo,
    "png-folder": png_folder,
    "label-studio": label_studio,
    "fiftyone": fiftyone,
}
"""The reader of each export by the name of its format."""
