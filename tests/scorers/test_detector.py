import json

import numpy as np
import pandas as pd
import pytest
from made_tables import disc, table_of

from curate.dataset.table import STRING, MaskTable, finish
from curate.policy.plan import decide
from curate.policy.policy import load_policy
from curate.scorers.detector import SCORERS, detector, list_missing_detections, name_categories


def boxes_of(boxes, scores, categories=None, images=None, names=None):
    """Make a table of boxes, as a results file without masks gives it."""
    boxes = np.array(boxes, float).reshape(-1, 4)
    image_ids = images or [1] * len(boxes)
    frame = pd.DataFrame(
        {
            "source_key": [f"r.json#/{k}" for k in range(len(boxes))],
            "image_id": image_ids,
            "height": 0,
            "width": 0,
            "segmentation": None,
            "status": "no_segmentation",
            "status_detail": "there is no segmentation",
            "score": np.array(scores, float),
            "category_id": pd.array(categories or [None] * len(boxes), dtype="Int64"),
            **{f"declared_{c}": boxes[:, k] for k, c in enumerate("xywh")},
        }
    )
    ids = sorted(set(image_ids))
    pictures = pd.DataFrame(
        {"file_name": [(names or {}).get(i) for i in ids], "height": 0, "width": 0}, index=ids
    )
    return finish(frame, pictures)


def square(x, y, side):
    mask = np.zeros((100, 120), bool)
    mask[y : y + side, x : x + side] = True
    return mask


def test_the_best_of_confidence_times_iou():
    table = table_of([square(10, 10, 20), square(60, 60, 20)], images=[1, 1])
    seen = boxes_of([[10, 10, 20, 20], [10, 10, 20, 10], [10, 15, 20, 20]], [0.5, 0.9, 0.7])
    frame = SCORERS[0](table, detections=seen)
    assert frame["detector_score"].tolist() == [0.5, 0]
    assert frame["detector_confidence"].tolist() == [0.5, 0]
    assert frame["detector_iou"].tolist() == [1, 0]


def test_masks_count_as_masks():
    table = table_of([disc(50, 50, 20)])
    seen = table_of([square(30, 30, 40)], score=[0.8])
    share = (disc(50, 50, 20) & square(30, 30, 40)).sum() / square(30, 30, 40).sum()
    assert detector(table, detections=seen)["detector_score"].iloc[0] == pytest.approx(0.8 * share)
    scaled = table_of([np.ones((7, 9))], score=[0.8], names={1: None})
    assert detector(table, detections=scaled)["detector_score"].isna().all()  # other image size


def test_where_the_detector_did_not_look():
    table = table_of([square(10, 10, 20)] * 2, images=[1, 2])
    seen = boxes_of([[50, 50, 9, 9]], [0.5])
    assert detector(table, detections=seen)["detector_score"].tolist() == pytest.approx(
        [0, np.nan], nan_ok=True
    )
    looked = MaskTable(
        seen.masks,
        pd.concat([seen.images, seen.images.rename({1: 2})]).rename_axis("image_id"),
    )
    assert detector(table, detections=looked)["detector_score"].tolist() == [0, 0]
    nothing = detector(table, detections=seen[:0])["detector_score"]
    assert nothing.tolist() == pytest.approx([0, np.nan], nan_ok=True)


def test_names_decide_over_ids():
    table = table_of([square(10, 10, 20)], names={1: "a/x.jpg"})
    there = boxes_of([[10, 10, 20, 20]], [1], images=[77], names={77: "x.png"})
    assert detector(table, detections=there)["detector_score"].iloc[0] == 1
    elsewhere = boxes_of([[10, 10, 20, 20]], [1], images=[1], names={1: "y.png"})
    assert np.isnan(detector(table, detections=elsewhere)["detector_score"].iloc[0])


def test_crowds_and_empty_masks_have_no_score():
    table = table_of([square(10, 10, 20), square(0, 0, 0)], iscrowd=[1, 0])
    seen = boxes_of([[10, 10, 20, 20]], [0.9])
    assert detector(table, detections=seen).isna().all(axis=None)


