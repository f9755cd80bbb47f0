"""The compiled reader: it reads what the patient way reads, or it gives up."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from curate.common.arrays import IntArray
from curate.formats.coco.annotation_columns import Annotations, ImageRows
from curate.formats.json import fast_kernels
from curate.formats.json.fast_reader import QuickReader

finite = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**70), 2**70)
odd = st.none() | st.booleans() | st.text(max_size=3) | st.lists(finite, max_size=5)
whole = st.integers(-(10**18), 10**18)
good: dict[str, st.SearchStrategy[Any]] = {
    "id": whole,
    "image_id": whole,
    "category_id": whole,
    "iscrowd": st.integers(0, 1),
    "area": finite,
    "predicted_iou": finite,
    "stability_score": finite,
    "score": finite,
    "bbox": st.lists(finite, min_size=4, max_size=4),
    "crop_box": st.lists(finite, min_size=4, max_size=4),
    "point_coords": st.lists(st.lists(finite, min_size=2, max_size=2), min_size=1, max_size=1),
    "other": finite | st.text(st.characters(codec="ascii"), max_size=4),
}
counts = st.text("0123456789PQRabco`_[]^\\", max_size=12)
segmentation = st.fixed_dictionaries({"size": st.just([7, 9]), "counts": counts})
annotation = st.fixed_dictionaries({"segmentation": segmentation}, optional=good)
wild = st.fixed_dictionaries(
    {"segmentation": segmentation | odd}, optional={k: v | odd for k, v in good.items()}
)


def patient(records: list[dict[str, Any]], rows: IntArray) -> dict[str, Any]:
    made = Annotations(ImageRows(np.array([1]), [""], np.array([7]), np.array([9])))
    made.add(records, rows, pa.array([""] * len(records), pa.large_string()))
    return made.columns()


def same(quick: dict[str, Any], records: list[dict[str, Any]]) -> None:
    expected = patient(records, np.zeros(len(records), np.int64))
    del expected["source_key"], expected["image_row"]
    assert set(quick) == set(expected)
    for name, values in expected.items():
        if isinstance(values, pa.Array):
            assert quick[name].equals(values)
        else:
            given = expected.get(name.replace("_id", "") + "_given", np.ones(len(values), bool))
            np.testing.assert_array_equal(quick[name][given], values[given], err_msg=name)


@given(st.lists(annotation, min_size=1, max_size=4), st.sampled_from([None, 1]))
def test_it_reads_what_the_patient_way_reads(records: list[dict[str, Any]], indent: int | None):
    quick = QuickReader(rows=1, size=8)
    taken = quick.take_list(json.dumps(records, indent=indent).encode())
    if taken is None:  # an escape, or a number at the end of what doubles hold
        return
    assert taken.count == len(records)
    same(quick.columns(), json.loads(json.dumps(records)))


@given(st.lists(wild, min_size=1, max_size=3))
def test_it_gives_up_on_what_is_odd(records: list[dict[str, Any]]):
    quick = QuickReader()
    if quick.take_list(json.dumps(records).encode()) is not None:
        same(quick.columns(), records)


@given(st.lists(annotation, min_size=1, max_size=2), st.data())
def test_it_takes_no_broken_json(records: list[dict[str, Any]], data: st.DataObject):
    raw = bytearray(json.dumps(records).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(
            st.sampled_from(b'{}[],:"\\0123e.- \x01\xff')
        )
    quick = QuickReader()
    taken = quick.take_list(bytes(raw))
    if taken is None:
        return
    read = json.loads(raw)
    heights, widths = quick.sizes(taken)
    assert [[*each] for each in zip(heights, widths, strict=True)] == [
        r["segmentation"]["size"] for r in read
    ]
    if (heights == 7).all() and (widths == 9).all():  # other sizes are for the caller to refuse
        same(quick.columns(), read)


@given(st.binary(max_size=50))
def test_random_bytes_do_nothing(raw: bytes):
    quick = QuickReader()
    assert quick.take_document(raw) is None
    taken = quick.take_list(raw)
    assert taken is None or taken.count == 0 == len(json.loads(raw))


def test_no_two_names_share_a_slot():
    assert sorted(fast_kernels._SLOT_KEYS[fast_kernels._SLOT_KEYS >= 0]) == list(
        range(len(fast_kernels.KEYS))
    )


def test_everyday_values_take_the_quick_way():
    one = {
        "id": 125686481,
        "bbox": [1.0, 2.5, 300.0, 0.1],
        "area": 12345,
        "predicted_iou": 1.0103150606155396,
        "stability_score": 0.9712345678901234,
        "point_coords": [[1e-05, 567.8]],
        "crop_box": [0.0, 0.0, 9.0, 7.0],
        "segmentation": {"size": [7, 9], "counts": "a\\b"},
    }
    doc = json.dumps({"image": {"n": '"}\\'}, "annotations": [one, one]}).encode()
    quick = QuickReader(rows=1, size=1)
    taken = quick.take_document(doc)
    assert taken is not None
    assert json.loads(doc[slice(*taken.image)]) == {"n": '"}\\'}
    quick.drop(taken)
    assert quick.take_document(doc) is not None
    same(quick.columns(), [one, one])
    assert quick.count == 0


def test_what_is_dropped_leaves_the_rest():
    first = {"area": 0.12345678901234567, "segmentation": {"size": [7, 9], "counts": "abc"}}
    quick = QuickReader()
    quick.take_list(json.dumps([first]).encode())
    taken = quick.take_list(json.dumps([first | {"area": 3.3333333333333333}] * 3).encode())
    assert taken is not None
    quick.drop(taken)
    columns = pd.DataFrame({"area": quick.columns()["declared_area"]})
    assert columns["area"].tolist() == [0.12345678901234567]
