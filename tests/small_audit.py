"""A small audit made by hand, and masks to decide on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest

from curate.people.reviews.current_plan import open_audit
from curate.rle import encode_counts, from_dense
from curate.store.audit_info import COMPLETE, AuditInfo
from curate.store.audit_records import SourceRecord


@dataclass(frozen=True)
class SmallAudit:
    """What the steps need of an audit, over frames written as an audit's parts."""

    path: Path
    info: AuditInfo

    def query(self, sql: str) -> pd.DataFrame:
        with duckdb.connect() as connection:
            for view in ("masks", "images"):
                glob = self.path / view / "part-*.parquet"
                connection.execute(f"create view {view} as select * from read_parquet('{glob}')")
            found: pd.DataFrame = connection.execute(sql).df()
            return found

    def pin(self) -> SmallAudit:
        return self

    def people(self) -> None:
        """Nobody has decided on it."""

    def has_people(self) -> bool:
        return False

    def check_unchanged(self) -> None:
        """Nobody else knows of it."""

    def create_views(self, connection: Any, masks: str, images: str) -> None:
        for view, name in (("masks", masks), ("images", images)):
            glob = self.path / view / "part-*.parquet"
            connection.execute(f"create view {name} as select * from read_parquet('{glob}')")


MakeAudit = Callable[..., SmallAudit]

_OPENERS = ("people.queues.population", "reporting.audit_comparison", "writing.pruning")
"""Modules of verbs that are tried on small audits."""


def _open(audit: Any) -> Any:
    return audit if isinstance(audit, SmallAudit) else open_audit(audit)


@pytest.fixture
def make_audit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeAudit:
    """Return a function that writes frames as an audit, which verbs take as an open one."""
    for module in _OPENERS:
        monkeypatch.setattr(f"curate.{module}.open_audit", _open)

    def make(
        masks: pd.DataFrame, name: str = "audit", source: SourceRecord | None = None
    ) -> SmallAudit:
        path = tmp_path / name
        images = masks.groupby("image_id")[["file_name", "height", "width"]].first()
        images = images.assign(status="ok", status_detail="")
        for view, frame in (("masks", masks), ("images", images)):
            (path / view).mkdir(parents=True)
            frame.reset_index().to_parquet(path / view / "part-000000.parquet", index=False)
        return SmallAudit(path, AuditInfo(COMPLETE, source=source or {}))

    return make


def counts_of(pixels: np.ndarray) -> bytes:
    """Return a mask as COCO's compressed counts."""
    counts: bytes = encode_counts(from_dense(pixels))[0].as_py()
    return counts


def frame(n: int = 6, **columns: Any) -> pd.DataFrame:
    """Return ``n`` masks of 40 x 50 images, three an image: squares of growing size."""
    size = np.arange(n) % 3 + 3
    segmentation = []
    for k in range(n):
        pixels = np.zeros((40, 50), bool)
        pixels[4 : 4 + size[k], 10 * (k % 3) : 10 * (k % 3) + size[k]] = True
        segmentation.append(counts_of(pixels))
    values: dict[str, Any] = {
        "source_key": [f"a.json#/annotations/{k}" for k in range(n)],
        "image_id": np.arange(n) // 3 + 1,
        "category": ["cat"] * n,
        "file_name": [f"{k // 3 + 1}.jpg" for k in range(n)],
        "height": 40,
        "width": 50,
        "segmentation": segmentation,
        "area_px": size * size,
        "bbox_x": 10 * (np.arange(n) % 3),
        "bbox_y": 4,
        "bbox_w": size,
        "bbox_h": size,
        "status": "ok",
        "status_detail": "",
        "quality_score": np.linspace(0.95, 0.6, n),
    }
    index = pd.Index(np.arange(n) + 10, name="mask_id")
    return pd.DataFrame({**values, **columns}, index=index)


@pytest.fixture
def masks() -> Callable[..., pd.DataFrame]:
    """Return :func:`frame`, which makes masks to decide on."""
    return frame
