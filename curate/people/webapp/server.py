"""HTTP server: socket, connection limits, startup message."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import os
import signal
import socket
import sys
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import anyio.to_thread
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from curate.common.clock import SYSTEM, Clock
from curate.common.ranges import check_numbers
from curate.common.stop_signals import STOP_SIGNALS
from curate.dataset.notes import count_noun
from curate.errors import AuditError, CallError, Stopped
from curate.people.queues.missing_proposals import KIND as MISSING
from curate.people.webapp.app import make_application
from curate.people.webapp.closing import describe_access, describe_decisions, find_last_events
from curate.people.webapp.middleware import AllowedHosts, GuardMiddleware
from curate.people.webapp.missing_session import MissingSession
from curate.people.webapp.served_queue import QueueSession
from curate.people.webapp.session import ReviewSession
from curate.people.webapp.startup import ReviewSettings
from curate.people.webapp.tokens import VARIABLE, Tokens, find_token
from curate.store.audit import StoredAudit

FIRST_REQUEST_S = 10.0
"""How long a connection may take to send its first request's head."""


class FirstRequestTimeout(H11Protocol):
    """A connection that is closed where no request comes within :data:`FIRST_REQUEST_S`."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timeout."""
        super().connection_made(transport)
        self.loop.call_later(FIRST_REQUEST_S, self._give_up)

    def _give_up(self) -> None:
        if self.cycle is None and not self.transport.is_closing():
            self.transport.close()


LOOPBACK = ("127.0.0.1", "localhost", "::1")
MAX_CONNECTIONS = 300
"""Connections that are answered at once; more are told to come again."""

_ARENA_MAX = -8
"""glibc's name of the setting, M_ARENA_MAX."""

THREADS = 8
"""Threads that answer; none of them waits for a disk or for another page's picture."""


def serve(
    audit: StoredAudit,
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
    _share_arenas()
    with contextlib.closing(listen(host, port)) as bound:
        tokens, hint = _make_tokens(host, token_file)
        review = open_session(audit, settings)
        try:
            port, since = int(bound.getsockname()[1]), find_last_events(review)
            access = describe_access(host, token=bool(hint))
            try:
                with _silence_interrupt():
                    print(_greeting(review, host, port, f"{access}\n{hint}".strip()), flush=True)
                    if open_page:
                        _open_browser(host, port)
                    _run(review, tokens, host, port, bound)
            finally:
                with contextlib.suppress(AuditError):  # of a file that is not readable any more
                    print(describe_decisions(review, since), flush=True)
        finally:
            review.close()


def open_session(
    audit: StoredAudit, settings: ReviewSettings, clock: Clock = SYSTEM
) -> QueueSession:
    """Return the session of what the settings select: masks, or proposals of missing ones.

    Raises:
        CurateError: There is nothing to show, or a file cannot be used.
    """
    if settings.kind == MISSING:
        return MissingSession(audit, settings, clock)
    return ReviewSession(audit, settings, clock)


def _share_arenas() -> None:
    """Let threads share malloc arenas, where the C library can: a fifth less memory."""
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
    # asyncio sends small packets at once (TCP_NODELAY) only where a socket says that it is TCP's;
    # otherwise a kept connection waits some 40 ms for an acknowledgement at every answer.
    bound = socket.socket(found[0], socket.SOCK_STREAM, socket.IPPROTO_TCP)
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


def _make_tokens(host: str, file: Path | None) -> tuple[Tokens, str]:
    if host in LOOPBACK and file is None and not os.environ.get(VARIABLE):
        return Tokens(""), ""
    token, hint = find_token(file)
    return Tokens(token), hint


def _page_url(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def _greeting(review: QueueSession, host: str, port: int, hint: str) -> str:
    what, total = review.words(), len(review.queue)
    counted = f"{total:,}" if review.kind == MISSING else count_noun(total, "mask")
    done = int(review.assigner.decided.done.sum())
    lines = [
        f"review: {_page_url(host, port)}",
        f"{what}: {counted}, {done:,} done",
    ]
    if unsettled := len(review.assigner.decided.unsettled):
        lines[-1] += f", {unsettled:,} that people have not settled"
    lines += [hint, "decisions are saved as they are made; Ctrl-C ends the review"]
    if not review.views:
        lines.append("there are no pictures: give their folder with --images")
    return "\n".join(lines)


def _open_browser(host: str, port: int) -> None:
    webbrowser.open(_page_url(host, port))


def _run(review: QueueSession, tokens: Tokens, host: str, port: int, bound: socket.socket) -> None:
    server = make_server(review, tokens, host, port)
    serving = run_server(server, bound)
    try:
        with _stop_on_signals(server):
            asyncio.run(serving)
    finally:
        serving.close()  # stopped before it began, it would warn that nobody waits for it


@contextlib.contextmanager
def _stop_on_signals(server: uvicorn.Server) -> Iterator[None]:
    """Have signals stop a server, also while its event loop is only being made.

    A handler that raises would leave half a loop there, which complains when it is destroyed.

    Raises:
        Stopped: At the end, if there was a signal.
    """
    numbers: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        numbers.append(number)
        server.handle_exit(number, frame)

    # An ignored one stays ignored; one that is no handler of Python's (None) cannot be given back.
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    before = {n: own for n, own in before.items() if own not in (signal.SIG_IGN, None)}
    with contextlib.suppress(ValueError):  # only the main thread gets signals
        for number in before:
            signal.signal(number, stop)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            for number, own in before.items():
                signal.signal(number, own)
    if numbers:
        raise Stopped(numbers[0])


def make_server(review: QueueSession, tokens: Tokens, host: str, port: int) -> uvicorn.Server:
    """Return the server of a session, with middleware and limits."""
    config = uvicorn.Config(
        GuardMiddleware(make_application(review, tokens), AllowedHosts(host, port), tokens),
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        lifespan="off",
        http=FirstRequestTimeout,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=3,
        h11_max_incomplete_event_size=16_384,
    )
    return uvicorn.Server(config)


async def run_server(server: uvicorn.Server, bound: socket.socket) -> None:
    """Serve on a socket until the server is stopped."""
    # Each thread has memory of its own that it never gives back.
    anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
    await server.serve(sockets=[bound])


@contextlib.contextmanager
def _silence_interrupt() -> Iterator[None]:
    """End without a traceback on an interrupt."""
    try:
        yield
    except KeyboardInterrupt as stopped:
        said = "stopped; what people decided is kept"
        print(said, file=sys.stderr)
        if isinstance(stopped, Stopped) and stopped.number != signal.SIGINT:
            raise SystemExit(stopped.code) from None  # Ctrl-C is how it is meant to end
