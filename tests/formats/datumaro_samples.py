"""Small datasets of the formats on datumaro's list, written after the documents of each."""

from __future__ import annotations

import gzip
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 60, 90

Pixels = np.ndarray


def regions(*values: Any, background: Any = 0, dtype: type = np.uint8) -> Pixels:
    """Return pixels of a background with one region for each value, side by side."""
    first: Pixels = np.zeros_like(np.asarray(values[0], dtype)) + np.asarray(background, dtype)
    made = np.broadcast_to(first, (HEIGHT, WIDTH, *first.shape)).copy()
    for k, value in enumerate(values):
        made[10:40, 5 + 25 * k : 22 + 25 * k] = value
    return made


def photo() -> Pixels:
    """Return pixels of a picture."""
    return np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)


def save(path: Path, pixels: Pixels) -> None:
    """Write pixels as the kind of picture that a name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def put(path: Path, content: object) -> None:
    """Write text, or a value as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")


# --- ADE20K --------------------------------------------------------------------------------------

ADE_CLASSES = {"wall": 2978, "car": 401, "wheel": 2900}
"""Numbers of classes of the full dataset: over 255, so that red counts them too."""


def ade_color(name: str, instance: int) -> tuple[int, int, int]:
    """Return the colour that ADE20K gives an object: class in red and green, instance in blue."""
    number = ADE_CLASSES[name]
    return number // 256 * 10, number % 256, instance


def _ade20k(folder: Path, year: int) -> Path:
    place = folder / "ADE20K" / "images" / "training" / "street"
    for stem in ("ADE_train_00000001", "ADE_train_00000002"):
        save(place / f"{stem}.jpg", photo())
        objects = [("wall", 50), ("car", 100), ("car", 150)]
        save(place / f"{stem}_seg.png", regions(*(ade_color(*one) for one in objects)))
        wheels = regions(ade_color("wheel", 50), background=(0, 0, 0))
        save(place / f"{stem}_parts_1.png", wheels)
        listed = [(1, 0, "wall"), (2, 0, "car"), (3, 0, "car"), (1, 1, "wheel")]
        if year == 2017:
            lines = [f'{n:03} # {p} # 0 # {c} # {c} # ""\n' for n, p, c in listed]
            put(place / f"{stem}_atr.txt", "".join(lines))
            continue
        found = []
        for number, level, name in listed:
            mask = f"{stem}/instance_{number - 1:03}_{stem}.png"
            save(place / mask, regions(255))
            found.append(
                {
                    "id": number - 1,
                    "name": f"{name}, thing",
                    "name_ndx": ADE_CLASSES[name],
                    "raw_name": name,
                    "instance_mask": mask,
                    "parts": {"part_level": level},
                    "polygon": {"x": [5, 21, 21], "y": [10, 10, 39]},
                    "crop": 0,
                    "occluded": "no",
                    "attributes": [],
                }
            )
        about = {"filename": f"{stem}.jpg", "imsize": [HEIGHT, WIDTH, 3], "object": found}
        put(place / f"{stem}.json", {"annotation": about})
    return folder / "ADE20K"


def ade20k2017(folder: Path) -> Path:
    return _ade20k(folder, 2017)


def ade20k2020(folder: Path) -> Path:
    return _ade20k(folder, 2020)


# --- PNGs of ids that carry a class --------------------------------------------------------------


def cityscapes(folder: Path) -> Path:
    for city, split in (("bonn", "train"), ("ulm", "val")):
        stem = f"{city}_000000_000019"
        ids = regions(26000, 26001, 24000, background=7, dtype=np.uint16)
        save(folder / f"gtFine/{split}/{city}/{stem}_gtFine_instanceIds.png", ids)
        kinds = regions(26, 26, 24, background=7)
        save(folder / f"gtFine/{split}/{city}/{stem}_gtFine_labelIds.png", kinds)
        save(folder / f"leftImg8bit/{split}/{city}/{stem}_leftImg8bit.png", photo())
    return folder


def kitti_segmentation(folder: Path) -> Path:
    ids = regions(26 * 256 + 1, 26 * 256 + 2, 24 * 256 + 1, background=7 * 256, dtype=np.uint16)
    for stem in ("000000_10", "000001_10"):
        save(folder / f"training/instance/{stem}.png", ids)
        save(folder / f"training/semantic/{stem}.png", regions(26, 26, 24, background=7))
        save(folder / f"training/image_2/{stem}.png", photo())
    return folder


