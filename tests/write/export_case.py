"""An exported dataset: what is meant, what other parsers and curate read, and what is lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn_decisions import label_of, pixels_of
from export_parsers import PARSERS, stem

import curate
from curate.dataset.table import MaskTable
from curate.errors import CallError
from curate.formats.reading import detect
from curate.writing.exports import export_by_name
from curate.writing.exports.losses import KINDS

Key = tuple[str, str | None, bytes]
"""Image, category, pixels."""

PIXELS_LOST = frozenset(
    {"overlap", "polygon", "pixels", "mask", "void", "too many", "unknown image"}
)
IMAGE_LOST = frozenset({"image", "no mask", "no size", "no picture"})


@dataclass(frozen=True)
class Audited:
    """A small dataset with pictures, its audit, and what is in it."""

    audit: Path
    table: MaskTable


@dataclass(frozen=True)
class Compared:
    """What of masks an export keeps apart: images by name, categories."""

    names: bool
    categories: bool

    def key(self, image: str, category: str | None, mask: np.ndarray) -> Key:
        pixels = bytes(str(mask.shape), "ascii") + np.packbits(mask).tobytes()
        return stem(image) if self.names else "", category if self.categories else None, pixels


def meant(table: MaskTable, how: Compared) -> dict[int, Key]:
    """Return the masks with pixels of a source by their ids."""
    names = table.images["file_name"]
    found: dict[int, Key] = {}
    for (number, mask), (_, row) in zip(
        pixels_of(table).items(), table.masks.iterrows(), strict=True
    ):
        if mask is not None and mask.any():
            name = names[row["image_id"]] if row["image_id"] in names.index else ""
            found[number] = how.key(name, label_of(row) or "object", mask)
    return found


def parsed(records: Iterable[Any], how: Compared) -> Counter[Key]:
    return Counter(how.key(n, c, mask) for _, n, c, mask in records if mask is not None)


def kinds_of(of_masks: Mapping[int, str]) -> dict[int, set[str]]:
    """Return the kinds of the losses of each mask that need ``--lossy``."""
    return {
        number: {part.partition(":")[0] for part in text.split("; ")} & KINDS.keys()
        for number, text in of_masks.items()
    }


def outcome(audit: Path, out: Path, name: str, **options: Any) -> Any:
    """Write, with losses where it has to be; they are refused before.

    Pictures are named, so that a format is exported to itself too.
    """
    needs = export_by_name(name).needs_pictures
    options = {"images": "copy" if needs else "none"} | options
    dry = curate.write(audit, to=name, **options)
    assert dry.losses is not None
    assert not out.exists()
    if not dry.losses.refused:
        return curate.write(audit, out, to=name, **options)
    with pytest.raises(CallError, match="cannot hold all of the dataset") as raised:
        curate.write(audit, out, to=name, **options)
    assert not out.exists()
    assert "--lossy" in raised.value.do
    for kind in dry.losses.refused:
        for example in dry.losses.examples[kind]:
            assert example.file_name in raised.value.what
    made = curate.write(audit, out, to=name, lossy=True, **options)
    assert made.losses is not None
    assert made.losses.counts == dry.losses.counts
    return made


def check_export(one: Audited, out: Path, name: str) -> None:
    """Write a dataset in a format and hold it against the source and the losses that are said."""
    export = export_by_name(name)
    needed: dict[str, Any] = {"images": "copy" if export.needs_pictures else "none"}
    losses = curate.write(one.audit, to=name, **needed).losses
    assert losses is not None
    if not losses.images_written:
        with pytest.raises(CallError, match="can hold none of the dataset's images"):
            curate.write(one.audit, out, to=name, lossy=True, **needed)
        assert not out.exists()
        return
    holds, result = export.holds, outcome(one.audit, out, name)
    assert result.out == out
    lost = result.losses
    renamed = lost.counts.get("class name", 0)
    how = Compared("image name" not in lost.counts, holds.categories and not renamed)
    found = parsed(PARSERS[name](out), how)
    assert detect(out).name == export.reader
    assert found == Counter(meant(curate.read(out), how).values())
    assert sum(found.values()) == lost.masks

    wanted, kinds = meant(one.table, how), kinds_of(lost.of_masks)
    touched = {number for number, some in kinds.items() if some & (PIXELS_LOST | IMAGE_LOST)}
    stay = Counter(key for number, key in wanted.items() if number not in touched)
    assert not stay - found
    changed = Counter(key for number, key in wanted.items() if number in touched)
    assert not changed & (found - stay)
    if not any("overlap" in some for some in kinds.values()):
        assert not found - stay
    _check_categories(one.table, lost, kinds, holds.categories)
    if renamed:
        full = Compared(how.names, categories=True)
        names = Counter(key[1] for key in parsed(PARSERS[name](out), full).elements())
        before = Counter(key[1] for n, key in meant(one.table, full).items() if n not in touched)
        assert (before - names).total() <= renamed


def _check_categories(
    table: MaskTable, lost: Any, kinds: Mapping[int, set[str]], held: bool
) -> None:
    gone = {number for number, some in kinds.items() if some & (IMAGE_LOST | {"unknown image"})}
    rows = table.masks[(table.masks["area_px"] > 0) & ~table.masks.index.isin(gone)]
    labelled = sum(label_of(row) is not None for _, row in rows.iterrows())
    assert lost.counts.get("category", 0) == (0 if held else labelled)
