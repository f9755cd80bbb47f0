"""The formats that curate reads, by name; nothing is loaded before it is asked for.

What a path holds, and its masks, :mod:`curate.formats.reading` finds.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from curate.common.paths import check_exists
from curate.common.plugins import load_plugins
from curate.errors import CallError

if TYPE_CHECKING:
    from curate.formats.format import Format

__all__ = [
    "BUILT_IN",
    "all_formats",
    "check_format",
    "check_source",
    "format_by_name",
    "format_names",
]

ENTRY_POINTS = "curate.formats"
"""The entry-point group under which other packages add formats."""

BUILT_IN: tuple[tuple[str, str, str], ...] = (
    ("coco-panoptic", "coco.panoptic_format", "FORMAT"),
    ("coco", "coco.coco_format", "FORMAT"),
    ("lvis", "coco.coco_format", "LVIS"),
    ("coco-results", "coco.coco_format", "RESULTS"),
    ("coco-splits", "coco.splits_format", "FORMAT"),
    ("sa1b", "sa1b.sa1b_format", "FORMAT"),
    ("amg", "amg.amg_format", "FORMAT"),
    ("sav", "sav.sav_format", "FORMAT"),
    ("cvat", "cvat.cvat_format", "FORMAT"),
    ("cvat-video", "cvat.video_format", "FORMAT"),
    ("fiftyone", "fiftyone.fiftyone_format", "FORMAT"),
    ("via", "via.via_format", "FORMAT"),
    ("datumaro", "datumaro.datumaro_format", "FORMAT"),
    ("label-studio", "label_studio.label_studio_format", "FORMAT"),
    ("labelme", "labelme.labelme_format", "FORMAT"),
    ("open-images", "open_images.open_images_format", "FORMAT"),
    ("huggingface", "parquet.huggingface_format", "FORMAT"),
    ("kaggle-csv", "csv.run_length_csv", "FORMAT"),
    ("supervisely", "supervisely.supervisely_format", "FORMAT"),
    ("yolo", "yolo.yolo_format", "FORMAT"),
    ("png-folder", "png.png_folder_format", "FORMAT"),
    ("png-flat", "png.png_flat_format", "FORMAT"),
    ("label-png", "png.label_png_format", "FORMAT"),
    ("label-tiff", "tiff.label_tiff_format", "FORMAT"),
    ("label-npy", "npy.label_npy_format", "FORMAT"),
)
"""Name, module and attribute of every built-in format, in the order in which they are tried."""


def format_names() -> tuple[str, ...]:
    """Return the names that ``--format`` takes, without loading what is built in."""
    return (*(name for name, _, _ in BUILT_IN), *_load_plugin_formats())


def all_formats() -> tuple[Format, ...]:
    """Return every format, built-in ones first."""
    return tuple(format_by_name(name) for name in format_names())


def check_format(name: str | None) -> None:
    """Check that there is a format of a name; None passes.

    Raises:
        CallError: There is none.
    """
    if name is not None and name not in format_names():
        known = ", ".join(format_names())
        raise CallError(f"there is no format {name}", "--format", f"use one of {known}")


def check_source(path: Path, format: str | None = None) -> None:
    """Check that a path exists and a format's name is known; nothing is read or loaded.

    Raises:
        CallError: There is no format of that name.
        SourceError: The path does not exist, or its name is no text.
    """
    check_format(format)
    check_exists(path)


@cache
def _load_plugin_formats() -> dict[str, Format]:
    """Return the formats that other packages add."""
    built_in = {name for name, _, _ in BUILT_IN}
    return {one.name: one for one in load_plugins(ENTRY_POINTS) if one.name not in built_in}


@cache
def format_by_name(name: str) -> Format:
    """Return the format of one of the names of :func:`format_names`, loading it."""
    for own, module, attribute in BUILT_IN:
        if own == name:
            found: Format = getattr(import_module(f"curate.formats.{module}"), attribute)
            return found
    return _load_plugin_formats()[name]