def mots(folder: Path) -> Path:
    for stem in ("000001", "000002"):
        ids = regions(1000, 2003, 10_000, dtype=np.uint16)
        save(folder / f"train/instances/{stem}.png", ids)
        save(folder / f"train/images/{stem}.png", photo())
    put(folder / "train/instances/labels.txt", "car\npedestrian\n")
    return folder / "train"


def mapillary_vistas_instances(folder: Path) -> Path:
    labels = [
        {"name": f"object--{k}", "readable": f"Thing {k}", "color": [k, k, k]} for k in range(60)
    ]
    put(folder / "config_v2.0.json", {"labels": labels, "version": "2.0"})
    for stem in ("aBc", "dEf"):
        place = folder / "training"
        ids = regions(55 * 256 + 1, 55 * 256 + 2, 19 * 256 + 1, background=7 * 256, dtype=np.uint16)
        save(place / f"v2.0/instances/{stem}.png", ids)
        save(place / f"v2.0/labels/{stem}.png", regions(55, 55, 19, background=7))
        save(place / f"images/{stem}.jpg", photo())
    return folder


def mapillary_vistas_panoptic(folder: Path) -> Path:
    place = folder / "training"
    listed = []
    for stem in ("aBc", "dEf"):
        pixels = regions((44, 1, 0), (45, 1, 0), background=(7, 0, 0))
        save(place / f"v2.0/panoptic/{stem}.png", pixels)
        save(place / f"images/{stem}.jpg", photo())
        segments = [
            {"id": 300, "category_id": 2, "iscrowd": 0, "bbox": [5, 10, 17, 30], "area": 510},
            {"id": 301, "category_id": 2, "iscrowd": 0, "bbox": [30, 10, 17, 30], "area": 510},
            {"id": 7, "category_id": 1, "iscrowd": 0, "bbox": [0, 0, 90, 60], "area": 4380},
        ]
        listed.append({"image_id": stem, "file_name": f"{stem}.png", "segments_info": segments})
    categories = [
        {"id": 1, "name": "Road", "supercategory": "flat", "isthing": 0, "color": [1, 2, 3]},
        {"id": 2, "name": "Car", "supercategory": "object", "isthing": 1, "color": [4, 5, 6]},
    ]
    images = [
        {"id": stem, "file_name": f"{stem}.jpg", "height": HEIGHT, "width": WIDTH}
        for stem in ("aBc", "dEf")
    ]
    whole = {"images": images, "annotations": listed, "categories": categories}
    put(place / "v2.0/panoptic/panoptic_2020.json", whole)
    return folder


def voc(folder: Path) -> Path:
    for stem in ("2007_000001", "2007_000002"):
        palette = [(k * 7 % 256, k * 5 % 256, k * 3 % 256) for k in range(255)]
        colors = [value for color in [*palette, (224, 224, 192)] for value in color]
        for name, pixels in (("Object", regions(1, 2, 255)), ("Class", regions(7, 7, 255))):
            ids = Image.fromarray(pixels)
            ids.putpalette(colors)
            path = folder / f"Segmentation{name}/{stem}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            ids.save(path)
        save(folder / f"JPEGImages/{stem}.jpg", photo())
    put(folder / "ImageSets/Segmentation/train.txt", "2007_000001\n2007_000002\n")
    return folder


# --- classes without objects ---------------------------------------------------------------------


def camvid(folder: Path) -> Path:
    put(folder / "label_colors.txt", "0 0 0 Void\n64 0 128 Car\n64 64 0 Pedestrian\n")
    for stem in ("0001TP_008550", "0001TP_008580"):
        save(folder / f"train/{stem}.png", photo())
        pixels = regions((64, 0, 128), (64, 0, 128), (64, 64, 0), background=(0, 0, 0))
        save(folder / f"trainannot/{stem}.png", pixels)
    lines = "".join(
        f"train/{s}.png trainannot/{s}.png\n" for s in ("0001TP_008550", "0001TP_008580")
    )
    put(folder / "train.txt", lines)
    return folder


def common_semantic_segmentation(folder: Path) -> Path:
    meta = {
        "label_map": {"0": "background", "1": "car", "2": "person"},
        "segmentation_colors": [[0, 0, 0], [64, 0, 128], [64, 64, 0]],
    }
    put(folder / "dataset_meta.json", meta)
    for stem in ("a", "b"):
        save(folder / f"images/{stem}.png", photo())
        pixels = regions((64, 0, 128), (64, 0, 128), (64, 64, 0), background=(0, 0, 0))
        save(folder / f"masks/{stem}.png", pixels)
    return folder


