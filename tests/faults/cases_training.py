"""Cases of ``train-detector``, ``-segmenter`` and ``-verifier``, with small networks on the CPU."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from fault_harness import Case, content
from PIL import Image

import curate

sys.path.append(str(Path(__file__).parents[1] / "models"))

IMAGES = 10


def prepare_training(folder: Path) -> None:
    """Audit ten pictures of plain shapes, and save a tiny detector to start from."""
    import drawn_scenes
    import tiny_detectors

    (folder / "images").mkdir()
    random = np.random.default_rng(0)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for k in range(IMAGES):
        picture, boxes = drawn_scenes.draw(random)
        Image.fromarray(picture).save(folder / "images" / f"{k}.png")
        images.append({"id": k, "file_name": f"{k}.png", "height": 64, "width": 80})
        for x, y, w, h in boxes.tolist():
            annotations.append(
                {"id": len(annotations), "image_id": k, "category_id": 1, "iscrowd": 0}
                | {"segmentation": [[x, y, x + w, y, x + w, y + h, x, y + h]]}
                | {"bbox": [x, y, w, h], "area": w * h}
            )
    coco = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "a"}]}
    (folder / "in.json").write_text(json.dumps(coco))
    keep_all = {"name": "all", "rule": []}
    curate.audit(folder / "in.json", folder / "out", images=folder / "images", policy=keep_all)
    tiny_detectors.make("detr", folder / "start", labels=1)


def trained(**settings: Any) -> Callable[[Path], None]:
    """Return what trains a detector."""
    small: dict[str, Any] = {"size": 64, "epochs": 2, "device": "cpu"}

    def run(folder: Path) -> None:
        start = str(folder / "start")
        curate.train_detector(folder / "out", folder / "made", start=start, **(small | settings))

    return run


def prepare_restart(folder: Path) -> None:
    prepare_training(folder)
    trained(epochs=1)(folder)


def trained_segmenter(**settings: Any) -> Callable[[Path], None]:
    """Return what trains a segmenter from nothing."""
    small: dict[str, Any] = {"size": 64, "epochs": 2, "device": "cpu"}

    def run(folder: Path) -> None:
        curate.train_segmenter(folder / "out", folder / "made", **(small | settings))

    return run


def prepare_segmenter_restart(folder: Path) -> None:
    prepare_training(folder)
    trained_segmenter(epochs=1)(folder)


def prepare_verifier(folder: Path) -> None:
    """Write as many masks as a verifier needs."""
    from shapes_dataset import write_shapes

    write_shapes(folder / "data", 34)


def trained_verifier(**settings: Any) -> Callable[[Path], None]:
    """Return what trains a verifier of two networks, two steps each."""
    small: dict[str, Any] = {"folds": 2, "rounds": 2, "batch": 2, "device": "cpu"}

    def run(folder: Path) -> None:
        import tiny_exhaustivity
        from pytest import MonkeyPatch  # noqa: PT013

        from curate.networks.training import averaged_fitting
        from curate.networks.verifier_training import train_on_dataset, verifier_fitting
        from curate.networks.verifiers.verifier_network import VerifierShape

        source, made = folder / "data" / "instances.json", folder / "made"
        with (
            patch.object(verifier_fitting, "STEPS_PER_ROUND", 1),
            patch.object(averaged_fitting, "CHECKPOINT_S", 0.0),
            patch.object(train_on_dataset, "TRIED", 2),
            patch.object(train_on_dataset, "VerifierShape", partial(VerifierShape, width=4)),
            MonkeyPatch.context() as shrunk,
        ):
            tiny_exhaustivity.shrink(shrunk)
            curate.train_verifier(source, made, **(small | settings))

    return run


def prepare_verifier_restart(folder: Path) -> None:
    prepare_verifier(folder)
    trained_verifier(seed=1)(folder)


def prepare_verifier_ended_early(folder: Path) -> None:
    prepare_verifier(folder)
    trained_verifier(minutes=1e-6)(folder)


def warm_up_verifier(folder: Path) -> None:
    """Do all that a training does but going backward; see :func:`warm_up`."""
    import torch

    torch.set_num_threads(1)
    prepare_verifier(folder)
    with patch.object(torch.Tensor, "backward", lambda _: None):
        trained_verifier()(folder)
    seen_verifier(folder)


def seen_verifier(folder: Path) -> dict[str, Any]:
    """Return a verifier's files without times, as far as ``--verifier`` takes them."""
    from curate.networks.verifiers.verifier import load_verifier

    made = folder / "made"
    if not made.exists():
        return {}
    load_verifier(str(made), device="cpu")
    return without_times(made)


