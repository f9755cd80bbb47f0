"""Networks that see objects without a mask: parts of the way, a training, and what it finds."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import tiny_exhaustivity
import torch
from PIL import Image
from shapes_dataset import SIZE, write_shapes

import curate
from curate.errors import CallError, SourceError
from curate.networks.verifier_training import (
    dropped_masks,
    exhaustivity_training,
    train_on_dataset,
    verifier_fitting,
)
from curate.networks.verifier_training.exhaustivity_trial import (
    TriedImage,
    fit_logistic,
    measure_trial,
)
from curate.networks.verifiers.reduced_images import reduce_image, reduced_shape
from curate.networks.verifiers.unmasked_objects import (
    LogisticFunction,
    choose_candidates,
    enlarge_candidate,
    find_candidates,
)
from curate.networks.verifiers.verifier import load_verifier
from curate.networks.verifiers.verifier_network import VerifierShape
from curate.rle import as_runs, concat, decode_counts, from_dense, iou, to_dense

IMAGES = 40


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_shapes(tmp_path_factory.mktemp("shapes"), IMAGES, seed=5, categories=1)


@pytest.fixture(scope="module")
def trained(dataset, tmp_path_factory):
    """One training that has learned something, for all tests here."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verifier_fitting, "STEPS_PER_ROUND", 1)
        patch.setattr(train_on_dataset, "TRIED", 4)
        patch.setattr(
            train_on_dataset, "VerifierShape", lambda **sizes: VerifierShape(width=2, **sizes)
        )
        tiny_exhaustivity.shrink(patch, width=6)
        patch.setattr(exhaustivity_training, "STEPS_PER_ROUND", 25)
        patch.setattr(exhaustivity_training, "EXAMPLES", 4)
        patch.setattr(exhaustivity_training, "TRIED_IMAGES", 12)
        out = tmp_path_factory.mktemp("v") / "verifier"
        yield curate.train_verifier(dataset, out, rounds=2, batch=2, folds=2, device="cpu")
    torch.set_num_threads(before)


def square(top: int, left: int, side: int, size: tuple[int, int] = (60, 80)):
    mask = np.zeros(size, bool)
    mask[top : top + side, left : left + side] = True
    return mask


def test_pictures_and_masks_are_reduced_alike():
    assert reduced_shape((100, 4000), 2000.0) == (4, 160)
    assert reduced_shape((3000, 4000), 4.0) == (768, 1024)
    picture = np.zeros((480, 640, 3), np.uint8)
    one, tiny = square(100, 200, 80, (480, 640)), square(5, 5, 1, (480, 640))
    empty = np.zeros((480, 640), bool)
    runs = concat([from_dense(mask) for mask in (one, tiny, empty)])
    found = reduce_image(picture, runs, 40.0)
    assert found.shape == (240, 320)
    assert (found.draw([0]) == square(50, 100, 40, (240, 320))).all()
    assert found.draw([1]).sum() == 1
    assert found.draw([2]).sum() == 0
    assert found.cover([0]).sum() == 1
    double = reduce_image(picture[:48, :64], from_dense(square(3, 5, 10, (48, 64))), 8.0)
    assert double.shape == (96, 128)
    assert (double.draw([0]) == square(6, 10, 20, (96, 128))).all()


def test_examples_show_what_was_dropped_and_only_that():
    picture = np.full((120, 160, 3), 40, np.uint8)
    masks = [square(20, 20, 25, (120, 160)), square(60, 90, 25, (120, 160))]
    for mask in masks:
        picture[mask] = 200
    image = reduce_image(picture, concat([from_dense(mask) for mask in masks]), 25.0)
    seen = set()
    for seed in range(30):
        made = dropped_masks.make_dropped_example(image, np.random.default_rng(seed))
        bright, cover = made.inputs[0] > 0.5, made.inputs[4] > 0
        small = np.kron(made.truth >= 0.5, np.ones((2, 2), bool))
        assert not (small & cover).any()
        assert made.weights[made.truth > 0].min(initial=1) > 0
        objects = bright & (made.inputs[3] > 0)
        if objects.any():  # each object is covered, or was dropped, but for its rim
            assert ((small | cover) & objects).sum() > 0.85 * objects.sum()
        seen.add((bool(small.any()), bool(cover.any())))
    assert len(seen) >= 3


def test_connected_parts_become_masks_of_the_image():
    probability = np.zeros((60, 80), np.float32)
    probability[10:20, 10:20], probability[40:50, 50:62] = 0.9, 0.4
    cover = square(0, 0, 10)
    found = find_candidates(probability, cover)
    assert {one.level for one in found} == {0.08, 0.15, 0.3, 0.5, 0.7, 0.85}
    sure = np.array([one.level for one in found])
    first, second = (found[k] for k in choose_candidates(found, sure))
    assert (first.level, second.level) == (0.85, 0.3)
    pixels = enlarge_candidate(first, probability, (240, 320))
    assert pixels.sum() == pytest.approx(1600, rel=0.2)
    assert pixels[44:76, 44:76].all()
    assert find_candidates(np.zeros((60, 80), np.float32), cover) == []
    assert choose_candidates([], np.zeros(0)) == []


