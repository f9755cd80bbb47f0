"""Small datasets with pictures that are exported: every kind, and some of them packed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import packed_datasets
import small_datasets
from PIL import Image

from curate.dataset.table import MaskTable


def yolo_by_split(folder: Path) -> Path:
    """As Roboflow exports it: folders of images and labels in one a split."""
    root = small_datasets.build("yolo", folder)
    (root / "train").mkdir()
    for name in ("images", "labels"):
        (root / name / "train").rename(root / "train" / name)
        (root / name).rmdir()
    names = (root / "data.yaml").read_text().replace("images/train", "../train/images")
    (root / "data.yaml").write_text(names.replace("path: .\n", ""))
    return root


def yolo_of_darknet(folder: Path) -> Path:
    """As CVAT exports YOLO 1.1: ``obj.data``, a list, and labels beside their pictures."""
    root = small_datasets.build("yolo", folder)
    (root / "obj_train_data").mkdir()
    for path in [*root.glob("*/train/*")]:
        path.rename(root / "obj_train_data" / path.name)
    names = sorted(one.name for one in (root / "obj_train_data").iterdir() if one.suffix != ".txt")
    listed = "".join(f"data/obj_train_data/{name}\n" for name in names)
    (root / "train.txt").write_text(listed)
    (root / "obj.names").write_text("cat\nR&D\na\nb\nc\nd\ne\ndog\n")
    facts = "classes = 8\ntrain = data/train.txt\nnames = data/obj.names\nbackup = backup/\n"
    (root / "obj.data").write_text(facts)
    (root / "data.yaml").unlink()
    return root


def _packed(kind: str, way: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        folder.mkdir()
        return packed_datasets.build(kind, way, folder)

    return make


def _plain(kind: str) -> Callable[[Path], Path]:
    return lambda folder: small_datasets.build(kind, folder)


SOURCES: Mapping[str, Callable[[Path], Path]] = MappingProxyType(
    {
        **{kind: _plain(kind) for kind in small_datasets.KINDS},
        "yolo-roboflow": yolo_by_split,
        "yolo-darknet": yolo_of_darknet,
        "coco-zip": _packed("coco", "zip-folder"),
        "labelme-zip": _packed("labelme", "zip"),
        "png-folder-tar": _packed("png-folder", "tar"),
        "cvat-gz": _packed("cvat", "gz"),
    }
)
"""What makes each of them in a new folder, and returns where it is."""


def draw_pictures(table: MaskTable, folder: Path) -> None:
    """Draw a picture of every image that has a name and a size."""
    rng = np.random.default_rng(5)
    for row in table.images.to_dict("records"):
        if not row["file_name"] or not row["height"]:
            continue
        path = folder / str(row["file_name"])
        path = path if path.suffix else path.with_suffix(".png")
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = rng.integers(0, 255, (row["height"], row["width"], 3)).astype(np.uint8)
        Image.fromarray(noise).save(path)
