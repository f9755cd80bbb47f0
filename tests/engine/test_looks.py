"""Looks of an engine's images, and the choice of a round's images by them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from curate.engine.choosing import ChoiceSettings, take_images
from curate.engine.looks import ImageLooks, find_looks, read_looks
from curate.engine.pictures import POOL, read_pictures
from curate.errors import AuditError

COLOURS = {"red": (200, 20, 20), "green": (20, 200, 20), "blue": (20, 20, 200)}


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Twenty red pictures, and two green and two blue ones."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    random = np.random.default_rng(0)
    for name, count in (("red", 20), ("green", 2), ("blue", 2)):
        for k in range(count):
            noise = random.integers(0, 20, (24, 32, 3))
            picture = (np.array(COLOURS[name]) + noise).astype(np.uint8)
            Image.fromarray(picture).save(folder / f"{name}-{k:02d}.png")
    return folder


def looks_of(tmp_path: Path, pictures: Path) -> tuple[pd.DataFrame, ImageLooks]:
    images = read_pictures(pictures, None)
    return images, find_looks(tmp_path, pictures, images, seed=0, progress=None)


def colours(images: pd.DataFrame, ids: list[int]) -> list[str]:
    names = images.set_index("image_id")["file_name"].loc[ids]
    return [name.partition("-")[0] for name in names]


def test_pictures_are_looked_at_once(tmp_path: Path, pictures: Path) -> None:
    (pictures / "broken.png").write_bytes(b"no picture")
    images = read_pictures(pictures, None)
    (pictures / "red-03.png").unlink()  # since then
    seen: list[tuple[str, float, int, int]] = []
    looks = find_looks(tmp_path, pictures, images, seed=0, progress=lambda *what: seen.append(what))
    assert len(looks.image_id) == 24  # without the one that is left out
    assert seen == [("describing pictures", 1, 1, 0)]
    gone = int(images.set_index("file_name")["image_id"].loc["red-03.png"])
    missing = np.isnan(looks.features).all(axis=1)
    assert looks.image_id[missing].tolist() == [gone]
    assert looks.cluster[missing].tolist() == [-1]
    for path in pictures.iterdir():
        path.unlink()
    again = find_looks(tmp_path, pictures, images, seed=0, progress=None)
    np.testing.assert_array_equal(again.features, looks.features)
    np.testing.assert_array_equal(again.cluster, looks.cluster)
    of = looks.of([gone, 10**6, int(looks.image_id[0])])
    assert np.isnan(of[:2]).all()
    np.testing.assert_array_equal(of[2], looks.features[0])
    assert looks.clusters_of(np.array([10**6])).tolist() == [-1]


def test_alike_pictures_share_a_cluster(tmp_path: Path, pictures: Path) -> None:
    images, looks = looks_of(tmp_path, pictures)
    names = colours(images, looks.image_id.tolist())
    for k in set(looks.cluster.tolist()):
        assert len({names[row] for row in np.flatnonzero(looks.cluster == k)}) == 1


def test_a_damaged_file_is_named(tmp_path: Path, pictures: Path) -> None:
    looks_of(tmp_path, pictures)
    path = tmp_path / "looks.parquet"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(AuditError, match="remove it: it is made again from the pictures"):
        read_looks(tmp_path)
    path.unlink()
    assert len(looks_of(tmp_path, pictures)[1].image_id) == 24


def test_pictures_none_of_which_is_there(tmp_path: Path, pictures: Path) -> None:
    images = read_pictures(pictures, None)
    for path in pictures.iterdir():
        path.unlink()
    looks = find_looks(tmp_path, pictures, images, seed=0, progress=None)
    assert looks.features.shape == (24, 0)
    assert set(looks.cluster.tolist()) == {-1}


@pytest.mark.parametrize("rule", ["diverse", "farthest"])
def test_a_round_has_all_kinds_and_the_next_other_ones(
    tmp_path: Path, pictures: Path, rule: str
) -> None:
    images, looks = looks_of(tmp_path, pictures)
    choice = ChoiceSettings(rule, looks, 0, 1)
    first, passed = take_images(pictures, images, set(), 3, choice)
    assert sorted(colours(images, first)) == ["blue", "green", "red"]
    assert passed == []
    assert take_images(pictures, images, set(), 3, choice)[0] == first
    names = set(images.set_index("image_id")["file_name"].loc[first])
    second, _ = take_images(pictures, images, names, 30, ChoiceSettings(rule, looks, 0, 2))
    assert len(second) == 21
    assert not set(first) & set(second)
    # Those that were annotated before count as taken.
    images.loc[images["file_name"].str.startswith(("green", "blue")), "role"] = "start"
    only, _ = take_images(pictures, images, set(), 3, choice)
    assert colours(images, only) == ["red"] * 3
    assert (images["role"] == POOL).sum() == 20


def test_other_pictures_come_for_those_that_are_gone(tmp_path: Path, pictures: Path) -> None:
    images, looks = looks_of(tmp_path, pictures)
    (pictures / "green-00.png").unlink()
    Image.new("RGB", (32, 24)).save(pictures / "green-01.png")
    for choice in (ChoiceSettings("diverse", looks, 0, 1), ChoiceSettings("random", None, 0, 1)):
        chosen, passed = take_images(pictures, images, set(), 24, choice)
        assert len(chosen) == 22
        assert sorted(one["file_name"] for one in passed) == ["green-00.png", "green-01.png"]
        assert {one["reason"].partition(" (")[0] for one in passed} == {
            "cannot be read",
            "has changed",
        }
    few, passed = take_images(pictures, images, set(), 3, ChoiceSettings("diverse", looks, 0, 1))
    assert len(few) == 3
    assert "green" not in colours(images, few)
    assert passed
