"""The queue over real HTTP: cards, decisions, undo, leases."""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import pytest
from server import Client, Hosted, event, now_ms

from curate.people.reviews import open_reviews
from curate.people.webapp.events import EventBatch
from curate.people.webapp.server import listen
from curate.people.webapp.session import ReviewSession
from curate.people.webapp.startup import ReviewSettings
from curate.store.audit import StoredAudit
from curate.store.audit_files import part_paths


def test_the_ranking_is_shown_in_order_and_decisions_stand(
    audit: StoredAudit, client: Client
) -> None:
    ranked = audit.query(
        "select mask_id from masks where action = 'review' order by priority desc, mask_id"
    )["mask_id"].tolist()
    about = client.get("/api/about")
    assert (about["kind"], about["draw_id"], about["total"]) == ("errors", None, len(ranked))
    cards = client.next(5)["cards"]
    assert [int(card["mask_id"]) for card in cards] == ranked[:5]
    sent = [client.decide(card["item"], "reject") for card in cards]
    answer = client.send(*sent)
    assert answer["done"] == [one["key"] for one in sent]
    assert answer["progress"] == {
        "decided": 5,
        "mine": 5,
        "total": len(ranked),
        "left": len(ranked) - 5,
        "unsettled": 0,
    }
    kept = open_reviews(audit).decisions()
    assert kept["mask_id"].tolist() == sorted(ranked[:5])
    assert set(kept["action"]) == {"reject"}
    assert set(kept["queue_kind"]) == {"errors"}
    assert set(kept["origin"]) == {"review page"}
    assert kept["draw_id"].isna().all()
    assert client.send(*sent)["done"] == answer["done"]
    assert len(open_reviews(audit).decisions()) == 5
    assert [int(card["mask_id"]) for card in client.next(2)["cards"]] == ranked[5:7]


def test_undo_gives_the_mask_back(audit: StoredAudit, client: Client) -> None:
    item = client.next()["cards"][0]["item"]
    made = client.decide(item)
    client.send(made)
    back = event("withdraw", of=made["key"], item=item)
    assert client.send(back)["done"] == [back["key"]]
    assert len(open_reviews(audit).decisions()) == 0
    other = Client(client.server, "B")
    assert item not in [card["item"] for card in other.next(48)["cards"]]
    again = client.decide(item, "reject")
    assert client.send(again)["progress"]["mine"] == 1
    assert open_reviews(audit).decisions()["action"].tolist() == ["reject"]


@pytest.mark.parametrize("view", ["card", "near", "whole"])
def test_pictures_come_by_mask(client: Client, view: str) -> None:
    card = client.next()["cards"][0]
    path = card["picture"].replace("view=card", f"view={view}")
    status, headers, body = client.ask("GET", path)
    assert (status, headers["content-type"], body[6:10]) == (200, "image/jpeg", b"JFIF")
    assert "immutable" in headers["cache-control"]


def test_a_page_of_another_queue_is_told_so(client: Client) -> None:
    item = client.next()["cards"][0]["item"]
    made = client.decide(item)
    card = {"mask_id": item[:-2], "points": [[1, 1]], "labels": [1], "items": [item], "count": 1}
    body = client.who() | card | {"queue": "another", "now": 0, "events": [made]}
    for path in ("/api/events", "/api/next", "/api/release", "/api/segment"):
        status, _, answer = client.ask("POST", path, body)
        assert (status, b"another queue" in answer) == (409, True)
    assert client.send(made)["done"] == [made["key"]]


def test_a_page_is_told_what_it_lost(audit: StoredAudit, client: Client) -> None:
    first, second = (card["item"] for card in client.next(2)["cards"])
    other = Client(client.server, "B")
    assert client.next(1, [first, second])["gone"] == []
    client.post("/api/release", **client.who(), items=[first])  # as a lease that ran out
    assert other.next(1)["cards"][0]["item"] == first
    answer = client.next(1, [first, second])
    assert answer["gone"] == [first]
    assert first not in [card["item"] for card in answer["cards"]]
    client.send(client.decide(second))
    assert client.next(1, [second])["gone"] == [second]


