"""What people decided, apart from what the policy decided: numbers, text and JSON."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from counted_audit import NUMBERS, counted
from typer.testing import CliRunner

from curate.cli import app
from curate.dataset.notes import short_version
from curate.reporting.summary import failed_gates, people_text, summary, summary_text
from curate.store.audit import StoredAudit
from curate.store.audit_records import ModelRecord

__all__ = ["counted"]


def test_numbers_tell_people_and_policy_apart(counted: StoredAudit) -> None:
    found = summary(counted)
    assert {name: found[name] for name in NUMBERS} == NUMBERS
    apart = [f"policy_{action}_count" for action in ("accept", "review", "reject")]
    apart += ["person_count", "person_unsettled_count"]
    assert sum(found[name] for name in apart) == found["mask_count"]
    gates = ["person_reject_count > 1", "policy_reject_count > 1"]
    assert failed_gates(found, gates) == gates[:1]


def test_the_text_names_what_people_decided(counted: StoredAudit) -> None:
    lines = summary_text(counted, summary(counted)).splitlines()
    assert lines[:2] == [
        "14 masks in 3 images: 10 accepted, 1 to review, 3 rejected",
        "people decided on 6 masks: 2 accepted, 2 rejected, 1 redrawn, 1 relabelled; "
        "1 not settled; 1 mask added",
    ]
    # Of the two masks that the policy rejects, people accepted one; the other has no pixel.
    assert lines[2] == "1 breaks a rule, 0 are below the quality limit"
    reasons = lines[
        3 : next(k for k, line in enumerate(lines) if "signals were not available" in line)
    ]
    assert [line.split()[0] for line in reasons] == ["1"]
    assert "no usable mask" in reasons[0]
    assert "ann" not in reasons[0]
    assert lines[-2] == f"version {short_version(counted.info.version)}"


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({}, ""),
        ({"person_count": 1, "person_redrawn_count": 1}, "people decided on 1 mask: 1 redrawn"),
        ({"person_added_count": 3}, "people decided on 0 masks; 3 masks added"),
    ],
)
def test_what_did_not_happen_is_left_out(changed: dict[str, int], text: str) -> None:
    nothing = {name: 0 for name in NUMBERS if name.startswith("person_")}
    assert people_text(nothing | changed) == text


def test_json_holds_what_is_no_number_too(counted: StoredAudit, tmp_path: Path) -> None:
    shutil.copytree(counted.path, tmp_path / "audit")
    info = json.loads((tmp_path / "audit" / "audit.json").read_text())
    void = {"max_bad": 0.05, "confidence": 0.95, "void_because": "the policy changed"}
    (tmp_path / "audit" / "audit.json").write_text(json.dumps(info | {"void_certificate": void}))
    words = ["decide", str(tmp_path / "audit"), "--json", "--fail-on", "person_unsettled_count > 0"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    assert {name: found[name] for name in NUMBERS} == NUMBERS
    assert found["version"] == counted.info.version
    assert found["certificate_standing"] is None
    text = "the certificate (at most 5.0% bad, 95% confidence) is void: the policy changed"
    assert found["certificate_void"].startswith(text)
    words = ["decide", str(tmp_path / "audit")]
    assert found["certificate_void"] in CliRunner().invoke(app, words).stdout.splitlines()


def test_signals_that_had_nothing_to_look_at_count_as_in_the_report(counted: StoredAudit) -> None:
    from curate.reporting.methods import signals
    from curate.reporting.queries import ReportSource

    source = ReportSource(counted)
    numbers = summary(counted)
    spoken = {
        column
        for column in source.score_columns()
        if counted.query(f'select count("{column}") n from masks')["n"][0]
    }
    absent = [signal for signal in signals(source, spoken) if not signal.available]
    line = next(line for line in summary_text(counted, numbers).splitlines() if "signals" in line)
    assert line.startswith(f"{len(absent)} of {len(counted.info.signals)} signals were not")
    assert "no mask of the source has what it looks at" in line


@pytest.mark.parametrize(
    ("name", "said"),
    [("verifier", "verifier on cpu, float32"), ("mine", "verifier mine on cpu, float32")],
)
def test_a_model_named_as_its_kind_is_said_once(counted: StoredAudit, name: str, said: str) -> None:
    models: dict[str, ModelRecord] = {
        "verifier": {"name": name, "device": "cpu", "precision": "float32"}
    }
    told = StoredAudit(counted.path, replace(counted.info, models=models))
    assert said in summary_text(told, summary(counted)).splitlines()
