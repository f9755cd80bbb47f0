"""The section on people's decisions: what it says is what audit.json and the decisions hold."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import curate
from curate.cli import app
from curate.people.guarantees.certify import Certificate
from curate.people.guarantees.overrides import compare_with_certificate, describe_overrides
from curate.people.reviews import open_reviews
from curate.reporting.people_section import Chart, acceptance, path, people, reliability
from curate.reporting.queries import ReportSource
from curate.reporting.summary import summary, summary_text


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


@pytest.mark.usefixtures("with_report")
def test_the_page_says_what_was_certified_and_estimated(audit, tmp_path) -> None:
    assert not people(ReportSource(audit)).anything
    queue = tmp_path / "q.csv"
    curate.write_queue(audit.path, queue, kind="estimate", budget=150)
    rows = pd.read_csv(queue)
    rows["decision"] = np.where(rows["mask_id"] % 10 == 0, "reject", "accept")
    rows.to_csv(tmp_path / "done.csv", index=False)
    curate.import_decisions(tmp_path / "done.csv", audit.path, reviewer="ann")
    found = curate.certify(audit.path, max_bad=0.15)
    curate.estimate(audit.path)
    said = people(ReportSource(curate.open_audit(audit.path)))
    assert said.decided.masks == 150
    assert said.acceptance is not None
    assert f"{found.accepted:,} masks" in said.certificate[0]
    assert {fact.name for fact in said.facts} >= {"share of good masks"}
    assert any("narrow the interval" in line for line in said.more)
    html = (audit.path / "report.html").read_text()
    for line in (*said.certificate, *said.more):
        assert line in html
    assert "Acceptance against error" in html
    assert "<script>alert" not in html


TORN = {"when": "fragment_score < 1", "action": "review", "reason": "in pieces"}


def certified(audit: curate.Audit, folder: Path) -> Certificate:
    """Review a random sample, every tenth mask rejected, and certify; a rule keeps these back."""
    curate.decide(audit.path, policy={"name": "own", "rule": [TORN]})
    curate.write_queue(audit.path, folder / "q.csv", kind="estimate", budget=150)
    rows = pd.read_csv(folder / "q.csv")
    rows["decision"] = np.where(rows["mask_id"] % 10 == 0, "reject", "accept")
    rows.to_csv(folder / "done.csv", index=False)
    curate.import_decisions(folder / "done.csv", audit.path, reviewer="ann")
    return curate.certify(audit.path, max_bad=0.15)


@pytest.mark.usefixtures("with_report")
def test_a_certificate_says_how_people_stand_to_it(audit, tmp_path) -> None:
    found = certified(audit, tmp_path)
    opened = curate.open_audit(audit.path)
    masks = opened.masks()
    over = (masks["rule_action"] == "accept") & (masks["quality_score"] >= found.threshold)
    nobody = masks["decided_by"] == "certificate"
    free = masks.index[over & nobody]
    kept_back = masks.index[~over & (masks["decided_by"] != "person")]
    frame = pd.DataFrame(
        {
            "mask_id": [*free[:4], *kept_back[:2]],
            "action": ["reject", "reject", "fix", "accept", "accept", "reject"],
            "reviewer": "bob",
            "segmentation": [None, None, masks["segmentation"][free[0]], None, None, None],
        }
    )
    open_reviews(opened).add(frame, origin="test")
    ann = int((over & ~nobody).sum())
    assert found.accepted == 270, "all but every tenth"
    stands = compare_with_certificate(opened, added=0)
    assert stands is not None
    assert stands.as_dict() == {
        "certified": True,
        "over": found.accepted,
        "untouched": int((over & nobody).sum()) - 4,
        "kept": ann + 1,
        "removed": 2,
        "redrawn": 1,
        "relabelled": 0,
        "unsettled": 0,
        "beyond": 1,
        "added": 0,
    }
    sentences = describe_overrides(stands)
    assert sentences[0] == f"The bound is about the {found.accepted} masks over the line."
    assert sentences[1] == (
        f"Of these, people have accepted {ann + 1}, rejected 2 and redrawn 1; "
        f"nobody has decided on the other {270 - ann - 4}."
    )
    beyond = "1 mask is accepted by people alone, and the bound does not cover it."
    assert sentences[2:] == [beyond]
    numbers = summary(opened)
    assert numbers["certificate_count"] == int(nobody.sum()) - 4
    text = summary_text(opened, numbers)
    page = curate.report(audit.path).read_text()
    for sentence in sentences:
        assert sentence in text
        assert sentence in page


@pytest.mark.usefixtures("with_report")
def test_a_void_certificate_is_mentioned_until_there_is_a_new_one(audit, tmp_path) -> None:
    certified(audit, tmp_path)
    curate.decide(audit.path, policy="default")
    void = "the certificate (at most 15.0% bad, 95% confidence) is void: the policy changed; "
    opened = curate.open_audit(audit.path)
    assert compare_with_certificate(opened) is None
    assert void in summary_text(opened, summary(opened))
    page = (audit.path / "report.html").read_text()
    assert "No longer certified" in page
    assert f"T{void[1:]}<code>curate certify</code> makes a new one." in page
    run = CliRunner().invoke(app, ["certify", str(audit.path), "--max-bad", "0.15"])
    assert "The bound is about the " in run.stdout
    opened = curate.open_audit(audit.path)
    assert "is void" not in summary_text(opened, summary(opened))
    page = (audit.path / "report.html").read_text()
    assert "No longer certified" not in page
