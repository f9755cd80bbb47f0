"""The engine's report: numbers by hand, every state of a project, names of strangers."""

from __future__ import annotations

import html
import json
import math
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine_project import Stand, work
from hand_ledger import HOSTILE, make_prompts, make_report, make_round, make_rows, row

from curate.cli.exit_codes import run
from curate.engine.engine_plots import draw_round_plots
from curate.engine.engine_report import EngineReport, choose_engine_figures, describe_gaps
from curate.engine.engine_report_page import write_engine_report
from curate.engine.round_numbers import find_iou_curve, name_untimed, seconds_per_mask
from curate.engine.round_record import SegmenterUsed
from curate.engine.round_table import make_round_tables
from curate.engine.stopping_now import (
    SearchedImages,
    expect_gain,
    expect_next_hour,
    expect_total,
    measure_work_left,
)
from curate.engine.tried_prompts import read_last_tried, write_tried
from curate.errors import AuditError, CallError
from curate.plots.round_plots import RoundShares

Capture = pytest.CaptureFixture[str]


def written(found: EngineReport, folder: Path) -> tuple[str, str, dict[str, Any]]:
    """Return the page, the Markdown and the values of a report."""
    paths = [folder / f"report.{ending}" for ending in ("html", "md", "json")]
    write_engine_report(found, paths)
    page, markdown, values = (path.read_text() for path in paths)
    return page, markdown, json.loads(values)


def words(page: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page.partition("<body>")[2])).split())


def test_the_figures_are_those_of_the_ledger(tmp_path: Path) -> None:
    page, markdown, values = written(make_report(make_rows()), tmp_path)
    masks, pace, iou = values["figures"]
    assert masks["value"] == "610"  # 4 x 100 and 2 x 105
    assert (
        "on the 60 images of closed rounds, of 122 pictures in all (2 left out)" in masks["basis"]
    )
    assert "accepted 280, fixed 110, added 120; 100 stand as they were prefilled" in masks["basis"]
    assert pace["value"] == "10.0 s"  # 1050 s, 105 masks
    assert "round 5, over 105 masks; 34.0 s in round 1" in pace["basis"]
    assert "3 h 54 min" in pace["basis"]  # 14,050 s
    assert iou["value"] == "0.820"
    assert "0.800 to 0.840" in iou["basis"]
    for text in (words(page), markdown):
        assert "curate review cells" in text
        assert "610" in text
    assert [row["round"] for row in values["rounds"]] == [0, 1, 2, 3, 4, 5]
    plots = {plot["name"]: plot for plot in values["plots"]}
    assert list(plots) == ["seconds", "masks", "iou", "shares", "precision", "diversity"]
    assert all(plot["svg"] for plot in plots.values())
    line = plots["seconds"]["values"]["lines"][0]
    assert line["values"][:3] == [36.0, 34.0, 25.0]
    counts = plots["shares"]["values"]["counts"]
    assert counts["prefilled or certified"] == [0, 0, 0, 0, 50, 50]
    assert counts["undecided"] == [0, 0, 0, 6, 0, 0]
    precision = plots["precision"]["values"]
    assert (precision["rounds"], precision["limit"]) == ([4, 5], 0.95)
    assert precision["lines"][0]["values"] == [0.97, None]
    assert "round 5" in plots["precision"]["about"]


def test_the_iou_stands_over_the_hours_of_all_rounds() -> None:
    curve = find_iou_curve(make_rows(), "")
    assert curve.start == pytest.approx((1.0, 0.65))  # 0.70 less the gain of 0.05
    assert [point.round for point in curve.points] == [1, 2, 3, 4, 5]
    assert curve.points[0].hours == pytest.approx((3600 + 3400) / 3600)
    assert [point.kept for point in curve.points] == [True, True, False, True, True]


