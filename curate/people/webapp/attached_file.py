"""The file of decisions under a running server: never created anew, never replaced by another one.

A server creates the file when it starts. From then on a file that is gone, empty, or without rows
that the server has seen is an error that passes when the right one is back: the pages keep people's
events until then.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from curate.errors import AuditError
from curate.people.reviews import Reviews

if TYPE_CHECKING:
    import sqlite3

_TABLES = {
    "decisions": "decision_id",
    "withdrawn": "withdrawn_id",
    "missing": "missing_id",
    "looked": "looked_id",
}
_REMEDY = "put the file back"


@dataclass(frozen=True)
class AttachedReviews(Reviews):
    """The decisions of people while a server shows their audit.

    Attributes:
        last: By table, number and key of the last row that was seen. Rows are only ever added, so
            a file without them is an older copy, or another file.
    """

    last: dict[str, tuple[int, str]] = field(default_factory=dict, compare=False)

    @contextmanager
    def _open(
        self, *, create: bool = False, write: bool = False, thorough: bool = False
    ) -> Iterator[sqlite3.Connection]:
        del create
        opened = _file_identity(self.path)
        with super()._open(write=write, thorough=thorough) as connection:
            self._compare(connection)
            yield connection
            if write and _file_identity(self.path) != opened:
                what = "it was moved away while it was written"
                raise AuditError(what, str(self.path), _REMEDY)
            self._note(connection)

    def _compare(self, connection: sqlite3.Connection) -> None:
        """Refuse a file that lacks the last rows seen in it."""
        for table, (number, key) in list(self.last.items()):
            sql = f"select key from {table} where {_TABLES[table]} = ?"
            found = connection.execute(sql, (number,)).fetchone()
            if found is None or found[0] != key:
                what = "it is an older copy, or another file: it lacks decisions that were saved"
                do = f"{_REMEDY}, or stop the server and start it on this one"
                raise AuditError(what, str(self.path), do)

    def _note(self, connection: sqlite3.Connection) -> None:
        for table, name in _TABLES.items():
            sql = f"select {name}, key from {table} order by {name} desc limit 1"
            found = connection.execute(sql).fetchone()
            if found is not None and found[0] >= self.last.get(table, (0, ""))[0]:
                self.last[table] = found


def _file_identity(path: Path) -> tuple[int, int]:
    """Return device and inode of a file, whatever its path.

    Raises:
        AuditError: It is not there, or it is empty.
    """
    try:
        found = path.stat()
    except OSError as error:
        raise AuditError("it is not there any more", str(path), _REMEDY) from error
    if not found.st_size:
        raise AuditError("it is empty, and was not before", str(path), _REMEDY)
    return found.st_dev, found.st_ino
