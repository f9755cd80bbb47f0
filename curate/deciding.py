"""The second stage of an audit: what needs all its parts at once.

References (what is usual in this dataset), quality, the plan and the rank. Every step reads files
and writes files whole, and gives the same again when it is cut off and run again; a new policy only
needs this stage.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curate import scorers
from curate.curation.blame import blame
from curate.curation.plan import decide
from curate.curation.policy import Policy
from curate.scorers.near_duplicates import near_duplicates
from curate.scorers.stability import StabilityCurve
from curate.pool import Pool, Report
from curate.scorers import quality
from curate.store import (
    COMPLETE,
    DECIDING,
    INFO,
    WORK,
    Audit,
    connect,
    part_path,
    part_paths,
    to_frame,
    write_json,
    write_part,
    writing,
)

SAMPLE = 200_000
"""Masks that references are fitted on: enough for a dataset of any size."""

GRID = 1000
"""Steps of the table of qualities from which a share of lowest quality is read off."""

HEAVY = ("segmentation", "source_key", "stability_curve")
"""Columns that no decision reads."""


def decide_audit(
    out: Path, info: dict[str, Any], policy: Policy, pool: Pool, report: Report | None = None
) -> Audit:
    """Fit references, judge every mask and rank them all; needs scored parts in ``out``."""
    started = time.monotonic()
    if info["state"] == COMPLETE and info["policy"] == policy.as_dict():
        return Audit(out, info)
    fresh = "references" not in info
    info = info | {"state": DECIDING, "policy": policy.as_dict()}
    write_json(out / INFO, info)
    if fresh:
        repair_ids(out)
        info["references"] = fit_references(out)
        write_json(out / INFO, info)
    count = len(part_paths(out, "masks"))
    shutil.rmtree(out / WORK / "plan", ignore_errors=True)
    tasks = [(out, index, policy, info["references"]) for index in range(count)]
    for done, _ in enumerate(pool.run(plan_part, tasks), 1):
        if report:
            report("deciding", done, 2 * count, 0)
    rank_all(out, count)
    copies = _copies(out)
    for done, _ in enumerate(pool.run(finish_part, [(out, k, copies) for k in range(count)]), 1):
        if report:
            report("deciding", count + done, 2 * count, 0)
    info["counts"] = count_all(out)
    info["stability_curve"] = stability_curve(out)
    columns = pq.read_schema(part_path(out, "masks", 0)).names if count else []
    info["silent_rules"] = policy.silent(columns)
    info["timings"]["deciding_s"] = round(time.monotonic() - started, 3)
    info["state"] = COMPLETE
    write_json(out / INFO, info)
    shutil.rmtree(out / WORK, ignore_errors=True)
    return Audit(out, info)


def repair_ids(out: Path) -> None:
    """Number masks (or images) anew, in order, where one id stands in two parts.

    Running it again on parts that are renumbered already changes nothing.
    """
    with connect(out) as connection:
        twice = {
            kind: connection.execute(
                f"select count(*) > count(distinct {kind[:-1]}_id) from {kind}"
            ).fetchone()[0]
            for kind in ("masks", "images")
        }
    first = {"masks": 0, "images": 0}
    for masks_path, images_path in zip(
        part_paths(out, "masks"), part_paths(out, "images"), strict=True
    ):
        if not any(twice.values()):
            return
        masks, images = pq.read_table(masks_path), pq.read_table(images_path)
        if twice["masks"]:
            masks = _renumber(masks, "mask_id", ("duplicate_of", "nested_in"), first["masks"])
        if twice["images"]:
            old = images["image_id"].to_pandas()
            new = pd.Series(np.arange(len(old)) + first["images"], index=old)
            moved = pa.array(new.reindex(masks["image_id"].to_pandas(), fill_value=-1).to_numpy())
            masks = masks.set_column(masks.schema.get_field_index("image_id"), "image_id", moved)
            images = _renumber(images, "image_id", (), first["images"])
        write_part(masks_path, masks)
        write_part(images_path, images)
        first = {"masks": first["masks"] + len(masks), "images": first["images"] + len(images)}


def _renumber(table: pa.Table, index: str, pointers: tuple[str, ...], first: int) -> pa.Table:
    """Give rows the ids ``first``, ``first + 1``, ... and move the columns that point at them."""
    old = table[index].to_pandas()
    new = pd.Series(np.arange(first, first + len(old)), index=old, dtype="Int64")
    for name in (*pointers, index):
        if name in table.schema.names:
            moved = new.reindex(table[name].to_pandas().astype("Int64"))
            at = table.schema.get_field_index(name)
            values = pa.array(moved.array, pa.int64())
            table = table.set_column(at, table.schema.field(at), values)
    return table


def _light(names: list[str]) -> list[str]:
    return [name for name in names if name not in HEAVY]


def fit_references(out: Path) -> dict[str, Any]:
    """Learn what is usual in the dataset from up to :data:`SAMPLE` masks of it."""
    names = _light(pq.read_schema(part_paths(out, "masks")[0]).names)
    listed = ", ".join(f'"{name}"' for name in names)
    with connect(out) as connection:
        sample = connection.sql(
            f"select {listed} from masks order by hash(mask_id), mask_id limit {SAMPLE}"
        ).to_arrow_table()
    frame = to_frame(sample).set_index("mask_id").sort_index()
    references = scorers.fit(frame)
    applied = scorers.apply(frame, references)
    frame = frame.drop(columns=[c for c in applied if c in frame]).join(applied)
    references["quality"] = quality.fit(frame)
    scores = quality.apply(frame, references["quality"])
    judged = scores[~_is_crowd(frame) & scores.notna()]
    grid = np.quantile(judged, np.linspace(0, 1, GRID + 1)).tolist() if len(judged) else []
    return references | {"quality_quantiles": {"values": grid}}


def _is_crowd(frame: pd.DataFrame) -> pd.Series[bool]:
    if "iscrowd" not in frame:
        return pd.Series(False, index=frame.index)
    return frame["iscrowd"].fillna(0).astype("int64") == 1


def quality_line(references: Mapping[str, Mapping[str, Any]], share: float) -> float | None:
    """Return the quality that ``share`` of the dataset's masks stay under; None for no share."""
    grid = references["quality_quantiles"]["values"]
    if not share or not grid:
        return None
    return float(np.interp(share, np.linspace(0, 1, len(grid)), grid))


