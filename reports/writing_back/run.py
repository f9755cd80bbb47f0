"""Write datasets as people left them, and hold every mask against what was decided.

    python reports/writing_back/run.py [corrected] [planted] [large] [kills] [cuts] [provenance]
        [--data FOLDER]

Writes results.csv and the tables of README.md; ``large`` takes about half an hour.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cuts
import kills
import large
import numpy as np
import pandas as pd
import provenance
from corrections import content, plant

import curate
from curate.people.reviews import Reviews

sys.path.append(str(Path(__file__).resolve().parents[1] / "_common"))
from filling import fill_page, table

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[2] / "shared" / "data"
ALL = {"name": "all", "description": "accepts everything, so that only people decide"}
SETS = {
    "coco_val2017": "coco_val2017/instances.json",
    "brain_tumour": "brain_tumour/valid/_annotations.coco.json",
    "neurons": "neurons/FinalGT.json",
    "sav, manual": "sav/example/sav_000001_manual.json",
    "sav, automatic": "sav/example/sav_000001_auto.json",
    "sam_amg_truck": "sam_amg_truck/sound",
}
COLUMNS = ["study", "what", "value", "unit", "goal", "detail"]
Row = dict[str, Any]


def corrected(data: Path, work: Path) -> list[Row]:
    """dsb2018: import the corrected file as decisions, write, compare with the corrected file."""
    folder = data / "dsb2018"
    audit = curate.audit(folder / "instances_original.json", work / "audit")
    curate.import_decisions(folder / "instances_fixed.json", audit.path, reviewer="people")
    result = curate.write(audit, work / "written.json")
    meant, found = (
        curate.read(path) for path in (folder / "instances_fixed.json", work / "written.json")
    )
    judged = set(meant.images["file_name"].astype(str))
    wanted, written = content(meant), content(found)
    aside = {key: n for key, n in written.items() if key[0] not in judged}
    here = written - type(written)(aside)
    equal = sum((wanted & here).values())
    images = len({key[0] for key in aside})
    counts = result.counts()
    return [
        _compared(
            "corrected",
            "dsb2018, decisions of instances_fixed.json",
            (wanted, here),
            f"{counts['removed_by_people']} removed, {counts['redrawn']} redrawn, "
            f"{counts['added']} added; {images} images that people took out as a whole "
            f"({sum(aside.values())} masks) aside",
        )
        | {"equal": equal}
    ]


def planted(data: Path, work: Path) -> list[Row]:
    """Random corrections of five sets in four formats."""
    rows = []
    for number, (name, file) in enumerate(SETS.items()):
        source, folder = data / file, work / str(number)
        audit = curate.audit(source, folder / "audit", policy=ALL)
        before = curate.read(source)
        keys = audit.masks(["source_key"])["source_key"].astype(str)
        ids = pd.Series(keys.index.to_numpy(np.int64), index=keys.to_numpy())
        made = plant(before, ids, seed=number)
        images = audit.images(["file_name"])["file_name"].astype(str)
        known = pd.Series(images.index, index=images.to_numpy())
        own = before.images["file_name"].astype(str)
        places = own.loc[made.missing["image_id"]].map(known).to_numpy(np.int64)
        missing = made.missing.assign(image_id=places, reviewer="a")
        Reviews(audit.pin()).add(
            made.decisions.assign(reviewer="a"), origin="study", missing=missing
        )
        result = curate.write(audit, folder / source.name, duplicates="keep", overlap="new")
        found = content(curate.read(folder / source.name))
        difference = curate.diff(source, folder / source.name).counts
        said = ", ".join(f"{n} {what}" for what, n in made.counts.items())
        rows.append(_compared("planted", name, (made.expected, found), said))
        rows[-1]["detail"] += f"; diff: {dict(difference)}; {result.stored.runs} as RLE or PNG"
    return rows


def _compared(study: str, what: str, both: Any, detail: str) -> Row:
    wanted, found = both
    equal, n = sum((wanted & found).values()), sum(wanted.values())
    more = sum((found - wanted).values())
    return {
        "study": study,
        "what": what,
        "value": f"{100 * equal / n:.4g}",
        "unit": f"% of {n} masks equal to the pixel; {more} more than meant",
        "goal": "100",
        "detail": detail,
    }


def killed(data: Path, work: Path) -> list[Row]:
    """Kill writes of a COCO file and of a folder of PNGs."""
    rows = []
    for number, file in enumerate((SETS["coco_val2017"], SETS["sam_amg_truck"])):
        source, folder = data / file, work / str(number)
        audit = curate.audit(source, folder / "audit", policy=ALL)
        ids = audit.masks([]).index.to_numpy(np.int64)[::7]
        frame = pd.DataFrame({"mask_id": ids, "action": "reject", "reviewer": "a"})
        Reviews(audit.pin()).add(frame, origin="study")
        rows += kills.measured(source, audit.path, folder)
    return rows


STUDIES: dict[str, Callable[[Path, Path], list[Row]]] = {
    "corrected": corrected,
    "planted": planted,
    "large": lambda _, work: large.measured(work),
    "kills": killed,
    "cuts": lambda _, work: cuts.measured(work),
    "provenance": lambda _, work: provenance.measured(work),
}


def numbers(results: pd.DataFrame) -> str:
    """Return the table of all studies."""
    rows = [[str(cell) for cell in row] for row in results[COLUMNS[1:]].fillna("").to_numpy()]
    return table(["what", "value", "unit", "goal", "detail"], rows)


def main() -> None:
    """Run the studies that are named, all if none is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("studies", nargs="*", metavar="STUDY", help=", ".join(STUDIES))
    parser.add_argument("--data", type=Path, default=DATA)
    asked = parser.parse_args()
    path = HERE / "results.csv"
    known = pd.read_csv(path, dtype=str) if path.exists() else pd.DataFrame(columns=COLUMNS)
    for name in asked.studies or STUDIES:
        with tempfile.TemporaryDirectory(prefix="curate-") as work:
            fresh = pd.DataFrame(STUDIES[name](asked.data, Path(work)), dtype=str)[COLUMNS]
        print(fresh.to_string(index=False), flush=True)
        known = pd.concat([known[known["study"] != name], fresh], ignore_index=True)
        known.to_csv(path, index=False)
    fill_page(HERE / "README.md", known, [numbers])


if __name__ == "__main__":
    main()
