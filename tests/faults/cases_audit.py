"""Cases of ``audit`` and ``decide``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fault_harness import Case, audit_content
from test_pipeline import write_sa1b

import curate
from curate.formats.coco import file_index
from curate.formats.sa1b import sa1b_format


def prepare_colliding(folder: Path) -> None:
    """Write three parts in which the same ids stand."""
    write_sa1b(folder / "in", 3, masks=4, same_ids=True)


def run_audit(folder: Path) -> None:
    vars(sa1b_format)["PART_BYTES"] = 1
    curate.audit(folder / "in", folder / "out")


def seen(folder: Path) -> dict[str, Any]:
    return audit_content(folder / "out")


def prepare_audited(folder: Path) -> None:
    write_sa1b(folder / "in", 3, masks=4)
    run_audit(folder)


def run_decide(folder: Path) -> None:
    curate.decide(folder / "out", policy="sa1b")


def prepare_crowds(folder: Path) -> None:
    """Write a COCO file of which nearly all masks are crowd regions."""
    square = [10, 10, 30, 10, 30, 30, 10, 30]
    images = [{"id": k, "file_name": f"{k}.jpg", "width": 60, "height": 50} for k in range(3)]
    annotations = [
        {
            "id": k,
            "image_id": k % 3,
            "category_id": 1,
            "iscrowd": 1,
            "segmentation": {"size": [50, 60], "counts": [600 + k, 20, 30, 20, 2330 - k]},
            "bbox": [12, 0, 2, 50],
            "area": 40,
        }
        for k in range(9)
    ]
    annotations.append(
        {"id": 9, "image_id": 0, "category_id": 1, "iscrowd": 0, "segmentation": [square]}
        | {"bbox": [10, 10, 20, 20], "area": 400}
    )
    whole = {"images": images, "annotations": annotations}
    whole["categories"] = [{"id": 1, "name": "thing"}]
    (folder / "in").write_text(json.dumps(whole))


def coco(images: range, masks: int, first_id: int = 1) -> dict[str, Any]:
    """Return a COCO dataset of squares."""
    annotations = []
    for k in range(masks):
        x, y, size = 3 + 7 * (k % 6), 4 + 3 * (k % 9), 6 + k % 8
        ring = [x, y, x + size, y, x + size, y + size, x, y + size]
        annotations.append(
            {"id": first_id + k, "image_id": images[k % len(images)], "category_id": 1 + k % 2}
            | {"segmentation": [ring], "bbox": [x, y, size, size], "area": size**2, "iscrowd": 0}
        )
    return {
        "images": [{"id": k, "file_name": f"{k}.jpg", "width": 64, "height": 48} for k in images],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
    }


def prepare_inputs(folder: Path) -> None:
    """Write a COCO file, another annotator's, and detections of which one is on no image of it."""
    (folder / "in.json").write_text(json.dumps(coco(range(4), 16)))
    (folder / "second.json").write_text(json.dumps(coco(range(4), 12, 100)))
    names = ("image_id", "category_id", "bbox")
    found = [{k: a[k] for k in names} | {"score": 0.9} for a in coco(range(5), 15)["annotations"]]
    (folder / "found.json").write_text(json.dumps(found))


def run_with_inputs(folder: Path) -> None:
    vars(file_index)["PART_MASKS"] = 8
    curate.audit(
        folder / "in.json",
        folder / "out",
        detections=folder / "found.json",
        compare={"second": folder / "second.json"},
        trust_joins=True,
    )


def prepare_other(folder: Path) -> None:
    """Leave an audit of something else where the next one is to stand."""
    write_sa1b(folder / "old", 2, masks=3, seed=5)
    vars(sa1b_format)["PART_BYTES"] = 1
    curate.audit(folder / "old", folder / "out")
    write_sa1b(folder / "in", 2, masks=3)


def run_restart(folder: Path) -> None:
    vars(sa1b_format)["PART_BYTES"] = 1
    curate.audit(folder / "in", folder / "out", restart=True)


CASES = {
    "audit": Case(prepare_colliding, run_audit, seen),
    "audit of crowds": Case(prepare_crowds, run_audit, seen),
    "audit with detections and another annotator": Case(prepare_inputs, run_with_inputs, seen),
    "audit --restart": Case(prepare_other, run_restart, seen),
    "decide": Case(prepare_audited, run_decide, seen),
}
