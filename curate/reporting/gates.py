"""Metrics of an audit for CI gates: ``--fail-on "reject_rate > 0.01"``."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import pandas as pd

from curate.common.ranges import ACTIONS
from curate.dataset.table import IMAGE_STATUSES, STATUSES
from curate.errors import CallError
from curate.people.guarantees.overrides import SETTLED, count_overrides
from curate.policy.expression import Expression
from curate.store.audit import StoredAudit
from curate.store.audit_sql import column_types, is_number, quote_name
from curate.store.people_overlay import by_people_sql

MOST_EXACT = 10_000_000
"""Masks up to which medians are exact: they need all values of a score at once."""

_PEOPLE = dict(zip(SETTLED, ("accept", "reject", "redrawn", "relabelled"), strict=True))
"""Names of the outcomes of people's decisions in metrics."""

_SHARES = {"median": 0.5, "p10": 0.1}

FLAGGED = {"rule": "rule", "odd": "quality", "lowest": "lowest_share"}
"""Names in metrics of masks that are not accepted, by their ``flagged_by``."""


def metrics(audit: StoredAudit) -> dict[str, float | None]:
    """Return an audit's summary numbers by name; None where one is not available.

    ``mask_count``, ``image_count``, ``accept_count``, ``accept_rate`` (and review, reject; today's
    plan, whoever decided), ``person_count`` (masks on which a decision of people stands; by what
    they decided: ``person_accept_count``, ``person_reject_count``, ``person_redrawn_count``,
    ``person_relabelled_count``), ``person_unsettled_count`` (masks on which people disagree),
    ``policy_accept_count`` (and review, reject: masks on which nobody decided), ``model_count`` and
    ``certificate_count`` (of these, what a learned quality or a certified line decided),
    ``empty_count`` (and every other status of a mask), ``broken_count`` and ``broken_rate`` (status
    other than ok), ``duplicate_count`` (masks with a better twin), ``rule_count`` (masks on which
    nobody decided that break a rule), ``odd_count`` (those of a quality under the policy's line),
    ``lowest_count`` (those that are only of its share of lowest quality), the rates of the first
    two, ``missing_count`` (``image_`` before every status of an
    image), ``missing_detection_count``, ``near_duplicate_count``, and for every score a median and
    a low decile: ``quality_median``, ``stability_p10``.
    """
    types = column_types(audit)
    counts: dict[str, str] = {"mask_count": "count(*)"}
    if "action" in types:
        for action in ACTIONS:
            counts[f"{action}_count"] = f"count(*) filter (action = '{action}')"
        counts |= _deciders("decided_by" in types)
    if "flagged_by" in types:
        counts |= {
            f"{name}_count": f"count(*) filter (flagged_by = '{cause}' and not {by_people_sql()})"
            for name, cause in FLAGGED.items()
        }
    for status in STATUSES:
        counts[f"{status}_count"] = f"count(*) filter (status = '{status}')"
    counts["broken_count"] = "count(*) filter (status <> 'ok')"
    if "duplicate_of" in types:
        counts["duplicate_count"] = "count(duplicate_of)"
    found = _row(audit, "masks", counts) | _person_counts(audit)
    for column in filter(_is_score, types):
        if is_number(types[column]):
            found |= _middle_and_low(audit, column, int(found["mask_count"] or 0))
    found |= _image_metrics(audit)
    masks = found["mask_count"]
    for name in (*ACTIONS, "broken", *(("rule", "odd") if "flagged_by" in types else ())):
        count = found.get(f"{name}_count")
        found[f"{name}_rate"] = None if not masks or count is None else count / masks
    return found


def _is_score(column: str) -> bool:
    return column.endswith("_score") or column in ("predicted_iou", "score")


def _deciders(stated: bool) -> dict[str, str]:
    """Return SQL that counts what others than people decided.

    Args:
        stated: Whether the plan says who decided; else it was the policy.
    """
    others = f"not {by_people_sql()}" if stated else "true"
    counts = {
        f"policy_{action}_count": f"count(*) filter (action = '{action}' and {others})"
        for action in ACTIONS
    }
    for decider in ("model", "certificate", "bulk") if stated else ():
        counts[f"{decider}_count"] = f"count(*) filter (decided_by = '{decider}')"
    return counts


