"""Ids of masks, images and categories in a COCO file made from another format."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from curate.formats.edits import Edits
from curate.formats.format import Format
from curate.store.audit import Audit
from curate.store.audit_files import part_names

UNNAMED = "object"
"""Category of masks that have none: COCO demands one."""

_FROM_ZERO = "yolo"
"""A format that numbers its classes from 0."""


@dataclass(frozen=True)
class Numbers:
    """The ids in a COCO file.

    They are those of the audit, so that masks and images can be found again, but for 0, which
    readers give to the first: COCOeval takes the annotation 0 for no match.

    Attributes:
        categories: Ids of categories by name, in order.
        spare_mask: The id of mask 0.
        spare_image: The id of image 0.
        free: The first id of added masks.
        polygons: Whether most masks of the source are polygons, so that added ones are.
    """

    categories: dict[str, int]
    spare_mask: int
    spare_image: int
    free: int
    polygons: bool

    def mask(self, mask_id: int) -> int:
        """Return the id of a mask in the file."""
        return int(mask_id) or self.spare_mask

    def image(self, image_id: int) -> int:
        """Return the id of an image in the file."""
        return int(image_id) or self.spare_image


def numbers_of(audit: Audit, form: Format, edits: Edits) -> Numbers:
    """Return the ids in a COCO file.

    Args:
        audit: The audit that it is made of.
        form: The format of its source; where image ids are the source's own, one of 0 stays.
        edits: What changes.
    """
    masks = audit.query(
        "select coalesce(max(mask_id), 0) as top, count(*) filter (mask_id = 0) as zeros from masks"
    ).iloc[0]
    images = audit.query("select coalesce(max(image_id), 0) as top from images")["top"].iloc[0]
    spare = int(masks["top"]) + 1
    categories = _category_ids(audit, edits)
    if form.name == _FROM_ZERO:
        categories = {name: number + 1 for name, number in categories.items()}
    return Numbers(
        categories,
        spare_mask=spare,
        spare_image=0 if form.own_ids else int(images) + 1,
        free=spare + int(masks["zeros"] > 0),
        polygons=_are_polygons(audit),
    )


def count_unnamed(audit: Audit, edits: Edits) -> int:
    """Return how many masks get the category :data:`UNNAMED`."""
    missing = "category is null"
    if "category_id" in part_names(audit.path, "masks", 0):
        missing += " and category_id is null"
    found = audit.query(f"select source_key from masks where area_px > 0 and {missing}")
    named = {key for key, change in edits.change.items() if change.category}
    stays = ~found["source_key"].astype(str).isin(edits.drop | named)
    return int(stays.sum()) + sum(one.category is None for one in edits.add)


def _are_polygons(audit: Audit) -> bool:
    """Return whether readers counted crossings, which only polygons have, of most masks."""
    if "outline_crossings" not in part_names(audit.path, "masks", 0):
        return False
    real = "outline_crossings is not null and not isnan(outline_crossings)"
    found = audit.query(f"select count(*) filter ({real}) as rings, count(*) as n from masks")
    return bool(2 * found["rings"].iloc[0] > found["n"].iloc[0])


def _category_ids(audit: Audit, edits: Edits) -> dict[str, int]:
    """Return a number for each category's name: the source's own, for others the next ones."""
    columns = part_names(audit.path, "masks", 0)
    number = "min(category_id)" if "category_id" in columns else "null"
    label = "coalesce(category, cast(category_id as varchar))" if number != "null" else "category"
    found = audit.query(
        f"select coalesce({label}, '{UNNAMED}') as name, {number} as number from masks group by 1"
    )
    numbers = dict(zip(found["name"].astype(str), found["number"], strict=True))
    new = [one.category for one in edits.change.values() if one.category]
    new += [one.category or UNNAMED for one in edits.add]
    made: dict[str, int] = {}
    for name, own in sorted(numbers.items()):
        if not pd.isna(own) and int(own) not in made.values():
            made[name] = int(own)
    nameless = bool(made) and all(name == str(number) for name, number in made.items())
    for name in sorted({*numbers, *new} - made.keys()):
        is_number = nameless and name.isascii() and name.isdigit() and len(name) < 19
        # Where categories have no names, people say their numbers.
        own = int(name) if is_number else -1
        is_free = own >= 0 and own not in made.values()
        made[name] = own if is_free else max([0, *made.values()]) + 1
    return dict(sorted(made.items(), key=lambda one: one[1]))
