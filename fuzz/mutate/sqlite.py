"""Changes of SQLite files: values of any type in any row, and the schema itself."""

from __future__ import annotations

import sqlite3
from random import Random
from typing import Any

from fuzz.mutate import raw
from fuzz.mutate.values import NUMBERS, TEXTS

_SMALL = tuple(one for one in NUMBERS if isinstance(one, float) or -(2**63) <= one < 2**63)
_SCHEMA = (
    *("pragma user_version = 99", "pragma application_id = 7", "drop table {table}"),
    *("create table other (x)", "alter table {table} add column more text", "delete from {table}"),
    *("create view v as select 1", "alter table {table} rename to gone", "vacuum"),
)


def mutate(data: bytes, random: Random) -> bytes:
    """Return an SQLite file with one to three changes; bytes that are none are given back.

    Rows are changed past the types and rules of their table, which are put back as they were.
    """
    connection = sqlite3.connect(":memory:", isolation_level=None)
    plain = bytearray(data)
    plain[18:20] = b"\1\1"  # no write-ahead log, which memory cannot have
    try:
        connection.deserialize(bytes(plain))
        for _ in range(random.choice((1, 1, 2, 3))):
            _change(connection, random)
        made = connection.serialize()
    except sqlite3.Error:
        return raw.mutate(data, random)
    finally:
        connection.close()
    return made


def _change(connection: sqlite3.Connection, random: Random) -> None:
    tables = [
        name
        for (name,) in connection.execute(
            "select name from sqlite_master where type = 'table' and name not like 'sqlite%'"
        )
    ]
    if not tables:
        return
    table = random.choice(tables)
    if random.random() < 0.12:
        connection.execute(random.choice(_SCHEMA).format(table=table))
        return
    triggers = connection.execute("select name, sql from sqlite_master where type = 'trigger'")
    kept = triggers.fetchall()
    for name, _ in kept:
        connection.execute(f'drop trigger "{name}"')
    try:
        _change_row(connection, table, random)
    finally:
        for _, sql in kept:
            connection.execute(sql)


def _change_row(connection: sqlite3.Connection, table: str, random: Random) -> None:
    told = connection.execute(f'pragma table_info("{table}")').fetchall()
    columns = [one[1] for one in told]
    keys = [k for k, one in enumerate(told) if one[5]] or list(range(len(columns)))
    rows = connection.execute(f'select * from "{table}"').fetchall()
    if not rows:
        return
    row = random.choice(rows)
    where = " and ".join(f'"{columns[k]}" is ?' for k in keys)
    named = [row[k] for k in keys]
    if random.random() < 0.15:
        connection.execute(f'delete from "{table}" where {where}', named)
        return
    at = random.randrange(len(columns))
    value = _other(row[at], random)
    try:
        connection.execute(
            f'update "{table}" set "{columns[at]}" = ? where {where}', [value, *named]
        )
    except sqlite3.IntegrityError:
        return  # this table's own rule stands in the file; another change shows more


def _other(old: Any, random: Random) -> Any:
    """Return something else in the place of a value, of its own type mostly."""
    if isinstance(old, int) and random.random() < 0.5:
        return old + random.choice((1, -1, 10**6))
    if isinstance(old, str) and old and random.random() < 0.4:
        return old[: random.randrange(len(old))] + random.choice(("", "x", "'"))
    if isinstance(old, bytes) and random.random() < 0.7:
        return raw.mutate(old, random)
    odd = (*_SMALL, *(one for one in TEXTS if one.isascii() or one == "é"), None, b"", b"\xff\0")
    return random.choice(odd)
