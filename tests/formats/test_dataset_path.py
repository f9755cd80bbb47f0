"""A YOLO dataset by its YAML file; folders that hold several sources."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import curate
from curate.errors import CurateError
from curate.formats.reading import dataset_path, read

LINE = "0 0.1 0.1 0.8 0.1 0.8 0.8 0.1 0.8\n"
XML = """<annotations><image id="0" name="a.png" width="9" height="9">
<polygon label="cell" points="1,1;8,1;8,8"/></image></annotations>"""


def yolo(root: Path, names: str = "") -> Path:
    for kind, file in (("labels", "a.txt"), ("images", "a.png")):
        (root / kind / "train").mkdir(parents=True)
        path = root / kind / "train" / file
        if kind == "labels":
            path.write_text(LINE)
        else:
            Image.fromarray(np.zeros((30, 40), np.uint8)).save(path)
    if names:
        (root / "classes.txt").write_text(names)
    return root


@pytest.mark.parametrize(
    "path", ["", "path: .\n", "path: ../datasets/coco8  # gone\n", "path: 'set'\n"]
)
def test_a_yaml_file_stands_for_its_dataset(path: str, tmp_path: Path) -> None:
    root = yolo(tmp_path / "set" if "'set'" in path else tmp_path)
    yaml = tmp_path / "data.yaml"
    yaml.write_text(f"{path}train: images/train\nval: images/train\nnames: [cell]\n")
    assert dataset_path(yaml).resolve() == root
    table = read(yaml)
    assert table.masks["category"].tolist() == ["cell"]
    done = curate.audit(yaml, tmp_path / "out")
    assert done.info.source["path"] == str(root)


def test_a_yaml_file_without_labels_is_refused_by_what_it_says(tmp_path: Path) -> None:
    yaml = tmp_path / "data.yaml"
    yaml.write_text("path: elsewhere\ntrain: images\n")
    with pytest.raises(CurateError, match="no labels where it says"):
        curate.audit(yaml, tmp_path / "out")
    yaml.write_text("colours: [red]\n")
    assert dataset_path(yaml) == yaml


def test_what_lies_beside_a_source_and_is_not_read_is_named(tmp_path: Path) -> None:
    source = tmp_path / "in"
    yolo(source / "ytrain")
    (source / "ann.xml").write_text(XML)
    notes = curate.audit(source, tmp_path / "out").info.notes
    said = [note["text"] for note in notes if note["kind"] == "others_beside"]
    assert said == [
        "read as CVAT for images 1.1; beside it, and not read: ytrain (YOLO segmentation labels)"
    ]


def test_a_file_of_another_format_beside_labels_is_named(tmp_path: Path) -> None:
    source = yolo(tmp_path / "in")
    (source / "ann.xml").write_text(XML)
    found = curate.audit(source, tmp_path / "out", format="yolo").info
    assert [note["kind"] for note in found.notes] == ["others_beside"]
    (source / "ann.xml").unlink()
    found = curate.audit(source, tmp_path / "out2").info
    assert "others_beside" not in [note["kind"] for note in found.notes]


def test_datasets_with_different_classes_are_not_read_as_one(tmp_path: Path) -> None:
    yolo(tmp_path / "in/one", "cell\n")
    other = yolo(tmp_path / "in/two", "cell\n")
    assert len(read(tmp_path / "in").masks) == 2
    (other / "classes.txt").write_text("nucleus\ncell\n")
    with pytest.raises(CurateError, match="2 YOLO datasets with different classes") as caught:
        read(tmp_path / "in")
    assert str(other) in str(caught.value)
