"""Faults at any operation of :mod:`curate.common.files`: a verb is disturbed, run again, and
compared.

How to add a case: in a module of this folder named ``cases_*.py`` (imports only, no computing when
it is imported) put a :class:`Case` into a dictionary ``CASES``::

    from fault_harness import Case, audit_content

    def prepare(folder):            # fills an empty folder with what the verb starts from
        write_some_dataset(folder / "in")
        verbs.audit(folder / "in", folder / "out")

    def run(folder):                # the verb; called again after a fault, so the same arguments
        verbs.prune(folder / "out", folder / "pruned")

    def result(folder):             # what is compared, by ==: bytes, numbers, dictionaries
        return audit_content(folder / "out") | content(folder / "pruned")

    CASES = {"prune": Case(prepare, run, result)}

``test_faults_of_verbs.py`` finds it, and kills it at every operation (``check_every``), and so does
``reports/reliability/faults.py``, which tries every fault at every operation. ``check_some`` tries
a few. ``python tests/faults/fault_harness.py prune [kill 17]`` prints all operations, or tries one
point.

What is checked of each point, a fault at the n-th operation:

- a faulted run ends well, with a :class:`CurateError` of one line, or killed; with nothing else;
- then what a reader sees (``result``) is that of before, or that of an undisturbed run, or is
  refused with a ``CurateError``; every visible file of a known kind outside ``work`` can be read;
- run again undisturbed it ends well (or refuses, where the faulted run had already made all), with
  the result of an undisturbed run, and leaves no hidden file and no ``*.tmp`` or ``*.partial``.

Each run is a forked child of a server that has imported the case's module, and has warmed up: it
has run the verb once, or what ``warm`` says. Children run with a folder for temporary files, a
cache and a state folder of their own, which stay from the fault to the next run.
"""

from __future__ import annotations

import importlib
import json
import os
import pickle
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from curate.store.audit import REPORTS

KILLED = 137
KILL, FULL, DENIED, BROKEN, SHORT, TORN = "kill", "full", "denied", "broken", "short", "torn"
FAULTS = (KILL, FULL, DENIED, BROKEN, SHORT, TORN)
"""Dies before it; from it on the disk is full; it is not allowed; it fails on a broken disk; it
writes some bytes, and then the disk is full; it writes some bytes, and then it dies."""

GROWS = {"open", "write", "truncate", "fsync", "mkdir", "link", "symlink", "replace", "commit"}
NAMES = {"open", "mkdir", "replace", "link", "symlink", "unlink", "rmdir", "chmod", "utime"}


@dataclass(frozen=True)
class Case:
    """A verb to disturb.

    Attributes:
        prepare: Fills an empty folder.
        run: Runs the verb on it, in this process.
        result: What is compared by ``==``; may raise CurateError where a reader is refused.
        warm: What the server runs on an empty folder before it forks, so that children find all
            loaded; the whole case, if None. It must start no threads: a fork does not survive them.
        hidden: Names of hidden files that belong to the result.
        late: Names of files that a fault may leave old or missing, since they are written once all
            else is done and kept; the next run writes them.
    """

    prepare: Callable[[Path], None]
    run: Callable[[Path], None]
    result: Callable[[Path], Any]
    warm: Callable[[Path], None] | None = None
    hidden: tuple[str, ...] = ()
    late: tuple[str, ...] = REPORTS

    def warm_up(self, folder: Path) -> None:
        """Load in this process, with an empty folder to do it in, what its children will need."""
        if self.warm is not None:
            self.warm(folder)
            return
        self.prepare(folder)
        self.run(folder)
        self.result(folder)


@dataclass
class Outcome:
    """What became of a child: exit status, its last words, what a reader saw, its operations."""

    status: int
    said: str = ""
    seen: Any = None
    operations: list[tuple[str, str]] = field(default_factory=list)


