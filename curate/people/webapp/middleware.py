"""What stands before the application: who may ask it anything, from where, and how much."""

from __future__ import annotations

import ipaddress
import socket
import sys
import traceback
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from functools import cache
from http.cookies import CookieError, SimpleCookie
from typing import Any

import orjson

from curate.people.webapp.tokens import COOKIE, Tokens

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

MOST_BYTES = 8_000_000
"""Largest body of a request."""

LOCAL = ("127.0.0.1", "localhost", "[::1]")
EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - names them, binds nothing
WENT_WRONG = "this went wrong on the server; its terminal says why"
OPEN = ("/api/session",)
"""Addresses under /api that answer before somebody has signed in."""

HEADERS = (
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
        b"connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
)


class TooLarge(Exception):
    """A body is larger than :data:`MOST_BYTES`."""


@dataclass(frozen=True)
class Addresses:
    """Which Host headers are ours: a page of another name could be anybody's (DNS rebinding).

    Attributes:
        host: The address that the server listens on.
        port: Its port.
    """

    host: str
    port: int

    def has(self, host: str) -> bool:
        """Whether a Host header is one of ours."""
        name, port = _split(host.lower())
        if port != self.port:
            return False
        if name in LOCAL or name == _bracketed(self.host.lower()):
            return True
        # Listening everywhere: an address, which nobody can rebind, or this machine's own name.
        return self.host in EVERYWHERE and (_is_ip(name) or name in _own_names())


@cache
def _own_names() -> frozenset[str]:
    """Return what this machine is called; asked once, since the answer may come from a network."""
    return frozenset({socket.gethostname().lower(), socket.getfqdn().lower()})


def _split(host: str) -> tuple[str, int]:
    name, colon, port = host.rpartition(":")
    if not colon or host.endswith("]"):
        return host, 80
    return name, int(port) if port.isascii() and port.isdecimal() and len(port) < 6 else -1


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _is_ip(name: str) -> bool:
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


class Guard:
    """Refuses what no page of ours would ask, and sees to the headers of every answer.

    Args:
        application: What answers the rest.
        addresses: Which Host headers are ours.
        tokens: Who may ask.
        most_bytes: Largest body.
    """

    def __init__(
        self,
        application: Application,
        addresses: Addresses,
        tokens: Tokens,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self.application, self.addresses, self.tokens = application, addresses, tokens
        self.most_bytes = most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":  # no web sockets
            return
        started = False

        async def sending(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [*message.get("headers", ()), *_headers(scope)]
            await send(message)

        refusal = self._refusal(scope)
        if refusal is not None:
            await _answer(sending, *refusal)
            return
        try:
            await self.application(scope, self._counted(receive), sending)
        except TooLarge:
            if not started:
                await _answer(sending, 413, "the request is too large")
        except Exception as error:
            tell(error)
            if not started:
                await _answer(sending, 500, WENT_WRONG)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Return status and sentence for a request that is not answered."""
        headers = _Headers(scope["headers"])
        if not self.addresses.has(headers.only("host")):
            return 421, "this server is not called that; use the address that it printed"
        method, path = scope["method"], scope["path"]
        if method not in ("GET", "HEAD", "POST"):
            return 405, "there is no such method"
        is_api = path == "/api" or path.startswith("/api/")
        site = headers.only("sec-fetch-site")
        if (is_api or method == "POST") and site not in ("", "same-origin", "none"):
            return 403, "another site's page may not ask this"
        if method == "POST":
            if headers.only("origin") != f"http://{headers.only('host').lower()}":
                return 403, "only this server's own page may change anything"
            if headers.only("content-type").partition(";")[0].strip() != "application/json":
                return 415, "the request is no JSON"
        if not _is_short(headers.only("content-length"), self.most_bytes):
            return 413, "the request is too large"
        if is_api and path not in OPEN and not self.tokens.is_good(_cookie(headers)):
            return 401, "sign in first"
        return None

    def _counted(self, receive: Receive) -> Receive:
        """Count a body while it is read: what it says of its length may be false, or missing."""
        taken = 0

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self.most_bytes:
                raise TooLarge
            return message

        return counted


class _Headers:
    def __init__(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self._all = [(name.lower(), value) for name, value in headers]

    def only(self, name: str) -> str:
        """Return a header; one that stands there twice says nothing that can be trusted."""
        found = [value for own, value in self._all if own == name.encode()]
        if len(found) != 1:
            return "" if not found else "twice"
        return found[0].decode("latin-1").strip()


def _is_short(length: str, most: int) -> bool:
    if not length:
        return True
    return length.isascii() and length.isdecimal() and len(length) < 19 and int(length) <= most


def _cookie(headers: _Headers) -> str:
    try:
        found = SimpleCookie(headers.only("cookie")).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""


def _headers(scope: Scope) -> list[tuple[bytes, bytes]]:
    kept = scope.get("curate.cached", False)
    own = [] if kept else [(b"cache-control", b"no-store")]
    return [*HEADERS, *own]


async def _answer(send: Send, status: int, sentence: str) -> None:
    body = orjson.dumps({"error": sentence})
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def tell(error: BaseException) -> None:
    """Print where an error arose, without what it said: that may hold names from the data."""
    places = traceback.extract_tb(error.__traceback__)[-4:]
    where = " < ".join(f"{p.name}:{p.lineno}" for p in reversed(places))
    print(f"error: {type(error).__name__} in {where}", file=sys.stderr, flush=True)
