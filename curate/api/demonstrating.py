"""Verb that shows curate at work: demo."""

from __future__ import annotations

from pathlib import Path

from curate.api.auditing import audit
from curate.common import files
from curate.common.locks import hold_directory
from curate.common.paths import AnyPath
from curate.common.progress import Progress
from curate.common.ranges import check_numbers
from curate.demo_dataset import as_text, evaluate_defects, make_demo
from curate.demo_dataset.simulated_reviewer import decide_as_a_person, find_gone, gone_text
from curate.reporting.report_file import report
from curate.writing.provenance import beside as provenance_of
from curate.writing.writer import write


def demo(out: AnyPath, *, seed: int = 0, images: int = 24, progress: Progress | None = None) -> str:
    """Draw a dataset with planted defects, audit it, decide on twelve masks, write it better.

    Returns:
        What was found of what was planted, and how much of it is gone from the written dataset.
    """
    check_numbers(seed=seed, images=images)

    with hold_directory(Path(out), "demo"):
        return _demo(Path(out), seed, images, progress)


def _demo(folder: Path, seed: int, images: int, progress: Progress | None) -> str:
    for file in (folder / "audit").glob("reviews.sqlite*"):
        files.unlink(file)  # of an earlier demo: decisions outlive an audit that is made anew
    truth = make_demo(folder / "dataset", seed=seed, images=images)
    done = audit(
        truth.source,
        folder / "audit",
        images=truth.pictures,
        detections=truth.detections,
        compare={"second": truth.second_annotator},
        soft_masks=truth.soft_masks,
        deep=True,
        restart=True,
        progress=progress,
    )
    found = as_text(evaluate_defects(done, truth))
    decide_as_a_person(done, truth)
    report(done)
    better = folder / "better.json"
    for old in (better, provenance_of(better)):
        files.unlink(old, missing_ok=True)
    result = write(done, better)
    return (
        f"{found}\n\nThen a simulated reviewer, who knows the truth, decides on the first ten "
        f"masks of the queue and adds two missing ones:\n{result.text()}\n"
        f"{gone_text(find_gone(better, done, truth))}\n\n"
        f"report: {done.path / 'report.html'}"
    )
