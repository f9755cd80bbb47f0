"""Files of classes beside files of ids, which follow the edits of these."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from curate.errors import CallError
from curate.formats.edits import Edits
from curate.formats.ids.id_edits import IdFileEdits
from curate.formats.ids.id_places import IdLayout
from curate.formats.new_pixels import refuse_categories


@dataclass(frozen=True)
class ClassFile:
    """One file of classes beside one of ids.

    Attributes:
        name: Its path under the source, as source keys have it.
        named: Whether it says the class of each mask, which ids do not carry.
        write: (edits of the ids, whose a pixel is that two masks claim, the file, target): writes
            it anew. Raises :class:`CallError` where it cannot hold a class.
    """

    name: str
    named: bool
    write: Callable[[IdFileEdits, str | None, Path, BinaryIO], None]


def refuse_unheld_categories(
    source: Path, edits: Edits, layout: IdLayout, beside: Mapping[str, Sequence[ClassFile]]
) -> None:
    """Raise where masks get a category that has no place.

    Args:
        source: The dataset.
        edits: What changes.
        layout: Its layout.
        beside: The files of classes beside each file of ids that has edits.

    Raises:
        CallError: Some edit names a category, and neither ids nor files of classes can have it.
    """
    if layout.code.name != "none":
        named = [key for key, one in edits.change.items() if one.category is not None]
        if named:
            what = f"{named[0]} is to have the category {edits.change[named[0]].category!r}, but "
            what += "its class is part of its id, which a mask keeps"
            raise CallError(what, str(source), "reject it and draw it again with that category")
        return
    bare = {name for name, found in beside.items() if not any(one.named for one in found)}
    change = {key: one for key, one in edits.change.items() if key.rpartition("#")[0] in bare}
    add = [one for one in edits.add if one.image_key in bare]
    unheld = replace(edits, change=change, add=add)
    if layout.title == "Pascal VOC" and unheld.categories:
        what = f"{min(unheld.categories)} is in SegmentationClass, which is no readable part of it"
        raise CallError(what, str(source), "give the folder of both, with the PNG of each image")
    refuse_categories(unheld, str(source))
