"""Second pass of an audit: references of the dataset, quality, policy, rank.

Scoring (the first pass) looks at one part of whole images at a time. What needs the dataset as a
whole comes here, as two sweeps over the parts with a barrier between them:

1. **Fit**: references (what is usual) and the label-free quality are fitted on up to
   :data:`SAMPLE` masks, drawn by a hash of their ids; quantiles of the quality are kept for the
   policy's ``lowest_share``.
2. **Plan**, part by part, in worker processes: second-step scores, quality, action, reasons,
   priority. Where a rule turns out to apply to nearly every mask, it speaks of the file, and all is
   planned again without it.
3. **Rank**: one sort of all priorities, in memory up to :data:`IN_MEMORY` masks, else by DuckDB.
4. **Finish**, part by part: plan and rank are joined to the masks, which become Parquet; the scored
   part is removed, and totals are added up.

Invariants: every file is written whole under another name, then renamed, and every step gives the
same again when it is cut off and run again. ``audit.json`` says "complete" last, after all work
files are gone. The outcome does not depend on the number of parts or of workers, nor on their
order. A new policy needs this pass only.

Time is linear in the masks but for the sort; memory is a part a worker, the sample, and a few
numbers a mask for the sort.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curate import scorers
from curate.common import files
from curate.common.arrays import AnyArray, IntArray, UInt64Array
from curate.common.json_values import JsonObject
from curate.common.pool import Pool
from curate.common.progress import Progress
from curate.dataset.notes import (
    EXAMPLES,
    OF_MODELS,
    Note,
    as_dicts,
    count_noun,
    replace_notes,
)
from curate.dataset.version_id import VersionHash
from curate.pipeline.crowd_masks import REGION
from curate.pipeline.inputs import ASK_JUDGE
from curate.pipeline.renumbering import repair_ids
from curate.policy.certificate_in_force import (
    certified_line,
    drop_void_certificate,
    void_certificate,
)
from curate.policy.file_findings import KIND, Hits, rule_of, rules_of_file, text_of
from curate.policy.plan import decide, rank
from curate.policy.policy import Policy
from curate.quality import label_free
from curate.quality.explanations import stated_columns
from curate.quality.model_in_force import LEARNED_COLUMNS, compute_quality, model_in_force
from curate.scorers.category import FEATURES, GROUP
from curate.scorers.category_classifier import MISNAMED, MOST_WEIGHT
from curate.scorers.declaration import AREAS, BOXES
from curate.scorers.detector import name_categories
from curate.scorers.judge import JUDGE_COLUMNS, complete_answers
from curate.scorers.pictures import near_duplicates
from curate.scorers.stability import StabilityCurve
from curate.store.audit import StoredAudit, connect
from curate.store.audit_files import (
    WORK,
    count_parts,
    notes_of_parts,
    part_names,
    part_path,
    part_paths,
    read_part,
    read_scored,
    scored_path,
    to_frame,
    write_info,
    write_part,
    write_scored,
    writing,
)
from curate.store.audit_info import COMPLETE, DECIDING, AuditInfo, read_info
from curate.store.audit_records import (
    CategoryReference,
    CategoryWorth,
    CountsRecord,
    CurveRecord,
    Empty,
    References,
    SignalRecord,
)
from curate.store.judgements import find_judge, read_answers
from curate.store.parquet_parts import read_columns

SAMPLE = 50_000
"""Masks that references are fitted on.

Medians and shares of a few percent are then known to a few percent of themselves. A tail ends at
one mask in 50,000 (an evidence of 10.8, against the 3 of one in twenty, where the default policy's
line is): what is rarer is told apart no further, and lies far beyond any line either way.
"""

GRID = 1000
"""Steps of the table of qualities from which a share of lowest quality is read off."""

IN_MEMORY = 8_000_000
"""Masks whose priorities are compared in memory; more are sorted on disk."""

_VERSION = b"curate version"
"""Where in the metadata of a part's images stands the hash of its content."""

PLANNED = ("action", "reasons", "priority", "rule_action", "flagged_by", "decided_by")
LATE = ("quality_score", *LEARNED_COLUMNS, *JUDGE_COLUMNS, *PLANNED, "rank")
"""Columns that this stage gives, beside those of two-step scorers."""

NAMED = "detector_category"
"""The column in which numbers of categories become the dataset's names for them."""

