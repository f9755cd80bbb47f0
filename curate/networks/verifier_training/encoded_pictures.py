"""Features of an image encoder for a verifier: computed once a picture, and measured for worth."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from curate.common.arrays import Float32Array, FloatArray
from curate.common.progress import Progress
from curate.dataset.notes import count_noun
from curate.errors import CallError
from curate.networks.encoders.grid_encoders import GridEncoder, PictureGrids
from curate.networks.verifier_training.training_examples import VerifierObject
from curate.networks.verifier_training.verifier_fitting import VerifierTrial
from curate.networks.verifier_training.verifier_record import VerifierEncoderRecord
from curate.networks.verifiers.verifier_network import FeatureStatistics
from curate.quality.metrics import interval_by_groups, share_in_order

DRAWS = 400
"""Resampled sets of images for the interval of what an encoder adds."""

TRAINING_BYTES = 500_000_000
"""Bytes of grids that are held in memory during a training, whose masks come in any order."""

_LEAST_DEVIATION = 1e-6


@dataclass(frozen=True)
class EncodedPictures:
    """The features of all pictures that are trained on, on disk.

    Attributes:
        grids: Gives them.
        object_side: Side of the typical object as a square, in pixels of the pictures.
        moments: By position of the image the mean of each feature, and of its square, over the
            picture; shape (2, channels).
    """

    grids: PictureGrids
    object_side: float
    moments: Mapping[int, FloatArray]

    @property
    def encoder(self) -> GridEncoder:
        """The model."""
        return self.grids.encoder

    def statistics(self, images: Collection[int]) -> FeatureStatistics:
        """Return mean and deviation of the features over some images, all counting the same."""
        mean, square = np.mean([self.moments[k] for k in sorted(images)], axis=0)
        deviation = np.sqrt(np.maximum(square - mean**2, 0))
        floor = max(_LEAST_DEVIATION, 1e-3 * float(deviation.max()))
        return FeatureStatistics(_float32(mean), _float32(np.maximum(deviation, floor)))


def _float32(values: FloatArray) -> Float32Array:
    return np.asarray(values, np.float32)


def encode_pictures(
    encoder: GridEncoder,
    objects: Sequence[VerifierObject],
    object_side: float,
    progress: Progress | None = None,
) -> EncodedPictures:
    """Compute the features of the pictures of masks, where the cache lacks them.

    What was computed before a kill is found again.

    Args:
        encoder: The model.
        objects: The masks.
        object_side: Side of the typical object as a square, in pixels.
        progress: Called with progress.

    Raises:
        CallError: They would not all stay in the cache, and would be computed again and again.
        SourceError: The encoder fails on a picture.
    """
    pictures = {one.image: one.picture for one in objects}
    seeing = encoder.at_scale(object_side)
    size = sum(seeing.kept_bytes((one.height, one.width)) for one in pictures.values())
    if size > seeing.limit_bytes:
        what = (
            f"the encoder's features of {count_noun(len(pictures), 'picture')} take "
            f"{size / 1e9:.2g} GB, the cache keeps {seeing.limit_bytes / 1e9:.2g}"
        )
        do = "raise CURATE_CACHE_GB, or give a smaller encoder or fewer images"
        raise CallError(what, encoder.name, do)
    grids = PictureGrids(seeing, TRAINING_BYTES)
    moments: dict[int, FloatArray] = {}
    for image, picture in pictures.items():
        values = grids.of(np.asarray(picture)).on_picture().astype(np.float64)
        moments[image] = np.stack([values.mean((1, 2)), (values**2).mean((1, 2))])
        if progress:
            progress("encoding pictures", len(moments), len(pictures), 0)
    return EncodedPictures(grids, object_side, moments)


def measure_encoder(
    encoded: EncodedPictures, trials: Sequence[VerifierTrial], seed: int
) -> VerifierEncoderRecord:
    """Measure the gain by an encoder's features on held-out images, and whether they are used.

    Args:
        encoded: The features.
        trials: Of each network, with those without the features.
        seed: Of the resampled images.
    """
    bare = [one.unaided for one in trials if one.unaided is not None]
    images = np.concatenate([one.image for one in trials])
    groups = np.unique(images, return_inverse=True)[1]

    def gain(counts: FloatArray) -> float:
        return _mean_auc(trials, counts) - _mean_auc(bare, counts)

    whole = np.ones(len(images))
    low = high = float("nan")
    if len(images):
        low, high = interval_by_groups(groups, seed, gain, DRAWS)
    used = low > 0
    encoder, known = encoded.encoder, np.isfinite([low, high]).all()
    return {
        "name": encoder.name,
        "fingerprint": encoder.fingerprint,
        "channels": encoder.channels,
        "object_side": encoded.object_side,
        "pictures": len(encoded.moments),
        "auc_with": _number(_mean_auc(trials, whole)),
        "auc_without": _number(_mean_auc(bare, whole)),
        "gain": [low, gain(whole), high] if known else None,
        "used": bool(used),
        "why_not": "" if used else "luck may explain the gain",
    }


def _mean_auc(trials: Sequence[VerifierTrial], counts: FloatArray) -> float:
    """Return the mean AUC over kinds of error, of each the mean over networks; NaN for none.

    Args:
        trials: Of each network.
        counts: How often each of their masks counts, one after the other.
    """
    by_kind: dict[int, list[float]] = {}
    first = 0
    for trial in trials:
        weights = counts[first : first + len(trial.good)]
        first += len(trial.good)
        for kind in np.unique(trial.kind[trial.kind > 0]).tolist():
            rows = (trial.kind == 0) | (trial.kind == kind)
            bad = trial.kind[rows] == kind
            found = share_in_order(trial.good[rows], bad, weights[rows])
            by_kind.setdefault(kind, []).append(found)
    known = [[one for one in some if not np.isnan(one)] for some in by_kind.values()]
    means = [float(np.mean(some)) for some in known if some]
    return float(np.mean(means)) if means else float("nan")


def _number(value: float) -> float | None:
    return None if np.isnan(value) else value
