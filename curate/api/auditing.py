"""Verbs about masks: audit, decide, report, compare, demo."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from curate.api.early_checks import (
    AnyPath,
    as_path,
    check_audit,
    check_folder,
    check_inputs,
    check_policy,
)
from curate.common import files
from curate.common.progress import Progress
from curate.common.ranges import CROWDS, RULES, check_numbers
from curate.errors import AuditError, CallError, CurateError, ReportWarning
from curate.formats import check_source, dataset_path
from curate.policy.grammar import check_choice
from curate.reporting.summary import check_gate_names, check_gates

if TYPE_CHECKING:
    from curate.policy.policy import Policy
    from curate.reporting.audit_comparison import Comparison
    from curate.store.audit import Audit

NO_IMAGES = "none"
"""Value of ``images`` with which a dataset's own pictures are not used."""


def audit(
    source: AnyPath,
    out: AnyPath | None = None,
    *,
    format: str | None = None,
    images: AnyPath | None = None,
    annotations: AnyPath | None = None,
    detections: AnyPath | None = None,
    compare: Mapping[str, AnyPath] | None = None,
    soft_masks: AnyPath | None = None,
    stability: Mapping[str, Any] | None = None,
    segmenter: str | None = None,
    detector: str | None = None,
    device: str | None = None,
    deep: bool = False,
    crowd: str = "auto",
    trust_joins: bool = False,
    void: Sequence[int] | None = None,
    class_code: str | None = None,
    policy: str | Path | Mapping[str, Any] | Policy = "default",
    workers: int = 1,
    restart: bool = False,
    gates: Sequence[str] = (),
    progress: Progress | None = None,
) -> Audit:
    """Score a dataset's masks, decide on each, and write the report.

    Args:
        source: A file or folder of masks in any format curate reads.
        out: The audit directory; by default the source's name with ``.audit`` behind it.
        format: The source's format, where its content does not tell.
        images: Folder of the pictures; the dataset's own, where it has some, if None. "none": no
            pictures are used.
        annotations: The annotation file that a results list is for, where that is the source: its
            images, their names and sizes, its categories.
        detections: A detector's results on these images.
        compare: Other annotations of these images, by a name for each.
        soft_masks: Folder of logits or probabilities.
        stability: ``kind``, ``threshold`` and ``offset`` for the soft masks.
        segmenter: A segmenter that is prompted from every mask: a folder, or a hub name.
        detector: A detector that looks at every picture: a folder, or a hub name.
        device: Where both run ("cpu", "cuda:0"); the first GPU, else the CPU, if None.
        deep: Run the slow signals too, which take more time than all others together.
        crowd: How masks with ``iscrowd`` are judged: "objects", "regions" (not at all), or "auto":
            as objects only where nearly all masks are crowd.
        trust_joins: Go on where detections or annotations lie on no mask of the images that they
            are joined to, or fit others clearly better.
        void: Ids of pixels that belong to no mask, in PNGs of ids; None for those that are known.
        class_code: How ids of PNGs carry a class: "cityscapes", "kitti", "mots" or "none"; None
            for what the layout says.
        policy: A preset's name, a TOML file, or a policy.
        workers: Processes. A script that asks for more than one must guard its entry point with
            ``if __name__ == "__main__":``.
        restart: Throw away what ``out`` holds of an earlier audit.
        gates: Conditions that its numbers will be held against (see
            :func:`curate.reporting.summary.failed_gates`): checked before anything is scored.
        progress: Called with (stage, parts done, parts in all, masks just done).

    Returns:
        The finished audit, with ``report.html`` in it.

    Raises:
        CurateError: The source, an argument or ``out`` cannot be used; one sentence says why.
    """
    check_numbers(workers=workers, void=void, **(stability or {}))
    source, out = dataset_path(as_path(source), format), as_path(out)
    check_source(source, format)
    find_images, images = str(images) != NO_IMAGES, None if str(images) == NO_IMAGES else images
    check_inputs(images, soft_masks, {"detections": detections, **(compare or {})})
    check_choice(crowd, "--crowd", CROWDS)
    check_policy(policy)
    check_gates(gates)
    if stability and soft_masks is None:
        named = " and ".join(sorted(stability))
        raise CallError(f"{named} given, but no soft masks", "", "give --soft-masks DIR")

    from curate.people.reviews.current_plan import open_audit
    from curate.pipeline.inputs import Inputs
    from curate.pipeline.scoring import audit as run
    from curate.policy.policy import load_policy

    check_gate_names(gates)
    inputs = Inputs(
        images=as_path(images),
        find_images=find_images,
        annotations=as_path(annotations),
        detections=as_path(detections),
        compare={name: Path(path) for name, path in (compare or {}).items()},
        soft_masks=as_path(soft_masks),
        segmenter=segmenter,
        detector=detector,
        device=device,
        deep=deep,
        crowd=crowd,
        trust_joins=trust_joins,
        void=None if void is None else tuple(void),
        class_code=class_code,
    )
    done = run(
        source,
        out if out else Path(f"{source.resolve().name.split('.')[0] or 'masks'}.audit"),
        format=format,
        inputs=inputs,
        policy=load_policy(policy),
        parameters={"stability": dict(stability)} if stability else {},
        workers=workers,
        restart=restart,
        progress=progress,
    )
    report(done.path)
    return open_audit(done.path)


