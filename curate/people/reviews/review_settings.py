"""Settings for reading people's decisions, stored in ``audit.json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from curate.common.option_values import RULES
from curate.common.ranges import check_numbers
from curate.policy.grammar import check_choice

SETTINGS = "people"
"""Where ``audit.json`` holds them."""


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
    def of(cls, info: Mapping[str, Any]) -> DecisionSettings:
        """Return those of an audit, by the content of its ``audit.json``."""
        return cls(**info.get(SETTINGS, {}))

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for ``audit.json``."""
        return asdict(self)
