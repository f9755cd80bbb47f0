"""Rules of a policy, and its NMS."""

from __future__ import annotations

from dataclasses import dataclass

from curate.policy.expression import Expression
from curate.policy.policy_columns import NMS_COLUMNS
from curate.scorers.reason_template import Wording

P_BAD = {"accept": 0.0, "review": 0.5, "reject": 0.95}
"""Default probability that a mask to which a rule applies is bad, by action."""


@dataclass(frozen=True)
class Rule:
    """One condition and what follows from it.

    Attributes:
        number: Its place in the policy, from 1.
        when: The condition.
        action: "reject", "review" or "accept".
        reason: What to tell people.
        p_bad: How likely a mask it applies to is bad, in [0, 1].
        twin: Column with the mask that this one repeats; the rule only asks for review where that
            mask is rejected itself. Empty for none.
        crowd: Whether it speaks of crowd masks too.
        always: Whether it speaks of each mask even where it speaks of nearly all.
    """

    number: int
    when: Expression
    action: str
    reason: Wording
    p_bad: float
    twin: str = ""
    crowd: bool = False
    always: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column it looks at."""
        twin = (self.twin,) if self.twin else ()
        return tuple(dict.fromkeys((*self.when.columns, *self.reason.columns, *twin)))

    @property
    def after_nms(self) -> bool:
        """Whether it asks about the outcome of the policy's NMS."""
        return any(column in NMS_COLUMNS for column in self.columns)

    def as_dict(self) -> dict[str, object]:
        """Return the rule as TOML has it."""
        return {
            "when": self.when.text,
            "action": self.action,
            "reason": self.reason.text,
            "p_bad": self.p_bad,
            "twin": self.twin,
            "crowd": self.crowd,
            "always": self.always,
        }


@dataclass(frozen=True)
class Nms:
    """Settings of the box NMS among the masks that no other rule rejects."""

    box_iou: float = 0.7
    prefer: str = "crop"
    boxes: str = "measured"
