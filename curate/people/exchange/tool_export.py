"""Pictures with masks that come back from a tool, joined with the audit by the masks' own ids.

Tools number everything anew, so a mask is known by the ``mask_id`` that stands among its
attributes, and a picture by its name. What people do to ids is told apart: of several copies of a
mask the one most like it is the mask, and the others are new ones; an id that was typed over, or
belongs to another image, says nothing, so its mask is a new one (or one found again, where it is
equal to the pixel). A crop is put back in its place before it is compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from curate.errors import CallError, SourceError
from curate.people.exchange.compare import decisions_of
from curate.people.exchange.compared_parts import ShownMasks
from curate.people.exchange.exported_masks import shown_as_told, shown_by_name, shown_in_queue
from curate.people.exchange.match_masks import Joining
from curate.people.exchange.queue_writing import check_version
from curate.people.exchange.readers import ImportedDecisions, ImportOptions
from curate.people.exchange.tool_image_names import PictureNames, PictureWindow
from curate.people.exchange.tool_labels import Labels
from curate.people.exchange.tool_shapes import ImportedImage, Tool
from curate.people.reviews.review_file import Reviews, has_reviews
from curate.store.rows_by_id import IntArray, rows_of


def join(reviews: Reviews, tool: Tool, path: Path, options: ImportOptions) -> ImportedDecisions:
    """Return what people did to the masks of a queue, from what a tool gave back.

    Args:
        reviews: The audit's decisions.
        tool: How the file is read.
        path: The file.
        options: What the caller knows of it.

    Raises:
        SourceError: It is of other images, a picture has another size than the audit says, a mask
            was sent out from another version of the dataset or cannot be read, or nothing says what
            people were given.
    """
    placing = _Placing(reviews, path.name)
    pictures = list(tool.pictures(path, placing))
    places = placing.of(pictures)
    own = [one for one, place in zip(pictures, places, strict=True) if place is not None]
    check_version(reviews.audit, (s.version for one in own for s in one.shapes), path.name)
    joining = Joining(reviews.audit, pictures, places)
    joining.settle_ids(path.name)
    shown = _shown(reviews, joining, places, options, path, tool)
    shown = joining.admit(shown)
    if options.match == "iou":
        joining.match(shown)
    unseen = np.setdiff1d(_invisible(reviews, places), joining.ids())
    shown = replace(shown, lost=np.union1d(joining.lost(), unseen))
    parts = joining.parts(Labels(reviews.audit, tool.label))
    found = decisions_of(reviews.audit, parts, path.name, shown, options)
    strange = {"images in it that the audit does not have": places.count(None)}
    notes = found.notes | strange | joining.notes
    return replace(found, notes=notes, seen=_seen(places, joining.unsure))


def _seen(places: Sequence[PictureWindow | None], unsure: frozenset[int]) -> pd.DataFrame:
    """Return what pictures show, without images of which a tool lost a new mask, maybe."""
    rows = [
        {"image_id": one.image_id, "height": one.height, "width": one.width}
        | ({side: getattr(one.box, side) for side in "xywh"} if one.box else {})
        for one in places
        if one is not None and one.image_id not in unsure
    ]
    return pd.DataFrame(rows, columns=["image_id", "height", "width", *"xywh"])


class _Placing:
    """Finds out what pictures show, some at a time, before anything on them is read."""

    def __init__(self, reviews: Reviews, name: str) -> None:
        self._audit = reviews.audit
        self._names = PictureNames(reviews.audit)
        self._name = name
        # The picture is kept with its place: another one may not get its number in memory.
        self._found: dict[int, tuple[ImportedImage, PictureWindow | None]] = {}
        self._seen: dict[tuple[int, int | None], str] = {}

    def __call__(self, pictures: Sequence[ImportedImage]) -> list[bool]:
        """Return which pictures are of the audit.

        Raises:
            SourceError: One has another size than the audit says, or stands for another one's
                image.
        """
        names, numbers = [one.name for one in pictures], [one.number for one in pictures]
        for picture, place in zip(pictures, self._names.places(names, numbers), strict=True):
            self._check(picture, place)
            self._found[id(picture)] = (picture, place)
        return [self._found[id(picture)][1] is not None for picture in pictures]

    def of(self, pictures: Sequence[ImportedImage]) -> list[PictureWindow | None]:
        """Return what each picture shows; None for what is not of this audit.

        Raises:
            SourceError: As above, or none of them is of this audit.
        """
        rest = [picture for picture in pictures if id(picture) not in self._found]
        if rest:
            self(rest)
        places = [self._found[id(picture)][1] for picture in pictures]
        if not any(place is not None for place in places):
            audit = self._audit.path.name
            raise SourceError("none of its images is in the audit", self._name, f"audit: {audit}")
        return places

    def _check(self, picture: ImportedImage, place: PictureWindow | None) -> None:
        if place is None:
            return
        where = f"{self._name}, image {picture.name[:80]!r}"
        if picture.size != place.size:
            (h, w), (old_h, old_w) = picture.size, place.size
            raise SourceError(f"it is {w} x {h}, in the audit {old_w} x {old_h}", where)
        key = (place.image_id, place.mask_id)
        if key in self._seen:
            raise SourceError(f"it stands for the same image as {self._seen[key][:80]!r}", where)
        self._seen[key] = picture.name


def _invisible(reviews: Reviews, places: Sequence[PictureWindow | None]) -> IntArray:
    """Return masks without a pixel, or that cannot be read: no tool shows them to anybody."""
    images = np.array([place.image_id for place in places if place is not None], np.int64)
    masks = rows_of(reviews.audit, "masks", "image_id", images, ("mask_id", "area_px"))
    return masks.loc[masks["area_px"] == 0, "mask_id"].to_numpy(np.int64)


def _shown(
    reviews: Reviews,
    joining: Joining,
    places: list[PictureWindow | None],
    options: ImportOptions,
    path: Path,
    tool: Tool,
) -> ShownMasks:
    """Return which masks people were given: a crop's own, of whole images those of its draws."""
    ids, named = joining.ids(), shown_by_name(reviews, joining.named())
    known = [place for place in places if place is not None]
    crops = np.array([p.mask_id for p in known if p.mask_id is not None], np.int64)
    whole = np.array([p.image_id for p in known if p.mask_id is None], np.int64)
    if not len(whole):
        if options.given is not None:
            what = "what people were given of crops stands in the names of their pictures"
            raise CallError(what, "--given", "leave it out")
        return ShownMasks(np.unique(crops), True, draws=named.draws if named else None)
    if options.given is not None:
        told = shown_as_told(reviews, options.given, tool.ids)
    elif len(ids):
        told = named or shown_in_queue(reviews, ids, path.name)
    elif has_reviews(reviews.audit) and len(reviews.draws()):
        do = "say what people were given: --given FILE, or the number of the draw"
        raise SourceError("its masks bear no mask_id", path.name, do)
    else:
        told = ShownMasks()  # nothing was ever drawn: it is no queue, but a dataset
    if not len(crops):
        return told
    masks = rows_of(reviews.audit, "masks", "image_id", whole, ("mask_id",))["mask_id"]
    ids = np.union1d(masks.to_numpy(np.int64)[told.among(masks)], crops)
    return replace(told, ids=ids, sure=True)
