"""Contact sheets for judges: masks on their pictures, each with one reason and nothing else.

The reasons are those of COCO's own masks in 103 pictures of val2017, audited with several inputs;
where these give fewer than asked for, reasons of a model's masks of the same pictures fill up.
"""

from __future__ import annotations

import csv
import json
import shutil
import tempfile
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont

import curate
from curate.images import Box, window
from curate.rle import decode_counts, to_dense

QUESTION = "Is this reason true of the mask outlined in yellow?"
SIDE, TEXT, COLUMNS, ROWS = 420, 118, 3, 2
MINE, OTHER, STORED = (255, 220, 60), (70, 210, 255), (255, 60, 60)
LEAST_SCORE = 0.25
"""Confidence from which a model's mask is one."""

FONT = "DejaVuSans.ttf"


def as_dataset(results: Path, dataset: Path, out: Path) -> Path:
    """Write a results list as a COCO file of the images of a dataset, and return it."""
    content = json.loads(dataset.read_text())
    found = [
        {**one, "id": k, "iscrowd": 0}
        for k, one in enumerate(json.loads(results.read_text()), 1)
        if "segmentation" in one and one.get("score", 1) >= LEAST_SCORE
    ]
    out.write_text(json.dumps({**content, "annotations": found}))
    return out


def inputs_of(data: Path, work: Path) -> dict[str, tuple[Path, dict[str, Any]]]:
    """Return the audits whose reasons are drawn: the source, and what it is given."""
    coco = data / "coco_val2017"
    yolox, yolov8 = (
        coco / f"detections_{name}.json" for name in ("yolox_nano", "yolov8n_seg_int8")
    )
    pictures, own = {"images": coco / "images"}, coco / "instances.json"
    model = as_dataset(yolov8, own, work / "yolov8.json")
    return {
        "official, yolox": (own, {**pictures, "detections": yolox, "deep": True}),
        "official, yolov8": (own, {**pictures, "detections": yolov8, "deep": True}),
        "yolov8's masks": (model, {**pictures, "detections": yolox, "deep": True}),
    }


def reasons_of(data: Path, work: Path, seed: int) -> pd.DataFrame:
    """Return a row a mask and reason that states a fault, in an order by chance, official first."""
    frames = []
    for name, (source, given) in inputs_of(data, work).items():
        masks = curate.audit(source, work / name, **given).masks()
        fault = (masks["action"] != "accept") & (masks["flagged_by"] != "lowest_share")
        rows = masks[fault].reset_index().assign(audit=name)
        rows["reason"] = rows["reasons"].str.split("; ")
        rows = rows.explode("reason")
        partner = pd.to_numeric(rows["reason"].str.extract(r"\bmask (\d+)", expand=False))
        counts = masks["segmentation"].astype(object)
        rows["partner"] = partner.map(lambda k, c=counts: None if pd.isna(k) else c.get(int(k)))
        frames.append(rows.sample(frac=1, random_state=seed))
    every = pd.concat(frames, ignore_index=True)
    every["kind"] = every["reason"].str.replace(r"[\d.]+", "…", regex=True)
    every["official"] = every["audit"].str.startswith("official")
    every = every.drop_duplicates(["official", "mask_id", "kind"])
    return every.sort_values("official", ascending=False, kind="stable", ignore_index=True)


def outline(row: pd.Series, counts: bytes, box: Box, side: int) -> np.ndarray:
    """Return where the outline of a mask runs in a window drawn ``side`` px wide."""
    runs, _ = decode_counts([counts], [row["height"]], [row["width"]])
    mask = Image.fromarray(to_dense(runs, 0, (box.x, box.y, box.w, box.h)))
    scale = side / box.longest
    size = (max(round(box.w * scale), 1), max(round(box.h * scale), 1))
    drawn = np.pad(np.asarray(mask.resize(size, Image.Resampling.NEAREST)), 2)
    inside = drawn[2:-2, 2:-2]
    shifted = [np.roll(drawn, (dy, dx), (0, 1))[2:-2, 2:-2] for dy, dx in _AROUND]
    return ~inside & np.logical_or.reduce(shifted)


_AROUND = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)] + [(2, 0), (-2, 0), (0, 2), (0, -2)]


def draw_cell(row: pd.Series, number: int, pictures: Path) -> Image.Image:
    """Draw one mask on its picture, its number and reason below."""
    cell = Image.new("RGB", (SIDE, SIDE + TEXT), "white")
    size = (int(row["width"]), int(row["height"]))
    shown = [tuple(float(row[f"bbox_{side}"]) for side in "xywh")]
    stored = "stored box" in row["reason"]
    if stored:
        shown.append(tuple(float(row[f"declared_{side}"]) for side in "xywh"))
    box = window(size, shown, 0.35)
    if box is not None:
        picture = Image.open(pictures / row["file_name"]).convert("RGB")
        piece = picture.crop((box.x, box.y, box.x + box.w, box.y + box.h))
        scale = SIDE / box.longest
        shape = (max(round(box.w * scale), 1), max(round(box.h * scale), 1))
        pixels = np.array(piece.resize(shape, Image.Resampling.BICUBIC))
        if isinstance(row["partner"], bytes):
            pixels[outline(row, row["partner"], box, SIDE)] = OTHER
        pixels[outline(row, row["segmentation"], box, SIDE)] = MINE
        cell.paste(Image.fromarray(pixels), (0, 0))
    draw = ImageDraw.Draw(cell)
    if stored and box is not None:
        x, y, w, h = shown[-1]
        corners = [(x - box.x), (y - box.y), (x + w - box.x), (y + h - box.y)]
        draw.rectangle([value * SIDE / box.longest for value in corners], outline=STORED, width=2)
    words = f"{number}. mask {row['mask_id']} ({row['category']}): {row['reason']}"
    if isinstance(row["partner"], bytes):
        words += " [that mask: blue]"
    if stored:
        words += " [stored box: red]"
    text = "\n".join(textwrap.wrap(words, 52)[:5])
    draw.text((6, SIDE + 6), text, "black", font=ImageFont.truetype(FONT, 14))
    return cell


def write_sheets(data: Path, out: Path, count: int, seed: int) -> str:
    """Draw the sheets and a table to judge in; return what was drawn, in a sentence."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as work:
        rows = reasons_of(data, Path(work), seed).head(count)
    pictures = data / "coco_val2017" / "images"
    each = COLUMNS * ROWS
    for sheet in range(-(-len(rows) // each)):
        page = Image.new("RGB", (COLUMNS * (SIDE + 10), ROWS * (SIDE + TEXT) + 30), "white")
        title = ImageFont.truetype(FONT, 16)
        ImageDraw.Draw(page).text((6, 4), QUESTION, "black", font=title)
        for place, (at, row) in enumerate(rows.iloc[sheet * each : (sheet + 1) * each].iterrows()):
            corner = (place % COLUMNS * (SIDE + 10), place // COLUMNS * (SIDE + TEXT) + 30)
            page.paste(draw_cell(row, int(at) + 1, pictures), corner)
        page.save(out / f"sheet-{sheet + 1:02d}.png")
    with (out / "judge.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["number", "audit", "mask_id", "reason", "true"])
        for at, row in rows.iterrows():
            writer.writerow([int(at) + 1, row["audit"], row["mask_id"], row["reason"], ""])
    official = int(rows["official"].sum())
    return f"{len(rows)} reasons, {official} of COCO's own masks, on sheets in {out}"
