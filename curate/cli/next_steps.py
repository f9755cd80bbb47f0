"""Next steps behind what a command prints: on stderr, so that no pipe and no JSON has them."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import curate
from curate.cli.styles import style
from curate.errors import CurateError
from curate.reporting.next_steps import NextStep, images_option, make_audit_step, make_step
from curate.store.audit_info import INFO, read_info

MOST_AUDITS = 50
"""Audits that are looked into for the pictures of a dataset."""


def print_steps(steps: Sequence[NextStep], as_json: bool = False) -> None:
    """Print steps on stderr, each as a command to copy; nothing beside JSON."""
    if as_json or not steps:
        return
    sys.stdout.flush()
    for first, step in zip([True, *[False] * len(steps)], steps, strict=False):
        print(f"{'next,' if first else 'or'} {step.purpose}:", file=sys.stderr)
        print(f"  {style(step.command, 'bold', sys.stderr)}", file=sys.stderr)


def repeat(purpose: str, *more: object, without: str = "") -> NextStep:
    """Return the step that gives this same command again, with more words behind it.

    Args:
        purpose: What it does.
        without: An option with a value that is left out: "--minutes".
    """
    given = [word for word in sys.argv[1:] if word != "--debug"]
    words, skipped = list[str](), False
    for word in given:
        if not skipped and word != without and not (without and word.startswith(f"{without}=")):
            words.append(word)
        skipped = bool(without) and word == without
    return make_step(purpose, *words, *more)


def print_audit_step(
    path: Path, as_json: bool = False, images: Path | None = None, like: Path | None = None
) -> None:
    """Print that a dataset can be audited; of an audit print what comes next.

    Args:
        path: The dataset, or an audit.
        as_json: Nothing is printed.
        images: Folder of its pictures; None: not known.
        like: What may be an audit with pictures of the same images, or a dataset of them that was
            audited with pictures, here or beside it.
    """
    if (path / INFO).is_file():
        print_next_steps(path, as_json)
        return
    more: tuple[object, ...] = () if images is None else ("--images", images)
    if not more and like is not None:
        more = next(filter(None, map(images_option, _find_audits(like))), ())
    print_steps([make_audit_step("audit it", path, *more)], as_json)


def _find_audits(path: Path) -> Iterator[Path]:
    """Yield a path that is an audit, or the audits of a dataset: in this folder, or beside it."""
    if (path / INFO).is_file():
        yield path
        return
    for folder in dict.fromkeys((Path.cwd(), path.resolve().parent)):
        for info in islice(sorted(folder.glob(f"*/{INFO}")), MOST_AUDITS):
            try:
                found = read_info(info.parent)
            except (CurateError, OSError):  # a damaged one is no reason to say nothing
                continue
            if found is not None and found.source.get("path") == str(path.resolve()):
                yield info.parent


def print_next_steps(path: Path, as_json: bool = False, first: Sequence[NextStep] = ()) -> None:
    """Print what to do next with an audit.

    Args:
        path: The audit directory; of any other path nothing is said.
        as_json: Nothing is printed.
        first: Steps that come before what its status asks for.
    """
    if as_json or not (path / INFO).is_file():
        return
    try:
        found = curate.status(path).next_steps()
    except (CurateError, OSError):  # the command is done; what is wrong the next one says
        return
    known = {step.command for step in first}
    print_steps([*first, *(step for step in found if step.command not in known)][:3])
