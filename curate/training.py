"""From an audit to a detector: accepted masks become boxes to learn from, split by image.

The semi-automatic step of *Segment Anything* (section 4): a class-agnostic detector, trained on the
masks that are sure, tells later which masks it can confirm.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from curate import __version__
from curate.errors import AuditError, CallError, SourceError
from curate.pictures import ImageFolder
from curate.progress import Progress
from curate.store import Audit, write_json

if TYPE_CHECKING:
    from curate.models.detector_scenes import Scene
    from curate.models.detector_start import Start
    from curate.models.detector_training import Epoch, Schedule, Trained
    from curate.models.devices import Device

FEWEST_IMAGES = 10
"""With fewer images there is nothing to learn from, or nothing to try it on."""

RECORD, WORK = "training.json", "work"
READERS = 4


@dataclass(frozen=True)
class TrainingSettings:
    """How a detector is trained on an audit.

    Attributes:
        start: Weights to start from, a folder or a hub name; None starts a small RT-DETR from
            nothing.
        size: Height and width of the input in pixels; the start's own, or 512, if None.
        folds: 1 trains one detector and holds ``held_out`` of the images out; K trains K, each on
            all but its own K-th, so that every mask can be confirmed by one that never saw it.
        held_out: Share of the images that is held out where there is one fold.
        epochs: Most rounds over the images.
        patience: Rounds without a better held-out precision after which it ends.
        batch: Images a step.
        learning_rate: 0.001 from nothing and 0.0001 from weights, if None.
        seed: Of the split, the order, the augmentation and first weights.
    """

    start: str | None = None
    size: int | None = None
    folds: int = 1
    held_out: float = 0.2
    epochs: int = 100
    patience: int = 15
    batch: int = 8
    learning_rate: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.folds <= 100:
            raise CallError(f"--folds is {self.folds}", "train-detector", "give 1, or 2 to 100")
        if not 0 < self.held_out < 1:
            raise CallError(f"--held-out is {self.held_out}", "train-detector", "give 0.2 or so")
        if self.size is not None and not 64 <= self.size <= 4096:
            raise CallError(f"--size is {self.size}", "train-detector", "give 64 to 4096")

    def schedule(self) -> Schedule:
        """Return how long and how fast.

        Raises:
            CallError: A number is out of range.
        """
        from curate.models.detector_training import Schedule

        rate = self.learning_rate or (1e-3 if self.start is None else 1e-4)
        return Schedule(self.epochs, self.patience, self.batch, rate, self.seed)


@dataclass(frozen=True)
class Training:
    """A trained detector on disk.

    Attributes:
        path: Its folder; ``--detector`` takes it.
        record: What stands in its ``training.json``.
    """

    path: Path
    record: dict[str, Any] = field(repr=False)

    def as_dict(self) -> dict[str, Any]:
        """Return the record without its long lists of pictures."""
        return {k: v for k, v in self.record.items() if k not in ("picture_keys", "images")}

    def text(self) -> str:
        """Return what to print."""
        r, held = self.record, self.record["held_out"]
        images, counts = r["images"], r["counts"]
        lines = [
            f"detector in {self.path}: on {counts['held_out_images']:,} held-out images "
            f"({counts['held_out_masks']:,} masks) its average precision is "
            f"{held['ap50']:.3f} at IoU 0.5 and {held['ap']:.3f} over 0.5 to 0.95",
            f"trained on {counts['images']:,} images with {counts['masks']:,} accepted masks, on "
            f"{r['device']}"
            + (f", {r['best_epoch']} epochs of {len(r['history'])}" if r["history"] else ""),
        ]
        if images["left_out"]:
            lines.append(f"{len(images['left_out']):,} images left out: no picture that opens")
        if r["settings"]["folds"] == 1:
            lines.append(
                "masks of the images it was trained on get no detector_score from it; with "
                "--folds 5 every mask gets one from a detector that never saw it"
            )
        return "\n".join(lines)


def train_detector(
    audit: Audit,
    out: Path,
    *,
    settings: TrainingSettings | None = None,
    images: Path | None = None,
    device: str | None = None,
    restart: bool = False,
    report: Progress | None = None,
) -> Training:
    """Train a class-agnostic detector on an audit's accepted masks.

    Killed, it goes on after the last whole epoch when it is called again; finished, it returns what
    is there.

    Args:
        audit: A finished one.
        out: The detector's folder; new, empty, or an earlier training's with the same settings.
        settings: From what, how long, how it is tried.
        images: Folder of the pictures; the one that the audit was given, if None.
        device: torch's name of it; the first GPU, else the CPU, if None.
        restart: Throw away what ``out`` holds of an earlier training.
        report: Called with progress.

    Raises:
        CallError: A setting is wrong, there are too few images, or a package is missing.
        SourceError: The weights to start from, the pictures, or the checkpoint cannot be used.
        AuditError: ``out`` holds something else, or another training.
    """
    from curate.models.devices import choose_device

    settings = settings or TrainingSettings()
    schedule, place = settings.schedule(), choose_device(device)
    scenes, left_out = _scenes(audit, _pictures(audit, images), report)
    needed = max(FEWEST_IMAGES, 2 * settings.folds if settings.folds > 1 else 0)
    if len({scene.group for scene in scenes}) < needed:
        raise CallError(
            f"{len(scenes):,} different images have accepted masks and a picture that opens; "
            f"training needs {needed}",
            str(audit.path),
            "give more images, or accept more masks (`curate decide` with another policy)",
        )
    done = _claim(out, settings, _identity(settings, scenes), restart)
    if done is not None:
        return Training(out, done)
    about = _About(audit, settings, place, left_out, _identity(settings, scenes))
    parts = []
    for k, sides in enumerate(_sides(scenes, settings)):
        target = out if settings.folds == 1 else out / f"fold-{k + 1}"
        named = f"fold {k + 1} of {settings.folds}" if settings.folds > 1 else "training"
        shown = _shown(report, named, schedule.epochs)
        parts.append(_one(target, sides, about, schedule, shown))
    record = parts[0] if settings.folds == 1 else about.folded(parts)
    if settings.folds > 1:
        write_json(out / RECORD, record)
    return Training(out, record)


def _shown(report: Progress | None, stage: str, epochs: int) -> Callable[[Epoch], None]:
    def show(epoch: Epoch) -> None:
        if report:
            report(stage, epoch.epoch, epochs, 0)

    return show


def _pictures(audit: Audit, images: Path | None) -> ImageFolder:
    known = images or audit.info["inputs"].get("images")
    if known is None:
        raise CallError("the audit was given no pictures", str(audit.path), "give --images DIR")
    return ImageFolder(Path(known))


# --- what is learnt from -------------------------------------------------------------------------


def _scenes(
    audit: Audit, folder: ImageFolder, report: Progress | None
) -> tuple[list[Scene], list[int]]:
    """Return images with accepted masks, and the ids of those whose picture does not open."""
    from curate.models.detections import picture_key
    from curate.models.detector_scenes import Scene

    rows, boxes = _accepted(audit)

    def key_of(row: Any) -> str | None:
        picture = folder.load(row.file_name, _size(row))
        return None if picture is None else picture_key(picture)

    keys: dict[int, str] = {}
    left_out = []
    with ThreadPoolExecutor(READERS) as readers:
        for done, (row, key) in enumerate(zip(rows, readers.map(key_of, rows), strict=True), 1):
            if key is None:
                left_out.append(int(row.image_id))
            else:
                keys[int(row.image_id)] = key
            if report:
                report("reading pictures", done, len(rows), 0)
    scenes = []
    for row in rows:
        image_id = int(row.image_id)
        if image_id in keys:
            leader = keys.get(image_id if pd.isna(row.leader) else int(row.leader), keys[image_id])
            picture = _Picture(folder, row.file_name, _size(row))
            scenes.append(Scene(image_id, keys[image_id], boxes[image_id], picture, leader))
    return scenes, left_out


def _accepted(audit: Audit) -> tuple[list[Any], dict[int, Any]]:
    """Return a row for every image with accepted masks, and their boxes by image, XYWH."""
    columns = set(audit.query("select * from masks limit 0").columns)
    crowds = "and coalesce(iscrowd, 0) = 0" if "iscrowd" in columns else ""
    masks = audit.query(
        "select image_id, bbox_x, bbox_y, bbox_w, bbox_h from masks "
        f"where action = 'accept' and area_px > 0 {crowds} "
        "order by image_id, bbox_x, bbox_y, bbox_w, bbox_h"
    )
    columns = set(audit.query("select * from images limit 0").columns)
    leader = "near_duplicate_of" if "near_duplicate_of" in columns else "null"
    images = audit.query(
        f"select image_id, file_name, height, width, {leader} as leader from images "
        "order by image_id"
    )
    values = masks.iloc[:, 1:].to_numpy(np.float64)
    by_image = {int(str(k)): values[v] for k, v in masks.groupby("image_id").indices.items()}
    rows: list[Any] = [*images.itertuples(index=False)]
    rows = [row for row in rows if int(row.image_id) in by_image]
    return rows, by_image


def _size(row: Any) -> tuple[int, int] | None:
    size = int(row.height), int(row.width)
    return size if min(size) >= 1 else None


@dataclass(frozen=True)
class _Picture:
    """Gives one picture's pixels whenever it is called."""

    folder: ImageFolder
    file_name: str
    size: tuple[int, int] | None

    def __call__(self) -> Any:
        picture = self.folder.load(self.file_name, self.size)
        if picture is None:
            where = str(self.folder.path / self.file_name)
            raise SourceError("the picture is gone or changed since training began", where)
        return picture