JUDGEMENT = "verifier_score"
"""Column of the signal that counts by what was measured of its model."""

CATEGORY_JUDGEMENT = "category_score"
"""Column of the signal that counts by what was measured of the classifiers of categories."""

CATEGORY_CLASSIFIER = "category_classifier"
"""Kind of the note on how often classifiers of categories are right, or why there are none."""

NO_PROPOSALS = "verifier_proposes_none"
"""Kind of the note on a verifier that sees objects without a mask no better than chance."""

WEAK_VERIFIER = "weak_verifier"
"""Kind of the note on a verifier that does not count in full."""

JUDGE = "judge"
"""The signal whose answers come after an audit."""

HEAVY = ("segmentation", "source_key", "stability_curve")
"""Columns that no decision reads, but where a policy's own limit needs the masks."""


def decide_audit(
    out: Path, info: AuditInfo, policy: Policy, pool: Pool, progress: Progress | None = None
) -> StoredAudit:
    """Fit references, judge every mask and rank them all; needs scored parts in ``out``.

    Raises:
        AuditError: Something cannot be written, or the model in force cannot be used.
    """
    with files.convert_write_errors(out):
        for folder in (out, *(out / name for name in ("masks", "images", "model"))):
            files.remove_temporaries(folder)
        return _decide(out, info, policy, pool, progress)


def finish_deciding(out: Path, progress: Progress | None = None) -> None:
    """Finish what a killed ``decide``, ``learn`` or ``certify`` has begun, as ``audit.json`` says.

    Nothing is done where the audit is finished, or was killed before all parts were scored.
    """
    info = read_info(out)
    if info and info.is_undecided:
        with Pool(1) as pool:
            decide_audit(out, info, Policy.from_dict(info.policy or {}), pool, progress)


def _decide(
    out: Path, info: AuditInfo, policy: Policy, pool: Pool, progress: Progress | None
) -> StoredAudit:
    started = time.monotonic()
    model = info.quality_model
    told: JsonObject = policy.as_dict()
    if model:
        policy = policy.for_probabilities()
        told = {**told, "marks": policy.marks()}
    before = info
    info = replace(info, policy=told, judged_by=model["sha256"] if model else None)
    info = drop_void_certificate(_with_judge(out, info), before)
    info = replace(info, certified_line=certified_line(info.certificate))
    if info.state == COMPLETE and _list_causes(info) == _list_causes(before):
        return StoredAudit(out, info)
    learned = model_in_force(out, model)  # one that cannot be used is said before all writing
    if info.judge != before.judge:
        read = {*policy.columns, *(learned.columns.names if learned else ())}
        if read & set(JUDGE_COLUMNS):
            info = void_certificate(info, "the judge's answers changed")
            info = replace(info, certified_line=certified_line(info.certificate))
    info = replace(info, state=DECIDING)
    write_info(out, info)
    if info.references is None:
        version, notes = version_of_parts(out), notes_of_parts(out)
        repair_ids(out)
        info = replace(
            info,
            version=version,
            references=fit_references(out, info),
            notes=replace_notes(info.notes, as_dicts(notes, _sizes(out))),
        )
        write_info(out, info)
    count = count_parts(out)
    files.remove_tree(out / WORK / "plan", quiet=True)
    info, hits = _plan_all(out, count, policy, info, pool, progress)
    first = rank_all(out, count)
    copies = _copies(out, count)
    tallies: dict[str, Counter[str]] = {}
    finished = pool.run(finish_part, ((out, k, first[k], copies) for k in range(count)))
    for done, tally in enumerate(finished, 1):
        for name, counts in tally.items():
            tallies.setdefault(name, Counter()).update(counts)
        if progress:
            masks = sum(tally["actions"].values())
            progress("deciding", count + done, 2 * count, masks)
    info = replace(info, parts=count, counts=_totals(tallies))
    info = _with_own_notes(out, info, policy, hits)
    curve = stability_curve(out)
    columns = pq.read_schema(part_path(out, "masks", 0)).names if count else []
    info = replace(
        info,
        stability_curve=curve,
        silent_rules=policy.silent(columns),
        timings={**info.timings, "deciding_s": round(time.monotonic() - started, 3)},
        state=COMPLETE,
    )
    if (out / WORK).exists():
        files.remove_tree(out / WORK)
    write_info(out, info)  # last: what is complete has nothing beside it
    return StoredAudit(out, info)


