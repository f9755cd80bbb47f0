"""COCO, LVIS and results lists: real files, files of every order, and files that are wrong."""

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools.coco import COCO

from curate.dataset.table import IMAGE_STATUSES, STATUSES, MaskTable
from curate.errors import CallError, CurateError, SourceError
from curate.formats.coco import coco_format, file_index
from curate.formats.reading import detect, read

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")  # of pycocotools

SQUARE = [[2, 2, 6, 2, 6, 6, 2, 6]]
RLE = {"size": [10, 12], "counts": "b06P3"}
OTHER = {"size": [12, 10], "counts": "b06P3"}
REAL = (
    "coco_val2017/instances.json",
    "coco_val2014_100/instances_val2014_100.json",
    "brain_tumour/valid/_annotations.coco.json",
    "neurons/Allen.json",
    "neurons/alg_SUNS.json",
    "dsb2018/instances_original.json",
)
RESULTS = (
    "coco_val2017/detections_yolov8n_seg_int8.json",
    "coco_val2014_100/instances_val2014_fakesegm100_results.json",
)


def annotation(number: int, image: Any = 1, **fields: Any) -> dict[str, Any]:
    given = {"id": number, "image_id": image, "category_id": 1, "segmentation": SQUARE}
    return given | {"bbox": [2, 2, 4, 4], "area": 16, "iscrowd": 0} | fields


def dataset(*annotations: Any, **keys: Any) -> dict[str, Any]:
    images = [{"id": i, "file_name": f"{i}.jpg", "height": 10, "width": 12} for i in (1, 2)]
    categories = [{"id": 1, "name": 'a "<b>" \n שלום'}, {"id": 7, "name": "seven"}]
    made = {"images": images, "annotations": list(annotations), "categories": categories}
    return made | keys


def write(folder: Path, value: Any, name: str = "instances.json") -> Path:
    path = folder / name
    path.write_bytes(value if isinstance(value, bytes) else json.dumps(value).encode())
    return path


def table_of(folder: Path, value: Any) -> MaskTable:
    return read(write(folder, value), "coco")


def quiet_coco(path: Path) -> COCO:
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(path))


def load_parts(path: Path, work: Path) -> list[MaskTable]:
    return [coco_format.load(path, part) for part in coco_format.plan(path, work)]


@pytest.mark.parametrize("name", REAL)
def test_every_area_is_that_of_pycocotools(data: Path, name: str):
    table, reference = read(data / name), quiet_coco(data / name)
    areas = {i: int(reference.annToMask(one).sum()) for i, one in reference.anns.items()}
    assert table.masks["area_px"].to_dict() == areas
    assert set(table.masks["status"]) == {"ok"}
    names = {c["id"]: c["name"] for c in reference.dataset["categories"]}
    for mask_id, one in reference.anns.items():
        assert table.masks["category"].loc[mask_id] == names[one["category_id"]]
    assert set(table.images.index) == set(reference.imgs)


@pytest.mark.parametrize("name", RESULTS)
def test_results_are_read_like_pycocotools(data: Path, name: str):
    from pycocotools import mask as coco_mask

    table, listed = read(data / name), json.loads((data / name).read_bytes())
    assert detect(data / name).name == "coco-results"
    numbers = table.masks["source_key"].str.rpartition("/")[2].astype(int).to_numpy()
    in_file = [listed[i] for i in numbers]
    areas = [int(coco_mask.area(one["segmentation"])) for one in in_file]
    assert table.masks["area_px"].tolist() == areas
    assert table.masks["score"].tolist() == [one["score"] for one in in_file]
    assert set(table.masks["status"]) == {"ok"}
    assert set(table.images["status"]) == {"ok"}


@pytest.mark.parametrize(
    "name",
    [
        "coco_val2017/detections_yolox_nano.json",
        "coco_val2014_100/instances_val2014_fakebbox100_results.json",
    ],
)
def test_results_of_boxes_only_keep_boxes_and_scores(data: Path, name: str):
    table, listed = read(data / name), json.loads((data / name).read_bytes())
    assert detect(data / name).name == "coco-results"
    assert len(table) == len(listed)
    assert set(table.masks["status"]) == {"no_segmentation"}
    boxes = table.masks[["declared_x", "declared_y", "declared_w", "declared_h"]].to_numpy()
    assert sorted(boxes.tolist()) == sorted([[float(v) for v in one["bbox"]] for one in listed])
    assert table.masks["score"].notna().all()


