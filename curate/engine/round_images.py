"""The step of a round that chooses its images: by difference, by the model's doubt, by chance."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from curate.common import files
from curate.common.own_records import read_record
from curate.dataset.notes import count_noun
from curate.dataset.table import records
from curate.engine.choosing import ChoiceSettings, take_images
from curate.engine.coco_writing import no_masks
from curate.engine.image_choice import measure_unsureness
from curate.engine.pictures import POOL, find_changed, list_images, names_of, refuse_changed
from curate.engine.proposing import GENERATED, generate_masks, read_generated
from curate.engine.round_cuts import recipe_of, with_cuts
from curate.engine.round_record import DoubtRecord, RoundRecord
from curate.engine.stage_three import list_rest
from curate.engine.training_round import check_segmenter
from curate.errors import SourceError
from curate.store.audit_files import write_json, writing
from curate.store.engine_folder import DOUBT, NAMES, PREFILL, START

if TYPE_CHECKING:
    from curate.engine.rounds import EngineRounds, RunSettings

UNSURE = "unsure"
"""The rule that looks at images with the segmenter."""

LOOKED_AT = 5
"""Images that are looked at for each one that a round takes, drawn by chance where more are left:
what they cost is bounded, and a fifth of them are those that the model is least sure of."""

SCHEMA_VERSION = 1


def asks_for_doubt(rounds: EngineRounds, record: RoundRecord) -> bool:
    """Return whether the segmenter looks at images before some of them are chosen.

    The first round is chosen by difference: an untrained segmenter is unsure of everything.

    Args:
        rounds: Of the engine.
        record: Of the round.
    """
    is_later = record.stage in (1, 2) and record.number > 1 and record.wants_images
    return is_later and rounds.settings.image_rule == UNSURE and record.segmenter is not None


def write_round_images(
    rounds: EngineRounds, folder: Path, record: RoundRecord, run: RunSettings
) -> None:
    """Do the step of a round that chooses its images: write its ``images.txt``, once.

    The images that were passed over are noted before: with that file they would not be again.

    Args:
        rounds: Of the engine.
        folder: The round's folder.
        record: Its record.
        run: Of this run.

    Raises:
        SourceError: None of the pictures that are left is as it was.
    """
    if (folder / NAMES).is_file():
        return  # a run was killed behind it
    if record.number == 0:
        ids = _list_validation(rounds, folder)
    elif not record.wants_images:
        ids = []
    elif record.replaces is not None:
        tries = (one for one, _ in rounds.list_tries(record) if (one / NAMES).is_file())
        ids = [one.image_id for one in rounds.list_round(next(tries))]
    elif record.stage == 3:
        ids = list_rest(rounds, record)
    else:
        ids = choose_round_images(rounds, folder, record, run)
    record.write(folder)
    with writing(folder / NAMES) as temporary:
        files.write_text(temporary, names_of(list_images(rounds.images, ids)))


def _list_validation(rounds: EngineRounds, folder: Path) -> list[int]:
    """Return the validation images that had no masks before the engine."""
    start = folder / START / NAMES
    have = set(start.read_text(encoding="utf-8").splitlines()) if start.is_file() else ()
    rows = rounds.images[rounds.images["role"] == "validation"]
    rows = rows[~rows["file_name"].isin(have)]
    refuse_changed(rounds.pictures, rows, "of the validation set")
    return rows["image_id"].tolist()


def choose_round_images(
    rounds: EngineRounds, folder: Path, record: RoundRecord, run: RunSettings
) -> list[int]:
    """Choose the images of a round of the first two stages; those passed over are noted in it.

    Args:
        rounds: Of the engine.
        folder: The round's folder.
        record: Its record.
        run: Of this run.

    Returns:
        Their ids, ascending.

    Raises:
        SourceError: None of the pictures that are left is as it was.
    """
    settings, unsureness = rounds.settings, None
    rule = settings.image_rule
    if asks_for_doubt(rounds, record):
        unsureness = look_for_doubt(rounds, folder, record, run)
    elif rule == UNSURE:
        rule = "diverse"
    looks = None if rule == "random" else rounds.find_looks(run)
    choice = ChoiceSettings(rule, looks, settings.seed, record.number, unsureness)
    ids, record.passed_over = take_images(
        rounds.pictures, rounds.images, rounds.taken, settings.round_images, choice
    )
    if not ids:
        some = count_noun(len(record.passed_over), "picture that is left", "pictures left")
        first = record.passed_over[0]
        what = f"none of the {some} is as it was: {first['file_name']} {first['reason']}"
        do = "put them back as they were, and run the same command again"
        raise SourceError(what, str(rounds.pictures), do)
    return ids


def look_for_doubt(
    rounds: EngineRounds, folder: Path, record: RoundRecord, run: RunSettings
) -> pd.Series[float]:
    """Propose masks for some of the images that are left, and say how unsure they are.

    The proposals are made as those of the round are, with its cuts; those of images that are then
    chosen are not made again.

    Args:
        rounds: Of the engine.
        folder: The round's folder; ``doubt.json`` is written there, once.
        record: Its record.
        run: Of this run.

    Returns:
        Index ``image_id``, of the images that were looked at; as
        :func:`curate.engine.image_choice.measure_unsureness` returns it.

    Raises:
        AuditError: The segmenter's files have changed, or the file is damaged.
    """
    images = rounds.images
    left = images[(images["role"] == POOL) & ~images["file_name"].isin(rounds.taken)]
    if not (folder / DOUBT).is_file():
        ids = _draw(left["image_id"].to_numpy(np.int64), rounds, record)
        changed = find_changed(rounds.pictures, left[left["image_id"].isin(ids)])
        _look(rounds, folder, record, [one for one in ids if one not in changed], run)
    found = cast(Any, read_record(folder / DOUBT, "a round's", "curate engine next"))
    frame = pd.DataFrame(found["images"], columns=["image_id", "file_name", "unsureness"])
    frame = frame.astype({"image_id": "int64", "unsureness": "float64"}).set_index("image_id")
    doubt: DoubtRecord = {
        "looked_at": len(frame),
        "left": len(left),
        "without": int(frame["unsureness"].isna().sum()),
    }
    record.doubt = doubt
    return cast("pd.Series[float]", frame["unsureness"])


def _draw(ids: np.ndarray, rounds: EngineRounds, record: RoundRecord) -> list[int]:
    """Return the images that are looked at, by chance; ascending."""
    random = np.random.default_rng([rounds.settings.seed, record.number, 12])
    most = LOOKED_AT * rounds.settings.round_images
    return sorted(random.permutation(np.sort(ids))[:most].tolist())


def _look(
    rounds: EngineRounds, folder: Path, record: RoundRecord, ids: list[int], run: RunSettings
) -> None:
    """Look at images, and write ``doubt.json``: how unsure the segmenter is of each."""
    listed, proposals = list_images(rounds.images, ids), no_masks()
    assert record.segmenter is not None  # else nobody asks for it
    if ids:
        generated = (folder / PREFILL if record.stage == 2 else folder) / GENERATED
        files.mkdir(generated.parent, parents=True, exist_ok=True)
        generate_masks(
            generated,
            rounds.pictures,
            listed,
            segmenter=check_segmenter(record.segmenter, rounds.project),
            recipe=with_cuts(recipe_of(record), record.cuts),
            device=run.device,
            progress=run.progress,
        )
        proposals = read_generated(generated, listed)
    doubt = measure_unsureness(proposals, np.array(ids, np.int64))
    rows = pd.DataFrame({"image_id": ids, "file_name": [one.file_name for one in listed]})
    rows["unsureness"] = doubt.to_numpy()
    content = {"schema_version": SCHEMA_VERSION, "images": records(rows)}
    write_json(folder / DOUBT, content)


def describe_doubt(record: DoubtRecord) -> str:
    """Return by what the images of a round were chosen, as a sentence."""
    some = count_noun(record["looked_at"], "image")
    without = f"; of {record['without']:,} it proposes no mask" if record["without"] else ""
    return (
        "images are those that the segmenter is unsure of and that are unlike each other, of "
        f"{some} that it looked at, drawn by chance from {record['left']:,} left{without}"
    )
