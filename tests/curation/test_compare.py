from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from curate.errors import AuditError
from curate.reporting.audit_comparison import compare
from curate.rle import encode_counts, from_dense

Masks = Callable[..., pd.DataFrame]


def planned(masks: Masks, n: int = 6) -> pd.DataFrame:
    return masks(n, action="accept", reasons="", priority=0.1)


def test_nothing_changes_from_an_audit_to_itself(make_audit: Any, masks: Masks) -> None:
    audit = make_audit(planned(masks))
    found = compare(audit, audit)
    assert (found.masks_a, found.masks_b, found.matched) == (6, 6, 6)
    assert found.joined_by == "mask_id"
    for name in ("added", "dropped", "changed", "renamed", "flipped"):
        assert len(getattr(found, name)) == 0
    assert found.flips.values.tolist() == [["accept", "accept", 6]]
    assert found.shifts["median_shift"].tolist() == [0.0]


def test_every_kind_of_change_is_found(make_audit: Any, masks: Masks) -> None:
    before = planned(masks)
    after = before.drop(index=12).copy()
    pixels = np.zeros((40, 50), bool)
    pixels[4:7, 0:2] = True  # two of the three columns of mask 10
    after.loc[10, "segmentation"] = encode_counts(from_dense(pixels))[0].as_py()
    after.loc[11, "category"] = "dog"
    after.loc[13, ["action", "reasons"]] = ["review", "odd"]
    after["quality_score"] += 0.01
    after.loc[99] = before.loc[12]
    after.index.name = "mask_id"
    after.loc[99, "source_key"] = "new"
    found = compare(make_audit(before, "a"), make_audit(after, "b"))
    assert found.added["mask_id"].tolist() == [99]
    assert found.dropped["mask_id"].tolist() == [12]
    assert found.changed[["mask_id", "mask_id_b"]].values.tolist() == [[10, 10]]
    assert found.changed["iou"].tolist() == pytest.approx([6 / 9])
    assert found.renamed["category_b"].tolist() == ["dog"]
    assert found.flipped[["mask_id", "from", "to", "reasons"]].values.tolist() == [
        [13, "accept", "review", "odd"]
    ]
    assert found.shifts["median_shift"].tolist() == pytest.approx([0.01])
    text = found.text()
    assert "dropped    1" in text
    assert "median IoU 0.667" in text
    read = json.loads(found.as_json())
    assert read["added_count"] == 1
    assert read["changed"][0]["iou"] == pytest.approx(6 / 9)


def test_a_pruned_dataset_is_matched_by_id_though_its_keys_moved(
    make_audit: Any, masks: Masks
) -> None:
    before = planned(masks)
    after = before.drop(index=10)
    after["source_key"] = before["source_key"].iloc[:5].tolist()
    found = compare(make_audit(before, "a"), make_audit(after, "b"))
    assert found.joined_by == "mask_id"
    assert (len(found.dropped), len(found.added), len(found.changed)) == (1, 0, 0)


def test_masks_that_were_numbered_by_position_are_matched_by_key(
    make_audit: Any, masks: Masks
) -> None:
    before = planned(masks)
    after = before.drop(index=10)
    after.index = pd.Index(np.arange(10, 15), name="mask_id")
    found = compare(make_audit(before, "a"), make_audit(after, "b"))
    assert found.joined_by == "source_key"
    assert found.dropped["mask_id"].tolist() == [10]
    assert len(found.changed) == 0


def test_masks_without_pixels_and_other_sizes_have_no_iou(make_audit: Any, masks: Masks) -> None:
    before, after = planned(masks), planned(masks)
    after.loc[10, "segmentation"] = None
    after.loc[11, "height"] = 41
    found = compare(make_audit(before, "a"), make_audit(after, "b"))
    assert found.changed["iou"].isna().tolist() == [True, True]
    assert json.loads(found.as_json())["changed"][0]["iou"] is None


def test_audits_without_masks_are_refused(make_audit: Any, masks: Masks) -> None:
    audit = make_audit(planned(masks))
    (audit.path / "masks" / "part-000000.parquet").rename(audit.path / "moved.parquet")
    other = make_audit(planned(masks), "b")
    with pytest.raises((AuditError, Exception), match=r"part|masks table"):
        compare(other, audit)