@pytest.mark.parametrize("name", [*REAL, *RESULTS])
def test_keep_all_is_equal_and_a_pruned_file_loads(data: Path, name: str, tmp_path: Path):
    source = data / name
    keep_all, pruned = tmp_path / "all.json", tmp_path / "some.json"
    form = detect(source)
    form.prune(source, keep_all, set())
    assert keep_all.read_bytes() == source.read_bytes()
    table = read(source)
    drop = table.masks["source_key"].to_numpy()[::3]
    form.prune(source, pruned, set(drop))
    left = read(pruned).masks
    kept = np.ones(len(table), bool)
    kept[::3] = False
    columns = ["segmentation", "image_id", "area_px", "declared_area", "category_id"]
    columns = [c for c in columns if c in left]
    before = table.masks.loc[kept, columns].reset_index(drop=True)
    pd.testing.assert_frame_equal(left[columns].reset_index(drop=True), before)
    before_doc, after_doc = json.loads(source.read_bytes()), json.loads(pruned.read_bytes())
    if form.name == "coco":
        assert len(quiet_coco(pruned).anns) == kept.sum()
        del before_doc["annotations"], after_doc["annotations"]
        assert before_doc == after_doc
    else:
        assert after_doc == [one for one in before_doc if one in after_doc]


def test_columns_come_from_their_fields_and_from_attributes(tmp_path: Path):
    stored = {
        "predicted_iou": 1.07,
        "stability_score": 0.97,
        "point_coords": [[3.5, 4]],
        "crop_box": [0, 1, 12, 9],
        "score": 0.5,
    }
    table = table_of(
        tmp_path,
        dataset(annotation(5, **stored), annotation(6, 2, attributes=stored), annotation(7, 2)),
    )
    masks = table.masks
    for row in (5, 6):
        assert masks["predicted_iou"].loc[row] == 1.07
        assert masks["stability_score"].loc[row] == 0.97
        assert masks["score"].loc[row] == 0.5
        assert masks.loc[row, ["prompt_x", "prompt_y"]].tolist() == [3.5, 4.0]
        assert masks.loc[row, ["crop_x", "crop_y", "crop_w", "crop_h"]].tolist() == [0, 1, 12, 9]
    assert masks.loc[7, ["predicted_iou", "score", "prompt_x", "crop_w"]].isna().all()
    assert masks["declared_area"].tolist() == [16.0] * 3
    assert masks["iscrowd"].tolist() == [0, 0, 0]
    assert masks["category"].tolist() == ['a "<b>" \n שלום'] * 3
    assert masks["file_name"].tolist() == ["1.jpg", "2.jpg", "2.jpg"]
    assert masks["source_key"].loc[6] == "instances.json#/annotations/1"


def test_the_order_of_keys_and_annotations_does_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(file_index, "PART_MASKS", 7)
    monkeypatch.setattr(file_index, "_ROWS", 5)
    monkeypatch.setattr(file_index, "READ_BYTES", 700)
    monkeypatch.setattr(coco_format, "READ_BYTES", 500)
    rng = np.random.default_rng(3)
    made = [annotation(i, int(rng.integers(1, 9))) for i in range(60)]
    images = [{"id": i, "file_name": f"{i}", "height": 10, "width": 12} for i in range(1, 12)]
    shuffled = [made[i] for i in rng.permutation(60)]
    normal = dataset(*made, images=images)
    turned = {"annotations": shuffled, "categories": normal["categories"], "images": images}
    first = load_parts(write(tmp_path, normal, "a.json"), tmp_path / "a")
    other = load_parts(write(tmp_path, turned, "b.json"), tmp_path / "b")
    assert len(first) > 5
    for one, two in zip(first, other, strict=True):
        keys = one.images["source_key"].str.replace("a.json", "b.json").tolist()
        assert keys == two.images["source_key"].tolist()
        columns = [c for c in one.images if c != "source_key"]
        pd.testing.assert_frame_equal(one.images[columns], two.images[columns])
        assert len(one) <= 7 or len(one.images) == 1
        columns = [c for c in one.masks if c != "source_key"]
        left, right = one.masks[columns].sort_index(), two.masks[columns].sort_index()
        pd.testing.assert_frame_equal(left, right)
    ids = np.concatenate([part.images.index for part in first])
    assert sorted(ids) == list(range(1, 12))
    again = load_parts(tmp_path / "a.json", tmp_path / "a")
    for one, two in zip(first, again, strict=True):
        pd.testing.assert_frame_equal(one.masks, two.masks)


