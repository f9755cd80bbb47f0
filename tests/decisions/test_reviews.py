"""The file of decisions: what it takes, what it refuses, and that nothing is ever lost in it."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from boxes import HEIGHT, WIDTH, box, rle

from curate.errors import AuditError, CallError, CurateError, SourceError
from curate.people.reviews import Reviews, has_reviews, open_reviews, schema
from curate.people.reviews.import_origin import ImportOrigin
from curate.people.reviews.replaced_additions import make_windows
from curate.people.reviews.review_file import COLUMNS
from curate.store.audit import StoredAudit

Said = Callable[..., pd.DataFrame]


def one(mask: int = 1, action: str = "accept", **more: Any) -> pd.DataFrame:
    return pd.DataFrame([{"mask_id": mask, "action": action, "reviewer": "ann", **more}])


def test_decisions_come_back_as_they_were_given(reviews: Reviews) -> None:
    given = pd.DataFrame(
        {
            "mask_id": [3, 1, 2],
            "action": ["fix", "accept", "reject"],
            "reviewer": ["ann", "'; drop table decisions; --", "שלום"],
            "iou": [0.5, np.nan, np.nan],
            "seconds": [4.5, np.nan, 0.0],
            "time": pd.to_datetime(["2026-03-01T10:00:00.000001Z"] * 3),
            "queue_kind": ["errors", None, "none"],
        }
    )
    added = reviews.add(given, origin="test")
    assert (added.decisions, added.repeated, added.masks) == (3, 0, 3)
    assert added.actions == {"fix": 1, "accept": 1, "reject": 1}
    kept = reviews.decisions()
    assert tuple(kept.columns) == COLUMNS
    kept = kept.set_index("mask_id").loc[[3, 1, 2]].reset_index()
    for name in ("mask_id", "action", "reviewer", "time"):
        assert kept[name].tolist() == given[name].tolist()
    np.testing.assert_array_equal(kept["iou"], given["iou"])
    np.testing.assert_array_equal(kept["seconds"], given["seconds"])
    assert kept["queue_kind"].tolist() == ["errors", "none", "none"]
    assert kept["draw_id"].isna().all()
    assert kept["origin"].tolist() == ["test"] * 3


def test_a_correction_is_measured(reviews: Reviews) -> None:
    reviews.add(one(1, "fix", segmentation=rle(box(1, 5, 8, 8))), origin="test")
    row = reviews.decisions().iloc[0]
    assert row["iou"] == 8 / 11  # the box was 8 x 11
    assert row["segmentation"].decode() == rle(box(1, 5, 8, 8))["counts"]
    polygon = [[1, 5, 9, 5, 9, 13, 1, 13]]
    reviews.add(one(1, "fix", reviewer="bob", segmentation=polygon, iou=0.73), origin="f")
    assert reviews.decisions()["iou"].tolist() == [8 / 11, 8 / 11]


def test_a_corrected_category_is_kept(reviews: Reviews) -> None:
    renamed = one(1, "fix", iou=1.0, category="dog")
    assert [reviews.add(renamed, origin="f").decisions for _ in range(2)] == [1, 0]
    timed = [one(2, "fix", category=word, time="2026-01-01T00:00Z") for word in ("dog", "cat")]
    assert [reviews.add(rows, origin="f").decisions for rows in timed] == [1, 1]
    with pytest.raises(SourceError, match="corrects it here and before, but differently"):
        reviews.add(pd.concat(timed), origin="f")
    assert reviews.add(renamed.assign(category="cat"), origin="g").decisions == 1
    reviews.add(one(3), origin="f")
    kept = reviews.decisions()
    assert kept["category"].fillna("").tolist() == ["dog", "dog", "cat", "cat", ""]
    assert kept["segmentation"].isna().all()


WRONG: list[tuple[pd.DataFrame, str]] = [
    (one(99), "mask 99: the audit has no such mask"),
    (one(action="review"), "the action is 'review'; use accept, reject or fix"),
    (one(action="fix", iou=1.5), "the IoU is 1.5, not 0 to 1"),
    (one(seconds=-1.0), "the time taken is -1, not 0 s or more"),
    (one(inclusion_probability=0.0), "the inclusion probability is 0, not over 0, up to 1"),
    (one(inclusion_probability=1.1), "the inclusion probability is 1.1"),
    (one(queue_kind="random"), "the queue kind is 'random'; use errors, learn, estimate, none"),
    (one(time="2999-01-01"), "is in the future"),
    (one(time="1969-01-01"), "is before 1970"),
    (
        one(draw_id=7),
        "the draw 7 is not recorded here; they belong to the audit that it was drawn in",
    ),
    (one(reviewer="a" * 501), "the reviewer is no text"),
    (one(reviewer="a\0b"), "the reviewer is no text"),
    (one(segmentation=rle(box(1, 5, 8, 8))), "the action accept has a corrected mask"),
    (one(category="dog"), "the action accept has a corrected category; only a fix can have one"),
    (one(action="fix", category="a" * 501), "the category is no text of up to 500"),
    (one(action="fix", segmentation="zz"), "its corrected mask cannot be read"),
    (one(action="fix", segmentation=rle(np.ones((9, 9)))), "the RLE is 9 x 9, the image 50 x 40"),
    (one(action="fix", segmentation=rle(np.zeros((HEIGHT, WIDTH)))), "has no pixel"),
    (one(action="fix", segmentation=rle(box(1, 5, 8, 8)), iou=0.9), "is 0.9, but measured 0.7273"),
]


@pytest.mark.parametrize(("wrong", "message"), WRONG, ids=[message for _, message in WRONG])
def test_one_wrong_row_and_nothing_is_written(
    reviews: Reviews, wrong: pd.DataFrame, message: str
) -> None:
    good = one(2, row="row 2")
    both = pd.concat([good, wrong.assign(row="row 3")], ignore_index=True)
    with pytest.raises(SourceError) as raised:
        reviews.add(both, origin="a file")
    assert message in str(raised.value)
    assert str(raised.value).startswith("a file, row 3, mask ")
    assert not len(reviews.decisions())


def test_wrong_calls(reviews: Reviews) -> None:
    for frame, message in (
        (pd.DataFrame({"mask_id": [1]}), "the column action is missing"),
        (one(reviwer="x"), "there is no column reviwer"),
        (one(mask="one"), "mask_id holds what is no whole number"),  # type: ignore[arg-type]
        (one(seconds="long"), "seconds holds what is no number"),
        (one(time="noon"), "time holds what is no time"),
    ):
        with pytest.raises(CallError, match=message):
            reviews.add(frame, origin="test")


def test_contradictions_of_one_person_are_told(reviews: Reviews) -> None:
    rows = pd.concat([one(1, row="row 2"), one(1, "reject", row="row 9")])
    with pytest.raises(SourceError, match="row 9, mask 1: 'ann' says reject here and accept in"):
        reviews.add(rows, origin="f")
    fixes = [one(1, "fix", segmentation=rle(box(1, 5, 8, k))) for k in (7, 8)]
    with pytest.raises(SourceError, match="corrects it here and before, but differently"):
        reviews.add(pd.concat(fixes), origin="f")
    two_people = pd.concat([one(1), one(1, "reject", reviewer="bob")])
    assert reviews.add(two_people, origin="f").decisions == 2
    times = ["2026-01-01T00:00Z", "2026-01-02T00:00Z"]
    history = pd.concat([one(2, time=times[0]), one(2, "reject", time=times[1])])
    assert reviews.add(history, origin="f").decisions == 2


def test_sending_twice_is_harmless(reviews: Reviews) -> None:
    timed = one(1, time="2026-01-01T00:00Z")
    keyed = one(2, key="page-1")
    plain = one(3, "fix", segmentation=rle(box(25, 5, 8, 8)))
    for rows in (timed, keyed, plain, pd.concat([timed, timed])):
        first, second = (reviews.add(rows, origin="f") for _ in range(2))
        assert second.decisions == 0
        assert second.repeated == len(rows)
        assert first.decisions + first.repeated == len(rows)
    assert len(reviews.decisions()) == 3
    with pytest.raises(SourceError, match="its key page-1 was used by another decision"):
        reviews.add(one(2, "reject", key="page-1"), origin="f")


def test_a_change_of_mind_without_a_time_is_kept(reviews: Reviews) -> None:
    """Saying accept, reject, accept again is three decisions, though the third equals the first."""
    for k, action in enumerate(("accept", "reject", "accept", "accept")):
        reviews.add(one(1, action), origin=f"file {k}")
    assert reviews.decisions()["action"].tolist() == ["accept", "reject", "accept"]
    assert reviews.resolve_labels().loc[1, "action"] == "accept"


def test_a_file_that_comes_again_takes_nothing_back(reviews: Reviews) -> None:
    """Sent again after a later one it would undo it; only what has a time would be in order."""
    reviewed_images = pd.DataFrame({"image_id": [1], "reviewer": "ann"})
    first, second = (
        pd.DataFrame([{"image_id": 1, "segmentation": rle(box(x, 30, 5, 5)), "reviewer": "ann"}])
        for x in (30, 40)
    )
    a, b = (ImportOrigin("coco", name, "0" * 16) for name in "ab")
    sent = {
        a: (one(1, "accept"), first),
        b: (one(1, "reject"), second),
    }
    wrote = []
    for origin in (a, b, a, b):
        rows, missing = sent[origin]
        more = {
            "missing": missing,
            "reviewed_images": reviewed_images,
            "shown": make_windows(reviewed_images, origin),
        }
        added = reviews.add(rows, origin=str(origin), **more)
        wrote.append((added.decisions, added.missing, added.withdrawn, added.reviewed_images))
    assert wrote == [(1, 1, 0, 1), (1, 1, 1, 1), (0, 0, 0, 0), (0, 0, 0, 0)]
    assert reviews.resolve_labels().loc[1, "action"] == "reject"
    assert reviews.missing()["origin"].tolist() == [str(b)]
    assert reviews.add(one(1, "accept"), origin="coco c").decisions == 1
    # A draw that was made since does not make it a new file either.
    reviews.record_draw(
        "estimate", pd.DataFrame({"mask_id": [1, 2, 3, 4], "inclusion_probability": 1.0}), {}
    )
    again = reviews.add(one(1, "accept"), origin=str(a), reviewed_images=reviewed_images)
    assert (again.decisions, again.reviewed_images) == (0, 0)


def test_rows_are_only_ever_added(reviews: Reviews) -> None:
    reviews.add(one(), origin="f", reviewed_images=pd.DataFrame({"image_id": [1]}))
    with closing(sqlite3.connect(reviews.path)) as connection:
        assert connection.execute("pragma journal_mode").fetchone() == ("wal",)
        for sql in (
            "update decisions set action = 'reject'",
            "delete from decisions",
            "delete from looked",
            "update about set value = 'x'",
        ):
            with pytest.raises(sqlite3.IntegrityError, match="only ever added"):
                connection.execute(sql)
    assert len(reviews.decisions()) == 1


DRAWN = pd.DataFrame(
    {
        "mask_id": [1, 2, 5, 5, 9],
        "inclusion_probability": [0.5, 0.5, 0.25, 0.25, np.nan],
        "stratum": [0, 0, 1, 1, -1],
        "place": [1, 2, 3, 4, 5],
        "slot": [0, 0, 0, 1, 0],
        "honeypot": pd.Series([None, None, None, None, "reject"], dtype=object),
    }
)


def test_draws_come_back_and_say_why_a_mask_was_shown(reviews: Reviews) -> None:
    settings = {"seed": np.int64(3), "strata": [{"masks": 12, "drawn": 4}]}
    first = reviews.record_draw("estimate", DRAWN.sample(frac=1, random_state=0), settings)
    pd.testing.assert_frame_equal(reviews.read_draw(first), DRAWN, check_dtype=False)
    reviews.add(one(1), origin="f")
    reviews.add(one(4), origin="f")
    second = reviews.record_draw("errors", pd.DataFrame({"mask_id": [1, 4]}), {})
    draws = reviews.draws()
    assert draws["draw_id"].tolist() == [first, second]
    assert draws["settings"].tolist()[0] == {"seed": 3, "strata": [{"masks": 12, "drawn": 4}]}
    assert draws["masks"].tolist() == [3, 2]
    assert draws["decided"].tolist() == [1, 0]
    now = pd.Timestamp.now("UTC")
    reviews.add(one(1, "reject", reviewer="bob", time="2020-01-01T00:00Z"), origin="before all")
    reviews.add(one(1, "reject", reviewer="cat", time=now), origin="g")
    reviews.add(one(1, "reject", reviewer="dan", queue_kind="estimate"), origin="h")
    reviews.add(one(1, "reject", reviewer="eve", queue_kind="none"), origin="i")
    kept = reviews.decisions().set_index("reviewer")
    assert kept.loc["ann", "queue_kind"].tolist() == ["estimate", "none"]
    assert kept.loc["ann", "inclusion_probability"].tolist()[0] == 0.5
    assert kept.loc[["bob", "cat", "dan", "eve"], "queue_kind"].tolist() == [
        *("none", "errors", "estimate", "none")
    ]
    assert kept.loc["cat", "draw_id"] == second
    assert np.isnan(kept.loc["cat", "inclusion_probability"])


def test_what_contradicts_its_draw_is_refused(reviews: Reviews) -> None:
    draw = reviews.record_draw("estimate", DRAWN, {})
    for wrong, message in (
        (one(3, draw_id=draw), f"the mask is not part of draw {draw}"),
        (one(1, draw_id=draw, queue_kind="learn"), f"learn, but draw {draw} is of kind estimate"),
        (one(1, draw_id=draw, inclusion_probability=0.4), "is 0.4, but 0.5 in draw"),
    ):
        with pytest.raises(SourceError, match=message):
            reviews.add(wrong, origin="f")
    reviews.add(one(1, draw_id=draw, inclusion_probability=0.5), origin="f")
    # What a file says of a mask with a known answer gives nothing away and is not believed.
    reviews.add(one(9, draw_id=draw, inclusion_probability=0.5), origin="f")
    assert np.isnan(reviews.decisions()["inclusion_probability"]).tolist() == [False, True]


def test_wrong_draws_are_refused(reviews: Reviews) -> None:
    for change, message in (
        ({"mask_id": [1, 2, 5, 5, 77]}, "mask 77: the audit has no such mask"),
        ({"inclusion_probability": 0.0}, "its inclusion probability is 0.0"),
        ({"inclusion_probability": np.nan}, "its inclusion probability is nan"),
        ({"slot": 0}, "mask 5: it occurs twice in slot 0"),
        ({"slot": 2}, "its slot is 2"),
        ({"place": 1}, "place 1 is taken"),
        ({"honeypot": "maybe"}, "its known answer is 'maybe'"),
        ({"stratum": "high"}, "a column of the draw has another type"),
    ):
        with pytest.raises(CurateError, match=message):
            reviews.record_draw("estimate", DRAWN.assign(**change), {})
    with pytest.raises(CallError, match="'random' is not one of"):
        reviews.record_draw("random", DRAWN, {})
    with pytest.raises(CallError, match="settings of a draw are no JSON"):
        reviews.record_draw("estimate", DRAWN, {"x": object()})
    with pytest.raises(CallError, match="no mask was drawn"):
        reviews.record_draw("errors", DRAWN[:0], {})
    assert not len(reviews.draws())
    with pytest.raises(CallError, match="there is no draw 1"):
        reviews.read_draw(1)


def test_images_gone_through_and_masks_added(reviews: Reviews) -> None:
    reviewed_images = pd.DataFrame({"image_id": [1, 2], "reviewer": "ann"})
    mask = {"image_id": 1, "segmentation": rle(box(30, 30, 5, 5)), "reviewer": "ann"}
    other = {"image_id": 1, "segmentation": rle(box(40, 30, 5, 5)), "category": "dog"}
    both = pd.DataFrame([mask, {**other, "reviewer": "ann"}])
    nothing = one()[:0]
    for new in ((2, 2, 0), (0, 0, 0)):
        added = reviews.add(
            nothing, origin="coco a 1", missing=both, reviewed_images=reviewed_images
        )
        assert (added.missing, added.reviewed_images, added.withdrawn) == new
    with pytest.raises(SourceError, match="image 9: the audit has no such image"):
        reviews.add(nothing, origin="f", reviewed_images=pd.DataFrame({"image_id": [9]}))


def test_an_image_was_looked_at_for_the_draw_of_all_its_masks(reviews: Reviews) -> None:
    whole = pd.DataFrame({"mask_id": [1, 2, 3, 4, 5], "inclusion_probability": 0.5})
    draw = reviews.record_draw("estimate", whole, {"unit": "image"})
    decided = pd.concat([one(k) for k in range(1, 9)])
    reviews.add(decided, origin="f", reviewed_images=pd.DataFrame({"image_id": [1, 2]}))
    assert reviews.reviewed_images().set_index("image_id")["draw_id"].tolist() == [draw, pd.NA]


# --- strange files ---------------------------------------------------------------------------


def test_no_decisions_yet(audit: StoredAudit) -> None:
    assert not has_reviews(audit)
    with pytest.raises(AuditError, match="there are no decisions of people yet"):
        open_reviews(audit)
    assert not (audit.path / schema.FILE).exists()
    (audit.path / schema.FILE).touch()  # as a kill in the first moment leaves it
    with pytest.raises(AuditError, match="there are no decisions of people yet"):
        open_reviews(audit)
    assert not len(open_reviews(audit, create=True).decisions())
    assert has_reviews(audit)


def test_files_that_are_none_of_ours(audit: StoredAudit) -> None:
    path = audit.path / schema.FILE
    path.write_bytes(b"mask_id,action\n" * 100)
    with pytest.raises(AuditError, match="it is no SQLite file"):
        open_reviews(audit)
    with pytest.raises(AuditError, match="it is no SQLite file"):
        open_reviews(audit, create=True)
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("create table decisions (mask_id)")
    with pytest.raises(AuditError, match="not one of people's decisions"):
        open_reviews(audit, create=True)
    path.unlink()
    path.mkdir()
    with pytest.raises(AuditError, match="it cannot be opened"):
        open_reviews(audit, create=True)


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("drop trigger decisions_no_delete", "other tables or triggers"),
        ("create trigger t after insert on decisions begin select 1; end", "other tables"),
        ("create view v as select * from decisions", "other tables or triggers"),
        ("pragma user_version = 9", "schema version 9, this curate reads 5"),
        (
            "pragma ignore_check_constraints = on;"
            "insert into decisions (mask_id, action, reviewer, time, queue_kind, origin, key)"
            " values (1, 'bless', 'x', 1, 'none', 'x', 'x')",
            "it is damaged .*CHECK constraint failed",
        ),
    ],
)
def test_a_strangers_file_is_checked(reviews: Reviews, sql: str, message: str) -> None:
    with closing(sqlite3.connect(reviews.path)) as connection:
        connection.executescript(sql)
    with pytest.raises(AuditError, match=message):
        open_reviews(reviews.audit)


def test_damage_is_found_wherever_it_is(reviews: Reviews) -> None:
    rows = pd.concat([one(k % 12 + 1, reviewer=f"person {k}") for k in range(600)])
    reviews.add(rows, origin="f")
    whole = reviews.path.read_bytes()
    pages = len(whole) // 4096
    assert pages > 10
    for page in (1, pages // 2, pages - 1):
        broken = bytearray(whole)
        broken[page * 4096 : page * 4096 + 64] = b"\xff" * 64
        reviews.path.write_bytes(broken)
        with pytest.raises(AuditError, match="it is damaged"):
            open_reviews(reviews.audit)
    reviews.path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(AuditError, match="it is damaged"):
        open_reviews(reviews.audit)


def test_decisions_of_another_audit_are_refused(reviews: Reviews, tmp_path: Path) -> None:
    reviews.add(one(), origin="f")
    info = reviews.audit.info
    other = replace(info, source={**info.source, "fingerprint": "0" * 32})
    with pytest.raises(AuditError, match=r"decisions of another audit \(source 'source.json'"):
        open_reviews(StoredAudit(reviews.audit.path, other))
    # The same source elsewhere, audited in another way, has the same masks.
    same = replace(info, source={**info.source, "path": "/elsewhere/b.json"}, settings={})
    shutil.copytree(reviews.audit.path, tmp_path / "copy")
    assert len(open_reviews(StoredAudit(tmp_path / "copy", same)).decisions()) == 1


def test_a_full_disk_is_told_and_nothing_is_lost(
    reviews: Reviews, monkeypatch: pytest.MonkeyPatch
) -> None:
    reviews.add(one(), origin="f")
    set_up = schema._set_up

    def small(connection: sqlite3.Connection) -> None:
        set_up(connection)
        connection.execute("pragma max_page_count = 30")

    monkeypatch.setattr(schema, "_set_up", small)
    many = pd.concat([one(k % 12 + 1, reviewer=f"person {k}" * 20) for k in range(3000)])
    with pytest.raises(AuditError, match="nothing was added; make room on the disk"):
        reviews.add(many, origin="f")
    monkeypatch.undo()
    assert len(open_reviews(reviews.audit).decisions()) == 1


# --- several processes -----------------------------------------------------------------------

WRITER = """
import sys
import pandas as pd
from curate.people.reviews import open_reviews
from curate.store.audit import open_audit
reviews = open_reviews(open_audit(sys.argv[1]), create=True)
for k in range(15):
    rows = pd.DataFrame({"mask_id": range(1, 13), "action": "accept", "reviewer": sys.argv[2]})
    reviews.add(rows.assign(key=[f"{sys.argv[2]} {k} {m}" for m in range(12)]), origin="f")
    reviews.add(rows.assign(key=[f"shared {k} {m}" for m in range(12)], reviewer="all"), origin="f")
