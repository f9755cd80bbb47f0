"""YOLO folders as Roboflow, CVAT and Ultralytics export them: names, splits, byte-exact writing."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_yolo_habits import SQUARE, put

from curate.formats.edits import Change, Edits
from curate.formats.reading import dataset_path, detect, read

NAMES = ["cat", "dog"]


def roboflow(root: Path) -> Path:
    """Return what Roboflow's YOLOv8 export unpacks to."""
    for split in ("train", "valid", "test"):
        for k in range(2):
            stem = f"img{k}_jpg.rf.{split}{k}"
            put(root, f"{split}/images/{stem}.jpg", f"{split}/labels/{stem}.txt::{k} {SQUARE}\n")
    text = "train: ../train/images\nval: ../valid/images\ntest: ../test/images\n\n"
    text += "nc: 2\nnames: ['cat', 'dog']\n\nroboflow:\n  workspace: w\n  version: 1\n"
    put(root, f"data.yaml::{text}", "README.roboflow.txt::words", "README.dataset.txt::words")
    return root


def cvat_darknet(root: Path) -> Path:
    """Return what CVAT's "YOLO 1.1" unpacks to, with a subset for validation."""
    for k in range(2):
        put(root, f"obj_train_data/{k}.jpg", f"obj_train_data/{k}.txt::{k} {SQUARE}\n")
    put(root, "obj_Validation_data/v.jpg", f"obj_Validation_data/v.txt::0 {SQUARE}\n")
    text = "classes = 2\ntrain = data/train.txt\nvalid = data/Validation.txt\n"
    put(root, f"obj.data::{text}names = data/obj.names\nbackup = backup/\n")
    put(root, "obj.names::cat\ndog\n")
    put(root, "train.txt::data/obj_train_data/0.jpg\ndata/obj_train_data/1.jpg\n")
    return put(root, "Validation.txt::data/obj_Validation_data/v.jpg\n")


def cvat_ultralytics(root: Path) -> Path:
    """Return what CVAT's "Ultralytics YOLO Segmentation 1.0" unpacks to; a picture is a list's."""
    for split, stem in (("train", "train"), ("Validation", "b")):
        put(root, f"images/{split}/{stem}.jpg", f"labels/{split}/{stem}.txt::1 {SQUARE}\n")
        put(root, f"{split}.txt::data/images/{split}/{stem}.jpg\n")
    text = "names:\n  0: cat\n  1: dog\npath: .\ntrain: train.txt\nval: Validation.txt\n"
    return put(root, f"data.yaml::{text}")


def ultralytics(root: Path, path: str = ".", yaml: str = "data.yaml") -> Path:
    for split in ("train2017", "val2017"):
        put(root, f"images/{split}/{split}a.jpg", f"labels/{split}/{split}a.txt::0 {SQUARE}\n")
    text = f"path: {path} # the root\ntrain: images/train2017\nval: images/val2017\n"
    return put(root, f"{yaml}::{text}names:\n  0: cat\n  1: dog\n")


def lists(root: Path) -> Path:
    """Return a dataset whose splits are lists alone; two of them name one picture."""
    for k in range(5):
        put(root, f"images/{k}.jpg", f"labels/{k}.txt::0 {SQUARE}\n")
    put(root, "autosplit_train.txt::./images/0.jpg\n./images/1.jpg\n./images/4.jpg\n")
    put(root, "autosplit_val.txt::./images/2.jpg\n./images/4.jpg\n")
    text = "path: .\ntrain: autosplit_train.txt\nval: autosplit_val.txt\n"
    return put(root, f"data.yaml::{text}names: [cat, dog]\n")


