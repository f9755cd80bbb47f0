"""``prune --ignore``: ignore regions instead of deletion, where the format has them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from boxes import annotation, box
from PIL import Image
from pycocotools.coco import COCO
from small_datasets import build

import curate
from curate.errors import CallError
from curate.formats import format_by_name, format_names
from curate.people.reviews import open_reviews


def reject(audit: Path, *ids: int) -> None:
    rows = pd.DataFrame({"mask_id": list(ids), "action": "reject", "reviewer": "ann"})
    open_reviews(curate.open_audit(audit), create=True).add(rows, origin="test")


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    """Return an audit of eight boxes, a copy of one of them, and a mask without pixels."""
    ids = [annotation(k, 1 + k % 2, box(5 * k, 4, 4, 3 + k)) for k in range(1, 9)]
    ids[2]["segmentation"] = [[15.0, 4, 19, 4, 19, 10, 15, 10]]
    ids[2]["own"] = {"a": 1.0}
    del ids[3]["iscrowd"]
    ids += [annotation(9, 2, box(5, 4, 4, 4)), annotation(10, 1, box(0, 0, 0, 0))]
    for one in ids:
        one["bbox"] = [0.0, 0.0, 0.0, 0.0] if one["id"] == 10 else one["bbox"]
    images = [{"id": k, "file_name": f"{k}.png", "height": 40, "width": 50} for k in (1, 2)]
    document = {"images": images, "annotations": ids, "categories": [{"id": 1, "name": "cat"}]}
    (tmp_path / "source.json").write_text(json.dumps(document))
    curate.audit(tmp_path / "source.json", tmp_path / "audit", policy={"name": "all"})
    return tmp_path / "audit"


def test_coco_marks_them_as_crowds(coco: Path, tmp_path: Path) -> None:
    reject(coco, 3, 4, 5, 9, 10)
    out = tmp_path / "out.json"
    dry = curate.prune(coco, ignore=True)
    result = curate.prune(coco, out, ignore=True)
    assert result.as_dict()["effect"] == dry.as_dict()["effect"]
    assert (result.effect.masks.after, result.as_dict()["ignored"], result.dropped) == (5, 3, 2)
    assert "3 masks that would leave become ignore regions (iscrowd 1)" in result.effect_text()
    before = json.loads((tmp_path / "source.json").read_text())
    meant = [one for one in before["annotations"] if one["id"] not in (9, 10)]
    for one in meant:
        if one["id"] in (3, 4, 5):
            one["iscrowd"] = 1
    assert json.loads(out.read_text()) == {**before, "annotations": meant}
    assert len(COCO(str(out)).getAnnIds(iscrowd=True)) == 3
    rows = pd.read_parquet(result.provenance).set_index("mask_id")
    assert rows["change"].to_dict() == {
        **dict.fromkeys((1, 2, 6, 7, 8), "kept"),
        **dict.fromkeys((3, 4, 5), "ignored"),
        **dict.fromkeys((9, 10), "removed"),
    }


def test_only_what_differs_is_written(coco: Path, tmp_path: Path) -> None:
    reject(coco, 3)
    curate.prune(coco, tmp_path / "out.json", ignore=True)
    before = (tmp_path / "source.json").read_text()
    head, _, tail = before.partition('"id": 3,')
    meant = head + '"id": 3,' + tail.replace('"iscrowd": 0', '"iscrowd": 1', 1)
    assert (tmp_path / "out.json").read_text() == meant


def test_a_subset_ignores_the_rest(coco: Path, tmp_path: Path) -> None:
    result = curate.prune(coco, tmp_path / "out.json", keep=4, floor=0, ignore=True)
    found = COCO(str(tmp_path / "out.json"))
    assert len(found.getAnnIds(iscrowd=False)) == 4
    assert result.effect.partial_images < 2
    reasons = pd.read_parquet(result.provenance).set_index("mask_id")["reason"]
    assert reasons.str.contains("not in the subset: place .* of 10, of which 4 stay").sum() == 6


def voc_ids() -> np.ndarray[Any, Any]:
    ids = np.zeros((30, 40), np.uint8)
    for k in range(1, 6):
        ids[5:12, 7 * k - 5 : 7 * k] = k
    ids[20:24, 3:9] = 255
    return ids


def test_ids_become_void(tmp_path: Path) -> None:
    (tmp_path / "ids").mkdir()
    for name in ("a", "b"):
        Image.fromarray(voc_ids()).save(tmp_path / "ids" / f"{name}.png")
    curate.audit(tmp_path / "ids", tmp_path / "audit", policy={"name": "all"}, void=[255])
    masks = curate.open_audit(tmp_path / "audit").masks(["source_key"])
    assert len(masks) == 10
    gone = masks.index[masks["source_key"].isin(["a.png#2", "a.png#5", "b.png#1"])]
    reject(tmp_path / "audit", *gone.tolist())
    result = curate.prune(tmp_path / "audit", tmp_path / "out", ignore=True)
    assert "(the void id)" in result.effect_text()
    meant = voc_ids()
    meant[np.isin(meant, [2, 5])] = 255
    assert (np.asarray(Image.open(tmp_path / "out" / "a.png")) == meant).all()
    meant = voc_ids()
    meant[meant == 1] = 255
    assert (np.asarray(Image.open(tmp_path / "out" / "b.png")) == meant).all()


def test_ids_of_tiffs_become_void(tmp_path: Path) -> None:
    (tmp_path / "ids").mkdir()
    Image.fromarray(voc_ids()).save(tmp_path / "ids" / "a.tif")
    curate.audit(tmp_path / "ids", tmp_path / "audit", policy={"name": "all"}, void=[255])
    masks = curate.open_audit(tmp_path / "audit").masks(["source_key"])
    reject(tmp_path / "audit", *masks.index[masks["source_key"] == "a.tif#2"].tolist())
    curate.prune(tmp_path / "audit", tmp_path / "out", ignore=True)
    meant = voc_ids()
    meant[meant == 2] = 255
    assert (np.asarray(Image.open(tmp_path / "out" / "a.tif")) == meant).all()


def test_segments_of_coco_panoptic_become_void_and_a_segment_again(tmp_path: Path) -> None:
    source = build("coco-panoptic", tmp_path / "source", 0)
    curate.audit(source, tmp_path / "audit", policy={"name": "all"})
    masks = curate.open_audit(tmp_path / "audit").masks(["source_key", "status", "area_px"])
    gone = int(masks.index[(masks["status"] == "ok") & (masks["area_px"] > 0)][0])
    reject(tmp_path / "audit", gone)
    result = curate.prune(tmp_path / "audit", tmp_path / "out", ignore=True)
    assert result.as_dict()["ignored"] == 1
    assert curate.read(tmp_path / "out").masks.shape[0] == len(masks) - 1
    assert pd.read_parquet(result.provenance).set_index("mask_id").at[gone, "change"] == "ignored"
    curate.restore(tmp_path / "out", gone, tmp_path / "back")
    assert curate.version(tmp_path / "back") == curate.version(source)


def test_what_cityscapes_ignores_has_no_label(tmp_path: Path) -> None:
    stem = tmp_path / "in" / "gtFine" / "val" / "a" / "a_0_0_gtFine_"
    stem.parent.mkdir(parents=True)
    ids = voc_ids().astype(np.uint16)
    ids = np.where((ids > 0) & (ids < 255), 26000 + ids, 7).astype(np.uint16)
    Image.fromarray(ids).save(f"{stem}instanceIds.png")
    labels = np.where(ids > 1000, 26, 7).astype(np.uint8)
    Image.fromarray(labels).save(f"{stem}labelIds.png")
    curate.audit(tmp_path / "in", tmp_path / "audit", policy={"name": "all"})
    masks = curate.open_audit(tmp_path / "audit").masks(["source_key"])
    gone = masks.index[masks["source_key"].str.endswith("#26002")]
    reject(tmp_path / "audit", *gone.tolist())
    curate.prune(tmp_path / "audit", tmp_path / "out", ignore=True)
    for kind, before in (("instanceIds", ids), ("labelIds", labels)):
        with Image.open(str(stem).replace("/in/", "/out/") + f"{kind}.png") as image:
            assert (np.asarray(image) == np.where(ids == 26002, 0, before)).all()


def test_ids_without_a_void_id_are_refused(tmp_path: Path) -> None:
    (tmp_path / "ids").mkdir()
    Image.fromarray(voc_ids()).save(tmp_path / "ids" / "a.png")
    curate.audit(tmp_path / "ids", tmp_path / "audit", policy={"name": "all"})
    reject(tmp_path / "audit", curate.open_audit(tmp_path / "audit").masks([]).index[0])
    for out in (None, tmp_path / "out"):
        with pytest.raises(CallError, match="no void id") as refused:
            curate.prune(tmp_path / "audit", out, ignore=True)
        assert "--void N" in refused.value.do


@pytest.mark.parametrize("kind", ["yolo", "cvat", "lvis", "label-npy"])
def test_formats_without_ignore_regions_say_so(tmp_path: Path, kind: str) -> None:
    source = build(kind, tmp_path / "source", 0)
    curate.audit(source, tmp_path / "audit", policy={"name": "all"})
    for verb in (curate.prune, curate.write):
        with pytest.raises(CallError, match="there are no ignore regions in"):
            verb(tmp_path / "audit", ignore=True)


def test_formats_say_what_they_can() -> None:
    formats = [format_by_name(name) for name in format_names()]
    assert {form.ignores for form in formats} == {"", "crowd", "void"}
    assert {form.name for form in formats if form.ignores} >= {
        *("coco", "coco-splits", "coco-panoptic", "label-png", "label-tiff")
    }


def test_void_all_over_an_image_leaves_it_one_of_ids(tmp_path: Path) -> None:
    ids = np.zeros((240, 240), np.uint16)
    for k in range(225):
        y, x = divmod(k, 15)
        ids[16 * y : 16 * y + 3, 16 * x : 16 * x + 3] = k + 1
    (tmp_path / "ids").mkdir()
    Image.fromarray(ids).save(tmp_path / "ids" / "a_masks.tif")
    curate.audit(tmp_path / "ids", tmp_path / "audit", policy={"name": "all"}, void=[65535])
    reject(tmp_path / "audit", *curate.open_audit(tmp_path / "audit").masks([]).index[20:])
    result = curate.prune(tmp_path / "audit", tmp_path / "out", ignore=True)
    assert (result.kept, result.effect.ignored) == (20, 205)
    meant = np.where(ids > 20, 65535, ids)
    assert (np.asarray(Image.open(tmp_path / "out" / "a_masks.tif")) == meant).all()