def test_an_index_of_an_older_file_is_not_used(tmp_path: Path):
    path = write(tmp_path, dataset(annotation(1)))
    assert len(load_parts(path, tmp_path / "w")[0]) == 1
    path = write(tmp_path, dataset(annotation(1), annotation(2), annotation(3)))
    assert len(load_parts(path, tmp_path / "w")[0]) == 3


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({"image_id": "one"}, "unknown_image", "the image_id is a string"),
        ({"image_id": None}, "unknown_image", "there is no image_id"),
        ({"image_id": [1]}, "unknown_image", "the image_id is a list"),
        ({"image_id": 99}, "unknown_image", "the image 99 is not among the images"),
        ({"category_id": 0}, "bad_category", "category 0 is not declared"),
        ({"category_id": 3}, "bad_category", "category 3 is not declared"),
        ({"category_id": "one"}, "bad_category", "category one is not declared"),
        ({"category_id": None}, "bad_category", "no category id"),
        ({"segmentation": 5}, "wrong_type", "segmentation is a number"),
        ({"segmentation": None}, "no_segmentation", "no segmentation"),
        ({"segmentation": [[1, 1, 5, 5]]}, "bad_polygon", "2 points"),
        ({"segmentation": [[1, 1, 5, float("nan"), 3, 3]]}, "bad_polygon", "finite"),
        ({"segmentation": [[1, 1, 5, float("inf"), 3, 3]]}, "bad_polygon", "finite"),
        ({"segmentation": [[1, 1, 5, 5, 3]]}, "bad_polygon", "half a point"),
        ({"segmentation": None, "area": "x"}, "no_segmentation", "its area is a string"),
        ({"segmentation": [[90, 90, 99, 90, 99, 99]]}, "empty", "no pixel"),
        ({"segmentation": OTHER}, "size_mismatch", "10 x 12"),
        ({"segmentation": {"size": [10, 12], "counts": "b06"}}, "undecodable", "end before"),
        ({"segmentation": {"size": [10, 12], "counts": "PPPPPP"}}, "undecodable", "counts"),
        ({"segmentation": {"size": [10, 12], "counts": [-5, 125]}}, "undecodable", "negative"),
        ({"segmentation": {"size": [10, 12], "counts": [5, 125]}}, "undecodable", "130"),
        ({"segmentation": {"size": [10**9, 10**9], "counts": "P1"}}, "invalid_size", "passes"),
    ],
)
def test_what_is_wrong_with_a_mask_is_a_finding(
    tmp_path: Path, fields: dict[str, Any], status: str, words: str
):
    table = table_of(tmp_path, dataset(annotation(40), annotation(41, **fields), annotation(42)))
    assert len(table) == 3
    found = table.masks[table.masks["source_key"] == "instances.json#/annotations/1"].iloc[0]
    assert found["status"] == status
    assert words in found["status_detail"]
    others = table.masks[table.masks["source_key"] != "instances.json#/annotations/1"]
    assert set(others["status"]) == {"ok"}
    assert sorted(others.index) == [40, 42]


@pytest.mark.parametrize("odd", [5, "x", None, [1], True])
def test_an_annotation_that_is_no_object_is_a_finding(tmp_path: Path, odd: Any):
    table = table_of(tmp_path, dataset(annotation(1), odd, annotation(2)))
    assert table.masks["status"].tolist() == ["ok", "ok", "wrong_type"]
    assert "not an object" in table.masks["status_detail"].iloc[2]


