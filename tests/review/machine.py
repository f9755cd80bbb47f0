"""A plain model of a queue before several people, and pages that behave as the real ones do."""

from __future__ import annotations

import uuid
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from asgi import App
from hand_clock import HandClock

CHANGES = {"accept": "kept", "reject": "removed", "fix": "relabelled"}
LEASE_S = 120


@dataclass
class Model:
    """What must stand after the events that a server has carried out, in their order.

    Attributes:
        decided: By key: mask, person and action.
        withdrawn: Keys of decisions that were taken back.
        missing: By person, image and category: whether the mask stands.
        done: Keys of all events that were carried out.
    """

    decided: dict[str, tuple[int, str, str]] = field(default_factory=dict)
    withdrawn: set[str] = field(default_factory=set)
    missing: dict[tuple[str, int, str], bool] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)

    def carry_out(self, reviewer: str, event: dict[str, Any]) -> None:
        """Take in an event; one that comes again changes nothing."""
        if event["key"] in self.done:
            return
        self.done.add(event["key"])
        if event["type"] == "decide":
            self.decided[event["key"]] = (mask_of(event["item"]), reviewer, event["action"])
        elif event["type"] == "withdraw":
            self.withdrawn.add(event["of"])
        elif event["type"] in ("missing", "withdraw_missing"):
            place = (reviewer, int(event["image_id"]), event["category"])
            self.missing[place] = event["type"] == "missing"

    def standing(self) -> dict[str, tuple[int, str, str]]:
        """Return the decisions that stand."""
        return {key: said for key, said in self.decided.items() if key not in self.withdrawn}

    def changes(self) -> dict[int, str]:
        """Return what becomes of each mask: what more than half of its people said last."""
        votes: dict[int, dict[str, str]] = {}
        for mask, reviewer, action in self.standing().values():
            votes.setdefault(mask, {})[reviewer] = action
        found = {}
        for mask, said in votes.items():
            action, most = Counter(said.values()).most_common(1)[0]
            found[mask] = CHANGES[action] if 2 * most > len(said) else "unsettled"
        return found


def mask_of(item: str) -> int:
    """Return the mask of an item."""
    return int(item.partition(".")[0])


@dataclass
class Page:
    """One person's browser: what its store holds outlives it, the rest does not.

    Attributes:
        reviewer: The person.
        server: Place of the server that it asks.
        client: The page's name; another one after the browser was killed.
        outbox: Events that no server has acknowledged, each with the page that made it.
        held: Items on the screen, with the time (by the clock that never goes back) until which
            the lease of each holds.
        steps: What can be taken back, the last at the end.
    """

    reviewer: str
    server: int
    client: str = field(default_factory=lambda: str(uuid.uuid4()))
    outbox: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    held: dict[str, float] = field(default_factory=dict)
    steps: list[dict[str, Any]] = field(default_factory=list)

    def now_ms(self, hands: HandClock) -> int:
        """Return the time by the page's own clock, which nobody sets."""
        return 1_700_000_000_000 + hands.passed_us // 1000

    def put(self, hands: HandClock, kind: str, **more: Any) -> dict[str, Any]:
        """Keep an event until it is acknowledged."""
        made = {"type": kind, "key": str(uuid.uuid4()), "at": self.now_ms(hands)} | more
        self.outbox.append((self.client, made))
        return made

    def batch(self) -> tuple[str, list[dict[str, Any]]]:
        """Return the oldest events of one page, in order."""
        client = self.outbox[0][0]
        found = []
        for own, event in self.outbox:
            if own != client:
                break
            found.append(event)
        return client, found

    def ask(self, app: App, path: str, client: str = "", **body: Any) -> tuple[int, dict[str, Any]]:
        """Send a request."""
        who = {"client": client or self.client, "reviewer": self.reviewer, "queue": app.review.name}
        return app.ask(path, who | body)

    def pending(self) -> list[str]:
        """Return the items of events that are not acknowledged."""
        return [event["item"] for _, event in self.outbox if "item" in event]
