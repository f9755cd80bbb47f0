"""What a report says about a whole audit, gathered by SQL so that memory stays small.

Nothing here loads a column of all masks: DuckDB counts, and a few hundred rows come back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from curate.report.words import KIND_SQL

ACTIONS = ("accept", "review", "reject")

MOST_REASONS = 40
"""Reasons listed; the rarest beyond it are counted together."""


class AuditLike(Protocol):
    """What a report needs of an audit; :class:`curate.store.Audit` has it."""

    @property
    def path(self) -> Path:
        """The audit directory."""

    @property
    def info(self) -> dict[str, Any]:
        """The content of ``audit.json``."""

    def query(self, sql: str) -> pd.DataFrame:
        """Run SQL over the views ``masks`` and ``images``."""


class Source:
    """An audit with its column names at hand.

    Args:
        audit: The audit to read.
    """

    def __init__(self, audit: AuditLike) -> None:
        self.audit = audit
        self.info: Mapping[str, Any] = audit.info or {}
        self.masks = self._columns("masks")
        self.images = self._columns("images")

    def _columns(self, view: str) -> dict[str, str]:
        described = self.audit.query(f"describe {view}")
        return dict(zip(described["column_name"], described["column_type"], strict=True))

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """Run SQL and return plain dicts, None where a value is missing."""
        frame = self.audit.query(sql)
        plain = frame.astype(object).where(frame.notna(), None)
        return [{str(k): v for k, v in row.items()} for row in plain.to_dict("records")]

    def row(self, sql: str) -> dict[str, Any]:
        """Run SQL that gives one row."""
        return self.rows(sql)[0]

    def score_columns(self) -> list[str]:
        """Names of the score columns, the combined quality first, then in the file's order."""
        wanted = [c for c in self.masks if c.endswith("_score") and self.is_number(c)]
        wanted += [c for c in ("predicted_iou", "score") if c in self.masks and self.is_number(c)]
        return sorted(wanted, key=lambda c: c != "quality_score")

    def is_number(self, column: str) -> bool:
        """Whether a mask column holds numbers."""
        kind = self.masks.get(column, "")
        return kind in ("DOUBLE", "FLOAT") or "INT" in kind or kind.startswith("DECIMAL")

    def column(self, name: str, default: str = "null") -> str:
        """Return SQL of a mask column, or of ``default`` where the audit lacks it."""
        return quoted(name) if name in self.masks else default

    def image_column(self, name: str, default: str = "null") -> str:
        """Return SQL of an image column, or of ``default`` where the audit lacks it."""
        return quoted(name) if name in self.images else default


def quoted(name: str) -> str:
    """Return a column name as SQL."""
    return '"' + name.replace('"', '""') + '"'


def value_of(column: str) -> str:
    """Return SQL of a number column with NaN and infinities as null."""
    value = f"cast({quoted(column)} as double)"
    return f"case when isfinite({value}) then {value} end"


def actions_sql(source: Source) -> str:
    """Return SQL that counts masks by action: columns accept, review, reject."""
    action = source.column("action")
    return ", ".join(f"count(*) filter ({action} = '{a}') as {quoted(a)}" for a in ACTIONS)


@dataclass(frozen=True)
class Overview:
    """The dataset in numbers."""

    masks: int
    images: int
    images_with_masks: int
    categories: int
    accept: int
    review: int
    reject: int
    sizes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def decided(self) -> int:
        """Masks that have an action."""
        return self.accept + self.review + self.reject

    def actions(self) -> list[tuple[str, int]]:
        """Return (action, masks) in the order of the bar."""
        return [("accept", self.accept), ("review", self.review), ("reject", self.reject)]


def overview(source: Source) -> Overview:
    """Count the dataset."""
    area = value_of("area_px") if "area_px" in source.masks else "null::double"
    row = source.row(
        f"select count(*) n, count(distinct image_id) used, {actions_sql(source)}, "
        f"count(distinct {source.column('category')}) categories, "
        f"quantile_cont({area}, 0.5) filter ({area} > 0) median_area from masks"
    )
    images = source.row("select count(*) n from images")["n"]
    return Overview(
        masks=int(row["n"]),
        images=int(images),
        images_with_masks=int(row["used"]),
        categories=int(row["categories"]),
        accept=int(row["accept"]),
        review=int(row["review"]),
        reject=int(row["reject"]),
        sizes={"median_area": row["median_area"]},
    )


@dataclass(frozen=True)
class Reason:
    """Masks with one reason.

    Attributes:
        kind: The reason with its numbers blanked; what rows are grouped by.
        text: The reason as shown: exact where all masks share the same sentence.
    """

    index: int
    kind: str
    text: str
    masks: int
    images: int
    review: int
    reject: int

    @property
    def note(self) -> bool:
        """Whether it only remarks on masks that are accepted all the same."""
        return self.review == 0 and self.reject == 0


def said_sql(source: Source) -> str:
    """Return SQL of a row a mask and reason, with the mask's image, action and priority."""
    priority = source.column("priority", "0")
    kind = KIND_SQL.format("reason")
    return (
        f"select *, {kind} as kind from (select mask_id, image_id, {source.column('action')} as "
        f"action, {priority} as priority, trim(unnest(string_split(reasons, '; '))) as reason "
        "from masks where reasons is not null and reasons <> '') where reason <> ''"
    )


