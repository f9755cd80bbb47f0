"""A dataset's version id depends on its content, and on nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as coco_mask

import curate
from curate.dataset.notes import short_version
from curate.dataset.version_id import (
    VersionHash,
    image_digests,
    plain_name,
    version_of,
)
from curate.formats.ids import label_files
from curate.formats.reading import read_parts

HEIGHT, WIDTH = 30, 40

Squares = dict[str, list[tuple[str, int, int, int]]]
"""File names to (category, x, y, side) of each mask."""

SQUARES: Squares = {
    "train/a.jpg": [("cell", 2, 3, 9), ("cell", 20, 5, 12), ("nucleus", 4, 15, 10)],
    "b.jpg": [("nucleus", 0, 0, 30)],
    "empty.jpg": [],
}


def pixels(x: int, y: int, side: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[y : y + side, x : x + side] = 1
    return mask


def rle(x: int, y: int, side: int) -> dict[str, Any]:
    packed = coco_mask.encode(np.asfortranarray(pixels(x, y, side)))
    return {"size": [HEIGHT, WIDTH], "counts": packed["counts"].decode()}


def polygon(x: int, y: int, side: int) -> list[list[int]]:
    return [[x, y, x + side, y, x + side, y + side, x, y + side]]


def coco(path: Path, squares: Squares, spell: Any = rle, first_id: int = 1, **more: Any) -> Path:
    """Write squares as COCO; ``more`` goes into every annotation."""
    names = sorted({one[0] for masks in squares.values() for one in masks})
    images, annotations = [], []
    for k, (name, masks) in enumerate(squares.items(), first_id):
        images.append({"id": k, "file_name": name, "height": HEIGHT, "width": WIDTH})
        for category, *square in masks:
            number = len(annotations) + first_id
            place = {"id": number, "image_id": k, "category_id": names.index(category) + first_id}
            annotations.append(place | {"segmentation": spell(*square)} | more)
    categories = [{"id": k, "name": name} for k, name in enumerate(names, first_id)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    path.write_text(json.dumps(content))
    return path


def cvat(path: Path, squares: Squares) -> Path:
    """Write squares as CVAT masks, with paths and endings as another tool spells them."""
    images = []
    for k, (name, masks) in enumerate(squares.items()):
        shapes = "".join(
            f'<mask label="{category}" source="manual" occluded="0" rle="0, {side * side}" '
            f'left="{x}" top="{y}" width="{side}" height="{side}" z_order="0"></mask>'
            for category, x, y, side in masks
        )
        name = f"elsewhere/{Path(name).stem}.PNG"
        head = f'<image id="{k}" name="{name}" width="{WIDTH}" height="{HEIGHT}">'
        images.append(f"{head}{shapes}</image>")
    path.write_text(f"<annotations><version>1.1</version>{''.join(images)}</annotations>")
    return path


def reordered(squares: Squares) -> Squares:
    return {name: masks[::-1] for name, masks in reversed(squares.items())}


def test_the_id_is_the_same_in_every_format_order_and_spelling(tmp_path: Path) -> None:
    expected = curate.version(coco(tmp_path / "a.json", SQUARES))
    others = [
        coco(tmp_path / "b.json", SQUARES, polygon, 100, score=0.5, iscrowd=0, note="<b>"),
        coco(tmp_path / "c.json", reordered(SQUARES)),
        cvat(tmp_path / "d.xml", SQUARES),
    ]
    assert [curate.version(path) for path in others] == [expected] * 3
    assert len(expected) == 32
    assert short_version(expected) == expected[:12]


def save(path: Path, ids: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(ids.astype(np.uint8)).save(path)


def test_formats_without_categories_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("x", "y"):
        ids = np.zeros((HEIGHT, WIDTH), np.uint8)
        for k, (_, *square) in enumerate(SQUARES["train/a.jpg"], 1):
            mask = pixels(*square)
            save(tmp_path / "folders" / name / "masks" / f"any{9 - k}.png", mask * 255)
            ids[mask > 0] = 7 * k
        save(tmp_path / "folders" / name / "images" / f"{name}.png", ids)
        save(tmp_path / "labels" / f"{name}.png", ids)
    version = curate.version(tmp_path / "labels", format="label-png")
    assert curate.version(tmp_path / "folders", format="png-folder") == version
    monkeypatch.setattr(label_files, "_FILE_COST", 2_000_000)
    parts = list(read_parts(tmp_path / "labels", "label-png"))
    assert len(parts) == 2
    assert version_of(reversed(parts)) == version


@pytest.mark.parametrize(
    "changed",
    [
        {"train/a.jpg": SQUARES["train/a.jpg"][:2]},
        {"train/a.jpg": [*SQUARES["train/a.jpg"], SQUARES["train/a.jpg"][0]]},
        {"train/a.jpg": [("cell", 2, 3, 8), *SQUARES["train/a.jpg"][1:]]},
        {"b.jpg": [("cell", 0, 0, 30)]},
        {"b.jpg": [], "empty.jpg": SQUARES["b.jpg"]},
        {"new.jpg": []},
    ],
    ids=["removed", "twice", "redrawn", "relabelled", "moved", "another image"],
)
def test_any_change_of_content_changes_the_id(tmp_path: Path, changed: Squares) -> None:
    before = curate.version(coco(tmp_path / "a.json", SQUARES))
    assert curate.version(coco(tmp_path / "b.json", SQUARES | changed)) != before


def test_an_audit_has_the_id_of_what_it_audited(tmp_path: Path) -> None:
    source = coco(tmp_path / "a.json", SQUARES)
    audit = curate.audit(source, tmp_path / "a.audit")
    expected = curate.version(source)
    assert curate.version(audit.path) == expected
    info = json.loads((audit.path / "audit.json").read_text())
    for stated, shown in (("0" * 32, "0" * 32), (None, expected)):
        (audit.path / "audit.json").write_text(json.dumps(info | {"version": stated}))
        assert curate.version(audit.path) == shown


def digests(masks: list[dict[str, Any]], images: list[dict[str, Any]]) -> list[str]:
    """Digests of hand-made rows, through a table as readers make it."""
    from curate.dataset.table import finish

    size = {"height": HEIGHT, "width": WIDTH}
    rows = [{"source_key": str(k), "image_id": 1, **size, **one} for k, one in enumerate(masks)]
    names = ["source_key", "image_id", "height", "width", "segmentation"]
    frame = pd.DataFrame(rows, columns=list(dict.fromkeys([*names, *(rows[0] if rows else ())])))
    pictures = pd.DataFrame([size | one for one in images])
    table = finish(frame, pictures.set_index("image_id"))
    return image_digests(table.masks, table.images, table.runs).tolist()


def test_masks_that_are_empty_or_broken_are_masks_without_pixels() -> None:
    image = [{"image_id": 1, "file_name": "a.jpg"}]
    empty = rle(0, 0, 0)["counts"].encode()
    one, other, none, two = (
        digests([{"segmentation": counts} for counts in given], image)
        for given in ([empty], [b"\xff"], [], [b"\xff", None])
    )
    assert one == other
    assert len({*one, *none, *two}) == 3


def test_a_category_is_its_name_else_its_number() -> None:
    image = [{"image_id": 1, "file_name": "a.jpg"}]
    square = {"segmentation": rle(1, 2, 3)["counts"].encode()}
    named, renumbered, numbered, other, none = (
        digests([square | {"category": name, "category_id": number}], image)[0]
        for name, number in (
            ("caf\u00e9", 1),
            ("cafe\u0301", 2),
            (None, 1),
            (None, 2),
            (None, None),
        )
    )
    assert named == renumbered
    assert len({named, numbered, other, none}) == 4


def combine(digests: Iterable[str]) -> str:
    made = VersionHash()
    made.update(digests)
    return made.hexdigest()


def test_images_without_a_name_go_by_their_id() -> None:
    square = {"segmentation": rle(1, 2, 3)["counts"].encode(), "image_id": 5}
    first, second, listed = (
        digests([square], [{"image_id": k, "file_name": ""} for k in ids])
        for ids in ([5, 6], [6, 5], [6])
    )
    assert sorted(first) == sorted(second) == sorted(listed)
    moved = digests([square | {"image_id": 6}], [{"image_id": k, "file_name": ""} for k in (5, 6)])
    assert combine(moved) != combine(first)


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("a/b.jpg", "b"),
        ("C:\\scans\\b.JPG", "b"),
        ("folder/b.tar.png", "b.tar"),
        ("b.2024", "b.2024"),
        ("cafe\u0301.png", "caf\u00e9"),
        (".png", ".png"),
        ("", ""),
    ],
)
def test_names_are_compared_without_folders_and_endings(name: str, plain: str) -> None:
    assert plain_name(name) == plain


@given(st.lists(st.binary(min_size=16, max_size=16), max_size=9), st.randoms(), st.data())
def test_neither_order_nor_parts_matter_but_how_often_an_image_is_there(
    images: list[bytes], random: Any, data: st.DataObject
) -> None:
    listed = [one.hex() for one in images]
    mixed = random.sample(listed, len(listed))
    cut = data.draw(st.integers(0, len(listed)))
    made = VersionHash()
    made.update(mixed[:cut])
    made.update(mixed[cut:])
    assert made.hexdigest() == combine(listed)
    again = data.draw(st.sampled_from(listed)) if listed else "00" * 16
    assert combine([*listed, again]) != combine(listed)