LAYOUTS = {
    "roboflow": (roboflow, ["test", "test", "train", "train", "valid", "valid"]),
    "cvat_darknet": (cvat_darknet, ["Validation", "train", "train"]),
    "cvat_ultralytics": (cvat_ultralytics, ["Validation", "train"]),
    "ultralytics": (ultralytics, ["train2017", "val2017"]),
    "lists": (lists, ["train", "train", "val", None, None]),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("above", [False, True])
def test_the_folder_above_is_one_dataset_with_its_splits(
    tmp_path: Path, layout: str, above: bool
) -> None:
    make, splits = LAYOUTS[layout]
    make(tmp_path / "export" if above else tmp_path)
    table = read(tmp_path)
    assert detect(tmp_path).name == "yolo"
    assert table.images["status"].eq("ok").all()
    assert table.masks["status"].eq("ok").all()
    assert len(table.masks) == len(splits)
    assert set(table.masks["category"]) <= set(NAMES)
    if layout != "lists" or not above:  # lists stand where the dataset begins
        found = table.images["subset"].astype(object)
        assert found.where(found.notna(), None).tolist() == splits


@pytest.mark.parametrize(
    ("path", "yaml"),
    [
        (".", "data.yaml"),
        ("", "data.yaml"),
        ("/home/somebody/datasets/x", "data.yaml"),
        ("../ds", "data.yaml"),
        ("..", "config/dataset.yaml"),
        ("../../nowhere/ds", "config/dataset.yaml"),
        ("ds", "../ds.yaml"),
        ("../ds", "../config/dataset.yaml"),
    ],
)
def test_a_yaml_with_any_path_leads_to_its_dataset(tmp_path: Path, path: str, yaml: str) -> None:
    root = ultralytics(tmp_path / "ds", path, yaml)
    found = dataset_path(root / yaml)
    assert found.resolve() == root
    for source in (found, root):
        table = read(source)
        assert table.masks["category"].tolist() == ["cat", "cat"]
        assert table.images["subset"].tolist() == ["train2017", "val2017"]


def test_an_absolute_path_leads_there(tmp_path: Path) -> None:
    root = ultralytics(tmp_path / "ds", yaml="other.yaml")
    (tmp_path / "my.yaml").write_text(f"path: {root}\ntrain: images\nnames: [x, y]\n")
    assert dataset_path(tmp_path / "my.yaml").resolve() == root


def test_obj_data_stands_for_its_folder(tmp_path: Path) -> None:
    root = cvat_darknet(tmp_path)
    assert dataset_path(root / "obj.data") == root
    (root / "obj.names").rename(root / "own.names")
    text = (root / "obj.data").read_text().replace("obj.names", "own.names")
    (root / "obj.data").write_text(text)
    assert set(read(root / "obj.data").masks["category"]) == {"cat", "dog"}
    (root / "notes.data").write_text("a = 1\n")
    assert dataset_path(root / "notes.data") == root / "notes.data"


def test_names_in_folders_that_differ_are_nobodys(tmp_path: Path) -> None:
    ultralytics(tmp_path / "a" / "x")
    other = ultralytics(tmp_path / "a" / "y")
    text = (other / "data.yaml").read_text().replace("cat", "cow")
    (other / "data.yaml").write_text(text)
    assert read(tmp_path).masks["category"].isna().all()


def test_a_list_that_leads_out_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "out.txt").write_text("images/0.jpg\nimages/3.jpg\n")
    root = lists(tmp_path / "ds")
    text = (root / "data.yaml").read_text().replace("autosplit_val.txt", "../out.txt")
    (root / "data.yaml").write_text(text)
    found = read(root).images["subset"].tolist()
    assert found[0] == "train"
    assert found[3] is not found[0]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_all_other_bytes_stay(tmp_path: Path, layout: str) -> None:
    make, _ = LAYOUTS[layout]
    root = make(tmp_path / "in")
    table, form = read(root), detect(root)
    keys = table.masks["source_key"].tolist()
    edits = Edits(drop=frozenset(keys[:1]), change={keys[1]: Change(category="dog")})
    form.write(root, tmp_path / "out", edits)
    assert form.check_unedited(root, tmp_path / "out", edits) == ""
    before = {p.relative_to(root): p.read_bytes() for p in root.rglob("*") if p.is_file()}
    out = tmp_path / "out"
    after = {p.relative_to(out): p.read_bytes() for p in out.rglob("*") if p.is_file()}
    assert before.keys() == after.keys()
    changed = [str(name) for name in before if before[name] != after[name]]
    assert sorted(changed) == sorted({key.rpartition(":")[0] for key in keys[:2]} & set(changed))
    again = read(out)
    assert len(again.masks) == len(keys) - 1
    assert again.images["subset"].tolist() == table.images["subset"].tolist() or layout == "lists"
    assert again.masks["category"].tolist()[0] == "dog"
