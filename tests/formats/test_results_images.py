"""A results list as the source: names and sizes from its annotation file, or from pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import curate
from curate.errors import CallError, SourceError
from curate.formats.format import ReadOptions
from curate.formats.reading import read
from curate.store.audit import open_audit

RING = [[2.0, 2.0, 12.0, 2.0, 12.0, 9.0, 2.0, 9.0]]
RUNS = {"size": [20, 30], "counts": [42, 5, 15, 5, 533]}


def detection(image: Any, segmentation: Any = RING, category: Any = 1) -> dict[str, Any]:
    made = {"image_id": image, "category_id": category, "score": 0.9}
    return made | {"bbox": [2, 2, 10, 7], "segmentation": segmentation}


def results(folder: Path, *records: dict[str, Any]) -> Path:
    path = folder / "results.json"
    path.write_text(json.dumps(records))
    return path


def annotations(folder: Path, ids: list[Any], size: tuple[int, int] = (20, 30)) -> Path:
    images = [
        {"id": one, "file_name": f"p{k}.jpg", "height": size[0], "width": size[1]}
        for k, one in enumerate(ids)
    ]
    path = folder / "instances.json"
    made = {"images": images, "annotations": [], "categories": [{"id": 1, "name": "cat"}]}
    path.write_text(json.dumps(made))
    return path


def pictures(folder: Path, *names: str, size: tuple[int, int] = (30, 20)) -> Path:
    for name in names:
        path = folder / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size).save(path)
    return folder / "pictures"


@pytest.mark.parametrize("ids", [[7, 12], ["7", "12"], ["a", "b"], [7.0, 12.0]])
@pytest.mark.parametrize("segmentation", [RING, RUNS], ids=["polygon", "runs"])
def test_names_sizes_and_categories_are_those_of_the_annotations(
    tmp_path: Path, ids: list[Any], segmentation: Any
) -> None:
    path = results(tmp_path, *(detection(one, segmentation) for one in (*ids, ids[0])))
    table = read(path, options=ReadOptions(annotations=annotations(tmp_path, ids)))
    assert table.masks["status"].tolist() == ["ok"] * 3
    assert table.masks.sort_values("source_key")["file_name"].tolist() == [
        *("p0.jpg", "p1.jpg", "p0.jpg")
    ]
    assert set(table.masks["category"]) == {"cat"}
    assert table.images[["height", "width"]].to_numpy().tolist() == [[20, 30]] * 2


def test_ids_that_the_annotations_do_not_list_are_listed(tmp_path: Path) -> None:
    path = results(tmp_path, detection(7), detection(8), detection(9), detection(8))
    table = read(path, options=ReadOptions(annotations=annotations(tmp_path, [7, 12])))
    masks = table.masks.sort_values("source_key")
    assert masks["status"].tolist() == ["ok", *["unknown_image"] * 3]
    assert table.images["file_name"].tolist() == ["p0.jpg"]
    note = next(note for note in table.notes if note.kind == "unknown_images")
    assert (note.count, note.of, note.examples) == (2, "images", ("id 8", "id 9"))
    assert "instances.json" in note.text


@pytest.mark.parametrize(
    ("names", "ids", "right"),
    [
        (("000000000007.png", "000000000012.png"), (7, 12), (0, 1)),
        (("sub/7.png", "b/12.png"), (7, 12), (0, 1)),
        (("COCO_val2014_000000000007.png", "x.png"), (7, 12), (0, None)),
        (("7.png", "0007.png"), (7, 12), (None, None)),
        (("a.png", "b.png"), ("a", "b.png"), (0, 1)),
        (("x/a.png", "y/a.png"), ("a", "y/a.png"), (None, 1)),
        (("a.png", "b.png"), (0, 1), (None, None)),
    ],
)
def test_pictures_are_found_by_name_or_number(
    tmp_path: Path, names: tuple[str, str], ids: tuple[Any, Any], right: tuple[int | None, ...]
) -> None:
    path = results(tmp_path, *map(detection, ids))
    table = read(path, options=ReadOptions(images=pictures(tmp_path, *names)))
    masks = table.masks.sort_values("source_key")
    expected = ["ok" if k is not None else "invalid_size" for k in right]
    assert masks["status"].tolist() == expected
    for name, k in zip(masks["file_name"], right, strict=True):
        assert name not in names if k is None else name == names[k]
    missing = sum(k is None for k in right)
    found = [note.count for note in table.notes if note.kind == "unknown_images"]
    assert found == ([missing] if missing else [])


def test_run_lengths_keep_their_own_size(tmp_path: Path) -> None:
    path = results(tmp_path, detection(7, RUNS))
    folder = pictures(tmp_path, "7.png", size=(60, 40))
    table = read(path, options=ReadOptions(images=folder))
    assert table.masks[["height", "width", "status"]].iloc[0].tolist() == [20, 30, "ok"]
    assert table.masks["file_name"].iloc[0] == "7.png"


def test_a_file_without_images_is_an_error(tmp_path: Path) -> None:
    path = results(tmp_path, detection(7))
    with pytest.raises(SourceError, match="no list of images"):
        read(path, options=ReadOptions(annotations=path))


def test_an_audit_keeps_what_it_was_told_and_prunes(tmp_path: Path) -> None:
    twice = [detection(7), detection(12, [[1.0, 1.0]]), detection(12, RUNS)]
    path = results(tmp_path, *twice)
    out = tmp_path / "audit"
    curate.audit(path, out, annotations=annotations(tmp_path, [7, 12]))
    audit = open_audit(out)
    assert set(audit.masks(["file_name"])["file_name"]) == {"p0.jpg", "p1.jpg"}
    assert audit.info.inputs["annotations"].endswith("instances.json")
    curate.prune(out, tmp_path / "better.json")
    assert json.loads((tmp_path / "better.json").read_text()) == [twice[0], twice[2]]


def test_annotations_are_for_results_only(tmp_path: Path) -> None:
    path = annotations(tmp_path, [7])
    with pytest.raises(CallError, match="names its own images"):
        curate.audit(path, tmp_path / "audit", annotations=path)


def names_of(table: Any) -> list[str]:
    """Return the file name of each mask in the order of the list, "" where it is not known."""
    masks = table.masks.sort_values("source_key")
    return [
        n if s == "ok" else "" for n, s in zip(masks["file_name"], masks["status"], strict=True)
    ]


@pytest.mark.parametrize(
    ("names", "ids", "right"),
    [
        (("a%20b.png", "c.png"), ("a b", "c"), (0, 1)),
        (("A.PNG", "c.png"), ("a", "c.jpg"), (0, 1)),
        (("A.png", "a.png"), ("a", "A.png"), (1, 0)),
        (("train/a.png", "val/a.png"), ("val/a.jpg", "s3://store/train/a.jpg"), (1, 0)),
        (("a_7.png", "7.png"), (7, "a_7"), (1, 0)),
        (("café.png", "c.png"), ("cafe\u0301", 1), (0, None)),
    ],
)
def test_text_ids_are_joined_as_names_are_everywhere(
    tmp_path: Path, names: tuple[str, ...], ids: tuple[Any, ...], right: tuple[int | None, ...]
) -> None:
    path = results(tmp_path, *map(detection, ids))
    table = read(path, options=ReadOptions(images=pictures(tmp_path, *names)))
    assert names_of(table) == ["" if k is None else names[k] for k in right]


def test_names_that_the_masks_bear_go_before_ids(tmp_path: Path) -> None:
    """The ids are those of another dataset: 1 stands for the image that has id 2 here."""
    masks = [detection(1) | {"file_name": "p1.jpg"}, detection(2) | {"file_name": "x/p0.jpg"}]
    path = results(tmp_path, *masks, detection(3))
    table = read(path, options=ReadOptions(annotations=annotations(tmp_path, [1, 2, 3])))
    assert names_of(table) == ["p1.jpg", "p0.jpg", ""]
    folder = pictures(tmp_path, "p0.jpg", "p1.jpg", "1.jpg", "2.jpg")
    assert names_of(read(path, options=ReadOptions(images=folder))) == ["p1.jpg", "p0.jpg", ""]


def test_text_ids_may_be_stems_of_the_annotations_images(tmp_path: Path) -> None:
    path = results(tmp_path, detection("p1"), detection("p0"), detection("p7"))
    table = read(path, options=ReadOptions(annotations=annotations(tmp_path, [4, 5])))
    assert names_of(table) == ["p1.jpg", "p0.jpg", ""]
    both = annotations(tmp_path, ["p1", "p0"])  # as ids they mean other images than as stems
    assert names_of(read(path, options=ReadOptions(annotations=both))) == ["p0.jpg", "p1.jpg", ""]


def test_annotations_without_sizes_have_those_of_the_pictures(tmp_path: Path) -> None:
    told = annotations(tmp_path, [7, 12], size=(0, 0))
    path = results(tmp_path, detection(12), detection(7))
    options = ReadOptions(images=pictures(tmp_path, "p0.jpg", "p1.jpg"), annotations=told)
    table = read(path, options=options)
    assert names_of(table) == ["p1.jpg", "p0.jpg"]
    assert table.images[["height", "width"]].to_numpy().tolist() == [[20, 30]] * 2
    assert set(read(path, options=ReadOptions(annotations=told)).masks["status"]) == {
        "invalid_size"
    }


def test_a_link_out_of_the_folder_is_no_picture(tmp_path: Path) -> None:
    folder = pictures(tmp_path, "7.png")
    Image.new("RGB", (30, 20)).save(tmp_path / "12.png")
    (folder / "12.png").symlink_to(tmp_path / "12.png")
    path = results(tmp_path, detection(7), detection(12))
    assert names_of(read(path, options=ReadOptions(images=folder))) == ["7.png", ""]
