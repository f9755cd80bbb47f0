"""Compare curate's readers with Datumaro's on every format that both read.

    make .venv-tools/.installed
    python reports/reading/run.py [--data FOLDER] [--keep FOLDER] [FORMAT ...]

Writes results.csv and the table of README.md; takes about twenty minutes.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd
from datasets import BY_HAND, BY_WRITER, masks_of, repeat_coco

import curate

sys.path.append(str(Path(__file__).resolve().parents[1] / "_common"))
from filling import fill_page, table

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
DATA = ROOT.parent / "shared" / "data"
THEIRS = ROOT / ".venv-tools" / "bin" / "python"
SMALL = 3  # images of the dataset that is read before

FORMATS = {
    "coco": "coco_instances",
    "coco-rle": "coco_instances",
    "datumaro": "datumaro",
    "datumaro-polygons": "datumaro",
    "cvat": "cvat",
    "panoptic": "coco_panoptic",
    "voc": "voc_instance_segmentation",
    "sa1b": "segment_anything",
    "kitti": "kitti_segmentation",
    "mots": "mots",
    "ade20k": "ade20k2017",
}
"""Datumaro's name of each format."""

_EXPORT = """
import sys
from datumaro import Dataset
Dataset.import_from(sys.argv[1], "coco_instances").export(sys.argv[2], "datumaro")
"""

Row = dict[str, Any]


def make(name: str, data: Path, out: Path, images: int | None) -> tuple[Path, Path]:
    """Make a dataset of a format.

    Args:
        name: The format.
        data: The folder of the real sets.
        out: Where to.
        images: How many images of it; None for all.

    Returns:
        What curate is given, and what Datumaro is.
    """
    nuclei, scenes = data / "dsb2018", data / "coco_val2017"
    if name in ("coco", "coco-rle", "datumaro", "datumaro-polygons"):
        source = scenes / "instances.json" if name in _OF_SCENES else _as_rle(nuclei, out)
        times = 10 if name in _OF_SCENES and images is None else 1
        made = out / "annotations" / "instances_train.json"
        repeat_coco(source, made, times, images)
        (out / "images" / "train").mkdir(parents=True)  # Datumaro looks for it
        if not name.startswith("datumaro"):
            return made, out
        subprocess.run([THEIRS, "-c", _EXPORT, out, out / "exported"], check=True)
        _name_pictures(out / "exported" / "annotations" / "train.json")
        return out / "exported", out / "exported"
    few = out / "few.json"
    repeat_coco(nuclei / "instances_fixed.json", few, 1, images)
    if name in BY_HAND:
        made = BY_HAND[name](masks_of(few), nuclei / "images", out / name)
        return made, made.parent if name == "mots" else made
    curate.audit(few, out / "audit", images="none")
    made = BY_WRITER[name](out / "audit", nuclei / "images", out / name)
    if name == "panoptic":
        return made, _as_panoptic(made, out / "theirs")
    return made, made


def make_once(name: str, data: Path, out: Path, images: int | None) -> tuple[Path, Path]:
    """Return what :func:`make` does, without making it where it is."""
    places = out.with_suffix(".json")
    if not places.exists():
        shutil.rmtree(out, ignore_errors=True)
        made = make(name, data, out, images)
        places.write_text(json.dumps([str(path) for path in made]))
    ours, theirs = json.loads(places.read_text())
    return Path(ours), Path(theirs)


_OF_SCENES = ("coco", "datumaro-polygons")


def _name_pictures(exported: Path) -> None:
    """Leave of the pictures' paths their names: Datumaro refuses those that it wrote itself."""
    whole = json.loads(exported.read_text())
    for item in whole["items"]:
        item["image"]["path"] = Path(item["image"]["path"]).name
    exported.write_text(json.dumps(whole))


def _as_rle(nuclei: Path, out: Path) -> Path:
    """Write the nuclei as COCO with run lengths."""
    curate.audit(nuclei / "instances_fixed.json", out / "rle.audit", images="none")
    curate.write(out / "rle.audit", out / "rle.json", to="coco", masks="rle", yes=True)
    return out / "rle.json"


