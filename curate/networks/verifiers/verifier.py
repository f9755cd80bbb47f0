"""Mask verifier: loading, and the judgement of the masks of one picture."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from curate.common.arrays import ByteArray, FloatArray, IntArray
from curate.errors import CallError, SourceError
from curate.networks.encoders.grid_encoders import PictureGrids
from curate.networks.runtime.devices import (
    AdaptiveBatches,
    Device,
    Network,
    check_rgb,
    choose_device,
    refuse_output,
    translate_network_errors,
)
from curate.networks.runtime.hub import WEIGHTS, import_optional, model_fingerprint, read_config
from curate.networks.runtime.picture_keys import hash_pixels
from curate.networks.runtime.trained_folder import check_training_ended
from curate.networks.verifiers.crops import LEAST_AREA, MaskCrops, make_crops
from curate.networks.verifiers.exhaustivity_network import build_exhaustivity
from curate.networks.verifiers.mask_frames import ImageCover
from curate.networks.verifiers.unmasked_objects import ObjectFinder, UnmaskedObjects
from curate.networks.verifiers.verifier_encoder import VerifierEncoder
from curate.networks.verifiers.verifier_network import (
    VerifierShape,
    build_network,
    run_network,
    stack_crops,
    stack_encoded,
)
from curate.networks.verifiers.verifier_worth import VerifierWorth
from curate.rle import Runs, area

MODEL_TYPE = "curate-verifier"
"""``model_type`` in a verifier's ``config.json``."""

MASK_BATCH = 64
"""Masks of one batch, at first."""

MOST_FOLDS = 100
"""Most networks of one verifier."""

_AGAIN = "train it again with `curate train-verifier`"


@dataclass(frozen=True)
class Judgements:
    """Judgements of n masks of one picture.

    NaN, and -1 for the kind, of a mask under :data:`~curate.networks.verifiers.crops.LEAST_AREA`.

    Attributes:
        good: P(good), shape (n,), in [0, 1].
        iou: Predicted IoU with the right mask, shape (n,), in [0, 1]; NaN where the model does not
            predict it well enough.
        kind: Place of the most probable kind of error in the verifier's kinds, shape (n,); -1 where
            the model does not tell this kind well enough.
    """

    good: FloatArray
    iou: FloatArray
    kind: IntArray


class MaskJudge(Network, Protocol):
    """A model that looks at picture and mask together, and judges the mask."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of error that it tells apart, in words."""

    def judge(
        self, picture: ByteArray, runs: Runs, categories: Sequence[object] | None = None
    ) -> Judgements:
        """Judge the masks of one RGB picture, shape (height, width, 3), uint8, of their size."""

    def judge_changed(
        self,
        picture: ByteArray,
        runs: Runs,
        which: int,
        changed: Runs,
        category: object = None,
    ) -> Judgements:
        """Judge masks that could stand in the place of one of the picture's masks."""

    def find_unmasked(self, picture: ByteArray, runs: Runs) -> UnmaskedObjects | None:
        """Find objects of such a picture that its masks do not explain; None: it cannot tell."""


