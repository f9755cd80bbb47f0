"""Programs that judge masks, well and badly, and a small dataset for them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from boxes import HEIGHT, WIDTH, annotation, box
from PIL import Image

import curate
from curate.notebook.audit_value import Audit

MASKS = 24

WELL = """
import base64, io, json, sys

def judge(mask):
    x, y, w, h = mask["bbox"]
    return {"id": mask["id"], "accept": w > 8, "score": w / 20, "reason": f"{w:g} px wide"}

def answer(request):
    return {"batch": request["batch"], "answers": [judge(mask) for mask in request["masks"]]}

def send(value):
    print(json.dumps(value), flush=True)

def log(line):
    with open(LOG, "a") as file:
        print(line, file=file)

for line in sys.stdin:
    request = json.loads(line)
    log(len(request["masks"]))
    send(answer(request))
"""
"""A judge that finds wide masks good, and notes how many masks each request asks about."""


def write_judge(folder: Path, changes: dict[str, str] | None = None, name: str = "") -> list[str]:
    """Write a judge's script; return the command that runs it.

    Args:
        folder: Where it is written, and its log ``asked.txt``.
        changes: Pieces of :data:`WELL` that are replaced, each by another.
        name: Of the script.
    """
    text = WELL.replace("LOG", repr(str(folder / "asked.txt")))
    for old, new in (changes or {}).items():
        assert old in text, old
        text = text.replace(old, new)
    path = folder / (name or "judge.py")
    path.write_text(text)
    return [sys.executable, str(path)]


def read_asked(folder: Path) -> list[int]:
    """Return how many masks each request asked about so far."""
    path = folder / "asked.txt"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def make_audit(folder: Path, pictures: int = 6) -> Audit:
    """Audit six pictures with four boxes each, 4 to 13 px wide; some pictures may be missing."""
    (folder / "images").mkdir()
    images, annotations = [], []
    for image in range(1, 7):
        name = f"{image}.png"
        images.append({"id": image, "file_name": name, "height": HEIGHT, "width": WIDTH})
        pixels = np.full((HEIGHT, WIDTH, 3), 30 + image, np.uint8)
        for k in range(4):
            mask = box(13 * k, 5 + k, 4 + (3 * k + image) % 8, 12)
            pixels[mask] = (200, 80 + 10 * k, 40)
            annotations.append(annotation(4 * (image - 1) + k + 1, image, mask))
        if image <= pictures:
            Image.fromarray(pixels).save(folder / "images" / name)
    categories = [{"id": 1, "name": "cat"}]
    source = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "source.json").write_text(json.dumps(source))
    return curate.audit(folder / "source.json", folder / "audit", images=folder / "images")
