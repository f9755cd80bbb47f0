"""VIA's project and export as a dataset."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from small_record_datasets import via_region

from curate import rle
from curate.dataset.table import MaskTable
from curate.errors import CallError, SourceError
from curate.formats.edits import Addition, Change, Edits
from curate.formats.format import ReadOptions
from curate.formats.reading import detect, read
from curate.formats.via.via_format import FORMAT, matches

SIZE = (20, 30)
RING: list[float] = [3, 2, 12, 2, 12, 9, 3, 9]


def counts(mask: np.ndarray) -> bytes:
    return bytes(rle.encode_counts(rle.from_dense(mask))[0].as_py())


def block() -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[2:9, 3:12] = True
    return mask


def image(*regions: Any, name: str = "a.png") -> dict[str, Any]:
    return {"filename": name, "size": 5, "regions": list(regions), "file_attributes": {}}


def put(folder: Path, *images: Any, project: bool = False, picture: bool = True) -> Path:
    whole: dict[str, Any] = {f"{one['filename']}{k}": one for k, one in enumerate(images)}
    if project:
        whole = {"_via_settings": {}, "_via_img_metadata": whole, "_via_attributes": {}}
    path = folder / "via.json"
    path.write_text(json.dumps(whole))
    if picture:
        Image.new("L", SIZE[::-1]).save(folder / "a.png")
    return path


def table(folder: Path, *images: Any, **more: Any) -> MaskTable:
    return read(put(folder, *images, **more))


@pytest.mark.parametrize("project", [False, True])
def test_a_polygon_has_the_pixels_of_its_ring(tmp_path: Path, project: bool) -> None:
    path = put(tmp_path, image(via_region(RING, {"class": "x"})), project=project)
    assert detect(path).name == detect(tmp_path).name == "via"
    for source in (path, tmp_path):
        found = read(source)
        assert found.masks["segmentation"].tolist() == [counts(block())]
        assert found.masks["category"].tolist() == ["x"]
        assert found.masks["source_key"].tolist() == ["via.json#/0/regions/0"]
    assert FORMAT.pictures is not None
    assert FORMAT.pictures(path) == (tmp_path.resolve(), ("a.png",))
    assert FORMAT.pictures(tmp_path) == (tmp_path.resolve(), ())


def test_without_a_picture_there_is_no_size(tmp_path: Path) -> None:
    path = put(tmp_path, image(via_region(RING, {})), picture=False)
    found = read(path)
    assert found.images["status"].tolist() == ["missing"]
    assert found.masks["status"].tolist() == ["unknown_image"]
    (tmp_path / "elsewhere").mkdir()
    Image.new("L", SIZE[::-1]).save(tmp_path / "elsewhere" / "a.png")
    given = read(path, options=ReadOptions(tmp_path / "elsewhere"))
    assert given.masks["status"].tolist() == ["ok"]
    key = "via.json#/0/regions/0"
    with pytest.raises(CallError, match="size"):
        FORMAT.write(path, None, Edits(change={key: Change(counts(block()))}))


def test_names_that_leave_the_folder_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Image.new("L", SIZE[::-1]).save(tmp_path / "b.png")
    found = table(tmp_path / "in", image(via_region(RING, {}), name="../b.png"))
    assert found.images["status"].tolist() == ["missing"]


@pytest.mark.parametrize(
    ("attributes", "category"),
    [
        ({"species": "x"}, "x"),
        ({"species": {"x": True, "y": False}}, "x"),
        ({"species": {"x": True, "y": True}}, None),
        ({"note": "n", "Label": "x"}, "x"),
        ({"note": "n", "colour": "x"}, None),
        ({"class": 3}, "3"),
        ({"class": "  "}, None),
        ({}, None),
    ],
)
def test_the_category_is_the_only_attribute_or_that_of_such_a_name(
    tmp_path: Path, attributes: Any, category: str | None
) -> None:
    found = table(tmp_path, image(via_region(RING, attributes)))
    assert found.masks["category"].fillna("none").tolist() == [category or "none"]
    kinds = {note.kind for note in found.notes}
    assert ("no_category" in kinds) == (len(attributes) == 2 and category is None)


@pytest.mark.parametrize(
    ("shape", "status"),
    [
        ({"all_points_x": [1, 2]}, "bad_polygon"),
        ({"all_points_x": [1, 2, "a", 4]}, "wrong_type"),
        ({"all_points_y": None}, "wrong_type"),
        ({"all_points_x": [], "all_points_y": []}, "no_segmentation"),
        ({"all_points_x": [1, 2], "all_points_y": [1, 2]}, "bad_polygon"),
    ],
)
def test_a_broken_region_is_a_finding(tmp_path: Path, shape: Any, status: str) -> None:
    sound, broken = via_region(RING, {}), via_region(RING, {})
    broken["shape_attributes"] |= shape
    found = table(tmp_path, image(sound, broken, 3, sound))
    assert found.masks["status"].tolist() == ["ok", status, "wrong_type", "ok"]


def test_other_shapes_are_no_masks_and_said(tmp_path: Path) -> None:
    circle = {"shape_attributes": {"name": "circle", "cx": 1, "cy": 2, "r": 3}}
    found = table(tmp_path, image(circle, via_region(RING, {})))
    assert found.masks["source_key"].tolist() == ["via.json#/0/regions/1"]
    assert "no_mask" in {note.kind for note in found.notes}


def test_regions_of_via_1_are_an_object_and_stay_one(tmp_path: Path) -> None:
    regions = {str(k): via_region(RING, {"class": "x"}) for k in (0, 1, 3)}
    path = put(tmp_path, image() | {"regions": regions}, image() | {"regions": {}})
    table = read(path)
    assert table.masks["area_px"].tolist() == [block().sum()] * 3
    smaller = block()
    smaller[2] = False
    keys = [f"via.json#/0/regions/{k}" for k in range(3)]
    edits = Edits(
        drop=frozenset(keys[:1]),
        change={keys[2]: Change(counts(smaller), "y")},
        add=[Addition(f"via.json#/{k}", counts(block()), *SIZE, "z") for k in (0, 0, 1)],
    )
    out = tmp_path / "out.json"
    stored = FORMAT.write(path, out, edits)
    assert FORMAT.check_unedited(path, out, edits) == ""
    made = [one["regions"] for one in json.loads(out.read_bytes()).values()]
    assert [list(one) for one in made] == [["1", "3", "4", "5"], ["0"]]
    assert made[0]["1"] == regions["1"]
    assert made[0]["3"]["region_attributes"] == {"class": "y"}
    (tmp_path / "in").mkdir()
    path.rename(tmp_path / "in" / "via.json")
    out.rename(path)
    areas = [int(block().sum()), int(smaller.sum()), *[int(block().sum())] * 3]
    assert read(path).masks["area_px"].tolist() == areas
    assert stored.polygons == 4


def test_a_change_that_nobody_asked_for_is_found_in_an_object_too(tmp_path: Path) -> None:
    regions = {str(k): via_region(RING, {"class": "x"}) for k in range(3)}
    path, out = put(tmp_path, image() | {"regions": regions}), tmp_path / "out.json"
    edits = Edits(drop=frozenset({"via.json#/0/regions/0"}))
    FORMAT.write(path, out, edits)
    out.write_text(out.read_text().replace('"1": ', '"7": '))
    assert FORMAT.check_unedited(path, out, edits) != ""


def test_regions_of_one_name_are_not_rewritten(tmp_path: Path) -> None:
    """Parsers read the last of them: the others would be lost."""
    regions = {str(k): via_region(RING, {"class": "x"}) for k in range(3)}
    path = put(tmp_path, image() | {"regions": regions})
    path.write_text(path.read_text().replace('"2": ', '"1": '))
    assert len(read(path).masks) == 2
    for out in (None, tmp_path / "out.json"):
        with pytest.raises(SourceError, match="two of its regions are called '1'") as raised:
            FORMAT.write(path, out, Edits(drop=frozenset({"via.json#/0/regions/0"})))
        assert raised.value.do == "number its regions anew"
    assert not (tmp_path / "out.json").exists()


def test_a_region_that_an_object_lacks_is_refused(tmp_path: Path) -> None:
    path = put(tmp_path, image() | {"regions": {"0": via_region(RING, {})}})
    with pytest.raises(CallError, match="it has 1 regions, and none 4"):
        FORMAT.write(path, None, Edits(drop=frozenset({"via.json#/0/regions/4"})))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"a": {"filename": "a.png", "regions": []}, "b": 3}, "no image"),
        ({"_via_settings": {}, "_via_img_metadata": []}, "no object"),
        ({"_via_settings": {}, "_via_img_metadata": {"a": {}}}, "no image"),
    ],
)
def test_what_is_no_image_is_refused(tmp_path: Path, content: Any, words: str) -> None:
    path = tmp_path / "via.json"
    path.write_text(json.dumps(content))
    with pytest.raises(SourceError, match=words):
        read(path)


def test_two_files_in_a_folder_are_not_both_read(tmp_path: Path) -> None:
    path = put(tmp_path, image(via_region(RING, {})))
    (tmp_path / "copy.json").write_bytes(path.read_bytes())
    assert matches(tmp_path)
    with pytest.raises(SourceError, match="2 files"):
        read(tmp_path)


def test_a_hole_runs_through_a_seam_with_exactly_the_pixels(tmp_path: Path) -> None:
    source = put(tmp_path, image(via_region(RING, {}))).parent
    hole = block()
    hole[4, 5] = False
    edits = Edits(
        change={"via.json#/0/regions/0": Change(counts(hole))},
        add=[Addition("via.json#/0", counts(block()), *SIZE, "x")],
    )
    stored = FORMAT.write(source, tmp_path.parent / "out", edits)
    assert (stored.polygons, stored.seams) == (2, 1)
    assert FORMAT.check_unedited(source, tmp_path.parent / "out", edits) == ""
    found = read(tmp_path.parent / "out").masks
    assert found["segmentation"].tolist() == [counts(hole), counts(block())]
    assert found["category"].tolist()[1] == "x"


def test_a_category_does_not_depend_on_other_regions(tmp_path: Path) -> None:
    regions = [via_region(RING, {"a": "1", "b": "2"}), via_region(RING, {"b": "2"})]
    source = put(tmp_path, image(*regions)).parent
    assert read(source).masks["category"].fillna("none").tolist() == ["none", "2"]
    gone = Edits(drop=frozenset({"via.json#/0/regions/0"}))
    FORMAT.write(source, tmp_path.parent / "gone", gone)
    assert read(tmp_path.parent / "gone").masks["category"].tolist() == ["2"]
    with pytest.raises(CallError, match="several attributes"):
        FORMAT.write(source, None, Edits(change={"via.json#/0/regions/0": Change(category="x")}))
