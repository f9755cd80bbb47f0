"""The real server, in a process or in a thread, and a client that behaves as the page does."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from curate.people.reviews.current_plan import open_audit
from curate.people.webapp.server import listen, make_server, open_session, run_server
from curate.people.webapp.startup import ReviewSettings
from curate.people.webapp.tokens import VARIABLE, Tokens


class Server:
    """``curate review`` on a free port; after :meth:`kill`, :meth:`start` takes the same port."""

    def __init__(self, audit: Path, *options: str, env: dict[str, str] | None = None) -> None:
        self.audit, self.options, self.port = audit, options, 0
        self.env = os.environ | {"XDG_STATE_HOME": str(audit.parent / "state")} | (env or {})
        self.process: subprocess.Popen[str] | None = None
        self.printed: list[str] = []

    def start(self) -> Server:
        command = [sys.executable, "-m", "curate", "review", str(self.audit), "--no-open"]
        self.process = subprocess.Popen(
            [*command, "--port", str(self.port), *self.options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self.env,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line.startswith("review: "):
            raise RuntimeError(line + self.process.stdout.read())
        self.printed.append(line)
        self.port = int(line.rstrip("/ \n").rpartition(":")[2])
        self._reader = threading.Thread(target=self._read, args=(self.process.stdout,), daemon=True)
        self._reader.start()
        return self

    def _read(self, lines: Any) -> None:
        self.printed.extend(lines)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def kill(self) -> None:
        """End the process as a power cut would."""
        self._end(signal.SIGKILL)

    def stop(self) -> str:
        """End the process as Ctrl-C does, and return all that it printed."""
        return self._end(signal.SIGINT)

    def _end(self, how: signal.Signals) -> str:
        if self.process is None:
            return ""
        self.process.send_signal(how)
        self.process.wait(timeout=120)
        self._reader.join(timeout=120)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.process = None
        return "".join(self.printed)


class Hosted(Server):
    """The same server in a thread of this process: it is there at once, and cannot be killed."""

    def start(self) -> Hosted:
        given = dict(zip(self.options[::2], self.options[1::2], strict=True))
        draw = given.pop("--draw", None)
        settings = ReviewSettings(
            given.pop("--kind", None),
            None if draw is None else int(draw),
            given.pop("--reviewer", ""),
        )
        assert not given
        bound = listen("127.0.0.1", self.port)
        self.port = int(bound.getsockname()[1])
        self._desk = open_session(open_audit(self.audit), settings)
        tokens = Tokens(self.env.get(VARIABLE, ""))
        self._http = make_server(self._desk, tokens, "127.0.0.1", self.port)
        self._thread = threading.Thread(target=asyncio.run, args=[run_server(self._http, bound)])
        self._thread.start()
        return self

    def kill(self) -> None:
        """Stop answering, at once."""
        self._http.should_exit = self._http.force_exit = True
        self._thread.join(timeout=120)
        self._desk.close()


class Client:
    """One page: asks for masks, decides, sends again what was not answered."""

    def __init__(self, server: Server, reviewer: str = "A") -> None:
        self.server, self.reviewer = server, reviewer
        self.client = str(uuid.uuid4())
        self.cookie = ""
        self.queue = ""
        self.given: list[str] = []

    def ask(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Send a request as our own page would; headers replace its own, "" leaves one out."""
        own = {"Host": f"127.0.0.1:{self.server.port}"}
        if method != "GET":
            own |= {"Origin": self.server.url, "Content-Type": "application/json"}
        if self.cookie:
            own["Cookie"] = self.cookie
        own |= {name.replace("_", "-"): value for name, value in headers.items()}
        raw = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=120)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            if raw is not None and "Content-Length" not in own:
                own["Content-Length"] = str(len(raw))
            for name, value in own.items():
                if value:
                    connection.putheader(name, value)
            connection.endheaders()
            if raw is not None:
                connection.send(raw)
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def get(self, path: str) -> Any:
        status, _, body = self.ask("GET", path)
        assert status == 200, body
        return json.loads(body)

    def post(self, path: str, **body: Any) -> Any:
        status, _, answer = self.ask("POST", path, body)
        assert status == 200, answer
        return json.loads(answer)

    def who(self) -> dict[str, str]:
        """Return what every request of a page says of itself."""
        self.queue = self.queue or self.get("/api/about")["queue"]
        return {"client": self.client, "reviewer": self.reviewer, "queue": self.queue}

    def next(self, count: int = 1, holding: list[str] | None = None, **more: Any) -> Any:
        body = self.who() | {"count": count}
        answer = self.post("/api/next", **body, holding=holding or [], **more)
        self.given += [card["item"] for card in answer["cards"]]
        return answer

    def send(self, *events: dict[str, Any]) -> Any:
        body = self.who() | {"now": now_ms()}
        return self.post("/api/events", **body, events=list(events))

    def decide(self, item: str, action: str = "accept", **more: Any) -> dict[str, Any]:
        return event("decide", item=item, action=action, **{"seconds": 1.5} | more)


def event(kind: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "key": str(uuid.uuid4()), "at": now_ms(), **more}


def now_ms() -> int:
    return int(1000 * time.time())


Serve = Callable[..., Server]
"""Starts servers that end with the test; see the fixture ``serve``."""


def servers_on(audit: Path, kind: type[Server] = Server) -> Iterator[Serve]:
    """Give a fixture what starts servers on an audit; they end with the test."""
    started: list[Server] = []

    def start(*options: str, **more: dict[str, str]) -> Server:
        started.append(kind(audit, *options, **more).start())
        return started[-1]

    yield start
    for server in started:
        server.kill()