def test_seconds_that_are_not_known_are_left_out_and_said(tmp_path: Path) -> None:
    rows = make_rows()
    rows[2] = {**rows[2], "people_s": 0.0, "untimed": 110}
    assert seconds_per_mask(rows[2]) is None
    assert name_untimed(rows) == ["round 2 (110 of 120 actions without a time)"]
    rows[1] = {**rows[1], "untimed": 6}  # 5% of 120: such as both decisions on twins in one look
    assert seconds_per_mask(rows[1]) == 34.0
    rows[1] = {**rows[1], "untimed": 7}
    assert seconds_per_mask(rows[1]) is None
    page, markdown, values = written(make_report(rows), tmp_path)
    line = values["plots"][0]["values"]["lines"][0]
    assert line["values"] == [36.0, None, None, 20.0, pytest.approx(1500 / 105), 10.0]
    assert "Left out: round 1 (7 of 120 actions without a time) and round 2" in words(page)
    assert "at least 56 min 40 s" in markdown
    assert "cannot be told from 5 rounds: people's seconds are not known" in markdown


def test_the_work_that_is_left_is_as_by_hand() -> None:
    searched = SearchedImages(np.array([2, 4]), np.array([True, False]))
    left = measure_work_left(make_rows(), searched, 10, 3)
    assert left.masks is not None
    assert left.masks.value == 30.0
    assert left.validation_per_image == 2.0
    assert left.hours is not None
    assert left.hours.value == pytest.approx(30 * 10 / 3600)
    assert left.pace == "round 5"
    assert left.text[0] == "3 proposals in images of rounds have no decision, and count as no mask."
    done = measure_work_left(make_rows(), searched, 0, 0)
    assert done.text == ("No image is left that nobody has searched for masks.",)
    none = SearchedImages(np.array([], np.int64), np.array([], np.bool_))
    assert "cannot be told before people searched some" in measure_work_left([], none, 5, 0).text[1]


def test_the_interval_holds_the_total_in_most_samples() -> None:
    """Of 200 draws of 40 counts and of 60 further ones; 95% should, a bootstrap of 40 has less."""
    random = np.random.default_rng(3)
    held = 0
    for _ in range(200):
        counts = random.negative_binomial(2, 0.2, 100)
        found = expect_total(counts[:40], 60)
        assert found.low is not None
        assert found.high is not None
        held += found.low <= counts[40:].sum() <= found.high
    assert held >= 178
    same = expect_total(np.full(5, 7), 3)
    assert (same.value, same.low, same.high) == (21.0, 21.0, 21.0)
    assert expect_total(np.array([7]), 3).low is None


def test_the_next_hour_is_as_by_hand() -> None:
    found = expect_next_hour(make_rows(), 40)
    assert found.masks is not None
    assert (found.masks.value, found.masks.low, found.masks.high) == (360.0, 180.0, 360.0)
    assert found.pace == "round 5"
    assert expect_next_hour(make_rows(), 0).masks is None
    assert expect_next_hour([], 40).text[0].endswith("no round has people's seconds.")


def test_a_gain_is_expected_only_where_a_trend_of_the_rounds_supports_it() -> None:
    hours = np.array([1.0, 2.0, 4.0, 8.0])
    spent = np.diff(hours, prepend=0) * 3600
    ious = 0.6 + 0.05 * np.log2(hours) + np.array([0.001, -0.001, -0.001, 0.001])
    rows = [make_round(k + 1, spent[k], (ious[k], 0, 1)) for k in range(4)]
    gain, rounds, said = expect_gain(rows)
    assert rounds == 4
    assert gain is not None
    assert gain.low is not None
    assert gain.value == pytest.approx(0.05 * math.log2(9 / 8), abs=1e-12)
    # The residual deviation is sqrt(4e-6 / 2), the sum of squares of log2(hours) is 5, t is 4.3027.
    reach = 4.302653 * math.sqrt(2e-6 / 5) * math.log2(9 / 8)
    assert gain.value - gain.low == pytest.approx(reach, rel=1e-5)
    assert said.startswith("Expected gain in validation IoU: +0.0085")
    gain, _, said = expect_gain(rows[:3])
    assert gain is None
    assert "cannot be told from 3 rounds: a trend takes 4 at least" in said
    flat = [{**row, "iou": 0.7 + 0.01 * (-1) ** k} for k, row in enumerate(rows)]
    gain, _, said = expect_gain(flat)
    assert gain is None
    assert "none at all is possible" in said
    quick = [{**row, "people_s": 60.0} for row in rows]
    assert "less than an hour" in expect_gain(quick)[2]


