"""Connections to judges: a process that is asked by lines, or an HTTP address.

A judge is a program of somebody else. Nothing that it sends is taken on trust: answers are read up
to :data:`~curate.judges.protocol.MOST_BYTES`, each within its time, and a judge that went wrong is
stopped before it is asked again, so that a late answer never meets another question. No shell runs
a command, and no redirection is followed.
"""

from __future__ import annotations

import hashlib
import http.client
import ipaddress
import os
import queue
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol
from urllib.parse import SplitResult, urlsplit

import orjson

from curate import __version__
from curate.common import files
from curate.errors import CallError, on_one_line, shorten
from curate.judges.protocol import MOST_BYTES, JudgeTrouble, quote_reply

_TAIL = 2_000
"""Bytes that are kept of what a process said last on its standard error."""

_ENDING_S = 1.0
"""Seconds that a process has to end after an answer that is none, so that its end is named too."""

_LEAVE_S = 5.0
"""Seconds that a process has to end once nothing more is asked."""

_READ_BYTES = 1 << 20
"""A file that a command names is part of the judge, up to this size."""


class JudgeConnection(Protocol):
    """A judge that can be asked."""

    def ask(self, request: bytes, seconds: float) -> bytes:
        """Send a request and return the answer, unread.

        Raises:
            JudgeTrouble: None came in time, or too long a one; stop it before it is asked again.
        """

    def describe_end(self) -> str:
        """Return a clause with how it ended and what it said last; "" where nothing is known."""

    def stop(self) -> None:
        """Stop at once; the next request starts anew."""

    def close(self) -> None:
        """End in good order."""


@dataclass(frozen=True)
class JudgeAddress:
    """A judge as it was named.

    Attributes:
        command: An argument list; empty for an address.
        url: An HTTP address; "" for a command.
    """

    command: tuple[str, ...] = ()
    url: str = ""

    @property
    def name(self) -> str:
        """The judge for people, without what may be secret: the query of an address."""
        if self.command:
            return shorten(on_one_line(shlex.join(self.command)), 200)
        parts = urlsplit(self.url)
        return shorten(on_one_line(f"{parts.scheme}://{parts.netloc}{parts.path}"), 200)

    @property
    def place(self) -> str:
        """Where what is sent goes."""
        if self.command:
            return f"the process `{self.name}` on this machine"
        where = "this machine" if _is_loopback(urlsplit(self.url)) else "ANOTHER MACHINE"
        return f"{self.name} ({where})"

    def fingerprint(self) -> str:
        """Return a hash that tells this judge from others.

        Of a command: its arguments, and the content of the files that they name (up to 1 MB each):
        a script that was changed is another judge. Of an address: the address.
        """
        digest = hashlib.blake2b(orjson.dumps([list(self.command), self.url]), digest_size=16)
        for word in self.command:
            with suppress(OSError, ValueError), files.open_to_read(Path(word)) as file:
                content = file.read(_READ_BYTES + 1)
                digest.update(content if len(content) <= _READ_BYTES else b"")
        return digest.hexdigest()

    def connect(self) -> JudgeConnection:
        """Return a connection; a process begins with the first request."""
        if self.command:
            return JudgeProcess(self.command)
        return JudgeEndpoint(self.url)


def find_judge_address(judge: str | Sequence[str], *, remote: bool = False) -> JudgeAddress:
    """Check how a judge is named.

    Args:
        judge: An argument list, or an HTTP address.
        remote: Whether the address may be of another machine.

    Raises:
        CallError: There is no such program, or the address is none that may be asked.
    """
    if isinstance(judge, str):
        return JudgeAddress(url=_check_url(judge, remote))
    words = [str(word) for word in judge]
    if not words or not words[0]:
        raise CallError("no program is named", "--with", 'give a command: --with "python judge.py"')
    if any("\0" in word for word in words):
        raise CallError("an argument holds a zero byte", "--with")
    if shutil.which(words[0]) is None:
        raise CallError(f"there is no program {words[0]}", "--with", "check the path")
    return JudgeAddress(tuple(words))


