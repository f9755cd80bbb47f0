"""What cannot be written is refused in one sentence that says what, where and what to do."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from drawn_decisions import Source, listed, pixels_of
from drawn_masks import encoded
from mask_files import tree

import curate
from curate import cli
from curate.errors import AuditError, CallError, DuplicateError, SourceError
from curate.pipeline.scoring import audit

Prepared = Callable[[str], Source]


# --- the source ----------------------------------------------------------------------------------


def test_decisions_about_another_version_of_the_source(own_case: Any, tmp_path: Path) -> None:
    """The masks that they are about may have changed since, so they are not taken over."""
    first = own_case("coco")
    first.say("reject")
    text = first.source.read_bytes().decode()
    first.source.write_bytes(text.replace('"width": 27', '"width": 28').encode())
    audit(first.source, tmp_path / "second")
    shutil.copy(first.audit / "reviews.sqlite", tmp_path / "second")
    with pytest.raises(AuditError, match="another audit") as raised:
        curate.write(tmp_path / "second", first.out)
    assert str(tmp_path / "second" / "reviews.sqlite") in raised.value.where
    assert raised.value.do
    assert not first.out.exists()


@pytest.mark.parametrize("name", ["coco", "yolo"])
def test_a_source_that_was_moved_is_named_anew(own_case: Any, name: str) -> None:
    one = own_case(name)
    one.say("reject")
    moved = one.folder / "moved" / one.source.name
    moved.parent.mkdir()
    one.source.rename(moved)
    refused = one.refused(SourceError, where=one.source)
    assert "not there any more" in refused.what
    assert "--source" in refused.do
    result = curate.write(one.audit, one.out, source=moved)
    assert result.counts()["removed_by_people"] == 1
    assert len(curate.read(one.out)) == len(one.table) - 1


@pytest.mark.parametrize("name", ["coco", "png-folder"])
def test_a_source_that_changed_by_one_byte_of_the_same_size(own_case: Any, name: str) -> None:
    one = own_case(name)
    one.say("reject")
    path = one.source if one.source.is_file() else one.source / "solution.csv"
    data = path.read_bytes()
    path.write_bytes(data.replace(b"i", b"j", 1))
    assert len(path.read_bytes()) == len(data)
    refused = one.refused(SourceError, where=one.source)
    assert "changed since it was audited" in refused.what
    assert "audit it again" in refused.do
    one.refused(SourceError, where=one.source, source=one.source)


# --- the place -----------------------------------------------------------------------------------


def test_places_that_are_taken_or_would_harm_something(case: Any) -> None:
    one = case("png-folder")
    one.say("reject")
    (one.folder / "full").mkdir()
    (one.folder / "full" / "x").write_text("")
    (one.folder / "link").symlink_to(one.folder / "nowhere")
    before = tree(one.source)
    for out, what in (
        (one.source, "the source itself"),
        (one.source / "new", "inside the source"),
        (one.audit / "new", "inside the audit"),
        (one.folder / "full", "exists already"),
        (one.folder / "link", "exists already"),
    ):
        assert what in one.refused(CallError, where=out, out=out).what
    assert tree(one.source) == before
    (one.folder / "empty").mkdir()  # what holds nothing is free
    curate.write(one.audit, one.folder / "empty")
    assert len(curate.read(one.folder / "empty")) == len(one.table) - 1


def test_provenance_replaces_nothing_of_others(case: Any) -> None:
    one = case("coco")
    one.say("reject")
    note = one.out.with_name(one.out.name + ".provenance.parquet")
    pd.DataFrame({"x": [1]}).to_parquet(note)
    before = note.read_bytes()
    assert "exists already" in one.refused(CallError, where=note).what
    assert note.read_bytes() == before
    text = one.folder / "what.txt"
    assert ".parquet or .json" in one.refused(CallError, where=text, provenance=text).what
    with pytest.raises(CallError, match="needs an output"):
        curate.write(one.audit, provenance=one.folder / "what.json")


def test_a_full_disk(case: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    one = case("coco")
    one.say("reject")

    def full(file: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    refused = one.refused(AuditError, where=one.out)
    assert "no space left on device" in refused.what
    assert "make room" in refused.do
    monkeypatch.undo()
    curate.write(one.audit, one.out)
    assert len(curate.read(one.out)) == len(one.table) - 1


# --- what people decided -------------------------------------------------------------------------


def test_an_added_mask_of_an_object_that_has_one_is_asked_about(case: Any) -> None:
    one = case("coco")
    twin = one.pixels().copy()
    twin[tuple(np.argwhere(twin)[0])] = False  # all but a pixel
    one.add(twin, "cat")
    one.add(one.dot(), "cat")
    refused = one.refused(DuplicateError, where=one.audit)
    assert f"with mask {one.mask_id}" in refused.what
    assert refused.what.startswith("1 added mask")
    assert "--duplicates drop" in refused.do
    assert "--duplicates keep" in refused.do
    kept = curate.write(one.audit, one.out, duplicates="keep")
    assert (kept.counts()["added"], kept.counts()["added_left_out"]) == (2, 0)
    assert len(curate.read(one.out)) == len(one.table) + 2
    dropped = curate.write(one.audit, one.folder / "2.json", duplicates="drop")
    assert (dropped.counts()["added"], dropped.counts()["added_left_out"]) == (1, 1)
    assert "1" in next(line for line in dropped.text().splitlines() if "left out" in line)
    assert len(curate.read(one.folder / "2.json")) == len(one.table) + 1


def test_where_the_object_is_rejected_the_added_mask_is_no_duplicate(case: Any) -> None:
    one = case("coco")
    one.say("reject")
    one.add(one.pixels(), "cat")
    counts = curate.write(one.audit, one.out).counts()
    assert (counts["removed_by_people"], counts["added"]) == (1, 1)


@pytest.mark.parametrize("name", ["coco", "cvat", "yolo"])
def test_a_category_that_the_dataset_lacks_is_declared(case: Any, name: str) -> None:
    one = case(name)
    one.say("fix", category="zebra & co")
    one.add(one.dot(), "zebra & co")
    curate.write(one.audit, one.out)
    labels = [mask.label for mask in listed(curate.read(one.out)).values()]
    assert labels.count("zebra & co") == 2
    assert curate.read(one.out).masks["status"].tolist().count("bad_category") == 0


def test_a_category_that_yaml_cannot_take_safely_goes_to_coco(own_case: Any) -> None:
    one = own_case("yolo")
    (one.source / "data.yaml").write_text("names: [cat, dog, fox # odd\n  ]\nnc: 3\n")
    shutil.rmtree(one.audit)
    curate.audit(one.source, one.audit, policy={"name": "all"})
    one.say("fix", category="zebra")
    refused = one.refused(CallError, where="data.yaml")
    assert "--to coco" in refused.do
    made = curate.write(one.audit, one.folder / "out.json", to="coco")
    number = made.changes.renumbered.get(one.mask_id, one.mask_id)
    assert listed(curate.read(made.out))[number].label == "zebra"


@pytest.mark.parametrize(
    ("name", "where", "do"),
    [
        ("lvis", "lvis.json", "--to coco"),
        ("png-folder", "stage1", "--to coco"),
        ("sa1b", "sa1b", "--to coco"),
    ],
)
def test_a_category_that_the_format_cannot_hold_is_refused(
    case: Any, name: str, where: str, do: str
) -> None:
    one = case(name)
    one.say("fix", category="zebra")
    refused = one.refused(CallError, where=where)
    assert "zebra" in str(refused) or "no categories" in refused.what
    assert do in refused.do
    if "--to coco" in do:  # then that does it
        made = curate.write(one.audit, one.out, to="coco")
        number = made.changes.renumbered.get(one.mask_id, one.mask_id)
        assert listed(curate.read(one.out))[number].label == "zebra"


def test_added_masks_without_a_category_need_one(case: Any) -> None:
    one = case("coco")
    one.add(one.dot())
    assert "--category" in one.refused(CallError, where=one.source.name).do
    curate.write(one.audit, one.out, category="cat")
    assert [m.label for m in listed(curate.read(one.out)).values()][-1] == "cat"


def test_two_fixes_by_two_people_change_nothing_and_are_counted(case: Any) -> None:
    one = case("coco")
    shapes = [np.zeros_like(one.pixels()) for _ in range(2)]
    shapes[0][2:9, 3:9] = shapes[1][4:12, 5:20] = True
    for who, mask in zip(("ada", "bob"), shapes, strict=True):
        one.say("fix", segmentation=encoded(mask), reviewer=who)
    result = curate.write(one.audit, one.out)
    assert result.counts()["unsettled"] == 1
    said = next(line for line in result.text().splitlines() if "not settled" in line)
    assert said.startswith("not settled, left as they were: 1 disputed (see `curate queue")
    row = result.as_dict()["not_settled"][0]
    assert (row["mask_id"], row["why"]) == (one.mask_id, "disputed")
    assert row["reviewers"] == ["ada", "bob"]
    assert one.out.read_bytes() == one.source.read_bytes()
    one.say("fix", segmentation=encoded(shapes[0]), reviewer="cyd")  # two of three agree
    second = curate.write(one.audit, one.folder / "2.json")
    assert second.counts()["unsettled"] == 0
    written = pixels_of(curate.read(one.folder / "2.json"))[one.mask_id]
    assert (written == shapes[0]).all()


def test_a_fix_that_is_empty_or_outside_the_image_is_not_taken(case: Any) -> None:
    one = case("coco")
    height, width = one.pixels().shape
    outside = [[width + 5, 1, width + 9, 1, width + 9, 5]]
    for mask, what in (
        (encoded(np.zeros((height, width), bool)), "no pixel"),
        (outside, "no pixel"),
        (encoded(np.ones((height + 1, width), bool)), "cannot be read"),
    ):
        with pytest.raises(SourceError, match=what) as raised:
            one.say("fix", segmentation=mask)
        assert f"mask {one.mask_id}" in raised.value.where
    curate.write(one.audit, one.out)
    assert one.out.read_bytes() == one.source.read_bytes()


def test_pixels_that_two_masks_claim_are_asked_about(case: Any) -> None:
    one = case("label-png")
    masks = one.table.masks
    large = masks[masks["area_px"] > 100].groupby("image_id").filter(lambda some: len(some) > 1)
    first, other = (int(number) for number in large.index[:2])
    grown = one.pixels(first) | one.pixels(other)
    grown[tuple(np.argwhere(one.pixels(other))[0])] = False
    one.say("fix", first, segmentation=encoded(grown))
    refused = one.refused(CallError, where=one.source)
    assert "--overlap new" in refused.do
    assert masks["source_key"][first] in refused.what
    dry = curate.write(one.audit, overlap="new")
    result = curate.write(one.audit, one.out, overlap="new")
    written = pixels_of(curate.read(one.out))
    assert (written[first] == grown).all()
    assert written[other].sum() == 1
    was = int(one.pixels(other).sum())
    for said in (dry, result):
        row = said.as_dict()["moved"][0]
        assert (row["mask_id"], row["change"]) == (other, "cut")
        assert row["stored_iou"] == pytest.approx(1 / was)
        assert said.counts()["cut"] == 1
        assert f"IoU with the intended mask at least {1 / was:.4f}" in said.text()
        assert f"mask {other} (" in said.text()
    assert "all as expected" not in result.text()
    rows = pq.read_table(result.provenance).to_pandas().set_index("mask_id")
    assert rows.at[other, "change"] == "cut"
    assert rows.at[other, "reason"].startswith(
        f"other masks have {was - 1:,} of its {was:,} pixels"
    )
    assert rows["stored_iou"].notna().sum() == 1


def test_of_a_redrawn_mask_that_yields_to_others_it_is_said_too(case: Any) -> None:
    one = case("label-png")
    masks = one.table.masks
    large = masks[masks["area_px"] > 100].groupby("image_id").filter(lambda some: len(some) > 1)
    first, other = (int(number) for number in large.index[:2])
    grown = one.pixels(first) | one.pixels(other)
    one.say("fix", first, segmentation=encoded(grown))
    result = curate.write(one.audit, one.out, overlap="old")
    row = result.as_dict()["moved"][0]
    assert (row["mask_id"], row["change"]) == (first, "redrawn")
    assert row["stored_iou"] == pytest.approx(one.pixels(first).sum() / grown.sum())


def test_a_dry_run_refuses_what_the_real_one_would(case: Any) -> None:
    one = case("label-png")
    one.say("fix", segmentation=encoded(one.dot()), category="zebra")
    for options in ({}, {"overlap": "new"}, {"masks": "polygon"}, {"attributes": True}):
        with pytest.raises(CallError) as dry:
            curate.write(one.audit, **options)
        real = one.refused(CallError, where="", **options)
        assert str(dry.value) == str(real)


# --- options -------------------------------------------------------------------------------------


def test_options_that_the_format_cannot_follow(case: Any) -> None:
    one = case("yolo")
    one.say("fix", segmentation=encoded(one.dot()))
    assert "polygons only" in one.refused(CallError, where=one.source, masks="rle").what
    refused = one.refused(CallError, where=one.source, attributes=True)
    assert "no place for attributes" in refused.what


def test_options_that_there_are_not(case: Any) -> None:
    one = case("coco")
    refused = one.refused(CallError, where="--to", to="zebra")
    assert "coco" in refused.what
    for name, value in (("masks", "rl"), ("overlap", "newer"), ("duplicates", "dro")):
        refused = one.refused(CallError, where=f"--{name}", **{name: value})
        assert value in refused.what
        assert " is not one of " in refused.what
    assert "same, polygon, rle" in one.refused(CallError, where="--masks", masks="foo").what
    one.refused(CallError, where="", drop=("rejected",))
    refused = one.refused(CallError, where="--drop", drop="review")
    assert "['review']" in refused.do


def test_the_command_line_says_it_in_one_line(
    case: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = case("coco")
    one.say("reject")
    for arguments in (["--to", "yolo"], ["--out", str(one.source)], ["--masks", "rings"]):
        monkeypatch.setattr("sys.argv", ["curate", "write", str(one.audit), *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        assert end.value.code == 2
        shown = capsys.readouterr()
        assert shown.out == ""
        assert shown.err.startswith("error: ")
        assert shown.err.count("\n") == 1
