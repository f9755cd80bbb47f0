"""FiftyOne's dataset folder as a dataset."""

from __future__ import annotations

import io
import json
import pickle
import zlib
from base64 import b64encode
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from small_record_datasets import detection, packed_array

from curate import rle
from curate.dataset.table import MaskTable
from curate.errors import CallError, SourceError
from curate.formats.edits import Addition, Change, Edits
from curate.formats.fiftyone.fiftyone_format import FORMAT
from curate.formats.fiftyone.mask_arrays import pixel_boxes, relative_box
from curate.formats.format import ReadOptions
from curate.formats.reading import detect, read

SIZE = (20, 30)


def block(k: int = 0) -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[2 : 5 + k, 3 : 9 + k] = True
    return mask


def counts(mask: np.ndarray) -> bytes:
    return bytes(rle.encode_counts(rle.from_dense(mask))[0].as_py())


def sample(*found: Any, field: str = "ground_truth", **more: Any) -> dict[str, Any]:
    return {
        "filepath": "data/a.png",
        "metadata": {"width": 30, "height": 20},
        field: {"_cls": "Detections", "detections": list(found)},
        **more,
    }


def put(folder: Path, *samples: Any, media: str = "image") -> Path:
    home = folder / "fo"
    home.mkdir(parents=True)
    (home / "samples.json").write_text(json.dumps({"samples": list(samples)}))
    (home / "metadata.json").write_text(json.dumps({"media_type": media}))
    return home


def table(folder: Path, *samples: Any, options: ReadOptions | None = None) -> MaskTable:
    return read(put(folder, *samples), options=options)


def packed(data: bytes) -> dict[str, Any]:
    return {"$binary": {"base64": b64encode(data).decode(), "subType": "00"}}


@given(st.integers(1, 5000), st.data())
def test_a_relative_box_comes_back_rounded_and_cut_off(whole: int, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, whole - 1))
    length = data.draw(st.integers(1, whole - start))
    stored = relative_box((start, 0, length, 1), (1, whole))
    assert pixel_boxes(stored, (1, whole)) == ((start, 0, length, 1),) * 2


def test_a_mask_fills_its_box_rounded_or_cut_off_as_its_shape_says(tmp_path: Path) -> None:
    wide = detection(block(), 1, "x")
    wide["bounding_box"] = [3.6 / 30, 2.7 / 20, 6 / 30, 3 / 20]
    cut = wide | {"bounding_box": [3.6 / 30, 2.7 / 20, 6.2 / 30, 3 / 20]}
    found = table(tmp_path, sample(wide, cut))
    boxes = found.masks[["bbox_x", "bbox_y", "bbox_w", "bbox_h"]].values.tolist()
    assert boxes == [[4, 3, 6, 3], [4, 3, 6, 3]]
    narrow = wide | {"bounding_box": [3.6 / 30, 2.7 / 20, 5.6 / 30, 3.2 / 20]}
    again = read(put(tmp_path / "b", sample(narrow)))
    assert again.masks[["bbox_x", "bbox_w"]].values.tolist() == [[3, 6]]
    assert again.notes == ()


def test_a_mask_fills_its_box_rounded_to_pixels(tmp_path: Path) -> None:
    one = detection(block(), 1, "x")
    one["bounding_box"] = [3.4 / 30, 1.6 / 20, 6 / 30, 3 / 20]
    found = table(tmp_path, sample(one))
    assert found.masks["segmentation"].tolist() == [counts(block())]
    assert found.masks["score"].tolist() == [0.25]


