"""Label Studio's export as a dataset: what of it is read, and what is said of the rest."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from small_record_datasets import annotation, brush, polygon

import curate
from curate import rle
from curate.dataset.table import MaskTable
from curate.errors import CallError, SourceError
from curate.formats.edits import Addition, Change, Edits
from curate.formats.format import ReadOptions
from curate.formats.label_studio.label_studio_format import FORMAT, matches
from curate.formats.label_studio.tasks import file_name_of
from curate.formats.reading import detect, read
from curate.images import ImageFolder
from curate.people.exchange.label_studio.regions import parse_regions
from curate.people.reviews import Reviews

SIZE = (20, 30)
EARLY, LATE = "2026-01-01T00:00:00Z", "2026-06-01T00:00:00Z"


def block(k: int) -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[2 : 5 + k, 3 : 9 + k] = True
    return mask


def counts(mask: np.ndarray) -> bytes:
    return bytes(rle.encode_counts(rle.from_dense(mask))[0].as_py())


def task(*annotations: Any, image: str = "a.png", **more: Any) -> dict[str, Any]:
    return {"id": 5, "data": {"image": image}, "annotations": list(annotations), **more}


def put(folder: Path, *tasks: Any) -> Path:
    path = folder / "export.json"
    path.write_text(json.dumps(list(tasks)))
    return path


def table(folder: Path, *tasks: Any, options: ReadOptions | None = None) -> MaskTable:
    return read(put(folder, *tasks), options=options)


def kinds(found: MaskTable) -> set[str]:
    return {note.kind for note in found.notes}


def test_it_is_known_and_queues_of_curate_are(tmp_path: Path) -> None:
    assert detect(put(tmp_path, task())).name == "label-studio"
    assert matches(put(tmp_path, {"data": {"image": "a.png"}, "predictions": []}))
    assert not matches(put(tmp_path, {"image_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}))


def test_a_first_task_beyond_what_is_looked_at_is_known(tmp_path: Path) -> None:
    large = task(annotation(1, [brush(block(0), "a", "x")], LATE), filler="x" * 2_000_000)
    assert matches(put(tmp_path, large))


def test_the_latest_annotation_is_read_and_the_others_are_said(tmp_path: Path) -> None:
    old = annotation(1, [brush(block(3), "a", "x")], LATE)
    new = annotation(2, [brush(block(0), "a", "x")], EARLY)
    skipped = annotation(3, [brush(block(5), "a", "x")], "2027-01-01T00:00:00Z", was_cancelled=True)
    found = table(tmp_path, task(old, new, skipped))
    assert found.masks["source_key"].tolist() == ["export.json#/0/annotations/0/result/0"]
    assert found.masks["area_px"].tolist() == [block(3).sum()]
    assert kinds(found) == {"several_annotations", "skipped"}


def test_ground_truth_comes_before_the_latest(tmp_path: Path) -> None:
    true = annotation(1, [brush(block(0), "a", "x")], EARLY, ground_truth=True)
    later = annotation(2, [brush(block(3), "a", "x")], LATE)
    found = table(tmp_path, task(true, later))
    assert found.masks["area_px"].tolist() == [block(0).sum()]


def test_predictions_are_read_only_where_nobody_annotated(tmp_path: Path) -> None:
    guess = {"result": [brush(block(1), "a", "x") | {"score": 0.25}], "created_at": LATE}
    alone = table(tmp_path, task(predictions=[guess]))
    assert alone.masks["source_key"].tolist() == ["export.json#/0/predictions/0/result/0"]
    assert alone.masks["score"].tolist() == [0.25]
    assert kinds(alone) == {"predictions_read"}
    made = task(annotation(1, [brush(block(0), "a", "x")], LATE))
    both = table(tmp_path, task(predictions=[guess]), made | {"id": 6})
    assert both.masks["area_px"].tolist() == [block(0).sum()]
    assert kinds(both) == {"predictions_left"}


def test_a_polygon_in_percent_has_the_pixels_of_its_ring(tmp_path: Path) -> None:
    ring = [3.0, 2.0, 12.0, 2.0, 12.0, 9.0, 3.0, 9.0]
    found = table(tmp_path, task(annotation(1, [polygon(ring, SIZE, "p", "x")], LATE)))
    mask = np.zeros(SIZE, bool)
    mask[2:9, 3:12] = True
    assert found.masks["segmentation"].tolist() == [counts(mask)]


def bitmask(mask: np.ndarray, name: str, label: str) -> dict[str, Any]:
    """A region as Label Studio's Bitmask tag exports it: black pixels on transparent ones."""
    pixels = np.zeros((*mask.shape, 4), np.uint8)
    pixels[mask, 3] = 255
    packed = io.BytesIO()
    Image.fromarray(pixels).save(packed, "PNG")
    url = "data:image/png;base64," + base64.b64encode(packed.getvalue()).decode()
    value = {"imageDataURL": url, "bitmasklabels": [label]}
    return brush(mask, name, label) | {"value": value, "type": "bitmasklabels", "from_name": "bits"}


