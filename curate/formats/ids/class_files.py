"""Files of classes beside files of ids, which follow the edits of these."""

from __future__ import annotations

import shlex
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
    source: Path,
    edits: Edits,
    layout: IdLayout,
    beside: Mapping[str, Sequence[ClassFile]],
    folders: Mapping[str, str],
) -> None:
    """Raise where masks get a category that has no place.

    Args:
        source: The dataset.
        edits: What changes.
        layout: Its layout.
        beside: The files of classes beside each file of ids that has edits.
        folders: The category of files whose folder says it.

    Raises:
        CallError: Some edit names a category, and neither ids nor files of classes nor the folder
            can have it; or an added mask has none, and the folder would give it one.
    """
    if layout.code.name != "none":
        named = [key for key, one in edits.change.items() if one.category is not None]
        if named:
            what = f"{named[0]} is to have the category {edits.change[named[0]].category!r}, but "
            what += "its class is part of its id, which a mask keeps"
            raise CallError(what, str(source), "reject it and draw it again with that category")
        return
    _refuse_other_folders(edits, folders)
    bare = {name for name, found in beside.items() if not any(one.named for one in found)}
    bare -= folders.keys()
    change = {key: one for key, one in edits.change.items() if key.rpartition("#")[0] in bare}
    add = [one for one in edits.add if one.image_key in bare]
    unheld = replace(edits, change=change, add=add)
    if layout.title == "Pascal VOC" and unheld.categories:
        what = f"{min(unheld.categories)} is in SegmentationClass, which is no readable part of it"
        raise CallError(what, str(source), "give the folder of both, with the PNG of each image")
    refuse_categories(unheld, str(source))


def _refuse_other_folders(edits: Edits, folders: Mapping[str, str]) -> None:
    """Check that masks have the categories of the folders that their files are in."""
    for key, change in edits.change.items():
        said = folders.get(key.rpartition("#")[0])
        if said is not None and change.category not in (None, said):
            what = f"it is to have the category {change.category!r}, but its folder says {said!r}"
            raise CallError(what, key, "write COCO with --to coco, or take the category back")
    for one in edits.add:
        said = folders.get(one.image_key)
        if said is None or one.category == said:
            continue
        has, do = "no category", f"give it that with --category {shlex.quote(said)}"
        if one.category is not None:
            has, do = f"the category {one.category!r}", "write COCO with --to coco"
        what = f"the added mask has {has}, but the folder of its image says {said!r}"
        raise CallError(what, one.image_key, do)
