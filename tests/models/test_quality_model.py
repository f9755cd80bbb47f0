"""The quality model's parts, each held against an independent reference or a plain count."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import AuditError
from curate.quality import training
from curate.quality.features import FeatureColumns, choose_columns, evidence_shares
from curate.quality.metrics import (
    average_precision,
    calibration_error,
    log_losses,
    reliability,
    share_over_zero,
)
from curate.quality.model import QualityModel, expit, explain
from curate.quality.model_file import VERSION, from_bytes, to_bytes
from curate.quality.sample_weights import (
    FEWEST,
    choose_pseudo_good,
    find_unreviewed,
    poststratify,
    prominence,
)
from curate.quality.training import stack
from curate.quality.tree_growing import grow
from curate.quality.trees import concat_trees, empty_trees

COLUMNS = FeatureColumns(("hole_score", "outline_score"), ("area_px",))


def made_up(n: int = 600, seed: int = 0, images: int = 60) -> training.TrainingSet:
    """Masks that are bad where the first signal is low, with some noise; area tells nothing."""
    random = np.random.default_rng(seed)
    hole, outline = random.uniform(0, 1, (2, n))
    area = random.lognormal(5, 1, n)
    suspicion = np.log(0.05 + random.exponential(1, n) * (hole < 0.3))
    bad = random.uniform(size=n) < np.where(hole < 0.15, 0.9, 0.03)
    matrix = np.column_stack([suspicion, hole, outline, area])
    matrix[random.uniform(size=n) < 0.1, 2] = np.nan
    groups = random.integers(images, size=n)
    groups = np.unique(groups, return_inverse=True)[1]
    return training.TrainingSet(COLUMNS, matrix, bad, np.ones(n), groups)


@pytest.fixture(scope="module")
def model() -> QualityModel:
    lessons = made_up()
    trees = grow(lessons.matrix, lessons.bad, COLUMNS.directions(), 0)
    made = QualityModel(COLUMNS, -0.5, 0.7, trees).center(lessons.matrix)
    return replace(made, seen=np.array([3, 2**63 + 5], np.uint64))


# --- what is looked at ---------------------------------------------------------------------------


def test_columns_that_tell_nothing_apart_are_left_out() -> None:
    frame = pd.DataFrame(
        {
            "hole_score": [0.1, 1.0],
            "crop_score": [np.nan, np.nan],
            "coverage_score": [1.0, 1.0],
            "quality_score": [0.1, 0.9],
            "unlearned_quality_score": [0.1, 0.9],
            "predicted_iou": [0.9, 1.02],
            "area_px": [10, 20],
            "centre_x": [0.1, 0.9],
        }
    )
    found = choose_columns(frame, ["area_px", "centre_x", "elongation"])
    assert found == FeatureColumns(("hole_score", "predicted_iou"), ("area_px",))
    assert found.directions() == [1, -1, -1, 0]


def test_a_matrix_has_the_suspicion_first_and_nan_for_what_is_missing() -> None:
    frame = pd.DataFrame({"hole_score": [0.5, np.inf], "area_px": pd.array([7, None], "Int64")})
    matrix = COLUMNS.matrix(frame, np.array([0.0, 0.95]))
    expected = [[np.log(0.05), 0.5, np.nan, 7.0], [0.0, np.nan, np.nan, np.nan]]
    np.testing.assert_allclose(matrix, expected, atol=1e-12)


def test_evidence_is_shared_out_by_squares() -> None:
    evidence = pd.DataFrame({"a_score": [3.0, 0.0], "b_score": [4.0, 0.0]})
    shares = evidence_shares(evidence)
    assert shares["a_score"].tolist() == pytest.approx([0.36, 0.0])
    assert shares["b_score"].tolist() == pytest.approx([0.64, 0.0])


# --- trees ---------------------------------------------------------------------------------------


def walked(trees: Any, row: Any) -> float:
    """Add up the leaves that a row falls into, the plain way."""
    total = 0.0
    for root in trees.roots:
        node = int(root)
        while trees.column[node] >= 0:
            x = row[trees.column[node]]
            left = trees.missing_left[node] if np.isnan(x) else x <= trees.threshold[node]
            node = int(trees.left[node] if left else trees.right[node])
        total += trees.value[node]
    return total


def test_trees_say_what_scikit_learn_says() -> None:
    from sklearn.ensemble import HistGradientBoostingClassifier

    from curate.quality import tree_growing as kept

    lessons = made_up()
    trees = grow(lessons.matrix, lessons.bad, COLUMNS.directions(), 5)
    reference = HistGradientBoostingClassifier(
        learning_rate=kept.RATE,
        max_iter=kept.ROUNDS,
        max_leaf_nodes=kept.LEAVES,
        min_samples_leaf=kept.SMALLEST_LEAF,
        l2_regularization=kept.SHRINKAGE,
        max_features=kept.ASKED,
        monotonic_cst=COLUMNS.directions(),
        early_stopping=False,
        random_state=5,
    ).fit(lessons.matrix, lessons.bad)
    other = made_up(seed=1).matrix
    np.testing.assert_allclose(trees.sum(other), reference.decision_function(other), atol=1e-9)


def test_contributions_add_up_to_the_leaves(model: QualityModel) -> None:
    trees, matrix = model.trees, made_up(seed=2).matrix[:50]
    leaves = np.array([walked(trees, row) for row in matrix])
    start = trees.value[trees.roots].sum()
    np.testing.assert_allclose(trees.contributions(matrix).sum(axis=1), leaves - start, atol=1e-9)


def test_scaled_and_joined_trees_are_scaled_and_joined_sums(model: QualityModel) -> None:
    matrix = made_up(seed=3).matrix
    moved = np.column_stack([matrix[:, 0], np.zeros(len(matrix)), matrix[:, 1:]])
    halved = model.trees.scale(0.5, [0, 2, 3, 4])
    np.testing.assert_allclose(halved.sum(moved), 0.5 * model.trees.sum(matrix))
    both = concat_trees(model.trees, concat_trees(empty_trees(), model.trees))
    np.testing.assert_allclose(both.sum(matrix), 2 * model.trees.sum(matrix))


@given(st.floats(0, 1), st.floats(0, 1), st.floats(-3, 2), st.integers(0, 599))
def test_a_better_signal_never_makes_a_mask_worse(
    model: QualityModel, one: float, two: float, suspicion: float, row: int
) -> None:
    matrix = np.tile(made_up().matrix[row], (2, 1))
    matrix[:, 0] = suspicion
    matrix[:, 1] = sorted([one, two])
    worse, better = model.probability(matrix)
    assert worse <= better + 1e-12


# --- the model -----------------------------------------------------------------------------------


def test_a_probability_is_the_sum_of_its_parts(model: QualityModel) -> None:
    matrix = made_up(seed=4).matrix
    logit = -0.5 + 0.7 * matrix[:, 0] + model.trees.sum(matrix)
    np.testing.assert_allclose(model.probability(matrix), 1 / (1 + np.exp(logit)), atol=1e-9)
    np.testing.assert_allclose(model.base + model.contributions(matrix).sum(axis=1), logit)


def test_models_add_up_over_joined_columns(model: QualityModel) -> None:
    wide = FeatureColumns(("extra_score", *COLUMNS.signals), ("area_px",))
    matrix = made_up(seed=5).matrix
    seen = np.column_stack([matrix[:, 0], np.full(len(matrix), 0.3), matrix[:, 1:]])
    total = model.scale(2.0, wide).plus(model.scale(-0.5, wide))
    np.testing.assert_allclose(total.logit(seen), np.clip(1.5 * model.logit(matrix), -14, 14))


def test_what_moved_a_mask_is_told_strongest_first(model: QualityModel) -> None:
    matrix = made_up(seed=6).matrix
    part = np.linspace(0, 1, len(matrix))
    found = explain(model, matrix, {"outline_score": part}, np.arange(3))
    added = model.contributions(matrix) - model.usual
    added[:, 2] += part * added[:, 0]
    told = added[:, 1:]
    for row in range(0, len(matrix), 37):
        best = sorted(range(3), key=lambda k: -abs(told[row, k]))
        assert found.column[row].tolist() == [k if told[row, k] else -1 for k in best]
        assert found.moved[row].tolist() == pytest.approx([told[row, k] for k in best])
    np.testing.assert_allclose(found.overall, np.abs(told).mean(axis=0))
    np.testing.assert_allclose(found.probability, model.probability(matrix))


def test_a_kindred_measure_is_told_as_its_score(model: QualityModel) -> None:
    matrix = made_up(seed=6).matrix
    found = explain(model, matrix, {}, np.array([0, 1, 0]))
    added = (model.contributions(matrix) - model.usual)[:, 1:]
    assert found.overall[2] == 0
    assert found.overall[0] == pytest.approx(np.abs(added[:, 0] + added[:, 2]).mean())


def test_pieces_give_what_the_whole_gives(
    model: QualityModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    matrix = made_up(seed=7).matrix
    shares = {"hole_score": np.full(len(matrix), 0.5)}
    whole = explain(model, matrix, shares, np.arange(3)), model.probability(matrix)
    monkeypatch.setattr("curate.quality.model.ROWS", 7)
    pieces = explain(model, matrix, shares, np.arange(3)), model.probability(matrix)
    np.testing.assert_array_equal(whole[0].column, pieces[0].column)
    np.testing.assert_allclose(whole[0].overall, pieces[0].overall)
    np.testing.assert_allclose(whole[1], pieces[1])


def test_no_mask_at_all(model: QualityModel) -> None:
    nothing = np.empty((0, 4))
    assert model.probability(nothing).shape == (0,)
    assert explain(model, nothing, {}, np.arange(3)).column.shape == (0, 3)


# --- measures ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_average_precision_is_scikit_learns(seed: int) -> None:
    from sklearn.metrics import average_precision_score

    random = np.random.default_rng(seed)
    score = random.integers(0, 20, 200) / 7  # many ties
    bad, weight = random.uniform(size=200) < 0.2, random.uniform(0.1, 3, 200)
    expected = average_precision_score(bad, score, sample_weight=weight)
    assert average_precision(score, bad, weight) == pytest.approx(expected)


def test_average_precision_of_nothing_is_unknown() -> None:
    assert np.isnan(average_precision(np.ones(3), np.zeros(3, bool), np.ones(3)))


def test_log_loss_is_scikit_learns() -> None:
    from sklearn.metrics import log_loss

    random = np.random.default_rng(0)
    logit, bad = random.normal(0, 3, 100), random.uniform(size=100) < 0.3
    assert log_losses(logit, bad).mean() == pytest.approx(log_loss(bad, expit(logit)))


def test_a_reliability_diagram_by_hand() -> None:
    probability = np.array([0.2, 0.2, 0.2, 0.6, 0.9, 0.9])
    bad = np.array([True, True, False, False, False, True])
    found = reliability(probability, bad, np.array([1.0, 1, 2, 1, 1, 1]), bins=3)
    assert found["low"].tolist() == [0.2, 0.9]  # three equal ones and what is beside stay together
    assert found["masks"].tolist() == [4, 2]
    assert found["predicted"].tolist() == pytest.approx([(0.8 + 0.6) / 5, 0.9])
    assert found["good"].tolist() == pytest.approx([3 / 5, 0.5])
    assert found["weight"].tolist() == pytest.approx([5 / 7, 2 / 7])
    assert calibration_error(found) == pytest.approx((0.32 * 5 + 0.4 * 2) / 7)


def test_true_probabilities_have_nearly_no_calibration_error() -> None:
    random = np.random.default_rng(0)
    probability = random.uniform(size=200_000)
    bad = random.uniform(size=len(probability)) >= probability
    right = reliability(probability, bad, np.ones(len(bad)))
    assert len(right) == 10
    assert calibration_error(right) < 0.005
    wrong = reliability(probability**2, bad, np.ones(len(bad)))
    assert calibration_error(wrong) == pytest.approx(1 / 6, abs=0.01)


def test_whole_groups_are_resampled() -> None:
    groups = np.repeat(np.arange(20), 50)
    every = np.where(groups == 0, -0.1, 1.0)
    assert share_over_zero(every, np.ones(1000), groups, 0) == 1.0
    one_group = np.where(groups == 0, 1.0, 0.0)
    # Only sets without that group fail: (19 / 20) ** 20 = 0.36 of them.
    assert share_over_zero(one_group, np.ones(1000), groups, 0) == pytest.approx(0.64, abs=0.05)
    assert share_over_zero(-every, np.ones(1000), groups, 0) == 0.0


# --- stacking and weights ------------------------------------------------------------------------


def test_stacking_finds_the_logit_that_made_the_labels() -> None:
    random = np.random.default_rng(0)
    scores = random.normal(0, 1.5, (40_000, 2))
    bad = random.uniform(size=len(scores)) < expit(-1 + 1.5 * scores[:, 0])
    line = stack(scores, bad, np.ones(len(bad)))
    assert line.intercept == pytest.approx(-1, abs=0.05)
    assert line.slopes.tolist() == pytest.approx([1.5, 0.0], abs=0.05)


def test_weights_are_as_good_as_copies() -> None:
    random = np.random.default_rng(1)
    scores, bad = random.normal(size=(300, 1)), random.uniform(size=300) < 0.3
    times = random.integers(1, 4, 300)
    copied = stack(np.repeat(scores, times, 0), np.repeat(bad, times), np.ones(times.sum()))
    weighted = stack(scores, bad, times.astype(float))
    assert weighted.intercept == pytest.approx(copied.intercept, abs=1e-4)
    assert weighted.slopes == pytest.approx(copied.slopes, abs=1e-4)


def test_a_score_that_is_upside_down_is_not_believed() -> None:
    scores = np.linspace(-3, 3, 100)[:, None]
    assert stack(scores, scores[:, 0] < 0, np.ones(100)).slopes[0] == 0.0


def test_a_clean_separation_is_not_certainty() -> None:
    scores = np.array([[-4.0]] * 20 + [[4.0]] * 5)
    line = stack(scores, scores[:, 0] > 0, np.ones(25))
    assert 0.5 < expit(line(scores))[-1] < 0.9


def test_weights_make_a_queue_look_like_its_dataset() -> None:
    random = np.random.default_rng(0)
    dataset = random.uniform(size=20_000)
    reviewed = np.concatenate([random.uniform(0.98, 1, 150), random.uniform(size=300)])
    weight = poststratify(reviewed, dataset)
    assert weight.mean() == pytest.approx(1)
    for line in (0.5, 0.9):
        assert weight[reviewed > line].sum() / weight.sum() == pytest.approx(1 - line, abs=0.05)
    plain = poststratify(random.choice(dataset, 500), dataset)
    assert plain.std() < 0.2


def test_weights_leave_half_of_what_reviews_are_worth() -> None:
    dataset = np.linspace(0, 1, 50_000)
    weight = poststratify(np.sort(dataset)[-500:], dataset)
    assert weight.sum() ** 2 / (weight**2).sum() >= 0.5 * 500
    assert weight[0] > weight[-1]


def test_masks_of_equal_prominence_count_the_same() -> None:
    dataset = np.r_[np.zeros(900), np.linspace(0.1, 1, 100)]
    reviewed = np.r_[np.zeros(30), np.linspace(0.5, 1, 30)]
    assert len(np.unique(poststratify(reviewed, dataset)[:30])) == 1


def test_prominence_is_the_higher_of_two_ranks() -> None:
    dataset = [np.arange(100.0), np.arange(100.0)[::-1]]
    here, there = prominence([np.array([90.0, 10.0]), np.array([np.nan, 70.0])], dataset)
    assert here.tolist() == pytest.approx([0.905, 0.705])
    assert there.min() == pytest.approx(0.505)


def test_what_nobody_saw_is_believed_to_be_good() -> None:
    dataset = np.linspace(0, 1, 1000)
    seen = np.linspace(0.9, 1, 50)
    rows = choose_pseudo_good(seen, dataset)
    assert len(rows) == FEWEST
    assert (dataset[rows] < 0.92).all()
    assert find_unreviewed(seen, dataset).mean() == pytest.approx(0.914, abs=0.01)
    assert len(choose_pseudo_good(np.linspace(0, 1, 50), dataset)) == 0


# --- training ------------------------------------------------------------------------------------


@given(st.integers(0, 50), st.integers(5, 80))
def test_folds_keep_images_whole_and_spread_the_bad(seed: int, images: int) -> None:
    random = np.random.default_rng(seed)
    groups = np.concatenate([np.arange(images), random.integers(images, size=200)])
    bad = np.isin(groups, random.choice(images, max(2, images // 4), replace=False))
    folds = training.cut_folds(bad, groups, seed)
    assert all(len(set(folds[groups == g])) == 1 for g in range(images))
    per_fold = np.bincount(folds, weights=bad, minlength=training.FOLDS)
    largest = np.bincount(groups, weights=bad).max()
    assert per_fold.max() - per_fold.min() <= largest
    assert len(set(folds[bad])) == min(training.FOLDS, len(np.unique(groups[bad])))


def judged(
    lessons: training.TrainingSet,
) -> tuple[training.CrossValidated, training.CrossValidated, bool]:
    said, rows = training.score_out_of_fold(lessons), np.ones(len(lessons), bool)
    alone = training.stack_and_evaluate(said, (training.SUSPICION,), lessons, rows)
    both = training.stack_and_evaluate(said, (training.SUSPICION, training.TREES), lessons, rows)
    return alone, both, training.is_better(both, alone, lessons, rows)


def test_what_can_be_learned_is_learned() -> None:
    lessons = made_up()
    alone, both, better = judged(lessons)
    assert better
    assert both.precision > alone.precision + 0.1
    assert both.loss < alone.loss
    said = training.score_out_of_fold(lessons)
    model = training.fit(both, said, COLUMNS)
    other = made_up(seed=9)
    precision = average_precision(model.logit(other.matrix), other.bad, other.weight)
    assert precision == pytest.approx(both.precision, abs=0.06)


@pytest.mark.slow
def test_labels_by_chance_teach_nothing() -> None:
    lucky = 0
    for seed in range(6):
        lessons = made_up(200, seed)
        bad = np.random.default_rng([seed, 1]).uniform(size=200) < 0.2
        lucky += judged(replace(lessons, bad=bad))[2]
    assert lucky <= 1


@pytest.mark.slow
def test_an_image_known_by_heart_is_no_skill() -> None:
    """A measure that names the image, and images that are bad as a whole."""
    lessons = made_up(400, images=40)
    named = lessons.matrix.copy()
    named[:, 3] = np.random.default_rng(0).permutation(40)[lessons.groups]
    bad = lessons.groups % 4 == 0
    _, both, better = judged(replace(lessons, matrix=named, bad=bad))
    assert not better
    assert both.precision < 0.45


def test_few_bad_masks_are_too_few_for_trees() -> None:
    lessons = made_up(300)
    few = np.flatnonzero(lessons.bad)[training.FEWEST_FOR_TREES - 1 :]
    bad = lessons.bad.copy()
    bad[few] = False
    assert training.TREES not in training.score_out_of_fold(replace(lessons, bad=bad)).logits
    assert training.TREES in training.score_out_of_fold(lessons).logits


def test_a_start_is_an_expert_too() -> None:
    few, many = made_up(150, seed=1, images=30), made_up(3000, seed=2)
    trees = grow(many.matrix, many.bad, COLUMNS.directions(), 0)
    start = QualityModel(COLUMNS, 0.0, 0.0, trees)
    lessons = replace(few, start=start.logit(few.matrix))
    rows, said = np.ones(len(few), bool), training.score_out_of_fold(lessons)
    alone = training.stack_and_evaluate(said, (training.SUSPICION,), lessons, rows)
    warm = training.stack_and_evaluate(said, (training.SUSPICION, training.START), lessons, rows)
    assert training.is_better(warm, alone, lessons, rows)
    model = training.fit(warm, said, COLUMNS, start)
    scores = np.column_stack([few.matrix[:, 0], lessons.start])
    np.testing.assert_allclose(model.logit(few.matrix), warm.line(scores), atol=1e-9)


# --- the file ------------------------------------------------------------------------------------


def test_a_model_comes_back_as_it_was(model: QualityModel) -> None:
    back = from_bytes(to_bytes(model), "here")
    matrix = made_up(seed=8).matrix
    np.testing.assert_array_equal(back.probability(matrix), model.probability(matrix))
    np.testing.assert_array_equal(back.seen, model.seen)
    np.testing.assert_array_equal(back.middle, model.middle)
    assert back.columns == model.columns


def content(model: QualityModel) -> dict[str, Any]:
    import skops.io

    return dict(skops.io.loads(to_bytes(model), trusted=[]))


def edited(change: Callable[[dict[str, Any]], object]) -> Callable[[QualityModel], bytes]:
    """Return a file whose content was changed and written again as skops does."""

    def write(model: QualityModel) -> bytes:
        import skops.io

        found = content(model)
        change(found)
        return bytes(skops.io.dumps(found))

    return write


def packed(model: QualityModel) -> bytes:
    stream = io.BytesIO()
    source = zipfile.ZipFile(io.BytesIO(to_bytes(model)))
    with source, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    return stream.getvalue()


def described(change: Callable[[str], str]) -> Callable[[QualityModel], bytes]:
    """Return a file whose description was changed as text."""

    def write(model: QualityModel) -> bytes:
        stream = io.BytesIO()
        source = zipfile.ZipFile(io.BytesIO(to_bytes(model)))
        with source, zipfile.ZipFile(stream, "w") as target:
            for name in source.namelist():
                data = source.read(name)
                if name == "schema.json":
                    data = change(data.decode()).encode()
                target.writestr(name, data)
        return stream.getvalue()

    return write


def longer_than_it_is(model: QualityModel) -> bytes:
    """Let an array's header promise a trillion numbers."""
    stream = io.BytesIO()
    source = zipfile.ZipFile(io.BytesIO(to_bytes(model)))
    head = io.BytesIO()
    header = {"descr": "<f8", "fortran_order": False, "shape": (10**12,)}
    np.lib.format.write_array_header_1_0(head, header)
    with source, zipfile.ZipFile(stream, "w") as target:
        for name in source.namelist():
            large = name.endswith(".npy") and len(source.read(name)) > 1000
            target.writestr(name, head.getvalue() if large else source.read(name))
    return stream.getvalue()


