"""Several people at once while the server is killed: nothing is lost, doubled or shared."""

from __future__ import annotations

import random
import threading
from collections import defaultdict
from http.client import HTTPException
from typing import Any

from server import Client, Serve, Server, event

from curate.people.reviews import open_reviews
from curate.store.audit import StoredAudit


class Person(threading.Thread):
    """Decides on masks until there are none, sends again what was not acknowledged.

    Args:
        server: The server.
        number: Names the person.
        up: Set while the server runs.
        said: Counts what was acknowledged to anybody.
    """

    def __init__(
        self, server: Server, number: int, up: threading.Event, said: threading.Semaphore
    ) -> None:
        super().__init__(daemon=True)
        self.page = Client(server, f"person {number}")
        self.random = random.Random(number)
        self.up, self.said = up, said
        self.acknowledged: set[str] = set()
        self.unsent: list[dict[str, Any]] = []
        self.given: list[str] = []
        self.refused: list[Any] = []

    def run(self) -> None:
        going_on = True
        while going_on:
            self.up.wait()
            try:
                going_on = self._turn()
            except (OSError, HTTPException, AssertionError):  # the server is down: the page waits
                continue

    def _turn(self) -> bool:
        """Decide on some masks; return whether there may be more."""
        holding = [one["item"] for one in self.unsent if "item" in one]
        cards = self.page.next(3, holding)["cards"]
        self.given += [card["item"] for card in cards]
        made = [
            self.page.decide(card["item"], self.random.choice(["accept", "reject"]))
            for card in cards
        ]
        self.send(*made)
        for one in made:
            if self.random.random() < 0.1:  # undone, and only then decided anew
                self.send(event("withdraw", of=one["key"], item=one["item"]))
                self.send(self.page.decide(one["item"], "reject"))
        return bool(cards or self.unsent)

    def send(self, *events: dict[str, Any]) -> None:
        self.unsent += events
        self.flush()

    def flush(self) -> None:
        if not self.unsent:
            return
        answer = self.page.send(*self.unsent)
        done = set(answer["done"])
        self.refused += answer["refused"]
        self.acknowledged |= done
        self.said.release(len(done))
        self.unsent = [one for one in self.unsent if one["key"] not in done]


def test_a_killed_server_loses_and_doubles_nothing(audit: StoredAudit, serve: Serve) -> None:
    server = serve()
    total = Client(server).get("/api/about")["total"]
    up, said = threading.Event(), threading.Semaphore(0)
    people = [Person(server, number, up, said) for number in range(4)]
    for person in people:
        person.start()
    up.set()
    for _ in range(2):
        for _ in range(total // 4):
            assert said.acquire(timeout=180)
        up.clear()
        server.kill()
        server.start()
        up.set()
    for person in people:
        person.join(60)
        assert not person.is_alive()
        assert not person.refused
        assert not person.unsent
    assert Client(server, "watcher").send()["progress"]["left"] == 0
    kept = open_reviews(audit)
    standing = kept.decisions()
    with kept._open() as connection:
        keys = {key for (key,) in connection.execute("select key from decisions")}
        keys |= {key for (key,) in connection.execute("select key from withdrawn")}
    acknowledged = set().union(*(person.acknowledged for person in people))
    assert acknowledged == keys  # every answer stands on the disk, and nothing else does
    assert standing["mask_id"].is_unique
    assert len(standing) == total
    receivers = defaultdict(set)
    for person in people:
        for item in person.given:
            receivers[item].add(person.page.reviewer)
    assert all(len(names) == 1 for names in receivers.values())