def test_other_fields_of_wrong_types_are_findings_and_not_available(tmp_path: Path):
    wrong = {"bbox": ["a", 2, 3, 4], "area": None, "iscrowd": "no", "predicted_iou": "high"}
    wrong |= {"stability_score": float("nan"), "score": {"a": 1}, "point_coords": 3}
    table = table_of(tmp_path, dataset(annotation(1, **wrong), annotation(2, bbox=[1, 2])))
    assert set(table.masks["status"]) == {"wrong_type"}
    assert "its predicted_iou is a string" in table.masks["status_detail"].loc[1]
    assert "its bbox is a list, but not of four numbers" in table.masks["status_detail"].loc[2]
    assert table.masks["area_px"].tolist() == [16, 16]
    lost = ["declared_area", "iscrowd", "predicted_iou", "stability_score", "score", "declared_x"]
    assert table.masks.loc[1, lost].isna().all()
    assert np.isnan(table.masks["declared_w"].loc[2])


def test_duplicate_ids_are_findings_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(file_index, "PART_MASKS", 2)
    made = [annotation(5), annotation(5), annotation(6), annotation(5, 2), annotation(8, 2)]
    path = write(tmp_path, dataset(*made))
    parts = load_parts(path, tmp_path / "w")
    statuses = pd.concat([part.masks for part in parts]).set_index("source_key")["status"]
    expected = ["duplicate_id", "duplicate_id", "ok", "duplicate_id", "ok"]
    keys = [f"instances.json#/annotations/{i}" for i in range(5)]
    assert statuses.loc[keys].tolist() == expected
    assert parts[0].masks["area_px"].tolist() == [16, 16, 16]
    assert "used by 3 annotations" in parts[0].masks["status_detail"].iloc[0]
    assert len(read(path)) == 5


def test_duplicate_image_ids_are_findings(tmp_path: Path):
    images = [{"id": 1, "file_name": n, "height": 10, "width": 12} for n in ("a", "b")]
    table = table_of(tmp_path, dataset(annotation(1), annotation(2), images=images))
    assert table.images["status"].tolist() == ["duplicate_id", "duplicate_id"]
    assert table.images["file_name"].tolist() == ["a", "b"]
    assert table.masks["file_name"].tolist() == ["a", "a"]
    assert table.masks["status"].tolist() == ["ok", "ok"]


def test_unknown_images_keep_their_masks_together(tmp_path: Path):
    masks = [annotation(i, 50 + i % 2, segmentation=RLE) for i in range(6)]
    table = table_of(tmp_path, dataset(*masks, annotation(9, 77)))
    assert set(table.masks["status"]) == {"unknown_image"}
    assert table.masks["image_id"].tolist() == [50] * 3 + [51] * 3 + [77]
    assert table.masks["height"].tolist() == [10] * 6 + [0]
    assert table.masks["segmentation"].notna().tolist() == [True] * 6 + [False]
    assert sorted(table.images.index) == [1, 2]


@pytest.mark.parametrize(
    ("size", "words"),
    [
        ((0, 12), "12 x 0"),
        ((10**9, 10**9), "passes"),
        ((10**30, 1), "height is a number"),
        (("ten", 12), "height is a string"),
        ((10.5, 12), "height is a number"),
        ((-1, 12), "12 x -1"),
        ((-(10**12), 12), "the image size"),
    ],
)
def test_useless_image_sizes_are_findings(tmp_path: Path, size: tuple[Any, Any], words: str):
    images = [{"id": 1, "file_name": "a", "height": size[0], "width": size[1]}]
    table = table_of(
        tmp_path, dataset(annotation(1), annotation(2, segmentation=RLE), images=images)
    )
    assert table.images["status"].tolist() == ["invalid_size"]
    assert words in table.images["status_detail"].iloc[0]
    assert set(table.masks["status"]) == {"invalid_size"}


