"""Asking of a judge: batch after batch, what is known left out, trouble tried again and counted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from curate.common.arrays import IntArray
from curate.common.clock import SYSTEM, Clock
from curate.common.progress import Progress
from curate.errors import AuditError
from curate.images import Rectangle
from curate.judges.connections import JudgeAddress, JudgeConnection
from curate.judges.judge_choice import (
    AnsweredMasks,
    KeyMaker,
    MaskChoice,
    list_candidates,
    read_chosen,
)
from curate.judges.judge_pictures import MaskPainter
from curate.judges.protocol import (
    JudgeAnswer,
    JudgedMask,
    JudgeTrouble,
    build_request,
    parse_answers,
)
from curate.render.crops import SHOWN_BYTES, DatasetImages
from curate.rle import decode_counts
from curate.store.audit import StoredAudit
from curate.store.judgements import Judgement, add_judgements, mask_source, read_judgements
from curate.store.known_pictures import open_pictures

MOST_IN_A_ROW = 3
"""Batches without an answer, one after the other, from which on a judge is not asked any more."""

FIRST_PAUSE_S = 1.0
"""Seconds before a batch is asked about again; each later pause is twice as long."""

LONGEST_PAUSE_S = 60.0


@dataclass(frozen=True)
class AskingTerms:
    """How a judge is asked.

    Attributes:
        batch: Masks in a request.
        timeout: Seconds that an answer may take.
        retries: How often a batch is asked about again after trouble.
        clock: What time it is.
        pause: Waits so many seconds.
    """

    batch: int = 8
    timeout: float = 60.0
    retries: int = 2
    clock: Clock = SYSTEM
    pause: Callable[[float], None] = time.sleep


@dataclass(frozen=True)
class FailedBatch:
    """A batch that a judge gave no answer to.

    Attributes:
        number: Of the batch, from 1.
        mask_ids: Its masks.
        why: What the judge did, last.
    """

    number: int
    mask_ids: tuple[int, ...]
    why: str


@dataclass
class AskingRecord:
    """What came of asking, so far.

    Attributes:
        asked: Masks that the judge was asked about and answered.
        known: Masks whose answer was known.
        unreadable: Masks whose picture cannot be read, by why.
        failed: Batches without an answer.
    """

    asked: int = 0
    known: int = 0
    unreadable: dict[str, int] = field(default_factory=dict)
    failed: list[FailedBatch] = field(default_factory=list)


@dataclass(frozen=True)
class _UnknownMask:
    """A mask without an answer: its key, id and row."""

    key: str
    mask_id: int
    row: Mapping[str, object]


@dataclass(frozen=True)
class _BatchRequest:
    """A batch to be asked about: each mask once, and all ids that it has."""

    number: int
    masks: Sequence[JudgedMask]
    all_ids: Mapping[str, list[int]]

    @property
    def ids(self) -> dict[str, list[int]]:
        """The ids of the masks by key; copies of a mask have one key."""
        return {mask.key: self.all_ids[mask.key] for mask in self.masks}

    @property
    def mask_ids(self) -> tuple[int, ...]:
        """All ids."""
        return tuple(number for ids in self.ids.values() for number in ids)

    def list_judgements(
        self, answers: Mapping[str, JudgeAnswer], seconds: float, now_us: int
    ) -> list[Judgement]:
        """Return the answers as they are kept, a row a mask."""
        rows = []
        for key, ids in self.ids.items():
            found = answers[key]
            rows += [
                Judgement(key, number, found.accept, found.score, found.reason, seconds, now_us)
                for number in ids
            ]
        return rows


class JudgeAsking:
    """A judge and an audit about whose masks it is asked.

    Args:
        audit: The audit; its directory is held by the caller.
        folder: The folder of its pictures.
        address: The judge.
    """

    def __init__(self, audit: StoredAudit, folder: Path, address: JudgeAddress) -> None:
        self._audit, self._address, self._place = audit, address, folder
        self._judge = address.fingerprint()
        self._folder = open_pictures(audit, folder, SHOWN_BYTES)
        self._keys = KeyMaker(self._folder)
        table = read_judgements(audit.path)
        table = table.filter(pc.equal(table["judge"], self._judge))
        self._known = _by_key(table)
        here = table.filter(pc.equal(table["audit"], mask_source(audit.info)))
        self._placed = set(zip(here["key"].to_pylist(), here["mask_id"].to_pylist(), strict=True))

    def find_answered(self) -> AnsweredMasks:
        """Return the masks of the audit that have an answer of the judge.

        Answers that stand for this audit are looked up by their ids. Where there are others, of
        the dataset as it was audited before, every mask with a picture is compared with them.
        """
        placed = np.array(sorted({mask_id for _, mask_id in self._placed}), np.int64)
        if self._known.keys() <= {key for key, _ in self._placed}:
            current = self._find_known(placed)
        else:
            rows = list_candidates(self._audit, self._place)
            pictured = rows["mask_id"][rows["pictured"]].to_numpy(np.int64)
            current = self._find_known(np.union1d(placed, pictured))
        return AnsweredMasks(current, np.setdiff1d(placed, current))

    def _find_known(self, ids: IntArray) -> IntArray:
        found = [
            mask.mask_id
            for rows in read_chosen(self._audit, ids)
            for mask in self._list_masks(rows)
            if self._has(mask)
        ]
        return np.array(found, np.int64)

    def bring_back(self, answered: AnsweredMasks) -> None:
        """Write known answers about masks of the audit for it, where they stand for another one."""
        placed = {mask_id for _, mask_id in self._placed}
        ids = answered.current[~np.isin(answered.current, np.array(sorted(placed), np.int64))]
        for rows in read_chosen(self._audit, ids):
            self._keep_known(self._list_masks(rows), AskingRecord())

    def count_known(self, choice: MaskChoice) -> int:
        """Return how many of some masks have an answer already."""
        found = 0
        for rows in read_chosen(self._audit, choice.ids):
            found += sum(map(self._has, self._list_masks(rows)))
        return found

    def run(
        self, choice: MaskChoice, terms: AskingTerms, progress: Progress | None
    ) -> AskingRecord:
        """Ask about masks, and keep each batch of answers as soon as it is there.

        Raises:
            AuditError: The judge gave no answer to several batches in a row, or answers cannot be
                written; those before are kept.
        """
        record = AskingRecord()
        connection = self._address.connect()
        done = in_a_row = number = 0
        total = len(choice.ids)
        try:
            for chunk in read_chosen(self._audit, choice.ids):
                todo = self._keep_known(self._list_masks(chunk), record)
                done = record.asked + record.known
                painter = MaskPainter(DatasetImages(self._folder))
                for batch in _batches(todo, terms.batch):
                    unknown = self._keep_known(batch, record)  # copies of masks in batches before
                    masks = self._draw(painter, unknown, record)
                    if masks:
                        number += 1
                        request = _BatchRequest(number, masks, _ids_by_key(unknown))
                        failed = self._ask(connection, request, terms, record)
                        in_a_row = in_a_row + 1 if failed else 0
                        if in_a_row >= MOST_IN_A_ROW:
                            raise _silent_judge(self._address, record, in_a_row)
                    before, done = done, record.asked + record.known
                    if progress:
                        progress("judging", done, total, done - before)
            connection.close()
        finally:
            connection.stop()
        if record.failed and not record.asked:
            raise _silent_judge(self._address, record, len(record.failed))
        return record

    def _list_masks(self, rows: pd.DataFrame) -> list[_UnknownMask]:
        """Return masks with their keys; index ``mask_id``."""
        ids: list[int] = rows.index.to_numpy(np.int64).tolist()
        listed = cast(list[Mapping[str, object]], rows.to_dict("records"))
        return [
            _UnknownMask(self._keys.key(row), mask_id, row)
            for mask_id, row in zip(ids, listed, strict=True)
        ]

    def _keep_known(
        self, masks: Sequence[_UnknownMask], record: AskingRecord
    ) -> list[_UnknownMask]:
        """Write the answers that are known, for these masks too; return those without one."""
        known = [replace(self._known[m.key], mask_id=m.mask_id) for m in masks if self._has(m)]
        self._keep([row for row in known if (row.key, row.mask_id) not in self._placed])
        record.known += len(known)
        return [mask for mask in masks if not self._has(mask)]

    def _has(self, mask: _UnknownMask) -> bool:
        return mask.key in self._known

    def _keep(self, rows: Sequence[Judgement]) -> None:
        """Write answers, and know them."""
        name = self._address.name
        add_judgements(self._audit.path, self._audit.info, self._judge, name, rows)
        self._known.update({row.key: row for row in rows})
        self._placed.update((row.key, row.mask_id) for row in rows)

    def _draw(
        self, painter: MaskPainter, batch: Sequence[_UnknownMask], record: AskingRecord
    ) -> list[JudgedMask]:
        """Draw masks, copies of one mask once; count those that cannot be."""
        found: dict[str, JudgedMask] = {}
        for one in batch:
            if one.key in found:
                continue
            mask, why = _draw_mask(painter, one)
            if mask is None:
                record.unreadable[why] = record.unreadable.get(why, 0) + 1
            else:
                found[one.key] = mask
        return list(found.values())

    def _ask(
        self,
        connection: JudgeConnection,
        batch: _BatchRequest,
        terms: AskingTerms,
        record: AskingRecord,
    ) -> bool:
        """Ask about a batch, again after trouble; return whether it stayed without an answer."""
        keys = list(batch.ids)
        request = build_request(batch.number, batch.masks)
        why = ""
        for attempt in range(terms.retries + 1):
            if attempt:
                terms.pause(min(FIRST_PAUSE_S * 2 ** (attempt - 1), LONGEST_PAUSE_S))
            began = terms.clock.elapsed_ms()
            try:
                reply = connection.ask(request, terms.timeout)
                answers = parse_answers(reply, batch.number, keys)
            except JudgeTrouble as trouble:
                why = "; ".join(filter(None, (str(trouble), connection.describe_end())))
                connection.stop()  # what it may still send is an answer to nothing
                continue
            seconds = (terms.clock.elapsed_ms() - began) / 1000 / len(keys)
            rows = batch.list_judgements(answers, seconds, terms.clock.now_us())
            self._keep(rows)
            record.asked += len(rows)
            return False
        record.failed.append(FailedBatch(batch.number, batch.mask_ids, why))
        return True


def _by_key(table: pa.Table) -> dict[str, Judgement]:
    """Return answers by their keys; of several to one key the last."""
    found = {}
    for row in table.to_pylist():
        us = int(row["asked_at"].timestamp() * 1e6)
        found[row["key"]] = Judgement(
            row["key"],
            row["mask_id"],
            row["accept"],
            row["score"],
            row["reason"],
            row["seconds"],
            us,
        )
    return found


def _ids_by_key(masks: Sequence[_UnknownMask]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for mask in masks:
        found.setdefault(mask.key, []).append(mask.mask_id)
    return found


def _batches(todo: Sequence[_UnknownMask], size: int) -> Iterator[Sequence[_UnknownMask]]:
    for at in range(0, len(todo), size):
        yield todo[at : at + size]


def _draw_mask(painter: MaskPainter, one: _UnknownMask) -> tuple[JudgedMask | None, str]:
    row = one.row
    if not one.key:
        return None, "the picture cannot be read"
    height, width = int(cast(int, row["height"])), int(cast(int, row["width"]))
    runs, _ = decode_counts(
        pa.array([row["segmentation"]], pa.large_binary()), np.array([height]), np.array([width])
    )
    bbox = _bbox(row)
    pngs, why = painter.draw(str(row["file_name"]), runs, 0, bbox)
    if pngs is None:
        return None, why
    category = row["category"]
    return JudgedMask(
        key=one.key,
        mask_id=one.mask_id,
        category=category if isinstance(category, str) else None,
        width=width,
        height=height,
        bbox=bbox,
        picture=pngs.picture,
        overlay=pngs.overlay,
        zoom=pngs.zoom,
    ), ""


def _bbox(row: Mapping[str, object]) -> Rectangle:
    x, y, w, h = (float(cast(float, row[f"bbox_{side}"])) for side in "xywh")
    return (x, y, w, h)


def _silent_judge(address: JudgeAddress, record: AskingRecord, batches: int) -> AuditError:
    last = record.failed[-1]
    ids = ", ".join(map(str, last.mask_ids[:3])) + (", ..." if len(last.mask_ids) > 3 else "")
    which = f"batch {last.number} (masks {ids}): {last.why}"
    several = f"no answer to {batches} batches in a row, the last of them {which}"
    what = several if batches > 1 else f"no answer to {which}"
    kept = "what it answered before is kept" if record.asked else "nothing was answered"
    return AuditError(what, address.name, f"{kept}; mend the judge and run the same command again")
