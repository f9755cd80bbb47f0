"""Send every mask of two real sets out to each tool's format and back, and count what changed.

    python reports/round_trips/run.py [--data FOLDER]

Writes results.csv and the table of README.md; takes a few minutes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from independent import equal_masks

import curate
from curate.people.exchange import count_left_out, import_file, write_queue
from curate.people.exchange.registry import ExportOptions
from curate.people.reviews import open_reviews
from curate.store.audit import StoredAudit, open_audit

sys.path.append(str(Path(__file__).resolve().parents[1] / "_common"))
from filling import fill_page, table

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[2] / "shared" / "data"
SETS = {"coco_val2017": "instances.json", "dsb2018": "instances_original.json"}
FORMATS = {"cvat": "", "fiftyone": "", "coco": ".json", "huggingface": ".parquet"}
"""The ending of what is written for whole images."""

Row = dict[str, Any]


def everything(audit: StoredAudit) -> pd.DataFrame:
    """Return all masks of an audit as a queue, recorded as a draw."""
    rows = curate.queue(audit, actions=("accept", "review", "reject"))
    open_reviews(audit, create=True).record_draw("errors", rows[["mask_id"]], {})
    return rows


def there_and_back(
    audit: StoredAudit, rows: pd.DataFrame, work: Path, source: Path, name: str, crops: bool
) -> Row:
    """Write a queue for a tool, import it without a change, and count."""
    ending = "" if crops and name == "coco" else FORMATS[name]
    out = work / f"{name}-{'crops' if crops else 'whole'}{ending}"
    start = time.perf_counter()
    written = write_queue(audit, rows, out, name, how=ExportOptions(crops))
    middle = time.perf_counter()
    person = f"{name} {'crops' if crops else 'whole'}"
    done = import_file(audit, out, reviewer=person, assume_reviewed=True)
    end = time.perf_counter()
    kept = open_reviews(audit).decisions()
    kept = kept[kept["reviewer"] == person]
    equal = (kept["action"] == "accept") & (kept["iou"] == 1) & kept["segmentation"].isna()
    why = count_left_out(audit, rows, written)
    return {
        "format": name,
        "view": "crops" if crops else "whole",
        "masks": rows["mask_id"].nunique(),
        "not_carried": rows["mask_id"].nunique() - written,
        "why": "; ".join(f"{count} {words}" for words, count in why.items()),
        "read_by_others": equal_masks(out, name, source),
        "equal": int(equal.sum()),
        "changed": written - int(equal.sum()) + done.added.missing,
        "out_s": round(middle - start, 2),
        "back_s": round(end - middle, 2),
    }


def measured(data: Path, work: Path) -> list[Row]:
    """Return a row for each set, format and view."""
    found = []
    for name, file in SETS.items():
        folder = work / name
        audit = curate.audit(data / name / file, folder / "audit", images=data / name / "images")
        rows = everything(audit)
        for tool in FORMATS:
            for crops in (False, True):
                row = there_and_back(audit, rows, folder, data / name / file, tool, crops)
                found.append({"set": name, **row})
                print(found[-1], flush=True)
        if find_spec("label_studio") is not None:
            measure = import_module("label_studio").measure
            for row in measure(open_audit(folder / "audit").path, folder / "label-studio"):
                found.append({"set": name, **row})
                print(found[-1], flush=True)
    return found


def equality(results: pd.DataFrame) -> str:
    """Return the table: what came back as it went out."""
    head = [
        "set",
        "format",
        "view",
        "masks",
        "equal",
        "changed",
        "not carried",
        "read equal by others",
        "out, s",
        "back, s",
    ]
    rows = [
        [
            *(row.set, row.format, row.view),
            *(f"{int(n):,}" for n in (row.masks, row.equal, row.changed)),
            f"{int(row.not_carried):,}" + (f" ({row.why})" if row.why else ""),
            "" if pd.isna(row.read_by_others) else f"{int(row.read_by_others):,}",
            *(f"{seconds:.1f}" for seconds in (row.out_s, row.back_s)),
        ]
        for row in results.itertuples()
    ]
    return table(head, rows)


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    data = parser.parse_args().data
    with tempfile.TemporaryDirectory(prefix="curate-") as work:
        results = pd.DataFrame(measured(data, Path(work)))
    results["why"] = results["why"].fillna("")
    results.replace({np.nan: ""}).to_csv(HERE / "results.csv", index=False)
    fill_page(HERE / "README.md", results, [equality])


if __name__ == "__main__":
    main()