def plan_part(
    out: Path, index: int, policy: Policy, references: Mapping[str, Mapping[str, Any]]
) -> None:
    """Judge the masks of one part: second-step scores, quality, action, reasons, priority."""
    path = part_path(out, "masks", index)
    names = pq.read_schema(path).names
    frame = to_frame(pq.read_table(path, columns=_light(names)))
    frame = frame if frame.index.name == "mask_id" else frame.set_index("mask_id")
    frame = frame.drop(columns=[c for c in LATE if c in frame.columns])
    applied = scorers.apply(frame, references)
    frame = frame.drop(columns=[c for c in applied.columns if c in frame.columns]).join(applied)
    frame["quality_score"] = quality.apply(frame, references["quality"])
    cut = quality_line(references, policy.lowest_share)
    why = blame(frame, references["quality"])
    plan = decide(frame, policy, quality_cut=cut, blame=why)[["action", "reasons", "priority"]]
    late = applied.join(frame["quality_score"]).join(plan).assign(part=index, row=range(len(plan)))
    write_part(
        out / WORK / "plan" / f"part-{index:06d}.parquet",
        pa.Table.from_pandas(late.reset_index(), preserve_index=False),
    )


LATE = ("quality_score", "action", "reasons", "priority", "rank")
"""Columns that this stage gives, beside those of two-step scorers."""


def rank_all(out: Path, parts: int) -> None:
    """Rank every mask of the audit by priority, on disk where it does not fit in memory."""
    source, target = out / WORK / "plan" / "part-*.parquet", out / WORK / "rank.parquet"
    with connect(out) as connection, writing(target) as temporary:
        connection.execute(
            "copy (select part, row, row_number() over (order by priority desc, mask_id) as rank"
            f" from read_parquet('{_quoted(source)}') order by part, row)"
            f" to '{_quoted(temporary)}' (format parquet, row_group_size 20480)"
        )


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


def _copies(out: Path) -> pd.DataFrame:
    """Find images that show what another shows; empty where the pictures were not looked at."""
    wanted = ["image_id", "content_hash", "picture_hash"]
    paths = part_paths(out, "images")
    if not paths or "content_hash" not in pq.read_schema(paths[0]).names:
        return pd.DataFrame()
    frame = to_frame(pa.concat_tables([pq.read_table(p, columns=wanted) for p in paths]))
    return near_duplicates(frame.set_index("image_id") if "image_id" in frame else frame)


def finish_part(out: Path, index: int, copies: pd.DataFrame) -> None:
    """Join the plan and the rank to one part of masks, and counts to its images."""
    path = part_path(out, "masks", index)
    masks = pq.read_table(path)
    plan = pq.read_table(out / WORK / "plan" / path.name).drop_columns(["mask_id", "part", "row"])
    ranks = pq.read_table(out / WORK / "rank.parquet", filters=pc.field("part") == index)
    plan = plan.append_column("rank", ranks.sort_by("row")["rank"])
    masks = masks.drop_columns([n for n in plan.schema.names if n in masks.schema.names])
    for name in plan.schema.names:
        masks = masks.append_column(plan.schema.field(name), plan[name])
    write_part(path, masks)
    _finish_images(out, index, masks, copies)


def _finish_images(out: Path, index: int, masks: pa.Table, copies: pd.DataFrame) -> None:
    path = part_path(out, "images", index)
    images = to_frame(pq.read_table(path))
    images = images if images.index.name == "image_id" else images.set_index("image_id")
    action = masks["action"].to_pandas().astype(str)
    table = pd.crosstab(masks["image_id"].to_pandas(), action)
    images["mask_count"] = table.sum(axis=1).reindex(images.index, fill_value=0).astype("int64")
    for name in ("review", "reject"):
        counts = table[name] if name in table else pd.Series(dtype="int64")
        images[f"{name}_count"] = counts.reindex(images.index, fill_value=0).astype("int64")
    for name in copies.columns:
        images[name] = copies[name].reindex(images.index)
    write_part(path, pa.Table.from_pandas(images, preserve_index=True))


def stability_curve(out: Path) -> dict[str, Any] | None:
    """Put the stability curves of all masks together; None where there were no soft masks."""
    curve = StabilityCurve()
    for path in part_paths(out, "masks"):
        if "stability_curve" not in pq.read_schema(path).names:
            return None
        curve.add(pq.read_table(path, columns=["stability_curve"])["stability_curve"].to_pylist())
    return curve.summary()


def count_all(out: Path) -> dict[str, Any]:
    """Count masks, images, actions and statuses for ``audit.json``."""
    with connect(out) as connection:

        def pairs(sql: str) -> dict[str, int]:
            return {str(k): int(n) for k, n in connection.execute(sql).fetchall()}

        return {
            "masks": connection.execute("select count(*) from masks").fetchone()[0],
            "images": connection.execute("select count(*) from images").fetchone()[0],
            "actions": pairs("select action, count(*) from masks group by 1 order by 1"),
            "status": pairs("select status, count(*) from masks group by 1 order by 1"),
            "image_status": pairs("select status, count(*) from images group by 1 order by 1"),
        }
