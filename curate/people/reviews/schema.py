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
from functools import cache
from pathlib import Path

from curate.common import files
from curate.errors import AuditError


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
SCHEMA_VERSION = 2
"""Version of the tables; a file of another version is refused."""

APPLICATION_ID = 0x63757261
"""What SQLite's header says that the file is: "cura"."""

ACTIONS = ("accept", "reject", "fix")
"""What a person can say about a mask."""

KINDS = ("errors", "learn", "estimate", "none")
"""Why a mask was shown to a person: a queue's kind, or none that is known."""

BUSY_S = 30.0
"""How long to wait for another process that is writing."""

MAX_VALUE_BYTES = 1 << 28
"""Largest value that is read from a file: sizes in a file are not believed."""

_TABLES = """
create table about (
  name text primary key, value text not null
) strict;
create table draws (
  draw_id integer primary key,
  kind text not null check (kind in ('errors', 'learn', 'estimate')),
  created integer not null,
  settings text not null
) strict;
create table drawn (
  draw_id integer not null references draws,
  mask_id integer not null,
  inclusion_probability real check (inclusion_probability > 0 and inclusion_probability <= 1),
  stratum integer,
  place integer not null,
  slot integer not null check (slot in (0, 1)),
  honeypot text check (honeypot in ('accept', 'reject')),
  primary key (draw_id, mask_id, slot)
) strict, without rowid;
create index drawn_mask on drawn (mask_id, draw_id);
create table decisions (
  decision_id integer primary key,
  mask_id integer not null,
  action text not null check (action in ('accept', 'reject', 'fix')),
  iou real check (iou >= 0 and iou <= 1),
  segmentation blob,
  category text check (category is null or action = 'fix'),
  reviewer text not null,
  seconds real check (seconds >= 0),
  time integer not null,
  queue_kind text not null check (queue_kind in ('errors', 'learn', 'estimate', 'none')),
  inclusion_probability real check (inclusion_probability > 0 and inclusion_probability <= 1),
  draw_id integer references draws,
  origin text not null,
  key text not null unique
) strict;
create index decisions_mask on decisions (mask_id, reviewer, time);
create index decisions_draw on decisions (draw_id, mask_id) where draw_id is not null;
create table withdrawn (
  withdrawn_id integer primary key,
  decision_id integer not null unique references decisions,
  time integer not null,
  key text not null unique
) strict;
create view standing as
  select * from decisions d
  where not exists (select 1 from withdrawn w where w.decision_id = d.decision_id);
create table missing (
  missing_id integer primary key,
  image_id integer not null,
  segmentation blob not null,
  category text,
  reviewer text not null,
  time integer not null,
  withdrawn integer not null check (withdrawn in (0, 1)),
  origin text not null,
  key text not null unique
) strict;
create index missing_image on missing (image_id, reviewer);
create table looked (
  looked_id integer primary key,
  image_id integer not null,
  reviewer text not null,
  time integer not null,
  draw_id integer references draws,
  origin text not null,
  key text not null unique
) strict;
create index looked_image on looked (image_id, reviewer);
"""
"""Times are microseconds since 1970, UTC. A decision that was taken back stays, but not stands."""

REVIEWED_IMAGES = (
    "(select * from looked o where key not like 'back|%'"
    " and not exists (select 1 from looked b where b.key = 'back|' || o.key))"
)
"""Rows of ``looked`` whose import was not taken back."""

IS_LAST_EVENT = """missing_id = (
  select max(missing_id) from missing o where o.image_id = m.image_id
    and o.reviewer = m.reviewer and o.category is m.category and o.segmentation = m.segmentation)"""
"""Whether a row ``m`` of ``missing`` is the last that its person said of that mask."""

_APPEND_ONLY = """
create trigger {table}_no_{event} before {event} on {table}
begin select raise(abort, 'decisions are only ever added'); end;
"""

_TAMPERED = "it holds other tables or triggers than curate writes"


def _schema_script() -> str:
    triggers = (
        _APPEND_ONLY.format(table=table, event=event)
        for table in ("about", "draws", "drawn", "decisions", "withdrawn", "missing", "looked")
        for event in ("update", "delete")
    )
    return _TABLES + "".join(triggers)


def _read_objects(connection: sqlite3.Connection) -> list[tuple[str, str, str]]:
    """Return every table, index and trigger with its SQL, but SQLite's own."""
    found = connection.execute(
        "select type, name, coalesce(sql, '') from sqlite_master where name not like 'sqlite~_%'"
        " escape '~' order by type, name"
    )
    return [(str(kind), str(name), str(sql)) for kind, name, sql in found]


@cache
def _expected_objects() -> list[tuple[str, str, str]]:
    """Return the objects of a newly created file, as this SQLite spells them."""
    connection = sqlite3.connect(":memory:")
    try:
        connection.executescript(_schema_script())
        return _read_objects(connection)
    finally:
        connection.close()


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
        for statement in _statements(_schema_script()):
            connection.execute(statement)
        connection.executemany("insert into about values (?, ?)", identity.items())
        connection.execute(f"pragma application_id = {APPLICATION_ID}")
        connection.execute(f"pragma user_version = {SCHEMA_VERSION}")
    with suppress(sqlite3.OperationalError):  # somebody else is at it: then that one sets it
        connection.execute("pragma journal_mode = wal")


def _statements(script: str) -> Iterator[str]:
    """Split a script, since executescript would end the transaction that it runs in."""
    text = ""
    for line in script.splitlines(keepends=True):
        text += line
        if sqlite3.complete_statement(text):
            yield text
            text = ""


def _is_blank(connection: sqlite3.Connection) -> bool:
    """Whether the file is empty: newly created, or its creation was interrupted."""
    return _read_pragma(connection, "application_id") == 0 and not _read_objects(connection)


def _read_pragma(connection: sqlite3.Connection, pragma: str) -> int:
    return int(connection.execute(f"pragma {pragma}").fetchone()[0])


def _check(connection: sqlite3.Connection, path: Path, identity: Mapping[str, str]) -> None:
    if _is_blank(connection):
        raise no_reviews_error(path)
    if _read_pragma(connection, "application_id") != APPLICATION_ID:
        what = "it is an SQLite file, but not one of people's decisions"
        raise AuditError(what, str(path), "move it away")
    version = _read_pragma(connection, "user_version")
    if version != SCHEMA_VERSION:
        what = f"it was written with schema version {version}, this curate reads {SCHEMA_VERSION}"
        raise AuditError(what, str(path), "use the version of curate that wrote it")
    if _read_objects(connection) != _expected_objects():
        raise AuditError(_TAMPERED, str(path), "move it away, or restore it from a copy")
    found = dict(connection.execute("select name, value from about"))
    other = [name for name in ("fingerprint", "format") if found.get(name) != identity[name]]
    if other:
        of = str(found.get("source", "unknown"))[:200]
        what = f"it holds the decisions of another audit (source {of!r}, another {other[0]})"
        do = f"move it away, or into the audit of {of!r}"
        raise AuditError(what, str(path), do)


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
