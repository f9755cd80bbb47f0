"""Learning on whole audits: what changes, what must not, what is said of bad input."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from test_pipeline import assert_same, write_sa1b

import curate
from curate.errors import AuditError, CallError, SourceError
from curate.formats.sa1b import sa1b_format
from curate.people.learning import LearningResult, learn
from curate.people.learning.reviewed_masks import gather_reviewed
from curate.pipeline import deciding
from curate.policy.policy import Policy
from curate.quality import label_free
from curate.quality.explanations import families
from curate.quality.model_in_force import LABEL_FREE, LEARNED_COLUMNS, MOVED_BY
from curate.store.audit import StoredAudit, open_audit
from curate.store.audit_files import part_paths
from curate.store.audit_info import INFO, AuditInfo
from curate.store.audit_records import CertificateRecord


@pytest.fixture(autouse=True)
def some_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let some images make a part, so that a small folder has a few."""
    monkeypatch.setattr(sa1b_format, "PART_BYTES", 40_000)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An audit that nobody has reviewed, beside its source."""
    folder = tmp_path_factory.mktemp("learning")
    write_sa1b(folder / "in", 80)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sa1b_format, "PART_BYTES", 40_000)
        curate.audit(folder / "in", folder / "audit")
    return folder / "audit"


@pytest.fixture
def audit(made: Path, tmp_path: Path) -> StoredAudit:
    """A copy of it that a test may write into."""
    shutil.copytree(made, tmp_path / "audit")
    return open_audit(tmp_path / "audit")


def people(audit: StoredAudit, seed: int = 0, slips: float = 0.03) -> pd.DataFrame:
    """Play reviewers who reject masks with holes and too uncertain ones, with a few slips."""
    masks = audit.masks(["hole_area_px", "predicted_iou"]).sort_index()
    bad = (masks["hole_area_px"] > 0) | (masks["predicted_iou"] < 0.73)
    slip = np.random.default_rng(seed).uniform(size=len(masks)) < slips
    return pd.DataFrame(
        {
            "good": (~bad).to_numpy() ^ slip,
            "action": np.where(bad, "reject", "accept"),
            "queue_kind": "none",
            "inclusion_probability": np.nan,
        },
        index=masks.index,
    )


def test_masks_that_people_have_not_settled_are_left_out(audit: StoredAudit) -> None:
    labels = people(audit).assign(settled=True)
    before = gather_reviewed(audit, labels)
    labels.iloc[:7, labels.columns.get_loc("settled")] = False
    found = gather_reviewed(audit, labels)
    assert len(found.bad) == len(before.bad) - 7
    assert found.left_out["on which people disagree"] == 7


def halves(audit: StoredAudit) -> tuple[np.ndarray, np.ndarray]:
    """Return which masks are of the first images, and which of the rest."""
    first = audit.masks(["image_id"]).sort_index()["image_id"].to_numpy() < 40
    return first, ~first


# --- what learning does --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def learned(made: Path, tmp_path_factory: pytest.TempPathFactory) -> LearningResult:
    """The audit after people have reviewed half of its images."""
    path = tmp_path_factory.mktemp("learned") / "audit"
    shutil.copytree(made, path)
    before = open_audit(path)
    return learn(before, people(before)[halves(before)[0]])


def test_it_orders_images_that_nobody_reviewed(learned: LearningResult) -> None:
    from sklearn.metrics import average_precision_score

    assert learned.outcome == "learned"
    masks = learned.audit.masks(["quality_score", LABEL_FREE]).sort_index()
    bad = ~people(learned.audit, slips=0)["good"].to_numpy()
    rest = halves(learned.audit)[1]
    found, before = (
        average_precision_score(bad[rest], -masks[name].to_numpy()[rest])
        for name in ("quality_score", LABEL_FREE)
    )
    assert found > max(0.9, before + 0.1)
    told = learned.record["model"]["average_precision"]
    assert told == pytest.approx(found, abs=0.15)
    assert told > learned.record["label_free"]["average_precision"]


def test_the_quality_is_a_probability(learned: LearningResult) -> None:
    masks = learned.audit.masks(["quality_score"]).sort_index()["quality_score"].to_numpy()
    rest = halves(learned.audit)[1]
    good = people(learned.audit)["good"].to_numpy()[rest]
    assert masks[rest].mean() == pytest.approx(good.mean(), abs=0.05)
    sure = masks[rest] > 0.8
    assert good[sure].mean() == pytest.approx(masks[rest][sure].mean(), abs=0.04)


def test_the_label_free_quality_is_kept(learned: LearningResult, made: Path) -> None:
    before = open_audit(made).masks(["quality_score"]).sort_index()["quality_score"]
    after = learned.audit.masks([LABEL_FREE]).sort_index()[LABEL_FREE]
    pd.testing.assert_series_equal(before, after, check_names=False)


def test_a_probability_comes_with_what_moved_it(learned: LearningResult) -> None:
    masks = learned.audit.masks([MOVED_BY, "hole_area_px", "quality_score"])
    holed = masks[(masks["hole_area_px"] > 0) & (masks["quality_score"] < 0.5)]
    assert len(holed) > 20
    said = holed[MOVED_BY].str.partition(" | ")[0]
    assert said.str.startswith("against it: it has holes").mean() > 0.9
    parts = masks[MOVED_BY].str.replace(" | ", "; ").str.split("; ", regex=False)
    assert parts.map(len).max() == 3
    whole = masks[(masks["hole_area_px"] == 0) & (masks["quality_score"] > 0.9)]
    assert whole[MOVED_BY].str.contains("for it: [^|]*freedom from holes").mean() > 0.8


def test_probability_and_reasons_are_the_models_own(learned: LearningResult) -> None:
    """Worked out again from the files alone, over all parts at once."""
    from curate.quality.model_file import from_bytes

    info, path = learned.audit.info, learned.audit.path
    model = from_bytes((path / "model" / info.quality_model["file"]).read_bytes(), "")
    masks = learned.audit.masks()
    reference = info.references["quality"]
    evidence = label_free.evidence(masks, reference)
    suspicion = label_free.suspicion(masks, evidence, reference)
    expected = model.probability(model.columns.matrix(masks, suspicion))
    np.testing.assert_allclose(masks["quality_score"], expected, atol=1e-12)


def test_what_counts_is_told_by_title(learned: LearningResult) -> None:
    most = learned.record["importance"]
    assert {one["title"] for one in most[:2]} == {"freedom from holes", "predicted IoU"}
    assert sum(one["share"] for one in most) == pytest.approx(1)
    text = learned.text()
    assert "of 40 images" in text
    assert "what counts most: " in text
    assert json.loads(json.dumps(learned.as_dict())) == learned.record


def test_measures_are_told_as_the_score_of_their_scorer() -> None:
    names = ("hole_score", "edge_score", "small_hole_px", "straight_edge_px", "straight_score")
    assert families(names).tolist() == [0, 1, 0, 4, 4]


def test_the_diagram_counts_every_review(learned: LearningResult) -> None:
    diagram, n = pd.DataFrame(learned.record["reliability"]), learned.record["reviews"]
    assert diagram["masks"].sum() == n["masks"]
    bad = (diagram["masks"] * (1 - diagram["good"])).sum()
    assert bad == pytest.approx(n["bad"], rel=0.2)  # good is a weighted share
    assert diagram["predicted"].is_monotonic_increasing


def test_the_same_again(learned: LearningResult, audit: StoredAudit) -> None:
    again = learn(audit, people(audit)[halves(audit)[0]].iloc[::-1])
    first, second = (
        x.audit.masks().sort_index().drop(columns=["segmentation"]) for x in (learned, again)
    )
    pd.testing.assert_frame_equal(first, second)


# --- when nothing better comes of it -------------------------------------------------------------


def test_labels_by_chance_leave_the_order_as_it_is(audit: StoredAudit) -> None:
    labels = people(audit)
    labels["good"] = np.random.default_rng(3).permutation(labels["good"].to_numpy())
    before = audit.masks(["quality_score"]).sort_index()["quality_score"]
    found = learn(audit, labels)
    assert found.outcome in ("kept", "calibrated")
    after = found.audit.masks(["quality_score"]).sort_index()["quality_score"]
    order = before.rank(method="dense").corr(after.rank(method="dense"), method="spearman")
    assert np.isnan(order) or order > 0.999
    assert "does not order masks better" in found.text()
    if found.outcome == "kept":
        pd.testing.assert_series_equal(before, after)
        assert not (audit.path / "model").exists()
        assert found.audit.info.quality_model is None


def test_a_handful_of_bad_masks_only_calibrates(audit: StoredAudit) -> None:
    """Nine bad masks: their order would be luck; the label-free order becomes a probability."""
    masks = audit.masks(["quality_score"]).sort_index()
    labels = people(audit)
    worst = masks["quality_score"].nsmallest(9).index
    labels["good"] = ~labels.index.isin(worst)
    found = learn(audit, labels)
    assert found.outcome == "calibrated"
    assert found.record["experts"] == ["suspicion"]
    after = found.audit.masks(["quality_score", LABEL_FREE]).sort_index()
    ranks = after.rank(method="dense")
    assert (ranks["quality_score"] <= ranks[LABEL_FREE]).all()  # ends are clipped
    assert after["quality_score"].mean() == pytest.approx(labels["good"].mean(), abs=0.02)
    assert after["quality_score"].nsmallest(9).index.isin(worst).all()


def test_a_model_in_force_stays_when_the_next_is_not_better(audit: StoredAudit) -> None:
    first = learn(audit, people(audit)[halves(audit)[0]])
    assert first.outcome == "learned"
    labels = people(audit)
    labels["good"] = np.random.default_rng(3).permutation(labels["good"].to_numpy())
    second = learn(first.audit, labels)
    assert second.outcome == "kept"
    assert "the model before stays in force" in second.text()
    assert second.audit.info.quality_model == first.audit.info.quality_model
    told = open_audit(audit.path).info.learning
    assert told["outcome"] == "learned"
    assert told["model"] == first.record["model"]
    assert told["later"]["outcome"] == "kept"


# --- what is left out ----------------------------------------------------------------------------


def test_the_random_sample_changes_nothing_in_the_model(
    learned: LearningResult, audit: StoredAudit
) -> None:
    labels = people(audit)
    rest = halves(audit)[1]
    labels.loc[rest, "queue_kind"] = "estimate"
    labels.loc[rest, "inclusion_probability"] = 0.5
    labels.loc[rest, "good"] = ~labels.loc[rest, "good"]  # would ruin what it was learned from
    found = learn(audit, labels)
    for name in ("model", "importance", "reviews", "reliability"):
        assert found.record[name] == learned.record[name]
    assert found.record["left_out"]["of a random sample, kept for certify and estimate"] == 240
    assert found.record["check"]["masks"] == 240
    assert found.record["check"]["calibration_error"] > 0.4  # it tells, and that is all
    labels.loc[rest, "good"] = ~labels.loc[rest, "good"]
    assert learn(found.audit, labels).record["check"]["calibration_error"] < 0.1


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda x: x[:0], "only 0 are bad and 0 good; it takes 5 bad and 5 good masks"),
        (lambda x: x.assign(good=True), "all are good; it takes 5 bad and 5 good masks of at"),
        (lambda x: x.assign(good=False), "all are bad"),
        (lambda x: x.assign(good=x.index > 3), "only 4 are bad and 476 good"),
        (lambda x: x[x.index < 400], "they are of 4 images"),
        (lambda x: x.assign(good=x.index > 5), "of 80 images, 1 of them with bad masks"),
        (lambda x: x.assign(queue_kind="estimate"), "480 more are of a random sample"),
        (lambda x: x.drop(columns="good"), "the labels have no column good"),
        (lambda x: x.assign(good=x["good"].astype(object)), "good must be true or false"),
        (lambda x: pd.concat([x, x[:1]]), "a mask has two labels"),
        (lambda x: x.set_index(x.index + 3), "240 reviewed masks are not in it, 6 for example"),
        (lambda x: x.set_index(x.index + 10**6), "none of the 480 reviewed masks is in it"),
    ],
)
def test_bad_labels_are_refused_and_nothing_changes(
    audit: StoredAudit, change: Any, what: str
) -> None:
    before = (audit.path / INFO).read_bytes()
    with pytest.raises(CallError) as caught:
        learn(audit, change(people(audit)))
    assert what in str(caught.value)
    assert "\n" not in str(caught.value)
    assert (audit.path / INFO).read_bytes() == before
    assert not (audit.path / "model").exists()


# --- queues --------------------------------------------------------------------------------------


def test_a_queue_of_errors_alone_does_not_condemn_the_rest(audit: StoredAudit) -> None:
    """People saw the sixty worst only, nearly all of them bad."""
    worst = audit.masks(["quality_score"])["quality_score"].nsmallest(60).index
    labels = people(audit).assign(queue_kind="errors").loc[worst]
    labels["good"] = (np.arange(60) > 40) & (np.arange(60) % 2 == 0)
    found = learn(audit, labels)
    masks = found.audit.masks(["quality_score"])["quality_score"]
    assert masks.loc[worst].mean() < 0.4
    assert masks.drop(worst).median() > 0.7
    assert found.record["extrapolated"] > 0.8
    assert "of the dataset is less prominent than what people saw" in found.text()


# --- starting from another model -----------------------------------------------------------------


def test_another_audits_model_helps_where_there_are_few_reviews(
    learned: LearningResult, tmp_path: Path
) -> None:
    write_sa1b(tmp_path / "in", 60, seed=5)
    for path in (tmp_path / "in").iterdir():  # other pictures: other names
        path.write_text(path.read_text().replace('"sa_', '"other_'))
    other = curate.audit(tmp_path / "in", tmp_path / "other")
    few = people(other)[::8]
    found = learn(other, few, start=learned.audit.path)
    assert found.record["start"]["helped"]
    assert found.outcome == "learned"
    assert "start" in found.record["experts"]
    assert "helped: on 45 reviews" in found.record["start"]["why"]
    alone = learn(open_audit(other.path), few, start=None).record  # starts from the one before
    assert alone["start"]["why"].endswith("it has seen these images")


def test_a_model_of_the_same_images_is_not_tried_on_them(
    learned: LearningResult, audit: StoredAudit
) -> None:
    labels = people(audit)[halves(audit)[0]]
    found = learn(audit, labels, start=learned.audit.path)
    assert not found.record["start"]["helped"]
    assert "was not started from: it has seen these images" in found.text()
    assert found.record["model"] == learned.record["model"]


def test_the_next_round_starts_from_the_model_before(audit: StoredAudit) -> None:
    first, rest = halves(audit)
    labels = people(audit)
    one = learn(audit, labels[first])
    two = learn(one.audit, labels)
    assert two.record["start"]["name"] == "the model before"
    assert two.record["start"]["reviews"] == int(rest.sum())
    assert "log loss" in two.record["start"]["why"]
    files = list((audit.path / "model").iterdir())
    assert [file.name for file in files] == [two.audit.info.quality_model["file"]]


def test_a_start_that_is_none_is_refused(audit: StoredAudit, made: Path, tmp_path: Path) -> None:
    labels = people(audit)
    with pytest.raises(AuditError, match="there is no quality model"):
        learn(audit, labels, start=made)
    with pytest.raises(SourceError, match="it cannot be read"):
        learn(audit, labels, start=tmp_path / "nothing.skops")
    (tmp_path / "strange.skops").write_bytes(b"PK")
    with pytest.raises(AuditError, match="no quality model of curate's"):
        learn(audit, labels, start=tmp_path / "strange.skops")


# --- the model in the audit ----------------------------------------------------------------------


def again(path: Path) -> StoredAudit:
    """Decide anew, as with another policy."""
    policy = Policy.preset("sa1b")
    with deciding.Pool(1) as pool:
        return deciding.decide_audit(path, open_audit(path).info, policy, pool)


def copied(learned: LearningResult, to: Path) -> Path:
    shutil.copytree(learned.audit.path, to)
    return to


def test_a_model_that_was_changed_is_refused(learned: LearningResult, tmp_path: Path) -> None:
    path = copied(learned, tmp_path / "audit")
    file = path / "model" / learned.audit.info.quality_model["file"]
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    before = (path / INFO).read_bytes()
    with pytest.raises(AuditError, match="the quality model is not the one that was learned"):
        again(path)
    file.unlink()
    with pytest.raises(AuditError, match="the quality model is gone"):
        again(path)
    assert (path / INFO).read_bytes() == before


def test_a_model_elsewhere_is_refused(learned: LearningResult, tmp_path: Path) -> None:
    path = copied(learned, tmp_path / "audit")
    info = json.loads((path / INFO).read_bytes())
    info["quality_model"]["file"] = "../../elsewhere.skops"
    (path / INFO).write_text(json.dumps(info))
    with pytest.raises(AuditError, match="its quality model has an invalid name"):
        again(path)


def test_another_policy_keeps_the_model(learned: LearningResult, tmp_path: Path) -> None:
    path = copied(learned, tmp_path / "audit")
    before = open_audit(path).masks(["quality_score"])
    pd.testing.assert_frame_equal(again(path).masks(["quality_score"]), before)


def test_without_the_model_everything_is_as_before(
    learned: LearningResult, made: Path, tmp_path: Path
) -> None:
    path = copied(learned, tmp_path / "audit")
    info = json.loads((path / INFO).read_bytes())
    del info["quality_model"], info["learning"]
    with deciding.Pool(1) as pool:
        own = AuditInfo.from_dict(info, "audit.json")
        deciding.decide_audit(path, own, Policy.preset("default"), pool)
    shutil.rmtree(path / "model")
    assert_same(path, made)


def test_a_run_that_was_cut_off_goes_on(
    learned: LearningResult, audit: StoredAudit, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = deciding.finish_part
    done: list[int] = []

    def breaks(out: Path, index: int, *rest: Any) -> Any:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(index)
        return whole(out, index, *rest)

    assert len(part_paths(audit.path, "masks")) > 3
    monkeypatch.setattr(deciding, "finish_part", breaks)
    with pytest.raises(KeyboardInterrupt):
        learn(audit, people(audit)[halves(audit)[0]])
    monkeypatch.setattr(deciding, "finish_part", whole)
    with pytest.raises(AuditError, match="interrupted"):
        open_audit(audit.path)
    resumed = curate.audit(made.parent / "in", audit.path)
    first, second = (x.masks().sort_index() for x in (resumed, learned.audit))
    pd.testing.assert_frame_equal(first, second)


def test_starting_over_throws_the_model_away(
    learned: LearningResult, made: Path, tmp_path: Path
) -> None:
    path = copied(learned, tmp_path / "audit")
    curate.audit(made.parent / "in", path, restart=True)
    assert not (path / "model").exists()
    assert_same(path, made)
    names = pq.read_schema(part_paths(path, "masks")[0]).names
    assert not set(LEARNED_COLUMNS) & set(names)


def test_several_workers_use_the_model(learned: LearningResult, tmp_path: Path) -> None:
    one, two = copied(learned, tmp_path / "one"), copied(learned, tmp_path / "two")
    again(one)
    with deciding.Pool(2) as pool:
        policy = Policy.preset("sa1b")
        deciding.decide_audit(two, open_audit(two).info, policy, pool)
    assert_same(one, two)


# --- policies ------------------------------------------------------------------------------------


def test_a_policy_has_a_line_of_its_own_for_probabilities(
    learned: LearningResult, made: Path
) -> None:
    masks = learned.audit.masks(["quality_score", "action", "rule_action", "reasons"])
    info = learned.audit.info
    assert info.policy["accept"] == {"quality_at_least": 0.25, "probability_at_least": 0.8}
    mark = {"column": "quality_score", "below": 0.8, "action": "review"}
    assert mark in info.policy["marks"]
    quiet = masks[masks["rule_action"] == "accept"]
    cut = deciding.quality_line(info, 0.02)
    line = max(0.8, cut)
    assert ((quiet["action"] == "review") == (quiet["quality_score"] < line)).all()
    assert 0 < (quiet["action"] == "review").sum() < len(quiet)
    before = open_audit(made).info.policy["marks"]
    assert {**mark, "below": 0.25} in before
    holed = quiet[quiet["quality_score"] < 0.3]["reasons"]
    assert holed.str.contains(r"it has holes \(\d+ px in all, quality 0\.\d\d\)").any()


def test_the_lowest_share_is_that_of_the_probability(learned: LearningResult) -> None:
    masks = learned.audit.masks(["quality_score"])["quality_score"]
    for share in (0.02, 0.2):
        line = deciding.quality_line(learned.audit.info, share)
        assert (masks < line).mean() == pytest.approx(share, abs=0.01)


def test_a_policy_with_one_line_keeps_it() -> None:
    policy = Policy.from_dict({"accept": {"quality_at_least": 0.4}})
    assert policy.for_probabilities() == policy
    both = {"quality_at_least": 0.4, "probability_at_least": 0.9}
    two = Policy.from_dict({"accept": both})
    assert two.for_probabilities().quality_at_least == 0.9
    assert two.as_dict()["accept"] == both
    assert Policy.from_dict(two.as_dict()) == two
    with pytest.raises(CallError, match=r"probability_at_least is 1\.2"):
        Policy.from_dict({"accept": {"probability_at_least": 1.2}})


def certificate(threshold: float) -> CertificateRecord:
    return {
        "threshold": threshold,
        "accepted": 10,
        "share": 0.1,
        "max_bad": 0.05,
        "confidence": 0.95,
        "reviewed": 100,
        "bad_found": 0,
        "bad_share": 0.0,
        "reviews_for_next": None,
        "reviews_needed": 0,
        "test": "count",
        "tested": [],
        "notes": [],
    }


def test_a_certificate_ends_with_the_quality_it_was_made_of(audit: StoredAudit) -> None:
    info = replace(audit.info, certificate=certificate(threshold=0.5))
    with deciding.Pool(1) as pool:
        certified = deciding.decide_audit(audit.path, info, Policy.from_dict(info.policy), pool)
    assert certified.info.certified_line == 0.5
    found = learn(certified, people(audit)[halves(audit)[0]])
    assert found.audit.info.certificate is None
    assert found.audit.info.void_certificate["void_because"] == "the quality model changed"
    assert found.audit.info.certified_line is None