def test_probabilities_are_those_of_the_examples():
    random = np.random.default_rng(0)
    values = random.normal(0, 1, (4000, 2))
    chance = 1 / (1 + np.exp(1 - 2 * values[:, 0]))
    fitted = fit_logistic(values, random.random(4000) < chance, np.ones(4000))
    assert np.abs(fitted(values) - chance).max() < 0.06
    again = LogisticFunction.from_record(json.loads(json.dumps(fitted.as_record())), 2)
    assert (again(values) == fitted(values)).all()
    for wrong in ({}, fitted.as_record() | {"spreads": [0.0, 1.0]}, [1]):
        with pytest.raises(ValueError, match=r"spreads|object|list"):
            LogisticFunction.from_record(wrong, 2)


def test_networks_that_see_nothing_are_no_better_than_chance():
    tried = [TriedImage(k, k % 2, whole, [], np.zeros(0)) for k in range(30) for whole in (1, 0)]
    trial = measure_trial(tried)
    assert trial.worth.images_auc == 0.5
    assert not trial.worth.counts
    assert trial.worth.found == 0
    assert not measure_trial([]).worth.counts


def test_the_record_says_how_many_dropped_masks_were_found(trained):
    tried = trained.record["exhaustivity"]
    assert (tried["images"], tried["drops"]) == (24, 24)
    assert tried["steps"] == tried["steps_planned"] == [50, 50]
    assert tried["images_auc"] > 0.8
    assert tried["found"] > 0.3
    assert "missing masks: held-out images with one mask dropped come before" in trained.text()


def test_a_missing_mask_is_found_where_it_is(dataset, trained):
    """Each image is asked with one mask dropped; its own network saw neither."""
    judge = load_verifier(str(trained.path), device="cpu")
    coco = json.loads(dataset.read_text())
    found = scores = 0
    for number in range(5):
        picture = np.asarray(Image.open(dataset.parent / "images" / f"{number}.png").convert("RGB"))
        counts = [a["segmentation"] for a in coco["annotations"] if a["image_id"] == number]
        runs = as_runs(counts)
        part = judge.find_unmasked(picture, runs[np.array([0, 2])])
        whole = judge.find_unmasked(picture, runs)
        assert part.category == "disc"
        scores += part.any_probability > whole.any_probability
        covered = to_dense(runs, 0) | to_dense(runs, 2)
        for k in range(len(part.runs)):
            assert not (to_dense(part.runs, k) & covered).any()
        if len(part.runs):
            found += bool(iou(part.runs[:1], runs[1:2])[0, 0] > 0.5)
    assert found >= 3
    assert scores >= 4
    bare = judge.find_unmasked(picture, decode_counts([], [], [])[0])
    assert len(bare.runs) >= 2
    with pytest.raises(CallError, match="its masks are not"):
        judge.find_unmasked(np.zeros((9, 9, 3), np.uint8), runs)


def test_an_audit_says_that_a_verifier_no_better_than_chance_proposes_nothing(
    dataset, trained, tmp_path
):
    folder = shutil.copytree(trained.path, tmp_path / "v")
    config = json.loads((folder / "config.json").read_text())
    config["exhaustivity"]["held_out"] |= {"images_auc": 0.51, "images_auc_low": 0.46}
    (folder / "config.json").write_text(json.dumps(config))
    images = dataset.parent / "images"
    audit = curate.audit(
        dataset, tmp_path / "a.audit", images=images, verifier=str(folder), device="cpu"
    )
    found = audit.query("select exhaustive_score, missing_detections from images")
    assert found.isna().all(axis=None)
    (note,) = (one for one in audit.info.notes if one["kind"] == "verifier_proposes_none")
    assert (note["of"], note["examples"]) == ("models", [])
    assert "no better than chance (its AUC is 0.51 on held-out images" in note["text"]


def test_a_verifier_of_before_finds_nothing_and_a_damaged_one_is_refused(trained, tmp_path):
    folder = shutil.copytree(trained.path, tmp_path / "v")
    path = folder / "config.json"
    config = json.loads(path.read_text())
    about = config.pop("exhaustivity")
    path.write_text(json.dumps(config))
    judge = load_verifier(str(folder), device="cpu")
    picture = np.zeros((*SIZE, 3), np.uint8)
    assert judge.find_unmasked(picture, decode_counts([], [], [])[0]) is None
    for damage, what in (
        ({"object_side": 0}, "object_side is no number over 0"),
        ({"width": 12}, "its weights do not fit"),
        ({"width": 9000}, "its layers are 9000 wide"),
        ({"held_out": {"images_auc": 2}}, "images_auc is no number"),
        ({"of_image": None}, "no object"),
    ):
        path.write_text(json.dumps(config | {"exhaustivity": about | damage}))
        with pytest.raises(SourceError, match=what):
            load_verifier(str(folder), device="cpu")
