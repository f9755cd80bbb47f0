"""Masks of an engine that are settled by now, with who settled each of them.

A mask is settled where it was there before, where people made it or accepted it, where it was
prefilled in a round that is closed, or where a certificate covers it. Of an image they are settled
where it has such masks, or where people searched it and there are none. What is neither is left
out, and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from curate.common import files
from curate.engine.automatic_work import write_automatic_masks
from curate.engine.pictures import LEFT_OUT, find_changed
from curate.engine.round_record import RoundRecord, read_round
from curate.errors import AuditError, CallError, SourceError
from curate.formats.reading import read
from curate.people.reviews import has_reviews, open_reviews
from curate.people.reviews.current_plan import open_audit
from curate.store.engine_folder import AUDIT, MASKS, NAMES, START, VALIDATION, list_missed
from curate.writing.provenance import LEFT, beside

if TYPE_CHECKING:
    from curate.engine.rounds import EngineRounds

GIVEN, PERSON, PREFILLED, CERTIFICATE = "start", "person", "prefilled", "certificate"
"""Who settled a mask: it was there before, a person, the lines of stage 2, a certificate."""

ORIGIN_COLUMNS = (
    *("part", "stage", "round", "round_mask_id", "change"),
    *("segmenter", "decided_by", "reviewers", "max_bad", "confidence"),
)
"""Columns of a settled mask besides its pixels; see
:data:`curate.engine.engine_dataset.ORIGIN_TYPES`."""

_PEOPLE = ("person", "bulk")


@dataclass(frozen=True)
class SettledMasks:
    """Masks that are settled, and what is left out.

    Attributes:
        masks: ``image_id``, ``segmentation``, ``category`` and :data:`ORIGIN_COLUMNS`, in the order
            of the images.
        images: Ids of the images that are settled, ascending; also those without any object.
        left_out: Images that are left out, by the reason.
        undecided: Masks of closed rounds and of the automatic stage that nobody decided on.
        changed: Of images that would be settled and whose files are not as they were: why, by name.
    """

    masks: pd.DataFrame = field(repr=False)
    images: list[int] = field(repr=False)
    left_out: dict[str, int]
    undecided: int
    changed: dict[str, str]


@dataclass(frozen=True)
class _Part:
    """A part of an engine with masks of its own: those from before, or a round."""

    masks: pd.DataFrame
    images: set[int]
    settled: set[int]
    undecided: int = 0


def find_settled_masks(rounds: EngineRounds, place: Path) -> SettledMasks:
    """Gather the masks of an engine that are settled by now.

    Args:
        rounds: Of the engine.
        place: A folder for what is made on the way.

    Raises:
        AuditError: A file of a round is gone or damaged.
        CallError: No mask is settled yet.
        SourceError: No picture with masks is as it was.
    """
    parts = [*_list_given(rounds), *_list_rounds(rounds, place), *_list_missed(rounds)]
    images, pool = rounds.images, rounds.images.set_index("image_id")
    settled = set().union(*(part.settled for part in parts))
    changed = find_changed(rounds.pictures, images[images["image_id"].isin(settled)])
    names = {str(pool.loc[key, "file_name"]): why for key, why in changed.items()}
    seen = set().union(*(part.images for part in parts))
    reasons = Counter(
        "whose file does not open or is a copy" if role == LEFT_OUT else "that no round has had"
        for key, role in zip(images["image_id"], images["role"], strict=True)
        if key not in seen
    )
    reasons["in which nothing is settled"] = len(seen - settled)
    reasons["whose file has gone or changed"] = len(changed)
    kept = sorted(settled - set(changed))
    if changed and not kept:
        what = f"none of the {len(changed):,} pictures with masks is as it was"
        raise SourceError(what, str(rounds.pictures), "put them back as they were")
    masks = pd.concat([part.masks for part in parts], ignore_index=True) if parts else None
    if masks is None or not masks["image_id"].isin(kept).any():
        what = "no mask is settled yet"
        do = f"`curate engine status {rounds.project}` says what comes next"
        raise CallError(what, str(rounds.project), do)
    masks = masks[masks["image_id"].isin(kept)]
    return SettledMasks(
        masks.sort_values("image_id", kind="stable", ignore_index=True),
        kept,
        {why: count for why, count in reasons.items() if count},
        sum(part.undecided for part in parts),
        names,
    )


def _list_given(rounds: EngineRounds) -> Iterator[_Part]:
    """Yield the masks that were there before the engine."""
    for folder in (rounds.project / START, rounds.project / VALIDATION / START):
        if (folder / MASKS).is_file():
            masks, _ = _read_masks(rounds, folder / MASKS)
            here = set(masks["image_id"].tolist())
            part = folder.relative_to(rounds.project).as_posix()
            masks = masks.assign(part=part, stage=None, round=None, change="kept")
            masks = masks.assign(segmenter=None, decided_by=GIVEN, reviewers=None)
            yield _Part(_with_bound(masks, None), here, here)


def _list_rounds(rounds: EngineRounds, place: Path) -> Iterator[_Part]:
    """Yield the masks of all rounds: closed ones, and the automatic one as far as it is."""
    by_name = rounds.images.set_index("file_name")["image_id"]
    for folder, record in zip(rounds.folders, rounds.records, strict=True):
        if not (folder / NAMES).is_file():
            continue
        names = (folder / NAMES).read_text(encoding="utf-8").splitlines()
        here = {int(one) for one in by_name.loc[names]}
        path = _find_masks(rounds, folder, record, place)
        if path is None:
            yield _Part(_no_masks(), here, set())
            continue
        masks = _describe_round(rounds, path, folder, record)
        settled = (here & _list_searched(folder)) | set(masks["image_id"].tolist())
        people = record.people or rounds.measure_work(folder).record
        yield _Part(masks, here, settled, people["undecided"])


def _list_missed(rounds: EngineRounds) -> Iterator[_Part]:
    """Yield the masks of objects on validation images that people had missed at the beginning."""
    for folder in list_missed(rounds.project):
        record = read_round(folder)
        if record is not None and record.people is not None and (folder / MASKS).is_file():
            masks = _describe_round(rounds, folder / MASKS, folder, record)
            here = set(masks["image_id"].tolist())
            yield _Part(masks, here, here, record.people["undecided"])


def _find_masks(
    rounds: EngineRounds, folder: Path, record: RoundRecord, place: Path
) -> Path | None:
    """Return the file of a round's masks; of an automatic one that is open it is made now."""
    if (folder / MASKS).is_file():
        return folder / MASKS
    if record.stage != 3 or "certify" not in record.steps:
        return None
    out = place / f"round-{record.number}" / MASKS
    files.mkdir(out.parent)
    write_automatic_masks(folder, rounds.list_round(folder), rounds.classes, out)
    return out


