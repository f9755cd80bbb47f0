"""Read what curate wrote with other projects' own code; run by the Python of ``.venv-tools``.

    python real_parsers.py datumaro FOLDER TRUTH      a folder for CVAT
    python real_parsers.py cvat-sdk FOLDER TRUTH      the same, by the decoder of CVAT's SDK
    python real_parsers.py datasets PARQUET TRUTH     a Parquet for Hugging Face
    python real_parsers.py pycocotools JSON TRUTH     a COCO file

TRUTH is an .npz with the pixels of each mask by its id, as it should be seen. Prints what was
looked at as JSON; fails where a pixel differs.
"""

from __future__ import annotations

import json
import sys
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
        size = {"image_width": int(image.get("width")), "image_height": int(image.get("height"))}
        for one in image.iter("mask"):
            left, top, width, height = (
                int(one.get(side)) for side in ("left", "top", "width", "height")
            )
            runs = [float(count) for count in one.get("rle").split(",")]
            points = [*runs, left, top, left + width - 1, top + height - 1]
            mask_id = one.findtext("attribute")
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


CHECKS = {
    "datumaro": with_datumaro,
    "cvat-sdk": with_cvat_sdk,
    "datasets": with_datasets,
    "pycocotools": with_pycocotools,
}

if __name__ == "__main__":
    name, given, known = sys.argv[1:]
    with np.load(known) as pixels:
        print("\n" + json.dumps(CHECKS[name](Path(given), dict(pixels))))
