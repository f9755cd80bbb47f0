"""Next steps on an audit: commands that work as they stand, by the audit's status."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count as numbers
from pathlib import Path
from shlex import join
from typing import TYPE_CHECKING

from curate.dataset.notes import count_noun
from curate.store.audit_info import COMPLETE, SCORING, read_info
from curate.store.engine_folder import find_project

if TYPE_CHECKING:
    from curate.people.guarantees.certify import Certificate
    from curate.reporting.status import AuditStatus, DrawStatus

MOST = 3
"""Most steps that are named at a time."""

ENOUGH_TO_LEARN = 30
"""Masks that people decided on from which on learning is proposed; it may still be too early."""

MORE_TO_LEARN = 1.5
"""How many times as many as at the last learning from which on it is proposed again."""

_MIN_OF_A_KIND = 5

_PACKED = (".gz", ".bz2", ".xz")


@dataclass(frozen=True)
class NextStep:
    """A command, and what it is for.

    Attributes:
        purpose: What it does, as a clause in the imperative: "decide on the 4 masks to review".
        command: The command, quoted for a shell.
    """

    purpose: str
    command: str


def find_next_steps(status: AuditStatus) -> tuple[NextStep, ...]:
    """Return the next steps on an audit, the most useful first; at most :data:`MOST`."""
    if status.holder:
        return ()
    if status.state != COMPLETE:
        return (_continue_audit(status),)
    if (project := find_project(status.path)) is not None:
        return tuple(_find_engine_steps(project))
    steps: list[NextStep] = []
    for step in (
        *_finish_reviews(status),
        *_use_reviews(status),
        *_write(status),
        *_renew(status),
    ):
        if step.command not in (one.command for one in steps):
            steps.append(step)
    return tuple(steps[:MOST])


def _find_engine_steps(project: Path) -> Iterator[NextStep]:
    """Yield the steps on the audit of an engine's round."""
    yield make_step("review the round", "review", project)
    yield make_step("go on with the engine once all is reviewed", "engine", "next", project)


def make_step(purpose: str, *words: object) -> NextStep:
    """Return a step by the words of its command, behind ``curate``."""
    return NextStep(purpose, join(["curate", *(str(word) for word in words)]))


def find_certificate_steps(path: Path, found: Certificate, *, dry_run: bool) -> list[NextStep]:
    """Return the steps after a certificate was asked for: use it, or review more."""
    more = found.reviews_needed if found.threshold is None else found.reviews_for_next
    steps = []
    if found.threshold is not None and dry_run:
        steps.append(make_step("put it in force", "certify", path, "--max-bad", found.max_bad))
    elif found.threshold is not None:
        words = ("write", path, "--to", "coco", "--only", "certified", "--out")
        out = propose_output(Path(f"{path.stem}.json"), "certified")
        steps.append(make_step("write the masks that it covers", *words, out))
    if more:
        what = f"review {count_noun(more, 'more mask')}, to certify more"
        steps.append(make_step(what, "review", path, "--kind", "estimate", "--budget", more))
    return steps


def find_queue_steps(path: Path, out: Path, tool: str | None) -> list[NextStep]:
    """Return the steps once a queue for people is written.

    Args:
        path: The audit directory.
        out: The file or folder that was written.
        tool: For which tool; None: by the file's ending.
    """
    table = (tool or out.suffix.lstrip(".").lower()) in ("csv", "json")
    if table or tool == "coco":
        do = "fill in the column `decision`" if table else "correct the masks"
        return [make_step(f"{do}, then import it", "import", out, "--audit", path)]
    what = "import the tool's export (its name in the place of EXPORT)"
    return [make_step(what, "import", "EXPORT", "--audit", path)]


def find_written_steps(path: Path, source: Path, out: Path | None) -> list[NextStep]:
    """Return the steps after a dataset was written: see what is different, audit it again.

    Args:
        path: The audit directory.
        source: The dataset that was audited.
        out: What was written; None for nothing.
    """
    if out is None:
        return []
    return [
        make_step("see what is different", "diff", source, out),
        make_audit_step("audit it again", out, *images_option(path)),
    ]


def find_detector_steps(path: Path, detector: Path) -> list[NextStep]:
    """Return the step that audits an audit's dataset again, with a detector trained on it."""
    return _audit_with_model(path, None, "detector", detector)


def find_segmenter_steps(source: Path, pictures: Path, segmenter: Path) -> list[NextStep]:
    """Return the steps that use a segmenter that was trained on a dataset.

    Args:
        source: The first dataset, or audit, that it was trained on.
        pictures: The folder of its pictures.
        segmenter: Its folder.
    """
    out = propose_output(Path("generated"), "")
    words = ("generate", pictures, "--segmenter", segmenter, "--out", out)
    generating = make_step("generate masks with it", *words)
    return [*_audit_with_model(source, pictures, "segmenter", segmenter), generating]


def find_verifier_steps(source: Path, pictures: Path, verifier: Path) -> list[NextStep]:
    """Return the step that audits a dataset with a verifier that was trained on it.

    Args:
        source: The dataset, or audit, that it was trained on.
        pictures: The folder of its pictures.
        verifier: Its folder.
    """
    return _audit_with_model(source, pictures, "verifier", verifier)


