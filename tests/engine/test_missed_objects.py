"""Objects that people missed on validation images: asked about, taken, remembered, never lost."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from engine_project import Stand, masks_of
from test_stage_two import (
    answer,
    before,
    die,
    first_done,
    go_on,
    mostly,
    people_of,
    record_of,
    second_open,
    semi,
)

import curate
from curate.engine import missed_objects, rounds, stage_two
from curate.engine.gathered_masks import gather_masks
from curate.engine.missed_objects import (
    find_open_missed,
    list_validation_masks,
    measure_missed_work,
)
from curate.engine.round_record import read_round
from curate.engine.rounds import EngineRounds
from curate.errors import AuditError
from curate.people.reviews import open_reviews
from curate.people.reviews.current_plan import open_audit
from curate.people.webapp.session import ReviewSession
from curate.people.webapp.startup import ReviewSettings
from curate.store.engine_folder import (
    find_open_audit,
    find_project,
    find_round_kind,
    find_round_segmenter,
    list_missed,
    refuse_closed_round,
)

__all__ = ["before", "first_done", "second_open", "semi"]  # fixtures

ASKED = "validation/missed/02"


def lose(stand: Stand, count: int = 3) -> set[tuple[str, bytes]]:
    """Take masks away from the validation images whose proposals are right, as if people had
    missed their objects."""
    path = stand.project / "validation/masks.json"
    document = json.loads(path.read_text())
    names = {one["id"]: one["file_name"] for one in document["images"]}
    gone: set[tuple[str, bytes]] = set()
    kept = []
    for one in document["annotations"]:
        name = names[one["image_id"]]
        counts = one["segmentation"]["counts"].encode()
        place = stand.truth[name].index(counts) if counts in stand.truth[name] else -1
        if len(gone) < count and place >= 0 and mostly(name, place):
            gone.add((name, counts))
        else:
            kept.append(one)
    path.write_text(json.dumps(document | {"annotations": kept}))
    assert len(gone) == count
    return gone


def truth_now(stand: Stand) -> int:
    found = EngineRounds(stand.project, stand.engine.settings)
    return len(gather_masks(list_validation_masks(stand.project), found.images))


def test_people_are_asked_about_objects_that_they_missed(before: Stand) -> None:
    gone = lose(before)
    held = truth_now(before)
    asked = before.next()
    assert (asked.needs, asked.round) == ("people", 2)
    assert "the validation images once more, before round 2: " in asked.text()
    assert "they match none of people's masks" in asked.text()
    assert before.engine.status().now.text() == asked.text()

    place = before.project / ASKED
    audit = find_open_audit(before.project)
    assert audit == place / "audit"
    assert find_project(audit) == before.project
    assert find_round_kind(audit) == "errors"
    assert find_round_segmenter(audit) == find_round_segmenter(before.project / "rounds/01/audit")
    assert not set(before.names(ASKED)) - set(before.names("validation"))
    proposals = masks_of(place / "proposals.json")
    assert proposals & gone
    assert not proposals & masks_of(before.project / "validation/masks.json")
    draw = open_reviews(open_audit(audit)).draws().iloc[0]
    assert "images" not in draw["settings"]
    plan = open_audit(audit).masks(["reasons", "action"])
    assert plan["reasons"].nunique() == 1  # nothing says why it is asked about
    assert open_reviews(open_audit(audit)).read_draw(1)["mask_id"].is_monotonic_increasing
    first = int(plan.index.min())
    assert first not in curate.read(before.project / "rounds/01/proposals.json").masks.index

    done = answer(before)
    assert set(done.actions["action"]) <= {"accept", "reject", "fix"}
    asked = before.next()
    assert asked.round == 2
    assert "that matched none of people's masks, people took" in asked.text()
    with pytest.raises(AuditError, match="second look at the validation images for round 02 of"):
        refuse_closed_round(audit)
    found = proposals & gone
    assert found <= masks_of(place / "masks.json")
    assert truth_now(before) == held + len(masks_of(place / "masks.json"))
    truth = masks_of(before.project / "rounds/02/prefill/truth.json")
    assert found <= truth
    own = curate.read(before.project / "rounds/02/proposals.json").masks.index
    assert not set(own) & set(plan.index)

    answer(before)
    before.engine.close_round()
    row = before.engine.status().rounds.set_index("round").loc[2]
    record = record_of(before)
    assert record.missed is not None
    people = record.missed["people"]
    assert people is not None
    assert row["missed_asked"] == record.missed["asked"] == len(plan)
    assert row["missed_found"] == people["accepted"] + people["fixed"]
    assert people["rejected"] + row["missed_found"] == len(plan)
    before.engine.write(before.folder / "all.json")
    assert found <= masks_of(before.folder / "all.json")
    origin = pd.read_parquet(before.folder / "all.json.provenance.parquet")
    again = origin[origin["part"] == ASKED]
    assert set(zip(again["stage"], again["round"], strict=True)) == {(0, 2)}
    assert set(again["decided_by"]) == {"person"}
    assert again["segmenter"].notna().all()
    page = before.engine.report().read_text()
    assert "missed on validation images" in page


@pytest.mark.slow  # a round more
def test_nobody_is_asked_twice(before: Stand) -> None:
    lose(before)
    go_on(before)
    first = masks_of(before.project / ASKED / "proposals.json")
    answer(before)
    asked = before.next()
    assert asked.round == 3
    later = [place for place in list_missed(before.project) if place.name != "02"]
    for place in later:
        assert not masks_of(place / "proposals.json") & first
    cuts = [path.name for path in before.project.glob("cuts/*/truth*.json")]
    assert cuts == [] or all("truth" in name for name in cuts)


def test_it_can_be_ended_early(before: Stand) -> None:
    lose(before)
    before.next()
    place = before.project / ASKED
    reviews = open_reviews(open_audit(place / "audit"))
    first = reviews.read_draw(1)["mask_id"].tolist()[0]
    taken = pd.DataFrame({"mask_id": [first], "action": ["accept"], "reviewer": ["ann"]})
    reviews.add(taken, origin="test")
    assert measure_missed_work(place).record["undecided"] == len(reviews.read_draw(1)) - 1
    work = before.engine.close_round()
    assert not work.is_done
    assert len(masks_of(place / "masks.json")) == 1
    record = record_of(before)
    assert record.people is None  # the round goes on
    assert record.missed is not None
    assert record.missed["people"] == work.record
    asked = before.next()
    assert asked.round == 2
    assert find_open_audit(before.project) == before.project / "rounds/02/audit"
    left_out = before.engine.write().undecided
    assert left_out == work.record["undecided"]


def test_it_is_written_for_a_tool_and_comes_back(before: Stand) -> None:
    lose(before)
    asked = before.next(to="csv")
    assert asked.written == before.project / ASKED / "queue-csv.csv"
    rows = pd.read_csv(asked.written)
    rows.assign(decision="reject", reviewer="ann").to_csv(before.folder / "back.csv", index=False)
    curate.import_decisions(before.folder / "back.csv", before.project)
    assert before.next().round == 2
    record = record_of(before)
    assert record.missed is not None
    assert record.missed["people"] is not None
    assert record.missed["people"]["rejected"] == record.missed["asked"] == len(rows)
    assert not masks_of(before.project / ASKED / "masks.json")


def test_the_page_shows_them_as_any_others(before: Stand) -> None:
    lose(before)
    before.next()
    session = ReviewSession(
        open_audit(find_open_audit(before.project)), ReviewSettings(kind="errors"), before.clock
    )
    try:
        state = session.about()
    finally:
        session.close()
    assert not state["whole_images"]
    assert state["total"] == len(masks_of(before.project / ASKED / "proposals.json"))


def test_killed_on_the_way_it_ends_the_same(before: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    lose(before)
    for module, name in (
        (missed_objects, "measure_signals"),
        (missed_objects, "audit_proposals"),
        (stage_two, "begin_missed"),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(module, name, die)
            with pytest.raises(KeyboardInterrupt):
                before.next()
            assert find_open_missed(before.project) is None
    with monkeypatch.context() as patched:
        real = stage_two.begin_missed

        def killed_behind(*given: object) -> None:
            real(*given)  # type: ignore[arg-type]
            raise KeyboardInterrupt

        patched.setattr(stage_two, "begin_missed", killed_behind)
        with pytest.raises(KeyboardInterrupt):
            before.next()
    assert find_open_missed(before.project) is not None
    answer(before)
    with monkeypatch.context() as patched:
        patched.setattr(missed_objects, "note_missed", die)
        with pytest.raises(KeyboardInterrupt):
            before.next()
    assert before.next().round == 2
    record, asked = record_of(before), read_round(before.project / ASKED)
    assert record.missed is not None
    assert asked is not None
    assert record.missed["people"] == asked.people
    assert asked.people is not None


def test_a_repeated_round_goes_on_with_the_questions(
    before: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose(before)
    before.next()
    monkeypatch.setattr(stage_two, "train_round_detector", None)  # that of round 2 is taken over
    asked = before.engine.repeat(settings={"points_per_side": 3}, device="cpu")
    assert "before round 2" in asked.text()
    assert find_open_audit(before.project) == before.project / ASKED / "audit"
    people_of(before).work(before.project, clock=before.clock)
    first = masks_of(before.project / ASKED / "proposals.json")
    asked = go_on(before)
    assert asked.round == 3
    old, new = (read_round(before.project / "rounds" / name) for name in ("02", "03"))
    assert old is not None
    assert new is not None
    assert old.missed is not None
    assert old.missed["people"] is not None
    assert new.missed is not None
    again = before.project / "validation/missed/03/proposals.json"
    assert not again.exists() or not masks_of(again) & first
    row = before.engine.status().rounds.set_index("round").loc[2]
    assert row["people_s"] == old.missed["people"]["seconds"] > 0


def test_rounds_of_before_go_on(semi: Stand) -> None:
    """A round whose lines were chosen by an earlier version asks about nothing."""
    path = Path(semi.project / "rounds/02/round.json")
    record = json.loads(path.read_text())
    del record["missed"], record["steps"]["missed"]
    path.write_text(json.dumps(record))
    assert semi.next().round == 2
    assert record_of(semi).missed is None
    row = semi.engine.status()
    assert row.now.round == 2
    assert rounds.EngineRounds(semi.project, semi.engine.settings).records[-1].missed is None
