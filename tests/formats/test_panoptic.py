"""COCO panoptic JSON with its PNGs of ids."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mask_files import counts_of
from PIL import Image

from curate.errors import CallError, SourceError
from curate.formats.coco.panoptic_format import FORMAT
from curate.formats.edits import Addition, Change, Edits
from curate.formats.reading import detect, read
from curate.rle import to_dense

H, W = 40, 50
CATEGORIES = [{"id": 1, "name": "cat", "isthing": 1}, {"id": 2, "name": "sky", "isthing": 0}]


def ids() -> Any:
    made = np.zeros((H, W), np.int64)
    made[5:20, 5:20], made[22:35, 10:45], made[:3] = 300, 70_000, 9
    return made


def segment(number: Any, category: int = 1, **more: Any) -> dict[str, Any]:
    return {"id": number, "category_id": category, "iscrowd": 0} | more


SEGMENTS = [segment(300, area=225, bbox=[5, 5, 15, 15]), segment(70_000, 2), segment(9)]


def dataset(
    folder: Path, segments: list[Any] = SEGMENTS, place: str = "panoptic_val", size: Any = (H, W)
) -> Path:
    images = [
        {"id": k, "file_name": f"{n}.jpg", "height": size[0], "width": size[1]}
        for k, n in ((3, "a"), (4, "b"))
    ]
    listed = [{"image_id": 3, "file_name": "a.png", "segments_info": segments}]
    path = folder / "annotations" / "panoptic_val.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"images": images, "annotations": listed, "categories": CATEGORIES}))
    png = path.parent / place / "a.png"
    png.parent.mkdir(parents=True, exist_ok=True)
    value = ids()
    colours = np.stack([value % 256, value // 256 % 256, value // 65536], -1)
    Image.fromarray(colours.astype(np.uint8)).save(png)
    return path


@pytest.mark.parametrize("place", ["panoptic_val", "masks", ".", "../panoptic_val"])
def test_segments_are_masks_wherever_the_pngs_are(tmp_path: Path, place: str) -> None:
    path = dataset(tmp_path, place=place)
    assert detect(path).name == "coco-panoptic"
    table = read(path)
    assert table.masks["status"].tolist() == ["ok", "ok", "ok"]
    for k, number in enumerate((300, 70_000, 9)):
        assert (to_dense(table.runs, k) == (ids() == number)).all()
    assert table.masks["category"].tolist() == ["cat", "sky", "cat"]
    assert table.masks["iscrowd"].tolist() == [0, 1, 0]
    assert table.masks["declared_area"].iloc[0] == 225
    assert table.masks["source_key"].iloc[1] == ("panoptic_val.json#/annotations/0/segments_info/1")
    assert table.images["file_name"].to_dict() == {3: "a.jpg", 4: "b.jpg"}
    assert [note.kind for note in table.notes] == ["stuff"]


def test_without_its_pngs_all_is_for_review_and_said(tmp_path: Path) -> None:
    table = read(dataset(tmp_path, place="elsewhere"))
    assert table.masks["status"].tolist() == ["no_segmentation"] * 3
    assert [note.kind for note in table.notes] == ["panoptic_pngs_missing", "stuff"]


def test_pictures_of_the_same_name_are_no_ids(tmp_path: Path) -> None:
    path = dataset(tmp_path, place="elsewhere")
    photo = np.full((H, W, 3), 77, np.uint8)
    Image.fromarray(photo).save(path.parent / "a.png")
    assert set(read(path).masks["status"]) == {"no_segmentation"}


def test_what_does_not_fit_is_a_finding(tmp_path: Path) -> None:
    odd = [segment(300), segment(5), segment(300), 7, segment("x")]
    table = read(dataset(tmp_path, odd, size=(W, H)))
    assert table.masks["status"].tolist() == [
        *("ok", "empty", "duplicate_id", "wrong_type", "no_segmentation")
    ]
    assert table.images["status"].tolist() == ["size_mismatch", "ok"]
    note = next(note for note in table.notes if note.kind == "unlisted_ids")
    assert (note.count, note.of, note.examples) == (1, "images", ("a.png: 9",))


@pytest.mark.parametrize("name", ["../a.png", "/etc/passwd", "a\0.png", ""])
def test_a_name_never_leaves_the_folder(tmp_path: Path, name: str) -> None:
    path = dataset(tmp_path)
    made = json.loads(path.read_text())
    made["annotations"].append({"image_id": 4, "file_name": name, "segments_info": [segment(1)]})
    path.write_text(json.dumps(made))
    assert read(path).masks["status"].tolist() == ["ok"] * 3 + ["no_segmentation"]


def counts(y: slice, x: slice) -> bytes:
    mask = np.zeros((H, W), bool)
    mask[y, x] = True
    return counts_of(mask)


def written(folder: Path) -> tuple[dict[str, Any], Any]:
    """Return the JSON and the ids of what was written of a JSON alone."""
    with Image.open(folder / "panoptic_val" / "a.png") as image:
        pixels = np.asarray(image).astype(np.int64)
    made = json.loads((folder / "panoptic_val.json").read_text())
    return made, pixels @ np.array([1, 256, 65536])


@pytest.mark.parametrize("place", ["panoptic_val", "masks", ".", "../panoptic_val"])
def test_a_json_alone_is_written_as_a_folder(tmp_path: Path, place: str) -> None:
    path = dataset(tmp_path / "in", place=place)
    key = "panoptic_val.json#/annotations/0"
    edits = Edits(
        drop=frozenset({f"{key}/segments_info/2"}),
        change={
            f"{key}/segments_info/0": Change(counts(slice(5, 9), slice(5, 25))),
            f"{key}/segments_info/1": Change(category="sky"),
        },
        add=[Addition(key, counts(slice(0, 2), slice(40, 50)), H, W, "dog")],
    )
    out = tmp_path / "out"
    stored = FORMAT.write(path, None, edits)
    assert FORMAT.write(path, out, edits) == stored
    assert FORMAT.check_unedited(path, out, edits) == ""
    made, pixels = written(out)
    first, second, new = made["annotations"][0]["segments_info"]
    assert first == segment(300, area=80, bbox=[5, 5, 20, 4])
    assert second == segment(70_000, 2)
    assert new == segment(70_001, 3, area=20, bbox=[40, 0, 10, 2])
    assert made["categories"][-1] == {"id": 3, "name": "dog", "isthing": 1}
    assert (pixels == 9).sum() == 0
    assert (pixels == 300).sum() == 80
    assert (pixels == 70_001).sum() == 20
    assert read(out).masks["category"].tolist() == ["cat", "sky", "dog"]


def test_nothing_changes_without_edits(tmp_path: Path) -> None:
    path = dataset(tmp_path / "in")
    FORMAT.write(path, tmp_path / "out", Edits())
    assert (tmp_path / "out" / path.name).read_bytes() == path.read_bytes()
    png = Path("panoptic_val") / "a.png"
    assert (tmp_path / "out" / png).read_bytes() == (path.parent / png).read_bytes()
    assert FORMAT.check_unedited(path, tmp_path / "out", Edits()) == ""


def test_who_gets_pixels_of_stuff_is_asked_and_its_measures_follow(tmp_path: Path) -> None:
    path = dataset(tmp_path / "in")
    key = "panoptic_val.json#/annotations/0"
    grown = counts(slice(5, 30), slice(5, 20))
    add = [Addition(key, grown, H, W, "cat")]
    drop = frozenset({f"{key}/segments_info/2"})
    with pytest.raises(CallError, match=r"covers 225 of the id 300.*--overlap new"):
        FORMAT.write(path, None, Edits(add=add, drop=drop))
    edits = Edits(add=add, drop=drop, overlap="new")
    change = {f"{key}/segments_info/0": Change(counts(slice(3, 5), slice(5, 20)))}
    edits = Edits(add=add, drop=drop, change=change, overlap="new")
    stored = FORMAT.write(path, tmp_path / "out", edits)
    assert [*stored.held] == [f"{key}/segments_info/1"]
    assert FORMAT.check_unedited(path, tmp_path / "out", edits) == ""
    made, pixels = written(tmp_path / "out")
    first, second, new = made["annotations"][0]["segments_info"]
    assert (first["area"], first["bbox"]) == (30, [5, 3, 15, 2])
    assert second == segment(70_000, 2)
    assert (new["area"], new["bbox"]) == (375, [5, 5, 15, 25])
    assert (pixels == 70_000).sum() == 13 * 35 - 8 * 10


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        ({"drop": {"x"}}, "names no mask"),
        ({"drop": {"panoptic_val.json#/annotations/7/segments_info/0"}}, "no annotation 7"),
        ({"drop": {"panoptic_val.json#/annotations/0/segments_info/9"}}, "none with the number 9"),
        (
            {
                "change": {
                    "panoptic_val.json#/annotations/0/segments_info/0": Change(category="sky")
                }
            },
            "not both things or both stuff",
        ),
        (
            {"add": [Addition("panoptic_val.json#/annotations/0", b"", H, W)]},
            "does not fit|no pixel",
        ),
        ({"masks": "polygon"}, "no polygons"),
    ],
)
def test_edits_that_are_refused(tmp_path: Path, edits: dict[str, Any], message: str) -> None:
    path = dataset(tmp_path / "in")
    with pytest.raises(CallError, match=message):
        FORMAT.write(path, tmp_path / "out", Edits(**edits))
    assert not (tmp_path / "out").exists()


def test_of_doubled_ids_the_pixels_stay_until_the_last_goes(tmp_path: Path) -> None:
    path = dataset(tmp_path / "in", [segment(300), segment(300), segment(5)])
    key = "panoptic_val.json#/annotations/0/segments_info"
    FORMAT.prune(path, tmp_path / "one", {f"{key}/0", f"{key}/2"})
    made, pixels = written(tmp_path / "one")
    assert made["annotations"][0]["segments_info"] == [segment(300)]
    assert (pixels == ids()).all()
    FORMAT.prune(path, tmp_path / "both", {f"{key}/0", f"{key}/1"})
    assert (written(tmp_path / "both")[1] == np.where(ids() == 300, 0, ids())).all()


def test_without_pngs_segments_go_from_the_json(tmp_path: Path) -> None:
    path = dataset(tmp_path / "in", place="elsewhere")
    key = "panoptic_val.json#/annotations/0/segments_info"
    FORMAT.prune(path, tmp_path / "out", {f"{key}/0"})
    made = json.loads((tmp_path / "out" / "panoptic_val.json").read_text())
    assert made["annotations"][0]["segments_info"] == SEGMENTS[1:]


def test_pictures_beside_the_annotations_are_found(tmp_path: Path) -> None:
    path = dataset(tmp_path)
    for name in ("a", "b"):
        (tmp_path / "val").mkdir(exist_ok=True)
        Image.fromarray(np.zeros((H, W, 3), np.uint8)).save(tmp_path / "val" / f"{name}.jpg")
    assert FORMAT.pictures is not None
    for source in (path, tmp_path):
        found = FORMAT.pictures(source)
        assert found is not None
        assert found.folder == tmp_path / "val"


@pytest.mark.parametrize("value", [{}, {"annotations": [7, {}]}])
def test_other_json_holds_no_masks_when_forced(tmp_path: Path, value: Any) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(value))
    assert len(read(path, "coco-panoptic")) == 0


def test_lists_that_are_none_are_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"images": 1, "annotations": [{"segments_info": []}]}))
    with pytest.raises(SourceError, match="images is no list"):
        read(path)
