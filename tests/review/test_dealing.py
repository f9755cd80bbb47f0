"""Who gets which mask: leases, skips, second looks, checks of people, filters, blind samples."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hand_clock import HandClock
from server import now_ms

from curate.errors import CallError
from curate.people.reviews import Reviews, open_reviews
from curate.people.webapp import leases
from curate.people.webapp.events import EventBatch
from curate.people.webapp.filters import Filter
from curate.people.webapp.request_parsing import NextRequest, RequestError
from curate.people.webapp.session import ReviewSession
from curate.people.webapp.startup import ReviewSettings
from curate.store.audit import StoredAudit

Open = Callable[..., ReviewSession]


@pytest.fixture
def hands() -> HandClock:
    return HandClock()


@pytest.fixture
def review(audit: StoredAudit, hands: HandClock) -> Iterator[Open]:
    opened: list[ReviewSession] = []

    def make(**settings: Any) -> ReviewSession:
        opened.append(ReviewSession(audit, ReviewSettings(**settings), hands.clock))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


class Page:
    def __init__(self, review: ReviewSession, reviewer: str) -> None:
        self.review, self.reviewer, self.client = review, reviewer, str(uuid.uuid4())

    def next(self, count: int = 1, *holding: int, **more: Any) -> list[dict[str, Any]]:
        return list(self.answer(count, *holding, **more)["cards"])

    def answer(self, count: int = 1, *holding: int, **more: Any) -> dict[str, Any]:
        asked = NextRequest(self.client, self.reviewer, count, False, Filter(), list(holding))
        return self.review.next(replace(asked, **more))

    def masks(self, count: int = 1, *holding: int, **more: Any) -> list[int]:
        return [int(card["mask_id"]) for card in self.next(count, *holding, **more)]

    def send(self, kind: str, mask: int, **more: Any) -> str:
        made = {"type": kind, "key": str(uuid.uuid4()), "at": now_ms(), "item": f"{mask}.0"} | more
        asked = {"client": self.client, "reviewer": self.reviewer, "now": now_ms()}
        sent = EventBatch.of(asked | {"events": [made]}, self.review.clock.now_us())
        answer = self.review.record(sent, self.review.writer.write(sent.events).result())
        assert answer["done"] == [made["key"]], answer
        return str(made["key"])

    def decide(self, mask: int, action: str = "accept") -> str:
        return self.send("decide", mask, action=action)


def test_two_servers_never_give_one_mask_to_two(review: Open) -> None:
    first, second = Page(review(), "A"), Page(review(), "B")
    mine, theirs = first.masks(6), second.masks(6)
    assert len({*mine, *theirs}) == 12
    first.decide(mine[0])
    assert mine[0] not in second.masks(48)
    assert second.answer()["progress"]["decided"] == 1


def test_a_lease_that_ran_out_returns_the_mask(review: Open, hands: HandClock) -> None:
    one = review()
    first, second = Page(one, "A"), Page(one, "B")
    left, held = first.masks(2)
    hands.wait(leases.LEASE_S - 1)
    assert not {left, held} & set(second.masks(3))
    first.next(1, held)  # the page has it still
    hands.wait(2)
    given = second.masks(48)
    assert left in given
    assert held not in given
    first.decide(left)  # late, and kept all the same
    assert open_reviews(one.audit).decisions()["mask_id"].tolist() == [left]


def test_what_is_given_back_goes_to_others(review: Open) -> None:
    one = review()
    first, second = Page(one, "A"), Page(one, "B")
    mask = first.masks()[0]
    one.assigner.give_back(first.client, [mask])
    assert second.masks() == [mask]


def test_a_request_that_was_outrun_by_the_closing_of_its_page_gets_nothing(
    review: Open, hands: HandClock
) -> None:
    one = review()
    first, second = Page(one, "A"), Page(one, "B")
    begun = first.answer()
    held = int(begun["cards"][0]["mask_id"])
    arrived = one.clock.elapsed_ms()
    hands.wait(0.1)
    one.assigner.leave(first.client)
    late = first.answer(3, held, arrived=arrived)
    assert (late["cards"], late["gone"], late["left"]) == ([], [], begun["left"])
    one.alive(first.client, "A", [held], arrived)
    assert held in second.masks(48)
    hands.wait(0.1)
    second.decide(held)
    assert first.masks(1, arrived=one.clock.elapsed_ms()) == []  # B has them all
    one.assigner.leave(second.client)
    hands.wait(0.1)
    assert first.masks(1, arrived=one.clock.elapsed_ms())  # the same tab, opened again


def test_an_answer_that_got_lost_comes_again_from_the_next_server(review: Open) -> None:
    page = Page(review(), "A")
    lost = page.masks(2)
    page.review = review()
    assert page.masks(2) == lost
    assert not set(page.masks(2, *lost)) & set(lost)


def test_a_skipped_mask_comes_when_the_rest_is_done(review: Open) -> None:
    page = Page(review(), "A")
    skipped = page.masks()[0]
    page.send("skip", skipped)
    seen = []
    while (mask := page.masks()[0]) != skipped:
        assert mask not in seen
        seen.append(mask)
        page.decide(mask)
    assert page.answer()["left"] == 1
    page.review = review()
    assert page.masks() == [skipped]


def test_a_damaged_file_of_leases_is_made_anew(review: Open, audit: StoredAudit) -> None:
    (audit.path / leases.FILE).write_bytes(b"no database at all" * 100)
    assert Page(review(), "A").masks(3)


def test_leases_hold_no_more_than_leases(review: Open, audit: StoredAudit) -> None:
    page = Page(review(), "A")
    page.decide(page.masks()[0])
    with sqlite3.connect(audit.path / leases.FILE) as file:
        assert file.execute("select count(*) from leases").fetchone() == (0,)


def drawn(audit: StoredAudit, ids: list[int], kind: str = "errors", **columns: Any) -> Reviews:
    reviews = open_reviews(audit, create=True)
    rows = pd.DataFrame({"mask_id": ids, **columns})
    reviews.record_draw(kind, rows, {"unit": "mask" if kind == "estimate" else ""})
    return reviews


def test_second_looks_go_to_second_people_and_nobody_can_tell(
    review: Open, audit: StoredAudit
) -> None:
    reviews = drawn(audit, [2, 5, 7, 5, 2], slot=[0, 0, 0, 1, 1])
    one = review()
    assert (one.queue.draw_id, len(one.queue)) == (1, 5)
    first, second, third = (Page(one, name) for name in "ABC")
    mine = first.next(48)
    assert [int(card["mask_id"]) for card in mine] == [2, 5, 7]
    assert {card["slot"] for card in mine} == {0}
    assert Page(one, "A").masks(48) == [2, 5, 7]  # another page of the same person
    theirs = second.next(48)
    assert sorted(int(card["mask_id"]) for card in theirs) == [2, 5]
    assert {card["item"][-2:] for card in theirs} == {".0"}
    assert third.next(48) == []
    for mask in (2, 5, 7):
        first.decide(mask)
    assert first.answer() == {
        "cards": [],
        "left": 0,
        "gone": [],
        "images": [],
        "progress": {"decided": 3, "mine": 3, "total": 5, "left": 2, "unsettled": 0},
    }
    assert third.answer()["left"] == 2
    for mask in (5, 2):
        second.decide(mask, "reject")
    kept = reviews.decisions()
    assert kept["draw_id"].tolist() == [1] * 5
    assert kept.groupby("mask_id")["reviewer"].nunique().to_dict() == {2: 2, 5: 2, 7: 1}
    assert review().queue.draw_id is None  # the draw is done: the ranking comes


def test_undo_of_a_second_look_keeps_both_places(review: Open, audit: StoredAudit) -> None:
    drawn(audit, [2, 2], slot=[0, 1])
    one = review()
    first, second, third = (Page(one, name) for name in "ABC")
    assert first.masks() == [2]
    key = first.decide(2)
    assert second.masks() == [2]
    first.send("withdraw", 2, of=key)
    assert third.masks() == []
    second.decide(2)
    assert third.masks() == []
    first.decide(2)
    settled = {"decided": 2, "mine": 0, "total": 2, "left": 0, "unsettled": 0}
    assert third.answer()["progress"] == settled


def test_known_answers_show_nothing_that_betrays_them(review: Open, audit: StoredAudit) -> None:
    drawn(audit, [2, 5, 7], honeypot=[None, "accept", None])
    one = review()
    assert one.queue.checks
    cards = Page(one, "A").next(3)
    assert [set(card) for card in cards[1:]] == [set(cards[0])] * 2
    assert all(card["quality"] is None for card in cards)
    columns = {score["column"] for card in cards for score in card["scores"]}
    assert columns
    assert not columns & {"quality_score", "priority", "rank"}
    assert "quality_score" not in {s["column"] for s in one.filters.list_filters()["scores"]}


def test_known_answers_are_counted_once_nobody_can_tell_which_they_were(
    review: Open, audit: StoredAudit
) -> None:
    ids = [2, 5, 7, 9, 11, 13]
    drawn(audit, ids, honeypot=["accept", "reject", "accept", "accept", "accept", None])
    one = review()
    page = Page(one, "A")
    page.next(6)
    for mask in ids[:4]:
        page.decide(mask)
    assert one.end("A")["known"] == 0
    page.decide(13)
    assert one.end("A")["known"] == 0
    page.decide(11)
    assert {k: one.end("A")[k] for k in ("known", "right")} == {"known": 5, "right": 4}
    assert one.end("B")["known"] == 0


def test_a_closed_page_keeps_only_what_it_has_decided(review: Open) -> None:
    one = review()
    page = Page(one, "A")
    held = page.masks(5)
    one.assigner.leave(page.client, held[:1])
    assert set(held[1:]) <= set(Page(one, "B").masks(48))
    assert held[0] not in Page(one, "C").masks(48)


def test_a_random_sample_is_blind_and_keeps_its_order(review: Open, audit: StoredAudit) -> None:
    ids = [40, 3, 5, 22, 1]
    reviews = drawn(audit, ids, "estimate", inclusion_probability=[0.1] * 5, stratum=[0] * 5)
    one = review(kind="estimate")
    page = Page(one, "A")
    cards = page.next(2)
    for card in cards:
        assert card["reasons"] == card["scores"] == []
        assert card["quality"] is card["twin"] is None
    assert one.about()["filters"] == {"categories": [], "kinds": [], "reasons": [], "scores": []}
    other = Filter(score=("hole_score", 0, 0.5))
    rest = page.masks(3, *ids[:2], best=True, filter=other)
    assert [int(card["mask_id"]) for card in cards] + rest == ids
    page.decide(40, "reject")
    kept = reviews.decisions().iloc[0]
    assert (kept["queue_kind"], kept["draw_id"]) == ("estimate", 1)
    assert kept["inclusion_probability"] == 0.1
    assert not set(ids) & set(review().queue.mask_ids.tolist())  # nor are they in the ranking


def test_no_draw_of_a_kind_is_said_in_one_sentence(review: Open) -> None:
    with pytest.raises(CallError, match="no draw of the kind learn with masks left; draw one"):
        review(kind="learn")
    with pytest.raises(CallError, match="there is no draw 7"):
        review(draw_id=7)


def test_filters_are_those_of_sql(review: Open, audit: StoredAudit) -> None:
    one = review()
    about = one.about()
    assert about["filters_ready"]
    page = Page(one, "A")
    masks = audit.query("select * from masks where action = 'review'").set_index("mask_id")
    counts = masks["category"].value_counts().to_dict()
    assert {c["name"]: c["masks"] for c in about["filters"]["categories"]} == counts
    name = max(counts, key=lambda key: counts[key])
    found = page.masks(48, filter=Filter(category=name))
    assert sorted(found) == sorted(masks.index[masks["category"] == name])[:48]
    page = Page(one, "A")
    one.assigner.give_back(page.client, [])
    for reason in about["filters"]["reasons"]:
        rows = one.filters.rows(Filter(reason=reason["id"]))
        assert rows is not None
        assert int(rows.sum()) == reason["masks"] > 0
    rows = one.filters.rows(Filter(score=("hole_score", 0.0, 0.5)))
    assert rows is not None
    assert set(one.queue.mask_ids[rows]) == set(masks.index[masks["hole_score"] <= 0.5])
    with pytest.raises(CallError, match="no such score"):
        one.filters.rows(Filter(score=("mask_id", 0.0, 1.0)))


def test_the_best_come_first_in_the_grid(review: Open, audit: StoredAudit) -> None:
    masks = audit.query("select mask_id, quality_score from masks").set_index("mask_id")
    found = masks.loc[Page(review(), "A").masks(20, best=True), "quality_score"].to_numpy()
    assert np.all(np.diff(found) <= 0)


def test_one_mask_and_one_image(review: Open, audit: StoredAudit) -> None:
    one = review()
    card = Page(one, "A").next()[0]
    mask = one.mask(int(card["mask_id"]))
    kept = audit.query(f"select * from masks where mask_id = {card['mask_id']}").iloc[0]
    assert mask["counts"] == bytes(kept["segmentation"]).decode()
    assert mask["window"] == card["window"]
    image = one.images.image(int(card["image_id"]))
    assert {int(m["mask_id"]) for m in image["masks"]} == set(
        audit.query(f"select mask_id from masks where image_id = {card['image_id']}")["mask_id"]
    )
    with pytest.raises(RequestError):
        one.mask(10**9)
    with pytest.raises(RequestError):
        one.images.image(10**9)


def test_only_whole_images_of_ones_own_ask_for_what_is_missing(
    review: Open, audit: StoredAudit
) -> None:
    """A second look or a known answer among them is of an image that was not drawn as a whole."""
    whole = {"unit": "image", "images": {"ids": [1], "drawn": 1, "population": 3}}
    frame = pd.DataFrame({"mask_id": [2, 5, 7, 5], "slot": [0, 0, 0, 1]})
    frame["inclusion_probability"] = 0.5
    frame["honeypot"] = [None, None, "accept", None]
    open_reviews(audit, create=True).record_draw("estimate", frame, whole)
    one = review(kind="estimate")
    said = {card["mask_id"]: card["whole_image"] for card in Page(one, "A").next(48)}
    assert said == {"2": True, "5": True, "7": None}
    assert [card["whole_image"] for card in Page(one, "B").next(48)] == [None]


def test_whoever_comes_back_after_a_crash_gets_her_masks_at_once(
    review: Open, hands: HandClock
) -> None:
    """A browser that crashed comes back as another page, of the same person."""
    one = review()
    total = len(one.queue)
    crashed, other = Page(one, "A"), Page(one, "B")
    lost = crashed.masks(3)
    rest = other.masks(48)
    assert len(lost) + len(rest) == total
    assert Page(one, "C").masks(48) == []
    assert Page(one, "A").masks(48) == lost  # at once where there is nothing else
    one.assigner.give_back(other.client, rest[:4])
    assert Page(one, "A").masks(2) == rest[:2]  # her other page may still be open
    hands.wait(leases.SILENT_S + 1)
    other.next(1, *rest[4:])
    back = Page(one, "A")
    assert set(lost) <= set(back.masks(5))  # that page says nothing any more: hers come first
    assert not set(lost) & set(Page(one, "C").masks(48))


def test_people_without_a_name_do_not_take_each_others_masks(review: Open) -> None:
    one = review()
    Page(one, "").masks(48)
    assert Page(one, "").masks(48) == []


def test_categories_are_those_of_the_dataset_not_of_the_queue(
    review: Open, audit: StoredAudit
) -> None:
    drawn(audit, [2])
    found = audit.query("select distinct category from masks where category is not null order by 1")
    assert review().about()["categories"] == found["category"].tolist()