def test_an_image_without_a_size_takes_that_of_its_run_lengths(tmp_path: Path):
    images = [{"id": 1, "file_name": "a"}]
    masks = [annotation(1), annotation(2, segmentation=RLE), annotation(3, segmentation=OTHER)]
    table = table_of(tmp_path, dataset(*masks, images=images))
    assert table.images.loc[1, ["height", "width"]].tolist() == [10, 12]
    assert table.masks["status"].tolist() == ["invalid_size", "ok", "size_mismatch"]


def test_images_of_any_type_and_whole_floats(tmp_path: Path):
    images: list[Any] = [5, {"id": "a1", "height": 10.0, "width": 12}, {}, {"id": 3.0}]
    images[3] |= {"height": 10, "width": 12, "file_name": 7}
    table = table_of(
        tmp_path,
        dataset(annotation(1, "a1"), annotation(2.0, 3), annotation(3, 3.0), images=images),
    )
    assert len(table.images) == 4
    named = table.masks.set_index("source_key")
    named.index = named.index.str[-1]
    assert named["status"].loc[["0", "1", "2"]].tolist() == ["ok", "ok", "ok"]
    assert named["area_px"].tolist() == [16, 16, 16]
    assert table.images.loc[named["image_id"].loc["0"], "height"] == 10


def test_category_zero_is_a_finding_where_it_stands_for_nothing(tmp_path: Path):
    of_zero = annotation(1, category_id=0)
    ordinary = [{"id": 0, "name": "cell"}, {"id": 1, "name": "debris"}]
    assert table_of(tmp_path, dataset(of_zero, categories=ordinary)).masks["status"].iloc[0] == "ok"
    background = [{"id": 0, "name": "Background"}, {"id": 1, "name": "cell"}]
    parent = [
        {"id": 0, "name": "cells", "supercategory": "none"},
        {"id": 1, "name": "cell", "supercategory": "cells"},
    ]
    for categories in (background, parent):
        found = table_of(tmp_path, dataset(of_zero, categories=categories)).masks.iloc[0]
        assert found["status"] == "bad_category"
        assert "is a placeholder, not an object" in found["status_detail"]
        assert found["area_px"] == 16


def test_no_categories_is_no_finding(tmp_path: Path):
    made = dataset(annotation(1), annotation(2, category_id=None))
    del made["categories"]
    table = table_of(tmp_path, made)
    assert table.masks["status"].tolist() == ["ok", "ok"]
    assert table.masks["category"].isna().all()
    odd: list[Any] = [5, {"id": "x"}, {"id": 1, "name": None}, {"id": 1, "name": "\ud800"}]
    assert len(table_of(tmp_path, dataset(annotation(1), categories=odd))) == 1


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (b"", "empty"),
        (b'{"images": [', "cut off"),
        (json.dumps(dataset(annotation(1))).encode()[:-1], "cut off"),
        (json.dumps(dataset(annotation(1))).encode()[:250], "byte 250"),
        (json.dumps(dataset(annotation(1))).encode() + b"x", "follows the end"),
        ({"annotations": {}, "images": []}, "annotations is an object, not a list"),
        ({"annotations": None, "images": []}, "annotations is null, not a list"),
        ({"annotations": [], "images": 5}, "images is a number, not a list"),
        ({"images": []}, "there is no list of annotations"),
        (b'{"annotations": [{"id": 1,}], "images": []}', "byte 26"),
        (b'{"annotations": [{"id": "\xff"}], "images": []}', "not UTF-8"),
        (b'{"annotations": [1], "annotations": []}', "occurs twice"),
        (b"\x00\x01\x02", "neither"),
    ],
)
def test_a_file_that_is_broken_as_a_whole_is_an_error(tmp_path: Path, value: Any, words: str):
    with pytest.raises(SourceError) as caught:
        table_of(tmp_path, value)
    assert words.replace("neither", "UTF-8") in str(caught.value) or words in str(caught.value)
    with pytest.raises(SourceError):
        read(write(tmp_path, value))


def test_a_missing_file_is_an_error(tmp_path: Path):
    with pytest.raises(SourceError, match="no such file"):
        read(tmp_path / "none.json", "coco")
    with pytest.raises(SourceError, match="cannot be read"):
        read(tmp_path, "coco")