def _check_url(url: str, remote: bool) -> str:
    do = "give http://HOST:PORT/PATH, or a command as a list of arguments"
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise CallError(f"it is no address ({error})", url, do) from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise CallError("it is no HTTP address", url, do)
    if not url.isascii() or not url.isprintable() or " " in url:
        raise CallError("an address has other characters than ASCII", url, "escape them with %")
    if "@" in parts.netloc:
        raise CallError("the address holds a user's name", parts.hostname, "leave it out")
    if not remote and not _is_loopback(parts):
        what = "it is an address of another machine, and pictures would be sent there"
        raise CallError(what, parts.hostname, "if that is meant, give --remote")
    return url


def _is_loopback(parts: SplitResult) -> bool:
    host = parts.hostname or ""
    if host == "localhost":
        return True
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


def _ask_within(seconds: float, ask: Callable[[], bytes], stop: Callable[[], None]) -> bytes:
    """Run an exchange in a thread of its own, and stop it where it takes too long.

    Raises:
        JudgeTrouble: It took too long, or did not work.
    """
    replies: queue.SimpleQueue[bytes | Exception] = queue.SimpleQueue()

    def exchange() -> None:
        try:
            replies.put(ask())
        except Exception as error:  # whatever it is, it is said where it was asked for
            replies.put(error)

    threading.Thread(target=exchange, daemon=True).start()
    found: bytes | Exception
    try:
        found = replies.get(timeout=seconds)
    except queue.Empty:
        stop()
        found = TimeoutError()
    # A connection has the same limit, and may be the first to notice; an errno is the system's own.
    if isinstance(found, TimeoutError) and found.errno is None:
        raise JudgeTrouble(f"it did not answer within {seconds:g} s") from None
    if isinstance(found, JudgeTrouble | CallError):
        raise found
    if isinstance(found, Exception):
        raise JudgeTrouble(f"it broke off ({_reason(found)})") from found
    if len(found) > MOST_BYTES:
        what = f"it answered more than {MOST_BYTES >> 20} MB, which begin {quote_reply(found)}"
        raise JudgeTrouble(what)
    return found


