"""``prune --keep``: what is chosen, shown and written."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from boxes import rle

import curate
from curate.errors import AuditError, CallError
from curate.people.reviews import open_reviews

HEIGHT, WIDTH = 60, 80


def annotation(number: int, image: int, box: tuple[int, ...], **fields: Any) -> dict[str, Any]:
    """Return an annotation of a filled box, XYWH."""
    x, y, w, h = box
    pixels = np.zeros((HEIGHT, WIDTH), bool)
    pixels[y : y + h, x : x + w] = True
    stated = {"area": w * h, "bbox": list(box), "iscrowd": 0, "category_id": 1}
    one = {"id": number, "image_id": image, "segmentation": rle(pixels)}
    return one | stated | fields


def dataset() -> dict[str, Any]:
    """Return 8 images: 60 cats of all sizes, 4 dogs, a crowd region, a mask without pixels."""
    masks, number = [], 0
    for image in range(1, 7):
        for k in range(10):
            number += 1
            box = (15 * (k % 5) + 1, 20 * (k // 5) + 1, 4 + k % 7, 5 + (image + k) % 9)
            masks.append(annotation(number, image, box))
    for image in range(1, 5):
        number += 1
        masks.append(annotation(number, image, (2, 42, 7, 6), category_id=2))
    masks.append(annotation(CROWD, 1, (20, 42, 30, 8), iscrowd=1))
    masks.append(annotation(EMPTY, 2, (0, 0, 0, 0)))
    size = {"height": HEIGHT, "width": WIDTH}
    return {
        "images": [{"id": k, "file_name": f"{k}.jpg", **size} for k in range(1, 9)],
        "annotations": masks,
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
    }


CROWD, EMPTY = 65, 66


@pytest.fixture(scope="session")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("subsets")
    (folder / "source.json").write_text(json.dumps(dataset()))
    curate.audit(folder / "source.json", folder / "audit")
    return folder / "audit"


def ids_of(path: Path) -> set[int]:
    return {one["id"] for one in json.loads(path.read_text())["annotations"]}


def test_what_is_written_is_what_was_shown(audited: Path, tmp_path: Path) -> None:
    shown: list[dict[str, Any]] = []

    def note(meant: Any) -> None:
        assert not (tmp_path / "out.json").exists()
        shown.append(meant.as_dict()["effect"])

    dry = curate.prune(audited, keep="50%", floor=4)
    assert dry.out is None
    done = curate.prune(audited, tmp_path / "out.json", keep=0.5, floor=4, show=note)
    assert shown == [dry.as_dict()["effect"]] == [done.as_dict()["effect"]]
    kept = ids_of(tmp_path / "out.json")
    assert len(kept) == done.kept == 33 + 1  # half of 65, and the crowd region
    assert {CROWD, 61, 62, 63, 64} <= kept  # and all the rare dogs
    assert EMPTY not in kept
    found = done.as_dict()["subset"]
    assert found == {"asked": 33, "available": 64, "floor": 4, "seed": 0, "pictures_by": None}


def test_a_smaller_subset_is_within_a_larger_one(audited: Path, tmp_path: Path) -> None:
    kept = []
    for share in (5, 0.3, 0.5, 40, 0.9, 1.0):
        out = tmp_path / f"{share}.json"
        curate.prune(audited, out, keep=share)
        kept.append(ids_of(out))
    assert all(a < b for a, b in itertools.pairwise(kept))


def test_more_than_there_is(audited: Path) -> None:
    result = curate.prune(audited, keep=1000)
    assert result.kept == 65
    assert "1,000 masks were asked for, 64 can stay" in result.text()


def test_floors_that_there_is_no_room_for_are_named(audited: Path) -> None:
    result = curate.prune(audited, keep=4, floor=3)
    assert [one.name for one in result.effect.under_floor] == ["cat", "dog"]
    assert "2 categories keep fewer than 3 masks" in result.text()


def test_people_have_the_last_word(audited: Path, tmp_path: Path) -> None:
    """What they accept goes in first, what they reject never."""
    copy = tmp_path / "audit"
    for path in sorted(audited.rglob("*")):
        if path.is_file():
            target = copy / path.relative_to(audited)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    order = curate.prune(audited, keep=1.0, floor=0).subset
    assert order is not None
    last, first = order.order.index[-1], order.order.index[0]
    rows = pd.DataFrame({"mask_id": [last, first], "action": ["accept", "reject"]})
    open_reviews(curate.open_audit(copy), create=True).add(rows.assign(reviewer="ann"), origin="t")
    curate.prune(copy, tmp_path / "out.json", keep=10, floor=0)
    kept = ids_of(tmp_path / "out.json")
    assert last in kept
    assert first not in kept


def test_images_that_keep_a_part_are_named(audited: Path) -> None:
    text = curate.prune(audited, keep=20).text()
    assert "keep some masks only: training may take the objects without one for background" in text
    assert "chosen without pictures" in text
    assert "keep some masks only" not in curate.prune(audited).text()


def test_nothing_to_keep(audited: Path) -> None:
    with pytest.raises(AuditError, match="no mask can be kept"):
        curate.prune(audited, keep=1, drop=("review", "accept"))


@pytest.mark.parametrize("keep", ["half", 0, 1.5, "0%"])
def test_no_number_of_masks(audited: Path, keep: Any) -> None:
    with pytest.raises(CallError, match="--keep"):
        curate.prune(audited, keep=keep)


def test_sizes_are_spread(audited: Path) -> None:
    """A third of the masks has every size band of the whole, in octaves."""
    masks = curate.open_audit(audited).masks(["area_px", "action"])
    chosen = curate.prune(audited, keep=0.33, floor=0).subset
    assert chosen is not None
    octave = np.floor(np.log2(masks["area_px"].clip(lower=1)) / 2)
    good = masks["action"] == "accept"
    assert set(octave[good]) == set(octave[chosen.stays & good])


@pytest.mark.parametrize("kind", [".csv", ".parquet"])
def test_weights_leave_the_dataset_alone(audited: Path, tmp_path: Path, kind: str) -> None:
    place = tmp_path / f"weights{kind}"
    result = curate.prune(audited, weights=place, keep="50%")
    assert [p.name for p in tmp_path.iterdir()] == [place.name]
    assert (result.out, result.weights, result.as_dict()["dry_run"]) == (None, place, False)
    read = pd.read_csv if kind == ".csv" else pd.read_parquet
    found = read(place)
    assert list(found.columns) == ["mask_id", "source_key", "weight"]
    weights = found.set_index("mask_id")["weight"]
    assert weights.between(0, 1).all()
    assert weights.sum() == pytest.approx(33)
    assert weights[CROWD] == weights[EMPTY] == 0
    masks = curate.open_audit(audited).masks(["source_key"])
    keys = found.set_index("mask_id")["source_key"]
    assert keys.to_dict() == masks["source_key"].to_dict()
    assert "wrote weights of 66 masks, 33 in all" in result.text()
    assert result.effect.masks.after == 33


def test_where_weights_cannot_be_written(audited: Path, tmp_path: Path) -> None:
    (tmp_path / "there.csv").touch()
    for weights, out, why in (
        (tmp_path / "w.json", None, r"\.parquet or \.csv"),
        (tmp_path / "there.csv", None, "exists already"),
        (tmp_path / "w.csv", tmp_path / "out.json", "both given"),
    ):
        with pytest.raises(CallError, match=why):
            curate.prune(audited, out, weights=weights)
