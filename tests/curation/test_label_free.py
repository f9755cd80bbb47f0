"""The label-free quality: how strongly signals of each kind count."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from curate.errors import CallError
from curate.quality import label_free
from curate.scorers.scorer import Column


def with_disagreement(share: float, count: float | None = None) -> pd.DataFrame:
    """A thousand masks of which the others have no counterpart for a share, the rest 0.8 to 0.9."""
    agreement = np.linspace(0.8, 0.9, 1000)
    agreement[: round(1000 * share)] = 0.0
    frame = pd.DataFrame({"area_px": 500, "agreement_score": agreement})
    return frame if count is None else frame.assign(agreement_count=count)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.25])
@pytest.mark.parametrize("count", [None, 1, 3])
def test_annotations_count_in_full_once_for_each(share: float, count: float | None) -> None:
    frame = with_disagreement(share, count)
    found = label_free.evidence(frame, label_free.fit(frame))["agreement_score"]
    assert found[0] == pytest.approx(-np.log(share) * (count or 1))


def test_a_common_disagreement_leads_over_a_rare_oddity_of_form() -> None:
    """One mask in five without a counterpart was usual once, and went silent."""
    frame = with_disagreement(0.2, 3).assign(compact_score=0.9)
    frame.loc[990:, "compact_score"] = np.linspace(0.3, 0.6, 10)
    quality = label_free.apply(frame, label_free.fit(frame))
    assert quality[:200].max() < quality[200:].min()


@pytest.mark.parametrize(("share", "weight"), [(0.375, 0.5), (0.5, 0), (0.8, 0)])
def test_what_half_of_the_masks_have_is_ordinary(share: float, weight: float) -> None:
    frame = with_disagreement(share, 2)
    found = label_free.evidence(frame, label_free.fit(frame))["agreement_score"]
    assert found[0] == pytest.approx(-np.log(share) * 2 * weight)
    assert found[999] == 0


def test_an_image_that_no_other_set_has_says_nothing() -> None:
    frame = with_disagreement(0.2, 2)
    frame.loc[500:, ["agreement_score", "agreement_count"]] = np.nan
    found = label_free.evidence(frame, label_free.fit(frame))["agreement_score"]
    assert (found[500:] == 0).all()
    assert np.isfinite(found).all()


def test_the_count_is_among_the_columns_read() -> None:
    reference = label_free.fit(with_disagreement(0.2, 2).assign(hole_score=1.0))
    read = label_free.columns_read(reference)
    assert read == {"agreement_score", "agreement_count", "hole_score"}


def test_only_an_annotation_has_a_count() -> None:
    with pytest.raises(CallError, match="only an annotation has a count"):
        Column("other_score", "Other", evidence="form", count="others")
    with pytest.raises(CallError, match="no evidence 'opinion'"):
        Column("other_score", "Other", evidence="opinion")  # type: ignore[arg-type]
