"""Listening: the socket, the server's limits, and what is printed."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from uvicorn.protocols.http.h11_impl import H11Protocol

from curate.common.ranges import check_numbers
from curate.dataset.notes import count_noun
from curate.errors import CallError, Stopped
from curate.people.webapp.session import Desk
from curate.people.webapp.startup import ReviewSettings
from curate.people.webapp.tokens import VARIABLE, Tokens, find_token
from curate.store.audit import Audit

if TYPE_CHECKING:
    import uvicorn


FIRST_REQUEST_S = 10.0
"""How long a connection may take to send its first request's head."""


class Impatient(H11Protocol):
    """A connection that has to ask something soon."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock."""
        super().connection_made(transport)
        self.loop.call_later(FIRST_REQUEST_S, self._give_up)

    def _give_up(self) -> None:
        if self.cycle is None and not self.transport.is_closing():
            self.transport.close()


LOCAL = ("127.0.0.1", "localhost", "::1")
MOST_AT_ONCE = 300
"""Connections that are answered at once; more are told to come again."""

_ARENA_MAX = -8
"""glibc's name of the setting, M_ARENA_MAX."""

THREADS = 8
"""Threads that answer; none of them waits for a disk or for another page's picture."""


def serve(
    audit: Audit,
    settings: ReviewSettings,
    *,
    host: str = "127.0.0.1",
    port: int = 8765,
    token_file: Path | None = None,
    open_page: bool = False,
) -> None:
    """Serve the review page until the process is stopped.

    Args:
        audit: The audit.
        settings: What is shown.
        host: The address to listen on; any but this machine's own loop demands a token.
        port: The port; 0 takes any free one.
        token_file: A file that holds the token.
        open_page: Open the page in a browser.

    Raises:
        CurateError: The port is taken, there is nothing to show, or a file cannot be used.
    """
    _share_memory()
    with contextlib.closing(listen(host, port)) as bound:
        tokens, told = _tokens(host, token_file)
        desk = Desk(audit, settings)
        try:
            port = int(bound.getsockname()[1])
            print(_greeting(desk, host, port, told), flush=True)
            if open_page:
                _open(host, port)
            _run(desk, tokens, host, port, bound)
        finally:
            desk.close()


def _share_memory() -> None:
    """Let threads share what they allocate from, where the C library can: a fifth less memory."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_ARENA_MAX, 2)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that is bound.

    Raises:
        CallError: The port is taken, or there is no such address here.
    """
    check_numbers(port=port)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise CallError(
            f"there is no address {host}", "--host", "give one of this machine's"
        ) from (error)
    bound = socket.socket(found[0], socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(found[4])
        bound.listen(128)
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRINUSE:
            what, do = f"the port {port} is in use", "choose another with --port, or 0 for any"
        elif error.errno == errno.EACCES:
            what, do = f"the port {port} is not ours to take", "choose one from 1024 on"
        else:
            what, do = f"it cannot listen on {host}", "give an address of this machine"
        raise CallError(what, "curate review", do) from error
    return bound


def _tokens(host: str, file: Path | None) -> tuple[Tokens, str]:
    if host in LOCAL and file is None and not os.environ.get(VARIABLE):
        return Tokens(""), ""
    token, told = find_token(file)
    return Tokens(token), told


def _address(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def _greeting(desk: Desk, host: str, port: int, told: str) -> str:
    queue = desk.queue
    what = "the ranking" if queue.draw_id is None else f"draw {queue.draw_id} ({queue.kind})"
    done = int(desk.dealer.decided.done.sum())
    lines = [
        f"review: {_address(host, port)}",
        f"{what}: {count_noun(len(queue), 'mask')}, {done:,} done",
    ]
    if unsettled := len(desk.dealer.decided.unsettled):
        lines[-1] += f", {unsettled:,} that people have not settled"
    if told:
        lines.append(told)
    if not desk.views:
        lines.append("there are no pictures: give their folder with --images")
    return "\n".join(lines)


def _open(host: str, port: int) -> None:
    import webbrowser

    webbrowser.open(_address(host, port))


def _run(desk: Desk, tokens: Tokens, host: str, port: int, bound: socket.socket) -> None:
    with _quiet():
        asyncio.run(answer(web_server(desk, tokens, host, port), bound))


def web_server(desk: Desk, tokens: Tokens, host: str, port: int) -> uvicorn.Server:
    """Return the server that answers for a desk, with its guard and its limits."""
    import uvicorn

    from curate.people.webapp.app import application
    from curate.people.webapp.middleware import Addresses, Guard
    from curate.people.webapp.server import Impatient

    config = uvicorn.Config(
        Guard(application(desk, tokens), Addresses(host, port), tokens),
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        lifespan="off",
        http=Impatient,
        limit_concurrency=MOST_AT_ONCE,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=3,
        h11_max_incomplete_event_size=16_384,
    )
    return uvicorn.Server(config)


async def answer(server: uvicorn.Server, bound: socket.socket) -> None:
    """Answer on a socket until the server is told to stop."""
    import anyio.to_thread

    # Each thread has memory of its own that it never gives back.
    anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
    await server.serve(sockets=[bound])


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """End without a traceback when somebody stops the server."""
    try:
        yield
    except KeyboardInterrupt as stopped:
        said = "stopped; what people decided is kept, and `curate write` writes the dataset so"
        print(said, file=sys.stderr)
        if isinstance(stopped, Stopped) and stopped.number != signal.SIGINT:
            raise SystemExit(stopped.code) from None  # Ctrl-C is how it is meant to end
