"""Read what curate wrote with other projects' own code; run by the Python of ``.venv-tools``.

    python real_parsers.py datumaro FOLDER TRUTH      a folder for CVAT
    python real_parsers.py cvat-sdk FOLDER TRUTH      the same, by the decoder of CVAT's SDK
    python real_parsers.py datasets PARQUET TRUTH     a Parquet for Hugging Face
    python real_parsers.py pycocotools JSON TRUTH     a COCO file
    python real_parsers.py fiftyone FOLDER TRUTH      a COCODetectionDataset

TRUTH is an .npz with the pixels of each mask by its id, as it should be seen. Prints what was
looked at as JSON; fails where a pixel differs.
"""

from __future__ import annotations

import ast
import json
import sys
import types
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np

Truth = dict[str, Any]


def same(truth: Truth, mask_id: object, pixels: Any) -> None:
    """Fail where a mask is not the true one."""
    np.testing.assert_array_equal(np.asarray(pixels).astype(bool), truth[str(mask_id)])


def with_datumaro(folder: Path, truth: Truth) -> dict[str, Any]:
    """Load as CVAT, compare, and export as COCO and as CVAT again, beside the folder."""
    from datumaro.components.dataset import Dataset

    loaded = Dataset.import_from(str(folder), "cvat")
    masks = [one for item in loaded for one in item.annotations]
    for one in masks:
        same(truth, one.attributes["mask_id"], one.image)
    for format, name in (("coco_instances", "coco"), ("cvat", "cvat")):
        target = folder.with_name(f"{folder.name}-from-datumaro-{name}")
        loaded.export(str(target), format, save_media=False)
    return {"images": len(loaded), "masks": len(masks), "attributes": sorted(masks[0].attributes)}


def with_cvat_sdk(folder: Path, truth: Truth) -> dict[str, Any]:
    """Decode the points that CVAT makes of each mask, and compare; encode them, and compare too."""
    from cvat_sdk.masks import decode_mask, encode_mask

    masks = 0
    for image in ET.parse(folder / "annotations.xml").getroot().iter("image"):
        size = {f"image_{side}": int(image.attrib[side]) for side in ("width", "height")}
        for one in image.iter("mask"):
            left, top, width, height = (
                int(one.attrib[side]) for side in ("left", "top", "width", "height")
            )
            runs = [float(count) for count in one.attrib["rle"].split(",")]
            points = [*runs, left, top, left + width - 1, top + height - 1]
            mask_id = one.findtext("attribute", "")
            same(truth, mask_id, decode_mask(points, **size))
            assert encode_mask(truth[mask_id]) == points
            masks += 1
    return {"masks": masks}


def with_datasets(path: Path, truth: Truth) -> dict[str, Any]:
    """Load as a dataset, look at the pictures, and decode the masks; then save it anew."""
    from datasets import load_dataset
    from pycocotools import mask as coco_mask

    cache = str(path.with_name("cache"))
    loaded = load_dataset("parquet", data_files=str(path), split="train", cache_dir=cache)
    masks = 0
    for row in loaded:
        assert row["image"].size == (row["width"], row["height"])
        objects = row["objects"]
        for mask_id, mask in zip(objects["id"], objects["segmentation"], strict=True):
            same(truth, mask_id, coco_mask.decode(mask))
            masks += 1
    loaded.to_parquet(str(path.with_name(f"{path.stem}-from-datasets.parquet")))
    return {"images": len(loaded), "masks": masks, "image": str(loaded.features["image"])}


def with_pycocotools(path: Path, truth: Truth) -> dict[str, Any]:
    """Load as COCO and compare what ``annToMask`` draws."""
    from pycocotools.coco import COCO

    loaded = COCO(str(path))
    for mask_id, one in loaded.anns.items():
        same(truth, mask_id, loaded.annToMask(one))
    return {"images": len(loaded.imgs), "masks": len(loaded.anns)}


def fiftyones_own() -> dict[str, Any]:
    """Return FiftyOne's code that turns annotations into labels, and masks into annotations.

    Importing FiftyOne would start its database, so these pieces of the installed package are run
    alone, with a bare stand-in for its labels.
    """
    from itertools import groupby

    from pycocotools import mask as mask_utils
    from skimage import measure

    wanted = {
        *("COCOObject", "_coco_segmentation_to_mask", "_normalize_coco_segmentation"),
        *("_mask_to_rle", "_mask_to_polygons", "_close_contour"),
    }
    path = next(Path(p) for p in sys.path if (Path(p) / "fiftyone/utils/coco.py").is_file())
    tree = ast.parse((path / "fiftyone/utils/coco.py").read_text())
    tree.body = [node for node in tree.body if getattr(node, "name", "") in wanted]
    assert len(tree.body) == len(wanted)
    fol = types.SimpleNamespace(Detection=types.SimpleNamespace)
    etau = types.SimpleNamespace(is_str=lambda value: isinstance(value, str))
    names = {"np": np, "groupby": groupby, "mask_utils": mask_utils, "measure": measure}
    names |= {"fol": fol, "etau": etau}
    exec(compile(tree, "coco.py", "exec"), names)
    return names


def with_fiftyone(folder: Path, truth: Truth) -> dict[str, Any]:
    """Load as FiftyOne does, compare, and write what it exports: as crowds, and as polygons."""
    own = fiftyones_own()
    given = json.loads((folder / "labels.json").read_text())
    sizes = {one["id"]: (one["width"], one["height"]) for one in given["images"]}
    classes = {one["id"]: one["name"] for one in given["categories"]}
    made: dict[str, list[Any]] = {"crowds": [], "polygons": []}
    for number, one in enumerate(given["annotations"], 1):
        width, height = sizes[one["image_id"]]
        read = own["COCOObject"].from_anno_dict(json.loads(json.dumps(one)))
        seen = read.to_detection((width, height), classes, None, load_segmentation=True)
        assert seen.label == classes[one["category_id"]]
        x, y, w, h = seen.bounding_box
        pixels = np.zeros((height, width), bool)
        rows = slice(round(y * height), round((y + h) * height))
        pixels[rows, round(x * width) : round((x + w) * width)] = seen.mask
        same(truth, seen.mask_id, pixels)
        for kind, spelled in (
            ("crowds", own["_mask_to_rle"](pixels)),
            ("polygons", own["_mask_to_polygons"](pixels, None)),
        ):
            out = own["COCOObject"](
                id=number,
                image_id=one["image_id"],
                category_id=one["category_id"],
                bbox=one["bbox"],
                segmentation=spelled,
                iscrowd=int(kind == "crowds"),
                mask_id=seen.mask_id,
            )
            made[kind].append(out.to_anno_dict())
    for kind, masks in made.items():
        target = folder.with_name(f"{folder.name}-from-fiftyone-{kind}")
        target.mkdir()
        (target / "labels.json").write_text(json.dumps(given | {"annotations": masks}))
    return {"images": len(sizes), "masks": len(given["annotations"])}


CHECKS = {
    "fiftyone": with_fiftyone,
    "datumaro": with_datumaro,
    "cvat-sdk": with_cvat_sdk,
    "datasets": with_datasets,
    "pycocotools": with_pycocotools,
}

if __name__ == "__main__":
    name, given, known = sys.argv[1:]
    with np.load(known) as pixels:
        print("\n" + json.dumps(CHECKS[name](Path(given), dict(pixels))))
