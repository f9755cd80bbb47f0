"""Decisions in bulk decide what nobody has looked at, and are no look themselves."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pandas as pd
import pytest

from curate.errors import AuditError
from curate.people.reviews import Reviews, open_reviews
from curate.people.reviews.current_plan import open_audit
from curate.people.reviews.outcomes import bulk_origin
from curate.people.reviews.review_file import file_identity
from curate.people.reviews.schema import APPLICATION_ID
from curate.people.reviews.schema_tables import SCHEMA_VERSION, UPGRADED_VERSIONS, schema_script
from curate.store.audit import StoredAudit


@pytest.fixture
def today(audit: StoredAudit) -> StoredAudit:
    return open_audit(audit.path)


def in_bulk(ids: list[int], action: str, reviewer: str = "ann") -> pd.DataFrame:
    rows = {"mask_id": ids, "action": action, "reviewer": reviewer, "queue_kind": "bulk"}
    return pd.DataFrame(rows)


def plan_of(today: StoredAudit, mask_id: int) -> tuple[str, str, str]:
    row = today.masks(["action", "decided_by", "reasons"]).loc[mask_id]
    return row["action"], row["decided_by"], row["reasons"]


def test_a_look_counts_before_a_decision_in_bulk_whenever_it_was(
    today: StoredAudit, reviews: Reviews, said
) -> None:
    first, second, third = today.masks(["action"]).index[:3].tolist()
    reviews.add(said((first, "accept", "bob")), origin="page")
    reviews.add(in_bulk([first, second, third], "reject"), origin=bulk_origin(1, "area_px < 20"))
    assert plan_of(today, first) == ("accept", "person", "accepted by bob")
    text = "rejected by ann in bulk, with all masks where area_px < 20"
    assert plan_of(today, second) == ("reject", "bulk", text)
    reviews.add(said((second, "accept", "cem")), origin="page")
    assert plan_of(today, second)[:2] == ("accept", "person")
    reviews.add(in_bulk([third], "accept", "cem"), origin=bulk_origin(2, "a = 'x; y'"))
    text = "accepted by cem in bulk, with all masks where a = 'x, y'"
    assert plan_of(today, third) == ("accept", "bulk", text), "the last one counts, of whomever"


def test_a_look_that_is_withdrawn_leaves_the_decision_in_bulk(
    today: StoredAudit, reviews: Reviews, said
) -> None:
    one = int(today.masks(["action"]).index[0])
    reviews.add(said((one, "accept", "bob")).assign(key="k1"), origin="page")
    reviews.add(in_bulk([one], "reject"), origin=bulk_origin(1, "true"))
    assert plan_of(today, one)[0] == "accept"
    rows = {"decision_key": ["k1"], "reviewer": ["bob"], "key": ["back"]}
    assert reviews.withdraw(pd.DataFrame(rows)) == 1
    assert plan_of(today, one)[:2] == ("reject", "bulk")


def test_a_decision_in_bulk_is_no_label_and_of_no_draw(
    today: StoredAudit, reviews: Reviews
) -> None:
    ids = today.masks(["action"]).index[:4].tolist()
    drawn = pd.DataFrame({"mask_id": ids, "inclusion_probability": 0.5})
    draw = reviews.record_draw("estimate", drawn, {"unit": "mask"})
    reviews.add(in_bulk(ids, "accept"), origin=bulk_origin(1, "true"))
    kept = reviews.decisions()
    assert kept["queue_kind"].tolist() == ["bulk"] * 4
    assert kept["draw_id"].isna().all()
    assert kept["inclusion_probability"].isna().all()
    assert not len(reviews.resolve_labels())
    assert not len(reviews.resolve_labels(draw_id=draw))
    assert reviews.draws()["decided"].tolist() == [0]


def file_of_version(reviews: Reviews, version: int) -> None:
    """Write the file as an earlier version wrote it, with one decision."""
    reviews.path.unlink(missing_ok=True)
    with closing(sqlite3.connect(reviews.path)) as connection:
        connection.executescript(schema_script(version))
        identity = file_identity(reviews.audit)
        connection.executemany("insert into about values (?, ?)", identity.items())
        connection.execute(
            "insert into decisions (mask_id, action, reviewer, time, queue_kind, origin, key)"
            " values (1, 'reject', 'ann', 1, 'none', 'page', 'k')"
        )
        connection.execute(f"pragma application_id = {APPLICATION_ID}")
        connection.execute(f"pragma user_version = {version}")
        connection.commit()


@pytest.mark.parametrize("version", UPGRADED_VERSIONS)
def test_a_file_of_a_version_before_keeps_its_decisions(reviews: Reviews, version: int) -> None:
    file_of_version(reviews, version)
    opened = open_reviews(reviews.audit)
    assert opened.decisions()["action"].tolist() == ["reject"]
    opened.add(in_bulk([2], "accept"), origin=bulk_origin(1, "true"))
    assert opened.decisions()["queue_kind"].tolist() == ["none", "bulk"]
    with closing(sqlite3.connect(reviews.path)) as connection:
        assert connection.execute("pragma user_version").fetchone() == (SCHEMA_VERSION,)
        assert connection.execute("pragma integrity_check").fetchone() == ("ok",)
        connection.execute("pragma foreign_keys = on")
        with pytest.raises(sqlite3.IntegrityError, match="only ever added"):
            connection.execute("delete from decisions")


@pytest.mark.parametrize("version", UPGRADED_VERSIONS)
def test_a_changed_file_of_a_version_before_is_not_brought_to_todays(
    reviews: Reviews, version: int
) -> None:
    file_of_version(reviews, version)
    with closing(sqlite3.connect(reviews.path)) as connection:
        connection.execute("drop trigger decisions_no_delete")
        connection.commit()
    with pytest.raises(AuditError, match="other tables or triggers"):
        open_reviews(reviews.audit)
    with closing(sqlite3.connect(reviews.path)) as connection:
        assert connection.execute("pragma user_version").fetchone() == (version,)
