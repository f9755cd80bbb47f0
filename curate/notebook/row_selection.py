"""Rows of an audit by a condition in the grammar of policies, read part by part."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from curate.common.arrays import BoolArray
from curate.errors import AuditError, CallError
from curate.policy.expression import Expression, Values, values_of
from curate.policy.grammar import near
from curate.policy.policy_columns import DERIVED, PolicyColumns
from curate.store.audit import StoredAudit
from curate.store.audit_files import part_paths, to_frame
from curate.store.parquet_parts import RESTORE, read_columns, read_names, reading_part
from curate.store.people_overlay import OVERRIDDEN, count_moves, with_people

INDEX = {"masks": "mask_id", "images": "image_id"}
"""Index of each table."""


def known_columns(audit: StoredAudit, kind: str) -> set[str]:
    """Return the columns of an audit's "masks" or "images", the index among them."""
    paths = part_paths(audit.path, kind)
    if not paths:
        raise AuditError("its part files are missing", str(audit.path / kind), RESTORE)
    return {*read_names(paths[0]), *(OVERRIDDEN if kind == "masks" else ())}


def check_columns(audit: StoredAudit, kind: str, columns: Sequence[str] | None) -> None:
    """Check that an audit has the columns asked for.

    Raises:
        CallError: It has not; names those that are spelled alike.
    """
    if isinstance(columns, str):
        do = f"give a list: [{columns!r}]"
        raise CallError(f"columns are a list, not the text {columns!r}", "", do)
    known = known_columns(audit, kind) if columns else set()
    for name in columns or ():
        if name not in known:
            raise CallError(f"there is no column {name}", str(audit.path), near(name, known))


def parse_condition(audit: StoredAudit, kind: str, where: str) -> Expression:
    """Return a condition over an audit's "masks" or "images".

    Raises:
        CallError: It does not follow the grammar, or names a column that is not there.
    """
    known = known_columns(audit, kind)
    if kind == "masks":
        known |= {name for name, needs in DERIVED.items() if known.issuperset(needs)}
    condition = Expression.parse(where, "where")
    condition.check(known)
    return condition


def select_rows(
    audit: StoredAudit, kind: str, where: Expression, columns: Sequence[str] | None = None
) -> pd.DataFrame:
    """Return the rows of which a condition holds, in the order of the audit.

    Columns of the plan are those of today: people's decisions in the place of the policy's. One
    part is in memory at a time beside the rows found; of a part without any, only the columns of
    the condition are read.

    Args:
        audit: The audit.
        kind: "masks" or "images".
        where: From :func:`parse_condition`.
        columns: What to read; all if None.

    Returns:
        Index ``mask_id`` or ``image_id``.
    """
    people, index = audit.people(), INDEX[kind]
    paths = part_paths(audit.path, kind)
    tables: list[pa.Table] = []
    for path in paths:
        rows = _holds(kind, where, path, people)
        if not rows.any() and (tables or path != paths[-1]):
            continue
        there = read_names(path)
        wanted = there if columns is None else [n for n in there if n in columns or n == index]
        tables.append(read_columns(path, wanted).filter(pa.array(rows)))
    with reading_part(audit.path / kind):
        table = pa.concat_tables(tables, promote_options="permissive")
    frame = _with_today(kind, _to_indexed(table, index), people)
    return frame if columns is None else frame[[name for name in columns if name != index]]


def _holds(kind: str, where: Expression, path: Path, people: pa.Table | None) -> BoolArray:
    """Return of which rows of a part a condition holds."""
    there = read_names(path)
    needs = {need for name in where.columns for need in (name, *DERIVED.get(name, ()))}
    if "decided_by" in needs:
        needs.add("action")  # of audits made before plans said who decided
    table = read_columns(path, [n for n in there if n in needs or n == INDEX[kind]])
    if people is not None:
        key = INDEX[kind]
        people = people.filter(pc.is_in(people[key], value_set=pc.unique(table[key])))
    frame = _with_today(kind, _to_indexed(table, INDEX[kind]), people)
    if kind == "masks":
        return where.evaluate(PolicyColumns(frame), len(frame))
    columns = frame.reset_index()

    def lookup(name: str) -> Values:
        return values_of(columns[name]) if name in columns else None

    return where.evaluate(lookup, len(frame))


def _to_indexed(table: pa.Table, index: str) -> pd.DataFrame:
    frame = to_frame(table)
    return frame if frame.index.name == index else frame.set_index(index)


def _with_today(kind: str, frame: pd.DataFrame, people: pa.Table | None) -> pd.DataFrame:
    """Return rows with people's decisions in the place of the policy's plan."""
    if kind == "masks":
        return with_people(frame, people)
    moved = count_moves(people)
    for name in moved.columns.intersection(frame.columns):
        frame[name] += moved[name].reindex(frame.index, fill_value=0).astype(frame[name].dtype)
    return frame
