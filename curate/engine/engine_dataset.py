"""One dataset of all settled masks of an engine, with the origin of each beside it.

The masks are gathered as COCO, audited so that nothing is dropped, and written by
:func:`curate.write`, which knows every format and reads back what it wrote. Its provenance is
replaced by one of the engine: a row a mask says from which stage and round it is, which segmenter
proposed it, and who decided.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from curate import __version__
from curate.api.auditing import audit as make_audit
from curate.common import files
from curate.common.paths import AnyPath
from curate.common.progress import Progress
from curate.common.readable_result import ReadableResult
from curate.dataset.notes import count_noun, short_version
from curate.engine.coco_writing import ListedImage, write_coco
from curate.engine.pictures import list_images
from curate.engine.round_detector import ACCEPT_ALL
from curate.engine.settled_masks import (
    CERTIFICATE,
    GIVEN,
    PERSON,
    PREFILLED,
    SettledMasks,
    find_settled_masks,
)
from curate.store.engine_folder import AUDIT, MASKS
from curate.writing.changes import Changes
from curate.writing.provenance import MARK, ExportNotes, write_rows
from curate.writing.write_result import WriteResult
from curate.writing.writer import write

if TYPE_CHECKING:
    from curate.engine.rounds import EngineRounds

ORIGIN_TYPES: dict[str, pa.DataType] = {
    "mask_id": pa.int64(),
    "image_id": pa.int64(),
    "file_name": pa.string(),
    "category": pa.string(),
    "part": pa.string(),
    "stage": pa.int64(),
    "round": pa.int64(),
    "round_mask_id": pa.int64(),
    "change": pa.string(),
    "segmenter": pa.string(),
    "decided_by": pa.string(),
    "reviewers": pa.list_(pa.string()),
    "max_bad": pa.float64(),
    "confidence": pa.float64(),
    "split": pa.string(),
    "lost": pa.string(),
}
"""Columns of the provenance. ``mask_id`` is the id in the dataset, where its format keeps ids;
``part`` the folder in the project whose ``masks.json`` holds the mask, under ``round_mask_id``;
``stage`` and ``round`` are null for masks that were there before, 0 for the validation images, but
of an object that people had missed there the round is the one that asked about it;
``change`` says what became of the proposal ("kept", "redrawn", "relabelled"), or "added";
``segmenter`` is the fingerprint of the one that proposed it, null for masks that people drew;
``decided_by`` is "start", "person" (``reviewers`` says who), "prefilled" or "certificate", of whose
masks at most ``max_bad`` are bad with ``confidence``; ``split`` and ``lost`` are as in the
provenance of :func:`curate.write`."""

_WORDS = {
    PERSON: "by people",
    PREFILLED: "prefilled",
    CERTIFICATE: "by a certificate",
    GIVEN: "there before",
}


@dataclass(frozen=True)
class DatasetOptions:
    """How a dataset is written; each is an argument of :func:`curate.write`.

    Attributes:
        to: The format; None for COCO.
        lossy: Whether what the format cannot carry may be lost.
        overlap: Whose a pixel of two masks is, where it has one id only.
        pictures: What is done with the pictures: "copy", "link", "none"; None: what is usual.
        split: Splits by image, as a text.
        seed: Of the splits.
        provenance: Where the provenance goes; None: beside the dataset.
    """

    to: str | None = None
    lossy: bool = False
    overlap: str | None = None
    pictures: str | None = None
    split: str | None = None
    seed: int = 0
    provenance: AnyPath | None = None


@dataclass(frozen=True, repr=False)
class EngineDataset(ReadableResult):
    """A dataset that was written from an engine, or would be.

    Attributes:
        project: The engine's directory.
        written: Result of the writing.
        images: Images in it.
        empty: How many of them have no mask, since people searched them and there is none.
        masks: Masks in it, by who decided.
        left_out: Images that are left out, by the reason.
        undecided: Masks that are left out because nobody decided on them.
        nameless: Masks in it that have no class.
        changed: Images that are left out because of their file: why, by name.
    """

    project: Path
    written: WriteResult = field(repr=False)
    images: int
    empty: int
    masks: dict[str, int]
    left_out: dict[str, int]
    undecided: int
    nameless: int
    changed: dict[str, str]

    @property
    def out(self) -> Path | None:
        """What was written, read back and compared; None for a dry run."""
        return self.written.out

    @property
    def provenance(self) -> Path | None:
        """The file with the origin of each mask; None for a dry run."""
        return self.written.provenance

    @property
    def needs_lossy(self) -> bool:
        """Whether the format cannot hold everything, and is written only if that is agreed to."""
        return self.written.losses is not None and self.written.losses.needs_lossy

    def as_dict(self) -> dict[str, object]:
        """Return plain values."""
        written = self.written
        return {
            "project": str(self.project),
            "out": None if self.out is None else str(self.out),
            "provenance": None if self.provenance is None else str(self.provenance),
            "format": written.format,
            "version": written.version or None,
            "images": self.images,
            "images_without_masks": self.empty,
            "masks": sum(self.masks.values()),
            "decided_by": self.masks,
            "images_left_out": self.left_out,
            "masks_undecided": self.undecided,
            "masks_without_class": self.nameless,
            "changed": self.changed,
            "export": None if written.export is None else written.export.as_dict(),
        }

    def text(self) -> str:
        """Return it as lines of text."""
        some = ", ".join(f"{count:,} {_WORDS[by]}" for by, count in self.masks.items())
        empty = f" ({self.empty:,} of them without objects)" if self.empty else ""
        total = count_noun(sum(self.masks.values()), "mask")
        lines = [f"{total} of {count_noun(self.images, 'image')}{empty}: {some}"]
        if self.left_out:
            listed = ", ".join(
                f"{count_noun(count, 'image')} {why}" for why, count in self.left_out.items()
            )
            lines.append(f"left out: {listed}")
        lines += [f"  {name}: {why}" for name, why in list(self.changed.items())[:5]]
        if self.undecided:
            lines.append(f"left out: {count_noun(self.undecided, 'mask')} nobody decided on")
        if self.nameless:
            some = count_noun(self.nameless, "mask has", "masks have")
            lines.append(f"{some} no class: people took them and named none")
        if self.written.export is not None:
            lines += self.written.export.lines()
        if self.out is None:
            if self.needs_lossy:
                lines.append("not all can be written so: writing needs --lossy")
            return "\n".join([*lines, "nothing is written without --out"])
        return "\n".join(
            [
                *lines,
                f"wrote {self.out}, read it back: all as expected",
                f"version {short_version(self.written.version)}",
                f"provenance: {self.provenance}",
            ]
        )


def write_engine_dataset(
    rounds: EngineRounds,
    out: AnyPath | None,
    options: DatasetOptions,
    progress: Progress | None,
) -> EngineDataset:
    """Write all settled masks of an engine as one dataset.

    Args:
        rounds: Of the engine.
        out: Where; must not exist. None only says what would be written.
        options: How.
        progress: Called with progress.

    Raises:
        CurateError: No mask is settled, ``out`` or an option cannot be used, or a file of the
            engine is gone.
    """
    with _make_place(rounds.project) as place:
        found = find_settled_masks(rounds, place)
        listed = list_images(rounds.images, found.images)
        masks = found.masks.assign(predicted_iou=np.nan, stability_score=np.nan)
        write_coco(place / MASKS, listed, masks, _name_classes(rounds, masks))
        audited = make_audit(
            place / MASKS,
            place / AUDIT,
            format="coco",
            images=rounds.pictures,
            policy=ACCEPT_ALL,
            progress=progress,
        )
        origin = MaskOrigins(rounds.project, found, listed)
        written = write(
            audited.path,
            out,
            to=options.to,
            lossy=options.lossy,
            overlap=options.overlap,
            images=options.pictures,
            split=options.split,
            seed=options.seed,
            provenance=options.provenance,
            yes=True,  # all of it is the engine's own
            describe=origin,
        )
    counts = found.masks["decided_by"].value_counts()
    return EngineDataset(
        rounds.project,
        written,
        len(found.images),
        len(found.images) - found.masks["image_id"].nunique(),
        {by: int(counts[by]) for by in _WORDS if by in counts},
        found.left_out,
        found.undecided,
        int(found.masks["category"].isna().sum()),
        found.changed,
    )


@contextmanager
def _make_place(project: Path) -> Iterator[Path]:
    """Give a hidden folder in the project, gone again at the end; those of killed runs go first."""
    place = project / f".dataset.{files.process_tag()}{files.PARTIAL}"
    files.remove_abandoned(project, ".dataset.", files.PARTIAL)
    if place.exists():
        files.remove_tree(place)
    files.mkdir(place)
    try:
        yield place
    finally:
        files.remove_tree(place, quiet=True)


def _name_classes(rounds: EngineRounds, masks: pd.DataFrame) -> tuple[str, ...]:
    """Return the names of all classes: those of the engine, then others that masks have."""
    found = masks["category"].dropna().unique().tolist()
    return tuple(dict.fromkeys([*rounds.classes, *sorted(str(name) for name in found)]))


@dataclass(frozen=True)
class MaskOrigins:
    """Origins of the masks of a dataset; called to write them as its provenance.

    Attributes:
        project: The engine's directory.
        found: The masks, numbered from 1 in their order.
        images: All images.
    """

    project: Path
    found: SettledMasks
    images: list[ListedImage] = field(repr=False)

    def __call__(
        self, place: Path, suffix: str, changes: Changes, version: str, export: ExportNotes | None
    ) -> None:
        """Write the provenance; see :class:`curate.writing.provenance.ProvenanceWriter`."""
        table = self._table(changes, export)
        facts: dict[str, object] = {
            "tool": f"curate {__version__}",
            "engine": str(self.project),
            "version": version,
            "images": len(self.images),
            "images_left_out": self.found.left_out,
            "masks_undecided": self.found.undecided,
        }
        facts |= {} if export is None else {"export": export.about}
        with files.open_file(place) as file:
            if suffix == ".json":
                write_rows(file, facts, table.to_pylist())
            else:
                schema = table.schema.with_metadata({MARK: orjson.dumps(facts)})
                pq.write_table(table.cast(schema), file, compression="zstd")
        with files.open_file(place, "r+b") as file:
            files.sync(file)

    def _table(self, changes: Changes, export: ExportNotes | None) -> pa.Table:
        names = {one.image_id: one.file_name for one in self.images}
        frame = self.found.masks.drop(columns="segmentation")
        frame = frame.assign(mask_id=range(1, len(frame) + 1))
        frame["file_name"] = frame["image_id"].map(names)
        noted = {} if export is None else export.columns(frame)
        frame["split"], frame["lost"] = noted.get("split"), noted.get("lost")
        frame["mask_id"] = [changes.renumbered.get(key, key) for key in frame["mask_id"].tolist()]
        columns = []
        for name, kind in ORIGIN_TYPES.items():
            values = frame[name].tolist()
            if name == "reviewers":
                values = [[] if one is None else list(one) for one in values]
            else:
                values = [None if pd.isna(one) else one for one in values]
            columns.append(pa.array(values, kind))
        return pa.table(columns, schema=pa.schema(list(ORIGIN_TYPES.items())))
