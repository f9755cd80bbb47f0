"""Fixtures of the tests of audits in notebooks."""

from __future__ import annotations

import json

import pytest
from boxes import dataset
from counted_audit import counted as counted

import curate
from curate.demo_dataset import make_demo


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> curate.Audit:
    """Return an audit of a few drawn pictures with a detector's results; only to be read."""
    folder = tmp_path_factory.mktemp("drawn")
    made = make_demo(folder / "dataset", images=8)
    return curate.audit(
        made.source, folder / "audit", images=made.pictures, detections=made.detections
    )


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory) -> curate.Audit:
    """Return an audit of images without a mask."""
    folder = tmp_path_factory.mktemp("bare")
    source = dataset() | {"annotations": []}
    (folder / "source.json").write_text(json.dumps(source))
    return curate.audit(folder / "source.json", folder / "audit")
