"""Tables of proposed missing masks that people filled in, as CSV or JSON.

Such a table is what ``curate queue --kind missing`` writes, with a column ``decision``: accept adds
the mask as it is proposed, fix the one in the column ``segmentation``, reject refuses it. A changed
``category`` is the category that the mask is added with.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from curate.errors import SourceError
from curate.people.exchange.queue_writing import check_version
from curate.people.exchange.table_columns import (
    DECISION,
    Table,
    normalise_word,
    parse_floats,
    parse_ids,
    parse_masks,
    parse_texts,
)
from curate.people.exchange.tables import (
    is_csv_with,
    is_json_with,
    read_csv_table,
    read_json_table,
)
from curate.people.reviews.schema import ACTIONS
from curate.store.audit import StoredAudit
from curate.store.audit_sql import DATASET_VERSION

BOX = ("bbox_x", "bbox_y", "bbox_w", "bbox_h")

LIST = "proposals"
"""Key of the list in a JSON file."""

_KEY = "proposal_id"
_NAMES = (
    *(_KEY, DECISION, "image_id", *BOX, "category", "segmentation", "reviewer", "seconds"),
    DATASET_VERSION,
)
_LISTS = ("", LIST)


def is_answer_table(path: Path) -> bool:
    """Whether a file is a table of proposed missing masks; never raises."""
    return path.is_file() and (is_csv_with(path, _KEY) or is_json_with(path, _KEY, _LISTS))


def read_answer_table(path: Path, audit: StoredAudit) -> tuple[pd.DataFrame, int]:
    """Read the rows of a table in which people decided.

    Args:
        path: The file.
        audit: The audit that it is for.

    Returns:
        A row an answer: ``where`` (its place, for messages), ``proposal_id`` and ``image_id``
        (missing where the file has none), the box (NaN likewise), ``decision`` ("accept", "reject"
        or "fix"), ``category``, ``segmentation``, ``reviewer`` (None where blank), ``seconds``
        (NaN likewise). And the number of rows without a decision.

    Raises:
        SourceError: It is no sound table, a value cannot be read, or it was made from another
            version of the dataset.
    """
    is_csv = is_csv_with(path, _KEY)
    table = read_csv_table(path, _NAMES) if is_csv else read_json_table(path, _NAMES, _LISTS)
    if DECISION not in table.columns:
        do = f"add it, and fill in {', '.join(ACTIONS)}"
        raise SourceError(f"there is no column {DECISION}", table.name, do)
    words = [normalise_word(cell) for cell in table.columns[DECISION]]
    filled = [at for at, word in enumerate(words) if word]
    table, undecided = table.only(filled), len(words) - len(filled)
    words = [words[at] for at in filled]
    check_version(audit, table.columns.get(DATASET_VERSION, ()), table.name)
    for at, word in enumerate(words):
        if word not in ACTIONS:
            do = f"use {', '.join(ACTIONS)}, or leave it empty"
            raise SourceError(f"{word[:40]!r} is no decision", table.where(at), do)
    return _to_frame(table, words), undecided


def _to_frame(table: Table, words: list[str]) -> pd.DataFrame:
    found = pd.DataFrame({"where": [table.where(at) for at in range(len(words))]})
    found[DECISION] = pd.Series(words, dtype=object)
    for name in (_KEY, "image_id"):
        found[name] = _ids(table, name)
    for name in (*BOX, "seconds"):
        given = name in table.columns
        found[name] = parse_floats(table, name) if given else np.full(len(words), np.nan)
    for name in ("category", "reviewer"):
        found[name] = parse_texts(table, name) if name in table.columns else None
    found["segmentation"] = (
        parse_masks(table, "segmentation") if "segmentation" in table.columns else None
    )
    return found


def _ids(table: Table, name: str) -> pd.Series[Any]:
    """Return ids; a ``proposal_id`` that a spreadsheet has rounded is missing: image and box tell
    which proposal it is."""
    if name not in table.columns:
        return pd.Series(pd.NA, range(len(table.rows)), dtype="Int64")
    try:
        return parse_ids(table, name)
    except SourceError:
        if name != _KEY or not {"image_id", *BOX} <= table.columns.keys():
            raise
        return pd.Series(pd.NA, range(len(table.rows)), dtype="Int64")
