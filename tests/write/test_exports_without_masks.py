"""Datasets of pictures on which nobody has drawn a mask, in every format."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import curate
from curate.writing.exports import export_names


def images_alone(folder: Path, count: int) -> Path:
    """Write COCO of images without masks, and their pictures; return the audit."""
    images = [
        {"id": k, "file_name": f"{k}.png", "height": 6, "width": 8} for k in range(1, count + 1)
    ]
    document = {"images": images, "annotations": [], "categories": [{"id": 1, "name": "cell"}]}
    (folder / "images").mkdir()
    for one in images:
        noise = np.random.default_rng(int(str(one["id"]))).integers(0, 256, (6, 8), np.uint8)
        Image.fromarray(noise).save(folder / "images" / str(one["file_name"]))
    (folder / "source.json").write_text(json.dumps(document))
    curate.audit(folder / "source.json", folder / "audit")
    return folder / "audit"


@pytest.mark.parametrize("name", export_names())
def test_images_without_masks_are_written_as(name: str, tmp_path: Path) -> None:
    audit = images_alone(tmp_path, 2)
    result = curate.write(audit, tmp_path / "out", to=name, images="copy", lossy=True)
    assert result.counts()["masks_after"] == 0
    assert (tmp_path / "out").exists()


def test_each_split_may_lack_masks(tmp_path: Path) -> None:
    audit = images_alone(tmp_path, 4)
    curate.write(audit, tmp_path / "out", to="coco", split={"train": 0.5, "val": 0.5})
    for name in ("train", "val"):
        written = json.loads((tmp_path / "out/annotations" / f"instances_{name}.json").read_text())
        assert len(written["images"]) == 2
        assert written["annotations"] == []


def test_it_is_said_where_the_pictures_are_not_in_it(tmp_path: Path) -> None:
    audit, said = images_alone(tmp_path, 1), "the pictures are not in it (see --images)"
    assert said in curate.write(audit, to="cvat").text()
    assert said not in curate.write(audit, to="cvat", images="link").text()
