"""Contract suite of exchange tools."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, TypedDict, cast

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from curate import rle
from curate.common import files
from curate.common.arrays import BoolArray
from curate.common.json_values import JsonObject
from curate.errors import CallError
from curate.people.exchange import import_file, write_queue
from curate.people.exchange.importing import ImportResult
from curate.people.exchange.registry import REGISTRY, ExchangeTool, ExportOptions
from curate.people.queues.population import queue
from curate.people.reviews import open_reviews
from curate.pipeline import scoring
from curate.pipeline.inputs import Inputs
from curate.store.audit import StoredAudit
from curate.testing.format_contract import STRANGERS, content

NAMES = ("plain.png", "folder/plain.png", "ünï 中文.png", "a\"b<c>&'d.png")
"""File names of the images."""


def ring(height: int, width: int) -> BoolArray:
    """Draw a ring along the border of an image, and its middle as a part of its own."""
    pixels = np.ones((height, width), bool)
    pixels[1:-1, 1:-1] = False
    if height > 4 and width > 4:
        pixels[2:-2, 2:-2] = True
    return pixels


def one_pixel(height: int, width: int) -> BoolArray:
    """Draw the last pixel of an image."""
    pixels = np.zeros((height, width), bool)
    pixels[-1, -1] = True
    return pixels


def diagonal(height: int, width: int) -> BoolArray:
    """Draw pixels that touch at their corners."""
    return np.eye(height, width, dtype=bool)


def dots(height: int, width: int) -> BoolArray:
    """Draw many single pixels."""
    pixels = np.zeros((height, width), bool)
    pixels[::3, ::2] = True
    return pixels


def border(height: int, width: int) -> BoolArray:
    """Draw the top and the right border of an image."""
    pixels = np.zeros((height, width), bool)
    pixels[0], pixels[:, -1] = True, True
    return pixels


def full(height: int, width: int) -> BoolArray:
    """Draw all pixels of an image."""
    return np.ones((height, width), bool)


HARD_SHAPES: tuple[Callable[[int, int], BoolArray], ...] = (
    *(ring, one_pixel, diagonal, dots, border, full),
)
"""Masks that are hard to carry: (height, width) to pixels."""


class DatasetImage(TypedDict):
    """An image of a COCO dataset."""

    id: int
    file_name: str
    height: int
    width: int


class HardDataset(TypedDict):
    """A COCO dataset."""

    images: list[DatasetImage]
    annotations: list[JsonObject]
    categories: list[JsonObject]


def hard_dataset() -> HardDataset:
    """Return a COCO dataset of hard masks, of which the last of each image is there twice."""
    images: list[DatasetImage] = []
    annotations: list[JsonObject] = []
    for image, name in enumerate(NAMES, 1):
        height, width = 11 + 3 * image, 31 - 4 * image
        images.append({"id": image, "file_name": name, "height": height, "width": width})
        for shape in (*HARD_SHAPES, HARD_SHAPES[image]):
            annotations.append(
                {
                    "id": 7 + len(annotations),
                    "image_id": image,
                    "category_id": 1 + len(annotations) % 2,
                    "segmentation": rle.encode(shape(height, width))[0],
                    "iscrowd": 0,
                }
            )
    categories: list[JsonObject] = [{"id": 1, "name": "cat"}, {"id": 2, "name": "<b>\"&' dog"}]
    return {"images": images, "annotations": annotations, "categories": categories}


def audit_dataset(source: JsonObject, folder: Path) -> StoredAudit:
    """Write a COCO dataset and a picture for each of its images, and audit it.

    Args:
        source: The dataset.
        folder: Where ``source.json``, ``pictures`` and ``audit`` are made.
    """
    pictures = folder / "pictures"
    files.mkdir(pictures, parents=True)
    for image in cast(list[DatasetImage], source["images"]):
        name = image["file_name"].replace("\\", "/")
        target = pictures / (Path(name).name if name.startswith((".", "/")) else name)
        size = (image["height"], image["width"], 3)
        pixels = np.random.default_rng(image["id"]).integers(0, 255, size, np.uint8)
        packed = io.BytesIO()
        Image.fromarray(pixels).save(packed, "JPEG" if "JPG" in name.upper() else "PNG")
        files.mkdir(target.parent, parents=True, exist_ok=True)
        files.write_bytes(target, packed.getvalue())
    files.write_text(folder / "source.json", json.dumps(source))
    return scoring.audit(folder / "source.json", folder / "audit", inputs=Inputs(images=pictures))


def draw_all(audit: StoredAudit) -> pd.DataFrame:
    """Return all masks of an audit as a queue, and record that they were drawn."""
    rows = queue(audit, actions=("accept", "review", "reject"))
    if len(rows):
        open_reviews(audit, create=True).record_draw("errors", rows[["mask_id"]], {})
    return rows


def check_round_trip(
    name: str,
    audit: StoredAudit,
    rows: pd.DataFrame,
    out: Path,
    *,
    crops: bool | None = None,
    review: Callable[[Path], Path] = lambda out: out,
    assume_reviewed: bool = True,
) -> ImportResult | None:
    """Write a queue, import what comes back unchanged, and check that every mask is accepted.

    Args:
        name: Of a registered tool.
        audit: The audit.
        rows: Its queue.
        out: Where the queue is written to.
        crops: As in :class:`~curate.people.exchange.registry.ExportOptions`.
        review: What people and the tool do: from what was written to what comes back.
        assume_reviewed: Whether what comes back unchanged must be said to be reviewed; False where
            people state a decision on each mask.

    Returns:
        What was imported; None where the queue is empty.
    """
    masks = int(rows["mask_id"].nunique()) if len(rows) else 0
    place = (name, crops)
    assert write_queue(audit, rows, out, name, how=ExportOptions(crops)) == masks, place
    if not masks:
        return None
    back = review(out)
    reviewer = out.name[:20]
    done = import_file(audit, back, reviewer=reviewer, assume_reviewed=assume_reviewed)
    assert done.format == name, place
    assert done.added.actions == {"accept": masks}, (place, done.text())
    assert done.added.missing == 0, place
    decisions = open_reviews(audit).decisions()
    own = decisions[decisions["reviewer"] == reviewer]
    assert (own["iou"].dropna() == 1).all(), place
    assert own["iou"].notna().all() or not assume_reviewed, place
    assert own["segmentation"].isna().all(), place
    return done


class ExchangeContract:
    """Contract of an exchange tool; subclass it as ``Test...``, name the tool, and run pytest.

    Attributes:
        tool: The tool. It need not be registered.
        ending: Of the path that a queue is written to: "" for a folder, else as ".json".
        crops: Ways of writing pictures to try, as
            :attr:`~curate.people.exchange.registry.ExportOptions.crops` has them.
        assume_reviewed: Whether what comes back unchanged must be said to be reviewed, as of a
            corrected dataset; False where people state a decision on each mask.
    """

    tool: ClassVar[ExchangeTool]
    ending: ClassVar[str] = ""
    crops: ClassVar[tuple[bool | None, ...]] = (None,)
    assume_reviewed: ClassVar[bool] = True

    def review(self, out: Path) -> Path:
        """Do what a person does in the tool who finds every mask right.

        Args:
            out: What was written.

        Returns:
            What the tool exports then; here what was written.
        """
        return out

    @pytest.fixture
    def tested(self) -> ExchangeTool:
        """Return the tool; override it to test several."""
        return self.tool

    @pytest.fixture(autouse=True)
    def registered(self, tested: ExchangeTool, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let the tool be found by its name."""
        if tested.name not in {*REGISTRY.writer_names(), *REGISTRY.reader_names()}:
            added = {**REGISTRY._added, tested.name: tested}
            monkeypatch.setitem(vars(REGISTRY), "_added", added)

    @pytest.fixture
    def audit(self, tmp_path: Path) -> StoredAudit:
        """Return an audit of masks that are hard to carry."""
        return audit_dataset(hard_dataset(), tmp_path)

    def test_it_has_a_name_and_a_title(self, tested: ExchangeTool) -> None:
        """The name is what people type; at least one half is there."""
        assert re.fullmatch("[a-z][a-z0-9-]*", tested.name)
        halves = [half for half in (tested.writer, tested.reader) if half]
        assert halves, "it can neither be written nor read"
        assert all(half.title for half in halves)

    def test_files_of_others_are_not_its(self, tested: ExchangeTool, tmp_path: Path) -> None:
        """``matches`` says no, and never raises an error."""
        if tested.reader is None:
            pytest.skip("nothing comes back from it")
        empty = tmp_path / "nothing"
        files.mkdir(empty)
        assert not tested.reader.matches(empty)
        for k, data in enumerate(STRANGERS):
            file = tmp_path / f"stranger-{k}"
            files.write_bytes(file, data)
            assert not tested.reader.matches(file), f"it takes {data!r} for its own"
            renamed = tmp_path / f"stranger-{k}{self.ending}"
            files.write_bytes(renamed, data)
            assert tested.reader.matches(renamed) in (True, False)

    def test_every_mask_goes_out(
        self, tested: ExchangeTool, audit: StoredAudit, tmp_path: Path
    ) -> None:
        """All are written, which is what is said, and the audit is not touched."""
        if tested.writer is None:
            pytest.skip("nothing is written for it")
        rows = draw_all(audit)
        before = content(audit.path)
        for crops in self.crops:
            out = tmp_path / f"out-{crops}{self.ending}"
            how = ExportOptions(crops)
            assert write_queue(audit, rows, out, tested.name, how=how) == len(rows)
            assert out.exists()
        assert content(audit.path) == before

    def test_an_empty_queue_is_written(
        self, tested: ExchangeTool, audit: StoredAudit, tmp_path: Path
    ) -> None:
        """Or it is refused in a sentence, and nothing is left."""
        if tested.writer is None:
            pytest.skip("nothing is written for it")
        out = tmp_path / f"out{self.ending}"
        try:
            assert write_queue(audit, draw_all(audit).iloc[:0], out, tested.name) == 0
        except CallError:
            assert not out.exists()

    def test_nothing_changes_on_the_way(
        self, tested: ExchangeTool, audit: StoredAudit, tmp_path: Path
    ) -> None:
        """Out and back without a change accepts every mask, to the pixel, and only once."""
        if tested.writer is None or tested.reader is None:
            pytest.skip("it goes one way only")
        rows = draw_all(audit)
        for crops in self.crops:
            out = tmp_path / f"out-{crops}{self.ending}"
            done = check_round_trip(
                tested.name,
                audit,
                rows,
                out,
                crops=crops,
                review=self.review,
                assume_reviewed=self.assume_reviewed,
            )
            assert done is not None
            again = import_file(
                audit, done.path, reviewer=out.name[:20], assume_reviewed=self.assume_reviewed
            )
            assert again.added.decisions == 0, "what was imported already is not new"
