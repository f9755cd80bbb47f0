"""One small dataset in every format that curate reads, drawn from a seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
import small_file_datasets as files
import small_image_documents as images
import small_json_datasets as documents
import small_record_datasets as records
import small_table_datasets as tables
from drawn_masks import Rng


@dataclass(frozen=True)
class Kind:
    """One way of storing a dataset, and what can be decided on it.

    Attributes:
        format: The name of its format.
        build: (an empty folder, what draws) to the dataset in it.
        labels: Categories that a mask can get; none where it has none.
        identity: What names a mask before and after: "mask_id", "source_key", or "" for nothing.
        is_disjoint: Whether a pixel has one mask at most.
        unlisted: Whether an image without masks is not in it.
    """

    format: str
    build: Callable[[Path, Rng], Path]
    labels: tuple[str, ...] = ()
    identity: str = ""
    is_disjoint: bool = False
    unlisted: bool = False


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "coco": Kind("coco", documents.coco, ("cat", "R&D \\ é", "new & ü"), "mask_id"),
        "coco-polygons": Kind("coco", documents.coco_polygons, ("cat", "dog"), "mask_id"),
        "coco-splits": Kind("coco-splits", documents.coco_splits, ("cat", "R&D \\ é", "new")),
        "roboflow": Kind("coco-splits", documents.roboflow, ("cat", "dog"), "mask_id"),
        "lvis": Kind("lvis", documents.lvis, ("cup", "tea pot"), "mask_id"),
        "coco-results": Kind("coco-results", documents.coco_results, ("3", "44"), unlisted=True),
        "coco-panoptic": Kind(
            "coco-panoptic",
            documents.panoptic,
            ("cat", "R&D \\ é", "new & ü"),
            is_disjoint=True,
        ),
        "sa1b": Kind("sa1b", documents.sa1b, (), "mask_id"),
        "sa1b-tar": Kind("sa1b", documents.sa1b_tar, (), "mask_id"),
        "sav": Kind("sav", documents.sav, (), "source_key"),
        "amg": Kind("amg", files.amg, (), "source_key"),
        "amg-json": Kind("amg", documents.amg_json),
        "cvat": Kind("cvat", files.cvat, ("cell", "R&D", 'new "&"'), "mask_id"),
        "cvat-bare": Kind("cvat", files.cvat_bare, ("cell", "été")),
        "cvat-video": Kind("cvat-video", files.cvat_video, ("cell", "R&D", 'new "&"'), "mask_id"),
        "fiftyone": Kind("fiftyone", records.fiftyone, ("cat", "R&D é", "new"), "mask_id"),
        "via": Kind("via", records.via, ("cat", "R&D é", "new")),
        "via-export": Kind("via", records.via_export, ("cat", "dog")),
        "datumaro": Kind("datumaro", records.datumaro, ("cat", "R&D é", "new & ü")),
        "label-studio": Kind("label-studio", records.label_studio, ("cell", "R&D é", "new")),
        "labelme": Kind("labelme", images.labelme, ("cat", "R&D \\ é", "new")),
        "labelme-x": Kind("labelme", images.anylabeling, ("cat", "dog")),
        "open-images": Kind(
            "open-images", tables.open_images, ("Cat", 'R&D, "é"', "New"), unlisted=True
        ),
        "huggingface": Kind("huggingface", tables.huggingface, ("cat", "R&D é", "new"), "mask_id"),
        "huggingface-list": Kind("huggingface", tables.huggingface_list, ("cat", "dog")),
        "kaggle-csv": Kind("kaggle-csv", tables.kaggle, ("3", "7")),
        "kaggle-csv-rows": Kind("kaggle-csv", tables.kaggle_rows, ("astro", "cort")),
        "supervisely": Kind(
            "supervisely", images.supervisely, ("cat", "R&D é", "tree", "new"), "mask_id"
        ),
        "yolo": Kind("yolo", files.yolo, ("cat", "R&D", "dog")),
        "png-folder": Kind("png-folder", files.png_folder, (), "source_key"),
        "png-folder-tiff": Kind("png-folder", files.tiff_folder, (), "source_key"),
        "label-png": Kind("label-png", files.label_png, (), "source_key", is_disjoint=True),
        "label-tiff": Kind("label-tiff", files.label_tiff, (), "source_key", is_disjoint=True),
        "label-npy": Kind("label-npy", files.label_npy, (), "source_key", is_disjoint=True),
        "label-npy-layers": Kind("label-npy", files.label_npy_layers),
    }
)


def build(name: str, folder: Path, seed: int = 0) -> Path:
    """Make the dataset of one kind in a folder and return where it is."""
    folder.mkdir(parents=True, exist_ok=True)
    return KINDS[name].build(folder, np.random.default_rng(seed))