def _list_causes(info: AuditInfo) -> tuple[object, ...]:
    """Return the causes of a plan, beside the scores."""
    return info.policy, info.certified_line, info.judged_by, info.judge


def _with_judge(out: Path, info: AuditInfo) -> AuditInfo:
    """Return ``audit.json`` with the judge whose answers belong in the plan, if there is one."""
    judge = find_judge(out, info)
    why = "" if judge else f"needs {ASK_JUDGE}"
    signals = [
        {**one, "available": judge is not None, "why": why} if one["name"] == JUDGE else one
        for one in info.signals
    ]
    return replace(info, judge=judge, signals=cast(list[SignalRecord], signals))


def _plan_all(
    out: Path,
    count: int,
    policy: Policy,
    info: AuditInfo,
    pool: Pool,
    progress: Progress | None,
) -> tuple[AuditInfo, Hits]:
    """Plan every part; once more where a rule turns out to speak of the file.

    Returns:
        ``audit.json`` with ``rules_of_file``, and what the rules apply to.
    """
    info = replace(info, rules_of_file=[])
    while True:
        hits = Hits()
        tasks = [(out, index, policy, info) for index in range(count)]
        for done, found in enumerate(pool.run(plan_part, tasks), 1):
            hits.add(found)
            if progress:
                progress("deciding", done, 2 * count, 0)
        of_file = sorted(rules_of_file(policy, hits))
        if of_file == info.rules_of_file:
            return info, hits
        info = replace(info, rules_of_file=of_file)


def _with_own_notes(out: Path, info: AuditInfo, policy: Policy, hits: Hits) -> AuditInfo:
    """Say once for the file what nearly every mask has: habits, and findings of rules."""
    habits = [h for h in info.fitted.get("declaration", {}).values() if h is not None]
    notes = []
    of_images = [note["text"] for note in info.notes if note["of"] == "images"]
    for habit in habits:
        kind, where = str(habit["kind"]), "list_contains(string_split(declaration_habit, ' '), ?)"
        notes.append(_note(out, kind, str(habit["text"]), where, [kind]))
    for number in info.rules_of_file or ():
        rule, examples = rule_of(policy, number), hits.examples[number]
        text = text_of(rule, [reason for _, reason in examples])
        if any(said in text for said in of_images):
            continue
        ids = [mask_id for mask_id, _ in examples]
        note = _note(out, KIND, text, "list_contains(?, mask_id)", [ids])
        notes.append(replace(note, count=hits.rules[number]))
    notes += [*_note_verifier(info), *_note_missing_masks(info)]
    notes += _note_categories(out, info)
    own = {KIND, WEAK_VERIFIER, NO_PROPOSALS, CATEGORY_CLASSIFIER, *AREAS, *BOXES}
    others = [note for note in info.notes if note["kind"] not in own]
    return replace(
        info, notes=replace_notes(others, as_dicts(notes, {"masks": info.mask_count or 0}))
    )


def _note_verifier(info: AuditInfo) -> list[Note]:
    """Say that a weak verifier counts in the quality in part only, or not at all."""
    model = info.models.get("verifier")
    weight, auc = (model.get("weight"), model.get("held_out_auc")) if model else (None, None)
    if weight is None or weight >= 1:
        return []
    counts = f"counts for {weight:.0%}" if weight else "does not count"
    tried = "is not known" if auc is None else f"is {auc:.2f} on held-out images, chance being 0.50"
    text = (
        f"the verifier is weak (its AUC {tried}): its score {counts} in quality_score; train it "
        "longer, or on more masks"
    )
    return [Note(WEAK_VERIFIER, text, 1, OF_MODELS)]


def _note_missing_masks(info: AuditInfo) -> list[Note]:
    """Say that a verifier sees objects without a mask no better than chance, and proposes none."""
    model = info.models.get("verifier")
    if model is None or model.get("proposes_masks", True):
        return []
    auc = model.get("missing_masks_auc")
    tried = (
        "it was not measured whether the verifier sees missing masks (too few images, or no time)"
        if auc is None
        else "the verifier sees missing masks no better than chance (its AUC is "
        f"{auc:.2f} on held-out images, chance being 0.50)"
    )
    text = f"{tried}; it proposes none; train it longer, or on more images"
    return [Note(NO_PROPOSALS, text, 1, OF_MODELS)]


