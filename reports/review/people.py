"""Twenty people at once while the server is killed: what they were told, and what stands."""

from __future__ import annotations

import random
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from server import Page, Server, decision, withdrawal

from curate.people.reviews import open_reviews
from curate.store.audit import open_audit

LOST_S = 600.0
"""How long a lease holds: a mask may go to another person after that."""


class Person(threading.Thread):
    """Decides on masks, takes one in ten back, sends again what was not answered."""

    def __init__(self, server: Server, number: int, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.page, self.stop = Page(server, f"person {number}"), stop
        self.random = random.Random(number)
        self.unsent: list[dict[str, Any]] = []
        self.acknowledged: set[str] = set()
        self.given: list[str] = []
        self.refused: list[Any] = []
        self.waits: list[float] = []
        self.breaks = 0

    def run(self) -> None:
        """Work until it is time to stop."""
        while not self.stop.is_set():
            try:
                self._turn()
            except OSError:  # no server: the page waits and asks again
                self.breaks += 1
                time.sleep(0.2)

    def _turn(self) -> None:
        start = time.perf_counter()
        cards = self.page.next(4, [one["item"] for one in self.unsent])
        self.waits.append(time.perf_counter() - start)
        self.given += [card["item"] for card in cards]
        made = [decision(card["item"], self.random.choice(["accept", "reject"])) for card in cards]
        self._send(*made)
        for one in made:
            if self.random.random() < 0.1:  # taken back, and only then decided anew
                self._send(withdrawal(one))
                self._send(decision(one["item"], "reject"))

    def _send(self, *events: dict[str, Any]) -> None:
        self.unsent += events
        self.flush()

    def flush(self) -> None:
        """Send what no server has acknowledged yet."""
        if self.unsent:
            answer = self.page.send(self.unsent)
            self.acknowledged |= set(answer["done"])
            self.refused += answer["refused"]
            self.unsent = [one for one in self.unsent if one["key"] not in self.acknowledged]


def together(audit: Path, people: int, seconds: float, kills: int) -> dict[str, float]:
    """Let people review at once, kill the server meanwhile, and compare what stands.

    Returns:
        Counts by what they are of.
    """
    server, stop = Server(audit), threading.Event()
    server.start()
    crowd = [Person(server, number, stop) for number in range(people)]
    for person in crowd:
        person.start()
    for _ in range(kills):
        time.sleep(seconds / (kills + 1))
        server.kill()
        server.start()
    time.sleep(seconds / (kills + 1))
    stop.set()
    for person in crowd:
        person.join(120)
        person.flush()
    memory = server.memory()["peak"]
    server.kill()
    return _compared(audit, crowd) | {"memory at the peak": memory, "kills": kills}


def _compared(audit: Path, crowd: list[Person]) -> dict[str, float]:
    reviews = open_reviews(open_audit(audit))
    standing = reviews.decisions()
    with reviews._open() as connection:
        kept = [key for (key,) in connection.execute("select key from decisions")]
        kept += [key for (key,) in connection.execute("select key from withdrawn")]
    told = set().union(*(person.acknowledged for person in crowd))
    receivers = defaultdict(set)
    for person in crowd:
        for item in person.given:
            receivers[item].add(person.page.reviewer)
    waits = sorted(wait for person in crowd for wait in person.waits)
    return {
        "people": len(crowd),
        "events acknowledged": len(told),
        "decisions that stand": len(standing),
        "acknowledged and not on the disk": len(told - set(kept)),
        "on the disk twice": len(kept) - len(set(kept)),
        "on the disk and never acknowledged": len(set(kept) - told),
        "masks decided twice": int(standing["mask_id"].duplicated().sum()),
        "masks given to two people": sum(len(names) > 1 for names in receivers.values()),
        "events refused": sum(len(person.refused) for person in crowd),
        "times without a server": sum(person.breaks for person in crowd),
        "median wait for 4 masks": 1000 * waits[len(waits) // 2],
        "95th percentile of the wait": 1000 * waits[int(0.95 * len(waits))],
    }