def synthia_rand(folder: Path) -> Path:
    for stem in ("0000000", "0000001"):
        save(folder / f"RGB/{stem}.png", photo())
        save(
            folder / f"GT/{stem}.png", regions((64, 0, 128), (128, 0, 0), background=(128, 64, 128))
        )
        lines = [" ".join(map(str, row)) for row in regions(8, 2, background=3).tolist()]
        put(folder / f"GTTXT/{stem}.txt", "\n".join(lines))
    return folder


def synthia_sf(folder: Path) -> Path:
    for stem in ("0000000", "0000001"):
        save(folder / f"RGBLeft/{stem}.png", photo())
        save(
            folder / f"GTLeft/{stem}.png",
            regions((0, 0, 142), (70, 70, 70), background=(128, 64, 128)),
        )
        save(folder / f"DepthLeft/{stem}.png", photo())
    return folder


def synthia_al(folder: Path) -> Path:
    for stem in ("0000000", "0000001"):
        save(folder / f"RGB/{stem}.png", photo())
        save(
            folder / f"SemSeg/{stem}.png",
            regions((0, 0, 142), (70, 70, 70), background=(128, 64, 128)),
        )
        save(folder / f"Depth/{stem}.png", photo())
    return folder


def mvtec_segmentation(folder: Path) -> Path:
    for kind in ("broken", "good"):
        for stem in ("000", "001"):
            save(folder / f"test/{kind}/{stem}.png", photo())
            if kind != "good":
                save(folder / f"ground_truth/{kind}/{stem}_mask.png", regions(255, 255))
    save(folder / "train/good/000.png", photo())
    return folder


def icdar_text_segmentation(folder: Path) -> Path:
    for stem in ("100", "101"):
        save(folder / f"train/images/{stem}.png", photo())
        white = (255, 255, 255)
        pixels = regions((200, 10, 10), (10, 200, 10), background=white)
        save(folder / f"train/{stem}_GT.bmp", pixels)
        put(
            folder / f"train/{stem}_GT.txt",
            '200 10 10 - - 5 10 22 40 "a"\n10 200 10 - - 30 10 47 40 "b"\n',
        )
    return folder


# --- documents -----------------------------------------------------------------------------------


def label_me(folder: Path) -> Path:
    points = "".join(
        f"<pt><x>{x}</x><y>{y}</y></pt>" for x, y in ((5, 10), (22, 10), (22, 40), (5, 40))
    )
    polygon = f"<polygon><username>ann</username>{points}</polygon>"
    part = "<parts><hasparts></hasparts><ispartof></ispartof></parts>"
    objects = (
        f"<object><name>car</name><deleted>0</deleted><verified>0</verified><occluded>no</occluded>"
        f"<attributes>red</attributes>{part}<date>1-Jan-2020</date><id>0</id>{polygon}</object>"
        "<object><name>person</name><deleted>0</deleted><verified>0</verified><id>1</id>"
        f"{part}<segm><username>ann</username><box><xmin>30</xmin><ymin>10</ymin><xmax>46</xmax>"
        "<ymax>39</ymax></box><mask>img1_mask_1.png</mask></segm></object>"
        f"<object><name>gone</name><deleted>1</deleted><id>2</id>{polygon}</object>"
        f"<object><name>box</name><deleted>0</deleted><id>3</id><type>bounding_box</type>{polygon}</object>"
    )
    size = f"<imagesize><nrows>{HEIGHT}</nrows><ncols>{WIDTH}</ncols></imagesize>"
    whole = (
        "<annotation><filename>img1.jpg</filename><folder>street</folder><source>"
        f"<sourceImage></sourceImage></source>{objects}{size}</annotation>"
    )
    put(folder / "Annotations/street/img1.xml", whole)
    save(folder / "Images/street/img1.jpg", photo())
    pixels = regions((0, 0, 0), (255, 255, 255))
    save(folder / "Masks/street/img1_mask_1.png", pixels)
    return folder


def vott_json(folder: Path) -> Path:
    region = {
        "id": "r",
        "type": "POLYGON",
        "tags": ["car"],
        "boundingBox": {"height": 30, "width": 17, "left": 5, "top": 10},
        "points": [{"x": 5, "y": 10}, {"x": 22, "y": 10}, {"x": 22, "y": 40}],
    }
    asset = {"name": "a.jpg", "size": {"width": WIDTH, "height": HEIGHT}}
    whole = {
        "name": "v",
        "securityToken": "t",
        "assets": {"f": {"asset": asset, "regions": [region]}},
        "tags": [],
    }
    put(folder / "vott-export.json", whole)
    return folder / "vott-export.json"


