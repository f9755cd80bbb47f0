"""One contract for all exports: what is written is what is meant less the losses that are said."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from drawn_decisions import pixels_of
from drawn_masks import encoded
from export_case import Audited, check_export, outcome
from export_parsers import PARSERS, stem
from export_sources import SOURCES, draw_pictures
from random_cases import some_of

import curate
from curate.formats.reading import detect
from curate.formats.yolo.label_lines import coordinates_of
from curate.people.reviews import Reviews
from curate.writing.exports import EXPORTS, export_by_name, yolo_export

TARGETS = [name for name, _ in EXPORTS]


def pairs() -> Iterator[Any]:
    """Yield every pair of a source and a format; every other one on a diagonal is quick.

    Every format is written from COCO below, with what people decided.
    """
    for k, source in enumerate(SOURCES):
        for j, name in enumerate(TARGETS):
            quick = j == k % len(TARGETS) and k % 2 == 0
            quick |= (source, name) == ("coco-results", "yolo")  # none of its images has a name
            marks = () if quick else pytest.mark.slow
            yield pytest.param(source, name, marks=marks, id=f"{source}-{name}")


@pytest.fixture(scope="session")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Audited]:
    """Return a function that makes and audits a small dataset of one kind, once each."""
    made: dict[str, Audited] = {}

    def prepare(name: str) -> Audited:
        if name not in made:
            folder = tmp_path_factory.mktemp(f"export-{name}")
            source = SOURCES[name](folder / "source")
            form, pictures = detect(source), None
            if form.pictures is None or form.pictures(source) is None:
                pictures = folder / "pictures"
                pictures.mkdir()
                draw_pictures(curate.read(source), pictures)
            curate.audit(source, folder / "audit", images=pictures, policy={"name": "all"})
            made[name] = Audited(folder / "audit", curate.read(source))
        return made[name]

    return prepare


@pytest.mark.parametrize(("source", "name"), [*pairs()])
def test_what_is_written_is_what_is_meant_less_the_losses_said(
    audited: Callable[[str], Audited], tmp_path: Path, source: str, name: str
) -> None:
    check_export(audited(source), tmp_path / f"out{export_by_name(name).suffix}", name)


@pytest.mark.parametrize("name", some_of(TARGETS, 8))
def test_decisions_are_in_every_export(
    audited: Callable[[str], Audited], tmp_path: Path, name: str
) -> None:
    one, export = audited("coco"), export_by_name(name)
    audit = Path(shutil.copytree(one.audit, tmp_path / "audit"))
    objects = (one.table.masks["area_px"] > 0) & (one.table.masks["iscrowd"] != 1)
    first, second, third = one.table.masks.index[objects][:3]
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


@pytest.mark.parametrize("name", some_of(TARGETS, 8))
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
@pytest.mark.parametrize("name", some_of(TARGETS, 8))
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


@pytest.mark.parametrize(("most_bytes", "times"), [(1 << 20, 1), (0, 2)])
def test_yolo_traces_a_mask_once_as_long_as_there_is_room(
    audited: Callable[[str], Audited],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    most_bytes: int,
    times: int,
) -> None:
    traced: list[str] = []

    def trace(counts: bytes, size: tuple[int, int], key: str, own: Any) -> Any:
        traced.append(key)
        return coordinates_of(counts, size, key, own)

    monkeypatch.setattr(yolo_export, "MOST_BYTES", most_bytes)
    monkeypatch.setattr(yolo_export, "coordinates_of", trace)
    result = curate.write(audited("coco").audit, tmp_path / "out", to="yolo", lossy=True)
    assert result.losses is not None
    assert len(traced) == times * result.losses.masks
    assert len(set(traced)) == result.losses.masks


@pytest.mark.parametrize("name", ["labelme", "supervisely", "cvat"])
def test_a_mask_that_no_polygon_holds_is_pixels_where_polygons_are_asked_for(
    tmp_path: Path, name: str
) -> None:
    noise = np.random.default_rng(1).random((330, 330)) < 0.5
    mask = {"size": [330, 330], "counts": encoded(noise).decode()}
    one = {"image_id": 1, "segmentation": mask, "category_id": 1, "iscrowd": 0}
    document = {
        "images": [{"id": 1, "file_name": "1.png", "height": 330, "width": 330}],
        "annotations": [{"id": 1, **one}],
        "categories": [{"id": 1, "name": "cat"}],
    }
    (tmp_path / "a.json").write_text(json.dumps(document))
    curate.audit(tmp_path / "a.json", tmp_path / "audit", policy={"name": "all"})
    made = curate.write(tmp_path / "audit", tmp_path / "out", to=name, masks="polygon", lossy=True)
    assert (made.stored.turned, made.stored.polygons) == (1, 0)
    assert "1 mask of polygons is run lengths now" in made.text()
    assert curate.version(tmp_path / "out") == curate.version(tmp_path / "a.json")
