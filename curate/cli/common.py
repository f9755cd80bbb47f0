"""What all commands share: the application, options that several have, printing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from curate import __version__

app = typer.Typer(
    help="A data engine for instance masks: audit, rank, accept, prune, report.",
    no_args_is_help=True,
    rich_markup_mode=None,  # Rich's help would cost more start-up than all the rest
    pretty_exceptions_enable=False,
    add_completion=False,
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
FailOn = Annotated[
    list[str] | None,
    typer.Option(help="Exit with 1 where this holds: 'reject_rate > 0.01'. Repeatable."),
]
PolicyOption = Annotated[
    str, typer.Option("--policy", help="A preset (default, sa1b) or a TOML file.")
]
DeviceOption = Annotated[
    str | None, typer.Option(help="Where models run: cpu, cuda:0; the first GPU if there is one.")
]
AuditPath = Annotated[Path, typer.Argument(metavar="AUDIT", help="An audit directory.")]


def show(value: Any, text: str, as_json: bool) -> None:
    """Print text, or what it says as JSON."""
    if as_json:
        import orjson

        print(orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY).decode())
    else:
        print(text)


@app.callback(invoke_without_command=True)
def _version(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        print(f"curate {__version__}")
        raise typer.Exit
    del context
