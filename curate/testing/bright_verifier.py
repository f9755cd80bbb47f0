"""Verifier without a network: it compares a mask with the bright body that it covers most of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from curate.common.arrays import ByteArray
from curate.networks.verifiers.unmasked_objects import UnmaskedObjects
from curate.networks.verifiers.verifier import Judgements
from curate.rle import Runs, concat, decode_counts, from_dense, to_dense

LEVEL = 120


@dataclass(frozen=True)
class BrightVerifier:
    """Bodies are connected pixels over 120; P(good) and the predicted IoU are the IoU with one.

    Attributes:
        name: As of any verifier.
        fingerprint: Likewise.
        device: Likewise.
        precision: Likewise.
        kinds: Too large where a mask has more pixels than its body, else too small.
    """

    name: str = "bright"
    fingerprint: str = "fedcba9876543210"
    device: str = "cpu"
    precision: str = "float32"
    kinds: tuple[str, ...] = ("too large", "too small")

    def judge(
        self, picture: ByteArray, runs: Runs, categories: Sequence[object] | None = None
    ) -> Judgements:
        """Return the IoU of each mask with the body that it has most pixels of."""
        del categories
        bodies, _ = ndimage.label(picture.mean(axis=2) > LEVEL)
        iou, kind = np.full(len(runs), np.nan), np.full(len(runs), -1, np.int64)
        for k in range(len(runs)):
            mask = to_dense(runs, k)
            if not mask.any():
                continue
            shared = np.bincount(bodies[mask], minlength=2)
            shared[0] = 0
            body = bodies == max(1, int(shared.argmax()))
            iou[k] = (mask & body).sum() / (mask | body).sum()
            kind[k] = int(mask.sum() <= body.sum())
        return Judgements(iou, iou, kind)

    def judge_changed(
        self,
        picture: ByteArray,
        runs: Runs,
        which: int,
        changed: Runs,
        category: object = None,
    ) -> Judgements:
        """Return the IoU of each changed mask with the body that it has most pixels of."""
        del runs, which, category
        return self.judge(picture, changed)

    def find_unmasked(self, picture: ByteArray, runs: Runs) -> UnmaskedObjects | None:
        """Return the bodies that no mask touches, the largest first, as sure as they are bright."""
        bodies, count = ndimage.label(picture.mean(axis=2) > LEVEL)
        covered = np.zeros(bodies.shape, np.bool_)
        for k in range(len(runs)):
            covered |= to_dense(runs, k)
        left = sorted(set(range(1, count + 1)) - set(np.unique(bodies[covered]).tolist()))
        sizes = [int((bodies == body).sum()) for body in left]
        order = np.argsort(-np.array(sizes), kind="stable").tolist() if left else []
        drawn = [from_dense(bodies == left[k]) for k in order]
        sure = [float(picture[bodies == left[k]].mean()) / 255 for k in order]
        masks = concat(drawn) if drawn else decode_counts([], [], [])[0]
        return UnmaskedObjects(masks, np.array(sure, np.float64), max(sure, default=0.0))
