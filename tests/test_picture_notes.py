"""Notes of an audit on its pictures: one picture of several images, bands that are not shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import curate
from curate.pipeline.picture_notes import BANDS, SHARED


def source(folder: Path, names: list[str]) -> Path:
    """Write a COCO file of an image a name, each with one mask."""
    box = [2, 2, 12, 2, 12, 12, 2, 12]
    ids = range(1, len(names) + 1)
    images = [{"id": k, "file_name": names[k - 1], "height": 20, "width": 30} for k in ids]
    one = {"category_id": 1, "iscrowd": 0, "segmentation": [box], "area": 100}
    masks = [{"id": k, "image_id": k, "bbox": [2, 2, 10, 10], **one} for k in ids]
    made = {"images": images, "annotations": masks, "categories": [{"id": 1, "name": "thing"}]}
    (folder / "a.json").write_text(json.dumps(made))
    return folder / "a.json"


def notes(audit: Any, kind: str) -> list[Any]:
    return [note for note in audit.info.notes if note["kind"] == kind]


@pytest.mark.parametrize("pictures", [False, True])
def test_one_picture_of_two_images_is_told(tmp_path: Path, pictures: bool) -> None:
    (tmp_path / "images").mkdir()
    for name in ("a.png", "b.png", "c.png"):
        Image.new("L", (30, 20), 40).save(tmp_path / "images" / name)
    names = ["a.png", "b.png", "a.png", "a.png", "c.png"]
    names += ["./c.png"] if pictures else []  # another name of the same file
    images = tmp_path / "images" if pictures else None
    audit = curate.audit(source(tmp_path, names), tmp_path / "audit", images=images)
    (note,) = notes(audit, SHARED)
    assert note["text"].startswith("images have one picture together with another image")
    assert note["count"] == (5 if pictures else 3)
    assert note["examples"][0] == "a.png (3 images)"


def test_each_image_with_its_own_picture_is_not_told(tmp_path: Path) -> None:
    audit = curate.audit(source(tmp_path, ["a.png", "b.png"]), tmp_path / "audit")
    assert not notes(audit, SHARED)


def test_which_bands_are_shown_is_told(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    Image.new("L", (30, 20), 40).save(tmp_path / "images" / "a.tif")
    many = np.random.default_rng(0).integers(0, 4000, (20, 30, 5), np.uint16)
    (tmp_path / "images" / "b.tif").write_bytes(five_bands(many))
    audit = curate.audit(
        source(tmp_path, ["a.tif", "b.tif"]), tmp_path / "audit", images=tmp_path / "images"
    )
    (note,) = notes(audit, BANDS)
    assert note["count"] == 1
    assert note["examples"] == ["b.tif"]
    assert "of its 5 bands the first three are shown, as red, green and blue" in note["text"]
    assert audit.images()["status"].tolist() == ["ok", "ok"]


def five_bands(values: Any) -> bytes:
    """Return a TIFF of one strip, unpacked."""
    numbers = [values.shape[1], values.shape[0], 5, 1, values.nbytes]
    width, height, bands, planar, size = (int(n).to_bytes(4, "little") for n in numbers)
    after = (8 + 2 + 12 * 10 + 4).to_bytes(4, "little")
    start = (8 + 2 + 12 * 10 + 4 + 10).to_bytes(4, "little")
    short, long = b"\3\0", b"\4\0"
    tags = [(256, long, 1, width), (257, long, 1, height), (258, short, 5, after)]
    tags += [(259, short, 1, planar), (262, short, 1, planar), (273, long, 1, start)]
    tags += [(277, short, 1, bands), (278, long, 1, height), (279, long, 1, size)]
    tags += [(284, short, 1, planar)]
    made = b"II*\0\x08\0\0\0" + len(tags).to_bytes(2, "little")
    for tag, kind, count, own in tags:
        made += tag.to_bytes(2, "little") + kind + count.to_bytes(4, "little") + own
    return made + bytes(4) + b"\x10\0" * 5 + bytes(values.astype("<u2").tobytes())


def test_two_files_of_a_source_with_one_image_are_named(tmp_path: Path) -> None:
    shapes = '<mask label="x" rle="0, 4" left="2" top="3" width="2" height="2"/>'
    for name in ("one", "two"):
        text = f'<image id="0" name="a.png" width="9" height="8">{shapes}</image>'
        xml = f"<annotations><version>1.1</version>{text}</annotations>"
        (tmp_path / "in" / f"{name}.xml").parent.mkdir(exist_ok=True)
        (tmp_path / "in" / f"{name}.xml").write_text(xml)
    (note,) = notes(curate.audit(tmp_path / "in", tmp_path / "out"), SHARED)
    assert (note["count"], note["of"]) == (2, "images")
    assert note["examples"] == ["a.png (in one.xml and two.xml)"]