def _as_panoptic(made: Path, out: Path) -> Path:
    """Put a panoptic JSON and its PNGs where Datumaro looks for them."""
    listing = next(made.rglob("*.json")) if made.is_dir() else made
    folder = next(
        one for one in listing.parent.iterdir() if one.is_dir() and any(one.glob("*.png"))
    )
    for name in ("annotations", "images/train"):
        (out / name).mkdir(parents=True)
    (out / "annotations" / "panoptic_train.json").symlink_to(listing)
    (out / "annotations" / "panoptic_train").symlink_to(folder)
    return out


def measure(python: Path | str, who: str, *given: object) -> Row:
    """Run one reader in a process of its own."""
    call = [python, HERE / "measure.py", who, *given]
    done = subprocess.run(list(map(str, call)), check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{call}: {done.stderr[-2_000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def compare(name: str, data: Path, work: Path) -> list[Row]:
    """Return a row for each reader of a format."""
    ours, theirs = make_once(name, data, work / name / "whole", None)
    small, their_small = make_once(name, data, work / name / "small", SMALL)
    own = FORMATS[name]
    made = {
        "curate": measure(sys.executable, "curate", ours, small),
        "datumaro": measure(THEIRS, "datumaro", theirs, their_small, own, "masks"),
        "datumaro, records": measure(THEIRS, "datumaro", theirs, their_small, own, "records"),
    }
    return [
        {
            "format": name,
            "reader": reader,
            "images": one["images"],
            "masks": one["masks"],
            "wall_s": round(median(one["wall"]), 3),
            "cpu_s": round(median(one["cpu"]), 3),
            "before_mb": round(one["before_mb"], 1),
            "peak_mb": round(one["peak_mb"], 1),
        }
        for reader, one in made.items()
    ]


def comparison(results: pd.DataFrame) -> str:
    """Return the table: a row a format, both readers beside each other."""
    rows = []
    for name, found in results.groupby("format", sort=False):
        by = found.set_index("reader")
        mine, peer = by.loc["curate"], by.loc["datumaro"]
        bare = by.loc["datumaro, records"]
        over = [one["peak_mb"] - one["before_mb"] for one in (mine, peer)]
        rows.append(
            [
                f"`{name}`",
                f"{mine['masks']:,} of {peer['masks']:,}",
                f"{mine['cpu_s']:.2f}",
                f"{peer['cpu_s']:.2f}",
                f"{peer['cpu_s'] / mine['cpu_s']:.1f}",
                f"{bare['cpu_s']:.2f}",
                *(f"{one:,.0f}" for one in over),
                f"{over[1] / max(over[0], 1):.1f}",
                f"{mine['peak_mb']:,.0f}",
                f"{peer['peak_mb']:,.0f}",
            ]
        )
    head = ["format", "masks", "curate, s", "datumaro, s", "times faster", "datumaro's records, s"]
    head += ["curate, MB", "datumaro, MB", "times less"]
    return table([*head, "curate's peak, MB", "datumaro's peak, MB"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("formats", nargs="*", default=list(FORMATS), metavar="FORMAT")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--keep", type=Path, help="where the datasets stay, to be used again")
    options = parser.parse_args()
    path = HERE / "results.csv"
    results = pd.read_csv(path) if path.exists() else pd.DataFrame()
    for name in options.formats:
        with tempfile.TemporaryDirectory() as work:
            rows = pd.DataFrame(compare(name, options.data, options.keep or Path(work)))
        print(rows.to_string(index=False), flush=True)
        others = results[results["format"] != name] if len(results) else results
        results = pd.concat([others, rows])
        order = list(FORMATS)
        results = results.sort_values("format", key=lambda c: c.map(order.index), kind="stable")
        results.to_csv(path, index=False)
    if (HERE / "README.md").exists():
        fill_page(HERE / "README.md", results, (comparison,))


if __name__ == "__main__":
    main()
