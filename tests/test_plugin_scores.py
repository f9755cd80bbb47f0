"""A score of another package in ``quality_score``: ranking, reasons, and what is unchanged."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fake_distribution import Install, forget_plugins, install
from sklearn.metrics import average_precision_score

import curate
from curate import rle
from curate.errors import CallError
from curate.policy.policy import Policy
from curate.quality import label_free
from curate.quality.features import FeatureColumns
from curate.scorers.scorer import Column

__all__ = ["install"]

HORIZON = 60
HEIGHT, WIDTH = 100, 300

CODE = f'''
import pandas as pd

from curate.scorers.scorer import Column, Scorer


def horizon(table):
    """Return how far a mask's foot is over the horizon, in pixels; and as a score."""
    m = table.masks
    over = ({HORIZON} - m["bbox_y"] - m["bbox_h"]).clip(lower=0).astype("float64")
    over = over.where(m["area_px"] > 0)
    return pd.DataFrame({{"over_px": over, "ground_score": 1 - (over / 50).clip(upper=1)}})


def columns(measure, score):
    return (
        Column(
            "over_px",
            "Height over the horizon",
            "measure",
            "px",
            "how far its foot is over the horizon",
            states="it floats over the horizon ({{over_px:.0f}} px)",
            **measure,
        ),
        Column(
            "ground_score",
            "Ground contact",
            low_means="it floats over the horizon",
            states="it floats, {{over_px:.0f}} px over the horizon",
            **score,
        ),
    )


