"""Files of the demo: COCO annotations, pictures, detections, soft masks."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import orjson
from PIL import Image, ImageEnhance

from curate import rle
from curate.common import files
from curate.common.arrays import BoolArray, ByteArray
from curate.demo_dataset.annotation import DemoAnnotation, logits, move, stability
from curate.demo_dataset.defects import HTML_CATEGORY
from curate.demo_dataset.scenes import HEIGHT, WIDTH, DemoScene, around
from curate.demo_dataset.table_objects import DRAWERS, FloatArray

CATEGORIES: dict[str, int] = {name: k for k, name in enumerate([*DRAWERS, HTML_CATEGORY], 1)}
"""Category ids of the demo, by name."""

UNKNOWN_IMAGE = 999_999
"""An image id that no image of the demo has."""

ALIKE_SHIFT = 2
"""Pixels by which a picture that is nearly another is moved aside."""


def counts_string(mask: BoolArray) -> str:
    """Return a mask as COCO compressed counts."""
    return str(rle.encode_counts(rle.from_dense(mask))[0].as_py(), "ascii")


def segmentation_of(mask: BoolArray) -> dict[str, object]:
    """Return a mask as COCO stores it."""
    return {"size": [mask.shape[0], mask.shape[1]], "counts": counts_string(mask)}


def box_of(mask: BoolArray) -> list[int]:
    """Return a mask's box, XYWH in pixels; zeros for an empty one."""
    if not mask.any():
        return [0, 0, 0, 0]
    y, x = around(mask, 0)
    return [x.start, y.start, x.stop - x.start, y.stop - y.start]


def record(
    annotation: DemoAnnotation, number: int, soft: npt.NDArray[np.float16]
) -> dict[str, object]:
    """Return an annotation as it is written, sound or spoilt.

    Args:
        annotation: What to write.
        number: Its id.
        soft: Its logits; the stability score is taken from them.
    """
    mask = annotation.mask
    written: dict[str, object] = {
        "id": number,
        "image_id": annotation.image_id,
        "category_id": CATEGORIES[annotation.category],
        "segmentation": annotation.rings or segmentation_of(mask),
        "bbox": box_of(mask),
        "area": int(mask.sum()),
        "iscrowd": 0,
        "predicted_iou": annotation.predicted_iou,
        "stability_score": round(stability(soft[around(mask, 40)]), 4),
        "point_coords": [list(annotation.prompt)],
        "crop_box": [0, 0, WIDTH, HEIGHT],
    }
    return written | annotation.stored | _spoil(annotation.kind, mask, annotation.detail)


