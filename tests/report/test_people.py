"""The section on people's decisions: what it says is what audit.json and the decisions hold."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import curate
from curate import verbs
from curate.report.collect import Source
from curate.report.people import Chart, acceptance, path, people, reliability


def test_paths_are_in_the_box_with_y_upwards() -> None:
    assert path([(0, 0), (1, 1)]) == "M0.0 220.0L320.0 0.0"


def certificate(**changed: object) -> dict:
    tested = [
        {"threshold": 0.9, "share": 0.5, "bad_share": 0.01, "certified": True},
        {"threshold": 0.5, "share": 0.8, "bad_share": 0.04, "certified": True},
        {"threshold": 0.1, "share": 1.0, "bad_share": 0.09, "certified": False},
    ]
    return {"max_bad": 0.05, "tested": tested} | changed


def test_the_acceptance_ends_at_the_last_that_is_certified() -> None:
    chart = acceptance(certificate())
    assert isinstance(chart, Chart)
    (x, y, _), *others = chart.dots
    assert not others
    assert x == pytest.approx(0.8 * 320)
    assert y == pytest.approx((1 - 0.04 / 0.1) * 220)
    assert [row[-1] for row in chart.rows] == ["yes", "yes", "no"]
    assert acceptance(certificate(tested=[])) is None


def test_dots_of_the_reliability_grow_with_their_masks() -> None:
    diagram = {"predicted": [0.2, 0.9], "good": [0.25, 0.95], "masks": [10, 90]}
    chart = reliability({"reliability": diagram})
    assert isinstance(chart, Chart)
    small, large = chart.dots
    assert small[2] < large[2]
    assert large[:2] == pytest.approx((0.9 * 320, 0.05 * 220))
    assert reliability({"reliability": {}}) is None


@pytest.fixture
def audit(tmp_path: Path) -> curate.Audit:
    """Squares, of which every tenth has a far second piece; a third was reviewed by chance."""
    annotations = []
    for number in range(300):
        x, y = 5 + 30 * (number % 3), 5 + 30 * (number // 3 % 3)
        ring = [x, y, x + 12, y, x + 12, y + 12, x, y + 12]
        far = [[x, y + 16, x + 3, y + 16, x + 3, y + 19, x, y + 19]] if number % 10 == 0 else []
        annotations.append(
            {
                "id": number,
                "image_id": number // 9,
                "category_id": 1,
                "iscrowd": 0,
                "segmentation": [ring, *far],
            }
        )
    images = [{"id": k, "file_name": f"{k}.png", "height": 110, "width": 110} for k in range(34)]
    source = tmp_path / "squares.json"
    categories = [{"id": 1, "name": "<script>alert(1)</script>"}]
    source.write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": categories})
    )
    return curate.audit(source, tmp_path / "squares.audit")


def test_the_page_says_what_was_certified_and_estimated(audit, tmp_path) -> None:
    assert not people(Source(audit)).anything
    queue = tmp_path / "q.csv"
    verbs.write_queue(audit.path, queue, kind="estimate", budget=150)
    rows = pd.read_csv(queue)
    rows["decision"] = np.where(rows["mask_id"] % 10 == 0, "reject", "accept")
    rows.to_csv(tmp_path / "done.csv", index=False)
    verbs.import_decisions(tmp_path / "done.csv", audit.path, reviewer="ann")
    found = verbs.certify(audit.path, max_bad=0.15)
    verbs.estimate(audit.path)
    said = people(Source(curate.open_audit(audit.path)))
    assert said.decided == 150
    assert said.acceptance is not None
    assert f"{found.accepted:,} masks" in said.certificate[0]
    assert {fact.name for fact in said.facts} >= {"share of good masks"}
    assert any("narrow the interval" in line for line in said.more)
    html = (audit.path / "report.html").read_text()
    for line in (*said.certificate, *said.more):
        assert line in html
    assert "Acceptance against error" in html
    assert "<script>alert" not in html
