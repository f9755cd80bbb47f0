"""Ledger of an engine, ``ledger.parquet``: a row a round, made from the rounds' own records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from curate.common import files
from curate.engine.missed_objects import count_found
from curate.engine.round_record import AutomaticRecord, PrefillRecord, RoundRecord
from curate.engine.settings import CUTS
from curate.networks.segmenter_training.segmenter_record import IouRecord
from curate.store.audit_files import writing
from curate.store.engine_folder import LEDGER

LEDGER_TYPES: dict[str, pa.DataType] = {
    "round": pa.int64(),
    "stage": pa.int64(),
    "images": pa.int64(),
    "masks": pa.int64(),
    "masks_per_image": pa.float64(),
    "proposals": pa.int64(),
    "pred_iou_cut": pa.float64(),
    "stability_cut": pa.float64(),
    "accepted": pa.int64(),
    "fixed": pa.int64(),
    "rejected": pa.int64(),
    "undecided": pa.int64(),
    "prefilled": pa.int64(),
    "prefilled_checked": pa.int64(),
    "precision": pa.float64(),
    "precision_low": pa.float64(),
    "precision_high": pa.float64(),
    "lines": pa.string(),
    "missed_asked": pa.int64(),
    "missed_found": pa.int64(),
    "certified": pa.int64(),
    "certified_max_bad": pa.float64(),
    "certified_confidence": pa.float64(),
    "sample": pa.int64(),
    "sample_bad": pa.int64(),
    "added": pa.int64(),
    "proposal_iou": pa.float64(),
    "effective_categories": pa.float64(),
    "effective_sizes": pa.float64(),
    "effective_clusters": pa.float64(),
    "people_s": pa.float64(),
    "people_s_per_mask": pa.float64(),
    "untimed": pa.int64(),
    "machine_s": pa.float64(),
    "iou": pa.float64(),
    "iou_low": pa.float64(),
    "iou_high": pa.float64(),
    "gain": pa.float64(),
    "gain_low": pa.float64(),
    "gain_high": pa.float64(),
    "kept": pa.bool_(),
    "reason": pa.string(),
    "closed_early": pa.bool_(),
    "segmenter": pa.string(),
    "trained": pa.string(),
    "ended": pa.string(),
    "replaced_by": pa.int64(),
}
"""Columns of the ledger. ``round`` is 0 for the validation images; ``masks`` are what people
accepted, fixed and added, and what stands as it was prefilled; proposals of a predicted IoU not
over ``pred_iou_cut``, or of a stability under ``stability_cut``, were dropped, as the recipe has it
or as was chosen (see :mod:`curate.engine.proposal_cuts`); ``prefilled`` masks were over the lines
of a round of stage 2, ``prefilled_checked`` of them were asked about all the same, and
``precision`` is the share of good ones that this shows, with its 95% interval; ``lines`` what they
were chosen by, "certified" or "estimated"; ``missed_asked`` proposals for validation images were
asked about in a round of stage 2, and ``missed_found`` of them are of objects that people had
missed; ``certified`` masks of a round of stage 3 stand by a certificate alone: at most
``certified_max_bad`` of what it covers are bad, with ``certified_confidence`` (null where nothing
is certified), as a random ``sample`` shows that people reviewed, with ``sample_bad`` bad ones over
its line; ``proposal_iou`` is the mean IoU of accepted and fixed proposals with what people made of
them; ``effective_categories`` and so on say how diverse the masks are (see
:mod:`curate.engine.diversity`); ``people_s`` are seconds, with those of what was asked on
validation images (``untimed`` actions have none, and are not in it); ``iou`` is the validation IoU
of the segmenter that the round trained, with its 95% interval over images, ``gain`` its difference
to the one before; ``kept`` whether it came into force; ``segmenter`` and ``trained`` are
fingerprints of the one that proposed and of the new one; ``replaced_by`` is the round that repeats
a round with other settings: of one that was replaced the row has proposals and times alone, less
the seconds of what people did that was carried over. Null: not known, or there is none."""


def make_ledger(records: Sequence[RoundRecord]) -> pd.DataFrame:
    """Return the ledger of closed rounds: a row each, see :data:`LEDGER_TYPES`."""
    rows = [_row(record) for record in records if record.people is not None]
    table = pa.Table.from_pylist(rows, pa.schema(list(LEDGER_TYPES.items())))
    frame: pd.DataFrame = table.to_pandas()
    return frame


def write_ledger(project: Path, records: Sequence[RoundRecord]) -> None:
    """Write ``ledger.parquet`` anew, whole or not at all."""
    rows = [_row(record) for record in records if record.people is not None]
    table = pa.Table.from_pylist(rows, pa.schema(list(LEDGER_TYPES.items())))
    with writing(project / LEDGER) as temporary, files.open_file(temporary) as file:
        pq.write_table(table, file)


def _row(record: RoundRecord) -> dict[str, object]:
    people, result = record.people, record.result
    assert people is not None
    masks = people["accepted"] + people["fixed"] + people["added"] + people.get("prefilled", 0)
    again = None if record.missed is None else record.missed["people"]
    spent = people["seconds"] + (again["seconds"] if again else 0)
    used = record.segmenter
    row: dict[str, object] = {
        "round": record.number,
        "stage": record.stage,
        "images": people["images"],
        "masks": masks,
        "masks_per_image": masks / people["images"] if people["images"] else None,
        **{name: people[name] for name in ("proposals", "accepted", "fixed", "rejected")},
        **{name: people[name] for name in ("undecided", "added", "proposal_iou")},
        "people_s": spent,
        "people_s_per_mask": spent / masks if masks else None,
        "untimed": people["untimed"] + (again["untimed"] if again else 0),
        "machine_s": record.machine_s,
        "closed_early": record.closed_early,
        "segmenter": used["fingerprint"] if used else None,
        "ended": max((step["ended"] for step in record.steps.values()), default=None),
        "replaced_by": record.replaced_by,
    }
    if used is not None and record.wants_images:
        cuts = cast("Mapping[str, object]", record.cuts or record.settings.get("recipe") or {})
        row |= {f"{name}_cut": cuts.get(name) for name in CUTS}
    if record.missed is not None:
        row |= {"missed_asked": record.missed["asked"], "missed_found": count_found(record.missed)}
    if record.prefill is not None and record.replaced_by is None:
        row |= _prefill_columns(record.prefill)
    if record.automatic is not None and record.replaced_by is None:
        row |= _certificate_columns(record.automatic)
    if record.diversity is not None:
        row |= {f"effective_{name}": value for name, value in record.diversity.items()}
    if result is not None:
        row |= _iou_columns("iou", result["validation"])
        row |= _iou_columns("gain", result["difference"])
        row |= {name: result[name] for name in ("kept", "reason")}
        row["trained"] = result["fingerprint"]
    return row


def _prefill_columns(prefill: PrefillRecord) -> dict[str, object]:
    lines, measured = prefill["lines"], prefill["precision"]
    row: dict[str, object] = {"prefilled": prefill["prefilled"]}
    row["prefilled_checked"] = prefill["checks"]
    if lines is not None and lines["lines"] is not None:
        row["lines"] = lines["basis"]
    if measured is not None and measured["precision"] is not None:
        row["precision"] = measured["precision"]
        row |= {f"precision_{end}": measured[end] for end in ("low", "high")}
    return row


def _certificate_columns(found: AutomaticRecord) -> dict[str, object]:
    row: dict[str, object] = {"certified": found["certified"], "sample": found["reviewed"]}
    if found["threshold"] is not None:
        row["sample_bad"] = found["bad_found"]
        row |= {f"certified_{name}": found[name] for name in ("max_bad", "confidence")}
    return row


def _iou_columns(name: str, record: IouRecord | None) -> dict[str, float | None]:
    if record is None:
        return {}
    return {name: record["iou"], f"{name}_low": record["low"], f"{name}_high": record["high"]}
