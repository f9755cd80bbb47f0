"""Cases of ``prune`` and ``write``: a dataset in one file, in a folder, and as COCO."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from cases_people import seen as seen_audit
from fault_harness import Case, content

sys.path.append(str(Path(__file__).parents[1] / "write"))
from drawn_decisions import Source, decide_all_sorts, default_label, hand_in
from small_datasets import KINDS, build

import curate
from curate.policy.policy import load_policy

SUFFIXES = {"coco": ".json", "sa1b-tar": ".tar", "cvat": ".xml"}
"""Of the datasets that are one file."""

DATASETS = ("coco", "sa1b-tar", "cvat", "yolo", "label-png")
"""One of every way in which a dataset stands on disk: what writes the others is the same."""


def preparing(name: str) -> Callable[[Path], None]:
    """Return what audits a small dataset and lets people decide in every way."""

    def prepare(folder: Path) -> None:
        path = build(name, folder / "source")
        curate.audit(path, folder / "out", policy=load_policy({"name": "all"}))
        source = Source(name, path, folder / "out", curate.read(path))
        hand_in(source, folder / "out", decide_all_sorts(source))
        (folder / "written").mkdir()

    return prepare


def pruning(name: str) -> Callable[[Path], None]:
    """Return what prunes a dataset."""

    def run(folder: Path) -> None:
        curate.prune(folder / "out", _place(folder, name))

    return run


def writing(name: str, **options: Any) -> Callable[[Path], None]:
    """Return what writes a dataset, with its provenance beside it or elsewhere."""

    def run(folder: Path) -> None:
        given = {"category": default_label(KINDS[name])} | options
        if "provenance" in given:
            given["provenance"] = folder / "notes" / given["provenance"]
        curate.write(folder / "out", _place(folder, "coco" if "to" in given else name), **given)

    return run


def _place(folder: Path, name: str) -> Path:
    return folder / "written" / f"out{SUFFIXES.get(name, '')}"


def seen(folder: Path) -> dict[str, Any]:
    """Return what is written, and the audit; of a provenance its rows.

    A provenance without its dataset is none: the next run puts its own in its place.
    """
    found = {f"audit {name}": value for name, value in seen_audit(folder).items()}
    found |= {f"source {name}": data for name, data in content(folder / "source").items()}
    written = [p for p in (folder / "written").glob("out*") if "provenance" not in p.name]
    for path in written:
        found |= {f"written/{path.name}/{name}": data for name, data in content(path).items()}
    for path in (*folder.glob("written/*.provenance.parquet"), *folder.glob("notes/*")):
        if written:
            rows = pq.read_table(path) if path.suffix == ".parquet" else None
            found[path.name] = path.read_bytes() if rows is None else rows.to_pylist()
    return found


CASES = {
    **{f"prune of {name}": Case(preparing(name), pruning(name), seen) for name in DATASETS},
    **{f"write of {name}": Case(preparing(name), writing(name), seen) for name in DATASETS},
    "write as COCO": Case(preparing("yolo"), writing("yolo", to="coco"), seen),
    "write with notes elsewhere": Case(
        preparing("coco"), writing("coco", provenance="notes.json"), seen
    ),
}
