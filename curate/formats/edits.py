"""Edits of a dataset: masks changed, dropped and added, and how a format has stored them.

All of it is plain data, the same for every format. A mask is named by its source key, an image by
the ``source_key`` of the images table. What no edit names stays as it is, byte for byte.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from curate.errors import CallError

MASKS = ("same", "polygon", "rle")
"""How changed and added masks are stored; see :class:`Edits`."""

OVERLAPS = ("new", "old")
"""Whose a pixel is that two masks claim where each pixel has one id only; see :class:`Edits`."""


@dataclass(frozen=True)
class Change:
    """Changes of one mask that stays.

    Attributes:
        counts: Its new pixels as COCO compressed counts, of its image's size; None: as they are.
        category: Its new category, by name; None: as it is.
        attributes: What is noted beside it, where the format has a place for that.
        ignore: True: it becomes an ignore region, in the way of :attr:`Format.ignores`; False: a
            region becomes a mask again; None: as it is.
    """

    counts: bytes | None = None
    category: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    ignore: bool | None = None


@dataclass(frozen=True)
class Addition:
    """A mask that is new.

    Attributes:
        image_key: ``source_key`` of its image in the images table.
        counts: Its pixels as COCO compressed counts.
        height: Height of its image in pixels.
        width: Width of its image in pixels.
        category: Its category, by name; None where nothing is known.
        attributes: What is noted beside it, where the format has a place for that.
        over_void: It takes void pixels, which no mask gets else.
        crowd: It is a crowd region, where the format has these.
        wanted_id: The id that it gets where the format has ids of its own and nothing has this one,
            not even a mask that goes; else, and if None, the next that is free.
    """

    image_key: str
    counts: bytes
    height: int
    width: int
    category: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    over_void: bool = False
    crowd: bool = False
    wanted_id: int | None = None


@dataclass(frozen=True)
class Edits:
    """All that changes in a dataset.

    Attributes:
        drop: Source keys of masks that go.
        change: Changed masks by source key; none of them is dropped.
        add: New masks, in the order in which they get their ids.
        masks: How new pixels are stored. "same": as the mask was stored before (an added one as
            most of its file are), a polygon only where its rings rasterise to exactly these pixels
            and do not need a seam (see :mod:`curate.formats.polygons`), else RLE where the format
            has it. "polygon" and "rle": always so; refused where the format has no such thing.
        overlap: In formats where a pixel has one id only: whose a pixel is that a changed or added
            mask and one that stays both claim. None: such a write is refused.
    """

    drop: AbstractSet[str] = frozenset()
    change: Mapping[str, Change] = field(default_factory=dict)
    add: Sequence[Addition] = ()
    masks: str = "same"
    overlap: str | None = None

    @property
    def only_drops(self) -> bool:
        """Whether masks go and nothing else happens."""
        return not self.change and not self.add

    @property
    def is_empty(self) -> bool:
        """Whether nothing happens at all."""
        return self.only_drops and not self.drop

    @property
    def ignored(self) -> frozenset[str]:
        """Source keys of masks that become ignore regions."""
        return frozenset(key for key, one in self.change.items() if one.ignore)

    @property
    def categories(self) -> frozenset[str]:
        """The categories that changed and added masks get."""
        named = [one.category for one in self.change.values()]
        named += [one.category for one in self.add]
        return frozenset(name for name in named if name is not None)

    @property
    def wanted_ids(self) -> frozenset[int]:
        """The ids that added masks are to get where they are free."""
        return frozenset(one.wanted_id for one in self.add if one.wanted_id is not None)

    def refuse_attributes(self, where: str) -> None:
        """Raise where something is to be noted beside a mask: for formats without such a place.

        Raises:
            CallError: Some edit has attributes.
        """
        noted = [one.attributes for one in self.change.values()]
        noted += [one.attributes for one in self.add]
        if any(noted):
            what = "this format has no place for attributes beside a mask"
            raise CallError(what, where, "leave --attributes out: the provenance file has them")


def new_ids(add: Sequence[Addition], top: int, taken: AbstractSet[int]) -> list[int]:
    """Return ids of new masks: those that they are to have where these are free, else the next.

    Args:
        add: The new masks.
        top: The highest id of all.
        taken: Which of the wanted ids are not free.
    """
    made: list[int] = []
    for one in add:
        wanted = one.wanted_id
        free = wanted is not None and wanted > 0 and wanted not in taken and wanted not in made
        if wanted is None or not free:
            top += 1
            while top in made:
                top += 1
            wanted = top
        made.append(wanted)
    return made


@dataclass(frozen=True)
class Stored:
    """Forms in which the new pixels of a write were stored.

    Attributes:
        polygons: How many masks became polygons.
        seams: How many of these are one ring that runs through a seam, because of holes or parts.
        runs: How many became RLE, PNGs or pixels of an id image.
        turned: How many of these would be polygons, but no rings have exactly their pixels.
        held: Masks that the format could not hold to the pixel: what is stored of them instead, as
            COCO compressed counts, by source key of a mask of the source or by position of an added
            one in :attr:`Edits.add`. Of masks that stay as they are but lost pixels to another
            (:attr:`Edits.overlap`) too. How far they are from what was meant is measured from this.
    """

    polygons: int = 0
    seams: int = 0
    runs: int = 0
    turned: int = 0
    held: Mapping[str | int, bytes] = field(default_factory=dict)
