"""The provenance of a written dataset, a row a mask: what happened to it, who decided, when, why.

It stands beside the dataset, as Parquet or JSON, so that the dataset itself holds nothing that its
format does not know.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from curate import __version__
from curate.common import files
from curate.common.json_values import JsonObject
from curate.dataset.notes import short_version
from curate.errors import CallError
from curate.people.guarantees.overrides import format_bound
from curate.policy.certificate_in_force import certificate_basis
from curate.store.audit import StoredAudit
from curate.store.audit_files import part_names, part_paths, read_part, to_frame
from curate.store.people_overlay import OVERRIDDEN, with_people
from curate.writing.changes import ROWS, Changes, to_name_lists
from curate.writing.naming import remove_orphan

SUFFIX = ".provenance.parquet"
"""Suffix that turns a dataset's name into that of its provenance."""

MARK = b"curate provenance"
"""Metadata key of the facts in Parquet."""

JSON_MARK = b'{"about":{"tool":"curate '
_KINDS = (".parquet", ".json")
_READ = ("mask_id", "source_key", "image_id", "file_name", "category", *OVERRIDDEN)
_TIME = pa.timestamp("us", "UTC")
LEFT = ("removed", "ignored")
"""Changes of masks that are no masks of the dataset any more."""

PIXELS = ("image_key", "height", "width", "segmentation", "iscrowd")
"""Columns with all that it takes to bring back a mask that was removed or is ignored: the source
key of its image, the image's size in pixels, COCO compressed counts, 1 for a crowd region; NA for
other masks."""

_TYPES = {
    **dict.fromkeys(ROWS, pa.string()),
    **dict.fromkeys(("mask_id", "new_mask_id", "image_id", "draw_id"), pa.int64()),
    **dict.fromkeys(("iou", "stored_iou"), pa.float64()),
    "reviewers": pa.list_(pa.string()),
    "time": _TIME,
    **dict.fromkeys(PIXELS, pa.string()),
    **dict.fromkeys(("height", "width", "iscrowd"), pa.int64()),
}
UNDER = ("policy", "model", "certificate", "dataset_version")
"""Further columns, the same for every mask: what was in force, and which dataset was audited."""

OF_EXPORT = ("split", "lost")
"""Further columns of a mask in another format: its split, and what of it that could not carry."""

_TEXTS = (*UNDER, *OF_EXPORT)
_SCHEMA = pa.schema([*_TYPES.items(), *((name, pa.string()) for name in _TEXTS)])


@dataclass(frozen=True)
class ExportNotes:
    """Notes on a dataset that is written in another format.

    Attributes:
        about: Plain values: splits, losses, options.
        lost: What is lost of a mask, by its id in the audit.
        split_of: From an image's id to its split; None for no splits.
        first_added: The id of the first added mask among those of ``lost``.
    """

    about: JsonObject
    lost: Mapping[int, str]
    split_of: Callable[[int], str | None] | None
    first_added: int

    def columns(self, frame: pd.DataFrame) -> dict[str, list[str | None]]:
        """Return the columns :data:`OF_EXPORT` of some rows; those without ids are the added."""
        ids = frame["mask_id"].astype("Int64")
        free = ids.isna().to_numpy(np.bool_)
        numbers = ids.fillna(0).to_numpy(np.int64)
        numbers[free] = self.first_added + np.arange(int(free.sum()))
        images = frame["image_id"].astype("Int64")
        split = self.split_of
        return {
            "split": [
                None if split is None or pd.isna(image) else split(int(image)) for image in images
            ],
            "lost": [self.lost.get(number) for number in numbers.tolist()],
        }


class ProvenanceWriter(Protocol):
    """Writes a provenance in place of :func:`write_provenance`, of a dataset gathered from several.

    Its file must be known as one: :data:`MARK` in Parquet, :data:`JSON_MARK` in JSON.
    """

    def __call__(
        self, place: Path, suffix: str, changes: Changes, version: str, export: ExportNotes | None
    ) -> None:
        """Write it.

        Args:
            place: Where to.
            suffix: The kind: ".parquet" or ".json".
            changes: With the new ids of masks, ``renumbered``.
            version: Content id of the dataset.
            export: Notes on a dataset that is in another format; None for one in its own.
        """


def beside(out: Path) -> Path:
    """Return the default path of the provenance of a dataset."""
    return out.with_name(out.name + SUFFIX)


def place_of(out: Path, wanted: Path | None) -> Path:
    """Return the path of the provenance of a dataset.

    Args:
        out: The dataset.
        wanted: Where it is asked for; None: beside the dataset.

    Raises:
        CallError: Something else is there, or it is to be of a kind that there is not.
    """
    place = beside(out) if wanted is None else wanted
    if place.suffix.lower() not in _KINDS:
        what = f"provenance is written as {' or '.join(_KINDS)}, not {place.suffix or 'that'}"
        raise CallError(what, str(place), "give a name that ends so")
    remove_orphan(out, place)
    # One that a killed write left behind, before the dataset got its name, is no obstacle.
    if os.path.lexists(place) and not _is_ours(place):
        raise CallError("it exists already", str(place), "choose another place, or remove it")
    return place


