"""Verifier training on a dataset's own masks, out of fold by image: resumable, without labels."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import orjson

from curate import __version__
from curate.common import files
from curate.common.arrays import FloatArray
from curate.common.locks import hold_directory
from curate.common.paths import AnyPath, as_path, check_exists, check_folder
from curate.common.progress import Progress
from curate.dataset.notes import count_noun
from curate.errors import CallError
from curate.networks.encoders.encoder_loading import load_grid_encoder
from curate.networks.encoders.grid_encoders import GridEncoder
from curate.networks.runtime.devices import Device, choose_device
from curate.networks.runtime.hub import import_optional
from curate.networks.runtime.trained_folder import RECORD, WORK
from curate.networks.segmenter_training.training_masks import (
    MaskedImage,
    TrainingMasks,
    read_training_masks,
)
from curate.networks.training.accepted_masks import open_images
from curate.networks.training.averaged_fitting import FittedNetwork
from curate.networks.training.checkpoints import flatten_tensors
from curate.networks.training.image_split import split_into_folds
from curate.networks.training.training_files import (
    check_training_folder,
    claim_folder,
    publish_model,
    remove_checkpoints,
    remove_training,
)
from curate.networks.verifier_training.corruptions import KINDS, WRONG_CATEGORY
from curate.networks.verifier_training.decided_masks import (
    DecidedMask,
    SettledDecisions,
    read_decisions,
)
from curate.networks.verifier_training.decision_tuning import FoldsToTune, NumberedDecisions
from curate.networks.verifier_training.dropped_masks import typical_side
from curate.networks.verifier_training.encoded_pictures import (
    EncodedPictures,
    encode_pictures,
    measure_encoder,
)
from curate.networks.verifier_training.exhaustivity_training import (
    ExhaustivitySettings,
    FittedExhaustivity,
    train_exhaustivity,
)
from curate.networks.verifier_training.training_examples import (
    VerifierObject,
    collect_objects,
)
from curate.networks.verifier_training.verifier_fitting import (
    STEPS_PER_ROUND,
    VerifierSchedule,
    VerifierTrial,
    fit_verifier,
    try_verifier,
)
from curate.networks.verifier_training.verifier_record import (
    DecisionTuningRecord,
    VerifierEncoderRecord,
    VerifierTrainingRecord,
    VerifierTrialRecord,
)
from curate.networks.verifier_training.verifier_result import (
    VerifierSettings,
    VerifierTraining,
    worth_of,
)
from curate.networks.verifiers.crops import LEAST_AREA
from curate.networks.verifiers.verifier import VerifierConfig
from curate.networks.verifiers.verifier_encoder import VerifierEncoder, place_of
from curate.networks.verifiers.verifier_network import FeatureStatistics, VerifierShape
from curate.networks.verifiers.verifier_worth import DOUBTED, LEAST_NAMED
from curate.people.reviews.current_plan import open_audit
from curate.quality.metrics import share_in_order
from curate.store.audit import AnyAudit, StoredAudit
from curate.store.audit_files import write_json
from curate.store.audit_info import INFO

COMMAND = "train-verifier"

MIN_MASKS = 100
"""With fewer masks that are large enough to be trained on there is nothing to learn from."""

MASKS_OF_CATEGORY = 20
"""Masks that a category needs for the networks to know it by name."""

MAX_MASKS = 12_000
"""Masks that are held in memory to be trained on."""

MAX_PICTURE_BYTES = 1_500_000_000
"""Bytes of pictures that are held in memory to be trained on."""

ROUNDS = (15, 40)
"""Least and most rounds of training a network, where none are given."""

TRIAL_SHARE = 0.2
"""Share of a time limit in which networks are tried on held-out masks; the rest is training."""

TUNING_SHARE = 0.1
"""Share of a time limit in which networks are tuned on people's decisions, where there are any."""

EXHAUSTIVITY_SHARE = 0.3
"""Share of a time limit for the networks that see objects without a mask, which come last."""

LEAST_S = 1e-3
"""Seconds of a training, at least; one step is done always."""

LOOKS = 25
"""Times that a mask is trained on, within :data:`ROUNDS`."""

TRIED = 500
"""Masks of each fold that its network is tried on, at most."""


