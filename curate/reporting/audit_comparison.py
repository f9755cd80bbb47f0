"""Comparison of two audits: masks, decisions, scores."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import orjson
import pandas as pd
import pyarrow as pa

from curate.common import files
from curate.common.paths import AnyPath, check_folder
from curate.common.ranges import ACTIONS
from curate.common.readable_result import ReadableResult
from curate.dataset.table import records
from curate.errors import AuditError
from curate.people.reviews.current_plan import open_audit
from curate.reporting.audit_comparison_page import write_audit_comparison
from curate.rle import area, cross_overlaps, decode_counts
from curate.store.audit import AnyAudit, StoredAudit
from curate.store.audit_sql import column_types, is_number, quote_name

_ROWS_IN_JSON = 1000
_BATCH = 20_000
_SHOWN = "mask_id, source_key, image_id, file_name, category"


@dataclass(frozen=True, repr=False)
class Comparison(ReadableResult):
    """Changes from audit A to audit B.

    Attributes:
        masks_a: Masks in A.
        masks_b: Masks in B.
        joined_by: "mask_id" or "source_key": by what the same mask was found again.
        matched: Masks in both.
        added: Masks only in B: ``mask_id``, ``source_key``, ``image_id``, ``file_name``,
            ``category``.
        dropped: Masks only in A, the same columns.
        changed: Masks whose pixels differ: the same columns, ``mask_id_b``, and ``iou`` of old and
            new (NaN where one of them has no pixels or the image another size), worst first.
        renamed: Masks whose category differs: the same columns, ``category_b``.
        flips: Decisions: ``from``, ``to``, ``count``; all of them, also those that stayed.
        flipped: Masks whose decision differs: ``mask_id``, ``mask_id_b``, ``source_key``, ``from``,
            ``to``, ``reasons``.
        shifts: For each score that both have: ``column``, ``count`` (masks with both),
            ``median_a``, ``median_b``, ``median_shift`` and ``mean_shift`` (B minus A, mask by
            mask).
    """

    masks_a: int
    masks_b: int
    joined_by: str
    matched: int
    added: pd.DataFrame
    dropped: pd.DataFrame
    changed: pd.DataFrame
    renamed: pd.DataFrame
    flips: pd.DataFrame
    flipped: pd.DataFrame
    shifts: pd.DataFrame

    def as_dict(self, rows: int = _ROWS_IN_JSON) -> dict[str, object]:
        """Return plain values; of each list at most ``rows``, its length beside it."""
        lists = ("added", "dropped", "changed", "renamed", "flipped")
        return {
            "masks_a": self.masks_a,
            "masks_b": self.masks_b,
            "joined_by": self.joined_by,
            "matched": self.matched,
            **{f"{name}_count": len(getattr(self, name)) for name in lists},
            "flips": records(self.flips),
            "shifts": records(self.shifts),
            **{name: records(getattr(self, name).head(rows)) for name in lists},
        }

    def as_json(self, rows: int = _ROWS_IN_JSON) -> str:
        """Return :meth:`as_dict` as JSON."""
        return orjson.dumps(self.as_dict(rows), option=orjson.OPT_INDENT_2).decode()

    def _tables(self) -> dict[str, pd.DataFrame]:
        return {"scores": self.shifts, "decisions that differ": self.flipped}

    def text(self) -> str:
        """Return the comparison as plain tables."""
        medium = self.changed["iou"].median()
        iou = f", median IoU {medium:.3f}" if medium == medium else ""
        lines = [
            f"masks      {self.masks_a:,} -> {self.masks_b:,} (matched by {self.joined_by})",
            f"added      {len(self.added):,}",
            f"dropped    {len(self.dropped):,}",
            f"changed    {len(self.changed):,}{iou}",
            f"renamed    {len(self.renamed):,} (different category)",
        ]
        if len(self.flips):
            lines += ["", "decisions, A down, B across", *self._flip_lines()]
        if len(self.shifts):
            lines += [
                "",
                f"{'score':<24}{'median A':>10}{'median B':>10}{'shift':>10}{'masks':>12}",
            ]
            lines += [
                f"{s.column:<24}{s.median_a:>10.3f}{s.median_b:>10.3f}{s.median_shift:>+10.3f}"
                f"{s.count:>12,}"
                for s in self.shifts.itertuples(index=False)
            ]
        return "\n".join(lines)

    def _flip_lines(self) -> list[str]:
        count = {(f, t): n for f, t, n in self.flips.itertuples(index=False)}
        lines = [" " * 10 + "".join(f"{action:>12}" for action in ACTIONS)]
        for old in ACTIONS:
            cells = "".join(f"{count.get((old, new), 0):>12,}" for new in ACTIONS)
            lines.append(f"{old:<10}{cells}")
        return lines


def compare(
    first: AnyAudit,
    second: AnyAudit,
    *,
    html: AnyPath | None = None,
    images: AnyPath | None = None,
) -> Comparison:
    """Say what changed from one audit to another.

    A mask is found again by its ``mask_id`` or by its ``source_key``, whichever finds more masks
    with equal pixels: ids survive editing, keys with a position in the file do not, and where a
    format has no ids it is the other way round.

    Args:
        first: The audit before (A), or its directory.
        second: The audit after (B), or its directory.
        html: A file to write a page to, with the masks that changed most drawn before and after.
        images: Folder of the pictures for it; that of B, else of A, if None.

    Raises:
        AuditError: One of them is not finished, or holds no masks table.
    """
    check_folder(images)
    audit_a, audit_b = open_audit(first), open_audit(second)
    found = _compare(audit_a, audit_b)
    if html is not None:
        write_audit_comparison(Path(html), found, audit_a, audit_b, images)
    return found


def _compare(audit_a: StoredAudit, audit_b: StoredAudit) -> Comparison:
    types_a, types_b = column_types(audit_a), column_types(audit_b)
    with _connect(audit_a, audit_b) as connection:
        joined_by = _best_key(connection)
        _join(connection, joined_by, types_a, types_b)
        n_a, n_b, matched = (
            int(connection.execute(f"select count(*) from {view}").fetchone()[0])
            for view in ("a", "b", "pairs")
        )
        return Comparison(
            masks_a=n_a,
            masks_b=n_b,
            joined_by=joined_by,
            matched=matched,
            added=_only(connection, "b", "id_b"),
            dropped=_only(connection, "a", "id_a"),
            changed=_read_changed(connection),
            renamed=connection.execute(
                f"select a.{_SHOWN.replace(', ', ', a.')}, id_b as mask_id_b, category_b "
                "from pairs join a on mask_id = id_a "
                "where category is distinct from category_b order by mask_id"
            ).df(),
            flips=connection.execute(
                'select action_a as "from", action_b as "to", count(*) as count from pairs'
                " where action_a is not null and action_b is not null group by all order by all"
            ).df(),
            flipped=connection.execute(
                'select id_a as mask_id, id_b as mask_id_b, source_key, action_a as "from", '
                'action_b as "to", reasons from pairs where action_a <> action_b order by mask_id'
            ).df(),
            shifts=_shifts(connection, types_a, types_b),
        )


@contextmanager
def _connect(audit_a: StoredAudit, audit_b: StoredAudit) -> Iterator[Any]:
    """Open DuckDB with the masks of both audits as views ``a`` and ``b``, in bounded memory."""
    with files.scratch() as spill:
        settings = {"memory_limit": "600MB", "temp_directory": str(spill), "threads": 2}
        connection = duckdb.connect(config=settings)
        try:
            for name, audit in (("a", audit_a), ("b", audit_b)):
                if not any((audit.path / "masks").glob("part-*.parquet")):
                    raise AuditError("it holds no masks table", str(audit.path), "audit it again")
                audit.create_views(connection, name, f"{name}_images")
            yield connection
        finally:
            connection.close()


def _best_key(connection: Any) -> str:
    found = []
    for key in ("mask_id", "source_key"):
        pairs, same = connection.execute(
            "select count(*), count(*) filter (a.segmentation = b.segmentation "
            f"and a.file_name is not distinct from b.file_name) from a join b using ({key})"
        ).fetchone()
        found.append((same, pairs, key == "mask_id", key))
    return str(max(found)[-1])


def _join(connection: Any, key: str, types_a: dict[str, str], types_b: dict[str, str]) -> None:
    """Make the table ``pairs``: a row for each mask that both audits have."""
    actions = [
        f"{side}.action" if "action" in types else "null::varchar"
        for side, types in (("a", types_a), ("b", types_b))
    ]
    reasons = "b.reasons" if "reasons" in types_b else "null::varchar"
    connection.execute(
        "create temp table pairs as select a.mask_id as id_a, b.mask_id as id_b, a.source_key, "
        f"b.category as category_b, {actions[0]} as action_a, {actions[1]} as action_b, "
        f"{reasons} as reasons, (a.segmentation is distinct from b.segmentation or "
        "a.height <> b.height or a.width <> b.width) as differs "
        f"from a join b using ({key})"
    )


def _only(connection: Any, view: str, ids: str) -> pd.DataFrame:
    frame: pd.DataFrame = connection.execute(
        f"select {_SHOWN} from {view} where mask_id not in (select {ids} from pairs) "
        "order by mask_id"
    ).df()
    return frame


def _read_changed(connection: Any) -> pd.DataFrame:
    """Return the masks whose pixels differ, with the IoU of old and new, a batch at a time."""
    reader = connection.sql(
        "select a.mask_id, p.id_b as mask_id_b, a.source_key, a.image_id, a.file_name, a.category, "
        "a.segmentation as old, b.segmentation as new, a.height, a.width, b.height as new_height, "
        "b.width as new_width from pairs p join a on a.mask_id = p.id_a "
        "join b on b.mask_id = p.id_b where differs"
    ).to_arrow_reader(_BATCH)
    frames = [_with_iou(pa.Table.from_batches([batch])) for batch in reader]
    names = [*_SHOWN.split(", "), "mask_id_b", "iou"]
    if not frames:
        return pd.DataFrame({name: pd.Series(dtype="float64") for name in names})
    return pd.concat(frames)[names].sort_values(["iou", "mask_id"]).reset_index(drop=True)


def _with_iou(table: pa.Table) -> pd.DataFrame:
    sizes = {n: table[n].to_numpy() for n in ("height", "width", "new_height", "new_width")}
    old, _ = decode_counts(table["old"].to_pylist(), sizes["height"], sizes["width"])
    new, _ = decode_counts(table["new"].to_pylist(), sizes["new_height"], sizes["new_width"])
    rows = np.arange(len(table))
    shared = np.zeros(len(table), np.float64)
    pairs = cross_overlaps(old, rows, new, rows)
    shared[pairs.first] = pairs.intersection
    union = area(old) + area(new) - shared
    comparable = (sizes["height"] == sizes["new_height"]) & (sizes["width"] == sizes["new_width"])
    comparable &= (area(old) > 0) & (area(new) > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        iou = np.where(comparable, shared / union, np.nan)
    dropped = ["old", "new", *sizes]
    frame: pd.DataFrame = table.drop_columns(dropped).to_pandas()
    return frame.assign(iou=iou)


def _shifts(connection: Any, types_a: dict[str, str], types_b: dict[str, str]) -> pd.DataFrame:
    names = ["column", "count", "median_a", "median_b", "median_shift", "mean_shift"]
    rows = []
    for column in types_a:
        scores = column.endswith("_score") or column in ("predicted_iou", "score")
        if not (scores and is_number(types_a[column]) and is_number(types_b.get(column, ""))):
            continue
        x, y = (f"cast({side}.{quote_name(column)} as double)" for side in "ab")
        row = connection.execute(
            f"select count(*), median({x}), median({y}), median({y} - {x}), avg({y} - {x}) "
            "from pairs p join a on a.mask_id = p.id_a join b on b.mask_id = p.id_b "
            f"where isfinite({x}) and isfinite({y})"
        ).fetchone()
        if row[0]:
            rows.append((column, *row))
    return pd.DataFrame(rows, columns=names)
