"""What a dataset becomes as COCO: ids, categories, polygons, names of pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from drawn_masks import encoded
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

import curate
from curate.people.reviews import Reviews
from curate.pipeline.inputs import Inputs
from curate.pipeline.scoring import audit
from curate.policy.policy import load_policy


def test_categories_without_names_keep_their_numbers(case: Any) -> None:
    one = case("coco-results")
    numbers = {int(n) for n in one.table.masks["category_id"].dropna()}
    assert numbers
    one.say("fix", category="77")
    one.add(one.dot(), None)
    curate.write(one.audit, one.out, to="coco")
    written = json.loads(one.out.read_bytes())
    found = {one["id"]: one["name"] for one in written["categories"]}
    assert {number: str(number) for number in numbers}.items() <= found.items()
    assert found[77] == "77"
    assert found[max(found)] == "object"
    used = {one["category_id"] for one in written["annotations"]}
    assert used <= found.keys()


@pytest.mark.parametrize("with_pictures", [True, False])
def test_images_get_the_names_of_their_pictures_where_these_are_known(
    tmp_path: Path, with_pictures: bool
) -> None:
    ids = np.zeros((24, 40), np.uint8)
    ids[3:9, 4:20] = 1
    (tmp_path / "source").mkdir()
    (tmp_path / "photos" / "sub").mkdir(parents=True)
    for name in ("a", "b"):
        Image.fromarray(ids).save(tmp_path / "source" / f"{name}.png")
    Image.new("RGB", (40, 24)).save(tmp_path / "photos" / "sub" / "a.jpg")
    inputs = Inputs(images=tmp_path / "photos") if with_pictures else None
    policy = load_policy({"name": "all"})
    audit(tmp_path / "source", tmp_path / "audit", policy=policy, inputs=inputs)
    curate.write(tmp_path / "audit", tmp_path / "coco.json", to="coco")
    written = json.loads((tmp_path / "coco.json").read_bytes())
    names = [one["file_name"] for one in written["images"]]
    assert names == (["sub/a.jpg", "b.png"] if with_pictures else ["a.png", "b.png"])
    found = curate.diff(tmp_path / "source", tmp_path / "coco.json")
    assert not len(found.images)
    assert (found.unchanged, len(found.masks)) == (2, 0)


WITHOUT_IDS = ["yolo", "amg", "amg-json", "sav", "cvat-bare", "png-folder", "label-png"]


@pytest.mark.parametrize("name", WITHOUT_IDS)
def test_coco_evaluates_what_was_written_against_itself_as_perfect(
    case: Any, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """COCOeval takes the id 0 for no match."""
    one = case(name)
    one.add(one.dot(), None)
    category = {"yolo": "cat", "cvat-bare": "cell"}.get(name)
    result = curate.write(one.audit, one.out.with_suffix(".json"), to="coco", category=category)
    truth = COCO(str(result.out))
    content = json.loads(result.out.read_bytes())
    for key in ("images", "annotations", "categories"):
        ids = [one["id"] for one in content[key]]
        assert min(ids) >= 1
        assert len(set(ids)) == len(ids)
    found = truth.loadRes([{**a, "score": 1.0} for a in content["annotations"]])
    evaluation = COCOeval(truth, found, "segm")
    evaluation.params.maxDets = [1, 10, 1000]
    evaluation.evaluate()
    evaluation.accumulate()
    reached = evaluation.eval["precision"][..., 0, -1]
    assert reached[reached > -1].min() == 1.0
    assert curate.diff(one.source, result.out).unchanged + result.left_out == len(one.table)


def test_all_ids_but_0_are_those_of_the_audit_and_the_provenance_has_the_other(case: Any) -> None:
    one = case("yolo")
    assert one.mask_id == 0
    one.say("fix", segmentation=encoded(one.dot()))
    out = one.out.with_suffix(".json")
    result = curate.write(one.audit, out, to="coco")
    top = int(one.table.masks.index.max()) + 1
    ids = {a["id"] for a in json.loads(out.read_bytes())["annotations"]}
    usable = one.table.masks.index[one.table.masks["area_px"] > 0]
    assert ids == {top, *usable} - {0}
    assert f", mask 0 (id {top}: COCO's evaluation skips the id 0)" in result.text()
    assert result.text().count("the id 0") == 1
    assert result.as_dict()["renumbered"] == {"0": top}
    rows = pq.read_table(result.provenance).to_pylist()
    assert {r["mask_id"]: r["new_mask_id"] for r in rows if r["new_mask_id"]} == {0: top}


def test_classes_of_yolo_are_counted_from_1_in_their_order(case: Any) -> None:
    one = case("yolo")
    out = one.out.with_suffix(".json")
    curate.write(one.audit, out, to="coco")
    masks = one.table.masks.dropna(subset=["category"])
    numbers = dict(zip(masks["category"], masks["category_id"] + 1, strict=True))
    listed = {c["name"]: c["id"] for c in json.loads(out.read_bytes())["categories"]}
    assert numbers.items() <= listed.items()


@pytest.mark.parametrize("name", ["yolo", "cvat", "lvis", "coco-results", "png-folder"])
def test_polygons_stay_polygons_where_rings_have_exactly_the_pixels(
    case: Any, name: str, tmp_path: Path
) -> None:
    one = case(name)
    polygons = one.table.masks.get("outline_crossings")
    polygons = set() if polygons is None else set(polygons.dropna().index)
    if polygons:
        with_hole = max(polygons)
        ring = np.zeros_like(one.pixels(with_hole))
        ring[2:9, 2:9] = True
        ring[4:6, 4:6] = False
        one.say("fix", with_hole, segmentation=encoded(ring))
    for masks in ("same", "rle"):
        out = tmp_path / f"{masks}.json"
        result = curate.write(one.audit, out, to="coco", masks=masks)
        annotations = json.loads(out.read_bytes())["annotations"]
        drawn = {a["id"] for a in annotations if isinstance(a["segmentation"], list)}
        stored = result.as_dict()["stored"]
        assert stored["polygons"] == len(drawn)
        if masks == "rle":
            assert not drawn
            assert stored["polygons_to_rle"] == 0
            continue
        assert stored["polygons_to_rle"] == len(polygons) - len(drawn)
        assert len(drawn) >= len(polygons) // 2
        if polygons:
            assert stored["polygons_to_rle"] >= 1
            assert "run lengths now: no polygon without a seam" in result.text()


@pytest.mark.parametrize("name", ["amg", "png-folder", "yolo"])
def test_that_masks_get_a_category_is_said_before_and_after(case: Any, name: str) -> None:
    one = case(name)
    dry = curate.write(one.audit, to="coco")
    done = curate.write(one.audit, one.out.with_suffix(".json"), to="coco")
    content = json.loads(done.out.read_bytes())
    unnamed = [c["id"] for c in content["categories"] if c["name"] == "object"]
    count = sum(a["category_id"] in unnamed for a in content["annotations"])
    for result in (dry, done):
        assert result.as_dict()["masks_without_category"] == count
        assert ("without a category" in result.text()) == bool(count)


@pytest.mark.parametrize("folder", [False, True], ids=["a file", "files of splits"])
def test_a_new_category_takes_no_number_that_annotations_use(tmp_path: Path, folder: bool) -> None:
    """Not even one that no category declares: its masks would get the name."""
    pixels = np.zeros((16, 20), bool)
    pixels[2:9, 3:12] = True
    mask = {"size": [16, 20], "counts": encoded(pixels).decode()}
    one = {"image_id": 1, "segmentation": mask, "area": 63, "bbox": [3, 2, 9, 7], "iscrowd": 0}
    document = {
        "images": [{"id": 1, "file_name": "1.png", "height": 16, "width": 20}],
        "annotations": [{"id": 1, "category_id": 1, **one}, {"id": 2, "category_id": 2, **one}],
        "categories": [{"id": 1, "name": "cat"}],
    }
    source = tmp_path / "source.json"
    if folder:
        source = tmp_path / "source"
        (source / "annotations").mkdir(parents=True)
        for k, split in enumerate(("train", "val")):
            text = json.dumps(document).replace('"id": 1, "file', f'"id": 1, "x": {k}, "file')
            (source / "annotations" / f"instances_{split}.json").write_text(text)
    else:
        source.write_text(json.dumps(document))
    audit(source, tmp_path / "audit", policy=load_policy({"name": "all"}))
    first = int(curate.open_audit(tmp_path / "audit").masks([]).index[0])
    rows = pd.DataFrame([{"mask_id": first, "action": "fix", "category": "dog"}])
    Reviews(curate.open_audit(tmp_path / "audit")).add(rows, origin="a test")
    written = curate.write(tmp_path / "audit", tmp_path / ("out" if folder else "out.json")).out
    assert written is not None
    file = written / "annotations" / "instances_train.json" if folder else written
    made = json.loads(file.read_bytes())
    assert {"id": 3, "name": "dog"}.items() <= made["categories"][-1].items()
    assert [one["category_id"] for one in made["annotations"]] == [3, 2]