def reasons(source: Source) -> tuple[list[Reason], int]:
    """Count the masks of each reason, commonest first and mere notes last.

    Returns:
        The reasons, at most :data:`MOST_REASONS`, and how many rarer ones are not listed.
    """
    if "reasons" not in source.masks:
        return [], 0
    rows = source.rows(
        "select kind, count(distinct mask_id) n, count(distinct image_id) images, "
        "count(*) filter (action = 'review') review, count(*) filter (action = 'reject') reject, "
        f"min(reason) first, max(reason) last from ({said_sql(source)}) "
        "group by kind order by (review + reject > 0) desc, n desc, kind"
    )
    found = [
        Reason(
            index=i,
            kind=row["kind"],
            text=row["first"] if row["first"] == row["last"] else row["kind"],
            masks=int(row["n"]),
            images=int(row["images"]),
            review=int(row["review"]),
            reject=int(row["reject"]),
        )
        for i, row in enumerate(rows[:MOST_REASONS])
    ]
    return found, max(0, len(rows) - MOST_REASONS)


@dataclass(frozen=True)
class Status:
    """Masks or images with one status other than ok, with a few examples."""

    status: str
    count: int
    examples: Sequence[tuple[str, str]]


def statuses(source: Source, view: str, examples: int = 5) -> list[Status]:
    """Count what is wrong with the masks or the images themselves.

    Args:
        source: The audit.
        view: "masks" or "images".
        examples: How many to name for each status.
    """
    columns = source.masks if view == "masks" else source.images
    if "status" not in columns:
        return []
    rows_of = view if view == "masks" else f"({images_sql(source)})"
    key = "source_key" if view == "masks" else "file_name"
    ident = "mask_id" if view == "masks" else "image_id"
    detail = "status_detail" if "status_detail" in columns else "''"
    counts = source.rows(
        f"select status, count(*) n from {rows_of} where status <> 'ok' "
        "group by status order by n desc, status"
    )
    rows = source.rows(
        f"select status, left({key}, 400) as place, left({detail}, 400) as detail from {rows_of} "
        f"where status <> 'ok' qualify row_number() over (partition by status order by {ident}) "
        f"<= {examples} order by {ident}"
    )
    return [
        Status(
            row["status"],
            int(row["n"]),
            [(r["place"] or "", r["detail"] or "") for r in rows if r["status"] == row["status"]],
        )
        for row in counts
    ]


def images_sql(source: Source) -> str:
    """Return SQL of the images with what is wrong with them, by the dataset or by the pictures."""
    if "picture_status" not in source.images:
        return "select * from images"
    told = "status <> 'ok' or coalesce(picture_status, 'ok') = 'ok'"
    return (
        f"select * replace (case when {told} then status else picture_status end as status, "
        f"case when {told} then status_detail else picture_status_detail end as status_detail) "
        "from images"
    )


def near_duplicates(source: Source, most: int = 30) -> tuple[list[dict[str, Any]], int]:
    """Return pairs of images that look the same, and how many there are in all."""
    if "near_duplicate_of" not in source.images:
        return [], 0
    total = source.row("select count(near_duplicate_of) n from images")["n"]
    pairs = source.rows(
        "select a.image_id, a.file_name, b.image_id as other_id, b.file_name as other_name "
        "from images a left join images b on b.image_id = a.near_duplicate_of "
        f"where a.near_duplicate_of is not null order by a.image_id limit {most}"
    )
    return pairs, int(total)


def missing_masks(source: Source, most: int = 12) -> tuple[list[dict[str, Any]], int, int]:
    """Return the images with most detections that no mask explains.

    Returns:
        Their rows, how many such detections there are, and in how many images.
    """
    if "missing_detections" not in source.images:
        return [], 0, 0
    number = value_of("missing_detections")
    row = source.row(
        f"select coalesce(sum(n), 0) n, count(*) filter (n > 0) images "
        f"from (select {number} as n from images)"
    )
    found = source.image_column("missing_detections_json", "''")
    rows = source.rows(
        f"select image_id, file_name, height, width, {number} as n, {found} as found "
        f"from images where {number} > 0 order by n desc, image_id limit {most}"
    )
    return rows, int(row["n"]), int(row["images"])


def by_category(source: Source, most: int = 1500) -> tuple[list[dict[str, Any]], int]:
    """Return the counts of each category, most masks first, and how many categories there are."""
    quality = value_of("quality_score") if "quality_score" in source.masks else "null::double"
    category = source.column("category")
    rows = source.rows(
        f"select {category} as category, count(*) n, count(distinct image_id) images, "
        f"{actions_sql(source)}, quantile_cont({quality}, 0.5) quality, "
        f"quantile_cont({quality}, 0.1) worst, "
        f"quantile_cont(nullif({source.column('area_px')}, 0), 0.5) area "
        "from masks group by 1 order by n desc, category"
    )
    return rows[:most], len(rows)


def by_image(source: Source, most: int = 200) -> list[dict[str, Any]]:
    """Return the worst images: most rejected masks, then most to review, then lowest quality."""
    quality = value_of("quality_score") if "quality_score" in source.masks else "null::double"
    known = "missing_detections" in source.images
    missing = value_of("missing_detections") if known else "null"
    status = source.image_column("status", "'ok'")
    return source.rows(
        f"with counted as (select image_id, count(*) n, {actions_sql(source)}, "
        f"avg({quality}) quality, min({quality}) worst from masks group by image_id), "
        f"pictures as (select image_id, file_name, height, width, {status} as status, "
        f"{missing} as missing from ({images_sql(source)})) "
        "select p.*, coalesce(n, 0) n, coalesce(accept, 0) accept, coalesce(review, 0) review, "
        "coalesce(reject, 0) reject, quality, worst from pictures p left join counted using "
        "(image_id) order by reject desc, review desc, coalesce(missing, 0) desc, "
        f"(status <> 'ok') desc, quality nulls last, image_id limit {most}"
    )
