"""SQL queries over a whole audit for the report, in bounded memory.

Nothing here loads a column of all masks: DuckDB counts, and a few hundred rows come back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from curate.common.json_values import JsonObject
from curate.common.ranges import ACTIONS
from curate.dataset.table import records
from curate.render.formatting import KIND_SQL, hash_reason, merge_reasons, plain_reason
from curate.reporting.gates import FLAGGED
from curate.store.audit import StoredAudit
from curate.store.audit_sql import has_people, is_number, quote_name
from curate.store.people_overlay import by_people_sql

MOST_REASONS = 40
"""Reasons listed; the rarest beyond it are counted together."""

MOST_EXACT = 2_000_000
"""Masks up to which medians are exact: they need all values at once."""


class ReportSource:
    """An audit with its column names at hand."""

    def __init__(self, audit: StoredAudit) -> None:
        self.audit = audit
        self.info = audit.info
        self.masks = self._columns("masks")
        self.images = self._columns("images")

    def _columns(self, view: str) -> dict[str, str]:
        described = self.audit.query(f"describe {view}")
        return dict(zip(described["column_name"], described["column_type"], strict=True))

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """Run SQL and return plain dicts, None where a value is missing."""
        return records(self.audit.query(sql))

    def row(self, sql: str) -> dict[str, Any]:
        """Run SQL that gives one row."""
        return self.rows(sql)[0]

    def score_columns(self) -> list[str]:
        """Names of the score columns, the combined quality first, then in the file's order."""
        wanted = [c for c in self.masks if c.endswith("_score") and self.is_number(c)]
        wanted += [c for c in ("predicted_iou", "score") if c in self.masks and self.is_number(c)]
        return sorted(wanted, key=lambda c: c != "quality_score")

    @cached_property
    def has_people(self) -> bool:
        """Whether people have decided on masks: then there is a view ``people`` too."""
        return has_people(self.audit)

    @cached_property
    def count(self) -> int:
        """How many masks there are."""
        return int(self.row("select count(*) n from masks")["n"])

    def quantile(self, value: str, share: float) -> str:
        """Return SQL of a quantile: exact, or an estimate where values would not fit in memory."""
        name = "quantile_cont" if self.count <= MOST_EXACT else "approx_quantile"
        return f"{name}({value}, {share})"

    def is_number(self, column: str) -> bool:
        """Whether a mask column holds numbers."""
        return is_number(self.masks.get(column, ""))

    def column(self, name: str, default: str = "null") -> str:
        """Return SQL of a mask column, or of ``default`` where the audit lacks it."""
        return quote_name(name) if name in self.masks else default

    def image_column(self, name: str, default: str = "null") -> str:
        """Return SQL of an image column, or of ``default`` where the audit lacks it."""
        return quote_name(name) if name in self.images else default


def value_of(column: str) -> str:
    """Return SQL of a number column with NaN and infinities as null."""
    value = f"cast({quote_name(column)} as double)"
    return f"case when isfinite({value}) then {value} end"


def actions_sql(source: ReportSource) -> str:
    """Return SQL that counts masks by action: columns accept, review, reject."""
    action = source.column("action")
    return ", ".join(f"count(*) filter ({action} = '{a}') as {quote_name(a)}" for a in ACTIONS)


@dataclass(frozen=True)
class Overview:
    """The dataset in numbers.

    Attributes:
        person: What people decided of these, by action.
        rule: Masks on which nobody decided that break a rule of the policy.
        odd: Those whose quality is under the policy's line.
        lowest: Those that are merely of the policy's share of lowest quality.
        lowest_share: That share.
        flagged: Whether the plan says why masks are not accepted.
    """

    masks: int
    images: int
    categories: int
    accept: int
    review: int
    reject: int
    person: Mapping[str, int]
    rule: int = 0
    odd: int = 0
    lowest: int = 0
    lowest_share: float = 0.0
    flagged: bool = False

    @property
    def decided(self) -> int:
        """Masks that have an action."""
        return self.accept + self.review + self.reject

    def actions(self) -> list[tuple[str, int]]:
        """Return (action, masks) in the order of the bar."""
        return [("accept", self.accept), ("review", self.review), ("reject", self.reject)]


def overview(source: ReportSource) -> Overview:
    """Count the dataset."""
    by_person = ", ".join(
        f"count(*) filter (action = '{a}' and {by_people_sql()}) as person_{a}" for a in ACTIONS
    )
    stated = {"action", "decided_by"} <= source.masks.keys()
    row = source.row(
        f"select count(*) n, {actions_sql(source)}, {by_person if stated else '0 as nobody'}, "
        f"{_flagged_sql(source)}, "
        f"count(distinct {source.column('category')}) categories from masks"
    )
    images = source.row("select count(*) n from images")["n"]
    return Overview(
        masks=int(row["n"]),
        images=int(images),
        categories=int(row["categories"]),
        accept=int(row["accept"]),
        review=int(row["review"]),
        reject=int(row["reject"]),
        person={a: int(row.get(f"person_{a}", 0)) for a in ACTIONS},
        **{name: int(row.get(name, 0)) for name in FLAGGED},
        lowest_share=lowest_share(source.info.policy),
        flagged="flagged_by" in source.masks,
    )


