"""One contract for all formats: what people decided is in the written dataset, and nothing else."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from drawn_decisions import (
    PEOPLE,
    Decided,
    Source,
    added,
    decide,
    decide_all_sorts,
    default_label,
    differences,
    hand_in,
    happened,
    image_names,
    kept,
    listed,
)
from drawn_masks import APART
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from mask_files import tree
from random_cases import some_of
from rest import check_rest
from small_datasets import KINDS

import curate
from curate.writing.write_result import WriteResult

Prepared = Callable[..., Source]

EVERY = pytest.mark.parametrize("name", KINDS)
SEEDS = st.integers(0, 2**32 - 1)
ONCE = {"phases": [Phase.generate], "report_multiple_bugs": False}
"""An example costs half a second, and to make one smaller takes hundreds."""


def content(path: Path) -> dict[str, bytes]:
    return tree(path) if path.is_dir() else {"": path.read_bytes()}


def check_masks(source: Source, out: Path, decided: Decided) -> None:
    """What is read again is what is meant, and masks keep the names that the format has."""
    table = curate.read(out)
    found, meant = listed(table), kept(source, decided)
    wanted = Counter([*meant.values(), *added(source, decided)])
    assert Counter(found.values()) == wanted
    names = image_names(source.table)
    with_masks = {mask.image for mask in wanted}
    stays = [name for name in names.values() if name in with_masks or not source.kind.unlisted]
    assert Counter(image_names(table).values()) == Counter(stays)
    if source.kind.identity == "mask_id":
        assert {number: found.get(number) for number in meant} == meant
    elif source.kind.identity == "source_key":
        keys = source.table.masks["source_key"]
        by_key = dict(zip(table.masks["source_key"], found.values(), strict=True))
        assert {n: by_key.get(keys[n]) for n in meant} == meant


def check_provenance(source: Source, result: WriteResult, decided: Decided) -> None:
    """A row a mask: what happened, who decided, who they are."""
    assert result.provenance is not None
    rows = pq.read_table(result.provenance).to_pandas()
    own = rows[rows["mask_id"].notna()].astype({"mask_id": "int64"}).set_index("mask_id")
    assert sorted(own.index) == sorted(source.table.masks.index)
    assert own["change"].to_dict() == happened(source, decided)
    by_people = {number for number, act in decided.acts.items() if act != "nothing"}
    readable = source.table.masks["status"].eq("ok")
    for number, row in own.iterrows():
        act = decided.acts[number]
        who: set[str] = set()
        if act in ("accept", "reject"):
            who = {PEOPLE[number % 2]}
        elif act != "nothing":
            who = set(PEOPLE if act == "disagree" or number % 3 == 0 else PEOPLE[:1])
        assert set(row["reviewers"]) == who
        if readable[number]:
            assert row["decided_by"] == ("person" if number in by_people else "policy")
    new = rows[rows["mask_id"].isna()]
    assert len(new) == len(decided.added)
    assert set(new["change"]) <= {"added"}
    assert set(new["decided_by"]) <= {"person"}
    drew = Counter(tuple(PEOPLE[: 1 + k % 2]) for k in range(len(new)))
    assert Counter(map(tuple, new["reviewers"])) == drew
    check_new_places(result, new)


def check_new_places(result: WriteResult, new: pd.DataFrame) -> None:
    """The ids and source keys of added masks are those with which they are read."""
    assert result.out is not None
    masks = curate.read(result.out).masks
    there = dict(zip(masks["source_key"], masks.index, strict=True))
    for key, number in zip(new["new_source_key"], new["new_mask_id"], strict=True):
        assert there[key] == number
    assert new["new_source_key"].is_unique


def check_diff(source: Source, out: Path, decided: Decided) -> None:
    """``curate diff`` lists exactly the decisions.

    Without identities a mask that lost most of its pixels may be found again by its place, or not:
    both count as one mask that went and one that came.
    """
    found = curate.diff(source.path, out)
    unchanged, wanted = differences(source, decided)

    def said(value: Any) -> str | None:
        return None if pd.isna(value) else str(value).removeprefix("#")

    def rows_of(row: dict[Any, Any], image: str) -> list[tuple[Any, ...]]:
        before, after = said(row["category_a"]), said(row["category_b"])
        shared = None if pd.isna(row["iou"]) else round(row["iou"], 9)
        lost = shared is not None and shared < APART
        if row["change"] == "redrawn" and lost and not source.kind.identity:
            went = ("removed", image, before, None, None)
            return [went, ("added", image, None, after, None)]
        return [(row["change"], image, before, after, shared)]

    names = image_names(source.table)
    by_id = {str(number): name for number, name in names.items()}
    shown = Counter(
        one
        for row in found.masks.to_dict("records")
        for one in rows_of(row, row["file_name"] or image_of(row, source, out, by_id))
    )
    assert shown == wanted
    assert found.unchanged == unchanged
    left = {mask.image for mask in [*kept(source, decided).values(), *added(source, decided)]}
    gone = [name for name in names.values() if source.kind.unlisted and name not in left]
    assert found.images["change"].tolist() == ["removed"] * len(gone)


def image_of(row: dict[Any, Any], source: Source, out: Path, names: dict[str, str]) -> str:
    """Return the image of a row of a diff between datasets whose images have no names."""
    if pd.notna(row["mask_id_a"]):
        return names[str(source.table.masks.at[row["mask_id_a"], "image_id"])]
    return names[str(curate.read(out).masks.at[row["mask_id_b"], "image_id"])]


def check_contract(source: Source, chance: random.Random) -> None:
    """Draw decisions, write, and see that these and nothing else differ."""
    decided = decide(chance, source)
    with tempfile.TemporaryDirectory() as folder:
        audit, out = Path(folder) / "audit", Path(folder) / f"out{source.path.suffix}"
        shutil.copytree(source.audit, audit)
        before = content(source.path)
        hand_in(source, audit, decided)
        result = curate.write(audit, out, category=default_label(source.kind))
        check_masks(source, out, decided)
        check_rest(source, out, decided)
        check_provenance(source, result, decided)
        check_diff(source, out, decided)
        assert result.version == curate.version(out)
        assert result.counts()["unsettled"] == len(decided.of("disagree"))
        assert content(source.path) == before


@EVERY
@settings(max_examples=1, **ONCE)
@given(seed=SEEDS)
def test_exactly_the_decisions_and_nothing_else(prepared: Prepared, name: str, seed: int) -> None:
    check_contract(prepared(name), random.Random(seed))


@pytest.mark.slow
@EVERY
@settings(max_examples=100, **ONCE)
@given(seed=SEEDS)
def test_exactly_the_decisions_and_nothing_else_many_times(
    prepared: Prepared, name: str, seed: int
) -> None:
    check_contract(prepared(name, 1 + seed % 5), random.Random(seed))


@pytest.mark.parametrize("name", some_of(KINDS, 12))
def test_without_decisions_every_byte_and_the_version_stay(
    prepared: Prepared, name: str, tmp_path: Path
) -> None:
    source = prepared(name)
    out = tmp_path / f"out{source.path.suffix}"
    result = curate.write(source.audit, out)
    assert content(out) == content(source.path)
    assert result.version == result.version_before == curate.version(source.path)
    assert curate.diff(source.path, out).equal
    assert result.changes.masks == result.changes.masks_after == len(source.table)


@pytest.mark.parametrize("name", some_of((k for k in KINDS if KINDS[k].format != "coco"), 8))
def test_the_same_decisions_as_one_coco_file(prepared: Prepared, name: str, tmp_path: Path) -> None:
    """What has no category gets one; what has no pixels has no place in it."""
    source = prepared(name)
    decided = decide_all_sorts(source)
    shutil.copytree(source.audit, tmp_path / "audit")
    hand_in(source, tmp_path / "audit", decided)
    out = tmp_path / "out.json"
    label = default_label(source.kind)
    result = curate.write(tmp_path / "audit", out, to="coco", category=label)
    table = curate.read(out)
    meant = [*kept(source, decided).values(), *added(source, decided)]
    sized = [replace(mask, label=mask.label or "object") for mask in meant]
    assert Counter(listed(table).values()) == Counter(sized)
    names = image_names(table)
    assert sorted(names.values()) == sorted(image_names(source.table).values())
    assert result.version == curate.version(out)
    ids = {result.changes.renumbered.get(number, number) for number in kept(source, decided)}
    assert ids < set(table.masks.index)
    check_provenance(source, result, decided)
