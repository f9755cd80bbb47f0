"""Small datasets in the formats that are JSON, with what careless tools lose."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
from drawn_masks import Rng, Size, box_of, rle_of, runs_of, scene, stars
from PIL import Image

SIZES: tuple[Size, ...] = ((24, 40), (31, 22), (18, 27))
"""Height and width of the three images of every dataset; the last has no masks where it can."""


def picture(size: Size, kind: str = "JPEG") -> bytes:
    packed = io.BytesIO()
    Image.fromarray(np.full((*size, 3), 90, np.uint8)).save(packed, kind)
    return packed.getvalue()


def _mixed(rng: Rng, size: Size, count: int) -> list[tuple[Any, np.ndarray | None]]:
    """Return segmentations: compressed, run lengths and polygons in turn; None for a polygon."""
    masks = scene(rng, size, count - count // 3)
    rings = stars(rng, size, count // 3, masks, rings=2)
    compressed = [(rle_of(mask), mask) for mask in masks]
    for k in range(1, len(masks), 2):
        counts = runs_of(masks[k].ravel("F"))
        compressed[k] = ({"counts": counts, "size": list(size)}, masks[k])
    polygons: list[tuple[Any, np.ndarray | None]] = [(one, None) for one in rings]
    return [*polygons, *compressed] if rng.random() < 0.5 else [*compressed, *polygons]


def _images(rng: Rng) -> list[dict[str, Any]]:
    return [
        {"id": 70, "file_name": "é b.jpg", "width": SIZES[0][1], "height": SIZES[0][0], "mine": {}},
        {"file_name": "a/1.jpg", "id": 7, "height": SIZES[1][0], "width": SIZES[1][1]},
        {"id": 900_000_000_001, "file_name": "none.png", "width": 27, "height": 18, "x": [1.0]},
    ]


def coco(folder: Path, rng: Rng) -> Path:
    """Polygons, RLE and run lengths in one file, unknown fields, Windows line ends."""
    annotations: list[dict[str, Any]] = []
    for image, size, count in ((70, SIZES[0], 5), (7, SIZES[1], 3)):
        for segmentation, mask in _mixed(rng, size, count):
            number = 1007 - 31 * len(annotations)
            box = [1.5, 2, 3, 4] if mask is None else box_of(mask)
            annotations.append(
                {
                    "own": {"note": "é ] } ,", "bbox": [1, None]},
                    "id": number,
                    "image_id": image,
                    "category_id": (3, 17, 90)[len(annotations) % 3],
                    "segmentation": segmentation,
                    "bbox": list(box),
                    "area": 12.0 if mask is None else int(mask.sum()),
                    "iscrowd": int(len(annotations) % 4 == 2),
                    "score": 0.1 + len(annotations) / 3,
                }
            )
    del annotations[1]["area"], annotations[2]["own"]
    broken = {"size": list(SIZES[1]), "counts": "~~~"}
    annotations.append(annotations[0] | {"id": 5, "image_id": 7, "segmentation": broken})
    del annotations[-1]["bbox"]
    categories = [
        {"id": 3, "name": "cat", "supercategory": "animal"},
        {"supercategory": "animal", "id": 17, "name": "R&D \\ é"},
        {"id": 90, "name": "שלום", "supercategory": ""},
    ]
    whole: dict[str, Any] = {"info": {"x": 1.0, "annotations": []}, "images": _images(rng)}
    whole |= {"annotations": annotations, "categories": categories, "last": [1e-7, None]}
    text = json.dumps(whole, indent=1, ensure_ascii=False) + "\n"
    path = folder / "instances.json"
    path.write_bytes(text.replace("\n", "\r\n").encode("utf-8"))
    return path


def coco_polygons(folder: Path, rng: Rng) -> Path:
    """Polygons alone, as tools write them that know no RLE."""
    annotations = [
        {"id": 10 * image + k, "image_id": image, "category_id": 1 + k % 2, "segmentation": one}
        for image, size, count in ((1, SIZES[0], 4), (2, SIZES[1], 3))
        for k, one in enumerate(stars(rng, size, count, rings=image))
    ]
    images = [
        {"id": k, "file_name": f"{k}.jpg", "height": size[0], "width": size[1]}
        for k, size in enumerate(SIZES, 1)
    ]
    categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    whole = {"images": images, "annotations": annotations, "categories": categories}
    path = folder / "polygons.json"
    path.write_text(json.dumps(whole))
    return path


def coco_splits(folder: Path, rng: Rng) -> Path:
    """COCO's own layout: files whose ids collide, pictures of some splits, other files beside."""
    home = folder / "set"
    (home / "annotations").mkdir(parents=True)
    for split in ("train2017", "val2017"):
        made = coco(folder, rng)
        made.rename(home / "annotations" / f"instances_{split}.json")
    (home / "annotations" / "captions_val2017.json").write_text('{"annotations": []}')
    (home / "val2017" / "a").mkdir(parents=True)
    for one in _images(rng):
        path = home / "val2017" / one["file_name"]
        size = one["height"], one["width"]
        path.write_bytes(picture(size, "PNG" if path.suffix == ".png" else "JPEG"))
    return home


