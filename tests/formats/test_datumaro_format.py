"""Datumaro's JSON as a dataset."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn_masks import rle_of
from PIL import Image

from curate import rle
from curate.dataset.table import MaskTable
from curate.errors import CallError, SourceError
from curate.formats.datumaro.datumaro_format import FORMAT
from curate.formats.edits import Addition, Change, Edits
from curate.formats.format import ReadOptions
from curate.formats.reading import detect, read

SIZE = (20, 30)
KEY = "annotations/train.json#/items/0/annotations/0"


def block(k: int = 0) -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[2 : 5 + k, 3 : 9 + k] = True
    return mask


def counts(mask: np.ndarray) -> bytes:
    return bytes(rle.encode_counts(rle.from_dense(mask))[0].as_py())


def mask(pixels: np.ndarray, **more: Any) -> dict[str, Any]:
    return {"type": "mask", "label_id": 0, "group": 0, "rle": rle_of(pixels), **more}


def ring(*sides: int, **more: Any) -> dict[str, Any]:
    x, y, w, h = sides
    points = [x, y, x + w, y, x + w, y + h, x, y + h]
    return {"type": "polygon", "label_id": 0, "group": 0, "points": points, **more}


def item(*annotations: Any, **more: Any) -> dict[str, Any]:
    facts = {"path": "a.png", "size": list(SIZE)}
    return {"id": "a", "annotations": list(annotations), "image": facts, **more}


def put(folder: Path, *items: Any, labels: tuple[str, ...] = ("x", "y"), **more: Any) -> Path:
    (folder / "dm" / "annotations").mkdir(parents=True, exist_ok=True)
    label = {"labels": [{"name": name, "parent": "", "attributes": []} for name in labels]}
    whole = {"infos": {}, "categories": {"label": label}, "items": list(items), **more}
    (folder / "dm" / "annotations" / "train.json").write_text(json.dumps(whole))
    return folder / "dm"


def table(folder: Path, *items: Any, **more: Any) -> MaskTable:
    return read(put(folder, *items, **more))


def test_masks_and_polygons_are_read_with_their_labels_and_subset(tmp_path: Path) -> None:
    home = put(tmp_path, item(mask(block()), ring(3, 2, 6, 3, label_id=1)))
    assert detect(home).name == detect(home / "annotations" / "train.json").name == "datumaro"
    for source in (home, home / "annotations" / "train.json"):
        found = read(source)
        assert found.masks["segmentation"].tolist() == [counts(block())] * 2
        assert found.masks["category"].tolist() == ["x", "y"]
        assert found.images["subset"].tolist() == ["train"]


def test_the_default_subset_is_none(tmp_path: Path) -> None:
    home = put(tmp_path, item(mask(block())))
    (home / "annotations" / "train.json").rename(home / "annotations" / "default.json")
    assert "subset" not in read(home).images


def test_shapes_of_one_group_and_label_are_one_mask(tmp_path: Path) -> None:
    both = block()
    both[10:12, 20:24] = True
    first, second = ring(3, 2, 6, 3, group=4), ring(20, 10, 4, 2, group=4)
    box = {"type": "bbox", "group": 4, "bbox": [3, 2, 21, 10], "label_id": 0}
    found = table(tmp_path, item(box, first, mask(block(5)), second, ring(0, 0, 2, 2, group=9)))
    assert found.masks["segmentation"].tolist()[0] == counts(both)
    assert found.masks["group_id"].fillna(0).tolist() == [4, 0, 9]
    assert found.notes == ()


def test_other_labels_in_a_group_are_other_masks(tmp_path: Path) -> None:
    found = table(tmp_path, item(ring(3, 2, 6, 3, group=4), ring(3, 2, 6, 3, group=4, label_id=1)))
    assert found.masks["category"].tolist() == ["x", "y"]


def test_what_datumaro_notes_of_coco_becomes_columns(tmp_path: Path) -> None:
    noted = {"is_crowd": True, "score": 0.25, "track_id": 7}
    found = table(tmp_path, item(mask(block(), attributes=noted)))
    assert found.masks[["iscrowd", "score", "track_id"]].values.tolist() == [[1, 0.25, 7]]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"rle": {"counts": "~~~", "size": list(SIZE)}}, "undecodable"),
        ({"rle": {"counts": "06", "size": [2, 3]}}, "size_mismatch"),
        ({"rle": None}, "no_segmentation"),
        ({"rle": 3}, "wrong_type"),
        ({"label_id": 7}, "bad_category"),
        ({"label_id": "x"}, "bad_category"),
        ({"type": "polygon", "points": [1, 2, 3, 4]}, "bad_polygon"),
        ({"type": "polygon", "points": 3}, "wrong_type"),
        ({"type": "polygon", "points": []}, "no_segmentation"),
    ],
)
def test_a_broken_annotation_is_a_finding(tmp_path: Path, change: Any, status: str) -> None:
    sound = mask(block())
    found = table(tmp_path, item(sound, mask(block()) | change, sound))
    assert found.masks["status"].tolist() == ["ok", status, "ok"]


def test_a_label_that_is_null_is_no_category(tmp_path: Path) -> None:
    found = table(tmp_path, item(mask(block(), label_id=None)))
    assert found.masks["status"].tolist() == ["ok"]
    assert found.masks["category"].isna().all()


def test_a_size_that_is_not_stated_is_that_of_the_picture_or_of_the_masks(tmp_path: Path) -> None:
    bare = item(mask(block()), ring(3, 2, 6, 3)) | {"image": {"path": "a.png"}}
    home = put(tmp_path, bare)
    assert read(home).masks["status"].tolist() == ["ok", "ok"]
    only_ring = item(ring(3, 2, 6, 3)) | {"image": {"path": "a.png"}}
    home = put(tmp_path, only_ring)
    assert read(home).images["status"].tolist() == ["invalid_size"]
    with pytest.raises(CallError, match="size"):
        FORMAT.write(home, None, Edits(change={KEY: Change(counts(block()))}))
    (tmp_path / "pictures").mkdir()
    Image.new("L", SIZE[::-1]).save(tmp_path / "pictures" / "a.png")
    given = ReadOptions(tmp_path / "pictures")
    assert read(home, options=given).masks["status"].tolist() == ["ok"]
    edits = Edits(change={KEY: Change(counts(block(2)))})
    detect(home).with_options(given).write(home, tmp_path / "out", edits)
    (home / "images" / "train").mkdir(parents=True)
    Image.new("L", SIZE[::-1]).save(home / "images" / "train" / "a.png")
    assert read(home).masks["status"].tolist() == ["ok"]
    assert FORMAT.pictures is not None
    found = FORMAT.pictures(home)
    assert found is not None
    assert found.folder == (home / "images" / "train").resolve()


@pytest.mark.parametrize("bad", [3, {}, {"name": "a"}])
def test_what_is_no_item_is_refused(tmp_path: Path, bad: Any) -> None:
    with pytest.raises(SourceError, match="no item"):
        table(tmp_path, item(mask(block())), bad)


def test_a_group_goes_as_a_whole_and_its_box_is_renewed(tmp_path: Path) -> None:
    shapes = [ring(3, 2, 6, 3, group=4), ring(20, 10, 4, 2, group=4)]
    box = {"type": "bbox", "group": 4, "bbox": [3, 2, 21, 10], "label_id": 0}
    home = put(tmp_path, item(*shapes, box, mask(block(3))))
    gone = Edits(drop=frozenset({KEY}))
    FORMAT.write(home, tmp_path / "gone", gone)
    assert FORMAT.check_unedited(home, tmp_path / "gone", gone) == ""
    assert read(tmp_path / "gone").masks["area_px"].tolist() == [block(3).sum()]
    hole = block(8)
    hole[4, 5] = False
    drawn = Edits(change={KEY: Change(counts(hole), "new")})
    FORMAT.write(home, tmp_path / "drawn", drawn)
    assert FORMAT.check_unedited(home, tmp_path / "drawn", drawn) == ""
    whole = json.loads((tmp_path / "drawn" / "annotations" / "train.json").read_bytes())
    first, second, _ = whole["items"][0]["annotations"]
    assert (first["type"], first["label_id"], "points" in first) == ("mask", 2, False)
    assert (second["bbox"], second["label_id"]) == ([3, 2, 14, 11], 2)
    assert read(tmp_path / "drawn").masks["category"].tolist() == ["new", "x"]


def test_an_item_without_annotations_gets_some(tmp_path: Path) -> None:
    bare = {"id": "b", "image": {"path": "b.png", "size": list(SIZE)}}
    home = put(tmp_path, item(mask(block())), bare)
    key = "annotations/train.json#/items/1"
    edits = Edits(add=[Addition(key, counts(block(1)), *SIZE, "y")])
    FORMAT.write(home, tmp_path / "out", edits)
    assert FORMAT.check_unedited(home, tmp_path / "out", edits) == ""
    assert read(tmp_path / "out").masks["category"].tolist() == ["x", "y"]


def test_a_new_label_needs_files_that_agree_on_labels(tmp_path: Path) -> None:
    home = put(tmp_path, item(mask(block())))
    other = json.loads((home / "annotations" / "train.json").read_bytes())
    other["categories"]["label"]["labels"].reverse()
    (home / "annotations" / "val.json").write_text(json.dumps(other))
    with pytest.raises(CallError, match="labels of their own"):
        FORMAT.write(home, None, Edits(change={KEY: Change(category="new")}))