def name_files(pairs: Sequence[str]) -> dict[str, Path]:
    """Read ``NAME=FILE`` pairs.

    Raises:
        CallError: One is not such a pair, a name occurs twice or is not a plain word.
    """
    named: dict[str, Path] = {}
    for pair in pairs:
        name, equals, file = pair.partition("=")
        if not equals or not file or not name.replace("-", "_").isidentifier():
            raise CallError(f"{pair!r} is not NAME=FILE", "--compare", "NAME is a plain word")
        if name in named:
            raise CallError(f"the name {name} occurs twice", "--compare", "give another name")
        named[name] = Path(file)
    return named


def decide(
    path: AnyPath,
    *,
    policy: str | Path | Mapping[str, Any] | Policy | None = None,
    rule: str | None = None,
    good_iou: float | None = None,
    images: AnyPath | None = None,
    gates: Sequence[str] = (),
    progress: Progress | None = None,
) -> Audit:
    """Decide an audit anew under other settings, which it keeps; nothing is scored again.

    People's decisions need no call of this: whatever reads the plan sees them at once.

    Args:
        path: The audit.
        policy: A preset's name, a TOML file, or a policy; None: the policy in force.
        rule: How people who disagree are resolved: "majority", "latest" or "strictest"; None: as
            the audit has it.
        good_iou: A mask corrected to at least this IoU counts as good where masks are labelled
            good or bad (learn, certify, estimate); None: as the audit has it. 1: none does but
            one that was only relabelled.
        images: Folder of the pictures for the report; where the audit had them if None.
        gates: Conditions that its numbers will be held against, checked before.
        progress: Called with progress.

    Raises:
        CurateError: There is no finished audit, or a setting is wrong.
    """
    check_numbers(good_iou=good_iou)
    check_audit(path, finishes=True)
    check_policy(policy)
    check_choice(rule, "--rule", RULES)
    check_folder(images)
    check_gates(gates)

    from curate.common.locks import hold_directory
    from curate.common.pool import Pool
    from curate.people.reviews.current_plan import open_audit
    from curate.people.reviews.review_settings import DecisionSettings
    from curate.pipeline.deciding import decide_audit, finish_deciding
    from curate.policy.policy import Policy, load_policy
    from curate.store.audit_files import write_info

    with hold_directory(Path(path), "decide"):
        finish_deciding(Path(path), progress)
        before = open_audit(path)
        if gates:
            columns = before.query("describe masks")["column_name"]
            check_gate_names(gates, columns.tolist())
        info, settings = before.info, DecisionSettings.of(before.info)
        if rule is not None:
            settings = replace(settings, rule=rule)
        if good_iou is not None:
            settings = replace(settings, good_iou=good_iou)
        asked = (rule, good_iou) != (None, None)
        if asked:
            info = replace(info, people=settings.as_record())
        chosen = Policy.from_dict(info.policy or {}) if policy is None else load_policy(policy)
        with Pool(1) as pool:
            done = decide_audit(before.path, info, chosen, pool, progress)
        if asked:
            write_info(done.path, done.info)
    renew_report(done.path, images)
    return open_audit(done.path)


def report(path: AnyPath, out: AnyPath | None = None, *, images: AnyPath | None = None) -> Path:
    """Write an audit's report again and return where it is.

    Args:
        path: The audit.
        out: Where; in the audit if None.
        images: Folder of the pictures, where they are not where they were.

    Raises:
        CurateError: There is no finished audit, or no such folder.
    """
    check_audit(path)
    check_folder(images)

    from curate.people.reviews.current_plan import open_audit
    from curate.reporting import write_report

    opened = open_audit(path).pinned()  # all of a report is of one moment
    target = Path(out) if out else opened.path / "report.html"
    folder = images or opened.info.inputs.get("images")
    try:
        write_report(opened, target, images=Path(folder) if folder else None)
    except AuditError as error:
        if out is not None or error.where != str(target):
            raise
        do = f"`curate report {quote(str(path))} --out FILE` writes it elsewhere"
        raise AuditError(error.what, error.where, do) from error
    return target


def renew_report(path: AnyPath, images: AnyPath | None = None) -> None:
    """Write an audit's report again after something was saved in the audit.

    What was kept stays kept where that fails: it is a :class:`~curate.errors.ReportWarning` then.

    Args:
        path: The audit.
        images: Folder of the pictures, where they are not where they were.
    """
    try:
        report(path, images=images)
    except (CurateError, OSError) as error:
        what = f"everything is saved, but the report was not updated: {error}"
        do = f"`curate report {path}` updates it once that is fixed"
        warnings.warn(f"{what}; {do}", ReportWarning, stacklevel=3)


def compare(first: AnyPath, second: AnyPath) -> Comparison:
    """Compare two audits; see
    :func:`curate.reporting.audit_comparison.compare`."""
    check_audit(first)
    check_audit(second)

    from curate.people.reviews.current_plan import open_audit
    from curate.reporting.audit_comparison import compare as run

    return run(open_audit(first), open_audit(second))


def demo(out: AnyPath, *, seed: int = 0, images: int = 24, progress: Progress | None = None) -> str:
    """Draw a dataset with planted defects, audit it, decide on twelve masks, write it better.

    Returns:
        What was found of what was planted, and how much of it is gone from the written dataset.
    """
    check_numbers(seed=seed, images=images)

    from curate.common.locks import hold_directory

    with hold_directory(Path(out), "demo"):
        return _demo(Path(out), seed, images, progress)


def _demo(folder: Path, seed: int, images: int, progress: Progress | None) -> str:
    from curate.api.writing import write
    from curate.demo_dataset import as_text, evaluate_defects, make_demo
    from curate.demo_dataset.simulated_reviewer import decide_as_a_person, find_gone, gone_text
    from curate.writing.provenance import beside as provenance_of

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
    report(done.path)
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
