"""Write the corrected nuclei in every format of ``--to`` and find them again by other parsers.

    python reports/exports/run.py [--data FOLDER] [--only NAME ...]

Writes results.csv and the table of README.md; takes half an hour on a slow core. With ``--only``
the other rows stay.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import curate
from curate.errors import CallError
from curate.writing.exports import EXPORTS, export_by_name

sys.path.append(str(Path(__file__).resolve().parents[1] / "_common"))
sys.path.append(str(Path(__file__).resolve().parents[2] / "tests/formats"))
sys.path.append(str(Path(__file__).resolve().parents[2] / "tests/write"))
from drawn_masks import decoded, encoded
from export_parsers import PARSERS, coco
from filling import fill_page, table

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[2] / "shared" / "data"
READ_BY = {
    "coco": "json, pycocotools",
    "lvis": "json, pycocotools",
    "yolo": "pycocotools' rasteriser",
    "cvat": "xml.etree",
    "png-folder": "Pillow",
    "label-png": "Pillow",
    "voc": "Pillow",
    "panoptic": "json, Pillow",
    "sa1b": "json, pycocotools",
    "label-studio": "a bit reader of its brush",
    "huggingface": "pyarrow, pycocotools",
    "kaggle-csv": "csv",
    "fiftyone": "numpy.load",
    "labelme": "json, Pillow",
    "supervisely": "json, Pillow",
}
"""What the independent parser of each format is made of."""


@dataclass
class Masks:
    """The masks of a dataset, image by image.

    Attributes:
        pixels: Shape and COCO counts of each mask, by image.
        labels: How many masks have each category; None for none.
    """

    pixels: dict[str, list[tuple[Any, bytes]]] = field(default_factory=dict)
    labels: Counter[str | None] = field(default_factory=Counter)

    @classmethod
    def of(cls, records: Iterable[Any]) -> Masks:
        """Gather what a parser yields."""
        made = cls()
        for _, image, label, mask in records:
            mine = made.pixels.setdefault(image, [])
            if mask is not None:
                mine.append((mask.shape, encoded(mask)))
                made.labels[label] += 1
        return made

    def count(self) -> int:
        """Return how many masks there are."""
        return sum(map(len, self.pixels.values()))


@dataclass
class Difference:
    """What was found to differ: masks that are equal, have other pixels, or are missing."""

    equal: int = 0
    changed: int = 0
    pixels: int = 0
    missing: int = 0
    more: int = 0


def compare(truth: Masks, found: Masks) -> Difference:
    """Hold masks against the true ones; one that differs is paired with the mask it lies in."""
    made = Difference()
    for image in truth.pixels.keys() | found.pixels.keys():
        before, after = (Counter(one.pixels.get(image, ())) for one in (truth, found))
        made.equal += (before & after).total()
        left = [decoded(counts, size) for size, counts in (after - before).elements()]
        for size, counts in (before - after).elements():
            mask = decoded(counts, size)
            shared = [int((mask & one).sum()) for one in left]
            if not shared or not max(shared):
                made.missing += 1
                continue
            one = left.pop(int(np.argmax(shared)))
            made.changed += 1
            made.pixels += int((mask ^ one).sum())
        made.more += len(left)
    return made


@dataclass(frozen=True)
class Said:
    """What was said before writing: masks that change and their pixels, masks left out, labels."""

    changed: int
    pixels: int
    missing: int
    labels: int
    images: int


def said_before(losses: Any) -> Said:
    """Add up the losses of a dry run."""
    found = [
        re.findall(r"overlap: ([\d,]+) of its ([\d,]+)", one) for one in losses.of_masks.values()
    ]
    cut = [[int(n.replace(",", "")) for n in one[0]] for one in found if one]
    changed = [lost for lost, all_of_it in cut if lost < all_of_it]
    labels = losses.counts.get("category", 0)
    return Said(len(changed), sum(changed), losses.left_out, labels, losses.images_left_out)


def measure(audit: Path, name: str, truth: Masks, work: Path) -> dict[str, Any]:
    """Write one format, read it by its parser and compare; a row of the results."""
    export = export_by_name(name)
    out = work / f"out{export.suffix}"
    start = time.perf_counter()
    said, refused, look = write(audit, name, out)
    wall, clock = time.perf_counter() - start, time.process_time()
    found = Masks.of(PARSERS[name](out))
    parse = time.process_time() - clock
    differs = compare(truth, found)
    wrong = sum(n for label, n in found.labels.items() if label != "nucleus")
    gone = len(truth.pixels.keys() - found.pixels.keys())
    after = Said(differs.changed, differs.pixels, differs.missing, wrong, gone)
    return {
        "format": name,
        "masks": found.count(),
        "equal": differs.equal,
        "more": differs.more,
        "refused": refused,
        **{f"said_{key}": value for key, value in vars(said).items()},
        **{f"found_{key}": value for key, value in vars(after).items()},
        "as_said": said == after and not differs.more,
        "read_by": READ_BY[name],
        "look_cpu_s": round(look, 1),
        "parse_cpu_s": round(parse, 1),
        "wall_s": round(wall, 1),
        "mb": round(_size(out, export.needs_pictures) / 1e6, 2),
    }


def write(audit: Path, name: str, out: Path) -> tuple[Said, bool, float]:
    """Ask for the losses, write, and with ``--lossy`` where that is refused.

    Returns:
        What is said before; whether it is refused; the seconds of CPU that the losses took.

    Raises:
        AssertionError: Another loss is said when it is written, or the refusal is not that.
    """
    pictures = "copy" if export_by_name(name).needs_pictures else "none"
    clock = time.process_time()
    dry = curate.write(audit, to=name, images=pictures)
    look, refused = time.process_time() - clock, False
    try:
        made = curate.write(audit, out, to=name, images=pictures)
    except CallError as error:
        if "--lossy" not in str(error.do) or out.exists():
            raise
        refused = True
        made = curate.write(audit, out, to=name, images=pictures, lossy=True)
    if dry.losses is None or made.losses is None or dry.losses.counts != made.losses.counts:
        raise AssertionError(f"{name}: another loss is said when it is written")
    if refused != bool(dry.losses.refused):
        raise AssertionError(f"{name}: the refusal is not that of the losses")
    return said_before(dry.losses), refused, look


def _size(out: Path, has_pictures: bool) -> int:
    """Return the bytes of what was written, without pictures."""
    paths = [out] if out.is_file() else [one for one in out.rglob("*") if one.is_file()]
    return sum(p.stat().st_size for p in paths if not (has_pictures and p.suffix == ".png"))


def formats(results: pd.DataFrame) -> str:
    """Return the table of the page."""
    head = ["format", "masks", "equal", "said before", "found after", "as said", "read by"]
    head += ["MB", "losses, CPU s"]

    def words(row: Any, when: str) -> str:
        value = {key: int(row[f"{when}_{key}"]) for key in Said.__annotations__}
        parts = []
        if value["changed"]:
            parts.append(f"{value['pixels']:,} px of {value['changed']:,} masks")
        parts += [f"{value['missing']:,} masks left out"] if value["missing"] else []
        parts += [f"{value['labels']:,} categories"] if value["labels"] else []
        parts += [f"{value['images']:,} images"] if value["images"] else []
        return ", ".join(parts) or "nothing"

    rows = [
        [
            row["format"],
            f"{row['masks']:,}",
            f"{row['equal']:,}",
            words(row, "said"),
            words(row, "found"),
            "yes" if row["as_said"] else "NO",
            row["read_by"],
            f"{row['mb']:,.1f}",
            f"{row['look_cpu_s']:,.1f}",
        ]
        for row in results.to_dict("records")
    ]
    return table(head, rows)


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--only", nargs="*", help="formats that are written; all if omitted")
    asked = parser.parse_args()
    place = HERE / "results.csv"
    rows: dict[str, Any] = {}
    if asked.only and place.exists():
        rows = {row["format"]: row for row in pd.read_csv(place).to_dict("records")}
    source = asked.data / "dsb2018" / "instances_fixed.json"
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        audit = work / "audit"
        curate.audit(source, audit, images=asked.data / "dsb2018/images", policy={"name": "all"})
        truth = Masks.of(coco(source))
        for name in asked.only or [name for name, _ in EXPORTS]:
            with tempfile.TemporaryDirectory(dir=work) as made:
                rows[name] = measure(audit, name, truth, Path(made))
            print({k: v for k, v in rows[name].items() if v not in (0, False)}, flush=True)
            results = pd.DataFrame([rows[n] for n, _ in EXPORTS if n in rows])
            results.to_csv(place, index=False)
    fill_page(HERE / "README.md", results, [formats])


if __name__ == "__main__":
    main()
