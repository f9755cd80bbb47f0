"""The one contract of every registered scorer, and that a planted defect lowers its score."""

import numpy as np
import pandas as pd
import pytest

from curate import scorers
from curate.errors import CallError
from curate.scorers import all_scorers, apply, columns, fit, score
from curate.scorers.scorer import Column, Scorer
from curate.testing import ScorerContract
from curate.testing.scene import HEIGHT, SPOILT, WIDTH, Scene, disc, table_of
from curate.testing.scorer_contract import run_scorer


def moved(scene):
    scene.masks[SPOILT] = np.roll(scene.masks[SPOILT], (5, 6), axis=(0, 1))


def with_piece(scene):
    scene.masks[SPOILT] |= disc(80, 10, 6)


def with_hole(scene):
    scene.masks[SPOILT] &= ~disc(80, 87, 6)


def ragged(scene):
    teeth = np.arange(WIDTH) % 2 == 0
    bottom = np.argmax(np.cumsum(scene.masks[SPOILT], axis=0), axis=0)
    for x in np.flatnonzero(scene.masks[SPOILT].any(axis=0) & teeth):
        scene.masks[SPOILT][bottom[x] - 1 : bottom[x] + 1, x] = False


def with_hair(scene):
    scene.masks[SPOILT][87, 60:110] = True


def cut_straight(scene):
    scene.masks[SPOILT][80:] = False


def notched(scene):
    scene.masks[SPOILT] &= ~disc(80, 72, 9)


def cut_by_crop(scene):
    scene.masks[SPOILT][:, 80:] = False
    scene.columns["crop_w"][SPOILT] = 80.0


def flooding(scene):
    scene.masks[SPOILT][:] = True


def twin_of_a_better_one(scene):
    scene.masks[SPOILT] = np.roll(scene.masks[1], 1, axis=0)
    scene.columns["predicted_iou"][SPOILT] = 0.8


def declared_wider(scene):
    scene.columns["declared_w"][SPOILT] *= 2


def declared_larger(scene):
    scene.columns["declared_area"][SPOILT] *= 2


def prompted_elsewhere(scene):
    scene.columns["prompt_x"][SPOILT] = 3.0


def two_bodies(scene):
    scene.masks[SPOILT] |= disc(110, 87, 16)


def elongated(scene):
    scene.masks[SPOILT][:] = False
    scene.masks[SPOILT][87:90, 20:150] = True


def widened(scene):
    scene.masks[SPOILT] = disc(80, 87, 19)


def simplified(scene):
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    scene.masks[SPOILT] = np.abs(x - 80) + np.abs(y - 87) < 23


def soft_edged(scene):
    scene.slope[SPOILT] = 0.2


def renamed(scene):
    scene.truth_category = scene.columns["category"][SPOILT]
    scene.columns["category"] = list(scene.columns["category"])
    scene.columns["category"][SPOILT] = "nucleus" if scene.truth_category == "cell" else "cell"


DEFECTS = {
    "fragment_score": with_piece,
    "hole_score": with_hole,
    "outline_score": ragged,
    "hairline_score": with_hair,
    "compact_score": notched,
    "straight_score": cut_straight,
    "solidity_score": notched,
    "crop_score": cut_by_crop,
    "coverage_score": flooding,
    "uniqueness_score": twin_of_a_better_one,
    "declaration_score": declared_wider,
    "declared_box_score": declared_wider,
    "declared_area_score": declared_larger,
    "prompt_score": prompted_elsewhere,
    "split_score": two_bodies,
    "shape_score": elongated,
    "detail_score": simplified,
    "computed_stability_score": soft_edged,
    "detector_score": moved,
    "detector_category_score": renamed,
    "agreement_score": moved,
    "judge_score": moved,
    "edge_score": moved,
    "edge_offset_score": widened,
    "reprompt_score": moved,
    "prompt_robustness_score": moved,
    "segmenter_stability_score": soft_edged,
    "verifier_score": moved,
    "category_score": renamed,
    "embedding_contrast_score": moved,
    "embedding_unity_score": moved,
}


OURS = [one for one in all_scorers() if one.function.__module__.startswith("curate.")]


class TestScorers(ScorerContract):
    defects = DEFECTS

    @pytest.fixture(params=OURS, ids=lambda scorer: scorer.name)
    def tested(self, request):
        return request.param

    @pytest.fixture
    def inputs(self, shared_inputs):
        return shared_inputs


@pytest.fixture(scope="module")
def scene():
    return Scene.sound()


@pytest.fixture(scope="module")
def shared_inputs(tmp_path_factory):
    return Scene.sound().inputs(tmp_path_factory.mktemp("scene"))


@pytest.mark.parametrize("scorer", OURS, ids=lambda scorer: scorer.name)
def test_the_contract_runs_a_scorer_as_an_audit_does(scorer, scene, shared_inputs):
    table = scene.table()
    by_registry = score(table, inputs=shared_inputs, only=[scorer.name], level=scorer.level)
    pd.testing.assert_frame_equal(run_scorer(scorer, table, shared_inputs), by_registry)


def test_all_together(scene, shared_inputs):
    result = score(scene.table(), inputs=shared_inputs)
    assert sorted(result.columns) == sorted(columns())
    without = [one for one in all_scorers() if one.level == "mask" and not one.needs]
    assert list(score(scene.table()).columns) == [
        *(column.name for one in without for column in one.columns),
        *(column.name for one in without for column in one.applied),
    ]


def test_two_steps_by_hand_equal_one_call(scene):
    table = scene.table()
    frame = pd.concat([table.masks, score(table, two_step=False)], axis=1)
    by_hand = apply(frame, fit(frame))
    pd.testing.assert_frame_equal(by_hand, score(table)[list(by_hand.columns)])


def test_a_scorer_that_raises_names_itself_and_the_mask(scene, monkeypatch):
    def function(table):
        if 107 in table.masks.index:
            raise ZeroDivisionError("oh")
        return pd.DataFrame({"odd_score": 1.0}, index=table.masks.index)

    bad = Scorer("odd", function, (Column("odd_score", "Odd"),))
    monkeypatch.setattr(scorers, "all_scorers", lambda: (bad,))
    with pytest.raises(ZeroDivisionError) as error:
        score(scene.table())
    assert error.value.__notes__ == ["raised by the scorer odd on mask 107"]


@pytest.mark.parametrize(
    ("function", "what"),
    [
        (lambda t: pd.DataFrame({"odd_score": [1.0]}), "another index"),
        (lambda t: pd.DataFrame({"x": 1.0}, index=t.masks.index), "the columns"),
    ],
)
def test_a_scorer_must_keep_its_promise(scene, function, what):
    with pytest.raises(CallError, match=what):
        Scorer("odd", function, (Column("odd_score", "Odd"),))(scene.table())


def test_wrong_names():
    table = table_of([disc(20, 20, 5)])
    for keywords in ({"only": ["nope"]}, {"inputs": {"x": 1}}, {"parameters": {"nope": {}}}):
        with pytest.raises(CallError, match="there is no"):
            score(table, **keywords)
    with pytest.raises(CallError):
        Column("hole_area_px", "Hole", "score")
    with pytest.raises(CallError):
        Scorer("odd", lambda t: t, (), needs=("magic",))


def test_the_scene_is_what_it_says(scene):
    assert len(scene.truth) == 12
    assert scene.truth[0].shape == (HEIGHT, WIDTH)
