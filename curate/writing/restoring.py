"""Restoring: one mask brought back into a dataset, from the provenance that lies beside it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from curate.common import files
from curate.common.json_values import JsonObject
from curate.common.paths import AnyPath, as_path, check_exists
from curate.common.ranges import check_numbers
from curate.common.readable_result import ReadableResult
from curate.dataset.notes import count_noun, short_version
from curate.dataset.version_id import VersionHash, image_digests, plain_name
from curate.errors import CallError, SourceError
from curate.formats.edits import OVERLAPS, Addition, Change, Edits, Stored
from curate.formats.format import Format, ReadOptions
from curate.formats.reading import detect
from curate.formats.table_builder import plain
from curate.policy.grammar import check_choice
from curate.writing.changes import append_reason, describe_loss
from curate.writing.checked_write import Expected, Made, write_checked
from curate.writing.naming import (
    DATASET,
    NOTE,
    name_both,
    place_output,
    refuse_other_archive,
    refuse_place,
)
from curate.writing.naming import beside as folder_beside
from curate.writing.provenance import beside, place_of, refuse_inside
from curate.writing.provenance_reading import RowChange, read_left, read_reasons, write_restored


@dataclass(frozen=True, repr=False)
class RestoreResult(ReadableResult):
    """Result of restoring a mask, or of its dry run.

    Attributes:
        dataset: The dataset that it was missing in.
        format: The name of its format.
        mask_id: Its id in the audit.
        change: "removed" or "ignored", as it was.
        file_name: Its image.
        dataset_changed: Whether the dataset is another than the one that the provenance is of.
        lost_category: Its category, where the dataset's format has no categories; else None.
        twins: Masks of the dataset with its very pixels, which are others: their source keys.
        shared: What came of pixels that it shares with other masks, where a pixel has one id only,
            in words; "" where there are none.
        out: What was written, read back and compared; None for a dry run.
        provenance: The provenance beside it; None for a dry run.
        version: Content id of what was written; "" for a dry run.
        new_mask_id: Its id in what was written; None for a dry run.
        new_source_key: Where it stands there; "" for a dry run.
    """

    dataset: Path
    format: str
    mask_id: int
    change: str
    file_name: str
    dataset_changed: bool = False
    lost_category: str | None = None
    twins: tuple[str, ...] = ()
    shared: str = ""
    out: Path | None = None
    provenance: Path | None = None
    version: str = ""
    new_mask_id: int | None = None
    new_source_key: str = ""

    def as_dict(self) -> dict[str, object]:
        """Return plain values, for JSON."""
        return {
            "dataset": str(self.dataset),
            "format": self.format,
            "mask_id": self.mask_id,
            "change": self.change,
            "file_name": self.file_name,
            "dataset_changed": self.dataset_changed,
            "lost_category": self.lost_category,
            "twins": list(self.twins),
            "shared": self.shared or None,
            "out": None if self.out is None else str(self.out),
            "provenance": None if self.provenance is None else str(self.provenance),
            "version": self.version or None,
            "new_mask_id": self.new_mask_id,
            "new_source_key": self.new_source_key or None,
            "dry_run": self.out is None,
        }

    def text(self) -> str:
        """Return the result in a few lines."""
        what = f"mask {self.mask_id} of {self.file_name or 'an image without a name'}"
        if self.lost_category is not None:
            what += f", without its category {self.lost_category} (the format has none)"
        note = ["note: the dataset was changed since its provenance was written"]
        note = note if self.dataset_changed else []
        if self.twins:
            also = f" and {len(self.twins) - 1:,} more" if len(self.twins) > 1 else ""
            note.append(f"note: {self.twins[0]}{also} has the same pixels, and stays")
        note += [f"note: {self.shared}"] if self.shared else []
        if self.out is None:
            would = f"would restore {what}, {self.change} before; nothing is written without --out"
            return "\n".join([*note, would])
        return "\n".join(
            [
                *note,
                f"restored {what}: id {self.new_mask_id}, {self.new_source_key}",
                f"wrote {self.out}, read it back: all as expected",
                f"version {short_version(self.version)}",
                f"provenance: {self.provenance}",
            ]
        )


def restore(
    dataset: AnyPath,
    mask: int,
    out: AnyPath | None = None,
    *,
    overlap: str | None = None,
    provenance: AnyPath | None = None,
) -> RestoreResult:
    """Bring one mask back into a dataset that ``prune`` or ``write`` made, to the pixel.

    A mask that was removed is added to its image, behind the others, with its own id where the
    format has numbers of its own and that one is free, else with the next; one that became a crowd
    region is a mask again. A duplicate comes back beside the mask with its very pixels that stayed.
    Where the format has no categories, it has none either. All else stays, byte for byte. The
    provenance of the new dataset says ``restored``.

    Args:
        dataset: The dataset; it is not touched.
        mask: Id of the mask in the audit, as the provenance has it.
        out: Where the dataset with the mask is written; must not exist. None only says what would
            be.
        overlap: "new" or "old": whose a pixel is that the mask and another one claim, where a pixel
            has one id only (:attr:`curate.formats.edits.Edits.overlap`). None: an error.
        provenance: The provenance of the dataset; None: beside it.

    Raises:
        CallError: The provenance has no such mask that left, the dataset has no image for it or has
            it already, an option is none, the mask overlaps others and nothing says whose the
            pixels are, or ``out`` cannot be used.
        SourceError: The dataset or the provenance cannot be read.
        AuditError: ``out`` cannot be written, or what was written is not what was meant.
    """
    check_numbers(mask=mask)
    check_choice(overlap, "--overlap", OVERLAPS)
    source = Path(dataset)
    check_exists(source)
    place = place_output(out, source)
    known = as_path(provenance) or beside(source)
    if not known.exists():
        what, do = "there is no provenance of the dataset here", "name it with --from FILE"
        raise SourceError(what, str(known), f"{do}: curate prune and curate write made one")
    facts, row = read_left(known, mask)
    version = facts.get("version")
    form = detect(source, None, _read_options(facts))
    with files.scratch() as work:
        edits, expected, found = _plan(form, source, work, row, version)
    edits = replace(edits, overlap=overlap)
    lost = None if found.named else _lost_category(form, source, edits)
    if lost is not None:
        edits = replace(edits, add=[replace(one, category=None) for one in edits.add])
    result = RestoreResult(
        source,
        form.name,
        mask,
        str(row["change"]),
        str(row["file_name"] or ""),
        dataset_changed=version not in (None, found.version),
        lost_category=lost,
        twins=tuple(found.twins),
    )
    if place is None:
        return replace(result, shared=_describe_shared(edits, form.write(source, None, edits)))
    refuse_place(source, known, place)
    refuse_other_archive(source, place)
    note_place = place_of(place, place.with_name(beside(place).stem + known.suffix))
    refuse_inside(note_place, place, source, known)
    with folder_beside(place) as folder:
        made = folder / DATASET / source.name
        files.mkdir(made.parent)
        done = write_checked(form, source, made, edits, Expected(expected, None), place)
        new_id, new_key = _find_place(form, done, edits, row, (made, place))
        note = folder / f"{NOTE}{known.suffix}"
        told = {"change": "restored", "new_mask_id": new_id, "new_source_key": new_key}
        changes = [*_list_cut(form, source, known, done.stored), RowChange("mask_id", mask, told)]
        write_restored(known, note, _with_restored(facts, done.version, mask), changes)
        name_both(made, place, note, note_place, renew=True)
    return replace(
        result,
        out=place,
        provenance=note_place,
        version=done.version,
        new_mask_id=new_id,
        new_source_key=new_key,
        shared=_describe_shared(edits, done.stored),
    )


def _describe_shared(edits: Edits, stored: Stored) -> str:
    """Describe the pixels that a restored mask and others lost to each other; "" for none."""
    said = []
    if 0 in stored.held:
        one = edits.add[0]
        said.append(describe_loss(one.counts, stored.held[0], (one.height, one.width))[1])
    others = sum(isinstance(key, str) for key in stored.held)
    if others:
        said.append(f"{count_noun(others, 'other mask')} lost pixels to it")
    return "; ".join(said)


def _list_cut(form: Format, source: Path, known: Path, stored: Stored) -> list[RowChange]:
    """Return the rows of masks that lost pixels to the restored one, for the provenance."""
    keys = [key for key in stored.held if isinstance(key, str)]
    if not keys:
        return []
    reasons, found = read_reasons(known, keys), []
    with files.scratch() as work:
        for part in form.plan(source, work):
            masks = form.load(source, part).masks
            for row in masks[masks["source_key"].isin(keys)].to_dict("records"):
                key, size = str(row["source_key"]), (int(row["height"]), int(row["width"]))
                iou, text = describe_loss(bytes(row["segmentation"]), stored.held[key], size)
                reason = append_reason(reasons.get(key), text)
                values = {"change": "cut", "stored_iou": iou, "reason": reason}
                values["file_name"] = str(row["file_name"])
                found.append(RowChange("new_source_key", key, values))
    return found


def _with_restored(facts: JsonObject, version: str, mask: int) -> JsonObject:
    before = facts.get("restored")
    listed = [*before, mask] if isinstance(before, list) else [mask]
    return {**facts, "version": version, "restored": listed}


def _read_options(facts: JsonObject) -> ReadOptions:
    """Return the options with which the audited source was read."""
    told: Any = facts.get("read_with") or {}
    void, code = told.get("void"), told.get("class_code")
    return ReadOptions(
        void=tuple(void) if isinstance(void, list) else None,
        class_code=code if isinstance(code, str) else None,
    )


def _lost_category(form: Format, source: Path, edits: Edits) -> str | None:
    """Return the category that a mask has to come back without; None where it may have it."""
    category = next((one.category for one in edits.add), None)
    if category is not None:
        try:
            form.write(source, None, edits)
        except CallError:
            return category
    return None


class _Found(NamedTuple):
    """What a dataset has of a mask that left it.

    Attributes:
        masks: How many masks it has.
        named: Whether one of them has a category.
        version: Its content id.
        images: Images of the mask's file name: source key by image id.
        same: Crowd regions of its image with its very pixels: their source keys.
        twins: Masks of these images with its very pixels that are none.
    """

    masks: int
    named: bool
    version: str
    images: dict[int, str]
    same: list[str]
    twins: list[str]


def _plan(
    form: Format, source: Path, work: Path, row: JsonObject, version: object
) -> tuple[Edits, int, _Found]:
    """Return the edits that bring a mask back, how many masks there are then, and what is there.

    A mask with its very pixels is another one, a duplicate, where the dataset has the ``version``
    of the provenance, which says that this one has left. Where it has another, it may be this one.
    """
    found = _look(form, source, work, row)
    if not found.images:  # another format names images by other folders and endings
        found = _look(form, source, work, row, plain_name)
    where, mask = str(source), row["mask_id"]
    if found.twins and found.version != version:
        what = f"mask {mask}, or one with its very pixels, is in it already ({found.twins[0]})"
        do = "it has changed since this provenance was written: use the one beside it"
        raise CallError(what, where, do)
    if row["change"] == "ignored" and form.ignores == "crowd":
        if len(found.same) != 1:
            what = f"it has no crowd region with the id {mask} any more"
            raise CallError(what, where, "has somebody changed it? prune the audit again")
        return Edits(change={found.same[0]: Change(ignore=False)}), found.masks, found
    keys = sorted(found.images.values())
    if len(keys) > 1:
        stated = str(row.get("image_key") or "").rpartition("#")[2]
        keys = [key for key in keys if key.rpartition("#")[2] == stated]
    if len(keys) != 1 or not keys[0]:
        what = f"it has no place for a mask of the image {row['file_name']}"
        raise CallError(what, where, "has somebody changed it? prune the audit again")
    addition = Addition(
        keys[0],
        str(row["segmentation"]).encode("ascii", "replace"),
        int(str(row["height"])),
        int(str(row["width"])),
        None if row["category"] is None else str(row["category"]),
        over_void=row["change"] == "ignored",
        crowd=row.get("iscrowd") == 1,
        wanted_id=_own_id(row),
    )
    return Edits(add=[addition]), found.masks + 1, found


def _own_id(row: JsonObject) -> int:
    """Return the id that a mask had: in images of ids it ends its source key."""
    number = str(row.get("source_key") or "").rpartition("#")[2]
    return (
        int(number) if re.fullmatch("[0-9]{1,18}", number, re.ASCII) else int(str(row["mask_id"]))
    )


def _look(
    form: Format,
    source: Path,
    work: Path,
    row: JsonObject,
    compared: Callable[[str], str] = str,
) -> _Found:
    """Read a dataset for what it has of a mask; a part of it is in memory.

    Args:
        form: The format of the dataset.
        source: The dataset.
        work: A folder for what its reader indexes.
        row: The mask, as the provenance has it.
        compared: From the name of an image to what of it is compared.
    """
    total, seen, named, name = 0, 0, False, compared(str(row["file_name"] or ""))
    images: dict[int, str] = {}
    last: dict[int, str] = {}
    same: list[str] = []
    twins: list[str] = []
    counts = str(row["segmentation"]).encode("ascii", "replace")
    version = VersionHash()
    for part in form.plan(source, work):
        table = form.load(source, part)
        masks, listed = table.masks, table.images
        version.update(image_digests(masks, listed, table.runs))
        total, seen = total + len(masks), seen + len(listed)
        named = named or bool(masks["category"].notna().any())
        keys = listed["source_key"] if "source_key" in listed else pd.Series("", listed.index)
        ids = listed.index.to_numpy(np.int64).tolist()
        last = dict(zip(ids, keys.astype(str), strict=True)) if ids else last
        names = listed["file_name"].astype(object).fillna("")
        mine = listed.index[[bool(name) and compared(one) == name for one in names]]
        images |= {int(one): str(keys.loc[one]) for one in mine}
        crowd = np.zeros(len(masks), np.bool_)
        if "iscrowd" in masks:
            crowd = masks["iscrowd"].fillna(0).to_numpy(np.int64) == 1
        here = masks["image_id"].isin(mine).to_numpy(np.bool_)
        equal = (masks["segmentation"] == counts).fillna(False).to_numpy(np.bool_)
        alike = masks[crowd & here & equal]
        own = alike.index == row["mask_id"]
        same += alike["source_key"][own if own.any() else slice(None)].tolist()
        twins += masks["source_key"][here & equal & ~crowd].tolist()
    if not images and seen == 1:  # an image that nothing names but its file
        images = last
    return _Found(total, named, version.hexdigest(), images, same, twins)


def _find_place(
    form: Format, done: Made, edits: Edits, row: JsonObject, names: tuple[Path, Path]
) -> tuple[int, str]:
    """Return id and source key of the mask in what was written, under its final name."""
    made, out = names
    if edits.add:
        mask_id, key = done.places[0]
    else:
        mask_id, key = int(str(row["mask_id"])), next(iter(edits.change))
    prefix = plain(made.name)
    if form.named_by_source and made.is_file() and key.startswith(prefix):
        key = plain(out.name) + key.removeprefix(prefix)
    return mask_id, key
