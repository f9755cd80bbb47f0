"""Read datasets that curate wrote with other projects' own code; run by the Python of their own.

    python write_parsers.py datumaro-coco FILE TRUTH     in .venv-tools
    python write_parsers.py datumaro-cvat FOLDER TRUTH   in .venv-tools
    python write_parsers.py label-studio FILE TRUTH      in .venv-label-studio; polygons only

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
    "label-studio": with_label_studio,
}

if __name__ == "__main__":
    name, given, known = sys.argv[1:]
    with np.load(known) as pixels:
        print("\n" + json.dumps(CHECKS[name](Path(given), dict(pixels))))
