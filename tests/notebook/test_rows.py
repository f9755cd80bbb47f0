"""Rows of an audit by conditions: equal to pandas over all rows; people's decisions count."""

from __future__ import annotations

import pandas as pd
import pytest
from counted_audit import DECISIONS

import curate
from curate.errors import CallError
from curate.notebook import row_selection
from curate.store.audit import StoredAudit


@pytest.fixture(scope="module")
def audit(counted: StoredAudit) -> curate.Audit:
    return curate.open_audit(counted.path)


def test_verbs_return_the_class_that_has_more_than_what_is_stored(audit: curate.Audit) -> None:
    assert type(curate.decide(audit)) is curate.Audit
    assert type(audit.pin()) is curate.Audit


def test_a_condition_gives_the_rows_that_pandas_gives(audit: curate.Audit) -> None:
    everything = audit.masks()
    found = audit.masks(where="area_px > 95 and not image_id in (1, 2)")
    wanted = everything[(everything["area_px"] > 95) & ~everything["image_id"].isin([1, 2])]
    assert 0 < len(wanted) < len(everything)
    pd.testing.assert_frame_equal(found, wanted)


def test_a_condition_sees_what_people_decided(audit: curate.Audit) -> None:
    found = audit.masks(["reasons", "action"], where="decided_by == 'person'")
    assert found.columns.tolist() == ["reasons", "action"]
    assert sorted(found.index) == [1, 2, 3, 4, 5, 9, 14]
    assert found.loc[2].tolist() == ["rejected by ann <b> and bob", "reject"]


def test_a_condition_can_look_for_words_in_reasons(audit: curate.Audit) -> None:
    found = audit.masks(["reasons"], where="contains(reasons, 'Ann')")
    everything = audit.masks(["reasons"])
    assert 0 < len(found) == everything["reasons"].str.contains("ann").sum()


def test_columns_come_in_the_order_asked_for_and_no_other_comes(audit: curate.Audit) -> None:
    for where in (None, "mask_id < 5"):
        found = audit.masks(["action", "mask_id", "area_px"], where=where)
        assert found.columns.tolist() == ["action", "area_px"]
        assert found.index.name == "mask_id"


def test_no_row_is_an_empty_frame_of_the_same_types(audit: curate.Audit) -> None:
    found = audit.masks(where="area_px > 1e9")
    assert not len(found)
    assert found.dtypes.equals(audit.masks().dtypes)


def test_what_a_policy_can_work_out_a_condition_can_ask_for(audit: curate.Audit) -> None:
    found = audit.masks(["area_px", "height", "width"], where="coverage >= 0.05")
    everything = audit.masks(["area_px", "height", "width"])
    share = everything["area_px"] / (everything["height"] * everything["width"])
    assert 0 < len(found) == (share >= 0.05).sum()


def test_images_are_chosen_by_their_own_columns_and_todays_counts(audit: curate.Audit) -> None:
    everything = audit.images()
    found = audit.images(["file_name", "reject_count"], where="reject_count > 0 or image_id == 1")
    wanted = everything[(everything["reject_count"] > 0) | (everything.index == 1)]
    assert found.index.tolist() == wanted.index.tolist()
    assert found["reject_count"].sum() == everything["reject_count"].sum() == 3


def test_only_columns_of_the_condition_are_read_of_a_part_without_a_row(
    audit: curate.Audit, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[set[str]] = []
    read = row_selection.read_columns

    def note(path, columns):
        asked.append(set(columns))
        return read(path, columns)

    monkeypatch.setattr(row_selection, "read_columns", note)
    audit.masks(["segmentation"], where="area_px > 0")
    assert asked == [{"mask_id", "area_px"}, {"mask_id", "segmentation"}]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"columns": ["aera_px"]}, "there is no column aera_px.*did you mean area_px"),
        ({"columns": "area_px"}, r"not the text 'area_px'; give a list: \['area_px'\]"),
        ({"where": "aera_px > 3"}, "there is no column aera_px at character 1.*did you mean"),
        ({"where": "area_px > 3 & area_px < 9"}, "write and"),
        ({"where": "1); drop table masks; --"}, "at character"),
        ({"where": "exists(area_px)"}, "there is no function exists"),
    ],
)
def test_a_wrong_question_says_what_to_write(
    audit: curate.Audit, call: dict[str, object], message: str
) -> None:
    with pytest.raises(CallError, match=message):
        audit.masks(**call)
    with pytest.raises(CallError):
        audit.images(**call)


def test_decisions_are_a_row_each_and_none_are_a_frame_of_the_same_types(
    audit: curate.Audit, tmp_path
) -> None:
    found = audit.decisions()
    assert list(zip(found["mask_id"], found["action"], found["reviewer"], strict=True)) == [
        *DECISIONS
    ]
    bare = curate.audit(audit.info.source["path"], tmp_path / "audit")
    nothing = bare.decisions()
    assert not len(nothing)
    assert nothing.dtypes.equals(found.dtypes)


def test_the_repr_is_a_summary_in_words(audit: curate.Audit) -> None:
    assert repr(audit).splitlines()[0].startswith("Audit of source.json (coco), version ")
    assert repr(audit).splitlines()[1:] == [
        "14 masks in 3 images: 10 accept, 1 review, 3 reject; people decided on 6 of them",
        f"in {audit.path}",
    ]
    assert audit._repr_html_().startswith("<p><strong>Audit of source.json (coco), version")
