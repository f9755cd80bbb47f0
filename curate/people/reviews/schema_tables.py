"""SQL of the tables in the file of decisions, by schema version, and the steps from 2 to 5.

Version 5 adds how long it took to add a mask, and to search an image. Version 4 adds answers to
proposed missing masks. Version 3 adds decisions made in bulk (another value of ``queue_kind``, and
the view ``looks`` without them) and notes on decisions. SQLite cannot alter a check of a column, so
the step follows the way its documentation gives for changes that touch no row: the table's text is
replaced in the schema itself (https://www.sqlite.org/lang_altertable.html), in the transaction that
makes the new tables.
A step is taken only where the file holds exactly the objects that its version writes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from functools import cache

SCHEMA_VERSION = 5
"""Version of the tables; a file of a version that is not known is refused."""

UPGRADED_VERSIONS = (2, 3, 4)
"""Versions of the tables that are brought to today's when a file is opened."""

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
  queue_kind text not null check (
    queue_kind in ('errors', 'learn', 'estimate', 'none', 'bulk')),
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
"""Times are microseconds since 1970, UTC. A decision that was taken back stays, but not stands.
``looks`` are the decisions of somebody who saw the mask. Tags of a note are a JSON array of texts;
the last note of a decision counts."""

_ADDED = """
create view looks as select * from standing where queue_kind <> 'bulk';
create table notes (
  note_id integer primary key,
  decision_id integer not null references decisions,
  tags text not null,
  comment text not null,
  time integer not null,
  key text not null unique
) strict;
create index notes_decision on notes (decision_id);
"""
"""What version 3 adds to the tables above."""

_PROPOSALS = """
create table proposals (
  answer_id integer primary key,
  proposal_id integer not null,
  image_id integer not null,
  answer text not null check (answer in ('add', 'refuse', 'back')),
  back_of text check ((back_of is null) = (answer <> 'back')),
  reviewer text not null,
  seconds real check (seconds >= 0),
  time integer not null,
  key text not null unique
) strict;
create index proposals_place on proposals (proposal_id);
"""
"""What version 4 adds: what people answered to places where a mask may be missing. An added mask
stands in ``missing`` under the key of its answer; "back" takes the answer with the key ``back_of``
back."""

_SECONDS = """
alter table missing add column seconds real check (seconds >= 0);
alter table looked add column seconds real check (seconds >= 0);
"""
"""What version 5 adds: the seconds that somebody spent on an added mask, and on the search for
missing masks in an image after its masks; null where they are not known."""

_KINDS = """\
  queue_kind text not null check (
    queue_kind in ('errors', 'learn', 'estimate', 'none', 'bulk')),
"""
_KINDS_BEFORE = """\
  queue_kind text not null check (queue_kind in ('errors', 'learn', 'estimate', 'none')),
"""
"""The line of ``decisions`` that version 3 changed, and how version 2 has it."""

APPEND_ONLY = """
create trigger {table}_no_{event} before {event} on {table}
begin select raise(abort, 'decisions are only ever added'); end;
"""
"""Triggers that keep a table append-only; to be formatted with ``table`` and ``event``."""

_APPENDED = ("about", "draws", "drawn", "decisions", "withdrawn", "missing", "looked")


def schema_script(version: int = SCHEMA_VERSION) -> str:
    """Return the SQL of all tables, indexes, views and triggers of a schema version (2 to 5)."""
    tables = _TABLES if version > 2 else _TABLES.replace(_KINDS, _KINDS_BEFORE)
    added = (script for number, script in _STEPS if number <= version)
    return tables + "".join(map(_triggers, _APPENDED)) + "".join(added)


def _triggers(table: str) -> str:
    return "".join(APPEND_ONLY.format(table=table, event=event) for event in ("update", "delete"))


_STEPS = (
    (3, _ADDED + _triggers("notes")),
    (4, _PROPOSALS + _triggers("proposals")),
    (5, _SECONDS),
)
"""What each version adds: objects of their own, and columns at the end of tables."""


def read_objects(connection: sqlite3.Connection) -> list[tuple[str, str, str]]:
    """Return every table, index and trigger with its SQL, but SQLite's own."""
    found = connection.execute(
        "select type, name, coalesce(sql, '') from sqlite_master where name not like 'sqlite~_%'"
        " escape '~' order by type, name"
    )
    return [(str(kind), str(name), str(sql)) for kind, name, sql in found]


@cache
def expected_objects(version: int = SCHEMA_VERSION) -> list[tuple[str, str, str]]:
    """Return the objects of a newly created file, as this SQLite spells them."""
    connection = sqlite3.connect(":memory:")
    try:
        connection.executescript(schema_script(version))
        return read_objects(connection)
    finally:
        connection.close()


def upgrade_tables(connection: sqlite3.Connection, version: int) -> None:
    """Bring the tables of one of :data:`UPGRADED_VERSIONS` to today's, within an open transaction.

    The caller has compared the file's objects with those of that version; what is replaced is text
    that curate wrote.
    """
    if version < 3:
        _replace_decisions(connection)
    for number, script in _STEPS:
        if number > version:
            for statement in split_statements(script):
                connection.execute(statement)
    connection.execute(f"pragma user_version = {SCHEMA_VERSION}")


def _replace_decisions(connection: sqlite3.Connection) -> None:
    """Replace the text of the table of decisions by that of version 3."""
    sql = next(sql for _, name, sql in expected_objects() if name == "decisions")
    number = int(connection.execute("pragma schema_version").fetchone()[0])
    connection.execute("pragma writable_schema = on")
    try:
        connection.execute(
            "update sqlite_schema set sql = ? where type = 'table' and name = 'decisions'", (sql,)
        )
        connection.execute(f"pragma schema_version = {number + 1}")  # others read it anew
    finally:
        connection.execute("pragma writable_schema = off")


def split_statements(script: str) -> Iterator[str]:
    """Split a script, since executescript would end the transaction that it runs in."""
    text = ""
    for line in script.splitlines(keepends=True):
        text += line
        if sqlite3.complete_statement(text):
            yield text
            text = ""
