"""Findings that apply to nearly every mask: reported once for the file."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from curate.dataset.notes import EXAMPLES, FILE_SHARE
from curate.policy.policy import Policy
from curate.policy.rules import Rule

LEAST_MASKS = 10
"""Masks that a file has at least for that to say something."""

KIND = "finding"
"""Kind of the notes of such findings."""


@dataclass
class Hits:
    """Counts of masks with pixels to which each rule applies; adds up over parts.

    Attributes:
        masks: Masks with pixels.
        rules: By number of the rule, the masks that it applies to.
        examples: By number of the rule, the ids of some of them, and what it says of each.
    """

    masks: int = 0
    rules: dict[int, int] = field(default_factory=dict)
    examples: dict[int, list[tuple[int, str]]] = field(default_factory=dict)

    def note(self, rule: Rule, ids: Iterable[int], reasons: Iterable[str], count: int) -> None:
        """Count masks that a rule applies to."""
        self.rules[rule.number] = self.rules.get(rule.number, 0) + count
        kept = [*self.examples.get(rule.number, []), *zip(ids, reasons, strict=False)]
        self.examples[rule.number] = kept[:EXAMPLES]

    def add(self, other: Hits) -> None:
        """Take in the hits of another part."""
        self.masks += other.masks
        for number, count in other.rules.items():
            self.rules[number] = self.rules.get(number, 0) + count
            kept = [*self.examples.get(number, []), *other.examples.get(number, [])]
            self.examples[number] = kept[:EXAMPLES]


def rules_of_file(policy: Policy, hits: Hits) -> frozenset[int]:
    """Return the numbers of the rules that speak of the file rather than of masks.

    Only rules that ask for review: what no tool can use stays a finding of each mask, and so does
    what a rule says of a mask without pixels.
    """
    if hits.masks < LEAST_MASKS:
        return frozenset()
    return frozenset(
        rule.number
        for rule in policy.rules
        if rule.action == "review"
        and not rule.always
        and hits.rules.get(rule.number, 0) > FILE_SHARE * hits.masks
    )


def text_of(rule: Rule, reasons: Iterable[str]) -> str:
    """Return a rule's reason for many masks, without the parts that differ among them."""
    said = list(dict.fromkeys(reasons))
    if len(said) == 1:
        return said[0]
    said = list(dict.fromkeys(re.sub(r" \([^()]*\d[^()]*\)", "", one) for one in said))
    if len(said) == 1:
        return said[0]
    text = "".join(p if isinstance(p, str) else "…" for p in rule.reason.pieces).strip()
    return re.sub(r" \([^()]*…[^()]*\)", "", text)


def rule_of(policy: Policy, number: int) -> Rule:
    """Return a rule by its number."""
    return next(rule for rule in policy.rules if rule.number == number)
