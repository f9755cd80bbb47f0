"""Other people's parsers read what is written, and see what is meant."""

from __future__ import annotations

import contextlib
import io
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from drawn_decisions import added, image_names, kept, packed
from drawn_masks import decoded, rasterised
from PIL import Image
from pycocotools.coco import COCO
from random_cases import some_of
from small_datasets import KINDS

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

Written = Callable[[str], Any]


def loaded(path: Path) -> COCO:
    with contextlib.redirect_stdout(io.StringIO()):  # it prints what it does
        return COCO(str(path))


@pytest.mark.parametrize("name", ["coco", "lvis"])
def test_pycocotools_draws_the_masks_that_are_meant(written: Written, name: str) -> None:
    one = written(name)
    read = loaded(one.out)
    meant, new = kept(one.source, one.decided), added(one.source, one.decided)
    images = image_names(one.source.table)
    labels = {number: about["name"] for number, about in read.cats.items()}
    found = {}
    for number, annotation in read.anns.items():
        mask = read.annToMask(annotation) > 0
        assert annotation["image_id"] in images
        found[number] = (packed(mask), labels[annotation["category_id"]])
    assert {n: found.pop(n) for n in meant} == {n: (m.pixels, m.label) for n, m in meant.items()}
    assert Counter(found.values()) == Counter((mask.pixels, mask.label) for mask in new)
    numbers = sorted(meant)
    assert read.getAnnIds() == [*(a["id"] for a in read.dataset["annotations"])]
    assert min(found) > max(numbers)


def test_pycocotools_takes_a_results_list_as_detections(written: Written, tmp_path: Path) -> None:
    one = written("coco-results")
    images = [
        {"id": number, "height": height, "width": width}
        for number, height, width in one.source.table.images[["height", "width"]].itertuples()
    ]
    truth = {"images": images, "annotations": [], "categories": [{"id": 3}], "info": {}}
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    with contextlib.redirect_stdout(io.StringIO()):
        read = loaded(tmp_path / "truth.json").loadRes(str(one.out))
    found = Counter(
        (f"image {a['image_id']}", packed(read.annToMask(a) > 0), str(a["category_id"]))
        for a in read.dataset["annotations"]
    )
    masks = [*kept(one.source, one.decided).values(), *added(one.source, one.decided)]
    assert found == Counter((mask.image, mask.pixels, mask.label) for mask in masks)


@pytest.mark.parametrize("name", ["png-folder", "amg", "label-png"])
def test_pillow_opens_every_png_in_the_mode_it_had(written: Written, name: str) -> None:
    one = written(name)
    for path in one.out.rglob("*.png"):
        with Image.open(path) as image:
            image.verify()
        before = one.source.path / path.relative_to(one.out)
        with Image.open(path) as image:
            image.load()
            if name == "label-png":
                with Image.open(before) as old:
                    assert (image.mode, image.size) == (old.mode, old.size)
                    assert image.getpalette() == old.getpalette()
                    assert image.info == old.info
            else:
                assert image.size in {(m[1], m[0]) for m in sizes(one)}
    assert {p.suffix for p in one.out.rglob("*.p*")} == {".png"}


def sizes(one: Any) -> set[tuple[int, int]]:
    about = one.source.table.images[["height", "width"]].itertuples(index=False)
    return {(height, width) for height, width in about}


# Ultralytics' documents on datasets for segmentation: a text file a picture, a row an object, the
# class from 0 and then x and y of at least three points, from 0 to 1, separated by blanks; no file
# where there is no object.
def test_labels_obey_what_ultralytics_documents(written: Written) -> None:
    one = written("yolo")
    names = {0: "cat", 1: "R&D", 7: "dog"}
    found: Counter[Any] = Counter()
    for path in sorted((one.out / "labels").rglob("*.txt")):
        picture = next((one.out / "images/train").glob(f"{path.stem}.*"))
        with Image.open(picture) as image:
            size = image.height, image.width
        rows = path.read_text(encoding="utf-8").strip().splitlines()
        values = [row.split() for row in rows if row.split()]
        assert len({tuple(row) for row in values}) == len(values)  # it drops rows that occur twice
        for category, *numbers in values:
            assert int(category) in names
            assert len(numbers) >= 6
            assert len(numbers) % 2 == 0
            points = np.array(numbers, np.float64)
            assert np.isfinite(points).all()
            assert points.min() >= 0
            assert points.max() <= 1
            ring = points.reshape(-1, 2) * np.array([size[1], size[0]])
            mask = packed(rasterised([ring.ravel().tolist()], size))
            found[f"images/train/{picture.name}", mask, names[int(category)]] += 1
    masks = [*kept(one.source, one.decided).values(), *added(one.source, one.decided)]
    assert found == Counter((mask.image, mask.pixels, mask.label) for mask in masks)


def test_the_parallel_lists_of_sav_stay_parallel(written: Written) -> None:
    one = written("sav")
    for path in one.out.glob("*.json"):
        video = json.loads(path.read_text())
        count, size = video["masklet_num"], (video["video_height"], video["video_width"])
        assert {len(frame) for frame in video["masklet"]} == {count}
        lists = [value for key, value in video.items() if key.startswith("masklet_")]
        lengths = {len(value) for value in lists if isinstance(value, list)}
        assert lengths <= {count, len(video["masklet"])}
        assert len(set(video["masklet_id"])) == count
        for rle in (one for frame in video["masklet"] for one in frame):
            assert decoded(rle["counts"], tuple(rle["size"])).shape == size


@pytest.mark.parametrize("name", some_of(KINDS, 15))
def test_the_standard_library_parses_every_file(written: Written, name: str) -> None:
    one = written(name)
    paths = [one.out] if one.out.is_file() else [p for p in one.out.rglob("*") if p.is_file()]
    for path in paths:
        if path.suffix == ".json":
            json.loads(path.read_bytes().decode("utf-8"))
        if path.suffix == ".xml":
            names = Counter(element.tag for element in ElementTree.parse(path).iter())
            before = Counter(e.tag for e in ElementTree.parse(one.source.path).iter())
            kept = ("image", "box", "tag", "strange", "version")
            for tag in ("box", "version") if name == "cvat-video" else kept:
                assert names[tag] == before[tag] > 0
