"""Export interface: a format in which any audited dataset can be written."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from curate.common.ranges import PICTURES
from curate.formats.edits import MASKS, Stored
from curate.formats.format import ReadOptions
from curate.formats.new_pixels import POLYGON, PixelTally, wants_polygon
from curate.formats.segmentation import draw_polygons
from curate.policy.grammar import check_choice
from curate.writing.exports.losses import Loss
from curate.writing.final_dataset import FinalDataset, FinalImage, FinalMask

RLE = MASKS[2]

UNNAMED = "object"
"""Category of masks that have none, where a format demands one."""


@dataclass(frozen=True)
class Holds:
    """What a format can carry; what it cannot is lost, and counted.

    Attributes:
        categories: Whether masks have categories.
        unnamed: Whether a mask may have no category; else it gets :data:`UNNAMED`.
        crowds: Whether a mask may be a crowd region.
        void: Whether pixels may be void, which training leaves out: crowd regions are these then.
        overlaps: Whether masks of one image may share pixels; else see
            :func:`curate.writing.exports.losses.find_overlaps`.
        no_masks: Whether an image may have no masks; else it is left out.
        no_size: Whether the size of an image may be unknown; else it is left out.
        scores: Whether masks have scores.
        mask_ids: Whether masks keep their ids.
        groups: Whether masks have a group or track number.
        attributes: Whether attributes can be noted beside masks.
        paths: Whether images have paths; else their names have no folders.
    """

    categories: bool = True
    unnamed: bool = False
    crowds: bool = False
    void: bool = False
    overlaps: bool = True
    no_masks: bool = True
    no_size: bool = False
    scores: bool = False
    mask_ids: bool = False
    groups: bool = False
    attributes: bool = False
    paths: bool = True


@dataclass(frozen=True)
class WriterOptions:
    """How a dataset is exported.

    Attributes:
        masks: How pixels are stored where a format has a choice: "same", "polygon" or "rle"; see
            :class:`curate.formats.edits.Edits`.
        splits: Names of the splits, in order; empty for none. Every image has one of them.
        pictures: One of :data:`curate.common.ranges.PICTURES`; None before the export is known.
        folder: Whether the output is to be a folder, where one file would do.

    Raises:
        CallError: There is no such option.
    """

    masks: str = "same"
    splits: tuple[str, ...] = ()
    pictures: str | None = None
    folder: bool = False

    def __post_init__(self) -> None:
        check_choice(self.pictures, "--images", PICTURES)

    @property
    def puts_pictures(self) -> bool:
        """Whether pictures are copied or linked."""
        return self.pictures not in (None, "none")

    @property
    def makes_folder(self) -> bool:
        """Whether the output is a folder even where the format is one file."""
        return self.folder or self.puts_pictures or bool(self.splits)


class ReadBack(NamedTuple):
    """A source in an output, as curate reads it again.

    Attributes:
        path: The file or folder.
        split: The split that it is of; None where images say it themselves, or there are none.
        format: The name of the reader; "" for that of the export.
        options: Options of the reader.
    """

    path: Path
    split: str | None = None
    format: str = ""
    options: ReadOptions = ReadOptions()


class Writer(ABC):
    """Writes one dataset in one format. A subclass for each format.

    Args:
        dataset: What is to be written.
        options: How.

    Attributes:
        split_in_names: Whether the reader tells the splits by the names of the images alone, which
            :meth:`name_read` gives.
        decimals: To how many places coordinates are written; None for all.
        tally: How pixels are stored.

    Raises:
        CallError: The format cannot hold this dataset, whatever may be lost: raised by the
            constructor of a subclass, or while losses are looked for.
    """

    split_in_names = False
    decimals: int | None = None

    def __init__(self, dataset: FinalDataset, options: WriterOptions) -> None:
        self.dataset, self.options = dataset, options
        self.tally = PixelTally()

    @property
    def stored(self) -> Stored:
        """How the pixels were stored, once they are."""
        return self.tally.count_stored()

    def choose_rings(
        self, image: FinalImage, mask: FinalMask, *, single: bool = True
    ) -> list[list[float]] | None:
        """Return the rings as which a mask is written, and count it; None: as run lengths.

        A polygon that nothing changed stays as the source has it; else one stays a polygon where
        rings without seams have exactly its pixels. With ``--masks polygon`` every mask becomes one
        that has any.

        Args:
            image: The image.
            mask: One of its masks.
            single: Whether the format has one ring only.
        """
        own = self.find_own_rings(image, mask, single=single)
        if own is not None:
            self.tally.polygons += 1
            return own
        masks = self.options.masks
        wanted = wants_polygon(masks, POLYGON if mask.polygon else "")
        return self.tally.choose_rings(
            mask.counts, image.size, wanted=wanted, must=masks == POLYGON, single=single
        )

    def find_own_rings(
        self, image: FinalImage, mask: FinalMask, *, single: bool
    ) -> list[list[float]] | None:
        """Return the rings that the source has of a mask, where they are drawn as its pixels.

        Args:
            image: The image.
            mask: One of its masks.
            single: Whether the format has one ring only.
        """
        known = self.dataset.rings if mask.polygon and self.options.masks != RLE else None
        own = None if known is None else known.find(mask.source_key, mask.counts, image.size)
        if own is None or (single and len(own) > 1):
            return None
        if self.decimals is None:
            return own
        rounded = [[round(number, self.decimals) for number in ring] for ring in own]
        return rounded if draw_polygons(rounded, *image.size) == mask.counts else None

    def find_losses(self, image: FinalImage) -> Iterable[Loss]:
        """Find what the format cannot carry of an image, beside what its :class:`Holds` says.

        The image comes without what :class:`Holds` says is lost. Asked for each image, several
        times: the same image must have the same losses, and one written without them none.
        """
        return ()

    @abstractmethod
    def write(self, images: Iterator[FinalImage], out: Path) -> None:
        """Write all images, which have no losses any more.

        Args:
            images: The images in order, with pictures and splits.
            out: The file to make, or a folder that is there and holds nothing but pictures (see
                :meth:`picture_place`). Written by the functions of :mod:`curate.common.files` only.
        """

    def is_folder(self, export: Export) -> bool:
        """Return whether the output is a folder, with these options."""
        return not export.suffix

    def read_back(self, out: Path) -> list[ReadBack]:
        """Return the sources in the output, by which it is checked."""
        return [ReadBack(out)]

    def name_read(self, image: FinalImage) -> str:
        """Return the file name of an image as curate's reader of the output says it.

        Only what :class:`Holds` says of names is compared.
        """
        return image.file_name

    def picture_place(self, image: FinalImage) -> str | None:
        """Return where an image's picture goes, as a path under the output with ``/``.

        Pictures are copied or linked there by the caller, each right before its image is handed to
        :meth:`write`. None for formats that have no place for pictures, or keep them inside.
        """
        return None


@dataclass(frozen=True)
class Export:
    """A format in which any audited dataset can be written.

    Attributes:
        name: As ``--to`` takes it.
        title: Its name for people.
        reader: The name of the format of curate that reads it again.
        holds: What it can carry.
        open: From the dataset and the options to its writer.
        suffix: The ending of its one file; "" where it is a folder.
        in_folder: The path of that file in a folder.
        reads_folder: Whether curate reads such a folder as one dataset.
        needs_pictures: Whether it is of no use without its pictures, since they tell the sizes of
            its images: they are copied unless they are to be linked.
    """

    name: str
    title: str
    reader: str
    holds: Holds
    open: Callable[[FinalDataset, WriterOptions], Writer]
    suffix: str = ""
    in_folder: str = ""
    reads_folder: bool = True
    needs_pictures: bool = False

    @property
    def ignores(self) -> str:
        """What ignore regions are in it, in the words of :attr:`Format.ignores`."""
        return "crowd" if self.holds.crowds else "void" if self.holds.void else ""
