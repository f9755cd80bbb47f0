import numpy as np
import pytest
from mask_scene import table_of
from pycocotools import mask as coco_mask

from curate import rle
from curate.scorers.declaration import declaration

MASK = np.zeros((60, 80), bool)
MASK[10:30, 20:60] = True  # x 20, y 10, w 40, h 20, 800 px


def score(**declared):
    columns = {f"declared_{name}": [float(value)] for name, value in declared.items()}
    return declaration(table_of([MASK], **columns))["declaration_score"].iloc[0]


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
        mask = rle.to_dense(rle.decode([merged["counts"]], [120], [120])[0], 0)
        if not mask.any():
            continue
        area = abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
        table = table_of(
            [mask], declared_area=[area], declared_x=[x.min()], declared_y=[y.min()],
            declared_w=[np.ptp(x)], declared_h=[np.ptp(y)],
        )  # fmt: skip
        assert declaration(table)["declaration_score"].iloc[0] == pytest.approx(1, abs=0.2)
