"""Schema of the file of decisions: tables, integrity checks on opening, transactions, locking.

The file may come from a stranger, so it is checked before use: that it is one of ours, of this
version, of this audit, with exactly our tables and triggers, and not damaged. Triggers keep it
append-only.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from curate.common import files
from curate.errors import AuditError
from curate.people.reviews.schema_tables import (
    SCHEMA_VERSION,
    UPGRADED_VERSIONS,
    expected_objects,
    read_objects,
    schema_script,
    split_statements,
    upgrade_tables,
)


@contextmanager
def open_readable(path: Path) -> Iterator[Path]:
    """Yield a file that SQLite can read: this one, or a copy where its folder cannot be written.

    SQLite writes beside a file even to read it, where that has a write-ahead log.
    """
    if os.access(path.parent, os.W_OK) or not path.is_file():
        yield path
        return
    with files.scratch() as folder:
        copy = files.copy_bytes(path, folder / path.name)
        log = path.with_name(f"{path.name}-wal")
        if log.is_file():
            files.copy_bytes(log, copy.with_name(log.name))
        yield copy


FILE = "reviews.sqlite"
APPLICATION_ID = 0x63757261
"""What SQLite's header says that the file is: "cura"."""

ACTIONS = ("accept", "reject", "fix")
"""What a person can say about a mask."""

BULK = "bulk"
"""Kind of a decision that a person made on all masks that fit a condition, without a look at each.
It decides what becomes of a mask that nobody has looked at, and is no label of it: nothing is
learned, certified or estimated from it."""

KINDS = ("errors", "learn", "estimate", "none", BULK)
"""Why a mask was shown to a person: a queue's kind, or none that is known; or that it was not."""

BUSY_S = 30.0
"""How long to wait for another process that is writing."""

MAX_VALUE_BYTES = 1 << 28
"""Largest value that is read from a file: sizes in a file are not believed."""

REVIEWED_IMAGES = (
    "(select * from looked o where key not like 'back|%'"
    " and not exists (select 1 from looked b where b.key = 'back|' || o.key))"
)
"""Rows of ``looked`` whose import was not taken back."""

IS_LAST_EVENT = """missing_id = (
  select max(missing_id) from missing o where o.image_id = m.image_id
    and o.reviewer = m.reviewer and o.category is m.category and o.segmentation = m.segmentation)"""
"""Whether a row ``m`` of ``missing`` is the last that its person said of that mask."""

_TAMPERED = "it holds other tables or triggers than curate writes"


@contextmanager
def open_connection(
    path: Path,
    identity: Mapping[str, str],
    *,
    create: bool = False,
    write: bool = True,
    thorough: bool = False,
) -> Iterator[sqlite3.Connection]:
    """Open the file for a piece of work, checked, and close it again.

    Args:
        path: The file.
        identity: What must stand in it of its audit.
        create: Make the file if it is not there.
        write: Whether anything is to be written; if not, its folder need not be writable.
        thorough: Read all of it, so that damage anywhere is found.

    Raises:
        AuditError: It is not there, damaged, no such file, of another version or another audit; or
            another process writes for longer than :data:`BUSY_S`.
    """
    with translate_errors(path), nullcontext(path) if write else open_readable(path) as file:
        mode = "rwc" if create else "rw"
        connection = files.open_database(file, BUSY_S, mode=mode)
        try:
            _set_up(connection)
            if create:
                _create(connection, identity)
            _check(connection, path, identity)
            if thorough:
                _check_all(connection, path)
            yield connection
        finally:
            connection.close()


def _set_up(connection: sqlite3.Connection) -> None:
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    for setting in (
        "trusted_schema = off",
        "cell_size_check = on",
        "recursive_triggers = on",  # or a REPLACE would delete rows unseen
        "foreign_keys = on",
        "synchronous = full",
        "cache_size = -131072",
        "mmap_size = 0",
    ):
        connection.execute(f"pragma {setting}")


def _create(connection: sqlite3.Connection, identity: Mapping[str, str]) -> None:
    """Create the tables in one transaction, unless another process has."""
    with transaction(connection):
        if not _is_blank(connection):
            return
        for statement in split_statements(schema_script()):
            connection.execute(statement)
        connection.executemany("insert into about values (?, ?)", identity.items())
        connection.execute(f"pragma application_id = {APPLICATION_ID}")
        connection.execute(f"pragma user_version = {SCHEMA_VERSION}")
    with suppress(sqlite3.OperationalError):  # somebody else is at it: then that one sets it
        connection.execute("pragma journal_mode = wal")


