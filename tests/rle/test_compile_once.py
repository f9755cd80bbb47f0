"""Kernels are compiled by one process, and loaded by the others."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from curate.rle.compile_once import hold_source

KERNELS = """
from curate.rle.runs import kernel

@kernel
def double(values):
    return values * 2

@kernel
def total(values):
    return double(values).sum()
"""
RUN = """
import sys
import numpy as np
sys.path.insert(0, sys.argv[1])
from small_kernels import total
print("ready", flush=True)
sys.stdin.readline()
print(int(total(np.arange(5))), sum(total.stats.cache_misses.values()))
"""


def test_of_two_processes_one_compiles(tmp_path: Path) -> None:
    (tmp_path / "small_kernels.py").write_text(KERNELS)
    command = [sys.executable, "-c", RUN, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    both = [subprocess.Popen(command, env=environment, **pipes) for _ in range(2)]  # type: ignore[call-overload]
    for one in both:
        assert one.stdout.readline() == "ready\n"
    for one in both:
        one.stdin.write("go\n")
        one.stdin.flush()
    said = sorted(one.communicate()[0] for one in both)
    assert said == ["20 0\n", "20 1\n"]


def test_a_source_is_locked_once_and_waited_for_no_longer_than_told(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text("")
    with hold_source(str(path)) as outer, hold_source(str(path)) as inner:
        assert outer
        assert inner
        code = "import sys; from curate.rle.compile_once import hold_source\n"
        code += "with hold_source(sys.argv[1], 0) as held: print(held)"
        other = [sys.executable, "-c", code, str(path)]
        assert subprocess.check_output(other, text=True) == "False\n"
    assert subprocess.check_output(other, text=True) == "True\n"
    with hold_source(str(tmp_path / "none.py")) as held:
        assert not held
