"""The step of a round that asks people about objects they may have missed on validation images.

The proposals that it asks about are laid out as a round of their own, in the folder of the
validation images. What people accept or make of them are masks of these images from then on: lines
and cuts are chosen by them too. The segmenters are measured on the masks of the beginning alone, so
that their validation IoU compares between rounds. What people reject is known to be of no object
and is not asked about again.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from curate.common import files
from curate.dataset.notes import count_noun
from curate.dataset.table import MaskTable
from curate.engine.coco_writing import MASK_COLUMNS, write_coco
from curate.engine.people_work import (
    PeopleWork,
    audit_proposals,
    measure_people_work,
    write_round_masks,
)
from curate.engine.pictures import list_images, names_of
from curate.engine.possible_misses import find_possible_misses
from curate.engine.prefilling import PrefillPlan, measure_signals, read_truth
from curate.engine.round_record import MissedRecord, RoundRecord, read_round
from curate.formats.reading import read
from curate.people.reviews.current_plan import open_audit
from curate.store.audit_files import writing
from curate.store.engine_folder import (
    AUDIT,
    MASKS,
    MISSED,
    NAMES,
    PROPOSALS,
    START,
    VALIDATION,
    list_missed,
)

if TYPE_CHECKING:
    from curate.engine.rounds import EngineRounds, RunSettings


class SecondLookWork(PeopleWork):
    """How far people are with the proposals that are asked about on validation images."""

    @property
    def is_done(self) -> bool:
        """Whether all are decided on; nobody is asked to search the images once more."""
        return not self.record["undecided"]

    def text(self) -> str:
        """Return the work that is left, as a clause."""
        again = f" ({self.unsettled:,} not settled)" if self.unsettled else ""
        left = count_noun(self.record["undecided"], "mask")
        return f"{left} of {self.record['proposals']:,} to decide on{again}"


def begin_missed(
    rounds: EngineRounds, record: RoundRecord, plan: PrefillPlan, detector: Path, run: RunSettings
) -> MissedRecord:
    """Choose proposals that may be of missed objects, and lay them out for people; once.

    Args:
        rounds: Of the engine.
        record: Of the round that asks.
        plan: Of its prefilling.
        detector: The round's.
        run: Of this run.

    Returns:
        How many people are asked about; 0 for none.
    """
    place = rounds.project / VALIDATION / MISSED / f"{record.number:02d}"
    found = read_round(place)
    if found is None:  # else a run was killed behind it
        candidates = read(plan.place / PROPOSALS, "coco")
        held = candidates.masks["image_id"].isin([one.image_id for one in plan.validation])
        candidates = candidates[held.to_numpy()]
        if not len(candidates):
            return {"asked": 0, "people": None}
        signals = measure_signals(plan, detector, run.device, run.progress)
        decided = [_read_decided(one) for one in list_missed(rounds.project) if one != place]
        wanted = find_possible_misses(candidates, read_truth(plan), signals, decided)
        if not wanted:
            return {"asked": 0, "people": None}
        found = _lay_out(rounds, place, record, candidates, wanted, run)
    return {"asked": cast(int, found.settings["proposals"]), "people": found.people}


def _read_decided(place: Path) -> MaskTable:
    """Return the proposals of an earlier round that people decided on."""
    table, audit = read(place / PROPOSALS, "coco"), open_audit(place / AUDIT)
    ids: set[int] = set()
    if audit.has_people():
        ids = set(audit.query("select mask_id from people")["mask_id"].tolist())
    return table[np.asarray(table.masks.index.isin(ids))]


def _lay_out(
    rounds: EngineRounds,
    place: Path,
    record: RoundRecord,
    candidates: MaskTable,
    wanted: list[int],
    run: RunSettings,
) -> RoundRecord:
    """Write proposals as a round of their own, in their order, and audit them."""
    files.mkdir(place, parents=True, exist_ok=True)
    files.remove_temporaries(place)  # of runs that were killed
    masks = candidates.masks.loc[wanted]
    for name in ("predicted_iou", "stability_score"):
        if name not in masks:
            masks = masks.assign(**{name: np.nan})
    listed = list_images(rounds.images, sorted(set(masks["image_id"].tolist())))
    with writing(place / NAMES) as temporary:
        files.write_text(temporary, names_of(listed))
    first = rounds.first_id(record)
    write_coco(place / PROPOSALS, listed, masks[list(MASK_COLUMNS)], rounds.classes, first)
    settings: dict[str, object] = {"images": len(listed), "proposals": len(masks)}
    asked = RoundRecord(record.number, 0, settings, record.segmenter, prompts=record.prompts)
    with asked.step("audit", place, run.clock):
        audit_proposals(
            place, rounds.pictures, rounds.classes, run.clock, run.progress, search=False
        )
    return asked


def find_open_missed(project: Path) -> tuple[Path, RoundRecord] | None:
    """Return the folder and the record of proposals on validation images that people are asked
    about now; None where there are none."""
    for place in list_missed(project):
        record = read_round(place)
        if record is not None and record.people is None:
            return place, record
    return None


def measure_missed_work(place: Path) -> SecondLookWork:
    """Return how far people are with proposals that are asked about on validation images.

    Args:
        place: Their folder.
    """
    base = measure_people_work(place)
    return SecondLookWork(base.record, base.unsettled, base.nameless)


def settle_missed(rounds: EngineRounds, run: RunSettings) -> bool:
    """Take what people made of proposals on validation images, where they are done.

    Args:
        rounds: Of the engine.
        run: Of this run.

    Returns:
        Whether people are asked about none any more.
    """
    while (opened := find_open_missed(rounds.project)) is not None:
        place, record = opened
        if not (place / MASKS).is_file() and not measure_missed_work(place).is_done:
            return False
        close_missed(rounds, place, record, run)
    return True


def close_missed(
    rounds: EngineRounds, place: Path, record: RoundRecord, run: RunSettings
) -> PeopleWork:
    """Take what people made of proposals on validation images, though they may not be done.

    Args:
        rounds: Of the engine.
        place: Folder of the proposals.
        record: Its record.
        run: Of this run.

    Returns:
        What they did.
    """
    with record.step("close", place, run.clock):
        work = measure_missed_work(place)
        if not (place / MASKS).is_file():
            write_round_masks(place, rounds.classes)
        record.people, record.closed_early = work.record, not work.is_done
    note_missed(rounds)
    return work


def note_missed(rounds: EngineRounds) -> None:
    """Note in the records of rounds what people made of the proposals that these asked about.

    Args:
        rounds: Of the engine.
    """
    closed = {place.name: read_round(place) for place in list_missed(rounds.project)}
    open_ones = zip(rounds.folders, rounds.records, strict=True)
    for folder, record in (*open_ones, *rounds.replaced):
        found = closed.get(folder.name)
        known = record.missed
        if known is not None and known["people"] is None and found is not None and found.people:
            record.missed = {**known, "people": found.people}
            record.write(folder)


def count_missed_asked(project: Path, last: int) -> int:
    """Return how many proposals on validation images rounds have asked about.

    Args:
        project: The engine.
        last: Number of the last round that counts.
    """
    records = (read_round(place) for place in list_missed(project))
    return sum(
        cast(int, one.settings["proposals"])
        for one in records
        if one is not None and one.number <= last
    )


def list_validation_masks(project: Path) -> list[Path]:
    """Return the files of people's masks of the validation images, which need not be there: of the
    beginning, from before the engine, and of objects that were found later.

    Args:
        project: The engine.
    """
    held = project / VALIDATION
    later = (place / MASKS for place in list_missed(project))
    return [held / MASKS, held / START / MASKS, *(path for path in later if path.is_file())]


def describe_missed(record: MissedRecord) -> str:
    """Return how many objects people had missed on the validation images, as a clause."""
    asked = count_noun(record["asked"], "proposal")
    people = record["people"]
    if people is None:
        return f"people are asked about {asked} for the validation images first"
    found = count_noun(count_found(record), "object")
    return (
        f"of {asked} for the validation images that matched none of people's masks, people took "
        f"{found} that had been missed"
    )


def count_found(record: MissedRecord) -> int:
    """Return how many objects people found that had been missed."""
    people = record["people"]
    return 0 if people is None else people["accepted"] + people["fixed"] + people["added"]
