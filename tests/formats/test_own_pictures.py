"""Pictures that lie in a dataset are used as if they were given."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

import curate
from curate import rle
from curate.errors import CurateError
from curate.pipeline.inputs import Inputs
from curate.pipeline.scoring import audit
from curate.reporting.summary import summary, summary_text
from curate.writing.pruning import read_options

WIDTH, HEIGHT = 40, 30
STEMS = [f"scene_{k}" for k in range(3)]


def draw(path: Path, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    Image.fromarray(pixels).save(path)


def mask() -> np.ndarray[Any, Any]:
    made = np.zeros((HEIGHT, WIDTH), np.uint8)
    made[5:20, 8:30] = 255
    return made


def put(path: Path, content: str | np.ndarray[Any, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, str):
        path.write_text(content)
    else:
        Image.fromarray(content).save(path)


def yolo(root: Path, below: str = "images/train", suffix: str = ".png") -> Path:
    for stem in STEMS:
        put(root / "yolo/labels/train" / f"{stem}.txt", "0 0.1 0.1 0.8 0.1 0.8 0.8 0.1 0.8\n")
        draw(root / "yolo" / below / f"{stem}{suffix}")
    return root / "yolo"


def yolo_labels(root: Path) -> Path:
    return yolo(root) / "labels"


def yolo_beside(root: Path) -> Path:
    return yolo(root, "labels/train")


def folder_an_image(root: Path) -> Path:
    for stem in STEMS:
        put(root / "set" / stem / "masks/0.png", mask())
        draw(root / "set" / stem / f"images/{stem}.png")
    return root / "set"


def folder_of_masks(root: Path) -> Path:
    for stem in STEMS:
        put(root / "set/masks" / stem / "0.png", mask())
        draw(root / "set/images" / f"{stem}.jpg")
    return root / "set"


def flat(root: Path) -> Path:
    for stem in STEMS:
        for number in range(2):
            put(root / "set/masks" / f"{stem}_cell_{number}.png", mask())
        draw(root / "set/images" / f"{stem}.jpg")
    return root / "set"


def flat_alone(root: Path) -> Path:
    return flat(root) / "masks"


def voc(root: Path) -> Path:
    for stem in STEMS:
        put(root / "VOC/SegmentationObject" / f"{stem}.png", mask() // 255)
        draw(root / "VOC/JPEGImages" / f"{stem}.jpg")
    return root / "VOC"


def voc_objects(root: Path) -> Path:
    return voc(root) / "SegmentationObject"


def cityscapes(root: Path) -> Path:
    for stem in STEMS:
        ids = mask().astype(np.uint16) * 100
        put(root / "city/gtFine/train/aa" / f"{stem}_gtFine_instanceIds.png", ids)
        draw(root / "city/leftImg8bit/train/aa" / f"{stem}_leftImg8bit.png")
    return root / "city"


def ids_beside(root: Path) -> Path:
    for stem in STEMS:
        put(root / "set/masks" / f"{stem}.png", mask() // 255)
        draw(root / "set/images" / f"{stem}.png")
    return root / "set"


def record() -> dict[str, Any]:
    return {"segmentation": [[5, 5, 30, 5, 30, 20, 5, 20]], "bbox": [5, 5, 25, 15], "area": 375}


def sa1b(root: Path) -> Path:
    runs = rle.encode_counts(rle.from_dense(mask())).to_pylist()
    counts = {"size": [HEIGHT, WIDTH], "counts": runs[0].decode()}
    for k, stem in enumerate(STEMS):
        image = {"image_id": k, "file_name": f"{stem}.jpg", "height": HEIGHT, "width": WIDTH}
        one = record() | {"id": k, "segmentation": counts, "predicted_iou": 0.9}
        one |= {"stability_score": 0.9, "crop_box": [0, 0, WIDTH, HEIGHT], "point_coords": [[9, 9]]}
        draw(root / "sa" / f"{stem}.jpg")
        put(root / "sa" / f"{stem}.json", json.dumps({"image": image, "annotations": [one]}))
    return root / "sa"


def coco(file: Path, pictures: Path, prefix: str = "", size: tuple[int, int] = (30, 40)) -> Path:
    images = [
        {"id": k, "file_name": f"{prefix}{stem}.jpg", "height": size[0], "width": size[1]}
        for k, stem in enumerate(STEMS)
    ]
    annotations = [record() | {"id": k, "image_id": k, "category_id": 1} for k in range(3)]
    categories = [{"id": 1, "name": "cell"}]
    made = {"images": images, "annotations": annotations, "categories": categories}
    put(file, json.dumps(made))
    for stem in STEMS:
        draw(pictures / f"{stem}.jpg")
    return file


def cvat(root: Path, prefix: str = "") -> Path:
    shape = '<polygon label="cell" points="5,5;30,5;30,20;5,20" z_order="0"></polygon>'
    images = [
        f'<image id="{k}" name="{prefix}{stem}.jpg" width="40" height="30">{shape}</image>'
        for k, stem in enumerate(STEMS)
    ]
    meta = "<version>1.1</version><meta><task/></meta>"
    put(root / "annotations.xml", f"<annotations>{meta}{''.join(images)}</annotations>")
    for stem in STEMS:
        draw(root / "images" / f"{prefix}{stem}.jpg")
    return root


def cvat_zip(root: Path) -> Path:
    return Path(shutil.make_archive(str(root), "zip", cvat(root, "batch 1/")))


FOLDERS: list[Callable[[Path], Path]] = [
    *(yolo, yolo_labels, yolo_beside, folder_an_image, folder_of_masks, flat, flat_alone),
    *(voc, voc_objects, cityscapes, ids_beside, sa1b, cvat, cvat_zip),
]

FILES: dict[str, Callable[[Path], Path]] = {
    "roboflow": lambda root: coco(root / "train/_annotations.coco.json", root / "train"),
    "fiftyone": lambda root: coco(root / "labels.json", root / "data"),
    "images": lambda root: coco(root / "a.json", root / "images"),
    "paths": lambda root: coco(root / "a.json", root / "pics/raw", "pics/raw/"),
    "coco": lambda root: coco(root / "annotations/instances_val2017.json", root / "val2017"),
    "cvat": lambda root: coco(root / "annotations/instances_default.json", root / "images"),
}


@pytest.mark.parametrize(
    "make", [*FOLDERS, *FILES.values()], ids=[f.__name__ for f in FOLDERS] + [*FILES]
)
def test_pictures_of_the_dataset_are_used(make: Callable[[Path], Path], tmp_path: Path) -> None:
    done = audit(make(tmp_path / "in"), tmp_path / "out")
    pictures = done.images(["file_name", "picture_path", "status"])
    assert pictures["picture_path"].tolist() == pictures["file_name"].tolist()
    assert pictures["status"].tolist() == ["ok"] * 3
    where = done.info.settings["pictures"]
    assert f"pictures: {where}, 3 of 3" in summary_text(done, summary(done))
    assert done.masks()["edge_score"].notna().all()


def settings_of(source: Path, out: Path, **given: Any) -> dict[str, Any]:
    info = audit(source, out, inputs=Inputs(**given)).info
    return {"images": info.inputs.get("images"), "pictures": info.settings.get("pictures")}


def test_given_pictures_come_first_and_none_can_be_asked_for(tmp_path: Path) -> None:
    source = yolo(tmp_path)
    given = settings_of(source, tmp_path / "given", images=source / "images")
    assert given == {"images": str(source / "images"), "pictures": None}
    none = curate.audit(source, tmp_path / "none", images="none")
    assert none.info.inputs == {}
    assert "pictures" not in none.info.settings
    assert "picture_path" not in none.images().columns


def test_a_segmenter_needs_no_folder_where_the_dataset_has_pictures(tmp_path: Path) -> None:
    with pytest.raises(CurateError, match="no_such_model"):
        audit(
            yolo(tmp_path),
            tmp_path / "out",
            inputs=Inputs(segmenter=str(tmp_path / "no_such_model")),
        )


def test_an_audit_is_taken_up_with_the_same_pictures_and_no_others(tmp_path: Path) -> None:
    source = coco(tmp_path / "a.json", tmp_path / "images")
    first = audit(source, tmp_path / "out")
    assert audit(source, tmp_path / "out").info == first.info
    assert read_options(first).images == tmp_path / "images"  # a file's reader is told of them
    draw(tmp_path / "images/scene_1.jpg", 7)
    with pytest.raises(CurateError, match="the content of images has changed"):
        audit(source, tmp_path / "out")
    assert read_options(audit(yolo(tmp_path), tmp_path / "other")).images is None


@pytest.mark.parametrize("change", ["few", "size", "two", "outside"])
def test_what_is_beside_a_file_is_taken_only_where_it_is_sure(change: str, tmp_path: Path) -> None:
    if change == "size":
        coco(tmp_path / "in/a.json", tmp_path / "in/images", size=(300, 400))
    elif change == "outside":
        coco(tmp_path / "in/a.json", tmp_path / "pictures", "../pictures/")
    else:
        coco(tmp_path / "in/a.json", tmp_path / "in/images")
    if change == "few":
        (tmp_path / "in/images/scene_1.jpg").unlink()
    if change == "two":
        coco(tmp_path / "in/a.json", tmp_path / "in/data")
    nothing = {"images": None, "pictures": None}
    assert settings_of(tmp_path / "in/a.json", tmp_path / "out") == nothing


def test_a_mask_is_no_picture_of_its_own_image(tmp_path: Path) -> None:
    source = ids_beside(tmp_path)
    (source / "images/scene_1.png").unlink()
    images = audit(source, tmp_path / "out").images().set_index("file_name")
    assert images["picture_path"].isna().to_dict() == {
        "images/scene_0.png": False,
        "masks/scene_1.png": True,
        "images/scene_2.png": False,
    }


def test_a_missing_picture_is_a_finding_and_the_folder_is_not_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = folder_of_masks(tmp_path)
    put(source / "masks/scene_9/0.png", mask())
    put(source / "other/scene_9.png", mask())
    without_walk = SimpleNamespace(**{**vars(os), "walk": None})
    monkeypatch.setattr("curate.images.file_lookup.os", without_walk)
    images = audit(source, tmp_path / "out").images().set_index("file_name")
    assert images.loc["scene_9", "status"] == "missing"
    assert (images["status"].drop("scene_9") == "ok").all()
