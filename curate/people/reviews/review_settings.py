"""Settings for reading people's decisions, stored in ``audit.json``."""

from __future__ import annotations

from dataclasses import dataclass

from curate.common.ranges import RULES, check_numbers
from curate.policy.grammar import check_choice
from curate.store.audit_info import AuditInfo
from curate.store.audit_records import PeopleRecord


@dataclass(frozen=True)
class DecisionSettings:
    """Settings for reading people's decisions.

    Attributes:
        rule: How people who disagree are resolved: "majority", "latest" or "strictest".
        good_iou: Where masks are labelled good or bad (to learn, certify, estimate): a fix with at
            least this IoU with the mask before counts as good; None: every fix is bad.

    Raises:
        CallError: There is no such rule, or the IoU is out of range.
    """

    rule: str = "majority"
    good_iou: float | None = None

    def __post_init__(self) -> None:
        check_choice(self.rule, "--rule", RULES)
        check_numbers(good_iou=self.good_iou)

    @classmethod
    def of(cls, info: AuditInfo) -> DecisionSettings:
        """Return those of an audit, by the content of its ``audit.json``."""
        return cls(**(info.people or {}))

    def as_record(self) -> PeopleRecord:
        """Return plain values, for ``audit.json``."""
        return {"rule": self.rule, "good_iou": self.good_iou}