@dataclass(frozen=True)
class Verifier:
    """K networks, each trained on all but its own K-th of the pictures (cross-fitting).

    A picture of the dataset is judged by the network that was not trained on it; any other picture
    by the mean of all.

    Attributes:
        name: Name given by the user.
        networks: The networks, in their mode of evaluation, on the device.
        own: For each the keys of the pictures that only this one was not trained on.
        kinds: Kinds of error that they tell apart.
        categories: Names of the categories that they know.
        worth: What was measured of them on held-out images.
        fingerprint: Short hash of weights and settings.
        place: The device.
        finder: What turns the answers of ``finding`` into proposed masks; None for a verifier that
            was trained before there was any.
        finding: Networks that see objects without a mask, each of the images of ``networks``.
        grids: Features of an image encoder that ``networks`` look at, too; None without one.
    """

    name: str
    networks: tuple[Any, ...]
    own: tuple[frozenset[str], ...]
    kinds: tuple[str, ...]
    categories: tuple[str, ...]
    worth: VerifierWorth
    fingerprint: str
    place: Device
    batches: AdaptiveBatches = field(default_factory=lambda: AdaptiveBatches(MASK_BATCH))
    finder: ObjectFinder | None = None
    finding: tuple[Any, ...] = ()
    grids: PictureGrids | None = None

    @property
    def device(self) -> str:
        """torch's name of the device."""
        return self.place.name

    @property
    def precision(self) -> str:
        """Type they compute in."""
        return self.place.precision

    def judges_of(self, picture: ByteArray) -> tuple[int, ...]:
        """Return which networks judge the masks of a picture: none that was trained on it."""
        key = hash_pixels(picture)
        own = tuple(k for k, keys in enumerate(self.own) if key in keys)
        return own or tuple(range(len(self.networks)))

    def judge(
        self, picture: ByteArray, runs: Runs, categories: Sequence[object] | None = None
    ) -> Judgements:
        """Judge the masks of one picture.

        Args:
            picture: Shape (height, width, 3), uint8, RGB, of the masks' size.
            runs: The masks.
            categories: The name of each one's category; unknown ones, NA too, are taken as none.

        Raises:
            CallError: The picture is no such array, or a single mask does not fit into memory.
            SourceError: The network's answer is not finite.
        """
        check_rgb(picture, "Verifier.judge")
        if len(runs) and picture.shape[:2] != (runs.heights[0], runs.widths[0]):
            what = f"the picture is of shape {picture.shape[:2]}, its masks are not"
            raise CallError(what, "Verifier.judge", "give the picture of the masks")
        known = [None] * len(runs) if categories is None else categories
        return self._judge(picture, ImageCover.of(runs) if len(runs) else None, known)

    def judge_changed(
        self,
        picture: ByteArray,
        runs: Runs,
        which: int,
        changed: Runs,
        category: object = None,
    ) -> Judgements:
        """Judge masks that could stand in the place of one of the picture's masks.

        Args:
            picture: Shape (height, width, 3), uint8, RGB, of the masks' size.
            runs: The masks of the picture.
            which: The mask that the others are judged in the place of.
            changed: n masks; each is judged beside all of ``runs`` but that one.
            category: The name of its category; an unknown one, NA too, is taken as none.

        Raises:
            CallError: The picture is no such array, or a single mask does not fit into memory.
            SourceError: The network's answer is not finite.
        """
        check_rgb(picture, "Verifier.judge_changed")
        cover = ImageCover.of(runs).instead(which, changed) if len(changed) else None
        return self._judge(picture, cover, [category] * len(changed))

    def _judge(
        self, picture: ByteArray, masks: ImageCover | None, known: Sequence[object]
    ) -> Judgements:
        good, iou = np.full(len(known), np.nan), np.full(len(known), np.nan)
        kind = np.full(len(known), -1, np.int64)
        rows = np.flatnonzero(area(masks.runs) >= LEAST_AREA) if masks else np.zeros(0, np.int64)
        if masks is None or not len(rows):
            return Judgements(good, iou, kind)
        numbers = {name: k for k, name in enumerate(self.categories, 1)}
        drawn = Image.fromarray(picture)
        judges = [self.networks[k] for k in self.judges_of(picture)]
        grid = None if self.grids is None else self.grids.of(picture)

        def run(some: IntArray) -> FloatArray:
            crops = [make_crops(drawn, masks.cut(k), grid=grid) for k in some.tolist()]
            codes = [
                numbers.get(one, 0) if isinstance(one := known[k], str) else 0
                for k in some.tolist()
            ]
            return self._ask(judges, crops, codes)

        with translate_network_errors(self.name):
            answers = np.concatenate(self.batches.run(run, rows))
        if not np.isfinite(answers).all():
            refuse_output(self.name, "its answer for a mask is not finite")
        good[rows] = _sigmoid(answers[:, 0])
        if self.worth.predicts_iou:
            iou[rows] = _sigmoid(answers[:, 1])
        told = np.array([kind in self.worth.named_kinds for kind in self.kinds])
        found = answers[:, 3:].argmax(1)
        kind[rows] = np.where(told[found], found, -1)
        return Judgements(good, iou, kind)

    def find_unmasked(self, picture: ByteArray, runs: Runs) -> UnmaskedObjects | None:
        """Find the objects of one picture that its masks do not explain.

        Args:
            picture: Shape (height, width, 3), uint8, RGB, of the masks' size.
            runs: Its masks; may be none.

        Returns:
            None where the model has not learned it, or is no better than chance at it on held-out
            images.

        Raises:
            CallError: The picture is no such array, or does not fit into memory.
            SourceError: A network's answer is not finite.
        """
        check_rgb(picture, "Verifier.find_unmasked")
        if len(runs) and picture.shape[:2] != (runs.heights[0], runs.widths[0]):
            what = f"the picture is of shape {picture.shape[:2]}, its masks are not"
            raise CallError(what, "Verifier.find_unmasked", "give the picture of the masks")
        if self.finder is None or not self.finder.worth.counts:
            return None
        networks = [self.finding[k] for k in self.judges_of(picture)]
        with translate_network_errors(self.name):
            found = self.finder.find(networks, picture, runs, self.place.name)
        if not np.isfinite(found.any_probability):
            refuse_output(self.name, "its answer for a picture is not finite")
        return found

    def _ask(
        self, judges: Sequence[Any], crops: Sequence[MaskCrops], codes: Sequence[int]
    ) -> FloatArray:
        """Return the mean logits over networks and mirrored crops, shape (n, 3 + kinds)."""
        torch = import_optional("torch", "a verifier")
        close, wide, strip = stack_crops(crops, self.place.name)
        category = torch.tensor(codes, device=self.place.name)
        encoded = mirrored = stack_encoded(crops, self.place.name)
        if encoded is not None:
            mirrored = encoded[0].flip(-1), encoded[1].flip(-1), encoded[2]
        total = np.zeros((len(crops), 3 + len(self.kinds)))
        with torch.inference_mode():
            for network in judges:
                for inputs in (
                    (close, wide, strip, category, encoded),
                    (close.flip(-1), wide.flip(-1), strip.flip(-2), category, mirrored),
                ):
                    found = run_network(network, *inputs)
                    columns = [found["good"][:, None], found["iou"][:, None], found["kind"]]
                    total += torch.cat(columns, 1).double().cpu().numpy()
        return np.asarray(total / (2 * len(judges)), np.float64)