def _reason(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return shorten(on_one_line(str(text).lower()), 120)


class JudgeProcess:
    """A judge that reads requests from its standard input and writes answers to its output.

    Args:
        command: The argument list.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._command = tuple(command)
        self._process: subprocess.Popen[bytes] | None = None
        self._tail = b""
        self._listener: threading.Thread | None = None
        self._writer: threading.Thread | None = None

    def ask(self, request: bytes, seconds: float) -> bytes:
        """Write a line, and read one; see :meth:`JudgeConnection.ask`."""
        process = self._process or self._start()
        assert process.stdin
        assert process.stdout
        into, out = process.stdin, process.stdout

        def write() -> None:
            with suppress(OSError, ValueError):  # it ended: what it said is read
                into.write(request + b"\n")
                into.flush()

        before = self._writer
        writer = threading.Thread(target=write, daemon=True)
        self._writer = writer

        def exchange() -> bytes:
            if before is not None:
                before.join()
            # What it says is read meanwhile: it may say more than a pipe holds, and read nothing.
            writer.start()
            reply: bytes = out.readline(MOST_BYTES + 1)
            if not reply:
                raise JudgeTrouble("it ended its output without an answer")
            return reply

        return _ask_within(seconds, exchange, self.stop)

    def _start(self) -> subprocess.Popen[bytes]:
        try:
            process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,  # it is stopped with all that it has started
            )
        except OSError as error:
            what = f"the program cannot be run ({_reason(error)})"
            raise CallError(what, self._command[0], "check that it runs by itself") from error
        self._process, self._tail, self._writer = process, b"", None
        self._listener = threading.Thread(target=self._listen, args=(process.stderr,), daemon=True)
        self._listener.start()
        return process

    def _listen(self, stream: IO[bytes]) -> None:
        """Keep the last of what it says on its standard error."""
        with suppress(OSError, ValueError):
            while piece := os.read(stream.fileno(), 65_536):
                self._tail = (self._tail + piece)[-_TAIL:]

    def describe_end(self) -> str:
        """Wait a moment for its end, and name it; see :meth:`JudgeConnection.describe_end`."""
        process, said = self._process, []
        if process is not None:  # else it took too long, and was killed
            with suppress(subprocess.TimeoutExpired):
                process.wait(_ENDING_S)
            if process.returncode is not None:
                said.append(f"the process ended with code {process.returncode}")
                if self._listener:
                    self._listener.join(_ENDING_S)
        last = self._tail.decode("utf-8", "backslashreplace").strip().rpartition("\n")[2]
        if last.strip():
            said.append(f"it said last: {shorten(on_one_line(last.strip()), 200)}")
        return "; ".join(said)

    def stop(self) -> None:
        """Kill it, with what it has started."""
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(OSError):
            if sys.platform == "win32":
                process.kill()
            else:
                os.killpg(process.pid, signal.SIGKILL)
        self._release(process)

    def close(self) -> None:
        """Close its input, and wait a little for it to end."""
        process = self._process
        if process is None:
            return
        if self._writer:
            self._writer.join(_LEAVE_S)  # it answered before it had read everything
        if not (self._writer and self._writer.is_alive()):
            with suppress(OSError, ValueError):
                assert process.stdin
                process.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_LEAVE_S)
        self.stop()

    def _release(self, process: subprocess.Popen[bytes]) -> None:
        with suppress(subprocess.TimeoutExpired):
            process.wait(_LEAVE_S)
        # Closing waits for whoever reads, which ends with the process, unless another one that
        # it has started, and that left its group, holds the other end.
        closing = threading.Thread(target=_close_streams, args=(process,), daemon=True)
        closing.start()
        closing.join(_LEAVE_S)


def _close_streams(process: subprocess.Popen[bytes]) -> None:
    for stream in (process.stdin, process.stdout, process.stderr):
        with suppress(OSError, ValueError):
            assert stream
            stream.close()


class JudgeEndpoint:
    """A judge behind an HTTP address.

    Args:
        url: The address.
    """

    def __init__(self, url: str) -> None:
        self._url = urlsplit(url)
        self._socket: socket.socket | None = None

    def ask(self, request: bytes, seconds: float) -> bytes:
        """Post a request, by a connection of its own; see :meth:`JudgeConnection.ask`."""
        assert self._url.hostname
        port = self._url.port
        if self._url.scheme == "https":
            secure = ssl.create_default_context()
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                self._url.hostname, port, timeout=seconds, context=secure
            )
        else:
            connection = http.client.HTTPConnection(self._url.hostname, port, timeout=seconds)
        try:
            return _ask_within(seconds, lambda: self._post(connection, request), self.stop)
        finally:
            connection.close()

    def _post(self, connection: http.client.HTTPConnection, request: bytes) -> bytes:
        path = self._url.path or "/"
        path += f"?{self._url.query}" if self._url.query else ""
        headers = {"Content-Type": "application/json", "User-Agent": f"curate/{__version__}"}
        connection.connect()
        self._socket = connection.sock
        connection.request("POST", path, request, headers)
        with connection.getresponse() as response:
            if 300 <= response.status < 400:
                there = str(response.getheader("Location", "nowhere"))
                what = f"the address redirects to {shorten(there, 120)}, which is not followed"
                do = "give the address that answers itself"
                raise CallError(what, self._url.hostname or "", do)
            reply = response.read(MOST_BYTES + 1)
        if response.status != 200:
            raise JudgeTrouble(f"it answered with HTTP {response.status}: {quote_reply(reply)}")
        return reply

    def describe_end(self) -> str:
        """Return "": nothing is known of a program behind an address."""
        return ""

    def stop(self) -> None:
        """Break the connection off, so that whoever reads from it ends."""
        opened, self._socket = self._socket, None
        if opened is not None:
            with suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Do nothing: each request has a connection of its own."""