def train_verifier(
    dataset: AnyAudit,
    out: AnyPath,
    *,
    images: AnyPath | None = None,
    format: str | None = None,
    folds: int = 3,
    rounds: int | None = None,
    minutes: float | None = None,
    batch: int = 16,
    learning_rate: float | None = None,
    seed: int = 0,
    encoder: str | None = None,
    device: str | None = None,
    restart: bool = False,
    progress: Progress | None = None,
) -> VerifierTraining:
    """Train a mask verifier on a dataset's own masks, against corruptions of them.

    No label is needed: most masks of a dataset are good, and wrong ones are made of them. Of an
    audit the accepted masks are taken as people left them, and the networks are tuned on what
    people decided, where that is better on images that they were not tuned on. The images are dealt
    into folds, and each network is trained on all folds but its own, so that no mask is judged by a
    network that was trained on its image. Further networks learn to see objects without a mask,
    from masks that are left out. An interrupted training resumes when it is called again, one that
    ``minutes`` ended early goes on with more of them, or without a limit, and a finished one is
    returned as it is. On a CPU the same seed gives the same weights, unless ``minutes`` ends it
    early.

    Args:
        dataset: An annotated dataset in any format, or an audit.
        out: The verifier's folder; new, empty, or an earlier training's with the same settings.
        images: Folder of the pictures; the dataset's own if None.
        format: Format of the dataset; detected automatically if None.
        folds: Networks, 2 or more.
        rounds: Rounds of training a network, of 25 steps each; by the number of masks if None.
        minutes: Time limit for training and trying all networks together, earlier runs in the same
            folder included; None for none. Reading the dataset comes before it.
        batch: Masks of the dataset a step, each beside two corruptions of it.
        learning_rate: Highest of AdamW; 0.002 if None.
        seed: Of the folds, the order, the corruptions and first weights.
        encoder: An image encoder of transformers (a folder or a hub name), an ONNX file, or a
            segmenter. It stays as it is; its features of each picture join what the networks see,
            and are used where they make them better on held-out images. They are computed before
            the time of ``minutes`` begins.
        device: torch's name of it; the first GPU, else the CPU, if None.
        restart: Delete an earlier training in ``out``.
        progress: Called with progress.

    Raises:
        CallError: A setting is wrong, there are too few masks or images, or a package is missing.
        SourceError: The dataset, the pictures, or the checkpoint cannot be used.
        AuditError: ``out`` holds something else, or another training.
    """
    named = None if encoder is None else place_of(encoder)
    settings = VerifierSettings(folds, rounds, minutes, batch, learning_rate, seed, named)
    out = as_path(out)
    check_folder(images)
    source: Path | StoredAudit = dataset if isinstance(dataset, StoredAudit) else Path(dataset)
    if isinstance(source, Path):
        check_exists(as_path(str(dataset)))
    place = Device(choose_device(device).name, "float32")
    import_optional("safetensors", COMMAND)
    seeing = None if named is None else load_grid_encoder(named, device=device)
    with files.convert_write_errors(out):
        check_training_folder(out)  # before pictures are read, which may take minutes
    found = read_training_masks([source], [as_path(images)], format, progress)
    decisions = _read_decisions(source, as_path(images), seed)
    identity = _identify(settings, found, decisions, seeing)
    with hold_directory(out, COMMAND), files.convert_write_errors(out):
        files.remove_abandoned(out)
        if restart:
            remove_training(out)
        done = claim_folder(out, settings.as_record(), identity, COMMAND)
        if done is not None:
            record = cast(VerifierTrainingRecord, done)
            if not record["stopped_early"]:
                remove_checkpoints(out)  # of a run that was killed when all was there
            if not _goes_on(record, minutes):
                return VerifierTraining(out, record)
        decided = [] if decisions is None else decisions.cut_out(progress)
        run = _Run(out, settings, identity, found, decided, seeing, place, progress)
        return VerifierTraining(out, run.train())


def _goes_on(record: VerifierTrainingRecord, minutes: float | None) -> bool:
    """Return whether a finished training has more time now than it had."""
    before = record["minutes"]
    if not record["stopped_early"] or before is None:
        return False
    return minutes is None or minutes > before


def _read_decisions(
    source: Path | StoredAudit, images: Path | None, seed: int
) -> SettledDecisions | None:
    """Return the decisions of an audit's people; None for a dataset that is no audit."""
    if not isinstance(source, StoredAudit):
        if not (source / INFO).is_file():
            return None
        source = open_audit(source)
    return read_decisions(source, open_images(source, images), seed)