def _sides(
    scenes: Sequence[Scene], settings: TrainingSettings
) -> Iterator[tuple[list[Scene], list[Scene]]]:
    """Yield what each detector learns from, and what it is tried on."""
    from curate.models.detector_scenes import deal, split

    if settings.folds == 1:
        yield split(scenes, held_out=settings.held_out, seed=settings.seed)
        return
    dealt = deal(scenes, settings.folds, seed=settings.seed)
    for k, own in enumerate(dealt):
        yield [scene for j, other in enumerate(dealt) if j != k for scene in other], own


# --- what stands in the folder -------------------------------------------------------------------


def _identity(settings: TrainingSettings, scenes: Sequence[Scene]) -> str:
    """Return what must be the same for a folder to be gone on with, as a short hex name."""
    digest = hashlib.blake2b(repr(asdict(settings)).encode(), digest_size=16)
    for scene in scenes:
        digest.update(f"{scene.image_id}:{scene.key}:{scene.group};".encode())
        digest.update(np.ascontiguousarray(scene.boxes, np.float64).tobytes())
    return digest.hexdigest()


def _claim(
    out: Path, settings: TrainingSettings, identity: str, restart: bool
) -> dict[str, Any] | None:
    """Make ``out`` ready; return the record of a training that is finished already."""
    import orjson

    if out.exists() and not out.is_dir():
        raise AuditError("it is a file", str(out), "choose a directory")
    own = {"config.json", "preprocessor_config.json", "model.safetensors", RECORD, WORK}
    folds = {f"fold-{k}" for k in range(1, 101)}
    names = {p.name for p in out.iterdir()} if out.is_dir() else set()
    strangers = sorted(names - own - folds)
    if strangers or (names and not names & {RECORD, WORK, "fold-1"}):
        what = f"it holds something else ({', '.join(strangers or sorted(names))[:80]})"
        raise AuditError(what, str(out), "choose an empty directory")
    if restart:
        for name in names:
            path = out / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        return None
    if RECORD not in names:
        return None
    try:
        found: dict[str, Any] = orjson.loads((out / RECORD).read_bytes())
        before = found["identity"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        before = None
    if before != identity:
        raise AuditError(
            "it holds a detector trained on other masks or with other settings",
            str(out),
            "choose another directory, or pass --restart to throw that detector away",
        )
    return found


def _start(settings: TrainingSettings, scenes: Sequence[Scene]) -> Start:
    from curate.models.detector_start import SIZE, start_anew, start_from

    if settings.start is not None:
        return start_from(settings.start, size=settings.size)
    most = max(len(scene.boxes) for scene in scenes)
    return start_anew(size=settings.size or SIZE, objects=min(most, 600), seed=settings.seed)


def _one(
    target: Path,
    sides: tuple[list[Scene], list[Scene]],
    about: _About,
    schedule: Schedule,
    shown: Callable[[Epoch], None],
) -> dict[str, Any]:
    """Train one detector into a folder, or return the record of one that is there."""
    import orjson

    from curate.models.detector_start import save_detector
    from curate.models.detector_training import train_detector as train

    if (target / RECORD).is_file():  # an earlier run of several folds came this far
        return dict(orjson.loads((target / RECORD).read_bytes()))
    start = _start(about.settings, [*sides[0], *sides[1]])
    work = target / WORK
    work.mkdir(parents=True, exist_ok=True)
    checkpoint = work / "checkpoint.safetensors"
    trained = train(sides, start, schedule, about.device, checkpoint=checkpoint, report=shown)
    save_detector(start, trained.model, work / "model")
    for path in sorted((work / "model").iterdir()):
        os.replace(path, target / path.name)
    record = about.single(sides, trained)
    write_json(target / RECORD, record)  # last: what has a record is whole
    shutil.rmtree(work)
    return record


@dataclass(frozen=True)
class _About:
    """What all records of one training say alike."""

    audit: Audit
    settings: TrainingSettings
    device: Device
    left_out: list[int]
    identity: str

    def _common(self) -> dict[str, Any]:
        return {
            "tool": "curate",
            "tool_version": __version__,
            "identity": self.identity,
            "audit": {"path": str(self.audit.path.resolve()), "source": self.audit.info["source"]},
            "settings": asdict(self.settings),
            "device": self.device.name,
        }

    def single(self, sides: tuple[list[Scene], list[Scene]], trained: Trained) -> dict[str, Any]:
        """Return the record of one detector."""
        learnt, held = sides
        return self._common() | {
            "held_out": asdict(trained.best.precision),
            "best_epoch": trained.best.epoch,
            "stopped_early": trained.stopped_early,
            "history": [epoch.as_dict() for epoch in trained.history],
            "counts": {
                "images": len(learnt),
                "masks": sum(len(scene.boxes) for scene in learnt),
                "held_out_images": len(held),
                "held_out_masks": sum(len(scene.boxes) for scene in held),
            },
            "images": {
                "train": [scene.image_id for scene in learnt],
                "held_out": [scene.image_id for scene in held],
                "left_out": self.left_out,
            },
            "picture_keys": {
                "train": sorted({scene.key for scene in learnt}),
                "held_out": sorted({scene.key for scene in held}),
            },
        }

    def folded(self, parts: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the record of several detectors: precision is the mean over the folds."""
        held = {
            name: float(np.mean([part["held_out"][name] for part in parts]))
            for name in ("ap", "ap50", "ap75")
        }
        counts = {
            name: sum(part["counts"][f"held_out_{name}"] for part in parts)
            for name in ("images", "masks")
        }
        named = {f"fold-{k + 1}": part for k, part in enumerate(parts)}
        return self._common() | {
            "held_out": held,
            "folds": {name: part["held_out"] for name, part in named.items()},
            "history": [],
            "counts": counts | {f"held_out_{name}": count for name, count in counts.items()},
            "images": {
                "folds": {name: part["images"]["held_out"] for name, part in named.items()},
                "left_out": self.left_out,
            },
            "picture_keys": {
                "train": [],
                "folds": {name: part["picture_keys"]["held_out"] for name, part in named.items()},
            },
        }
