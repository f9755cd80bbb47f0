"""What a dataset becomes as COCO: ids of categories, names of pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import curate
from curate import verbs
from curate.curation.policy import load_policy
from curate.inputs import Inputs
from curate.pipeline import audit


def test_categories_without_names_keep_their_numbers(case: Any) -> None:
    one = case("coco-results")
    numbers = {int(n) for n in one.table.masks["category_id"].dropna()}
    assert numbers
    one.say("fix", category="77")
    one.add(one.dot(), None)
    verbs.write(one.audit, one.out, to="coco")
    written = json.loads(one.out.read_bytes())
    found = {one["id"]: one["name"] for one in written["categories"]}
    assert {number: str(number) for number in numbers}.items() <= found.items()
    assert found[77] == "77"
    assert found[max(found)] == "object"
    used = {one["category_id"] for one in written["annotations"]}
    assert used <= found.keys()


@pytest.mark.parametrize("with_pictures", [True, False])
def test_images_get_the_names_of_their_pictures_where_these_are_known(
    tmp_path: Path, with_pictures: bool
) -> None:
    ids = np.zeros((24, 40), np.uint8)
    ids[3:9, 4:20] = 1
    (tmp_path / "source").mkdir()
    (tmp_path / "photos" / "sub").mkdir(parents=True)
    for name in ("a", "b"):
        Image.fromarray(ids).save(tmp_path / "source" / f"{name}.png")
    Image.new("RGB", (40, 24)).save(tmp_path / "photos" / "sub" / "a.jpg")
    inputs = Inputs(images=tmp_path / "photos") if with_pictures else None
    policy = load_policy({"name": "all"})
    audit(tmp_path / "source", tmp_path / "audit", policy=policy, inputs=inputs)
    verbs.write(tmp_path / "audit", tmp_path / "coco.json", to="coco")
    written = json.loads((tmp_path / "coco.json").read_bytes())
    names = [one["file_name"] for one in written["images"]]
    assert names == (["sub/a.jpg", "b.png"] if with_pictures else ["a.png", "b.png"])
    found = curate.diff(tmp_path / "source", tmp_path / "coco.json")
    assert not len(found.images)
    assert (found.unchanged, len(found.masks)) == (2, 0)
