"""``python -m fuzz``: run for some time from where it stopped, and print what was found."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from fuzz import runner


def main() -> int:
    """Run the command line; 1 where something was found."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--reader", action="append", help="only this one; repeatable")
    parser.add_argument("--state", type=Path, default=Path("build/fuzz"))
    parser.add_argument("--coverage", type=int, default=200, help="inputs a reader; 0 for none")
    parser.add_argument("--again", metavar="READER:NUMBER", help="one input, with its traceback")
    parser.add_argument("--keep", type=Path, help="with --again: where the input is kept")
    options = parser.parse_args()
    if options.again:
        return runner.run_again(options.again, options.keep)
    state = runner.State.load(options.state)
    runner.run(state, options.seconds, options.reader)
    print(runner.table_of(state))
    if options.coverage:
        from fuzz.branches import coverage_by_reader

        print(coverage_by_reader(options.coverage, options.reader))
    return 1 if state.finds else 0


if __name__ == "__main__":
    sys.exit(main())
