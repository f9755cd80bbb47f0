"""Detector of a round of stage 2: class-agnostic, trained on all masks that people made so far."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from curate.api.auditing import audit as make_audit
from curate.common.progress import Progress
from curate.dataset.notes import count_noun
from curate.engine.coco_writing import ListedImage, write_coco
from curate.engine.settings import RoundDetector
from curate.errors import AuditError, CallError
from curate.networks.detectors.train_on_audit import MIN_IMAGES, train_detector
from curate.networks.runtime.hub import model_fingerprint
from curate.networks.runtime.trained_folder import RECORD
from curate.policy.policy import Policy
from curate.store.engine_folder import DETECTOR, MASKS, PREFILL

ACCEPT_ALL = Policy.from_dict(
    {
        "name": "masks of people",
        "description": "Accepts every mask: people made or accepted them all.",
        "rule": [],
    }
)
"""Policy of the audit that a detector is trained on."""

OBJECT = "object"
"""The one class of a detector that is class-agnostic."""

MASKS_AUDIT = "masks-audit"
"""Folder of that audit, beside its masks."""


def train_round_detector(
    folder: Path,
    pictures: Path,
    images: Sequence[ListedImage],
    masks: pd.DataFrame,
    settings: RoundDetector,
    *,
    seed: int,
    device: str | None,
    progress: Progress | None,
) -> str:
    """Train the detector of a round, ``detector/``; go on with a training that was killed.

    Args:
        folder: The round's folder.
        pictures: Folder of the pictures.
        images: The images with masks.
        masks: All masks of the rounds before, with
            :data:`curate.engine.coco_writing.MASK_COLUMNS`.
        settings: How it is trained, and from which weights.
        seed: Of what is drawn by chance.
        device: Where it is trained.
        progress: Called with progress.

    Returns:
        Why none can be trained, as a clause; "" where it was.
    """
    out, place = folder / DETECTOR, folder / PREFILL
    if (out / RECORD).is_file():
        return ""
    if len(images) < MIN_IMAGES:
        some = count_noun(len(images), "image")
        return f"{some} with masks are too few to train a detector; {MIN_IMAGES} are needed"
    if not (place / MASKS).is_file():
        write_coco(place / MASKS, images, masks.assign(category=OBJECT), (OBJECT,))
    audited = make_audit(
        place / MASKS,
        place / MASKS_AUDIT,
        format="coco",
        images=pictures,
        policy=ACCEPT_ALL,
        progress=progress,
    )
    try:
        train_detector(
            audited.path,
            out,
            start=settings.start,
            size=settings.size,
            epochs=settings.epochs,
            seed=seed,
            images=pictures,
            device=device,
            progress=progress,
        )
    except CallError as error:  # pictures of equal pixels count once, so these can be too few too
        return f"no detector can be trained: {error.what}"
    return ""


def check_detector(folder: Path, fingerprint: str | None) -> Path:
    """Check that the detector of a round is what it was when it was trained; return its folder.

    Args:
        folder: The round's folder.
        fingerprint: Of the detector.

    Raises:
        AuditError: Its files have changed, or are gone.
    """
    out = folder / DETECTOR
    if not out.is_dir() or model_fingerprint(out) != fingerprint:
        what = "the detector's files are not what they were when it was trained"
        raise AuditError(what, str(out), "restore them from a copy")
    return out
