"""Writing what is odd in the source: masks without ids, masks without pixels."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pytest
from drawn_decisions import (
    Source,
    added,
    decide_all_sorts,
    default_label,
    hand_in,
    happened,
    kept,
    listed,
)
from drawn_masks import encoded, rle_of, scene
from PIL import Image
from small_datasets import build

import curate
from curate.errors import AuditError
from curate.people.reviews import Reviews
from curate.pipeline.scoring import audit
from curate.policy.policy import load_policy

SIZE = (24, 40)
Decide = Callable[..., None]


@pytest.fixture
def content() -> dict[str, Any]:
    images = [{"id": i, "file_name": f"{i}.png", "height": 24, "width": 40} for i in (2, 1)]
    annotations = [
        {"image_id": 1 + k % 2, "id": 50 + k, "category_id": 1, "segmentation": rle_of(mask)}
        for k, mask in enumerate(scene(np.random.default_rng(0), SIZE, 6))
    ]
    categories = [{"id": 1, "name": "cell"}]
    return {"images": images, "annotations": annotations, "categories": categories}


@pytest.fixture
def audited(tmp_path: Path, content: dict[str, Any]) -> Callable[[], tuple[Path, Reviews]]:
    """Return a function that audits the content and returns the audit and its decisions."""

    def make() -> tuple[Path, Reviews]:
        source = tmp_path / "source.json"
        source.write_text(json.dumps(content))
        audit(source, tmp_path / "audit", policy=load_policy({"name": "all"}))
        return tmp_path / "audit", Reviews(curate.open_audit(tmp_path / "audit"))

    return make


def test_masks_without_an_id_are_numbered_by_their_place_and_may_move(
    audited: Any, content: dict[str, Any], tmp_path: Path
) -> None:
    for k in (1, 2, 4):
        del content["annotations"][k]["id"]
    path, reviews = audited()
    reviews.add(pd.DataFrame({"mask_id": [50], "action": "reject"}), origin="a test")
    curate.write(path, tmp_path / "out.json")
    written = json.loads((tmp_path / "out.json").read_text())
    assert written["annotations"] == content["annotations"][1:]


def test_a_mask_without_pixels_is_no_obstacle_to_a_new_one_on_its_image(
    audited: Any, content: dict[str, Any], tmp_path: Path
) -> None:
    content["annotations"][1]["segmentation"] = {"size": [24, 40], "counts": "~"}
    path, reviews = audited()
    mask = np.zeros(SIZE, bool)
    mask[3, 4] = True
    new = pd.DataFrame({"image_id": [2], "segmentation": [encoded(mask)]})
    none = pd.DataFrame({"mask_id": [], "action": []})
    reviews.add(none, origin="a test", missing=new)
    curate.write(path, tmp_path / "out.json")
    written = json.loads((tmp_path / "out.json").read_text())
    assert written["annotations"][:-1] == content["annotations"]
    assert written["annotations"][-1]["segmentation"] == rle_of(mask)
    assert written["annotations"][-1]["id"] == 56


def test_provenance_may_be_asked_for_on_another_disk(
    audited: Any, content: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, reviews = audited()
    reviews.add(pd.DataFrame({"mask_id": [50], "action": "reject"}), origin="a test")
    other, real = tmp_path / "other" / "disk", os.link

    def link(first: Any, second: Any) -> None:
        if Path(second).is_relative_to(other) and not Path(first).is_relative_to(other):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        real(first, second)

    monkeypatch.setattr(os, "link", link)
    curate.write(path, tmp_path / "out.json", provenance=other / "what.json")
    monkeypatch.undo()
    rows = json.loads((other / "what.json").read_text())["masks"]
    assert [row["change"] for row in rows] == ["kept"] * 5 + ["removed"]
    assert [p.name for p in other.iterdir()] == ["what.json"]
    (tmp_path / "file").write_text("")
    with pytest.raises(AuditError, match="it cannot be written"):
        curate.write(path, tmp_path / "2.json", provenance=tmp_path / "file" / "what.json")
    assert not (tmp_path / "2.json").exists()


@pytest.mark.parametrize("name", ["coco", "yolo", "label-png"])
def test_a_dry_run_says_what_would_happen_and_writes_nothing(
    prepared: Callable[[str], Source], name: str, tmp_path: Path
) -> None:
    source = prepared(name)
    decided, label = decide_all_sorts(source), default_label(source.kind)
    shutil.copytree(source.audit, tmp_path / "audit")
    hand_in(source, tmp_path / "audit", decided)
    dry = curate.write(tmp_path / "audit", category=label)
    assert [p.name for p in tmp_path.iterdir()] == ["audit"]
    done = curate.write(tmp_path / "audit", tmp_path / "out", category=label)
    assert dry.counts() == done.counts()
    said = json.loads(orjson.dumps(dry.as_dict(), option=orjson.OPT_SERIALIZE_NUMPY))
    assert said["dry_run"] is True
    assert said["out"] is said["version"] is said["provenance"] is None
    changed = {number: what for number, what in happened(source, decided).items() if what != "kept"}
    found = {row["mask_id"]: row["change"] for row in said["masks"] if row["mask_id"] is not None}
    assert found == changed
    assert len(said["masks"]) == len(changed) + len(decided.added)
    assert "nothing is written without --out" in dry.text()


@pytest.mark.parametrize("name", ["coco", "sa1b", "cvat", "png-folder"])
def test_masks_that_wait_for_review_go_where_that_is_asked_for(
    prepared: Callable[[str], Source], name: str, tmp_path: Path
) -> None:
    """Masks on which people disagree are among them."""
    source = prepared(name)
    decided = decide_all_sorts(source)
    shutil.copytree(source.audit, tmp_path / "audit")
    hand_in(source, tmp_path / "audit", decided)
    waiting = decided.of("disagree")
    label = default_label(source.kind)
    out = tmp_path / f"out{source.path.suffix}"
    result = curate.write(tmp_path / "audit", out, drop=("reject", "review"), category=label)
    meant = [mask for n, mask in kept(source, decided).items() if n not in waiting]
    assert Counter(listed(curate.read(out)).values()) == Counter(meant + added(source, decided))
    counts = result.counts()
    assert counts["removed_by_people"] == len(decided.of("reject"))
    assert counts["removed_for_review"] == len(waiting)
    assert counts["unsettled"] == 0
    assert f"{len(waiting)} that wait for review" in result.text()
    assert "not settled" not in result.text()


def test_what_is_noted_in_the_dataset_is_all_that_attributes_change(
    prepared: Callable[[str], Source], tmp_path: Path
) -> None:
    source = prepared("coco")
    decided = decide_all_sorts(source)
    shutil.copytree(source.audit, tmp_path / "audit")
    hand_in(source, tmp_path / "audit", decided)
    results = [
        curate.write(tmp_path / "audit", tmp_path / f"{k}.json", category="cat", attributes=bool(k))
        for k in range(2)
    ]
    plain, noted = (json.loads((tmp_path / f"{k}.json").read_bytes()) for k in range(2))
    assert results[0].version == results[1].version
    found = {
        one["id"]: one.pop("attributes") for one in noted["annotations"] if "attributes" in one
    }
    assert noted == plain
    changes = happened(source, decided)
    for number in kept(source, decided):
        if decided.acts[number] in ("nothing", "disagree"):
            assert number not in found
        else:
            assert found.pop(number)["curate_change"] == changes[number]
    assert [one["curate_change"] for one in found.values()] == ["added"] * len(decided.added)


@pytest.mark.parametrize("stem", ["\u5b57" * 80, "[a]*?"], ids=["long", "strange"])
def test_outputs_may_have_long_and_strange_names(audited: Any, tmp_path: Path, stem: str) -> None:
    path, reviews = audited()
    reviews.add(pd.DataFrame({"mask_id": [50], "action": "reject"}), origin="a test")
    out = tmp_path / stem
    curate.write(path, out, provenance=tmp_path / "what.json")
    assert len(curate.read(out)) == 5
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("kind", ["folder", "json", "ids"])
def test_what_a_single_image_is_called_only_by_its_place_is_no_content(
    tmp_path: Path, kind: str
) -> None:
    masks = scene(np.random.default_rng(0), SIZE, 3)
    source = tmp_path / "truck"
    out = tmp_path / "elsewhere" / "better"
    if kind == "folder":
        source = next(build("amg", source).rglob("metadata.csv")).parent
    elif kind == "json":
        found = build("amg-json", source).rglob("*.json")
        source = max(found, key=lambda path: path.stat().st_size)
        out = out.with_suffix(".json")
    else:
        source, out = source.with_suffix(".png"), out.with_suffix(".png")
        ids = np.zeros(SIZE, np.uint8)
        for k, mask in enumerate(masks, 1):
            ids[mask] = k
        Image.fromarray(ids).save(source)
    audit(source, tmp_path / "audit", policy=load_policy({"name": "all"}))
    table = curate.read(source)
    assert table.images["file_name"].tolist() != [out.stem]
    result = curate.write(tmp_path / "audit", out)
    assert result.version == result.version_before == curate.version(out) == curate.version(source)
    gone = int(table.masks.index[0])
    reviews = Reviews(curate.open_audit(tmp_path / "audit"))
    reviews.add(pd.DataFrame({"mask_id": [gone], "action": "reject"}), origin="a test")
    second = curate.write(tmp_path / "audit", out.with_stem("again"))
    assert second.version == curate.version(out.with_stem("again")) != result.version
    found = curate.diff(source, out.with_stem("again"))
    assert found.masks["change"].tolist() == ["removed"]
    assert not len(found.images)
    curate.write(tmp_path / "audit", tmp_path / "coco.json", to="coco")
    assert curate.diff(source, tmp_path / "coco.json").masks["change"].tolist() == ["removed"]


def test_pandas_keeps_large_ids_of_the_provenance_exact(
    audited: Any, content: dict[str, Any], tmp_path: Path
) -> None:
    large = 2**53 + 1
    content["annotations"][0]["id"] = large
    path, reviews = audited()
    mask = np.zeros(SIZE, bool)
    mask[22:, 37:] = True
    row = {"image_id": 1, "segmentation": encoded(mask), "category": "cell"}
    none = pd.DataFrame({"mask_id": [], "action": []})
    reviews.add(none, origin="a test", missing=pd.DataFrame([row]))
    result = curate.write(path, tmp_path / "out.json")
    rows = pd.read_parquet(result.provenance)
    assert large in rows["mask_id"].tolist()
    assert rows["mask_id"].isna().sum() == 1
    assert rows["new_mask_id"].dropna().tolist() == [large + 1]
    assert {str(rows[name].dtype) for name in ("mask_id", "new_mask_id", "image_id")} == {"Int64"}