class Server:
    """A process that runs a case's functions in children; see ``fault_server.py``."""

    def __init__(self, module: Path, name: str) -> None:
        self.module, self.name = Path(module), name
        self.home = Path(tempfile.mkdtemp(prefix="curate-faults-"))
        self.start = self.home / "start"
        command = [sys.executable, str(Path(__file__).with_name("fault_server.py"))]
        environment = {
            **os.environ,
            "CURATE_CACHE": str(self.home / "own" / "cache"),
            "XDG_STATE_HOME": str(self.home / "own" / "state"),
            "TMPDIR": str(self.home / "own" / "tmp"),
            "OMP_NUM_THREADS": "1",  # threads of scikit-learn would not survive a fork
        }
        (self.home / "own" / "tmp").mkdir(parents=True)
        self._process = subprocess.Popen(
            [*command, str(self.module), name, str(self.home)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.start.mkdir()
        self._known(self.call("prepare", self.start))
        self.before = self.call("see", self.start)
        done = self._fresh()
        self.after = self._known(self.call("run", done))
        assert self.after.seen != self.before.seen, "a verb that changes nothing cannot go wrong"

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(30)
        shutil.rmtree(self.home, ignore_errors=True)

    def _known(self, outcome: Outcome) -> Outcome:
        assert outcome.status == 0, outcome.said
        return outcome

    def call(self, what: str, folder: Path, fault: str = "", at: int = 0) -> Outcome:
        """Run one of prepare, run and see in a child; a run that ends well also sees."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps([what, str(folder), fault, at]) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the server of the children is gone"
        status = json.loads(line)
        answer = self.home / "answer"
        if not answer.exists():
            return Outcome(status)
        made: Outcome = pickle.loads(answer.read_bytes())
        answer.unlink()
        return made

    def _fresh(self) -> Path:
        """Copy the start to the one place where all runs take place: paths stand in results."""
        place = self.home / "place"
        for old in (place, self.home / "own"):
            shutil.rmtree(old, ignore_errors=True)
        (self.home / "own" / "tmp").mkdir(parents=True)
        shutil.copytree(self.start, place, symlinks=True)
        return place

    def points(self) -> list[tuple[str, int]]:
        """Return every fault that is possible at every operation of the undisturbed run."""
        found = []
        for at, (operation, _) in enumerate(self.after.operations, 1):
            found += [(KILL, at), (BROKEN, at)]
            found += [(FULL, at)] if operation in GROWS else []
            found += [(DENIED, at)] if operation in NAMES else []
            found += [(SHORT, at), (TORN, at)] if operation == "write" else []
        return found

    def try_point(self, fault: str, at: int) -> str:
        """Disturb a run and run again; return what is wrong, "" if nothing."""
        case, folder = load_case(self.module, self.name), self._fresh()
        done = self.call("run", folder, fault, at)
        if done.status not in (0, 2, KILLED) or (done.status == KILLED) != (fault in (KILL, TORN)):
            return f"the faulted run ended with {done.status}: {done.said}"
        if "\n" in done.said.strip() or len(done.said) > 1000:
            return f"it says more than a line: {done.said!r}"
        seen = self.call("see", folder)
        if seen.status not in (0, 2):
            return f"what it left cannot be read: {seen.said}"
        is_done = seen.status == 0 and _same(seen.seen, self.after.seen, case.late)
        if done.status == 0 and not is_done:
            return f"it ended well, with another result: {_differing(seen, self.after)}"
        if seen.status == 0 and not is_done and not _same(seen.seen, self.before.seen, case.late):
            return f"a reader sees what is neither old nor new: {_differing(seen, self.after)}"
        again = self.call("run", folder)
        if again.status == 2 and is_done:
            again = self.call("see", folder)
        if again.status != 0:
            return f"run again it ended with {again.status}: {again.said}"
        if again.seen != self.after.seen:
            return f"run again it gives another result: {_differing(again, self.after)}"
        left = [n for n in leftovers(folder) if n.rpartition("/")[2] not in case.hidden]
        return f"it leaves {left}" if left else ""


def _same(one: Any, other: Any, late: tuple[str, ...]) -> bool:
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return bool(one == other)
    names = {n for n in one.keys() | other.keys() if str(n).rpartition("/")[2] not in late}
    return all(n in one and n in other and one[n] == other[n] for n in names)


def _differing(one: Outcome, other: Outcome) -> str:
    if not (isinstance(one.seen, dict) and isinstance(other.seen, dict)):
        return f"{str(one.seen)[:300]} for {str(other.seen)[:300]}"
    names = sorted(one.seen.keys() | other.seen.keys(), key=str)
    differ = [n for n in names if one.seen.get(n) != other.seen.get(n)]
    shown = (f"{n}: {str(one.seen.get(n))[:90]} for {str(other.seen.get(n))[:90]}" for n in differ)
    return "; ".join(list(shown)[:4])


def leftovers(folder: Path) -> list[str]:
    """Return hidden and temporary files."""
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.name.startswith(".") or path.suffix in (".tmp", ".partial")
    )


def load_case(module: Path, name: str) -> Case:
    """Return a case of a module."""
    case: Case = _imported(module).CASES[name]
    return case


def _imported(module: Path) -> Any:
    tests = Path(__file__).resolve().parents[1]
    wanted = (str(tests / "faults"), str(tests), str(tests / "formats"), str(tests.parent))
    sys.path[:0] = [p for p in wanted if p not in sys.path]
    return importlib.import_module(module.stem)


def check_some(module: Path | str, name: str, count: int = 12, seed: int = 0) -> None:
    """Try a seeded draw of points: as many kills as other faults."""
    chance = random.Random(seed)
    with Server(Path(module), name) as server:
        points = server.points()
        kills = [p for p in points if p[0] in (KILL, TORN)]
        others = [p for p in points if p[0] not in (KILL, TORN)]
        drawn = [chance.choice(kills if k % 2 else others) for k in range(count)]
        _report(server, drawn)


def check_every(module: Path | str, name: str, seed: int = 0) -> int:
    """Try a kill and another fault at each operation, drawn by seed; return how many points.

    All faults at each operation take twice as long: a study for a night
    (``reports/reliability/faults.py``).
    """
    chance = random.Random(seed)
    with Server(Path(module), name) as server:
        kills: dict[int, list[str]] = {}
        others: dict[int, list[str]] = {}
        for fault, at in server.points():
            (kills if fault in (KILL, TORN) else others).setdefault(at, []).append(fault)
        drawn = [(chance.choice(each[at]), at) for at in kills for each in (kills, others)]
        _report(server, drawn)
        return len(drawn)


def wrong_points(server: Server, points: list[tuple[str, int]]) -> Iterator[str]:
    """Yield in words what is wrong at which of some points."""
    for fault, at in points:
        problem = server.try_point(fault, at)
        if problem:
            operation, path = server.after.operations[at - 1]
            shown = path.replace(str(server.home), "")
            yield f"{server.name}: {fault} at {at} ({operation} {shown}): {problem}"


def _report(server: Server, points: list[tuple[str, int]]) -> None:
    wrong = list(wrong_points(server, points))
    assert not wrong, f"{len(wrong)} of {len(points)} points:\n" + "\n".join(wrong[:20])


def content(folder: Path) -> dict[str, bytes]:
    """Return every visible file below a folder, or the file itself, with its bytes."""
    if folder.is_file():
        return {folder.name: folder.read_bytes()}
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


def audit_content(out: Path) -> dict[str, Any]:
    """Return all that stands in a finished audit but times; decisions row by row.

    Raises:
        CurateError: It is not finished.
    """
    from curate.people.reviews.current_plan import open_audit

    open_audit(out)
    found: dict[str, Any] = {}
    for name, data in content(out).items():
        if name == "audit.json":
            info = json.loads(data)
            found |= {f"audit.json {k}": v for k, v in info.items() if k != "timings"}
        elif name == "reviews.sqlite":
            found[name] = rows_of(out / name)
        elif name in REPORTS:  # they show when it was and how long things took
            data = re.sub(rb"[0-9-]{10} [0-9:]{5} UTC", b"", data)
            found[name] = re.sub(rb'([0-9.,]+ (ms|s|min|h) ?)+(?=</dd>|")', b"", data)
        elif not name.startswith(("leases.sqlite", "reviews.sqlite")):
            found[name] = data
    return found


def rows_of(database: Path, times: tuple[str, ...] = ("time", "created", "key")) -> dict[str, Any]:
    """Return the rows of an SQLite file by table, without columns that hold times."""
    import sqlite3

    connection = sqlite3.connect(database)
    try:
        tables = connection.execute("select name from sqlite_master where type = 'table'")
        found = {}
        for (table,) in tables.fetchall():
            cursor = connection.execute(f"select * from {table}")
            keep = [k for k, c in enumerate(cursor.description) if c[0] not in times]
            found[table] = sorted(repr([row[k] for k in keep]) for row in cursor.fetchall())
        return found
    finally:
        connection.close()


def find_cases() -> dict[str, Path]:
    """Return the names of all cases of this folder, and where each stands."""
    found: dict[str, Path] = {}
    for module in sorted(Path(__file__).parent.glob("cases_*.py")):
        found |= dict.fromkeys(_imported(module).CASES, module)
    return found


def main() -> None:
    """Print the operations of a case, or try one point of it."""
    name, *point = sys.argv[1:]
    with Server(find_cases()[name], name) as server:
        if point:
            print(list(wrong_points(server, [(point[0], int(point[1]))])) or "right")
            return
        for at, (operation, path) in enumerate(server.after.operations, 1):
            print(at, operation, path.replace(str(server.home), ""))


if __name__ == "__main__":
    sys.modules["fault_harness"] = sys.modules["__main__"]
    main()
