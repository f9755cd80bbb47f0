"""Verbs about networks: generate, reselect, train_detector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.api.early_checks import AnyPath, as_path, check_audit, check_folder
from curate.common.progress import Progress
from curate.common.ranges import check_numbers
from curate.errors import CallError

if TYPE_CHECKING:
    from curate.networks.detectors.training_folder import Training
    from curate.networks.generation import Generation


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
    """Generate masks for a folder of pictures; see :func:`curate.networks.generation.generate`."""
    if not Path(images).exists():
        check_folder(images)

    from curate.networks.generation import generate as run

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
    """Choose again from what was generated; see :func:`curate.networks.generation.reselect`."""
    from curate.networks.generation import reselect as run

    return run(out, recipe=recipe, settings=settings, progress=progress)


def need_for_generation(
    images: Path | None, out: Path | None, segmenter: str | None
) -> tuple[Path, Path, str]:
    """Return the required arguments of a generation.

    Raises:
        CallError: One of them is missing.
    """
    given = {"IMAGES": images, "--out DIR": out, "--segmenter NAME": segmenter}
    missing = [name for name, value in given.items() if value is None]
    if images is None or out is None or segmenter is None:
        raise CallError(f"{' and '.join(missing)} not given", "generate", "see --help")
    return images, out, segmenter


def refuse_with_again(*others: object) -> None:
    """Refuse options that have no effect beside ``--again``.

    Raises:
        CallError: Something is.
    """
    if any(others):
        what = "--again selects from stored candidates, so images and models have no effect"
        raise CallError(what, "generate", "give only --recipe and --set beside it")


def read_settings(pairs: Sequence[str]) -> dict[str, Any]:
    """Read ``NAME=VALUE`` pairs, values as TOML has them; a bare word is text.

    Raises:
        CallError: One is not such a pair, or a name occurs twice.
    """
    from curate.policy.settings_file import parse_toml

    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.isidentifier() or "\n" in value:
            raise CallError(f"{pair!r} is not NAME=VALUE", "--set", "NAME is one of the recipe's")
        if name in found:
            raise CallError(f"{name} occurs twice", "--set", "give it once")
        try:
            found[name] = parse_toml(f"value = {value}")["value"]
        except ValueError:
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
    """Train a detector on an audit's accepted masks; see :mod:`curate.networks.detectors`.

    Further keywords are fields of
    :class:`curate.networks.detectors.training_folder.TrainingSettings`.

    Args:
        path: The audit.
        out: The detector's folder.
        images: Folder of the pictures; the audit's, if None.
        device: Where to train; the first GPU, else the CPU, if None.
        restart: Throw away what ``out`` holds of an earlier training.
        progress: Called with progress.
    """
    check_numbers(**settings)
    check_audit(path)
    check_folder(images)

    from curate.networks.detectors.train_on_audit import train_detector as run
    from curate.networks.detectors.training_folder import TrainingSettings
    from curate.people.reviews.current_plan import open_audit

    return run(
        open_audit(path),
        Path(out),
        settings=TrainingSettings(**settings),
        images=as_path(images),
        device=device,
        restart=restart,
        progress=progress,
    )