def test_undo_leaves_no_moment_for_others(
    audit: StoredAudit, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mask is leased before its decision is taken back, so that nobody gets it in between."""
    item = client.next()["cards"][0]["item"]
    made = client.decide(item)
    client.send(made)
    review = ReviewSession(audit, ReviewSettings())
    back = event("withdraw", of=made["key"], item=item)
    sent = EventBatch.of(client.who() | {"now": now_ms(), "events": [back]}, review.clock.now_us())
    review.prepare(sent)
    review.writer.write(sent.events).result()  # written, and the page not answered yet
    other = Client(client.server, "B")
    assert item not in [card["item"] for card in other.next(48)["cards"]]
    review.close()


def test_a_skip_taken_back_gives_the_mask_again(client: Client) -> None:
    first, second = (card["item"] for card in client.next(2)["cards"])
    client.send(event("skip", item=first), event("unskip", item=first))
    other = Client(client.server, "B")
    assert first not in [card["item"] for card in other.next(48)["cards"]]
    assert client.next(1, [first, second])["gone"] == []
    client.send(event("skip", item=second))
    assert second in [card["item"] for card in other.next(48)["cards"]]
    client.send(event("unskip", item=second))  # too late: it is in other hands
    assert client.next(1, [first, second])["gone"] == [second]


def test_pictures_of_other_windows_have_other_addresses(audit: StoredAudit) -> None:
    """A browser keeps pictures for good, and a blind queue shows no twin beside a mask."""
    doubles = audit.query("select mask_id from masks where duplicate_of is not null")
    reviews, seen = open_reviews(audit, create=True), []
    for kind in ("errors", "estimate"):
        drawn = doubles.assign(inclusion_probability=0.5)
        server = Hosted(audit.path, "--draw", str(reviews.record_draw(kind, drawn, {}))).start()
        page = Client(server)
        cards = {card["mask_id"]: card for card in page.next(48)["cards"]}
        page.post("/api/release", **page.who(), items=page.given)
        server.kill()
        seen.append(cards)
    one, two = seen
    differ = [mask for mask in one if one[mask]["window"] != two[mask]["window"]]
    assert differ
    assert all(one[mask]["picture"] != two[mask]["picture"] for mask in differ)


def test_drawn_images_without_masks_come_last(audit: StoredAudit) -> None:
    """Who is asked what is missing is asked of them too: most may be missing just there."""
    path = part_paths(audit.path, "images")[-1]
    images = pd.read_parquet(path)
    bare = images.head(2).assign(image_id=[1000, 1001])
    pd.concat([images, bare]).to_parquet(path, index=False)
    held = int(images["image_id"].iloc[0])
    masks = audit.query(f"select mask_id from masks where image_id = {held} order by mask_id")
    drawn = masks.assign(inclusion_probability=1.0)
    whole = {"unit": "image", "images": {"ids": [1000, held, 1001]}}
    open_reviews(audit, create=True).record_draw("estimate", drawn, whole)
    server = Hosted(audit.path, "--kind", "estimate").start()
    client = Client(server)
    try:
        answer = client.next(48)
        assert (len(answer["cards"]), answer["images"]) == (len(masks), [])
        client.send(*[client.decide(card["item"]) for card in answer["cards"]])
        first, second = client.next(1)["images"]
        assert (first["image_id"], second["image_id"], first["masks"]) == ("1000", "1001", [])
        status, headers, _ = client.ask("GET", first["picture"])
        assert (status, headers["content-type"]) == (200, "image/jpeg")
        assert client.ask("GET", f"/api/scene/{held}")[0] == 404
        assert client.get("/api/image/1000")["width"] == first["width"]
        server.kill()  # all masks are decided, and the draw is not done
        server.start()
        client.send(event("looked", image_id="1000"))
        assert [image["image_id"] for image in client.next(1)["images"]] == ["1001"]
    finally:
        server.kill()


def test_answers_are_sent_without_waiting_for_an_acknowledgement() -> None:
    async def accepted_nodelay() -> int:
        found: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            mine = writer.get_extra_info("socket")
            found.set_result(mine.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        bound = listen("127.0.0.1", 0)
        server = await asyncio.start_server(accept, sock=bound)
        async with server:
            _, writer = await asyncio.open_connection(*bound.getsockname())
            nodelay = await found
            writer.close()
            await writer.wait_closed()
        return nodelay

    # In a thread of its own: a browser that another test drives keeps an event loop in this one.
    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(asyncio.run, accepted_nodelay()).result()