"""


def test_processes_that_write_at_once_lose_nothing(audit: StoredAudit) -> None:
    running = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(audit.path), name], stderr=-1)
        for name in ("a", "b", "c")
    ]
    for process in running:
        assert process.communicate(timeout=120)[1].decode() == ""
    kept = open_reviews(audit).decisions()
    assert kept.groupby("reviewer").size().to_dict() == dict.fromkeys(("a", "b", "c", "all"), 180)


KILLED = """
import os, signal, sys
import pandas as pd
from curate.people.reviews import append_images as adding_images, open_reviews
from curate.store.audit import open_audit
reviews = open_reviews(open_audit(sys.argv[1]))
end = adding_images._incoming_columns
adding_images._incoming_columns = lambda *args: os.kill(os.getpid(), signal.SIGKILL)
rows = pd.DataFrame({"mask_id": range(1, 13), "action": "reject", "reviewer": "killed"})
many = pd.concat([rows.assign(reviewer=str(k)) for k in range(2000)])
reviews.add(many, origin="f", reviewed_images=pd.DataFrame({"image_id": [1]}))
"""


def test_a_kill_in_the_middle_leaves_all_or_nothing(reviews: Reviews) -> None:
    """The process dies after its decisions were written and before they were committed."""
    reviews.add(one(), origin="f")
    done = subprocess.run([sys.executable, "-c", KILLED, str(reviews.audit.path)], check=False)
    assert done.returncode == -signal.SIGKILL
    again = open_reviews(reviews.audit)
    assert again.decisions()["reviewer"].tolist() == ["ann"]
    assert again.add(one(2), origin="f").decisions == 1


def test_another_that_writes_for_too_long(
    reviews: Reviews, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "BUSY_S", 0.2)
    with closing(sqlite3.connect(reviews.path, isolation_level=None)) as other:
        other.execute("begin immediate")
        with pytest.raises(AuditError, match=r"has been writing to it for 0.2 seconds"):
            reviews.add(one(), origin="f")
        assert not len(reviews.decisions())  # reading goes on
        other.execute("rollback")
    assert reviews.add(one(), origin="f").decisions == 1


def test_a_decision_taken_back_counts_for_nothing(reviews: Reviews, said: Said) -> None:
    made = said((1, "accept", "ann"), (1, "reject", "ann"), (2, "reject", "ann"))
    reviews.add(made.assign(key=["a", "b", "c"]), origin="page")
    back = pd.DataFrame({"decision_key": ["b"], "reviewer": ["ann"], "key": ["undo b"]})
    assert reviews.withdraw(back) == 1
    assert reviews.withdraw(back) == 0  # sending twice is harmless
    assert reviews.decisions()["key"].tolist() == ["a", "c"]
    assert reviews.resolve_labels()["action"].tolist() == ["accept", "reject"]
    again = reviews.add(made.iloc[[1]].assign(key=["b"]), origin="page")
    assert (again.decisions, again.repeated) == (0, 1)  # the key was used: it stays taken back
    with pytest.raises(SourceError, match="no such decision of that person"):
        reviews.withdraw(back.assign(reviewer="bob", key="other"))
    reviews.add(made.iloc[[1]].drop(columns="time"), origin="page")
    assert reviews.resolve_labels().loc[1, "action"] == "reject"
