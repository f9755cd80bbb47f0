"""Inputs of an audit beside the masks, and the signals that they make available."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from curate.common.fingerprint import fingerprint
from curate.common.ranges import CROWDS
from curate.errors import CallError, CurateError
from curate.formats.format import Format, ReadOptions
from curate.formats.own_pictures import BESIDE_FILE, IN_DATASET, OwnPictures
from curate.formats.reading import dataset_path, detect
from curate.images import ImageFolder
from curate.scorers import all_scorers
from curate.scorers.category import FEATURES
from curate.scorers.stability import SoftMasks
from curate.store.audit_records import SignalRecord


@dataclass(frozen=True)
class Inputs:
    """Inputs of an audit beside the masks: arguments of :func:`curate.audit`, and its pictures.

    Attributes:
        find_images: Whether the dataset's own pictures are used where ``images`` is None.
        own_pictures: Those that :meth:`with_own_pictures` found; they are ``images`` then.
        in_dataset: Whether they lie where the source's reader itself finds them.
    """

    images: Path | None = None
    detections: Path | None = None
    compare: Mapping[str, Path] = field(default_factory=dict)
    soft_masks: Path | None = None
    segmenter: str | None = None
    detector: str | None = None
    verifier: str | None = None
    encoder: str | None = None
    device: str | None = None
    deep: bool = False
    crowd: str = "auto"
    trust_joins: bool = False
    annotations: Path | None = None
    void: tuple[int, ...] | None = None
    class_code: str | None = None
    find_images: bool = True
    own_pictures: OwnPictures | None = None
    in_dataset: bool = False

    def with_own_pictures(self, source: Path, chosen: Format) -> Inputs:
        """Return the inputs with the dataset's own pictures, where no others are given.

        Args:
            source: The source.
            chosen: Its format.
        """
        if self.images is not None or not self.find_images or chosen.pictures is None:
            return self
        try:
            found = chosen.pictures(source)
        except (CurateError, OSError, ValueError):  # what is wrong with it, reading it says
            found = None
        if found is None:
            return self
        in_dataset = chosen.path_read(source).is_dir()
        return replace(self, images=found.folder, own_pictures=found, in_dataset=in_dataset)

    @property
    def pictures_are(self) -> str:
        """Where the dataset's own pictures are, in words; "" where others are given, or none."""
        if self.own_pictures is None:
            return ""
        return IN_DATASET if self.in_dataset else BESIDE_FILE

    def read_options(self) -> ReadOptions:
        """Return the options for the source's reader."""
        return ReadOptions(
            images=None if self.in_dataset else self.images,
            annotations=self.annotations,
            void=self.void,
            class_code=self.class_code,
        )

    def paths(self) -> dict[str, Path]:
        """Return every input that is given, by the name it has in ``audit.json``."""
        named = {f"compare {name}": path for name, path in self.compare.items()}
        given = {
            "images": self.images,
            "detections": self.detections,
            "soft masks": self.soft_masks,
            "annotations": self.annotations,
        }
        return {name: path for name, path in (given | named).items() if path is not None}

    def fingerprints(self) -> dict[str, str]:
        """Return the fingerprint of every input that is given, by the same names."""
        own = {} if self.own_pictures is None else {"images": self.own_pictures.fingerprint()}
        return own | {
            name: fingerprint(path) for name, path in self.paths().items() if name not in own
        }

    def check(self) -> None:
        """Check that every input can be opened, before anything is written.

        Raises:
            SourceError: A folder is not there, or a file is in no format that curate knows.
            CallError: A model is given, but no pictures for it to look at.
        """
        if self.crowd not in CROWDS:
            raise CallError(f"--crowd is {self.crowd}", "", f"choose from {', '.join(CROWDS)}")
        models = {
            "--segmenter": self.segmenter,
            "--detector": self.detector,
            "--verifier": self.verifier,
            "--encoder": self.encoder,
        }
        for option, model in models.items():
            if model is not None and self.images is None:
                raise CallError(f"{option} {model} needs pictures", "", "give --images DIR")
        if self.detector is not None and self.detections is not None:
            raise CallError("--detector and --detections are both given", "", "give one of them")
        if self.images is not None:
            ImageFolder(self.images)
        if self.soft_masks is not None:
            SoftMasks(self.soft_masks)
        for path in (self.detections, *self.compare.values()):
            if path is not None:
                detect(dataset_path(path))


ASK_JUDGE = "curate judge AUDIT --with PROGRAM, afterwards"
"""The command that asks a judge."""


def availability(inputs: Inputs) -> list[SignalRecord]:
    """Say of every scorer whether it could run, and if not, what it would need."""
    given = {
        "images": inputs.images,
        "detections": inputs.detections or inputs.detector,
        "compare": inputs.compare,
        "soft_masks": inputs.soft_masks,
        "segmenter": inputs.segmenter,
        "verifier": inputs.verifier,
        "encoder": inputs.encoder,
        "judge": None,  # it is asked once there is an audit
        "deep": inputs.deep,
    }
    options = {
        "images": "--images DIR",
        "detections": "--detections FILE or --detector NAME",
        "compare": "--compare NAME=FILE",
        "soft_masks": "--soft-masks DIR",
        "segmenter": "--segmenter NAME",
        "verifier": "--verifier MODEL (of curate train-verifier)",
        "encoder": "--encoder MODEL (or handcrafted)",
        "judge": ASK_JUDGE,
        "deep": "--deep",
    }
    rows: list[SignalRecord] = []
    for scorer in all_scorers():
        missing = [options[need] for need in scorer.needs if not given[need]]
        rows.append(
            {
                "name": scorer.name,
                "columns": [
                    c.name for c in (*scorer.columns, *scorer.applied) if c.name != FEATURES
                ],
                "available": not missing,
                "why": f"needs {' and '.join(missing)}" if missing else "",
            }
        )
    return rows
