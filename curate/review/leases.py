"""Who has which mask in hand, and who skipped which: a file of its own beside the audit.

It is shared by every server on the audit and outlives each of them. Nothing in it is worth keeping:
without it, masks in people's hands may be given to others, and skipped ones are shown again.
"""

from __future__ import annotations

import sqlite3
import threading
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from curate import files
from curate.clock import SYSTEM, Clock
from curate.decisions.schema import translated

FILE = "leases.sqlite"
LEASE_S = 600
"""How long a mask is kept for somebody of whom nothing is heard."""

SILENT_S = 90
"""After how long a page that says nothing is taken for closed: an open one asks every minute."""

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


@dataclass(frozen=True)
class Lease:
    """A mask in somebody's hands.

    Attributes:
        mask_id: The mask.
        client: The page that has it.
        reviewer: Its person.
        here: Whether this server gave it, and not one before or beside it.
        silent: Whether its page has not been heard of for :data:`SILENT_S`.
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
        with translated(self.path):
            try:
                self._connection = _opened(self.path)
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError):
                    raise
                for end in ("", "-wal", "-shm"):  # damaged: it holds nothing worth keeping
                    files.unlink(self.path.with_name(FILE + end), missing_ok=True)
                self._connection = _opened(self.path)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Keep every other server and thread out while leases are read and given."""
        with self._lock, translated(self.path):
            self._connection.execute("begin immediate")
            try:
                yield
                files.commit(self._connection)
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("rollback")
                raise

    def live(self) -> list[Lease]:
        """Return the leases that hold, within :meth:`changing`; those that ran out go."""
        now, longest = self.clock.elapsed_ms(), int(1000 * self.seconds)
        # The clock begins anew with the machine: what holds for longer than any is of before.
        ended = "delete from leases where until <= ? or until > ?"
        self._connection.execute(ended, (now, now + longest))
        heard = now - int(1000 * SILENT_S) + longest
        found = self._connection.execute(
            "select mask_id, client, reviewer, server, until from leases"
        )
        return [Lease(m, c, r, s == self._server, until < heard) for m, c, r, s, until in found]

    def give(self, mask_ids: Iterable[int], client: str, reviewer: str) -> None:
        """Give or renew leases, within :meth:`changing`."""
        until = self.clock.elapsed_ms() + int(1000 * self.seconds)
        self._connection.executemany(
            "insert into leases values (?, ?, ?, ?, ?) on conflict (mask_id, client)"
            " do update set until = excluded.until, server = excluded.server",
            [(mask_id, client, reviewer, until, self._server) for mask_id in mask_ids],
        )

    def drop(self, mask_ids: Iterable[int], client: str) -> None:
        """End leases, within :meth:`changing`."""
        self._connection.executemany(
            "delete from leases where mask_id = ? and client = ?",
            [(mask_id, client) for mask_id in mask_ids],
        )

    def skip(self, queue: str, reviewer: str, mask_ids: Iterable[int]) -> None:
        """Note that a person skipped masks, within :meth:`changing`."""
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

    def skipped(self, queue: str, reviewer: str) -> dict[int, int]:
        """Return which masks a person skipped, and in which order, within :meth:`changing`."""
        sql = "select mask_id, at from skips where queue = ? and reviewer = ?"
        return dict(self._connection.execute(sql, (queue, reviewer)).fetchall())


def _opened(path: Path) -> sqlite3.Connection:
    connection = files.open_database(path, 10.0, any_thread=True)
    try:
        # A crash of the machine may lose leases; that of a server cannot.
        for setting in ("journal_mode = wal", "synchronous = off", "trusted_schema = off"):
            connection.execute(f"pragma {setting}")
        version = connection.execute("pragma user_version").fetchone()[0]
        if version not in (0, _VERSION):
            raise sqlite3.DatabaseError("of another version")
        connection.executescript(_TABLES)
        connection.execute(f"pragma user_version = {_VERSION}")
    except BaseException:
        connection.close()
        raise
    return connection
