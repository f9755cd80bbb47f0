"""The audit directory: what stands in it, how it is written whole, and how it is read back."""

from __future__ import annotations

import os
import shutil
import weakref
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from curate.errors import AuditError, CallError

SCHEMA_VERSION = 1
"""Version of the audit directory's layout; a directory of another version is refused."""

INFO = "audit.json"
WORK = "work"
OWN_NAMES = frozenset(
    {INFO, WORK, "masks", "images", "model", "report.html"}
    | {f"{name}.sqlite{end}" for name in ("reviews", "leases") for end in ("", "-wal", "-shm")}
)
"""Everything that curate puts into an audit directory."""

PICKED_BY = ("mask_id", "image_id", "priority", "rank", "quality_score")
"""Columns by which queries pick a few rows: bounds let them skip whole parts."""

SCORING, DECIDING, COMPLETE = "scoring", "deciding", "complete"
"""States of an audit: parts are being scored; plans are being written; all is there."""


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path`` that replaces it when the block ends well.

    Raises:
        AuditError: The disk is full or the directory cannot be written; nothing is left behind.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise AuditError(
            f"it cannot be written: {reason}",
            str(path),
            "what is done so far is kept; make room and run the same command again",
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file whole or not at all; NaN becomes null."""
    with writing(path) as temporary:
        temporary.write_bytes(
            orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY)
        )


def write_part(path: Path, table: pa.Table) -> None:
    """Write one Parquet part whole or not at all.

    Run lengths are text that has been squeezed already: a dictionary or a page codec would cost
    more time than it saves space, so ``segmentation`` gets neither.
    """
    words = [
        f.name for f in table.schema if pa.types.is_large_string(f.type) and f.name != "source_key"
    ]
    codecs = {f.name: "none" if f.name == "segmentation" else "lz4" for f in table.schema}
    bounded = [name for name in PICKED_BY if name in table.schema.names]
    with writing(path) as temporary:
        pq.write_table(
            table,
            temporary,
            use_dictionary=words,
            compression=codecs,
            write_statistics=bounded or False,
        )


def write_scored(path: Path, table: pa.Table) -> None:
    """Write one scored part, not yet decided on, whole or not at all.

    It is read several times and then written as Parquet, so it is plain Arrow: written at the speed
    of a copy, and mapped into memory column by column instead of being read.
    """
    with writing(path) as temporary, pa.ipc.new_file(str(temporary), table.schema) as file:
        file.write_table(table)


def read_scored(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Map what :func:`write_scored` wrote into memory; only pages that are used are read."""
    with pa.memory_map(str(path)) as file:
        table = pa.ipc.open_file(file).read_all()
    return table if columns is None else table.select(list(columns))


def scored_path(root: Path, kind: str, index: int) -> Path:
    """Return where part ``index`` stands until it is decided on."""
    return part_path(root, kind, index).with_suffix(".arrow")


def is_scored(root: Path, index: int) -> bool:
    """Return whether part ``index`` is there, decided on or not; masks are written last."""
    return any(f(root, "masks", index).exists() for f in (scored_path, part_path))


def part_path(root: Path, kind: str, index: int) -> Path:
    """Return where part ``index`` of ``kind`` ("masks" or "images") stands."""
    return root / kind / f"part-{index:06d}.parquet"


def part_paths(root: Path, kind: str) -> list[Path]:
    """Return the parts of ``kind`` that are there, in order."""
    return sorted((root / kind).glob("part-*.parquet"))


def count_parts(root: Path) -> int:
    """Return the number of parts that are there, decided on or not."""
    return len({path.stem for path in (root / "masks").glob("part-*.*")})


def part_names(root: Path, kind: str, index: int) -> list[str]:
    """Return the columns of a part."""
    scored = scored_path(root, kind, index)
    if scored.exists():
        return list(read_scored(scored).schema.names)
    return list(pq.read_schema(part_path(root, kind, index)).names)


def read_part(root: Path, kind: str, index: int, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a part, decided on or not; where both are there, what was scored counts."""
    scored = scored_path(root, kind, index)
    if scored.exists():
        return read_scored(scored, columns)
    return pq.read_table(part_path(root, kind, index), columns=columns)


def to_frame(table: pa.Table) -> pd.DataFrame:
    """Return an Arrow table as pandas, with the types that :class:`MaskTable` checks."""
    frame: pd.DataFrame = table.to_pandas(
        types_mapper={
            pa.large_string(): pd.ArrowDtype(pa.large_string()),
            pa.large_binary(): pd.ArrowDtype(pa.large_binary()),
        }.get
    )
    return frame


@dataclass(frozen=True)
class Audit:
    """A finished audit on disk.

    Attributes:
        path: The directory.
        info: ``audit.json``: source and its fingerprint, settings, policy, counts, timings,
            signals and why some are not available.
    """

    path: Path
    info: dict[str, Any] = field(repr=False)

    def masks(self, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Read the masks into memory, a row a mask, index ``mask_id``.

        Args:
            columns: Which columns; all if None. Leave ``segmentation`` out where it is not needed.

        Raises:
            CallError: There is no such column.
        """
        return self._read("masks", "mask_id", columns)

    def images(self, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Read the images into memory, a row an image, index ``image_id``."""
        return self._read("images", "image_id", columns)

    def _read(self, kind: str, index: str, columns: Sequence[str] | None) -> pd.DataFrame:
        paths = part_paths(self.path, kind)
        schema = pq.read_schema(paths[0])
        if columns is not None:
            for column in columns:
                if column not in schema.names:
                    raise CallError(f"there is no column {column}", str(self.path))
            columns = list(dict.fromkeys([*columns, index]))
        tables = [pq.read_table(path, columns=columns) for path in paths]
        frame = to_frame(pa.concat_tables(tables, promote_options="permissive"))
        return frame if frame.index.name == index else frame.set_index(index)

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> pd.DataFrame:
        """Run one SQL query in DuckDB over the views ``masks`` and ``images``.

        Args:
            sql: A query; ``?`` stands for a parameter.
            parameters: Values for the question marks; never put a value into ``sql`` yourself.

        Returns:
            The result. Memory is bounded: what does not fit goes to a temporary directory.

        Raises:
            CallError: The query is not one, or names what is not there.
        """
        import duckdb

        try:
            found: pd.DataFrame = self._connection.cursor().execute(sql, list(parameters)).df()
        except duckdb.Error as error:
            raise CallError(f"the query fails: {error}", str(self.path)) from error
        return found

    @cached_property
    def _connection(self) -> Any:
        """One connection for all queries, opened with the first and closed with the audit."""
        opened = ExitStack()
        connection = opened.enter_context(connect(self.path))
        weakref.finalize(self, opened.close)
        return connection


@contextmanager
def connect(root: Path, memory: str = "600MB") -> Iterator[Any]:
    """Open DuckDB over an audit directory's parts, with bounded memory and a place to spill to."""
    import tempfile

    import duckdb

    with tempfile.TemporaryDirectory(prefix="curate-duckdb-") as spill:
        connection = duckdb.connect(
            config={
                "memory_limit": memory,
                "temp_directory": spill,
                "threads": 2,
                "preserve_insertion_order": False,
            }
        )
        try:
            for kind in ("masks", "images"):
                paths = [str(p) for p in part_paths(root, kind)]
                if paths:
                    connection.read_parquet(paths, union_by_name=True).create_view(kind)
            yield connection
        finally:
            connection.close()


def read_info(path: Path) -> dict[str, Any] | None:
    """Return ``audit.json`` of a directory, None if there is none.

    Raises:
        AuditError: It is there but is not an audit's, or is of another schema version.
    """
    file = path / INFO
    if not file.is_file():
        return None
    try:
        info = orjson.loads(file.read_bytes())
        version = info["schema_version"]
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise AuditError("it is not an audit's", str(file), "choose another directory") from error
    if version != SCHEMA_VERSION:
        raise AuditError(
            f"it was written with schema version {version}, this curate reads {SCHEMA_VERSION}",
            str(file),
            "run the audit again with this version into a new directory",
        )
    return dict(info)


def open_audit(path: str | os.PathLike[str]) -> Audit:
    """Open a finished audit.

    Raises:
        AuditError: There is none, it is of another version, or it was interrupted.
    """
    root = Path(path)
    info = read_info(root) if root.is_dir() else None
    if info is None:
        raise AuditError("there is no audit here", str(root), "run `curate audit SOURCE` first")
    if info.get("state") != COMPLETE:
        raise AuditError(
            "the audit was interrupted", str(root), "run the same `curate audit` command again"
        )
    return Audit(root, info)


def claim(out: Path, identity: dict[str, Any], restart: bool) -> dict[str, Any] | None:
    """Make ``out`` ready for an audit.

    Args:
        out: The directory; made if it is not there.
        identity: What must be equal for an earlier, perhaps interrupted run to be continued.
        restart: Throw an earlier audit away, whatever it was of.

    Returns:
        ``audit.json`` of the earlier run that is continued, or None.

    Raises:
        AuditError: ``out`` holds something that is not an audit's, or another audit.
    """
    if out.exists() and not out.is_dir():
        raise AuditError("it is a file", str(out), "choose a directory")
    if out.is_dir():
        names = {p.name for p in out.iterdir() if not p.name.startswith(".")}
        strangers = sorted(names - OWN_NAMES)
        if strangers or (names and INFO not in names):
            what = f"it holds something else ({', '.join(strangers or sorted(names))[:80]})"
            raise AuditError(what, str(out), "choose an empty directory")
    info = read_info(out)
    if info is None:
        return None
    if restart:
        for name in ("masks", "images", "model", WORK):
            shutil.rmtree(out / name, ignore_errors=True)
        (out / INFO).unlink()
        return None
    before = info.get("identity", {})
    changed = [k for k in identity if before.get(k) != identity[k]]
    if changed:
        raise AuditError(
            f"it holds an audit with another {' and '.join(changed)}",
            str(out),
            "choose another directory, or pass --restart to throw that audit away",
        )
    return info


def release(out: Path) -> None:
    """Undo :func:`claim` where nothing has been scored, and remove the directory if it is empty."""
    for name in ("masks", "images", "model", WORK):
        shutil.rmtree(out / name, ignore_errors=True)
    (out / INFO).unlink(missing_ok=True)
    with suppress(OSError):
        out.rmdir()