@pytest.mark.parametrize("dtype", ["u1", "<i8", ">u2", "f4", "?"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_of_any_numbers_are_read(tmp_path: Path, dtype: str, order: Any) -> None:
    values = np.array([[0, 1, 1], [1, 0, 0]], dtype, order=order)
    one = detection(block(), 1, "x") | {"mask": packed_array(values)}
    one["bounding_box"] = [0, 0, 3 / 30, 2 / 20]
    found = table(tmp_path, sample(one))
    dense = rle.to_dense(found.runs, 0)
    assert (dense[:2, :3] == (values != 0)).all()
    assert dense.sum() == 3


def test_an_array_of_another_size_is_scaled_and_said(tmp_path: Path) -> None:
    one = detection(block(), 1, "x") | {"mask": packed_array(np.eye(2, dtype=bool))}
    one["bounding_box"] = [0, 0, 4 / 30, 4 / 20]
    found = table(tmp_path, sample(one))
    assert (rle.to_dense(found.runs, 0)[:4, :4] == np.kron(np.eye(2), np.ones((2, 2)))).all()
    assert [note.kind for note in found.notes] == ["scaled_masks"]


class _Harmful:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path("harmed"),))


def _objects() -> bytes:
    made = io.BytesIO()
    np.save(made, np.array([[_Harmful()]], object), allow_pickle=True)
    return zlib.compress(made.getvalue())


