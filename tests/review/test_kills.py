"""Several people at once while the server is killed: nothing is lost, doubled or shared."""

from __future__ import annotations

import random
import threading
import time
from collections import defaultdict
from http.client import HTTPException
from typing import Any

from server import Client, Serve, Server, event

from curate.decisions import open_reviews
from curate.store import Audit


class Person(threading.Thread):
    """Decides on masks until there are none, sends again what was not acknowledged."""

    def __init__(self, server: Server, number: int, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.page = Client(server, f"person {number}")
        self.random = random.Random(number)
        self.stop = stop
        self.acknowledged: set[str] = set()
        self.unsent: list[dict[str, Any]] = []
        self.given: list[tuple[float, str, str]] = []
        self.refused: list[Any] = []

    def run(self) -> None:
        while not self.stop.is_set():
            try:
                self._turn()
            except (OSError, HTTPException, AssertionError):  # the server is down: the page waits
                time.sleep(0.05)

    def _turn(self) -> None:
        holding = [one["item"] for one in self.unsent if "item" in one]
        cards = self.page.next(3, holding)["cards"]
        self.given += [(time.monotonic(), "given", card["item"]) for card in cards]
        made = [
            self.page.decide(card["item"], self.random.choice(["accept", "reject"]))
            for card in cards
        ]
        self.send(*made)
        for one in made:
            if self.random.random() < 0.1:  # undone, and only then decided anew
                self.send(event("withdraw", of=one["key"], item=one["item"]))
                self.send(self.page.decide(one["item"], "reject"))
        if not cards and not self.unsent:
            time.sleep(0.02)

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
        self.unsent = [one for one in self.unsent if one["key"] not in done]


def test_a_killed_server_loses_and_doubles_nothing(audit: Audit, serve: Serve) -> None:
    server = serve()
    total = Client(server).get("/api/about")["total"]
    stop = threading.Event()
    people = [Person(server, number, stop) for number in range(4)]
    for person in people:
        person.start()
    for _ in range(2):
        time.sleep(0.4)
        server.kill()
        server.start()
    deadline = time.monotonic() + 60
    watcher = Client(server, "watcher")
    while watcher.send()["progress"]["left"] and time.monotonic() < deadline:
        time.sleep(0.1)
    stop.set()
    for person in people:
        person.join(30)
        person.flush()
        assert not person.refused
        assert not person.unsent
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
        for _, _, item in person.given:
            receivers[item].add(person.page.reviewer)
    assert all(len(names) == 1 for names in receivers.values())
