"""Cuts of proposals, chosen on the validation images by what they save people."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine_project import Stand, make_engine, write_pictures
from hand_clock import HandClock
from test_stage_two import change, die

import curate
from curate.demo_dataset import ErrorRates, annotation_times
from curate.engine import proposal_cuts, proposal_settings, round_cuts
from curate.engine.proposal_cuts import (
    OpenProposals,
    choose_cuts,
    find_price,
    list_cuts,
)
from curate.engine.round_record import CutsRecord, read_round
from curate.engine.settings import CUTS, read_settings
from curate.errors import SourceError

SECOND = "rounds/02"
OWN = {"pred_iou": 0.88, "stability": 0.95}
"""Cuts of the light recipe."""

# --- the choice, by hand ---------------------------------------------------------------------

FOUR = OpenProposals(
    predicted_iou=np.array([0.9, 0.5, 0.4, 0.3]),
    stability=np.array([0.6, 0.9, 0.2, 0.95]),
    first=np.array([0, 1, 2, 3]),
    second=np.array([0, 1, 1, 0]),
    iou=np.array([0.8, 0.75, 0.4, 0.76]),
)
"""The first and the last are of one object, the second barely as good as another, the third of
none."""


def counts(proposals: OpenProposals, pred_iou: float, stability: float) -> tuple[int, int]:
    found = proposals.measure(pred_iou, stability)
    return found.saved, found.false


def test_what_a_pair_of_cuts_saves() -> None:
    assert counts(FOUR, 0, 0) == (2, 2)  # a duplicate, and one of no object
    assert counts(FOUR, 0.45, 0) == (2, 0)
    assert counts(FOUR, 0.5, 0) == (1, 0)  # predicted IoU must be over the cut
    assert counts(FOUR, 0, 0.9) == (2, 0)  # the better one of the object is cut, the other counts
    assert counts(FOUR, 0, 0.95) == (1, 0)  # stability may be the cut itself
    assert counts(FOUR, 0.95, 0) == (0, 0)
    worse = replace(FOUR, iou=np.array([0.74, 0.5, 0.4, 0.49]))
    assert counts(worse, 0, 0) == (0, 2)  # to correct the first two saves nothing, costs nothing


def test_the_pair_that_is_worth_most_is_chosen() -> None:
    steps = (0.0, 0.45, 0.95)
    best = choose_cuts(FOUR, 0.1, steps, (0.0, 0.5))
    assert (best.pred_iou, best.stability) == (0.45, 0.5)  # 0 of stability saves no more
    assert best.worth(0.1) == 2
    # Two masks with a false proposal between them: worth it below a price of 1, not above.
    line = OpenProposals(
        np.array([0.9, 0.6, 0.3]), np.ones(3), np.array([0, 2]), np.array([0, 1]), np.ones(2)
    )
    assert choose_cuts(line, 0.9, (0.0, 0.5, 0.8), (0,)).pred_iou == 0
    assert choose_cuts(line, 1.1, (0.0, 0.5, 0.8), (0,)).pred_iou == 0.8
    assert choose_cuts(line, 1.0, (0.0, 0.5, 0.8), (0,)).pred_iou == 0.8  # of equals the stricter


def test_nothing_to_choose_from() -> None:
    none, pairs = np.zeros(0), np.zeros(0, np.int64)
    best = choose_cuts(OpenProposals(none, none, pairs, pairs, none), 0.1, (0, 0.9), (0, 0.5))
    assert (best.pred_iou, best.stability, best.saved, best.false) == (0.9, 0.5, 0, 0)
    unknown = OpenProposals(
        np.array([np.nan, 0.5]), np.array([1, np.nan]), np.arange(2), np.arange(2), np.ones(2)
    )
    assert counts(unknown, -10, 0) == (0, 0)


def test_the_price_of_a_false_proposal() -> None:
    """Circles of 100 screen pixels radius, in images of twice the size of the screen's."""
    areas, sides = np.array([1.0, math.pi * 200**2, 1e9]), np.full(3, 1280.0)
    seconds = 2.4 + 0.205 * 2 * math.pi * 100
    assert find_price(areas, sides) == pytest.approx(1.6 / seconds + 0.05)
    assert ErrorRates().accept_bad == proposal_cuts.ACCEPTED_SHARE
    times = annotation_times.AnnotationTimes()
    assert times.judge_s == proposal_cuts.JUDGE_S
    assert times.locate_s == proposal_cuts.LOCATE_S
    assert times.draw_s_per_px == proposal_cuts.DRAW_S_PER_PX
    assert annotation_times.VIEW_PX == proposal_cuts.VIEW_PX


