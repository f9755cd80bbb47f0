"""Generated datasets in every text format, pruned: is nothing gone but the masks meant?"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[2] / "tests"
CASES = 10_000
READ_EVERY = 10
"""Of how many cases one is read back and compared mask by mask too, as the verb does."""


def measured(work: Path) -> list[dict[str, Any]]:
    """Return a row a format: how many cases, and how many of them are right."""
    sys.path += [str(TESTS / "write"), str(TESTS / "formats")]
    from cut_cases import cases, check_case

    rows = []
    for kind in cases():
        masks = gone = wrong = 0
        number = -(-CASES // len(cases()))
        for seed in range(number):
            folder = work / f"{kind}-{seed}"
            folder.mkdir()
            found, dropped, problems = check_case(kind, seed, folder, reads=seed % READ_EVERY == 0)
            shutil.rmtree(folder)
            masks, gone, wrong = masks + found, gone + dropped, wrong + bool(problems)
            if problems:
                print(kind, seed, problems, flush=True)
        rows.append(
            {
                "study": "cuts",
                "what": f"cut right, {kind}",
                "value": f"{100 * (number - wrong) / number:.4g}",
                "unit": f"% of {number:,} generated cases",
                "goal": "100",
                "detail": f"{masks:,} masks, of which {gone:,} go; {wrong} cases wrong",
            }
        )
    return rows
