"""Asking of a judge on whole audits: budget, cache, columns, policy, report."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from judge_programs import MASKS, make_audit, read_asked, write_judge
from judge_server import serve_judge
from PIL import Image
from test_learning import certificate

import curate
from curate.common.locks import hold_directory
from curate.errors import AuditError, CallError
from curate.people.reviews import open_reviews
from curate.pipeline import deciding
from curate.policy.policy import Policy
from curate.store.audit import JUDGEMENTS
from curate.store.judgements import read_judgements


def test_a_judge_answers_about_every_mask(audit, tmp_path):
    found = curate.judge(audit, write_judge(tmp_path), budget=100, batch=5)
    assert (found.asked, found.known, found.chosen) == (MASKS, 0, MASKS)
    assert read_asked(tmp_path) == [5, 5, 5, 5, 4]
    masks = found.audit.masks().sort_index()
    np.testing.assert_allclose(masks["judge_score"], masks["bbox_w"] / 20)
    accept = masks["bbox_w"] > 8
    assert (masks["judge_answer"] == np.where(accept, "accept", "reject")).all()
    assert masks["judge_reason"].tolist() == [f"{w:g} px wide" for w in masks["bbox_w"]]
    assert (found.accepted, found.rejected) == (accept.sum(), (~accept).sum())
    assert f"accepts {accept.sum()} and rejects {(~accept).sum()}" in found.text()
    before = audit.masks().sort_index()
    pd.testing.assert_series_equal(masks["quality_score"], before["quality_score"])
    pd.testing.assert_series_equal(masks["action"], before["action"])
    said = {one["name"]: one for one in found.audit.info.signals}["judge"]
    assert (said["available"], said["why"]) == (True, "")


def test_nothing_is_asked_twice(audit, tmp_path):
    command = write_judge(tmp_path)
    first = curate.judge(audit, command, budget=10)
    assert (first.asked, sum(read_asked(tmp_path))) == (10, 10)
    answered = first.audit.masks(["judge_score"])["judge_score"].dropna().index
    again = curate.judge(audit, command, budget=10)
    assert (again.asked, again.known, sum(read_asked(tmp_path))) == (0, 10, 10)
    more = curate.judge(audit, command, budget=16)
    assert (more.asked, more.known, sum(read_asked(tmp_path))) == (6, 10, 16)
    scores = more.audit.masks(["judge_score"])["judge_score"]
    assert scores.notna().sum() == 16
    assert scores[answered].notna().all()


def test_a_budget_holds_over_calls_in_all_orders(audit, tmp_path):
    command = write_judge(tmp_path)
    decide(audit, dict.fromkeys(range(1, 24), "accept"))
    for budget, order, asked in (
        (5, "random", 5),
        (12, "rank", 7),
        (9, "random", 0),
        (12, "reviewed", 0),
        (15, "reviewed", 3),
        (100, "random", 9),
    ):
        before = curate.judge(audit, command, budget=budget, order=order, dry_run=True)
        found = curate.judge(audit, command, budget=budget, order=order)
        assert (before.to_ask, found.asked) == (asked, asked)
        assert found.audit.masks(["judge_score"])["judge_score"].count() == sum(
            read_asked(tmp_path)
        )
        if not asked:
            assert f"--budget {budget} counts these" in before.text()
            assert "sent to" not in before.text()
    assert sum(read_asked(tmp_path)) == MASKS


def test_a_budget_holds_after_pictures_and_the_dataset_changed(tmp_path):
    audit = make_audit(tmp_path)
    command = write_judge(tmp_path)
    curate.judge(audit, command, budget=8)
    answered = audit.masks(["image_id", "judge_score"]).dropna().sort_index()
    image = int(answered["image_id"].iloc[0])
    outdated = int((answered["image_id"] == image).sum())
    name = tmp_path / "images" / f"{image}.png"
    Image.fromarray(255 - np.asarray(Image.open(name))).save(name)
    again = curate.judge(audit, command, budget=8, order="rank")
    assert again.asked == outdated
    assert again.audit.masks(["judge_score"])["judge_score"].count() == 8
    source = json.loads((tmp_path / "source.json").read_text())
    for one in source["annotations"]:
        one["id"] = 100 - one["id"]
    (tmp_path / "source.json").write_text(json.dumps(source))
    given = {"images": tmp_path / "images", "restart": True}
    anew = curate.audit(tmp_path / "source.json", tmp_path / "audit", **given)
    found = curate.judge(anew, command, budget=10, order="rank")
    assert (found.known, found.asked) == (8, 2)
    assert found.audit.masks(["judge_score"])["judge_score"].count() == 10


def test_answers_that_another_judge_replaces_are_named(audit, tmp_path):
    first = curate.judge(audit, write_judge(tmp_path, {}, "a.py"), budget=10)
    assert first.replaced is None
    other = write_judge(tmp_path, {}, "b.py")
    before = curate.judge(audit, other, budget=6, dry_run=True).text()
    after = curate.judge(audit, other, budget=6)
    for text, verb in ((before, "leave"), (after.text(), "have left")):
        assert f"10 answers of {first.judge} {verb} the columns, for those of {after.judge}" in text
    assert after.as_dict()["replaced"] == {"judge": first.judge, "masks": 10}
    assert curate.judge(audit, other, budget=7).replaced is None
    back = curate.judge(audit, write_judge(tmp_path, {}, "a.py"), budget=3)
    assert (back.asked, back.known) == (0, 10)
    assert back.audit.masks(["judge_score"])["judge_score"].count() == 10
    assert curate.judge(audit, other, budget=7).asked == 0
    edited = curate.judge(audit, write_judge(tmp_path, {"w / 20": "1"}, "b.py"), budget=4).text()
    assert f"7 answers of {after.judge} as it was before have left" in edited
    assert "as it is now" in edited


def test_a_script_that_was_changed_is_another_judge(audit, tmp_path):
    curate.judge(audit, write_judge(tmp_path), budget=10)
    kinder = write_judge(tmp_path, {"w / 20": "1"})
    found = curate.judge(audit, kinder, budget=6)
    assert (found.asked, sum(read_asked(tmp_path))) == (6, 16)
    scores = found.audit.masks(["judge_score"])["judge_score"].dropna()
    assert scores.tolist() == [1.0] * 6  # those of the other judge stay in the file only
    assert len(read_judgements(audit.path)) == 16


def test_a_dry_run_sends_nothing_and_says_what_would_be_sent_where(audit, tmp_path):
    command = write_judge(tmp_path)
    curate.judge(audit, command, budget=4)
    found = curate.judge(audit, command, budget=10, dry_run=True)
    assert sum(read_asked(tmp_path)) == 4
    assert found.to_ask == 6
    for piece in ("6 masks", "on this machine", "judge.py", "window around", "not sent again: 4"):
        assert piece in found.text()


def test_the_orders(audit, tmp_path):
    ranked = curate.judge(audit, write_judge(tmp_path), budget=5, order="rank").audit
    masks = ranked.masks(["rank", "judge_score"])
    assert masks["rank"][masks["judge_score"].notna()].max() == 5
    with pytest.raises(CallError, match="no mask to ask about"):
        curate.judge(audit, write_judge(tmp_path), budget=5, order="reviewed")
    decide(audit, {3: "accept", 7: "reject", 20: "accept"})
    found = curate.judge(audit, write_judge(tmp_path, {}, "b.py"), budget=5, order="reviewed")
    scores = found.audit.masks(["judge_score"])["judge_score"].dropna()
    assert sorted(scores.index) == [3, 7, 20]
    assert "3 good masks" in found.lacking or "more are needed" in found.lacking


def decide(audit, actions):
    rows = pd.DataFrame({"mask_id": list(actions), "action": list(actions.values())})
    rows["time"] = pd.date_range("2026-01-01", periods=len(rows), freq="min", tz="UTC")
    open_reviews(audit, create=True).add(rows.assign(reviewer="ann"), origin="test")


def test_a_judge_is_measured_on_what_people_decided(audit, tmp_path):
    masks = audit.masks(["bbox_w"])
    wide = masks["bbox_w"] > 8
    decide(audit, {int(m): "accept" if good else "reject" for m, good in wide.items()})
    found = curate.judge(audit, write_judge(tmp_path), budget=100)
    worth = found.worth
    assert worth is not None
    assert (worth.masks, worth.bad, worth.images) == (MASKS, (~wide).sum(), 6)
    assert (worth.agreement, worth.low, worth.high, worth.average_precision) == (1, 1, 1, 1)
    assert worth.quality_average_precision < 1
    assert 0.1 < worth.calibration_error < 0.6
    assert "it agrees on 100%" in found.text()
    contrary = write_judge(tmp_path, {"w > 8": "w <= 8", "w / 20": "1 - w / 20"}, "contrary.py")
    worse = curate.judge(audit, contrary, budget=100).worth
    assert worse is not None
    assert worse.agreement == 0
    assert worse.average_precision < 0.6


def test_a_policy_can_name_its_answers(audit, tmp_path):
    rule = {
        "when": "judge_answer == 'reject' and judge_score < 0.5",
        "action": "review",
        "reason": "the judge rejects it: {judge_reason}",
    }
    policy = Policy.preset("default").as_dict()
    policy = policy | {"name": "judged", "rule": [*policy["rule"], rule]}
    curate.decide(audit, policy=policy)
    found = curate.judge(audit, write_judge(tmp_path), budget=100)
    masks = found.audit.masks()
    rejected = masks[masks["judge_answer"] == "reject"]
    assert len(rejected) > 3
    for width, reasons in zip(rejected["bbox_w"], rejected["reasons"], strict=True):
        assert f"the judge rejects it: {width:g} px wide" in reasons
    rest = masks[masks["judge_answer"] == "accept"]
    assert not rest["reasons"].str.contains("judge").any()


def test_new_answers_void_a_certificate_where_a_policy_reads_them(audit, tmp_path):
    rule = {"when": "judge_score < 0.4", "action": "review", "reason": "judged {judge_score:.2f}"}
    default = Policy.preset("default").as_dict()
    reads = default | {"rule": [*default["rule"], rule]}
    for policy, stays in ((default, True), (reads, False)):
        info = curate.decide(audit, policy=policy).info
        certified = replace(info, certificate=certificate(threshold=0.1))
        with deciding.Pool(1) as pool:
            deciding.decide_audit(audit.path, certified, Policy.from_dict(policy), pool)
        changed = {"w / 20": f"w / {21 + stays}"}
        info = curate.judge(audit, write_judge(tmp_path, changed), budget=100).audit.info
        assert (info.certificate is not None) == stays
        assert (info.certified_line == 0.1) == stays
    assert info.void_certificate["void_because"] == "the judge's answers changed"


def test_a_dry_run_needs_no_right_to_write_and_finishes_what_was_cut_off(audit, tmp_path):
    command = write_judge(tmp_path)
    with hold_directory(audit.path, "decide"):  # somebody writes into it
        assert curate.judge(audit, command, budget=5, dry_run=True).to_ask == 5
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deciding, "rank_all", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            curate.judge(audit, command, budget=5)
    assert curate.judge(audit.path, command, budget=9, dry_run=True).known == 5
    assert curate.open_audit(audit.path).masks(["judge_score"])["judge_score"].notna().sum() == 5


def test_masks_without_a_picture_are_counted_and_not_asked_about(tmp_path):
    audit = make_audit(tmp_path, pictures=4)
    (tmp_path / "images" / "2.png").write_bytes(b"no picture")
    found = curate.judge(audit, write_judge(tmp_path), budget=100)
    assert (found.asked, found.without_picture, found.candidates) == (12, 8, 16)
    assert sum(found.unreadable.values()) == 4
    assert "without a picture: 8" in found.text()
    (tmp_path / "empty").mkdir()
    with pytest.raises(CallError, match="none of 24 masks has a picture"):
        curate.judge(audit, write_judge(tmp_path), budget=9, images=tmp_path / "empty")


def test_copies_of_a_mask_are_asked_about_once(tmp_path):
    make_audit(tmp_path)
    source = json.loads((tmp_path / "source.json").read_text())
    twin = source["annotations"][0] | {"id": 25}
    source["annotations"].append(twin)
    (tmp_path / "source.json").write_text(json.dumps(source))
    audit = curate.audit(
        tmp_path / "source.json", tmp_path / "audit", images=tmp_path / "images", restart=True
    )
    for budget in (9, 100):
        found = curate.judge(audit, write_judge(tmp_path), budget=budget, batch=3)
    assert sum(read_asked(tmp_path)) == 24
    scores = found.audit.masks(["judge_score"])["judge_score"]
    assert scores.notna().sum() == 25
    assert scores[25] == scores[1]


def test_answers_outlive_an_audit_made_anew_and_meet_the_right_masks(tmp_path):
    audit = make_audit(tmp_path)
    command = write_judge(tmp_path)
    before = curate.judge(audit, command, budget=100).audit.masks(["judge_score"]).sort_index()
    given = {"images": tmp_path / "images", "restart": True}
    same = curate.audit(tmp_path / "source.json", tmp_path / "audit", **given)
    pd.testing.assert_frame_equal(same.masks(["judge_score"]).sort_index(), before)
    # Other ids, one mask changed: the file's answers are no answers about these ids.
    source = json.loads((tmp_path / "source.json").read_text())
    for one in source["annotations"]:
        one["id"] = 100 - one["id"]
    source["annotations"][3]["category_id"] = 2
    source["categories"].append({"id": 2, "name": "dog"})
    (tmp_path / "source.json").write_text(json.dumps(source))
    anew = curate.audit(tmp_path / "source.json", tmp_path / "audit", **given)
    assert "judge_score" not in anew.query("describe masks")["column_name"].tolist()
    found = curate.judge(anew, command, budget=100)
    assert (found.asked, found.known, sum(read_asked(tmp_path))) == (1, 23, 25)
    after = found.audit.masks(["judge_score"])["judge_score"]
    assert after[[100 - k for k in before.index]].tolist() == before["judge_score"].tolist()


def test_a_run_that_is_stopped_keeps_its_batches(audit, tmp_path):
    dies = {
        "    log(len(": "    if sys.argv[1:] and request['batch'] > 2: sys.exit(7)\n    log(len("
    }
    command = write_judge(tmp_path, dies)
    with pytest.raises(AuditError, match="3 batches in a row") as error:
        curate.judge(audit, [*command, "x"], budget=100, batch=4, retries=0)
    assert "ended with code 7" in str(error.value)
    assert "what it answered before is kept" in str(error.value)
    assert len(read_judgements(audit.path)) == 8
    decided = curate.decide(audit)  # notices what was answered
    assert decided.masks(["judge_score"])["judge_score"].notna().sum() == 8


def test_a_removed_or_damaged_file_of_answers(audit, tmp_path):
    curate.judge(audit, write_judge(tmp_path), budget=5)
    (audit.path / JUDGEMENTS).write_bytes(b"PAR1 no")
    with pytest.raises(AuditError, match="damaged"):
        curate.decide(audit)
    table = pq.read_table(audit.path / "masks" / "part-000000.parquet")
    pq.write_table(table, audit.path / JUDGEMENTS)
    with pytest.raises(AuditError, match="not as curate writes it"):
        curate.decide(audit)
    (audit.path / JUDGEMENTS).unlink()
    found = curate.decide(audit)
    assert found.info.judge is None
    assert "judge_score" not in found.query("describe masks")["column_name"].tolist()


def test_reasons_are_escaped_in_the_report(audit, tmp_path, with_report):
    reason = "'<script>alert(1)</script> & “Ä” \\u202e' + '; ' + 'x' * 2000 + '\\n\\x1b[31m'"
    command = write_judge(tmp_path, {'f"{w:g} px wide"': reason})
    found = curate.judge(audit, command, budget=100)
    kept = found.audit.masks(["judge_reason"])["judge_reason"]
    assert (kept.str.len() <= 300).all()
    assert kept.str.startswith("<script>").all()
    rule = {"when": "judge_answer == 'reject'", "action": "reject", "reason": "says {judge_reason}"}
    policy = Policy.preset("default").as_dict()
    curate.decide(audit, policy=policy | {"rule": [*policy["rule"], rule]})
    page = (audit.path / "report.html").read_text()
    assert "alert(1)" in page
    assert "<script>alert(1)" not in page


def test_wrong_calls(audit, tmp_path):
    command = write_judge(tmp_path)
    for judge, what in (
        ([], "no program"),
        (["there-is-no-such-program"], "there is no program"),
        ("ftp://127.0.0.1/", "no HTTP address"),
        ("http://example.org/judge", "another machine"),
        ("http://ann:secret@127.0.0.1/", "user's name"),
        ("http://127.0.0.1:99999/", "no address"),
        ("http://127.0.0.1/ü", "ASCII"),
    ):
        with pytest.raises(CallError, match=what):
            curate.judge(audit, judge, budget=5)
    for wrong in ({"budget": 0}, {"timeout": 0}, {"retries": -1}, {"batch": 1000}):
        with pytest.raises(CallError):
            curate.judge(audit, command, **({"budget": 5} | wrong))
    with pytest.raises(CallError, match="order"):
        curate.judge(audit, command, budget=5, order="best")
    assert read_asked(tmp_path) == []


def test_an_audit_without_pictures(judged_source: Path, tmp_path: Path):
    audit = curate.audit(judged_source / "source.json", tmp_path / "plain", images="none")
    with pytest.raises(CallError, match="there are none"):
        curate.judge(audit, write_judge(tmp_path), budget=5)
    found = curate.judge(audit, write_judge(tmp_path), budget=5, images=judged_source / "images")
    assert found.asked == 5


def test_the_sketch_of_the_docs_asks_a_model(audit, tmp_path, monkeypatch):
    page = Path(__file__).parents[2] / "docs" / "how-to" / "judge.md"
    name = "ask_a_model.py"
    code = page.read_text().split(f"```python file={name}\n")[1].split("```")[0]
    (tmp_path / name).write_text(code)

    def reply(request):
        (message,) = request["messages"]
        assert [part["type"] for part in message["content"]] == ["text", "image_url", "image_url"]
        assert "one whole cat" in message["content"][0]["text"]
        said = 'Sure:\n```json\n{"good": 0.3, "reason": "a leg is missing"}\n```'
        answer = {"choices": [{"message": {"content": said}}]}
        return 200, {}, json.dumps(answer).encode()

    with serve_judge(reply) as (url, requests):
        monkeypatch.setenv("MODEL_URL", url)
        found = curate.judge(audit, [sys.executable, str(tmp_path / name)], budget=3, batch=2)
    assert (found.asked, len(requests)) == (3, 3)
    masks = found.audit.masks(["judge_score", "judge_answer", "judge_reason"]).dropna()
    assert masks["judge_score"].tolist() == [0.3] * 3
    assert set(masks["judge_answer"]) == {"reject"}
    assert set(masks["judge_reason"]) == {"a leg is missing"}


def test_the_directory_is_known_with_its_answers(audit, judged_source, tmp_path):
    curate.judge(audit, write_judge(tmp_path), budget=5)
    shutil.rmtree(audit.path / "masks")
    again = curate.audit(
        judged_source / "source.json",
        audit.path,
        images=judged_source / "images",
        restart=True,
    )
    assert again.masks(["judge_score"])["judge_score"].notna().sum() == 5
