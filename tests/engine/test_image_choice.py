"""Choice of images: what each rule prefers, and what it must not depend on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from curate.common.arrays import FloatArray, IntArray
from curate.engine.image_choice import (
    IMAGE_RULES,
    ImagePool,
    choose_images,
    measure_unsureness,
    rank_doubt,
)
from curate.engine.image_features import describe_images
from curate.errors import CallError
from curate.images import ImageFolder
from curate.scorers.reprompt import Prompter
from curate.testing.bright_segmenter import BrightSegmenter


def clustered(sizes: list[int], seed: int = 0) -> tuple[FloatArray, IntArray]:
    """Return points in clusters far apart, and the cluster of each."""
    random = np.random.default_rng(seed)
    centres = np.array([[40.0 * k, 40.0 * (k % 2), -25.0 * k] for k in range(len(sizes))])
    owner = np.repeat(np.arange(len(sizes)), sizes)
    return centres[owner] + random.normal(size=(len(owner), 3)), owner


@st.composite
def pools(draw: st.DrawFn) -> ImagePool:
    n = draw(st.integers(1, 25))
    random = np.random.default_rng(draw(st.integers(0, 2**20)))
    width = draw(st.sampled_from([1, 3, 40]))
    features = random.integers(0, draw(st.sampled_from([2, 1000])), (n, width)).astype(float)
    features[random.random(n) < draw(st.sampled_from([0.0, 0.3, 1.0]))] = np.nan
    doubt = np.where(random.random(n) < 0.2, np.nan, random.random(n).round(1))
    chosen = random.normal(size=(draw(st.integers(0, 4)), width))
    return ImagePool(random.permutation(900)[:n].astype(np.int64), features, doubt, chosen)


@given(pools(), st.integers(1, 30), st.sampled_from(IMAGE_RULES), st.integers(0, 99))
def test_every_rule_takes_different_images_whatever_their_order(
    pool: ImagePool, count: int, rule: str, seed: int
) -> None:
    taken = choose_images(pool, count, rule=rule, seed=seed)
    assert len(taken) == len(set(taken.tolist())) == min(count, len(pool.image_id))
    assert set(taken.tolist()) <= set(pool.image_id.tolist())
    assert pool.features is not None
    assert pool.unsureness is not None
    mixed = np.random.default_rng(seed).permutation(len(pool.image_id))
    other = ImagePool(
        pool.image_id[mixed], pool.features[mixed], pool.unsureness[mixed], pool.chosen
    )
    assert choose_images(other, count, rule=rule, seed=seed).tolist() == taken.tolist()


@given(pools(), st.integers(1, 30), st.integers(0, 99))
def test_images_without_features_come_last_unless_all_is_chance(
    pool: ImagePool, count: int, seed: int
) -> None:
    assert pool.features is not None
    known = dict(zip(pool.image_id, np.isfinite(pool.features).all(axis=1), strict=True))
    for rule in ("diverse", "farthest", "unsure"):
        found = [known[k] for k in choose_images(pool, count, rule=rule, seed=seed)]
        assert found == sorted(found, reverse=True)


@pytest.mark.parametrize("rule", ["diverse", "farthest"])
@pytest.mark.parametrize("seed", range(5))
def test_each_cluster_is_seen_before_one_is_seen_twice(rule: str, seed: int) -> None:
    features, owner = clustered([200, 5, 5, 90, 5])
    ids = np.arange(len(owner)) + 7
    taken = choose_images(ImagePool(ids, features), 5, rule=rule, seed=seed)
    assert sorted(owner[taken - 7]) == [0, 1, 2, 3, 4]
    by_chance = choose_images(ImagePool(ids, features), 5, rule="random", seed=seed)
    assert len(set(owner[by_chance - 7])) < 5


def test_farthest_by_hand() -> None:
    line = np.array([[0.0], [1.0], [5.0], [10.0], [5.0]])
    ids = np.array([10, 11, 12, 13, 14])
    taken = choose_images(ImagePool(ids, line), 5, rule="farthest")
    assert set(taken[:1]) < {12, 14}  # the middlemost, one of two alike
    assert taken[1:4].tolist() in ([10, 13, 11], [13, 10, 11])
    before = ImagePool(ids, line, chosen=np.array([[10.0]]))
    assert choose_images(before, 2, rule="farthest").tolist()[0] == 10
    assert 13 not in choose_images(before, 4, rule="farthest")


def test_an_outlier_seldom_goes_before_a_crowd_where_images_stand_for_others() -> None:
    random = np.random.default_rng(4)
    features = np.concatenate([random.normal(size=(400, 4)), [[30.0, 0, 0, 0]]])
    ids = np.arange(401)
    far = choose_images(ImagePool(ids, features), 2, rule="farthest")
    assert 400 in far
    early = [
        400 in choose_images(ImagePool(ids, features), 2, rule="diverse", seed=seed)
        for seed in range(20)
    ]
    assert sum(early) < 20


def test_the_unsure_are_chosen_and_of_copies_one() -> None:
    random = np.random.default_rng(1)
    features = random.normal(size=(60, 5))
    doubt = random.random(60)
    features[50:] = features[50]  # ten frames of one scene, where the model is most unsure
    doubt[50:] = 2.0
    ids = np.arange(60)
    taken = choose_images(ImagePool(ids, features, doubt), 10, rule="unsure")
    assert (taken >= 50).sum() == 1
    assert taken[0] >= 50
    assert doubt[taken[1:]].mean() > np.sort(doubt[:50])[-25:].mean()
    near = ImagePool(ids, features, doubt, features[50:51])
    assert not (choose_images(near, 10, rule="unsure") >= 50).any()


def test_only_the_order_of_unsureness_counts() -> None:
    random = np.random.default_rng(2)
    features, doubt, ids = random.normal(size=(80, 6)), random.random(80), np.arange(80)
    taken = choose_images(ImagePool(ids, features, doubt), 20, rule="unsure", seed=3)
    same = choose_images(ImagePool(ids, features, np.exp(9 * doubt) - 5), 20, rule="unsure", seed=3)
    assert taken.tolist() == same.tolist()


def test_without_features_the_most_unsure_are_first() -> None:
    doubt = np.array([0.1, 0.5, np.nan, 0.9, 0.2])
    pool = ImagePool(np.arange(5), None, doubt)
    assert choose_images(pool, 5, rule="unsure").tolist() == [3, 1, 2, 4, 0]
    by_chance = choose_images(pool, 5, rule="random", seed=4).tolist()
    assert choose_images(pool, 5, rule="diverse", seed=4).tolist() == by_chance


def test_chance_is_even() -> None:
    pool = ImagePool(np.arange(10))
    count = np.zeros(10)
    for seed in range(2000):
        count[choose_images(pool, 3, rule="random", seed=seed)] += 1
    assert (np.abs(count - 600) < 5 * np.sqrt(2000 * 0.3 * 0.7)).all()


def test_a_hundred_thousand_images() -> None:
    random = np.random.default_rng(0)
    n = 100_000
    features = random.normal(size=(n, 8))
    pool = ImagePool(np.arange(n), features, random.random(n), features[:20])
    for rule in IMAGE_RULES:
        taken = choose_images(pool, 5, rule=rule)
        assert len(set(taken.tolist())) == 5
        assert rule == "random" or (taken >= 20).all()


def test_ranks_of_doubt() -> None:
    assert rank_doubt(np.array([3.0, 1.0, 2.0])).tolist() == [1.0, 0.0, 0.5]
    assert rank_doubt(np.array([np.nan, np.nan])).tolist() == [0.5, 0.5]
    assert rank_doubt(np.array([7.0])).tolist() == [0.5]


def test_unsureness_of_proposals_by_hand() -> None:
    proposals = pd.DataFrame(
        {
            "image_id": [1, 1, 2, 3],
            "predicted_iou": [0.9, 0.8, 0.7, np.nan],
            "stability_score": [1.0, np.nan, 0.5, np.nan],
        }
    )
    found = measure_unsureness(proposals, np.array([3, 2, 1, 9]))
    assert found.index.tolist() == [3, 2, 1, 9]
    np.testing.assert_allclose(found, [np.nan, 1.0, (0 + 0.5) / 2, np.nan])
    changed = proposals.assign(predicted_iou=np.log(proposals["predicted_iou"]))
    pd.testing.assert_series_equal(measure_unsureness(changed, np.array([3, 2, 1, 9])), found)
    with pytest.raises(CallError, match="no signal"):
        measure_unsureness(proposals[["image_id"]], np.array([1]))


def test_calls_that_cannot_be_answered() -> None:
    ids = np.arange(3)
    with pytest.raises(CallError, match="'best' is no rule"):
        choose_images(ImagePool(ids), 1, rule="best")
    with pytest.raises(CallError, match="no model has looked"):
        choose_images(ImagePool(ids), 1, rule="unsure")
    with pytest.raises(CallError, match="--count is 0"):
        choose_images(ImagePool(ids), 0, rule="random")
    with pytest.raises(CallError, match="listed twice"):
        ImagePool(np.array([1, 1]))
    with pytest.raises(CallError, match="3 images and 2 rows"):
        ImagePool(ids, np.zeros((2, 4)))
    with pytest.raises(CallError, match="unlike those of the pool"):
        ImagePool(ids, np.zeros((3, 4)), chosen=np.zeros((1, 5)))


def test_features_of_images(tmp_path: Path) -> None:
    """By thumbnails and by embeddings alike images are near, unlike ones far, and gaps are NaN."""
    random = np.random.default_rng(0)
    bright = random.integers(150, 250, (40, 60, 3)).astype(np.uint8)
    alike = np.clip(bright.astype(int) + 2, 0, 255).astype(np.uint8)
    for name, picture in (("a", bright), ("b", alike), ("c", 255 - bright)):
        Image.fromarray(picture).save(tmp_path / f"{name}.png")
    (tmp_path / "d.png").write_bytes(b"no picture")
    names = ["a.png", "b.png", "c.png", "d.png", "gone.png"]
    images = pd.DataFrame({"file_name": names, "height": 40, "width": 60})
    folder = ImageFolder(tmp_path)
    for segmenter, by in ((None, "thumbnails"), (Prompter(BrightSegmenter()), "embeddings")):
        looks = describe_images(folder, images, segmenter)
        assert looks.described_by == by
        assert looks.features is not None
        a, b, c = looks.features[:3]
        assert np.isnan(looks.features[3:]).all()
        assert np.linalg.norm(a - b) < 0.2 * np.linalg.norm(a - c)
    nothing = describe_images(folder, images[3:])
    assert (nothing.features, nothing.described_by) == (None, "")
