"""Settings for reading people's decisions, stored in ``audit.json``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from curate.common.ranges import RULES, check_numbers
from curate.people.reviews.decision_notes import DEFAULT_TAGS, check_tags
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
        tags: Words that the review page offers to say why a mask was rejected or fixed.

    Raises:
        CallError: There is no such rule, the IoU is out of range, or a tag is no short text.
    """

    rule: str = "majority"
    good_iou: float | None = None
    tags: Sequence[str] = DEFAULT_TAGS

    def __post_init__(self) -> None:
        check_choice(self.rule, "--rule", RULES)
        check_numbers(good_iou=self.good_iou)
        check_tags(self.tags)

    @classmethod
    def of(cls, info: AuditInfo) -> DecisionSettings:
        """Return those of an audit, by the content of its ``audit.json``."""
        return cls(**(info.people or {}))

    def as_record(self) -> PeopleRecord:
        """Return plain values, for ``audit.json``."""
        record: PeopleRecord = {"rule": self.rule, "good_iou": self.good_iou}
        if tuple(self.tags) != DEFAULT_TAGS:
            record["tags"] = list(self.tags)
        return record
