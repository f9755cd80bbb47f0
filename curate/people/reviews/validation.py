"""Validation of decisions before they are written: types, ranges, known ids, readable masks."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from curate.errors import CallError, SourceError
from curate.formats.segmentation import read_segmentation
from curate.people.reviews.schema import ACTIONS, KINDS
from curate.store.audit import StoredAudit
from curate.store.rows_by_id import are_known, decode_masks, encode_canonical, pair_iou, rows_of

MISSING_COLUMNS = (
    "image_id",
    "segmentation",
    "category",
    "reviewer",
    "seconds",
    "time",
    "withdrawn",
    "key",
    "row",
)
IMAGE_COLUMNS = ("image_id", "reviewer", "seconds", "time", "draw_id", "key", "row")
"""Columns that added masks, and images looked at, may be given with."""


def check_missing(audit: StoredAudit, given: pd.DataFrame, origin: str, now: int) -> pd.DataFrame:
    """Return added masks in their types, each of them readable; see :func:`check_decisions`."""
    check_columns(given, MISSING_COLUMNS, ("image_id", "segmentation"))
    rows = _check_images(audit, given, origin, now)
    frame = rows.frame
    frame["category"] = as_texts(rows, "category")
    frame["withdrawn"] = frame["withdrawn"].astype("int64") if "withdrawn" in frame else 0
    images = rows_of(
        audit, "images", "image_id", frame["image_id"].to_numpy(), ["height", "width"]
    ).set_index("image_id")
    images = images.loc[frame["image_id"]]
    sizes = images["height"].to_numpy(np.int64), images["width"].to_numpy(np.int64)
    frame["segmentation"] = pd.Series(parse_masks(rows, *sizes)[0], dtype=object)
    return frame


def check_reviewed_images(
    audit: StoredAudit, given: pd.DataFrame, origin: str, now: int
) -> pd.DataFrame:
    """Return reviewed images in their types; see :func:`check_decisions`."""
    check_columns(given, IMAGE_COLUMNS, ("image_id",))
    rows = _check_images(audit, given, origin, now)
    draws = as_id_column(rows.frame, "draw_id", origin) if "draw_id" in rows.frame else pd.NA
    rows.frame["draw_id"] = draws
    rows.frame["draw_id"] = rows.frame["draw_id"].astype("Int64")
    return rows.frame


def _check_images(audit: StoredAudit, given: pd.DataFrame, origin: str, now: int) -> InputRows:
    frame = given.reset_index(drop=True).copy(deep=False)
    frame["image_id"] = as_id_column(frame, "image_id", origin)
    rows = InputRows(frame, origin, "image_id")
    here = are_known(audit, "images", "image_id", frame["image_id"].to_numpy(np.int64))
    rows.refuse(~here, lambda value: "the audit has no such image", "image_id")
    frame["seconds"] = _as_seconds(rows)
    frame["time"] = as_times(rows, now)
    for name in ("reviewer", "key"):
        frame[name] = as_texts(rows, name)
    frame["reviewer"] = frame["reviewer"].fillna("").str.strip()
    return rows


DECISION_COLUMNS = (
    *("mask_id", "action", "iou", "segmentation", "category", "reviewer", "seconds", "time"),
    *("queue_kind", "inclusion_probability", "draw_id", "key", "row", "note"),
)
"""Columns that decisions may be given with; ``row`` says where each stands, for messages, ``note``
holds a :class:`~curate.people.reviews.decision_notes.DecisionNote`, or None."""

MAX_TEXT = 500
"""Most characters of a reviewer's name, a category or a key."""

SKEW_US = 5 * 60 * 1_000_000
"""How far another machine's clock may be ahead of ours."""

SAME_IOU = 0.01
"""How far a stated IoU may be from the measured one: people round."""


