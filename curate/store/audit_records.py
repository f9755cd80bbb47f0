"""Records of ``audit.json``: the keys of its nested objects, and the types of their values.

They are JSON as it stands in the file, so what a newer curate adds to a record is kept when the
file is written again. :mod:`curate.store.audit_shape` checks values against these types: a key is
required unless it is marked ``NotRequired``, ``float`` stands for any number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NotRequired, TypedDict, final

from curate.common.json_values import JsonObject


@final
class Empty(TypedDict):
    """An object without any key, in the place of a record of what is not there."""


class SourceRecord(TypedDict, total=False):
    """The source of an audit: its absolute path, format and the fingerprint of its content."""

    path: str
    format: str
    fingerprint: str


class AuditIdentity(TypedDict):
    """What must be equal for an interrupted audit to be continued; inputs by fingerprint."""

    source: SourceRecord
    inputs: Mapping[str, str]
    settings: JsonObject
    version: str


class ModelRecord(TypedDict):
    """A network that scored masks: its name, the hash of its weights, and where it ran.

    Of a verifier ``held_out_auc`` says how well it told masks from corruptions of them, and
    ``weight``, in [0, 1], how far its score therefore counts in ``quality_score``;
    ``missing_masks_auc`` how well it told images with one mask dropped from whole ones, and
    ``proposes_masks`` whether it is therefore asked for objects without a mask; ``encoder`` names
    the image encoder whose features it looks at, where it uses one.
    """

    name: str
    fingerprint: NotRequired[str]
    device: str
    precision: str
    held_out_auc: NotRequired[float | None]
    weight: NotRequired[float]
    missing_masks_auc: NotRequired[float | None]
    proposes_masks: NotRequired[bool]
    encoder: NotRequired[str]


class SignalRecord(TypedDict):
    """A scorer: the columns it gives, and whether it could run; ``why`` not, "" where it could."""

    name: str
    columns: list[str]
    available: bool
    why: str


class CountRecord(TypedDict):
    """A number of things, and the names of the first few."""

    count: int
    examples: list[str]


class JoinRecord(TypedDict):
    """The join of an input with the images.

    ``things`` are the input's images or files, of which ``joined`` were joined, so many by each of
    ``keys``; ``not_joined`` counts the others by reason; ``are`` says where pictures of the
    dataset's own lie.
    """

    things: int
    images: int
    joined: int
    keys: dict[str, int]
    not_joined: NotRequired[dict[str, CountRecord]]
    images_without: NotRequired[CountRecord]
    are: NotRequired[str]


class TailReference(TypedDict):
    """The lower tail of a signal's values: points, and the share of masks at or below each.

    ``usual`` and ``median`` are the values at a tenth and at half of the masks, ``flawed`` is the
    share of masks under 1. ``weight``, in [0, 1], says how far the signal counts, 1 where it is not
    there. The others describe a signal of another package, as its
    :class:`~curate.scorers.scorer.Column` does.
    """

    value: list[float]
    share: list[float]
    usual: float
    median: float
    flawed: NotRequired[float]
    evidence: NotRequired[
        Literal["", "contradiction", "form", "annotation", "judgement", "category"]
    ]
    count: NotRequired[str]
    best: NotRequired[float]
    worst: NotRequired[float]
    weight: NotRequired[float]


class Quantiles(TypedDict):
    """Quantiles at evenly spaced shares from 0 to 1; empty where no mask has a quality."""

    values: list[float]


class ShapeReference(TypedDict):
    """Median and scale of the logarithm of each shape feature, over all masks and by category."""

    features: list[str]
    median: list[float | None]
    scale: list[float | None]
    category: list[str | None]
    category_median: list[list[float | None]]
    category_scale: list[list[float | None]]


class HabitRecord(TypedDict, total=False):
    """A habit of a file's stored boxes or areas, see :mod:`curate.scorers.declaration`."""

    kind: str
    text: str
    value: float
    off: list[float]


class CategoryFold(TypedDict):
    """A classifier of categories that was not shown the images of its fold.

    Attributes:
        known: Places of the categories that it knows.
        weights: float16, shape (known, features), base64.
        bias: One a known category.
        shares: Of the masks that were trained on, the share of each known category.
    """

    known: list[int]
    weights: str
    bias: list[float]
    shares: NotRequired[list[float]]


