"""Steps of the automatic stage: masks of all images that are left, certified on a random sample.

The last segmenter draws masks with the whole recipe, they are audited with the last detector, and
people review a random sample of them. What a certificate covers is accepted; the rest goes to
people, the most likely errors first. It is a round like others, whose people are asked twice: for
the sample, and for the rest.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from curate.api.auditing import audit as make_audit
from curate.common import files
from curate.dataset.notes import count_noun
from curate.engine.automatic_work import (
    begin_automatic,
    certify_round,
    choose_sample_size,
    draw_sample,
    finish_certifying,
    measure_automatic_work,
)
from curate.engine.learned_quality import learn_from_rounds
from curate.engine.pictures import POOL, find_changed, names_of
from curate.engine.proposing import wants_proposals
from curate.engine.round_record import AutomaticRecord, RoundRecord, RoundResult
from curate.engine.stage_two import find_last_detector
from curate.engine.training_round import skip_result
from curate.formats.reading import read
from curate.store.audit_files import writing
from curate.store.engine_folder import AUDIT, NAMES, PROPOSALS

if TYPE_CHECKING:
    from curate.engine.rounds import EngineRounds, RunSettings


def list_rest(rounds: EngineRounds, record: RoundRecord) -> list[int]:
    """Return the ids of all images that no round had and whose files are as they were.

    Args:
        rounds: Of the engine.
        record: Of the round; the other images are noted in it as passed over.
    """
    images = rounds.images
    left = images[(images["role"] == POOL) & ~images["file_name"].isin(rounds.taken)]
    changed = find_changed(rounds.pictures, left)
    names = left.set_index("image_id")["file_name"]
    record.passed_over = [
        {"file_name": str(names[key]), "reason": why} for key, why in changed.items()
    ]
    return sorted(set(left["image_id"].tolist()) - set(changed))


def prepare_automatic(
    rounds: EngineRounds, folder: Path, record: RoundRecord, run: RunSettings
) -> None:
    """Do the steps behind the choice of images: propose, audit, learn, draw the sample, certify.

    The last one waits until people have reviewed the sample.

    Args:
        rounds: Of the engine.
        folder: The round's folder.
        record: Its record.
        run: Of this run.
    """
    if wants_proposals(folder, record):
        with record.step("propose", folder, run.clock):
            _pass_over_changed(rounds, folder, record)
            if not (listed := rounds.list_round(folder)):
                return
            rounds.propose(folder, listed, record, run, first_id=rounds.first_id(record))
    if "audit" not in record.steps:
        with record.step("audit", folder, run.clock):
            record.automatic = _audit(rounds, folder, run)
    settings, known = rounds.settings, record.automatic
    assert known is not None
    if "learn" not in record.steps:
        with record.step("learn", folder, run.clock):
            record.automatic = known = _learn(rounds, folder, known, run)
    if "sample" not in record.steps:
        with record.step("sample", folder, run.clock):
            drawn = draw_sample(
                folder,
                rounds.classes,
                choose_sample_size(settings),
                seed=settings.seed + record.number,
                clock=run.clock,
            )
            record.automatic = {**known, "sample": drawn}
    if "certify" not in record.steps:
        finish_certifying(folder)
        if measure_automatic_work(folder, record).is_done:
            certify_automatic(rounds, folder, record, run)


def _pass_over_changed(rounds: EngineRounds, folder: Path, record: RoundRecord) -> None:
    """Take pictures from the round that have gone or changed since it began, and note them."""
    listed = rounds.list_round(folder)
    here = rounds.images["image_id"].isin([one.image_id for one in listed])
    changed = find_changed(rounds.pictures, rounds.images[here])
    if not changed:
        return
    gone = [one for one in listed if one.image_id in changed]
    noted = {one["file_name"] for one in record.passed_over}  # by a run that was killed here
    record.passed_over += [
        {"file_name": one.file_name, "reason": changed[one.image_id]}
        for one in gone
        if one.file_name not in noted
    ]
    record.write(folder)
    with writing(folder / NAMES) as temporary:
        files.write_text(temporary, names_of([one for one in listed if one not in gone]))


def _audit(rounds: EngineRounds, folder: Path, run: RunSettings) -> AutomaticRecord:
    """Audit the masks with the last detector, where there is one, and the default policy."""
    found = find_last_detector(rounds)
    if not len(read(folder / PROPOSALS, "coco")):
        found = None  # there is nothing that it could confirm
    make_audit(
        folder / PROPOSALS,
        folder / AUDIT,
        format="coco",
        images=rounds.pictures,
        detector=None if found is None else str(found[0]),
        device=run.device,
        trust_joins=True,  # the detector saw these very pictures, however little it found
        progress=run.progress,
    )
    return begin_automatic(rounds.settings, None if found is None else found[1])


def _learn(
    rounds: EngineRounds, folder: Path, known: AutomaticRecord, run: RunSettings
) -> AutomaticRecord:
    """Rank the masks by what people decided in the rounds, where that can be learned."""
    found = find_last_detector(rounds) if known["detector"] is not None else None
    why = learn_from_rounds(rounds, folder, None if found is None else str(found[0]), run)
    return {**known, "quality": "label-free" if why else "learned", "unlearned": why}


def certify_automatic(
    rounds: EngineRounds, folder: Path, record: RoundRecord, run: RunSettings
) -> None:
    """Certify on what people reviewed of the sample, and queue the rest for them.

    Args:
        rounds: Of the engine.
        folder: The round's folder.
        record: Its record.
        run: Of this run.
    """
    known = record.automatic
    assert known is not None
    with record.step("certify", folder, run.clock):
        record.automatic = certify_round(folder, rounds.classes, known, rounds.pictures, run.clock)


def conclude_automatic(record: RoundRecord) -> RoundResult:
    """Return the result of a round in which no segmenter is trained: what was certified."""
    known = record.automatic
    if known is None:
        some = count_noun(len(record.passed_over), "picture that was", "pictures that were")
        return skip_result(f"none of the {some} left is as it was")
    if known["threshold"] is None:
        return skip_result(f"nothing is certified: {known['reason']}")
    certified = count_noun(known["certified"], "mask is", "masks are")
    return skip_result(f"{certified} certified, at most {known['max_bad']:.1%} of them bad")
