"""A small audit on which people have decided in every way, and what that comes to."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from boxes import HEIGHT, WIDTH, annotation, box, dataset, rle

import curate
from curate.people.reviews import open_reviews
from curate.people.reviews.current_plan import open_audit
from curate.store.audit import StoredAudit

NUMBERS = {
    "mask_count": 14,
    "accept_count": 10,
    "review_count": 1,
    "reject_count": 3,
    "person_count": 6,
    "person_accept_count": 2,
    "person_reject_count": 2,
    "person_redrawn_count": 1,
    "person_relabelled_count": 1,
    "person_unsettled_count": 1,
    "person_added_count": 1,
    "policy_accept_count": 6,
    "policy_review_count": 0,
    "policy_reject_count": 1,
    "model_count": 0,
    "certificate_count": 0,
}
"""Without people 12 masks are accepted and 2 rejected: 13 has no pixel, 14 is a copy of 5."""

ANN = "ann <b>"
DECISIONS = (
    (1, "accept", ANN),
    (2, "reject", ANN),
    (2, "reject", "bob"),
    (3, "fix", "bob"),  # redrawn
    (4, "fix", "bob"),  # another category
    (5, "accept", ANN),
    (5, "reject", "bob"),
    (9, "reject", ANN),
    (13, "accept", ANN),  # which gives it no pixel
    (14, "accept", ANN),
)


def boxes() -> dict[str, Any]:
    """Return twelve sound boxes, a mask without pixels and a copy."""
    source = dataset()
    for one in source["annotations"]:
        k, image = (one["id"] - 1) % 4, one["image_id"]
        one["bbox"] = [12 * k + 1, 5, 8 + k % 2, 10 + image]
    copy = source["annotations"][4] | {"id": 14}
    empty = annotation(13, 1, np.zeros((HEIGHT, WIDTH), bool)) | {"bbox": [0, 0, 0, 0]}
    source["annotations"] += [empty, copy]
    return source


@pytest.fixture(scope="session")
def counted(tmp_path_factory: pytest.TempPathFactory) -> StoredAudit:
    """Return an audit with the decisions :data:`DECISIONS` and an added mask; only to be read."""
    folder = tmp_path_factory.mktemp("counted people")
    (folder / "source.json").write_text(json.dumps(boxes()))
    audit = curate.audit(folder / "source.json", folder / "audit")
    decided = pd.DataFrame(list(DECISIONS), columns=["mask_id", "action", "reviewer"])
    redrawn = [rle(box(26, 5, 8, 11)) if m == 3 else None for m in decided["mask_id"]]
    decided["segmentation"] = pd.Series(redrawn, dtype=object)
    decided["category"] = ["dog" if m == 4 else None for m in decided["mask_id"]]
    decided["time"] = pd.date_range("2026-01-01", periods=len(decided), freq="min", tz="UTC")
    added = pd.DataFrame({"image_id": [3], "segmentation": [rle(box(5, 25, 9, 9))]})
    open_reviews(audit, create=True).add(
        decided, origin="test", missing=added.assign(reviewer="bob")
    )
    return open_audit(audit.path)
