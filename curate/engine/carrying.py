"""The step of a repeated round that carries over what people did in the round that it replaces."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from curate.engine.automatic_work import finish_certifying
from curate.engine.carried_work import carry_work, read_old_work
from curate.engine.people_work import PeopleWork, measure_people_work
from curate.engine.round_record import CarriedRecord, RoundPeople, RoundRecord
from curate.errors import AuditError
from curate.people.reviews import open_reviews
from curate.people.reviews.current_plan import open_audit
from curate.store.audit import StoredAudit
from curate.store.audit_info import INFO
from curate.store.engine_folder import AUDIT

if TYPE_CHECKING:
    from curate.engine.rounds import EngineRounds, RunSettings


def carry_over(rounds: EngineRounds, folder: Path, record: RoundRecord, run: RunSettings) -> None:
    """Carry over what people did in the round that another one replaces; once.

    Of several that replace each other it is the last one that was proposed to its end: what was
    done before that was carried over to it. Of the automatic stage there is nothing to carry.

    Args:
        rounds: Of the engine.
        folder: Folder of the round that replaces it; its proposals are audited.
        record: Its record.
        run: Of this run.
    """
    if record.stage == 3 or "carry" in record.steps:
        return
    with record.step("carry", folder, run.clock):
        for place, earlier in rounds.list_tries(record):
            audit = open_finished(place, earlier)
            if audit is None:
                continue
            old = read_old_work(audit)
            if old is not None:
                reviews = open_reviews(open_audit(folder / AUDIT), create=True, clock=run.clock)
                record.carried = carry_work(old, reviews, f"round {earlier.number}")
                earlier.people = measure_uncarried(place, earlier, record.carried)
                earlier.write(place)
            break


def measure_uncarried(
    folder: Path, record: RoundRecord, carried: CarriedRecord | None = None
) -> RoundPeople:
    """Return people's work in a round that was replaced, for the ledger: its proposals, and the
    time that is not in what was carried over.

    Args:
        folder: The round's folder.
        record: Its record.
        carried: What was; None for nothing, or if that is not known yet.
    """
    work = PeopleWork.none().record
    if open_finished(folder, record) is not None:
        known = measure_people_work(folder).record
        seconds, untimed = (0.0, 0) if carried is None else (carried["seconds"], carried["untimed"])
        work["proposals"] = known["proposals"]
        work["seconds"] = round(max(known["seconds"] - seconds, 0.0), 3)
        work["untimed"] = max(known["untimed"] - untimed, 0)
    return work


def open_finished(folder: Path, record: RoundRecord) -> StoredAudit | None:
    """Return the audit of a round; None where it was not made to its end.

    Args:
        folder: The round's folder.
        record: Its record.

    Raises:
        AuditError: It was made, and cannot be opened.
    """
    if not (folder / AUDIT / INFO).is_file():
        return None
    if record.stage == 3:
        finish_certifying(folder)  # where a run was killed: then people had decided before
    try:
        return open_audit(folder / AUDIT)
    except AuditError:
        if "audit" in record.steps:
            raise
        return None
