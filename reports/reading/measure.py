"""Time and memory of one reader on one dataset, in the process of its own that this is.

    python reports/reading/measure.py curate DATASET SMALL
    .venv-tools/bin/python reports/reading/measure.py datumaro DATASET SMALL FORMAT masks|records

Reads SMALL once, so that all code is loaded and compiled, then DATASET five times. Prints JSON:
seconds of each reading (wall and CPU), the process's peak of memory after the first, and what it
had before it, in MB.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

ROUNDS = 5
Found = dict[str, int]


def by_curate(path: Path) -> Found:
    """Read a dataset into a table of all masks."""
    from curate.formats.reading import read

    table = read(path)
    return {"images": len(table.images), "masks": len(table)}


def by_datumaro(path: Path, format: str, pixels: bool) -> Found:
    """Import a dataset and go over all annotations.

    Args:
        path: The dataset.
        format: Datumaro's name of its format.
        pixels: Whether the pixels of each mask are asked for as well: run lengths as they are,
            other masks as arrays, polygons drawn by pycocotools.
    """
    from datumaro import Dataset

    dataset = Dataset.import_from(str(path), format)
    images = masks = 0
    for item in dataset:
        images += 1
        size = item.media.size if pixels and item.media is not None else None
        for one in item.annotations:
            masks += one.type.name in ("mask", "polygon")
            if pixels:
                take_pixels(one, size)
    return {"images": images, "masks": masks}


def take_pixels(one: Any, size: tuple[int, int] | None) -> None:
    """Ask for the pixels of one annotation."""
    from pycocotools import mask as coco_mask

    if hasattr(one, "rle"):
        _ = one.rle
    elif one.type.name == "mask":
        _ = one.image
    elif one.type.name == "polygon":
        coco_mask.merge(coco_mask.frPyObjects([one.points], *map(int, size or (0, 0))))


def resident() -> float:
    """Return the memory that the process has now, in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def high_water() -> float:
    """Return the most memory that the process had since that was last reset, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(one for one in lines if one.startswith("VmHWM")).split()[1]) * 1024 / 1e6


def main() -> None:
    who, path, small, *more = sys.argv[1:]
    read: Callable[[Path], Found] = by_curate
    if who == "datumaro":
        read = partial(by_datumaro, format=more[0], pixels=more[1] == "masks")
    read(Path(small))
    gc.collect()
    before, wall, cpu, peak, found = resident(), [], [], 0.0, {}
    Path("/proc/self/clear_refs").write_text("5")  # importing had a peak of its own
    for k in range(ROUNDS):
        start, used = time.perf_counter(), time.process_time()
        found = read(Path(path))
        wall.append(time.perf_counter() - start)
        cpu.append(time.process_time() - used)
        if k == 0:
            peak = high_water()
        gc.collect()
    print(json.dumps({"wall": wall, "cpu": cpu, "before_mb": before, "peak_mb": peak, **found}))


if __name__ == "__main__":
    main()