def refuse_inside(place: Path, out: Path, source: Path, audit: Path) -> None:
    """Check that a provenance lies beside everything else.

    Raises:
        CallError: It would lie in the output, the source or the audit.
    """
    for name, taken in (("output", out), ("source", source), ("audit", audit)):
        if place.resolve().is_relative_to(taken.resolve()):
            what = f"the provenance would lie in the {name}"
            raise CallError(what, str(place), "choose another place")


def _is_ours(path: Path) -> bool:
    try:
        if path.suffix.lower() == ".json":
            with path.open("rb") as file:
                return file.read(len(JSON_MARK)) == JSON_MARK
        return MARK in (pq.read_schema(path).metadata or {})
    except (OSError, ValueError, pa.ArrowException):
        return False


def about(audit: StoredAudit, version: str) -> dict[str, object]:
    """Return the facts common to all masks of a written dataset."""
    info = audit.info
    policy, certificate = info.policy or {}, info.certificate
    return {
        "tool": f"curate {__version__}",
        "source": info.source,
        "read_with": {k: v for k, v in info.settings.items() if k in ("void", "class_code")},
        "source_version": info.version,
        "version": version,
        "policy": policy.get("name"),
        "policy_rules": policy,
        "model": info.judged_by,
        "certificate": {
            name: value
            for name, value in (certificate or {}).items()
            if name in ("max_bad", "confidence", "threshold", "accepted", "basis")
        },
        "people": info.people or {},
    }


def _under(audit: StoredAudit) -> dict[str, str | None]:
    """Return the columns :data:`UNDER`, short enough to stand in every row."""
    info = audit.info
    now, certificate = certificate_basis(info), info.certificate
    policy = (info.policy or {}).get("name")
    version = info.version
    return {
        "policy": f"{policy} ({now['policy']})" if policy else None,
        "model": str(now["model"])[:16] if now["model"] else None,
        "certificate": format_bound(certificate) if certificate else None,
        "dataset_version": short_version(version) if version else None,
    }


def write_provenance(
    audit: StoredAudit,
    changes: Changes,
    version: str,
    place: Path,
    to: Path | None = None,
    export: ExportNotes | None = None,
) -> None:
    """Write the provenance of a dataset that has just been written.

    Args:
        audit: The audit that it was written from.
        changes: What changed.
        version: Content id of what was written.
        place: The file; its ending says the kind.
        to: What is written instead of ``place``, of the same kind; None: ``place`` itself.
        export: Notes on a dataset that is in another format; None for one in its own.
    """
    target = place if to is None else to
    facts = about(audit, version)
    facts |= {} if changes.plan is None else {"choice": changes.plan.as_dict()}
    facts |= {} if export is None else {"export": export.about}
    if place.suffix.lower() == ".json":
        with files.open_file(target) as file:
            rows = (row for one in _tables(audit, changes, export) for row in one.to_pylist())
            write_rows(file, facts, rows)
    else:
        schema = _SCHEMA.with_metadata({MARK: orjson.dumps(facts), b"pandas": _pandas_types()})
        with (
            files.open_file(target) as file,
            pq.ParquetWriter(file, schema, compression="zstd") as writer,
        ):
            for table in _tables(audit, changes, export):
                writer.write_table(table)
    with files.open_file(target, "r+b") as file:
        files.sync(file)


def _pandas_types() -> bytes:
    """Return pandas metadata that keeps ids Int64: float64 would change large ones."""
    types = {name: "Int64" for name, kind in _TYPES.items() if kind == pa.int64()}
    columns = [
        {
            "name": name,
            "field_name": name,
            "pandas_type": "int64",
            "numpy_type": kind,
            "metadata": None,
        }
        for name, kind in types.items()
    ]
    return orjson.dumps({"index_columns": [], "column_indexes": [], "columns": columns})


def write_rows(file: Any, facts: JsonObject, rows: Iterable[Mapping[str, object]]) -> None:
    """Write a provenance as JSON, row by row.

    Args:
        file: Where to, open for bytes.
        facts: Facts common to all masks.
        rows: A row a mask.
    """
    head = orjson.dumps(facts, option=orjson.OPT_SERIALIZE_NUMPY)
    file.write(b'{"about":' + head + b',"masks":[')
    first = True
    for row in rows:
        file.write((b"\n" if first else b",\n") + orjson.dumps(row))
        first = False
    file.write(b"\n]}\n")


