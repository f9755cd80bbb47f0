"""Folders with a COCO file a split: which are found, what they say, what is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mask_files import counts_of, save_png, tree
from pycocotools.coco import COCO
from small_datasets import build

import curate
from curate.errors import CallError
from curate.formats.edits import Addition, Change, Edits
from curate.formats.format import ReadOptions
from curate.formats.reading import detect, read
from curate.writing.written_check import check_written

SIZE = (20, 30)


def block(k: int) -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[2 : 5 + k, 3 : 9 + k] = True
    return mask


def whole(*names: str, categories: tuple[str, ...] = ("cat", "dog"), **more: Any) -> dict[str, Any]:
    """A file with two masks an image; ids begin with 1 in each file."""
    images = [
        {"id": k, "file_name": name, "height": SIZE[0], "width": SIZE[1]}
        for k, name in enumerate(names, 1)
    ]
    annotations = [
        {
            "id": 2 * one["id"] + k,
            "image_id": one["id"],
            "category_id": 1 + k,
            "segmentation": {"size": list(SIZE), "counts": counts_of(block(k)).decode()},
            "bbox": [3, 2, 6 + k, 3 + k],
            "area": int(block(k).sum()),
            "iscrowd": 0,
        }
        for one in images
        for k in range(2)
    ]
    listed = [{"id": k, "name": name} for k, name in enumerate(categories, 1)]
    return {"images": images, "annotations": annotations, "categories": listed, **more}


def put(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def of_coco(root: Path) -> Path:
    """COCO's own layout, with pictures of one split."""
    for split, names in (("train2017", ("1.jpg", "2.jpg")), ("val2017", ("3.jpg",))):
        put(root / "annotations" / f"instances_{split}.json", whole(*names))
    save_png(root / "val2017" / "3.jpg", np.zeros((*SIZE, 3), np.uint8))
    return root


def test_files_of_splits_are_one_dataset_and_say_the_split(tmp_path: Path) -> None:
    source = of_coco(tmp_path)
    assert detect(source).name == "coco-splits"
    table = read(source)
    assert table.images["subset"].tolist() == ["train2017", "train2017", "val2017"]
    assert table.images["file_name"].tolist() == ["1.jpg", "2.jpg", "val2017/3.jpg"]
    assert table.masks["file_name"].tolist()[-1] == "val2017/3.jpg"
    assert table.images["source_key"].tolist()[-1] == "annotations/instances_val2017.json#/images/0"
    key = "annotations/instances_val2017.json#/annotations/1"
    assert table.masks["source_key"].tolist()[-1] == key
    assert table.masks.index.is_unique
    assert table.masks["category"].tolist() == ["cat", "dog"] * 3


def test_a_folder_of_splits_of_roboflow(tmp_path: Path) -> None:
    for number, split in enumerate(("train", "valid", "test")):
        name = f"{number}.jpg"
        put(tmp_path / split / "_annotations.coco.json", whole(name))
        save_png(tmp_path / split / name, np.zeros((*SIZE, 3), np.uint8))
    table = read(tmp_path)
    assert table.images["file_name"].tolist() == ["test/2.jpg", "train/0.jpg", "valid/1.jpg"]
    assert table.images["subset"].tolist() == ["test", "train", "valid"]
    form = detect(tmp_path)
    assert form.pictures is not None
    assert form.pictures(tmp_path) == (tmp_path.resolve(), ())


@pytest.mark.parametrize(
    ("names", "read_files"),
    [
        (("instances_train2014", "instances_val2014", "person_keypoints_val2014"), 2),
        (("instances_train", "instances_val", "instances_minival", "instances_trainval"), 2),
        (("instances_Train", "instances_Validation", "instances_default"), 3),
        (("lvis_v1_train", "lvis_v1_val"), 2),
        (("train", "val", "test"), 3),
        (("a_train", "a_val", "b_train", "b_val"), 0),
        (("instances_train",), 0),
        (("train", "other"), 0),
    ],
)
@pytest.mark.parametrize("folder", ["annotations", ""])
def test_files_of_one_kind_are_taken(
    tmp_path: Path, names: tuple[str, ...], read_files: int, folder: str
) -> None:
    for name in names:
        put(tmp_path / folder / f"{name}.json", whole(f"{name}.jpg"))
    matches = detect(tmp_path / folder if not folder else tmp_path, "coco-splits").matches
    assert matches(tmp_path) == bool(read_files)
    if read_files:
        assert len(read(tmp_path).images) == read_files


