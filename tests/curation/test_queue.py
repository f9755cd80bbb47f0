from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

import curate
from curate.errors import AuditError, CallError
from curate.people.exchange import write_queue
from curate.people.queues.population import queue_size

Masks = Callable[..., pd.DataFrame]


@pytest.fixture
def planned(masks: Masks) -> pd.DataFrame:
    """Six masks, five of them to review."""
    return masks(
        6,
        action=["review"] * 5 + ["accept"],
        reasons=["odd"] * 6,
        priority=[0.1, 0.9, 0.5, 0.5, 0.2, 1.0],
        rank=[6, 2, 3, 4, 5, 1],
        duplicate_of=pd.array([None, 10, None, None, None, None], dtype="Int64"),
        category_id=pd.array([3] * 6, dtype="Int64"),
        iscrowd=pd.array([0, 1, 0, 0, 0, 0], dtype="Int8"),
        fragment_score=[1.0, np.nan, 0.5, 1, 1, 1],
    )


def test_the_likeliest_errors_come_first_within_the_budget(
    make_audit: Any, planned: pd.DataFrame
) -> None:
    audit = make_audit(planned)
    assert curate.queue(audit)["mask_id"].tolist() == [11, 12, 13, 14, 10]
    rows = curate.queue(audit, budget=2)
    assert rows["mask_id"].tolist() == [11, 12]
    assert rows.columns[:2].tolist() == ["rank", "mask_id"]
    assert "segmentation" not in rows
    assert rows["duplicate_of"].tolist() == [10, pd.NA]
    assert curate.queue(audit, actions=("accept", "review"), budget=1)["mask_id"].tolist() == [15]
    assert len(curate.queue(audit, minutes=1, seconds_per_mask=20)) == 3


def test_a_budget_in_minutes() -> None:
    assert queue_size(None, 240, 14.0) == 1028
    assert queue_size(500, 240, 14.0) == 500
    assert queue_size(None, None, 14.0) is None
    assert queue_size(None, 14 / 60, 14.0) == 1
    for wrong in ((0, None, 14.0), (None, 0, 14.0), (None, 0.1, 14.0), (None, 5, 0)):
        with pytest.raises(CallError):
            queue_size(*wrong)
    with pytest.raises(CallError):
        queue_size(None, float("nan"), 14.0)


def test_wrong_actions_and_unplanned_audits_are_refused(make_audit: Any, masks: Masks) -> None:
    with pytest.raises(AuditError, match="no mask has an action"):
        curate.queue(make_audit(masks(3)))
    with pytest.raises(CallError, match="did you mean review"):
        curate.queue(make_audit(masks(3, action="review"), "b"), actions=("reviews",))


def test_csv_is_safe_to_open_in_a_spreadsheet(
    make_audit: Any, planned: pd.DataFrame, tmp_path: Path
) -> None:
    names = ["=1+1", " @x", "-1", 'a "b",\nc', "שלום", "+x"]
    audit = make_audit(planned.assign(category=names, action="review"))
    out = tmp_path / "q.csv"
    assert write_queue(audit, curate.queue(audit), out) == 6
    with out.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {r["category"] for r in rows} == {"'=1+1", "' @x", "'-1", names[3], names[4], "'+x"}
    assert rows[1]["duplicate_of"] == "10"
    assert rows[1]["fragment_score"] == ""
    assert pd.read_csv(out)["priority"].is_monotonic_decreasing


def test_json_holds_every_row(make_audit: Any, planned: pd.DataFrame, tmp_path: Path) -> None:
    audit = make_audit(planned, source={"path": "a.json"})
    write_queue(audit, curate.queue(audit), tmp_path / "q.json")
    read = json.loads((tmp_path / "q.json").read_text())
    assert read["source"] == "a.json"
    assert [m["mask_id"] for m in read["masks"]] == [11, 12, 13, 14, 10]
    assert read["masks"][0]["fragment_score"] is None


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools
def test_coco_loads_and_holds_the_same_masks(
    make_audit: Any, planned: pd.DataFrame, tmp_path: Path
) -> None:
    planned.loc[13, "segmentation"] = None
    audit = make_audit(planned)
    out = tmp_path / "q.json"
    assert write_queue(audit, curate.queue(audit), out, "coco") == 4
    coco = COCO(str(out))
    assert sorted(coco.getAnnIds()) == [10, 11, 12, 14]
    assert [a["id"] for a in coco.dataset["annotations"]] == [11, 12, 14, 10]
    for annotation in coco.dataset["annotations"]:
        row = planned.loc[annotation["id"]]
        assert annotation["iscrowd"] == row["iscrowd"]
        assert annotation["area"] == row["area_px"] == coco.annToMask(annotation).sum()
        assert annotation["bbox"] == coco_mask.toBbox(annotation["segmentation"]).tolist()
        assert annotation["segmentation"]["counts"].encode() == row["segmentation"]
        assert annotation["attributes"]["reasons"] == "odd"
        assert annotation["attributes"]["source_key"] == row["source_key"]
        assert coco.imgs[annotation["image_id"]]["file_name"] == row["file_name"]
    assert coco.cats == {3: {"id": 3, "name": "cat"}}


def test_categories_without_ids_are_numbered(
    make_audit: Any, planned: pd.DataFrame, tmp_path: Path
) -> None:
    named = planned.drop(columns="category_id").assign(category=["b", "a", None, "a", "a", "a"])
    audit = make_audit(named)
    write_queue(audit, curate.queue(audit), tmp_path / "q.json", "coco")
    coco = COCO(str(tmp_path / "q.json"))
    assert {c["name"]: c["id"] for c in coco.dataset["categories"]} == {"a": 1, "b": 2, "object": 3}


def test_an_empty_queue_is_a_valid_file(
    make_audit: Any, planned: pd.DataFrame, tmp_path: Path
) -> None:
    audit = make_audit(planned)
    rows = curate.queue(audit, actions=("reject",))
    for name, form in (("q.csv", None), ("q.json", None), ("c.json", "coco")):
        assert write_queue(audit, rows, tmp_path / name, form) == 0
    assert COCO(str(tmp_path / "c.json")).getAnnIds() == []
    with pytest.raises(CallError, match="exists"):
        write_queue(audit, rows, tmp_path / "q.csv")
    with pytest.raises(CallError, match="csv, json, coco"):
        write_queue(audit, rows, tmp_path / "q.xlsx")
