"""Numbers that callers give: every one is held against its range before anything is done."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest
import typer

import curate
from curate import cli
from curate.cli.command_groups import flatten_commands
from curate.cli.commands import app
from curate.common.ranges import RANGES, Range, check_number, check_numbers
from curate.errors import CallError
from curate.networks.generation.recipe import load_recipe

COMMANDS = flatten_commands(typer.main.get_command(app))
FAR = {
    int: [str(2**64), str(-(2**64)), "9" * 400, str(2**63)],
    float: ["nan", "inf", "-inf", "1e300", "-1e300", "9" * 400],
}


def numbers_of(command: Any) -> Iterator[tuple[Any, type]]:
    """Yield the parameters of a command that are numbers or lists of such, and of which type."""
    hints = get_type_hints(command.callback)
    for parameter in command.params:
        hint = hints.get(parameter.name, str)
        for kind in (int, float):
            if kind in (hint, *get_args(hint)) or list[kind] in get_args(hint):  # type: ignore[valid-type]
                yield parameter, kind


NUMBERS = [
    (name, parameter, kind)
    for name, command in COMMANDS.items()
    for parameter, kind in numbers_of(command)
]


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.MonkeyPatch.context() as changed:
        changed.setattr(sys, "argv", ["curate", *words])
        with pytest.raises(SystemExit) as end:
            cli.main()
    assert end.value.code == 2
    return capsys.readouterr().err


def test_numbers_are_found() -> None:
    found = {(name, parameter.name) for name, parameter, _ in NUMBERS}
    assert {("queue", "budget"), ("audit", "void"), ("train-detector", "learning_rate")} <= found


@pytest.mark.parametrize(
    ("name", "parameter", "value"),
    [(name, one, value) for name, one, kind in NUMBERS for value in FAR[kind]],
    ids=lambda one: getattr(one, "name", one),
)
def test_every_number_is_refused_beyond_its_range(
    capsys: pytest.CaptureFixture[str], name: str, parameter: Any, value: str
) -> None:
    command = COMMANDS[name]
    words = ["x" for one in command.params if one.param_type_name == "argument"]
    needed = [one for one in command.params if one.required and one.opts[0][0] == "-"]
    numbers = {one.name for of, one, _ in NUMBERS if of == name}
    for one in needed:
        words += [one.opts[0], "1" if one.name in numbers else "x"]
    option = next(word for word in parameter.opts if word.startswith("--"))
    line = said(capsys, *name.split(), *words, f"{option}={value}")
    assert line.startswith(f"error: {option} ")
    assert "; give a " in line
    assert line.count("\n") == 1
    assert len(line) < 200


@pytest.mark.parametrize(
    ("allowed", "inside", "outside"),
    [
        (Range(0, 1), [0, 0.5, 1, np.float32(0.5), Fraction(1, 4)], [-1e-9, 1 + 1e-9]),
        (Range(0, 1, over=True), [1e-300, 1], [0, -0.0]),
        (Range(0, 1, under=True), [0], [1, 1.0]),
        (Range(1, 9, whole=True), [1, 9, 3.0, np.int8(3)], [0, 10, 2.5]),
    ],
    ids=str,
)
def test_ends_of_ranges(allowed: Range, inside: list[Any], outside: list[Any]) -> None:
    for value in inside:
        found = check_number(value, allowed, "it")
        assert found == value
        assert type(found) is (int if allowed.whole else float)
    for value in outside:
        with pytest.raises(CallError, match=f"it is .*; give {allowed}"):
            check_number(value, allowed, "it")


@pytest.mark.parametrize("value", [True, "5", None, [1], 1j, math.nan, np.float64("inf")])
def test_what_is_no_number(value: Any) -> None:
    with pytest.raises(CallError, match=r"it must be a number, not .*; give a number from 0 to 1"):
        check_number(value, Range(0, 1), "it")


def test_a_number_of_thousands_of_digits_is_not_printed() -> None:
    with pytest.raises(CallError, match="it is a number beyond 64 bits"):
        check_number(10**5000, Range(0, 1), "it")


def test_lists_and_what_is_not_given() -> None:
    check_numbers(void=None, budget=None, known="no number", unknown=math.nan)
    check_numbers(void=(0, 255))
    with pytest.raises(CallError, match="--void is -1"):
        check_numbers(void=[255, -1])


def test_python_is_refused_as_the_command_is() -> None:
    calls = (
        lambda: curate.queue("x", budget=2**70),
        lambda: curate.write_queue("x", overlap=math.nan),
        lambda: curate.audit("x", stability={"offset": math.inf}),
        lambda: curate.review("x", seconds_per_mask=math.inf),
        lambda: curate.train_detector("x", "y", batch=2**70),
        lambda: curate.import_decisions("x", "y", same_iou=math.nan),
    )
    for call in calls:
        with pytest.raises(CallError, match=r"--[a-z-]+ (is|must be) a number"):
            call()
    for name in ("pred_iou", "points_per_side"):
        with pytest.raises(CallError, match=f"recipe: {name} must be a number, not inf; give"):
            load_recipe("sa1b", {name: math.inf})


def test_every_range_has_a_number_that_it_allows() -> None:
    for name, allowed in RANGES.items():
        assert (allowed.low + 1 in allowed) or (allowed.low + allowed.high) / 2 in allowed, name
