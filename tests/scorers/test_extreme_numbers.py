"""Numbers that a file may state and no arithmetic can hold: no warning, scores in their range."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from inferred_datasets import mask, ring, rle

import curate
from curate.reporting.distributions import Histogram
from curate.reporting.svg_figures import _ticks
from curate.scorers import score

NUMBERS = [1e308, -1e308, 1e155, 5e-324, float(2**63), 10**30, -(2**63), 0, -0.0]

IMAGE = {"id": 5, "file_name": "a.png", "height": 12, "width": 16}


def records(value: float) -> list[dict[str, object]]:
    """Return four masks of which boxes, areas, scores, prompts and crops are some number."""
    every = {
        "bbox": [value] * 4,
        "area": value,
        "score": value,
        "predicted_iou": value,
        "stability_score": value,
        "point_coords": [[value, value]],
        "crop_box": [value, 0, value, value],
    }
    wide = {"bbox": [1, 1, value, 2], "area": 3, "crop_box": [0, value, 16, value]}
    far = {"segmentation": [[1, 1, value, 2, 3, value]], "bbox": [0, 0, value, 1]}
    plain = {"bbox": [4, 3, 3, 2], "area": 6, "point_coords": [[5, 4]], "crop_box": [0, 0, 16, 12]}
    return [
        {"segmentation": ring(0), **every},
        {"segmentation": rle(1), **wide},
        {"segmentation": rle(2), **every, **far},
        {"segmentation": rle(5), **plain},
    ]


@pytest.mark.parametrize("value", NUMBERS, ids=str)
def test_scores_stay_in_range_without_a_warning(tmp_path: Path, value: float) -> None:
    """Warnings are errors in tests."""
    masks = [
        {"id": k, "image_id": 5, "category_id": 1, **one} for k, one in enumerate(records(value))
    ]
    whole = {"images": [IMAGE], "annotations": masks, "categories": [{"id": 1, "name": "a"}]}
    (tmp_path / "a.json").write_text(json.dumps(whole))
    image = {"image_id": 5, "file_name": "sa_5.jpg", "height": 12, "width": 16}
    sam = [
        {"id": k, **one} | ({"segmentation": rle(0)} if k == 0 else {})
        for k, one in enumerate(records(value))
    ]
    (tmp_path / "sa_5.json").write_text(json.dumps({"image": image, "annotations": sam}))
    for name in ("a.json", "sa_5.json"):
        table = curate.read(tmp_path / name)
        found = score(table, inputs={"detections": table, "compare": {"b": table}, "deep": True})
        scores = found[[column for column in found if column.endswith("_score")]]
        values = scores.to_numpy(np.float64)
        assert ((values >= 0) & (values <= 1) | np.isnan(values)).all()


def test_pixels_do_not_depend_on_what_is_stated(tmp_path: Path) -> None:
    masks = [{"id": k, "image_id": 5, **one} for k, one in enumerate(records(1e308))]
    (tmp_path / "a.json").write_text(json.dumps({"images": [IMAGE], "annotations": masks}))
    areas = curate.read(tmp_path / "a.json").masks["area_px"].tolist()
    assert [areas[0], areas[1], areas[3]] == [mask(0).sum(), mask(1).sum(), mask(5).sum()]


@pytest.mark.parametrize(("low", "high"), [(-9e18, 9e18), (-9e18, -1e18), (0.0, 1.0), (0.0, 3e9)])
def test_an_axis_of_any_width_has_a_few_ticks(low: float, high: float) -> None:
    histogram = Histogram("a", low, high, (1, 2), 3, 0)
    assert 1 <= len(_ticks(histogram)) <= 6
