"""Demo dataset: drawn scenes with planted defects, and their evaluation.

>>> from pathlib import Path
>>> from tempfile import mkdtemp
>>> truth = make_demo(Path(mkdtemp()) / "demo", images=8)
>>> sorted(p.name for p in truth.path.iterdir())[-3:]
['second_annotator.json', 'soft_masks', 'truth.json']
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from curate.common import files
from curate.common.ranges import check_numbers
from curate.demo_dataset import demo_writing, planting
from curate.demo_dataset.annotation_times import AnnotationTimes
from curate.demo_dataset.defects import KINDS
from curate.demo_dataset.planted_truth import (
    DemoTruth,
    as_text,
    evaluate_defects,
    load_truth,
    write_truth,
)
from curate.demo_dataset.scenes import DemoScene, draw_scene
from curate.demo_dataset.shape_scenes import draw_shapes
from curate.demo_dataset.simulated_people import ErrorRates, SimulatedPeople, WorkDone
from curate.errors import CallError
from curate.formats.format import new_folder

__all__ = [
    "AnnotationTimes",
    "ErrorRates",
    "SimulatedPeople",
    "WorkDone",
    "as_text",
    "draw_shapes",
    "evaluate_defects",
    "load_truth",
    "make_demo",
]


def make_demo(path: Path, seed: int = 0, images: int = 24) -> DemoTruth:
    """Draw a COCO dataset with planted defects of every kind and write it into a folder.

    Args:
        path: The folder; made if it is not there. It must be empty, or hold an earlier demo.
        seed: Other seeds draw other scenes; the same seed writes the same files.
        images: How many images, at least 8. The number of defects goes with it.

    Returns:
        What was planted where; it stands in ``truth.json`` too.

    Raises:
        CallError: Too few images, a negative seed, or a folder that holds something else.
    """
    check_numbers(images=images, seed=seed)
    _make_room(path)
    rng = np.random.default_rng([seed, images])
    scenes = {k: draw_scene(np.random.default_rng([seed, k])) for k in range(1, images + 1)}
    kinds = _spoil_pictures(rng, scenes)
    sound = {k: planting.annotate(rng, k, scene) for k, scene in scenes.items()}
    fit = [own for k, own in sound.items() if not kinds[k]]
    planted, dropped = planting.plant(rng, fit, planting.counts(images))
    rest = [a for k, own in sound.items() if kinds[k] for a in own]
    annotations = planting.in_file_order(rng, planted + rest)
    second = planting.second_opinion(rng, scenes)
    names = {k: f"table_{k:03d}.jpg" for k in scenes}
    pictures = {k: (names[k], kinds[k]) for k in scenes}
    with new_folder(path) as folder:
        for k, scene in scenes.items():
            demo_writing.write_picture(folder / "images" / names[k], scene.picture, kinds[k])
        ids = demo_writing.write_annotations(folder, names, annotations)
        demo_writing.write_second(folder, names, second)
        demo_writing.write_detections(rng, folder, scenes)
        write_truth(folder, annotations, ids, dropped, pictures)
    return load_truth(path)


def _spoil_pictures(rng: np.random.Generator, scenes: dict[int, DemoScene]) -> dict[int, str]:
    """Choose the pictures that are spoilt, one a kind; make one of them nearly another's."""
    wanted = [kind.name for kind in KINDS if kind.level == "image"]
    chosen = [int(k) for k in rng.permutation(list(scenes)[1:])]
    kinds = dict.fromkeys(scenes, "") | dict(zip(chosen, wanted, strict=False))
    alike = chosen[wanted.index("image_near_duplicate")]
    scenes[alike] = demo_writing.nearly_the_same(scenes[chosen[len(wanted)]])
    return kinds


def _make_room(path: Path) -> None:
    """Remove an earlier demo; refuse to touch anything else."""
    own = {
        *("instances.json", "images", "detections.json", "second_annotator.json"),
        *("soft_masks", "truth.json"),
    }
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    strange = {p.name for p in path.iterdir()} - own if path.is_dir() else {"a file"}
    if strange or not (path / "truth.json").exists():
        raise CallError("it holds something else than a demo", str(path), "choose an empty folder")
    files.remove_tree(path)
