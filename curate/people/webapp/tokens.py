"""Access tokens for other machines, and their signed cookies."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import secrets
import stat
from dataclasses import dataclass, field
from pathlib import Path

from curate.common import files
from curate.common.clock import SYSTEM, Clock
from curate.errors import CallError

VARIABLE = "CURATE_REVIEW_TOKEN"
MIN_LENGTH, MAX_LENGTH = 16, 10_000
COOKIE = "curate_review"
COOKIE_S = 30 * 24 * 3600
"""How long a page stays signed in."""

MAX_DELAY_S = 5.0
MAX_WAITING = 8


def find_token(file: Path | None) -> tuple[str, str]:
    """Return the token, and text on where people find it.

    Args:
        file: A file that holds it; None takes the environment's, else one that was made before,
            else a new one.

    Raises:
        CallError: The file cannot be read, or the token is too short.
    """
    if file is not None:
        return _check_token(_read_token(file), str(file)), f"the token is in {file}"
    variable = os.environ.get(VARIABLE, "")
    if variable:
        return _check_token(variable.strip(), VARIABLE), f"the token is that of {VARIABLE}"
    own = default_token_file()
    if not own.exists():
        _create_token(own)
    elif stat.S_IMODE(own.stat().st_mode) & 0o077:
        do = f"make it private (chmod 600 {own}), or remove it"
        raise CallError("others can read the token", str(own), do)
    return _check_token(_read_token(own), str(own)), f"the token is in {own}"


def default_token_file() -> Path:
    """Return the path of a generated token."""
    home = os.environ.get("XDG_STATE_HOME", "")
    base = Path(home) if os.path.isabs(home) else Path.home() / ".local" / "state"
    return base / "curate" / "review-token"


def _create_token(path: Path) -> None:
    files.mkdir(path.parent, parents=True, exist_ok=True, rights=0o700)
    with files.open_file(path, "xb", rights=0o600) as file:
        file.write(f"{secrets.token_urlsafe(32)}\n".encode())


def _read_token(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            return file.read(MAX_LENGTH).decode("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CallError("the token cannot be read", str(path), "check the file") from error


def _check_token(token: str, where: str) -> str:
    if len(token) < MIN_LENGTH:
        raise CallError(f"the token is under {MIN_LENGTH} characters", where, "give a longer one")
    return token


@dataclass
class Tokens:
    """Checks tokens and cookies.

    Attributes:
        token: The token; "" where none is needed.
        clock: What time it is.
    """

    token: str
    clock: Clock = SYSTEM
    _wrong: int = 0
    _waiting: int = 0
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def needed(self) -> bool:
        """Whether a token is needed."""
        return bool(self.token)

    def cookie(self) -> str:
        """Return the value of a cookie that stands for the token; it outlives the server."""
        issued = str(int(self.clock.now_s()))
        return f"{issued}.{self._sign(issued)}"

    def is_good(self, cookie: str) -> bool:
        """Whether a cookie was made for this token, and is not too old."""
        if not self.needed:
            return True
        issued, _, signature = cookie.partition(".")
        if not hmac.compare_digest(signature.encode(), self._sign(issued).encode()):
            return False
        return issued.isdecimal() and 0 <= self.clock.now_s() - int(issued) + 60 <= COOKIE_S

    async def try_token(self, given: str) -> bool | None:
        """Compare a token, with growing delays after wrong ones. None: too many are waiting."""
        if hmac.compare_digest(_digest(given), _digest(self.token)):
            self._wrong = 0
            return True
        if self._waiting >= MAX_WAITING:
            return None
        self._waiting += 1
        try:
            async with self._turn:
                self._wrong += 1
                await asyncio.sleep(min(MAX_DELAY_S, 0.1 * 2 ** min(self._wrong, 10)))
        finally:
            self._waiting -= 1
        return False

    def _sign(self, issued: str) -> str:
        message = f"curate review, signed in at {issued}".encode("utf-8", "replace")
        return hmac.new(self.token.encode(), message, hashlib.sha256).hexdigest()


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()
