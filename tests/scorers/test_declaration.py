import numpy as np
import pytest
from pycocotools import mask as coco_mask

from curate import rle
from curate.scorers import score as score_all
from curate.scorers.declaration import AREAS, BOXES
from curate.testing.scene import table_of

MASK = np.zeros((60, 80), bool)
MASK[10:30, 20:60] = True  # x 20, y 10, w 40, h 20, 800 px


def score(**declared):
    columns = {f"declared_{name}": [float(value)] for name, value in declared.items()}
    return scored(table_of([MASK], **columns))["declaration_score"].iloc[0]


def scored(table):
    return score_all(table, only=["declaration"])


def test_what_formats_do_is_no_error():
    assert score(x=20, y=10, w=40, h=20, area=800) == 1
    assert score(x=20, y=10, w=39, h=19, area=800) == 1  # SA-1B: inclusive maxima
    assert score(x=19.4, y=10.6, w=41, h=19.8) == 1
    assert score(area=745.5) == 1  # a polygon through the pixels' centres


def test_what_differs_counts():
    assert score(x=20, y=10, w=20, h=20) == 0.5
    assert score(area=400) == 0.5
    assert score(x=20, y=10, w=40, h=20, area=1600) == 0.5
    assert score(x=20, y=10, w=20, h=20, area=200) == 0.25
    assert score(x=70, y=50, w=5, h=5) == 0
    assert score(x=20, y=10, w=-40, h=20) == 0
    assert score(area=0) == 0
    assert score(area=1e300) < 1e-6


def test_nothing_declared():
    assert np.isnan(score())
    assert np.isnan(score(area=np.nan, x=np.nan, y=0, w=1, h=1))
    assert score(area=np.inf) != score(area=np.inf)


def test_polygons_as_people_draw_them():
    rng = np.random.default_rng(1)
    for _ in range(50):
        angle = np.sort(rng.uniform(0, 2 * np.pi, 9))
        radius = rng.uniform(5, 40, 9)
        x, y = 60 + radius * np.cos(angle), 60 + radius * np.sin(angle)
        ring = np.column_stack([x, y]).ravel().tolist()
        merged = coco_mask.merge(coco_mask.frPyObjects([ring], 120, 120))
        mask = rle.to_dense(rle.decode_counts([merged["counts"]], [120], [120])[0], 0)
        if not mask.any():
            continue
        area = abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
        table = table_of(
            [mask], declared_area=[area], declared_x=[x.min()], declared_y=[y.min()],
            declared_w=[np.ptp(x)], declared_h=[np.ptp(y)],
        )  # fmt: skip
        assert scored(table)["declaration_score"].iloc[0] == pytest.approx(1, abs=0.2)


def discs(count=10):
    y, x = np.mgrid[:60, :80]
    return [(x - 20 - 2 * k) ** 2 + (y - 25) ** 2 <= (8 + k) ** 2 for k in range(count)]


def stored(masks, **changed):
    """Return masks with their own boxes and areas stored beside them, some of them changed."""
    plain = table_of(masks)
    x, y, w, h = (plain.masks[f"bbox_{side}"].to_numpy(float) for side in "xywh")
    values = {"x": x, "y": y, "w": w, "h": h, "area": plain.masks["area_px"].to_numpy(float)}
    values |= {name: change(values) for name, change in changed.items()}
    columns = {f"declared_{name}": np.array(value).tolist() for name, value in values.items()}
    return table_of(masks, **columns)


zero = {name: (lambda v: 0 * v["x"]) for name in "xywh"}
HABITS = {
    "area_zero": {"area": lambda v: 0 * v["area"]},
    "area_negative": {"area": lambda v: 0 * v["area"] - 1},
    "area_of_box": {"area": lambda v: v["w"] * v["h"]},
    "area_share": {"area": lambda v: v["area"] / 4800},
    "area_same": {"area": lambda v: 0 * v["area"] + 7},
    "box_empty": zero,
    "box_corners": {"w": lambda v: v["x"] + v["w"], "h": lambda v: v["y"] + v["h"]},
    "box_centre": {"x": lambda v: v["x"] + v["w"] / 2, "y": lambda v: v["y"] + v["h"] / 2},
    "box_share": {
        **{name: (lambda v, name=name: v[name] / 80) for name in "xw"},
        **{name: (lambda v, name=name: v[name] / 60) for name in "yh"},
    },
    "box_offset": {"x": lambda v: v["x"] - 9, "h": lambda v: v["h"] + 1},
}


def test_every_habit_is_tried():
    assert set(HABITS) == {*AREAS, *BOXES}


@pytest.mark.parametrize("kind", HABITS)
def test_a_habit_of_the_file_is_held_against_no_mask(kind):
    frame = scored(stored(discs(), **HABITS[kind]))
    assert frame["declaration_habit"].tolist() == [kind] * 10
    assert frame["declaration_score"].tolist() == [1] * 10
    assert frame[["declared_box_iou", "declared_area_ratio"]].min().min() < 0.9


@pytest.mark.parametrize("kind", HABITS)
def test_who_departs_from_the_habit_is_judged_by_its_own_numbers(kind):
    def with_one_wrong(change):
        return lambda v: np.where(np.arange(10) == 3, 3, change(v))

    changed = {name: with_one_wrong(change) for name, change in HABITS[kind].items()}
    frame = scored(stored(discs(), **changed))
    assert frame["declaration_habit"].tolist()[3] == ""
    assert frame["declaration_score"].iloc[3] < 0.9
    assert (frame["declaration_score"].drop(frame.index[3]) == 1).all()


def test_what_is_right_or_wrong_in_no_common_way_is_no_habit():
    assert scored(stored(discs()))["declaration_habit"].tolist() == [""] * 10
    few = scored(stored(discs(4), **HABITS["area_zero"]))
    assert few["declaration_score"].tolist() == [0] * 4
    half = {"area": lambda v: np.where(np.arange(10) % 2, 0, v["area"])}
    frame = scored(stored(discs(), **half))
    assert frame["declared_area_score"].tolist() == [1, 0] * 5
    assert frame["declared_box_score"].tolist() == [1] * 10


def test_boxes_that_masks_fill_say_nothing_of_areas():
    squares = [np.pad(np.ones((9 + k, 20), bool), ((5, 46 - k), (5, 55))) for k in range(8)]
    frame = scored(stored(squares))
    assert frame["declaration_habit"].tolist() == [""] * 8
