"""``training.json`` of a trained verifier: provenance, settings, history, trial."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from curate.common.json_values import JsonObject
from curate.networks.segmenter_training.segmenter_record import TrainingDataset


class VerifierTrialRecord(TypedDict):
    """Worth of a verifier on masks of images that its networks were not trained on.

    ``auc`` is by kind of error the chance that a mask of the dataset gets a higher P(good) than one
    that was made wrong in this way, None where none could be made; ``iou_correlation`` is Pearson's
    r of the predicted with the true IoU; ``kind_accuracy`` the share of wrong masks of which the
    kind is the most probable one; ``kind_precision`` by kind the share of the masks named after it,
    of all that are taken for wrong, that have it, None where too few were named so.
    """

    masks: int
    corrupted: int
    auc: dict[str, float | None]
    mean_auc: float | None
    iou_correlation: float | None
    kind_accuracy: float | None
    kind_precision: dict[str, float | None]


class VerifierCounts(TypedDict):
    """Images and masks that were trained on.

    ``small_masks`` are too small to be trained on, ``images_beyond_memory`` were not trained on
    since what is held in memory is limited. Such masks are judged, too.
    """

    images: int
    masks: int
    small_masks: int
    images_beyond_memory: int


class DecisionTuningRecord(TypedDict):
    """What people's decisions added to a verifier, on images that no network was tuned on.

    ``auc_before`` and ``auc_after`` are the share of pairs of a bad and a good mask in which the
    bad one has the lower P(good); ``gain`` is their difference with its interval of 95% by image:
    lower end, value, upper end. ``corrupted_auc_before`` and ``corrupted_auc_after`` are the mean
    AUC on corruptions. All are None where nothing was tuned. ``used`` says whether the networks are
    the tuned ones, ``why_not`` why they are not.
    """

    masks: int
    bad: int
    auc_before: float | None
    auc_after: float | None
    gain: list[float] | None
    corrupted_auc_before: float | None
    corrupted_auc_after: float | None
    used: bool
    why_not: str


class VerifierEncoderRecord(TypedDict):
    """What the features of an image encoder added to a verifier, on held-out images.

    ``name`` is an absolute path or a hub name, ``fingerprint`` a hash of its files; it gives
    ``channels`` numbers a place, and ``object_side`` is the side of the typical object as a square,
    in pixels, which says how fine its grid is. ``auc_with`` and ``auc_without`` are the mean AUC on
    corruptions with the features of ``pictures`` pictures and with them left out, ``gain`` their
    difference with its interval of 95% by image: lower end, value, upper end; None where nothing
    was tried. ``used`` says whether the networks judge with them, ``why_not`` why they do not.
    """

    name: str
    fingerprint: str
    channels: int
    object_side: float
    pictures: int
    auc_with: float | None
    auc_without: float | None
    gain: list[float] | None
    used: bool
    why_not: str


class ExhaustivityRecord(TypedDict):
    """Worth of what a verifier says of objects without a mask, and the training of its networks.

    Measured on ``images`` held-out images, whole and with one mask dropped, ``drops`` times.
    ``images_auc`` is the chance that an image with a dropped mask gets a higher probability of
    having an unmasked object than a whole one, ``images_auc_low`` the lower end of its interval of
    90%, None where too few dropped masks were found to learn from. ``found`` is the share of the
    dropped masks that are among an image's proposals with an IoU of 0.5 or more, ``found_first``
    that of those which are the first one. ``steps`` of each network were done of those planned.
    """

    images: int
    drops: int
    images_auc: float | None
    images_auc_low: float | None
    found: float | None
    found_first: float | None
    rounds: list[int]
    steps: list[int]
    steps_planned: list[int]


class VerifierTrainingRecord(TypedDict):
    """The content of ``training.json``.

    ``decisions`` is what people's decisions added, None where there were none; ``exhaustivity`` is
    of the networks that see objects without a mask, which a verifier of before there were any
    lacks. ``encoder`` is only there where an image encoder was given.

    ``minutes`` is the time limit, None for none. Of each network ``steps`` were done of those
    planned, in ``rounds`` of 25; ``history`` has a row a round, by network.
    """

    tool: str
    tool_version: str
    identity: str
    datasets: list[TrainingDataset]
    settings: JsonObject
    minutes: float | None
    device: str
    held_out: VerifierTrialRecord
    decisions: NotRequired[DecisionTuningRecord | None]
    encoder: NotRequired[VerifierEncoderRecord]
    rounds: list[int]
    steps: list[int]
    steps_planned: list[int]
    stopped_early: bool
    history: dict[str, list[dict[str, float]]]
    exhaustivity: NotRequired[ExhaustivityRecord]
    counts: VerifierCounts
