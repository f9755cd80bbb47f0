"""Images of an engine that people searched for masks, and how many they found on each."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from curate.engine.round_numbers import LedgerRow
from curate.engine.round_record import RoundRecord
from curate.engine.rounds import EngineRounds
from curate.engine.stopping_now import SearchedImages, WorkLeft, measure_work_left
from curate.formats.reading import read
from curate.people.reviews import has_reviews, open_reviews
from curate.people.reviews.current_plan import open_audit
from curate.store.engine_folder import AUDIT, MASKS, NAMES, VALIDATION

PEOPLE_STAGES = (0, 1, 2)
"""Stages in which people search every image: the validation images, and the first two."""


def find_work_left(rounds: EngineRounds, rows: list[LedgerRow]) -> WorkLeft:
    """Return the work that stopping now would leave undone.

    Args:
        rounds: Of the engine.
        rows: Its ledger.

    Raises:
        CurateError: Masks or decisions of a round cannot be read.
    """
    images, undecided, automatic = rounds.left, 0, 0
    if not rounds.records:
        images += int((rounds.images["role"] == VALIDATION).sum())
    for folder, record in zip(rounds.folders, rounds.records, strict=True):
        people = record.people
        if not (folder / NAMES).is_file():
            continue
        done = people or rounds.measure_work(folder).record
        undecided += done["undecided"]
        unsearched = len(_names(folder)) - done["checked"]
        if record.stage in PEOPLE_STAGES:
            images += unsearched
        else:
            automatic += unsearched
    left = measure_work_left(rows, count_searched(rounds), images, undecided)
    return left.with_automatic(automatic)


def count_searched(rounds: EngineRounds) -> SearchedImages:
    """Return the masks of each image that people searched, of all rounds that are closed."""
    counts: list[int] = []
    validation: list[bool] = []
    for folder, record in zip(rounds.folders, rounds.records, strict=True):
        if record.people is None or record.stage not in PEOPLE_STAGES:
            continue
        found = _count_masks(folder)
        names = _list_searched(folder, record)
        counts += [found.get(name, 0) for name in names]
        validation += [record.number == 0] * len(names)
    return SearchedImages(np.array(counts, np.int64), np.array(validation, np.bool_))


def _names(folder: Path) -> list[str]:
    return (folder / NAMES).read_text(encoding="utf-8").splitlines()


def _count_masks(folder: Path) -> dict[str, int]:
    """Return the masks of a round by file name; images without any are not in it."""
    if not (folder / MASKS).is_file():
        return {}
    table = read(folder / MASKS, "coco")
    names = table.masks["image_id"].map(table.images["file_name"])
    return {str(name): int(n) for name, n in names.value_counts().items()}


def _list_searched(folder: Path, record: RoundRecord) -> list[str]:
    """Return the images of a closed round that people searched."""
    if not (folder / NAMES).is_file():
        return []
    names = _names(folder)
    if record.people is not None and record.people["checked"] >= len(names):
        return names
    audit = open_audit(folder / AUDIT)
    if not has_reviews(audit):
        return []
    reviewed = set(open_reviews(audit).reviewed_images()["image_id"].tolist())
    known = audit.query("select image_id, file_name from images")
    return known.loc[known["image_id"].isin(reviewed), "file_name"].tolist()