def _sigmoid(logits: FloatArray) -> FloatArray:
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -50, 50))), np.float64)


@dataclass(frozen=True)
class VerifierConfig:
    """Content of a verifier's ``config.json``.

    Attributes:
        shape: Sizes of its networks.
        kinds: Kinds of error that they tell apart.
        categories: Names of the categories that they know.
        own: For each network the keys of the pictures that only this one was not trained on.
        worth: What was measured of them on held-out images.
        weights_sha256: Checksum of the file with the weights, in hex.
        finder: Of objects without a mask; None where the model has learned nothing of them.
        encoder: Image encoder that it was trained with; None for none.
    """

    shape: VerifierShape
    kinds: tuple[str, ...]
    categories: tuple[str, ...]
    own: tuple[frozenset[str], ...]
    worth: VerifierWorth
    weights_sha256: str
    finder: ObjectFinder | None = None
    encoder: VerifierEncoder | None = None

    def as_record(self) -> dict[str, object]:
        """Return it as JSON has it."""
        about = {} if self.encoder is None else {"encoder": self.encoder.as_record()}
        return {
            **about,
            "model_type": MODEL_TYPE,
            "width": self.shape.width,
            "hidden": self.shape.hidden,
            "kinds": list(self.kinds),
            "categories": list(self.categories),
            "folds": [sorted(keys) for keys in self.own],
            "held_out": self.worth.as_record(),
            "weights_sha256": self.weights_sha256,
            "exhaustivity": None if self.finder is None else self.finder.as_record(),
        }