def roboflow(folder: Path, rng: Rng) -> Path:
    """Roboflow's layout: a file of polygons in the folder of each split, beside its pictures."""
    home = folder / "set"
    for number, split in enumerate(("train", "valid", "test")):
        made = json.loads(coco_polygons(folder, rng).read_bytes())
        (home / split).mkdir(parents=True)
        for image in made["images"]:
            image["id"] += 10 * number
            size = image["height"], image["width"]
            (home / split / image["file_name"]).write_bytes(picture(size))
        for one in made["annotations"]:
            one |= {"id": one["id"] + 1000 * number, "image_id": one["image_id"] + 10 * number}
        (home / split / "_annotations.coco.json").write_text(json.dumps(made))
    return home


def lvis(folder: Path, rng: Rng) -> Path:
    """Polygons without iscrowd; pictures by URL; categories with synsets."""
    images = [
        {
            "id": 20 + k,
            "coco_url": f"http://images/val/{k:012}.jpg",
            "height": size[0],
            "width": size[1],
            "neg_category_ids": [2],
            "not_exhaustive_category_ids": [],
        }
        for k, size in enumerate(SIZES)
    ]
    annotations: list[dict[str, Any]] = []
    for image, size, count in ((21, SIZES[1], 3), (20, SIZES[0], 4)):
        for one in stars(rng, size, count, rings=1 + image % 2):
            number = 400 + 7 * len(annotations)
            segmentation = {"segmentation": one, "category_id": 1 + len(annotations) % 2}
            annotations.append(
                {"area": 3.5, "id": number, "bbox": [1.0, 2.0, 3.0, 4.0], "image_id": image}
                | segmentation
            )
    categories = [
        {"id": k, "name": name, "synset": f"{name}.n.01", "frequency": "r", "image_count": 3}
        for k, name in ((1, "cup"), (2, "tea pot"))
    ]
    path = folder / "lvis.json"
    whole = {"annotations": annotations, "images": images, "categories": categories}
    path.write_text(json.dumps(whole, separators=(",", ":")))
    return path


def coco_results(folder: Path, rng: Rng) -> Path:
    """A list without anything around it, without ids, with numbers for categories."""
    records = [
        {
            "image_id": image,
            "category_id": 1 + k % 3,
            "bbox": [float(side) for side in box_of(mask)],
            "score": round(float(rng.random()), 5),
            "segmentation": rle_of(mask),
        }
        for image, size in ((12, SIZES[0]), (5, SIZES[1]), (13, SIZES[2]))
        for k, mask in enumerate(scene(rng, size, 3))
    ]
    path = folder / "results.json"
    path.write_text(json.dumps(records))
    return path


def _sam(mask: np.ndarray, **more: Any) -> dict[str, Any]:
    """Return a record as SAM's generator writes it: the box is one pixel short."""
    x, y, w, h = box_of(mask)
    return {
        **more,
        "segmentation": rle_of(mask),
        "bbox": [x, y, w - 1, h - 1],
        "area": int(mask.sum()),
        "predicted_iou": 0.97,
        "stability_score": 0.96,
        "crop_box": [0, 0, mask.shape[1], mask.shape[0]],
        "point_coords": [[x + 0.5, y + 0.5]],
    }


def _sa1b_files(rng: Rng) -> dict[str, bytes]:
    files = {"licence.txt": b"as is\r\n"}
    for k, (size, count) in enumerate(zip(SIZES, (4, 3, 0), strict=True)):
        first = 53_000 + 100 * k
        masks = scene(rng, size, count) if count else []
        annotations = [_sam(mask, id=first + 7 * i) for i, mask in enumerate(masks)]
        image: dict[str, Any] = {"image_id": 220 - k, "width": size[1], "height": size[0]}
        image["file_name"] = f"sa_{220 - k}.jpg"
        style: dict[str, Any] = {"indent": 2} if k == 1 else {}
        text = json.dumps({"image": image, "annotations": annotations, "own": [1.0]}, **style)
        files[f"sa_{220 - k}.json"] = text.encode()
        files[f"sa_{220 - k}.jpg"] = picture(size)
    return files


def sa1b(folder: Path, rng: Rng) -> Path:
    for name, content in _sa1b_files(rng).items():
        path = folder / "sa1b" / "one" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder / "sa1b"


def sa1b_tar(folder: Path, rng: Rng) -> Path:
    """An archive with folders, owners, times and a long name."""
    path = folder / "sa_000000.tar"
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as archive:
        made = tarfile.TarInfo("part")
        made.type, made.mode, made.mtime = tarfile.DIRTYPE, 0o750, 1_600_000_000
        archive.addfile(made)
        for k, (name, content) in enumerate(_sa1b_files(rng).items()):
            one = tarfile.TarInfo(f"part/{'long/' * 25 if k == 0 else ''}{name}")
            one.size, one.mtime, one.uid, one.uname = len(content), 1_600_000_000 + k, 1000 + k, "u"
            archive.addfile(one, io.BytesIO(content))
    return path


