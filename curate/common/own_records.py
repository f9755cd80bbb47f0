"""Directories that curate made: whether one is, its record, and a new run's other options."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Set
from pathlib import Path

import orjson

from curate.common.json_values import JsonObject
from curate.errors import AuditError

_MOST = 6
"""Differences that are listed; the rest is counted."""

_LONGEST = 60
"""Characters that are shown of a value."""

_TABLES = ("inputs", "settings", "recipe", "selection")
"""Tables whose name says nothing about what stands in them."""

_NAMES = {"version": "curate's version"}

_FINGERPRINT = re.compile(r"[0-9a-f]{16,}(:.*)?")


class DamagedRecord(AuditError):
    """A directory is curate's own, as far as can be seen, and its record cannot be read."""


def read_record(path: Path, of: str, command: str) -> dict[str, object]:
    """Read the record of a directory: an object with a ``schema_version``.

    Args:
        path: The file.
        of: Whose record it should be, for the error: "an audit's".
        command: The command that makes it anew with ``--restart``.

    Raises:
        DamagedRecord: It is empty, cut short or otherwise broken.
        AuditError: It is something else.
        OSError: It cannot be read.
    """
    data = path.read_bytes()
    do = f"restore it from a copy, or run `{command}` again with --restart"
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        # A file whose content never reached the disk is empty, or zeros up to its size.
        if data.strip(b"\0 \t\r\n")[:1] in (b"", b"{"):
            raise DamagedRecord("it is damaged or cut short", str(path), do) from error
        value = None
    if not isinstance(value, dict) or "schema_version" not in value:
        raise AuditError(f"it is not {of}", str(path), "choose another directory")
    try:
        orjson.dumps(value)  # it reads deeper nesting than it writes
    except TypeError as error:
        raise DamagedRecord("its values are nested too deeply", str(path), do) from error
    return value


def check_directory(out: Path, marks: Set[str], own: Set[str] | None = None) -> set[str]:
    """Return the names in a directory that a command is about to write into; hidden ones aside.

    Args:
        out: The directory; it need not be there.
        marks: Names of which one tells that the command made the directory.
        own: All names that the command makes; None for any.

    Raises:
        AuditError: It is a file, or holds something else.
    """
    if out.exists() and not out.is_dir():
        raise AuditError("it is a file", str(out), "choose a directory")
    names = {p.name for p in out.iterdir() if not p.name.startswith(".")} if out.is_dir() else set()
    strangers = sorted(names - own) if own is not None else []
    if strangers or (names and not names & marks):
        what = f"it holds something else ({', '.join(strangers or sorted(names))[:80]})"
        raise AuditError(what, str(out), "choose an empty directory")
    return names


def describe_differences(before: object, now: JsonObject) -> str:
    """Return the options in which two runs differ, as a clause; "" for none.

    Args:
        before: What the earlier run was asked for, as it stands in its file; not believed.
        now: What this one is asked for: values by name, and tables of such.

    >>> before = {"settings": {"deep": False}}
    >>> describe_differences(before, {"settings": {"deep": True, "void": [255]}})
    'deep was false, is true now; void was not given, is [255] now'
    """
    found = list(_differing(before, now, ""))
    more = [f"and {len(found) - _MOST} more"] if len(found) > _MOST else []
    return "; ".join(found[:_MOST] + more)


def _differing(before: object, now: object, name: str) -> Iterator[str]:
    if before == now:
        return
    if isinstance(now, Mapping) and isinstance(before, Mapping | None):
        old = before or {}
        for key in dict.fromkeys((*now, *old)):
            inner = _NAMES.get(key, key) if name in ("", *_TABLES) else f"{name} {key}"
            yield from _differing(old.get(key), now.get(key), inner)
    elif isinstance(before, Mapping) and now is None:
        yield from _differing(before, {}, name)
    else:
        yield _difference(name.removesuffix(" fingerprint"), before, now)


def _difference(name: str, before: object, now: object) -> str:
    names = [isinstance(one, str) and _FINGERPRINT.fullmatch(one) for one in (before, now)]
    if all(names):
        return f"the content of {name} has changed"
    old = "not given" if before is None else "given" if names[0] else _format_option(before)
    new = "not given" if now is None else "given" if names[1] else _format_option(now)
    return f"{name} was {old}, is {new} now"


def _format_option(value: object) -> str:
    text = orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
