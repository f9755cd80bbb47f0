"""Which branches of each reader its inputs reach, over a sample that is read again."""

from __future__ import annotations

import tempfile
import warnings
from contextlib import suppress
from pathlib import Path

from fuzz.inputs import make_input, make_seed, remove_input
from fuzz.readers import BY_NAME, Input, Reader
from fuzz.seeds import ROOT


def coverage_by_reader(count: int, only: list[str] | None = None) -> str:
    """Return a table of branch coverage: of each reader's own modules, by its own inputs.

    Args:
        count: How many inputs of each reader are read, from its first.
        only: Names of readers; None for all.
    """
    lines = [f"{'reader':22}{'inputs':>8}{'branches':>10}{'reached':>9}  modules"]
    with tempfile.TemporaryDirectory(prefix="curate-fuzz-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in only or BY_NAME:
            reader = BY_NAME[name]
            reached, possible = _of_reader(reader, count, Path(folder))
            modules = ", ".join(Path(one).stem for one in reader.modules)
            share = reached / max(1, possible)
            lines.append(f"{name:22}{count:8}{possible:10}{share:9.0%}  {modules}")
    return "\n".join(lines)


def _of_reader(reader: Reader, count: int, folder: Path) -> tuple[int, int]:
    """Return how many branches are reached, and how many there are; kernels are not counted."""
    import coverage

    files = [str(ROOT / one) for one in reader.modules]
    for number in range(len(reader.seeds())):
        _read(reader, make_seed(reader, number, folder))  # what runs on import is not counted
    tracer = coverage.Coverage(branch=True, include=files, data_file=None, config_file=False)
    tracer.exclude("@kernel")
    tracer.exclude("if TYPE_CHECKING:")
    tracer.start()
    try:
        for number in range(count):
            _read(reader, make_input(reader, number, folder)[0])
    finally:
        tracer.stop()
    exits = [pair for file in files for pair in tracer.branch_stats(file).values()]
    return sum(taken for _, taken in exits), sum(every for every, _ in exits)


def _read(reader: Reader, given: Input) -> None:
    with suppress(Exception):  # what comes of it was judged before
        reader.read(given)
    remove_input(given)