def sav(folder: Path, rng: Rng) -> Path:
    """Two videos of a few frames: a manual file and an automatic one, objects that are absent."""
    for number, kind, frames in ((1, "manual", 3), (2, "auto", 2)):
        size = SIZES[number - 1]
        masklet = []
        for frame in range(frames):
            masks = scene(rng, size, 2)
            nothing = np.zeros(size, bool)
            masklet.append([rle_of(one) for one in (masks[0], nothing, masks[1])])
            if frame == 1:
                masklet[-1][0], masklet[-1][1] = masklet[-1][1], masklet[-1][0]
        scores = [[0.9, 0.95, None]] * frames if kind == "auto" else [None] * 3
        document = {
            "video_id": f"sav_{number:06}",
            "video_duration": 1.5,
            "video_frame_count": float(4 * frames),
            "video_height": float(size[0]),
            "video_width": float(size[1]),
            "video_environment": "Indoor",
            "masklet": masklet,
            "masklet_id": [0, 1, 4],
            "masklet_size_rel": [0.25, 0.5, 0.125],
            "masklet_size_abs": [250.0, 500.0, 125.0],
            "masklet_size_bucket": ["small", "small", "small"],
            "masklet_visibility_changes": [1, 1, 0],
            "masklet_first_appeared_frame": [0.0, 1.0, 0.0],
            "masklet_frame_count": [frames] * 3,
            "masklet_edited_frame_count": [1, 1, 1],
            "masklet_type": [kind] * 3,
            "masklet_stability_score": scores,
            "masklet_num": 3,
        }
        path = folder / "sav" / f"sav_{number:06}_{kind}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(document, indent=2 if number == 1 else None))
    return folder / "sav"


def amg_json(folder: Path, rng: Rng) -> Path:
    """Lists of records as ``amg.py --convert-to-rle`` writes them; one of them is empty."""
    (folder / "rle").mkdir()
    for name, size, count in (("a b", SIZES[0], 4), ("c", SIZES[1], 3), ("none", SIZES[2], 0)):
        masks = scene(rng, size, count) if count else []
        (folder / "rle" / f"{name}.json").write_text(json.dumps([_sam(mask) for mask in masks]))
    return folder / "rle"


def panoptic(folder: Path, rng: Rng) -> Path:
    """A folder as COCO has it: pictures, the JSON and its PNGs; stuff, and fields of one's own."""
    root = folder / "coco"
    pngs = root / "annotations" / "panoptic_val"
    pngs.mkdir(parents=True)
    (root / "val").mkdir()
    images = _images(rng)
    annotations = []
    for k, (image, size, count) in enumerate(zip(images, SIZES, (4, 3, 0), strict=True)):
        name = ("é b.png", "a/1.png", "none.png")[k]
        target = root / "val" / image["file_name"]
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(picture(size, "PNG" if target.suffix == ".png" else "JPEG"))
        ids = np.zeros(size, np.int64)
        numbers = [3226956 + 70_001 * i for i in range(count)]
        for number, mask in zip(numbers, scene(rng, size, count) if count else (), strict=True):
            ids[mask] = number
        segments = []
        for i, number in enumerate(numbers):
            x, y, w, h = box_of(ids == number)
            segment: dict[str, Any] = {
                "own": {"note": "é ] } ,"},
                "area": int((ids == number).sum()),
                "id": number,
                "category_id": (3, 17, 3, 17)[i],
                "iscrowd": 0,
                "bbox": [x, y, w, h],
            }
            if i == 1:
                segment = {"category_id": 17, "id": number}
            segments.append(segment)
        one = {"segments_info": segments, "file_name": name, "image_id": image["id"], "b": [1.0]}
        annotations.append(one)
        (pngs / name).parent.mkdir(exist_ok=True)
        planes = np.stack([ids % 256, ids // 256 % 256, ids // 65536], axis=2)
        Image.fromarray(planes.astype(np.uint8)).save(pngs / name)
    categories = [
        {"supercategory": "animal", "isthing": 1, "id": 3, "name": "cat"},
        {"supercategory": "", "isthing": 1, "id": 17, "name": "R&D \\ é"},
        {"supercategory": "sky", "isthing": 0, "id": 119, "name": "sky"},
    ]
    content = {"info": {"x": [1]}, "images": images, "annotations": annotations}
    content |= {"licenses": [], "categories": categories}
    text = json.dumps(content, indent=1, ensure_ascii=False)
    (root / "annotations" / "panoptic_val.json").write_bytes(text.encode() + b"\n")
    (root / "annotations" / "readme.txt").write_text("as is")
    return root
