"""Count how often a reason states a fault of a mask that has none, and let people judge reasons.

    python reports/true_reasons/run.py drawn [--seed 11] [--masks 2000]
    python reports/true_reasons/run.py sheets [--data FOLDER] [--out FOLDER] [--count 200]
    python reports/true_reasons/run.py judged [--sheets FOLDER] A.csv B.csv

``drawn`` writes results.csv beside this file; ``sheets`` draws contact sheets for two judges;
``judged`` counts their answers (lines ``number,answer`` with y, n or u: cannot be seen) by kind of
reason into judged.csv.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
from drawn import make

import curate

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[2] / "shared" / "data"
INPUTS: dict[str, dict[str, Any]] = {
    "masks alone": {},
    "pictures, deep": {"images": True, "deep": True},
}


def states_fault(masks: pd.DataFrame) -> pd.Series:
    """Return which masks have a reason that states a fault: not those merely lowest."""
    return (masks["action"] != "accept") & (masks["flagged_by"] != "lowest_share")


def drawn(seed: int, count: int) -> list[dict[str, Any]]:
    """Audit a perfect dataset with several inputs; count what its masks are blamed for."""
    rows = []
    with tempfile.TemporaryDirectory() as work:
        source, pictures = make(Path(work) / "data", seed, count)
        for name, options in INPUTS.items():
            given = {k: pictures if k == "images" else v for k, v in options.items()}
            masks = curate.audit(source, Path(work) / name, **given).masks()
            fault = states_fault(masks)
            lowest = masks["flagged_by"] == "lowest_share"
            for what, value in (
                ("masks", len(masks)),
                ("with a reason that states a fault", int(fault.sum())),
                ("share of all masks", round(float(fault.mean()), 4)),
                ("merely of the lowest 2%", int(lowest.sum())),
            ):
                print(name, what, value, file=sys.stderr, flush=True)
                rows.append({"seed": seed, "given": name, "what": what, "value": value})
            for reason in masks.loc[fault, "reasons"]:
                print(f"{name}: {reason}", flush=True)
    return rows


def main() -> None:
    """Run one of the three."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    which = parser.add_subparsers(dest="which", required=True)
    one = which.add_parser("drawn")
    one.add_argument("--seed", type=int, default=11)
    one.add_argument("--masks", type=int, default=2000)
    other = which.add_parser("sheets")
    other.add_argument("--data", type=Path, default=DATA)
    other.add_argument("--out", type=Path, default=Path("build/true_reasons"))
    other.add_argument("--count", type=int, default=200)
    other.add_argument("--seed", type=int, default=6)
    third = which.add_parser("judged")
    third.add_argument("--sheets", type=Path, default=Path("build/true_reasons"))
    third.add_argument("answers", type=Path, nargs=2)
    options = parser.parse_args()
    if options.which == "sheets":
        from sheets import write_sheets

        print(write_sheets(options.data, options.out, options.count, options.seed))
    elif options.which == "judged":
        from judged import count_answers

        table = count_answers(options.sheets / "judge.csv", options.answers)
        table.to_csv(HERE / "judged.csv", index=False, lineterminator="\n")
        print(table.to_string(index=False))
    else:
        table = pd.DataFrame(drawn(options.seed, options.masks))
        table.to_csv(HERE / "results.csv", index=False, lineterminator="\n")


if __name__ == "__main__":
    main()
