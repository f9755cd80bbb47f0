"""100 kills of ``curate write`` at random moments: what is there, and what the next run gives."""

from __future__ import annotations

import hashlib
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def digest(path: Path) -> str:
    """Return a hash of a file, or of all files of a folder with their names."""
    made = hashlib.blake2b()
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    for file in files:
        made.update(str(file.relative_to(path)).encode() + b"\0" + file.read_bytes())
    return made.hexdigest()


def measured(source: Path, audit: Path, work: Path, kills: int = 100, seed: int = 0) -> list[Row]:
    """Kill, look, run again, and count.

    Args:
        source: The dataset.
        audit: Its audit, with decisions.
        work: An empty folder.
        kills: How many.
        seed: Of the moments.
    """
    rng = random.Random(seed)
    before = digest(source)
    command = [sys.executable, "-m", "curate", "write", str(audit), "--out"]
    whole = work / "whole" / source.name
    start = time.perf_counter()
    subprocess.run([*command, str(whole)], check=True, capture_output=True)
    length = time.perf_counter() - start
    meant = digest(whole)
    half = other = finished = 0
    out = work / "killed" / source.name
    out.parent.mkdir()
    for _ in range(kills):
        running = subprocess.Popen(
            [*command, str(out)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            running.wait(rng.uniform(0, 1.05 * length))
            finished += 1
        except subprocess.TimeoutExpired:
            running.send_signal(signal.SIGKILL)
            running.wait()
        if out.exists():
            half += digest(out) != meant
            for path in out.parent.glob(f"{out.name}*"):
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()
    subprocess.run([*command, str(out)], check=True, capture_output=True)
    other += digest(out) != meant
    left = [p.name for p in out.parent.iterdir() if p.name.startswith(".")]
    ok = not half and not other and not left and digest(source) == before
    return [
        {
            "study": "kills",
            "what": f"{source.name}: kills that left something half written",
            "value": half,
            "unit": f"of {kills - finished} kills ({finished} runs were faster)",
            "goal": "0",
            "detail": f"the next run gives {'the same' if not other else 'ANOTHER'} result, leaves "
            f"{len(left)} files behind; the source is {'as it was' if ok else 'CHANGED'}",
        }
    ]
