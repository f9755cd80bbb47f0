"""Folders of COCO files by split in all that no edit names."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from curate.formats.edits import Edits
from curate.formats.untouched.json_list_check import check_coco
from curate.formats.untouched.tree_check import FileCheck, TreeEdits, check_tree


def check_coco_splits(source: Path, written: Path, edits: Edits) -> str:
    """Compare two folders in all that no edit names."""
    keys = [*edits.drop, *edits.change, *(one.image_key for one in edits.add)]
    names = {key.rpartition("#/")[0] for key in keys}
    files: dict[str, FileCheck] = {name: partial(_check, edits, name) for name in names}
    return check_tree(source, written, TreeEdits(files))


def _check(edits: Edits, name: str, source: Path, written: Path) -> str:
    """Compare one file; its keys begin with its own name, those of the dataset with its path."""
    cut, mark = name.rfind("/") + 1, f"{name}#/"
    mine = replace(
        edits,
        drop=frozenset(key[cut:] for key in edits.drop if key.startswith(mark)),
        change={key[cut:]: one for key, one in edits.change.items() if key.startswith(mark)},
        add=[one for one in edits.add if one.image_key.startswith(mark)],
    )
    return check_coco(source, written, mine)