def _is_blank(connection: sqlite3.Connection) -> bool:
    """Whether the file is empty: newly created, or its creation was interrupted."""
    return _read_pragma(connection, "application_id") == 0 and not read_objects(connection)


def _read_pragma(connection: sqlite3.Connection, pragma: str) -> int:
    return int(connection.execute(f"pragma {pragma}").fetchone()[0])


def _check(connection: sqlite3.Connection, path: Path, identity: Mapping[str, str]) -> None:
    if _is_blank(connection):
        raise no_reviews_error(path)
    if _read_pragma(connection, "application_id") != APPLICATION_ID:
        what = "it is an SQLite file, but not one of people's decisions"
        raise AuditError(what, str(path), "move it away")
    version = _read_pragma(connection, "user_version")
    if version not in (SCHEMA_VERSION, *UPGRADED_VERSIONS):
        what = f"it was written with schema version {version}, this curate reads {SCHEMA_VERSION}"
        raise AuditError(what, str(path), "use the version of curate that wrote it")
    if read_objects(connection) != expected_objects(version):
        raise AuditError(_TAMPERED, str(path), "move it away, or restore it from a copy")
    found = dict(connection.execute("select name, value from about"))
    other = [name for name in ("fingerprint", "format") if found.get(name) != identity[name]]
    if other:
        of = str(found.get("source", "unknown"))[:200]
        what = f"it holds the decisions of another audit (source {of!r}, another {other[0]})"
        do = f"move it away, or into the audit of {of!r}"
        raise AuditError(what, str(path), do)

    if version in UPGRADED_VERSIONS:
        with transaction(connection):
            if _read_pragma(connection, "user_version") == version:  # nobody else has meanwhile
                upgrade_tables(connection, version)


def _check_all(connection: sqlite3.Connection, path: Path) -> None:
    """Run SQLite's full integrity check, and check every row against its table's constraints."""
    found = str(connection.execute("pragma quick_check(1)").fetchone()[0])
    if found != "ok":
        raise _damage_error(found, path)


def no_reviews_error(path: Path) -> AuditError:
    """Return the error for an audit without any decisions."""
    return AuditError(
        "there are no decisions of people yet", str(path.parent), "import some: `curate import`"
    )


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Write all or nothing; waits for another process that is writing."""
    connection.execute("begin immediate")
    try:
        yield
        files.commit(connection)
    except BaseException:
        if connection.in_transaction:
            connection.execute("rollback")
        raise


@contextmanager
def translate_errors(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into an :class:`AuditError` on the file."""
    try:
        yield
    except sqlite3.Error as error:
        raise _to_audit_error(error, path) from error
    except UnicodeDecodeError as error:  # of a text, or of one that SQLite's own message quotes
        raise _damage_error("a text is not UTF-8", path) from error


def _damage_error(how: str, path: Path) -> AuditError:
    do = "restore it from a copy, or save what is left with SQLite's `.recover`"
    return AuditError(f"it is damaged ({how[:200]})", str(path), do)


def _to_audit_error(error: sqlite3.Error, path: Path) -> AuditError:
    code = getattr(error, "sqlite_errorcode", None)
    code = None if code is None else code & 0xFF  # the rest says where inside SQLite
    words = str(error)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        what = f"another process has been writing to it for {BUSY_S:g} seconds"
        return AuditError(what, str(path), "run the same command again when that one is done")
    if code == sqlite3.SQLITE_NOTADB:
        return AuditError("it is no SQLite file", str(path), "move it away")
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
        what = f"it cannot be written or read ({words}); nothing was added"
        return AuditError(what, str(path), "make room on the disk and run the same command again")
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        if not os.access(path.parent, os.W_OK):
            do = "ask for the right to write there, or copy the audit to where you have it"
            return AuditError("nothing can be written in its folder", str(path), do)
        return AuditError(f"it cannot be opened ({words})", str(path), "check its folder's rights")
    if code == sqlite3.SQLITE_CONSTRAINT:
        return AuditError(f"its rules do not allow that ({words}); nothing was added", str(path))
    return _damage_error(words, path)