def _spoil(kind: str, mask: BoolArray, detail: str) -> dict[str, object]:
    """Return the fields that a kind of defect breaks in the file itself."""
    if kind == "undecodable":
        whole = counts_string(mask)
        return {"segmentation": {"size": [HEIGHT, WIDTH], "counts": whole[: 2 * len(whole) // 3]}}
    if kind == "empty":
        return {"segmentation": segmentation_of(np.zeros_like(mask)), "area": 0, "bbox": [0] * 4}
    if kind == "rle_size":
        return {"segmentation": segmentation_of(np.ascontiguousarray(mask.T))}
    if kind == "two_point_polygon":
        x, y, w, h = box_of(mask)
        return {"segmentation": [[float(x), float(y), float(x + w), float(y + h)]]}
    if kind == "unknown_image":
        return {"image_id": UNKNOWN_IMAGE}
    return {"category_id": 0} if kind == "category_0" else {}


def write_annotations(
    folder: Path, names: dict[int, str], annotations: Sequence[DemoAnnotation]
) -> list[int]:
    """Write ``instances.json`` and ``soft_masks/``.

    Returns:
        The written id of every annotation; those of kind ``duplicate_id`` have that of another one.
    """
    ids = _ids(annotations)
    records: list[dict[str, object]] = []
    soft_masks: dict[int, dict[str, npt.NDArray[np.float16]]] = {k: {} for k in names}
    for annotation, number in zip(annotations, ids, strict=True):
        soft = logits(annotation.mask, annotation.slope)
        records.append(record(annotation, number, soft))
        if annotation.kind != "empty":
            soft_masks[annotation.image_id].setdefault(str(number), soft)
    files.mkdir(folder / "soft_masks")
    for k, of_image in soft_masks.items():
        target = folder / "soft_masks" / f"{Path(names[k]).stem}.npz"
        with files.open_file(target) as file:
            np.savez_compressed(file, allow_pickle=False, **of_image)
    _write_coco(folder / "instances.json", names, records, "Fruit, leaves and pebbles: a demo")
    return ids


def _ids(annotations: Sequence[DemoAnnotation]) -> list[int]:
    ids = [100 + k for k in range(len(annotations))]
    for place, annotation in enumerate(annotations):
        if annotation.kind == "duplicate_id":
            same_image = [
                k
                for k, other in enumerate(annotations)
                if other.image_id == annotation.image_id and not other.kind
            ]
            ids[place] = ids[same_image[0]] if same_image else ids[place - 1]
    return ids


def _write_coco(
    path: Path, names: dict[int, str], records: list[dict[str, object]], about: str
) -> None:
    categories = [
        {"id": number, "name": name, "supercategory": "table"}
        for name, number in CATEGORIES.items()
    ]
    images = [
        {"id": k, "file_name": name, "width": WIDTH, "height": HEIGHT, "license": 0}
        for k, name in names.items()
    ]
    info = {"description": about, "version": "1.0"}
    whole = {"info": info, "images": images, "annotations": records, "categories": categories}
    files.write_bytes(path, orjson.dumps(whole))


def write_second(folder: Path, names: dict[int, str], drawn: Sequence[DemoAnnotation]) -> None:
    """Write ``second_annotator.json``: what another annotator made of the same pictures."""
    records = [
        {
            "id": number,
            "image_id": a.image_id,
            "category_id": CATEGORIES[a.category],
            "segmentation": segmentation_of(a.mask),
            "bbox": box_of(a.mask),
            "area": int(a.mask.sum()),
            "iscrowd": 0,
        }
        for number, a in enumerate(drawn, 1)
    ]
    path = folder / "second_annotator.json"
    _write_coco(path, names, records, "A second annotator's masks of the same pictures")


def write_detections(rng: np.random.Generator, folder: Path, scenes: dict[int, DemoScene]) -> None:
    """Write ``detections.json``: boxes of a fair detector, which misses 4% and sees some ghosts."""
    found: list[dict[str, object]] = []
    names = list(DRAWERS)
    for image_id, scene in scenes.items():
        for thing in scene.things:
            if rng.random() < 0.04:
                continue
            category = thing.category if rng.random() > 0.03 else names[rng.integers(len(names))]
            box = np.array(box_of(thing.visible)) + rng.normal(0, 0.025 * thing.size, 4)
            found.append(_detection(image_id, category, box, float(rng.beta(11, 1.6))))
            if rng.random() < 0.05:
                box = box + rng.normal(0, 0.2 * thing.size, 4)
                found.append(_detection(image_id, category, box, float(rng.uniform(0.05, 0.3))))
        for _ in range(rng.poisson(0.4)):
            size = rng.uniform(30, 110, 2)
            corner = rng.uniform(0, 1, 2) * (np.array([WIDTH, HEIGHT]) - size)
            box = np.concatenate([corner, size])
            category = names[rng.integers(len(names))]
            found.append(_detection(image_id, category, box, float(rng.uniform(0.08, 0.55))))
    files.write_bytes(folder / "detections.json", orjson.dumps(found))


def _detection(image_id: int, category: str, box: FloatArray, score: float) -> dict[str, object]:
    x0, y0 = max(float(box[0]), 0.0), max(float(box[1]), 0.0)
    x1, y1 = min(float(box[0] + box[2]), float(WIDTH)), min(float(box[1] + box[3]), float(HEIGHT))
    return {
        "image_id": image_id,
        "category_id": CATEGORIES[category],
        "bbox": [round(v, 1) for v in (x0, y0, max(x1 - x0, 1.0), max(y1 - y0, 1.0))],
        "score": round(score, 4),
    }


def write_picture(path: Path, picture: ByteArray, kind: str) -> None:
    """Write a picture, or what a kind of defect leaves of it.

    Args:
        path: JPEG file to write.
        picture: Shape (480, 640, 3).
        kind: Name of an image-level kind, or empty.
    """
    files.mkdir(path.parent, exist_ok=True)
    if kind == "image_missing":
        return
    image = Image.fromarray(picture)
    if kind == "image_size":
        image = image.resize((WIDTH * 3 // 4, HEIGHT * 3 // 4), Image.Resampling.LANCZOS)
    exif = Image.Exif()
    if kind == "image_exif_rotated":  # stored on its side, with a note to turn it upright
        image = image.transpose(Image.Transpose.ROTATE_90)
        exif[0x0112] = 6
    if kind == "image_near_duplicate":
        image = ImageEnhance.Brightness(image).enhance(1.04)
    packed = io.BytesIO()
    image.save(packed, "JPEG", quality=90, subsampling=0, exif=exif)
    data = packed.getvalue()
    files.write_bytes(path, data[: int(0.55 * len(data))] if kind == "image_truncated" else data)


def nearly_the_same(scene: DemoScene) -> DemoScene:
    """Return a scene as the next frame would show it: moved aside by two pixels."""
    picture = np.roll(scene.picture, ALIKE_SHIFT, axis=1)
    picture[:, :ALIKE_SHIFT] = picture[:, ALIKE_SHIFT : ALIKE_SHIFT + 1]
    things = tuple(
        replace(thing, visible=move(thing.visible, ALIKE_SHIFT, 0), outline=None)
        for thing in scene.things
    )
    return DemoScene(picture, things)
