"""Findings of nearly every mask become notes of the file, in audit.json, summary and report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import curate
from curate.reporting.summary import facts, summary, summary_text


def ellipse(x: float, y: float, a: float, b: float) -> list[float]:
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    return np.column_stack([x + a * np.cos(angle), y + b * np.sin(angle)]).round(2).ravel().tolist()


def dataset(folder: Path, masks: int = 12, **values: Any) -> Path:
    """Write a COCO file of ellipses; ``values`` stand in each annotation in place of its own."""
    annotations = []
    for k in range(masks):
        x, y, a, b = 40 + 3 * k, 50 + k, 15 + k, 12 + k / 2
        annotations.append(
            {
                "id": k + 1,
                "image_id": k + 1,
                "category_id": 1,
                "segmentation": [ellipse(x, y, a, b)],
                "bbox": [x - a, y - b, 2 * a, 2 * b],
                "area": np.pi * a * b,
                "iscrowd": 0,
                **values,
            }
        )
    content = {
        "images": [
            {"id": k + 1, "file_name": f"{k}.png", "width": 160, "height": 120}
            for k in range(masks)
        ],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "egg"}],
    }
    file = folder / "eggs.json"
    file.write_text(json.dumps(content))
    return file


@pytest.mark.usefixtures("with_report")
def test_a_habit_is_said_once_and_a_new_policy_does_not_say_it_twice(tmp_path: Path) -> None:
    audit = curate.audit(dataset(tmp_path, area=0), tmp_path / "out")
    (note,) = audit.info.notes
    assert (note["kind"], note["count"], note["share"]) == ("area_zero", 12, 1.0)
    assert len(note["examples"]) == 3
    numbers = summary(audit)
    assert numbers["rule_count"] == 0
    assert "note: the stored area is 0: 12 of 12 masks" in summary_text(audit, numbers)
    assert facts(audit, numbers)["notes"] == audit.info.notes
    assert "the stored area is 0" in (audit.path / "report.html").read_text("utf-8")
    again = curate.decide(audit.path, policy={"name": "bare"})
    assert again.info.notes == audit.info.notes


@pytest.mark.parametrize(("share", "of_file"), [(1.0, True), (0.75, False)])
def test_a_rule_that_most_masks_break_is_a_finding_of_the_file(
    tmp_path: Path, share: float, of_file: bool
) -> None:
    rule = {"when": f"mask_id <= {12 * share}", "action": "review", "reason": "like {area_px} px"}
    rules = {"name": "mine", "rule": [rule]}
    audit = curate.audit(dataset(tmp_path), tmp_path / "out", policy=rules)
    counted = audit.info.counts["actions"]
    if of_file:
        (note,) = audit.info.notes
        assert (note["kind"], note["text"], note["count"]) == ("finding", "like … px", 12)
        assert counted == {"accept": 12}
        assert curate.decide(audit.path, policy={"name": "bare"}).info.notes == []
    else:
        assert audit.info.notes == []
        assert counted == {"accept": 3, "review": 9}