def _note_categories(out: Path, info: AuditInfo) -> list[Note]:
    """Say how often the judgement of categories is right and how far it counts, or why not."""
    if "encoder" not in info.models:
        return []
    worth = _worth_of_categories(info.fitted.get("category"))
    if worth is None:
        text = (
            "categories were not judged: there are no two with masks enough, on two images or "
            "more, whose pictures are there"
        )
        return [Note(CATEGORY_CLASSIFIER, text, 1, OF_MODELS)]
    weight, auc = worth["weight"], worth["auc"]
    if worth["accuracy"] is None:
        return []
    with connect(out) as connection:
        asked = "select count(*) from masks where category_suggested is not null"
        (suggested,) = connection.execute(asked).fetchone() or (0,)
    share = "" if weight >= MOST_WEIGHT else f" by {weight / MOST_WEIGHT:.0%} of its full weight"
    counts = f"counts{share}" if weight else "does not count"
    clauses = [
        f"the classifier of categories is right for {worth['accuracy']:.0%} of the masks on images "
        f"that it has not seen (the most frequent category for {worth['most_frequent']:.0%})"
    ]
    if auc is not None:
        clauses.append(f"its score (AUC {auc:.2f}) {counts} in quality_score")
    if suggested:
        right = worth.get("suggestions_right", 0.0)
        clauses.append(
            f"it suggests another category for {count_noun(suggested, 'mask')}; were one category "
            f"in {round(1 / MISNAMED)} wrong, about {right:.0%} of such suggestions would be right"
        )
    return [Note(CATEGORY_CLASSIFIER, "; ".join(clauses), 1, OF_MODELS)]


def _note(out: Path, kind: str, text: str, where: str, given: list[object]) -> Note:
    """Return a note on the masks for which a condition holds."""
    with connect(out) as connection:
        rows = connection.execute(f"select count(*) from masks where {where}", given).fetchone()
        keys = connection.execute(
            f"select source_key from masks where {where} order by mask_id limit {EXAMPLES}", given
        ).fetchall()
    return Note(kind, text, int(rows[0]), examples=tuple(str(key) for (key,) in keys))


def with_version(images: pa.Table, version: VersionHash) -> pa.Table:
    """Return a part's images with the content of its masks and images, hashed, beside them."""
    stated = {_VERSION: version.state().encode()}
    return images.replace_schema_metadata((images.schema.metadata or {}) | stated)


def version_of_parts(out: Path) -> str | None:
    """Return the content id of the dataset, from what stands beside its parts; see ``versions``.

    None where a part does not have it: it was scored by an earlier curate.
    """
    version = VersionHash()
    for index in range(count_parts(out)):
        stated = (read_part(out, "images", index, []).schema.metadata or {}).get(_VERSION)
        if stated is None:
            return None
        version.merge(stated.decode())
    return version.hexdigest()


def _sizes(out: Path) -> dict[str, int]:
    """Return how many masks and images there are."""
    return {
        kind: sum(len(read_part(out, kind, index, [])) for index in range(count_parts(out)))
        for kind in ("masks", "images")
    }


def _numbers(table: pa.Table, name: str) -> AnyArray:
    return np.asarray(table[name].to_numpy())


def _open_parts(folder: Path) -> Any:
    """Return all parts of a folder as one dataset that DuckDB reads in pieces."""
    paths = [str(path) for path in sorted(folder.glob("part-*.arrow"))]
    return pa.dataset.dataset(paths, format="ipc")


def fit_references(out: Path, info: AuditInfo) -> References:
    """Learn what is usual in the dataset from up to :data:`SAMPLE` masks of it."""
    model = info.models.get("verifier")
    weights = {}
    if model and (weight := model.get("weight")) is not None:
        weights[JUDGEMENT] = weight
    frame = sample(out)
    copies = _near_duplicates(out) if FEATURES in frame else {}
    if copies:
        images = frame["image_id"].astype("int64")
        frame[GROUP] = images.map(copies).fillna(images).astype("int64")
    of_scorers = scorers.fit(frame)
    classifiers = cast(CategoryReference | Empty, of_scorers.get("category", {}))
    if worth := _worth_of_categories(classifiers):
        dealt = {str(image): leader for image, leader in copies.items()}
        of_scorers["category"] = {**classifiers, "copies": dealt}
        weights[CATEGORY_JUDGEMENT] = worth["weight"]
    applied = scorers.apply(frame, of_scorers)
    frame = frame.drop(columns=[c for c in applied if c in frame]).join(applied)
    quality = label_free.fit(frame, weights)
    scores = label_free.apply(frame, quality)
    judged = scores[~is_crowd(frame) & scores.notna()]
    grid = np.quantile(judged, np.linspace(0, 1, GRID + 1)).tolist() if len(judged) else []
    fitted: References = {
        "quality": quality,
        "quality_quantiles": {"values": grid},
        "category_names": category_names(frame),
    }
    return cast(References, of_scorers | fitted)


