"""Progress of long work: what is said of it, and how it is counted within parts and workers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from pandas.testing import assert_frame_equal
from waiting import until

import curate
from curate.common import progress
from curate.common.pool import Pool
from curate.common.progress import PlainProgress, StageProgress, duration_text
from curate.demo_dataset import make_demo
from curate.formats.reading import read
from curate.images import ImageFolder
from curate.pipeline import chunked_scoring
from curate.pipeline.chunked_scoring import ChunkSize, score_in_chunks
from curate.rle import codec
from curate.scorers import score
from curate.scorers.stability import SoftMasks


def test_masks_pace_and_time_left_are_said_within_the_first_part():
    stage = StageProgress(began=10.0, first=0.0, done=0.0, total=1)
    assert stage.text(10.0) == "", "there is no pace yet"
    stage.add(0.25, 1, 500)
    assert stage.text(12.0) == "500 masks, 250/s, 6 s left"
    stage.add(1.0, 1, 1500)
    assert stage.text(18.0) == "2,000 masks, 250/s", "no time is left"


def test_no_time_left_is_said_before_the_pace_is_known():
    """What was loaded and compiled in the first moments is no measure of the rest."""
    stage = StageProgress(began=0.0, first=0.0, done=0.0, total=10)
    stage.add(1.0, 10, 0)
    assert stage.text(0.9) == "10%"
    assert stage.text(1.0) == "10%, 9 s left"


def test_parts_that_were_done_before_do_not_count_for_the_pace():
    stage = StageProgress(began=0.0, first=8.0, done=8.0, total=10)
    stage.add(9.0, 10, 100)
    assert stage.text(5.0) == "100 masks, 20/s, 5 s left"
    counted = StageProgress(began=0.0, first=0.0, done=0.0, total=4)
    counted.add(1, 4, 0)
    assert counted.text(2.0) == "25%, 6 s left"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.2, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")],
)
def test_durations_are_said_in_two_units_at_most(seconds: float, said: str):
    assert duration_text(seconds) == said


def test_without_a_terminal_a_line_comes_after_a_second_and_then_now_and_then(
    capsys: pytest.CaptureFixture[str],
):
    now = 0.0
    tell = PlainProgress(lambda: now)
    tell("scoring", 0, 1, 0)
    for now in np.arange(0.5, 12.0, 0.5):
        tell("scoring", now / 20, 1, 10)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "scoring: 20 masks, 20/s, 19 s left",
        "scoring: 120 masks, 20/s, 14 s left",
        "scoring: 220 masks, 20/s, 9 s left",
    ]


def test_without_a_terminal_the_beginning_of_a_long_stage_is_said(
    capsys: pytest.CaptureFixture[str],
):
    now = 0.0
    tell = PlainProgress(lambda: now)
    tell.say_started()
    tell("reading", 0, 0, 0)
    tell("reading", 0, 0, 90)
    for now, done in ((0.5, 0), (0.9, 0), (5.0, 0), (9.0, 0), (30.0, 3), (30.5, 4)):
        tell("scoring", done, 4, 50 * done) if done else tell.say_started()
        if now == 0.5:
            tell("scoring", 0, 4, 0)
    tell("deciding", 1, 1, 0)
    now = 60.0
    tell.say_started()
    assert capsys.readouterr().err.splitlines() == [
        "scoring: started",
        "scoring: 150 masks, 5/s, 10 s left",
    ]


def test_news_that_come_late_do_not_keep_the_beginning_silent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    for name in ("FIRST_S", "EVERY_S"):
        monkeypatch.setattr(progress, name, 0.02)
    said = ""
    with progress.show_progress() as tell:
        tell("training", 0, 4, 0)

        def heard() -> str:
            nonlocal said
            said += capsys.readouterr().err
            return said

        until(heard, "the beginning to be said")
        tell("training", 4, 4, 0)
    assert said == "training: started\n"


def test_the_first_run_says_once_that_it_compiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    demo = make_demo(tmp_path / "demo", images=8)
    stats = SimpleNamespace(cache_path=str(tmp_path))
    monkeypatch.setattr(codec, "_decode", SimpleNamespace(stats=stats))
    assert not codec.are_kernels_cached()
    told: list[str] = []
    with contextlib.suppress(RuntimeError):
        curate.audit(demo.source, tmp_path / "out", progress=lambda stage, *_: stop_at(told, stage))
    assert told == [progress.COMPILING, "reading"]
    (tmp_path / "codec._decode-1.py311.nbi").touch()
    assert codec.are_kernels_cached()
    with progress.show_progress() as show, progress.show_progress(compiling=False) as quiet:
        show(progress.COMPILING, 0, 0, 0)
        quiet(progress.COMPILING, 0, 0, 0)
    assert capsys.readouterr().err == f"{progress.COMPILING}\n"


def stop_at(told: list[str], stage: str) -> None:
    told.append(stage)
    if stage == "reading":
        raise RuntimeError("enough was seen")


def test_chunks_grow_with_what_fits_half_a_second():
    chunk = ChunkSize()
    chunk.note(200, 0.001)
    assert chunk.size == 2000, "at most tenfold at a time"
    chunk.note(2000, 5.0)
    assert chunk.size == 200
    chunk.note(1, 60.0)
    assert chunk.size == 1, "and never under one"


@pytest.mark.parametrize("size", [1, 40])
def test_a_part_scored_in_chunks_is_what_it_is_scored_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
):
    demo = make_demo(tmp_path / "demo", images=8)
    table = read(demo.source)
    order = np.random.default_rng(3).permutation(len(table))
    table = table[order]
    inputs = {
        "images": ImageFolder(demo.pictures),
        "compare": {"second": read(demo.second_annotator)},
        "soft_masks": SoftMasks(demo.soft_masks),
    }
    monkeypatch.setattr(ChunkSize, "note", lambda *_: None)
    chunk, told = ChunkSize(), []
    chunk.size = size
    masks, images = score_in_chunks(table, inputs, {}, chunk, lambda *one: told.append(one))
    assert len(told) > 2
    assert sum(share for share, _ in told) == pytest.approx(1.0)
    assert sum(count for _, count in told) == len(table)
    assert_frame_equal(masks, score(table, inputs=inputs, two_step=False))
    assert_frame_equal(images, score(table, inputs=inputs, level="image"))


def test_an_audit_of_one_part_tells_of_its_masks_before_the_part_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    demo = make_demo(tmp_path / "demo", images=8)
    monkeypatch.setattr(chunked_scoring, "FIRST_CHUNK", 30)
    told: list[tuple[str, float, int, int]] = []
    audit = curate.audit(
        demo.source, tmp_path / "out", images=demo.pictures, progress=lambda *one: told.append(one)
    )
    scoring = [one for one in told if one[0] == "scoring"]
    assert next(stage for stage, *_ in told) == "reading"
    assert sum(masks for *_, masks in scoring) == len(audit.masks(["action"]))
    assert 0 < scoring[1][1] < 1
    assert scoring[-1][1] == pytest.approx(1.0)
    assert {"deciding", "report"} <= {stage for stage, *_ in told}


def test_masks_are_counted_while_a_dataset_is_written_and_compared(tmp_path: Path):
    demo = make_demo(tmp_path / "demo", images=8)
    audit = curate.audit(demo.source, tmp_path / "audit", images=demo.pictures)
    counts: dict[str, tuple[float, int, int]] = {}

    def count(stage: str, done: float, total: int, masks: int) -> None:
        counts[stage] = done, total, counts.get(stage, (0, 0, 0))[2] + masks

    pruned = curate.prune(audit, tmp_path / "pruned.json", progress=count)
    stays = len(curate.read(pruned.out))
    assert counts.pop("writing")[0] == 0, "nobody knows how far a file is written"
    assert counts.pop("checking") == (stays, stays, stays)
    curate.write(audit, tmp_path / "yolo", to="yolo", lossy=True, progress=count)
    written = len(curate.read(tmp_path / "yolo"))
    assert counts.pop("writing")[::2] == (written, written)
    assert counts.pop("checking") == (written, written, written)
    curate.diff(audit.path, pruned.out, progress=count)
    total = len(audit.masks(["action"]))
    assert counts.pop("reading audit") == (total, total, total)
    assert counts.pop("reading pruned.json") == (stays, 0, stays)
    assert set(counts) == {"comparing"}


def work(number: int, *, tell: Callable[..., None]) -> int:
    tell(0.5, number)
    tell(0.5, number)
    return number


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_tell_of_their_progress(workers: int):
    told: list[tuple[float, int]] = []
    with Pool(workers) as pool:
        done = sorted(pool.run(work, [(k,) for k in range(5)], lambda *one: told.append(one)))
    assert done == list(range(5))
    assert sorted(told) == sorted([(0.5, k) for k in range(5)] * 2)