def _identify(
    settings: VerifierSettings,
    found: TrainingMasks,
    decisions: SettledDecisions | None,
    encoder: GridEncoder | None,
) -> str:
    """Return a short hash of all that must be equal for a training to resume in a folder.

    Its time limit need not be: a training goes on with more time.
    """
    categories = [image.categories for image in found.images]
    said = "" if decisions is None else decisions.fingerprint()
    parts: tuple[object, ...] = (settings.as_record(), found.fingerprint(), categories, said)
    if encoder is not None:
        parts += (encoder.fingerprint,)
    return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()


def choose_images(images: Sequence[MaskedImage]) -> list[MaskedImage]:
    """Return images whose pictures and masks fit into memory: all, or some drawn by their keys."""
    chosen: set[int] = set()
    masks = size = 0
    for k in sorted(range(len(images)), key=lambda k: images[k].key):
        masks += len(images[k].runs)
        size += 3 * int(images[k].runs.heights[0]) * int(images[k].runs.widths[0])
        if chosen and (masks > MAX_MASKS or size > MAX_PICTURE_BYTES):
            break
        chosen.add(k)
    return [image for k, image in enumerate(images) if k in chosen]


def number_categories(images: Sequence[MaskedImage]) -> tuple[tuple[str, ...], list[list[int]]]:
    """Return names of the frequent categories, and each mask's number among them, 0 for others.

    One category alone tells nothing, and is none.
    """
    counts = Counter(name for image in images for name in image.categories if name is not None)
    names = sorted(name for name, count in counts.items() if count >= MASKS_OF_CATEGORY)
    names = names if len(names) > 1 else []
    numbers = {name: k for k, name in enumerate(names, 1)}
    return tuple(names), [
        [0 if name is None else numbers.get(name, 0) for name in image.categories]
        or [0] * len(image.runs)
        for image in images
    ]


