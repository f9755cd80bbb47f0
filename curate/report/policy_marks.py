"""Where a policy draws its lines, for charts of the scores it looks at."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Mark:
    """A threshold: masks on ``side`` ("below" or "above") of ``value`` get ``action``."""

    value: float
    action: str
    side: str


def marks(policy: Any) -> dict[str, list[Mark]]:
    """Return the thresholds of a policy by column.

    Args:
        policy: The policy as ``audit.json`` holds it, with its ``marks`` (see
            :meth:`curate.curation.policy.Policy.marks`); anything else gives no marks.
    """
    found: dict[str, list[Mark]] = {}
    lines = policy.get("marks") if isinstance(policy, Mapping) else None
    for line in lines if isinstance(lines, list) else ():
        for side in ("below", "above"):
            value = line.get(side)
            if isinstance(value, int | float) and math.isfinite(value):
                mark = Mark(float(value), str(line.get("action", "review")), side)
                there = found.setdefault(str(line.get("column")), [])
                if mark not in there:
                    there.append(mark)
    return {column: sorted(ms, key=lambda m: m.value) for column, ms in found.items()}
