"""Whole audits: the same result however they are cut off, split, ordered and asked for again."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pycocotools.mask as coco_mask
import pytest

import curate
from curate.cli.audit_commands import name_files
from curate.errors import AuditError, CallError, SourceError
from curate.formats.sa1b import sa1b_format
from curate.reporting.summary import summary, summary_text
from curate.store import audit_files
from curate.store.audit import open_audit

TIMES = ("timings", "parts")  # what is another where the same is found in other parts


def write_sa1b(
    folder: Path, images: int, masks: int = 6, seed: int = 0, same_ids: bool = False
) -> None:
    """Write a folder of SA-1B files with overlapping squares, holes and odd things."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for number in range(images):
        annotations = []
        for k in range(masks):
            pixels = np.zeros((60, 90), np.uint8, order="F")
            x, y, size = rng.integers(0, 60), rng.integers(0, 40), rng.integers(4, 30)
            pixels[y : y + size, x : x + size] = 1
            if rng.random() < 0.2:
                pixels[y + 1 : y + 3, x + 1 : x + 3] = 0
            coded = coco_mask.encode(pixels)
            annotations.append(
                {
                    "id": k if same_ids else number * 100 + k,
                    "segmentation": {"size": [60, 90], "counts": coded["counts"].decode()},
                    "bbox": coco_mask.toBbox(coded).tolist(),
                    "area": int(coco_mask.area(coded)),
                    "predicted_iou": float(rng.uniform(0.7, 1.0)),
                    "stability_score": float(rng.uniform(0.8, 1.0)),
                    "crop_box": [0, 0, 90, 60],
                    "point_coords": [[float(x + 0.5), float(y + 0.5)]],
                }
            )
        image = {"image_id": number, "width": 90, "height": 60, "file_name": f"sa_{number}.jpg"}
        text = json.dumps({"image": image, "annotations": annotations})
        (folder / f"sa_{number}.json").write_text(text)


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a few images make a part, so that a small folder has many."""
    monkeypatch.setattr(sa1b_format, "PART_BYTES", 4000)


def frames(path: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    audit = open_audit(path)
    return audit.masks().sort_index(), audit.images().sort_index()


def assert_same(first: Path, second: Path) -> None:
    for a, b in zip(frames(first), frames(second), strict=True):
        pd.testing.assert_frame_equal(a, b)
    infos = [open_audit(path).info.as_dict() for path in (first, second)]
    for info in infos:
        for key in TIMES:
            info.pop(key)
    assert infos[0] == infos[1]


@pytest.mark.usefixtures("small_parts", "with_report")
def test_an_audit_has_everything(tmp_path: Path) -> None:
    write_sa1b(tmp_path / "in", 12)
    audit = curate.audit(tmp_path / "in", tmp_path / "out")
    masks, images = frames(audit.path)
    assert len(list((audit.path / "masks").glob("part-*.parquet"))) > 3
    assert len(masks) == 72
    assert sorted(masks["rank"]) == list(range(1, 73))
    ranked = masks.sort_values("rank")
    assert ranked["priority"].is_monotonic_decreasing
    assert set(masks["action"]) <= {"accept", "review", "reject"}
    assert (masks.loc[masks["action"] != "accept", "reasons"] != "").all()
    assert images["mask_count"].sum() == 72
    assert audit.info.counts["masks"] == 72
    assert (audit.path / "report.html").stat().st_size > 10_000
    assert not (audit.path / audit_files.WORK).exists()
    assert sorted(p.name for p in audit.path.iterdir()) == [
        "audit.json",
        "images",
        "masks",
        "report.html",
        "report.json",
        "report.md",
    ]


@pytest.mark.usefixtures("small_parts")
def test_parts_do_not_change_what_comes_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sa1b(tmp_path / "in", 12)
    many = curate.audit(tmp_path / "in", tmp_path / "many")
    monkeypatch.setattr(sa1b_format, "PART_BYTES", 16_000_000)
    one = curate.audit(tmp_path / "in", tmp_path / "one")
    assert len(list((one.path / "masks").iterdir())) == 1
    assert_same(many.path, one.path)


def test_workers_do_not_change_what_comes_out(tmp_path: Path) -> None:
    write_sa1b(tmp_path / "in", 4)
    one = curate.audit(tmp_path / "in", tmp_path / "one")
    two = curate.audit(tmp_path / "in", tmp_path / "two", workers=2)
    assert_same(one.path, two.path)


@pytest.mark.usefixtures("small_parts")
def test_ids_that_stand_twice_are_numbered_anew(tmp_path: Path) -> None:
    write_sa1b(tmp_path / "in", 8, same_ids=True)
    audit = curate.audit(tmp_path / "in", tmp_path / "out")
    masks, _ = frames(audit.path)
    assert masks.index.tolist() == list(range(48))
    assert masks["source_key"].is_unique
    image_of = masks["image_id"]
    for pointer in ("overlap_with", "nested_in"):
        known = masks[pointer].dropna()
        assert len(known)
        assert (image_of.loc[known.astype(int)].to_numpy() == image_of.loc[known.index]).all()


SLOW = """
import sys
from pathlib import Path
from curate.pipeline import scoring as pipeline; import curate as verbs
from curate.formats.sa1b import sa1b_format as sa1b
sa1b.PART_BYTES = 4000
score_part = pipeline.score_part
def slowly(job, part, *listening):
    count = score_part(job, part, *listening)
    print("part", part.index, flush=True)
    sys.stdin.readline()
    return count
