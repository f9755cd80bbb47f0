"""COCO panoptic JSON with its PNGs of ids."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from curate.errors import CallError, SourceError
from curate.formats.coco.panoptic_format import FORMAT
from curate.formats.edits import Edits
from curate.formats.reading import detect, read
from curate.rle import to_dense

H, W = 40, 50
CATEGORIES = [{"id": 1, "name": "cat", "isthing": 1}, {"id": 2, "name": "sky", "isthing": 0}]


def ids() -> Any:
    made = np.zeros((H, W), np.int64)
    made[5:20, 5:20], made[22:35, 10:45], made[:3] = 300, 70_000, 9
    return made


def segment(number: Any, category: int = 1, **more: Any) -> dict[str, Any]:
    return {"id": number, "category_id": category, "iscrowd": 0} | more


SEGMENTS = [segment(300, area=225, bbox=[5, 5, 15, 15]), segment(70_000, 2), segment(9)]


def dataset(
    folder: Path, segments: list[Any] = SEGMENTS, place: str = "panoptic_val", size: Any = (H, W)
) -> Path:
    images = [
        {"id": k, "file_name": f"{n}.jpg", "height": size[0], "width": size[1]}
        for k, n in ((3, "a"), (4, "b"))
    ]
    listed = [{"image_id": 3, "file_name": "a.png", "segments_info": segments}]
    path = folder / "annotations" / "panoptic_val.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"images": images, "annotations": listed, "categories": CATEGORIES}))
    png = path.parent / place / "a.png"
    png.parent.mkdir(parents=True, exist_ok=True)
    value = ids()
    colours = np.stack([value % 256, value // 256 % 256, value // 65536], -1)
    Image.fromarray(colours.astype(np.uint8)).save(png)
    return path


@pytest.mark.parametrize("place", ["panoptic_val", "masks", ".", "../panoptic_val"])
def test_segments_are_masks_wherever_the_pngs_are(tmp_path: Path, place: str) -> None:
    path = dataset(tmp_path, place=place)
    assert detect(path).name == "coco-panoptic"
    table = read(path)
    assert table.masks["status"].tolist() == ["ok", "ok", "ok"]
    for k, number in enumerate((300, 70_000, 9)):
        assert (to_dense(table.runs, k) == (ids() == number)).all()
    assert table.masks["category"].tolist() == ["cat", "sky", "cat"]
    assert table.masks["iscrowd"].tolist() == [0, 1, 0]
    assert table.masks["declared_area"].iloc[0] == 225
    assert table.masks["source_key"].iloc[1] == ("panoptic_val.json#/annotations/0/segments_info/1")
    assert table.images["file_name"].to_dict() == {3: "a.jpg", 4: "b.jpg"}
    assert [note.kind for note in table.notes] == ["stuff"]


def test_without_its_pngs_all_is_for_review_and_said(tmp_path: Path) -> None:
    table = read(dataset(tmp_path, place="elsewhere"))
    assert table.masks["status"].tolist() == ["no_segmentation"] * 3
    assert [note.kind for note in table.notes] == ["panoptic_pngs_missing", "stuff"]


def test_pictures_of_the_same_name_are_no_ids(tmp_path: Path) -> None:
    path = dataset(tmp_path, place="elsewhere")
    photo = np.full((H, W, 3), 77, np.uint8)
    Image.fromarray(photo).save(path.parent / "a.png")
    assert set(read(path).masks["status"]) == {"no_segmentation"}


def test_what_does_not_fit_is_a_finding(tmp_path: Path) -> None:
    odd = [segment(300), segment(5), segment(300), 7, segment("x")]
    table = read(dataset(tmp_path, odd, size=(W, H)))
    assert table.masks["status"].tolist() == [
        *("ok", "empty", "duplicate_id", "wrong_type", "no_segmentation")
    ]
    assert table.images["status"].tolist() == ["size_mismatch", "ok"]
    note = next(note for note in table.notes if note.kind == "unlisted_ids")
    assert (note.count, note.of, note.examples) == (1, "images", ("a.png: 9",))


@pytest.mark.parametrize("name", ["../a.png", "/etc/passwd", "a\0.png", ""])
def test_a_name_never_leaves_the_folder(tmp_path: Path, name: str) -> None:
    path = dataset(tmp_path)
    made = json.loads(path.read_text())
    made["annotations"].append({"image_id": 4, "file_name": name, "segments_info": [segment(1)]})
    path.write_text(json.dumps(made))
    assert read(path).masks["status"].tolist() == ["ok"] * 3 + ["no_segmentation"]


def test_writing_is_refused_in_a_sentence(tmp_path: Path) -> None:
    path = dataset(tmp_path)
    for edits in (Edits(), Edits(drop=frozenset({"x"}))):
        with pytest.raises(CallError, match=r"PNGs beside it.*--to coco"):
            FORMAT.write(path, tmp_path / "out.json", edits)
    assert not (tmp_path / "out.json").exists()


@pytest.mark.parametrize("value", [[], {}, {"annotations": [7, {}]}])
def test_other_json_holds_no_masks_when_forced(tmp_path: Path, value: Any) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(value))
    assert len(read(path, "coco-panoptic")) == 0


def test_lists_that_are_none_are_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"images": 1, "annotations": [{"segments_info": []}]}))
    with pytest.raises(SourceError, match="images is no list"):
        read(path)
