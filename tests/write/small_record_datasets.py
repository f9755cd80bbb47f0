"""Small datasets in the formats that are one JSON file with a record an image."""

from __future__ import annotations

import base64
import io
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from drawn_masks import Rng, Size, box_of, rle_of, scene, stars
from small_json_datasets import SIZES, picture

# --- Label Studio --------------------------------------------------------------------------------


def packed_brush(mask: np.ndarray) -> list[int]:
    """Return a mask as Label Studio's page packs it, written after the documented bit layout.

    Values are bytes of red, green, blue and alpha; runs of equal ones are repeated, single ones
    stand as they are, and lengths take 3, 4, 8 or 16 bits.
    """
    values = np.repeat(np.where(mask.ravel(), 255, 0), 4).tolist()
    bits = [f"{len(values):032b}", f"{7:05b}", *(f"{size - 1:04b}" for size in (3, 4, 8, 16))]
    at = 0
    while at < len(values):
        end = at
        while end < len(values) and values[end] == values[at] and end - at < 1 << 16:
            end += 1
        count = end - at
        kind = next(k for k, size in enumerate((3, 4, 8, 16)) if count <= 1 << size)
        size = (3, 4, 8, 16)[kind]
        is_run = "0" if count == 1 else "1"
        bits.append(f"{is_run}{kind:02b}{count - 1:0{size}b}{values[at]:08b}")
        at = end
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return [int(text[i : i + 8], 2) for i in range(0, len(text), 8)]


def brush(mask: np.ndarray, name: str, label: str) -> dict[str, Any]:
    height, width = mask.shape
    return {
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": {"format": "rle", "rle": packed_brush(mask), "brushlabels": [label]},
        "id": name,
        "from_name": "tag",
        "to_name": "image",
        "type": "brushlabels",
        "origin": "manual",
    }


def polygon(ring: list[float], size: Size, name: str, label: str) -> dict[str, Any]:
    height, width = size
    pairs = zip(ring[::2], ring[1::2], strict=True)
    points = [[x / width * 100, y / height * 100] for x, y in pairs]
    return {
        "id": name,
        "type": "polygonlabels",
        "value": {"points": points, "closed": True, "polygonlabels": [label]},
        "to_name": "image",
        "from_name": "poly",
        "image_rotation": 0,
        "original_width": width,
        "original_height": height,
    }


def annotation(number: int, result: list[Any], updated: str, **more: Any) -> dict[str, Any]:
    return {
        "id": number,
        "completed_by": {"id": 1, "email": "é@x.org"},
        "result": result,
        "was_cancelled": False,
        "ground_truth": False,
        "created_at": "2026-01-01T00:00:00.000000Z",
        "updated_at": updated,
        "lead_time": 12.5,
        "own": [1.0, {"result": []}],
        **more,
    }


def label_studio(folder: Path, rng: Rng) -> Path:
    """Brushes and polygons, texts and relations beside them, several people, skipped tasks."""
    labels = ("cell", "R&D é")
    tasks: list[dict[str, Any]] = []
    for k, (size, count) in enumerate(zip(SIZES, (4, 3, 0), strict=True)):
        masks = scene(rng, size, count) if count else []
        result: list[Any] = [
            brush(mask, f"br_{k}_{i}", labels[i % 2]) for i, mask in enumerate(masks)
        ]
        rings = stars(rng, size, 2, masks) if count else []
        result += [
            polygon(one[0], size, f"po-{k}-{i}", labels[i % 2]) for i, one in enumerate(rings)
        ]
        if count:
            note = {"id": "br_0_1", "from_name": "note", "to_name": "image", "type": "textarea"}
            result.insert(1, note | {"value": {"text": ["] } , \\ é"]}})
            result.append({"type": "relation", "from_id": f"br_{k}_2", "to_id": f"br_{k}_0"})
            box = {"x": 1.5, "y": 2, "width": 3, "height": 4, "rectanglelabels": ["cell"]}
            result.append({"id": "box", "type": "rectanglelabels", "value": box})
        older = annotation(10 * k, result[:1], "2026-02-01T00:00:00.000000Z")
        skipped = annotation(
            10 * k + 1, result[:2], "2026-05-01T00:00:00.000000Z", was_cancelled=True
        )
        chosen = annotation(10 * k + 2, result, "2026-03-01T00:00:00.000000Z")
        guessed = {"id": 7 + k, "model_version": "m", "score": 0.5, "result": result[:1]}
        tasks.append(
            {
                "id": 100 - k,
                "data": {"image": f"/data/upload/1/0a1b2c3{k}-é {k}.png", "text": "[1, 2]"},
                "annotations": [chosen] if k == 1 else [older, chosen, skipped],
                "predictions": [guessed] if k == 0 else [],
                "meta": {"annotations": [1, None]},
            }
        )
    # Nobody has drawn on the last one; its size is known from what a model made of it.
    empty = {"rle": packed_brush(np.zeros(SIZES[2], bool)), "format": "rle"}
    unseen = brush(np.zeros(SIZES[2], bool), "none", "cell") | {"value": empty}
    tasks[2]["annotations"] = [annotation(22, [], "2026-03-01T00:00:00.000000Z")]
    tasks[2]["predictions"] = [{"id": 30, "result": [unseen]}]
    path = folder / "project-1.json"
    path.write_text(json.dumps(tasks, indent=2 if rng.random() < 0.5 else None), "utf-8")
    return path


