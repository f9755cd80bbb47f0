"""One person's browser as a process: it may be killed at any moment, and its store may not.

    python person.py STORE NAME PORT SEED

The store is a file to which lines are only appended, as the page's own is written before anything
is sent: what was decided, what a server acknowledged, which masks were given. The process ends when
there is a file STORE.stop and nothing waits any more.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.append(str(Path(__file__).resolve().parent.parent / "review"))

from server import Page, decision, withdrawal


class Store:
    """What outlives a browser."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.waiting: dict[str, dict[str, Any]] = {}
        for line in read(path):
            if "put" in line:
                self.waiting[line["put"]["key"]] = line["put"]
            for key in line.get("done", []):
                self.waiting.pop(key, None)
        self.file = path.open("ab", buffering=0)

    def note(self, **line: Any) -> None:
        """Append a line in one call of the system."""
        self.file.write(json.dumps(line).encode() + b"\n")

    def put(self, event: dict[str, Any]) -> None:
        """Keep an event until it is acknowledged."""
        self.note(put=event)
        self.waiting[event["key"]] = event

    def done(self, answer: dict[str, Any]) -> None:
        """Let go of what a server has acknowledged or refused."""
        refused = [each["key"] for each in answer["refused"]]
        self.note(done=answer["done"], refused=refused)
        for key in [*answer["done"], *refused]:
            self.waiting.pop(key, None)


def read(path: Path) -> list[dict[str, Any]]:
    """Return the whole lines of a store; a line that was cut off by a kill never happened."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1] if line]


def work(store: Store, page: Page, chance: random.Random) -> None:
    """Review until told to stop; what is not answered is sent again."""
    while True:
        stop = store.path.with_suffix(".stop").exists()
        try:
            if stop and not store.waiting:
                return
            if not stop:
                cards = page.next(4, [each["item"] for each in store.waiting.values()])
                store.note(given=[card["item"] for card in cards], at=time.time())
                for card in cards:
                    decide(store, card["item"], chance)
            if store.waiting:
                store.done(page.send(list(store.waiting.values())))
        except OSError:  # no server: the page waits and asks again
            store.note(away=1)
            time.sleep(0.2)


def decide(store: Store, item: str, chance: random.Random) -> None:
    """Decide on a mask; one in ten is taken back and decided anew."""
    made = decision(item, chance.choice(["accept", "reject"]))
    store.put(made)
    if chance.random() < 0.1:
        store.put(withdrawal(made))
        store.put(decision(item, "reject"))


def main() -> None:
    """Be a person."""
    path, name, port, seed = sys.argv[1:]
    store = Store(Path(path))
    store.note(began=os.getpid())
    server: Any = SimpleNamespace(port=int(port))
    work(store, Page(server, name), random.Random(f"{seed} {len(read(store.path))}"))


if __name__ == "__main__":
    main()
