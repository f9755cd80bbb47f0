"""The verbs of the command line as functions: what a script calls and ``curate.cli`` prints."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.errors import CallError

if TYPE_CHECKING:
    from curate.curation.compare import Comparison
    from curate.curation.policy import Policy
    from curate.curation.prune import PruneResult
    from curate.store import Audit

AnyPath = str | Path
Progress = Callable[[str, int, int, int], None]


def audit(
    source: AnyPath,
    out: AnyPath | None = None,
    *,
    format: str | None = None,
    images: AnyPath | None = None,
    detections: AnyPath | None = None,
    compare: Mapping[str, AnyPath] | None = None,
    soft_masks: AnyPath | None = None,
    stability: Mapping[str, Any] | None = None,
    deep: bool = False,
    policy: str | Path | Mapping[str, Any] | Policy = "default",
    workers: int = 1,
    restart: bool = False,
    progress: Progress | None = None,
) -> Audit:
    """Score a dataset's masks, decide on each, and write the report.

    Args:
        source: A file or folder of masks in any format curate reads.
        out: The audit directory; by default the source's name with ``.audit`` behind it.
        format: The source's format, where its content does not tell.
        images: Folder of the pictures.
        detections: A detector's results on these images.
        compare: Other annotations of these images, by a name for each.
        soft_masks: Folder of logits or probabilities.
        stability: ``kind``, ``threshold`` and ``offset`` for the soft masks.
        deep: Run the slow signals too, which take more time than all others together.
        policy: A preset's name, a TOML file, or a policy.
        workers: Processes. A script that asks for more than one must guard its entry point with
            ``if __name__ == "__main__":``.
        restart: Throw away what ``out`` holds of an earlier audit.
        progress: Called with (stage, parts done, parts in all, masks just done).

    Returns:
        The finished audit, with ``report.html`` in it.

    Raises:
        CurateError: The source, an argument or ``out`` cannot be used; one sentence says why.
    """
    from curate.curation.policy import load_policy
    from curate.pipeline import Inputs
    from curate.pipeline import audit as run

    source = Path(source)
    if stability and soft_masks is None:
        named = " and ".join(sorted(stability))
        raise CallError(f"{named} given, but no soft masks", "", "give --soft-masks DIR")
    inputs = Inputs(
        images=_path(images),
        detections=_path(detections),
        compare={name: Path(path) for name, path in (compare or {}).items()},
        soft_masks=_path(soft_masks),
        deep=deep,
    )
    done = run(
        source,
        Path(out) if out else Path(f"{source.resolve().name.split('.')[0] or 'masks'}.audit"),
        format=format,
        inputs=inputs,
        policy=load_policy(policy),
        parameters={"stability": dict(stability)} if stability else {},
        workers=workers,
        restart=restart,
        report=progress,
    )
    report(done.path)
    return done


def _path(path: AnyPath | None) -> Path | None:
    return None if path is None else Path(path)


def name_files(pairs: Sequence[str]) -> dict[str, Path]:
    """Read ``NAME=FILE`` pairs.

    Raises:
        CallError: One is not such a pair, a name stands twice or is not a plain word.
    """
    named: dict[str, Path] = {}
    for pair in pairs:
        name, equals, file = pair.partition("=")
        if not equals or not file or not name.replace("-", "_").isidentifier():
            raise CallError(f"{pair!r} is not NAME=FILE", "--compare", "NAME is a plain word")
        if name in named:
            raise CallError(f"the name {name} stands twice", "--compare", "give another name")
        named[name] = Path(file)
    return named


def decide(
    path: AnyPath,
    *,
    policy: str | Path | Mapping[str, Any] | Policy = "default",
    progress: Progress | None = None,
) -> Audit:
    """Decide an audit anew under another policy; nothing is scored again.

    Raises:
        CurateError: There is no finished audit, or the policy is wrong.
    """
    from curate.curation.policy import load_policy
    from curate.deciding import decide_audit
    from curate.pool import Pool
    from curate.store import open_audit

    before = open_audit(path)
    with Pool(1) as pool:
        done = decide_audit(before.path, dict(before.info), load_policy(policy), pool, progress)
    report(done.path)
    return done


def report(path: AnyPath, out: AnyPath | None = None) -> Path:
    """Write an audit's report again and return where it is."""
    from curate.report import write_report
    from curate.store import open_audit

    opened = open_audit(path)
    target = Path(out) if out else opened.path / "report.html"
    images = opened.info["inputs"].get("images")
    write_report(opened, target, images=Path(images) if images else None)
    return target


def queue(path: AnyPath, **options: Any) -> Any:
    """Return the masks to review as a frame; see :func:`curate.curation.queue.queue`."""
    from curate.curation.queue import queue as rank_queue
    from curate.store import open_audit

    return rank_queue(open_audit(path), **options)


def prune(
    path: AnyPath, out: AnyPath | None = None, *, drop: tuple[str, ...] = ("reject",)
) -> PruneResult:
    """Write the dataset without some masks; see :func:`curate.curation.prune.prune`."""
    from curate.curation.prune import prune as run
    from curate.store import open_audit

    return run(open_audit(path), _path(out), actions=drop)


def compare(first: AnyPath, second: AnyPath) -> Comparison:
    """Say what changed between two audits; see :func:`curate.curation.compare.compare`."""
    from curate.curation.compare import compare as run
    from curate.store import open_audit

    return run(open_audit(first), open_audit(second))


_PICTURES = {
    "image_missing_count": "images without a picture in the folder given",
    "image_unreadable_count": "images whose picture cannot be read",
    "image_truncated_count": "images whose picture is cut off",
    "image_size_mismatch_count": "images whose picture has another size than declared",
    "image_exif_rotated_count": "images whose picture is stored turned (EXIF)",
    "image_invalid_size_count": "images of a size that cannot be",
    "image_duplicate_id_count": "images whose id stands twice",
}


