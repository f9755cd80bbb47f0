"""Formats in which any audited dataset can be written; none is loaded before it is asked for.

An export is a module here with an :class:`~curate.writing.exports.export.Export` called ``EXPORT``:
what the format can carry (``Holds``), and a subclass of ``Writer``, which

- finds in one image what the format cannot carry beside what ``Holds`` says (``find_losses``);
  ``losses.find_overlaps`` serves formats in which a pixel has one mask only by ``Holds`` alone;
- writes a stream of images that have no losses any more (``write``), with ``image.split`` set where
  ``options.splits`` names any;
- says where pictures go (``picture_place``), which the caller puts there before;
- says by which of curate's own readers it is read again (``read_back``, ``name_read``).

Everything else (decisions, counting and refusing losses, pictures, the check, names, provenance) is
done in :mod:`curate.writing.exporting`, the same for all.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from curate.errors import CallError

if TYPE_CHECKING:
    from curate.writing.exports.export import Export

EXPORTS: tuple[tuple[str, str], ...] = (
    ("coco", "coco_export"),
    ("yolo", "yolo_export"),
    ("cvat", "cvat_export"),
    ("png-folder", "png_folder_export"),
    ("label-png", "label_png_export"),
    ("voc", "voc_export"),
    ("panoptic", "panoptic_export"),
    ("sa1b", "sa1b_export"),
    ("lvis", "lvis_export"),
    ("label-studio", "label_studio_export"),
    ("huggingface", "huggingface_export"),
    ("kaggle-csv", "kaggle_export"),
    ("fiftyone", "fiftyone_export"),
    ("labelme", "labelme_export"),
    ("supervisely", "supervisely_export"),
)
"""Name and module of every export; the module has it as ``EXPORT``."""


def export_names() -> tuple[str, ...]:
    """Return the names that ``--to`` takes besides that of the source's own format."""
    return tuple(name for name, _ in EXPORTS)


def export_by_name(name: str) -> Export:
    """Return the export of a name, loading it.

    Raises:
        CallError: There is none.
    """
    for own, module in EXPORTS:
        if own == name:
            found: Export = import_module(f"curate.writing.exports.{module}").EXPORT
            return found
    known = ", ".join(export_names())
    raise CallError(f"there is no format {name} to write", "--to", f"use one of {known}")