def test_another_category_for_the_same_region():
    masks = [square(0, 0, 20), square(30, 0, 20), square(60, 0, 20), square(90, 0, 20)]
    table = table_of(masks, category_id=pd.array([1, 1, None, 1], dtype="Int64"))
    seen = boxes_of(
        [[0, 0, 20, 20], [0, 0, 20, 20], [30, 0, 20, 20], [60, 0, 20, 20]],
        [0.6, 0.9, 0.8, 0.9],
        [1, 2, 2, 2],
    )
    frame = detector(table, detections=seen)
    expected = [0.7, 0.2, np.nan, np.nan]
    assert frame["detector_category_score"].tolist() == pytest.approx(expected, nan_ok=True)
    assert frame["detector_score"].tolist() == [0.9, 0.8, 0.9, 0]
    said = frame["detector_category"]
    assert said.tolist()[:2] == ["category 2"] * 2
    assert said.isna().tolist()[2:] == [True, True]
    sure = frame["detector_category_confidence"].tolist()
    assert sure == pytest.approx([0.9, 0.8, np.nan, np.nan], nan_ok=True)
    unknown = detector(table, detections=seen, categories=[2])
    assert unknown["detector_category_score"].isna().all()
    known = detector(table, detections=seen, categories=[1, 2])
    pd.testing.assert_frame_equal(known, frame)


def test_categories_by_name():
    table = table_of([square(0, 0, 20)], category=["cat"])
    seen = table_of([square(0, 0, 20)], category=["dog"], score=[0.8])
    frame = detector(table, detections=seen)
    assert frame["detector_category_score"].iloc[0] == pytest.approx(0.2)
    assert frame["detector_category"].iloc[0] == "dog"
    masks = table.masks.join(frame).assign(quality_score=0.9)
    plan = decide(masks, load_policy("default"))
    says = "labelled “cat”, the detector says “dog” (confidence 0.80, IoU 1.00)"
    assert plan["reasons"].tolist() == [says]


def test_numbers_become_the_names_of_the_dataset():
    said = pd.Series(["category 2", "category 20", "cow", None], dtype=STRING)
    found = name_categories(said, {"2": "dog", "3": "cat"})
    assert found.tolist()[:3] == ["dog", "category 20", "cow"]
    assert found.isna().tolist() == [False, False, False, True]
    assert name_categories(found, {"2": "dog"}).tolist()[:3] == found.tolist()[:3]


@pytest.mark.parametrize("score", [np.nan, np.inf, -np.inf, 3.0, -1.0])
def test_odd_confidences_stay_in_range(score):
    table = table_of([square(10, 10, 20)])
    frame = detector(table, detections=boxes_of([[10, 10, 20, 20]], [score], [1]))
    assert 0 <= frame["detector_score"].iloc[0] <= 1


@pytest.mark.parametrize(
    "box",
    [[np.nan] * 4, [0, 0, 0, 0], [10, 10, -5, 20], [np.inf, 0, 5, 5], [1e300, 1e300, 1e300, 1e300]],
)
def test_odd_boxes_touch_nothing(box):
    table = table_of([square(10, 10, 20)])
    seen = boxes_of([box, [10, 10, 20, 20]], [0.9, 0.4])
    assert detector(table, detections=seen)["detector_score"].iloc[0] == 0.4
    assert list_missing_detections(table, detections=seen[:1])["missing_detections"].iloc[0] in (
        0,
        1,
    )


def test_rows_in_any_order():
    rng = np.random.default_rng(0)
    masks = [disc(*rng.integers(20, 80, 2), 15) for _ in range(20)]
    table = table_of(masks, images=list(rng.integers(1, 4, 20)))
    found = rng.uniform(5, 60, (40, 4))
    seen = boxes_of(
        found, rng.random(40).round(1), list(rng.integers(1, 3, 40)), list(rng.integers(1, 4, 40))
    )
    frame = detector(table, detections=seen)
    order = rng.permutation(20)
    pd.testing.assert_frame_equal(detector(table[order], detections=seen).loc[frame.index], frame)