@dataclass(frozen=True)
class InputRows:
    """Rows to be checked, and how a message names one of them.

    Attributes:
        frame: The rows, index from 0.
        origin: Where they come from.
        id_name: The column that names a row's mask or image.
    """

    frame: pd.DataFrame
    origin: str
    id_name: str = "mask_id"

    def where(self, at: int) -> str:
        """Return the place of a row for messages: the file, the row in it, and the mask or
        image."""
        row = self.frame.iloc[at]
        row_text = f", {row['row']}" if "row" in self.frame and pd.notna(row["row"]) else ""
        return f"{self.origin}{row_text}, {self.id_name.removesuffix('_id')} {row[self.id_name]}"

    def refuse(self, bad: Any, what: Callable[[Any], str], column: str, do: str = "") -> None:
        """Raise for the first of some rows, if there is any.

        Args:
            bad: Which rows are wrong.
            what: Says it, given the row's value of ``column``.
            column: The column that is wrong.
            do: What can be done about it.

        Raises:
            SourceError: There is such a row.
        """
        rows = np.flatnonzero(np.asarray(bad, np.bool_))
        if not len(rows):
            return
        at = int(rows[0])
        more = f" (and so are {len(rows) - 1:,} more rows)" if len(rows) > 1 else ""
        raise SourceError(f"{what(self.frame[column].iloc[at])}{more}", self.where(at), do)


def check_columns(frame: pd.DataFrame, allowed: tuple[str, ...], needed: tuple[str, ...]) -> None:
    """Check that a frame has the required columns, and no unknown ones.

    Raises:
        CallError: It does not.
    """
    if lacking := [name for name in needed if name not in frame.columns]:
        raise CallError(f"the column {lacking[0]} is missing", "decisions")
    if strange := [str(name) for name in frame.columns if name not in allowed]:
        known_ones = ", ".join(allowed)
        raise CallError(f"there is no column {strange[0]}", "decisions", f"use {known_ones}")


def check_decisions(audit: StoredAudit, given: pd.DataFrame, origin: str, now: int) -> pd.DataFrame:
    """Return decisions in their types, each of them valid.

    Args:
        audit: The audit whose masks they are about.
        given: Columns of :data:`DECISION_COLUMNS`; at least ``mask_id`` and ``action``.
        origin: Where they come from, for messages.
        now: The time, in microseconds since 1970.

    Returns:
        All columns of :data:`DECISION_COLUMNS` and ``image_id``; ``time`` in microseconds, 0 where
        it is not given. ``segmentation`` is in the one spelling that equal pixels have, ``iou``
        measured.

    Raises:
        SourceError: A row is wrong; says which and why.
    """
    check_columns(given, DECISION_COLUMNS, ("mask_id", "action"))
    frame = given.reset_index(drop=True).copy(deep=False)
    frame["mask_id"] = as_id_column(frame, "mask_id", origin)
    rows = InputRows(frame, origin)
    _check_words(rows)
    for name in ("iou", "inclusion_probability"):
        frame[name] = _as_floats(rows, name)
    rows.refuse(
        ~frame["iou"].between(0, 1) & frame["iou"].notna(), _out_of_range("IoU", "0 to 1"), "iou"
    )
    frame["seconds"], chance = _as_seconds(rows), frame["inclusion_probability"]
    wrong = chance.notna() & ~((chance > 0) & (chance <= 1))
    rows.refuse(
        wrong, _out_of_range("inclusion probability", "over 0, up to 1"), "inclusion_probability"
    )
    frame["draw_id"] = as_id_column(frame, "draw_id", origin) if "draw_id" in frame else pd.NA
    frame["draw_id"] = frame["draw_id"].astype("Int64")
    frame["time"] = as_times(rows, now)
    for name in ("reviewer", "category", "key"):
        frame[name] = as_texts(rows, name)
    frame["reviewer"] = frame["reviewer"].fillna("").str.strip()
    wrong = frame["category"].notna() & (frame["action"] != "fix")
    what = "has a corrected category; only a fix can have one"
    rows.refuse(wrong, lambda value: f"the action {value} {what}", "action")
    frame["image_id"] = _check_known(audit, rows)
    frame["segmentation"] = frame.get("segmentation", None)
    _check_masks(audit, rows)
    return frame


