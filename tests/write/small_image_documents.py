"""Small datasets in the formats that have a JSON document an image: labelme, Supervisely."""

from __future__ import annotations

import base64
import io
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from drawn_masks import Rng, Size, box_of, scene, stars
from PIL import Image
from small_json_datasets import SIZES, picture

# --- labelme -------------------------------------------------------------------------------------


def _pairs(ring: list[float]) -> list[list[float]]:
    return [list(pair) for pair in zip(ring[::2], ring[1::2], strict=True)]


def png_base64(pixels: np.ndarray) -> str:
    packed = io.BytesIO()
    Image.fromarray(pixels).save(packed, "PNG")
    return base64.b64encode(packed.getvalue()).decode()


def _mask_shape(mask: np.ndarray, label: str) -> dict[str, Any]:
    x, y, w, h = box_of(mask)
    patch = mask[y : y + h, x : x + w]
    return {
        "label": label,
        "points": [[float(x), float(y)], [x + w - 1.0, y + h - 1.0]],
        "group_id": None,
        "description": "",
        "shape_type": "mask",
        "flags": {},
        "mask": png_base64(patch.astype(np.uint8)),
    }


def _polygon_shape(ring: list[float], label: str, group: int | None) -> dict[str, Any]:
    return {
        "label": label,
        "points": _pairs(ring),
        "group_id": group,
        "description": "é ] } ,",
        "shape_type": "polygon",
        "flags": {"hard": True},
        "mask": None,
    }


def _labelme_document(name: str, size: Size, shapes: list[Any], data: str | None) -> dict[str, Any]:
    return {
        "version": "5.8.1",
        "flags": {"done": False},
        "shapes": shapes,
        "imagePath": name,
        "imageData": data,
        "imageHeight": size[0],
        "imageWidth": size[1],
        "mine": [1.0, {"shapes": []}],
    }


def labelme(folder: Path, rng: Rng) -> Path:
    """Polygons in groups, masks and a box; a picture in the document and one elsewhere."""
    root = folder / "labelme"
    (root / "a").mkdir(parents=True)
    (root / "pictures").mkdir()
    masks = scene(rng, SIZES[0], 2)
    rings = stars(rng, SIZES[0], 2, masks, rings=2)
    shapes = [
        _polygon_shape(rings[0][0], "cat", 7),
        _mask_shape(masks[0], "R&D \\ é"),
        {**_polygon_shape([1, 2, 9, 8], "cat", 7), "shape_type": "rectangle"},
        _polygon_shape(rings[1][0], "R&D \\ é", 7),
        _polygon_shape(rings[0][1], "cat", 7),
        _mask_shape(masks[1], "cat"),
        _polygon_shape(rings[1][1], "R&D \\ é", 7),
    ]
    data = base64.b64encode(picture(SIZES[0])).decode()
    whole = _labelme_document("..\\pictures\\é 1.jpg", SIZES[0], shapes, data)
    text = json.dumps(whole, indent=2, ensure_ascii=False)
    (root / "a/é 1.json").write_bytes(text.replace("\n", "\r\n").encode())
    (root / "pictures/é 1.jpg").write_bytes(picture(SIZES[0]))

    shapes = [_mask_shape(mask, "cat") for mask in scene(rng, SIZES[1], 3)]
    whole = _labelme_document("b.png", SIZES[1], shapes, None)
    (root / "b.json").write_text(json.dumps({"imageData": data, **whole}))
    (root / "b.png").write_bytes(picture(SIZES[1], "PNG"))
    (root / "none.json").write_text(json.dumps(_labelme_document("none.png", SIZES[2], [], None)))
    (root / "classes.json").write_text('{"classes": ["cat"]}')
    return root


def anylabeling(folder: Path, rng: Rng) -> Path:
    """Polygons as X-AnyLabeling writes them, with scores and boxes of four corners."""
    root = folder / "x"
    root.mkdir()
    for k, (size, count) in enumerate(((SIZES[0], 4), (SIZES[1], 3))):
        shapes: list[dict[str, Any]] = [
            {
                "label": ("cat", "dog")[i % 2],
                "score": None if i else 0.75,
                "points": _pairs(rings[0]),
                "group_id": None if i else 3,
                "description": None,
                "difficult": False,
                "shape_type": "polygon",
                "flags": {},
                "attributes": {"colour": "red"} if i == 1 else {},
                "kie_linking": [],
            }
            for i, rings in enumerate(stars(rng, size, count))
        ]
        shapes.insert(1, {**shapes[0], "shape_type": "rectangle", "points": [[1, 1], [9, 1]]})
        whole = {"version": "3.2.1", "flags": {}, "checked": True, "shapes": shapes}
        whole |= {"imagePath": f"{k}.jpg", "imageData": None}
        whole |= {"imageHeight": size[0], "imageWidth": size[1]}
        (root / f"{k}.json").write_text(json.dumps(whole, indent=2 * k))
        (root / f"{k}.jpg").write_bytes(picture(size))
    return root


