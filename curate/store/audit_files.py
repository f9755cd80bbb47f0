"""Files of an audit directory: paths of parts, atomic writes, reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from curate.common import files
from curate.dataset.notes import Note, encodable, merge_notes
from curate.errors import AuditError, unwritable_advice
from curate.store.audit_info import INFO, AuditInfo
from curate.store.audit_records import CountsRecord
from curate.store.parquet_parts import RESTORE, read_columns, read_names, read_rows, reading_part

_NOTES = b"curate notes"
"""Metadata key of the notes of a part's images."""


def with_notes(images: pa.Table, notes: Iterable[Note]) -> pa.Table:
    """Return a part's images with its notes beside them."""
    stated = [asdict(note) for note in notes]
    if not stated:
        return images
    metadata = (images.schema.metadata or {}) | {_NOTES: orjson.dumps(stated)}
    return images.replace_schema_metadata(metadata)


def notes_of_parts(out: Path) -> tuple[Note, ...]:
    """Return the notes of all parts, those of one kind as one."""
    found: list[Note] = []
    for index in range(count_parts(out)):
        stated = (read_part(out, "images", index, []).schema.metadata or {}).get(_NOTES)
        for note in orjson.loads(stated) if stated else []:
            found.append(Note(**note | {"examples": tuple(note["examples"])}))
    return merge_notes(found)


WORK = "work"
"""Folder of intermediate files of an unfinished audit."""

PICKED_BY = ("mask_id", "image_id", "priority", "rank", "quality_score")
"""Columns by which queries pick a few rows: bounds let them skip whole parts."""


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path`` that replaces it when the block ends well.

    Raises:
        AuditError: The disk is full or the directory cannot be written; nothing is left behind.
    """
    temporary = path.with_name(f".{path.name}.{files.process_tag()}.tmp")
    try:
        files.mkdir(path.parent, parents=True, exist_ok=True)
        yield temporary
        files.replace(temporary, path)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        do = f"what is done so far is kept; {unwritable_advice(error)}"
        raise AuditError(f"it cannot be written: {reason}", str(path), do) from error
    finally:
        # Where nothing can be written nothing can be removed: why the block failed is said.
        with suppress(OSError):
            files.unlink(temporary, missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file whole or not at all; NaN becomes null.

    Bytes of file names that are no UTF-8 become escapes.
    """
    with writing(path) as temporary:
        option = orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY
        try:
            data = orjson.dumps(value, option=option)
        except orjson.JSONEncodeError:
            data = orjson.dumps(encodable(value), option=option)
        files.write_bytes(temporary, data)


def write_info(out: Path, info: AuditInfo) -> None:
    """Write ``audit.json`` into an audit directory, whole or not at all."""
    write_json(out / INFO, info.as_dict())


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
    with writing(path) as temporary, files.open_file(temporary) as file:
        pq.write_table(
            table,
            file,
            use_dictionary=words,
            compression=codecs,
            write_statistics=bounded or False,
            write_page_checksum=True,
        )


def write_scored(path: Path, table: pa.Table) -> None:
    """Write one scored part, not yet decided on, whole or not at all.

    It is read several times and then written as Parquet, so it is plain Arrow: written at the speed
    of a copy, and mapped into memory column by column instead of being read.
    """
    with (
        writing(path) as temporary,
        files.open_file(temporary) as file,
        pa.ipc.new_file(file, table.schema) as writer,
    ):
        writer.write_table(table)


def read_scored(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Map what :func:`write_scored` wrote into memory; only pages that are used are read."""
    with reading_part(path), pa.memory_map(str(path)) as file:
        table = pa.ipc.open_file(file).read_all()
    return table if columns is None else table.select(list(columns))


def scored_path(root: Path, kind: str, index: int) -> Path:
    """Return the path of part ``index`` until it is decided on."""
    return part_path(root, kind, index).with_suffix(".arrow")


def is_scored(root: Path, index: int) -> bool:
    """Return whether part ``index`` is there, decided on or not; masks are written last."""
    return any(f(root, "masks", index).exists() for f in (scored_path, part_path))


def part_path(root: Path, kind: str, index: int) -> Path:
    """Return the path of part ``index`` of ``kind`` ("masks" or "images")."""
    return root / kind / f"part-{index:06d}.parquet"


def part_paths(root: Path, kind: str) -> list[Path]:
    """Return the parts of ``kind`` that are there, in order."""
    return sorted((root / kind).glob("part-*.parquet"))


def check_parts(root: Path, stated: int | None, counts: CountsRecord | None) -> None:
    """Check that no part of a finished audit is missing: parts are numbered from 0, of both kinds.

    Args:
        root: The audit directory.
        stated: How many there are by ``audit.json``; None in one of an earlier curate: then the end
            of each part is read.
        counts: How many masks and images there are by ``audit.json``.

    Raises:
        AuditError: One is missing, or is none of this audit's; names it.
    """
    numbers = {
        kind: {
            int(path.stem[5:])
            for path in part_paths(root, kind)
            if path.stem[5:].isdecimal() and path.is_file()  # a pipe would be waited for
        }
        for kind in ("masks", "images")
    }
    there = len(numbers["masks"] | numbers["images"])
    for index in range(max(1, there, stated or 0)):
        for kind, found in numbers.items():
            where = str(part_path(root, kind, index))
            if index not in found:
                raise AuditError("a part of the audit is missing", where, RESTORE)
            if stated is not None and index >= max(1, stated):
                raise AuditError("it does not belong to this audit", where, RESTORE)
    if stated is not None or counts is None:
        return
    for kind, written in (("masks", counts["masks"]), ("images", counts["images"])):
        rows = sum(read_rows(path) for path in part_paths(root, kind))
        if rows != written:
            what = f"its parts hold {rows:,} {kind}, and {written:,} were written"
            raise AuditError(what, str(root / kind), RESTORE)


def count_parts(root: Path) -> int:
    """Return the number of parts that are there, decided on or not."""
    return len({path.stem for path in (root / "masks").glob("part-*.*")})


def part_names(root: Path, kind: str, index: int) -> list[str]:
    """Return the columns of a part."""
    scored = scored_path(root, kind, index)
    if scored.exists():
        return list(read_scored(scored).schema.names)
    return read_names(part_path(root, kind, index))


def read_part(root: Path, kind: str, index: int, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a part, decided on or not; where both are there, what was scored counts."""
    scored = scored_path(root, kind, index)
    if scored.exists():
        return read_scored(scored, columns)
    return read_columns(part_path(root, kind, index), columns)


def to_frame(table: pa.Table) -> pd.DataFrame:
    """Return an Arrow table as pandas, with the types that :class:`MaskTable` checks."""
    frame: pd.DataFrame = table.to_pandas(
        types_mapper={
            pa.large_string(): pd.ArrowDtype(pa.large_string()),
            pa.large_binary(): pd.ArrowDtype(pa.large_binary()),
        }.get
    )
    return frame
