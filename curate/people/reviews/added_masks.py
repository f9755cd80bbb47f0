"""Missing masks that people added, in their current state."""

from __future__ import annotations

import numpy as np
import pandas as pd

from curate.people.reviews.outcomes import distinct_names
from curate.people.reviews.review_file import Reviews, has_reviews
from curate.store.audit import Audit
from curate.store.rows_by_id import rows_of

COLUMNS = (
    *("image_id", "segmentation", "category", "reviewers", "time"),
    *("file_name", "height", "width", "image_key"),
)


def read_added_masks(audit: Audit) -> pd.DataFrame:
    """Return the masks that people added to an audit's images, each once.

    The same pixels with the same category, added by several people, are one mask.

    Returns:
        In order of image and time: :data:`COLUMNS`. ``segmentation`` is COCO compressed counts,
        ``category`` None where nobody said, ``reviewers`` a list of names, ``time`` that of
        the last of them, ``image_key`` the image's place in the source ("" where not known).
    """
    nothing = pd.DataFrame(columns=list(COLUMNS))
    if not has_reviews(audit):
        return nothing
    found = Reviews(audit).missing()
    if not len(found):
        return nothing
    found = found.assign(
        category=found["category"].astype(object).where(found["category"].notna(), None),
        segmentation=found["segmentation"].astype(object),
        reviewer=found["reviewer"].fillna(""),
    )
    ids = found["image_id"].to_numpy(np.int64)
    columns = ["file_name", "height", "width", "source_key"]
    images = rows_of(audit, "images", "image_id", ids, columns)
    images["image_key"] = images["source_key"].fillna("") if "source_key" in images else ""
    grouped = found.groupby(["image_id", "segmentation", "category"], dropna=False, sort=False)
    once = grouped.agg(reviewers=("reviewer", distinct_names), time=("time", "max")).reset_index()
    once["category"] = once["category"].astype(object).where(once["category"].notna(), None)
    once = once.merge(images, on="image_id")
    return once.sort_values(["image_id", "time"], kind="stable", ignore_index=True)[list(COLUMNS)]