def _claim(shape: str, body: bytes = b"", dtype: str = "|b1") -> bytes:
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (63 - (10 + len(header)) % 64) + b"\n"
    return zlib.compress(b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header + body)


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"mask": packed(_objects())}, "undecodable", "no numbers"),
        ({"mask": packed(zlib.compress(pickle.dumps([1])))}, "undecodable", "no packed"),
        ({"mask": packed(_claim("(100000, 100000)"))}, "undecodable", "would take"),
        ({"mask": packed(_claim("(-1, 3)"))}, "undecodable", "shape"),
        ({"mask": packed(_claim("(2, 3)", b"\1" * 5))}, "undecodable", "has 5 bytes"),
        ({"mask": packed(_claim("(2, 3)", b"\1" * 700))}, "undecodable", "has 700 bytes"),
        ({"mask": packed(_claim("(6,)", b"\1" * 6))}, "undecodable", "shape"),
        ({"mask": packed(_claim("(2, 3)", b"\1" * 6)[:-6])}, "undecodable", ""),
        ({"mask": packed(b"x")}, "undecodable", "no packed"),
        ({"mask": {"$binary": {"base64": "?"}}}, "undecodable", ""),
        ({"mask": 3}, "wrong_type", "number"),
        ({"bounding_box": [0, 0, 0, 0]}, "undecodable", "no pixel"),
        ({"bounding_box": [2, 2, 0.1, 0.1]}, "undecodable", "outside"),
        ({"bounding_box": [0, 0, 1e9, 1]}, "wrong_type", "no box"),
        ({"bounding_box": None}, "wrong_type", "no box"),
        ({"mask": None}, "no_segmentation", "no mask"),
        ({"mask": None, "mask_path": "../x.png"}, "no_segmentation", "no file"),
        ({"mask": None, "mask_path": "metadata.json"}, "undecodable", ""),
    ],
)
def test_a_broken_mask_is_a_finding(
    tmp_path: Path, change: Any, status: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sound = detection(block(), 1, "x")
    found = table(tmp_path, sample(sound, detection(block(), 2, "x") | change, sound))
    assert found.masks["status"].tolist() == ["ok", status, "ok"]
    assert words in found.masks["status_detail"].iloc[1]
    assert not Path("harmed").exists()


def test_a_mask_may_be_a_picture_and_becomes_an_array_where_it_is_redrawn(tmp_path: Path) -> None:
    one = detection(block(), 1, "x") | {"mask": None, "mask_path": "fields/gt/1.png"}
    home = put(tmp_path, sample(one))
    (home / "fields/gt").mkdir(parents=True)
    Image.fromarray(np.full((3, 6), 255, np.uint8)).save(home / "fields/gt/1.png")
    assert read(home).masks["segmentation"].tolist() == [counts(block())]
    key = "samples.json#/samples/0/ground_truth/detections/0"
    edits = Edits(change={key: Change(counts(block(4)))})
    FORMAT.write(home, tmp_path / "out", edits)
    assert FORMAT.check_unedited(home, tmp_path / "out", edits) == ""
    assert read(tmp_path / "out").masks["segmentation"].tolist() == [counts(block(4))]


def test_one_field_is_read_the_truth_where_there_is_one(tmp_path: Path) -> None:
    own = detection(block(), 1, "x")
    guesses = {"_cls": "Detections", "detections": [detection(block(3), 2, "x")]}
    found = table(tmp_path, {"guesses": guesses, **sample(own)})
    assert found.masks["area_px"].tolist() == [block().sum()]
    assert [(n.kind, n.count) for n in found.notes] == [("other_fields", 1)]


def test_a_field_of_boxes_is_not_the_truth(tmp_path: Path) -> None:
    boxes = detection(block(), 1, "x") | {"mask": None}
    guesses = {"_cls": "Detections", "detections": [detection(block(3), 2, "x")]}
    found = table(tmp_path, sample(boxes, guesses=guesses))
    assert found.masks["area_px"].tolist() == [block(3).sum()]


def test_without_any_mask_left_the_truth_is_still_what_is_read(tmp_path: Path) -> None:
    guesses = {"_cls": "Detections", "detections": [detection(block(3), 2, "x")]}
    home = put(tmp_path, sample(detection(block(), 1, "x"), guesses=guesses))
    key = "samples.json#/samples/0/ground_truth/detections/0"
    FORMAT.write(home, tmp_path / "out", Edits(drop=frozenset({key})))
    assert len(read(tmp_path / "out").masks) == 0


@pytest.mark.parametrize(
    ("samples", "media", "words"),
    [
        ([sample(detection(block(), 1, "x") | {"mask": None})], "image", "boxes without masks"),
        ([sample()], "video", "of video"),
        ([3], "image", "no sample"),
        ([{"filepath": 3}], "image", "no sample"),
    ],
)
def test_what_holds_no_masks_of_images_is_refused(
    tmp_path: Path, samples: list[Any], media: str, words: str
) -> None:
    with pytest.raises(SourceError, match=words):
        read(put(tmp_path, *samples, media=media))


def test_a_size_that_is_not_stated_is_that_of_the_picture(tmp_path: Path) -> None:
    home = put(tmp_path, sample(detection(block(), 1, "x"), metadata=None))
    assert read(home).images["status"].tolist() == ["invalid_size"]
    key = "samples.json#/samples/0"
    new = Edits(change={f"{key}/ground_truth/detections/0": Change(counts(block(2)))})
    with pytest.raises(CallError, match="size"):
        FORMAT.write(home, None, new)
    elsewhere = tmp_path / "pictures"
    elsewhere.mkdir()
    Image.new("L", (30, 20)).save(elsewhere / "a.png")
    options = ReadOptions(elsewhere)
    assert read(home, options=options).masks["status"].tolist() == ["ok"]
    detect(home).with_options(options).write(home, tmp_path / "out", new)
    (home / "data").mkdir()
    Image.new("L", (30, 20)).save(home / "data" / "a.png")
    assert read(home).masks["status"].tolist() == ["ok"]
    assert FORMAT.pictures is not None
    assert FORMAT.pictures(home) == (home.resolve(), ())


def test_a_sample_without_the_field_gets_it(tmp_path: Path) -> None:
    bare = {"filepath": "data/b.png", "metadata": {"width": 30, "height": 20}}
    home = put(tmp_path, sample(detection(block(), 1, "x")), bare)
    edits = Edits(add=[Addition("samples.json#/samples/1", counts(block(1)), *SIZE, "y")])
    FORMAT.write(home, tmp_path / "out", edits)
    assert FORMAT.check_unedited(home, tmp_path / "out", edits) == ""
    assert read(tmp_path / "out").masks["category"].tolist() == ["x", "y"]