def alpha(result: dict[str, Any]) -> np.ndarray:
    url = result["value"]["imageDataURL"]
    with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) as picture:
        return np.asarray(picture.convert("RGBA"))[..., 3] > 0


def test_a_bitmask_has_its_opaque_pixels_and_is_written_back(tmp_path: Path) -> None:
    found = table(tmp_path, task(annotation(1, [bitmask(block(2), "a", "x")], LATE)))
    assert found.masks["segmentation"].tolist() == [counts(block(2))]
    assert found.masks["category"].tolist() == ["x"]
    key = found.masks["source_key"].tolist()[0]
    new = Addition("export.json#/0", counts(block(5)), *SIZE, "y")
    edits = Edits(change={key: Change(counts(block(1)), "z")}, add=[new])
    whole = task(annotation(1, [bitmask(block(2), "a", "x")], LATE))
    results = written(tmp_path, edits, whole)[0]["annotations"][0]["result"]
    for result, mask, label in zip(results, (block(1), block(5)), "zy", strict=True):
        assert (alpha(result) == mask).all()
        assert result["value"]["bitmasklabels"] == [label]
        assert (result["type"], result["from_name"]) == ("bitmasklabels", "bits")


@pytest.mark.parametrize(
    ("url", "status"),
    [
        (3, "wrong_type"),
        ("", "no_segmentation"),
        ("data:image/png;base64,AAAA", "undecodable"),
        (bitmask(np.ones((4, 4), bool), "a", "x")["value"]["imageDataURL"], "size_mismatch"),
        (bitmask(np.ones((40, 4), bool), "a", "x")["value"]["imageDataURL"], "size_mismatch"),
    ],
)
def test_a_broken_bitmask_is_a_finding(tmp_path: Path, url: Any, status: str) -> None:
    one = bitmask(block(0), "a", "x")
    one["value"]["imageDataURL"] = url
    found = table(tmp_path, task(annotation(1, [one], LATE)))
    assert found.masks["status"].tolist() == [status]


def test_a_bitmask_that_somebody_gives_back_is_taken_in() -> None:
    regions = parse_regions([bitmask(block(2), "a", "x")], SIZE, "task 1")
    mask = regions["a"].mask
    assert mask is not None
    assert (rle.to_dense(mask, 0) == block(2)).all()
    assert regions["a"].label == "x"
    small = bitmask(np.ones((4, 4), bool), "a", "x") | {"original_width": 30, "original_height": 20}
    for url in (3, small["value"]["imageDataURL"]):
        small["value"]["imageDataURL"] = url
        with pytest.raises(SourceError, match=r"task 1, region a: its bitmask"):
            parse_regions([small], SIZE, "task 1")


