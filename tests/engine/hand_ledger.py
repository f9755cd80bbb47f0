"""A ledger made by hand, and the report of it without a project on disk."""

from __future__ import annotations

from typing import Any

import numpy as np

from curate.engine.engine_plots import draw_round_plots
from curate.engine.engine_report import (
    EngineReport,
    ForceSegmenter,
    choose_engine_figures,
    describe_gaps,
)
from curate.engine.ledger import LEDGER_TYPES
from curate.engine.round_numbers import LedgerRow
from curate.engine.round_table import make_round_tables
from curate.engine.stopping_now import SearchedImages, expect_next_hour, measure_work_left
from curate.engine.tried_prompts import TriedPrompts, TriedRecipe
from curate.reporting.next_steps import NextStep

HOSTILE = "</td><script>window.hacked = 1</script>| `x` <img src=x onerror=alert(1)>"


def row(number: int, **values: Any) -> LedgerRow:
    """Return a row of the ledger; columns that are not given are null."""
    return dict.fromkeys(LEDGER_TYPES) | {"round": number, "untimed": 0} | values


def make_round(
    number: int, seconds: float, iou: tuple[float, float, float] | None, **values: Any
) -> LedgerRow:
    """Return a row of a round with 10 images and 100 masks.

    60 proposals were accepted, 20 fixed, 10 rejected, and 20 masks added.
    """
    own: dict[str, Any] = {"stage": 1 if number else 0, "images": 10, "masks": 100}
    own |= {"masks_per_image": 10.0, "proposals": 90, "accepted": 60, "fixed": 20, "rejected": 10}
    own |= {"undecided": 0, "added": 20, "people_s": seconds, "people_s_per_mask": seconds / 100}
    own |= {"machine_s": 90.0, "closed_early": False, "effective_sizes": 4.0 + number / 3}
    own |= {"effective_clusters": 6.0 - number / 4, "effective_categories": 1.0}
    if iou is not None:
        own |= dict(zip(("iou", "iou_low", "iou_high"), iou, strict=True))
        own |= {"kept": True, "gain": 0.05, "gain_low": 0.02, "gain_high": 0.08}
    return row(number, **own | values)


def make_rows() -> list[LedgerRow]:
    """Return a validation set, three rounds of stage 1 and two of stage 2."""
    prefilled = {"stage": 2, "proposals": 95, "accepted": 20, "fixed": 15, "prefilled": 60}
    prefilled |= {"prefilled_checked": 12, "masks": 105}
    precision = {"precision": 0.97, "precision_low": 0.9, "precision_high": 0.99}
    return [
        make_round(0, 3600, None, kept=None),
        make_round(1, 3400, (0.70, 0.66, 0.74)),
        make_round(2, 2500, (0.76, 0.73, 0.80)),
        make_round(3, 2000, (0.75, 0.71, 0.79), kept=False, gain=-0.01, undecided=6),
        make_round(4, 1500, (0.80, 0.77, 0.83), **prefilled, **precision),
        make_round(5, 1050, (0.82, 0.80, 0.84), **prefilled),
    ]


def make_prompts(name: str = "box") -> TriedPrompts:
    """Return a search of two recipes."""
    recipes = (
        TriedRecipe("noisy box", 0.71, 0.68, 0.74, 0.0, 0.012, chosen=False),
        TriedRecipe(name, 0.78, 0.75, 0.81, 0.07, 0.011, chosen=True),
    )
    written = "2026-11-30T10:00:00Z"
    return TriedPrompts(
        f"prompts/{written}.json", written, name, "f" * 32, False, 16, 120, recipes, {name: name}
    )


def make_report(
    rows: list[LedgerRow], name: str = "cells", prompts: TriedPrompts | None = None
) -> EngineReport:
    """Return the report of a ledger: 20 images were searched, with 10 masks each, 40 are left."""
    images = {"pool": 100, "validation": 20, "left_out": 2}
    force = ForceSegmenter(f"rounds/05/{name}", "0" * 32, 0.82, 0.80, 0.84)
    searched = SearchedImages(np.full(20, 10), np.arange(20) < 10)
    plots, style = draw_round_plots(rows, max_bad=0.05)
    return EngineReport(
        schema_version="1",
        name=name,
        path=name,
        written="2026-11-30T12:00:00Z",
        pictures="pictures",
        images=images,
        left=40,
        segmenter=force,
        figures=choose_engine_figures(rows, force, images),
        now=[f"People are needed for round 6 of {name}"],
        next_steps=[NextStep("open the page for people", f"curate review {name}")],
        rounds=rows,
        tables=make_round_tables(rows),
        notes=describe_gaps(rows),
        work_left=measure_work_left(rows, searched, 40, 6),
        next_hour=expect_next_hour(rows, 40),
        plots=plots,
        plot_style=style,
        prompts=prompts,
    )