def test_missing_and_further_columns_are_borne() -> None:
    bare = {"round": 1, "images": 3, "masks": 6, "people_s": 60.0}
    third: dict[str, Any] = {"round": 2, "stage": 3, "images": 50, "masks": 400, "certified": 380}
    third |= {"certified_max_bad": 0.05, "certified_confidence": 0.95, "proposals": 470}
    third |= {"sample": 90, "sample_bad": 1, "accepted": 15, "fixed": 5, "rejected": 40}
    third |= {"reason": "380 masks are certified", "of the future": 7}
    figures = choose_engine_figures([bare, third], None, {"pool": 60, "validation": 16})
    assert figures[0].value == "406"
    assert figures[1].value == "10.0 s"
    tables = make_round_tables([bare, third])
    assert tables[0].rows[1][:4] == ["2", "3", "50", "400"]
    assert tables[0].rows[0][tables[0].head.index("accepted")] == "–"
    assert seconds_per_mask(row(1)) is None
    assert "380 stand by a certificate" in figures[0].basis
    model = dict(zip(tables[1].head, tables[1].rows[1], strict=True))
    assert model["certified (bound)"] == "380 (at most 5.0% bad, 95% sure)"
    assert model["bad in its sample"] == "1 of 90"
    shares = draw_round_plots([bare, third], max_bad=0.05)[0][3].values
    assert isinstance(shares, RoundShares)
    assert shares.counts["prefilled or certified"][1] == 380
    assert shares.counts["refused by a rule"][1] == 30
    said = "Round 2, the automatic stage: 380 masks are certified."
    assert said in describe_gaps([bare, third])


def test_names_of_strangers_are_escaped(tmp_path: Path) -> None:
    rows = [*make_rows(), make_round(6, 900, None, kept=None, reason=HOSTILE)]
    found = make_report(rows, HOSTILE, make_prompts(HOSTILE))
    page, markdown, values = written(found, tmp_path)
    assert "<script" not in page
    assert "<img" not in page
    assert "window.hacked" in words(page)
    assert "default-src 'none'" in html.unescape(page)
    links = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert all(link.startswith("#") for link in links)
    assert values["name"] == HOSTILE
    tables = [line for line in markdown.splitlines() if line.startswith("|")]
    bars = {line.replace("\\|", "").count("|") for line in tables if "min" in line}
    assert bars == {4, 8, 14}  # figures, models, people's work: no cell breaks its row
    assert "<script" not in re.sub(r"\\<|`[^\n]*`", "", markdown)


def test_a_project_has_a_report_at_every_state(stand: Stand, capfd: Capture) -> None:
    """From the open first round, without one, to the end; and after one that was closed early."""
    project = stand.project
    assert run(["engine", "report", str(project)]) == 0
    said = capfd.readouterr()
    assert said.out.strip() == str(project / "report.html")
    assert f"curate review {project}" in said.err
    values = json.loads((project / "report.json").read_text())
    assert [row["round"] for row in values["rounds"]] == [0]
    left = values["work_left"]
    assert left["images"] == 40 - len(stand.names("validation"))  # those of the open round too
    assert left["searched"] == len(stand.names("validation"))
    truth = [len(stand.truth[name]) for name in stand.names("validation")]
    assert left["per_image"]["value"] == pytest.approx(np.mean(truth))
    assert "cannot be told from 0 rounds" in (project / "report.md").read_text()
    stand.work(images=1)
    stand.engine.close_round()
    values = json.loads(stand.engine.report(project / "summary.json").read_text())
    early = values["rounds"][1]
    assert early["closed_early"]
    assert values["work_left"]["images"] == left["images"] - 1
    assert values["work_left"]["searched"] == left["searched"] + 1
    assert values["work_left"]["undecided"] == early["undecided"] > 0
    assert "Round 1 has no validation IoU; it goes on." in values["notes"]


