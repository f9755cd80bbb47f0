"""Exit codes, and the one sentence on stderr where something is wrong.

=====  ==========================================================================================
code   meaning
=====  ==========================================================================================
0      done
1      a gate failed (``--fail-on``), nothing else
2      the input or the call is wrong, or the operating system refused something
3      an unexpected error: a fault of curate
130    stopped with Ctrl-C
143    stopped with SIGTERM (128 and the number of the signal)
=====  ==========================================================================================
"""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

import typer

from curate.cli.command_groups import walk_commands
from curate.cli.commands import app
from curate.cli.completion import VARIABLE, answer_shell
from curate.cli.shared_options import check_values, escape_unencodable_output
from curate.cli.stopping import install, restore, stop
from curate.cli.styles import style
from curate.common import files
from curate.common.garbage_collection import relax_collector
from curate.common.ranges import check_numbers
from curate.errors import (
    CallError,
    CurateError,
    Stopped,
    WorkerFault,
    check_utf8,
    on_one_line,
    shorten,
    unwritable_advice,
)

FAILED_GATE, WRONG, FAULT, STOPPED = 1, 2, 3, 130
"""Exit codes but for 0; the first is given by the commands that have gates."""

DEBUG = "CURATE_DEBUG"
"""Environment variable that does what ``--debug`` does, where it is neither empty nor 0."""

GOES_ON = frozenset(
    {
        *("audit", "engine next", "engine repeat", "engine train"),
        *("generate", "judge", "train-detector", "train-segmenter", "train-verifier"),
    }
)
"""Commands that go on where they were stopped; others begin anew, and leave nothing half done."""

DECIDES = frozenset({"certify", "decide", "learn"})
"""Commands that may leave an audit to be decided on; the same command finishes it."""

ONLY_READS = frozenset(
    {"agreement", "compare", "diff", "engine status", "explain", "status", "version"}
)
"""Commands that write nothing."""

MAY_BE_EMPTY = frozenset({"reviewer"})
"""Options whose value may be empty: ``--take-back --reviewer ''``."""

_UsageError: Any = typer.BadParameter.__mro__[1]


def run(words: Sequence[str]) -> int:
    """Run a command and return its exit code; what is wrong is said on stderr.

    Args:
        words: What stands behind ``curate``. ``--debug`` may stand anywhere among them.
    """
    relax_collector()
    debug = "--debug" in words or os.environ.get(DEBUG, "") not in ("", "0")
    words = [word for word in words if word != "--debug"]
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever called
            setattr(sys, name, io.TextIOWrapper(files.open_null()))
    escape_unencodable_output()
    replaced = install(stop)
    with _interrupts_kept():
        try:
            return _call(words)
        except BrokenPipeError:  # whoever read the output has enough, as `head` does
            _discard_output()
            return 0
        except (KeyboardInterrupt, typer.Abort) as stopped:
            _say(describe_stop(words))
            return stopped.code if isinstance(stopped, Stopped) else STOPPED
        except Exception as error:
            if debug:
                traceback.print_exc()
            code, sentence = _ending(error)
            _say(sentence, "error:")
            return code
        finally:
            restore(replaced)


@cache
def _build_command() -> Any:
    """Build the commands from their functions' signatures, once a process: it takes a while."""
    command = typer.main.get_command(app)
    for one in walk_commands(command):
        for parameter in one.params:
            read = partial(_read_value, parameter, parameter.process_value)
            parameter.process_value = read
        one.invoke = partial(_invoke, one.invoke)
    return command


def _call(words: Sequence[str]) -> int:
    _check_working_folder()
    if os.environ.get(VARIABLE):
        answer_shell(typer.main.get_command(app))  # it changes the commands
    command = _build_command()
    try:
        with command.make_context("curate", list(words)) as context:
            command.invoke(context)
        sys.stdout.flush()
    except typer.Exit as end:
        sys.stdout.flush()
        return end.exit_code
    except _UsageError as error:
        if words:  # else the message is the help
            error.message = shorten(on_one_line(error.message))
        error.show()
        return WRONG
    return 0