def warm_up(folder: Path, train: Callable[..., Callable[[Path], None]] = trained) -> None:
    """Do all that a training does but going backward.

    Autograd's engine refuses to work in a child once it has worked in the parent. All else survives
    a fork as long as torch has had one thread alone.
    """
    import torch

    torch.set_num_threads(1)
    prepare_training(folder)
    with patch.object(torch.Tensor, "backward", lambda _: None):
        train(epochs=1)(folder)
    (seen_training if train is trained else seen_segmenter)(folder)


def seen_training(folder: Path) -> dict[str, Any]:
    """Return a detector's files without times, as far as ``--detector`` takes them."""
    from curate.networks.detectors.training_record import read_record
    from curate.networks.runtime.hub import model_folder

    made = folder / "made"
    if not made.exists():
        return {}
    for part in read_record(made).folds or [""]:
        model_folder(str(made / part), "a detector")
    return without_times(made)


def seen_segmenter(folder: Path) -> dict[str, Any]:
    """Return a segmenter's files without times, as far as ``--segmenter`` takes them."""
    from curate.networks.loading import load_segmenter

    made = folder / "made"
    if not made.exists():
        return {}
    load_segmenter(str(made), device="cpu")
    return without_times(made)


def without_times(made: Path) -> dict[str, Any]:
    """Return the files of a trained network; of its record all but the seconds."""
    found: dict[str, Any] = {"work": (made / "work").exists()}
    for name, data in content(made).items():
        if name.endswith("training.json"):
            record = json.loads(data)
            history = record["history"]
            parts = history.values() if isinstance(history, dict) else [history]
            for epoch in (row for rows in parts for row in rows):
                del epoch["s"]
            found |= {f"{name} {key}": value for key, value in record.items()}
        else:
            found[name] = data
    return found


LATE = (
    "work",
    *(f"checkpoint{part}.safetensors" for part in ("", "-1", "-2")),
    *(f"exhaustivity-{part}.safetensors" for part in (1, 2)),
)
"""Of no use any more once all else is there; the next run removes it."""


def case(prepare: Callable[[Path], None], **settings: Any) -> Case:
    return Case(prepare, trained(**settings), seen_training, warm_up, late=LATE)


def segmenter_case(prepare: Callable[[Path], None], **settings: Any) -> Case:
    warm = partial(warm_up, train=trained_segmenter)
    return Case(prepare, trained_segmenter(**settings), seen_segmenter, warm, late=LATE)


def verifier_case(prepare: Callable[[Path], None], **settings: Any) -> Case:
    return Case(prepare, trained_verifier(**settings), seen_verifier, warm_up_verifier, late=LATE)


CASES = {
    "train-verifier": verifier_case(prepare_verifier),
    "train-verifier with more time": verifier_case(prepare_verifier_ended_early),
    "train-verifier --restart": verifier_case(prepare_verifier_restart, restart=True),
    "train-segmenter": segmenter_case(prepare_training),
    "train-segmenter --restart": segmenter_case(prepare_segmenter_restart, restart=True),
    "train-detector": case(prepare_training),
    "train-detector of folds": case(prepare_training, epochs=1, folds=2),
    "train-detector --restart": case(prepare_restart, restart=True),
}
