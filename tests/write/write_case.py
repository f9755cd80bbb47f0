"""A dataset of its own with its audit, on which a test decides and which it writes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from drawn_decisions import Source, pixels_of
from drawn_masks import encoded

import curate
from curate.errors import CurateError
from curate.people.reviews import Reviews


class Case:
    """A dataset of its own with its audit, and what people may say of it."""

    def __init__(self, source: Source, folder: Path) -> None:
        self.table, self.folder = source.table, folder
        self.audit = Path(shutil.copytree(source.audit, folder / "audit"))
        self.source, self.kind = source.path, source.kind
        self.out = folder / f"out{source.path.suffix}"
        self.mask_id = int(self.table.masks.index[0])
        self.image_id = int(self.table.masks["image_id"].iloc[0])

    def say(self, action: str, mask_id: int | None = None, **more: Any) -> None:
        row = {"mask_id": self.mask_id if mask_id is None else mask_id, "action": action, **more}
        Reviews(curate.open_audit(self.audit)).add(pd.DataFrame([row]), origin="a test")

    def add(self, mask: np.ndarray, category: str | None = None, image: int | None = None) -> None:
        image = self.image_id if image is None else image
        row = {"image_id": image, "segmentation": encoded(mask), "category": category}
        none = pd.DataFrame({"mask_id": [], "action": []})
        Reviews(curate.open_audit(self.audit)).add(
            none, origin="a test", missing=pd.DataFrame([row])
        )

    def pixels(self, mask_id: int | None = None) -> np.ndarray:
        found = pixels_of(self.table)[self.mask_id if mask_id is None else mask_id]
        assert found is not None
        return found

    def dot(self) -> np.ndarray:
        """Return a pixel that no mask of the first image has."""
        here = self.table.masks.index[self.table.masks["image_id"] == self.image_id]
        free = np.argwhere(~np.any([self.pixels(k) for k in here], axis=0))
        mask = np.zeros_like(self.pixels())
        mask[tuple(free[0])] = True
        return mask

    def refused(self, kind: type[CurateError], *, where: Path | str, **options: Any) -> CurateError:
        """Write, see that it is refused and leaves nothing, and return why."""
        before = sorted(self.folder.rglob("*"))
        with pytest.raises(kind) as raised:
            curate.write(self.audit, options.pop("out", self.out), **options)
        assert str(where) in raised.value.where
        assert raised.value.do
        assert "\n" not in str(raised.value)
        assert [p for p in sorted(self.folder.rglob("*")) if p.name != "people.parquet"] == [
            p for p in before if p.name != "people.parquet"
        ]
        return raised.value