pipeline.score_part = slowly
verbs.audit(Path(sys.argv[1]), Path(sys.argv[2]))
"""


@pytest.mark.slow
def test_kill_and_run_again(tmp_path: Path) -> None:
    """kill -9 in the middle, the same command again: no part twice, the same result."""
    write_sa1b(tmp_path / "in", 12)
    out = tmp_path / "killed"
    command = [sys.executable, "-c", SLOW, str(tmp_path / "in"), str(out)]
    piped = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **piped) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        seen = []
        for go_on in ("\n", "\n", ""):
            seen.append(process.stdout.readline())
            process.stdin.write(go_on)
            process.stdin.flush()
        process.send_signal(signal.SIGKILL)
    assert seen[2].startswith("part 2")
    with pytest.raises(AuditError, match="was interrupted"):
        open_audit(out)
    (out / "masks" / ".part-000009.parquet.1.tmp").write_bytes(b"half a part")
    nobody = {"stdin": subprocess.DEVNULL, "capture_output": True}
    done = subprocess.run(command, text=True, check=True, **nobody)
    again = [int(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("part")]
    assert again
    assert min(again) >= 3
    assert not list(out.rglob("*.tmp"))
    whole = tmp_path / "whole"
    subprocess.run([*command[:-1], str(whole)], check=True, **nobody)
    assert_same(out, whole)


@pytest.mark.parametrize(
    "after", [1, 4, 7, *(pytest.param(n, marks=pytest.mark.slow) for n in (2, 3, 5, 6, 8))]
)
@pytest.mark.usefixtures("small_parts")
def test_a_stop_at_any_write_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """A disk that fills up at the n-th write of any kind: a clear error, then the same result."""
    write_sa1b(tmp_path / "in", 5)
    whole = curate.audit(tmp_path / "in", tmp_path / "whole")
    replace, count = os.replace, 0

    def full(a: Any, b: Any) -> None:
        nonlocal count
        count += 1
        if count == 3 * after:
            raise OSError(28, "No space left on device")
        replace(a, b)

    monkeypatch.setattr(os, "replace", full)
    out = tmp_path / "out"
    message = ""
    try:
        curate.audit(tmp_path / "in", out)
    except AuditError as error:
        message = str(error)
    if count >= 3 * after:
        how = "run the same command again|curate report .* writes it elsewhere"
        assert re.search(f"no space left on device.*({how})", message)
    curate.audit(tmp_path / "in", out)
    assert_same(out, whole.path)


@pytest.mark.usefixtures("small_parts")
def test_another_policy_decides_again_without_scoring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sa1b(tmp_path / "in", 6)
    audit = curate.audit(tmp_path / "in", tmp_path / "out")
    before, _ = frames(audit.path)
    shutil.rmtree(tmp_path / "in")  # whatever reads the source now fails
    other = curate.decide(audit.path, policy="sa1b")
    after, _ = frames(other.path)
    assert other.info.policy["name"] == "sa1b"
    assert (before["action"] != after["action"]).any()
    scores = [c for c in before.columns if c.endswith("_score")]
    pd.testing.assert_frame_equal(before[scores], after[scores])
    curate.decide(audit.path, policy="default")
    back, _ = frames(audit.path)
    pd.testing.assert_frame_equal(before, back)


def test_again_is_at_once_and_changes_nothing(tmp_path: Path) -> None:
    write_sa1b(tmp_path / "in", 3)
    audit = curate.audit(tmp_path / "in", tmp_path / "out")
    parts = {p: p.stat().st_mtime_ns for p in audit.path.rglob("*.parquet")}
    curate.audit(tmp_path / "in", tmp_path / "out")
    assert parts == {p: p.stat().st_mtime_ns for p in audit.path.rglob("*.parquet")}


def test_another_source_is_refused(tmp_path: Path) -> None:
    write_sa1b(tmp_path / "in", 2)
    write_sa1b(tmp_path / "other", 2, seed=1)
    curate.audit(tmp_path / "in", tmp_path / "out")
    with pytest.raises(AuditError, match=r"it holds an audit of something else \(source path was"):
        curate.audit(tmp_path / "other", tmp_path / "out")
    assert len(curate.audit(tmp_path / "other", tmp_path / "out", restart=True).masks()) == 12


def test_bad_calls(tmp_path: Path) -> None:
    write_sa1b(tmp_path / "in", 1)
    with pytest.raises(SourceError, match="there is no such file or folder"):
        curate.audit(tmp_path / "nothing", tmp_path / "out")
    with pytest.raises(CallError, match="--workers is 0"):
        curate.audit(tmp_path / "in", tmp_path / "out", workers=0)
    with pytest.raises(CallError, match="no policy"):
        curate.audit(tmp_path / "in", tmp_path / "out", policy="no policy")
    with pytest.raises(SourceError, match="there is no such folder of images"):
        curate.audit(tmp_path / "in", tmp_path / "out", images=tmp_path / "pictures")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("pair", ["a", "=file", "a=", "a b=file", "../a=file"])
def test_names_of_other_annotations(pair: str) -> None:
    with pytest.raises(CallError, match="is not NAME=FILE"):
        name_files([pair])


def test_an_empty_dataset(tmp_path: Path) -> None:
    empty = {"images": [], "annotations": [], "categories": []}
    (tmp_path / "empty.json").write_text(json.dumps(empty))
    audit = curate.audit(tmp_path / "empty.json", tmp_path / "out")
    assert audit.info.counts["masks"] == 0
    assert "0 masks" in summary_text(audit, summary(audit))


def test_segmentation_survives(tmp_path: Path) -> None:
    write_sa1b(tmp_path / "in", 2)
    audit = curate.audit(tmp_path / "in", tmp_path / "out")
    stored = audit.masks(["segmentation"])["segmentation"]
    source = json.loads((tmp_path / "in" / "sa_1.json").read_text())
    for annotation in source["annotations"]:
        assert stored.loc[annotation["id"]] == annotation["segmentation"]["counts"].encode()
    metadata = pq.read_schema(next((audit.path / "masks").iterdir()))
    assert str(metadata.field("segmentation").type) == "large_binary"


def test_decisions_on_another_dataset_are_said_before_anything_is_thrown_away(
    tmp_path: Path,
) -> None:
    from curate.errors import AuditError
    from curate.people.reviews import open_reviews

    write_sa1b(tmp_path / "in", 3)
    audit = curate.audit(tmp_path / "in", tmp_path / "out")
    ids = audit.masks([]).index[:1]
    frame = pd.DataFrame({"mask_id": ids, "action": "reject", "reviewer": "ann"})
    open_reviews(audit, create=True).add(frame, origin="test")
    before = {p: p.stat().st_mtime_ns for p in audit.path.rglob("*.parquet")}
    write_sa1b(tmp_path / "other", 4)
    with pytest.raises(AuditError, match="it holds the decisions of another audit"):
        curate.audit(tmp_path / "other", tmp_path / "out", restart=True)
    assert before == {p: p.stat().st_mtime_ns for p in audit.path.rglob("*.parquet")}
    again = curate.audit(tmp_path / "in", tmp_path / "out", restart=True)
    assert again.masks(["decided_by"])["decided_by"].loc[ids].tolist() == ["person"]
