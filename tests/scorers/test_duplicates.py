import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate import rle
from curate.scorers.duplicates import duplicates
from curate.scorers.kernels.contact import outline_contact
from curate.testing.scene import disc, table_of


def rectangle(x, y, w, h, shape=(120, 160)):
    mask = np.zeros(shape, bool)
    mask[y : y + h, x : x + w] = True
    return mask


def relate(masks, **columns):
    return duplicates(table_of(masks, **columns))


def test_the_higher_predicted_iou_is_kept_whatever_the_order():
    a, b = rectangle(10, 10, 40, 30), rectangle(11, 10, 40, 30)
    for order in ([0, 1], [1, 0]):
        iou = np.array([0.9, 0.95])[order]
        frame = relate([[a, b][k] for k in order], predicted_iou=iou.tolist(), mask_ids=[5, 6])
        kept = int(np.argmax(iou))
        expected = 39 * 30 / (41 * 30)
        assert frame["uniqueness_score"].tolist() == pytest.approx(
            [1 if k == kept else 1 - expected for k in (0, 1)]
        )
        assert frame["duplicate_of"].isna().tolist() == [k == kept for k in (0, 1)]
        assert frame["duplicate_of"].dropna().tolist() == [5 + kept]
        assert frame["overlap_iou"].tolist() == pytest.approx([expected] * 2)
        assert sorted(frame["relation"]) == ["", "duplicate"]


def test_without_stored_scores_the_sounder_then_the_larger_then_the_first_id():
    sound = rectangle(10, 10, 40, 30)
    holed = sound & ~rectangle(20, 20, 6, 6)
    larger = rectangle(10, 10, 41, 30)
    assert relate([holed, sound])["duplicate_of"].isna().tolist() == [False, True]
    assert relate([sound, larger])["duplicate_of"].isna().tolist() == [False, True]
    frame = relate([sound, sound], mask_ids=[9, 4])
    assert frame["duplicate_of"].iloc[0] == 4
    assert frame["uniqueness_score"].tolist() == [0, 1]


def test_a_score_that_only_some_masks_have_decides_nothing():
    small, large = rectangle(10, 10, 40, 30), rectangle(10, 10, 41, 30)
    frame = relate([small, large], predicted_iou=[0.99, np.nan])
    assert frame["duplicate_of"].isna().tolist() == [False, True]


def test_only_from_the_duplicate_threshold_on_a_mask_has_a_twin():
    table, bowl = rectangle(10, 10, 40, 50), rectangle(10, 20, 40, 28)
    for masks, threshold, twin in (([table, bowl], 0.8, pd.NA), ([table, bowl], 0.5, 100)):
        frame = duplicates(table_of(masks), same_iou=threshold)
        assert frame["duplicate_of"].tolist()[1] is twin or frame["duplicate_of"].iloc[1] == twin
        assert frame["overlap_with"].tolist() == [101, 100]
        assert frame["overlap_iou"].tolist() == pytest.approx([0.56, 0.56])
        assert frame["uniqueness_score"].tolist() == pytest.approx([1, 0.44])
    assert relate([rectangle(0, 0, 4, 4)])["overlap_with"].isna().all()


def test_nested_and_part_are_told_apart():
    person = rectangle(20, 10, 60, 80)
    hand = rectangle(60, 10, 20, 20)  # in a corner: shares half of its outline
    window = rectangle(40, 40, 12, 12)
    speck = rectangle(44, 44, 3, 3)
    frame = relate([person, hand, window, speck], mask_ids=[1, 2, 3, 4])
    assert frame["relation"].tolist() == ["", "part", "nested", "nested"]
    assert frame["nested_in"].astype(object).where(frame["nested_in"].notna(), 0).tolist() == [
        0, 1, 1, 3,
    ]  # fmt: skip
    assert frame["nested_share"].tolist()[1:] == [1, 1, 1]
    assert frame["nested_contact"].iloc[1] == pytest.approx(0.5, abs=0.06)
    assert frame["nested_contact"].iloc[2] == 0
    assert frame["nested_contact"].isna().iloc[0]


def test_parameters_are_definitions():
    outer, inner = rectangle(20, 10, 60, 80), rectangle(10, 30, 40, 20)
    assert relate([outer, inner])["nested_in"].isna().all()
    frame = duplicates(table_of([outer, inner]), contained=0.7)
    assert frame["nested_in"].tolist()[1] == 100
    assert frame["nested_share"].iloc[1] == 0.75


