"""ASGI middleware: host and origin checks, token authentication, body limits."""

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

MAX_BODY_BYTES = 8_000_000
"""Largest body of a request."""

LOCAL_HOSTS = ("127.0.0.1", "localhost", "[::1]")
ANY_HOST = ("0.0.0.0", "::")  # noqa: S104 - names them, binds nothing
SERVER_ERROR = "this went wrong on the server; its terminal says why"
OPEN_PATHS = ("/api/session",)
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


class BodyTooLarge(Exception):
    """A body is larger than :data:`MAX_BODY_BYTES`."""


@dataclass(frozen=True)
class AllowedHosts:
    """Host headers that are accepted: any other name may be DNS rebinding.

    Attributes:
        host: The address that the server listens on.
        port: Its port.
    """

    host: str
    port: int

    def has(self, host: str) -> bool:
        """Whether a Host header is accepted."""
        name, port = _split_host(host.lower())
        if port != self.port:
            return False
        if name in LOCAL_HOSTS or name == _bracket_ipv6(self.host.lower()):
            return True
        # Listening everywhere: an address, which nobody can rebind, or this machine's own name.
        return self.host in ANY_HOST and (_is_ip(name) or name in _find_own_names())


@cache
def _find_own_names() -> frozenset[str]:
    """Return this machine's names; asked once, since the answer may come from a network."""
    return frozenset({socket.gethostname().lower(), socket.getfqdn().lower()})


def _split_host(host: str) -> tuple[str, int]:
    name, colon, port = host.rpartition(":")
    if not colon or host.endswith("]"):
        return host, 80
    return name, int(port) if port.isascii() and port.isdecimal() and len(port) < 6 else -1


def _bracket_ipv6(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _is_ip(name: str) -> bool:
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


class GuardMiddleware:
    """Refuses requests that the page would not send, and sets security headers on every response.

    Args:
        application: The application behind it.
        addresses: Host headers that are accepted.
        tokens: Tokens that are accepted.
        most_bytes: Largest body.
    """

    def __init__(
        self,
        application: Application,
        addresses: AllowedHosts,
        tokens: Tokens,
        most_bytes: int = MAX_BODY_BYTES,
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
                message["headers"] = [*message.get("headers", ()), *_security_headers(scope)]
            await send(message)

        refusal = self._refusal(scope)
        if refusal is not None:
            await _send_json(sending, *refusal)
            return
        try:
            await self.application(scope, self._limit_body(receive), sending)
        except BodyTooLarge:
            if not started:
                await _send_json(sending, 413, "the request is too large")
        except Exception as error:
            print_origin(error)
            if not started:
                await _send_json(sending, 500, SERVER_ERROR)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Return status and sentence for a request that is refused; None for others."""
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
        if not _is_length_within(headers.only("content-length"), self.most_bytes):
            return 413, "the request is too large"
        if is_api and path not in OPEN_PATHS and not self.tokens.is_good(_read_cookie(headers)):
            return 401, "sign in first"
        return None

    def _limit_body(self, receive: Receive) -> Receive:
        """Count the bytes of a body as they come: its declared length may be false, or missing."""
        taken = 0

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self.most_bytes:
                raise BodyTooLarge
            return message

        return counted


class _Headers:
    def __init__(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self._all = [(name.lower(), value) for name, value in headers]

    def only(self, name: str) -> str:
        """Return a header; a repeated one is not trusted."""
        found = [value for own, value in self._all if own == name.encode()]
        if len(found) != 1:
            return "" if not found else "twice"
        return found[0].decode("latin-1").strip()


def _is_length_within(length: str, most: int) -> bool:
    if not length:
        return True
    return length.isascii() and length.isdecimal() and len(length) < 19 and int(length) <= most


def _read_cookie(headers: _Headers) -> str:
    try:
        found = SimpleCookie(headers.only("cookie")).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""


def _security_headers(scope: Scope) -> list[tuple[bytes, bytes]]:
    kept = scope.get("curate.cached", False)
    own = [] if kept else [(b"cache-control", b"no-store")]
    return [*HEADERS, *own]


async def _send_json(send: Send, status: int, sentence: str) -> None:
    body = orjson.dumps({"error": sentence})
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def print_origin(error: BaseException) -> None:
    """Print where an error arose, without its message, which may hold names from the data."""
    places = traceback.extract_tb(error.__traceback__)[-4:]
    where = " < ".join(f"{p.name}:{p.lineno}" for p in reversed(places))
    print(f"error: {type(error).__name__} in {where}", file=sys.stderr, flush=True)