@dataclass(frozen=True)
class _Run:
    """One training: what it was given, and where it writes."""

    out: Path
    settings: VerifierSettings
    identity: str
    found: TrainingMasks
    decided: list[DecidedMask]
    encoder: GridEncoder | None
    place: Device
    progress: Progress | None

    def train(self) -> VerifierTrainingRecord:
        """Train all networks, and write the folder; its record last.

        Raises:
            CallError: There are too few masks or images.
        """
        images = choose_images(self.found.images)
        names, numbers = number_categories(images)
        dealt = split_into_folds(images, self.settings.folds, seed=self.settings.seed)
        fold_of = {id(image): k for k, fold in enumerate(dealt) for image in fold}
        self._check_size(images, dealt)
        objects = collect_objects(images, numbers, self.progress)
        self._check_masks(len(objects))
        of = np.array([fold_of[id(images[one.image])] for one in objects])
        kinds = (*KINDS, WRONG_CATEGORY) if names else KINDS
        encoded = self._encode(images, objects)
        if encoded is not None:
            objects = [replace(one, grids=encoded.grids) for one in objects]
        shape = self._shape(kinds, names)
        files.mkdir(self.out / WORK, parents=True, exist_ok=True)
        by_fold = [
            [one for one, fold in zip(objects, of, strict=True) if fold == k]
            for k in range(self.settings.folds)
        ]
        fitted: list[FittedNetwork] = []
        trials: list[VerifierTrial] = []
        spent = 0.0
        for k in range(self.settings.folds):
            learnt = [one for one, fold in zip(objects, of, strict=True) if fold != k]
            if not learnt:
                what = f"all masks that are large enough lie on images of fold {k + 1}"
                raise CallError(what, COMMAND, "give more images, or fewer --folds")
            share = self._time_of(k, spent)
            seen = {one.image for one in learnt}
            statistics = None if encoded is None else encoded.statistics(seen)
            fitted.append(self._fit(k, learnt, shape, share, statistics))
            began = time.monotonic()
            trials.append(self._try(k, fitted[k].network, by_fold[k], shape, share))
            took = fitted[k].elapsed + time.monotonic() - began
            spent += took if share is None else min(took, share)  # the others get theirs always
        own = tuple(frozenset(image.key for image in fold) for fold in dealt)
        added = None if encoded is None else measure_encoder(encoded, trials, self.settings.seed)
        decided = self.decided
        if encoded is not None and added is not None and added["used"]:
            decided = [replace(one, grids=encoded.grids) for one in decided]
        elif encoded is not None:
            trials = [one.unaided or one for one in trials]
            by_fold = [[replace(one, grids=None) for one in some] for some in by_fold]
        trial = measure_trials(trials, kinds)
        tuning = None
        if decided:
            fitted, own, trial, tuning = self._tune(
                fitted, own, by_fold, decided, names, kinds, trial
            )
        seeing = self._train_exhaustivity(images, [fold_of[id(image)] for image in images], spent)
        weights = _pack_weights(fitted, seeing)
        checksum = hashlib.sha256(weights).hexdigest()
        worth, finder, about = worth_of(trial), seeing.finder, _describe_encoder(added)
        config = VerifierConfig(shape, kinds, names, own, worth, checksum, finder, about)
        files.unlink(self.out / RECORD, missing_ok=True)  # of the training that goes on here
        publish_model(self.out, lambda made: _save(made, config, weights))
        record = self._make_record(images, objects, fitted, trial, tuning, seeing)
        if added is not None:
            record["encoder"] = added
        write_json(self.out / RECORD, record)  # last: what has a record is whole
        if not record["stopped_early"]:
            remove_checkpoints(self.out)
        return record

    def _shape(self, kinds: Sequence[str], names: Sequence[str]) -> VerifierShape:
        """Return the sizes of the networks for some kinds of error and categories."""
        encoded = {} if self.encoder is None else {"encoded": self.encoder.channels}
        return VerifierShape(kinds=len(kinds), categories=len(names), **encoded)

    def _encode(
        self, images: Sequence[MaskedImage], objects: Sequence[VerifierObject]
    ) -> EncodedPictures | None:
        """Return the encoder's features of the pictures; None without an encoder."""
        if self.encoder is None:
            return None
        return encode_pictures(self.encoder, objects, typical_side(images), self.progress)

    def _where(self) -> str:
        return self.found.datasets[0]["path"]

    def _check_size(
        self, images: Sequence[MaskedImage], dealt: Sequence[Sequence[MaskedImage]]
    ) -> None:
        different = len({image.group or image.key for image in images})
        if different < 2 * self.settings.folds or not all(dealt):
            raise CallError(
                f"only {count_noun(different, 'different image')} with masks and a picture that "
                f"opens; {self.settings.folds} networks need {2 * self.settings.folds}",
                self._where(),
                "give more images" if self.settings.folds == 2 else "give more, or fewer --folds",
            )

    def _check_masks(self, count: int) -> None:
        if count < MIN_MASKS:
            raise CallError(
                f"only {count_noun(count, 'mask')} of {LEAST_AREA} px or more; training needs "
                f"{MIN_MASKS}",
                self._where(),
                f"give a dataset with {MIN_MASKS} or more, or audit with the verifier of a similar "
                "one: curate audit --verifier FOLDER",
            )

    def _time_of(self, k: int, spent: float) -> float | None:
        """Return the seconds of a network: its part of what those before have left; or None."""
        if self.settings.minutes is None:
            return None
        left = 60 * self.settings.minutes * (1 - EXHAUSTIVITY_SHARE) - spent
        left -= TUNING_SHARE * 60 * self.settings.minutes if self.decided else 0
        return max(LEAST_S, left / (self.settings.folds - k))

    def _tune(
        self,
        fitted: Sequence[FittedNetwork],
        own: Sequence[frozenset[str]],
        by_fold: Sequence[Sequence[VerifierObject]],
        decided: Sequence[DecidedMask],
        names: Sequence[str],
        kinds: Sequence[str],
        trial: VerifierTrialRecord,
    ) -> tuple[
        list[FittedNetwork], tuple[frozenset[str], ...], VerifierTrialRecord, DecisionTuningRecord
    ]:
        """Tune the networks on what people decided.

        Args:
            fitted: One a fold.
            own: For each the keys of the pictures that only this one was not trained on.
            by_fold: Masks of the dataset of each fold.
            decided: Masks that people decided on, one or more.
            names: Of the categories that the networks know.
            kinds: Of errors that they tell apart.
            trial: Their worth before.

        Returns:
            The networks to use, the keys of each one's own pictures, their worth on corruptions,
            and what tuning added.
        """
        shape = self._shape(kinds, names)
        folds, minutes = len(fitted), self.settings.minutes
        numbers = {name: k for k, name in enumerate(names, 1)}
        codes = [numbers.get(one.category or "", 0) for one in decided]
        seconds = None if minutes is None else TUNING_SHARE * 60 * minutes / folds
        learnt = [
            [one for j, some in enumerate(by_fold) if j != k for one in some] for k in range(folds)
        ]
        trials = {id(one.network): trial for one in fitted[:1]}

        def corrupted_auc(networks: Sequence[Any]) -> float | None:
            if id(networks[0]) not in trials:
                found = [
                    self._try(k, network, by_fold[k], shape, seconds)
                    for k, network in enumerate(networks)
                ]
                trials[id(networks[0])] = measure_trials(found, kinds)
            return trials[id(networks[0])]["mean_auc"]

        before = [one.network for one in fitted]
        to_tune = FoldsToTune(before, own, learnt, shape, self.place, self.settings.seed, seconds)
        numbered = NumberedDecisions(decided, np.array(codes, np.int64))
        networks, keys, record = to_tune.tune(numbered, corrupted_auc, self.progress)
        used = [replace(one, network=new) for one, new in zip(fitted, networks, strict=True)]
        return used, keys, trials[id(networks[0])], record

    def _train_exhaustivity(
        self, images: Sequence[MaskedImage], folds: Sequence[int], spent: float
    ) -> FittedExhaustivity:
        """Train the networks that see objects without a mask in the time that is left."""
        minutes = self.settings.minutes
        left = 0.0 if minutes is None else 60 * minutes - spent
        if minutes is not None and self.decided:
            left -= TUNING_SHARE * 60 * minutes
        settings = ExhaustivitySettings(
            self.settings.rounds,
            self.settings.seed,
            self.place,
            self.identity,
            self.out / WORK,
            None if minutes is None else max(LEAST_S, left),
            self.progress,
        )
        return train_exhaustivity(images, folds, settings)

    def _try(
        self,
        k: int,
        network: Any,
        held: Sequence[VerifierObject],
        shape: VerifierShape,
        seconds: float | None,
    ) -> VerifierTrial:
        """Try a network on masks of its own fold, drawn by chance."""
        chosen = np.random.default_rng([self.settings.seed, k]).permutation(len(held))[:TRIED]
        tried = [held[i] for i in chosen.tolist()]

        def show(done: int, of: int) -> None:
            if self.progress:
                self.progress(f"trying network {k + 1} of {self.settings.folds}", done, of, 0)

        return try_verifier(
            network,
            tried,
            shape,
            self.place,
            self.settings.seed,
            seconds=None if seconds is None else TRIAL_SHARE * seconds,
            progress=show,
        )

    def _fit(
        self,
        k: int,
        learnt: Sequence[VerifierObject],
        shape: VerifierShape,
        share: float | None,
        statistics: FeatureStatistics | None,
    ) -> FittedNetwork:
        settings = self.settings
        needed = round(LOOKS * len(learnt) / (STEPS_PER_ROUND * settings.batch))
        rounds = settings.rounds or int(np.clip(needed, *ROUNDS))
        seconds = None if share is None else (1 - TRIAL_SHARE) * share
        schedule = VerifierSchedule(
            rounds,
            settings.batch,
            settings.learning_rate or 2e-3,
            seconds,
            settings.seed * 1000 + k,
        )
        return fit_verifier(
            learnt,
            shape,
            schedule,
            self.place,
            statistics=statistics,
            identity=f"{self.identity}:{k}",
            checkpoint=self.out / WORK / f"checkpoint-{k + 1}.safetensors",
            progress=self._round_progress(k),
        )

    def _round_progress(self, k: int) -> Callable[[float, int, int], None]:
        def show(done: float, rounds: int, masks: int) -> None:
            if self.progress:
                self.progress(f"network {k + 1} of {self.settings.folds}", done, rounds, masks)

        return show

    def _make_record(
        self,
        images: Sequence[MaskedImage],
        objects: Sequence[VerifierObject],
        fitted: Sequence[FittedNetwork],
        trial: VerifierTrialRecord,
        tuning: DecisionTuningRecord | None,
        seeing: FittedExhaustivity,
    ) -> VerifierTrainingRecord:
        history = {f"fold-{k}": list(one.history) for k, one in enumerate(fitted, 1)}
        history |= {
            f"exhaustivity-{k}": list(one.history) for k, one in enumerate(seeing.fitted, 1)
        }
        return {
            "tool": "curate",
            "tool_version": __version__,
            "identity": self.identity,
            "datasets": self.found.datasets,
            "settings": self.settings.as_record(),
            "minutes": self.settings.minutes,
            "device": self.place.name,
            "held_out": trial,
            "decisions": tuning,
            "rounds": [len(one.history) for one in fitted],
            "steps": [one.steps for one in fitted],
            "steps_planned": [one.planned for one in fitted],
            "stopped_early": seeing.stopped_early or any(one.stopped_early for one in fitted),
            "history": history,
            "exhaustivity": seeing.as_record(),
            "counts": {
                "images": len({one.image for one in objects}),
                "masks": len(objects),
                "small_masks": sum(len(image.runs) for image in images) - len(objects),
                "images_beyond_memory": len(self.found.images) - len(images),
            },
        }


