"""Every fault at every file operation of every verb that has a case in ``tests/faults``.

Prints a table: operations of the undisturbed run, points tried (an operation and a fault: killed,
disk full, not allowed, broken disk, cut short and full, cut short and killed), and what was wrong.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "faults"))

from fault_harness import FAULTS, Server, find_cases, wrong_points


def try_case(module: Path, name: str, most: int | None) -> tuple[str, int]:
    """Return a row of the table and how many points were wrong; in words those go to stderr."""
    began = time.monotonic()
    with Server(module, name) as server:
        points = server.points()
        if most is not None and most < len(points):
            points = random.Random(0).sample(points, most)
        wrong = 0
        for problem in wrong_points(server, points):
            wrong += 1
            print(problem, file=sys.stderr, flush=True)
        operations, took = len(server.after.operations), time.monotonic() - began
    by_fault = Counter(fault for fault, _ in points)
    counts = " | ".join(str(by_fault[fault]) for fault in FAULTS)
    row = f"| `{name}` | {operations} | {counts} | {len(points)} | {wrong} | {took:.0f} |"
    return row, wrong


def main() -> None:
    """Try all cases, or those that are named, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", help="names of cases; all if none is given")
    parser.add_argument("--most", type=int, help="points a case, drawn; all if not given")
    asked = parser.parse_args()
    known = find_cases()
    print(f"| case | operations | {' | '.join(FAULTS)} | points | wrong | seconds |")
    print("| --- |" + " ---: |" * (len(FAULTS) + 4), flush=True)
    all_wrong = 0
    for name in asked.cases or known:
        row, wrong = try_case(known[name], name, asked.most)
        all_wrong += wrong
        print(row, flush=True)
    sys.exit(1 if all_wrong else 0)


if __name__ == "__main__":
    main()
