"""From a random sample to a plan that accepts only what is certified, through the verbs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import curate
from curate.api.early_checks import only_audit
from curate.cli import app
from curate.errors import AuditError, CallError
from curate.people.guarantees.audit_guarantees import certify_audit

IMAGES, EACH, SIZE = 40, 12, 120
BAD_SHARE = 0.15


def square(mask_id: int, x: int, y: int, torn: bool) -> list[list[float]]:
    """A square; a bad one has a second piece far away."""
    rings = [[x, y, x + 14, y, x + 14, y + 14, x, y + 14]]
    if torn:
        rings.append([x, y + 18, x + 3, y + 18, x + 3, y + 21, x, y + 21])
    return [list(map(float, ring)) for ring in rings]


@pytest.fixture(scope="module")
def truth() -> set[int]:
    random = np.random.default_rng(0)
    return set(np.flatnonzero(random.random(IMAGES * EACH) < BAD_SHARE).tolist())


@pytest.fixture
def audit(tmp_path: Path, truth: set[int]) -> curate.Audit:
    images = [
        {"id": k, "file_name": f"{k}.png", "height": SIZE, "width": SIZE} for k in range(IMAGES)
    ]
    annotations = []
    for number in range(IMAGES * EACH):
        place = number % EACH
        rings = square(number, 4 + 28 * (place % 4), 4 + 38 * (place // 4), number in truth)
        annotations.append(
            {
                "id": number,
                "image_id": number // EACH,
                "category_id": 1,
                "iscrowd": 0,
                "segmentation": rings,
            }
        )
    document = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "thing"}],
    }
    source = tmp_path / "things.json"
    source.write_text(json.dumps(document))
    return curate.audit(source, tmp_path / "things.audit")


def reviewed(audit: curate.Audit, truth: set[int], budget: int, tmp_path: Path, **how) -> None:
    """Draw, decide as the truth says, and import."""
    drawn = tmp_path / f"queue{len(list(tmp_path.glob('queue*')))}.csv"
    curate.write_queue(audit.path, drawn, budget=budget, **how)
    rows = pd.read_csv(drawn)
    rows["decision"] = ["reject" if m in truth else "accept" for m in rows["mask_id"]]
    done = tmp_path / f"done_{drawn.name}"
    rows.to_csv(done, index=False)
    curate.import_decisions(done, audit.path, reviewer="ann")


def bad_share(masks: pd.DataFrame, truth: set[int]) -> float:
    accepted = masks.index[masks["action"] == "accept"]
    return float(np.mean([m in truth for m in accepted]))


def test_the_plan_accepts_only_what_is_certified(audit, truth, tmp_path) -> None:
    reviewed(audit, truth, 300, tmp_path, kind="estimate", seed=1)
    found = curate.certify(audit.path, max_bad=0.05)
    assert found.threshold is not None
    done = curate.open_audit(audit.path)
    masks = done.masks()
    accepted = masks["action"] == "accept"
    np.testing.assert_array_equal(
        accepted, (masks["rule_action"] == "accept") & (masks["quality_score"] >= found.threshold)
    )
    assert accepted.sum() == found.accepted
    assert bad_share(masks, truth) <= 0.05
    assert masks.loc[~accepted, "reasons"].str.len().min() > 0
    assert done.info.certificate["threshold"] == found.threshold
    # It is of this plan; another policy is another acceptance.
    again = curate.decide(audit.path, policy="sa1b")
    assert again.info.certificate is None


def test_a_dry_run_changes_nothing(audit, truth, tmp_path) -> None:
    reviewed(audit, truth, 200, tmp_path, kind="estimate")
    before = audit.masks()
    curate.certify(audit.path, max_bad=0.2, dry_run=True)
    pd.testing.assert_frame_equal(curate.open_audit(audit.path).masks(), before)


def test_nothing_certified_is_nothing_accepted(audit, truth, tmp_path) -> None:
    everything = set(range(IMAGES * EACH))
    reviewed(audit, everything, 100, tmp_path, kind="estimate")
    found = curate.certify(audit.path)
    assert found.threshold is None
    assert (curate.open_audit(audit.path).masks()["action"] != "accept").all()


def test_a_sample_that_was_not_random_is_refused(audit, truth, tmp_path) -> None:
    with pytest.raises(AuditError, match="no decisions of people yet") as raised:
        curate.certify(audit.path)
    for verb in ("review", "queue"):
        assert f"`curate {verb} {audit.path} --kind estimate --budget 150" in raised.value.do
    reviewed(audit, truth, 60, tmp_path, kind="learn")
    for verb in (curate.certify, curate.estimate):
        with pytest.raises(CallError, match="random"):
            verb(audit.path)


def test_too_few_reviews_say_how_many_it_takes(audit, truth, tmp_path) -> None:
    reviewed(audit, set(), 30, tmp_path, kind="estimate")
    with pytest.raises(CallError, match=r"review \d+ masks"):
        certify_audit(audit)


def test_an_estimate_covers_the_truth(audit, truth, tmp_path) -> None:
    reviewed(audit, truth, 200, tmp_path, kind="estimate", seed=3)
    found = curate.estimate(audit.path).intervals["good_share"]
    true = 1 - len(truth) / (IMAGES * EACH)
    assert found.low <= true <= found.high
    assert found.high - found.low < 0.2
    assert curate.open_audit(audit.path).info.estimate["reviewed"] == 200


def test_whole_images_are_a_sample_too(audit, truth, tmp_path) -> None:
    reviewed(audit, truth, 25 * EACH, tmp_path, kind="estimate", whole_images=True)
    found = certify_audit(audit, max_bad=0.3, unit="image").certificate
    assert found.threshold is not None
    assert found.test == "betting"


def test_commands(audit, truth, tmp_path, monkeypatch) -> None:
    run = CliRunner()
    monkeypatch.chdir(tmp_path)
    queue = tmp_path / "q.csv"
    drawn = run.invoke(
        app,
        ["queue", str(audit.path), "--kind", "estimate", "--budget", "250", "--out", str(queue)],
    )
    assert drawn.exit_code == 0, drawn.output
    again = run.invoke(app, ["queue", str(audit.path), "--out", str(queue)])
    assert isinstance(again.exception, CallError)
    rows = pd.read_csv(queue)
    rows["decision"] = ["reject" if m in truth else "accept" for m in rows["mask_id"]]
    rows.to_csv("done.csv", index=False)
    imported = run.invoke(app, ["import", "done.csv", "--reviewer", "ann", "--json"])
    assert json.loads(imported.stdout)["masks"] == 250
    certified = run.invoke(app, ["certify", str(audit.path), "--json", "--dry-run"])
    found = json.loads(certified.stdout)
    assert found["reviewed"] == 250
    stands = found["standing"]
    assert (
        stands["over"]
        == found["accepted"]
        == stands["kept"]
        + stands["untouched"]
        + sum(stands[name] for name in ("removed", "redrawn", "relabelled", "unsettled"))
    )
    estimated = run.invoke(app, ["estimate", str(audit.path)])
    assert "share of good masks" in estimated.stdout
    assert "ann" in run.invoke(app, ["agreement", str(audit.path)]).stdout


def test_two_people_get_a_file_each(audit, tmp_path) -> None:
    out = tmp_path / "q.csv"
    curate.write_queue(audit.path, out, kind="estimate", budget=110, overlap=0.1)
    first, second = pd.read_csv(out), pd.read_csv(tmp_path / "q.second.csv")
    assert (len(first), len(second)) == (100, 10)
    assert set(second["mask_id"]) <= set(first["mask_id"])


def test_the_only_audit_here(tmp_path) -> None:
    with pytest.raises(CallError, match="there is no audit here"):
        only_audit(tmp_path)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "audit.json").write_text("{}")
    with pytest.raises(CallError, match="there are 2 audits here"):
        only_audit(tmp_path)
