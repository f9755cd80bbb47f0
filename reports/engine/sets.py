"""What the study runs on: tiles of nuclei at the scale of a small segmenter, and drawn scenes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pycocotools.mask as coco_mask
from PIL import Image, ImageFilter

import curate
from curate import rle
from curate.dataset.table import MaskTable
from curate.demo_dataset import draw_shapes

SIDE = 128
"""Side of a tile, and of the segmenter's input, in pixels."""

DIAMETER = 26.0
"""Of an image's median nucleus once it is brought to scale, in pixels."""

TILE_SCALE = 2.0
"""Screen pixels of a tile's pixel: people see a nucleus of median size 52 px wide."""

LEAST_PX = 30
"""What is left of a nucleus at the border of a tile counts from so many pixels on."""

NUCLEUS = [{"id": 1, "name": "nucleus"}]
TUMOUR = [{"id": 1, "name": "tumour"}]
Masks = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class StudySet:
    """Pictures and their true masks, split once for all seeds.

    Attributes:
        pool: COCO file of the pool; its pictures lie in ``pool/images`` beside it.
        fixed: COCO file of the fixed validation set, never shown to an engine.
        rest: COCO file of what is only used at the end.
        scale: Screen pixels of a picture's pixel; None: the longest side has 640.
    """

    pool: Path
    fixed: Path
    rest: Path
    scale: float | None


def images_of(source: Path) -> Path:
    """Return the folder of a set's pictures."""
    return source.parent / "images"


def drawn_set(
    folder: Path, images: int, *, others: int | None = None, side: int = 64, seed: int = 0
) -> StudySet:
    """Draw scenes.

    Args:
        folder: Where they go.
        images: Scenes of the pool.
        others: Scenes of the fixed validation set, and of the rest; as many if None.
        side: Of each scene, in pixels.
        seed: Other seeds draw other scenes.
    """
    made = []
    for k, name in enumerate(("pool", "fixed", "rest")):
        source = folder / name / "instances.json"
        count = images if name == "pool" or others is None else others
        if not source.exists():
            draw_shapes(source.parent, images=count, seed=seed + k, side=side)
        made.append(source)
    return StudySet(*made, scale=None)


def vary_pictures(folder: Path, seed: int) -> None:
    """Change the pictures of drawn scenes so that they differ as pictures of the world do.

    By chance a picture becomes grey, is inverted, gets another gamma, contrast and ground, is
    blurred, and gets noise; masks stay as they are.

    Args:
        folder: Of the pictures, which are written over.
        seed: Of all that is drawn.
    """
    random = np.random.default_rng(seed)
    for path in sorted(folder.iterdir()):
        with Image.open(path) as picture:
            values = np.asarray(picture.convert("RGB")).astype(np.float64) / 255
        if random.random() < 0.5:
            values = np.repeat(values.mean(axis=2, keepdims=True), 3, axis=2)
        if random.random() < 0.35:
            values = 1 - values
        if random.random() < 0.7:
            values = values ** np.exp(random.uniform(-0.9, 0.9))
        lowest = values.min()
        values = (values - lowest) * np.exp(random.uniform(-1.6, 0.2))
        values += lowest * random.uniform(0.2, 1)
        changed = Image.fromarray((np.clip(values, 0, 1) * 255).astype(np.uint8))
        if random.random() < 0.7:
            changed = changed.filter(ImageFilter.GaussianBlur(random.uniform(0.3, 2)))
        values = np.asarray(changed).astype(np.float64)
        values += random.normal(0, random.uniform(0, 5), values.shape)
        Image.fromarray(np.clip(values, 0, 255).astype(np.uint8)).save(path)