def estimator(model: QualityModel) -> bytes:
    import skops.io
    from sklearn.linear_model import LogisticRegression

    return bytes(skops.io.dumps(content(model) | {"usual": LogisticRegression()}))


def endless(found: dict[str, Any]) -> None:
    inner = np.flatnonzero(found["trees"]["column"] >= 0)
    found["trees"]["left"][inner[0]] = inner[0]


STRANGE: dict[str, Callable[[QualityModel], bytes]] = {
    "nothing": lambda _: b"",
    "text": lambda _: b"not a model",
    "pickle": lambda model: pickle.dumps(content(model)),
    "cut off": lambda model: to_bytes(model)[:-200],
    "packed": packed,
    "an estimator": estimator,
    "another list": described(lambda text: json.dumps([])),
    "another loader": described(lambda text: text.replace("NdArrayNode", "FunctionNode")),
    "another type": described(lambda text: text.replace('"ndarray"', '"matrix"')),
    "no such array": described(lambda text: text.replace(".npy", ".np")),
    "deep": described(lambda text: "[" * 100_000 + "]" * 100_000),
    "a header that lies": longer_than_it_is,
    "another kind": edited(lambda c: c.update(kind="something else")),
    "lacks trees": edited(lambda c: c.pop("trees")),
    "lacks a tree's array": edited(lambda c: c["trees"].pop("left")),
    "a tree without end": edited(endless),
    "a tree that leads away": edited(lambda c: c["trees"]["right"].__iadd__(10_000)),
    "an unknown column": edited(lambda c: c["trees"]["column"].__iadd__(9)),
    "values that are none": edited(lambda c: c["trees"]["value"].fill(np.nan)),
    "another length": edited(lambda c: c.update(usual=np.zeros(2))),
    "another dtype": edited(lambda c: c.update(seen=np.zeros(2, np.int64))),
    "another shape": edited(lambda c: c.update(middle=np.zeros((2, 2)))),
    "infinite": edited(lambda c: c.update(intercept=float("inf"))),
    "falling": edited(lambda c: c.update(slope=-1.0)),
    "a number as text": edited(lambda c: c.update(slope="1")),
    "names that are none": edited(lambda c: c.update(signals=["hole score", "b"])),
    "names twice": edited(lambda c: c.update(signals=["area_px", "b"])),
}


@pytest.mark.parametrize("kind", STRANGE)
def test_a_strange_file_is_refused_in_one_sentence(kind: str, model: QualityModel) -> None:
    data = STRANGE[kind](model)
    with pytest.raises(AuditError, match="no quality model of curate's") as caught:
        from_bytes(data, "my.audit/model/x.skops")
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("my.audit/model/x.skops: ")
    assert str(caught.value).endswith("run `curate learn` again")


def test_another_version_is_said(model: QualityModel) -> None:
    data = edited(lambda c: c.update(version=VERSION + 1))(model)
    with pytest.raises(AuditError, match=f"is of version {VERSION + 1}, this curate reads"):
        from_bytes(data, "x")
