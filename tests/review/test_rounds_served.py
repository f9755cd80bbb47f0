"""Images of a round of the engine: each is searched for missing masks, also those without any."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pandas as pd
import pytest
from hand_clock import HandClock

from curate.errors import CallError
from curate.people.reviews import open_reviews
from curate.people.webapp.closing import describe_decisions, find_last_events
from curate.people.webapp.events import EventBatch
from curate.people.webapp.filters import Filter
from curate.people.webapp.request_parsing import NextRequest
from curate.people.webapp.session import ReviewSession
from curate.people.webapp.startup import ReviewSettings
from curate.store.audit import StoredAudit

CLIENT = str(uuid4())


def record_round(audit: StoredAudit, masks: list[int], images: list[int]) -> int:
    drawn = pd.DataFrame({"mask_id": pd.Series(masks, dtype="int64")})
    counts = {"population": len(images), "drawn": len(images), "ids": images}
    settings = {"kind": "errors", "unit": "", "images": counts, "categories": ["cell", "debris"]}
    return open_reviews(audit, create=True).record_draw("errors", drawn, settings)


def ask(session: ReviewSession) -> Any:
    return session.next(NextRequest(CLIENT, "ann", 40, False, Filter(), []))


def send(session: ReviewSession, **event: Any) -> None:
    now = session.clock.now_us() // 1000
    made = {"key": str(uuid4()), "at": now} | event
    asked = {"client": CLIENT, "reviewer": "ann", "now": now, "events": [made]}
    sent = EventBatch.of(asked, session.clock.now_us())
    assert session.record(sent, session.writer.write(sent.events).result())["refused"] == []


@pytest.fixture
def hands() -> HandClock:
    return HandClock()


def images_of(audit: StoredAudit) -> dict[int, list[int]]:
    """Masks by image, of the first images with masks."""
    rows = audit.query("select image_id, mask_id from masks order by image_id, mask_id")
    return {int(str(k)): part.tolist() for k, part in rows.groupby("image_id")["mask_id"]}


def test_every_image_of_a_round_is_searched(audit: StoredAudit, hands: HandClock) -> None:
    first, second = list(images_of(audit).items())[:2]
    masks = first[1][:2]
    record_round(audit, masks, [first[0], second[0]])
    session = ReviewSession(audit, ReviewSettings(), hands.clock)
    try:
        assert session.about()["categories"][:2] == ["cell", "debris"]
        assert session.about()["must_name"]
        answer = ask(session)
        assert [int(card["mask_id"]) for card in answer["cards"]] == masks
        assert all(card["whole_image"] for card in answer["cards"])
        for card in answer["cards"]:
            send(session, type="decide", item=card["item"], action="accept", seconds=2.5)
        # The page was closed before it asked for the first image; the second has no mask to show.
        assert [int(one["image_id"]) for one in ask(session)["images"]] == [first[0], second[0]]
        send(session, type="looked", image_id=str(first[0]), seconds=4.25)
        assert [int(one["image_id"]) for one in ask(session)["images"]] == [second[0]]
        send(session, type="looked", image_id=str(second[0]))
        assert ask(session)["images"] == []
    finally:
        session.close()
    seconds = open_reviews(audit).reviewed_images()["seconds"]
    assert seconds[0] == 4.25
    assert pd.isna(seconds[1])


def test_a_round_without_masks_is_served(audit: StoredAudit, hands: HandClock) -> None:
    """A cold start: people draw all masks."""
    (image, masks), *_ = images_of(audit).items()
    number = record_round(audit, [], [image])
    assert len(open_reviews(audit).read_draw(number)) == 0
    session = ReviewSession(audit, ReviewSettings(), hands.clock)
    try:
        since = find_last_events(session)
        (card,) = (answer := ask(session))["images"]
        assert int(card["image_id"]) == image
        assert (answer["progress"]["images"], answer["progress"]["searched"]) == (1, 0)
        assert describe_decisions(session, since) == (
            "nothing was decided; 1 of 1 image left to search"
        )
        counts = session.mask(masks[0])["counts"]
        added = {"category": "cell", "counts": counts, "seconds": 31.5}
        send(session, type="missing", image_id=card["image_id"], **added)
        said = describe_decisions(session, since)
        assert said == "added 1 mask; by 1 person; 1 of 1 image left to search"
        send(session, type="looked", image_id=card["image_id"], seconds=4.0)
        said = describe_decisions(session, since)
        assert said == "added 1 mask; searched 1 image; by 1 person; 0 of 1 image left to search"
        assert session.progress("ann")["searched"] == 1
    finally:
        session.close()
    assert open_reviews(audit).missing()["seconds"].tolist() == [31.5]


def test_a_draw_of_no_mask_and_no_image_is_refused(audit: StoredAudit) -> None:
    with pytest.raises(CallError, match="no mask was drawn"):
        open_reviews(audit, create=True).record_draw(
            "errors", pd.DataFrame({"mask_id": pd.Series([], dtype="int64")}), {}
        )
    with pytest.raises(CallError, match="there is no draw 7"):
        open_reviews(audit).read_draw(7)


def test_masks_that_nobody_is_asked_about_are_shown_and_can_be_decided_on(
    audit: StoredAudit, hands: HandClock
) -> None:
    """Prefilled masks of a round: those of its images, and of no other."""
    (image, masks), (_, others), *_ = images_of(audit).items()
    record_round(audit, [], [image])
    session = ReviewSession(audit, ReviewSettings(), hands.clock)
    try:
        (card,) = ask(session)["images"]
        assert {int(mask["mask_id"]) for mask in card["masks"]} == set(masks)
        send(session, type="decide", item=f"{masks[0]}.0", action="reject", seconds=0)
        with pytest.raises(AssertionError, match="the queue has no such mask"):
            send(session, type="decide", item=f"{others[0]}.0", action="reject", seconds=0)
        assert [int(one["image_id"]) for one in ask(session)["images"]] == [image]
    finally:
        session.close()
    (kept,) = open_reviews(audit).decisions().to_dict("records")
    assert (kept["mask_id"], kept["action"]) == (masks[0], "reject")
    assert pd.isna(kept["draw_id"])
