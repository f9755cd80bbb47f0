"""An audit's inputs joined with the images of all parts of its source, before these are scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from curate.common.pool import Pool
from curate.dataset.notes import Note
from curate.formats.format import Part
from curate.formats.reading import detect
from curate.images import ImageFolder
from curate.pipeline.inputs import Inputs
from curate.pipeline.join_check import check_join
from curate.pipeline.join_facts import (
    join_facts,
    list_not_joined,
    note_left_over,
    picture_facts,
    write_joins,
)
from curate.pipeline.reference_sources import ReferenceSource
from curate.pipeline.source_images import list_images
from curate.scorers.stability import SoftMasks
from curate.store.audit_records import JoinRecord

Found = dict[str, dict[str, str]]
"""Paths of files by file name of their image, "" for none, by the input that they are of."""


@dataclass(frozen=True)
class Joins:
    """Joins of the inputs with the images of all parts.

    Attributes:
        facts: By input what :func:`curate.pipeline.join_facts.join_facts` says.
        notes: What to say about them.
        same_categories: By input whether its categories may be compared.
        offsets: The first image of each part.
        names: The file name of every image.
        found: Files of images by file name, "" for none, in each folder that is given.
    """

    facts: dict[str, JoinRecord] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
    same_categories: dict[str, bool] = field(default_factory=dict)
    offsets: tuple[int, ...] = ()
    names: Sequence[str] = ()
    found: Found = field(default_factory=dict)

    def found_of(self, part: Part) -> Found:
        """Return the files of a part's images."""
        if not self.found:
            return {}
        some = self.names[self.offsets[part.index] : self.offsets[part.index + 1]]
        return {
            folder: {name: files[name] for name in some if name in files}
            for folder, files in self.found.items()
        }


def join_inputs(
    pool: Pool,
    source: Path,
    out: Path,
    format: str,
    inputs: Inputs,
    parts: Sequence[Part],
    sides: Sequence[ReferenceSource],
) -> Joins:
    """Join other sources with the images of all parts, and see whether they fit.

    Raises:
        SourceError: One does not fit at all.
    """
    given = inputs.images if inputs.own_pictures is None else None
    if not sides and given is None and inputs.soft_masks is None:
        return Joins()
    options = inputs.read_options()
    images = list_images(source, format, options, parts, pool.run)
    names = images.listing.texts
    joins = Joins(offsets=tuple(images.offsets.tolist()), names=names)
    if given is not None:
        folder = ImageFolder(given)
        joins.found["images"] = folder.find_all(names, images.files)
        joins.notes.extend(note_left_over(folder, images, joins.found["images"]))
        joins.facts["pictures"] = picture_facts(names, joins.found["images"])
    if inputs.soft_masks is not None:
        joins.found["soft_masks"] = SoftMasks(inputs.soft_masks).find_all(names)
    lists: dict[str, dict[str, list[str]]] = {}
    load = partial(detect(source, format, options).load, source)
    for side in sides:
        found, listing = side.join(images)
        joins.facts[side.name] = join_facts(found, images.listing, listing)
        lists[side.name] = list_not_joined(found, listing)
        checked = check_join(
            side,
            images,
            found,
            parts,
            load,
            categories=side.name == "detections",
            trust=inputs.trust_joins,
        )
        joins.notes.extend(checked.notes)
        joins.same_categories[side.name] = checked.same_categories
    write_joins(out, lists)
    return joins
