"""The one contract of every registered scorer, and that a planted defect lowers its score."""

import numpy as np
import pandas as pd
import pytest
from mask_scene import HEIGHT, WIDTH, Scene, disc, table_of

from curate import scorers
from curate.dataset.table import MaskTable
from curate.errors import CallError
from curate.scorers import all_scorers, apply, columns, fit, score
from curate.scorers.scorer import Column, Scorer

SPOILT = 4
"""The mask that gets the defect: row 4 of the scene, a disc around (80, 87)."""


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
    "edge_score": moved,
    "edge_offset_score": widened,
    "reprompt_score": moved,
    "prompt_robustness_score": moved,
    "segmenter_stability_score": soft_edged,
    "embedding_contrast_score": moved,
    "embedding_unity_score": moved,
}


def run(scorer: Scorer, table: MaskTable, inputs) -> pd.DataFrame:
    return score(table, inputs=inputs, only=[scorer.name], level=scorer.level)


def shuffled(table: MaskTable) -> MaskTable:
    rng = np.random.default_rng(5)
    images = table.images.iloc[rng.permutation(len(table.images))]
    return MaskTable(table.masks.iloc[rng.permutation(len(table))], images)


@pytest.fixture(scope="module")
def scene():
    return Scene.sound()


@pytest.fixture(scope="module")
def inputs(scene, tmp_path_factory):
    return scene.inputs(tmp_path_factory.mktemp("scene"))


@pytest.fixture(params=all_scorers(), ids=lambda scorer: scorer.name)
def scorer(request):
    return request.param


def test_index_types_and_range(scorer, scene, inputs):
    table = scene.table()
    result = run(scorer, table, inputs)
    frame = table.masks if scorer.level == "mask" else table.images
    assert result.index.equals(frame.index)
    for column in (*scorer.columns, *scorer.applied):
        values = result[column.name]
        if column.kind == "score":
            assert values.dtype == np.float64
            assert values.dropna().between(0, 1).all()
            assert column.low_means
        elif column.kind == "id" and scorer.level == "mask":
            assert values.dtype == pd.Int64Dtype()
            assert values.dropna().isin(frame.index).all()


def test_masks_without_pixels_have_no_score(scorer, scene, inputs):
    if scorer.level == "image":
        pytest.skip("it speaks of images")
    result = run(scorer, scene.table(), inputs)
    for column in (*scorer.columns, *scorer.applied):
        if column.kind in ("score", "measure"):
            assert result[column.name].iloc[-2:].isna().all(), column.name
        if column.kind == "score":
            assert result[column.name].iloc[:-2].notna().all(), column.name


def test_a_table_without_masks(scorer, scene, inputs):
    table = scene.table()
    result = run(scorer, MaskTable(table.masks.iloc[:0], table.images), inputs)
    assert len(result) == (0 if scorer.level == "mask" else len(table.images))


def test_row_order_does_not_matter(scorer, scene, inputs):
    straight = run(scorer, scene.table(), inputs)
    other = run(scorer, shuffled(scene.table()), inputs)
    pd.testing.assert_frame_equal(other.loc[straight.index], straight, check_exact=True)


def test_a_part_of_whole_images_gives_the_same(scorer, scene, inputs):
    table = scene.table()
    options = {"inputs": inputs, "only": [scorer.name], "two_step": False}
    whole = score(table, level=scorer.level, **options)
    part = table[table.masks["image_id"].to_numpy() == 2]
    part = MaskTable(part.masks, part.images.loc[[2]])
    result = score(part, level=scorer.level, **options)
    pd.testing.assert_frame_equal(result, whole.loc[result.index], check_exact=True)


def test_input_untouched_and_deterministic(scorer, scene, inputs):
    table = scene.table()
    masks, images = table.masks.copy(deep=True), table.images.copy(deep=True)
    first = run(scorer, table, inputs)
    pd.testing.assert_frame_equal(table.masks, masks, check_exact=True)
    pd.testing.assert_frame_equal(table.images, images, check_exact=True)
    pd.testing.assert_frame_equal(run(scorer, table, inputs), first, check_exact=True)
    pd.testing.assert_frame_equal(run(scorer, scene.table(), inputs), first, check_exact=True)


SCORES = [name for name, column in columns().items() if column.kind == "score"]


@pytest.mark.parametrize("name", SCORES)
def test_a_planted_defect_lowers_the_score(name, tmp_path):
    if name not in DEFECTS and not columns_are_ours(name):
        pytest.skip("a scorer of another package")
    scorer = next(s for s in all_scorers() if name in {c.name for c in (*s.columns, *s.applied)})
    found = {}
    for what in ("sound", "spoilt"):
        spoilt = Scene.sound()
        if what == "spoilt":
            DEFECTS[name](spoilt)
        (tmp_path / what).mkdir()
        # What stands beside the masks shows how it should be, but for soft masks of their own.
        given = Scene.sound()
        given.slope = spoilt.slope
        result = run(scorer, spoilt.table(), given.inputs(tmp_path / what))
        found[what] = result[name].iloc[SPOILT]
    assert found["spoilt"] < found["sound"] - 0.02
    assert found["sound"] > 0.45


def columns_are_ours(name):
    scorer = next(s for s in all_scorers() if name in {c.name for c in (*s.columns, *s.applied)})
    return scorer.function.__module__.startswith("curate.")


def test_all_together(scene, inputs):
    result = score(scene.table(), inputs=inputs)
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