def _audit_with_model(
    source: Path, pictures: Path | None, role: str, model: Path
) -> list[NextStep]:
    """Return the step that audits what a model was trained on with it.

    An audit is scored anew in its place, where people's decisions stay.

    Args:
        source: The dataset, or audit.
        pictures: The folder of its pictures; None for the audit's.
        role: "detector", "segmenter" or "verifier".
        model: Its folder.
    """
    info = read_info(source)
    if info is None:
        if not source.exists():
            return []
        more = ("--images", pictures, f"--{role}", model)
        return [make_audit_step("audit the dataset with it", source, *more)]
    audited = info.source.get("path")
    if not audited or not Path(audited).exists():
        return []
    inputs = {**info.inputs, **({"images": str(pictures)} if pictures else {})}
    inputs |= {name: one["name"] for name, one in info.models.items()} | {role: str(model)}
    what = "score the audit anew with it, with the policy and the other options of the first call"
    what += " (people's decisions are kept)"
    words = ["audit", audited, "--out", source, *_input_options(inputs), "--restart"]
    return [make_step(what, *words)]


def images_option(path: Path) -> tuple[object, ...]:
    """Return the option with the pictures of an audit, where it was given one."""
    info = read_info(path)
    images = info.inputs.get("images") if info else None
    return ("--images", images) if images else ()


def make_audit_step(purpose: str, source: Path, *more: object) -> NextStep:
    """Return the step that audits a dataset into a directory that is free."""
    own = Path(f"{source.resolve().name.split('.')[0]}.audit")
    if own.exists():
        name = source.name if source.is_dir() else source.stem
        more = (*more, "--out", propose_output(Path(f"{name}.audit"), "", ending=".audit"))
    return make_step(purpose, "audit", source, *more)


def _continue_audit(status: AuditStatus) -> NextStep:
    """Return the step that finishes an audit that was cut off."""
    if status.state != SCORING:
        return make_step("finish deciding", "decide", status.path)
    words = ["audit", status.source, "--out", status.path, *_input_options(status.inputs)]
    what = "go on where it stopped, with the policy and the other options of the first call"
    return make_step(what, *words)


def _input_options(inputs: Mapping[str, str]) -> list[object]:
    """Return the options that give an audit what it was given, by the names in ``audit.json``."""
    words: list[object] = []
    for name, path in inputs.items():
        kind, _, label = name.partition(" ")
        option = f"--{name.replace(' ', '-')}"
        words += ["--compare", f"{label}={path}"] if kind == "compare" else [option, path]
    return words


def _finish_reviews(status: AuditStatus) -> Iterator[NextStep]:
    """Yield reviews that people have begun, or could begin."""
    left = [draw for draw in status.draws if draw.decided < draw.masks]
    for draw in left[-1:]:
        what = f"decide on the {count_noun(draw.masks - draw.decided, 'mask')} left of draw "
        yield make_step(f"{what}{draw.number}", "review", status.path, "--draw", draw.number)
    unsettled = sum(status.unsettled.values())
    if unsettled:
        yield make_step(f"settle {count_noun(unsettled, 'mask')}", "review", status.path)
    waiting = status.actions.get("review", 0) - unsettled
    if waiting > 0 and not left:
        what = f"decide on {count_noun(waiting, 'mask')} to review, in the browser"
        yield make_step(what, "review", status.path)
    if missing := status.proposals.left:
        what = f"look at {count_noun(missing, 'place')} where a mask may be missing"
        yield make_step(what, "review", status.path, "--kind", "missing")


def _use_reviews(status: AuditStatus) -> Iterator[NextStep]:
    """Yield what people's decisions are good for by now."""
    if _is_sampled(status.draws) and not status.certificate:
        what = "certify what the reviewed sample proves good"
        yield make_step(what, "certify", status.path, "--max-bad", 0.05)
    kinds = [status.changes.get(name, 0) for name in ("accepted", "rejected")]
    enough = status.decided >= ENOUGH_TO_LEARN and min(kinds) >= _MIN_OF_A_KIND
    if status.learned_from:  # the same decisions would teach the same
        enough &= status.decided >= MORE_TO_LEARN * status.learned_from
    if enough and (not status.model or any("model was learned" in one for one in status.stale)):
        yield make_step("learn from these decisions", "learn", status.path)


def _is_sampled(draws: tuple[DrawStatus, ...]) -> bool:
    sampled = [draw for draw in draws if draw.kind == "estimate"]
    return bool(sampled) and all(draw.decided >= draw.masks for draw in sampled)


def _renew(status: AuditStatus) -> Iterator[NextStep]:
    """Yield what brings the stale up to date."""
    if any("report.html" in text for text in status.stale):
        yield make_step("write the report again", "report", status.path)


def _write(status: AuditStatus) -> Iterator[NextStep]:
    """Yield what writes the dataset, where that would change it."""
    if not status.source_is_there:
        return
    out = propose_output(Path(status.source))
    gone = status.actions.get("reject", 0)
    if status.decided or status.added:
        yield make_step(
            "write the dataset with people's decisions", "write", status.path, "--out", out
        )
    elif gone:
        what = f"write the dataset without {count_noun(gone, 'rejected mask')}"
        yield make_step(what, "prune", status.path, "--out", out)


def propose_output(source: Path, word: str = "curated", *, ending: str | None = None) -> Path:
    """Return a free name in the working folder for what is made from a source.

    Args:
        source: A file or folder: ``cells.json`` gives ``cells.curated.json``.
        word: What the new name says; "" for nothing.
        ending: That of the new name, where it is not the source's own.
    """
    own = "" if source.is_dir() else source.suffix
    if ending and source.suffix == ending:  # an audit's directory: its name ends so already
        own = ending
    if own in _PACKED and Path(source.stem).suffix:
        own = f"{Path(source.stem).suffix}{own}"
    stem = source.name.removesuffix(own) or "masks"
    for number in numbers(1):
        tag = f"{word and '.'}{word}{number if number > 1 else ''}"
        found = Path(f"{stem}{tag}{own if ending is None else ending}")
        if not found.exists():
            return found
    raise AssertionError("numbers do not end")
