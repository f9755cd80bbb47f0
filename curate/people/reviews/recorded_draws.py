"""Draws of masks for review: recorded before they are shown."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypedDict

import numpy as np
import orjson
import pandas as pd

from curate.common.json_values import JsonObject
from curate.dataset.table import plain
from curate.errors import AuditError, CallError
from curate.people.reviews.row_frames import fetch_frame, insert_columns
from curate.people.reviews.validation import InputRows, check_columns
from curate.policy.grammar import check_choice
from curate.store.audit import StoredAudit
from curate.store.rows_by_id import are_known

DRAW_COLUMNS = ("mask_id", "inclusion_probability", "stratum", "place", "slot", "honeypot")
"""Columns of a draw."""

_KINDS = ("errors", "learn", "estimate")


def check_drawn(
    audit: StoredAudit, kind: str, drawn: pd.DataFrame, *, empty: bool = False
) -> pd.DataFrame:
    """Return a draw's rows with all columns, each in its type; see ``Reviews.record_draw``.

    Args:
        audit: The audit.
        kind: What the draw is for.
        drawn: The rows.
        empty: Whether there may be none: images without masks are drawn too.
    """
    check_choice(kind, "kind", _KINDS)
    check_columns(drawn, DRAW_COLUMNS, ("mask_id",))
    frame = drawn.reset_index(drop=True).copy(deep=False)
    if not len(frame) and not empty:
        raise CallError("no mask was drawn", "draw")
    defaults: dict[str, Any] = {
        "inclusion_probability": np.nan,
        "stratum": pd.NA,
        "slot": 0,
        "honeypot": None,
    }
    for name, value in (defaults | {"place": np.arange(1, len(frame) + 1)}).items():
        if name not in frame:
            frame[name] = value
    types = {"mask_id": "int64", "inclusion_probability": "float64", "stratum": "Int64"}
    try:
        frame = frame.astype(types | {"place": "int64", "slot": "int64", "honeypot": "object"})
    except (TypeError, ValueError) as error:
        raise CallError(f"a column of the draw has another type ({error})", "draw") from error
    frame["honeypot"] = frame["honeypot"].where(frame["honeypot"].notna(), None)
    rows = InputRows(frame, "draw")
    chance, honeypot = frame["inclusion_probability"], frame["honeypot"]
    bad = chance.notna() & ~((chance > 0) & (chance <= 1))
    if kind == "estimate":
        bad |= chance.isna() & honeypot.isna()
    said = "its inclusion probability is"
    rows.refuse(bad, lambda value: f"{said} {value}", "inclusion_probability")
    rows.refuse(~frame["slot"].isin((0, 1)), lambda value: f"its slot is {value}", "slot")
    bad = honeypot.notna() & ~honeypot.isin(("accept", "reject"))
    rows.refuse(bad, lambda value: f"its known answer is {value!r}", "honeypot")
    twice = frame.duplicated(["mask_id", "slot"])
    rows.refuse(twice, lambda value: f"it occurs twice in slot {value}", "slot")
    rows.refuse(frame.duplicated("place"), lambda value: f"place {value} is taken", "place")
    here = are_known(audit, "masks", "mask_id", frame["mask_id"].to_numpy(np.int64))
    rows.refuse(~here, lambda value: "the audit has no such mask", "mask_id")
    return frame[list(DRAW_COLUMNS)]


def write_draw(
    connection: sqlite3.Connection,
    kind: str,
    drawn: pd.DataFrame,
    settings: JsonObject,
    *,
    draw_id: int | None,
    now: int,
) -> int:
    """Write a checked draw within an open transaction and return its number.

    Args:
        connection: The open file.
        kind: What it is for.
        drawn: Its rows.
        settings: How it was drawn.
        draw_id: The number that it must have; None for the next one.
        now: The time, in microseconds since 1970.

    Raises:
        CallError: Another draw has that number, or the settings are no JSON.
    """
    try:
        said = orjson.dumps(dict(settings), option=orjson.OPT_SERIALIZE_NUMPY).decode()
    except TypeError as error:
        raise CallError(f"the settings of a draw are no JSON ({error})", "draw") from error
    taken = connection.execute("select 1 from draws where draw_id = ?", (draw_id,)).fetchone()
    if taken is not None:
        what = f"another process has recorded draw {draw_id} in the meantime"
        raise CallError(
            what, "draw", "draw again: what was to be shown may have been shown to them"
        )
    cursor = connection.execute(
        "insert into draws (draw_id, kind, created, settings) values (?, ?, ?, ?)",
        (draw_id, kind, now, said),
    )
    number = int(cursor.lastrowid or 0)
    columns = {name: plain(drawn[name]) for name in DRAW_COLUMNS}
    columns["inclusion_probability"] = drawn["inclusion_probability"].tolist()
    insert_columns(connection, "drawn", {"draw_id": [number] * len(drawn), **columns})
    return number


def read_draws(connection: sqlite3.Connection, path: Path) -> pd.DataFrame:
    """Return all draws.

    Returns:
        ``draw_id``, ``kind``, ``created``, ``settings`` (a dict), ``masks`` (different ones shown,
        without known answers), ``decided`` (how many of them were decided on for this draw).
    """
    frame = fetch_frame(
        connection,
        "select draw_id, kind, created, settings,"
        " (select count(distinct mask_id) from drawn d where d.draw_id = w.draw_id"
        "  and honeypot is null),"
        " (select count(distinct c.mask_id) from standing c join drawn d on d.mask_id = c.mask_id"
        "  and d.draw_id = c.draw_id where c.draw_id = w.draw_id and d.honeypot is null)"
        " from draws w order by draw_id",
        ("draw_id", "kind", "created", "settings", "place", "slot"),
    ).rename(columns={"place": "masks", "slot": "decided"})
    try:
        frame["settings"] = [orjson.loads(text) for text in frame["settings"]]
    except orjson.JSONDecodeError as error:
        raise AuditError("a draw's settings are no JSON", str(path), "restore a copy") from error
    return frame.astype({"draw_id": "int64"})


def read_drawn(connection: sqlite3.Connection, draw_id: int) -> pd.DataFrame:
    """Return one draw's rows; see ``Reviews.read_draw``."""
    sql = f"select {', '.join(DRAW_COLUMNS)} from drawn where draw_id = ? order by place"
    frame = fetch_frame(connection, sql, DRAW_COLUMNS, (int(draw_id),))
    known = connection.execute("select 1 from draws where draw_id = ?", (int(draw_id),)).fetchone()
    if known is None:
        raise CallError(f"there is no draw {draw_id}", "draw")
    honeypot = frame["honeypot"].astype(object)
    frame["honeypot"] = honeypot.where(honeypot.notna(), None)
    known_strata = frame["stratum"].notna().all()
    return frame.astype({"stratum": "int64"}) if known_strata else frame


