"""The real review server in a process of its own, asked over HTTP as its page asks."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any


class Server:
    """``curate review`` on a port of its own, which it takes again after it was killed."""

    def __init__(self, audit: Path) -> None:
        self.audit, self.port = audit, 0
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it, and return when it has printed its address."""
        command = [sys.executable, "-m", "curate", "review", str(self.audit), "--no-open"]
        self.process = subprocess.Popen(
            [*command, "--port", str(self.port)], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        self.port = int(line.rstrip("/ \n").rpartition(":")[2])

    def kill(self) -> None:
        """End it as a power cut would."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()

    def memory(self) -> dict[str, float]:
        """Return the process's memory in MB: now, and at its peak."""
        assert self.process is not None
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        found = dict(line.split(":", 1) for line in lines)
        return {key: int(found[name].split()[0]) / 1024 for key, name in NAMES.items()}

    def processor_s(self) -> float:
        """Return the processor time that the process has taken, in seconds."""
        assert self.process is not None
        stat = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")


NAMES = {"now": "VmRSS", "peak": "VmHWM"}


class Page:
    """One page of a person."""

    def __init__(self, server: Server, reviewer: str) -> None:
        self.server, self.reviewer = server, reviewer
        self.client, self.queue = str(uuid.uuid4()), ""
        self._connection: http.client.HTTPConnection | None = None

    def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """Send a request; any answer but 200 raises an OSError, as no answer does."""
        if self._connection is None:
            self._connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)
        head = {"Host": f"127.0.0.1:{self.server.port}"}
        head["Origin"] = f"http://127.0.0.1:{self.server.port}"
        if body is not None:
            head["Content-Type"] = "application/json"
            self.queue = self.queue or str(self.ask("/api/about")["queue"])
            who = {"client": self.client, "reviewer": self.reviewer, "queue": self.queue}
            body = who | body
        raw = None if body is None else json.dumps(body)
        try:
            self._connection.request("GET" if raw is None else "POST", path, raw, head)
            answer = self._connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            self._connection = None
            raise OSError(str(error)) from error
        if answer.status != 200:
            raise OSError(f"{answer.status}: {content[:200]!r}")
        return json.loads(content)

    def next(self, count: int, holding: list[str]) -> list[dict[str, Any]]:
        """Return the next cards."""
        return list(self.ask("/api/next", {"count": count, "holding": holding})["cards"])

    def send(self, events: list[dict[str, Any]]) -> Any:
        """Send events."""
        return self.ask("/api/events", {"now": now(), "events": events})


def decision(item: str, action: str) -> dict[str, Any]:
    """Return what a page sends of a decision."""
    made = {"type": "decide", "key": str(uuid.uuid4()), "at": now()}
    return made | {"item": item, "action": action, "seconds": 1.0}


def withdrawal(made: dict[str, Any]) -> dict[str, Any]:
    """Return what a page sends to take a decision back."""
    key = str(uuid.uuid4())
    return {"type": "withdraw", "key": key, "at": now(), "of": made["key"], "item": made["item"]}


def now() -> int:
    """Return the time in milliseconds."""
    return int(1000 * time.time())
