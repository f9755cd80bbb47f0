"""Kinds of error that a verifier names: how many masks have each, and which show it best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from curate.reporting.first_screen import REVIEW_PAGE
from curate.reporting.queries import ReportSource, undecided_sql
from curate.store.audit_sql import quote_name

KIND_COLUMN = "verifier_kind"

MOST_KINDS = 20
"""Kinds that are listed, the frequent ones: a verifier tells apart fewer."""

EXAMPLES = 4
"""Masks that are shown of each kind."""


@dataclass(frozen=True)
class ErrorKind:
    """One kind of error that a verifier named.

    Attributes:
        name: The kind, in the verifier's words.
        masks: Masks that it was named of and that nobody decided on.
        review: Of these, those to review.
        reject: Of these, those that are rejected.
        images: Images that they are in.
        examples: The masks with the lowest P(good) among them, of several images where it can be.
        filter: Address of these masks in the report: ``#?kind=too+large``.
        link: The review page, filtered on it; it opens while ``curate review`` runs. "" where none
            of them is to be reviewed.
    """

    name: str
    masks: int
    review: int
    reject: int
    images: int
    examples: Sequence[int]
    filter: str
    link: str


def find_error_kinds(source: ReportSource) -> list[ErrorKind]:
    """Return the kinds of error that a verifier named, the most frequent first.

    Masks that people decided on are left out. Without a verifier there is none.
    """
    if not {KIND_COLUMN, "action"} <= source.masks.keys():
        return []
    kind, undecided = quote_name(KIND_COLUMN), undecided_sql(source)
    counted = source.rows(
        f"select {kind} as name, count(*) as n, count(distinct image_id) as images, "
        "count(*) filter (where action = 'review') as review, "
        "count(*) filter (where action = 'reject') as reject "
        f"from {undecided} where {kind} is not null group by 1 order by n desc, 1 "
        f"limit {MOST_KINDS}"
    )
    examples = _find_examples(source)
    found = []
    for row in counted:
        name = str(row["name"])
        asked = urlencode({"kind": name})
        link = f"{REVIEW_PAGE}#{asked}" if row["review"] else ""
        found.append(
            ErrorKind(
                name,
                *(int(row["n"]), int(row["review"]), int(row["reject"]), int(row["images"])),
                examples=examples.get(name, []),
                filter=f"#?{asked}",
                link=link,
            )
        )
    return found


def _find_examples(source: ReportSource) -> Mapping[str, Sequence[int]]:
    kind, order = quote_name(KIND_COLUMN), source.column("verifier_score", "0")
    rows = source.rows(
        f"select name, mask_id from (select {kind} as name, mask_id, {order} as score, "
        f"row_number() over (partition by {kind}, image_id order by {order}, mask_id) as of_image "
        f"from {undecided_sql(source)} where {kind} is not null and area_px > 0) "
        "qualify row_number() over (partition by name order by of_image, score, mask_id) "
        f"<= {EXAMPLES} order by name, of_image, score, mask_id"
    )
    found: dict[str, list[int]] = {}
    for row in rows:
        found.setdefault(str(row["name"]), []).append(int(row["mask_id"]))
    return found
