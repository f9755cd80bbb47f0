"""The second stage of an audit: drawn, ranked and counted the same in memory and on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from test_pipeline import assert_same, write_sa1b

import curate
from curate.formats.sa1b import sa1b_format
from curate.pipeline import deciding, renumbering
from curate.policy.plan import rank


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a few images make a part, so that a small folder has many."""
    monkeypatch.setattr(sa1b_format, "PART_BYTES", 4000)


@pytest.mark.parametrize("same_ids", [False, True])
def test_more_masks_than_memory_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, same_ids: bool
) -> None:
    write_sa1b(tmp_path / "in", 9, same_ids=same_ids)
    one = curate.audit(tmp_path / "in", tmp_path / "memory")
    for module in (deciding, renumbering):
        monkeypatch.setattr(module, "IN_MEMORY", 10)
    two = curate.audit(tmp_path / "in", tmp_path / "disk")
    assert_same(one.path, two.path)


def test_references_of_a_sample_do_not_depend_on_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sa1b(tmp_path / "in", 12)
    monkeypatch.setattr(deciding, "SAMPLE", 30)
    many = curate.audit(tmp_path / "in", tmp_path / "many")
    monkeypatch.setattr(sa1b_format, "PART_BYTES", 16_000_000)
    one = curate.audit(tmp_path / "in", tmp_path / "one")
    assert_same(many.path, one.path)
    monkeypatch.setattr(deciding, "SAMPLE", 10_000)
    other = curate.audit(tmp_path / "in", tmp_path / "all")
    assert other.info.references != one.info.references


def test_numbers_drawn_by_id_are_spread() -> None:
    drawn = deciding.scatter_ids(np.arange(-50_000, 50_000))
    assert len(np.unique(drawn)) == 100_000
    low = np.sort(drawn)[:1000].max() / 2.0**64
    assert low == pytest.approx(0.01, rel=0.15)


def test_places_are_those_of_the_plan() -> None:
    plan = pd.DataFrame({"priority": [0.5, 0.9, 0.5, 0.0]}, index=[7, 3, 2, 9])
    table = pa.table({"priority": plan["priority"].to_numpy(), "mask_id": plan.index.to_numpy()})
    assert deciding._places(table).tolist() == rank(plan).tolist()


def test_small_parts_under_another_limit_are_looked_at(tmp_path: Path) -> None:
    """A policy's own small_px needs the masks themselves, which deciding reads only then."""
    write_sa1b(tmp_path / "in", 6)
    rule = {"when": "small_hole_px > 0", "action": "review", "reason": "a small hole"}
    policy = {"name": "own", "clean": {"small_px": 5}, "rule": [rule]}
    audit = curate.audit(tmp_path / "in", tmp_path / "out", policy=policy)
    masks = audit.masks(["reasons", "hole_area_px"])
    told = masks["reasons"].str.contains("a small hole")
    holed = masks["hole_area_px"].between(1, 4)
    assert holed.any()
    pd.testing.assert_series_equal(told, holed, check_names=False, check_dtype=False)


def test_the_lowest_share_is_read_off_the_dataset(tmp_path: Path) -> None:
    write_sa1b(tmp_path / "in", 12)
    audit = curate.audit(tmp_path / "in", tmp_path / "out")
    quality = audit.masks(["quality_score"])["quality_score"]
    for share in (0.02, 0.5):
        line = deciding.quality_line(audit.info, share)
        assert line == pytest.approx(np.quantile(quality, share), abs=1e-3)
    assert deciding.quality_line(audit.info, 0.0) is None
