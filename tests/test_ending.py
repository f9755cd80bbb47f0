"""How commands end: exit codes, one sentence, no traceback, nothing of unbounded length."""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from small_datasets import build

import curate
from curate import cli, errors
from curate.cli.command_groups import flatten_commands
from curate.cli.commands import app
from curate.cli.exit_codes import MAY_BE_EMPTY
from curate.common.pool import Pool
from curate.errors import MOST, CurateError, WorkerFault, unwritable_advice

Capture = pytest.CaptureFixture[str]


class Unsendable(Exception):
    """An error that pickles, and cannot be read back."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first} and {second}")


def called(*words: str) -> int:
    with pytest.MonkeyPatch.context() as changed:
        changed.setattr(sys, "argv", ["curate", *words])
        with pytest.raises(SystemExit) as end:
            cli.main()
    assert isinstance(end.value.code, int)
    return end.value.code


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr("curate.version", fail)


UNEXPECTED = [
    ValueError("7 is no mask"),
    KeyError("category_id"),
    AssertionError(),
    EOFError("Compressed file ended"),
    RecursionError("maximum recursion depth exceeded"),
    MemoryError(),
    OSError("not from the operating system"),
    StopIteration(),
    Unsendable(1, 2),
    WorkerFault("ArrowInvalid: no magic"),
    ExceptionGroup("two", [ValueError("a"), ValueError("b")]),
]


@pytest.mark.parametrize("error", UNEXPECTED, ids=lambda e: type(e).__name__)
def test_an_unexpected_error_is_code_3_and_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, error: Exception
) -> None:
    failing(monkeypatch, error)
    assert called("version", __file__) == 3
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert "--debug" in said.err


@pytest.mark.parametrize(
    "words", [("--debug", "version", __file__), ("version", __file__, "--debug")]
)
def test_debug_shows_the_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, words: tuple[str, ...]
) -> None:
    failing(monkeypatch, ValueError("7 is no mask"))
    assert called(*words) == 3
    said = capsys.readouterr().err
    assert said.startswith("Traceback")
    assert "in fail" in said
    assert said.splitlines()[-1].startswith("error: ValueError: 7 is no mask; ")


@pytest.mark.parametrize(("value", "shown"), [("1", True), ("0", False), ("", False)])
def test_debug_by_environment_variable(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, value: str, shown: bool
) -> None:
    monkeypatch.setenv("CURATE_DEBUG", value)
    failing(monkeypatch, CurateError("it is wrong"))
    assert called("version", __file__) == 2
    assert ("Traceback" in capsys.readouterr().err) is shown


def test_what_the_operating_system_refuses_is_code_2_with_advice(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    failing(monkeypatch, OSError(errno.EROFS, "Read-only file system", "/there"))
    assert called("version", __file__) == 2
    said = capsys.readouterr().err
    assert (
        said
        == "error: /there: read-only file system; the disk is read-only: choose another place\n"
    )


def test_a_working_directory_that_is_gone_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gone").mkdir()
    os.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert called("version", str(tmp_path / "x.json")) == 2
    assert "the working directory is gone; change to another" in capsys.readouterr().err


@pytest.mark.parametrize("error", [KeyboardInterrupt(), typer.Abort()], ids=repr)
def test_stopped_is_code_130(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, error: BaseException
) -> None:
    failing(monkeypatch, error)
    assert called("version", __file__) == 130
    assert capsys.readouterr().err.startswith("stopped")


def test_a_reader_that_has_enough_is_no_error(tmp_path: Path) -> None:
    """``curate --help | head -0``: the pipe is closed before anything is written."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "curate", "--help"],
            stdout=writing,
            stderr=subprocess.PIPE,
            check=False,
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


INTERRUPTED = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in what runs in the background
class Finder:
    def find_spec(self, name, *_):
        if name == {module!r}:
            os.kill(os.getpid(), signal.{name})
