"""Leases of masks and skips, in an SQLite file beside the audit.

The file is shared by all servers of the audit and outlives each of them. It can be lost: then a
mask may be assigned to two people, and skipped ones are shown again.
"""

from __future__ import annotations

import sqlite3
import threading
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate.common import files
from curate.common.clock import SYSTEM, Clock
from curate.people.reviews.schema import translate_errors

FILE = "leases.sqlite"
LEASE_S = 120
"""How long a mask is kept for somebody of whom nothing is heard."""

SILENT_S = 30
"""After how long a page that says nothing is taken for closed: an open one does every ten seconds,
in the background at least every minute."""

_VERSION = 1
_TABLES = """
create table if not exists leases (
  mask_id integer not null, client text not null, reviewer text not null,
  until integer not null, server text not null, primary key (mask_id, client)
) strict, without rowid;
create table if not exists skips (
  queue text not null, reviewer text not null, mask_id integer not null, at integer not null,
  primary key (queue, reviewer, mask_id)
) strict, without rowid;
"""
_SELECT_LEASES = "select mask_id, client, reviewer, until, server from leases"
_PROBE = "select 1 from leases union all select 1 from skips limit 1"
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)
"""What SQLite says of a file that was cut off or overwritten; an error is a missing table."""


@dataclass(frozen=True)
class Lease:
    """A mask that is assigned to a page.

    Attributes:
        mask_id: The mask.
        client: The page.
        reviewer: Its person.
        here: Whether this server gave it, and not an earlier or parallel one.
        silent: Whether its page has made no request for :data:`SILENT_S`.
    """

    mask_id: int
    client: str
    reviewer: str
    here: bool
    silent: bool = False


