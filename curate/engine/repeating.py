"""A round that is open, repeated: its images proposed anew with other settings.

The new round names the one that it replaces in its ``round.json``; with that file the old one is
replaced, and no step of either can be lost. The old round stays on the disk as it was, but for its
own record, which then says by which round it was replaced. What people did in it is carried over
once the new one is proposed (:mod:`curate.engine.carrying`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from curate.common.json_values import JsonObject
from curate.common.ranges import MASK_CHOICES
from curate.dataset.notes import count_noun
from curate.engine.carrying import carry_over, measure_uncarried, open_finished
from curate.engine.round_cuts import recipe_of
from curate.engine.round_prompts import find_used_prompts
from curate.engine.round_record import RoundRecord, find_mask_choice, find_set_cuts
from curate.engine.rounds import EngineRounds, RunSettings
from curate.engine.settings import CUTS, find_named_cuts
from curate.engine.training_round import skip_result
from curate.errors import AuditError, CallError
from curate.networks.generation.recipe import load_recipe
from curate.people.reviews import has_reviews, open_reviews
from curate.policy.grammar import check_choice
from curate.store.engine_folder import NAMES

_OPTIONS = "give others with `--recipe`, `--set` or `--mask-choice`"


@dataclass(frozen=True)
class RepeatSettings:
    """How the proposals of a repeated round are made; what is not given is as it was in the round.

    Attributes:
        recipe: A recipe, as in :func:`curate.generate`; None for the round's own.
        settings: Settings over the recipe's.
        mask_choice: What chooses among the masks of a point; None as before.
    """

    recipe: str | Path | JsonObject | None = None
    settings: Mapping[str, object] = field(default_factory=dict)
    mask_choice: str | None = None

    def apply(self, rounds: EngineRounds, record: RoundRecord) -> dict[str, object]:
        """Return the settings of the round that repeats another.

        Args:
            rounds: Of the engine.
            record: Of the round that is repeated.

        Raises:
            CallError: A setting is wrong.
        """
        own = recipe_of(record) if self.recipe is None else self.recipe
        given: dict[str, object] = dict(vars(load_recipe(own, self.settings)))
        choice = find_mask_choice(record, rounds.settings)
        found = record.settings | {"recipe": given, "mask_choice": self.mask_choice or choice}
        named = set(find_named_cuts(self.recipe, self.settings))
        if self.recipe is None:
            named |= set(find_set_cuts(record, rounds.settings))
        return found | {"set_cuts": [cut for cut in CUTS if cut in named]}


def begin_repeat(
    rounds: EngineRounds, wanted: RepeatSettings, run: RunSettings
) -> tuple[Path, RoundRecord]:
    """Begin the round that repeats the open one, or go on with one that was killed on its way.

    Args:
        rounds: Of the engine.
        wanted: How its proposals are made.
        run: Of this run.

    Returns:
        Its folder and its record.

    Raises:
        AuditError: No round can be repeated now, its masks were written for a tool, or its sample
            of the automatic stage was begun.
        CallError: A setting is wrong, or all are as they are.
    """
    if wanted.mask_choice is not None:
        check_choice(wanted.mask_choice, "--mask-choice", MASK_CHOICES)
    folder, record = _find_open(rounds)
    settings = wanted.apply(rounds, record)
    is_same = settings == _own_settings(rounds, record)
    if is_same and record.replaces is not None and not record.asks_people:
        return folder, record
    if is_same and _has_last_prompts(rounds, record):
        what = f"round {record.number} is proposed with these settings already"
        raise CallError(what, "engine repeat", _OPTIONS)
    _refuse_lost(rounds, folder, record)
    if record.replaces is not None and open_finished(folder, record) is not None:
        carry_over(rounds, folder, record, run)  # where a run was killed before
    again = rounds.begin_again(record, settings)
    note_replaced(rounds)
    return again


def _own_settings(rounds: EngineRounds, record: RoundRecord) -> dict[str, object]:
    return RepeatSettings().apply(rounds, record)


def _has_last_prompts(rounds: EngineRounds, record: RoundRecord) -> bool:
    """Return whether a round uses the prompts that were searched last, if any."""
    used = find_used_prompts(rounds, record)
    before = None if record.prompts is None else record.prompts["file"]
    return before == (None if used is None else used.file)


def _find_open(rounds: EngineRounds) -> tuple[Path, RoundRecord]:
    """Return the round that can be repeated.

    Raises:
        AuditError: There is none.
    """
    project, opened = str(rounds.project), rounds.open_round()
    go_on = f"go on with `curate engine next {project}`"
    if opened is None:
        raise AuditError("no round is open that could be repeated", project, go_on)
    folder, record = opened
    if record.number == 0:
        what = "the validation images are annotated once, and are no round to repeat"
        raise AuditError(what, project, "annotate them, or set up another engine")
    if not record.wants_images:
        what = f"round {record.number} only trains the segmenter once more"
        raise AuditError(what, project, f"go on with `curate engine train {project}`")
    if record.people is not None:
        what = f"round {record.number} is closed: what people made of it was taken already"
        raise AuditError(what, project, go_on)
    if record.segmenter is None:
        what = f"in round {record.number} nothing is proposed: there is no segmenter yet"
        raise AuditError(what, project, f"draw its masks with `curate review {project}`")
    if not (folder / NAMES).is_file() and record.replaces is None:
        what = f"the images of round {record.number} are not chosen yet"
        raise AuditError(what, project, f"run `curate engine next {project}` first")
    return folder, record


def _refuse_lost(rounds: EngineRounds, folder: Path, record: RoundRecord) -> None:
    """Refuse to repeat a round where people's work would be lost: it is done in another tool, or on
    a random sample, which is drawn anew.

    Raises:
        AuditError: It would.
    """
    project = str(rounds.project)
    if record.stage == 3 and (done := _describe_done(folder, record)):
        what = f"{done} in round {record.number}, and would be lost to another one"
        do = f"finish it, or end it as it is with `curate engine close {project}`: all of it counts"
        raise AuditError(what, project, do)
    written = sorted(path for kind in ("queue", "sample") for path in folder.glob(f"{kind}-*"))
    if written:
        what = f"the masks of round {record.number} were written for a tool: {written[0].name}"
        do = "import what comes back, or remove it if nobody works on it"
        raise AuditError(what, str(folder), do)


def _describe_done(folder: Path, record: RoundRecord) -> str:
    """Describe what people have done in a round, as a clause; "" for nothing."""
    if "certify" in record.steps:
        return "masks are certified"
    audit = open_finished(folder, record)
    if audit is None or not has_reviews(audit):
        return ""
    reviews = open_reviews(audit)
    if masks := reviews.decisions()["mask_id"].nunique():
        return f"people have decided on {count_noun(masks, 'mask')}"
    if added := len(reviews.missing()):
        return f"people have added {count_noun(added, 'mask')}"
    if searched := len(reviews.reviewed_images()):
        return f"people have searched {count_noun(searched, 'image')}"
    return ""


def note_replaced(rounds: EngineRounds) -> None:
    """Note in the records of rounds that were replaced by which, where a run was killed before.

    Args:
        rounds: Of the engine.
    """
    by = {record.replaces: record.number for record in rounds.list_all()}
    for folder, record in rounds.replaced:
        if record.replaced_by is None:
            number = by[record.number]
            record.people, record.replaced_by = measure_uncarried(folder, record), number
            record.result = skip_result(f"replaced by round {number}")
            record.write(folder)