def test_completions_of_old_versions_are_annotations(tmp_path: Path) -> None:
    ring = [3.0, 2.0, 12.0, 2.0, 12.0, 9.0, 3.0, 9.0]
    results = [polygon(ring, SIZE, "p", "x"), brush(block(0), "b", "y")]
    old = {"id": 3, "data": {"image": "a.png"}, "completions": [annotation(1, results, LATE)]}
    assert detect(put(tmp_path, old)).name == "label-studio"
    found = table(tmp_path, old)
    keys = [f"export.json#/0/completions/0/result/{k}" for k in (0, 1)]
    assert found.masks["source_key"].tolist() == keys
    edits = Edits(
        drop=frozenset(keys[:1]),
        change={keys[1]: Change(counts(block(4)))},
        add=[Addition("export.json#/0", counts(block(5)), *SIZE, "x")],
    )
    made = written(tmp_path, edits, old)[0]
    assert list(made) == ["id", "data", "completions"]
    areas = [int(block(k).sum()) for k in (4, 5)]
    assert read(tmp_path / "out.json").masks["area_px"].tolist() == areas


def test_json_min_is_named_and_refused(tmp_path: Path) -> None:
    region = {"format": "rle", "rle": [1], "brushlabels": ["x"]}
    minimal = {"id": 1, "image": "a.png", "tag": [region | {"original_width": 3}], "annotator": 1}
    with pytest.raises(SourceError, match=r"JSON-MIN.*export the project as JSON"):
        read(put(tmp_path, minimal))


def test_results_of_one_id_are_one_mask(tmp_path: Path) -> None:
    shape = {"format": "rle", "rle": brush(block(0), "a", "x")["value"]["rle"]}
    base = brush(block(0), "a", "x")
    labels = base | {"type": "labels", "value": shape | {"labels": ["y"]}, "from_name": "label"}
    drawn = base | {"type": "brush", "value": shape, "from_name": "brush"}
    found = table(tmp_path, task(annotation(1, [labels, drawn], LATE)))
    assert found.masks["category"].tolist() == ["y"]
    assert found.masks["area_px"].tolist() == [block(0).sum()]


def test_other_shapes_are_no_masks_and_said(tmp_path: Path) -> None:
    box = {"id": "b", "type": "rectanglelabels", "value": {"x": 1, "rectanglelabels": ["x"]}}
    choice = {"id": "c", "type": "choices", "value": {"choices": ["good"]}}
    found = table(tmp_path, task(annotation(1, [box, choice], LATE)))
    assert len(found.masks) == 0
    assert [(n.kind, n.count, n.of) for n in found.notes] == [("no_mask", 1, "shapes")]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"value": 3}, "wrong_type"),
        ({"value": {"rle": [], "brushlabels": ["x"]}}, "no_segmentation"),
        ({"value": {"rle": [300], "brushlabels": ["x"]}}, "wrong_type"),
        ({"value": {"rle": [1, 2, 3], "brushlabels": ["x"]}}, "undecodable"),
        ({"value": {"rle": "x", "brushlabels": ["x"]}}, "wrong_type"),
        ({"type": "polygon", "value": {"points": [[1, 2]]}}, "bad_polygon"),
        ({"type": "polygon", "value": {"points": [[1, "a"]]}}, "wrong_type"),
        ({"type": "polygon", "value": {"points": []}}, "no_segmentation"),
        ({"original_width": 31}, "size_mismatch"),
        ({"image_rotation": 90}, "undecodable"),
        ({"item_index": 1}, "unknown_image"),
    ],
)
def test_a_broken_region_is_a_finding(tmp_path: Path, change: Any, status: str) -> None:
    sound = [brush(block(k), f"m{k}", "x") for k in range(2)]
    broken = brush(block(0), "bad", "x") | change
    found = table(tmp_path, task(annotation(1, [*sound, broken], LATE)))
    assert found.masks["status"].tolist() == ["ok", "ok", status]
    assert found.masks["status_detail"].iloc[2]


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("/data/upload/12/0a1b2c3d-cat%20one.jpg", "cat one.jpg"),
        ("/data/local-files/?d=ls/images/1.png", "ls/images/1.png"),
        ("s3://bucket/a/b.jpg", "bucket/a/b.jpg"),
        ("https://host/data/upload/cat.jpg?x=1.y", "cat.jpg"),
        ("images/a.png", "images/a.png"),
    ],
)
def test_the_name_of_a_picture_is_found_in_what_the_data_says(value: str, name: str) -> None:
    assert file_name_of(value) == name