def test_cuts_that_are_tried() -> None:
    found = list_cuts("pred_iou", 0.88, is_set=False)
    assert (found[0], found[1], found[2], found[-1]) == (-10, 0, 0.05, 0.95)
    assert len(found) == 22
    assert list_cuts("stability", 0.95, is_set=False)[0] == 0
    assert list_cuts("stability", 0.93, is_set=True) == (0.93,)


# --- the step of a round ---------------------------------------------------------------------


def with_free_cuts(stand: Stand, *fixed: str) -> Stand:
    """Let the cuts be chosen, as if nobody had set them, from the next round on."""
    stand.work()
    recipe = json.loads((stand.project / "engine.json").read_text())["recipe"]
    change(stand, recipe=recipe | OWN, set_cuts=list(fixed))
    return stand


def cuts_of(stand: Stand, folder: str = SECOND) -> CutsRecord | None:
    record = read_round(stand.project / folder)
    assert record is not None
    return record.cuts


def test_a_round_records_the_cuts_of_its_proposals(stand: Stand) -> None:
    with_free_cuts(stand)
    text = stand.next(another=True).text()
    cuts = cuts_of(stand)
    assert cuts is not None
    assert (cuts["reason"], cuts["masks"]) == ("", masks_on_validation(stand))
    assert cuts["saved"] is not None
    assert cuts["false"] is not None
    assert cuts["own_saved"] is not None
    assert cuts["own_false"] is not None
    assert cuts["price"] is not None
    own = cuts["own_saved"] - cuts["price"] * cuts["own_false"]
    assert cuts["saved"] - cuts["price"] * cuts["false"] >= own
    assert "proposals are cut as is worth most on the validation images" in text
    record = read_round(stand.project / SECOND)
    assert record is not None
    assert "cuts" in record.steps
    table = curate.read(stand.project / SECOND / "proposals.json").masks
    if len(table):
        assert (table["predicted_iou"] > cuts["pred_iou"]).all()
        assert (table["stability_score"] >= cuts["stability"]).all()
    stand.engine.close_round()
    row = stand.engine.status().rounds.set_index("round").loc[2]
    assert (row["pred_iou_cut"], row["stability_cut"]) == (cuts["pred_iou"], cuts["stability"])
    first = stand.engine.status().rounds.set_index("round").loc[1]
    assert (first["pred_iou_cut"], first["stability_cut"]) == (-10, 0)  # of its recipe


def masks_on_validation(stand: Stand) -> int:
    return len(curate.read(stand.project / "validation/masks.json"))


