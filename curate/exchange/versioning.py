"""The version of the dataset that a queue is of: sent out with every mask, checked on the way back.

The numbers of masks and of draws are the same in an audit and in the audit of a corrected dataset,
so nothing else tells that decisions were made on other masks than those that they would be kept of.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import pandas as pd

from curate.curation.audits import DATASET_VERSION, dataset_version
from curate.errors import SourceError
from curate.store import Audit
from curate.versions import short

_ID = re.compile(r"[0-9a-f]{12}(?:[0-9a-f]{20})?")
_MOST_NAMED = 3


def with_version(audit: Audit, rows: pd.DataFrame) -> pd.DataFrame:
    """Return a queue with the version of the dataset in every row, behind ``draw_id``.

    Args:
        audit: The audit that the queue is of.
        rows: The queue.

    Returns:
        The queue as it is where the audit has no version.
    """
    version = dataset_version(audit)
    if version is None:
        return rows
    made = rows.drop(columns=DATASET_VERSION, errors="ignore")
    names = list(made.columns)
    made.insert(names.index("draw_id") + 1 if "draw_id" in names else 0, DATASET_VERSION, version)
    return made


def check_version(audit: Audit, named: Iterable[object], where: str) -> None:
    """Check that what came back was made from the version of the dataset that the audit is of.

    Args:
        audit: The audit that the decisions are for.
        named: What stands as ``dataset_version`` at each mask. What is no version id says nothing:
            cells that people emptied, and numbers that a spreadsheet rounded.
        where: The file, for messages.

    Raises:
        SourceError: A mask was sent out from another version.
    """
    own = dataset_version(audit)
    texts = {str(one) for one in named if isinstance(one, str | int)}
    plain = (text.strip().lower() for text in texts)
    found = {short(text) for text in plain if _ID.fullmatch(text)}
    other = sorted(found - {own})
    if own is None or not other:
        return
    listed = " and ".join(other[:_MOST_NAMED]) + (" and others" if other[_MOST_NAMED:] else "")
    what = (
        f"{'a part of it' if own in found else 'it'} was made from version {listed} of the dataset"
    )
    do = (
        "import it into the audit that it was made from (`curate version AUDIT` prints its"
        " version); of masks that `curate diff` of both calls unchanged, rows without the columns"
        " dataset_version, draw_id, queue_kind and inclusion_probability can be imported here"
    )
    raise SourceError(f"{what}, and the audit is of version {own}", where, do)
