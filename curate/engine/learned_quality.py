"""Quality of the masks of the automatic stage, learned from what people decided in the rounds.

The proposals of all rounds are audited as one, with the signals that the masks of this stage have
too, a model is learned there from people's decisions, and put in force in the stage's own audit.
The random sample is drawn afterwards, so nothing that is certified was learned from.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from curate.api.auditing import audit as make_audit
from curate.common import files
from curate.engine.coco_writing import MASK_COLUMNS, write_coco
from curate.engine.pictures import list_images
from curate.errors import CallError
from curate.formats.reading import read
from curate.people.learning import learn
from curate.people.learning.learn_result import KEPT, LearningResult
from curate.people.learning.model_adoption import adopt_model
from curate.people.learning.reviewed_masks import MIN_BAD, MIN_GOOD
from curate.people.reviews import has_reviews, open_reviews
from curate.people.reviews.current_plan import open_audit
from curate.people.reviews.review_settings import DecisionSettings
from curate.pipeline.deciding import finish_deciding
from curate.store.engine_folder import AUDIT, LEARNING, PROPOSALS

if TYPE_CHECKING:
    from curate.engine.rounds import EngineRounds, RunSettings


def learn_from_rounds(
    rounds: EngineRounds, folder: Path, detector: str | None, run: RunSettings
) -> str:
    """Learn from the decisions of all rounds, and rank the masks of the stage by it.

    Args:
        rounds: Of the engine.
        folder: The folder of the stage's round, with an audit.
        detector: The detector that the audit was made with; None for none.
        run: Of this run.

    Returns:
        Why the quality stays label-free, as a clause; "" where it is learned.
    """
    place = folder / LEARNING
    files.mkdir(place, exist_ok=True)
    files.remove_temporaries(place)  # of runs that were killed
    finish_deciding(folder / AUDIT)
    masks, labels = gather_decisions(rounds)
    if why := describe_too_few(labels):
        return why
    if not open_audit(folder / AUDIT).info.mask_count:
        return "there is no mask to rank"
    if not (place / PROPOSALS).is_file():
        images = list_images(rounds.images, sorted(set(masks["image_id"].tolist())))
        write_coco(place / PROPOSALS, images, masks, rounds.classes)
    finish_deciding(place / AUDIT)
    audited = make_audit(
        place / PROPOSALS,
        place / AUDIT,
        format="coco",
        images=rounds.pictures,
        detector=detector,
        device=run.device,
        trust_joins=True,
        progress=run.progress,
    )
    found = learn_or_explain(audited.path, labels, rounds, run)
    if isinstance(found, str):
        return found
    adopt_model(open_audit(folder / AUDIT), found.audit, run.progress)
    return ""


def learn_or_explain(
    audit: Path, labels: pd.DataFrame, rounds: EngineRounds, run: RunSettings
) -> LearningResult | str:
    """Learn the quality of an audit's masks; where no model is better than none, return why.

    Args:
        audit: The audit.
        labels: As :func:`curate.people.learning.learn` takes them.
        rounds: Of the engine.
        run: Of this run.
    """
    seed = rounds.settings.seed
    try:
        found = learn(open_audit(audit), labels, seed=seed, progress=run.progress)
    except CallError as error:  # too few images with bad masks, for example
        return error.what
    return str(found.record["why"]) if found.outcome == KEPT else found


def describe_too_few(labels: pd.DataFrame) -> str:
    """Return why nothing can be learned from labels of too few bad or good masks; "" where it can.

    Args:
        labels: Column ``good``.
    """
    bad = int((~labels["good"].astype(bool)).sum()) if len(labels) else 0
    if bad < MIN_BAD or len(labels) - bad < MIN_GOOD:
        return f"people found {bad:,} of {len(labels):,} proposals bad, too few of a kind to learn"
    return ""


def gather_decisions(
    rounds: EngineRounds, *, validation: bool = True
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the proposals of all rounds that people closed, numbered from 1, and their labels.

    Args:
        rounds: Of the engine.
        validation: Those of the validation images too.

    Returns:
        :data:`curate.engine.coco_writing.MASK_COLUMNS` of the masks, and the labels as
        :func:`curate.people.learning.learn` takes them, index: their numbers.
    """
    parts, labels, count = [], [], 0
    ids = rounds.images.set_index("file_name")["image_id"]
    for folder, record in zip(rounds.folders, rounds.records, strict=True):
        if record.people is None or record.stage == 3 or not (folder / AUDIT).is_dir():
            continue
        if not record.number and not validation:
            continue
        table = read(folder / PROPOSALS, "coco")
        masks = table.masks[table.masks["area_px"] > 0]
        audit = open_audit(folder / AUDIT)
        if not len(masks) or not has_reviews(audit):
            continue
        settings = DecisionSettings.of(audit.info)
        said = open_reviews(audit).resolve_labels(settings.rule, settings.good_iou)
        numbers = pd.Series(np.arange(count + 1, count + len(masks) + 1), masks.index)
        said = said[said.index.isin(numbers.index)]
        labels.append(said.set_index(pd.Index(numbers.loc[said.index], name="mask_id")))
        named = masks["image_id"].map(table.images["file_name"]).map(ids)
        masks = masks.assign(image_id=named.astype("int64"))
        for name in ("predicted_iou", "stability_score"):
            if name not in masks:
                masks[name] = np.nan
        parts.append(masks[list(MASK_COLUMNS)])
        count += len(masks)
    if not parts:
        return pd.DataFrame(columns=list(MASK_COLUMNS)), pd.DataFrame(columns=["good"])
    return pd.concat(parts, ignore_index=True), pd.concat(labels)