class CategoryWorth(TypedDict):
    """What was measured of classifiers of categories on images that they had not seen.

    Attributes:
        masks: How many were judged.
        accuracy: Share whose most probable category is the given one.
        most_frequent: Share that has the most frequent category: the accuracy of a guess.
        auc: Chance that a given category scores higher than one drawn at random.
        weight: How far ``category_score`` counts in ``quality_score``, in [0, 1].
        calibration_error: Mean distance of the top probability from how often it was right.
        calibration_error_before: The same of probabilities that are not calibrated.
        suggestions_right: Share of the suggested categories that are right where 5% of the masks
            have a wrong one, as far as can be known.
    """

    masks: int
    accuracy: float | None
    most_frequent: float | None
    auc: float | None
    weight: float
    calibration_error: NotRequired[float | None]
    calibration_error_before: NotRequired[float | None]
    suggestions_right: NotRequired[float]


class CategoryReference(TypedDict):
    """Classifiers of categories, one a fold of images; see :mod:`curate.scorers.category`.

    Attributes:
        categories: Names.
        features: Numbers of a mask.
        salt: By which images are dealt into folds.
        folds: The classifiers.
        temperature: What their logits are divided by.
        usual: Share of a probability that is the category's among the masks trained on.
        held_out: What was measured of them.
        least_suggested: Probability from which on a category is suggested; None for never.
        copies: For each near-duplicate image the one that it is dealt with.
    """

    categories: list[str]
    features: int
    salt: int
    folds: list[CategoryFold]
    temperature: NotRequired[float]
    usual: NotRequired[float]
    held_out: NotRequired[CategoryWorth]
    least_suggested: float | None
    copies: NotRequired[dict[str, int]]


class References(TypedDict):
    """What is usual in the dataset: of each scorer with a second step by its name, and of quality.

    Scorers of plug-ins have keys of their own here.
    """

    declaration: NotRequired[Mapping[str, JsonObject | None]]
    shape: NotRequired[ShapeReference | Empty]
    category: NotRequired[CategoryReference | Empty]
    quality: dict[str, TailReference]
    quality_quantiles: Quantiles
    category_names: NotRequired[dict[str, str]]


class CountsRecord(TypedDict):
    """How many masks and images there are, and of the masks how many of each action and status."""

    masks: int
    images: int
    actions: dict[str, int]
    status: dict[str, int]
    image_status: NotRequired[dict[str, int]]


class CurveRecord(TypedDict, total=False):
    """Stability by the offset of the threshold: mean and tenth percentiles over the masks."""

    kind: str
    offsets: Sequence[float | None]
    masks: Sequence[int]
    mean: Sequence[float | None]
    p10: Sequence[float | None]
    p90: Sequence[float | None]


class SilentRule(TypedDict):
    """A rule that cannot apply, because the audit lacks columns."""

    rule: int
    when: str
    lacks: list[str]


class PeopleRecord(TypedDict, total=False):
    """Settings for reading people's decisions, see :mod:`curate.people.reviews.review_settings`."""

    rule: str
    good_iou: float | None
    tags: list[str]


class JudgeRecord(TypedDict):
    """The judge whose answers stand in the plan, and a digest of these.

    ``judge`` tells judges apart, ``name`` is for people; ``masks`` counts the masks with an answer.
    """

    judge: str
    name: str
    masks: int
    answers: str


class QualityModelRecord(TypedDict):
    """The quality model in force: its file and checksum, and the quantiles of its probabilities.

    ``outcome`` is that of learning, ``asked`` a hash of all that it was learned from.
    """

    file: str
    sha256: str
    outcome: str
    asked: NotRequired[str]
    quality_quantiles: Quantiles


class ReviewsRecord(TypedDict):
    """The reviews that a model was learned from: masks, bad ones of these, and their images."""

    masks: int
    bad: int
    images: int


class FitRecord(TypedDict):
    """How well a model predicts reviews of images that it was not learned from."""

    log_loss: float
    average_precision: float
    calibration_error: float


class ReliabilityRecord(TypedDict, total=False):
    """A reliability diagram by columns, an item a bin; see :func:`curate.quality.metrics`."""

    low: list[float]
    high: list[float]
    predicted: list[float]
    good: list[float]
    masks: list[int]
    weight: list[float]