def summary(audit: Audit) -> dict[str, Any]:
    """Return an audit's numbers by name, for people, machines and gates."""
    from curate.curation.gate import metrics

    return metrics(audit)


def summary_text(audit: Audit, numbers: Mapping[str, Any]) -> str:
    """Say in a few lines what an audit found, and where to look."""
    from curate.report.collect import Source, reasons

    masks = numbers["mask_count"] or 0
    shares = ", ".join(
        f"{numbers[f'{action}_count']:,} {words}"
        for action, words in (
            ("accept", "accepted"),
            ("review", "to review"),
            ("reject", "rejected"),
        )
    )
    lines = [f"{_count(masks, 'mask')} in {_count(numbers['image_count'], 'image')}: {shares}"]
    found, rarer = reasons(Source(audit))
    flagged = [reason for reason in found if reason.review + reason.reject]
    lines += [f"  {reason.masks:>9,}  {_plain(reason.text)}" for reason in flagged[:8]]
    if len(flagged) + rarer > 8:
        lines.append(f"             and {_count(len(flagged) + rarer - 8, 'other reason')}")
    lines += [
        f"  {numbers[name]:>9,}  {words}" for name, words in _PICTURES.items() if numbers.get(name)
    ]
    missing = numbers.get("missing_detection_count")
    if missing:
        lines.append(f"  {missing:>9,}  detections that no mask explains: masks may be missing")
    lines += _unmatched(audit, numbers)
    absent = [signal for signal in audit.info["signals"] if not signal["available"]]
    if absent:
        needs = dict.fromkeys(signal["why"].removeprefix("needs ") for signal in absent)
        lines.append(f"more signals with: {'; '.join(needs)}")
    lines.append(f"report: {audit.path / 'report.html'}")
    return "\n".join(lines)


def _unmatched(audit: Audit, numbers: Mapping[str, Any]) -> list[str]:
    """Say which inputs have nothing to do with the dataset, as the wrong file has."""
    lines = []
    given = list(audit.info["inputs"])
    if "detections" in given and numbers.get("detector_median") is None:
        lines.append("the detections name none of these images: do their image ids match?")
    others = any(name.startswith("compare ") for name in given)
    if others and numbers.get("agreement_median") is None:
        lines.append("the other annotations have none of these images: do their names match?")
    return lines


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _plain(reason: str) -> str:
    """Take the numbers in which masks differ out of a reason that stands for many masks."""
    reason = re.sub(r" \([^()]*…[^()]*\)", "", reason)
    return re.sub(r":[^:…]{0,20}…$", "", reason).replace("mask …", "another mask")


def check_gates(conditions: Sequence[str]) -> None:
    """See that conditions can be read, before hours of work stand before them.

    Raises:
        CallError: One is malformed.
    """
    from curate.curation.gate import check

    for condition in conditions:
        check(condition)


def failed_gates(numbers: Mapping[str, Any], conditions: Sequence[str]) -> list[str]:
    """Return the gates whose condition holds.

    Raises:
        CallError: A condition is malformed or names a number that is not there.
    """
    from curate.curation.gate import fails

    return [condition for condition in conditions if fails(condition, dict(numbers))]


def write_queue(
    path: AnyPath, out: AnyPath | None = None, *, to: str | None = None, **options: Any
) -> str:
    """Write the queue to a file, or return it as CSV; see :func:`queue` for the options."""
    from curate.curation.queue import queue as rank_queue
    from curate.curation.queue import write_queue as write
    from curate.curation.queue_files import csv_lines
    from curate.store import open_audit

    opened = open_audit(path)
    rows = rank_queue(opened, **options)
    if out is None:
        if to not in (None, "csv"):
            raise CallError(f"--to {to} needs a file", "queue", "give one with --out")
        return "".join(csv_lines(rows)).rstrip("\r\n")
    count = write(opened, rows, Path(out), to)
    return f"{count:,} masks in {out}"


def demo(out: AnyPath, *, seed: int = 0, images: int = 24, progress: Progress | None = None) -> str:
    """Draw a dataset with planted defects, audit it, and say what was found of them."""
    from curate.demo import as_text, found_against_planted, make_demo

    folder = Path(out)
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
    found = as_text(found_against_planted(done, truth))
    return f"{found}\n\nreport: {done.path / 'report.html'}"


@contextmanager
def progress() -> Iterator[Progress]:
    """Show progress on stderr: a bar in a terminal, a line now and then elsewhere."""
    if not sys.stderr.isatty():
        yield _plain_progress()
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.progress import (
        Progress as Bar,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, Any] = {}
        masks: dict[str, int] = {}
        started = time.monotonic()

        def show(stage: str, done: int, total: int, count: int) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=total, rate="")
            masks[stage] = masks.get(stage, 0) + count
            rate = masks[stage] / max(time.monotonic() - started, 1e-9)
            words = f"{rate:,.0f} masks/s" if masks[stage] else ""
            bar.update(tasks[stage], completed=done, total=total, rate=words)

        yield show


def _plain_progress(every: float = 5.0) -> Progress:
    started = time.monotonic()
    last = started
    masks = 0

    def show(stage: str, done: int, total: int, count: int) -> None:
        nonlocal last, masks
        masks += count
        now = time.monotonic()
        if now - last >= every and done:
            last = now
            left = (now - started) / done * (total - done)
            rate = f", {masks / (now - started):,.0f} masks/s" if masks else ""
            line = f"{stage}: {done} of {total} parts{rate}, about {left:.0f} s left"
            print(line, file=sys.stderr, flush=True)

    return show