class StratumRecord(TypedDict):
    """A stratum of a draw by chance: its number, its masks, and how many of them were drawn."""

    stratum: int
    masks: int
    drawn: int


class DrawnImages(TypedDict):
    """Images that were drawn as a whole, and how many there were to draw from."""

    population: int
    drawn: int
    ids: list[int]


class SharedMasks(TypedDict):
    """Masks for a second person, or with a known answer: the share asked for, and their number."""

    share: float
    masks: int


class DrawSettings(TypedDict, total=False):
    """How a draw was made, as recorded.

    ``population`` are masks in all, ``before`` those (or images) that earlier draws took out; 0
    where they stayed in. ``images`` are drawn as a whole: people are asked for missing masks in
    each of them. ``categories`` are names that the page offers beside those of the masks.
    """

    kind: str
    seed: int
    unit: str
    population: int
    of: str
    before: int
    strata: list[StratumRecord]
    images: DrawnImages
    categories: list[str]
    actions: list[str] | None
    order: str
    line: float
    dataset_version: str
    rows: int
    masks: int
    overlap: SharedMasks
    honeypots: SharedMasks


def asks_for_missing_masks(settings: DrawSettings) -> bool:
    """Return whether a draw is of images as a whole, in which people also look for missing masks.

    That is a random sample of images, or the images of a round of the engine.
    """
    return settings.get("unit") == "image" or "images" in settings


@dataclass(frozen=True)
class RecordedDraw:
    """A recorded draw.

    Attributes:
        number: Its id.
        kind: "errors", "learn", "estimate".
        settings: As recorded.
        rows: ``mask_id``, ``inclusion_probability``, ``stratum``, ``place``, and, where people are
            checked, ``slot`` and ``honeypot``.
    """

    number: int
    kind: str
    settings: DrawSettings
    rows: pd.DataFrame

    @property
    def unit(self) -> str:
        """Unit of random sampling: "mask", "image", or "" for draws that are not random."""
        return self.settings.get("unit", "")

    def sample(self) -> pd.DataFrame:
        """Return the rows that were drawn, each mask once, without checks of people."""
        rows = self.rows
        if "honeypot" in rows:
            rows = rows[rows["honeypot"].isna()]
        if "slot" in rows:
            rows = rows[rows["slot"] == 0]
        return rows


class DrawRegistry(Protocol):
    """Recorded draws; ``curate.people.reviews.Reviews`` has them."""

    def draws(self) -> pd.DataFrame:
        """Return all draws: ``draw_id``, ``kind``, ``settings``."""

    def read_draw(self, draw_id: int) -> pd.DataFrame:
        """Return one draw's rows."""


def read_recorded_draws(record: DrawRegistry) -> tuple[RecordedDraw, ...]:
    """Return all draws, in the order in which they were made."""
    draws = record.draws()
    rows = zip(*(draws[name].tolist() for name in ("draw_id", "kind", "settings")), strict=True)
    return tuple(
        RecordedDraw(int(number), str(kind), settings, record.read_draw(int(number)))
        for number, kind, settings in rows
    )
