"""Datasets whose images are known from elsewhere: from their masks, or from their place."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import packed_datasets
import pandas as pd
import pytest
import small_table_datasets
from drawn_masks import box_of, rle_of, scene
from mask_files import save_png
from PIL import Image

import curate
from curate.dataset.table import MaskTable
from curate.pipeline.scoring import audit
from curate.policy.policy import load_policy

Dropped = Callable[[Path], MaskTable]
SIZE = (24, 40)
RING = "0.1 0.1 0.6 0.1 0.6 0.6 0.1 0.6"


@pytest.fixture
def dropped(tmp_path: Path) -> Dropped:
    """Return a function that audits a dataset, rejects masks of its first image and prunes.

    All of them go, or ``only`` the first so many.
    """

    def drop(source: Path, only: int | None = None, **inputs: Any) -> MaskTable:
        from curate.people.reviews import Reviews
        from curate.pipeline.inputs import Inputs

        policy = load_policy({"name": "all"})
        made = audit(source, tmp_path / "audit", policy=policy, inputs=Inputs(**inputs))
        masks = made.masks(["image_id"])
        first = masks.index[masks["image_id"] == masks["image_id"].min()][:only]
        rows = pd.DataFrame({"mask_id": first, "action": "reject", "reviewer": "ada"})
        Reviews(made.pin()).add(rows, origin="test")
        for verb in (curate.prune, curate.write):
            out = tmp_path / verb.__name__ / source.name
            verb(made.path, out)
        assert (tmp_path / "prune").is_dir()
        return curate.read(tmp_path / "prune" / source.name)

    return drop


def test_results_of_images_of_one_size(tmp_path: Path, dropped: Dropped) -> None:
    masks = scene(np.random.default_rng(0), SIZE, 3)
    records = [
        {"image_id": image, "category_id": 1, "score": 0.5, "segmentation": rle_of(mask)}
        for image in (4, 5, 6)
        for mask in masks
    ]
    records.append({"image_id": 4, "category_id": 1, "score": 0.5, "bbox": list(box_of(masks[0]))})
    (tmp_path / "results.json").write_text(json.dumps(records))
    table = dropped(tmp_path / "results.json")
    assert table.images.index.tolist() == [5, 6]


def test_an_image_whose_size_only_its_masks_tell(tmp_path: Path, dropped: Dropped) -> None:
    for name in ("a", "b"):
        for k, mask in enumerate(scene(np.random.default_rng(1), SIZE, 3)):
            save_png(tmp_path / "amg" / name / f"{k}.png", mask)
        lines = ["id,area,bbox_x0,bbox_y0,predicted_iou", *(f"{k},1,2,3,0.9" for k in range(3))]
        (tmp_path / "amg" / name / "metadata.csv").write_text("\n".join(lines))
    table = dropped(tmp_path / "amg")
    assert table.images["height"].tolist() == [0, SIZE[0]]


@pytest.mark.parametrize("where", ["images", "given", "none"])
@pytest.mark.parametrize("below", ["", "train"])
def test_labels_whose_pictures_lie_elsewhere(
    tmp_path: Path, dropped: Dropped, where: str, below: str
) -> None:
    labels, pictures = tmp_path / "set" / "labels" / below, tmp_path / "set" / where / below
    labels.mkdir(parents=True)
    (tmp_path / "set" / "data.yaml").write_text("train: images\nnames: [cat, dog]\n")
    for name in ("a", "b"):
        (labels / f"{name}.txt").write_text(f"0 {RING}\r\n\r\n1 {RING}\r\n")
        if where != "none":
            pictures.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", SIZE[::-1]).save(pictures / f"{name}.png")
    inputs = {"images": pictures} if where == "given" else {}
    table = dropped(labels, **inputs)
    assert table.masks["source_key"].tolist() == ["b.txt:1", "b.txt:3"]
    assert (tmp_path / "write" / labels.name / "a.txt").read_text() == "\n"


@pytest.mark.parametrize("kind", ["", "zip"])
def test_an_image_that_comes_later_without_its_first_row(
    tmp_path: Path, dropped: Dropped, kind: str
) -> None:
    table = tmp_path / "in" / "train.csv"
    table.parent.mkdir()
    rows = [f"{name},{start} 3,20,30" for start in (1, 70) for name in ("b.png", "a.png")]
    table.write_text("\n".join(["ImageId,EncodedPixels,Height,Width", *rows]))
    source = packed_datasets.pack(table, kind, tmp_path) if kind else table
    left = dropped(source, only=1).masks
    assert [key.partition(":")[2] for key in left["source_key"]] == ["2", "4", "3"]
    assert left["file_name"].tolist() == ["a.png", "a.png", "b.png"]


def test_an_image_of_open_images_that_comes_later(tmp_path: Path, dropped: Dropped) -> None:
    root = small_table_datasets.open_images(tmp_path, np.random.default_rng(3))
    lists = sorted((root / "annotations").glob("*-segmentation.csv"))
    head, *train = lists[0].read_text().splitlines()
    other = lists[1].read_text().splitlines()[1:]
    mixed = [line for pair in zip(train, other, strict=False) for line in pair]
    lists[0].write_text("\n".join([head, *mixed]))
    lists[1].unlink()
    left = dropped(root, only=1).masks
    assert left["file_name"].str[-8:-4].tolist() == ["01ab"] * 3 + ["00ab"] * 2
