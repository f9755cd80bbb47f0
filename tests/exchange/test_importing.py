"""Decisions from rows of CSV and JSON: what is read, and what each mistake is told as."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from boxes import box, rle

import curate
from curate.errors import CallError, CurateError, SourceError
from curate.people.exchange import import_file, write_queue
from curate.people.reviews import Reviews, has_reviews, open_reviews
from curate.store.audit import StoredAudit


def write_rows(path: Path, *rows: dict[str, Any]) -> Path:
    names = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_a_queue_with_a_column_filled_in(audit: StoredAudit, tmp_path: Path) -> None:
    path = tmp_path / "queue.csv"
    write_queue(audit, curate.queue(audit, actions=("accept", "review", "reject")), path)
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    nothing = r"no decisions found in this file \(rows without a decision: 12\); a table needs"
    with pytest.raises(SourceError, match=nothing):
        import_file(audit, path)
    bare = [{k: v for k, v in row.items() if k != "decision"} for row in rows]
    with pytest.raises(SourceError, match="its column action is the plan's, not people's"):
        import_file(audit, write_rows(path, *bare))
    words = ["accept", " Reject", "FIX "]
    filled = [
        row | {"decision": words[k] if k < 3 else " ", "seconds": "2.5"}
        for k, row in enumerate(rows)
    ]
    done = import_file(audit, write_rows(path, *filled), reviewer="ann")
    assert done.format == "csv"
    assert done.added.actions == {"accept": 1, "reject": 1, "fix": 1}
    assert done.notes == {"rows without a decision": 9}
    assert "3 masks: 1 accepted, 1 rejected, 1 fixed" in done.text()
    assert done.as_dict()["decisions_added"] == 3
    kept = open_reviews(audit).decisions().set_index("mask_id")
    shown = [int(row["mask_id"]) for row in rows[:3]]
    assert kept.loc[shown, "action"].tolist() == ["accept", "reject", "fix"]
    assert set(kept["reviewer"]) == {"ann"}
    assert set(kept["seconds"]) == {2.5}
    assert kept["origin"].str.startswith("csv queue.csv ").all()
    again = import_file(audit, path, reviewer="ann")
    assert (again.added.decisions, again.added.repeated) == (0, 3)
    assert "(3 were there already)" in again.text()


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_a_category_that_was_changed_in_a_table(
    audit: StoredAudit, tmp_path: Path, kind: str
) -> None:
    """It is a relabelling, also where nothing else is said of the mask."""
    path = tmp_path / f"queue.{kind}"
    write_queue(audit, curate.queue(audit, actions=("accept", "review", "reject")), path)
    said = {1: ("", "dog"), 2: ("accept", "wolf"), 3: ("reject", "dog"), 4: ("accept", " cat ")}
    if kind == "json":
        value = json.loads(path.read_text())
        assert next(iter(value["masks"][0])) == "decision"
        for row in value["masks"]:
            row["decision"], row["category"] = said.get(row["mask_id"], (None, row["category"]))
        path.write_text(json.dumps(value))
    else:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        assert next(iter(rows[0])) == "decision"
        for row in rows:
            own = ("", row["category"])
            row["decision"], row["category"] = said.get(int(row["mask_id"]), own)
        write_rows(path, *rows)
    done = import_file(audit, path, reviewer="ann")
    assert done.notes["masks fixed in their category"] == 2
    kept = open_reviews(audit).decisions().set_index("mask_id")
    assert kept["action"].to_dict() == {1: "fix", 2: "fix", 3: "reject", 4: "accept"}
    assert kept["category"].dropna().to_dict() == {1: "dog", 2: "wolf"}
    assert kept.loc[[1, 2], "iou"].tolist() == [1, 1]


def test_a_file_is_imported_once_though_a_draw_came_after(
    audit: StoredAudit, tmp_path: Path
) -> None:
    """The same file again says nothing new; another file for the new draw does."""
    reviews = open_reviews(audit, create=True)
    path = write_rows(tmp_path / "a.csv", {"mask_id": 1, "action": "accept"})
    import_file(audit, path)
    draw = reviews.record_draw("learn", pd.DataFrame({"mask_id": [1]}), {})
    assert import_file(audit, path).added.decisions == 0
    other = write_rows(tmp_path / "b.csv", {"mask_id": 1, "action": "accept", "seconds": 3})
    assert import_file(audit, other).added.decisions == 1
    assert reviews.decisions()["draw_id"].tolist() == [pd.NA, draw]


def test_every_column_is_read_from_csv(audit: StoredAudit, tmp_path: Path) -> None:
    mask = rle(box(1, 5, 8, 8))
    row = {
        "mask_id": "1.0",  # as pandas and spreadsheets write ids beside missing ones
        "decision": "fix",
        "segmentation": mask["counts"],
        "reviewer": "'=ann",
        "seconds": "3",
        "time": "2026-03-01T12:00:00+02:00",
        "queue_kind": "estimate",
        "inclusion_probability": "0.125",
        "note": "is not read",
    }
    others = [
        {"mask_id": "2", "decision": "fix", "segmentation": json.dumps(rle(box(13, 5, 8, 8)))},
        {"mask_id": "3", "decision": "fix", "segmentation": "[[25,5,30,5,30,12,25,12]]"},
        {"mask_id": "4", "decision": "fix", "iou": "0.5", "reviewer": "bob, and more"},
    ]
    import_file(audit, write_rows(tmp_path / "a.csv", row, *others), reviewer="nobody")
    kept = open_reviews(audit).decisions()
    first = kept.iloc[0]
    assert first["segmentation"].decode() == mask["counts"]
    assert (first["reviewer"], first["seconds"]) == ("=ann", 3)
    assert first["time"] == pd.Timestamp("2026-03-01T10:00:00Z")
    assert (first["queue_kind"], first["inclusion_probability"]) == ("estimate", 0.125)
    np.testing.assert_allclose(kept["iou"], [8 / 11, 64 / 99, 35 / 88, 0.5], rtol=1e-12)
    assert kept["reviewer"].tolist()[1:] == ["nobody", "nobody", "bob, and more"]


@pytest.mark.parametrize("mark", [",", ";", "\t"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_spreadsheets_have_their_own_csv(
    audit: StoredAudit, tmp_path: Path, mark: str, bom: str
) -> None:
    lines = ["Mask_ID ,decision,reviewer", '1,accept,"a, b; c"', "", "2,reject,x", ",,"]
    quoted = '"a, b; c"'
    text = "\r\n".join(line.replace(",", mark) if quoted not in line else line for line in lines)
    text = text.replace(f"1,accept,{quoted}", mark.join(("1", "accept", quoted)))
    (tmp_path / "a.csv").write_bytes((bom + text).encode())
    import_file(audit, tmp_path / "a.csv")
    assert open_reviews(audit).decisions()["reviewer"].tolist() == ["a, b; c", "x"]


def test_json_rows_and_a_json_queue(audit: StoredAudit, tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"mask_id": 1, "action": "accept", "reviewer": None, "seconds": 1},
        {"mask_id": 2, "action": "fix", "segmentation": rle(box(13, 5, 8, 8)), "seconds": 2.5},
        {"mask_id": "3", "action": None},
        {"mask_id": 4, "action": "reject", "time": "2026-01-01"},
    ]
    for name, value in (("list", rows), ("object", {"decisions": rows, "by": "us"})):
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(value))
        done = import_file(audit, path, reviewer=name)
        assert (done.format, done.added.decisions) == ("json", 3)
        assert done.notes == {"rows without a decision": 1}
    kept = open_reviews(audit).decisions()
    assert kept["seconds"].fillna(-1).tolist() == [1, 2.5, -1] * 2
    path = tmp_path / "queue.json"
    write_queue(audit, curate.queue(audit, actions=("accept", "review", "reject")), path)
    with pytest.raises(SourceError, match="no decisions found in this file"):
        import_file(audit, path)
    value = json.loads(path.read_text())
    value["masks"][0]["decision"] = "reject"
    path.write_text(json.dumps(value))
    assert import_file(audit, path).added.decisions == 1


HEAD = "mask_id,decision,iou,segmentation,reviewer,seconds,time,inclusion_probability,draw_id\n"

BROKEN = [
    ("1,accepted", "a.csv, row 3, mask 1: 'accepted' is no decision; use accept, reject, fix"),
    ("1,review", "row 3, mask 1: 'review' is no decision"),
    (",accept", "row 3, mask ?: there is no mask_id"),
    ("one,accept", "row 3, mask one: mask_id is 'one', not a whole number"),
    ("1.5,accept", "mask_id is '1.5', not a whole number of 64 bits"),
    ("9007199254740993.5,accept", "not a whole number of 64 bits"),
    (".,accept", "mask_id is '.', not a whole number"),
    ("nan,accept", "there is no mask_id"),
    ("1_0,accept", "mask_id is '1_0', not a whole number"),
    ("99999999999999999999,accept", "not a whole number of 64 bits"),
    ("1.23E+12,accept", "not a whole number (a spreadsheet has rounded it)"),
    ("99,accept", "row 3, mask 99: the audit has no such mask"),
    ("1,fix,1.01", "row 3, mask 1: the IoU is 1.01, not 0 to 1"),
    ("1,fix,high", "row 3, mask 1: iou is 'high', not a number"),
    ("1,fix,inf", "iou is 'inf', not a finite number"),
    ("1,fix,,zzz", "row 3, mask 1: its corrected mask cannot be read"),
    ("1,fix,,{1", "segmentation is '{1', not JSON"),
    ('1,fix,,"{""size"": [9, 9], ""counts"": ""x""}"', "the RLE is 9 x 9, the image 50 x 40"),
    ("1,accept,,,,-3", "row 3, mask 1: the time taken is -3, not 0 s or more"),
    ("1,accept,,,,,yesterday", "time is 'yesterday', not a time like 2026-03-14T15:09:26Z"),
    ("1,accept,,,,,14.03.2026 15:09", "time is '14.03.2026 15:09', not a time like"),
    ("1,accept,,,,,2999-01-01", "is in the future; check the clock"),
    ("1,accept,,,,,,0", "the inclusion probability is 0, not over 0, up to 1"),
    ("1,accept,,,,,,1.5", "the inclusion probability is 1.5"),
    ("1,accept,,,,,,,5", "row 3, mask 1: the draw 5 is not recorded here"),
    ("2,reject", "row 3, mask 2: one person (no reviewer is named) says reject here and accept"),
    ("1,accept,,,,,,,,,", "row 3: it has 11 cells, the header has 9"),
    ('1,"accept', "the CSV is broken"),
    ("1,accept,,,\ufffe\udc80", "the text is not UTF-8; save it as CSV UTF-8"),
]


@pytest.mark.parametrize(("line", "message"), BROKEN, ids=[line[:20] for line, _ in BROKEN])
def test_one_mistake_one_sentence_and_nothing_written(
    audit: StoredAudit, tmp_path: Path, line: str, message: str
) -> None:
    wide = line if line.count(",") >= 8 or '"' in line else line + "," * (8 - line.count(","))
    if '"{' in line:
        wide = line + ",,,,,"
    text = HEAD + "2,accept,,,,,,,\n" + wide + "\n"
    (tmp_path / "a.csv").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(SourceError) as raised:
        import_file(audit, tmp_path / "a.csv")
    assert message in str(raised.value)
    assert "a.csv" in str(raised.value)
    assert not has_reviews(audit) or not len(open_reviews(audit).decisions())


def test_columns_that_are_missing_or_stand_twice(audit: StoredAudit, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    for text, message in (
        ("mask_id,category\n1,cat\n", "there is no column decision; add it"),
        ("mask_id,decision,decision\n1,accept,\n", "the column decision occurs twice"),
        ("mask,decision\n1,accept\n", "decisions cannot be imported from this format"),
        ("", "the file is empty; get the file again"),
        ("mask_id,decision\n", "no decisions found in this file"),
    ):
        path.write_text(text)
        with pytest.raises(SourceError, match=message):
            import_file(audit, path)
    path.write_text("decision\naccept\n")
    with pytest.raises(SourceError, match="there is no column mask_id"):
        import_file(audit, path, format="csv")
    with pytest.raises(CallError, match="no decisions are read from 'xml'; use one of "):
        import_file(audit, path, format="xml")
    with pytest.raises(SourceError, match="there is no such file"):
        import_file(audit, tmp_path / "b.csv")
    path.write_text("mask_id,decision\n1,accept\n")
    for options in ({"exported": 1}, {"same_iou": 0.9}):
        with pytest.raises(CallError, match="are for corrected datasets; this is CSV rows"):
            import_file(audit, path, **options)  # type: ignore[arg-type]
    with pytest.raises(CallError, match="--same-iou is 0"):
        import_file(audit, path, same_iou=0)
    assert not has_reviews(audit)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([{"mask_id": True, "action": "accept"}], "row 1, mask True: mask_id is a boolean, not"),
        ([{"mask_id": 1, "action": 3}], "'3' is no decision"),
        ([{"mask_id": 1, "action": "accept"}, 5], "row 2: it is a number, not an object"),
        ([{"mask_id": 1, "action": "accept", "reviewer": 5}], "reviewer is a number, not a text"),
        ([{"mask_id": 1, "action": "accept", "seconds": "x"}], "seconds is 'x', not a number"),
        ([{"mask_id": 1, "action": "accept", "seconds": 1e999}], "seconds is a number, not a fin"),
        ([{"mask_id": 1, "action": "accept", "time": 5}], "time is a number, not a time like"),
        ([{"mask_id": 1, "action": "fix", "segmentation": 5}], "segmentation is a number"),
        ([{"mask_id": 2**70, "action": "accept"}], "not a whole number of 64 bits"),
    ],
)
def test_json_mistakes(audit: StoredAudit, tmp_path: Path, value: Any, message: str) -> None:
    (tmp_path / "a.json").write_text(json.dumps(value))
    with pytest.raises(CurateError) as raised:
        import_file(audit, tmp_path / "a.json")
    assert message in str(raised.value)
    assert not has_reviews(audit)


def test_a_cut_off_json_file(audit: StoredAudit, tmp_path: Path) -> None:
    text = json.dumps([{"mask_id": k % 12 + 1, "action": "accept"} for k in range(50)])
    (tmp_path / "a.json").write_text(text[:-30])
    with pytest.raises(SourceError, match=r"cut off|ends"):
        import_file(audit, tmp_path / "a.json")


def test_all_of_one_kind_is_counted_and_no_error(reviews: Reviews, tmp_path: Path) -> None:
    rows = [{"mask_id": k, "action": "accept"} for k in range(1, 13)]
    done = import_file(reviews.audit, write_rows(tmp_path / "a.csv", *rows))
    assert done.as_dict()["actions"] == {"accept": 12, "reject": 0, "fix": 0}


def test_half_of_a_surrogate_pair_is_read_as_its_escape(audit: StoredAudit, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(
        json.dumps([{"mask_id": 1, "action": "accept", "reviewer": "a\ud800"}])
    )
    import_file(audit, tmp_path / "a.json")
    assert open_reviews(audit).decisions()["reviewer"].tolist() == ["a\\ud800"]
