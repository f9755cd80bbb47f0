"""Verbs about masks: audit, decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from curate.api.early_checks import check_gates, check_policy
from curate.common.json_values import JsonObject
from curate.common.locks import hold_directory
from curate.common.paths import AnyPath, as_path, check_exists, check_folder
from curate.common.pool import Pool
from curate.common.progress import Progress
from curate.common.ranges import CROWDS, NO_IMAGES, RULES, check_numbers
from curate.errors import CallError
from curate.formats import check_source
from curate.formats.reading import dataset_path
from curate.notebook.audit_value import Audit, open_audit
from curate.people.reviews.decision_notes import check_tags
from curate.people.reviews.review_settings import DecisionSettings
from curate.pipeline.deciding import decide_audit, finish_deciding
from curate.pipeline.inputs import Inputs
from curate.pipeline.scoring import audit as score_and_decide
from curate.policy.grammar import check_choice
from curate.policy.policy import Policy, load_policy
from curate.reporting.report_file import renew_report, report
from curate.reporting.summary import check_gate_names
from curate.store.audit import AnyAudit, path_of
from curate.store.audit_files import write_info
from curate.store.audit_info import scored_info


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
    stability: Mapping[str, object] | None = None,
    segmenter: str | None = None,
    detector: str | None = None,
    verifier: str | None = None,
    encoder: str | None = None,
    device: str | None = None,
    deep: bool = False,
    crowd: str = "auto",
    trust_joins: bool = False,
    void: Sequence[int] | None = None,
    class_code: str | None = None,
    policy: str | Path | JsonObject | Policy = "default",
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
        verifier: A mask verifier that judges every mask by its picture: a folder that
            :func:`curate.train_verifier` has written.
        encoder: An image encoder by which categories are doubted: a folder, an ONNX file, a hub
            name, or "handcrafted" for features that need no network.
        device: Where they run ("cpu", "cuda:0"); the first GPU, else the CPU, if None.
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
        progress: Called with (stage, parts done, parts in all, masks just done); of a part at work
            the done share counts, and 0 parts in all are not known yet.

    Returns:
        The finished audit, with ``report.html``, ``report.json`` and ``report.md`` in it.

    Raises:
        CurateError: The source, an argument or ``out`` cannot be used; one sentence says why.
    """
    check_numbers(workers=workers, void=void, **(stability or {}))
    source, out = dataset_path(as_path(source), format), as_path(out)
    check_source(source, format)
    find_images, images = str(images) != NO_IMAGES, None if str(images) == NO_IMAGES else images
    check_folder(images)
    check_folder(soft_masks, "soft masks")
    for file in (detections, *(compare or {}).values()):
        check_exists(file)
    check_choice(crowd, "--crowd", CROWDS)
    check_policy(policy)
    check_gates(gates)
    if stability and soft_masks is None:
        named = " and ".join(sorted(stability))
        raise CallError(f"{named} given, but no soft masks", "", "give --soft-masks DIR")
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
        verifier=verifier,
        encoder=encoder,
        device=device,
        deep=deep,
        crowd=crowd,
        trust_joins=trust_joins,
        void=None if void is None else tuple(void),
        class_code=class_code,
    )
    done = score_and_decide(
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
    if progress:
        progress("report", 0, 1, 0)
    report(done)
    return open_audit(done)


def decide(
    audit: AnyAudit,
    *,
    policy: str | Path | JsonObject | Policy | None = None,
    rule: str | None = None,
    good_iou: float | None = None,
    tags: Sequence[str] | None = None,
    images: AnyPath | None = None,
    gates: Sequence[str] = (),
    progress: Progress | None = None,
) -> Audit:
    """Decide an audit anew under other settings, which it keeps; nothing is scored again.

    People's decisions need no call of this: whatever reads the plan sees them at once.

    Args:
        audit: The audit, or its directory.
        policy: A preset's name, a TOML file, or a policy; None: the policy in force.
        rule: How people who disagree are resolved: "majority", "latest" or "strictest"; None: as
            the audit has it.
        good_iou: A mask corrected to at least this IoU counts as good where masks are labelled
            good or bad (learn, certify, estimate); None: as the audit has it. 1: none does but
            one that was only relabelled.
        tags: Words that the review page offers to say why a mask was rejected or fixed; None: as
            the audit has them.
        images: Folder of the pictures for the report; where the audit had them if None.
        gates: Conditions that its numbers will be held against, checked before.
        progress: Called with progress.

    Raises:
        CurateError: There is no finished audit, or a setting is wrong.
    """
    check_numbers(good_iou=good_iou)
    check_tags(tags or ())
    check_policy(policy)
    check_choice(rule, "--rule", RULES)
    check_folder(images)
    check_gates(gates)
    path = path_of(audit)
    scored_info(path)

    with hold_directory(path, "decide"):
        finish_deciding(path, progress)
        before = open_audit(path)
        if gates:
            columns = before.query("describe masks")["column_name"]
            check_gate_names(gates, columns.tolist())
        info, settings = before.info, DecisionSettings.of(before.info)
        if rule is not None:
            settings = replace(settings, rule=rule)
        if good_iou is not None:
            settings = replace(settings, good_iou=good_iou)
        if tags is not None:
            settings = replace(settings, tags=tuple(tags))
        asked = (rule, good_iou, tags) != (None, None, None)
        if asked:
            info = replace(info, people=settings.as_record())
        chosen = Policy.from_dict(info.policy or {}) if policy is None else load_policy(policy)
        with Pool(1) as pool:
            done = decide_audit(before.path, info, chosen, pool, progress)
        if asked:
            write_info(done.path, done.info)
    renew_report(done, images)
    return open_audit(done)