sys.meta_path.insert(0, Finder())
sys.argv = ["curate", "version", {path!r}]
from curate.cli import main
main()
"""


HEEDED = "import signal; signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"  # nohup ignores it


def interrupted(folder: Path, module: str, name: str, first: str = HEEDED) -> Any:
    """Run a command that gets a signal when a module is loaded."""
    (folder / "a.json").write_text('{"images": [], "annotations": [], "categories": []}')
    script = first + INTERRUPTED.format(module=module, path=str(folder / "a.json"), name=name)
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
@pytest.mark.parametrize(
    "module", ["curate.cli.exit_codes", "typer", "curate.api.comparing", "pandas", "numba"]
)
def test_stopped_while_modules_are_loaded(tmp_path: Path, module: str, name: str) -> None:
    done = interrupted(tmp_path, module, name)
    assert done.returncode == 128 + getattr(signal, name), done.stderr
    assert done.stderr.startswith("stopped")
    assert done.stderr.count("\n") == 1


def test_a_signal_that_is_to_be_ignored_stays_so(tmp_path: Path) -> None:
    """``nohup curate ...`` goes on when the terminal is closed."""
    first = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
    for module in ("typer", "pandas"):
        done = interrupted(tmp_path, module, "SIGHUP", first)
        assert done.returncode == 0
        assert "stopped" not in done.stderr


STOPPED_AT_WORK = """
import os, signal, sys
from curate import cli; from curate.common import files
def hook(operation, path):
    if operation == "replace" and path.parent.name == "masks":
        files._hook = None
        os.kill(os.getpid(), signal.{name})
files._hook = hook
sys.argv = ["curate", "audit", {source!r}, "--out", {out!r}]
cli.main()
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_what_was_begun_is_left_as_after_ctrl_c(tmp_path: Path, name: str) -> None:
    """No lock and no temporary file stays, and the same command goes on."""
    source, out = str(build("amg-json", tmp_path)), tmp_path / "out"
    script = HEEDED + STOPPED_AT_WORK.format(name=name, source=source, out=str(out))
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 128 + getattr(signal, name), done.stderr
    said = [line for line in done.stderr.splitlines() if not line.startswith(PROGRESS)]
    kept = "stopped; what is done so far is kept: the same command goes on from there"
    assert said == [kept]
    assert [path for path in out.rglob("*") if path.name.startswith(".")] == []
    assert called("audit", source, "--out", str(out)) == 0


