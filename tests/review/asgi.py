"""The server without a socket: its application is asked directly, on an audit and by a clock."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from curate.common.clock import SYSTEM, Clock
from curate.people.webapp.app import make_application
from curate.people.webapp.middleware import AllowedHosts, GuardMiddleware
from curate.people.webapp.server import open_session
from curate.people.webapp.startup import ReviewSettings
from curate.people.webapp.tokens import Tokens
from curate.store.audit import StoredAudit

HOST = "127.0.0.1:8765"
HEADERS = [
    (b"host", HOST.encode()),
    (b"origin", f"http://{HOST}".encode()),
    (b"content-type", b"application/json"),
]


class App:
    """One server's application with all that stands behind it."""

    def __init__(self, audit: StoredAudit, clock: Clock = SYSTEM, **settings: Any) -> None:
        self.review = open_session(audit, ReviewSettings(**settings), clock)
        tokens = Tokens("", clock)
        self._app = GuardMiddleware(
            make_application(self.review, tokens), AllowedHosts("127.0.0.1", 8765), tokens
        )
        self._loop = asyncio.new_event_loop()
        self._thread = ThreadPoolExecutor(1)  # a browser's loop may be running in this one

    def ask(self, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
        """Return the status and the JSON of an answer; a body makes it a POST."""
        scope = {
            "type": "http",
            "method": "GET" if body is None else "POST",
            "path": path,
            "query_string": b"",
            "headers": HEADERS,
        }
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": json.dumps(body).encode()}

        async def send(message: Any) -> None:
            sent.append(message)

        answer = self._app(scope, receive, send)
        self._thread.submit(self._loop.run_until_complete, answer).result()
        return sent[0]["status"], json.loads(b"".join(m.get("body", b"") for m in sent[1:]))

    def close(self) -> None:
        """Let go of everything."""
        self.review.close()
        self._thread.shutdown()
        self._loop.close()


class Tab:
    """A page of a person: what it says in every request, and the time by its own clock."""

    def __init__(self, app: App, reviewer: str, now_ms: Callable[[], int]) -> None:
        self.app, self.reviewer, self.now_ms = app, reviewer, now_ms
        self.client = str(uuid.uuid4())

    def ask(self, path: str, **body: Any) -> tuple[int, dict[str, Any]]:
        """Send a request as the page would."""
        who = {"client": self.client, "reviewer": self.reviewer, "queue": self.app.review.name}
        return self.app.ask(path, who | body)

    def next(self, count: int = 1, holding: list[str] | None = None) -> list[str]:
        """Return the items that it is given."""
        status, answer = self.ask("/api/next", count=count, holding=holding or [])
        assert status == 200, answer
        return [card["item"] for card in answer["cards"]]

    def event(self, kind: str, **more: Any) -> dict[str, Any]:
        """Return an event that was made now."""
        return {"type": kind, "key": str(uuid.uuid4()), "at": self.now_ms()} | more

    def decide(self, item: str, action: str = "accept") -> dict[str, Any]:
        """Return a decision that was made now."""
        return self.event("decide", item=item, action=action, seconds=1.0)

    def send(self, *events: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Send events; return the status and what is answered."""
        return self.ask("/api/events", now=self.now_ms(), events=list(events))
