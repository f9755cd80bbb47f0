"""Writing what is odd in the source: masks without ids, masks without pixels."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from drawn_masks import encoded, rle_of, scene

import curate
from curate import verbs
from curate.curation.policy import load_policy
from curate.decisions import Reviews
from curate.errors import AuditError
from curate.pipeline import audit

SIZE = (24, 40)
Decide = Callable[..., None]


@pytest.fixture
def content() -> dict[str, Any]:
    images = [{"id": i, "file_name": f"{i}.png", "height": 24, "width": 40} for i in (2, 1)]
    annotations = [
        {"image_id": 1 + k % 2, "id": 50 + k, "category_id": 1, "segmentation": rle_of(mask)}
        for k, mask in enumerate(scene(np.random.default_rng(0), SIZE, 6))
    ]
    categories = [{"id": 1, "name": "cell"}]
    return {"images": images, "annotations": annotations, "categories": categories}


@pytest.fixture
def audited(tmp_path: Path, content: dict[str, Any]) -> Callable[[], tuple[Path, Reviews]]:
    """Return a function that audits the content and returns the audit and its decisions."""

    def make() -> tuple[Path, Reviews]:
        source = tmp_path / "source.json"
        source.write_text(json.dumps(content))
        audit(source, tmp_path / "audit", policy=load_policy({"name": "all"}))
        return tmp_path / "audit", Reviews(curate.open_audit(tmp_path / "audit"))

    return make


def test_masks_without_an_id_are_numbered_by_their_place_and_may_move(
    audited: Any, content: dict[str, Any], tmp_path: Path
) -> None:
    for k in (1, 2, 4):
        del content["annotations"][k]["id"]
    path, reviews = audited()
    reviews.add(pd.DataFrame({"mask_id": [50], "action": "reject"}), origin="a test")
    verbs.write(path, tmp_path / "out.json")
    written = json.loads((tmp_path / "out.json").read_text())
    assert written["annotations"] == content["annotations"][1:]


def test_a_mask_without_pixels_is_no_obstacle_to_a_new_one_on_its_image(
    audited: Any, content: dict[str, Any], tmp_path: Path
) -> None:
    content["annotations"][1]["segmentation"] = {"size": [24, 40], "counts": "~"}
    path, reviews = audited()
    mask = np.zeros(SIZE, bool)
    mask[3, 4] = True
    new = pd.DataFrame({"image_id": [2], "segmentation": [encoded(mask)]})
    none = pd.DataFrame({"mask_id": [], "action": []})
    reviews.add(none, origin="a test", missing=new)
    verbs.write(path, tmp_path / "out.json")
    written = json.loads((tmp_path / "out.json").read_text())
    assert written["annotations"][:-1] == content["annotations"]
    assert written["annotations"][-1]["segmentation"] == rle_of(mask)
    assert written["annotations"][-1]["id"] == 56


def test_provenance_may_be_asked_for_on_another_disk(
    audited: Any, content: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, reviews = audited()
    reviews.add(pd.DataFrame({"mask_id": [50], "action": "reject"}), origin="a test")
    other, real = tmp_path / "other" / "disk", os.replace

    def replace(first: Any, second: Any) -> None:
        if Path(second).is_relative_to(other) and not Path(first).is_relative_to(other):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        real(first, second)

    monkeypatch.setattr(os, "replace", replace)
    verbs.write(path, tmp_path / "out.json", provenance=other / "what.json")
    monkeypatch.undo()
    rows = json.loads((other / "what.json").read_text())["masks"]
    assert [row["change"] for row in rows] == ["kept"] * 5 + ["removed"]
    assert [p.name for p in other.iterdir()] == ["what.json"]
    (tmp_path / "file").write_text("")
    with pytest.raises(AuditError, match="it cannot be written"):
        verbs.write(path, tmp_path / "2.json", provenance=tmp_path / "file" / "what.json")
    assert not (tmp_path / "2.json").exists()
