"""Imports that follow each other: what they replace, whose they are, and how one is taken back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from boxes import annotation, box
from decided_audit import Write
from typer.testing import CliRunner

import curate
from curate.cli import app
from curate.cli.shared_options import show
from curate.dataset.table import plain
from curate.errors import AuditError, CallError, SourceError
from curate.people.exchange import import_file, write_queue
from curate.people.exchange.importing import ImportResult
from curate.people.reviews import open_reviews
from curate.store.audit import StoredAudit
from curate.testing.exchange_contract import draw_all

Dataset = dict[str, Any]


def areas(audit: StoredAudit) -> list[int]:
    """Return the sizes of the masks that people added, as they stand."""
    from curate.rle import area, decode_counts

    found = open_reviews(audit).missing()
    sides = np.full(len(found), 40), np.full(len(found), 50)
    return area(decode_counts(found["segmentation"], *sides)[0]).tolist()


@pytest.mark.parametrize("reviewer", ["ann", None])
@pytest.mark.parametrize("masks", [(1, 2, 3, 4, 5), (1, 2, 3, 4, 5, 6, 7, 8)])
def test_a_later_file_of_a_queue_says_how_things_are(
    audit: StoredAudit, write: Write, reviewer: str | None, masks: tuple[int, ...]
) -> None:
    """Also of images of which it shows some masks only, and where nobody is named."""
    rows = draw_all(audit)
    rows = rows[rows["mask_id"].isin(masks)]
    out = audit.path.parent / "queue.json"
    write_queue(audit, rows, out, "coco")
    value = json.loads(out.read_text())

    def back(*added: np.ndarray, name: str) -> ImportResult:
        new = [annotation(100 + k, 2, pixels) for k, pixels in enumerate(added)]
        told = value | {"annotations": value["annotations"] + new}
        return import_file(audit, write(told, name), reviewer=reviewer, assume_reviewed=True)

    assert back(box(30, 30, 5, 5), name="one.json").added.missing == 1
    done = back(box(30, 30, 6, 6), name="two.json")
    assert (done.added.missing, done.added.withdrawn) == (1, 1)
    assert areas(audit) == [36]
    assert back(box(30, 30, 5, 5), name="one.json").added.missing == 0  # the old file again
    assert back(name="three.json").added.withdrawn == 1
    assert areas(audit) == []


def test_another_queue_of_the_same_image_takes_nothing_away(
    audit: StoredAudit, write: Write
) -> None:
    rows = draw_all(audit)
    for k, masks in enumerate(((5, 6), (7, 8))):
        queued = rows[rows["mask_id"].isin(masks)]
        draw = open_reviews(audit).record_draw("errors", queued[["mask_id"]], {})
        out = audit.path.parent / f"queue {k}.json"
        write_queue(audit, queued.assign(draw_id=draw), out, "coco")
        value = json.loads(out.read_text())
        value["annotations"].append(annotation(100, 2, box(30, 30 - 9 * k, 5 + k, 5)))
        import_file(audit, write(value, f"{k}.json"), reviewer="ann", assume_reviewed=True)
    assert sorted(areas(audit)) == [25, 30]


def test_an_import_is_taken_back_and_done_again(
    audit: StoredAudit, source: Dataset, write: Write
) -> None:
    source["annotations"].append(annotation(99, 2, box(30, 30, 6, 6)))
    first = write(source, "one.json")
    del source["annotations"][0]
    source["annotations"].pop()
    second = write(source, "two.json")
    reviews = open_reviews(audit, create=True)
    import_file(audit, first, reviewer="ann")
    since = reviews.missing()["time"].tolist()
    import_file(audit, second, reviewer="ann")
    assert (reviews.resolve_labels()["action"].value_counts().to_dict()) == {
        "accept": 11,
        "reject": 1,
    }
    back = curate.take_back(second, audit.path)
    assert (back.decisions, back.missing, back.restored, back.reviewed_images) == (1, 0, 1, 0)
    assert "gone through" not in back.text()  # the first file says so, too
    assert set(reviews.resolve_labels()["action"]) == {"accept"}
    assert (areas(audit), len(reviews.reviewed_images())) == ([36], 3)
    assert reviews.missing()["time"].tolist() == since  # as if the second had never been there
    with pytest.raises(CallError, match="no decision of this file counts"):
        curate.take_back(second, audit.path)
    again = import_file(audit, second, reviewer="ann").added
    assert (again.decisions, again.withdrawn, again.reviewed_images) == (1, 1, 3)
    assert curate.take_back(first, audit.path).reviewed_images == 0
    back = curate.take_back(second, audit.path)
    assert "images no longer fully reviewed: 3" in back.text()
    assert not len(reviews.decisions()) + len(reviews.missing()) + len(reviews.reviewed_images())
    assert import_file(audit, first, reviewer="ann").added.missing == 1


def test_rows_with_their_own_times_can_be_taken_back_and_imported_again(
    audit: StoredAudit, tmp_path: Path
) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("mask_id,decision,time\n1,reject,2026-01-01T00:00Z\n")
    reviews = open_reviews(audit, create=True)
    for _ in range(2):
        assert import_file(audit, path, reviewer="ann").added.decisions == 1
        assert import_file(audit, path, reviewer="ann").added.decisions == 0
        assert len(reviews.decisions()) == 1
        assert curate.take_back(path, audit.path).decisions == 1
        assert not len(reviews.decisions())


def test_the_same_file_under_two_names_is_told(audit: StoredAudit, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("mask_id,decision\n1,reject\n2,accept\n")
    nobody = import_file(audit, path)
    assert nobody.as_dict()["reviewers"] == {"": 2}
    assert "counted as the decisions of (no name) (2 masks); --reviewer NAME" in nobody.text()
    named = import_file(audit, path, reviewer="ann")
    assert (named.earlier, named.reviewers) == (("",), {"ann": 2})
    assert "--take-back --reviewer ''`" in named.text()
    words = ["import", str(path), "--audit", str(audit.path), "--take-back", "--reviewer", ""]
    done = CliRunner().invoke(app, [*words, "--json"])
    assert json.loads(done.stdout)["decisions_taken_back"] == 2
    assert set(open_reviews(audit).decisions()["reviewer"]) == {"ann"}
    with pytest.raises(CallError, match="not imported as the decisions of bob; it counts for ann"):
        curate.take_back(path, audit.path, reviewer="bob")
    with pytest.raises(CallError, match="a file that is taken back is not read"):
        CliRunner().invoke(app, [*words, "--match", "iou"], catch_exceptions=False)


def test_a_whole_dataset_is_booked_to_no_draw_and_disputes_are_counted(
    audit: StoredAudit, source: Dataset, write: Write
) -> None:
    reviews = open_reviews(audit, create=True)
    drawn = pd.DataFrame({"mask_id": [1, 2], "inclusion_probability": 0.5})
    reviews.record_draw("estimate", drawn, {})
    rejected = pd.DataFrame({"mask_id": [1, 5], "action": "reject", "reviewer": "ann"})
    reviews.add(rejected, origin="page")
    done = import_file(audit, write(source), reviewer="bob", assume_reviewed=True)
    assert (done.untouched, done.disputed) == (12, 2)
    assert "not settled since this import, so they wait in review: 2 disputed" in done.text()
    made = reviews.decisions().set_index("reviewer").loc["bob"]
    assert set(made["queue_kind"]) == {"none"}
    assert plain(made["draw_id"]) == [None] * 12


@pytest.mark.usefixtures("with_report")
@pytest.mark.parametrize("verb", ["import", "decide"])
def test_a_report_that_cannot_be_written_fails_nothing(
    audit: StoredAudit, tmp_path: Path, verb: str
) -> None:
    (audit.path / "report.html").unlink(missing_ok=True)
    (audit.path / "report.html").mkdir()
    path = tmp_path / "rows.csv"
    path.write_text("mask_id,decision\n1,reject\n")
    words = {"import": ["import", str(path), "--audit"], "decide": ["decide"]}[verb]
    done = CliRunner().invoke(app, [*words, str(audit.path), "--json"])
    assert done.exit_code == 0, done.output
    assert done.stderr.startswith("warning: everything is saved, but the report was not updated: ")
    assert json.loads(done.stdout)["report_problem"] in done.stderr


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[31m", "\udcff", "x" * 600, "a\u2028b"])
def test_names_that_break_a_line_are_refused(audit: StoredAudit, tmp_path: Path, name: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("mask_id,decision\n1,reject\n")
    with pytest.raises(CallError, match=r"--reviewer: .* is no name"):
        import_file(audit, path, reviewer=name)
    row = pd.DataFrame({"mask_id": [1], "action": "reject"})
    row["reviewer"] = pd.Series([name], dtype=object)
    with pytest.raises(SourceError, match=r"the reviewer"):
        open_reviews(audit, create=True).add(row, origin="page")


def test_file_names_that_are_no_text_are_printed_as_escapes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show({"file": "q\udcff.csv", "notes": ["\udcff"], "n": np.int64(1)}, "", True)
    assert json.loads(capsys.readouterr().out) == {
        "file": "q\\udcff.csv",
        "notes": ["\\udcff"],
        "n": 1,
    }


def test_a_fix_that_nobody_drew_is_no_dispute(audit: StoredAudit, tmp_path: Path) -> None:
    path = tmp_path / "ann.csv"
    path.write_text("mask_id,decision\n1,accept\n2,accept\n3,reject\n4,fix\n")
    done = import_file(audit, path, reviewer="ann")
    assert (done.disputed, done.not_drawn) == (0, 1)
    said = "so they wait in review: 1 to be fixed but not drawn"
    assert done.text().splitlines()[-1] == f"not settled since this import, {said}"
    planned = curate.write(audit.path).as_dict()
    assert [(one["mask_id"], one["why"]) for one in planned["not_settled"]] == [
        (4, "to be fixed but not drawn")
    ]
    path.write_text("mask_id,decision\n1,reject\n4,fix\n5,accept\n")
    done = import_file(audit, path, reviewer="bob")
    assert (done.disputed, done.not_drawn) == (1, 0)
    assert done.text().endswith("so they wait in review: 1 disputed")


def test_one_mask_is_one_mask(audit: StoredAudit, tmp_path: Path) -> None:
    path = tmp_path / "ann.csv"
    path.write_text("mask_id,decision\n1,accept\n")
    text = import_file(audit, path, reviewer="ann").text()
    assert ": decisions on 1 mask: 1 accepted" in text
    assert "counted as the decisions of ann (1 mask)" in text
    assert curate.take_back(path, audit.path).text() == "taken back: 1 decision of ann"


@pytest.mark.usefixtures("with_report")
def test_a_report_that_cannot_be_written_is_named_and_may_go_elsewhere(
    audit: StoredAudit, tmp_path: Path
) -> None:
    (audit.path / "report.html").unlink(missing_ok=True)
    (audit.path / "report.html").mkdir()
    with pytest.raises(AuditError, match="--out FILE` writes it elsewhere") as refused:
        curate.report(audit.path)
    assert refused.value.where == str(audit.path / "report.html")
    assert curate.report(audit.path, tmp_path / "r.html").is_file()
