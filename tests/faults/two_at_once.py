"""Two processes that do the same at the same moment: one result, and at most one sentence.

Each try copies what a case of ``cases_*.py`` starts from and lets two forked children run it, from
the same moment on. Both may end well (one after the other, or with the same result), or one is
refused with one line; the other always ends well. What is there then is what one run gives, or two
in turn. ``python tests/faults/two_at_once.py [TRIES [CASE ...]]`` prints a row a case.
"""

from __future__ import annotations

import gc
import os
import pickle
import shutil
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent / "formats"), str(HERE.parents[1])]

os.environ["OMP_NUM_THREADS"] = "1"  # threads of scikit-learn would not survive a fork

from fault_harness import Case, find_cases, leftovers, load_case  # noqa: E402

from curate.common.garbage_collection import relax_collector  # noqa: E402
from curate.errors import CurateError  # noqa: E402

Ending = tuple[int, str]
"""Exit status, and what was said."""


def ending_of(case: Case, folder: Path) -> Ending:
    """Run a case in this process."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            case.run(folder)
    except CurateError as error:
        return 2, str(error)
    except BaseException:
        return 3, traceback.format_exc()[-800:]
    return 0, ""


def start(work: Any, answer: Path, gate: int | None = None) -> int:
    """Fork a child that waits for the gate, works, and leaves what its work returned."""
    child = os.fork()
    if child:
        return child
    try:
        if gate is not None:
            os.read(gate, 1)
        answer.write_bytes(pickle.dumps(work()))
    finally:
        os._exit(0)


def alone(work: Any, home: Path) -> Any:
    """Do one thing in a child and return what it gave."""
    answer = home / "alone"
    answer.unlink(missing_ok=True)
    os.waitpid(start(work, answer), 0)
    return pickle.loads(answer.read_bytes())


def seen(case: Case, folder: Path) -> Any:
    """Return what a reader sees, or the sentence that it gets."""
    try:
        return case.result(folder)
    except CurateError as error:
        return str(error)


class Tries:
    """Pairs of runs of one case, each from the same start, at the same place.

    Args:
        case: The case.
        home: An empty folder.
    """

    def __init__(self, case: Case, home: Path) -> None:
        self.case, self.home, self.place = case, home, home / "place"
        (home / "start").mkdir()
        self._warm_up()
        alone(lambda: case.prepare(home / "start"), home)
        self.right = []
        self._fresh()
        for _ in range(2):  # once, and then again
            self.again = alone(lambda: ending_of(case, self.place), home)
            self.right.append(alone(lambda: seen(case, self.place), home))

    def _warm_up(self) -> None:
        folder = self.home / "warm"
        folder.mkdir()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.case.warm_up(folder)
        shutil.rmtree(folder)
        gc.freeze()  # no child's collector walks over what is loaded, and copies its pages
        relax_collector()

    def _fresh(self) -> None:
        shutil.rmtree(self.place, ignore_errors=True)
        shutil.copytree(self.home / "start", self.place, symlinks=True)

    def once(self) -> tuple[tuple[int, int], str]:
        """Let two children run; return how they ended, and what is wrong: "" if nothing."""
        self._fresh()
        gate, opened = os.pipe()
        answers = [self.home / f"answer-{k}" for k in range(2)]
        children = [start(lambda: ending_of(self.case, self.place), a, gate) for a in answers]
        os.write(opened, b"..")
        for child in children:
            os.waitpid(child, 0)
        os.close(gate)
        os.close(opened)
        ends: list[Ending] = sorted(pickle.loads(a.read_bytes()) for a in answers)
        statuses = ends[0][0], ends[1][0]
        if statuses not in ((0, 0), (0, 2)):
            return statuses, f"they ended with {statuses}: {ends[0][1]} | {ends[1][1]}"
        said = ends[1][1]
        if "\n" in said.strip() or len(said) > 1000:
            return statuses, f"it says more than a line: {said!r}"
        now = alone(lambda: seen(self.case, self.place), self.home)
        if now not in self.right:
            return statuses, f"another result than of one run or of two in turn; one said: {said}"
        left = [n for n in leftovers(self.place) if n.rpartition("/")[2] not in self.case.hidden]
        return statuses, f"it leaves {left}" if left else ""


def wrong_tries(module: Path, name: str, tries: int) -> tuple[Counter[tuple[int, int]], list[str]]:
    """Return how pairs of runs ended, and what was wrong with which."""
    ended: Counter[tuple[int, int]] = Counter()
    wrong: list[str] = []
    with tempfile.TemporaryDirectory(prefix="curate-two-") as home:
        pairs = Tries(load_case(module, name), Path(home))
        for _ in range(tries):
            statuses, problem = pairs.once()
            ended[statuses] += 1
            wrong += [problem] if problem else []
    return ended, wrong


def main() -> None:
    tries, *names = sys.argv[1:] or ["100"]
    cases = find_cases()
    print("| command | tries | both ended well | one was refused | wrong |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name in names or cases:
        # A process of its own for each: what one case has loaded is not the next one's.
        child = os.fork()
        if child == 0:
            ended, wrong = wrong_tries(cases[name], name, int(tries))
            counts = f"{ended[(0, 0)]} | {ended[(0, 2)]} | {len(wrong)}"
            print(f"| {name} | {tries} | {counts} |", flush=True)
            for problem in sorted(set(wrong))[:5]:
                print(f"  {name}: {problem}", file=sys.stderr)
            os._exit(0)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
