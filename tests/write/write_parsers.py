"""Read datasets that curate wrote with other projects' own code; run by the Python of their own.

    python write_parsers.py datumaro-coco FILE TRUTH     in .venv-tools
    python write_parsers.py datumaro-cvat FOLDER TRUTH   in .venv-tools
    python write_parsers.py datumaro-json FOLDER TRUTH   in .venv-tools
    python write_parsers.py label-studio FILE TRUTH      in .venv-label-studio; polygons only
    python write_parsers.py label-studio-export FOLDER TRUTH   in .venv-label-studio

TRUTH is an .npz with the pixels of each mask by its id, as it should be seen. Prints what was
looked at as JSON; fails where a pixel differs.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

Truth = dict[str, Any]
KIND = "polygonlabels"


def drawn(rings: list[Any], size: tuple[int, int]) -> Any:
    """Return the pixels of polygons, by pycocotools."""
    from pycocotools import mask as coco_mask

    merged = coco_mask.merge(coco_mask.frPyObjects([list(map(float, r)) for r in rings], *size))
    return np.asarray(coco_mask.decode(merged)).astype(bool)


def compare(found: dict[str, Any], truth: Truth) -> None:
    """Fail where a mask is not the true one, or one is missing or too many."""
    assert found.keys() == truth.keys(), (sorted(found), sorted(truth))
    for name, mask in found.items():
        np.testing.assert_array_equal(mask, truth[name], err_msg=name)


def gathered(dataset: Any, truth: Truth, name_of: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return Datumaro's masks and their labels; polygons of one name are parts of one mask."""
    from datumaro.components.annotation import AnnotationType

    labels = dataset.categories()[AnnotationType.label]
    found: dict[str, Any] = {}
    names: dict[str, Any] = {}
    for item in dataset:
        for one in item.annotations:
            if one.type not in (AnnotationType.mask, AnnotationType.polygon):
                continue
            name = str(name_of(one))
            if one.type == AnnotationType.mask:
                mask = np.asarray(one.image).astype(bool)
            else:
                mask = drawn([one.points], truth[name].shape)
            found[name] = found[name] | mask if name in found else mask
            names[name] = labels[one.label].name
    return found, names


def with_datumaro_coco(path: Path, truth: Truth) -> dict[str, Any]:
    from datumaro.components.dataset import Dataset

    loaded = Dataset.import_from(str(path), "coco_instances")
    found, labels = gathered(loaded, truth, lambda one: one.group)
    compare(found, truth)
    return {"images": len(loaded), "labels": labels}


def with_datumaro_cvat(folder: Path, truth: Truth) -> dict[str, Any]:
    from datumaro.components.annotation import AnnotationType
    from datumaro.components.dataset import Dataset

    loaded = Dataset.import_from(str(folder), "cvat")
    found, labels = gathered(loaded, truth, lambda one: one.attributes["mask_id"])
    compare(found, truth)
    every = [one for item in loaded for one in item.annotations]
    boxes = [one.get_bbox() for one in every if one.type == AnnotationType.bbox]
    tags = sum(one.type == AnnotationType.label for one in every)
    return {"images": len(loaded), "labels": labels, "boxes": boxes, "tags": tags}


def with_datumaro_json(folder: Path, truth: Truth) -> dict[str, Any]:
    """Read Datumaro's own JSON; its annotations have no ids, so masks are compared as a heap."""
    from datumaro.components.annotation import AnnotationType
    from datumaro.components.dataset import Dataset

    loaded = Dataset.import_from(str(folder), "datumaro")
    names = loaded.categories()[AnnotationType.label]
    masks: dict[Any, Any] = {}
    for item in loaded:
        for k, one in enumerate(item.annotations):
            key = (item.id, one.group or -1 - k, getattr(one, "label", None))
            if one.type == AnnotationType.mask:
                mask = np.asarray(one.image).astype(bool)
            elif one.type == AnnotationType.polygon:
                mask = drawn([one.points], tuple(item.media.size))
            else:
                continue
            masks[key] = masks[key] | mask if key in masks else mask
    heaps = [
        sorted((m.shape, m.tobytes()) for m in some) for some in (masks.values(), truth.values())
    ]
    assert heaps[0] == heaps[1]
    return {"images": len(loaded), "labels": sorted(names[key[2]].name for key in masks)}


def with_label_studio_export(folder: Path, truth: Truth) -> dict[str, Any]:
    """Decode brush masks of tasks with Label Studio's own converter; polygons by pycocotools."""
    from label_studio_sdk.converter.brush import decode_rle

    tasks = json.loads((folder / "tasks.json").read_text())
    found: dict[str, Any] = {}
    labels = {}
    for task in tasks:
        for one in task["annotations"][0]["result"]:
            height, width = one["original_height"], one["original_width"]
            name = one["id"].removeprefix("mask_")
            labels[name] = one["value"][one["type"]][0]
            if one["type"] == KIND:
                points = np.array(one["value"]["points"]) / 100 * [width, height]
                found[name] = drawn([points.ravel().tolist()], (height, width))
            else:
                values = np.reshape(decode_rle(one["value"]["rle"]), (height, width, 4))
                found[name] = values[..., 3] > 0
    compare(found, truth)
    return {"images": len(tasks), "labels": labels}


def with_label_studio(path: Path, truth: Truth) -> dict[str, Any]:
    """Convert a COCO file to tasks; return the labels and the polygons, in pixels, by mask."""
    from label_studio_sdk.converter.imports.coco import convert_coco_to_ls

    out = path.with_name("tasks.json")
    convert_coco_to_ls(str(path), str(out), image_root_url="/data")
    tasks = json.loads(out.read_text())
    content = json.loads(path.read_text())
    found: dict[str, list[Any]] = {}
    labels = {}
    for image, task in zip(content["images"], tasks, strict=True):
        results = [one for one in task["annotations"][0]["result"] if one["type"] == KIND]
        for one in (one for one in content["annotations"] if one["image_id"] == image["id"]):
            own = [results.pop(0) for _ in one["segmentation"]]
            sides = [own[0]["original_width"], own[0]["original_height"]]
            points = [np.array(part["value"]["points"]) / 100 * sides for part in own]
            found[str(one["id"])] = [ring.ravel().tolist() for ring in points]
            labels[str(one["id"])] = own[0]["value"][KIND][0]
        assert not results
    assert found.keys() == truth.keys()
    return {"images": len(tasks), "labels": labels, "polygons": found}


CHECKS = {
    "datumaro-coco": with_datumaro_coco,
    "datumaro-cvat": with_datumaro_cvat,
    "datumaro-json": with_datumaro_json,
    "label-studio": with_label_studio,
    "label-studio-export": with_label_studio_export,
}

if __name__ == "__main__":
    name, given, known = sys.argv[1:]
    with np.load(known) as pixels:
        print("\n" + json.dumps(CHECKS[name](Path(given), dict(pixels))))