class Leases:
    """The file of leases and skips.

    Args:
        folder: The audit directory.
        seconds: How long a lease holds.
        clock: What time it is; leases run out by its monotonic part, which all servers of a machine
            share and nobody sets back.

    Raises:
        AuditError: The file cannot be written.
    """

    def __init__(self, folder: Path, seconds: float = LEASE_S, clock: Clock = SYSTEM) -> None:
        self.path, self.seconds, self.clock = folder / FILE, seconds, clock
        self._server = uuid.uuid4().hex
        self._lock = threading.RLock()
        self._held: dict[tuple[int, str], tuple[str, int, str]] = {}
        with translate_errors(self.path):
            self._connection = _open_or_recreate(self.path)
        self._file = _file_identity(self.path)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Lock out all other servers and threads while leases are read and given."""
        with self._lock, translate_errors(self.path):
            self._begin()
            try:
                yield
                files.commit(self._connection)
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("rollback")
                raise

    def _begin(self) -> None:
        """Begin a transaction on the current file, created again if it is gone."""
        if self._file is not None and _file_identity(self.path) == self._file:
            try:
                self._connection.execute("begin immediate")
                self._connection.execute(_PROBE)
                return
            except sqlite3.Error as error:
                if self._connection.in_transaction:
                    self._connection.execute("rollback")
                if error.sqlite_errorcode & 0xFF not in _DAMAGED:
                    raise
                _remove(self.path)
        rows = self._rows()
        self._file = None
        self._connection.close()
        self._connection = _open_or_recreate(self.path)
        self._file = _file_identity(self.path)
        self._connection.execute("begin immediate")
        self._connection.executemany(  # what people have in hand stays theirs
            "insert or ignore into leases values (?, ?, ?, ?, ?)", rows
        )

    def _rows(self) -> list[tuple[Any, ...]]:
        """Return the leases of the file that is open, also where it has gone."""
        try:
            return self._connection.execute(_SELECT_LEASES).fetchall()
        except sqlite3.Error:  # cut off, or closed: what this server knows of it
            return [(mask, client, *rest) for (mask, client), rest in self._held.items()]

    def live(self) -> list[Lease]:
        """Return the leases that hold, within :meth:`changing`; expired ones are deleted."""
        now, longest = self.clock.elapsed_ms(), int(1000 * self.seconds)
        # The clock begins anew with the machine: what holds for longer than any is of before.
        ended = "delete from leases where until <= ? or until > ?"
        self._connection.execute(ended, (now, now + longest))
        heard = now - int(1000 * SILENT_S) + longest
        found = self._connection.execute(_SELECT_LEASES).fetchall()
        self._held = {(mask, client): tuple(rest) for mask, client, *rest in found}
        return [Lease(m, c, r, s == self._server, until < heard) for m, c, r, until, s in found]

    def give(self, mask_ids: Sequence[int], client: str, reviewer: str) -> None:
        """Give or renew leases, within :meth:`changing`."""
        until = self.clock.elapsed_ms() + int(1000 * self.seconds)
        self._held |= {(mask, client): (reviewer, until, self._server) for mask in mask_ids}
        self._connection.executemany(
            "insert into leases values (?, ?, ?, ?, ?) on conflict (mask_id, client)"
            " do update set until = excluded.until, server = excluded.server",
            [(mask_id, client, reviewer, until, self._server) for mask_id in mask_ids],
        )

    def drop(self, mask_ids: Sequence[int], client: str) -> None:
        """End leases, within :meth:`changing`."""
        for mask_id in mask_ids:
            self._held.pop((mask_id, client), None)
        self._connection.executemany(
            "delete from leases where mask_id = ? and client = ?",
            [(mask_id, client) for mask_id in mask_ids],
        )

    def skip(self, queue: str, reviewer: str, mask_ids: Iterable[int]) -> None:
        """Record that a person skipped masks, within :meth:`changing`."""
        self._connection.executemany(
            "insert or replace into skips values (?1, ?2, ?3, (select 1 + coalesce(max(at), 0)"
            " from skips where queue = ?1 and reviewer = ?2))",
            [(queue, reviewer, mask_id) for mask_id in mask_ids],
        )

    def unskip(self, queue: str, reviewer: str, mask_ids: Iterable[int]) -> None:
        """Forget that a person skipped masks, within :meth:`changing`."""
        self._connection.executemany(
            "delete from skips where queue = ? and reviewer = ? and mask_id = ?",
            [(queue, reviewer, mask_id) for mask_id in mask_ids],
        )

    def read_skipped(self, queue: str, reviewer: str) -> dict[int, int]:
        """Return the masks a person skipped, with their order, within :meth:`changing`."""
        sql = "select mask_id, at from skips where queue = ? and reviewer = ?"
        return dict(self._connection.execute(sql, (queue, reviewer)).fetchall())


def _file_identity(path: Path) -> tuple[int, int] | None:
    """Return device and inode of a file; None where it is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _remove(path: Path) -> None:
    for end in ("", "-wal", "-shm"):
        files.unlink(path.with_name(FILE + end), missing_ok=True)


def _open_or_recreate(path: Path) -> sqlite3.Connection:
    """Open the file; a damaged one is deleted and created anew."""
    try:
        return _open(path)
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # a message may quote no text
        if isinstance(error, sqlite3.OperationalError):
            raise
        _remove(path)
        return _open(path)


def _open(path: Path) -> sqlite3.Connection:
    connection = files.open_database(path, 10.0, any_thread=True)
    connection.text_factory = lambda text: text.decode("utf-8", "replace")
    try:
        # A crash of the machine may lose leases; that of a server cannot.
        for setting in ("journal_mode = wal", "synchronous = off", "trusted_schema = off"):
            connection.execute(f"pragma {setting}")
        version = connection.execute("pragma user_version").fetchone()[0]
        if version not in (0, _VERSION):
            raise sqlite3.DatabaseError("of another version")
        connection.executescript(_TABLES)
        connection.execute(f"pragma user_version = {_VERSION}")
        if connection.execute("pragma quick_check(1)").fetchone()[0] != "ok":
            raise sqlite3.DatabaseError("damaged")  # also a value of another type than its column
    except BaseException:
        connection.close()
        raise
    return connection
