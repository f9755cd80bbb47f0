"""What the SQL of the report counts, against pandas over the same rows."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scenes import HandMade, info, write_audit

from curate.images import ImageFolder
from curate.policy.policy import load_policy
from curate.render.crops import brighten
from curate.render.formatting import kind_of
from curate.reporting import (
    distributions,
    gallery,
    mask_selection,
    methods,
    queries,
    svg_figures,
    tables,
)
from curate.reporting.page import render
from curate.reporting.queries import ReportSource
from curate.reporting.svg_figures import marks
from curate.store.audit_records import SignalRecord


@pytest.fixture(scope="module")
def source(scenes: tuple[HandMade, Path]) -> ReportSource:
    return ReportSource(scenes[0])


@pytest.fixture(scope="module")
def masks(scenes: tuple[HandMade, Path]) -> pd.DataFrame:
    return scenes[0].query("select * from masks order by mask_id")


def test_overview(source: ReportSource, masks: pd.DataFrame) -> None:
    found = queries.overview(source)
    assert (found.masks, found.images) == (len(masks), 6)
    assert found.categories == masks["category"].nunique()
    assert dict(found.actions()) == masks["action"].value_counts().to_dict()


def test_reasons_are_counted_by_kind(source: ReportSource, masks: pd.DataFrame) -> None:
    said = masks.assign(kind=masks["reasons"].str.split("; ")).explode("kind")
    said = said[said["kind"] != ""]
    expected = said.groupby(said["kind"].map(kind_of))["mask_id"].nunique().to_dict()
    found, unlisted = queries.reasons(source)
    assert {r.kind: r.masks for r in found} == expected
    assert unlisted == 0
    assert [r.masks for r in found] == sorted(expected.values(), reverse=True)
    shown = {r.text for r in found}
    assert "falls into 2 pieces" in shown  # all say the same: shown as it is
    assert "is a copy of another mask (IoU 0.91)" in shown  # numbers in which they differ go


def test_a_bar_shows_the_smallest_share() -> None:
    placed = svg_figures.segments([("accept", 10**6), ("review", 0), ("reject", 1)])
    assert [kind for kind, *_ in placed] == ["accept", "reject"]
    assert placed[1][2] > 0.6
    assert placed[1][1] + placed[1][2] == pytest.approx(100, abs=0.02)
    assert svg_figures.segments([("accept", 0)]) == []


def test_statuses_come_with_examples(source: ReportSource) -> None:
    (empty,) = tables.statuses(source, "masks")
    assert (empty.status, empty.count, len(empty.examples)) == ("empty", 6, 5)
    (missing,) = tables.statuses(source, "images")
    assert missing.examples == [("scene_2.jpg", "no such file")]


def test_images_are_listed_worst_first(source: ReportSource, masks: pd.DataFrame) -> None:
    rows = tables.by_image(source)
    assert len(rows) == 6
    assert sum(row["n"] for row in rows) == len(masks)
    keys = [(-r["reject"], -r["review"]) for r in rows]
    assert keys == sorted(keys)
    assert len(tables.by_image(source, most=2)) == 2


def test_categories(source: ReportSource, masks: pd.DataFrame) -> None:
    rows, total = tables.by_category(source, most=3)
    assert (len(rows), total) == (3, masks["category"].nunique())
    first = masks[masks["category"] == rows[0]["category"]]
    assert rows[0]["n"] == len(first)
    assert rows[0]["quality"] == pytest.approx(first["quality_score"].median())


def test_histograms_count_every_value_once(source: ReportSource, masks: pd.DataFrame) -> None:
    found = {h.column: h for h in distributions.histograms(source, source.score_columns())}
    assert set(found) == set(source.score_columns())
    edge = found["edge_score"]
    assert edge.available == masks["edge_score"].notna().sum()
    assert edge.missing == masks["edge_score"].isna().sum() > 0
    values = masks["edge_score"].dropna()
    np.testing.assert_array_equal(edge.counts, np.histogram(values, 40, (0, 1))[0])
    assert found["predicted_iou"].high > 1  # SAM's own score has no bound of 1


def test_pairs_count_the_masks_that_have_both(source: ReportSource, masks: pd.DataFrame) -> None:
    spread = distributions.histograms(source, ["edge_score", "shape_score"])
    (pair,) = distributions.densities(source, spread)
    assert pair.masks == masks["edge_score"].notna().sum()
    expected = masks["edge_score"].corr(masks["shape_score"], method="spearman")
    assert pair.correlation == pytest.approx(expected, abs=0.05)


def test_scans_of_few_columns_count_as_one_of_all(
    source: ReportSource, masks: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = distributions.histograms(source, source.score_columns())
    monkeypatch.setattr(distributions, "MOST_AT_ONCE", 2)
    assert distributions.histograms(source, source.score_columns()) == whole
    assert len(whole) > 2
    for histogram in whole:
        values = pd.to_numeric(masks[histogram.column]).replace([np.inf, -np.inf], np.nan)
        assert sum(histogram.counts) == histogram.available == values.notna().sum()
    assert any(histogram.missing for histogram in whole)


def test_a_score_that_never_varies_is_not_paired(source: ReportSource) -> None:
    flat = distributions.Histogram("flat_score", 0, 1, [0] * 39 + [50], 50, 0)
    wide = distributions.Histogram("wide_score", 0, 1, [1] * 40, 40, 0)
    assert distributions.pair_columns([flat, wide]) == [wide]


def test_stability_curve() -> None:
    curve = distributions.stability_curve(info()["stability_curve"])
    assert curve is not None
    assert curve.offsets == [0.0, 0.5, 1.0, 1.5, 2.0]
    assert svg_figures.line(curve).mean.startswith("M0 0")
    assert distributions.stability_curve(None) is None
    assert distributions.stability_curve({}) is None
    holes = {"offsets": [0, 1], "mean": [1, None], "p10": [1, 1], "p90": [1, 1]}
    assert distributions.stability_curve(holes) is None


def test_bars_stay_in_their_box() -> None:
    histogram = distributions.Histogram("a_score", 0, 1, [1, 0, 10**6] + [0] * 37, 10**6 + 1, 0)
    assert histogram.skewed
    drawn = svg_figures.bars(histogram, marks(info()["policy"])["hole_score"])
    assert drawn.plain_counts == [(svg_figures.HEIGHT, "0"), (0, "1M")]
    heights, words = zip(*drawn.log_counts, strict=True)
    assert words == ("0", "10", "100", "1,000", "10,000", "100k", "1M")
    gaps = np.diff(heights)
    assert (gaps < -svg_figures.TICK_GAP + 1e-9).all()
    assert drawn.plain.count("M") == drawn.log.count("M") == 2
    assert [x for x, _ in drawn.marks] == [svg_figures.WIDTH / 2]
    assert [label for _, label in drawn.ticks] == ["0", "0.25", "0.5", "0.75", "1"]


def test_a_range_is_marked_at_its_end_and_not_above_its_beginning() -> None:
    drawn = marks(load_policy().as_dict())
    assert [(m.side, m.value) for m in drawn["agreement_score"]] == [("below", 0.1), ("below", 0.5)]
    both = {"marks": [{"column": "x", "below": 0.5}, {"column": "x", "above": 1.1}]}
    assert [m.side for m in marks(both)["x"]] == ["below", "above"], "two rules"


def test_gallery_takes_each_mask_once_and_few_of_one_image(source: ReportSource) -> None:
    reasons, _ = queries.reasons(source)
    chosen = mask_selection.choose(source, reasons)
    ids = [pick.mask_id for pick in chosen]
    assert len(set(ids)) == len(ids) <= mask_selection.MOST_CARDS + 24
    assert {pick.group for pick in chosen} == {r.index for r in reasons} | {mask_selection.ACCEPTED}
    for reason in reasons:
        images = [p.row["image_id"] for p in chosen if p.group == reason.index]
        assert max(images.count(i) for i in images) <= mask_selection.MOST_PER_IMAGE


def test_every_reason_has_examples_even_where_rarer_ones_took_its_masks() -> None:
    groups = {7: (1, [0, 1]), 8: (1, [0, 1]), 9: (2, [2]), 4: (0, [0])}
    assert gallery.examples(0, groups) == [4, 7, 8]
    assert gallery.examples(1, groups) == [7, 8]
    assert gallery.examples(3, groups) == []


def test_a_detector_that_tells_numbers_only_gets_names() -> None:
    row = {"image_id": 1, "file_name": "a", "height": 9, "width": 9, "n": 2}
    found = [
        {"bbox": [0, 0, 4, 4], "score": 0.8, "category_id": 3, "category": None},
        {"bbox": [2, 2, 4, 4], "score": 0.7, "category_id": 9, "category": "cat"},
        {"bbox": [2, 2, 4, 4], "score": 0.2, "category_id": 3, "counted": False},
    ]
    (shown,) = gallery.draw_missing_masks([row | {"found": json.dumps(found)}], None, {3: "dog"})
    assert shown.found == ["dog 0.80", "cat 0.70"]
    assert shown.drawing is not None
    assert len(shown.drawing.boxes) == 2
    for broken in (None, "", "[", "{}", "[1]", '[{"bbox": [1, 2]}]'):
        (shown,) = gallery.draw_missing_masks([row | {"found": broken}], None, {})
        assert shown.found == []


def test_cards_show_outline_twin_and_picture(scenes: tuple[HandMade, Path]) -> None:
    source = ReportSource(scenes[0])
    reasons, _ = queries.reasons(source)
    cards = gallery.cards(source, reasons, ImageFolder(scenes[1]), {})
    twins = [c for c in cards if c.pick.row["duplicate_of"] is not None]
    assert twins
    for card in twins:
        assert card.drawing is not None
        assert card.drawing.mine
        assert card.drawing.twin
        assert "a better mask of the same object (IoU 0.91)" in card.twin
    bare = [c for c in cards if c.pick.row["image_id"] == 2 and c.drawing is not None]
    assert bare
    assert all(c.drawing.picture == "" for c in bare if c.drawing)
    assert any(c.drawing.others for c in bare if c.drawing)
    seen = [c for c in cards if c.pick.row["image_id"] != 2 and c.drawing is not None]
    assert all(c.drawing.picture.startswith("data:image/webp") for c in seen if c.drawing)


def test_glossary_and_signals(source: ReportSource) -> None:
    assert {t.column for t in methods.glossary(source)} >= {
        "quality_score",
        "priority",
        "hole_score",
    }
    silent = [s for s in methods.signals(source, set(source.score_columns())) if not s.available]
    assert [s.name for s in silent] == ["stability"]


def test_signals_are_worked_out_where_the_audit_does_not_list_them(tmp_path: Path) -> None:
    audit = minimal(tmp_path, hole_score=[0.5, None])
    assert [
        (s.name, s.available) for s in methods.signals(ReportSource(audit), {"hole_score"})
    ] == [("Hole", True)]


def test_a_signal_that_never_had_what_it_needs_did_not_speak(source: ReportSource) -> None:
    (holes, *_) = methods.signals(source, {"uniqueness_score"})
    assert not holes.available
    assert "no mask" in holes.why


def test_a_judge_that_counts_for_nothing_is_said_to(tmp_path: Path) -> None:
    audit = minimal(tmp_path, judge_score=[0.5, 0.1])
    signals: list[SignalRecord] = [
        {"name": "judge", "columns": ["judge_score"], "available": True, "why": ""}
    ]

    def why(**more: Any) -> str:
        info = replace(audit.info, signals=signals, **more)
        source = ReportSource(replace(audit, info=info))
        (judge,) = methods.signals(source, {"judge_score"})
        assert judge.available
        return judge.silenced

    assert why().startswith("no reviews show that it helps")
    assert why(policy={"rule": [{"when": "judge_score < 0.2"}]}) == ""
    assert why(learning={"judge": {"helped": True}}) == ""
    assert why(learning={"judge": {"helped": False}}).startswith("reviews did not show")
    weak = {"verifier": {"name": "v", "device": "cpu", "precision": "float32", "weight": 0}}
    signals[0] |= {"name": "verifier"}
    assert "hardly better than chance" in why(models=weak)


def test_what_the_pictures_tell_counts_as_status(tmp_path: Path) -> None:
    full = minimal(tmp_path / "full")
    images = full.query("select * from images").assign(
        status_detail="", picture_status="truncated", picture_status_detail="it ends too early"
    )
    audit = write_audit(tmp_path / "new", full.query("select * from masks"), images, {})
    (found,) = tables.statuses(ReportSource(audit), "images")
    assert (found.status, found.examples) == ("truncated", [("a.png", "it ends too early")])
    assert [row["status"] for row in tables.by_image(ReportSource(audit))] == ["truncated"]


def test_missing_detections_may_be_unknown(tmp_path: Path) -> None:
    full = minimal(tmp_path / "full")
    images = full.query("select * from images").assign(missing_detections=float("nan"))
    audit = write_audit(tmp_path / "new", full.query("select * from masks"), images, {})
    assert tables.missing_masks(ReportSource(audit)) == ([], 0, 0)


def test_the_least_exhaustive_images_stand_with_the_missing_masks(tmp_path: Path) -> None:
    full = minimal(tmp_path / "full")
    images = full.query("select * from images")
    assert tables.least_exhaustive(ReportSource(full)) == []
    listed = pd.concat([images.assign(image_id=k, file_name=f"{k}.png") for k in range(12)])
    listed = listed.assign(
        exhaustive_score=[0.9, 0.2, float("nan"), *[0.95] * 9],
        missing_detections=[0, 2, float("nan"), *[0] * 9],
        missing_detections_json="[]",
    )
    audit = write_audit(tmp_path / "new", full.query("select * from masks"), listed, {})
    found = tables.least_exhaustive(ReportSource(audit))
    assert [one.image_id for one in found] == [1, 0, 3, 4, 5, 6, 7, 8, 9, 10]
    assert (found[0].file_name, found[0].score, found[0].missing) == ("1.png", 0.2, 2)
    page = render(audit)
    assert "<b>0.20</b> <code><bdi>1.png</bdi></code>" in page
    assert "2 objects without a matching mask" in page


def test_nearly_black_pictures_are_brightened() -> None:
    dark = np.full((40, 40, 3), 12, np.uint8)
    assert brighten(dark).max() > 200
    light = np.full((40, 40, 3), 180, np.uint8)
    assert brighten(light) is light


def minimal(path: Path, **columns: list[object]) -> HandMade:
    """An audit with only the columns that every audit has."""
    masks = pd.DataFrame(
        {
            "mask_id": [1, 2],
            "source_key": ["a#1", "a#2"],
            "image_id": [0, 0],
            "category": [None, None],
            "file_name": ["a.png", "a.png"],
            "height": [10, 10],
            "width": [10, 10],
            "segmentation": [b"d3", None],
            "area_px": [0, 0],
            **{f"bbox_{c}": [0, 0] for c in "xywh"},
            "status": ["ok", "undecodable"],
            "status_detail": ["", "bad"],
            **columns,
        }
    )
    images = pd.DataFrame(
        {"image_id": [0], "file_name": ["a.png"], "height": [10], "width": [10], "status": ["ok"]}
    )
    return write_audit(path / "audit", masks, images, {})
