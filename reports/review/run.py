"""How soon does the review page's server show a mask, and does it keep what people decide?

    python reports/review/run.py [--work FOLDER] [--seconds 180]

Writes results.csv and the tables of README.md. With --work, audits made there are used again.
"""

from __future__ import annotations

import argparse
import io
import shutil
import statistics
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from people import together
from server import Page, Server, decision

HERE = Path(__file__).resolve().parent
sys.path[2:2] = [str(HERE.parent / "performance"), str(HERE.parent / "_common")]

from filling import fill_page, table  # noqa: E402
from shapes import write_coco  # noqa: E402

SIZES = (100, 1_000_000)
POLICY = """
name = "everything to review"

[accept]
quality_at_least = 1.0

[[rule]]
when = "area_px > 0"
action = "review"
reason = "everything is shown"
p_bad = 0.5
"""
Rows = list[dict[str, Any]]


def audit_of(work: Path, masks: int) -> Path:
    """Make an audit with all its masks in the queue."""
    from curate import audit

    path = work / f"audit_{masks}"
    if not (path / "audit.json").exists():
        write_coco(work / "masks.json", masks)
        (work / "policy.toml").write_text(POLICY)
        audit(work / "masks.json", path, policy=work / "policy.toml")
        (work / "masks.json").unlink()
    for name in ("reviews", "leases"):
        for end in ("", "-wal", "-shm"):
            (path / f"{name}.sqlite{end}").unlink(missing_ok=True)
    return path


def starting(path: Path, masks: int, rounds: int = 5) -> Rows:
    """Measure from the command to the first mask, and what memory it takes to go on."""
    first: list[float] = []
    work: list[float] = []
    dozens: list[float] = []
    writes: list[float] = []
    peak = 0.0
    for _ in range(rounds):
        server = Server(path)
        begin = time.perf_counter()
        server.start()
        page = Page(server, "one")
        page.ask("/api/about")
        held = [card["item"] for card in page.next(1, [])]
        first.append(time.perf_counter() - begin)
        work.append(server.processor_s())
        for _ in range(12):
            begin = time.perf_counter()
            page.next(12, [])
            dozens.append(time.perf_counter() - begin)
        begin = time.perf_counter()
        page.send([decision(item, "accept") for item in held])
        writes.append(time.perf_counter() - begin)
        while not page.ask("/api/about")["filters_ready"]:
            time.sleep(0.2)
        peak = max(peak, server.memory()["peak"])
        server.kill()
    what = f"{masks:,} masks"
    return [
        _row("start", f"{what}: command to first mask", statistics.median(first), "s"),
        _row("start", f"{what}: slowest of {rounds}", max(first), "s"),
        _row("start", f"{what}: its processor time", statistics.median(work), "s"),
        _row("start", f"{what}: a request for 12 masks", 1000 * statistics.median(dozens), "ms"),
        _row("start", f"{what}: a decision on the disk", 1000 * statistics.median(writes), "ms"),
        _row("start", f"{what}: memory at the peak", peak, "MB"),
    ]


def _row(part: str, what: str, value: float, unit: str) -> dict[str, Any]:
    return {"part": part, "what": what, "value": round(value, 3), "unit": unit}


def pictures(work: Path) -> Rows:
    """Measure what one view of a 2000 x 3000 px picture takes."""
    from PIL import Image

    rng = np.random.default_rng(0)
    ground = Image.fromarray(rng.integers(0, 255, (200, 300, 3), np.uint8))
    picture = ground.resize((3000, 2000), Image.Resampling.BICUBIC)
    rows = []
    for kind in ("jpg", "png"):
        picture.save(work / f"picture.{kind}", quality=90)
        first, further = zip(*(_views(work, f"picture.{kind}") for _ in range(5)), strict=True)
        told = f"{kind.upper()}: a card of"
        rows.append(_row("pictures", f"{told} a new picture", statistics.median(first), "ms"))
        rows.append(_row("pictures", f"{told} the same one", statistics.median(further), "ms"))
    piece = picture.crop((500, 500, 1524, 1524))
    ways: list[tuple[str, dict[str, int]]] = [("WEBP", {"method": m}) for m in (0, 2, 4)]
    for kind, options in [*ways, ("JPEG", {})]:
        times, size = zip(*(_packing(piece, kind, options) for _ in range(5)), strict=True)
        said = "".join(f" method {value}" for value in options.values())
        told = f"packing 1024 x 1024 px as {kind}{said}, {size[0] / 1000:.0f} kB"
        rows.append(_row("pictures", told, statistics.median(times), "ms"))
    return rows


def _views(work: Path, name: str) -> tuple[float, float]:
    """Return milliseconds for a card of a picture, and for another of the same one."""
    from curate.images import Box, ImageFolder
    from curate.people.webapp.picture_cache import ViewCache, ViewRequest

    views, times = ViewCache(ImageFolder(work)), []
    for x in (500, 600):
        begin = time.perf_counter()
        view = ViewRequest(name, (2000, 3000), Box(x, 500, 1200, 1200), 1024)
        made = views.ask(view).result()
        times.append(1000 * (time.perf_counter() - begin))
        if isinstance(made, str):
            raise RuntimeError(f"{name} was not shown: {made}")
    views.close()
    return times[0], times[1]


def _packing(piece: Any, kind: str, options: dict[str, int]) -> tuple[float, int]:
    """Return milliseconds and bytes."""
    out, begin = io.BytesIO(), time.perf_counter()
    piece.save(out, kind, quality=85, **options)
    return 1000 * (time.perf_counter() - begin), len(out.getvalue())


def start(results: pd.DataFrame) -> str:
    """Return the table of starts."""
    return _table(results, "start")


def crowd(results: pd.DataFrame) -> str:
    """Return the table of people at once."""
    return _table(results, "crowd")


def views(results: pd.DataFrame) -> str:
    """Return the table of pictures."""
    return _table(results, "pictures")


def _table(results: pd.DataFrame, part: str) -> str:
    own = results[results["part"] == part]
    rows = zip(own["what"], own["value"], own["unit"].fillna(""), strict=True)
    return table(["what", "measured"], [[w, f"{v:,.4g} {u}".strip()] for w, v, u in rows])


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=Path)
    parser.add_argument("--seconds", type=float, default=180.0)
    given = parser.parse_args()
    holder = nullcontext(given.work) if given.work else tempfile.TemporaryDirectory()
    with holder as folder:
        work = Path(folder)
        work.mkdir(parents=True, exist_ok=True)
        rows = [row for masks in SIZES for row in starting(audit_of(work, masks), masks)]
        rows += pictures(work)
        found = together(audit_of(work, SIZES[-1]), 20, given.seconds, 5)
        units = {"memory at the peak": "MB"} | dict.fromkeys(
            ("median wait for 4 masks", "95th percentile of the wait"), "ms"
        )
        found["seconds"] = given.seconds
        rows += [_row("crowd", what, value, units.get(what, "")) for what, value in found.items()]
        if given.work is None:
            shutil.rmtree(work, ignore_errors=True)
    results = pd.DataFrame(rows)
    results.to_csv(HERE / "results.csv", index=False)
    fill_page(HERE / "README.md", results, [start, crowd, views])


if __name__ == "__main__":
    main()
