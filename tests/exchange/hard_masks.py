"""Datasets that are hard to carry: small and touching masks, evil names, large ids."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from boxes import rle
from hypothesis import strategies as st

from curate.people.exchange import import_file, write_queue
from curate.people.exchange.importing import ImportResult
from curate.people.exchange.registry import ExportOptions
from curate.store.audit import StoredAudit, open_audit
from curate.store.audit_info import INFO
from curate.testing.exchange_contract import HARD_SHAPES, audit_dataset

NAMES = (
    "plain.png",
    "folder/plain.png",
    "../../outside.png",
    "/absolute.png",
    "a\"b<c>&'d.png",
    "=1+1,\n;.png",
    "C:\\temp\\photo.JPG",
    "plain.jpg",
    "image_3.png",
    "mask_1_at_0_0_5x5.png",
    "ünï 中文.png",
    "tab\there.png",
    "x" * 150 + ".png",
    " blank .png",
)
CATEGORIES = ("cat", "cat", " dog ", "<b>\"&'", "a,b\n=c", "", "中文")
LARGEST = 2**62 - 1

FORMATS = [
    (tool, crops) for tool in ("cvat", "fiftyone", "coco", "huggingface") for crops in (False, True)
]


@st.composite
def masks(draw: st.DrawFn, height: int, width: int) -> np.ndarray:
    """Draw a mask with a pixel at least: one of the hard shapes, or any pixels."""
    if draw(st.booleans()):
        shape: np.ndarray = draw(st.sampled_from(HARD_SHAPES))(height, width)
        return shape
    seed, share = draw(st.integers(0, 99)), draw(st.sampled_from([0.05, 0.5, 0.95]))
    pixels: np.ndarray = np.random.default_rng(seed).random((height, width)) < share
    pixels[draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))] = True
    return pixels


@st.composite
def datasets(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a COCO dataset of hard masks; the second mask of an image may equal its first."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True))
    first = draw(st.sampled_from([0, 1, 7, LARGEST - 100]))
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, name in enumerate(names, 1):
        height, width = draw(st.integers(1, 40)), draw(st.integers(1, 30))
        images.append({"id": number, "file_name": name, "height": height, "width": width})
        drawn = draw(st.lists(masks(height, width), max_size=4))
        is_doubled: bool = bool(drawn) and draw(st.booleans())
        if is_doubled:
            drawn.append(drawn[0])
        for pixels in drawn:
            category = draw(st.integers(1, len(CATEGORIES)))
            annotations.append(
                {
                    "id": first + len(annotations),
                    "image_id": number,
                    "category_id": category,
                    "segmentation": rle(pixels),
                    "iscrowd": draw(st.integers(0, 1)),
                }
            )
    categories = [{"id": k, "name": name} for k, name in enumerate(CATEGORIES, 1)]
    return {"images": images, "annotations": annotations, "categories": categories}


def audited(source: dict[str, Any], folder: Path) -> StoredAudit:
    """Write a dataset with pictures for its images, and audit it.

    Many tests begin with the same one: it is audited once, and copied to where it is asked for.
    """
    key = json.dumps(source)
    if key not in _MADE:
        while len(_MADE) >= 8:
            _MADE.pop(next(iter(_MADE))).cleanup()
        built = TemporaryDirectory(prefix="curate-audited-")
        audit_dataset(source, Path(built.name))
        _MADE[key] = built
    made = Path(_MADE[key].name)
    shutil.copytree(made, folder, dirs_exist_ok=True)
    info = folder / "audit" / INFO
    info.write_text(info.read_text().replace(str(made.resolve()), str(folder.resolve())))
    return open_audit(folder / "audit")


_MADE: dict[str, TemporaryDirectory[str]] = {}


def target(folder: Path, tool: str, crops: bool) -> Path:
    """Return the path in a folder that a queue is written to for a tool."""
    ending = {"huggingface": ".parquet"}.get(tool, "" if crops or tool != "coco" else ".json")
    return folder / f"{tool}{'-crops' if crops else ''}{ending}"


def write(audit: StoredAudit, rows: Any, folder: Path, tool: str, crops: bool) -> tuple[Path, int]:
    """Write a queue for a tool, and return where it is and how many masks stand in it."""
    out = target(folder, tool, crops)
    return out, write_queue(audit, rows, out, tool, how=ExportOptions(crops))


def back(audit: StoredAudit, path: Path, **options: Any) -> ImportResult:
    """Import what came back, by somebody of its own, who went through all of it."""
    options = {"assume_reviewed": True} | options
    return import_file(audit, path, reviewer=path.name[:20], **options)