MEASURE = Scorer(
    "horizon", horizon, columns({{"evidence": "contradiction", "best": 0, "worst": 50}}, {{}})
)
SCORE = Scorer("horizon", horizon, columns({{}}, {{"evidence": "contradiction"}}))
SILENT = Scorer("horizon", horizon, columns({{}}, {{}}))
'''


def disc(x: float, y: float, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    inside: np.ndarray = np.hypot(columns - x, rows - y) < radius
    return inside


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Discs on the ground, of which every twentieth floats: nothing built in sees that."""
    rng = np.random.default_rng(4)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image in range(1, 61):
        images.append({"id": image, "file_name": f"{image}.png", "height": HEIGHT, "width": WIDTH})
        for k in range(5):
            radius = rng.uniform(8, 12)
            y = rng.uniform(14, 40) if len(annotations) % 20 == 7 else rng.uniform(70, 85)
            mask = disc(30 + 60 * k, y, radius)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": 1,
                    "segmentation": rle.encode(mask)[0],
                    "area": int(mask.sum()),
                    "bbox": rle.bbox(mask)[0].tolist(),
                    "iscrowd": 0,
                }
            )
    categories = [{"id": 1, "name": "ball"}]
    path = tmp_path_factory.mktemp("source") / "balls.json"
    path.write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": categories})
    )
    return path


def floats(masks: pd.DataFrame) -> pd.Series:
    return masks["bbox_y"] + masks["bbox_h"] < HORIZON


def precision(masks: pd.DataFrame) -> float:
    return float(average_precision_score(floats(masks), -masks["quality_score"]))


@pytest.fixture(scope="module")
def plain(source: Path, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return curate.audit(source, tmp_path_factory.mktemp("plain") / "audit").masks().sort_index()


@pytest.mark.parametrize(
    ("scorer", "pattern"),
    [
        ("MEASURE", r"it floats over the horizon \((\d+) px, quality 0\.\d\d\)"),
        ("SCORE", r"it floats, (\d+) px over the horizon \(quality 0\.\d\d\)"),
    ],
)
def test_flaws_that_nothing_else_sees_are_ranked_and_named(
    scorer: str, pattern: str, source: Path, plain: pd.DataFrame, tmp_path: Path, install: Install
) -> None:
    points = {"curate.scorers": {"horizon": f"horizon_plugin:{scorer}"}}
    distribution = install("horizon_plugin", CODE, points)
    audit = curate.audit(source, tmp_path / "audit")
    masks = audit.masks().sort_index()
    assert floats(masks).sum() == 15
    assert precision(plain) < 0.2
    assert precision(masks) > 0.99
    assert ((masks["over_px"] > 0) == floats(masks)).all()
    told = masks["reasons"].str.extract(pattern)[0]
    assert floats(masks)[told.notna()].all(), "of nothing that stands on the ground"
    assert told.notna().sum() >= 14, "of all that float by more than some pixels"
    for over, found in zip(masks["over_px"][told.notna()], told.dropna(), strict=True):
        assert int(found) == round(over)
    assert (masks.loc[told.notna(), "action"] == "review").all()
    for name in set(plain.columns) & {*label_free.ORDER, "area_px"}:
        pd.testing.assert_series_equal(masks[name], plain[name], check_exact=True)

    # The package goes: the audit still says of its masks what it said.
    shutil.rmtree(distribution)
    forget_plugins()
    assert tuple(label_free.signals()) == label_free.ORDER
    curate.decide(tmp_path / "audit")
    again = curate.open_audit(tmp_path / "audit").masks().sort_index()
    pd.testing.assert_series_equal(again["quality_score"], masks["quality_score"], check_exact=True)


def test_a_column_that_is_no_evidence_changes_nothing(
    source: Path, plain: pd.DataFrame, tmp_path: Path, install: Install
) -> None:
    install("horizon_plugin", CODE, {"curate.scorers": {"horizon": "horizon_plugin:SILENT"}})
    masks = curate.audit(source, tmp_path / "audit").masks().sort_index()
    assert masks["over_px"].max() > 0
    for name in ("quality_score", "action", "reasons", "priority", "rank"):
        pd.testing.assert_series_equal(masks[name], plain[name], check_exact=True)


def test_a_policy_says_from_which_value_on_it_is_no_sign(
    source: Path, tmp_path: Path, install: Install
) -> None:
    install("horizon_plugin", CODE, {"curate.scorers": {"horizon": "horizon_plugin:MEASURE"}})
    policy = tmp_path / "policy.toml"
    policy.write_text('extends = "default"\n[odd]\nover_px = 20\n[review]\nlowest_share = 0.0\n')
    masks = curate.audit(source, tmp_path / "audit", policy=policy).masks()
    told = masks["reasons"].str.contains("floats")
    assert (told == (masks["over_px"] > 20)).all()
    assert 0 < told.sum() < floats(masks).sum()
    policy.write_text('extends = "default"\n[odd]\nover_px = 51\n')
    with pytest.raises(CallError, match=r"over_px .* from 0 to 50"):
        Policy.load(policy)


def test_a_learned_model_keeps_the_direction_of_a_measure(install: Install) -> None:
    assert FeatureColumns((), ("over_px", "area_px")).directions() == [1, 0, 0]
    install("horizon_plugin", CODE, {"curate.scorers": {"horizon": "horizon_plugin:MEASURE"}})
    assert FeatureColumns((), ("over_px", "area_px")).directions() == [1, 1, 0]


def test_the_built_in_columns_say_how_they_count() -> None:
    signals = label_free.signals()
    assert tuple(signals) == label_free.ORDER
    assert {name for name, one in signals.items() if one.evidence == "form"} == {
        *("fragment_score", "hole_score", "outline_score", "hairline_score", "compact_score"),
        *("straight_score", "split_score", "crop_score", "detail_score", "edge_offset_score"),
    }
    for name, one in signals.items():
        assert one.states or name in ("predicted_iou", "stability_score")
        assert not one.high_is_worse


def test_values_on_the_scale_of_scores() -> None:
    values = np.array([0.0, 5.0, 10.0, 20.0, -5.0, np.nan])
    high = Column("x_px", "X", "measure", "px", evidence="form", best=0, worst=10)
    low = Column("y_px", "Y", "measure", "px", evidence="form", best=10, worst=0)
    assert high.as_score(values)[:5].tolist() == [1.0, 0.5, 0.0, 0.0, 1.5]
    assert low.as_score(values)[:5].tolist() == [0.0, 0.5, 1.0, 2.0, 0.0]
    assert np.isnan(high.as_score(values)[5])
    assert Column("x_score", "X", evidence="form").as_score(values) is values


@pytest.mark.parametrize(
    ("keywords", "what"),
    [
        ({"kind": "word", "evidence": "form"}, "only scores and measures"),
        ({"kind": "measure", "evidence": "loud"}, "there is no evidence 'loud'"),
        ({"kind": "measure", "best": 0, "worst": 9}, "for measures that are evidence"),
        ({"kind": "measure", "evidence": "form", "best": 1, "worst": 1}, "two finite numbers"),
        ({"kind": "measure", "evidence": "form", "best": np.inf}, "two finite numbers"),
        ({"kind": "measure", "states_at_zero": "x"}, "are for scores"),
        ({"kind": "measure", "states": "{lack:.1%}"}, "are for scores"),
    ],
)
def test_a_column_that_contradicts_itself_is_refused(keywords: dict[str, Any], what: str) -> None:
    with pytest.raises(CallError, match=what):
        Column("x_px", "X", **keywords)
    with pytest.raises(CallError, match="for measures that are evidence"):
        Column("x_score", "X", evidence="form", worst=0.5)


def test_reasons_of_a_measure_that_says_nothing_of_itself_show_its_value() -> None:
    from curate.quality.explanations import explain_columns

    frame = pd.DataFrame({"x_px": [12.5]})
    assert explain_columns(frame, ["x_px"], [True]).stated == ["higher x than is usual (12.5)"]
    assert re.match("x 12.50", explain_columns(frame, ["x_px"], [True]).weakest[0])