def test_a_project_that_was_just_set_up_has_a_report(stand: Stand) -> None:
    project = stand.project
    for name in ("validation", "rounds"):
        shutil.rmtree(project / name)
    values = json.loads(stand.engine.report(project / "report.json").read_text())
    assert values["rounds"] == values["plots"] == values["tables"] == []
    assert values["work_left"]["images"] == 40
    assert "No round is closed yet." in stand.engine.report(project / "report.md").read_text()
    assert "No round is closed yet." in stand.engine.report().read_text()


def test_each_search_of_prompts_has_a_file_of_its_own(stand: Stand) -> None:
    project = stand.project
    assert read_last_tried(project, None) is None
    found = stand.engine.search_prompts(device="cpu")
    tried = json.loads(stand.engine.report(project / "first.json").read_text())["prompts"]
    assert [row["recipe"] for row in tried["recipes"]] == [one.name for one in found.recipes]
    assert [row["recipe"] for row in tried["recipes"] if row["chosen"]] == [found.best().name]
    assert tried["in_force"]
    assert "Prompts that were tried" in stand.engine.report(project / "page.html").read_text()
    other: SegmenterUsed = {"name": "other", "fingerprint": "f" * 32}
    last = write_tried(project, found, other, stand.clock)  # in the same second, by its clock
    assert last.name.endswith("Z.2.json")
    assert len(list((project / "prompts").iterdir())) == 2
    again = read_last_tried(project, None)
    assert again is not None
    assert (again.file, again.segmenter) == (f"prompts/{last.name}", "other")
    assert not again.in_force
    assert "is not the segmenter in force now" in stand.engine.report().read_text()
    last.write_text(last.read_text()[:100])
    with pytest.raises(AuditError, match="damaged"):
        stand.engine.report()


def test_bad_input_gets_one_sentence(stand: Stand, tmp_path: Path, capfd: Capture) -> None:
    project = stand.project
    assert run(["engine", "report", str(tmp_path)]) == 2
    assert "there is no engine here" in capfd.readouterr().err
    with pytest.raises(CallError, match="a file of the engine"):
        stand.engine.report(project / "images.parquet")
    (tmp_path / "folder.html").mkdir()
    assert run(["engine", "report", str(project), "--out", str(tmp_path / "folder.html")]) == 2
    said = capfd.readouterr().err
    assert "cannot be written" in said
    assert said.count("\n") == 1
    (project / "ledger.parquet").write_bytes(b"nothing")  # made from the records, as status is
    assert run(["engine", "report", str(project)]) == 0
    capfd.readouterr()
    record = project / "validation" / "round.json"
    found = json.loads(record.read_text())
    record.write_text(json.dumps(found | {"people": {"images": "many"}}))
    assert run(["engine", "report", str(project)]) == 2
    said = capfd.readouterr().err
    assert "damaged" in said
    assert said.count("\n") == 1
    record.write_text(record.read_text()[:50])
    assert run(["engine", "report", str(project)]) == 2
    assert capfd.readouterr().err.count("\n") == 1


def test_a_report_that_is_there_is_replaced(stand: Stand) -> None:
    target = stand.folder / "page.html"
    target.write_text("old")
    assert stand.engine.report(target) == target
    assert "Data engine" in target.read_text()
    work(stand.project, stand.truth, stand.clock, images=2)
    stand.engine.report()
    names = {path.name for path in stand.project.iterdir() if path.name.startswith("report")}
    assert names == {"report.html", "report.json", "report.md"}
