"""Rounds of the semi-automatic and of the automatic stage, repeated with other settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from engine_project import Stand, masks_of
from test_stage_three import AUTOMATIC, automatic, third
from test_stage_two import ROUND, answer, first_done, mostly, people_of, propose, second_open, semi

import curate
from curate.engine import rounds, stage_two
from curate.engine.prefilling import read_prefilled
from curate.engine.round_record import RoundRecord, read_round
from curate.errors import AuditError
from curate.people.reviews import open_reviews
from curate.people.reviews.current_plan import open_audit
from curate.store.engine_folder import find_open_audit

__all__ = ["automatic", "first_done", "second_open", "semi", "third"]  # fixtures

MORE: dict[str, Any] = {"points_per_side": 3}


def record_of(stand: Stand, number: int) -> RoundRecord:
    record = read_round(stand.project / "rounds" / f"{number:02d}")
    assert record is not None
    return record


def weights(folder: Path) -> bytes:
    return (folder / "detector" / "model.safetensors").read_bytes()


@pytest.mark.slow  # trains the first stage and a detector
def test_a_prefilled_round_is_repeated_with_its_detector(
    semi: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The detector has seen the same masks, so it is taken over; lines and checks are made anew."""
    monkeypatch.setattr(rounds, "write_proposals_of", propose(semi.truth, lambda *_: True))
    with monkeypatch.context() as patched:
        patched.setattr(stage_two, "train_round_detector", None)
        asked = semi.engine.repeat(settings=MORE, device="cpu")
    assert (asked.needs, asked.round) == ("people", 3)
    old, new = record_of(semi, 2), record_of(semi, 3)
    assert (old.replaced_by, new.replaces) == (3, 2)
    assert weights(semi.project / "rounds/03") == weights(semi.project / ROUND)
    assert old.prefill is not None
    assert new.prefill is not None
    assert new.prefill["detector"] == old.prefill["detector"]
    assert new.prefill["strictness"] == old.prefill["strictness"]
    assert new.prefill["prefilled"] > old.prefill["prefilled"]  # all are right now
    before, found = (read_prefilled(semi.project / name) for name in (ROUND, "rounds/03"))
    assert before is not None
    assert found is not None
    assert not set(before.masks.index) & set(found.masks.index)
    answer(semi)
    semi.engine.close_round()
    ledger = semi.engine.status().rounds.set_index("round")
    assert ledger["replaced_by"].fillna(0).tolist() == [0, 0, 3, 0]
    assert ledger.loc[2, "masks"] == 0
    assert ledger.loc[2, "machine_s"] == old.machine_s
    assert ledger.loc[[2], "prefilled"].isna().all()
    semi.engine.write(semi.folder / "all.json")
    folders = ("validation", "rounds/01", "rounds/03")
    parts = [masks_of(semi.project / one / "masks.json") for one in folders]
    assert masks_of(semi.folder / "all.json") == set().union(*parts)
    semi.engine.report()


def test_the_automatic_stage_is_repeated_until_its_sample_is_looked_at(
    third: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "write_proposals_of", propose(third.truth, mostly))
    asked = third.engine.repeat(settings={"points_per_side": 16}, device="cpu")
    assert (asked.needs, asked.round) == ("people", 3)
    assert "24 masks of 24 of a random sample to review" in asked.text()
    assert third.names("rounds/03") == third.names(AUTOMATIC)
    old, new = record_of(third, 2), record_of(third, 3)
    assert (old.replaced_by, new.replaces, new.stage) == (3, 2, 3)
    assert new.settings["set_cuts"] == []  # they are chosen
    reviews = open_reviews(open_audit(find_open_audit(third.project)))
    first = reviews.read_draw(1)[["mask_id"]].head(1)
    reviews.add(first.assign(action="accept", reviewer="simulated"), origin="test")
    with pytest.raises(AuditError, match="people have decided on 1 mask in round 3, and would be"):
        third.engine.repeat(settings={"points_per_side": 12}, device="cpu")
    people_of(third).work(third.project, clock=third.clock)
    third.next()
    certified = record_of(third, 3).automatic
    assert certified is not None
    assert certified["reviewed"] == 24
    if third.engine.status().now.needs == "people":
        with pytest.raises(AuditError, match="masks are certified in round 3"):
            third.engine.repeat(settings={"points_per_side": 12}, device="cpu")
        people_of(third).work(third.project, clock=third.clock)
        third.next()
    assert third.engine.status().now.needs == ""
    rows = json.loads(third.engine.report(third.folder / "report.json").read_text())["rounds"]
    assert [row["replaced_by"] for row in rows] == [None, None, 3, None]
    found = third.engine.write(third.folder / "all.json")
    table = curate.read(third.folder / "all.json")
    assert len(table) == sum(found.masks.values())
    origin = pd.read_parquet(third.folder / "all.json.provenance.parquet")
    assert set(origin["round"]) == {0, 1, 3}