def coco_file(folder: Path, name: str, annotation: dict[str, Any], **categories: Any) -> Path:
    image = {"id": 1, "file_name": "a.jpg", "height": HEIGHT, "width": WIDTH}
    whole = {
        "images": [image],
        "annotations": [{"id": 1, "image_id": 1, **annotation}],
        "categories": [{"id": 1, "name": "car", **categories}],
    }
    put(folder / name, whole)
    return folder / name


SQUARE = [[5, 10, 22, 10, 22, 40, 5, 40]]


def coco_instances(folder: Path) -> Path:
    mask = {
        "category_id": 1,
        "segmentation": SQUARE,
        "bbox": [5, 10, 17, 30],
        "area": 510,
        "iscrowd": 0,
    }
    return coco_file(folder, "annotations/instances_train.json", mask)


def coco_person_keypoints(folder: Path) -> Path:
    mask = {
        "category_id": 1,
        "segmentation": SQUARE,
        "bbox": [5, 10, 17, 30],
        "area": 510,
        "iscrowd": 0,
    }
    mask |= {"keypoints": [6, 11, 2], "num_keypoints": 1}
    return coco_file(
        folder, "annotations/person_keypoints_train.json", mask, keypoints=["nose"], skeleton=[]
    )


def coco_captions(folder: Path) -> Path:
    return coco_file(folder, "annotations/captions_train.json", {"caption": "a car"})


def coco_labels(folder: Path) -> Path:
    return coco_file(folder, "annotations/labels_train.json", {"category_id": 1})


def datumaro_binary(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "annotations" / "train.datum"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"signature:datumaro_binary" + bytes(200))
    return folder


def brats_numpy(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "BRATS_001_data_cropped.npy", np.zeros((4, 8, 8, 8), np.float32))
    np.save(folder / "BRATS_001_label_cropped.npy", np.ones((8, 8, 8), np.uint8))
    (folder / "val_ids.p").write_bytes(pickle.dumps(["BRATS_001"]))
    (folder / "val_brain_bbox.p").write_bytes(pickle.dumps([[1, 2]]))
    return folder


def arrow(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "datum-0-of-1.arrow").write_bytes(b"ARROW1\0\0" + bytes(200))
    return folder


def brats(folder: Path) -> Path:
    for place in ("imagesTr", "labelsTr"):
        path = folder / place / "BRATS_001.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(bytes(344) + b"n+1\0" + bytes(200)))
    put(folder / "labels", "background\nedema\n")
    return folder


def tf_detection_api(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "train.tfrecord").write_bytes(bytes(400))
    return folder


def roboflow_yolo_obb(folder: Path) -> Path:
    put(folder / "data.yaml", "train: ../train/images\nnc: 1\nnames: ['car']\n")
    put(folder / "train/labelTxt/a.txt", "5 10 22 10 22 40 5 40 car 0\n")
    save(folder / "train/images/a.jpg", photo())
    return folder


def roboflow_create_ml(folder: Path) -> Path:
    box = {"label": "car", "coordinates": {"x": 13, "y": 25, "width": 17, "height": 30}}
    put(folder / "train/_annotations.createml.json", [{"image": "a.jpg", "annotations": [box]}])
    save(folder / "train/a.jpg", photo())
    return folder


def voc_detection(folder: Path) -> Path:
    box = "<bndbox><xmin>5</xmin><ymin>10</ymin><xmax>22</xmax><ymax>40</ymax></bndbox>"
    size = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height><depth>3</depth></size>"
    named = f"<folder>JPEGImages</folder><filename>a.jpg</filename>{size}"
    whole = f"<annotation>{named}<object><name>car</name>{box}</object></annotation>"
    put(folder / "Annotations/a.xml", whole)
    put(folder / "ImageSets/Main/train.txt", "a\n")
    save(folder / "JPEGImages/a.jpg", photo())
    return folder


def image_dir(folder: Path) -> Path:
    save(folder / "a.jpg", photo())
    save(folder / "b.png", photo())
    return folder


SAMPLES: dict[str, Callable[[Path], Path]] = {
    one.__name__: one
    for one in (
        ade20k2017,
        ade20k2020,
        cityscapes,
        kitti_segmentation,
        mots,
        mapillary_vistas_instances,
        mapillary_vistas_panoptic,
        voc,
        camvid,
        common_semantic_segmentation,
        synthia_rand,
        synthia_sf,
        synthia_al,
        mvtec_segmentation,
        icdar_text_segmentation,
        label_me,
        vott_json,
        coco_instances,
        coco_person_keypoints,
        coco_captions,
        coco_labels,
        datumaro_binary,
        brats_numpy,
        arrow,
        brats,
        tf_detection_api,
        roboflow_yolo_obb,
        roboflow_create_ml,
        voc_detection,
        image_dir,
    )
}
