"""Cases of ``review``: what a page sends is written by the application, in this process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from boxes import box, rle
from cases_people import prepare_audit, seen
from fault_harness import Case

import curate
from curate.errors import AuditError
from curate.people.reviews.current_plan import open_audit
from curate.people.webapp.app import make_application
from curate.people.webapp.session import ReviewSession
from curate.people.webapp.startup import ReviewSettings
from curate.people.webapp.tokens import Tokens

TRIES = 2
"""How often a page sends what was answered with an error, before the server is started anew."""


def event(kind: str, key: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "key": f"{key:0>8}-0000-4000-8000-000000000000", "at": 1, **more}


def counts(x: int, y: int, w: int, h: int) -> Any:
    return rle(box(x, y, w, h))["counts"]


ACCEPTED = event("decide", "1", item="1.0", action="accept", seconds=1.5)
ADDED = {"image_id": "2", "counts": counts(20, 25, 8, 8), "category": "cat"}
DECIDED = [
    ACCEPTED,
    event("decide", "2", item="2.0", action="reject", seconds=1.5),
    event("decide", "3", item="3.0", action="fix", counts=counts(26, 6, 9, 9)),
    event("decide", "4", item="4.0", action="fix", category="dog"),
    event("missing", "5", **ADDED),
    event("looked", "6", image_id="2"),
    event("skip", "7", item="9.0"),
]
UNDONE = [event("withdraw", "8", item="1.0", of=ACCEPTED["key"])]
TAKEN_AWAY = [event("withdraw_missing", "9", **ADDED, of=DECIDED[4]["key"])]
"""What a page sends, in one request each."""


@contextmanager
def answering(audit: Path) -> Iterator[Callable[[str, dict[str, Any]], tuple[int, Any]]]:
    """Yield what posts to the application of an audit; raises where no server would start."""
    review = ReviewSession(open_audit(audit), ReviewSettings(draw_id=1))
    app = make_application(review, Tokens(""))
    with asyncio.Runner() as loop:

        def post(path: str, body: dict[str, Any]) -> tuple[int, Any]:
            own = {"queue": review.name, "client": "0" * 8 + "-0000-4000-8000-000000000000"}
            return loop.run(_post(app, path, body | own | {"reviewer": "ann"}))

        try:
            yield post
        finally:
            review.close()


async def _post(app: Any, path: str, body: dict[str, Any]) -> tuple[int, Any]:
    """Ask the application as a web server does."""
    scope = {"type": "http", "method": "POST", "path": path, "headers": [], "query_string": b""}
    parts = [{"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}]
    sent: list[Any] = []

    async def receive() -> Any:
        return parts.pop() if parts else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent[0]["status"], json.loads(sent[1]["body"])


def sending(events: list[dict[str, Any]]) -> Callable[[Path], None]:
    """Return what sends events as the page does: again, until all are answered as done."""

    def run(folder: Path) -> None:
        with answering(folder / "out") as post:
            for _ in range(TRIES):
                status, said = post("/api/events", {"now": 1, "events": events})
                if status == 200:
                    assert said["refused"] == [], said
                    assert said["done"] == [one["key"] for one in events]
                    return
                assert status == 503, said
            raise AuditError(said["error"], "the page", "start the server again")

    return run


def prepare(folder: Path) -> None:
    """Audit twelve boxes, and draw all of them for a page."""
    prepare_audit(folder)
    curate.write_queue(folder / "out", folder / "drawn.csv", kind="learn", budget=12)


def prepare_decided(folder: Path) -> None:
    prepare(folder)
    sending(DECIDED)(folder)


CASES = {
    "review": Case(prepare, sending(DECIDED), seen),
    "review undone": Case(prepare_decided, sending(UNDONE), seen),
    "review of a mask taken away": Case(prepare_decided, sending(TAKEN_AWAY), seen),
}