def test_the_picture_may_have_another_name_in_the_data(tmp_path: Path) -> None:
    one = {"id": 1, "data": {"note": "hello", "photo": "x/a.JPG"}, "annotations": []}
    assert table(tmp_path, one).images["file_name"].tolist() == ["x/a.JPG"]


def test_uploads_of_one_name_keep_the_names_under_which_they_are_stored(tmp_path: Path) -> None:
    uploads = ("0a1b2c3d-a.png", "4a1b2c3d-a.png", "0a1b2c3d-b.png")
    tasks = [task(image=f"/data/upload/1/{name}") for name in uploads]
    names = table(tmp_path, *tasks).images["file_name"].tolist()
    assert names == ["0a1b2c3d-a.png", "4a1b2c3d-a.png", "b.png"]


def test_pictures_are_found_in_the_media_folder_of_the_project(tmp_path: Path) -> None:
    stored = tmp_path / "media" / "upload" / "1" / "0a1b2c3d-cat.png"
    stored.parent.mkdir(parents=True)
    Image.new("L", (8, 6)).save(stored)
    folder = ImageFolder(tmp_path / "media")
    assert folder.find("cat.png") == stored
    assert folder.find_all(["cat.png"]) == {"cat.png": "upload/1/0a1b2c3d-cat.png"}
    assert folder.find("dog.png") is None


def test_a_size_that_no_result_states_is_that_of_the_picture(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    Image.new("L", (30, 20)).save(tmp_path / "images" / "a.png")
    ring = polygon([3.0, 2.0, 12.0, 2.0, 12.0, 9.0], SIZE, "p", "x")
    bare = {k: v for k, v in ring.items() if not k.startswith("original")}
    found = table(tmp_path, task(annotation(1, [bare], LATE)))
    assert found.images[["height", "width"]].values.tolist() == [[20, 30]]
    assert found.masks["status"].tolist() == ["ok"]
    (tmp_path / "images" / "a.png").rename(tmp_path / "elsewhere.png")
    unknown = table(tmp_path, task(annotation(1, [bare], LATE)))
    assert unknown.images["status"].tolist() == ["invalid_size"]
    assert unknown.masks["status"].tolist() == ["invalid_size"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([{"data": {"text": "a"}, "annotations": []}], "no pictures"),
        ([{"data": {"image": "a.png"}, "annotations": []}, 3], "not a task"),
        ([task(), {"id": 1, "image": "a.png", "tag": []}], "JSON-MIN"),
        ([{"data": {"image": "a.png"}, "annotations": []}, {}], "no task"),
    ],
)
def test_what_is_no_export_of_pictures_is_refused(tmp_path: Path, content: Any, words: str) -> None:
    with pytest.raises(SourceError, match=words):
        read(put(tmp_path, *content), "label-studio")


def written(folder: Path, edits: Edits, *tasks: Any) -> list[dict[str, Any]]:
    path, out = put(folder, *tasks), folder / "out.json"
    FORMAT.write(path, out, edits)
    assert FORMAT.check_unedited(path, out, edits) == ""
    found: list[dict[str, Any]] = json.loads(out.read_bytes())
    return found


def test_a_polygon_that_has_a_hole_becomes_a_brush_mask_of_the_projects_tag(tmp_path: Path) -> None:
    ring = polygon([3.0, 2.0, 12.0, 2.0, 12.0, 9.0], SIZE, "p", "x")
    results = [ring, brush(block(0), "b", "x")]
    hole = block(8)
    hole[4, 5] = False
    key = "export.json#/0/annotations/0/result/0"
    made = written(
        tmp_path, Edits(change={key: Change(counts(hole))}), task(annotation(1, results, LATE))
    )
    one = made[0]["annotations"][0]["result"][0]
    assert (one["type"], one["from_name"]) == ("brushlabels", "tag")
    assert sorted(one["value"]) == ["brushlabels", "format", "rle"]
    assert read(tmp_path / "out.json").masks["segmentation"].tolist()[0] == counts(hole)


