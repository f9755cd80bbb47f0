"""Import of a tool's export: pictures with masks, matched with the audit by the masks' own ids.

Tools renumber everything, so a mask is known by the ``mask_id`` among its attributes, and a picture
by its name. Edited ids are resolved: of several copies of a mask the most similar one is the mask,
and the others are new ones; an id that was typed over, or belongs to another image, is ignored, so
its mask is a new one (or matched, where it is equal to the pixel). A crop is placed on its image
before it is compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from curate.common.arrays import IntArray
from curate.errors import CallError, SourceError
from curate.people.exchange.compare import compare_with_audit
from curate.people.exchange.exported_masks import (
    ExportedMasks,
    find_matching_draw,
    find_named_draws,
    read_exported,
)
from curate.people.exchange.image_names import ImageFinder, PictureWindow
from curate.people.exchange.imported_images import ImageExport, ImportedImage
from curate.people.exchange.match_masks import MaskMatching
from curate.people.exchange.queue_writing import check_version
from curate.people.exchange.registry import DecisionReader, ImportedDecisions, ImportOptions
from curate.people.exchange.tool_labels import Labels
from curate.people.reviews.review_file import Reviews, has_reviews
from curate.store.rows_by_id import rows_of


def export_reader(title: str, export: ImageExport) -> DecisionReader:
    """Return the reader of a tool's export.

    Args:
        title: The tool's name for people.
        export: How its files are read.
    """
    return DecisionReader(
        title,
        export.matches,
        lambda reviews, path, options: import_tool_export(reviews, export, path, options),
    )


def import_tool_export(
    reviews: Reviews, export: ImageExport, path: Path, options: ImportOptions
) -> ImportedDecisions:
    """Return people's decisions on the masks of a queue, from a tool's export.

    Args:
        reviews: The audit's decisions.
        export: How the file is read.
        path: The file.
        options: What the caller knows of it.

    Raises:
        SourceError: It is of other images, a picture has another size than the audit says, a mask
            was sent out from another version of the dataset or cannot be read, or nothing says the
            exported masks.
    """
    check_version(reviews.audit, [export.version(path)], path.name)
    finder = ImageFinder(reviews.audit, path.name)

    def is_wanted(images: Sequence[ImportedImage]) -> list[bool]:
        names, numbers = [one.name for one in images], [one.number for one in images]
        where = [f"image {name[:80]!r}" for name in names]
        found = finder.find(names, numbers, [one.size for one in images], where)
        return [window is not None for window in found]

    pictures = list(export.images(path, is_wanted))
    places = finder.windows
    if not any(place is not None for place in places):
        audit = reviews.audit.path.name
        raise SourceError("none of its images is in the audit", path.name, f"audit: {audit}")
    own = [one for one, place in zip(pictures, places, strict=True) if place is not None]
    check_version(reviews.audit, (s.version for one in own for s in one.shapes), path.name)
    matching = MaskMatching(reviews.audit, pictures, places)
    matching.drop_wrong_ids(path.name)
    shown = _find_exported(reviews, matching, places, options, path, export)
    shown = matching.add_unexported(shown)
    if options.match == "iou":
        matching.match(shown)
    unseen = np.setdiff1d(_find_invisible(reviews, places), matching.ids())
    shown = replace(shown, lost=np.union1d(matching.take_lost(), unseen))
    parts = matching.parts(Labels(reviews.audit, export.label))
    found = compare_with_audit(reviews.audit, parts, path.name, shown, options)
    strange = {"images in it that the audit does not have": places.count(None)}
    notes = found.notes | strange | matching.notes
    return replace(found, notes=notes, seen=_windows_frame(places, matching.unsure))


def _windows_frame(places: Sequence[PictureWindow | None], unsure: frozenset[int]) -> pd.DataFrame:
    """Return the windows that pictures show, without images of which new masks may be lost."""
    rows = [
        {"image_id": one.image_id, "height": one.height, "width": one.width}
        | ({side: getattr(one.box, side) for side in "xywh"} if one.box else {})
        for one in places
        if one is not None and one.image_id not in unsure
    ]
    return pd.DataFrame(rows, columns=["image_id", "height", "width", *"xywh"])


def _find_invisible(reviews: Reviews, places: Sequence[PictureWindow | None]) -> IntArray:
    """Return masks without a pixel, or that cannot be read: no tool shows them to anybody."""
    images = np.array([place.image_id for place in places if place is not None], np.int64)
    masks = rows_of(reviews.audit, "masks", "image_id", images, ("mask_id", "area_px"))
    return masks.loc[masks["area_px"] == 0, "mask_id"].to_numpy(np.int64)


def _find_exported(
    reviews: Reviews,
    matching: MaskMatching,
    places: list[PictureWindow | None],
    options: ImportOptions,
    path: Path,
    export: ImageExport,
) -> ExportedMasks:
    """Return the exported masks: a crop's own; of whole images those of its draws."""
    ids, named = matching.ids(), find_named_draws(reviews, matching.find_draws())
    known = [place for place in places if place is not None]
    crops = np.array([p.mask_id for p in known if p.mask_id is not None], np.int64)
    whole = np.array([p.image_id for p in known if p.mask_id is None], np.int64)
    if not len(whole):
        if options.exported is not None:
            what = "the names of crops say which mask each one shows"
            raise CallError(what, "--exported", "leave it out")
        return ExportedMasks(np.unique(crops), True, draws=named.draws if named else None)
    if options.exported is not None:
        exported = read_exported(reviews, options.exported, export.ids)
    elif len(ids):
        exported = named or find_matching_draw(reviews, ids, path.name)
    elif has_reviews(reviews.audit) and len(reviews.draws()):
        do = "name the exported subset: --exported FILE, or the number of the draw"
        raise SourceError("its masks bear no mask_id", path.name, do)
    else:
        exported = ExportedMasks()  # nothing was ever drawn: it is no queue, but a dataset
    if not len(crops):
        return exported
    masks = rows_of(reviews.audit, "masks", "image_id", whole, ("mask_id",))["mask_id"]
    ids = np.union1d(masks.to_numpy(np.int64)[exported.among(masks)], crops)
    return replace(exported, ids=ids, sure=True)