def _check_words(rows: InputRows) -> None:
    frame = rows.frame
    bad = ~frame["action"].isin(ACTIONS)
    do = "use accept, reject or fix"
    rows.refuse(bad, lambda value: f"the action is {_quote_value(value)}", "action", do)
    if "queue_kind" not in frame:
        frame["queue_kind"] = None
    frame["queue_kind"] = frame["queue_kind"].astype(object).where(frame["queue_kind"].notna())
    bad = frame["queue_kind"].notna() & ~frame["queue_kind"].isin(KINDS)
    do = f"use {', '.join(KINDS)}"
    rows.refuse(bad, lambda value: f"the queue kind is {_quote_value(value)}", "queue_kind", do)


def _quote_value(value: object) -> str:
    return repr(str(value)[:60])


def _out_of_range(name: str, range_: str) -> Callable[[Any], str]:
    return lambda value: f"the {name} is {value:g}, not {range_}"


def as_id_column(frame: pd.DataFrame, name: str, origin: str) -> pd.Series[Any]:
    """Return ids as integers; only draws may be missing."""
    try:
        numbers = frame[name].astype("Int64")
    except (TypeError, ValueError, OverflowError) as error:
        raise CallError(f"{name} holds what is no whole number", origin) from error
    if name == "draw_id":
        return numbers
    if numbers.isna().any():
        raise CallError(f"{name} is missing in some rows", origin)
    return numbers.astype("int64")


def _as_floats(rows: InputRows, name: str) -> pd.Series[Any]:
    if name not in rows.frame:
        return pd.Series(np.nan, index=rows.frame.index)
    try:
        return rows.frame[name].astype("float64")
    except (TypeError, ValueError) as error:
        raise CallError(f"{name} holds what is no number", rows.origin) from error


def _as_seconds(rows: InputRows) -> pd.Series[Any]:
    """Return how long each row took, NaN where that is not known."""
    rows.frame["seconds"] = seconds = _as_floats(rows, "seconds")
    wrong = (seconds < 0) | np.isinf(seconds)
    rows.refuse(wrong, _out_of_range("time taken", "0 s or more"), "seconds")
    return seconds


def as_times(rows: InputRows, now: int) -> pd.Series[Any]:
    """Return times in microseconds since 1970, 0 where none is given."""
    if "time" not in rows.frame:
        return pd.Series(0, index=rows.frame.index)
    try:
        read = pd.to_datetime(rows.frame["time"], utc=True, format="ISO8601")
    except (TypeError, ValueError, OverflowError) as error:
        raise CallError("time holds what is no time", rows.origin, "use ISO 8601") from error
    given = read.notna()
    micro = read.dt.as_unit("us").astype("int64").where(given, 0)
    do = "check the clock of the machine that wrote it"
    rows.refuse(given & (micro <= 0), lambda value: f"the time {value} is before 1970", "time", do)
    late = given & (micro > now + SKEW_US)
    rows.refuse(late, lambda value: f"the time {value} is in the future", "time", do)
    return micro


def as_texts(rows: InputRows, name: str) -> pd.Series[Any]:
    """Return names as text, NA where missing; refuse invalid text."""
    if name not in rows.frame:
        return pd.Series(pd.NA, index=rows.frame.index, dtype="str")
    values = rows.frame[name].astype(object)
    values = values.where(values.notna(), None)
    odd = [value for value in values.unique() if value is not None and not _is_text(value)]
    limit = f"the {name} is no text of up to {MAX_TEXT} characters"
    rows.refuse(values.isin(odd), lambda value: f"{limit}: {ascii(value)[:60]}", name)
    if name == "reviewer":
        odd = [value for value in values.unique() if value is not None and not is_name(value)]
        what = "the reviewer's name has a line break or another control character"
        rows.refuse(values.isin(odd), lambda value: f"{what}: {ascii(value)[:60]}", name)
    return pd.Series(values, dtype="str")


def is_name(text: str) -> bool:
    """Return whether a text is valid as a person's name: short, on one line."""
    return _is_text(text) and not any(
        unicodedata.category(letter) in ("Cc", "Zl", "Zp") for letter in text.strip()
    )


def _is_text(value: object) -> bool:
    if not isinstance(value, str) or len(value) > MAX_TEXT or "\0" in value:
        return False
    return value.isascii() or value.encode("utf-8", "ignore").decode("utf-8") == value


