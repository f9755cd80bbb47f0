"""Command that asks a judge about masks: judge."""

from __future__ import annotations

import shlex
import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

import curate
from curate.cli.command_groups import show_examples
from curate.cli.next_steps import print_next_steps
from curate.cli.shared_options import (
    Json,
    MovedImages,
    ScoredAuditPath,
    app,
    choice,
    collect_report_warnings,
    show,
    show_choices,
)
from curate.common.progress import show_progress
from curate.common.ranges import JUDGE_ORDERS
from curate.errors import CallError

if TYPE_CHECKING:
    from curate.judges.judge_result import JudgeResult


@app.command(
    epilog=show_examples(
        'curate judge my.audit --with "python my_judge.py" --budget 500',
        "curate judge my.audit --with http://127.0.0.1:8000/judge --budget 500 --yes",
        'curate judge my.audit --with "python my_judge.py" --budget 500 --dry-run',
    ),
)
def judge(
    path: ScoredAuditPath,
    with_: Annotated[
        str,
        typer.Option(
            "--with",
            metavar="COMMAND|URL",
            help="The judge: a command, run without a shell, or an HTTP address.",
        ),
    ],
    budget: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Masks that are to have an answer of it, those of all earlier calls included.",
        ),
    ],
    order: Annotated[
        str,
        typer.Option(
            metavar=show_choices(*JUDGE_ORDERS),
            help="Which masks: by chance, the queue's first, or those that people decided on.",
            callback=choice("--order", JUDGE_ORDERS),
        ),
    ] = "random",
    batch: Annotated[int, typer.Option(metavar="N", help="Masks in a request.")] = 8,
    timeout: Annotated[
        float, typer.Option(metavar="S", help="Seconds that the answer to a request may take.")
    ] = 60.0,
    retries: Annotated[
        int, typer.Option(metavar="N", help="How often a request is repeated after trouble.")
    ] = 2,
    remote: Annotated[
        bool, typer.Option("--remote", help="Allow an address of another machine.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Send nothing; show what would be sent where.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Send it without asking.")] = False,
    images: MovedImages = None,
    json: Json = False,
) -> None:
    """Ask a program of your own about masks.

    A multimodal model, or a network of your own: it gets pictures and answers accept or reject, a
    number and a reason. Nothing is asked twice. The answers count for nothing until `curate learn`
    finds that they help, or a policy names them.
    """
    ask = partial(
        curate.judge,
        path,
        _read_judge(with_),
        budget=budget,
        order=order,
        images=images,
        remote=remote,
        batch=batch,
        timeout=timeout,
        retries=retries,
    )
    found = ask(dry_run=True)
    if dry_run:
        show(found.as_dict(), found.text(), json)
        return
    print(found.text(), file=sys.stderr if json else sys.stdout, flush=True)
    if found.to_ask and not yes:
        _confirm(found, json)
    with collect_report_warnings() as said, show_progress() as progress:
        done = ask(progress=progress)
    show(done.as_dict() | said, done.text(), json)
    print_next_steps(path, json)


def _read_judge(text: str) -> str | list[str]:
    """Return the address, or the command as a list of arguments.

    Raises:
        CallError: A quote has no partner.
    """
    if text.lower().startswith(("http://", "https://")):
        return text
    try:
        return shlex.split(text)
    except ValueError as error:
        what = f"it is no command ({str(error).lower()})"
        raise CallError(what, f"--with {text}", "check its quotes") from error


def _confirm(found: JudgeResult, as_json: bool) -> None:
    """Have it confirmed that pictures are sent.

    Raises:
        CallError: Nobody can be asked, or the answer is no.
    """
    if as_json or not (sys.stdin and sys.stdin.isatty()):
        what = f"pictures of {found.to_ask:,} masks would be sent, and nobody can be asked here"
        raise CallError(what, f"to {found.place}", "confirm with --yes")
    typed = input(f"Type {found.to_ask} to send them, anything else to stop: ")
    if typed.strip().replace(",", "") != str(found.to_ask):
        raise CallError("another number was typed; nothing was sent", "--with")
