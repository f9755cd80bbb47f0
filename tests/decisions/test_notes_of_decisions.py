"""Why people rejected or fixed a mask: tags and a comment, beside the decision."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

import curate
from curate.errors import CallError, SourceError
from curate.people.reviews import Reviews
from curate.people.reviews.decision_notes import (
    DEFAULT_TAGS,
    DecisionNote,
    NewNote,
    check_tags,
    count_tags,
)

pytestmark = pytest.mark.usefixtures("no_report")


@pytest.fixture
def opened(audit) -> curate.Audit:
    return curate.open_audit(audit.path)


def reject(reviews: Reviews, mask_id: int, key: str) -> None:
    rows = {"mask_id": [mask_id], "action": ["reject"], "reviewer": ["ann"], "key": [key]}
    reviews.add(pd.DataFrame(rows), origin="page")


def test_the_last_note_of_a_decision_is_in_the_reason(
    opened: curate.Audit, reviews: Reviews
) -> None:
    reject(reviews, 1, "d1")
    assert opened.masks(["reasons"]).loc[1, "reasons"] == "rejected by ann"
    first = NewNote("d1", "ann", DecisionNote(("duplicate",)), "n1")
    said = DecisionNote(("several objects", "torn"), "two; cells\ntouch")
    second = NewNote("d1", "ann", said, "n2")
    assert reviews.add_notes([first]) == 1
    assert opened.masks(["reasons"]).loc[1, "reasons"] == "rejected by ann (duplicate)"
    assert reviews.add_notes([second, first]) == 1, "what is sent twice is written once"
    words = "rejected by ann (several objects, torn: two, cells touch)"
    assert opened.masks(["reasons"]).loc[1, "reasons"] == words
    (note,) = reviews.notes().values()
    assert note == second.note


def test_a_note_is_of_the_person_who_decided(reviews: Reviews) -> None:
    reject(reviews, 1, "d1")
    for about in (("d1", "bob"), ("d9", "ann")):
        with pytest.raises(SourceError, match="no such decision of that person"):
            reviews.add_notes([NewNote(*about, DecisionNote(("duplicate",)), "n1")])
    assert not reviews.notes()


def test_a_project_has_its_own_tags(opened: curate.Audit) -> None:
    done = curate.decide(opened, tags=["blurred", "two cells"])
    assert done.info.people is not None
    assert done.info.people["tags"] == ["blurred", "two cells"]
    again = curate.decide(opened, rule="latest")
    assert again.info.people is not None
    assert again.info.people["tags"] == ["blurred", "two cells"]


def write_table(path: Path, *rows: str) -> Path:
    path.write_text("\n".join(["mask_id,decision,reviewer,tags,comment", *rows]))
    return path


def test_tags_and_comments_come_in_with_a_table_and_go_out_with_decisions(
    opened: curate.Audit, tmp_path: Path
) -> None:
    table = write_table(
        tmp_path / "queue.csv",
        "1,reject,ann,two cells; torn ;two cells,they touch",
        "2,accept,ann,,",
        "3,,ann,blurred,not decided",
    )
    curate.import_decisions(table, opened)
    again = curate.import_decisions(table, opened)
    assert again.added.decisions == 0
    decided = opened.decisions().set_index("mask_id")
    assert decided["tags"].to_dict() == {1: ("two cells", "torn"), 2: ()}
    assert decided["comment"].to_dict() == {1: "they touch", 2: ""}
    with Reviews(opened).connect() as connection:
        assert connection.execute("select count(*) from notes").fetchone() == (1,)
        assert count_tags(connection) == {"two cells": 1, "torn": 1}
    later = write_table(tmp_path / "later.csv", "1,reject,ann,torn,")
    curate.import_decisions(later, opened)
    assert opened.decisions().set_index("mask_id").loc[1, "tags"] == ("torn",)
    assert not len(curate.open_audit(opened).decisions().query("mask_id == 3"))


def test_tags_in_json_are_a_list(opened: curate.Audit, tmp_path: Path) -> None:
    rows = [{"mask_id": 1, "decision": "reject", "tags": ["a", "b"], "comment": None}]
    (tmp_path / "said.json").write_text(json.dumps(rows))
    curate.import_decisions(tmp_path / "said.json", opened, reviewer="bob")
    (tags,) = opened.decisions()["tags"]
    assert tags == ("a", "b")


@pytest.mark.parametrize(
    ("tags", "why"),
    [("x" * 61, "no list of texts"), (";".join(map(str, range(21))), "more than 20 tags")],
)
def test_a_table_with_tags_that_are_none_is_refused_with_the_row(
    opened: curate.Audit, tmp_path: Path, tags: str, why: str
) -> None:
    table = write_table(tmp_path / "queue.csv", f"1,reject,ann,{tags},")
    with pytest.raises(SourceError, match=why) as refused:
        curate.import_decisions(table, opened)
    assert "row 2, mask 1" in refused.value.where
    assert not len(opened.decisions())


@pytest.mark.parametrize("tags", [[""], ["a\nb"], ["x" * 61], [f"tag {k}" for k in range(21)]])
def test_tags_are_short_and_few(tags: list[str]) -> None:
    check_tags(DEFAULT_TAGS)
    with pytest.raises(CallError, match="--tags"):
        check_tags(tags)
