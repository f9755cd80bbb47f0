"""Folders of COCO panoptic JSON and of the PNGs of ids that it lists."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import curate
from curate.errors import SourceError
from curate.formats.reading import dataset_path, detect, read


def panoptic(folder: Path, stem: str = "panoptic_val") -> Path:
    """Write a JSON of two segments with its PNG; return the JSON."""
    segments = [{"id": number, "category_id": 1} for number in (7, 300)]
    listed = [{"image_id": 1, "file_name": "a.png", "segments_info": segments}]
    images = [{"id": 1, "file_name": "a.jpg", "height": 40, "width": 50}]
    categories = [{"id": 1, "name": "cat", "isthing": 1}]
    path = folder / f"{stem}.json"
    (folder / stem).mkdir(parents=True)
    path.write_text(json.dumps({"images": images, "annotations": listed, "categories": categories}))
    pixels = np.zeros((40, 50, 3), np.uint8)
    pixels[5:20, 5:20, 0] = 7
    pixels[22:35, 10:45] = (300 - 256, 1, 0)
    Image.fromarray(pixels).save(folder / stem / "a.png")
    return path


def instances(path: Path) -> None:
    box = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[1, 1, 9, 1, 9, 9]]}
    path.write_text(json.dumps({"images": [], "annotations": [box], "categories": []}))


@pytest.mark.parametrize(("below", "given"), [("", ""), ("annotations", ""), ("a", "a")])
def test_a_folder_is_read_by_its_one_json(tmp_path: Path, below: str, given: str) -> None:
    panoptic(tmp_path / "in" / below)
    source = tmp_path / "in" / given
    assert dataset_path(source) == source
    assert read(source).masks["category"].tolist() == ["cat", "cat"]
    done = curate.audit(source, tmp_path / "out")
    assert done.info.source["format"] == "coco-panoptic"
    curate.prune(done.path, tmp_path / "pruned")
    assert read(tmp_path / "pruned").masks["category"].tolist() == ["cat", "cat"]


@pytest.mark.parametrize("more", ["panoptic", "instances"])
def test_a_folder_of_several_is_refused_by_their_names(tmp_path: Path, more: str) -> None:
    path = panoptic(tmp_path)
    if more == "panoptic":
        panoptic(tmp_path, "panoptic_train")
    else:
        instances(tmp_path / "instances_val.json")
    with pytest.raises(SourceError, match=f"give the JSON: .*{path.name}"):
        read(tmp_path)


@pytest.mark.parametrize("below", ["panoptic_val", "panoptic_val/a.png"])
def test_pngs_that_a_json_lists_are_refused(tmp_path: Path, below: str) -> None:
    panoptic(tmp_path)
    with pytest.raises(SourceError, match=r"give the JSON: .*panoptic_val\.json"):
        read(tmp_path / below)


def test_pngs_are_found_from_the_annotations_beside_them(tmp_path: Path) -> None:
    path = panoptic(tmp_path)
    (tmp_path / "annotations").mkdir()
    shutil.move(path, tmp_path / "annotations")
    with pytest.raises(SourceError, match="annotations/panoptic_val"):
        detect(tmp_path / "panoptic_val")


def test_a_forced_format_is_read_with_a_note(tmp_path: Path) -> None:
    panoptic(tmp_path)
    for source in (tmp_path, tmp_path / "panoptic_val"):
        assert dataset_path(source, "label-png") == source
        table = read(source, "label-png")
        assert len(table.masks) == 2
        assert "panoptic JSON says" in str(table.notes)


def test_other_folders_are_what_they_were(tmp_path: Path) -> None:
    path = panoptic(tmp_path)
    shutil.rmtree(tmp_path / "panoptic_val")
    assert dataset_path(tmp_path) == tmp_path
    ids = tmp_path / "ids"
    ids.mkdir()
    pixels = np.zeros((40, 50), np.uint8)
    pixels[5:20, 5:20], pixels[25:, 25:] = 1, 2
    Image.fromarray(pixels).save(ids / "b.png")
    assert path.exists()
    assert detect(ids).name == "label-png"
