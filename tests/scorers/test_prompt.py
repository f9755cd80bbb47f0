from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from curate.scorers.prompt import prompt
from curate.testing.scene import disc, table_of

MASK = np.zeros((40, 50), bool)
MASK[10:20, 10:30] = True


def at(x, y, mask=MASK):
    return prompt(table_of([mask], prompt_x=[float(x)], prompt_y=[float(y)])).iloc[0]


@pytest.mark.parametrize("point", [(10, 10), (29.99, 19.99), (20.5, 15.25)])
def test_inside(point):
    assert at(*point).tolist() == [1, 0]


@pytest.mark.parametrize(
    ("point", "distance"), [((30, 15), 0), ((33, 24), 5), ((9.5, 15), 0.5), ((-4, 15), 14)]
)
def test_outside(point, distance):
    row = at(*point)
    assert row["prompt_distance_px"] == pytest.approx(distance)
    assert row["prompt_score"] < 1
    assert row["prompt_score"] == pytest.approx(200**0.5 / (200**0.5 + distance))


def test_falls_with_distance():
    scores = [at(x, 15)["prompt_score"] for x in range(28, 50)]
    assert (np.diff(scores) <= 0).all()


def test_not_available():
    assert at(np.nan, 3).isna().all()
    assert prompt(table_of([MASK])).isna().all(axis=None)


def test_a_point_in_a_hole_is_outside():
    ring = disc(60, 60, 30) & ~disc(60, 60, 10)
    assert at(60, 60, ring)["prompt_score"] < 1


def amg_folder(folder: Path):
    rows = pd.read_csv(folder / "metadata.csv")
    masks = [np.asarray(Image.open(folder / f"{k}.png")) > 0 for k in rows["id"]]
    points = {f"prompt_{a}": rows[f"point_input_{a}"].astype(float).tolist() for a in "xy"}
    missed = [
        not mask[int(y), int(x)]
        for mask, (x, y) in zip(masks, zip(*points.values(), strict=True), strict=True)
    ]
    return table_of(masks, **points), np.array(missed)


def test_displaced_masks_of_real_output(data):
    table, missed = amg_folder(data / "sam_amg_truck" / "displaced")
    assert missed.sum() == 16
    assert ((prompt(table)["prompt_score"] < 1) == missed).all()
    table, missed = amg_folder(data / "sam_amg_truck" / "sound")
    assert ((prompt(table)["prompt_score"] < 1) == missed).all()
