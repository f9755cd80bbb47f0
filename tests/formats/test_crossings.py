"""Outlines that cross themselves, in every format that has polygons."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import curate
from curate.formats.segmentation import count_crossings

BOW = [10, 10, 50, 50, 50, 10, 10, 50]
SQUARE = [60, 10, 90, 10, 90, 40, 60, 40]


@pytest.mark.parametrize(
    ("rings", "expected"),
    [
        ([BOW], 1),
        ([SQUARE], 0),
        ([SQUARE, BOW, BOW], 2),
        ([[0, 0, 10, 0, 10, 10]], 0),
        # A hole joined by a seam of no width, and two squares that touch in a corner.
        ([[0, 0, 9, 0, 9, 9, 0, 9, 0, 0, 3, 3, 3, 6, 6, 6, 6, 3, 3, 3]], 0),
        ([[0, 0, 5, 0, 5, 5, 9, 5, 9, 9, 5, 9, 5, 5, 0, 5]], 0),
        ([[0, 0, 20, 0, 20, 20, 10, -5, 0, 20]], 2),
    ],
)
def test_crossings_are_counted(rings: list[list[float]], expected: int) -> None:
    assert count_crossings(rings) == expected
    turned = [np.array(r).reshape(-1, 2)[::-1, ::-1].ravel().tolist() for r in rings]
    assert count_crossings(turned) == expected


def test_a_star_of_many_points_crosses_where_its_edges_do() -> None:
    angle = np.arange(5) * 4 * np.pi / 5
    star = np.column_stack([np.cos(angle), np.sin(angle)]) * 40 + 50
    assert count_crossings([star.ravel().tolist()]) == 5


def write_coco(folder: Path) -> Path:
    masks = [
        {"id": k, "image_id": 1, "category_id": 1, "segmentation": [ring], "iscrowd": 0}
        for k, ring in enumerate((SQUARE, BOW), 1)
    ]
    image = {"id": 1, "file_name": "a.png", "width": 100, "height": 60}
    category = {"id": 1, "name": "bow"}
    file = folder / "a.json"
    file.write_text(json.dumps({"images": [image], "annotations": masks, "categories": [category]}))
    return file


def write_cvat(folder: Path) -> Path:
    shapes = "".join(
        f'<polygon label="bow" points="{";".join(f"{x},{y}" for x, y in np.reshape(r, (-1, 2)))}"/>'
        for r in (SQUARE, BOW)
    )
    file = folder / "annotations.xml"
    image = f'<image id="0" name="a.png" width="100" height="60">{shapes}</image>'
    file.write_text(f"<annotations><version>1.1</version>{image}</annotations>")
    return file


def write_yolo(folder: Path) -> Path:
    from PIL import Image

    for name in ("images/train", "labels/train"):
        (folder / name).mkdir(parents=True)
    Image.new("L", (100, 60)).save(folder / "images/train/a.png")
    lines = [
        "0 " + " ".join(str(v / (60 if k % 2 else 100)) for k, v in enumerate(ring))
        for ring in (SQUARE, BOW)
    ]
    (folder / "labels/train/a.txt").write_text("\n".join(lines) + "\n")
    (folder / "data.yaml").write_text("path: .\ntrain: images/train\nnames: [bow]\n")
    return folder


@pytest.mark.parametrize("write", [write_coco, write_cvat, write_yolo])
def test_an_outline_that_crosses_itself_is_a_finding(tmp_path: Path, write) -> None:
    source = tmp_path / "in"
    source.mkdir()
    masks = curate.audit(write(source), tmp_path / "out").masks()
    assert masks["outline_crossings"].tolist() == [0, 1]
    assert masks["flagged_by"].tolist()[1] == "rule"
    assert "its outline crosses itself (crossings: 1)" in masks["reasons"].tolist()[1]
    assert "crosses" not in masks["reasons"].tolist()[0]