# --- FiftyOne ------------------------------------------------------------------------------------


def packed_array(mask: np.ndarray, **more: Any) -> dict[str, Any]:
    """Return an array as FiftyOne's exporter writes it: numpy.save, zlib, extended JSON."""
    made = io.BytesIO()
    np.save(made, mask, **more)
    text = base64.b64encode(zlib.compress(made.getvalue())).decode()
    return {"$binary": {"base64": text, "subType": "00"}}


def detection(mask: np.ndarray, number: int, label: str, **more: Any) -> dict[str, Any]:
    height, width = mask.shape
    x, y, w, h = box_of(mask)
    piece = mask[y : y + h, x : x + w]
    return {
        "_id": {"$oid": f"{number:024x}"},
        "_cls": "Detection",
        "attributes": {"own": {"_cls": "NumericAttribute", "value": 1.0}},
        "tags": ["] } ,"],
        "label": label,
        "bounding_box": [x / width, y / height, w / width, h / height],
        "mask": packed_array(piece if number % 2 else piece.astype(np.uint8)),
        "mask_id": number,
        "confidence": 0.25,
        **more,
    }


def fiftyone(folder: Path, rng: Rng) -> Path:
    """Two fields with masks, samples with and without sizes, one without detections."""
    home = folder / "fo"
    (home / "data").mkdir(parents=True)
    samples: list[dict[str, Any]] = []
    number = 10
    for k, (size, count) in enumerate(zip(SIZES, (4, 3, 0), strict=True)):
        name = f"data/{k} é.png"
        (home / name).write_bytes(picture(size, "PNG"))
        made = []
        for i, mask in enumerate(scene(rng, size, count) if count else []):
            number += 7
            made.append(detection(mask, number, ("cat", "R&D é")[i % 2]))
        facts = {"_cls": "ImageMetadata", "width": size[1], "height": size[0]}
        sample: dict[str, Any] = {
            "_id": {"$oid": f"{k:024x}"},
            "filepath": name,
            "tags": [],
            "metadata": facts if k != 1 else None,
            "_media_type": "image",
            "_rand": 0.1234567890123456,
            "ground_truth": {"_cls": "Detections", "detections": made} if made else None,
            "guesses": {"_cls": "Detections", "detections": made[:1]},
            "weather": {"_cls": "Classification", "label": "sunny", "logits": None},
        }
        samples.append(sample)
    metadata = {"name": "small", "media_type": "image", "default_classes": ["cat", "R&D é"]}
    (home / "metadata.json").write_text(json.dumps(metadata))
    text = json.dumps({"samples": samples}, indent=1 if rng.random() < 0.5 else None)
    (home / "samples.json").write_text(text)
    return home


# --- VIA -----------------------------------------------------------------------------------------


def via_region(ring: list[float], attributes: dict[str, Any]) -> dict[str, Any]:
    xs, ys = ring[::2], ring[1::2]
    shape = {"name": "polygon", "all_points_x": xs, "all_points_y": ys, "own": [1.0]}
    return {"shape_attributes": shape, "region_attributes": attributes, "more": "] } ,"}