def test_proposals_are_made_once_for_a_segmenter(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The step is killed at each of its parts, and ends as one that is not."""
    with_free_cuts(stand)
    for name in ("write_coco", "mask_pairs", "choose_cuts"):
        with monkeypatch.context() as patched:
            patched.setattr(round_cuts, name, die)
            with pytest.raises(KeyboardInterrupt):
                stand.next(another=True)
    (folder,) = (stand.project / "cuts").iterdir()
    assert sorted(path.name for path in folder.iterdir()) == ["proposals.json", "truth.json"]
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    stand.next(another=True)
    cuts = cuts_of(stand)
    assert cuts is not None
    assert cuts["proposals"] == f"cuts/{folder.name}/proposals.json"
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    shutil.rmtree(stand.project / "cuts")
    shutil.rmtree(stand.project / SECOND)
    stand.next(another=True)
    assert cuts_of(stand) == cuts


def test_a_killed_generation_goes_on(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    from curate.engine import proposing

    with_free_cuts(stand)
    with monkeypatch.context() as patched:
        patched.setattr(proposing, "write_coco", die)
        with pytest.raises(KeyboardInterrupt):
            stand.next(another=True)
    (folder,) = (stand.project / "cuts").iterdir()
    assert [path.name for path in folder.iterdir()] == ["generated"]
    assert stand.next(another=True).needs == "people"
    assert sorted(path.name for path in folder.iterdir()) == ["proposals.json", "truth.json"]


def test_cuts_that_are_set_stay(stand: Stand) -> None:
    with_free_cuts(stand, "stability")
    stand.next(another=True)
    cuts = cuts_of(stand)
    assert cuts is not None
    assert cuts["stability"] == OWN["stability"]
    assert cuts["own_saved"] is not None


def test_a_round_whose_cuts_are_all_set_chooses_none(stand: Stand) -> None:
    with_free_cuts(stand, *CUTS)
    stand.next(another=True)
    assert cuts_of(stand) is None
    assert not (stand.project / "cuts").exists()


def test_with_too_few_masks_the_recipes_own_cuts_stay(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_free_cuts(stand)
    monkeypatch.setattr(round_cuts, "LEAST_MASKS", masks_on_validation(stand) + 1)
    text = stand.next(another=True).text()
    cuts = cuts_of(stand)
    assert cuts is not None
    assert (cuts["pred_iou"], cuts["stability"], cuts["saved"]) == (0.88, 0.95, None)
    assert (
        "proposals are cut as the recipe has it (predicted IoU over 0.88, stability from 0.95"
        in (text)
    )
    assert "people made" in cuts["reason"]
    assert not (stand.project / "cuts").exists()


def test_a_validation_picture_that_changed_is_refused(stand: Stand) -> None:
    with_free_cuts(stand)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(proposal_settings, "choose_round_cuts", die)
        with pytest.raises(KeyboardInterrupt):
            stand.next(another=True)
    path = stand.pictures / stand.names("validation")[0]
    before = path.read_bytes()
    path.write_bytes(before + b" ")
    with pytest.raises(SourceError, match=r"of the validation set .* has changed"):
        stand.next(another=True)
    path.write_bytes(before)
    assert stand.next(another=True).needs == "people"


def test_what_counts_as_set(tmp_path: Path) -> None:
    """A setting or a recipe of one's own; engines set up before keep both."""
    write_pictures(tmp_path / "pictures")
    own = tmp_path / "own.toml"
    own.write_text('extends = "popular"\n')
    given: list[tuple[dict[str, Any], tuple[str, ...]]] = [
        ({}, ()),
        ({"recipe": "popular", "settings": {"points_per_side": 4}}, ()),
        ({"settings": {"pred_iou": 0.88}}, ("pred_iou",)),
        ({"recipe": {"extends": "popular", "stability": 0.5}}, ("stability",)),
        ({"recipe": str(own)}, CUTS),
    ]
    for k, (options, wanted) in enumerate(given):
        engine = curate.new_engine(tmp_path / str(k), images=tmp_path / "pictures", **options)
        assert read_settings(engine.path).set_cuts == wanted
    path = tmp_path / "0" / "engine.json"
    content = json.loads(path.read_text())
    del content["set_cuts"]
    path.write_text(json.dumps(content))
    assert read_settings(tmp_path / "0").set_cuts == CUTS


def test_proposals_that_people_took_pass_though_the_fixed_cuts_drop_them(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """People accepted all that a segmenter of random weights drew, and it gives it low scores."""
    shutil.rmtree(stand.project / "rounds")
    shutil.copy(
        stand.project / "validation/proposals.json", stand.project / "validation/masks.json"
    )
    recipe = json.loads((stand.project / "engine.json").read_text())["recipe"]
    change(stand, recipe=recipe | OWN, set_cuts=[])
    monkeypatch.setattr(round_cuts, "LEAST_MASKS", 1)
    compare_with_fixed_cuts(stand, "rounds/01")


def compare_with_fixed_cuts(stand: Stand, folder: str) -> None:
    """Check that the cuts that are chosen leave more proposals in a round than the recipe's."""
    stand.next()
    cuts = cuts_of(stand, folder)
    assert cuts is not None
    assert cuts["saved"] is not None
    assert cuts["own_saved"] is not None
    assert cuts["saved"] > cuts["own_saved"]
    chosen = curate.read(stand.project / folder / "proposals.json")
    shutil.rmtree(stand.project / folder)
    change(stand, set_cuts=list(CUTS))
    stand.next()
    fixed = curate.read(stand.project / folder / "proposals.json")
    assert len(chosen) > len(fixed)


@pytest.mark.slow  # trains a segmenter
def test_a_badly_trained_segmenter_gets_more_proposals(tmp_path: Path) -> None:
    """Of a small SAM that was trained for a few steps the fixed cuts leave few proposals."""
    from tiny_sam import SCHEDULE, trained_sam

    clock = HandClock().clock
    start = trained_sam(tmp_path / "start", replace(SCHEDULE, steps=300))
    given: dict[str, Any] = {"segmenter": str(start), "settings": {"points_per_side": 8}}
    _, truth = make_engine(tmp_path, clock=clock, **given)
    stand = Stand(tmp_path, truth, clock)
    stand.next()
    stand.work()
    compare_with_fixed_cuts(stand, "rounds/01")
