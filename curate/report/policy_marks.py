"""Where a policy draws its lines, for charts of the scores it looks at."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

SIDES = {
    "below": "below", "under": "below", "min": "below", "at_least": "below", "lt": "below",
    "<": "below", "<=": "below", "le": "below",
    "above": "above", "over": "above", "max": "above", "at_most": "above", "gt": "above",
    ">": "above", ">=": "above", "ge": "above",
}  # fmt: skip


@dataclass(frozen=True)
class Mark:
    """A threshold: masks on ``side`` of ``value`` get ``action``."""

    value: float
    action: str
    side: str


def marks(policy: Any) -> dict[str, list[Mark]]:
    """Return the thresholds of a policy by column.

    Args:
        policy: The policy as ``audit.json`` holds it; unknown shapes give no marks.
    """
    found: dict[str, list[Mark]] = {}
    for rule in _rules(policy):
        column = rule.get("column") or rule.get("score")
        action = str(rule.get("action", "review"))
        if not isinstance(column, str):
            continue
        for mark in _of(rule, action):
            if mark not in found.setdefault(column, []):
                found[column].append(mark)
    return {column: sorted(ms, key=lambda m: m.value) for column, ms in found.items()}


def _rules(policy: Any) -> Iterator[Mapping[str, Any]]:
    if not isinstance(policy, Mapping):
        return
    rules = policy.get("rules", policy.get("rule", ()))
    if isinstance(rules, Mapping):
        rules = [{"column": name, **r} for name, r in rules.items() if isinstance(r, Mapping)]
    if isinstance(rules, list | tuple):
        yield from (rule for rule in rules if isinstance(rule, Mapping))


def _of(rule: Mapping[str, Any], action: str) -> Iterator[Mark]:
    for word, side in SIDES.items():
        value = rule.get(word)
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            yield Mark(float(value), action, side)
    for acted in ("review", "reject"):
        nested = rule.get(acted)
        if isinstance(nested, Mapping):
            yield from _of(nested, acted)
