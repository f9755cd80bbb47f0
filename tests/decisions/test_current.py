"""The plan obeys people: whatever reads it sees today's decisions, and only what changed costs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import curate
from curate.errors import AuditError, CallError
from curate.people.queues.audit_draw import past_reviews
from curate.people.queues.draw_queue import draw_queue
from curate.people.reviews import Reviews, current_plan
from curate.people.reviews.current_plan import open_audit, update_plan
from curate.rle import decode_counts, encode_counts, from_dense
from curate.store.audit import StoredAudit
from curate.store.people_overlay import PEOPLE


@pytest.fixture
def today(audit: StoredAudit) -> StoredAudit:
    """Return the audit with a plan that is brought up to date whenever it is read."""
    return open_audit(audit.path)


def pixels(audit: StoredAudit, mask_id: int) -> np.ndarray:
    row = audit.masks().loc[mask_id]
    runs, _ = decode_counts([bytes(row["segmentation"])], [row["height"]], [row["width"]])
    dense = np.zeros(int(row["height"] * row["width"]), bool)
    for start, end in zip(runs.starts, runs.ends, strict=True):
        dense[start:end] = True
    return dense.reshape(int(row["width"]), int(row["height"])).T


def counts(dense: np.ndarray) -> bytes:
    return encode_counts(from_dense(dense))[0].as_py()


def test_a_decision_is_in_the_plan_as_soon_as_it_is_made(today, reviews: Reviews, said) -> None:
    before = today.masks(["action", "reasons", "decided_by"])
    ids = before.index[:3].tolist()
    assert set(before["decided_by"]) == {"policy"}
    new = pixels(today, ids[2])
    new[:, : new.shape[1] // 2] = False
    new[0, 0] = True
    frame = said((ids[0], "accept", "ann"), (ids[1], "reject", "ann"), (ids[2], "fix", "bob"))
    frame["segmentation"] = [None, None, counts(new)]
    reviews.add(frame, origin="test")
    plan = today.masks(["action", "reasons", "decided_by"])
    assert plan["action"].loc[ids].tolist() == ["accept", "reject", "accept"]
    assert plan["decided_by"].loc[ids].tolist() == ["person"] * 3
    assert plan["reasons"].loc[ids[:2]].tolist() == ["accepted by ann", "rejected by ann"]
    assert plan["reasons"].loc[ids[2]].startswith("redrawn by bob (IoU ")
    others = plan.drop(index=ids)
    pd.testing.assert_frame_equal(others, before.drop(index=ids))
    found = today.query("select mask_id, action, decided_by from masks order by mask_id")
    np.testing.assert_array_equal(found["action"], plan.sort_index()["action"])
    assert curate.queue(today, actions=("reject",))["mask_id"].tolist().count(ids[1]) == 1


def test_images_count_todays_actions(today, reviews: Reviews, said) -> None:
    masks = today.masks(["image_id", "action"])
    mask_id = masks.index[masks["action"] != "reject"][0]
    image = masks.at[mask_id, "image_id"]
    before = today.images(["review_count", "reject_count"])
    reviews.add(said((mask_id, "reject", "ann")), origin="test")
    after = today.images(["review_count", "reject_count"])
    assert after.at[image, "reject_count"] == before.at[image, "reject_count"] + 1
    moved = int(masks.at[mask_id, "action"] == "review")
    assert after.at[image, "review_count"] == before.at[image, "review_count"] - moved
    rest = before.index != image
    pd.testing.assert_frame_equal(after[rest], before[rest])
    counted = today.query("select image_id, reject_count from images").set_index("image_id")
    assert counted["reject_count"].astype("int64").to_dict() == after["reject_count"].to_dict()


def test_what_is_taken_back_counts_no_more(today, reviews: Reviews, said) -> None:
    before = today.masks(["action", "reasons", "decided_by"])
    mask_id = before.index[0]
    reviews.add(said((mask_id, "reject", "ann"), key=["k"]), origin="test")
    assert today.masks(["decided_by"])["decided_by"].loc[mask_id] == "person"
    reviews.withdraw(pd.DataFrame({"decision_key": ["k"], "reviewer": ["ann"], "key": ["w"]}))
    pd.testing.assert_frame_equal(today.masks(["action", "reasons", "decided_by"]), before)


def test_only_masks_of_new_decisions_are_resolved_again(
    today, reviews: Reviews, said, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = today.masks([]).index[:4].tolist()
    reviews.add(said(*((i, "reject", "ann") for i in ids[:3])), origin="one")
    today.masks(["action"])
    asked = []
    real = current_plan.resolve_outcomes

    def counted(connection, rule, only=None):
        asked.append(None if only is None else only.tolist())
        return real(connection, rule, only)

    monkeypatch.setattr(current_plan, "resolve_outcomes", counted)
    today.masks(["action"])
    assert asked == []
    later = said((ids[1], "accept", "ann"), (ids[3], "accept", "bob"))
    later["time"] += pd.Timedelta(days=1)
    reviews.add(later, origin="two")
    plan = today.masks(["action"])
    assert asked == [[ids[1], ids[3]]]
    expected = ["reject", "accept", "reject", "accept"]
    assert plan["action"].loc[ids].tolist() == expected


def test_known_answers_never_change_the_plan(today, reviews: Reviews, said) -> None:
    before = today.masks(["action", "reasons", "decided_by"])
    mask_id = int(before.index[0])
    drawn = pd.DataFrame({"mask_id": [mask_id], "honeypot": ["accept"]})
    draw = reviews.record_draw("errors", drawn, {})
    reviews.add(said((mask_id, "reject", "ann"), draw_id=draw), origin="test")
    pd.testing.assert_frame_equal(today.masks(["action", "reasons", "decided_by"]), before)


def test_an_accepted_mask_without_pixels_stays_a_finding(tmp_path, said) -> None:
    import json

    from boxes import dataset

    content = dataset()
    content["annotations"][0]["segmentation"] = {"size": [1, 1], "counts": "0"}
    (tmp_path / "source.json").write_text(json.dumps(content))
    audit = curate.audit(tmp_path / "source.json", tmp_path / "audit")
    mask_id = int(audit.query("select mask_id from masks where area_px = 0")["mask_id"].iloc[0])
    before = audit.masks().loc[mask_id]
    reviews = Reviews(StoredAudit(audit.path, audit.info))
    reviews.add(said((mask_id, "accept", "ann")), origin="test")
    after = audit.masks().loc[mask_id]
    assert (after["action"], after["decided_by"]) == (before["action"], "policy")
    assert after["action"] != "accept"
    assert after["reasons"] == (
        f"{before['reasons']}; accepted by ann, but it has no readable pixel"
    )


def test_rules_are_settings_of_the_audit(today, reviews: Reviews, said) -> None:
    mask_id = int(today.masks([]).index[0])
    reviews.add(said((mask_id, "reject", "ann"), (mask_id, "accept", "bob")), origin="test")
    plan = today.masks(["action", "reasons"]).loc[mask_id]
    assert plan["action"] == "review"
    assert plan["reasons"] == "people disagree: 1 accept, 1 reject (ann and bob)"
    for rule, action in (("latest", "accept"), ("strictest", "reject"), ("majority", "review")):
        done = curate.decide(today.path, rule=rule)
        assert done.info.people["rule"] == rule
        assert today.masks(["action"])["action"].loc[mask_id] == action
    with pytest.raises(CallError, match="'mayority' is not one of"):
        curate.decide(today.path, rule="mayority")
    assert curate.decide(today.path, good_iou=0.9).info.people == {
        "rule": "majority",
        "good_iou": 0.9,
    }


def test_a_new_policy_keeps_what_people_decided(today, reviews: Reviews, said) -> None:
    ids = today.masks([]).index[:2].tolist()
    reviews.add(said((ids[0], "accept", "ann"), (ids[1], "reject", "ann")), origin="test")
    strict = {"name": "none", "rule": [{"when": "area_px > 0", "action": "reject", "reason": "x"}]}
    done = curate.decide(today.path, policy=strict)
    plan = done.masks(["action", "decided_by"])
    assert plan["action"].loc[ids].tolist() == ["accept", "reject"]
    assert set(plan.drop(index=ids)["action"]) == {"reject"}
    people = done.query("select policy_action from people order by mask_id")
    assert set(people["policy_action"]) == {"reject"}


def test_the_file_of_what_people_decided_can_be_deleted_or_broken(
    today, reviews: Reviews, said
) -> None:
    mask_id = today.masks([]).index[0]
    reviews.add(said((mask_id, "reject", "ann")), origin="test")
    first = today.masks(["action", "reasons", "decided_by"])
    for content in (None, b"", b"no parquet"):
        (today.path / PEOPLE).unlink()
        if content is not None:
            (today.path / PEOPLE).write_bytes(content)
        pd.testing.assert_frame_equal(today.masks(["action", "reasons", "decided_by"]), first)
    (today.path / "reviews.sqlite").unlink()
    with pytest.raises(AuditError, match=r"decisions on 1 mask are gone: reviews\.sqlite is not"):
        today.masks(["decided_by"])
    (today.path / PEOPLE).unlink()
    assert set(today.masks(["decided_by"])["decided_by"]) == {"policy"}
    assert not (today.path / PEOPLE).exists()


def test_a_file_of_decisions_restored_from_a_copy_is_read_anew(
    today, reviews: Reviews, said, tmp_path
) -> None:
    import shutil

    ids = today.masks([]).index[:2].tolist()
    reviews.add(said((ids[0], "reject", "ann")), origin="one")
    with reviews.connect() as connection:
        connection.execute("pragma wal_checkpoint(truncate)")
    shutil.copy(reviews.path, tmp_path / "copy")
    reviews.add(said((ids[1], "reject", "ann")), origin="two")
    assert today.masks(["action"])["action"].loc[ids].tolist() == ["reject"] * 2
    for end in ("-wal", "-shm"):
        reviews.path.with_name(reviews.path.name + end).unlink(missing_ok=True)
    shutil.copy(tmp_path / "copy", reviews.path)
    plan = today.masks(["action", "decided_by"]).loc[ids]
    assert plan["decided_by"].tolist() == ["person", "policy"]
    reviews.add(said((ids[1], "accept", "bob")), origin="three")
    assert today.masks(["action"])["action"].loc[ids].tolist() == ["reject", "accept"]


def test_a_pinned_audit_is_of_one_moment(today, reviews: Reviews, said) -> None:
    mask_id = today.masks([]).index[0]
    pinned = today.pin()
    reviews.add(said((mask_id, "reject", "ann")), origin="test")
    assert pinned.masks(["decided_by"])["decided_by"].loc[mask_id] == "policy"
    update_plan(today)
    assert pinned.masks(["decided_by"])["decided_by"].loc[mask_id] == "policy"
    assert not pinned.has_people()
    assert pinned.query("select count(*) n from masks where decided_by = 'person'")["n"][0] == 0
    assert today.masks(["decided_by"])["decided_by"].loc[mask_id] == "person"


def test_masks_on_which_people_disagree_are_drawn_again(today, reviews: Reviews, said) -> None:
    ids = today.masks([]).index[:2].tolist()
    rows = said((ids[0], "reject", "ann"), (ids[0], "accept", "bob"), (ids[1], "accept", "ann"))
    reviews.add(rows, origin="test")
    drawn = draw_queue(today, kind="errors", already=past_reviews(today)).record["mask_id"].tolist()
    assert ids[0] in drawn
    assert ids[1] not in drawn
