"""The study of the engine: its measures on datasets that are known, and a quick run of all."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from curate.demo_dataset import ErrorRates
from curate.engine.prefill_checks import draw_checks
from curate.engine.prefilling import PrefilledMasks
from curate.testing.scene import disc, table_of

STUDY = Path(__file__).resolve().parents[2] / "reports" / "engine"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"engine_{name}", STUDY / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def measuring() -> ModuleType:
    return load("measuring")


def test_missing_masks_and_false_ones_count_as_nothing(measuring: ModuleType) -> None:
    truth = table_of([disc(30, 30, 15), disc(100, 60, 15), disc(30, 30, 15)], [1, 1, 2])
    found = table_of([disc(30, 30, 15), disc(140, 20, 5)], [1, 1])
    images = measuring.image_ious(truth, found)
    assert images.loc["1.png"].tolist() == [1, 3, 2, 2]
    assert images.loc["2.png"].tolist() == [0, 1, 1, 0]
    assert images["iou"].sum() / images["count"].sum() == 1 / 4
    same = measuring.image_ious(truth, truth)
    assert same["iou"].tolist() == same["count"].tolist() == [2, 1]


def test_a_curve_ends_with_the_finished_dataset(measuring: ModuleType) -> None:
    images = pd.DataFrame(
        {"iou": [1.8, 0.5], "count": [3.0, 1.0], "objects": [2, 1], "masks": [3, 1]},
        index=["a", "b"],
    )
    curve = measuring.curve_of(images, pd.Series({"a": 10.0, "b": 30.0}), ["a", "b"])
    assert curve.seconds.tolist() == [0, 10, 40]
    assert curve.iou == pytest.approx([0, 1.8 / 4, 2.3 / 4])
    assert curve.seconds_at(1.8 / 4) == 10
    assert curve.seconds_at(0.9 / 4) == pytest.approx(5)
    assert np.isnan(curve.seconds_at(0.9))


def test_an_interval_over_seeds_is_students(measuring: ModuleType) -> None:
    mean, low, high = measuring.mean_interval([1.0, 2.0, 3.0])
    assert mean == 2
    assert high - mean == pytest.approx(4.303 / np.sqrt(3), rel=1e-3)
    assert mean - low == pytest.approx(high - mean)
    assert np.isnan(measuring.mean_interval([1.0])[1:]).all()


def test_every_constant_is_halved_and_doubled() -> None:
    model = load("time_model")
    varied = {(name, factor) for name, factor, _ in model.variations()}
    assert varied == {("", 1.0)} | {(name, f) for name in model.SOURCES for f in (0.5, 2.0)}


@pytest.fixture
def beside(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the study's modules import each other, and forget them afterwards."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(STUDY))
    yield
    for name in set(sys.modules) - before:
        if str(STUDY) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def test_a_line_is_met_by_the_whole_interval_or_by_the_mean_only(beside: None) -> None:
    line = load("verdicts").Line("1", "seconds", 0.5, most=True)
    assert line.judge(0.4, 0.3, 0.5) == "met"
    assert line.judge(0.4, 0.2, 0.6) == "met in the mean only"
    assert line.judge(0.4, np.nan, np.nan) == "met in the mean only"
    assert line.judge(0.51, 0.4, 0.6) == "not met"
    assert line.judge(np.nan, np.nan, np.nan) == "not measured"
    least = load("verdicts").Line("3", "good", 0.95, most=False)
    assert least.judge(0.97, 0.95, 0.99) == "met"
    assert least.judge(0.97, 0.94, 0.99) == "met in the mean only"
    assert least.judge(0.94, 0.9, 0.99) == "not met"


def test_repeated_looks_cover_the_true_share_of_good_masks(
    beside: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = load("stage_goals")
    random = np.random.default_rng(0)
    index = pd.RangeIndex(1, 161, name="mask_id")
    masks = pd.DataFrame(
        {"image_id": np.repeat(np.arange(16), 10), "quality_score": random.random(160)}, index
    )
    found = PrefilledMasks(1, masks, draw_checks(masks, 50, seed=0))
    good = pd.Series(random.random(160) > 0.1, index)
    looked = module.PrefilledRound(found, good, None)
    monkeypatch.setattr(module, "REPEATS", 20)
    assert looked.share == good.mean()
    assert module.repeated_coverage(looked, None, 0) >= 0.9
    always_wrong = ErrorRates(accept_bad=1, reject_good=1)
    assert module.repeated_coverage(looked, always_wrong, 0) < 0.1


@pytest.mark.slow
def test_a_quick_run_takes_every_step_and_goes_on_where_it_ended(tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in STUDY.iterdir() if path.is_file()}
    command = [sys.executable, "-B", str(STUDY / "run.py"), "--quick", "--seeds", "1"]
    outputs = [
        subprocess.run(
            [*command, "--work", str(tmp_path)],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for _ in range(2)
    ]
    tables = [text[text.index("goal") :] for text in outputs]
    assert tables[0] == tables[1]
    for what in (
        "the engine over: all by hand",
        "last round over first",
        "trained on by hand",
        "rule over chance",
        "prefilled masks",
        "certified masks",
        "best of three by learned quality",
    ):
        assert what in tables[0]
    assert {path: path.read_bytes() for path in STUDY.iterdir() if path.is_file()} == before
