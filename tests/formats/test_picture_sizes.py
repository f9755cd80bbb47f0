"""Sizes of images that the source does not state, read from the headers of their pictures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mask_files import counts_of
from PIL import Image

import curate
from curate.dataset.table import MaskTable
from curate.formats.format import ReadOptions
from curate.formats.reading import read
from curate.people.reviews import Reviews
from curate.store.audit import open_audit

WIDTH, HEIGHT = 30, 20
BOX = (2, 4, 12, 9)  # left, top, right, bottom
RING = [2.0, 4.0, 12.0, 4.0, 12.0, 9.0, 2.0, 9.0]
AREA = 50
RUNS = {"size": [HEIGHT, WIDTH], "counts": [44, *([5, 15] * 9), 5, 600 - 44 - 9 * 20 - 5]}
NOTE = "the size is not stated and taken from the picture"

Source = Callable[..., Path]


def pictures(folder: Path, *names: str, exif: int = 0) -> Path:
    for name in names:
        path = folder / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        tags = Image.Exif()
        if exif:
            tags[0x0112] = exif
        Image.new("RGB", (WIDTH, HEIGHT)).save(path, exif=tags)
    return folder / "pictures"


def coco(folder: Path, *names: str, size: dict[str, Any], **changed: Any) -> Path:
    lvis = {"frequency": "c", "synset": "cat.n.01"} if changed.pop("lvis", False) else {}
    rings = changed.pop("segmentation", [RING])
    made = {
        "images": [{"id": k, "file_name": name, **size} for k, name in enumerate(names, 1)],
        "annotations": [
            {"id": 2 * k + n, "image_id": k, "category_id": 1, "area": AREA, "iscrowd": 0}
            | {"bbox": [2, 4, 10, 5], "segmentation": rings}
            for k in range(1, len(names) + 1)
            for n in range(2)
        ],
        "categories": [{"id": 1, "name": "cat", **lvis}],
    }
    if lvis:
        for image in made["images"]:
            image |= {"not_exhaustive_category_ids": [], "neg_category_ids": []}
    path = folder / "source.json"
    path.write_text(json.dumps(made))
    return path


def lvis(folder: Path, *names: str, size: dict[str, Any]) -> Path:
    return coco(folder, *names, size=size, lvis=True)


def cvat(folder: Path, *names: str, size: dict[str, Any]) -> Path:
    told = "".join(f' {side}="{"" if n is None else n}"' for side, n in size.items())
    points = "2,4;12,4;12,9;2,9"
    shape = f'<polygon label="cat" source="manual" occluded="0" points="{points}" z_order="0"/>'
    images = "".join(
        f'<image id="{k}" name="{name}"{told}>\n    {shape}\n    {shape}\n  </image>\n'
        for k, name in enumerate(names, 1)
    )
    path = folder / "source.xml"
    path.write_text(f"<annotations>\n  <version>1.1</version>\n  {images}</annotations>\n")
    return path


KINDS: dict[str, Source] = {"coco": coco, "lvis": lvis, "cvat": cvat}
SIZES: list[dict[str, Any]] = [{}, {"width": None, "height": None}, {"width": 0, "height": 0}]
SIZES += [{"width": WIDTH}, {"width": WIDTH, "height": 0}]


def sizes_of(table: MaskTable) -> set[tuple[int, ...]]:
    frames = (table.masks, table.images)
    rows = [row for frame in frames for row in frame[["height", "width"]].to_numpy().tolist()]
    return set(map(tuple, rows))


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_a_size_that_is_not_stated_is_the_pictures(
    tmp_path: Path, kind: str, size: dict[str, Any]
) -> None:
    folder = pictures(tmp_path, "a.png", "b.jpg")
    table = read(KINDS[kind](tmp_path, "a.png", "b.jpg", size=size), options=ReadOptions(folder))
    assert sizes_of(table) == {(HEIGHT, WIDTH)}
    assert set(table.masks["status"]) == set(table.images["status"]) == {"ok"}
    assert table.masks["area_px"].tolist() == [AREA] * 4
    (note,) = (note for note in table.notes if note.kind == "sizes_from_pictures")
    assert (note.text, note.count, note.of) == (NOTE, 2, "images")
    assert note.examples == ("a.png", "b.jpg")


@pytest.mark.parametrize("kind", KINDS)
def test_a_size_that_is_stated_stays(tmp_path: Path, kind: str) -> None:
    folder = pictures(tmp_path, "a.png")
    path = KINDS[kind](tmp_path, "a.png", size={"width": 50, "height": 40})
    table = read(path, options=ReadOptions(folder))
    assert sizes_of(table) == {(40, 50)}
    assert not [note for note in table.notes if note.kind == "sizes_from_pictures"]


@pytest.mark.parametrize("kind", KINDS)
def test_no_image_gets_the_size_of_another_ones_picture(tmp_path: Path, kind: str) -> None:
    """Two images could be meant by the only picture of that name."""
    folder = pictures(tmp_path, "c.png", "x/a.png")
    path = KINDS[kind](tmp_path, "one/a.png", "two/a.png", "c.png", "d.png", size={})
    table = read(path, options=ReadOptions(folder))
    heights = dict(zip(table.images["file_name"], table.images["height"], strict=True))
    assert heights == {"one/a.png": 0, "two/a.png": 0, "c.png": HEIGHT, "d.png": 0}
    bad = table.masks[table.masks["file_name"] != "c.png"]
    assert set(bad["status"]) == {"invalid_size"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_that_exif_turns_counts_as_it_is_shown(tmp_path: Path, kind: str) -> None:
    folder = pictures(tmp_path, "a.jpg", exif=6)
    table = read(KINDS[kind](tmp_path, "a.jpg", size={}), options=ReadOptions(folder))
    assert sizes_of(table) == {(WIDTH, HEIGHT)}


@pytest.mark.parametrize("kind", KINDS)
def test_a_broken_picture_gives_no_size(tmp_path: Path, kind: str) -> None:
    folder = pictures(tmp_path, "b.png")
    (folder / "a.png").write_bytes(b"\x89PNG\r\n")
    table = read(KINDS[kind](tmp_path, "a.png", size={}), options=ReadOptions(folder))
    assert set(table.masks["status"]) == {"invalid_size"}


@pytest.mark.parametrize(
    ("exif", "status"), [(0, "size_mismatch"), (6, "ok")], ids=["upright", "turned"]
)
def test_run_lengths_must_have_the_pictures_size(tmp_path: Path, exif: int, status: str) -> None:
    """Those of a turned picture may belong to it as it is stored."""
    runs = RUNS if exif else {"size": [40, 60], "counts": [500, 1900]}
    path = coco(tmp_path, "a.jpg", size={}, segmentation=runs)
    table = read(path, options=ReadOptions(pictures(tmp_path, "a.jpg", exif=exif)))
    assert set(table.masks["status"]) == {status}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [{}, {"width": 0, "height": 0}], ids=str)
def test_prune_and_write_read_back_with_the_same_pictures(
    tmp_path: Path, kind: str, size: dict[str, Any]
) -> None:
    path = KINDS[kind](tmp_path, "a.png", "b.png", size=size)
    before = path.read_text()
    out = tmp_path / "audit"
    curate.audit(path, out, images=pictures(tmp_path, "a.png", "b.png"))
    audit = open_audit(out)
    notes = [note for note in audit.info.notes if note["kind"] == "sizes_from_pictures"]
    assert [(note["count"], note["share"]) for note in notes] == [(2, 1.0)]
    assert set(audit.masks(["status"])["status"]) == {"ok"}
    ids = audit.masks(["mask_id"]).index.tolist()
    drawn = np.zeros((HEIGHT, WIDTH), np.uint8)
    drawn[3:8, 20:28] = 1
    rows = pd.DataFrame(
        {
            "mask_id": ids,
            "action": ["reject", "accept", "fix", "accept"],
            "segmentation": [None, None, counts_of(drawn), None],
            "reviewer": "ada",
        }
    )
    Reviews(audit.pin()).add(rows, origin="test")
    better = tmp_path / "better" / path.name
    curate.write(out, better)
    table = read(better, options=ReadOptions(tmp_path / "pictures"))
    assert table.masks["area_px"].tolist() == [AREA, 40, AREA]
    pruned = tmp_path / "pruned" / path.name
    curate.prune(out, pruned, yes=True)
    assert len(read(pruned).masks) == 3
    kept = set(pruned.read_text().replace("\n", " ").split(" "))
    assert kept <= set(before.replace("\n", " ").split(" "))
