"""Reader of TOML settings files, bounded in size."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from curate.common.ranges import PRESETS
from curate.errors import CallError

MOST_BYTES = 1_000_000
"""Largest TOML file that is read."""


def parse_toml(text: str) -> dict[str, object]:
    """Return the content of a TOML text.

    Raises:
        ValueError: It is none, is nested too deeply, or holds a whole number beyond 64 bits, which
            no TOML may hold and no float need.
    """
    try:
        content = tomllib.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    waiting: list[Any] = [content]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise ValueError("a whole number in it is beyond 64 bits")
    return content


def read_toml(path: Path) -> dict[str, object]:
    """Read a TOML file of at most :data:`MOST_BYTES`.

    Raises:
        OSError: It cannot be read.
        ValueError: It is not TOML, not UTF-8, or too large.
    """
    with open(path, "rb") as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise ValueError(f"it is over {MOST_BYTES:,} bytes")
    return parse_toml(data.decode("utf-8").replace("\r\n", "\n"))


def policy_file(policy: str | Path) -> dict[str, object]:
    """Read the content of a policy's file.

    Raises:
        CallError: It is not there, or not TOML; says what to do.
    """
    path = Path(policy)
    try:
        return read_toml(path)
    except FileNotFoundError as error:
        do = f"give a TOML file, or one of the presets {', '.join(PRESETS)}"
        raise CallError("there is no such policy", str(path), do) from error
    except OSError as error:
        raise CallError(f"it cannot be read ({error.strerror})", str(path)) from error
    except UnicodeDecodeError as error:
        raise CallError("it is not UTF-8 text", str(path), "save it as UTF-8") from error
    except ValueError as error:
        raise CallError(f"it is not TOML ({error})", str(path), "correct the line") from error