def _list_searched(folder: Path) -> set[int]:
    """Return the images of a round that people have searched as a whole."""
    audit = open_audit(folder / AUDIT)
    if not has_reviews(audit):
        return set()
    return set(open_reviews(audit).reviewed_images()["image_id"].tolist())


def _read_masks(rounds: EngineRounds, path: Path) -> tuple[pd.DataFrame, pd.Index]:
    """Return masks of a COCO file with the engine's image ids, and their ids in the file."""
    ids = rounds.images.set_index("file_name")["image_id"]
    table = read(path, "coco")
    masks = table.masks[table.masks["area_px"] > 0]
    named = masks["image_id"].map(table.images["file_name"]).map(ids)
    if named.isna().any():
        raise AuditError("it has masks of pictures that are not the engine's", str(path))
    found = masks[["segmentation", "category"]].assign(image_id=named.astype("int64"))
    found["round_mask_id"] = masks.index.to_numpy(np.int64)
    return found.reset_index(drop=True), masks.index


def _describe_round(
    rounds: EngineRounds, path: Path, folder: Path, record: RoundRecord
) -> pd.DataFrame:
    """Return the masks of a round with their origin.

    Raises:
        AuditError: Its provenance is gone, or does not know a mask.
    """
    masks, ids = _read_masks(rounds, path)
    known = _read_provenance(path) if len(masks) else None
    used = record.segmenter
    masks = masks.assign(
        part=folder.relative_to(rounds.project).as_posix(),
        stage=record.stage,
        round=record.number,
        segmenter=None if used is None else used["fingerprint"],
    )
    if known is None:
        return _with_bound(masks.assign(change=None, decided_by=None, reviewers=None), record)
    if not ids.isin(known.index).all():
        what = "it has masks that its provenance does not know"
        raise AuditError(what, str(path), "restore both from a copy")
    found = known.loc[ids].reset_index(drop=True)
    masks["change"], masks["reviewers"] = found["change"], found["reviewers"]
    masks.loc[found["change"] == "added", "segmenter"] = None  # people drew these themselves
    by = found["decided_by"].map(dict.fromkeys(_PEOPLE, PERSON) | {CERTIFICATE: CERTIFICATE})
    masks["decided_by"] = by.where(by.notna(), PREFILLED)
    return _with_bound(masks, record)


def _read_provenance(path: Path) -> pd.DataFrame:
    """Return ``change``, ``decided_by`` and ``reviewers`` by the id of a mask in a round's file.

    Raises:
        AuditError: It is gone or damaged.
    """
    place = beside(path)
    try:
        with files.open_to_read(place) as file:
            rows = pd.read_parquet(file)
        rows = rows[~rows["change"].isin(LEFT)]
        named = rows["new_mask_id"].where(rows["new_mask_id"].notna(), rows["mask_id"])
        rows = rows[named.notna()].set_index(named.dropna().astype("int64"))
        return rows.loc[~rows.index.duplicated(), ["change", "decided_by", "reviewers"]]
    except (OSError, ValueError, KeyError) as error:
        what = f"it cannot be read ({' '.join(str(error).split())[:100]})"
        raise AuditError(what, str(place), "restore it from a copy") from error


def _with_bound(masks: pd.DataFrame, record: RoundRecord | None) -> pd.DataFrame:
    """Return masks with the bound of the certificate that covers them, NaN for others."""
    known = None if record is None else record.automatic
    bound = (np.nan, np.nan) if known is None else (known["max_bad"], known["confidence"])
    by = masks["decided_by"] == CERTIFICATE
    masks["max_bad"] = np.where(by, bound[0], np.nan)
    masks["confidence"] = np.where(by, bound[1], np.nan)
    return masks


def _no_masks() -> pd.DataFrame:
    names = ["image_id", "segmentation", "category", *ORIGIN_COLUMNS]
    frame = pd.DataFrame({name: pd.Series(dtype=object) for name in names})
    return frame.astype({"image_id": "int64"})
