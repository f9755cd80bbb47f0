import json

import numpy as np
import pandas as pd
import pytest
from made_tables import disc, table_of

from curate import rle
from curate.scorers.agreement import SCORERS, agreement, list_missing_from_compared
from curate.scorers.counterparts import match_images


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


def test_agreement_is_the_mean_over_sets_that_have_the_image():
    mine = [disc(30, 30, 15), disc(80, 60, 20), disc(50, 50, 9)]
    table = table_of(mine, images=[1, 1, 2])
    one = table_of([disc(32, 30, 15), disc(80, 60, 20)], first_id=5)
    two = table_of([disc(30, 33, 15), disc(99, 9, 5), disc(50, 50, 9)], images=[1, 1, 2])
    frame = SCORERS[0](table, compare={"one": one, "B 2": two})
    a, b = iou(mine[0], disc(32, 30, 15)), iou(mine[0], disc(30, 33, 15))
    assert frame["agreement_score"].tolist() == pytest.approx([(a + b) / 2, 0.5, 1.0])
    assert frame["agreement_count"].tolist() == [2, 2, 1]
    texts = [json.loads(text) for text in frame["agreement_json"]]
    assert texts[1] == {"one": 1.0, "B 2": 0.0}
    assert texts[2] == {"one": None, "B 2": 1.0}
    assert frame["others_iou"].iloc[0] == pytest.approx(iou(disc(32, 30, 15), disc(30, 33, 15)))
    assert frame["others_iou"].iloc[1:].isna().all()
    by_name = agreement(table, compare={"one": one})["agreement_score"]
    assert by_name.tolist() == pytest.approx([a, 1.0, np.nan], nan_ok=True)


def test_two_copies_have_the_same_counterpart():
    table = table_of([disc(50, 50, 30), disc(50, 50, 29)])
    other = table_of([disc(50, 50, 29), disc(40, 50, 12)])
    scores = agreement(table, compare={"o": other})["agreement_score"]
    assert scores.tolist() == pytest.approx([iou(disc(50, 50, 30), disc(50, 50, 29)), 1])
    copies = list_missing_from_compared(other[:1], compare={"o": table})
    assert copies["missing_compared"].tolist() == [0]


def test_masks_without_pixels_and_images_without_counterparts():
    table = table_of([disc(50, 50, 30), disc(50, 50, 30) & False, disc(9, 9, 5)], images=[1, 1, 2])
    other = table_of([disc(50, 50, 30) & False])
    scores = agreement(table, compare={"o": other})["agreement_score"]
    assert scores.tolist() == pytest.approx([0, np.nan, np.nan], nan_ok=True)
    nobody = agreement(table, compare={})
    assert nobody.isna().all(axis=None)
    assert agreement(table[:0], compare={"o": other}).empty


def test_row_order_does_not_matter_even_among_ties():
    same = disc(50, 50, 20)
    table = table_of([same] * 4)
    other = table_of([same, disc(51, 50, 20)])
    frame = agreement(table, compare={"o": other, "p": table})
    shuffled = agreement(table[np.array([2, 0, 3, 1])], compare={"o": other, "p": table})
    pd.testing.assert_frame_equal(shuffled.loc[frame.index], frame)


def frame_of(names, ids=None, height=10, width=10):
    index = pd.Index(ids or range(len(names)), name="image_id")
    return pd.DataFrame({"file_name": names, "height": height, "width": width}, index=index)


@pytest.mark.parametrize(
    ("mine", "theirs", "expected"),
    [
        (["a.jpg", "b.jpg"], ["b.jpg", "a.jpg"], [1, 0]),
        (["x/a.jpg"], ["y/a.jpg"], [0]),
        (["a.jpg"], ["a.png"], [0]),
        (["a.jpg"], ["a"], [0]),
        (["x\\a.jpg"], ["x/a.jpg", "y/a.jpg"], [0]),
        (["a.jpg"], ["x/a.jpg", "y/a.jpg"], [-1]),
        (["x/a.jpg", "y/a.jpg"], ["a.jpg"], [-1, -1]),
        (["a.jpg"], ["b.jpg"], [-1]),
        (["a.jpg"], [None], [0]),
        ([None], ["b.jpg"], [0]),
        ([None, None], [None], [0, -1]),
        (["a.jpg"], [], [-1]),
        ([], ["a.jpg"], []),
    ],
)
def test_images_are_matched_by_name_then_id(mine, theirs, expected):
    assert match_images(frame_of(mine), frame_of(theirs)).tolist() == expected


def test_images_of_another_size_are_not_matched():
    assert match_images(frame_of(["a"]), frame_of(["a"], width=11)).tolist() == [-1]
    assert match_images(frame_of(["a"]), frame_of(["a"], width=0, height=0)).tolist() == [0]


def test_masks_of_others_that_nothing_matches():
    table = table_of([disc(30, 30, 15), disc(9, 9, 4)], images=[1, 2])
    masks = [disc(30, 30, 15), disc(80, 60, 20), disc(30, 30, 3), disc(5, 5, 3) & False]
    other = table_of(masks, category=["a", 'b "<i>', None, "c"])
    frame = SCORERS[1](table, compare={"o": other})
    assert frame["missing_compared"].tolist() == pytest.approx([2, np.nan], nan_ok=True)
    listed = json.loads(frame["missing_compared_json"].iloc[0])["o"]
    assert listed["count"] == 2
    assert [m["category"] for m in listed["masks"]] == ['b "<i>', None]
    assert listed["masks"][0]["bbox"] == rle.bbox(rle.from_dense(masks[1]))[0].tolist()
    assert listed["masks"][0]["source_key"] == "a.json#/annotations/1"
    assert (
        list_missing_from_compared(table, compare={"o": other}, iou=0)["missing_compared"].iloc[0]
        == 0
    )


def test_graders_disagree_where_the_consensus_drops_a_mask(data):
    from curate.formats.reading import read

    names = ("Allen", "Grader3", "Grader4", "FinalGT")
    sets = {name: read(data / "neurons" / f"{name}.json") for name in names}
    graders = {name: sets[name] for name in ("Grader3", "Grader4")}
    scores = agreement(sets["Allen"], compare=graders)["agreement_score"].to_numpy()
    truth = agreement(sets["Allen"], compare={"t": sets["FinalGT"]})["agreement_score"].to_numpy()
    known = ~np.isnan(truth)
    dropped = truth[known] < 0.5
    assert dropped.sum() > 100
    order = np.argsort(scores[known], kind="stable")[: dropped.sum()]
    assert dropped[order].mean() > 3 * dropped.mean()
