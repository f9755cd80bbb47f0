"""One contract for all exports: what is written is what is meant less the losses that are said."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from drawn_decisions import label_of, pixels_of
from drawn_masks import encoded
from export_parsers import PARSERS, stem
from PIL import Image
from small_datasets import build

import curate
from curate.dataset.table import MaskTable
from curate.errors import CallError
from curate.formats.reading import detect
from curate.people.reviews import Reviews
from curate.writing.exports import EXPORTS, export_by_name

SOURCES = [
    *("coco", "cvat", "label-png"),
    *(pytest.param(name, marks=pytest.mark.slow) for name in ("coco-polygons", "sa1b", "yolo")),
    pytest.param("png-folder", marks=pytest.mark.slow),
]

Key = tuple[str, str | None, bytes]
"""Image, category, pixels."""


@dataclass(frozen=True)
class Audited:
    """A small dataset with pictures, its audit, and what is in it."""

    audit: Path
    table: MaskTable


@pytest.fixture(scope="session")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Audited]:
    """Return a function that makes and audits a small dataset of one kind, once each."""
    made: dict[str, Audited] = {}

    def prepare(name: str) -> Audited:
        if name not in made:
            folder = tmp_path_factory.mktemp(f"export-{name}")
            source = build(name, folder / "source")
            table = curate.read(source)
            pictures = None if name in ("yolo", "sa1b", "png-folder") else folder / "pictures"
            if pictures:
                draw_pictures(table, pictures)
            curate.audit(source, folder / "audit", images=pictures, policy={"name": "all"})
            made[name] = Audited(folder / "audit", curate.read(source))
        return made[name]

    return prepare


def draw_pictures(table: MaskTable, folder: Path) -> None:
    rng = np.random.default_rng(5)
    for row in table.images.to_dict("records"):
        path = folder / str(row["file_name"])
        path = path if path.suffix else path.with_suffix(".png")
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = rng.integers(0, 255, (row["height"], row["width"], 3)).astype(np.uint8)
        Image.fromarray(noise).save(path)


def key_of(image: str, category: str | None, mask: np.ndarray) -> Key:
    return stem(image), category, bytes(str(mask.shape), "ascii") + np.packbits(mask).tobytes()


def meant(table: MaskTable, *, categories: bool) -> Counter[Key]:
    """Return the masks with pixels of a source."""
    names = table.images["file_name"]
    found: list[Key] = []
    for mask, (_, row) in zip(pixels_of(table).values(), table.masks.iterrows(), strict=True):
        if mask is not None and mask.any() and row["image_id"] in names.index:
            label = label_of(row) or "object"
            found.append(key_of(names[row["image_id"]], label if categories else None, mask))
    return Counter(found)


def parsed(records: Iterable[Any]) -> Counter[Key]:
    return Counter(key_of(n, c, mask) for _, n, c, mask in records if mask is not None)


def read_again(out: Path, name: str, *, categories: bool) -> Counter[Key]:
    """Return what curate itself reads, as a dataset of its own."""
    export = export_by_name(name)
    assert detect(out).name == export.reader
    return meant(curate.read(out), categories=categories)


def outcome(audit: Path, out: Path, name: str, **options: Any) -> Any:
    """Write, with losses where it has to be; they are refused before.

    Pictures are named, so that a format is exported to itself too.
    """
    needs = export_by_name(name).needs_pictures
    options = {"images": "copy" if needs else "none"} | options
    dry = curate.write(audit, to=name, **options)
    assert dry.losses is not None
    assert not out.exists()
    if not dry.losses.refused:
        return curate.write(audit, out, to=name, **options)
    with pytest.raises(CallError, match="cannot hold all of the dataset") as raised:
        curate.write(audit, out, to=name, **options)
    assert not out.exists()
    assert "--lossy" in raised.value.do
    for kind in dry.losses.refused:
        for example in dry.losses.examples[kind]:
            assert example.file_name in raised.value.what
    made = curate.write(audit, out, to=name, lossy=True, **options)
    assert made.losses is not None
    assert made.losses.counts == dry.losses.counts
    return made


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("name", [name for name, _ in EXPORTS])
def test_what_is_written_is_what_is_meant_less_the_losses_said(
    audited: Callable[[str], Audited], tmp_path: Path, name: str, source: str
) -> None:
    one, export = audited(source), export_by_name(name)
    out = tmp_path / f"out{export.suffix}"
    result = outcome(one.audit, out, name)
    holds, lost = export.holds, result.losses
    assert result.out == out
    wanted = meant(one.table, categories=holds.categories)
    found = parsed(PARSERS[name](out))
    assert found == read_again(out, name, categories=holds.categories)
    assert sum(found.values()) == lost.masks
    gone = sum(lost.counts.get(kind, 0) for kind in ("mask", "too many"))
    changed = sum(lost.counts.get(kind, 0) for kind in ("overlap", "polygon", "pixels"))
    assert sum((wanted - found).values()) == changed + gone
    if not changed:
        assert not found - wanted
    if not holds.categories:
        labels = one.table.masks["category"].notna()
        if "category_id" in one.table.masks:
            labels |= one.table.masks["category_id"].notna()
        assert lost.counts.get("category", 0) == (labels & (one.table.masks["area_px"] > 0)).sum()


@pytest.mark.parametrize("name", [name for name, _ in EXPORTS])
def test_decisions_are_in_every_export(
    audited: Callable[[str], Audited], tmp_path: Path, name: str
) -> None:
    one, export = audited("coco"), export_by_name(name)
    audit = Path(shutil.copytree(one.audit, tmp_path / "audit"))
    first, second, third = one.table.masks.index[one.table.masks["area_px"] > 0][:3]
    image = int(one.table.masks["image_id"].loc[second])
    size = tuple(one.table.images.loc[image, ["height", "width"]])
    new, added = np.zeros(size, bool), np.zeros(size, bool)
    new[1:4, 2:7], added[size[0] - 2 :, size[1] - 3 :] = True, True
    rows = [
        {"mask_id": first, "action": "reject"},
        {"mask_id": second, "action": "fix", "segmentation": encoded(new)},
        {"mask_id": third, "action": "fix", "category": "new & 'ü' \"x\": #1"},
    ]
    missing = {"image_id": image, "segmentation": encoded(added), "category": "cat"}
    Reviews(curate.open_audit(audit)).add(
        pd.DataFrame(rows), origin="a test", missing=pd.DataFrame([missing])
    )
    out = tmp_path / f"out{export.suffix}"
    result = outcome(audit, out, name, duplicates="keep")
    records = [(one[2], one[3]) for one in PARSERS[name](out) if one[3] is not None]
    assert len(records) == result.losses.masks
    masks = [mask for _, mask in records]
    if "overlap" not in result.losses.counts:
        assert any(np.array_equal(mask, new) for mask in masks)
        assert any(np.array_equal(mask, added) for mask in masks)
        gone = pixels_of(one.table)[first]
        assert gone is not None
        assert not any(np.array_equal(mask, gone) for mask in masks)
    if export.holds.categories and "class name" not in result.losses.counts:
        assert "new & 'ü' \"x\": #1" in {category for category, _ in records}
    listed = pd.read_parquet(result.provenance)
    place = listed[listed["change"] == "added"]
    assert place["new_source_key"].notna().all()


@pytest.mark.parametrize("name", [name for name, _ in EXPORTS])
def test_splits_are_laid_out_as_the_format_has_them(
    audited: Callable[[str], Audited], tmp_path: Path, name: str
) -> None:
    one, out = audited("coco"), tmp_path / "out"
    result = outcome(one.audit, out, name, split={"train": 0.7, "val": 0.3})
    split = result.export.split
    assert sum(split.count_images().values()) == len(one.table.images)
    names = {stem(name): split.split_of(k) for k, name in one.table.images["file_name"].items()}
    found = {image: part for part, image, _, _ in PARSERS[name](out)}
    assert set(found.values()) == {"train", "val"}
    assert {image: names[image] for image in found} == found
    listed = pd.read_parquet(result.provenance)
    images = one.table.images["file_name"]
    assert all(
        names[stem(images[k])] == part
        for k, part in zip(listed["image_id"], listed["split"], strict=True)
    )


@pytest.mark.parametrize("how", ["copy", pytest.param("link", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", [name for name, _ in EXPORTS])
def test_pictures_come_along(
    audited: Callable[[str], Audited], tmp_path: Path, name: str, how: str
) -> None:
    one = audited("coco")
    out = tmp_path / "out"
    result = outcome(one.audit, out, name, images=how)
    writer = result.export.writer
    if all(writer.picture_place(image) is None for image in result.export.dataset.images()):
        return  # pictures are inside its files, or have no place in it
    found = {path.read_bytes() for path in out.rglob("*") if path.suffix in (".jpg", ".png")}
    pictures = [image.picture for image in result.export.dataset.images()]
    assert all(picture is not None and picture.read_bytes() in found for picture in pictures)
    assert any(path.stat().st_nlink > 1 for path in out.rglob("*.*g")) == (how == "link")
    source = writer.read_back(out)[0].path
    again = curate.audit(source, tmp_path / "again", policy={"name": "all"})
    statuses = set(again.images()["status"])
    assert statuses <= {"ok", "size_mismatch"}
