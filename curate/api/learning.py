"""Verb that learns from people's decisions: learn."""

from __future__ import annotations

from dataclasses import replace

from curate.common.locks import hold_directory
from curate.common.paths import AnyPath, check_folder
from curate.common.progress import Progress
from curate.common.ranges import check_numbers
from curate.notebook.audit_value import open_audit
from curate.people.learning import LearningResult
from curate.people.learning import learn as learn_quality
from curate.people.reviews import open_reviews
from curate.people.reviews.review_settings import DecisionSettings
from curate.pipeline.deciding import finish_deciding
from curate.reporting.report_file import renew_report
from curate.store.audit import AnyAudit, path_of
from curate.store.audit_info import scored_info


def learn(
    audit: AnyAudit,
    *,
    start: AnyPath | None = None,
    seed: int = 0,
    images: AnyPath | None = None,
    progress: Progress | None = None,
) -> LearningResult:
    """Learn which masks people find good, and decide anew where that is better.

    Args:
        audit: The audit, or its directory, with people's decisions.
        start: Another audit or a model's file to start from; the model in force if None.
        seed: Of folds and trees.
        images: Folder of the pictures for the report; where the audit had them if None.
        progress: Called with progress.

    Raises:
        CurateError: There are no decisions, too few, or only of one kind.
    """
    check_numbers(seed=seed)
    check_folder(images)
    path = path_of(audit)
    scored_info(path)
    with hold_directory(path, "learn"):
        finish_deciding(path, progress)
        opened = open_audit(path)
        settings = DecisionSettings.of(opened.info)
        labels = open_reviews(opened).resolve_labels(settings.rule, settings.good_iou)
        found = learn_quality(opened, labels, start=start, seed=seed, progress=progress)
    renew_report(opened, images)
    return replace(found, audit=open_audit(found.audit))
