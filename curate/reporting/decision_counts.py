"""Counts of people's decisions: changes, overrides of the policy, unsettled masks."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from curate.common.option_values import ACTIONS
from curate.people.guarantees.overrides import CHANGES, SETTLED, count_overrides
from curate.people.reviews.review_settings import DecisionSettings
from curate.reporting.queries import ReportSource

MOST_OPEN = 12
"""Masks that are not settled which a page lists."""

_DID = {"kept": "accepted", "removed": "rejected", "redrawn": "redrew", "relabelled": "relabelled"}
_AGAINST = {
    "accept": ("accepted", ("removed", "redrawn", "relabelled")),
    "reject": ("rejected", ("kept", "redrawn", "relabelled")),
}
"""By the policy's action: how texts call it, and what people did that goes against it."""


@dataclass(frozen=True)
class Row:
    """Masks to which the same happened.

    Attributes:
        name: What happened.
        masks: How many.
        several: Those on which more than one person decided; None where that is not counted.
        policy: By action: what the policy had decided of them; None for added ones.
    """

    name: str
    masks: int
    several: int | None
    policy: Mapping[str, int] | None


@dataclass(frozen=True)
class Open:
    """A mask on which people have not settled, and why."""

    mask_id: int
    file_name: str
    why: str


@dataclass(frozen=True)
class DecisionSummary:
    """People's decisions, counted.

    Attributes:
        masks: On how many masks a decision stands.
        unsettled: On how many people have not settled.
        added: How many they added.
        rows: The same by what happened.
        overrides: What of it goes against the policy, in sentences.
        without_pixels: Masks that people accepted and that have no readable pixel: they stay what
            the policy made of them.
        open: Some of the masks that are not settled.
        rule: How people who disagree are resolved.
        audit: The audit directory, as a shell reads it.
    """

    masks: int
    unsettled: int
    added: int
    rows: Sequence[Row]
    overrides: Sequence[str]
    without_pixels: int
    open: Sequence[Open]
    rule: str
    audit: str

    @property
    def anything(self) -> bool:
        """Whether people did anything."""
        return bool(self.masks or self.unsettled or self.added or self.without_pixels)

    def count(self, name: str) -> int:
        """Return how many masks something happened to."""
        return sum(row.masks for row in self.rows if row.name == name)


def decisions(source: ReportSource, added: int) -> DecisionSummary:
    """Gather what people decided.

    Args:
        source: The audit.
        added: How many masks they added.
    """
    found = count_overrides(source.audit)
    standing = found[found["stands"]]
    rows = [_row(standing, change) for change in CHANGES]
    rows += [Row("added", added, None, None)]
    settled = standing[standing["change"].isin(SETTLED)]
    return DecisionSummary(
        masks=int(settled["masks"].sum()),
        unsettled=int(standing["masks"].sum() - settled["masks"].sum()),
        added=added,
        rows=[row for row in rows if row.masks],
        overrides=[text for action in _AGAINST if (text := _override(standing, action))],
        without_pixels=int(found.loc[~found["stands"], "masks"].sum()),
        open=_list_open(source),
        rule=DecisionSettings.of(source.info).rule,
        audit=shlex.quote(str(source.audit.path)),
    )


def _row(found: pd.DataFrame, change: str) -> Row:
    these = found[found["change"] == change]
    masks = these.groupby("policy_action")["masks"].sum()
    return Row(
        name=CHANGES[change],
        masks=int(these["masks"].sum()),
        several=int(these.loc[these["several"], "masks"].sum()),
        policy={action: int(masks.get(action, 0)) for action in ACTIONS},
    )


def _override(found: pd.DataFrame, action: str) -> str:
    """Say what people did against one action of the policy; "" for nothing."""
    name, against = _AGAINST[action]
    masks = found[found["policy_action"] == action].groupby("change")["masks"].sum()
    did = [f"{_DID[change]} {int(masks[change]):,}" for change in against if change in masks]
    if not did:
        return ""
    listed = did[0] if len(did) == 1 else f"{', '.join(did[:-1])} and {did[-1]}"
    return f"Of the masks that the policy {name}, people {listed}."


def _list_open(source: ReportSource) -> list[Open]:
    if not source.has_people:
        return []
    rows = source.rows(
        "select p.mask_id, m.file_name, p.reasons from people p "
        "join masks m on m.mask_id = p.mask_id "
        f"where p.change = 'unsettled' order by p.mask_id limit {MOST_OPEN}"
    )
    return [Open(int(row["mask_id"]), row["file_name"] or "", row["reasons"]) for row in rows]