def test_in_a_project_of_polygons_it_stays_one_with_a_seam(tmp_path: Path) -> None:
    ring = polygon([3.0, 2.0, 12.0, 2.0, 12.0, 9.0], SIZE, "p", "x")
    hole = block(8)
    hole[4, 5] = False
    key = "export.json#/0/annotations/0/result/0"
    made = written(
        tmp_path, Edits(change={key: Change(counts(hole))}), task(annotation(1, [ring], LATE))
    )
    assert made[0]["annotations"][0]["result"][0]["type"] == "polygonlabels"
    assert read(tmp_path / "out.json").masks["segmentation"].tolist() == [counts(hole)]


def test_a_task_that_nobody_annotated_gets_an_annotation(tmp_path: Path) -> None:
    bare = {"id": 6, "data": {"image": "b.png"}}
    first = task(annotation(1, [brush(block(0), "b", "x")], LATE))
    new = Addition("export.json#/1", counts(block(2)), *SIZE, "x")
    made = written(tmp_path, Edits(add=[new]), first, bare)
    (one,) = made[1]["annotations"]
    assert one["result"][0]["from_name"] == "tag"
    assert read(tmp_path / "out.json").masks["area_px"].tolist() == [
        block(0).sum(),
        block(2).sum(),
    ]


def test_a_key_that_is_not_in_it_is_refused(tmp_path: Path) -> None:
    path = put(tmp_path, task(annotation(1, [brush(block(0), "b", "x")], LATE)))
    for key in (
        "/0/annotations/0/result/1",
        "/0/annotations/7/result/0",
        "/9/annotations/0/result/0",
    ):
        with pytest.raises(CallError):
            FORMAT.write(path, None, Edits(drop=frozenset({f"export.json#{key}"})))


def test_the_walk_from_audit_to_a_better_export(tmp_path: Path) -> None:
    results = [brush(block(k), f"m{k}", "x") for k in range(3)]
    path = put(tmp_path, task(annotation(1, results, LATE)))
    audit = tmp_path / "audit"
    curate.audit(path, audit)
    gone = int(curate.open_audit(audit).masks().index[1])
    row = pd.DataFrame({"mask_id": [gone], "action": ["reject"]})
    Reviews(curate.open_audit(audit)).add(row, origin="a test")
    curate.write(audit, tmp_path / "better.json")
    assert curate.read(tmp_path / "better.json").masks["area_px"].tolist() == [
        block(0).sum(),
        block(2).sum(),
    ]


def test_ids_that_curate_wrote_are_those_of_the_masks_and_new_ones_follow(tmp_path: Path) -> None:
    results = [brush(block(k), f"mask_{7 - k}", "x") for k in range(2)]
    source = put(tmp_path, task(annotation(1, results, LATE)))
    assert read(source).masks.index.tolist() == [7, 6]
    new = Addition("export.json#/0", counts(block(4)), *SIZE, "x")
    made = written(tmp_path, Edits(add=[new]), task(annotation(1, results, LATE)))
    assert made[0]["annotations"][0]["result"][2]["id"] == "mask_8"
    assert read(tmp_path / "out.json").masks.index.tolist() == [7, 6, 8]


def test_a_folder_with_tasks_is_read_as_its_file(tmp_path: Path) -> None:
    home = tmp_path / "ls"
    home.mkdir()
    path = put(home, task(annotation(1, [brush(block(0), "a", "x")], LATE)))
    path.rename(home / "tasks.json")
    assert detect(home).name == "label-studio"
    key = read(home).masks["source_key"].tolist()[0]
    assert key == "tasks.json#/0/annotations/0/result/0"
    edits = Edits(drop=frozenset({key}))
    FORMAT.write(home, tmp_path / "out", edits)
    assert FORMAT.check_unedited(home, tmp_path / "out", edits) == ""
    assert len(read(tmp_path / "out").masks) == 0


def test_the_data_of_a_task_may_say_its_size_and_split(tmp_path: Path) -> None:
    data = {"image": "a.png", "width": 30, "height": 20, "subset": "val"}
    found = table(tmp_path, {"id": 1, "data": data, "annotations": []})
    assert found.images[["height", "width", "subset"]].values.tolist() == [[20, 30, "val"]]