def _describe_encoder(added: VerifierEncoderRecord | None) -> VerifierEncoder | None:
    """Return the encoder as a verifier's configuration has it; None for none."""
    if added is None:
        return None
    return VerifierEncoder(
        added["name"],
        added["fingerprint"],
        added["channels"],
        added["object_side"],
        added["used"],
    )


def _pack_weights(fitted: Sequence[FittedNetwork], seeing: FittedExhaustivity) -> bytes:
    """Return the weights of all networks as the content of one file."""
    safetensors = import_optional("safetensors.torch", COMMAND)
    parts = {f"fold-{k}": one.network.state_dict() for k, one in enumerate(fitted, 1)}
    parts |= {f"exhaustivity-{k}": o.network.state_dict() for k, o in enumerate(seeing.fitted, 1)}
    copies = {
        name: tensor.detach().cpu().clone().contiguous()
        for name, tensor in flatten_tensors(parts).items()
    }
    packed: bytes = safetensors.save(copies)
    return packed


def _save(made: Path, config: VerifierConfig, weights: bytes) -> None:
    """Write configuration and weights into a folder that is not there yet."""
    files.mkdir(made, parents=True, exist_ok=True)
    files.write_bytes(made / "model.safetensors", weights)
    content = orjson.dumps(config.as_record(), option=orjson.OPT_INDENT_2)
    files.write_bytes(made / "config.json", content)


