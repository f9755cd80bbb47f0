"""Calls of every public name, as a script of a user has them: mypy in strict mode reads this file.

Nothing runs it; a test sees to it that no public name is missing.
"""

from __future__ import annotations

from pathlib import Path
from typing import assert_type

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

import curate


def call_every_verb(work: Path) -> None:
    """Use each verb with the arguments that people give most, and say what comes back."""
    table = curate.read(work / "instances.json")
    assert_type(table, curate.MaskTable)
    assert_type(curate.score(table, only=["shape"]), pd.DataFrame)
    policy = curate.Policy.preset("sa1b")
    audit = curate.audit(
        work / "instances.json",
        work / "audit",
        images=work / "images",
        detections=work / "detections.json",
        compare={"second": work / "second.json"},
        stability={"offset": 1.0},
        policy=policy,
        gates=["reject_rate > 0.01"],
        workers=2,
    )
    assert_type(audit, curate.Audit)
    assert_type(curate.open_audit(audit.path), curate.Audit)
    assert_type(curate.decide(audit, policy="default", rule="latest", good_iou=0.9), curate.Audit)
    assert_type(curate.decide(audit, tags=["blurred", "two cells"]), curate.Audit)
    assert_type(curate.report(audit, work / "report.html"), Path)
    assert_type(curate.compare(audit, work / "earlier.audit").matched, int)
    assert_type(curate.diff("a.json", "b.json").text(), str)
    assert_type(curate.version("a.json", format="coco"), str)
    assert_type(curate.status(audit).next_steps()[0].command, str)
    assert_type(curate.explain("hole_score").text(80), str)

    assert_type(curate.queue(audit, minutes=5.0, actions=["review"]), pd.DataFrame)
    assert_type(
        curate.write_queue(audit, "queue.csv", kind="estimate", budget=100, overlap=0.1), str
    )
    assert_type(curate.import_decisions("done.csv", audit, reviewer="ann").text(), str)
    assert_type(curate.take_back("done.csv", audit).text(), str)
    assert_type(curate.accept(audit, where="area_px > 99", reviewer="ann").masks, int)
    assert_type(curate.reject(audit, where="true", reviewer="ann", dry_run=True).text(), str)
    assert_type(curate.fix(audit, where="true", reviewer="ann", fill_holes=20).added, int)
    assert_type(curate.undo(audit, 3).text(), str)
    assert_type(curate.agreement(audit).pairs, pd.DataFrame)
    judge = ["python", "my_judge.py"]
    assert_type(curate.judge(audit, judge, budget=500, order="rank").asked, int)
    assert_type(curate.judge(audit, "http://127.0.0.1:8000/", budget=9, dry_run=True).text(), str)
    assert_type(curate.learn(audit, seed=1).text(), str)
    found = curate.certify(audit, max_bad=0.1, unit="mask", dry_run=True)
    assert_type(found.threshold, float | None)
    assert_type(found.text(), str)
    assert_type(curate.estimate(audit, unit="image").frame(), pd.DataFrame)
    curate.review(audit, budget=50, port=0)

    assert_type(curate.prune(audit, "pruned.json", drop=["reject", "review"]).text(), str)
    assert_type(curate.prune(audit, keep="50%", floor=20, seed=1).effect.emptied_images, int)
    assert_type(curate.restore("pruned.json", 7, "more.json").new_mask_id, int | None)
    assert_type(curate.prune(audit, ignore=True, provenance="why.json").effect.ignored, int)
    assert_type(curate.prune(audit, keep=100, weights="weights.csv").weights, Path | None)
    written = curate.write(audit, "better.json", to="coco", masks="rle", duplicates="keep")
    assert_type(written.version, str)
    made = curate.generate("images", "made", segmenter="facebook/sam-vit-base", recipe="sa1b")
    assert_type(made.counts, dict[str, int])
    trained = curate.train_detector(audit, "detector", epochs=3, start=None, seed=1)
    assert_type(trained.path, Path)
    sam = curate.train_segmenter([audit, "more.json"], "sam", images=["a", "b"], encoder=True)
    assert_type(sam.path, Path)
    assert_type(sam.record["difference"]["iou"], float)
    verifier = curate.train_verifier(audit, "verifier", images="images", minutes=5.0, seed=1)
    assert_type(verifier.record["held_out"]["iou_correlation"], float | None)
    curate.train_verifier("instances.json", "verifier", encoder="facebook/dinov2-small")
    engine = curate.new_engine(
        work / "cells", images="images", segmenter="sam", classes=["cell"], settings={"nms": "mask"}
    )
    assert_type(engine, curate.Engine)
    assert_type(curate.open_engine(engine.path).next(to="cvat").steps[0].command, str)
    assert_type(engine.close_round().text(), str)
    assert_type(engine.repeat(settings={"points_per_side": 32}).text(), str)
    assert_type(engine.train_again(encoder=True, epochs=9).rounds, pd.DataFrame)
    assert_type(engine.status().rounds, pd.DataFrame)
    assert_type(engine.search_prompts().best().name, str)
    assert_type(curate.demo(work / "demo", images=8), str)


def look_at_an_audit(audit: curate.Audit, axes: Axes) -> None:
    """Ask an audit, show its masks, and plot it."""
    assert_type(audit.masks(["area_px"], where="area_px < 20"), pd.DataFrame)
    assert_type(audit.images(where="mask_count > 3"), pd.DataFrame)
    assert_type(audit.decisions(), pd.DataFrame)
    assert_type(audit.query("select count(*) from masks"), pd.DataFrame)
    assert_type(audit.show(7, images="images").mask_id, int)
    assert_type([view.reasons for view in audit.gallery("area_px < 20", limit=4)], list[list[str]])
    assert_type(audit.plot.categories(axes, by="trouble"), Axes)
    assert_type(audit.plot.themed("dark").versions(["other.audit"], column="hole_score"), Axes)


def catch_what_is_wrong(path: str) -> str:
    """Return one sentence about a source that cannot be read."""
    try:
        curate.version(path)
    except curate.CurateError as error:
        return str(error)
    return ""


def use_public_modules(mask: np.ndarray[tuple[int, int], np.dtype[np.bool_]]) -> int:
    """Use the algebra of run lengths."""
    return int(curate.rle.area(curate.rle.encode(mask)))
