"""The automatic stage: masks of all images that are left, certified on a random sample."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from engine_project import Stand, truth_of
from test_stage_two import change, first_done, mostly, people_of, propose

import curate
from curate.common import files
from curate.engine import automatic_work, learned_quality, rounds, stage_three
from curate.engine.round_record import AutomaticRecord, RoundRecord, read_round
from curate.errors import CurateError
from curate.people.reviews import open_reviews
from curate.people.reviews.current_plan import open_audit
from curate.people.webapp.startup import ReviewSettings, find_queue
from curate.store.engine_folder import find_open_audit, find_round_kind

__all__ = ["first_done"]  # a fixture

AUTOMATIC = "rounds/02"
MAX_BAD = 0.3
SETTINGS: dict[str, Any] = {"rounds": 1, "automatic": True, "max_bad": MAX_BAD, "sample": 24}


def nearly_all(name: str, place: int) -> bool:
    """Nine proposals in ten are right."""
    return (int(name[:2]) * 3 + place) % 10 > 0


@pytest.fixture(scope="session")
def automatic(begun: Stand, tmp_path_factory: pytest.TempPathFactory) -> Stand:
    """An engine whose rounds are through, with the random sample open for people."""
    folder = tmp_path_factory.mktemp("automatic") / "copy"
    shutil.copytree(begun.folder, folder)
    made = begun.moved(folder)
    change(made, **SETTINGS)
    made.work()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(rounds, "write_proposals_of", propose(made.truth, nearly_all))
        asked = made.next()
    assert (asked.needs, asked.round) == ("people", 2)
    return made


@pytest.fixture
def third(automatic: Stand, tmp_path: Path) -> Stand:
    """A copy of that engine."""
    shutil.copytree(automatic.folder, tmp_path / "copy")
    return automatic.moved(tmp_path / "copy")


def record_of(stand: Stand) -> RoundRecord:
    record = read_round(stand.project / AUTOMATIC)
    assert record is not None
    return record


def certificate_of(stand: Stand) -> AutomaticRecord:
    found = record_of(stand).automatic
    assert found is not None
    return found


def answer(stand: Stand) -> None:
    """Review what the engine asks for, without mistakes."""
    people_of(stand).work(stand.project, clock=stand.clock)


def test_from_the_sample_to_the_end(third: Stand) -> None:
    """A sample is reviewed, the rest is certified or decided on, and the engine is through."""
    taken = set(third.names("rounds/01")) | set(third.names("validation"))
    names = third.names(AUTOMATIC)
    assert len(names) == 20
    assert not taken & set(names)
    folder = find_open_audit(third.project)
    assert find_round_kind(folder) == "estimate"
    asked = third.next()  # nothing is to be done by the machine
    assert "24 masks of 24 of a random sample to review" in asked.text()
    assert "a label-free quality ranks the masks (people found " in asked.text()
    assert "proposals bad, too few of a kind to learn)" in asked.text()
    shown = find_queue(open_reviews(open_audit(folder)), ReviewSettings(find_round_kind(folder)))
    assert len(shown.queue) == 24  # what `curate review` serves of the project
    answer(third)
    decided = open_reviews(open_audit(folder)).resolve_labels()
    assert len(decided) == 24

    asked = third.next()
    found = certificate_of(third)
    assert found["reviewed"] == 24
    assert found["threshold"] is not None
    assert found["rest"] > 0
    assert f"{found['rest']} masks to decide on that nothing certifies" in asked.text()
    assert "with 95% confidence at most 30.0% of the masks that are certified are bad" in (
        asked.text()
    )
    assert find_round_kind(folder) == "errors"
    assert [step.command for step in asked.steps][-1] == f"curate engine close {third.project}"
    draws = open_reviews(open_audit(folder)).draws()
    assert draws["kind"].tolist() == ["estimate", "errors"]
    ranked = open_reviews(open_audit(folder)).read_draw(2)["mask_id"].tolist()
    shown = find_queue(open_reviews(open_audit(folder)), ReviewSettings(find_round_kind(folder)))
    assert shown.queue.mask_ids.tolist() == ranked
    plan = open_audit(folder).masks(["priority", "action"])
    assert plan.loc[ranked, "priority"].is_monotonic_decreasing
    assert set(plan.loc[ranked, "action"]) == {"review"}

    answer(third)
    done = third.next()
    assert done.needs == ""
    assert "the automatic stage is through" in done.text()
    record, found = record_of(third), certificate_of(third)
    people = record.people
    assert people is not None
    assert people["undecided"] == 0
    assert people["prefilled"] == found["certified"] > 0
    masks = curate.read(third.project / AUTOMATIC / "masks.json").masks
    assert len(masks) == people["accepted"] + people["fixed"] + found["certified"]
    row = third.engine.status().rounds.set_index("round").loc[2]
    assert (row["stage"], row["certified"], row["sample"]) == (3, found["certified"], 24)
    assert (row["certified_max_bad"], row["certified_confidence"]) == (MAX_BAD, 0.95)
    assert row["masks"] == len(masks)
    assert row["people_s"] > 0
    assert "masks are certified, at most 30.0% of them bad" in third.engine.status().text()
    note = pd.read_parquet(third.project / AUTOMATIC / "masks.json.provenance.parquet")
    assert (note["decided_by"] == "certificate").sum() == found["certified"]
    assert third.next().needs == ""  # and again
    check_report(third, people["proposals"], found["certified"])


@pytest.mark.slow  # trains the first stage, and reviews whole rounds
def test_what_people_decided_in_the_rounds_ranks_the_masks(
    first_done: Stand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(first_done.folder, tmp_path / "copy")
    stand = first_done.moved(tmp_path / "copy")
    shutil.rmtree(stand.project / AUTOMATIC)  # a round of the second stage had begun
    change(stand, prefill_rounds=0, **SETTINGS)
    monkeypatch.setattr(rounds, "write_proposals_of", propose(stand.truth, mostly))
    path = stand.project / AUTOMATIC / "audit"

    def kill(operation: str, place: Path) -> int | None:
        """Kill the run while the masks are decided on anew, by the model."""
        if operation == "replace" and path / "masks" in place.parents and (path / "model").is_dir():
            raise KeyboardInterrupt
        return None

    for module, name, given in (
        (learned_quality, "learn", die),
        (learned_quality, "adopt_model", die),
        (files, "_hook", kill),
        (stage_three, "draw_sample", die),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(module, name, given)
            with pytest.raises(KeyboardInterrupt):
                stand.next()
    learned = open_audit(path).info.quality_model
    assert learned is not None
    asked = stand.next()
    assert "a learned quality ranks the masks" in asked.text()
    assert certificate_of(stand)["unlearned"] == ""
    info = open_audit(path).info
    assert info.quality_model == learned
    assert info.learning is not None
    closed = ("validation", "rounds/01")
    decided = [len(curate.read(stand.project / one / "proposals.json")) for one in closed]
    assert info.learning["reviews"]["masks"] == sum(decided)
    drawn = open_audit(path).masks(["image_id", "quality_score", "segmentation"])
    names = open_audit(path).images(["file_name"])["file_name"]
    truth = truth_of(stand.truth, names.tolist())
    pairs = zip(drawn["image_id"].map(names), drawn["segmentation"].map(bytes), strict=True)
    good = pd.Series([pair in truth for pair in pairs], drawn.index)
    assert drawn["quality_score"][good].min() > drawn["quality_score"][~good].max()
    assert drawn["quality_score"][good].mean() > 0.8  # a probability
    answer(stand)
    stand.next()
    assert certificate_of(stand)["threshold"] is not None


def check_report(stand: Stand, proposals: int, certified: int) -> None:
    """Check that the report counts each proposal of the stage once, and says what it leaves."""
    values = json.loads(stand.engine.report(stand.folder / "report.json").read_text())
    shares = next(one for one in values["plots"] if one["name"] == "shares")
    counts = {name: found[-1] for name, found in shares["values"]["counts"].items()}
    assert counts["prefilled or certified"] == certified
    assert sum(counts.values()) - counts["added"] == proposals
    assert (values["work_left"]["images"], values["work_left"]["automatic"]) == (0, 20)
    assert values["next_hour"]["masks"] is None
    assert f"{certified} stand by a certificate" in values["figures"][0]["basis"]


def begin_again(stand: Stand, is_good: Any, **settings: Any) -> Stand:
    """Return to before the stage, with other proposals and settings, and begin it."""
    shutil.rmtree(stand.project / AUTOMATIC)
    change(stand, **settings)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(rounds, "write_proposals_of", propose(stand.truth, is_good))
        stand.next()
    return stand


def test_nothing_is_certified_of_bad_masks(third: Stand) -> None:
    """All of them go to people, who may leave them alone."""
    begin_again(third, lambda *_: False, max_bad=0.05, sample=45)
    answer(third)
    asked = third.next()
    found = certificate_of(third)
    assert (found["threshold"], found["certified"]) == (None, 0)
    assert "no mask is certified: " in asked.text()
    plan = open_audit(find_open_audit(third.project)).masks(["action", "decided_by"])
    assert (plan["action"] == "review").sum() == found["rest"]
    assert not ((plan["action"] == "accept") & (plan["decided_by"] != "person")).any()
    work = third.engine.close_round()
    assert work.record["undecided"] == found["rest"]
    assert third.next().needs == ""
    record = record_of(third)
    assert record.closed_early
    assert record.people is not None
    masks = curate.read(third.project / AUTOMATIC / "masks.json").masks
    assert len(masks) == record.people["accepted"] + record.people["fixed"]
    assert "nothing is certified: " in third.engine.status().text()
    assert pd.isna(third.engine.status().rounds.set_index("round").loc[2, "certified_max_bad"])


def test_a_sample_that_is_left_alone_certifies_nothing(third: Stand) -> None:
    work = third.engine.close_round()
    assert "of a random sample to review" in work.text()
    found, record = certificate_of(third), record_of(third)
    assert found["threshold"] is None
    assert found["reason"]
    assert record.people is not None
    assert record.people["undecided"] == record.people["proposals"] - found["refused"]
    assert len(curate.read(third.project / AUTOMATIC / "masks.json")) == 0
    assert third.next().needs == ""


def test_a_sample_too_small_for_the_bound(third: Stand) -> None:
    """Everything goes to people, and the reason says how many masks it takes."""
    begin_again(third, nearly_all, sample=3)
    answer(third)
    asked = third.next()
    assert "no mask is certified: 3 reviewed masks cannot show that at most 30" in asked.text()
    assert certificate_of(third)["rest"] > 30


def test_pictures_that_are_not_as_they_were_are_passed_over(third: Stand) -> None:
    names = third.names(AUTOMATIC)
    (third.pictures / names[0]).unlink()
    changed = third.pictures / names[1]
    changed.write_bytes(changed.read_bytes() + b" ")
    begin_again(third, nearly_all)
    assert third.names(AUTOMATIC) == names[2:]
    gone = {one["file_name"]: one["reason"] for one in record_of(third).passed_over}
    assert gone == {names[0]: "cannot be read (no such file or directory)"} | {
        names[1]: "has changed"
    }
    assert "2 pictures were passed over" in third.engine.status().now.text()
    assert third.engine.status().left == 2


def test_a_picture_that_goes_while_masks_are_generated_is_passed_over(
    third: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = third.names(AUTOMATIC)
    shutil.rmtree(third.project / AUTOMATIC)
    with monkeypatch.context() as patched:
        patched.setattr(rounds, "write_proposals_of", die)
        with pytest.raises(KeyboardInterrupt):
            third.next()
    (third.pictures / names[0]).unlink()
    monkeypatch.setattr(rounds, "write_proposals_of", propose(third.truth, nearly_all))
    third.next()
    assert third.names(AUTOMATIC) == names[1:]
    assert [one["file_name"] for one in record_of(third).passed_over] == names[:1]


def die(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


def test_without_any_picture_the_stage_is_through(third: Stand) -> None:
    for name in third.names(AUTOMATIC):
        (third.pictures / name).unlink()
    begin_again(third, nearly_all)
    now = third.engine.status().now
    assert now.needs == ""
    assert "none of the 20 pictures that were left is as it was" in now.text()


def test_a_segmenter_that_finds_nothing_leaves_nothing_to_review(
    third: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(third.project / AUTOMATIC)
    monkeypatch.setattr(
        rounds, "write_proposals_of", propose({}.fromkeys(third.truth, []), nearly_all)
    )
    done = third.next()
    assert done.needs == ""
    assert "nothing is certified: the segmenter drew no mask" in done.text()
    assert len(curate.read(third.project / AUTOMATIC / "masks.json")) == 0


def test_engines_that_have_no_automatic_stage(third: Stand) -> None:
    """Those of several classes, those without, and those that were set up before there was one."""
    shutil.rmtree(third.project / AUTOMATIC)
    change(third, classes=["object", "debris"])
    text = third.engine.status().now.text()
    assert "the assisted manual stage is through: all 1 rounds are done; there is no automatic" in (
        text
    )
    assert "several classes" in text
    path = third.project / "engine.json"
    settings = json.loads(path.read_text())
    for name in ("automatic", "full_recipe", "sample"):
        del settings[name]
    path.write_text(json.dumps(settings))
    record = json.loads((third.project / "rounds/01/round.json").read_text())
    del record["automatic"]
    (third.project / "rounds/01/round.json").write_text(json.dumps(record))
    assert third.next().text().startswith("the assisted manual stage is through: all 1 rounds are")
    assert "automatic" not in third.next().text()


def test_another_round_of_people_comes_before_it(third: Stand) -> None:
    shutil.rmtree(third.project / AUTOMATIC)
    assert "round 2, the automatic stage can begin" in third.engine.status().now.text()
    assert third.next(another=True).round == 2
    assert record_of(third).stage == 1


def test_the_sample_is_written_for_a_tool_as_it_was_drawn(third: Stand) -> None:
    asked = third.next(to="csv")
    assert asked.written is not None
    rows = pd.read_csv(asked.written)
    drawn = open_reviews(open_audit(find_open_audit(third.project))).read_draw(1)
    assert rows["mask_id"].tolist() == drawn["mask_id"].tolist()
    assert "quality_score" not in rows
    assert set(rows["draw_id"]) == {1}
    assert "is there already" in third.next(to="csv").text()
    rows["decision"] = "accept"
    rows.to_csv(asked.written, index=False)
    curate.import_decisions(asked.written, audit=third.project, reviewer="ann")
    found = third.next(to="csv")
    assert certificate_of(third)["reviewed"] == 24
    assert found.needs == "" or (found.written is not None and "queue-csv" in found.written.name)


def test_settings_of_the_stage_are_checked(third: Stand, tmp_path: Path) -> None:
    for message, given in (
        ("--sample is 0", {"sample": 0}),
        ("--full-recipe: there is no recipe best", {"full_recipe": "best"}),
        ("--full-recipe: there is no setting", {"full_settings": {"points": 3}}),
    ):
        with pytest.raises(CurateError, match=message):
            curate.new_engine(tmp_path / "new", images=third.pictures, **given)
        assert not (tmp_path / "new").exists()


def go_on(stand: Stand) -> None:
    """Go on to the end; people review what they are asked for."""
    while stand.next().needs:
        answer(stand)


def finish(stand: Stand) -> dict[str, Any]:
    """Go on to the end; return what must be the same however it came to be."""
    go_on(stand)
    folder = stand.project / AUTOMATIC
    record = record_of(stand)
    found = {name: (folder / name).read_bytes() for name in ("proposals.json", "masks.json")}
    draws = open_reviews(open_audit(folder / "audit")).draws()[["kind", "masks", "decided"]]
    return found | {
        "people": record.people,
        "automatic": record.automatic,
        "result": record.result,
        "draws": draws.values.tolist(),
    }


@pytest.mark.slow  # ten runs, twice
def test_killed_between_steps_it_ends_the_same(third: Stand, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(third.folder, other)
    begin_again(third, nearly_all)
    wanted = finish(third)
    shutil.rmtree(third.project)
    shutil.copytree(other / "project", third.project)
    shutil.rmtree(third.project / AUTOMATIC)
    steps = (
        (rounds, "write_proposals_of"),
        (stage_three, "begin_automatic"),
        (stage_three, "draw_sample"),
        (automatic_work, "certify_audit"),
        (automatic_work, "renew_report"),
        (automatic_work, "_queue_rest"),
        (rounds, "write_automatic_masks"),
        (rounds, "count_outcomes"),
        (rounds, "conclude_automatic"),
    )
    for module, name in steps:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(rounds, "write_proposals_of", propose(third.truth, nearly_all))
            patched.setattr(module, name, die)
            with pytest.raises(KeyboardInterrupt):
                go_on(third)
    assert finish(third) == wanted


def test_its_cuts_are_chosen_unless_they_are_set(begun: Stand, tmp_path: Path) -> None:
    """By what its proposals on the validation images save; over SAM's own a small one has none."""
    for name, set_cuts in (("chosen", []), ("set", ["pred_iou", "stability"])):
        shutil.copytree(begun.folder, tmp_path / name)
        made = begun.moved(tmp_path / name)
        change(made, **SETTINGS, full_set_cuts=set_cuts)
        made.work()
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(rounds, "write_proposals_of", propose(made.truth, nearly_all))
            asked = made.next()
        assert asked.round == 2
        cuts, recipe = record_of(made).cuts, record_of(made).settings["recipe"]
        if name == "set":
            assert cuts is None
            continue
        assert cuts is not None
        assert cuts["reason"] == ""
        assert cuts["saved"]
        assert cuts["pred_iou"] <= 0.95 < 1
        assert isinstance(recipe, dict)
        assert recipe["pred_iou"] == 0.88  # as it was set up
        assert "proposals are cut as is worth most on the validation images" in asked.text()
        ledger = made.engine.status().rounds
        assert ledger["stage"].tolist() == [0, 1]
    path = tmp_path / "chosen/project/engine.json"
    settings = json.loads(path.read_text())
    del settings["full_set_cuts"]
    path.write_text(json.dumps(settings))
    assert curate.open_engine(path.parent).settings.full_set_cuts == ("pred_iou", "stability")