def _worth_of_categories(reference: CategoryReference | Empty | None) -> CategoryWorth | None:
    """Return the measured worth of the classifiers of categories; None where there are none."""
    if reference is None or "categories" not in reference:
        return None
    return reference.get("held_out")


def _near_duplicates(out: Path) -> dict[int, int]:
    """Return, for each image that shows what another one shows, that other one."""
    copies = _copies(out, count_parts(out))
    if "near_duplicate_of" not in copies:
        return {}
    found = copies["near_duplicate_of"].dropna()
    ids = found.index.to_numpy(np.int64).tolist()
    return dict(zip(ids, found.to_numpy(np.int64).tolist(), strict=True))


def category_names(frame: pd.DataFrame) -> dict[str, str]:
    """Return the names of a dataset's categories by number, as far as its masks have both."""
    if not {"category", "category_id"} <= set(frame.columns):
        return {}
    stated = frame[["category_id", "category"]].dropna().drop_duplicates("category_id")
    return {str(number): str(name) for number, name in stated.itertuples(index=False)}


def sample(out: Path) -> pd.DataFrame:
    """Return up to :data:`SAMPLE` masks drawn by their ids alone, whatever the parts and order."""
    count = count_parts(out)
    drawn = [
        scatter_ids(_numbers(read_part(out, "masks", k, ["mask_id"]), "mask_id"))
        for k in range(count)
    ]
    total = sum(map(len, drawn))
    last = np.uint64(2**64 - 1)
    if total > SAMPLE:
        # Only the lowest few of each part can be among the lowest of all.
        low = np.concatenate(
            [np.partition(d, min(SAMPLE, len(d)) - 1)[:SAMPLE] for d in drawn if len(d)]
        )
        last = np.partition(low, SAMPLE - 1)[SAMPLE - 1]
    tables = []
    for index, places in enumerate(drawn):
        names = [n for n in part_names(out, "masks", index) if n not in HEAVY]
        table = read_part(out, "masks", index, names)
        tables.append(table.take(pa.array(np.flatnonzero(places <= last))))
    frame = to_frame(pa.concat_tables(tables, promote_options="permissive"))
    frame = frame if frame.index.name == "mask_id" else frame.set_index("mask_id")
    return frame.sort_index()


def scatter_ids(ids: IntArray) -> UInt64Array:
    """Return numbers that look random, other ones for other ids (splitmix64's last steps)."""
    x = ids.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def is_crowd(frame: pd.DataFrame) -> pd.Series[bool]:
    """Return which masks are crowd regions, which nobody judges as one object."""
    if REGION not in frame:
        return pd.Series(False, index=frame.index)
    return frame[REGION].fillna(0).astype("int64") == 1


def quality_line(info: AuditInfo, share: float) -> float | None:
    """Return the quality that ``share`` of the dataset's masks stay under; None for no share.

    Args:
        info: ``audit.json``; the quality is that of the model in force, if there is one.
        share: In [0, 1).
    """
    of = info.quality_model or info.fitted
    grid = of["quality_quantiles"]["values"]
    if not share or not grid:
        return None
    return float(np.interp(share, np.linspace(0, 1, len(grid)), grid))


