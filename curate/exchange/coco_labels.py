"""Categories of a corrected COCO file as the audit calls them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from curate.curation.columns import plain
from curate.decisions.lookup import rows_of
from curate.errors import SourceError
from curate.exchange.labels import Labels, names_of
from curate.formats.coco_categories import category_names
from curate.store import Audit
from curate.table import STRING, MaskTable


def with_own_labels(
    audit: Audit, labels: Labels, table: MaskTable, listed: list[Any] | None, name: str
) -> MaskTable:
    """Return a part of a corrected file with the audit's categories.

    What stands for no category becomes none: the placeholder of a queue, and the only category of a
    file where the audit knows none. Where the audit knows numbers only, numbers are compared.

    Args:
        audit: The audit.
        labels: Its categories.
        table: The part.
        listed: The categories that the file declares; None where it has no list of them.
        name: The file's name, for messages.

    Raises:
        SourceError: A mask got a ``category_id`` that the file does not declare.
    """
    masks = table.masks
    ids = masks.index.to_numpy(np.int64)
    old = rows_of(audit, "masks", "mask_id", ids, ("category", "category_id"))
    old = old.drop_duplicates("mask_id").set_index("mask_id").reindex(ids)
    declared = category_names(listed)[0] or {}
    if not labels.names and len(declared) == 1:
        made: list[str | None] = [None] * len(masks)
        return _with(table, made)
    before = plain(old["category_id"]) if "category_id" in old else [None] * len(ids)
    numbers = plain(masks["category_id"]) if "category_id" in masks else [None] * len(ids)
    known = dict(labels.numbered)
    made = []
    rows = zip(ids, plain(masks["category"]), numbers, names_of(old), before, strict=True)
    for mask, said, number, own, own_number in rows:
        kept = number is not None and number == own_number
        if number is not None and listed is not None and number not in declared and not kept:
            what = f"its category_id {number} is not among the file's categories"
            do = "declare it there, or give the mask one that is"
            raise SourceError(what, f"{name}, annotation {mask}", do)
        if said is None:
            made.append(own if kept or number is None else known.get(number, str(number)))
        elif labels.are_numbers and said not in labels.names and str(number) in labels.names:
            made.append(str(number))
        else:
            made.append(labels.category_now(said, own))
    return _with(table, made)


def _with(table: MaskTable, category: list[str | None]) -> MaskTable:
    made = pd.Series(category, table.masks.index, STRING)
    return replace(table, masks=table.masks.assign(category=made))