# --- Supervisely ---------------------------------------------------------------------------------

CLASSES = (("cat", "bitmap"), ("R&D é", "polygon"), ("tree", "any"), ("box", "rectangle"))


def packed_bitmap(mask: np.ndarray, box: tuple[int, int, int, int]) -> dict[str, Any]:
    """Return a bitmap as the SDK packs it: a palette of which the first colour is transparent."""
    x, y, w, h = box
    image = Image.fromarray(mask[y : y + h, x : x + w].astype(np.uint8))
    image.putpalette([0, 0, 0, 255, 255, 255])
    packed = io.BytesIO()
    image.save(packed, "PNG", transparency=0, optimize=0)
    return {"data": base64.b64encode(zlib.compress(packed.getvalue())).decode(), "origin": [x, y]}


def _figure(number: int, title: str, kind: str, **more: Any) -> dict[str, Any]:
    tags = [{"name": "hard", "value": "é ] } ,"}] if number % 2 else []
    own = {"id": number, "classId": 40, "description": "", "geometryType": kind}
    return {**own, "labelerLogin": "ada", "tags": tags, "classTitle": title, **more}


def _annotation(size: Size, figures: list[dict[str, Any]]) -> dict[str, Any]:
    sides = {"height": size[0], "width": size[1]}
    return {
        "description": "",
        "tags": [],
        "size": sides,
        "objects": figures,
        "own": {"objects": []},
    }


def supervisely(folder: Path, rng: Rng) -> Path:
    """Two datasets: bitmaps, polygons with holes and boxes; pictures of one are not there."""
    root = folder / "project"
    for name in ("ds 0/ann", "ds 0/img", "ds1/ann"):
        (root / name).mkdir(parents=True)
    classes = [
        {"title": title, "shape": shape, "color": "#0F8A12", "id": 40 + k}
        for k, (title, shape) in enumerate(CLASSES)
    ]
    meta = {"classes": classes, "tags": [{"name": "hard", "value_type": "any_string"}]}
    (root / "meta.json").write_text(json.dumps(meta, indent=4, ensure_ascii=False))

    size = SIZES[0]
    masks = scene(rng, size, 3)
    bitmaps = [
        _figure(
            900 - 7 * k, ("cat", "tree")[k % 2], "bitmap", bitmap=packed_bitmap(one, box_of(one))
        )
        for k, one in enumerate(masks)
    ]
    square = [[1, 1], [30, 1], [30, 20], [1, 20]]
    holes = [[[5, 5], [9, 5], [9, 9], [5, 9]], [[12, 3], [20, 3], [16, 12]]]
    points = {"exterior": square, "interior": holes}
    polygon = _figure(3, "R&D é", "polygon", points=points)
    rectangle = {"exterior": [[1, 1], [4, 4]], "interior": []}
    box = _figure(4, "box", "rectangle", points=rectangle)
    text = json.dumps(_annotation(size, [*bitmaps, box, polygon]), indent=4, ensure_ascii=False)
    (root / "ds 0/ann/é 1.jpg.json").write_bytes(text.replace("\n", "\r\n").encode())
    (root / "ds 0/img/é 1.jpg").write_bytes(picture(size))
    (root / "ds 0/img/two.png").write_bytes(picture(SIZES[2], "PNG"))
    (root / "ds 0/ann/two.json").write_text(json.dumps(_annotation(SIZES[2], [])))

    figures = [
        _figure(50 + k, ("R&D é", "tree")[k % 2], "polygon", points=_ring_points(rings[0]))
        for k, rings in enumerate(stars(rng, SIZES[1], 3))
    ]
    (root / "ds1/ann/b.png.json").write_text(json.dumps(_annotation(SIZES[1], figures)))
    return root


def _ring_points(ring: list[float]) -> dict[str, Any]:
    return {"exterior": _pairs(ring), "interior": []}
