"""Tables of the study: mean IoU of each arm, and differences of pairs with their intervals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from trials import ARMS

SIZES = {"small": (0, 100), "medium": (100, 500), "large": (500, 1e12)}
"""Least area of a size, px of the picture, and the least that is over it."""

FIRST = ("all", "kept half", "random half")
"""Arms without which a seed does not count."""

MARK = "<!-- numbers -->"


def to_text(results: pd.DataFrame) -> str:
    """Return what was measured as Markdown, a table for each number of steps."""
    parts = results.groupby("steps", sort=True)
    return "\n\n".join(_to_table(part, int(str(steps))) for steps, part in parts)


def _to_table(results: pd.DataFrame, steps: int) -> str:
    """Return the table of the seeds that have all first arms, and of the arms they all have."""
    iou = results.pivot_table("iou", "seed", "arm")
    first = [arm for arm in FIRST if arm in iou]
    iou = iou.dropna(subset=first).dropna(axis="columns")
    arms = [arm for arm in ARMS if arm in iou]
    per_arm = results[results["seed"].isin(iou.index)].groupby("arm").mean(numeric_only=True)
    seeds, held = len(iou), per_arm["held"].iloc[0] if len(iou) else 0
    sizes = " | ".join(SIZES)
    lines = [
        f"**{steps:,} steps**, {seeds} seeds; judged on {held:,.0f} masks.",
        "",
        f"| learned from | masks | with an error | mean IoU | {sizes} | less all (95%) "
        "| less a random half (95%) |",
        "| --- | ---: | ---: | ---: |" + " ---: |" * (len(SIZES) + 2),
    ]
    for arm in arms:
        row = per_arm.loc[arm]
        cells = [ARMS[arm], f"{row['masks']:,.0f}", f"{row['bad']:.1%}", f"{row['iou']:.4f}"]
        cells += [f"{row[f'iou_{name}']:.3f}" for name in SIZES]
        for other in ("all", "random half"):
            known = other in iou and other != arm
            cells.append(_interval(iou[arm] - iou[other]) if known else "")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _interval(differences: Any) -> str:
    """Return mean and 95% interval of paired differences, by Student's t."""
    mean, n = float(np.mean(differences)), len(differences)
    if n < 2:
        return f"{mean:+.4f}"
    half = float(stats.t.ppf(0.975, n - 1)) * float(np.std(differences, ddof=1)) / np.sqrt(n)
    return f"{mean:+.4f} ({mean - half:+.4f} to {mean + half:+.4f})"


def fill_page(page: Path, text: str) -> None:
    """Put the numbers behind the mark of a page."""
    head, mark, _ = page.read_text().partition(MARK)
    page.write_text(f"{head}{mark}\n\n{text}\n")