def test_crowds_and_other_images_are_left_alone():
    a = rectangle(10, 10, 40, 30)
    frame = relate([a, a, a], iscrowd=pd.array([0, 1, 0], "Int8"), images=[1, 1, 2])
    assert frame["uniqueness_score"].tolist()[::2] == [1, 1]
    assert np.isnan(frame["uniqueness_score"].iloc[1])
    assert frame["duplicate_of"].isna().all()


masks = st.lists(
    st.builds(
        lambda x, y, w, h, hole: rectangle(x, y, w, h, (40, 50)) & ~rectangle(*hole, (40, 50)),
        *(st.integers(0, 20), st.integers(0, 20), st.integers(1, 25), st.integers(1, 20)),
        st.tuples(*(st.integers(0, 30),) * 2, *(st.integers(0, 6),) * 2),
    ),
    min_size=1,
    max_size=8,
)


@given(masks, st.randoms(use_true_random=False))
def test_against_all_pairs_on_pixels(masks, random):
    iou_given = [k / 100 for k in random.sample(range(100), len(masks))]
    frame = relate(masks, predicted_iou=iou_given)
    n = len(masks)
    shared = np.array([[(a & b).sum() for b in masks] for a in masks])
    area = np.diag(shared)
    with np.errstate(invalid="ignore"):
        iou = np.nan_to_num(shared / (area[:, None] + area - shared))
        inside = np.nan_to_num(shared / area[:, None])
    for i in range(n):
        row = frame.iloc[i]
        if not area[i]:
            assert np.isnan(row["uniqueness_score"])
            continue
        others = [j for j in range(n) if j != i and shared[i, j]]
        better = [j for j in others if iou_given[j] > iou_given[i]]
        best = max((iou[i, j] for j in better), default=0)
        assert row["uniqueness_score"] == pytest.approx(1 - best)
        assert pd.isna(row["duplicate_of"]) == (best < 0.8) == np.isnan(row["duplicate_iou"])
        if best >= 0.8:
            assert row["duplicate_iou"] == pytest.approx(best)
            assert iou[i, int(row["duplicate_of"]) - 100] == pytest.approx(best)
        most = max((iou[i, j] for j in others), default=0)
        assert row["overlap_iou"] == pytest.approx(most)
        assert pd.isna(row["overlap_with"]) == (not others)
        if others:
            assert iou[i, int(row["overlap_with"]) - 100] == pytest.approx(most)
        around = [
            j for j in others if inside[i, j] >= 0.95 and iou[i, j] < 0.8 and area[i] < area[j]
        ]
        assert pd.isna(row["nested_in"]) == (not around)
        if around:
            j = int(row["nested_in"]) - 100
            assert area[j] == min(area[k] for k in around)
            assert row["nested_share"] == pytest.approx(inside[i, j])
            assert row["nested_contact"] == pytest.approx(contact(masks[i], masks[j], 2))


def contact(inner, outer, reach):
    inner, outer = np.pad(inner, reach), np.pad(outer, reach)
    edge = touching = 0
    for shift, axis in ((1, 0), (-1, 0), (1, 1), (-1, 1)):
        exposed = inner & ~np.roll(inner, shift, axis)
        edge += exposed.sum()
        touching += (exposed & ~np.roll(outer, shift * reach, axis)).sum()
    return touching / edge


def test_contact_of_round_masks():
    outer, half = disc(80, 60, 40), disc(80, 60, 40)
    half[:, 80:] = False
    inner = disc(80, 60, 20)
    runs = rle.concat([rle.from_dense(m) for m in (outer, half, inner)])
    found = outline_contact(runs, np.array([1, 2]), np.array([0, 0]), 2, rle.bbox(runs))
    assert found[0] == pytest.approx(0.67, abs=0.05)
    assert found[1] == 0


def test_of_three_copies_two_name_the_third():
    mask = disc(50, 50, 20)
    table = table_of([mask] * 3, predicted_iou=[0.7, 0.6, 0.9])
    found = duplicates(table)
    assert found["duplicate_of"].tolist() == [table.masks.index[2]] * 2 + [pd.NA]
