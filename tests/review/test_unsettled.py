"""Masks that people decided on and did not settle: offered again, and named as such."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd
import pytest
from server import now_ms

from curate.common.clock import SYSTEM
from curate.errors import AuditError
from curate.people.reviews import Reviews, open_reviews
from curate.people.reviews.current_plan import open_audit
from curate.people.webapp.events import EventBatch
from curate.people.webapp.filters import Filter
from curate.people.webapp.request_parsing import NextRequest, RequestError
from curate.people.webapp.session import ReviewSession
from curate.people.webapp.startup import ReviewSettings
from curate.store.audit import StoredAudit

Open = Callable[..., ReviewSession]


@pytest.fixture
def review(audit: StoredAudit) -> Iterator[Open]:
    opened: list[ReviewSession] = []

    def make(**settings: Any) -> ReviewSession:
        opened.append(ReviewSession(audit, ReviewSettings(**settings)))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


def dealt(review: ReviewSession, reviewer: str, count: int = 1) -> dict[str, Any]:
    """Ask as a new page of a person does, which gives back what it does not want."""
    client = str(uuid.uuid4())
    answer = review.next(NextRequest(client, reviewer, count, False, Filter(), []))
    review.assigner.give_back(client, [int(card["mask_id"]) for card in answer["cards"]])
    return answer


def decide(
    review: ReviewSession, reviewer: str, mask: int, action: str = "accept", **more: Any
) -> None:
    asked = {"client": str(uuid.uuid4()), "reviewer": reviewer, "now": now_ms()}
    made = {"type": "decide", "key": str(uuid.uuid4()), "at": now_ms(), "item": f"{mask}.0"}
    sent = EventBatch.of(
        asked | {"events": [made | {"action": action} | more]}, review.clock.now_us()
    )
    answer = review.record(sent, review.writer.write(sent.events).result())
    assert answer["done"] == [made["key"]], answer


def said(audit: StoredAudit, rows: list[tuple[int, str, str]], origin: str = "a table") -> Reviews:
    reviews = open_reviews(audit, create=True)
    frame = pd.DataFrame(rows, columns=["mask_id", "reviewer", "action"])
    reviews.add(frame.assign(queue_kind="none"), origin=origin)
    return reviews


_ACCEPTED = "select mask_id from masks where action = 'accept' order by 1"


def accepted(audit: StoredAudit) -> int:
    """Return a mask that the policy sends to nobody."""
    return int(audit.query(_ACCEPTED)["mask_id"].iloc[0])


def ids(answer: dict[str, Any]) -> list[int]:
    return [int(card["mask_id"]) for card in answer["cards"]]


def test_disputed_masks_come_first_and_say_why(review: Open, audit: StoredAudit) -> None:
    mask = accepted(audit)
    said(audit, [(mask, "ann", "accept"), (mask, "bob", "reject")])
    one = review()
    answer = dealt(one, "cid", 2)
    first, second = answer["cards"]
    assert (int(first["mask_id"]), second["unsettled"]) == (mask, None)
    assert first["unsettled"] == "not settled: people disagree"  # not who said what
    assert answer["progress"]["unsettled"] == 1
    decide(one, "cid", mask, "reject")
    answer = dealt(one, "dan", 48)
    assert answer["progress"]["unsettled"] == 0
    assert mask not in [int(card["mask_id"]) for card in answer["cards"]]
    people = open_audit(audit.path).masks(["action", "decided_by"]).loc[mask]
    assert people.tolist() == ["reject", "person"]


def test_nobody_is_asked_again_before_others_say_something_new(
    review: Open, audit: StoredAudit
) -> None:
    mask = accepted(audit)
    said(audit, [(mask, "ann", "accept")])
    said(audit, [(mask, "bob", "reject")])
    one = review()

    def asked() -> list[str]:
        return [name for name in ("ann", "bob", "cid") if mask in ids(dealt(one, name, 48))]

    assert asked() == ["ann", "cid"]  # bob decided last
    left = dealt(one, "ann")["left"]
    decide(one, "ann", mask)  # she says the same again
    answer = dealt(one, "ann", 48)
    assert (answer["left"], answer["progress"]["unsettled"]) == (left - 1, 1)
    assert asked() == ["cid"]
    decide(one, "ann", mask, "fix", category="another")  # that is new to bob
    assert asked() == ["bob", "cid"]
    decide(one, "cid", mask)  # and that to both
    assert asked() == ["ann", "bob"]
    decide(one, "bob", mask)
    assert dealt(one, "ann")["progress"]["unsettled"] == 0


@pytest.mark.parametrize("kind", ["errors", "learn"])
def test_disputed_masks_come_first_whatever_draw_is_continued(
    review: Open, audit: StoredAudit, kind: str
) -> None:
    outside, fix = (int(i) for i in audit.query(_ACCEPTED)["mask_id"].iloc[:2])
    reviews = said(audit, [(outside, "ann", "accept"), (fix, "ann", "fix")])
    said(audit, [(outside, "bob", "reject")])
    drawn = reviews.record_draw(kind, pd.DataFrame({"mask_id": [2, 5]}), {"unit": ""})
    for settings in ({"kind": kind}, {"draw_id": drawn}):
        one = review(**settings)
        assert one.queue.draw_id == drawn
        answer = dealt(one, "eva", 48)
        assert set(ids(answer)[:2]) == {outside, fix}
        assert (ids(answer)[2:], answer["left"]) == ([2, 5], 4)
    decide(one, "eva", outside, "reject")
    decide(one, "eva", 2)
    rows = reviews.decisions().set_index(["mask_id", "reviewer"])
    kept = rows.loc[[(outside, "eva"), (2, "eva")], ["queue_kind", "draw_id"]]
    assert kept["queue_kind"].tolist() == ["errors", kind]
    assert kept["draw_id"].isna().tolist() == [True, False]
    answer = dealt(one, "eva", 48)
    assert (ids(answer), answer["left"]) == ([fix, 5], 2)
    decide(one, "eva", fix, "reject")  # one says fix, another reject
    answer = dealt(one, "eva", 48)
    assert (ids(answer), answer["left"]) == ([5], 1)
    assert fix in ids(dealt(one, "ann", 48))
    assert answer["progress"] == {"decided": 2, "mine": 3, "total": 4, "left": 2, "unsettled": 1}
    decide(one, "eva", 5)
    assert fix in ids(dealt(review(), "dan", 48))  # the draw is done, and the ranking has it


def test_a_fix_that_nobody_drew_goes_to_the_same_person_too(
    review: Open, audit: StoredAudit
) -> None:
    mask = accepted(audit)
    said(audit, [(mask, "ann", "fix")])
    one = review()
    card = dealt(one, "ann")["cards"][0]
    assert int(card["mask_id"]) == mask
    assert card["unsettled"] == "not settled: it is to be fixed, but nobody has drawn it"
    decide(one, "ann", mask, "fix", counts=one.mask(mask)["counts"])
    assert dealt(one, "ann")["progress"]["unsettled"] == 0


def test_what_is_said_while_the_page_is_open_counts(review: Open, audit: StoredAudit) -> None:
    one = review()
    mask = int(dealt(one, "ann")["cards"][0]["mask_id"])
    decide(one, "ann", mask)
    said(audit, [(mask, "bob", "reject")])
    answer = dealt(one, "cid", 48)
    disputed = [card for card in answer["cards"] if card["unsettled"]]
    assert [int(card["mask_id"]) for card in disputed] == [mask]
    info = json.loads((audit.path / "audit.json").read_text())
    info["people"] = {"rule": "latest", "good_iou": None}
    (audit.path / "audit.json").write_text(json.dumps(info))
    one.check_queue({"queue": one.name})  # as every request does
    assert dealt(one, "cid")["progress"]["unsettled"] == 0


def test_disputes_of_a_draw_do_not_hold_it_open(review: Open, audit: StoredAudit) -> None:
    reviews = open_reviews(audit, create=True)
    reviews.record_draw("errors", pd.DataFrame({"mask_id": [2, 2], "slot": [0, 1]}), {"unit": ""})
    one = review()
    decide(one, "ann", 2)
    decide(one, "bob", 2, "reject")
    card = dealt(one, "cid")["cards"][0]
    assert card["unsettled"] == "not settled: people disagree"
    ranking = review()
    assert ranking.queue.draw_id is None
    assert int(dealt(ranking, "cid")["cards"][0]["mask_id"]) == 2


def test_a_random_sample_stays_blind_and_its_disputes_go_to_the_ranking(
    review: Open, audit: StoredAudit
) -> None:
    rows = {"mask_id": [40, 40], "slot": [0, 1], "inclusion_probability": [0.1, 0.1]}
    reviews = open_reviews(audit, create=True)
    reviews.record_draw("estimate", pd.DataFrame(rows), {"unit": "mask"})
    one = review(kind="estimate")
    decide(one, "ann", 40)
    decide(one, "bob", 40, "reject")
    answer = dealt(one, "cid")
    assert (answer["cards"], answer["left"], answer["progress"]["unsettled"]) == ([], 0, 0)
    assert int(dealt(review(), "cid")["cards"][0]["mask_id"]) == 40


def test_a_card_gives_the_reasons_of_the_policy_and_not_what_others_said(
    review: Open, audit: StoredAudit
) -> None:
    frame = audit.query("select mask_id, reasons from masks where reasons <> '' order by 1")
    chosen = [int(i) for i in frame["mask_id"].iloc[:2]]
    said(audit, [(chosen[0], "ann", "reject"), (chosen[1], "ann", "accept")])
    reviews = open_reviews(audit)
    reviews.record_draw("errors", pd.DataFrame({"mask_id": chosen}), {"unit": ""})
    cards = dealt(review(), "bob", 2)["cards"]
    shown = ["; ".join(one["words"] for one in card["reasons"]) for card in cards]
    assert shown == frame["reasons"].tolist()[:2]
    assert [card["unsettled"] for card in cards] == [None, None]


def test_a_new_category_is_a_decision_like_an_imported_one(
    review: Open, audit: StoredAudit
) -> None:
    one = review()
    mask = int(dealt(one, "ann")["cards"][0]["mask_id"])
    decide(one, "ann", mask, "fix", category="  another ")
    kept = open_reviews(audit).decisions().iloc[0]
    assert (kept["action"], kept["category"], kept["iou"]) == ("fix", "another", 1)
    assert pd.isna(kept["segmentation"])
    people = open_audit(audit.path).people()
    assert people is not None
    row = people.select(["change", "category", "reasons"]).to_pylist()[0]
    assert row == {
        "change": "relabelled",
        "category": "another",
        "reasons": "relabelled by ann: another",
    }


@pytest.mark.parametrize("category", ["", " ", 5, "x" * 501])
def test_a_category_that_is_none_is_refused(category: Any) -> None:
    made = {"type": "decide", "key": str(uuid.uuid4()), "at": now_ms(), "item": "5.0"}
    made |= {"action": "fix", "category": category}
    asked = {"client": str(uuid.uuid4()), "reviewer": "ann", "now": now_ms(), "events": [made]}
    sent = EventBatch.of(asked, SYSTEM.now_us())
    assert not sent.events
    assert "category" in sent.refused[0]["error"]


def test_a_page_of_an_audit_that_was_made_anew_writes_nothing(
    review: Open, audit: StoredAudit
) -> None:
    one = review()
    mask = int(dealt(one, "ann")["cards"][0]["mask_id"])
    one.check_queue({"queue": one.name})
    info = json.loads((audit.path / "audit.json").read_text())
    (audit.path / "audit.json").write_text(json.dumps(info | {"state": "scoring"}))
    with pytest.raises(RequestError, match="is being made anew") as refused:
        one.check_queue({"queue": one.name})
    assert refused.value.status == 503  # the page waits
    info["source"]["fingerprint"] = "f" * 32
    (audit.path / "audit.json").write_text(json.dumps(info))
    for file in audit.path.glob("reviews.sqlite*"):
        file.unlink()
    with pytest.raises(RequestError, match="of another version of its source; stop the server"):
        one.check_queue({"queue": one.name})
    with pytest.raises(AuditError, match="made anew from another source"):
        decide(one, "ann", mask)
    assert not (audit.path / "reviews.sqlite").exists()
    (audit.path / "audit.json").unlink()
    with pytest.raises(RequestError, match="is not there any more"):
        one.check_queue({"queue": one.name})
    with pytest.raises(AuditError, match="not there any more"):
        decide(one, "ann", mask)
