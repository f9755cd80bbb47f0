"""Out to a tool and back without a change: every mask is the same to the pixel, in every format."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from boxes import rle
from hard_masks import FORMATS, audited, back, datasets, target, write
from hypothesis import Phase, given
from pycocotools import mask as coco_mask
from random_cases import draws

from curate.testing.exchange_contract import check_round_trip, draw_all

pytestmark = pytest.mark.filterwarnings(  # pycocotools
    "ignore:__array__ implementation:DeprecationWarning"
)


@draws(3, phases=[Phase.explicit, Phase.generate])
@given(source=datasets())
def test_nothing_changes_on_the_way(source: dict[str, Any]) -> None:
    check_the_way(source)


def check_the_way(source: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        audit = audited(source, folder)
        rows = draw_all(audit)
        for tool, crops in FORMATS:
            check_round_trip(tool, audit, rows, target(folder, tool, crops), crops=crops)


def test_what_users_lost_elsewhere(tmp_path: Path) -> None:
    """Rings of equal length, half pixels, holes, a pixel alone, W and H: each in one dataset."""
    ring = [[2.5, 2.25, 10.5, 2.25, 10.5, 8.75, 2.5, 8.75], [20, 20, 28, 20, 28, 26, 20, 26]]
    hole = np.zeros((40, 70), bool)
    hole[5:30, 40:60] = True
    hole[10:20, 45:50] = False
    pixel = np.zeros((40, 70), bool)
    pixel[39, 69] = True
    shapes = [ring, rle(hole), rle(pixel), rle(np.zeros((40, 70), bool)), None]
    source = {
        "images": [{"id": 5, "file_name": "wide.png", "height": 40, "width": 70}],
        "annotations": [
            {"id": 90 - k, "image_id": 5, "category_id": 0, "segmentation": shape, "iscrowd": 0}
            for k, shape in enumerate(shapes)
        ],
        "categories": [{"id": 0, "name": "thing"}],
    }
    audit = audited(source, tmp_path)
    rows = draw_all(audit)
    two_rings = coco_mask.merge(coco_mask.frPyObjects(ring, 40, 70))
    for tool, crops in FORMATS:
        path, written = write(audit, rows, tmp_path, tool, crops)
        holds_empty = tool == "coco" and not crops
        assert written == (4 if holds_empty else 3)
        done = back(audit, path)
        assert done.added.actions == {"accept": 3}, (tool, crops, done.text())
        assert done.notes["masks without a readable pixel before and after"] == holds_empty
        if not crops and tool in ("fiftyone", "coco"):
            file = path / "labels.json" if path.is_dir() else path
            first = next(
                one for one in json.loads(file.read_text())["annotations"] if one["id"] == 90
            )
            assert first["segmentation"]["counts"].encode() == two_rings["counts"]
            assert first["iscrowd"] == 0