def nuclei_set(data: Path, folder: Path, tiles: int, pool: int | None = None) -> StudySet:
    """Cut the nuclei into tiles: half of the images are the pool, a fifth validates.

    Masks are the corrected ones. An image is brought to the scale at which its median nucleus, as
    first published, is :data:`DIAMETER` wide, and cut into tiles that do not overlap.

    Args:
        data: Folder of the datasets.
        folder: Where the tiles go.
        tiles: Tiles of an image at most, drawn by chance.
        pool: Tiles of the pool at most, of images drawn by chance; None: all.
    """
    document = json.loads((data / "dsb2018/instances_fixed.json").read_text())
    published = json.loads((data / "dsb2018/instances_original.json").read_text())
    scales = _scales(published)
    order = np.random.default_rng(0).permutation(sorted(i["id"] for i in document["images"]))
    half, fifth = len(order) // 2, len(order) // 5
    split = {
        "pool": order[:half],
        "fixed": order[half : half + fifth],
        "rest": order[half + fifth :],
    }
    made = []
    for name, ids in split.items():
        source = folder / name / "instances.json"
        if not source.exists():
            by_id = {image["id"]: image for image in document["images"]}
            some = [by_id[number] for number in ids.tolist()]
            most = pool if name == "pool" else None
            _write_tiles(data, document, some, scales, source, (tiles, most))
        made.append(source)
    return StudySet(*made, scale=TILE_SCALE)


def tumour_set(data: Path, folder: Path) -> StudySet:
    """Bring the second set to the segmenter's input: tumours in slices of brains, one at most each.

    Half of the images are the pool, a fifth validates; those without a tumour are in it too.

    Args:
        data: Folder of the datasets.
        folder: Where the pictures go.
    """
    place = data / "brain_tumour" / "valid"
    table = curate.read(place / "_annotations.coco.json")
    order = np.random.default_rng(0).permutation(len(table.images))
    half, fifth = len(order) // 2, len(order) // 5
    parts = np.split(order, [half, half + fifth])
    made = []
    for name, rows in zip(("pool", "fixed", "rest"), parts, strict=True):
        source = folder / name / "instances.json"
        if not source.exists():
            _write_scaled(place, table, rows.tolist(), source)
        made.append(source)
    return StudySet(*made, scale=None)


def _write_scaled(place: Path, table: MaskTable, rows: list[int], source: Path) -> None:
    """Write some images of a dataset and their masks, each :data:`SIDE` px wide and high.

    Args:
        place: Folder of the pictures.
        table: The dataset.
        rows: Of its images.
        source: The COCO file to write.
    """
    images_of(source).mkdir(parents=True, exist_ok=True)
    made: dict[str, list[dict[str, Any]]] = {"images": [], "annotations": []}
    owner = table.masks["image_id"].to_numpy()
    for number, row in enumerate(rows, 1):
        image_id, name = table.images.index[row], str(table.images["file_name"].iloc[row])
        with Image.open(place / name) as picture:
            small = picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        shown = f"{Path(name).stem}.png"
        small.save(images_of(source) / shown)
        about = {"id": number, "file_name": shown, "height": SIDE, "width": SIDE}
        made["images"].append(about)
        for k in np.flatnonzero(owner == image_id).tolist():
            drawn = Image.fromarray(rle.to_dense(table.runs, k).astype(np.uint8))
            mask = np.asarray(drawn.resize((SIDE, SIDE), Image.Resampling.NEAREST), bool)
            if mask.sum() >= LEAST_PX:
                made["annotations"].append(_annotation(len(made["annotations"]) + 1, number, mask))
    source.write_text(json.dumps(made | {"categories": TUMOUR}))


def _scales(published: dict[str, Any]) -> dict[str, float]:
    """Return by how much each image is enlarged, by file name."""
    areas: dict[int, list[float]] = {}
    for annotation in published["annotations"]:
        if annotation["area"] > 0:
            areas.setdefault(annotation["image_id"], []).append(annotation["area"])
    found = {}
    for image in published["images"]:
        own = areas.get(image["id"])
        diameter = 2 * float(np.sqrt(np.median(own) / np.pi)) if own else DIAMETER
        found[image["file_name"]] = float(np.clip(DIAMETER / diameter, 0.25, 4))
    return found


