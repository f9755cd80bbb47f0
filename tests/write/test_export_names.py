"""Names of images and categories that some format cannot hold: changed and said, or refused."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn_masks import encoded, rle_of
from export_parsers import PARSERS
from PIL import Image
from random_cases import some_of

import curate
from curate.errors import CallError
from curate.writing.exports import EXPORTS, export_by_name

SIZE = (16, 20)
IMAGES = (
    *("a/b.jpg", "c/b.jpg", "../up.jpg", "C:\\d\\e.jpg", "same.jpg", "same.jpg", "same.png", ""),
    *("masks.png", "labels/x.png", "classes.jpg", "generation.jpg", "é ü.png", "n" * 240 + ".jpg"),
    *("http://host/x/remote.jpg", "/abs/olute.jpg", "dot.", "tab\there.png", ".hidden.jpg"),
)
CATEGORIES = (
    "R&D",
    "a \"quoted\" 'name'",
    "a: #b, [c]",
    "yes",
    "null",
    "1",
    "été 日本",
    "~",
    "- x",
)
SPELLED = ("two\nlines", " blanks ", "control\x01")


def dataset(folder: Path, images: tuple[str, ...], categories: tuple[str, ...]) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(1)
    records: list[dict[str, Any]] = []
    for k in range(max(len(images), len(categories))):
        mask = np.zeros(SIZE, bool)
        y, x = int(rng.integers(0, 8)), int(rng.integers(0, 10))
        mask[y : y + 5, x : x + 6] = True
        mask[y, x] = k % 2 == 0
        image, category = k % len(images) + 1, k % len(categories) + 1
        records.append({"id": k + 1, "image_id": image, "category_id": category, "iscrowd": 0})
        records[-1]["segmentation"] = rle_of(mask)
    listed = [
        {"id": k, "file_name": name, "height": SIZE[0], "width": SIZE[1]}
        for k, name in enumerate(images, 1)
    ]
    names = [{"id": k, "name": name} for k, name in enumerate(categories, 1)]
    path = folder / "all.json"
    path.write_text(json.dumps({"images": listed, "annotations": records, "categories": names}))
    return path


def pixels(source: Path) -> Counter[bytes]:
    masks = curate.read(source).masks
    return Counter(masks["segmentation"].tolist())


@pytest.mark.parametrize("name", some_of((name for name, _ in EXPORTS), 8))
def test_images_of_any_name_are_written_where_they_belong(tmp_path: Path, name: str) -> None:
    export = export_by_name(name)
    source = dataset(tmp_path / "source", IMAGES, ("cat",))
    pictures = tmp_path / "pictures"
    drawn = [
        n for n in IMAGES if n and not set("\\:") & set(n) and n[0] not in "./" and n != "dot."
    ]
    rng = np.random.default_rng(0)
    for one in drawn:
        (pictures / one).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (*SIZE, 3)).astype(np.uint8)).save(pictures / one)
    curate.audit(source, tmp_path / "audit", images=pictures, policy={"name": "all"})
    out = tmp_path / f"out{export.suffix}"
    how = "copy" if export.needs_pictures else "none"
    result = curate.write(tmp_path / "audit", out, to=name, lossy=True, images=how)
    assert result.losses is not None
    assert result.provenance is not None
    assert sorted(tmp_path.iterdir()) == sorted(
        [tmp_path / n for n in ("source", "pictures", "audit")] + [out, result.provenance]
    )
    found = [mask for _, _, _, mask in PARSERS[name](out) if mask is not None]
    left_out = result.losses.left_out
    assert left_out == sum(result.losses.counts.get(kind, 0) for kind in ("image", "no picture"))
    assert len(found) == result.losses.masks == len(IMAGES) - left_out
    assert left_out <= 1 or export.needs_pictures
    if not left_out:
        assert Counter(map(encoded, found)) == pixels(source)


@pytest.mark.parametrize(
    "name", some_of((n for n, _ in EXPORTS if export_by_name(n).holds.categories), 6)
)
def test_categories_of_any_name_come_back(tmp_path: Path, name: str) -> None:
    export = export_by_name(name)
    categories = (*CATEGORIES, *SPELLED)
    source = dataset(tmp_path / "source", ("1.png", "2.png", "3.png"), categories)
    for k in (1, 2, 3):
        pixels = np.random.default_rng(k).integers(0, 255, (*SIZE, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(source.parent / f"{k}.png")
    curate.audit(source, tmp_path / "audit", images=source.parent, policy={"name": "all"})
    out = tmp_path / f"out{export.suffix}"
    how = "copy" if export.needs_pictures else "none"
    result = curate.write(tmp_path / "audit", out, to=name, lossy=True, images=how)
    assert result.losses is not None
    found = {category for _, _, category, mask in PARSERS[name](out) if mask is not None}
    respelled = result.losses.counts.get("class name", 0)
    lost = result.losses.counts.get("overlap", 0)
    assert len(found & set(categories)) >= len(categories) - respelled - lost
    assert len(found) >= len(categories) - lost
    assert set(CATEGORIES) - found == set() or lost


def test_two_categories_of_one_spelling_are_refused(tmp_path: Path) -> None:
    source = dataset(tmp_path / "source", ("1.png",), ("a b", "a  b"))
    curate.audit(source, tmp_path / "audit", policy={"name": "all"})
    with pytest.raises(CallError, match="would both be 'a b'") as raised:
        curate.write(tmp_path / "audit", tmp_path / "out.xml", to="cvat", lossy=True)
    assert raised.value.do


def test_a_format_that_needs_pictures_says_so_at_once(tmp_path: Path) -> None:
    source = dataset(tmp_path / "source", ("1.png",), ("a",))
    curate.audit(source, tmp_path / "audit", policy={"name": "all"})
    with pytest.raises(CallError, match="needs the pictures, and the audit has none"):
        curate.write(tmp_path / "audit", tmp_path / "out", to="yolo")
    with pytest.raises(CallError, match="needs the pictures, and is of no use without them"):
        curate.write(tmp_path / "audit", tmp_path / "out", to="yolo", images="none")