def measure_trials(trials: Sequence[VerifierTrial], kinds: Sequence[str]) -> VerifierTrialRecord:
    """Return the worth of networks on masks that they were not trained on.

    The AUC is of each network for itself, then the mean: their scales may differ.

    Args:
        trials: Answers of each network.
        kinds: Kinds of error.
    """
    auc: dict[str, float | None] = {}
    for number, kind in enumerate(kinds, 1):
        pairs = [(t.good[t.kind == 0], t.good[t.kind == number]) for t in trials]
        found = [area_under_curve(*pair) for pair in pairs if len(pair[0]) and len(pair[1])]
        auc[kind] = float(np.mean(found)) if found else None
    known = [value for value in auc.values() if value is not None]
    iou = np.concatenate([t.iou for t in trials])
    predicted = np.concatenate([t.predicted_iou for t in trials])
    bad = np.concatenate([t.kind for t in trials]) > 0
    true_kind = np.concatenate([t.kind for t in trials])
    named = np.concatenate([t.predicted_kind for t in trials])
    doubted = np.concatenate([t.good for t in trials]) < DOUBTED
    right = (named == true_kind)[bad]
    precision: dict[str, float | None] = {}
    for number, kind in enumerate(kinds, 1):
        these = true_kind[doubted & (named == number)]
        precision[kind] = float((these == number).mean()) if len(these) >= LEAST_NAMED else None
    varied = len(iou) > 2 and float(iou.std()) > 0 and float(predicted.std()) > 0
    return {
        "masks": int((~bad).sum()),
        "corrupted": int(bad.sum()),
        "auc": auc,
        "mean_auc": float(np.mean(known)) if known else None,
        "iou_correlation": float(np.corrcoef(iou, predicted)[0, 1]) if varied else None,
        "kind_accuracy": float(right.mean()) if len(right) else None,
        "kind_precision": precision,
    }


def area_under_curve(good: FloatArray, bad: FloatArray) -> float:
    """Return the chance that a good mask's value is above a bad one's, a tie counting half.

    Args:
        good: Values of good masks, one or more.
        bad: Values of bad ones, one or more.
    """
    wrong = np.repeat([False, True], [len(good), len(bad)])
    return share_in_order(np.concatenate([good, bad]), wrong, np.ones(len(wrong)))
