"""What a JSON file is, told from its beginning and from its first annotation wherever that is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from curate.errors import SourceError
from curate.formats.reading import detect

IMAGES = [{"id": 1, "file_name": "a.jpg", "height": 5, "width": 5}]
VIDEOS = {"videos": [{"id": 1, "length": 2}], "categories": []}
FOREIGN: list[tuple[str, Any]] = [
    ("captions", {"images": IMAGES, "annotations": [{"id": 1, "image_id": 1, "caption": "cat"}]}),
    ("captions", [{"image_id": 1, "caption": "a cat"}]),
    ("captions", {"info": {}, "annotations": [{"caption": "cat", "image_id": 1, "id": 2}]}),
    ("YouTube-VIS", VIDEOS | {"annotations": [{"id": 1, "video_id": 1, "segmentations": [None]}]}),
    ("YouTube-VIS", VIDEOS | {"annotations": []}),
    ("YouTube-VIS", [{"video_id": 1, "score": 0.5, "category_id": 1, "segmentations": [None]}]),
    ("SA-Co", VIDEOS | {"video_np_pairs": [], "annotations": [{"segmentations": [], "id": 1}]}),
    ("keypoints", [{"image_id": 1, "category_id": 1, "keypoints": [1, 2, 2], "score": 0.5}]),
    ("keypoints", {"images": IMAGES, "annotations": [{"id": 1, "keypoints": [], "image_id": 1}]}),
    ("questions", {"questions": [{"image_id": 1, "question": "?"}], "annotations": [{"id": 1}]}),
]


def dump(folder: Path, value: Any) -> Path:
    path = folder / "a.json"
    path.write_text(json.dumps(value))
    return path


@pytest.mark.parametrize(("word", "value"), FOREIGN)
def test_files_without_masks_are_named(tmp_path: Path, word: str, value: Any) -> None:
    with pytest.raises(SourceError, match=word):
        detect(dump(tmp_path, value))


BOX = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 2, 2]}
MASK = BOX | {"segmentation": [[1, 1, 3, 1, 3, 3]]}
LVIS = IMAGES[0] | {"neg_category_ids": []}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("coco", {"images": IMAGES, "annotations": [MASK], "categories": []}),
        ("coco", {"images": IMAGES, "annotations": [BOX], "categories": []}),
        ("coco", {"images": IMAGES, "annotations": [MASK | {"keypoints": [1, 1, 2]}]}),
        ("coco", {"images": IMAGES, "annotations": [MASK | {"caption": "a cat"}]}),
        ("lvis", {"images": [LVIS], "annotations": [MASK]}),
        ("coco-results", [BOX | {"score": 0.5}]),
        ("coco-panoptic", {"images": IMAGES, "annotations": [{"segments_info": []}]}),
    ],
)
@pytest.mark.parametrize("images_before", [False, True])
def test_files_with_masks_or_boxes_are_read(
    tmp_path: Path, name: str, value: Any, images_before: bool
) -> None:
    if images_before and isinstance(value, dict):  # more than the beginning that is looked at
        first, *_ = value["images"]
        value = value | {"images": [first | {"coco_url": "x" * 1000, "id": i} for i in range(1500)]}
    assert detect(dump(tmp_path, value)).name == name


def test_a_late_first_annotation_is_found(tmp_path: Path) -> None:
    images = [{"id": i, "file_name": "x" * 1000} for i in range(1500)]
    value = {"images": images, "annotations": [{"id": 1, "image_id": 1, "caption": "a cat"}]}
    with pytest.raises(SourceError, match="captions"):
        detect(dump(tmp_path, value))


def test_folders_are_looked_at_until_there_is_content(tmp_path: Path) -> None:
    for number in range(60):
        (tmp_path / f"a{number:03}.json").write_text('{"of": "another tool"}')
    image = {"image_id": 1, "width": 5, "height": 5, "file_name": "a.jpg"}
    (tmp_path / "z.json").write_text(json.dumps({"image": image, "annotations": []}))
    assert detect(tmp_path).name == "sa1b"