def _via_images(folder: Path, rng: Rng, ticked: bool) -> dict[str, Any]:
    """Return images with polygons and other shapes; the pictures are written beside."""
    labels = ("cat", "R&D é") if ticked else ("cat", "dog")
    images: dict[str, Any] = {}
    for k, (size, count) in enumerate(zip(SIZES, (4, 3, 0), strict=True)):
        name = f"{k} é.png"
        (folder / name).write_bytes(picture(size, "PNG"))
        regions: list[Any] = []
        for i, one in enumerate(stars(rng, size, count) if count else []):
            label = labels[i % 2]
            given = {"note": "a, b", "class": {label: True} if ticked else label}
            regions.append(via_region(one[0], given if ticked else {"species": label}))
        if count:
            box = {"name": "rect", "x": 1, "y": 2, "width": 3, "height": 4}
            regions.insert(1, {"shape_attributes": box, "region_attributes": {}})
        bytes_of = (folder / name).stat().st_size
        images[f"{name}{bytes_of}"] = {
            "filename": name,
            "size": bytes_of,
            "regions": regions,
            "file_attributes": {"caption": "[1"},
        }
    return images


def via(folder: Path, rng: Rng) -> Path:
    """A project in the folder of its pictures; categories are ticked boxes."""
    home = folder / "project"
    home.mkdir()
    options = {"cat": "", "R&D é": ""}
    project = {
        "_via_settings": {"ui": {"annotation_editor_height": 25}, "project": {"name": "p"}},
        "_via_img_metadata": _via_images(home, rng, True),
        "_via_attributes": {"region": {"class": {"type": "checkbox", "options": options}}},
        "_via_data_format_version": "2.0.10",
        "_via_image_id_list": ["x"],
    }
    indent = 2 if rng.random() < 0.5 else None
    (home / "via_project.json").write_text(json.dumps(project, indent=indent))
    return home


def via_export(folder: Path, rng: Rng) -> Path:
    """An export of annotations: the object of images alone."""
    home = folder / "export"
    home.mkdir()
    images = _via_images(home, rng, False)
    (home / "via_region_data.json").write_text(json.dumps(images, separators=(",", ":")))
    return home


# --- Datumaro ------------------------------------------------------------------------------------


def datumaro(folder: Path, rng: Rng) -> Path:
    """Two subsets: run lengths, polygons, groups with boxes and captions, items without sizes."""
    home = folder / "dm"
    (home / "annotations").mkdir(parents=True)
    labels = [{"name": name, "parent": "", "attributes": ["own"]} for name in ("cat", "R&D é")]
    for subset, first, count in (("train", 0, 2), ("val", 2, 1)):
        items: list[dict[str, Any]] = []
        (home / "images" / subset).mkdir(parents=True)
        for k in range(first, first + count):
            size, name = SIZES[k], f"{k} é.png"
            (home / "images" / subset / name).write_bytes(picture(size, "PNG"))
            masks = scene(rng, size, 3) if k < 2 else []
            found: list[dict[str, Any]] = []
            for i, mask in enumerate(masks):
                own = {"id": 7 * i, "attributes": {"is_crowd": i == 1, "] }": 1.0}, "group": 0}
                run = {"label_id": i % 2, "rle": rle_of(mask), "z_order": 0}
                found.append({"type": "mask", **own, **run})
            if k < 2:
                rings = stars(rng, size, 2, masks, rings=2)
                for i, both in enumerate(rings):
                    for ring in both:
                        common = {"id": 3, "group": 5 + i, "label_id": i, "attributes": {}}
                        found.append({**common, "type": "polygon", "points": ring, "z_order": 1})
                box = {"id": 9, "type": "bbox", "group": 5, "label_id": 0, "bbox": [1.0, 2, 3, 4]}
                found.insert(1, box | {"attributes": {}})
                found.append({"id": 0, "type": "caption", "group": 0, "caption": "[x"})
            facts: dict[str, Any] = {"path": name}
            if k != 1:
                facts["size"] = list(size)
            items.append(
                {"id": f"{k} é", "annotations": found, "attr": {"frame": k}, "image": facts}
            )
        whole = {
            "dm_format_version": "1.0",
            "media_type": 2,
            "infos": {"items": []},
            "categories": {"label": {"labels": labels, "attributes": []}, "mask": {"colormap": []}},
            "items": items,
        }
        text = json.dumps(whole, indent=1 if subset == "val" else None)
        (home / "annotations" / f"{subset}.json").write_text(text)
    return home
