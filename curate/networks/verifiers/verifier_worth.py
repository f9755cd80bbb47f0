"""Worth of a verifier, as measured on held-out images: what of its judgement is used, and how far.

Own lines. A verifier that was trained for a minute orders masks hardly better than chance, and the
kinds of error that it names are guesses. So each of its answers is used only as far as it was right
about masks, and corruptions of them, of images that its networks were not trained on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

WEAK_AUC = 0.65
"""Mean AUC up to which a verifier's score does not count in ``quality_score``; chance is 0.5."""

FULL_AUC = 0.8
"""Mean AUC from which on it counts in full; in between it does so in proportion."""

RELIABLE_PRECISION = 0.5
"""Share of masks, of those named after a kind of error, that have it, for the kind to be told."""

RELIABLE_CORRELATION = 0.5
"""Correlation of the predicted with the true IoU from which on the former is told."""

LEAST_NAMED = 10
"""Held-out masks that are named after a kind for its precision to be known."""

DOUBTED = 0.5
"""P(good) under which a mask is taken for a wrong one, and gets a kind of error."""


@dataclass(frozen=True)
class VerifierWorth:
    """Worth of a verifier on held-out images.

    Attributes:
        mean_auc: Mean over the kinds of error of the chance that a mask of the dataset gets a
            higher P(good) than one made wrong in this way; None where it is not known.
        iou_correlation: Pearson's r of the predicted with the true IoU, or None.
        kind_precision: By kind the share of the doubted masks named after it that have it; None
            where fewer than :data:`LEAST_NAMED` were.
    """

    mean_auc: float | None
    iou_correlation: float | None
    kind_precision: Mapping[str, float | None]

    @property
    def weight(self) -> float:
        """How far its score counts in ``quality_score``, in [0, 1]."""
        if self.mean_auc is None:
            return 0.0
        share = (self.mean_auc - WEAK_AUC) / (FULL_AUC - WEAK_AUC)
        return round(min(1.0, max(0.0, share)), 3)

    @property
    def predicts_iou(self) -> bool:
        """Whether its predicted IoU is worth telling."""
        return self.iou_correlation is not None and self.iou_correlation >= RELIABLE_CORRELATION

    @property
    def named_kinds(self) -> tuple[str, ...]:
        """Kinds of error that it names rightly in at least half of all cases."""
        return tuple(
            kind
            for kind, share in self.kind_precision.items()
            if share is not None and share >= RELIABLE_PRECISION
        )

    def as_record(self) -> dict[str, object]:
        """Return it as JSON has it."""
        return {
            "mean_auc": self.mean_auc,
            "iou_correlation": self.iou_correlation,
            "kind_precision": dict(self.kind_precision),
        }

    @classmethod
    def from_record(cls, record: object) -> VerifierWorth:
        """Read what :meth:`as_record` gave.

        Raises:
            ValueError: It is something else.
        """
        if not isinstance(record, dict) or not isinstance(record.get("kind_precision"), dict):
            raise ValueError("what was measured of it is no object")
        shares = record["kind_precision"]
        return cls(
            _number(record.get("mean_auc")),
            _number(record.get("iou_correlation")),
            {str(kind): _number(share) for kind, share in shares.items()},
        )


def _number(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= 1:
        raise ValueError("what was measured of it is no number from -1 to 1")
    return float(value)