def plan_part(out: Path, index: int, policy: Policy, info: AuditInfo) -> Hits:
    """Judge the masks of one part: second-step scores, quality, action, reasons, priority.

    Returns:
        What the policy's rules apply to.
    """
    model, references = model_in_force(out, info.quality_model), info.fitted
    signals = label_free.columns_read(references["quality"])  # also of packages gone since
    extra = {NAMED, *signals, *stated_columns(), *(model.columns.names if model else ())}
    frame = read_judged_columns(out, index, {*policy.columns, *extra}, policy.reads_masks)
    applied = _apply_or_keep(frame, references)
    frame = frame.drop(columns=[c for c in applied.columns if c in frame.columns]).join(applied)
    named = {}
    if NAMED in frame:
        frame[NAMED] = name_categories(frame[NAMED], references.get("category_names", {}))
        named = {NAMED: frame[NAMED]}
    answered = {}
    if info.judge:
        answers = complete_answers(read_answers(out, info), frame.index)
        frame = frame.join(answers)
        answered = {name: answers[name] for name in JUDGE_COLUMNS}
    judged = compute_quality(frame, references["quality"], model, policy.odd)
    frame["quality_score"] = judged.columns["quality_score"]
    plan = decide(
        frame,
        policy,
        quality_cut=quality_line(info, policy.lowest_share),
        blame=judged.blame,
        odd_quality=judged.odd,
        certified=certified_line(info.certificate),
        learned=model is not None,
        muted=info.rules_of_file or (),
    )
    late = {
        **named,
        **answered,
        **{str(name): applied[name] for name in applied.columns},
        **{str(name): judged.columns[name] for name in judged.columns},
        **{name: plan[name] for name in PLANNED},
    }
    columns = {name: pa.array(values, from_pandas=True) for name, values in late.items()}
    rows = np.arange(len(frame), dtype=np.int32)
    ids = frame.index.to_numpy()
    columns |= {"mask_id": ids, "part": np.full_like(rows, index), "row": rows}
    write_scored(_plan_path(out, index), pa.table(columns))
    hits: Hits = plan.attrs["hits"]
    return hits


def _apply_or_keep(frame: pd.DataFrame, references: References) -> pd.DataFrame:
    """Do the second steps of scorers; what a step gave before its columns were dropped stays."""
    applied = scorers.apply(frame, references)
    names = [column.name for one in scorers.all_scorers() for column in one.applied]
    kept = [name for name in names if name in frame and name not in applied]
    joined = applied.join(frame[kept])
    return joined[[name for name in names if name in joined]]


def read_judged_columns(
    out: Path, index: int, named: Collection[str], masks: bool = False
) -> pd.DataFrame:
    """Read what judging a part's masks looks at, and no more.

    Args:
        out: The audit directory.
        index: Number of the part.
        named: Columns to read beside those that quality and second steps look at.
        masks: Whether the masks themselves are needed.
    """
    wanted = {"mask_id", "area_px", *label_free.signals(), *named}
    wanted |= {
        name for scorer in scorers.all_scorers() for name in (*scorer.reads, *scorer.may_read)
    }
    wanted |= {column.name for scorer in scorers.all_scorers() for column in scorer.applied}
    skipped = {*LATE, *(() if masks else HEAVY)}
    names = [n for n in part_names(out, "masks", index) if n in wanted - skipped]
    frame = to_frame(read_part(out, "masks", index, names))
    return frame if frame.index.name == "mask_id" else frame.set_index("mask_id")


def _plan_path(out: Path, index: int) -> Path:
    return out / WORK / "plan" / f"part-{index:06d}.arrow"


def rank_all(out: Path, parts: int) -> list[int]:
    """Rank every mask of the audit by priority, on disk where that is too much for memory.

    Returns:
        Where each part's ranks begin in the file of all ranks (:func:`_ranks`).
    """
    tables = [read_scored(_plan_path(out, k), ["priority", "mask_id"]) for k in range(parts)]
    lengths = [len(table) for table in tables]
    with writing(out / WORK / "ranks") as temporary, files.open_file(temporary) as file:
        if sum(lengths) <= IN_MEMORY:
            joined = pa.concat_tables(tables) if tables else None
            file.write(_places(joined).tobytes() if joined else b"")
        else:
            for batch in _places_on_disk(out):
                file.write(batch)
    starts: list[int] = np.cumsum([0, *lengths]).tolist()
    return starts


def _places(table: pa.Table) -> IntArray:
    """Return every row's place, from 1, highest priority first, then by id."""
    index = pd.Index(_numbers(table, "mask_id"))
    plan = pd.DataFrame({"priority": _numbers(table, "priority")}, index=index)
    return rank(plan).to_numpy(np.int64)


