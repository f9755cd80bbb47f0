"""Objects without a mask that a verifier sees: listed, joined with detections, added, written."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import curate
from curate.images import ImageFolder
from curate.networks.verifiers.verifier_worth import VerifierWorth
from curate.people.queues.missing_proposals import read_proposals
from curate.pipeline import scoring
from curate.rle import decode
from curate.scorers import score
from curate.scorers.unmasked_objects import join_missing, merge_entries
from curate.testing.bright_verifier import BrightVerifier

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))
from shapes_dataset import SIZE, write_shapes

LACKING, BARE, BLIND = 2, 4, 5
"""Images: one lacks a mask, one lacks all, and one has no picture."""


class JudgeWithWorth(BrightVerifier):
    """As an audit opens it."""

    worth = VerifierWorth(0.9, 0.9, {})
    finder = None
    grids = None


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """A dataset that lacks four masks, and these."""
    source = write_shapes(tmp_path_factory.mktemp("lacking"), 6, seed=1, categories=1)
    coco = json.loads(source.read_text())
    lost = [
        one
        for k, one in enumerate(coco["annotations"])
        if one["image_id"] == BARE or (one["image_id"] == LACKING and k % 3 == 1)
    ]
    coco["annotations"] = [one for one in coco["annotations"] if one not in lost]
    source.write_text(json.dumps(coco))
    (source.parent / "images" / f"{BLIND}.png").write_bytes(b"no picture")
    return source, lost


@pytest.fixture(scope="module")
def audited(dataset: tuple[Path, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("audits") / "a.audit"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scoring, "_verifier", lambda name, device: JudgeWithWorth())
        images = dataset[0].parent / "images"
        curate.audit(dataset[0], out, images=images, verifier="bright", format="coco")
    return out


def test_images_are_asked_also_without_masks_and_not_without_a_picture(dataset):
    table = curate.read(dataset[0])
    inputs = {"images": ImageFolder(dataset[0].parent / "images"), "verifier": BrightVerifier()}
    found = score(table, inputs=inputs, only=["unmasked_objects"], level="image")
    assert found["unmasked_objects"].drop(BLIND).tolist() == [0, 0, 1, 0, 3]
    assert found["exhaustive_score"].drop(BLIND).between(0, 1).all()
    assert found.loc[BLIND, ["exhaustive_score", "unmasked_objects"]].isna().all()
    assert pd.isna(found.loc[BLIND, "unmasked_objects_json"])
    assert found["exhaustive_score"].nsmallest(2).index.isin([LACKING, BARE]).all()
    (one,) = json.loads(found.loc[LACKING, "unmasked_objects_json"])
    (drawn,) = decode([{"size": list(SIZE), "counts": one["segmentation"]}])
    x, y, w, h = dataset[1][0]["bbox"]
    assert one["bbox"] == pytest.approx([x, y, w, h], abs=1)
    assert drawn[y : y + h, x : x + w].sum() == drawn.sum() > 100


class SilentVerifier(BrightVerifier):
    """One that is no better than chance."""

    def find_unmasked(self, picture: object, runs: object) -> None:
        del picture, runs


def test_a_verifier_that_cannot_tell_says_nothing(dataset):
    table = curate.read(dataset[0])
    inputs = {"images": ImageFolder(dataset[0].parent / "images"), "verifier": SilentVerifier()}
    found = score(table, inputs=inputs, only=["unmasked_objects"], level="image")
    assert found.isna().all(axis=None)
    joined = join_missing(found)
    assert joined["missing_detections"].isna().all()


def entry(box: list[float], sure: float, **more: object) -> dict[str, object]:
    plain = {"category": None, "category_id": None, "explained": 0.0, "counted": sure >= 0.5}
    return {"bbox": box, "score": sure, **plain, **more}


def test_a_detection_and_a_proposed_mask_of_one_object_are_one_entry():
    box, near, far = [10.0, 10.0, 20.0, 20.0], [11.0, 10.0, 20.0, 20.0], [50.0, 5.0, 9.0, 9.0]
    detections = [
        entry(box, 0.6, category="cat"),
        entry([70.0, 60.0, 5.0, 5.0], 0.2, segmentation="own"),
    ]
    proposed = [entry(near, 0.5, segmentation="drawn"), entry(far, 0.7, segmentation="other")]
    frame = pd.DataFrame(
        {
            "missing_detections": [1.0, np.nan, 2.0],
            "missing_detections_json": [json.dumps(detections), None, json.dumps(detections)],
            "exhaustive_score": [0.5, 0.3, np.nan],
            "unmasked_objects": [2.0, 1.0, np.nan],
            "unmasked_objects_json": [json.dumps(proposed), json.dumps(proposed[1:]), None],
        },
        index=pd.Index([1, 2, 3], name="image_id"),
    )
    joined = join_missing(frame)
    assert joined["missing_detections"].tolist() == [2, 1, 1]
    assert joined["exhaustive_score"].tolist() == pytest.approx([0.5 * 0.4, 0.3, 0.4])
    both = json.loads(joined["missing_detections_json"].iloc[0])
    assert [one["seen_by"] for one in both] == ["both", "verifier", "detector"]
    assert both[0]["score"] == pytest.approx(1 - 0.4 * 0.5)
    assert (both[0]["bbox"], both[0]["category"], both[0]["segmentation"]) == (box, "cat", "drawn")
    assert json.loads(joined["missing_detections_json"].iloc[1])[0]["bbox"] == far
    without = frame.drop(columns=["exhaustive_score", "unmasked_objects", "unmasked_objects_json"])
    pd.testing.assert_frame_equal(join_missing(without), without)


def test_masks_that_explain_a_sure_detection_explain_the_proposed_mask_in_its_place():
    box = [10.0, 10.0, 20.0, 20.0]
    (drawn,) = (entry(box, 0.7, segmentation="between the slices"),)

    def counted(sure: float, explained: float) -> bool:
        seen = entry(box, sure, explained=explained, counted=explained < 0.5 <= sure)
        (one,) = merge_entries([seen], [drawn])
        return bool(one["counted"])

    assert [counted(0.9, 0.6), counted(0.4, 0.6), counted(0.9, 0.4)] == [False, True, True]


def test_what_a_verifier_sees_is_listed_added_and_written(dataset, audited, tmp_path):
    """From the audit over the report and the list of proposals to the dataset."""
    source, lost = dataset
    shutil.copytree(audited, tmp_path / "a.audit")
    audit = curate.open_audit(tmp_path / "a.audit")
    proposals = read_proposals(audit)
    assert len(proposals) == len(lost) == 4
    assert set(proposals["seen_by"]) == {"verifier"}
    assert "missing masks proposed: 4 (4 to look at)" in curate.status(audit).text()
    rows = tmp_path / "missing.csv"
    curate.write_queue(audit, rows, kind="missing")
    table = pd.read_csv(rows)
    assert table["seen_by"].eq("verifier").all()
    table["decision"] = ["accept"] * 3 + ["reject"]
    table["category"] = "disc"
    table.to_csv(rows, index=False)
    done = curate.import_decisions(rows, audit)
    assert (done.added, done.refused) == (3, 1)
    written = tmp_path / "written.json"
    curate.write(audit, written)
    before, after = (json.loads(path.read_text())["annotations"] for path in (source, written))
    added = after[len(before) :]
    assert len(added) == 3
    boxes = [one["bbox"] for one in lost]
    assert all(any(np.allclose(one["bbox"], box, atol=1) for box in boxes) for one in added)
