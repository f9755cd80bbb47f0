"""Polygons of the source in exports: as they are where nothing changed the mask."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from drawn_masks import encoded
from PIL import Image

import curate
from curate.people.reviews import Reviews

SIZE = (90, 120)
RINGS = {
    1: [[10.25, 12.5, 60.75, 14.0, 55.5, 70.25, 33.0, 40.0]],
    2: [[70.5, 10, 110, 12.25, 90.0, 60.5]],
    3: [[5.5, 60, 20.25, 62, 15, 80.75], [70, 65.5, 90.25, 66, 80, 85]],
    4: [[12, 13, 30.5, 14, 20, 30]],
}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rings")
    (folder / "images").mkdir()
    Image.new("RGB", SIZE[::-1]).save(folder / "images" / "1.png")
    one = {"image_id": 1, "category_id": 1, "iscrowd": 0}
    document = {
        "images": [{"id": 1, "file_name": "1.png", "height": SIZE[0], "width": SIZE[1]}],
        "annotations": [{"id": k, "segmentation": rings, **one} for k, rings in RINGS.items()],
        "categories": [{"id": 1, "name": "cat"}],
    }
    (folder / "a.json").write_text(json.dumps(document))
    curate.audit(
        folder / "a.json", folder / "audit", policy={"name": "all"}, images=folder / "images"
    )
    return folder


def redraw(source: Path, audit: Path, mask_id: int) -> Path:
    """Return a copy of the audit in which somebody redrew a mask."""
    shutil.copytree(source / "audit", audit)
    pixels = np.zeros(SIZE, bool)
    pixels[60:80, 20:45] = True
    rows = pd.DataFrame([{"mask_id": mask_id, "action": "fix", "segmentation": encoded(pixels)}])
    Reviews(curate.open_audit(audit)).add(rows, origin="a test")
    return audit


def test_coco_has_the_rings_of_the_source(source: Path, tmp_path: Path) -> None:
    audit = redraw(source, tmp_path / "audit", 2)
    made = curate.write(audit, tmp_path / "out", to="coco", split={"a": 1.0}, masks="same")
    written = json.loads((tmp_path / "out" / "annotations" / "instances_a.json").read_text())
    found = {one["id"]: one["segmentation"] for one in written["annotations"]}
    assert {k: found[k] for k in (1, 3, 4)} == {k: RINGS[k] for k in (1, 3, 4)}
    assert found[2] == [[20, 60, 45, 60, 45, 80, 20, 80]]
    assert made.stored.polygons == 4
    runs = curate.write(audit, tmp_path / "r.json", to="lvis", masks="rle").stored
    assert (runs.polygons, runs.runs) == (0, 4)


def test_rings_of_folders_of_files_and_of_archives(source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    (folder / "annotations").mkdir(parents=True)
    for name in ("train", "val"):
        shutil.copy(source / "a.json", folder / "annotations" / f"instances_{name}.json")
    packed = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", folder))
    for path in (folder, packed):
        curate.audit(path, tmp_path / f"{path.name}.audit", policy={"name": "all"})
        curate.write(tmp_path / f"{path.name}.audit", tmp_path / f"{path.name}.json", to="lvis")
        written = json.loads((tmp_path / f"{path.name}.json").read_text())
        rings = sorted(json.dumps(one["segmentation"]) for one in written["annotations"])
        assert rings == sorted(2 * [json.dumps(_whole(one)) for one in RINGS.values()])


def _whole(rings: list[list[float]]) -> list[list[float]]:
    return [[int(c) if c == int(c) else c for c in ring] for ring in rings]


@pytest.mark.parametrize("to", ["labelme", "yolo", "cvat"])
def test_other_formats_have_them_where_they_can(source: Path, tmp_path: Path, to: str) -> None:
    audit, out = redraw(source, tmp_path / "audit", 2), tmp_path / "out"
    curate.write(audit, out, to=to, images="copy")
    found = _points_of(to, out)
    for k in (1, 4) if to != "labelme" else (1, 3, 4):
        for ring in RINGS[k]:
            assert any(len(one) == len(ring) and np.allclose(one, ring, atol=1e-4) for one in found)


def _points_of(to: str, out: Path) -> list[Any]:
    if to == "labelme":
        shapes = json.loads((out / "1.json").read_text())["shapes"]
        return [np.ravel(one["points"]) for one in shapes]
    if to == "cvat":
        text = (out / "annotations.xml").read_text()
        parts = [part.partition('"')[0] for part in text.split('points="')[1:]]
        return [np.array([float(n) for n in one.replace(";", ",").split(",")]) for one in parts]
    lines = (out / "labels" / "1.txt").read_text().splitlines()
    scale = np.array(SIZE[::-1])
    return [np.ravel(np.reshape(line.split()[1:], (-1, 2)).astype(float) * scale) for line in lines]


@pytest.mark.parametrize("way", ["labelme", "yolo", "cvat", "label-studio", "zip"])
def test_rings_come_from_other_formats_as_well(source: Path, tmp_path: Path, way: str) -> None:
    """From COCO to a format and back: corners stay, instead of stairs along the pixels."""
    to = "labelme" if way == "zip" else way
    there = tmp_path / "there"
    made = curate.write(source / "audit", there, to=to, lossy=True, images="copy")
    own = made.out
    if way == "zip":
        own = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", there))
    audit = curate.audit(own, tmp_path / "audit", policy={"name": "all"})
    curate.write(audit, tmp_path / "back.json", to="coco", lossy=True)
    written = json.loads((tmp_path / "back.json").read_text())
    found = [one["segmentation"] for one in written["annotations"]]
    for rings in RINGS.values():
        if len(rings) == 1:
            alike = [one[0] for one in found if [len(ring) for ring in one] == [len(rings[0])]]
            assert any(np.allclose(ring, rings[0], atol=0.01) for ring in alike)