def test_captions_and_panoptic_beside_are_neither_read_nor_changed(tmp_path: Path) -> None:
    source = of_coco(tmp_path / "in")
    put(source / "annotations" / "captions_train2017.json", {"annotations": [{"caption": "x"}]})
    put(source / "annotations" / "captions_val2017.json", {"annotations": [{"caption": "x"}]})
    assert len(read(source)) == 6
    key = read(source).masks["source_key"].iloc[0]
    detect(source).prune(source, tmp_path / "out", {key})
    before, after = tree(source), tree(tmp_path / "out")
    assert [one for one in before if before[one] != after[one]] == [key.partition("#")[0]]


def test_edits_reach_their_files_and_new_categories_one_number(tmp_path: Path) -> None:
    source, out = of_coco(tmp_path / "in"), tmp_path / "out"
    cats = whole("3.jpg", categories=("cat",))
    cats["annotations"][1]["category_id"] = 1
    put(source / "annotations" / "instances_val2017.json", cats)
    train, val = (f"annotations/instances_{split}2017.json" for split in ("train", "val"))
    edits = Edits(
        drop=frozenset({f"{train}#/annotations/0"}),
        change={
            f"{train}#/annotations/1": Change(counts_of(block(5)), "new"),
            f"{val}#/annotations/0": Change(category="dog"),
        },
        add=[
            Addition(f"{val}#/images/0", counts_of(block(6)), *SIZE, "extra"),
            Addition(f"{train}#/images/1", counts_of(block(7)), *SIZE, "new"),
        ],
    )
    form = detect(source)
    form.write(source, None, edits)
    stored = form.write(source, out, edits)
    assert stored.runs == 3
    assert form.check_unedited(source, out, edits) == ""
    assert check_written(form, source, out, edits, stored).problem == ""
    first, second = COCO(out / train), COCO(out / val)
    names = [
        {one["name"]: one["id"] for one in made.dataset["categories"]} for made in (first, second)
    ]
    assert names == [{"cat": 1, "dog": 2, "new": 4}, {"cat": 1, "dog": 2, "extra": 3}]
    assert [one["id"] for one in first.dataset["annotations"]] == [3, 4, 5, 6]
    added = [one["area"] for made in (first, second) for one in made.dataset["annotations"][-1:]]
    assert added == [int(block(7).sum()), int(block(6).sum())]


@pytest.mark.parametrize(
    "key", ["annotations/other.json#/annotations/0", "x", "instances#/images/0"]
)
def test_a_key_of_no_file_is_refused(tmp_path: Path, key: str) -> None:
    source = of_coco(tmp_path)
    with pytest.raises(CallError, match="names no mask of it"):
        detect(source).write(source, None, Edits(drop=frozenset({key})))


def test_a_mask_becomes_a_crowd_region_in_its_file(tmp_path: Path) -> None:
    source, out = of_coco(tmp_path / "in"), tmp_path / "out"
    key = "annotations/instances_val2017.json#/annotations/1"
    detect(source).write(source, out, Edits(change={key: Change(ignore=True)}))
    made = COCO(out / key.partition("#")[0])
    assert [one["iscrowd"] for one in made.dataset["annotations"]] == [0, 1]


def test_images_without_a_size_have_that_of_their_picture(tmp_path: Path) -> None:
    source = of_coco(tmp_path)
    path = source / "annotations" / "instances_val2017.json"
    content = json.loads(path.read_bytes())
    del content["images"][0]["height"], content["images"][0]["width"]
    put(path, content)
    table = read(source, options=ReadOptions(images=source))
    assert table.images[["height", "width"]].values.tolist()[-1] == list(SIZE)


def test_ids_of_several_files_are_numbered_anew_in_an_audit_and_not_in_the_files(
    tmp_path: Path,
) -> None:
    source = build("coco-splits", tmp_path / "made")
    curate.audit(source, tmp_path / "audit")
    masks = curate.open_audit(tmp_path / "audit").masks()
    assert masks.index.is_unique
    assert set(masks["source_key"].str.partition("#")[0]) == {
        f"annotations/instances_{split}2017.json" for split in ("train", "val")
    }
    curate.prune(tmp_path / "audit", tmp_path / "out", yes=True)
    for split in ("train", "val"):
        name = f"annotations/instances_{split}2017.json"
        before, after = (
            json.loads((root / name).read_bytes()) for root in (source, tmp_path / "out")
        )
        kept = {one["id"] for one in after["annotations"]}
        assert kept < {one["id"] for one in before["annotations"]}
        assert after["images"] == before["images"]