def _check_known(audit: StoredAudit, rows: InputRows) -> pd.Series[Any]:
    """Return the image of each row's mask; refuse masks that the audit does not have."""
    ids = rows.frame["mask_id"].to_numpy(np.int64)
    found = rows_of(audit, "masks", "mask_id", ids, ["image_id"]).set_index("mask_id")["image_id"]
    at = found.index.get_indexer(pd.Index(ids))
    do = f"see that it belongs to the audit {audit.path.name}"
    rows.refuse(at < 0, lambda value: "the audit has no such mask", "mask_id", do)
    images = found.to_numpy(np.int64)
    return pd.Series(images[at] if len(images) else at, index=rows.frame.index)


def _check_masks(audit: StoredAudit, rows: InputRows) -> None:
    """Read corrected masks and measure their IoU with the original ones, in place."""
    frame = rows.frame
    given = frame["segmentation"].notna().to_numpy()
    wrong = given & (frame["action"] != "fix").to_numpy()
    what = "has a corrected mask; only a fix can have one"
    rows.refuse(wrong, lambda value: f"the action {value} {what}", "action")
    at = np.flatnonzero(given)
    if not len(at):
        frame["segmentation"] = pd.Series(None, index=frame.index, dtype=object)
        return
    own = rows_of(
        *(audit, "masks", "mask_id", frame["mask_id"].to_numpy()[at]),
        ["segmentation", "height", "width"],
    ).set_index("mask_id")
    own = own.loc[frame["mask_id"].iloc[at]]
    sizes = own["height"].to_numpy(np.int64), own["width"].to_numpy(np.int64)
    some = InputRows(frame.iloc[at].reset_index(drop=True), rows.origin)
    counts, new = parse_masks(some, *sizes)
    old, problems = decode_masks(own["segmentation"], *sizes)
    iou = pair_iou(old, new)
    iou[[problem != "" for problem in problems]] = np.nan
    stated = some.frame["iou"].to_numpy(np.float64)
    off = np.abs(stated - iou) > SAME_IOU  # NaN is not
    measured = pd.Series([f"{s:g}, but measured {m:.4f}" for s, m in zip(stated, iou, strict=True)])
    checked = InputRows(some.frame.assign(measured=measured), rows.origin)
    checked.refuse(off, lambda value: f"the stated IoU of the correction is {value}", "measured")
    corrected = np.full(len(frame), None, object)
    corrected[at] = counts
    frame["segmentation"] = corrected
    known_iou = np.isfinite(iou)
    frame.loc[at[known_iou], "iou"] = iou[known_iou]


def parse_masks(rows: InputRows, heights: Any, widths: Any) -> tuple[list[bytes], Any]:
    """Return masks as canonical counts and as runs; refuse the first that cannot be used."""
    counts: list[bytes | None] = []
    found: list[str] = []
    sizes = zip(heights.tolist(), widths.tolist(), strict=True)
    for value, (height, width) in zip(rows.frame["segmentation"], sizes, strict=True):
        one = _parse_mask(value, height, width)
        counts.append(one[0])
        found.append(one[1])
    runs, problems = decode_masks(counts, heights, widths)
    problem = pd.Series([text or why for text, why in zip(found, problems, strict=True)])
    shown = InputRows(rows.frame.assign(problem=problem), rows.origin, rows.id_name)
    shown.refuse(
        problem != "", lambda value: f"its corrected mask cannot be read: {value}", "problem"
    )
    empty = np.diff(runs.offsets) == 0
    rows.refuse(empty, lambda value: "its corrected mask has no pixel", rows.id_name)
    return encode_canonical(runs), runs


def _parse_mask(value: Any, height: int, width: int) -> tuple[bytes | None, str]:
    """Return a segmentation's counts, or its problem."""
    if isinstance(value, str):
        value = {"size": [height, width], "counts": value}
    if isinstance(value, bytes):
        return value, ""
    read = read_segmentation(value, height, width)
    return read.counts, read.detail if read.counts is None else ""
