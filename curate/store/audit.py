"""``StoredAudit``: a finished audit on disk, as frames or DuckDB views; opening and claiming."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from curate.common import files
from curate.common.json_values import JsonObject
from curate.common.own_records import check_directory, describe_differences
from curate.errors import AuditError, CallError, check_utf8
from curate.store.audit_files import WORK, check_parts, part_paths, to_frame, write_info
from curate.store.audit_info import INFO, SCORING, AuditInfo, finished_info, has_info, read_info
from curate.store.exact_integers import exact_integers, rounded_columns
from curate.store.mask_corrections import CORRECTIONS
from curate.store.parquet_parts import RESTORE, read_columns, read_schema, reading_part
from curate.store.people_overlay import (
    OVERRIDDEN,
    PEOPLE,
    count_moves,
    create_views,
    read_people,
    with_people,
)

JUDGEMENTS = "judgements.parquet"
"""Answers of judges, see :mod:`curate.store.judgements`; they cost money or time, and stay when the
audit is thrown away, as people's decisions do."""

JOINS = "joins.json"
"""The list of all that was not joined, in the audit directory."""

REPORTS = ("report.json", "report.md", "report.html")
"""The report's files in the audit directory, in the order in which they are written."""

OWN_NAMES = frozenset(
    {INFO, WORK, PEOPLE, JUDGEMENTS, JOINS, CORRECTIONS, "masks", "images", "model", *REPORTS}
    | {
        f"{name}.sqlite{end}"
        for name in ("reviews", "leases")
        for end in ("", "-journal", "-wal", "-shm")
    }
)
"""Everything that curate puts into an audit directory."""

_THROWN_AWAY = "thrown_away"
"""Stands in ``audit.json`` while ``--restart`` removes the rest."""


