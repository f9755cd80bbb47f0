"""Exports to images of ids: what a pixel's value can hold, splits, and names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn_masks import rle_of
from export_parsers import PARSERS
from PIL import Image

import curate
from curate.errors import CallError

SIZE = (40, 50)


def audited(folder: Path, masks: int, labels: tuple[str, ...] = ("cell",), images: int = 1) -> Path:
    """Audit a COCO file whose images have a mask a pixel or so, and return the audit."""
    folder.mkdir(exist_ok=True)
    listed: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for k in range(images):
        listed.append({"id": k + 1, "file_name": f"{k}.jpg", "height": SIZE[0], "width": SIZE[1]})
        Image.fromarray(np.full((*SIZE, 3), 40 * k, np.uint8)).save(folder / f"{k}.jpg")
        for i in range(masks):
            mask = np.zeros(SIZE, bool)
            mask[2 * (i // 25) : 2 * (i // 25) + 2, 2 * (i % 25) : 2 * (i % 25) + 2] = True
            one: dict[str, Any] = {"id": len(annotations) + 1, "image_id": k + 1, "iscrowd": 0}
            one |= {"category_id": 1 + i % len(labels), "segmentation": rle_of(mask)}
            annotations.append(one)
    categories = [{"id": k, "name": name} for k, name in enumerate(labels, 1)]
    content = {"images": listed, "annotations": annotations, "categories": categories}
    (folder / "a.json").write_text(json.dumps(content))
    curate.audit(folder / "a.json", folder / "audit", images=folder, policy={"name": "all"})
    return folder / "audit"


def test_voc_has_254_masks_an_image_and_says_so(tmp_path: Path) -> None:
    audit = audited(tmp_path, 260)
    with pytest.raises(CallError, match=r"more in one image.*6 masks.*254 have an id"):
        curate.write(audit, tmp_path / "out", to="voc")
    done = curate.write(audit, tmp_path / "out", to="voc", lossy=True)
    assert done.losses is not None
    assert done.losses.counts["too many"] == 6
    assert len(curate.read(tmp_path / "out")) == 254
    for name in ("label-png", "panoptic"):
        curate.write(audit, tmp_path / name, to=name, lossy=True)
        assert len(curate.read(tmp_path / name)) == 260


def test_class_names_that_a_label_map_cannot_hold_are_spelled_otherwise(tmp_path: Path) -> None:
    labels = ("a:b", "a_b", "#c", "line\nend", "background", "R&D é")
    audit = audited(tmp_path, 6, labels)
    done = curate.write(audit, tmp_path / "out", to="voc")
    assert done.losses is not None
    assert done.losses.counts["class name"] == 4
    found = {category for _, _, category, _ in PARSERS["voc"](tmp_path / "out")}
    assert found == {"a_b_", "a_b", "_c", "line_end", "_ackground", "R&D é"}
    assert set(curate.read(tmp_path / "out").masks["category"]) == found


def test_one_class_is_known_by_its_colour(tmp_path: Path) -> None:
    curate.write(audited(tmp_path, 3), tmp_path / "out", to="voc", images="copy")
    table = curate.read(tmp_path / "out")
    assert set(table.masks["category"]) == {"cell"}
    assert table.images["file_name"].tolist() == ["JPEGImages/0.jpg"]
    with Image.open(tmp_path / "out/SegmentationObject/0.png") as image:
        palette = image.getpalette()
    assert palette is not None
    assert palette[:6] == [0, 0, 0, 128, 0, 0]
    assert palette[-3:] == [224, 224, 192]


@pytest.mark.parametrize("name", ["label-png", "voc", "panoptic"])
def test_splits_are_where_each_format_has_them(tmp_path: Path, name: str) -> None:
    audit = audited(tmp_path, 4, ("cell", "other"), images=6)
    out = tmp_path / "out"
    splits = {"train": 0.5, "val": 0.5}
    curate.write(audit, out, to=name, split=splits, images="copy", lossy=True)
    found = list(PARSERS[name](out))
    assert {split for split, *_ in found} == {"train", "val"}
    assert len(found) == 24
    pictures = sorted(path.name for path in out.rglob("*.jpg"))
    assert pictures == [f"{k}.jpg" for k in range(6)]
    if name == "voc":
        assert set(curate.read(out).images["subset"]) == {"train", "val"}
    if name == "panoptic":
        for split in splits:
            assert (out / f"annotations/panoptic_{split}.json").is_file()
            assert len(curate.read(out / f"annotations/panoptic_{split}.json").images) == 3
