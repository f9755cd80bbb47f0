"""People's decisions against the policy's plan and the certificate in force: counts and texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Protocol

import pandas as pd

from curate.dataset.notes import count_noun
from curate.policy.certificate_in_force import NOTHING, certified_line
from curate.store.audit_info import AuditInfo
from curate.store.audit_records import CertificateRecord
from curate.store.audit_sql import Queried, has_people, population_sql
from curate.store.people_overlay import by_people_sql

CHANGES = {
    "kept": "accepted",
    "removed": "rejected",
    "redrawn": "redrawn",
    "relabelled": "relabelled",
    "unsettled": "not settled",
}
"""What can become of a mask that people decided on, and how texts call it."""

SETTLED = tuple(name for name in CHANGES if name != "unsettled")
"""Of these, what a decision that counts makes of a mask."""

_OVERRIDES_SQL = f"""
select change, policy_action, {by_people_sql()} as stands, people > 1 as several,
  count(*) as masks
from people group by all order by all
"""

_STANDING_SQL = """
with judged as (select mask_id, action, {who} as decided_by, {over} as over_line from masks)
select j.over_line, {change} as change, count(*) as masks from judged j {join}
where j.over_line or ({by_people} and j.action = 'accept') group by 1, 2
"""


class Informed(Queried, Protocol):
    """An audit's views, with ``audit.json``."""

    @property
    def info(self) -> AuditInfo:
        """The content of ``audit.json``."""


def count_overrides(audit: Queried) -> pd.DataFrame:
    """Count people's decisions, by the plan's action without them.

    Returns:
        Rows of masks that have all of this in common: ``change`` (of :data:`CHANGES`),
        ``policy_action`` (what the policy, the model or the certificate had decided), ``stands``
        (False where a person accepted a mask without a readable pixel, which stays what the policy
        makes of it), ``several`` (more than one person decided), and ``masks``, how many.
    """
    if not has_people(audit):
        columns = {"change": "str", "policy_action": "str", "stands": "bool", "several": "bool"}
        return pd.DataFrame(columns=[*columns, "masks"]).astype(columns | {"masks": "int64"})
    return audit.query(_OVERRIDES_SQL)


@dataclass(frozen=True)
class CertificateOverrides:
    """Counts of masks by people's decision, over and under the line of a certificate in force.

    Attributes:
        certified: Whether the certificate certifies anything; without that nothing is over its
            line.
        over: Over its line, and not kept back by a rule: those that the bound is about.
        untouched: Of these, those that nobody decided on.
        kept: Of these, those that people accepted.
        removed: Of these, those that people rejected.
        redrawn: Of these, those that people redrew.
        relabelled: Of these, those that people gave another category only.
        unsettled: Of these, those that people disagree on.
        beyond: Under the line or kept back by a rule, and accepted (redrawn, relabelled) by people.
        added: Added by people.
    """

    certified: bool
    over: int
    untouched: int
    kept: int
    removed: int
    redrawn: int
    relabelled: int
    unsettled: int
    beyond: int
    added: int

    def as_dict(self) -> dict[str, bool | int]:
        """Return plain values."""
        return asdict(self)


def compare_with_certificate(
    audit: Informed, *, line: float | None = None, added: int = 0
) -> CertificateOverrides | None:
    """Count people's decisions over and under the line of a certificate.

    Args:
        audit: The audit.
        line: Quality from which on masks are certified, over 1 for none; None: that of the
            certificate in force.
        added: How many masks people added.

    Returns:
        None where there is no certificate, or the masks lack what it is about.
    """
    line = certified_line(audit.info.certificate) if line is None else line
    described = audit.query("describe masks")
    types = dict(zip(described["column_name"], described["column_type"], strict=True))
    if line is None or not {"rule_action", "quality_score", "action", "status"} <= types.keys():
        return None
    over = (
        f"coalesce({population_sql(types)} and rule_action = 'accept' "
        f"and isfinite(quality_score) and quality_score >= {line!r}, false)"
    )
    people = has_people(audit)
    by_people = by_people_sql("j.decided_by")
    rows = audit.query(
        _STANDING_SQL.format(
            who="decided_by" if "decided_by" in types else "'policy'",
            over=over,
            by_people=by_people,
            change=f"case when {by_people} then p.change else '' end" if people else "''",
            join="left join people p on p.mask_id = j.mask_id" if people else "",
        )
    )
    inside = rows[rows["over_line"]].set_index("change")["masks"].to_dict()
    counts = {name: int(inside.get(name, 0)) for name in CHANGES}
    return CertificateOverrides(
        certified=line < NOTHING,
        over=int(sum(inside.values())),
        untouched=int(inside.get("", 0)),
        beyond=int(rows.loc[~rows["over_line"], "masks"].sum()),
        added=added,
        **counts,
    )


def describe_overrides(found: CertificateOverrides) -> list[str]:
    """Return sentences on the scope of a certificate's bound, and on people's decisions in it.

    Where nothing is certified, only what people accepted without it.
    """
    sentences = []
    if found.certified:
        sentences = [
            f"The bound is about the {_count_text(found.over)} over the line.",
            *_describe_inside(found),
        ]
    clauses = [
        f"{_count_text(number)} {'is' if number == 1 else 'are'} {how}"
        for number, how in ((found.beyond, "accepted by people alone"), (found.added, "added"))
        if number
    ]
    if clauses:
        bound = "the bound does not cover" if found.certified else "no bound covers"
        one = "it" if found.beyond + found.added == 1 else "them"
        sentences.append(f"{' and '.join(clauses)}, and {bound} {one}.")
    return sentences


def format_bound(certificate: CertificateRecord) -> str:
    """Return a certificate's bound in a few words."""
    sure = f"with {certificate['confidence']:.0%} confidence"
    if certificate["threshold"] is None:
        return f"nothing is certified to be at most {certificate['max_bad']:.1%} bad {sure}"
    most = f"{certificate['max_bad']:.1%}"
    return f"certified: at most {most} of the masks over the line are bad, {sure}"


def describe_certificate(audit: Informed, added: int = 0) -> list[str]:
    """Return lines on the certificate in force and people's decisions; [] for none."""
    found = compare_with_certificate(audit, added=added)
    if found is None or audit.info.certificate is None:
        return []
    return [format_bound(audit.info.certificate), *describe_overrides(found)]


def _describe_inside(found: CertificateOverrides) -> list[str]:
    if found.untouched == found.over:
        return ["Nobody has decided on any of these."] if found.over else []
    did = [f"{CHANGES[name]} {n:,}" for name in SETTLED if (n := getattr(found, name))]
    clauses = [f"people have {_join_words(did)}"] if did else []
    if found.unsettled:
        clauses.append(f"{found.unsettled:,} {'is' if found.unsettled == 1 else 'are'} not settled")
    if found.untouched:
        clauses.append(f"nobody has decided on the other {found.untouched:,}")
    return [f"Of these, {'; '.join(clauses)}."]


def _count_text(number: int) -> str:
    return count_noun(number, "mask")


def _join_words(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