@dataclass(frozen=True)
class StoredAudit:
    """A finished audit on disk.

    Attributes:
        path: The directory.
        info: ``audit.json``: source and its fingerprint, settings, policy, counts, timings,
            signals and why some are not available.
        refresh: Called with the directory before the plan is read: brings what people decided up to
            date. None for the plan as it was last brought up to date.
        pinned_people: What people had decided when the audit was pinned, as it stands in
            :data:`PEOPLE`; None: as it stands there now.
    """

    path: Path
    info: AuditInfo = field(repr=False)
    refresh: Callable[[StoredAudit], None] | None = field(default=None, repr=False, compare=False)
    pinned_people: pa.Table | None = field(default=None, repr=False, compare=False)

    def pin(self) -> Self:
        """Return the audit with the decisions of this moment: later ones do not show in it."""
        people = self.people()
        pinned = pa.table({}) if people is None else people
        return replace(self, refresh=None, pinned_people=pinned)

    def check_unchanged(self) -> None:
        """Check that the plan was not made anew since the audit was opened.

        What is written from it for somebody else would be half of the old plan and half of the new.
        People's decisions may have come meanwhile.

        Raises:
            AuditError: It was.
        """
        now = read_info(self.path)
        if now is None or _plan_basis(now) != _plan_basis(self.info):
            what = "it was decided anew while it was read"
            raise AuditError(what, str(self.path), "run the same command again")

    def people(self) -> pa.Table | None:
        """Return people's decisions, a row a mask (see :data:`PEOPLE`); None for none."""
        self._refresh()
        if self.pinned_people is not None:
            return self.pinned_people if len(self.pinned_people) else None
        return read_people(self.path)

    def masks(self, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Read the masks into memory, a row a mask, index ``mask_id``.

        ``action``, ``reasons`` and ``decided_by`` are those of today: where people have decided on
        a mask, theirs; else the policy's.

        Args:
            columns: Which columns; all if None. Leave ``segmentation`` out where it is not needed.

        Raises:
            CallError: There is no such column.
        """
        found = with_people(self._read("masks", "mask_id", columns), self.people())
        if columns is None or "decided_by" in columns:
            return found
        return found.drop(columns="decided_by", errors="ignore")  # which comes with the action

    def images(self, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Read the images into memory, a row an image, index ``image_id``.

        ``review_count`` and ``reject_count`` are those of today, as in :meth:`masks`.
        """
        frame = self._read("images", "image_id", columns)
        moved = count_moves(self.people())
        for name in moved.columns.intersection(frame.columns):
            frame[name] += moved[name].reindex(frame.index, fill_value=0).astype(frame[name].dtype)
        return frame

    def _refresh(self) -> None:
        if self.refresh is not None:
            self.refresh(self)

    def _read(self, kind: str, index: str, columns: Sequence[str] | None) -> pd.DataFrame:
        paths = part_paths(self.path, kind)
        if not paths:
            raise AuditError("its part files are missing", str(self.path / kind), RESTORE)
        schema = read_schema(paths[0])
        if columns is not None:
            known = {*schema.names, *(OVERRIDDEN if kind == "masks" else ())}
            for column in columns:
                if column not in known:
                    raise CallError(f"there is no column {column}", str(self.path))
            wanted = (*columns, index)
            columns = [name for name in dict.fromkeys(wanted) if name in schema.names]
        tables = [read_columns(path, columns) for path in paths]
        with reading_part(self.path / kind):
            table = pa.concat_tables(tables, promote_options="permissive")
        if index not in table.column_names:
            raise AuditError(f"there is no column {index}", str(paths[0]), RESTORE)
        if pc.count_distinct(table[index]).as_py() < len(table):
            raise AuditError(
                f"they are damaged (a {index} occurs twice)", str(paths[0].parent), RESTORE
            )
        frame = to_frame(table)
        return frame if frame.index.name == index else frame.set_index(index)

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> pd.DataFrame:
        """Run one SQL query in DuckDB over the views ``masks`` and ``images``.

        Where people have decided on masks there is a view ``people`` too (see :data:`PEOPLE`).

        Args:
            sql: A query; ``?`` stands for a parameter.
            parameters: Values for the question marks; never put a value into ``sql`` yourself.

        Returns:
            The result. Memory is bounded: what does not fit goes to a temporary directory.

        Raises:
            CallError: The query is not one, or names what is not there.
        """
        duckdb = load_duckdb()
        try:
            cursor = self._connection().cursor()
            cursor.execute(sql, list(parameters))
            types = {name: str(kind) for name, kind, *_ in cursor.description or ()}
            found: pd.DataFrame = cursor.df()
            rounded = rounded_columns(found, types)
            if rounded:
                table = cursor.sql(sql, params=list(parameters)).to_arrow_table()
                found = found.assign(**{name: exact_integers(table[name]) for name in rounded})
        except duckdb.OutOfMemoryException as error:
            what = "there is not enough memory for the query"
            raise CallError(what, str(self.path), "use a larger machine") from error
        except duckdb.Error as error:
            raise CallError(f"the query fails: {error}", str(self.path)) from error
        return found

    def has_people(self) -> bool:
        """Return whether people have decided on any mask."""
        self._refresh()
        if self.pinned_people is not None:
            return bool(len(self.pinned_people))
        return (self.path / PEOPLE).is_file()

    def create_views(self, connection: Any, masks: str = "masks", images: str = "images") -> None:
        """Make views of the masks and the images, today's plan in them, in an open DuckDB."""
        create_views(connection, self.path, self._people_view(), masks, images)

    def _people_view(self) -> pa.Table | Path | None:
        """Return the table behind the view of people's decisions."""
        if not self.has_people():
            return None
        return self.path / PEOPLE if self.pinned_people is None else self.pinned_people

    @cached_property
    def _connections(self) -> dict[bool, Any]:
        return {}

    def _connection(self) -> Any:
        """Return the connection for queries, opened with the first one; closed with the audit.

        There is one with people's decisions and one without: their views differ.
        """
        view = self._people_view()
        people = view is not None
        if people not in self._connections:
            opened = ExitStack()
            self._connections[people] = opened.enter_context(connect(self.path, view))
            weakref.finalize(self, _close_own, opened, os.getpid())
        return self._connections[people]


_OF_PARENT: list[ExitStack] = []
"""Connections that a forked process has from its parent."""


def _close_own(opened: ExitStack, process: int) -> None:
    """Close a connection in the process that opened it; in a fork of that, keep it.

    A fork has none of the connection's threads, and closing it would wait for them without end.
    """
    if os.getpid() == process:
        opened.close()
    else:
        _OF_PARENT.append(opened)


def _plan_basis(info: AuditInfo) -> tuple[object, ...]:
    """Return all of ``audit.json`` on which the plan depends, and when it was made."""
    made = (info.state, info.timings.get("deciding_s"))
    return (*made, info.identity, info.policy, info.judged_by, info.judge, info.certified_line)


def load_duckdb() -> Any:
    """Return DuckDB's module, loaded with the first query: some verbs make none."""
    import duckdb

    return duckdb


@contextmanager
def connect(
    root: Path, people: pa.Table | Path | None = None, memory: str = "600MB"
) -> Iterator[Any]:
    """Open DuckDB over an audit directory's parts, with bounded memory and a place to spill to.

    Args:
        root: The audit directory.
        people: What people decided, or its file; None for the policy's plan.
        memory: How much DuckDB may use.
    """
    duckdb = load_duckdb()
    with files.scratch() as spill:
        connection = duckdb.connect(
            config={
                "memory_limit": memory,
                "temp_directory": str(spill),
                "threads": 2,
                "preserve_insertion_order": False,
            }
        )
        try:
            create_views(connection, root, people)
            yield connection
        except (duckdb.IOException, duckdb.OutOfMemoryException) as error:
            what = f"DuckDB cannot go on ({str(error).splitlines()[0][:200]})"
            do = "make room, or name another place for temporary files in TMPDIR"
            raise AuditError(what, str(root), do) from error
        finally:
            connection.close()


AnyAudit = str | os.PathLike[str] | StoredAudit
"""An audit, or its directory."""


def path_of(audit: AnyAudit) -> Path:
    """Return the directory of an audit."""
    return audit.path if isinstance(audit, StoredAudit) else Path(audit)


def open_audit(audit: AnyAudit) -> StoredAudit:
    """Open a finished audit, or open it again: as it is on disk now.

    Raises:
        AuditError: There is none, it is of another version, it was interrupted, or a part of it is
            missing.
    """
    root = path_of(audit)
    info = finished_info(root)
    check_parts(root, info.parts, info.counts)
    return StoredAudit(root, info)


def claim(out: Path, identity: JsonObject, restart: bool) -> AuditInfo | None:
    """Make ``out`` ready for an audit.

    Args:
        out: The directory; made if it is not there.
        identity: What must be equal for an earlier, perhaps interrupted run to be continued.
        restart: Throw an earlier audit away, whatever it was of; decisions of people stay.

    Returns:
        ``audit.json`` of the earlier run that is continued, or None.

    Raises:
        AuditError: ``out`` holds something that is not an audit's, or another audit.
    """
    check_utf8(out.resolve())
    check_directory(out, {INFO}, OWN_NAMES)
    info = None if restart else read_info(out)
    if info is None and not has_info(out):
        return None
    if info is None or _THROWN_AWAY in info.others:
        _throw_away(out)
        return None
    if other := describe_differences(info.identity, identity):
        raise AuditError(
            f"it holds an audit of something else ({other})",
            str(out),
            "choose another directory, or pass --restart to score it anew in its place (people's "
            "decisions are kept)",
        )
    return info


def _throw_away(out: Path) -> None:
    """Remove an earlier audit; where that is cut off, what is left is known for no audit."""
    with files.convert_write_errors(out):
        write_info(out, AuditInfo(SCORING, others={_THROWN_AWAY: True}))
        for name in ("masks", "images", "model", CORRECTIONS, WORK):
            if os.path.lexists(out / name):
                files.remove_tree(out / name)
        for name in (PEOPLE, JOINS, *REPORTS, INFO):
            files.unlink(out / name, missing_ok=True)


def release(out: Path) -> None:
    """Undo :func:`claim` where nothing has been scored, and remove the directory if it is empty."""
    for name in ("masks", "images", "model", CORRECTIONS, WORK):
        files.remove_tree(out / name, quiet=True)
    with suppress(OSError):
        files.unlink(out / INFO, missing_ok=True)
    with suppress(OSError):
        files.rmdir(out)
