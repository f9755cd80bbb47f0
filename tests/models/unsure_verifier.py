"""A verifier that corrections are not to be built on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from curate.common.arrays import ByteArray
from curate.networks.verifiers.verifier import Judgements
from curate.rle import Runs
from curate.testing.bright_verifier import BrightVerifier


@dataclass(frozen=True)
class UnsureVerifier(BrightVerifier):
    """It predicts no IoU well enough, or doubts whatever it sees.

    Attributes:
        doubt: What P(good) is multiplied by, and then the IoU is predicted as ever; None for a
            verifier that predicts no IoU.
    """

    doubt: float | None = None

    def judge(
        self, picture: ByteArray, runs: Runs, categories: Sequence[object] | None = None
    ) -> Judgements:
        """Judge as the bright verifier does, but without one of the two numbers to rely on."""
        found = super().judge(picture, runs, categories)
        if self.doubt is not None:
            return replace(found, good=found.good * self.doubt)
        return replace(found, iou=np.full(len(runs), np.nan))