def test_nothing_is_loaded_before_ctrl_c_is_seen_to() -> None:
    script = "import sys; old = set(sys.modules); import curate.cli; print(*set(sys.modules) - old)"
    done = subprocess.run(
        [sys.executable, "-S", "-c", script],
        env={"PYTHONPATH": str(Path(cli.__file__).parents[2])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert set(done.stdout.split()) == {"__future__", "curate", "curate.cli"}


def fail_in_worker(kind: str) -> None:
    raise Unsendable(1, 2) if kind == "unsendable" else RecursionError("too deep")


def test_errors_of_workers_arrive_with_their_traceback() -> None:
    with Pool(2) as pool:
        with pytest.raises(WorkerFault, match="Unsendable: 1 and 2") as fault:
            list(pool.run(fail_in_worker, [("unsendable",)]))
        with pytest.raises(RecursionError, match="too deep") as deep:
            list(pool.run(fail_in_worker, [("deep",)]))
    for found in (fault, deep):
        assert "in fail_in_worker" in str(found.value.__cause__)


COMMAND = typer.main.get_command(app)
VALUES = [
    (name, parameter)
    for name, command in flatten_commands(COMMAND).items()
    for parameter in command.params
    if not getattr(parameter, "is_flag", False) and parameter.name not in MAY_BE_EMPTY
]


@pytest.mark.parametrize(("name", "parameter"), VALUES, ids=lambda one: getattr(one, "name", one))
def test_nothing_given_for_an_argument_is_refused(
    capsys: Capture, name: str, parameter: Any
) -> None:
    """An empty path would be the working folder: ``curate audit "$FILE"`` without FILE."""
    command = flatten_commands(COMMAND)[name]
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    is_argument = parameter in arguments
    words = ["" if p is parameter else "x" for p in arguments]
    words += [] if is_argument else [parameter.opts[0], ""]
    assert called(*name.split(), *words) == 2
    assert "its value is empty" in capsys.readouterr().err


def test_an_empty_path_is_refused_in_python_too() -> None:
    for paths in (("",), ("x.json", "")):
        with pytest.raises(CurateError, match="a path is empty"):
            curate.audit(*paths)


def test_messages_are_one_line_of_bounded_length(capsys: Capture) -> None:
    long = "\x1b[31m\n" + "x" * 100_000
    error = CurateError(long, long, long)
    assert len(str(error)) < 3 * MOST
    assert str(error).isprintable()
    assert called("version", long) == 2
    assert called(long) == 2
    assert called("audit", "x", "--workers", long) == 2
    assert len(capsys.readouterr().err) < 5 * MOST


def test_a_short_message_stays_as_it_is() -> None:
    error = CurateError("it is é שלום wrong", "/a/b\udce9.json", "do this")
    assert str(error) == "/a/b\udce9.json: it is é שלום wrong; do this"
    assert errors.shorten("x" * MOST) == "x" * MOST


ADVICE = {
    errno.ENOSPC: "make room",
    errno.EDQUOT: "make room",
    errno.EFBIG: "larger files",
    errno.EROFS: "read-only",
    errno.EACCES: "right",
    errno.ENAMETOOLONG: "shorter name",
    errno.EIO: "check the disk",
    errno.EMFILE: "open files",
    errno.ENOTDIR: "check the path",
    errno.EXDEV: "choose another place",
}


@pytest.mark.parametrize("number", ADVICE, ids=errno.errorcode.get)
def test_advice_fits_what_the_operating_system_said(number: int) -> None:
    advice = unwritable_advice(OSError(number, os.strerror(number)))
    assert ADVICE[number] in advice
    assert ("make room" in advice) == (number in (errno.ENOSPC, errno.EDQUOT))


BYTES = os.fsdecode(b"caf\xe9")
"""A name of a file that is no UTF-8."""


def printed(monkeypatch: pytest.MonkeyPatch, encoding: str, *words: str) -> tuple[int, str, str]:
    """Run a command whose output and errors are in an encoding."""
    streams = [io.TextIOWrapper(io.BytesIO(), encoding, write_through=True) for _ in range(2)]
    streams[1].reconfigure(errors="backslashreplace")
    with monkeypatch.context() as changed:
        changed.setattr(sys, "stdout", streams[0])
        changed.setattr(sys, "stderr", streams[1])
        code = called(*words)
        out, err = (stream.buffer.getvalue().decode(errors="replace") for stream in streams)  # type: ignore[attr-defined]
    return code, out, err


@pytest.mark.parametrize("encoding", ["ascii", "utf-8", "latin-1"])
@pytest.mark.parametrize(
    "words",
    [
        ("audit", BYTES),
        ("audit", "here.json", "--out", BYTES),
        ("audit", "here.json", "--compare", f"a={BYTES}"),
        ("version", BYTES),
        ("prune", BYTES),
        ("prune", "here", "--out", BYTES),
        ("import", "here.csv", "--reviewer", BYTES),
        ("queue", "here", "--out", BYTES),
    ],
    ids=" ".join,
)
def test_what_is_no_utf8_is_refused_whatever_the_output_can_show(
    monkeypatch: pytest.MonkeyPatch, encoding: str, words: tuple[str, ...]
) -> None:
    code, out, err = printed(monkeypatch, encoding, *words)
    assert (code, out) == (2, "")
    assert "its name is no UTF-8 text; rename it" in err
    assert err.count("\n") == 1


def test_a_working_folder_that_is_no_utf8(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / BYTES
    folder.mkdir()
    (folder / "a.json").write_text('{"images": [], "annotations": [], "categories": []}')
    monkeypatch.chdir(folder)
    for words in (("audit", "a.json"), ("version", "a.json")):
        code, _, err = printed(monkeypatch, "ascii", *words)
        assert code == 2
        assert "its name is no UTF-8 text; rename it" in err
    assert [path.name for path in folder.iterdir()] == ["a.json"]


PROGRESS = ("scoring: ", "deciding: ")
"""What is said of work that takes more than a moment."""

NEXT = ("next, ", "or ", "  curate ")
"""What is said of next steps."""


def test_files_in_a_dataset_that_are_no_utf8(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source = build("amg-json", tmp_path)
    first = sorted(source.iterdir())[0]
    first.rename(first.with_name(f"{BYTES}.json"))
    out = str(tmp_path / "out")
    code, said, err = printed(monkeypatch, "ascii", "audit", str(source), "--out", out)
    assert code == 0
    assert [line for line in err.splitlines() if not line.startswith((*PROGRESS, *NEXT))] == []
    assert said.startswith("7 masks in 3 images")
    code, said, _ = printed(monkeypatch, "ascii", "decide", out, "--json")
    assert code == 0
    assert json.loads(said)["mask_count"] == 7
    code, said, err = printed(monkeypatch, "ascii", "prune", out, "--out", str(tmp_path / "pruned"))
    assert code == 0
    assert [line for line in err.splitlines() if not line.startswith(NEXT)] == []
