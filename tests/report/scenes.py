"""An audit written by hand: drawn scenes, their masks, planted defects, made-up scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFilter

from curate.rle import Runs, bbox, concat, encode_counts, from_dense
from curate.store.audit import StoredAudit
from curate.store.audit_info import SCHEMA_VERSION, read_info

HOSTILE = (
    '<img src=x onerror="window.hacked=1">',
    "a \"quoted\" & 'odd' name",
    "two\nlines\tand a tab",
    "\u202eright to left\u202c",
    "قطة سوداء",
    "</script><script>window.hacked=2</script>",
    "x" * 5000,
    "{{ 7 * 7 }}",
)

REASONS = {
    "hole": "has holes ({n} px)",
    "twin": "is a copy of mask {twin} (IoU {iou})",
    "pieces": "falls into {n} pieces",
    "shape": "is unlike the others of its category",
    "empty": "has no pixel",
}


HandMade = StoredAudit
"""An audit over files that a test wrote."""


def scene(
    rng: np.random.Generator, size: tuple[int, int], n: int
) -> tuple[Image.Image, list[np.ndarray]]:
    """Draw some bright blobs on a dim ground, and return the picture and a mask of each blob."""
    width, height = size
    ground = rng.normal(70, 6, (height // 8 + 1, width // 8 + 1, 3)).clip(0, 255).astype(np.uint8)
    picture = Image.fromarray(ground).resize(size, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(picture)
    masks = []
    for _ in range(n):
        angles = np.sort(rng.uniform(0, 2 * np.pi, 14))
        radius = rng.uniform(0.06, 0.16) * min(size) * rng.uniform(0.8, 1.2, 14)
        x, y = rng.uniform(0.1, 0.9) * width, rng.uniform(0.1, 0.9) * height
        corners = [
            (float(x + r * np.cos(a)), float(y + r * np.sin(a)))
            for a, r in zip(angles, radius, strict=True)
        ]
        colour = tuple(int(c) for c in rng.integers(90, 240, 3))
        draw.polygon(corners, fill=colour)
        flat = Image.new("L", size)
        ImageDraw.Draw(flat).polygon(corners, fill=1)
        masks.append(np.asarray(flat).astype(bool))
    return picture.filter(ImageFilter.GaussianBlur(0.8)), masks


def write_scenes(
    folder: Path, images: int = 6, masks_each: int = 12, seed: int = 0
) -> tuple[HandMade, Path]:
    """Write an audit of drawn scenes and their pictures.

    Returns:
        The audit, and the folder of the pictures.
    """
    rng = np.random.default_rng(seed)
    pictures = folder / "pictures"
    pictures.mkdir(parents=True)
    rows: list[dict[str, Any]] = []
    runs: list[Runs] = []
    image_rows: list[dict[str, Any]] = []
    for i in range(images):
        size = (320 + 40 * (i % 3), 240)
        picture, found = scene(rng, size, masks_each)
        name = f"scene_{i}.jpg" if i else "scene & <b>0.jpg"
        if i != 2:  # one picture is not there
            picture.save(pictures / name, quality=88)
        for k, mask in enumerate(found):
            row, mask = plant(rng, mask, k, len(rows), i)
            rows.append(row | {"file_name": name, "height": size[1], "width": size[0]})
            runs.append(from_dense(mask))
            if row["kind"] == "twin_source":
                rows.append(twin_of(rows[-1], len(rows)))
                runs.append(from_dense(np.roll(mask, 2, axis=1)))
        image_rows.append(_image(i, name, size))
    masks = finish_rows(pd.DataFrame(rows), concat(runs))
    audit = write_audit(folder / "audit", masks, pd.DataFrame(image_rows), info())
    return audit, pictures


def plant(
    rng: np.random.Generator, mask: np.ndarray, k: int, mask_id: int, image_id: int
) -> tuple[dict[str, Any], np.ndarray]:
    """Damage every few masks, and give each the scores that real scorers would."""
    kind = {2: "hole", 4: "twin_source", 6: "pieces", 8: "shape", 10: "empty"}.get(k, "fine")
    mask = mask.copy()
    ys, xs = np.nonzero(mask)
    row: dict[str, Any] = {
        "mask_id": mask_id,
        "image_id": image_id,
        "kind": kind,
        "source_key": f"instances.json#/annotations/{mask_id}",
        "category": HOSTILE[mask_id % 16] if mask_id % 16 < len(HOSTILE) else f"blob {k % 3}",
        "prompt_x": float(xs.mean()) if len(xs) else 0.0,
        "prompt_y": float(ys.mean()) if len(ys) else 0.0,
        "status": "ok",
        "status_detail": "",
        "reasons": "",
        "action": "accept",
        "hole_score": 1.0,
        "fragment_score": 1.0,
        "uniqueness_score": float(rng.beta(60, 1)),
        "shape_score": float(rng.beta(6, 2)),
        "predicted_iou": float(rng.normal(0.93, 0.05)),
        "edge_score": float(rng.beta(5, 2)) if rng.random() > 0.2 else float("nan"),
        "hole_area_px": 0.0,
        "duplicate_of": None,
        "duplicate_iou": float("nan"),
    }
    if kind == "hole":
        y, x = int(ys.mean()), int(xs.mean())
        mask[y - 4 : y + 4, x - 5 : x + 5] = False
        row |= {"hole_score": 0.3, "hole_area_px": 80.0, "action": "review"}
        row["reasons"] = REASONS["hole"].format(n=80)
    if kind == "pieces":
        mask[:, int(xs.mean()) - 1 : int(xs.mean()) + 2] = False
        row |= {"fragment_score": 0.4, "action": "review", "shape_score": 0.2}
        row["reasons"] = REASONS["pieces"].format(n=2) + "; " + REASONS["shape"]
    if kind == "shape":
        row |= {"shape_score": 0.05, "action": "review", "reasons": REASONS["shape"]}
    if kind == "empty":
        mask[:] = False
        row |= {"status": "empty", "status_detail": "no pixel is set", "action": "reject"}
        row["reasons"] = REASONS["empty"]
    return row, mask


def twin_of(row: dict[str, Any], mask_id: int) -> dict[str, Any]:
    text = REASONS["twin"].format(twin=row["mask_id"], iou=0.91)
    return row | {
        "mask_id": mask_id,
        "kind": "twin",
        "source_key": f"instances.json#/annotations/{mask_id}",
        "uniqueness_score": 0.09,
        "duplicate_of": row["mask_id"],
        "duplicate_iou": 0.91,
        "action": "reject",
        "reasons": text,
    }


def finish_rows(masks: pd.DataFrame, runs: Any) -> pd.DataFrame:
    """Add what is measured and what a policy gives."""
    boxes = bbox(runs)
    masks = masks.drop(columns="kind").assign(
        segmentation=[c.as_py() for c in encode_counts(runs)],
        area_px=[
            int(a)
            for a in np.add.reduceat(
                np.append(runs.ends - runs.starts, 0), np.minimum(runs.offsets[:-1], len(runs.ends))
            )
            * (np.diff(runs.offsets) > 0)
        ],
        **{f"bbox_{c}": boxes[:, k] for k, c in enumerate("xywh")},
    )
    scores = ["hole_score", "fragment_score", "uniqueness_score", "shape_score"]
    masks["quality_score"] = masks[scores].min(axis=1)
    masks["priority"] = 1 - masks["quality_score"]
    masks["rank"] = masks["priority"].rank(ascending=False, method="first").astype("int64")
    masks["duplicate_of"] = masks["duplicate_of"].astype("Int64")
    return masks


def _image(image_id: int, name: str, size: tuple[int, int]) -> dict[str, Any]:
    missing = [{"bbox": [40, 50, 60, 44], "score": 0.83, "category": "blob <0>"}]
    return {
        "image_id": image_id,
        "file_name": name,
        "height": size[1],
        "width": size[0],
        "status": "missing" if image_id == 2 else "ok",
        "status_detail": "no such file" if image_id == 2 else "",
        "near_duplicate_of": 0 if image_id == 3 else None,
        "missing_detections": 1 if image_id == 1 else 0,
        "missing_detections_json": json.dumps(missing if image_id == 1 else []),
    }


def info() -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "tool_version": "0.1.0",
        "state": "complete",
        "source": {"path": "/data/of people/<i>scenes & \u202eco.json", "format": "coco"},
        "command": "curate audit scenes.json --images pictures",
        "settings": {"workers": 2},
        "timings": {"read": 0.21, "score": 74.2},
        "policy": {
            "name": "default",
            "toml": 'name = "default"\n\n[[rule]]\nwhen = "hole_score < 0.5"\n',
            "marks": [
                {"column": "hole_score", "below": 0.5, "action": "review"},
                {"column": "uniqueness_score", "below": 0.2, "action": "reject"},
            ],
        },
        "signals": [
            {"name": "holes", "columns": ["hole_score"], "available": True, "why": ""},
            {"name": "duplicates", "columns": ["uniqueness_score"], "available": True, "why": ""},
            {
                "name": "stability",
                "columns": ["stability_score"],
                "available": False,
                "why": "the source stores none and no soft masks were given",
            },
        ],
        "silent_rules": [
            {"rule": 2, "when": "stability_score < 0.5", "lacks": ["stability_score"]}
        ],
        "stability_curve": {
            "offsets": [0.0, 0.5, 1.0, 1.5, 2.0],
            "mean": [1.0, 0.97, 0.94, 0.9, 0.85],
            "p10": [1.0, 0.92, 0.86, 0.8, 0.7],
            "p90": [1.0, 0.99, 0.98, 0.97, 0.96],
        },
    }


def write_audit(
    path: Path, masks: pd.DataFrame, images: pd.DataFrame, about: dict[str, Any]
) -> HandMade:
    """Write the files of an audit directory."""
    for view, frame in (("masks", masks), ("images", images)):
        (path / view).mkdir(parents=True)
        frame.to_parquet(path / view / "part-00000.parquet", index=False)
    own = {"schema_version": SCHEMA_VERSION, "state": "complete"}
    (path / "audit.json").write_text(json.dumps(own | about))
    found = read_info(path)
    assert found is not None
    return HandMade(path, found)