def _places_on_disk(out: Path) -> Iterator[bytes]:
    """Yield the same piece by piece, sorted outside memory."""
    target = out / WORK / "ranks.parquet"
    quoted = str(target).replace("'", "''")
    with connect(out) as connection:
        connection.register("plan", _open_parts(out / WORK / "plan"))
        files.announce_library_write(target)
        connection.execute(
            "copy (select row_number() over (order by priority desc, mask_id) as rank from plan"
            f" order by part, row) to '{quoted}' (format parquet)"
        )
    with pq.ParquetFile(target) as file:
        for batch in file.iter_batches():
            yield batch["rank"].to_numpy().tobytes()


def _ranks(out: Path, first: int, count: int) -> IntArray:
    return np.fromfile(out / WORK / "ranks", np.int64, count=count, offset=8 * first)


def _copies(out: Path, count: int) -> pd.DataFrame:
    """Find images that show what another shows; empty where the pictures were not looked at."""
    wanted = ["image_id", "content_hash", "picture_hash"]
    if not count or "content_hash" not in part_names(out, "images", 0):
        return pd.DataFrame()
    frame = to_frame(pa.concat_tables([read_part(out, "images", k, wanted) for k in range(count)]))
    return near_duplicates(frame.set_index("image_id") if "image_id" in frame else frame)


def finish_part(out: Path, index: int, first: int, copies: pd.DataFrame) -> dict[str, Counter[str]]:
    """Join the plan and the rank to one part of masks, and counts to its images.

    Args:
        out: The audit directory.
        index: Number of the part.
        first: Where its ranks begin among all.
        copies: What is known of images that show the same.

    Returns:
        How often each action and status stands there.
    """
    masks = read_part(out, "masks", index)
    plan = read_scored(_plan_path(out, index)).drop_columns(["mask_id", "part", "row"])
    plan = plan.append_column("rank", pa.array(_ranks(out, first, len(masks))))
    gone = {*plan.schema.names, *LEARNED_COLUMNS, *JUDGE_COLUMNS, FEATURES}
    masks = masks.drop_columns([n for n in masks.schema.names if n in gone])
    for name in plan.schema.names:
        masks = masks.append_column(plan.schema.field(name), plan[name])
    write_part(part_path(out, "masks", index), masks)
    images = _finish_images(out, index, masks, copies)
    for kind in ("masks", "images"):
        files.unlink(scored_path(out, kind, index), missing_ok=True)
    return {
        "actions": _tally(masks["action"]),
        "status": _tally(masks["status"]),
        "image_status": _tally(images["status"]),
    }


def _finish_images(out: Path, index: int, masks: pa.Table, copies: pd.DataFrame) -> pa.Table:
    images = to_frame(read_part(out, "images", index))
    images = images if images.index.name == "image_id" else images.set_index("image_id")
    rows = images.index.get_indexer(pd.Index(_numbers(masks, "image_id")))
    for name, action in (
        ("mask_count", ""),
        ("review_count", "review"),
        ("reject_count", "reject"),
    ):
        counted = rows[pc.equal(masks["action"], action).to_numpy()] if action else rows
        images[name] = np.bincount(counted[counted >= 0], minlength=len(images))
    for name in copies.columns:
        images[name] = copies[name].reindex(images.index)
    table = pa.Table.from_pandas(images, preserve_index=True)
    write_part(part_path(out, "images", index), table)
    return table


def _tally(words: pa.ChunkedArray) -> Counter[str]:
    return Counter(
        {str(pair["values"]): pair["counts"] for pair in pc.value_counts(words).to_pylist()}
    )


def _totals(tallies: Mapping[str, Counter[str]]) -> CountsRecord:
    """Return the counts of ``audit.json``: masks, images, and how many of each word."""
    actions, status, image_status = (
        dict(sorted(tallies.get(name, {}).items()))
        for name in ("actions", "status", "image_status")
    )
    return {
        "masks": sum(actions.values()),
        "images": sum(image_status.values()),
        "actions": actions,
        "status": status,
        "image_status": image_status,
    }


def stability_curve(out: Path) -> CurveRecord | None:
    """Put the stability curves of all masks together; None where there were no soft masks."""
    curve = StabilityCurve()
    for path in part_paths(out, "masks"):
        if "stability_curve" not in pq.read_schema(path).names:
            return None
        curve.add(read_columns(path, ["stability_curve"])["stability_curve"].to_pylist())
    return curve.summary()