class ImportanceRecord(TypedDict):
    """A column of the quality model, and its share of what moves the masks' probabilities."""

    column: str
    title: str
    share: float


class StartRecord(TypedDict):
    """A model to start from: whether it helped on so many ``reviews`` that it had not seen."""

    name: str
    reviews: int
    helped: bool
    log_loss: NotRequired[float]
    without: NotRequired[float]
    why: str


class JudgeTrialRecord(TypedDict):
    """A judge whose score a model could learn from: whether it helped on images not learned from.

    ``reviews`` counts the reviewed masks that it has answered about. ``gain`` (of log loss) and
    ``order`` (the share of pairs of a bad and a good mask that its score orders rightly) are lower
    end of the 95% interval, value and upper end.
    """

    name: str
    reviews: int
    helped: bool
    log_loss: NotRequired[float]
    without: NotRequired[float]
    gain: NotRequired[list[float]]
    order: NotRequired[list[float]]
    why: str


class SampleCheckRecord(TypedDict):
    """The finished model on the reviewed random sample; no precision where none of it is bad."""

    masks: int
    bad: int
    average_precision: float | None
    calibration_error: float
    reliability: ReliabilityRecord


class MetricsRecord(TypedDict):
    """Metrics of a learned quality model.

    ``left_out`` counts reviews that were not learned from, by reason; ``extrapolated`` is the share
    of the dataset that is less prominent than what people saw; ``start``, ``judge`` and ``check``
    are empty where there is no model to start from, no judge, or no random sample.
    """

    reviews: ReviewsRecord
    left_out: dict[str, int]
    label_free: FitRecord
    model: FitRecord
    experts: list[str]
    reliability: ReliabilityRecord
    importance: list[ImportanceRecord]
    start: StartRecord | Empty
    judge: NotRequired[JudgeTrialRecord | Empty]
    extrapolated: float
    check: SampleCheckRecord | Empty


class LearningRecord(MetricsRecord):
    """What came of learning: "learned", "calibrated" or "kept", and why."""

    outcome: str
    why: str
    seed: int
    seconds: float


class ContinuedLearning(LearningRecord):
    """The learning that gave the model in force, and a later one that left it in force."""

    later: LearningRecord


class TestedThreshold(TypedDict):
    """One threshold that was tested for a certificate, see :class:`Certificate`."""

    threshold: float
    accepted: int
    share: float
    bad_share: float | None
    p_value: float | None
    level: float
    certified: bool


class CertificateBasis(TypedDict, total=False):
    """Fingerprints of what a certificate depends on: policy, quality model, dataset."""

    policy: str
    model: str | None
    version: str | None
    masks: int | None


class CertificateTerms(TypedDict):
    """The bound of a certificate: a share of bad masks in [0, 1], and its confidence."""

    max_bad: float
    confidence: float


class VoidCertificate(CertificateTerms):
    """A certificate that does not hold any more: its other keys, and the reason as a clause."""

    void_because: str


class CertificateRecord(CertificateTerms):
    """A certificate, see :class:`curate.people.guarantees.certify.Certificate`.

    ``share_after_more`` is the share of the masks that is expected to be certified after so many
    more reviews, ``basis`` what it depends on.
    """

    threshold: float | None
    accepted: int
    share: float
    reviewed: int
    bad_found: int
    bad_share: float | None
    reviews_for_next: int | None
    reviews_needed: int | None
    test: str
    tested: list[TestedThreshold]
    notes: list[str]
    share_after_more: NotRequired[float]
    basis: NotRequired[CertificateBasis]


class IntervalRecord(TypedDict):
    """One estimate, see :class:`curate.people.guarantees.estimate.Interval`."""

    name: str
    value_low: float
    value_high: float
    low: float
    high: float
    method: str
    width_reviews: float | None
    width_predicted: float | None
    unknown: int


class EstimateRecord(TypedDict):
    """Estimates of the dataset's quality, see :class:`curate.people.guarantees.estimate.Estimate`.

    ``zero_failures`` has shares as text for keys.
    """

    confidence: float
    masks: int
    reviewed: int
    unit: str
    intervals: dict[str, IntervalRecord]
    zero_failures: dict[str, int]
    notes: list[str]
