"""The application object, options shared by commands, printing."""

from __future__ import annotations

import codecs
import io
import json
import sys
import warnings
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from curate import __version__
from curate.api.early_checks import (
    check_audit,
    check_audit_or_engine,
    check_gates,
    check_policy,
    check_scored_audit,
)
from curate.cli.command_groups import CommandGroup
from curate.cli.styles import style
from curate.common.paths import check_exists, check_folder
from curate.common.ranges import PRESETS
from curate.dataset.notes import encodable
from curate.errors import ReportWarning
from curate.formats import check_format
from curate.policy.grammar import check_choice

app = typer.Typer(
    cls=CommandGroup,
    help="A data engine for instance masks: audit, rank, accept, prune, report.",
    no_args_is_help=True,
    rich_markup_mode=None,  # Rich's help would cost more start-up than all the rest
    pretty_exceptions_enable=False,
)


Callback = Callable[[typer.Context, Any], Any]

_CHECKS = "curate.checks"
"""Where a context notes the checks of its values."""


def make_callback(check: Callable[[Any], object], *, omitted: bool = False) -> Callback:
    """Return a callback of an option that has its value checked before a verb is loaded.

    A wrong path is refused at once then.

    Args:
        check: Raises a CurateError where a value is wrong.
        omitted: Check None too, which is no value.
    """

    def note(context: typer.Context, value: Any) -> Any:
        if value is not None or omitted:
            context.meta.setdefault(_CHECKS, []).append(partial(check, value))
        return value

    return note


def check_values(context: typer.Context) -> None:
    """Check the values of a command, all words of which are read.

    Raises:
        CurateError: One is wrong.
    """
    for check in context.meta.pop(_CHECKS, ()):
        check()


def choice(option: str, known: Collection[str]) -> Callback:
    """Return a callback that checks that an option's value is one of some words."""
    return make_callback(lambda value: check_choice(value, option, known))


def show_choices(*words: str) -> str:
    """Return the metavar of an option that takes some words only: ``errors|learn|estimate``."""
    return "|".join(words)


EXISTS = make_callback(check_exists)
FOLDER = make_callback(check_folder)

Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
FailOn = Annotated[
    list[str] | None,
    typer.Option(
        help="Exit with code 1 if this holds: 'reject_rate > 0.01'. Repeatable.",
        callback=make_callback(check_gates),
    ),
]
PolicyOption = Annotated[
    str,
    typer.Option(
        "--policy",
        metavar=show_choices(*PRESETS, "FILE"),
        help="A preset or a TOML file.",
        callback=make_callback(check_policy),
    ),
]
DeviceOption = Annotated[
    str | None,
    typer.Option(help="Device for models: cpu, cuda:0; the first GPU, else the CPU, if omitted."),
]
FormatOption = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="FORMAT",
        help="The format; detected automatically if omitted.",
        callback=make_callback(check_format),
    ),
]
MovedImages = Annotated[
    Path | None,
    typer.Option("--images", help="Folder of the pictures, if they were moved.", callback=FOLDER),
]
AuditPath = Annotated[
    Path,
    typer.Argument(
        metavar="AUDIT", help="An audit directory.", callback=make_callback(check_audit)
    ),
]
AuditOrEnginePath = Annotated[
    Path,
    typer.Argument(
        metavar="AUDIT",
        help="An audit directory, or an engine's.",
        callback=make_callback(check_audit_or_engine),
    ),
]
ScoredAuditPath = Annotated[
    Path,
    typer.Argument(
        metavar="AUDIT", help="An audit directory.", callback=make_callback(check_scored_audit)
    ),
]
"""Of a verb that finishes an audit that was cut off while its masks were decided on."""


@contextmanager
def collect_report_warnings() -> Iterator[dict[str, str | None]]:
    """Run a verb that writes the report again, and say on stderr where that could not be done.

    Yields:
        What JSON says of it: ``report_problem``, None where there is none.
    """
    said: dict[str, str | None] = {"report_problem": None}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ReportWarning)
        yield said
    for one in caught:
        if issubclass(one.category, ReportWarning):
            said["report_problem"] = str(one.message)
            print(f"{style('warning:', 'yellow', sys.stderr)} {one.message}", file=sys.stderr)
        else:
            warnings.showwarning(one.message, one.category, one.filename, one.lineno)


def show(value: Any, text: str, as_json: bool) -> None:
    """Print text, or what it says as JSON, which stays JSON where the output knows ASCII only."""
    if not as_json:
        print(text)
        return
    packed = orjson.dumps(encodable(value), option=orjson.OPT_SERIALIZE_NUMPY).decode()
    try:
        packed.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        packed = json.dumps(orjson.loads(packed), separators=(",", ":"))
    print(packed)


def escape_unencodable_output() -> None:
    """Let the output show what its encoding lacks as ``\\xe9``, instead of ending with an error.

    Bytes of file names that are no UTF-8 stay as they are.
    """
    codecs.register_error("curate-output", _escape)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="curate-output")


def _escape(error: UnicodeError) -> tuple[str | bytes, int]:
    assert isinstance(error, UnicodeEncodeError)
    code = ord(error.object[error.start])
    if 0xDC80 <= code <= 0xDCFF:  # a byte that could not be decoded
        return bytes([code - 0xDC00]), error.start + 1
    one = UnicodeEncodeError(
        error.encoding, error.object, error.start, error.start + 1, error.reason
    )
    return codecs.backslashreplace_errors(one)


@app.callback(invoke_without_command=True)
def _version(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[
        bool,
        typer.Option("--debug", help="Show the traceback of an error; so does CURATE_DEBUG=1."),
    ] = False,
) -> None:
    if version:
        print(f"curate {__version__}")
        raise typer.Exit
    del context, debug  # the latter is taken out of the words before they are parsed