def _write_tiles(
    data: Path,
    document: dict[str, Any],
    images: list[dict[str, Any]],
    scales: dict[str, float],
    source: Path,
    most: tuple[int, int | None],
) -> None:
    """Cut images into tiles, and write the tiles and their masks.

    Args:
        data: Folder of the datasets.
        document: All images and their masks.
        images: Those that are cut, in order.
        scales: By how much each is enlarged, by file name.
        source: The COCO file to write.
        most: Tiles of an image, and of all images, at most; None: as many as there are.
    """
    masks: dict[int, list[dict[str, Any]]] = {}
    for annotation in document["annotations"]:
        masks.setdefault(annotation["image_id"], []).append(annotation)
    images_of(source).mkdir(parents=True, exist_ok=True)
    made: dict[str, list[dict[str, Any]]] = {"images": [], "annotations": []}
    for image in images:
        scale = scales.get(image["file_name"], 1.0)
        picture = Image.open(data / "dsb2018/images" / image["file_name"]).convert("RGB")
        pixels, labels = _brought_to_scale(picture, masks.get(image["id"], []), scale)
        for top, left, cut in _tiles(labels, most[0], image["id"]):
            if most[1] is not None and len(made["images"]) == most[1]:
                break
            number = len(made["images"]) + 1
            name = f"{image['id']}_{top}_{left}.png"
            shown = Image.fromarray(pixels[top : top + SIDE, left : left + SIDE])
            shown.save(images_of(source) / name)
            about = {"id": number, "file_name": name, "height": SIDE, "width": SIDE}
            made["images"].append(about)
            for mask in cut:
                made["annotations"].append(_annotation(len(made["annotations"]) + 1, number, mask))
    source.write_text(json.dumps(made | {"categories": NUCLEUS}))


def _brought_to_scale(
    picture: Image.Image, annotations: list[dict[str, Any]], scale: float
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint16]]:
    """Return a picture and the numbers of its nuclei, 0 on the ground, both enlarged."""
    labels = np.zeros((picture.height, picture.width), np.uint16)
    for k, annotation in enumerate(annotations, start=1):
        labels[np.asarray(coco_mask.decode(annotation["segmentation"]), bool)] = k
    size = (max(SIDE, round(picture.width * scale)), max(SIDE, round(picture.height * scale)))
    drawn = Image.fromarray(labels).resize(size, Image.Resampling.NEAREST)
    return np.asarray(picture.resize(size, Image.Resampling.BILINEAR)), np.asarray(drawn)


def _tiles(
    labels: npt.NDArray[np.uint16], most: int, seed: int
) -> Iterator[tuple[int, int, list[Masks]]]:
    """Yield top, left and the masks of tiles with two nuclei at least, drawn by chance."""
    height, width = labels.shape
    corners = [
        (top, left)
        for top in range(0, height - SIDE + 1, SIDE)
        for left in range(0, width - SIDE + 1, SIDE)
    ]
    found = 0
    for at in np.random.default_rng(seed).permutation(len(corners)):
        top, left = corners[at]
        tile = labels[top : top + SIDE, left : left + SIDE]
        counts = np.bincount(tile.ravel())
        masks = [tile == k for k in np.flatnonzero(counts >= LEAST_PX) if k]
        if len(masks) >= 2:
            found += 1
            yield top, left, masks
        if found == most:
            return


def _annotation(number: int, image: int, mask: Masks) -> dict[str, Any]:
    packed = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {
        "id": number,
        "image_id": image,
        "category_id": 1,
        "iscrowd": 0,
        "segmentation": packed | {"counts": packed["counts"].decode("ascii")},
        "area": int(mask.sum()),
        "bbox": [float(v) for v in coco_mask.toBbox(packed)],
    }