def test_what_no_mask_explains():
    table = table_of(
        [square(10, 10, 20), square(60, 10, 40), square(9, 9, 9)],
        images=[1, 1, 2],
        iscrowd=[0, 1, 0],
    )
    seen = boxes_of(
        [
            [10, 10, 20, 20],
            [65, 15, 10, 10],
            [10, 60, 20, 30],
            [11, 61, 20, 30],
            [40, 60, 9, 9],
            [0, 90, 5, 5],
        ],
        [0.9, 0.9, 0.8, 0.7, 0.6, 0.01],
        [1, 1, 2, 3, 4, 5],
    )
    frame = SCORERS[1](table, detections=seen)
    assert frame["missing_detections"].tolist() == pytest.approx([2, np.nan], nan_ok=True)
    listed = json.loads(frame["missing_detections_json"].iloc[0])
    assert [e["category_id"] for e in listed] == [2, 4, 3]
    assert [e["counted"] for e in listed] == [True, True, False]
    assert listed[0] == {
        "bbox": [10, 60, 20, 30], "score": 0.8, "category": None, "category_id": 2,
        "explained": 0, "counted": True,
    }  # fmt: skip
    strict = list_missing_detections(table, detections=seen, confidence=0.75)
    assert strict["missing_detections"].iloc[0] == 1


def test_dropped_masks_are_found_missing(data):
    from curate.formats.reading import read

    folder = data / "coco_val2017"
    table = read(folder / "instances.json")
    seen = read(folder / "detections_yolox_nano.json")
    before = detector(table, detections=seen)["detector_score"]
    sure = (before > 0.6).to_numpy()
    assert sure.sum() > 100
    left = list_missing_detections(table[~sure], detections=seen)["missing_detections"].sum()
    base = list_missing_detections(table, detections=seen)["missing_detections"].sum()
    assert left - base > 0.8 * sure.sum()


def test_an_object_with_a_box_and_no_mask_explains_its_detection():
    places = [[10, 10, 20, 20], [60, 60, 20, 20], [100, 10, 8, 8]]
    dataset = boxes_of([*places[:2], [0, 0, 0, 0]], [np.nan] * 3)
    seen = boxes_of(places, [0.9] * 3)
    frame = list_missing_detections(dataset, detections=seen)
    assert frame["missing_detections"].tolist() == [1]
    (entry,) = json.loads(frame["missing_detections_json"].iloc[0])
    assert entry["bbox"] == [100, 10, 8, 8]
    assert detector(dataset, detections=seen)["detector_score"].isna().all()  # there is no mask


def test_parts_together_explain_what_was_seen_as_one():
    """Four slices are the pizza; a plate's, half of the slices, and people beside are not."""
    slices = [square(10, 10, 20), square(30, 10, 20), square(10, 30, 20), square(30, 30, 20)]
    whole = [10, 10, 40, 40]

    def missing(masks, categories, seen):
        numbers = pd.array(categories, dtype="Int64")
        found = list_missing_detections(
            table_of(masks, images=[1] * len(masks), category_id=numbers), detections=seen
        )
        (entry,) = json.loads(found["missing_detections_json"].iloc[0]) or [{"explained": 1.0}]
        return found["missing_detections"].iloc[0], entry["explained"]

    pizza = boxes_of([whole], [0.9], [1])
    assert missing(slices, [1] * 4, pizza) == (0, 1)
    assert missing(slices, [1, 1, 1, 2], pizza) == (0, 0.75)
    assert missing(slices, [1, 1, 2, 2], boxes_of([[10, 10, 40, 45]], [0.9], [1])) == (
        1,
        pytest.approx(20 * 20 / (40 * 45), abs=1e-4),
    )
    assert missing(slices, [2] * 4, pizza) == (1, 0.25)
    assert missing(slices, [2] * 4, boxes_of([whole], [0.9])) == (0, 1)
    reaching = [square(0, 0, 40), square(30, 0, 60)]  # more of each lies outside
    assert missing(reaching, [1, 1], boxes_of([[20, 0, 40, 30]], [0.9], [1]))[0] == 1
    drawn = table_of([square(10, 10, 40)], score=[0.9], category_id=pd.array([1], dtype="Int64"))
    assert missing(slices, [1] * 4, drawn) == (0, 1)
    assert missing(slices[:3], [1] * 3, drawn) == (0, 0.75)
    assert missing(slices[:1] * 2, [1, 1], drawn) == (1, 0.25)
