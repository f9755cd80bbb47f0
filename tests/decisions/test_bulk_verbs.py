"""Accepting, rejecting and fixing all masks that fit a condition."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from boxes import dataset

import curate
from curate.cli.exit_codes import run
from curate.errors import CallError
from curate.people.reviews import Reviews
from curate.people.reviews.mechanical_fixes import MechanicalFix, fix_masks
from curate.rle import as_runs, to_dense

pytestmark = pytest.mark.usefixtures("no_report")


@pytest.fixture
def opened(audit) -> curate.Audit:
    return curate.open_audit(audit.path)


def test_all_that_fit_are_decided_but_what_somebody_looked_at(
    opened: curate.Audit, reviews: Reviews, said
) -> None:
    ids = opened.masks(["action"], where="area_px > 0").index.tolist()
    reviews.add(said((ids[0], "accept", "bob")), origin="page")
    seen = curate.reject(opened, where="area_px > 0", reviewer="ann", dry_run=True)
    assert (seen.masks, seen.looked, seen.decision) == (len(ids) - 1, 1, None)
    assert not (opened.masks(["decided_by"])["decided_by"] == "bulk").any()
    with pytest.raises(CallError, match=f"fits {len(ids) - 1} masks, not 1"):
        curate.reject(opened, where="area_px > 0", reviewer="ann", count=1)
    done = curate.reject(opened, where="area_px > 0", reviewer="ann", count=len(ids) - 1)
    assert done.decision is not None
    assert done.decision.number == 1
    plan = opened.masks(["action", "decided_by"])
    assert plan["action"].loc[ids].tolist() == ["accept"] + ["reject"] * (len(ids) - 1)
    again = curate.reject(opened, where="area_px > 0", reviewer="cem")
    assert (again.masks, again.looked, again.already) == (0, 1, len(ids) - 1)
    with pytest.raises(CallError, match=f"{len(ids) - 1:,} more are decided so already"):
        curate.reject(opened, where="area_px > 0", reviewer="cem", count=len(ids) - 1)
    found = curate.status(opened.path)
    assert found.bulk == len(ids) - 1
    assert f"{found.bulk:,} masks decided on in bulk" in found.text()


def test_one_undo_takes_all_of_it_back(opened: curate.Audit) -> None:
    before = opened.masks(["action", "reasons", "decided_by"])
    curate.reject(opened, where="true", reviewer="ann")
    curate.accept(opened, where="mask_id in (1, 2)", reviewer="ann")
    undone = curate.undo(opened)
    assert undone.text() == "undone: 2 masks accepted in bulk by ann, where mask_id in (1, 2)"
    plan = opened.masks(["action"])
    assert set(plan["action"]) == {"reject"}
    curate.undo(opened, 1)
    pd.testing.assert_frame_equal(opened.masks(["action", "reasons", "decided_by"]), before)
    for number, what in ((None, "no decision in bulk to undo"), (1, "undone"), (7, "there are 2")):
        with pytest.raises(CallError, match=what):
            curate.undo(opened, number)
    again = curate.reject(opened, where="true", reviewer="ann")
    assert again.decision is not None
    assert again.decision.number == 3


@pytest.mark.parametrize(
    ("where", "reviewer", "what"),
    [
        ("area_px <", "ann", "a column or a value"),
        ("no_such < 3", "ann", "there is no column no_such"),
        ("true", " ", "the name of a person"),
    ],
)
def test_what_cannot_be_decided_is_refused(
    opened: curate.Audit, where: str, reviewer: str, what: str
) -> None:
    with pytest.raises(CallError, match=what):
        curate.reject(opened, where=where, reviewer=reviewer)


def test_the_command_wants_the_count_confirmed(
    opened: curate.Audit, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["reject", str(opened.path), "--where", "mask_id = 1", "--reviewer", "ann"]
    assert run(words) == 2
    assert "--count 1" in capsys.readouterr().err
    assert run([*words, "--count", "2"]) == 2
    assert run([*words, "--dry-run"]) == 0
    assert "mask 1" in capsys.readouterr().out
    assert run([*words, "--count", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["number"] == 1
    assert opened.masks(["action"]).loc[1, "action"] == "reject"
    assert run(["undo", str(opened.path)]) == 0
    assert "undone: 1 mask rejected in bulk by ann" in capsys.readouterr().out


SCENE = np.zeros((3, 8, 8), np.uint8)
SCENE[0, 1:6, 1:6] = 1
SCENE[0, 3, 3] = 0  # a hole of a pixel
SCENE[0, 7, 7] = 1  # an island of a pixel
SCENE[1, :2, :2] = 1
SCENE[1, 5:, 5:] = 1
SCENE[2, 0, 0] = 1


def fixed(how: MechanicalFix, groups: tuple[int, ...] = (0, 1, 2)) -> tuple[Any, Any, Any, Any]:
    found = fix_masks(as_runs(SCENE), np.array(groups), how)
    masks, added = (
        [to_dense(some, k) for k in range(len(some))] for some in (found.masks, found.added)
    )
    return masks, found.changed, found.removed, added


def test_islands_go_and_holes_are_filled_under_their_limits() -> None:
    masks, changed, _, _ = fixed(MechanicalFix(drop_islands=2))
    assert changed.tolist() == [True, False, False], "the last one is its largest part"
    assert masks[0].sum() == SCENE[0].sum() - 1
    assert masks[0][7, 7] == 0
    masks, changed, _, _ = fixed(MechanicalFix(fill_holes=2))
    assert changed.tolist() == [True, False, False]
    assert masks[0][3, 3] == 1
    assert fixed(MechanicalFix(fill_holes=1))[1].tolist() == [False] * 3
    masks, changed, _, _ = fixed(MechanicalFix(drop_islands=2, fill_holes=2))
    assert masks[0].sum() == 25


def test_parts_become_masks_and_masks_become_one() -> None:
    masks, changed, _, added = fixed(MechanicalFix(split=True))
    assert changed.tolist() == [True, True, False]
    assert [one.sum() for one in masks] == [24, 9, 1]
    assert [one.sum() for one in added] == [1, 4]
    masks, changed, removed, _ = fixed(MechanicalFix(merge=True), (0, 0, 1))
    assert changed.tolist() == [True, False, False]
    assert removed.tolist() == [False, True, False]
    np.testing.assert_array_equal(masks[0], SCENE[0] | SCENE[1])


def test_nothing_to_fix_and_contradictions_are_refused() -> None:
    with pytest.raises(CallError, match="nothing is to be fixed"):
        MechanicalFix().check()
    with pytest.raises(CallError, match="split and merged"):
        MechanicalFix(split=True, merge=True).check()


def test_a_fix_is_written_with_the_parts_that_were_split_off(tmp_path: Path) -> None:
    source = dataset()
    one = source["annotations"][0]
    one["segmentation"] = [[1, 1, 9, 1, 9, 9, 1, 9], [20, 20, 24, 20, 24, 24, 20, 24]]
    (tmp_path / "source.json").write_text(json.dumps(source))
    curate.audit(tmp_path / "source.json", tmp_path / "audit")
    opened = curate.open_audit(tmp_path / "audit")
    where = f"mask_id = {one['id']}"
    done = curate.fix(opened, where=where, reviewer="ann", split=True)
    assert (done.masks, done.added) == (1, 1)
    curate.write(opened, tmp_path / "written.json", yes=True)
    written = curate.read(tmp_path / "written.json").masks
    of_image = written[written["image_id"] == one["image_id"]]
    assert {64, 16} <= set(of_image["area_px"])
    assert len(written) == len(source["annotations"]) + 1
    curate.undo(opened)
    curate.write(opened, tmp_path / "again.json", yes=True)
    assert len(curate.read(tmp_path / "again.json").masks) == len(source["annotations"])


def test_a_second_fix_starts_from_the_first(opened: curate.Audit) -> None:
    first = curate.fix(opened, where="area_px > 0", reviewer="ann", restate=True)
    assert first.masks > 0
    again = curate.fix(opened, where="area_px > 0", reviewer="ann", drop_islands=1)
    assert again.masks == 0, "nothing changes, so the first fix stays"
    kept = curate.accept(opened, where="decided_by = 'bulk'", reviewer="ann")
    assert kept.masks == 0, "to accept a fixed mask would bring its old pixels back"


def test_a_preview_shows_the_masks_before_and_after(
    opened: curate.Audit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "seen.html"
    words = ["fix", str(opened.path), "--where", "mask_id < 4", "--reviewer", "<b>ann</b>"]
    words += ["--restate", "--dry-run", "--preview", str(page)]
    assert run(words) == 0
    assert f"pictures of them: {page}" in capsys.readouterr().out
    html = page.read_text()
    assert html.count("aria-label='mask ") == 3
    assert html.count("stroke-dasharray='5 3'") == 3, "each with its outline after the fix"
    assert "where mask_id &lt; 4 (restate box and area)" in html
    assert run(words) == 0, "an earlier preview is replaced"
    page.unlink()
    assert run([*words[:-3], "--count", "3", "--preview", str(page)]) == 0
    assert "aria-label='mask " in page.read_text(), "and so is one beside a count"
    assert run(["undo", str(opened.path)]) == 0
    page.write_text("mine")
    capsys.readouterr()
    assert run(words) == 2
    assert "something else is there" in capsys.readouterr().err
    assert page.read_text() == "mine"
