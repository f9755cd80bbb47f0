"""A real Label Studio, installed in an environment of its own, started on this machine."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from waiting import until

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(os.environ.get("LABEL_STUDIO", ROOT / ".venv-label-studio" / "bin" / "label-studio"))
"""Where ``make test-tools`` installs it."""

USER, PASSWORD = "ann@example.com", "a-password-for-tests"
_START_SECONDS = 240


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes:
        url: Its address.
        token: What its API asks for.
    """

    url: str
    token: str

    def call(self, path: str, value: Any = None, method: str | None = None) -> Any:
        """Send JSON, or get something, and return what is answered."""
        body = None if value is None else json.dumps(value).encode()
        return self._send(path, body, "application/json", method)

    def upload(self, path: str, file: Path) -> Any:
        """Send a file as a form does."""
        edge = uuid.uuid4().hex
        head = (
            f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="{file.name}"\r\n'
        )
        kind = "Content-Type: application/json\r\n\r\n"
        body = f"{head}{kind}".encode() + file.read_bytes() + f"\r\n--{edge}--\r\n".encode()
        return self._send(path, body, f"multipart/form-data; boundary={edge}", "POST")

    def get(self, path: str) -> bytes:
        """Return the bytes at an address."""
        request = urllib.request.Request(self.url + path, headers=self._headers())
        with urllib.request.urlopen(request, timeout=60) as answer:
            return bytes(answer.read())

    def project(self, folder: Path) -> int:
        """Make a project of a folder that the writer made; return its number."""
        made = self.call(
            "/api/projects",
            {"title": folder.name[:50], "label_config": (folder / "config.xml").read_text()},
        )
        number = int(made["id"])
        storage = {"project": number, "path": str(folder / "images"), "use_blob_urls": True}
        self.call("/api/storages/localfiles", storage)
        self.upload(f"/api/projects/{number}/import", folder / "tasks.json")
        return number

    def tasks(self, project: int) -> list[Any]:
        """Return a project's tasks with their predictions, in the order of their numbers."""
        found = self.call(f"/api/tasks?project={project}&fields=all&page_size=500")
        return sorted(found["tasks"], key=lambda task: int(task["id"]))

    def export(self, project: int, target: Path, kind: str = "JSON") -> Path:
        """Save a project's export."""
        target.write_bytes(self.get(f"/api/projects/{project}/export?exportType={kind}"))
        return target

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Token {self.token}"}

    def _send(self, path: str, body: bytes | None, kind: str, method: str | None) -> Any:
        headers = self._headers() | ({} if body is None else {"Content-Type": kind})
        request = urllib.request.Request(self.url + path, body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path}: {error.code} {error.read()[:2000]!r}") from error


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def running(data: Path, files: Path) -> Iterator[Server]:
    """Start a server whose database is new, and stop it at the end.

    Args:
        data: An empty folder for its database.
        files: The folder whose files it may show.
    """
    server = Server(f"http://127.0.0.1:{_free_port()}", secrets.token_hex(20))
    command = [str(PROGRAM), "start", "--no-browser", "--internal-host", "127.0.0.1"]
    command += ["--port", server.url.rpartition(":")[2], "--data-dir", str(data)]
    command += ["--username", USER, "--password", PASSWORD]
    command += ["--user-token", server.token, "--enable-legacy-api-token"]
    quiet = {"COLLECT_ANALYTICS": "0", "LATEST_VERSION_CHECK": "0", "FRONTEND_SENTRY_DSN": ""}
    serving = {
        "LABEL_STUDIO_BASE_DATA_DIR": str(data),
        "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED": "true",
        "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT": str(files),
        "SENTRY_DSN": "",
    }
    with (data / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **quiet, **serving},
            start_new_session=True,
        )
        try:
            _wait(server, process, data / "server.log")
            yield server
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)


def _wait(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    def answers() -> bool:
        if process.poll() is not None:
            raise TimeoutError
        try:
            server.call("/api/projects")
        except (OSError, AssertionError):
            return False
        return True

    try:
        until(answers, "Label Studio to start", _START_SECONDS)
    except TimeoutError:
        said = log.read_text()[-2000:]
        raise AssertionError(f"Label Studio did not start: {said}") from None