def test_empty_lists_are_tables(tmp_path: Path):
    assert len(table_of(tmp_path, {"images": [], "annotations": []})) == 0
    empty = table_of(tmp_path, dataset())
    assert (len(empty), len(empty.images)) == (0, 2)
    assert len(read(write(tmp_path, []), "coco-results")) == 0


def test_prune_refuses_what_it_cannot_do(tmp_path: Path):
    source = write(tmp_path, dataset(annotation(1)))
    full = write(tmp_path, b"x", "full")
    with pytest.raises(CallError, match="exists already"):
        coco_format.FORMAT.prune(source, full, set())
    with pytest.raises(CallError, match="names no mask"):
        coco_format.FORMAT.prune(source, tmp_path / "out.json", {"elsewhere.json#/annotations/0"})
    with pytest.raises(CallError, match="none with the number 9"):
        coco_format.FORMAT.prune(source, tmp_path / "out.json", {"instances.json#/annotations/9"})
    assert not (tmp_path / "out.json").exists()
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".partial")]


def test_lvis_is_told_apart_and_read(tmp_path: Path):
    images = [{"id": 1, "height": 10, "width": 12, "neg_category_ids": [3]}]
    images[0] |= {"coco_url": "http://images.cocodataset.org/val2017/000000000001.jpg"}
    categories = [{"id": 1, "name": "a", "synset": "a.n.01", "frequency": "r"}]
    mask = annotation(1)
    del mask["iscrowd"]
    path = write(tmp_path, dataset(mask, images=images, categories=categories))
    assert detect(path).name == "lvis"
    table = read(path)
    assert "iscrowd" not in table.masks
    assert table.images["file_name"].tolist() == ["val2017/000000000001.jpg"]
    padding = [annotation(i, note="x" * 200) for i in range(8000)]
    late = {"annotations": padding, "images": [], "categories": categories}
    assert detect(write(tmp_path, late)).name == "lvis"


def test_results_of_several_sizes_and_polygons(tmp_path: Path):
    listed = [{"image_id": 4, "category_id": 2, "score": 0.5, "segmentation": RLE}]
    listed += [listed[0] | {"segmentation": OTHER}, listed[0] | {"segmentation": SQUARE}]
    table = read(write(tmp_path, listed))
    assert table.masks["status"].tolist() == ["ok", "size_mismatch", "invalid_size"]
    assert table.images.loc[4, ["height", "width"]].tolist() == [10, 12]
    assert table.masks["category_id"].tolist() == [2, 2, 2]
    assert table.masks.index.tolist() == [0, 1, 2]


any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=4) | st.just("counts"), inner, max_size=3)
    ),
    max_leaves=5,
)
FIELDS = [*annotation(1), "predicted_iou", "point_coords", "crop_box", "attributes", "track_id"]


@given(
    st.lists(st.dictionaries(st.sampled_from(FIELDS), any_json, max_size=4), max_size=3),
    st.lists(
        st.dictionaries(st.sampled_from(["id", "file_name", "height", "width"]), any_json)
        | any_json,
        max_size=3,
    ),
    st.lists(st.dictionaries(st.sampled_from(["id", "name", "supercategory"]), any_json)),
)
def test_any_json_in_any_field_gives_a_row(
    tmp_path_factory: pytest.TempPathFactory,
    changes: list[Any],
    images: list[Any],
    names: list[Any],
):
    folder = tmp_path_factory.mktemp("fuzz")
    made = [annotation(i) | change for i, change in enumerate(changes)]
    table = table_of(folder, dataset(*made, images=images, categories=names))
    assert len(table) == len(made)
    assert set(table.masks["status"]) <= set(STATUSES)
    assert set(table.images["status"]) <= set(IMAGE_STATUSES)
    assert len(table.images) == len(images)


@given(st.data())
def test_changed_bytes_give_an_error_or_findings(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
):
    folder = tmp_path_factory.mktemp("fuzz")
    raw = bytearray(json.dumps(dataset(annotation(1), annotation(2, 2, segmentation=RLE))).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    path = write(folder, bytes(raw))
    for format in ("coco", "coco-results", None):
        with contextlib.suppress(CurateError):
            read(path, format)