def _tables(audit: StoredAudit, changes: Changes, export: ExportNotes | None) -> Iterator[pa.Table]:
    """Yield the rows, a part of the audit at a time; added masks come last."""
    rows, under = changes.rows, _under(audit)
    listed = rows[rows["mask_id"].notna()].set_index(rows["mask_id"].dropna().astype("int64"))
    people, plan = _people(audit), audit.people()
    for index in range(len(part_paths(audit.path, "masks"))):
        names = [n for n in _READ if n in part_names(audit.path, "masks", index)]
        masks = to_frame(read_part(audit.path, "masks", index, names))
        masks = masks if masks.index.name == "mask_id" else masks.set_index("mask_id")
        made = _part(with_people(masks, plan), listed, people)
        for old, new in changes.renumbered.items():
            made.loc[made["mask_id"] == old, "new_mask_id"] = new
        yield _table(_with_pixels(made, audit, index), under, export)
    added = rows[rows["mask_id"].isna()]
    if len(added):
        yield _table(added, under, export)


def _with_pixels(made: pd.DataFrame, audit: StoredAudit, index: int) -> pd.DataFrame:
    """Return rows with the columns :data:`PIXELS`, of the same part of the audit."""
    left = made["change"].isin(LEFT).to_numpy(bool)
    if not left.any():
        return made
    names = ["mask_id", "height", "width", "segmentation", "iscrowd"]
    names = [name for name in names if name in part_names(audit.path, "masks", index)]
    masks = to_frame(read_part(audit.path, "masks", index, names))
    masks = masks if masks.index.name == "mask_id" else masks.set_index("mask_id")
    images = to_frame(read_part(audit.path, "images", index, None))
    images = images if images.index.name == "image_id" else images.set_index("image_id")
    rows = masks.loc[made["mask_id"][left]].reset_index(drop=True)
    stored = rows["segmentation"].to_numpy(object)
    counts = [one.decode("ascii") if isinstance(one, bytes) else None for one in stored]
    keys = pd.Series(pd.NA, made.index[left], object)
    if "source_key" in images:
        keys = made["image_id"][left].map(images["source_key"].astype(object).to_dict())
    made = made.reindex(columns=[*made.columns, *PIXELS]).astype(dict.fromkeys(PIXELS, object))
    for name, values in (
        ("image_key", keys.to_numpy(object)),
        ("height", rows["height"].to_numpy()),
        ("width", rows["width"].to_numpy()),
        ("segmentation", counts),
        ("iscrowd", rows["iscrowd"].to_numpy(object) if "iscrowd" in rows else None),
    ):
        made.loc[left, name] = values
    return made


def _people(audit: StoredAudit) -> pd.DataFrame | None:
    if not audit.has_people():
        return None
    found = audit.query("select mask_id, iou, reviewers, time, draw_id from people")
    return found.set_index("mask_id")


def _part(masks: pd.DataFrame, listed: pd.DataFrame, people: pd.DataFrame | None) -> pd.DataFrame:
    """Return the rows of some masks: what is listed as it is there, the others as kept."""
    made = masks.reset_index().rename(columns={"reasons": "reason"}).assign(change="kept")
    made["category_before"] = made["category"]
    if people is not None:
        made = made.merge(people, how="left", left_on="mask_id", right_index=True)
    made = made.reindex(columns=list(ROWS))
    here = made["mask_id"].isin(listed.index).to_numpy()
    if not here.any():
        return made
    rows = listed.loc[made["mask_id"][here]].reset_index(drop=True)
    return pd.concat([made[~here], rows], ignore_index=True)


def _table(
    frame: pd.DataFrame, under: Mapping[str, str | None], export: ExportNotes | None
) -> pa.Table:
    columns: list[pa.Array | pa.ChunkedArray] = []
    for name, kind in _TYPES.items():
        values = frame[name] if name in frame else pd.Series(pd.NA, frame.index, object)
        columns.append(_column(name, values, kind))
    columns += [pa.repeat(pa.scalar(under[name], pa.string()), len(frame)) for name in UNDER]
    noted = {} if export is None else export.columns(frame)
    columns += [pa.array(noted.get(name, [None] * len(frame)), pa.string()) for name in OF_EXPORT]
    return pa.table(columns, schema=_SCHEMA)


def _column(name: str, values: pd.Series[Any], kind: pa.DataType) -> pa.Array | pa.ChunkedArray:
    """Return a column of the rows; what Arrow has already does not become Python's values."""
    nothing = bool(values.isna().all())
    if name == "reviewers":
        if nothing:
            ends = pa.array(np.zeros(len(values) + 1, np.int32))
            return pa.ListArray.from_arrays(ends, pa.array([], pa.string()))
        values = to_name_lists(values)
    elif nothing:
        return pa.nulls(len(values), kind)
    if name == "time":
        values = pd.to_datetime(values, utc=True).dt.as_unit("us")
    if isinstance(values.dtype, pd.ArrowDtype):
        return pa.array(values).cast(kind)
    is_plain = values.dtype == np.float64 and kind == pa.float64()
    if isinstance(values.dtype, pd.StringDtype | pd.Int64Dtype) or is_plain:
        return pa.array(values, kind, from_pandas=True)
    return pa.array(values.astype(object).where(values.notna(), None), kind)
