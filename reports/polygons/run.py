"""Do a mask's polygons rasterise to the mask again? curate and other converters, side by side.

    make .venv-tools/.installed
    .venv-tools/bin/python -m pip install supervision==0.29.1 opencv-python-headless
    python reports/polygons/run.py [--data FOLDER] [--tools PYTHON]

Writes results.csv and the table of README.md; takes a few minutes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pycocotools import mask as coco_mask

import curate
from curate.formats.polygons import rings_of

sys.path.append(str(Path(__file__).resolve().parents[1] / "_common"))
from filling import fill_page, table

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[2] / "shared" / "data"
TOOLS = HERE.parents[1] / ".venv-tools" / "bin" / "python"
SETS = {"coco_val2017": "instances.json", "dsb2018": "instances_original.json"}

Masks = list[dict[str, Any]]
Rings = list[list[float]] | None


def read_masks(path: Path) -> Masks:
    """Return the masks of a file that have pixels, as COCO run lengths."""
    masks = curate.read(path).masks
    masks = masks[masks["area_px"] > 0]
    columns = (masks[name] for name in ("height", "width", "segmentation"))
    return [
        {"size": [int(h), int(w)], "counts": bytes(c).decode()}
        for h, w, c in zip(*columns, strict=True)
    ]


def touches_diagonally(mask: Any) -> bool:
    """Return whether pixels in or out of a mask touch at a corner only."""
    a, b, c, d = mask[:-1, :-1], mask[:-1, 1:], mask[1:, :-1], mask[1:, 1:]
    return bool(((a == d) & (b == c) & (a != b)).any())


def iou_when_drawn(record: dict[str, Any], rings: Rings) -> float:
    """Return the IoU of a mask with its rings as pycocotools draws them; 0 where there are none."""
    height, width = record["size"]
    usable = [ring for ring in rings or [] if len(ring) >= 6]
    if not usable:
        return 0.0
    drawn = coco_mask.merge(coco_mask.frPyObjects(usable, height, width))
    return float(coco_mask.iou([drawn], [record], [False])[0, 0])


def convert(masks: Masks, **options: bool) -> tuple[list[Rings], float]:
    """Return curate's rings of all masks, and the seconds that they took."""
    start = time.perf_counter()
    made = [rings_of(one["counts"].encode(), *one["size"], **options) for one in masks]
    return made, time.perf_counter() - start


def convert_by_peers(masks: Masks, ours: dict[str, list[Rings]], tools: Path) -> dict[str, Any]:
    """Return the rings of other converters by their names; of all, as OpenCV draws them too."""
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder, "masks.json"), Path(folder, "polygons.json")
        given.write_text(json.dumps({"masks": masks, "rings": ours}))
        subprocess.run([tools, HERE / "peers.py", given, made], check=True)
        found: dict[str, Any] = json.loads(made.read_text())
    return found


def measure(name: str, masks: Masks, tools: Path) -> list[dict[str, Any]]:
    """Return a row a converter."""
    contact = np.array([touches_diagonally(coco_mask.decode(one)) for one in masks])
    convert(masks[:1])  # the loops are compiled
    ours = {
        "curate, rings (masks with holes become RLE)": convert(masks),
        "curate, rings joined by seams": convert(masks, seams=True),
        "curate, one ring a mask": convert(masks, seams=True, single=True),
        "curate, one ring a mask, inset (YOLO)": convert(
            masks, seams=True, single=True, inset=True
        ),
    }
    all_made = convert_by_peers(masks, {way: rings for way, (rings, _) in ours.items()}, tools)
    rows = []
    for way, made in all_made.items():
        ious = np.array([iou_when_drawn(*pair) for pair in zip(masks, made["rings"], strict=True)])
        exact, by_opencv = ious == 1, np.array(made["opencv_iou"])
        seconds = ours[way][1] if way in ours else made["seconds"]
        rows.append(
            {
                "set": name,
                "converter": way,
                "masks": len(masks),
                "exact": int(exact.sum()),
                "without_contact": int((~contact).sum()),
                "exact_without_contact": int(exact[~contact].sum()),
                "no_polygon": int((ious == 0).sum()),
                "mean_iou_of_the_rest": float(ious[~exact].mean()) if not exact.all() else np.nan,
                "exact_by_opencv": int((by_opencv == 1).sum()),
                "mean_iou_by_opencv": float(by_opencv.mean()),
                "ms_a_mask": 1000 * seconds / len(masks),
            }
        )
        print(rows[-1], flush=True)
    return rows


def comparison(results: pd.DataFrame) -> str:
    """Return the table: what share of masks comes back exactly."""
    head = ["set", "converter", "masks", "exact", "of those without diagonal contacts"]
    head += ["without polygon", "mean IoU of the rest", "exact by OpenCV", "mean IoU by OpenCV"]
    head += ["ms a mask"]
    rows = [
        [
            *(row.set, row.converter, f"{row.masks:,}"),
            f"{row.exact:,} ({row.exact / row.masks:.2%})",
            f"{row.exact_without_contact:,} of {row.without_contact:,} "
            f"({row.exact_without_contact / row.without_contact:.2%})",
            f"{row.no_polygon:,}",
            "" if np.isnan(row.mean_iou_of_the_rest) else f"{row.mean_iou_of_the_rest:.4f}",
            f"{row.exact_by_opencv:,} ({row.exact_by_opencv / row.masks:.2%})",
            f"{row.mean_iou_by_opencv:.4f}",
            f"{row.ms_a_mask:.2f}",
        ]
        for row in results.itertuples()
    ]
    return table(head, rows)


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--tools", type=Path, default=TOOLS)
    given = parser.parse_args()
    rows = []
    for name, file in SETS.items():
        rows += measure(name, read_masks(given.data / name / file), given.tools)
    results = pd.DataFrame(rows)
    results.to_csv(HERE / "results.csv", index=False)
    fill_page(HERE / "README.md", results, [comparison])


if __name__ == "__main__":
    main()
