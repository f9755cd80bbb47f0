"""The queue over real HTTP: cards, decisions, undo, leases."""

from __future__ import annotations

import pytest
from server import Client, event

from curate.decisions import open_reviews
from curate.store import Audit


def test_the_ranking_is_shown_in_order_and_decisions_stand(audit: Audit, client: Client) -> None:
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


def test_undo_gives_the_mask_back(audit: Audit, client: Client) -> None:
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
