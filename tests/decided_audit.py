"""A small audited COCO file, and what people may do to it."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from boxes import dataset

import curate
from curate.people.reviews import Reviews, open_reviews
from curate.store.audit import StoredAudit, open_audit


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder with the source and its finished audit."""
    folder = tmp_path_factory.mktemp("decisions")
    (folder / "source.json").write_text(json.dumps(dataset()))
    curate.audit(folder / "source.json", folder / "audit")
    return folder


@pytest.fixture
def audit(finished: Path, tmp_path: Path) -> StoredAudit:
    """Return a copy of the audit."""
    shutil.copytree(finished / "audit", tmp_path / "audit")
    return open_audit(tmp_path / "audit")


@pytest.fixture
def reviews(audit: StoredAudit) -> Reviews:
    """Return an audit's decisions, none yet."""
    return open_reviews(audit, create=True)


@pytest.fixture
def source() -> dict[str, Any]:
    """Return the audited dataset, to be corrected."""
    return copy.deepcopy(dataset())


Write = Callable[[dict[str, Any]], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes a corrected file."""

    def to_file(value: dict[str, Any], name: str = "corrected.json") -> Path:
        path = tmp_path / name
        path.write_text(json.dumps(value))
        return path

    return to_file


Said = Callable[..., pd.DataFrame]


@pytest.fixture
def said() -> Said:
    """Return a function that makes decisions of (mask, action, reviewer) with rising times."""

    def frame(*rows: tuple[Any, ...], **columns: Any) -> pd.DataFrame:
        made = pd.DataFrame(list(rows), columns=["mask_id", "action", "reviewer"])
        start = pd.Timestamp("2026-01-01", tz="UTC")
        made["time"] = [start + pd.Timedelta(minutes=k) for k in range(len(made))]
        return made.assign(**columns)

    return frame
