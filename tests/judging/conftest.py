"""An audit that judges are asked about."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from judge_programs import make_audit

from curate.notebook.audit_value import Audit, open_audit


@pytest.fixture(scope="session")
def judged_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a dataset with pictures and its audit; only to be read."""
    folder = tmp_path_factory.mktemp("judged")
    make_audit(folder)
    return folder


@pytest.fixture
def audit(judged_source: Path, tmp_path: Path) -> Audit:
    """Return a copy of the audit."""
    shutil.copytree(judged_source / "audit", tmp_path / "audit")
    return open_audit(tmp_path / "audit")
