"""Answers of judges: one Parquet file in the audit directory, a row an answer about a mask.

A row is known by its ``key``, a hash of all that the judge saw (run lengths, picture, category): so
a mask is asked about once, however often its dataset is audited. For the plan, a row also says for
which audit it stands (``audit``) and for which of its masks (``mask_id``). Rows of another source,
or of other settings, stay as answers that need not be asked for again, and reach no plan.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curate.common import files
from curate.dataset.table import STRING
from curate.errors import AuditError
from curate.store.audit import JUDGEMENTS
from curate.store.audit_files import writing
from curate.store.audit_info import AuditInfo
from curate.store.audit_records import JudgeRecord
from curate.store.parquet_parts import reading_part

_SCHEMA = pa.schema(
    [
        ("judge", pa.string()),  # tells judges apart
        ("judge_name", pa.string()),
        ("key", pa.string()),
        ("audit", pa.string()),  # what the ids are of, see mask_source
        ("mask_id", pa.int64()),
        ("accept", pa.bool_()),
        ("score", pa.float64()),  # P(good), NaN where it states none
        ("reason", pa.string()),
        ("seconds", pa.float64()),
        ("asked_at", pa.timestamp("us", tz="UTC")),
    ]
)


@dataclass(frozen=True)
class Judgement:
    """An answer of a judge about a mask.

    Attributes:
        key: Hash of what the judge saw.
        mask_id: The mask.
        accept: Whether the judge finds it good.
        score: The probability that it is good, as the judge states it; NaN for none.
        reason: Its reason; "" for none.
        seconds: Time that the answer took.
        asked_at_us: When it came, in microseconds since 1970.
    """

    key: str
    mask_id: int
    accept: bool
    score: float
    reason: str
    seconds: float
    asked_at_us: int


def mask_source(info: AuditInfo) -> str:
    """Return a hash of all that the ids of an audit's masks come from: source, inputs, settings."""
    packed = orjson.dumps(info.identity, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(packed, digest_size=16).hexdigest()


def read_judgements(out: Path) -> pa.Table:
    """Read the answers in an audit directory, oldest first; no row where no judge was asked.

    Raises:
        AuditError: The file is damaged, or is not as curate writes it.
    """
    path = out / JUDGEMENTS
    do = "restore it from a copy, or remove it: judges are then asked again"
    try:
        with reading_part(path):
            table = pq.read_table(path, page_checksum_verification=True)
    except FileNotFoundError:
        return _SCHEMA.empty_table()
    except AuditError as error:
        raise AuditError(error.what, error.where, do) from error
    if table.schema.remove_metadata() != _SCHEMA or any(
        table[name].null_count for name in table.column_names
    ):
        raise AuditError("it is not as curate writes it", str(path), do)
    return table.replace_schema_metadata(None)


def add_judgements(
    out: Path, info: AuditInfo, judge: str, name: str, rows: Sequence[Judgement]
) -> None:
    """Add answers of a judge, the whole file or not at all; the directory is held by the caller.

    Of two answers of a judge about one mask of an audit the later one stands.

    Args:
        out: The audit directory.
        info: Its ``audit.json``.
        judge: Fingerprint of the judge.
        name: Its name for people.
        rows: The answers.

    Raises:
        AuditError: The file is damaged or cannot be written.
    """
    if not rows:
        return
    source = mask_source(info)
    added = pa.table(
        {
            "judge": [judge] * len(rows),
            "judge_name": [name] * len(rows),
            "key": [row.key for row in rows],
            "audit": [source] * len(rows),
            "mask_id": [row.mask_id for row in rows],
            "accept": [row.accept for row in rows],
            "score": [row.score for row in rows],
            "reason": [row.reason for row in rows],
            "seconds": [row.seconds for row in rows],
            "asked_at": [row.asked_at_us for row in rows],
        },
        schema=_SCHEMA,
    )
    known = read_judgements(out)
    again = pc.and_(
        _of_audit(known, judge, source), pc.is_in(known["mask_id"], value_set=added["mask_id"])
    )
    table = pa.concat_tables([known.filter(pc.invert(again)), added])
    with writing(out / JUDGEMENTS) as temporary, files.open_file(temporary) as file:
        pq.write_table(table, file, compression="lz4", write_page_checksum=True)


def _of_audit(table: pa.Table, judge: str, source: str) -> pa.ChunkedArray:
    return pc.and_(pc.equal(table["judge"], judge), pc.equal(table["audit"], source))


def find_judge(out: Path, info: AuditInfo) -> JudgeRecord | None:
    """Return the judge whose answers belong in an audit's plan, and their digest.

    It is the one in force; where the audit was made anew, the one that answered last about masks of
    the same ids. None where there are no answers.

    Raises:
        AuditError: The file of answers is damaged.
    """
    table = read_judgements(out)
    table = table.filter(pc.equal(table["audit"], mask_source(info)))
    if not len(table):
        return None
    if info.judge and pc.any(pc.equal(table["judge"], info.judge["judge"])).as_py():
        judge = info.judge["judge"]
    else:
        judge = table["judge"][-1].as_py()
    rows = table.filter(pc.equal(table["judge"], judge)).sort_by("mask_id")
    return {
        "judge": judge,
        "name": rows["judge_name"][-1].as_py(),
        "masks": len(rows),
        "answers": _digest(rows),
    }


def _digest(rows: pa.Table) -> str:
    named = ["mask_id", "key", "accept", "score", "reason"]
    packed = orjson.dumps(rows.select(named).to_pydict())
    return hashlib.blake2b(packed, digest_size=16).hexdigest()


def read_answers(out: Path, info: AuditInfo) -> pd.DataFrame:
    """Return the answers in force: index ``mask_id``; columns as the signal ``judge`` has them.

    Raises:
        AuditError: The file of answers is damaged, or was changed meanwhile.
    """
    record = info.judge
    assert record, "there is a judge"
    return _read_answers(out, record["judge"], mask_source(info), record["answers"])


@lru_cache(maxsize=1)
def _read_answers(out: Path, judge: str, source: str, digest: str) -> pd.DataFrame:
    table = read_judgements(out)
    rows = table.filter(_of_audit(table, judge, source)).sort_by("mask_id")
    if _digest(rows) != digest:
        raise AuditError("it was changed meanwhile", str(out / JUDGEMENTS), "run the command again")
    accept = rows["accept"].to_numpy()
    score = rows["score"].to_numpy()
    frame = pd.DataFrame(
        {
            "judge_score": np.where(np.isnan(score), accept.astype(np.float64), score),
            "judge_answer": np.where(accept, "accept", "reject"),
            "judge_reason": rows["reason"].to_numpy(),
        },
        index=pd.Index(rows["mask_id"].to_numpy(), name="mask_id"),
    )
    frame["judge_reason"] = frame["judge_reason"].astype(STRING).replace("", pd.NA)
    return frame
