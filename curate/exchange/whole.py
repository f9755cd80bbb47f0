"""Whether a corrected dataset is one of the audit's, all of it, and was worked on at all."""

from __future__ import annotations

import numpy as np
import pandas as pd

from curate.decisions.lookup import rows_of
from curate.errors import SourceError
from curate.exchange.image_matching import Images
from curate.exchange.parts import ComparisonTally, ShownMasks, other_image
from curate.store import Audit

_FEW = 10
"""Masks that may all be gone without a doubt whether people were shown them."""


def check_touched(tally: ComparisonTally, name: str) -> None:
    """See that somebody did something: else it may be the file that went out.

    Raises:
        SourceError: Nothing was changed, taken out or added.
    """
    counts = tally.counts
    if counts["fix"] or counts["reject"] or tally.missing or not counts["masks"]:
        return
    what = "nothing in it was changed, so it may be the file that went out"
    raise SourceError(what, name, "say --all-looked if people went through all of it")


def check_whole(
    audit: Audit, tally: ComparisonTally, images: Images, name: str, shown: ShownMasks
) -> None:
    """See that the dataset is one of the audit's, with the audit's ids, and all of it.

    Raises:
        SourceError: It is not, or that is in doubt.
    """
    counts = tally.counts
    if not images.taken:
        raise SourceError("none of its images is in the audit", name, f"audit: {audit.path.name}")
    doubtful = counts["fix"] - counts["renamed"] + counts["reject"]
    numbered = not counts["paired"] and (counts["found again"] or tally.missing)
    if numbered or 2 * counts["under another's id"] > doubtful:
        do = "if a tool has numbered them anew, import its own export, or find them by --match iou"
        raise SourceError("its annotations have other ids than the audit's masks", name, do)
    if tally.unmatched:
        strangers = pd.concat(tally.unmatched)
        ids = strangers.index.to_numpy(np.int64)
        elsewhere = rows_of(audit, "masks", "mask_id", ids)["mask_id"]
        elsewhere = elsewhere[shown.among(elsewhere)]
        if len(elsewhere):
            raise other_image(f"{name}, annotation {elsewhere.iloc[0]}")
    gone = counts["reject"]
    if not shown.sure and gone > _FEW and 2 * gone > counts["masks"]:
        what = f"{gone:,} of the {counts['masks']:,} masks of its images are not in it"
        do = "say what people were given: --given FILE (the source, if it was all of it)"
        raise SourceError(what, name, do)