def read_verifier_config(folder: Path) -> VerifierConfig:
    """Read a verifier's ``config.json``.

    Raises:
        SourceError: It is none, or its sizes are beyond reason.
    """
    record = read_config(folder)
    where = str(folder / "config.json")
    if record.get("model_type") != MODEL_TYPE:
        what = f"it is no verifier, but of the type {record.get('model_type')!r:.60}"
        raise SourceError(what, where, "give a folder that `curate train-verifier` has written")
    try:
        kinds, categories = _names(record["kinds"]), _names(record["categories"])
        folds = record["folds"]
        if not isinstance(folds, list) or not 1 <= len(folds) <= MOST_FOLDS:
            raise ValueError("folds are not 1 to 100 lists of keys")
        own = tuple(frozenset(_names(keys)) for keys in folds)
        width, hidden = record["width"], record["hidden"]
        if not isinstance(width, int) or not isinstance(hidden, int) or not kinds:
            raise ValueError("sizes are no whole numbers, or there are no kinds")
        worth = VerifierWorth.from_record(record["held_out"])
        checksum = str(record["weights_sha256"])
        about = record.get("exhaustivity")  # verifiers of before it have none
        finder = None if about is None else ObjectFinder.from_record(about)
        with_encoder = record.get("encoder")
        encoder = None if with_encoder is None else VerifierEncoder.from_record(with_encoder)
    except (KeyError, TypeError, ValueError) as error:
        raise SourceError(f"it does not describe a verifier ({error})", where, _AGAIN) from None
    channels = 0 if encoder is None else encoder.channels
    shape = VerifierShape(width, hidden, len(kinds), len(categories), channels)
    return VerifierConfig(shape, kinds, categories, own, worth, checksum, finder, encoder)


def _names(values: object) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(one, str) for one in values):
        raise ValueError("names are no list of texts")
    return tuple(values)


def load_verifier(name: str, *, device: str | None = None) -> Verifier:
    """Load a verifier.

    Args:
        name: A folder that ``curate train-verifier`` has written.
        device: "cpu", "cuda:0"; the first GPU, else the CPU, if None.

    Raises:
        CurateError: A package is missing, there is no such folder or device, its training has not
            ended, its files are damaged, its weights are not those that were tried, or the encoder
            whose features it uses is gone or another one.
    """
    folder = Path(name).expanduser()
    if not folder.is_dir():
        do = "give a folder that `curate train-verifier` has written"
        raise CallError(f"there is no folder {name}", "--verifier", do)
    check_training_ended(folder, "train-verifier")
    if not (folder / "config.json").is_file():
        do = "give a folder that `curate train-verifier` has written"
        raise SourceError("it holds no config.json", str(folder), do)
    config = read_verifier_config(folder)
    place = Device(choose_device(device).name, "float32")
    weights = folder / WEIGHTS[0]
    safetensors = import_optional("safetensors.torch", "a verifier")
    try:
        content = weights.read_bytes()
    except OSError as error:
        raise SourceError("its weights cannot be read", str(weights), _AGAIN) from error
    if hashlib.sha256(content).hexdigest() != config.weights_sha256:
        what = "its weights are not those that were trained: the file was changed or is damaged"
        do = f"restore the folder from a copy, or {_AGAIN}"
        raise SourceError(what, str(weights), do)
    try:
        tensors = safetensors.load(content)
    except Exception as error:  # safetensors has errors of its own
        raise SourceError("its weights cannot be read", str(weights), _AGAIN) from error
    grids = None
    if config.encoder is not None and config.encoder.used:
        grids = PictureGrids(config.encoder.load(folder, place.name))
    networks, finding = [], []
    for k in range(len(config.own)):
        own = build_network(config.shape, 0)
        networks.append(_fill(own, tensors, f"fold-{k + 1}", weights, place))
        if config.finder is not None:
            own = build_exhaustivity(config.finder.shape, 0)
            finding.append(_fill(own, tensors, f"exhaustivity-{k + 1}", weights, place))
    return Verifier(
        name,
        tuple(networks),
        config.own,
        config.kinds,
        config.categories,
        config.worth,
        model_fingerprint(folder),
        place,
        finder=config.finder,
        finding=tuple(finding),
        grids=grids,
    )


def _fill(network: Any, tensors: Mapping[str, Any], name: str, file: Path, place: Device) -> Any:
    """Give a network its part of a file's weights; return it in its mode of evaluation."""
    part = {n.removeprefix(f"{name}/"): t for n, t in tensors.items() if n.startswith(f"{name}/")}
    try:
        network.load_state_dict(part)
    except (RuntimeError, TypeError, ValueError) as error:
        what = f"its weights do not fit its config.json ({name.replace('-', ' network ')})"
        raise SourceError(what, str(file), _AGAIN) from error
    return network.to(place.name).eval()
