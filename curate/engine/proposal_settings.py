"""Steps that settle how a round's masks are proposed: their cuts, and their prompts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from curate.engine.round_cuts import choose_round_cuts, wants_cuts
from curate.engine.round_prompts import choose_round_prompts, wants_prompts
from curate.engine.round_record import RoundRecord

if TYPE_CHECKING:
    from curate.engine.rounds import EngineRounds, RunSettings


def choose_how_to_propose(
    rounds: EngineRounds, folder: Path, record: RoundRecord, run: RunSettings
) -> None:
    """Do the steps that are to be done before masks are proposed; those that ended are not.

    Args:
        rounds: Of the engine.
        folder: The round's folder.
        record: Its record.
        run: Of this run.
    """
    if wants_cuts(rounds, record):
        with record.step("cuts", folder, run.clock):
            record.cuts = choose_round_cuts(rounds, record, run)
    if wants_prompts(rounds, record):
        with record.step("prompts", folder, run.clock):
            record.prompts = choose_round_prompts(rounds, record, run)