def _check_working_folder() -> None:
    try:
        os.getcwd()
    except OSError as error:
        raise CallError("the working directory is gone", ".", "change to another") from error


def _invoke(invoke: Callable[[Any], Any], context: Any) -> Any:
    """Run a command, or a group with one, after its values are checked."""
    check_values(context)
    return invoke(context)


def _read_value(parameter: Any, read: Callable[[Any, Any], Any], context: Any, value: Any) -> Any:
    """Read what was given for a parameter.

    Raises:
        CallError: It is empty (as a path: "."), no text, or a number out of range.
    """
    given = value if isinstance(value, list | tuple) else (value,)
    for one in given:
        check_utf8(one)
    if "" in given and parameter.name not in MAY_BE_EMPTY:
        option = next((name for name in parameter.opts if name.startswith("--")), "")
        where = option or parameter.metavar or parameter.name.upper()
        raise CallError("its value is empty", where, "give a value")
    found = read(context, value)
    numbers = found if isinstance(found, list) else [found]
    if all(isinstance(one, int | float) for one in numbers):
        check_numbers(**{parameter.name: found})
    return found


def _ending(error: Exception) -> tuple[int, str]:
    """Return the exit code for an error and the sentence about it."""
    if isinstance(error, CurateError):
        return WRONG, f"error: {error}"
    if isinstance(error, OSError) and error.errno is not None:
        where = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else ""
        return WRONG, f"error: {CurateError(_reason(error), where, unwritable_advice(error))}"
    if isinstance(error, MemoryError):
        said = "there is not enough memory; use a larger machine, or fewer --workers"
        return FAULT, f"error: {said} (--debug shows where)"
    said = str(error).strip()
    what = said if isinstance(error, WorkerFault) else f"{type(error).__name__}: {said}".strip(": ")
    do = "this is a fault of curate: please report it with what --debug shows"
    return FAULT, f"error: {shorten(what)}; {do}"


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def describe_stop(words: Sequence[str]) -> str:
    """Say, once a command was stopped, what the same command does when it is given again."""
    plain = [word for word in words if word[:1] != "-"]
    verb = " ".join(plain[: 2 if plain[:1] == ["engine"] else 1])
    if verb in GOES_ON:
        again = "the same command without --restart" if "--restart" in words else "the same command"
        return f"stopped; what is done so far is kept: {again} goes on from there"
    if verb == "review":
        return "stopped; what people decided is kept"
    if verb in DECIDES:
        return "stopped; scores and people's decisions are kept: the same command starts over"
    if verb in ONLY_READS:
        return "stopped; nothing was changed"
    return "stopped; nothing is half done: the same command starts over"


def _say(sentence: str, marked: str = "") -> None:
    """Print a sentence on stderr as one line; nobody may be there to read it."""
    line = on_one_line(sentence)
    if marked:
        line = line.replace(marked, style(marked, "red", sys.stderr), 1)
    try:
        print(line, file=sys.stderr, flush=True)
    except (OSError, ValueError):
        return


def _discard_output() -> None:
    """Let what is not printed yet go nowhere, so that nothing fails when Python ends."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    except (OSError, ValueError):  # it is no file, as in tests
        return


@contextmanager
def _interrupts_kept() -> Iterator[None]:
    """Have Ctrl-C, and signals like it, end the command also where Python would swallow it.

    Raised inside a destructor or a callback of C code it would be printed with its traceback, and
    then be forgotten; so it is sent again.
    """
    before = sys.unraisablehook

    def hook(unraisable: Any) -> None:
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            if threading.current_thread() is threading.main_thread():
                signal.raise_signal(getattr(unraisable.exc_value, "number", signal.SIGINT))
        else:
            before(unraisable)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before
