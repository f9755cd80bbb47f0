"""The verbs of the command line as functions: what a script calls and ``curate.cli`` prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.errors import CallError
from curate.progress import Progress

if TYPE_CHECKING:
    from curate.curation.compare import Comparison
    from curate.curation.policy import Policy
    from curate.curation.prune import PruneResult
    from curate.generation import Generation
    from curate.store import Audit
    from curate.training import Training

AnyPath = str | Path


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
    segmenter: str | None = None,
    detector: str | None = None,
    device: str | None = None,
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
        segmenter: A segmenter that is prompted from every mask: a folder, or a hub name.
        detector: A detector that looks at every picture: a folder, or a hub name.
        device: Where both run ("cpu", "cuda:0"); the first GPU, else the CPU, if None.
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
        segmenter=segmenter,
        detector=detector,
        device=device,
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


def generate(
    images: AnyPath,
    out: AnyPath,
    *,
    segmenter: str,
    recipe: str | Path | Mapping[str, Any] = "sa1b",
    settings: Mapping[str, Any] | None = None,
    device: str | None = None,
    restart: bool = False,
    progress: Progress | None = None,
) -> Generation:
    """Generate masks for a folder of pictures; see :func:`curate.generation.generate`."""
    from curate.generation import generate as run

    return run(
        images,
        out,
        segmenter=segmenter,
        recipe=recipe,
        settings=settings,
        device=device,
        restart=restart,
        progress=progress,
    )


def reselect(
    out: AnyPath,
    *,
    recipe: str | Path | Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Generation:
    """Choose again from what was generated; see :func:`curate.generation.reselect`."""
    from curate.generation import reselect as run

    return run(out, recipe=recipe, settings=settings, progress=progress)


def need_for_generation(
    images: Path | None, out: Path | None, segmenter: str | None
) -> tuple[Path, Path, str]:
    """Return what a generation cannot do without.

    Raises:
        CallError: One of them is missing.
    """
    given = {"IMAGES": images, "--out DIR": out, "--segmenter NAME": segmenter}
    missing = [name for name, value in given.items() if value is None]
    if images is None or out is None or segmenter is None:
        raise CallError(f"{' and '.join(missing)} not given", "generate", "see --help")
    return images, out, segmenter


def refuse_with_again(*others: object) -> None:
    """See that nothing is given beside ``--again`` that would have no effect there.

    Raises:
        CallError: Something is.
    """
    if any(others):
        raise CallError(
            "--again asks no network", "generate", "give only --recipe and --set beside it"
        )


def read_settings(pairs: Sequence[str]) -> dict[str, Any]:
    """Read ``NAME=VALUE`` pairs, values as TOML has them; a bare word is text.

    Raises:
        CallError: One is not such a pair, or a name stands twice.
    """
    import tomllib

    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.isidentifier() or "\n" in value:
            raise CallError(f"{pair!r} is not NAME=VALUE", "--set", "NAME is one of the recipe's")
        if name in found:
            raise CallError(f"{name} stands twice", "--set", "give it once")
        try:
            found[name] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            found[name] = value
    return found


def train_detector(
    path: AnyPath,
    out: AnyPath,
    *,
    images: AnyPath | None = None,
    device: str | None = None,
    restart: bool = False,
    progress: Progress | None = None,
    **settings: Any,
) -> Training:
    """Train a detector on an audit's accepted masks; see :mod:`curate.training`.

    Further keywords are fields of :class:`curate.training.TrainingSettings`.

    Args:
        path: The audit.
        out: The detector's folder.
        images: Folder of the pictures; the audit's, if None.
        device: Where to train; the first GPU, else the CPU, if None.
        restart: Throw away what ``out`` holds of an earlier training.
        progress: Called with progress.
    """
    from curate.store import open_audit
    from curate.training import TrainingSettings
    from curate.training import train_detector as run

    return run(
        open_audit(path),
        Path(out),
        settings=TrainingSettings(**settings),
        images=_path(images),
        device=device,
        restart=restart,
        report=progress,
    )


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
