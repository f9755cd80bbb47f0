"""Settings of a verifier's training, and its result: the verifier on disk, and its record."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path

from curate.common.ranges import check_numbers
from curate.common.readable_result import ReadableResult
from curate.dataset.notes import count_noun
from curate.errors import CallError
from curate.networks.verifier_training.exhaustivity_trial import LEAST_IMAGES
from curate.networks.verifier_training.verifier_record import (
    VerifierTrainingRecord,
    VerifierTrialRecord,
)
from curate.networks.verifiers.crops import LEAST_AREA
from curate.networks.verifiers.verifier_worth import FULL_AUC, WEAK_AUC, VerifierWorth


@dataclass(frozen=True)
class VerifierSettings:
    """Settings of a verifier's training; arguments of :func:`curate.train_verifier` all.

    Attributes:
        folds: Networks, each trained on all but its own share of the images.
        rounds: Rounds of training a network; by the number of masks if None.
        minutes: Time for all networks together, earlier runs included, or None.
        batch: Masks of the dataset a step.
        learning_rate: Highest of AdamW.
        seed: Of folds, order, corruptions and first weights.
        encoder: Path or hub name of an image encoder, or None.
    """

    folds: int = 3
    rounds: int | None = None
    minutes: float | None = None
    batch: int = 16
    learning_rate: float | None = None
    seed: int = 0
    encoder: str | None = None

    def __post_init__(self) -> None:
        check_numbers(**{name: value for name, value in vars(self).items() if name != "encoder"})
        if self.folds < 2:
            what = "with one network every mask would be judged by one that was trained on it"
            raise CallError(what, "--folds", "give 2 or more")

    def as_record(self) -> dict[str, object]:
        """Return them as JSON has them, but for the time limit, which may change.

        Without an encoder there is no key of it, as in trainings of before there was any.
        """
        left_out = {"minutes"} | ({"encoder"} if self.encoder is None else set())
        return {name: value for name, value in asdict(self).items() if name not in left_out}


@dataclass(frozen=True, repr=False)
class VerifierTraining(ReadableResult):
    """A trained verifier on disk.

    Attributes:
        path: Its folder; ``--verifier`` takes it.
        record: What stands in its ``training.json``.
    """

    path: Path
    record: VerifierTrainingRecord = field(repr=False)

    def as_dict(self) -> dict[str, object]:
        """Return the record without its history."""
        return {k: v for k, v in self.record.items() if k != "history"}

    def text(self) -> str:
        """Return the result as lines of text."""
        r, counts, tried = self.record, self.record["counts"], self.record["held_out"]
        folds = int(str(r["settings"]["folds"]))
        images = count_noun(counts["images"], "image")
        lines = [
            f"verifier in {self.path}: {folds} networks, trained on "
            f"{count_noun(counts['masks'], 'mask')} of {images}, on {r['device']}; each mask is "
            "judged by a network that was not trained on its image",
            f"on held-out images ({count_noun(tried['masks'], 'mask')}, "
            f"{tried['corrupted']:,} corrupted) AUC {_number(tried['mean_auc'])} in the mean, "
            f"predicted IoU with r {_number(tried['iou_correlation'])}",
        ]
        known = [f"{kind} {auc:.2f}" for kind, auc in tried["auc"].items() if auc is not None]
        if known:
            lines.append(f"AUC by kind of error: {', '.join(known)}")
        lines += self._describe_encoder()
        lines += self._describe_worth()
        lines += self._describe_decisions()
        lines += self._describe_exhaustivity()
        if r["stopped_early"]:
            least, most = min(r["steps"]), max(r["steps"])
            done = f"{most:,}" if least == most else f"{least:,} to {most:,}"
            lines.append(
                f"its time was over after {done} of {max(r['steps_planned']):,} steps a network; "
                "the same command with more --minutes, or without, trains on"
            )
        left_out = self._left_out()
        if left_out:
            lines.append(f"not trained on: {', '.join(left_out)}")
        return "\n".join(lines)

    @property
    def worth(self) -> VerifierWorth:
        """Its worth on held-out images."""
        return worth_of(self.record["held_out"])

    @property
    def sees_missing_masks(self) -> bool:
        """Whether it sees objects without a mask better than chance."""
        low = self.record.get("exhaustivity", {}).get("images_auc_low")
        return isinstance(low, float) and low > 0.5

    def _describe_encoder(self) -> list[str]:
        """Return a line that says what the features of an image encoder added."""
        found = self.record.get("encoder")
        if found is None:
            return []
        if found["gain"] is None:
            return [f"what the encoder {found['name']} adds was not measured: it is not used"]
        low, _, high = found["gain"]
        said = (
            f"with the features of the encoder {found['name']} the AUC is "
            f"{_number(found['auc_with'])}, without them {_number(found['auc_without'])} "
            f"(gain {low:+.3f} to {high:+.3f})"
        )
        if found["used"]:
            return [f"{said}: audits need the encoder, too, where it is now"]
        return [f"{said}: they are not used, since {found['why_not']}; audits do without it"]

    def _describe_worth(self) -> list[str]:
        """Return lines that say what an audit uses of its judgement."""
        worth, tried = self.worth, self.record["held_out"]
        told = ", ".join(worth.named_kinds)
        lines = []
        if tried["kind_accuracy"] is not None:
            lines.append(
                f"it names the kind of error of {tried['kind_accuracy']:.0%} of the corrupted "
                f"masks rightly (a guess among {len(tried['auc'])} kinds: "
                f"{1 / len(tried['auc']):.0%}); reasons name "
                + (f"the kinds that it tells well enough: {told}" if told else "no kind therefore")
            )
        if not worth.predicts_iou:
            lines.append("its predicted IoU says too little, and is left out of audits")
        auc = _number(worth.mean_auc)
        if not worth.weight:
            lines.append(
                f"it hardly tells wrong masks from right ones (AUC {auc}, chance is 0.50): up to "
                f"{WEAK_AUC:.2f} its score does not count in quality_score. Longer training "
                "(more --minutes, or none), or more masks, may help"
            )
        elif worth.weight < 1:
            lines.append(
                f"it is weak (AUC {auc}): its score counts for {worth.weight:.0%} in "
                f"quality_score, in full from {FULL_AUC:.2f} on. Longer training, or more masks, "
                "may help"
            )
        return lines

    def _describe_decisions(self) -> list[str]:
        """Return a line that says what people's decisions added."""
        found = self.record.get("decisions")
        if not found:
            return []
        said = f"people's decisions on {count_noun(found['masks'], 'mask')} ({found['bad']:,} bad)"
        if found["gain"] is None:
            return [f"{said} were not learned from: {found['why_not']}"]
        low, _, high = found["gain"]
        measured = (
            f"on images that a network was not tuned on, bad masks come before good ones with AUC "
            f"{_number(found['auc_after'])} instead of {_number(found['auc_before'])} "
            f"(gain {low:+.2f} to {high:+.2f})"
        )
        if found["used"]:
            return [f"{said} are learned from: {measured}"]
        return [f"{said} are not used: {measured}; {found['why_not']}"]

    def _describe_exhaustivity(self) -> list[str]:
        """Return a line that says what an audit learns of objects without a mask."""
        tried = self.record.get("exhaustivity")
        if tried is None:
            return []
        if tried["images_auc"] is None:
            return [
                "whether it sees objects without a mask was not measured: it was tried on "
                f"{count_noun(tried['images'], 'held-out image')}, and needs {LEAST_IMAGES} that "
                "have masks to drop, and the time for them. Audits propose no missing masks by it"
            ]
        auc = _number(tried["images_auc"])
        if not self.sees_missing_masks:
            return [
                "it does not see objects without a mask better than chance (AUC of held-out images "
                f"{auc}): audits propose no missing masks by it. Longer training, or more images, "
                "may help"
            ]
        return [
            f"missing masks: held-out images with one mask dropped come before whole ones with "
            f"AUC {auc}; of {count_noun(tried['drops'], 'dropped mask')} it proposes "
            f"{tried['found'] or 0:.0%}, {tried['found_first'] or 0:.0%} in the first place of "
            "their image"
        ]

    def _left_out(self) -> list[str]:
        """Return clauses that say what was not trained on."""
        counts, found = self.record["counts"], []
        without = sum(
            one["left_out"].get("images_without_picture", 0) for one in self.record["datasets"]
        )
        if counts["small_masks"]:
            small = count_noun(counts["small_masks"], "mask")
            found.append(f"{small} under {LEAST_AREA} px (not judged either)")
        if counts["images_beyond_memory"]:
            found.append(f"{count_noun(counts['images_beyond_memory'], 'image')} beyond memory")
        if without:
            what = ("image without a picture that opens", "images without a picture that opens")
            found.append(f"{count_noun(without, *what)} (not judged either)")
        return found


def worth_of(trial: VerifierTrialRecord) -> VerifierWorth:
    """Return the worth of a verifier by its trial on held-out images."""
    return VerifierWorth(trial["mean_auc"], trial["iou_correlation"], trial["kind_precision"])


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f}"