def _flagged_sql(source: ReportSource) -> str:
    """Return SQL that counts what is not accepted by why: a rule, the quality, its lowest share."""
    if not {"flagged_by", "decided_by"} <= source.masks.keys():
        return "0 as unflagged"
    return ", ".join(
        f"count(*) filter (flagged_by = '{cause}' and not {by_people_sql()}) as {quote_name(name)}"
        for name, cause in FLAGGED.items()
    )


def lowest_share(policy: JsonObject | None) -> float:
    """Return the share of masks of lowest quality that an audit's policy sends to review."""
    review = policy.get("review") if policy else None
    share = review.get("lowest_share") if isinstance(review, Mapping) else None
    return float(share) if isinstance(share, int | float) else 0.0


@dataclass(frozen=True)
class Reason:
    """Masks with one reason.

    Attributes:
        kind: The reason with its numbers blanked; what rows are grouped by.
        text: The reason as shown, without the numbers in which the masks differ.
    """

    index: int
    kind: str
    text: str
    masks: int
    images: int
    review: int
    reject: int
    lowest: int = 0

    @property
    def weak(self) -> bool:
        """Whether it only names the weakest signal of the masks of lowest quality."""
        return 0 < self.lowest == self.masks

    @property
    def id(self) -> str:
        """Id of its kind, by which pages filter."""
        return hash_reason(self.kind)

    @property
    def note(self) -> bool:
        """Whether it only remarks on masks that are accepted all the same."""
        return self.review == 0 and self.reject == 0


def undecided_sql(source: ReportSource) -> str:
    """Return SQL of the masks that nobody decided on, with the policy's own reasons.

    Where a person accepted a mask without a readable pixel, that stands behind these: it is left
    out.
    """
    if not source.has_people:
        others = f"where not {by_people_sql()}" if "decided_by" in source.masks else ""
        return f"(select * from masks {others})"
    own = "array_to_string(string_split(reasons, '; ')[:-2], '; ')"
    return (
        "(select m.* replace (case when p.mask_id is null then reasons "
        f"else {own} end as reasons) from masks m left join (select mask_id from people where "
        f"not {by_people_sql()}) p on p.mask_id = m.mask_id "
        f"where not {by_people_sql('m.decided_by')})"
    )


def kinds_sql(source: ReportSource) -> str:
    """Return SQL of a row a mask and kind of reason, with its image, category, action, priority."""
    kind = KIND_SQL.format("r")
    priority, flagged = source.column("priority", "0"), source.column("flagged_by", "''")
    return (
        f"select mask_id, image_id, {source.column('category', 'null::varchar')} as category, "
        f"{source.column('action')} as action, {priority} as priority, {flagged} as flagged_by, "
        f"unnest(list_distinct([{kind} for r in string_split(reasons, '; ') if trim(r) <> ''])) "
        f"as kind from {undecided_sql(source)} where reasons <> ''"
    )


def _texts(source: ReportSource) -> dict[str, str]:
    """Return the text of each kind of reason, without the numbers in which its masks differ."""
    # Two extremes read from the front and two from the back: a number that these share, all share.
    rows = source.rows(
        f"select {KIND_SQL.format('said')} as kind, min(said) as a, max(said) as b, "
        "reverse(min(reverse(said))) as c, reverse(max(reverse(said))) as d from "
        "(select trim(unnest(string_split(reasons, '; '))) as said from "
        f"{undecided_sql(source)} where reasons <> '') where said <> '' group by kind"
    )
    return {row["kind"]: plain_reason(merge_reasons([row[k] for k in "abcd"])) for row in rows}


def reasons(source: ReportSource) -> tuple[list[Reason], int]:
    """Count the masks of each reason, commonest first, weakest signals behind, mere notes last.

    Masks that people decided on are left out: theirs are no findings.

    Returns:
        The reasons, at most :data:`MOST_REASONS`, and how many rarer ones are not listed.
    """
    if "reasons" not in source.masks:
        return [], 0
    rows = source.rows(
        "select kind, count(*) n, count(distinct image_id) images, "
        "count(*) filter (action = 'review') review, count(*) filter (action = 'reject') reject, "
        "count(*) filter (flagged_by = 'lowest_share' and action <> 'accept') lowest "
        f"from ({kinds_sql(source)}) "
        "group by kind order by (review + reject > lowest) desc, (lowest > 0) desc, n desc, kind"
    )
    texts = _texts(source)
    found = [
        Reason(
            index=i,
            kind=row["kind"],
            text=texts[row["kind"]],
            masks=int(row["n"]),
            images=int(row["images"]),
            review=int(row["review"]),
            reject=int(row["reject"]),
            lowest=int(row["lowest"]),
        )
        for i, row in enumerate(rows[:MOST_REASONS])
    ]
    return found, max(0, len(rows) - MOST_REASONS)