def _person_counts(audit: StoredAudit) -> dict[str, float | None]:
    found = count_overrides(audit)
    found = found[found["stands"]]
    by_change = found.groupby("change")["masks"].sum()
    counts = {
        f"person_{name}_count": int(by_change.get(change, 0)) for change, name in _PEOPLE.items()
    }
    total = {"person_count": sum(counts.values())}
    return {**total, **counts, "person_unsettled_count": int(by_change.get("unsettled", 0))}


def _middle_and_low(audit: StoredAudit, column: str, masks: int) -> dict[str, float | None]:
    """Return median and lowest decile of a score; column by column, for they need all its values.

    Where not even those of one column fit in memory, they are estimated.
    """
    value, name = f"cast({quote_name(column)} as double)", column.removesuffix("_score")
    quantile = "quantile_cont" if masks <= MOST_EXACT else "approx_quantile"
    listed = {
        f"{name}_{word}": f"{quantile}({value}, {share}) filter (isfinite({value}))"
        for word, share in _SHARES.items()
    }
    return _row(audit, "masks", listed)


def _image_metrics(audit: StoredAudit) -> dict[str, float | None]:
    types = column_types(audit, "images")
    counts = {"image_count": "count(*)"}
    for status in IMAGE_STATUSES:
        counts[f"image_{status}_count"] = f"count(*) filter (status = '{status}')"
    if "missing_detections" in types:
        counts["missing_detection_count"] = "coalesce(sum(missing_detections), 0)"
    if "near_duplicate_of" in types:
        counts["near_duplicate_count"] = "count(near_duplicate_of)"
    return _row(audit, "images", counts)


def _row(audit: StoredAudit, view: str, counts: dict[str, str]) -> dict[str, float | None]:
    listed = ", ".join(f"{sql} as {quote_name(name)}" for name, sql in counts.items())
    row = audit.query(f"select {listed} from {view}").astype(object).iloc[0]
    return {
        name: None if pd.isna(value) else int(value) if name.endswith("_count") else float(value)
        for name, value in zip(counts, row, strict=True)
    }


def names(columns: Iterable[str]) -> set[str]:
    """Return the names of all numbers that :func:`metrics` can give.

    Args:
        columns: Columns that the masks of an audit can have; the scores among them count.
    """
    counted = (
        *("mask", "image", "broken", "duplicate", "missing_detection", "near_duplicate"),
        *("model", "certificate", "person", "bulk", "person_unsettled"),
        *(*ACTIONS, *STATUSES, *FLAGGED),
        *(f"policy_{action}" for action in ACTIONS),
        *(f"image_{status}" for status in IMAGE_STATUSES),
        *(f"person_{change}" for change in _PEOPLE.values()),
    )
    rated = (*ACTIONS, "broken", "rule", "odd")
    scores = {c.removesuffix("_score") for c in columns if _is_score(c)}
    found = {f"{name}_count" for name in counted} | {f"{name}_rate" for name in rated}
    return found | {f"{name}_{word}" for name in scores for word in _SHARES}


def check(condition: str, known: Collection[str]) -> None:
    """Check that a gate's condition parses and names known numbers only.

    Raises:
        CallError: It is malformed, names what is none, or has no value whatever the numbers are.
    """
    gate = _parse(condition)
    try:
        gate.check(known)
    except CallError as error:
        what = error.what.replace("there is no column", "there is no number")
        raise CallError(what, error.where, error.do) from None
    if not gate.columns:
        gate.holds({})


def _parse(condition: str) -> Expression:
    return Expression.parse(condition, f"--fail-on {condition!r}")


def fails(condition: str, numbers: dict[str, object]) -> bool:
    """Return whether a gate's condition holds, which is when the gate fails.

    Raises:
        CallError: The condition is malformed, names a number that there is not, or has no value,
            for want of a number or of a quotient: a gate that cannot see does not pass.
    """
    return _parse(condition).holds(numbers)
