"""Plots draw the numbers that pandas counts over all masks."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot

import curate
from curate.errors import CallError
from curate.plots import category_plots, place_plots, score_plots
from curate.plots.figure_style import THEMES, draw_figure, plain_name, to_svg
from curate.plots.plot_values import NO_CATEGORY, Positions
from curate.reporting.plot_queries import (
    category_queries,
    effort_query,
    place_queries,
    score_queries,
)
from curate.reporting.queries import ReportSource
from curate.rle import decode_counts, from_dense


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    pyplot.close("all")


@pytest.fixture(scope="module")
def masks(drawn: curate.Audit) -> pd.DataFrame:
    """Return all masks, their categories as axes show them."""
    found = drawn.masks()
    shown = found["category"].astype(object).where(found["category"].notna(), NO_CATEGORY)
    return found.assign(shown=[plain_name(name) for name in shown])


def widths(axes) -> dict[str, np.ndarray]:
    """Return the lengths of the bars by label, first bar first."""
    return {
        group.get_label(): np.array([bar.get_width() for bar in group]) for group in axes.containers
    }


def names_at(axes) -> list[str]:
    return [label.get_text() for label in axes.get_yticklabels()]


def test_bars_of_categories_are_the_masks_by_action(drawn, masks) -> None:
    axes = drawn.plot.categories()
    wanted = pd.crosstab(masks["shown"], masks["action"])
    bars = widths(axes)
    for action in ("accept", "review", "reject"):
        assert bars[action].tolist() == wanted[action].loc[names_at(axes)].tolist()
    assert sum(map(sum, bars.values())) == len(masks)
    assert f"N = {len(masks):,}" in axes.get_xlabel()
    assert axes.get_title(loc="left")


def test_by_trouble_only_what_is_not_accepted_is_drawn_and_few_categories_count_the_rest(
    drawn, masks
) -> None:
    axes = drawn.plot.categories(by="trouble", most=2)
    bad = masks[masks["action"] != "accept"].groupby("shown").size()
    assert set(widths(axes)) == {"review", "reject"}
    assert sum(widths(axes).values()).tolist() == sorted(bad, reverse=True)[:2]
    assert f"{masks['shown'].nunique() - 2} further categories" in axes.get_xlabel()
    everything = drawn.plot.categories(by="trouble", most=99)
    assert sorted(names_at(everything)) == sorted(bad.index)
    assert set(bad.index) < set(masks["shown"])


def test_reasons_count_each_mask_for_each_of_its_reasons(drawn, masks) -> None:
    found = category_queries.count_reasons(ReportSource(drawn), 99, 99)
    bad = masks[masks["action"] != "accept"]
    each = bad.assign(kind=bad["reasons"].str.split("; ")).explode("kind")
    assert found.counts.sum() == len(each)
    names = [plain_name(name) for name in found.rows]
    assert found.counts.sum(axis=1).tolist() == each.groupby("shown").size().loc[names].tolist()
    assert found.totals.tolist() == masks.groupby("shown").size().loc[names].tolist()
    (image,) = drawn.plot.reasons().images
    drawn_shares = np.asarray(image.get_array().filled(0))
    assert drawn_shares.max() == pytest.approx(found.shares.max())


def test_the_confusion_is_a_crosstab_with_equal_names_framed(drawn, masks) -> None:
    found = category_queries.count_confusion(ReportSource(drawn))
    wanted = pd.crosstab(masks["category"], masks["detector_category"])
    assert wanted.to_numpy().sum() == found.total > 0
    for row, name in enumerate(found.rows):
        for column, other in enumerate(found.columns):
            assert found.counts[row, column] == wanted.loc[name].get(other, 0)
    axes = drawn.plot.confusion()
    assert len(axes.lines) == len(set(found.rows) & set(found.columns))
    written = {int(text.get_text().replace(",", "")) for text in axes.texts}
    assert written == set(found.counts[found.counts > 0].tolist())


def test_co_occurrence_counts_images(drawn, masks) -> None:
    found = category_queries.count_co_occurrence(ReportSource(drawn))
    has = pd.crosstab(masks["image_id"], masks["category"]).clip(upper=1)[list(found.rows)]
    np.testing.assert_array_equal(found.counts, (has.T @ has).to_numpy())
    assert found.rows == found.columns
    assert found.total == masks["image_id"].nunique()
    assert drawn.plot.co_occurrence().images


def test_places_are_those_of_the_boxes_middles(drawn, masks) -> None:
    found = place_queries.count_positions(ReportSource(drawn))
    there = masks[masks["area_px"] > 0]
    x = (there["bbox_x"] + there["bbox_w"] / 2) / there["width"]
    y = (there["bbox_y"] + there["bbox_h"] / 2) / there["height"]
    for counts, rows in ((found.counts, there.index), (found.trouble, bad_of(there).index)):
        wanted, _, _ = np.histogram2d(y[rows], x[rows], counts.shape, ((0, 1), (0, 1)))
        np.testing.assert_array_equal(counts, wanted)
    for of in ("masks", "trouble", "share"):
        axes = drawn.plot.positions(of=of)
        assert axes.get_xlabel().startswith("middle of the box")
    with pytest.raises(CallError, match="'nothing' is not one of"):
        drawn.plot.positions(of="nothing")


def test_few_masks_in_a_cell_are_counted_one_by_one() -> None:
    few = np.array([[0, 2], [1, 0]])
    figure, axes = pyplot.subplots()
    place_plots.draw_trouble_positions(axes, Positions(few, few), THEMES["light"])
    assert figure.axes[-1].get_yticks().tolist() == [1, 2]


def bad_of(masks: pd.DataFrame) -> pd.DataFrame:
    return masks[masks["action"] != "accept"]


def test_a_mask_fills_the_square_with_its_longer_side() -> None:
    pixels = np.zeros((40, 50), bool)
    pixels[10:20, 5:45] = True
    pixels[10:15, 5:25] = False
    wanted = np.zeros((40, 40))
    wanted[15:25] = pixels[10:20, 5:45]
    np.testing.assert_array_equal(place_queries.fill_square(from_dense(pixels), 0, 40), wanted)
    tall = place_queries.fill_square(from_dense(pixels.T.copy()), 0, 80)
    np.testing.assert_array_equal(tall, np.kron(wanted.T, np.ones((2, 2))))


def test_mean_masks_are_means_over_all_masks_of_small_categories(drawn, masks) -> None:
    found = place_queries.mean_masks(ReportSource(drawn), categories=3)
    there = masks[masks["area_px"] > 0]
    sizes = there["shown"].value_counts()
    assert [one.masks for one in found] == sizes.tolist()[:3]
    one = found[0]
    rows = there[there["shown"] == one.category]
    assert one.sampled == one.masks == len(rows) <= 200
    places = (rows["height"].to_numpy(), rows["width"].to_numpy())
    runs, _ = decode_counts([bytes(s) for s in rows["segmentation"]], *places)
    squares = [place_queries.fill_square(runs, k) for k in range(len(runs))]
    np.testing.assert_allclose(one.mean, np.mean(squares, axis=0))
    axes = drawn.plot.mean_masks(categories=3)
    assert [text.get_text().split("\n")[0] for text in axes.texts] == [o.category for o in found]


def test_histograms_count_what_has_a_value(drawn, masks) -> None:
    axes = drawn.plot.score("hole_score")
    (steps,) = axes.patches
    values = masks["hole_score"].dropna()
    wanted, _ = np.histogram(values, steps.get_data().edges)
    np.testing.assert_array_equal(steps.get_data().values, wanted)
    missing = int(masks["hole_score"].isna().sum())
    assert f"(N = {len(values):,} masks, {missing:,} without a value)" in axes.get_xlabel()
    names = names_at(drawn.plot.scores())
    assert f"hole_score (N = {len(values):,})" in names
    with pytest.raises(CallError, match=r"the column holes is not there.*did you mean hole_score"):
        drawn.plot.score("holes")


def test_size_and_quality_count_masks_with_both(drawn, masks) -> None:
    found = score_queries.count_size_quality(ReportSource(drawn))
    both = masks[(masks["area_px"] > 0) & masks["quality_score"].notna()]
    wanted, _, _ = np.histogram2d(
        both["quality_score"],
        np.log10(both["area_px"]),
        (found.quality_edges, found.area_edges),
    )
    np.testing.assert_array_equal(found.counts, wanted)
    assert drawn.plot.size_quality().get_xscale() == "log"


def test_versions_stand_side_by_side(drawn, counted, masks) -> None:
    axes = drawn.plot.versions(counted)
    assert [name.partition(" (")[2] for name in names_at(axes)] == [
        f"N = {len(masks)})",
        "N = 14)",
    ]
    np.testing.assert_allclose(sum(widths(axes).values()), [100, 100])
    assert widths(axes)["reject"][1] == pytest.approx(100 * 3 / 14)
    axes = drawn.plot.versions([counted.path], column="quality_score")
    for steps, frame in zip(axes.patches, (masks, counted.masks()), strict=True):
        assert steps.get_data().values.sum() == pytest.approx(100)
        wanted, _ = np.histogram(frame["quality_score"].dropna(), steps.get_data().edges)
        shares = 100 * wanted / wanted.sum()
        np.testing.assert_allclose(steps.get_data().values, shares)
    with pytest.raises(CallError, match="no other audit"):
        drawn.plot.versions([])


PLOTS = {
    "categories": {},
    "reasons": {},
    "confusion": {},
    "co_occurrence": {},
    "positions": {"of": "share"},
    "mean_masks": {},
    "size_quality": {},
    "effort": {},
    "score": {},
    "scores": {},
    "splits": {},
}


@pytest.mark.parametrize("name", PLOTS)
def test_axes_come_back_and_say_why_where_there_is_nothing(bare, name: str) -> None:
    _, given = pyplot.subplots()
    axes = getattr(bare.plot, name)(ax=given, **PLOTS[name])
    assert axes is given
    assert axes.get_title(loc="left")
    (words,) = axes.texts
    assert words.get_text().split()[0] in ("there", "no")


def test_a_figure_is_the_same_svg_each_time_with_text_as_text(drawn) -> None:
    found = category_queries.count_categories(ReportSource(drawn))
    first, again, dark = (
        to_svg(draw_figure(category_plots.draw_categories, found, theme))
        for theme in ("light", "light", "dark")
    )
    assert first == again != dark
    root = ElementTree.fromstring(first)
    words = {"".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {*map(plain_name, found.names), "Masks by category and action"} <= words
    assert "<dc:date>" not in first


def test_names_of_strangers_are_no_formulas() -> None:
    counts = {action: np.array([3, 1]) for action in ("accept", "review", "reject")}
    names = ["a$b$", "<i>\N{RIGHT-TO-LEFT OVERRIDE}猫" + "x" * 100]
    found = category_queries.CategoryCounts("count", names, counts, 0, 12)
    for plot in (category_plots.draw_categories, score_plots.draw_splits):
        page = to_svg(draw_figure(plot, found))
        assert "a$b$" in page
        assert "&lt;i&gt;" in page
        shown = re.findall("<text[^>]*>([^<]*)<", page)
        assert any("x" * 12 in text for text in shown)
        assert not any("x" * 50 in text for text in shown)  # the link to its masks has all of it


def test_without_a_sample_the_effort_is_what_the_priorities_expect(drawn, masks) -> None:
    found = effort_query.effort(ReportSource(drawn))
    assert found is not None
    assert (found.basis, found.reviewed) == ("policy", 0)
    p = masks.sort_values("rank")["priority"].clip(0, 1).to_numpy()
    assert found.errors == pytest.approx(p.sum())
    expected = np.concatenate([[0], np.cumsum(p) / p.sum()])
    np.testing.assert_allclose(found.found, expected[found.looked.astype(int)])
    assert (found.low <= found.found).all()
    assert (found.found <= found.high).all()
    assert found.found[-1] == pytest.approx(1)
    axes = drawn.plot.effort()
    assert "rules of thumb" in axes.get_title(loc="left")
    assert "not measured" in axes.get_title(loc="left")


def test_with_a_reviewed_sample_the_effort_is_that_of_its_bad_masks(
    drawn, masks, tmp_path, no_report
) -> None:
    shutil.copytree(drawn.path, tmp_path / "audit")
    audit = curate.open_audit(tmp_path / "audit")
    queue = tmp_path / "queue.csv"
    curate.write_queue(audit, queue, kind="estimate", budget=60, seed=1)
    rows = pd.read_csv(queue)
    bad = rows["mask_id"].isin(masks.index[masks["action"] != "accept"])
    rows["decision"] = np.where(bad, "reject", "accept")
    rows.to_csv(queue, index=False)
    curate.import_decisions(queue, audit, reviewer="ann")
    found = effort_query.effort(ReportSource(audit))
    assert found is not None
    assert (found.basis, found.reviewed, found.errors) == ("sample", len(rows), bad.sum())
    ranks = np.sort(audit.masks(["rank"])["rank"].loc[rows["mask_id"][bad]])
    share = np.searchsorted(ranks, found.looked, side="right") / len(ranks)
    np.testing.assert_allclose(found.found, share)
    assert (found.low <= share).all()
    assert (share <= found.high).all()
    assert f"{bad.sum()} bad of {len(rows)} masks" in audit.plot.effort().get_title(loc="left")


def test_bad_masks_of_their_own_images_count_whole_and_twins_half() -> None:
    ranks = np.arange(1, 41)
    alone = pd.DataFrame({"image_id": ranks, "rank": ranks, "weight": 0.3})
    looked = np.array([0.0, 10.0, 20.0, 40.0])
    np.testing.assert_allclose(effort_query.effective_sizes(alone, looked), 40)
    twins = alone.assign(image_id=(ranks - 1) // 2)
    few = (2.02269092 / 2.09302405) ** 2  # Student's t of 39 and of 19 degrees of freedom
    np.testing.assert_allclose(effort_query.effective_sizes(twins, looked), 20 * few)


def test_the_interval_of_a_share_is_clopper_and_pearsons() -> None:
    low, high = effort_query.binomial_interval(np.array([0.0, 0.3, 1.0]), np.full(3, 10.0))
    np.testing.assert_allclose(low, [0, 0.06673951, 0.69150289], atol=1e-7)
    np.testing.assert_allclose(high, [0.30849711, 0.65245285, 1], atol=1e-7)
