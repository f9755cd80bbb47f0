"""Ends of an engine's stages: why one is through, and which stage the next round is of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate.engine.round_record import RoundResult
from curate.engine.training_round import SMALL_GAIN, count_images_needed, is_within_noise

if TYPE_CHECKING:
    from curate.engine.rounds import EngineRounds

STAGES = ("assisted manual", "semi-automatic", "automatic")
"""Names of the stages."""


def choose_stage(rounds: EngineRounds, *, another: bool = False) -> int | None:
    """Return the stage of the round that begins next; None where the engine is through.

    Args:
        rounds: Of the engine; none is open.
        another: Whether one more round with people is wanted than the engine would do, or another
            automatic one once that stage is through.
    """
    another = another and rounds.left > 0
    if has_automatic(rounds):
        return 3 if another else None
    if not end_of_first_stage(rounds):
        return 1
    if another or not _end_of_second_stage(rounds):
        return training_stage(rounds)
    if rounds.settings.automatic and not why_not_automatic(rounds):
        return 3
    return None


def training_stage(rounds: EngineRounds) -> int:
    """Return the stage of a round with people, or of one that only trains: 1 or 2."""
    return 2 if rounds.settings.prefill_rounds and end_of_first_stage(rounds) else 1


def has_automatic(rounds: EngineRounds) -> bool:
    """Return whether the automatic stage has begun."""
    return any(record.stage == 3 for record in rounds.records)


def describe_end(rounds: EngineRounds) -> tuple[str, str]:
    """Return the name of the last stage of an engine, and why it is through."""
    done = [record for record in rounds.records if record.stage == 3]
    if done:
        result = done[-1].result
        return STAGES[2], "" if result is None else result["reason"]
    settings = rounds.settings
    second = settings.prefill_rounds > 0
    reason = _end_of_second_stage(rounds) if second else end_of_first_stage(rounds)
    if settings.automatic:
        reason += f"; there is no automatic stage: {why_not_automatic(rounds)}"
    return STAGES[second], reason


def why_not_automatic(rounds: EngineRounds) -> str:
    """Return why an engine has no automatic stage though it was set up for one; "" for no reason.

    Args:
        rounds: Of the engine.
    """
    if rounds.in_force is None:
        return "no segmenter draws masks"
    if len(rounds.classes) > 1:
        return "there are several classes, and people have to say which a mask is of"
    return "" if rounds.left else "no image is left"


def end_of_first_stage(rounds: EngineRounds) -> str:
    """Return why the first stage is through; "" where another round of it follows."""
    records = rounds.records
    if any(record.stage >= 2 for record in records):
        return "the second stage has begun"
    asked = [record for record in records if record.number and record.wants_images]
    if len(asked) >= rounds.settings.rounds:
        return f"all {rounds.settings.rounds} rounds are done"
    last = asked[-1] if asked else None
    if last is not None and last.result is not None and is_within_noise(last.result):
        return _describe_noise(rounds, last.number, last.result)
    if not rounds.left:
        return "no image is left to annotate"
    return ""


def _end_of_second_stage(rounds: EngineRounds) -> str:
    """Return why the second stage is through, or is none; "" where another round of it follows."""
    wanted = rounds.settings.prefill_rounds
    if not wanted:
        return "there is no second stage"
    if not rounds.left:
        return "no image is left to annotate"
    done = [one for one in rounds.records if one.stage == 2 and one.wants_images]
    return f"all {wanted} rounds with prefilled masks are done" if len(done) >= wanted else ""


def _describe_noise(rounds: EngineRounds, number: int, result: RoundResult) -> str:
    """Say that a gain cannot be told from none, and how many images would tell a small one."""
    text = f"the gain of round {number} in validation IoU is within its noise"
    images = rounds.settings.validation
    needed = count_images_needed(result, images)
    if needed is not None and needed > images:
        text += f" (about {needed:,} validation images would show a gain of {SMALL_GAIN:g})"
    return text
