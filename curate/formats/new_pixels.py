"""New pixels of masks: checks before anything is written, and the form in which they are stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from curate import rle
from curate.errors import CallError
from curate.formats.edits import Edits, Stored
from curate.formats.polygons import TracedRings, trace_rings

POLYGON = "polygon"
"""A mask of rings, whatever the format calls it; anything else is none."""


def new_runs(counts: bytes, size: tuple[int, int], where: str) -> rle.Runs:
    """Decode the new pixels of a mask.

    Args:
        counts: COCO compressed counts.
        size: Height and width of the mask's image in pixels.
        where: The mask's source key, or that of its image, for the message.

    Returns:
        One mask with a pixel at least.

    Raises:
        CallError: The counts do not decode for this size, or no pixel is set.
    """
    runs, codes = rle.decode_counts([counts], [size[0]], [size[1]])
    if codes[0]:
        what = f"the new mask does not fit the image of {size[1]} x {size[0]} pixels"
        raise CallError(f"{what} ({rle.PROBLEMS[codes[0]]})", where, "draw it on this image")
    if not len(runs.starts):
        raise CallError("the new mask has no pixel", where, "reject the mask instead")
    return runs


def refuse_categories(edits: Edits, where: str) -> None:
    """Raise where a mask is to get a category, for formats that have none.

    Raises:
        CallError: Some edit names a category.
    """
    named = [(key, change.category) for key, change in edits.change.items()]
    named += [(f"a mask added to {one.image_key}", one.category) for one in edits.add]
    named = [(key, category) for key, category in named if category is not None]
    if named:
        key, category = named[0]
        more = f" and {len(named) - 1:,} more" if len(named) > 1 else ""
        what = (
            f"{key} is to have the category {category!r}{more}, but this format has no categories"
        )
        do = "write COCO with --to coco, or take the categories back"
        raise CallError(what, where, do)


def refuse_polygons(edits: Edits, where: str) -> None:
    """Raise where masks are to be stored as polygons, for formats that have none.

    Raises:
        CallError: Polygons are asked for.
    """
    if edits.masks == "polygon":
        raise CallError("this format has no polygons", where, "use --masks same")


def new_pixels(edits: Edits) -> Iterator[tuple[str | int, bytes]]:
    """Yield the masks that get pixels: source key of a changed one or position of an added one."""
    for key, change in edits.change.items():
        if change.counts is not None:
            yield key, change.counts
    for position, addition in enumerate(edits.add):
        yield position, addition.counts


def image_size(known: tuple[int, int], height: int, width: int, image_key: str) -> tuple[int, int]:
    """Return the size of the image to which a mask is added.

    Args:
        known: Height and width as the source says; (0, 0) where it does not.
        height: As the addition says, in pixels.
        width: As the addition says, in pixels.
        image_key: Source key of the image, for the message.

    Raises:
        CallError: The two differ.
    """
    if known not in ((0, 0), (height, width)):
        what = f"the added mask is {width} x {height}, its image {known[1]} x {known[0]}"
        raise CallError(what, image_key, "draw it on this image")
    return height, width


def wants_polygon(masks: str, kind: str) -> bool:
    """Return whether a mask is to be stored as a polygon where it has one.

    Args:
        masks: See :class:`curate.formats.edits.Edits`.
        kind: What the mask was, or what a new one would like to be; :data:`POLYGON` for a polygon.
    """
    return masks == POLYGON or (masks == "same" and kind == POLYGON)


def ragged_error(key: str, do: str) -> CallError:
    """Return the error that a mask has no polygon, where it must be one."""
    return CallError("the new mask is too large or too ragged for one polygon", key, do)


class PixelTally:
    """Choice of the forms in which new pixels are stored, and its counts.

    Attributes:
        polygons: Masks that became polygons.
        seams: How many of these run through a seam.
        runs: Masks that became RLE, PNGs or pixels.
        turned: How many of these would be polygons, but no rings have exactly their pixels.
        held: What is stored as COCO counts, where it is not what was meant.
    """

    def __init__(self) -> None:
        self.polygons = self.seams = self.runs = self.turned = 0
        self.held: dict[str | int, bytes] = {}

    def choose_rings(
        self,
        counts: bytes,
        size: tuple[int, int],
        *,
        wanted: bool,
        must: bool = False,
        single: bool = True,
    ) -> list[list[float]] | None:
        """Return the rings as which a mask is stored, and count it; None: as run lengths.

        Args:
            counts: The mask as COCO compressed counts.
            size: Height and width of its image in pixels.
            wanted: Whether it is a polygon where rings without a seam have exactly its pixels.
            must: Whether rings may run along seams, since it is to be a polygon whatever it takes.
                Where there are none even so, the caller refuses the mask or stores run lengths.
            single: Whether the format has one ring only.
        """
        found = self.choose(
            lambda seams: trace_rings(counts, size, single=single, seams=seams), wanted, must
        )
        return None if found is None else found.rings

    def choose(
        self, trace: Callable[[bool], TracedRings | None], wanted: bool, must: bool = False
    ) -> TracedRings | None:
        """Choose as :meth:`choose_rings` does, by rings that a format makes in its own way.

        Args:
            trace: From whether seams are allowed to the rings; None where there are none.
            wanted: As there.
            must: As there.
        """
        found = trace(must) if wanted or must else None
        if found is not None:
            self.polygons += 1
            self.seams += found.seamed
        else:
            self.runs += 1
            self.turned += wanted or must
        return found

    def count_stored(self) -> Stored:
        """Return the counts as the result of a write."""
        return Stored(self.polygons, self.seams, self.runs, self.turned, self.held)
