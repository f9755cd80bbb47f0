from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import CallError
from curate.policy.expression import Expression, values_of

FRAME = pd.DataFrame(
    {
        "a": [0.1, 0.5, np.nan, 0.9],
        "n": [1, 2, 3, 4],
        "k": pd.array([1, None, 3, 4], dtype="Int64"),
        "word": ["ok", None, "it's", "x; y"],
        "yes": [True, False, True, False],
    }
)


def rows(text: str) -> list[bool]:
    def lookup(name: str) -> np.ndarray | None:
        return values_of(FRAME[name]) if name in FRAME else None

    return Expression.parse(text).evaluate(lookup, len(FRAME)).tolist()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a < 0.5", [1, 0, 0, 0]),
        ("a >= .5", [0, 1, 0, 1]),
        ("0.2 < a <= 0.5", [0, 1, 0, 0]),
        ("a != 0.5", [1, 0, 0, 1]),
        ("not (a >= 0.5)", [1, 0, 1, 0]),
        ("missing(a)", [0, 0, 1, 0]),
        ("not missing(k) and k > 1", [0, 0, 1, 1]),
        ('a < 0.2 or n == 3 and word == "it\'s"', [1, 0, 1, 0]),
        ("(a < 0.2 or n == 3) and word == 'ok'", [1, 0, 0, 0]),
        (r"word == 'it\'s'", [0, 0, 1, 0]),
        ("word in ('ok', 'x; y',)", [1, 0, 0, 1]),
        ("n in (2, 4)", [0, 1, 0, 1]),
        ("word != 'ok'", [0, 0, 1, 1]),
        ("word = 'ok' or n = 4", [1, 0, 0, 1]),
        ("contains(word, 'OK')", [1, 0, 0, 0]),
        ("contains(word, '; ') or contains(absent, 'x')", [0, 0, 0, 1]),
        ("not contains(word, 't')", [1, 1, 0, 1]),
        ("yes", [1, 0, 1, 0]),
        ("not yes and true", [0, 1, 0, 1]),
        ("n * 2 - 1 >= 5", [0, 0, 1, 1]),
        ("n - 1 - 1 == 0", [0, 1, 0, 0]),
        ("abs(a - 0.5) > 0.3", [1, 0, 0, 1]),
        ("-n < -3", [0, 0, 0, 1]),
        ("n / 0 > 1", [1, 1, 1, 1]),
        ("absent < 1", [0, 0, 0, 0]),
        ("absent + 1 < 1", [0, 0, 0, 0]),
        ("missing(absent)", [1, 1, 1, 1]),
        ("available(absent) or n == 1", [1, 0, 0, 0]),
        ("available(a)", [1, 1, 1, 1]),
        ("absent", [0, 0, 0, 0]),
        ("`n` == 1e0", [1, 0, 0, 0]),
    ],
)
def test_conditions_mean_what_they_say(text: str, expected: list[int]) -> None:
    assert rows(text) == [bool(x) for x in expected]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("a <", "character 4"),
        ("contains(a)", "',' is expected"),
        ("contains(word, a)", "looks for a text"),
        ("a < 1 && n > 2", "write and"),
        ("a < 1 n", "'n' is not expected"),
        ("(a < 1", "')' is expected"),
        ("word == 'x", "without its end"),
        ("exec(a)", "no function exec"),
        ("a.__class__ == 1", "'.' is not understood"),
        ("available(1)", "name of a column"),
        ("(" * 100 + "a" + ")" * 100, "too deep"),
        ("not " * 100 + "yes", "too deep"),
        ("-" * 100 + "a < 1", "too deep"),
        ("a" + " + 1" * 1000 + " < 1", "too long"),
        ("a " * 5000, "too long"),
        ("and", "a column or a value"),
    ],
)
def test_a_malformed_condition_says_where(text: str, said: str) -> None:
    with pytest.raises(CallError, match="rule 3") as caught:
        Expression.parse(text, "my.toml, rule 3")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a", "expected a condition, not a number"),
        ("a and yes", "expected a condition, not a number"),
        ("'x'", "expected a condition, not text"),
        ("word < 'b'", "cannot be compared"),
        ("word == 3", "text is compared with a number"),
        ("word + 1 > 2", "expected a number, not text"),
    ],
)
def test_kinds_are_not_mixed(text: str, said: str) -> None:
    with pytest.raises(CallError, match=said):
        rows(text)


def test_unknown_columns_are_told_with_near_names() -> None:
    with pytest.raises(CallError, match=r"no column duplicat_iou at character 1 .*duplicate_iou"):
        Expression.parse("duplicat_iou > 1").check({"duplicate_iou", "status"})
    Expression.parse("available(mine) and mine < 1").check({"status"})


def test_required_columns_leave_out_questions() -> None:
    found = Expression.parse("missing(a) or b < 1 or available(c)")
    assert found.columns == ("a", "b", "c")
    assert found.required == ("b",)


def test_thresholds_are_read_from_either_side() -> None:
    found = Expression.parse("a < 0.5 and 0.9 <= b and c == 1")
    assert found.thresholds == [("a", "below", 0.5), ("b", "above", 0.9)]


def test_a_gate_reads_numbers_and_fails_closed() -> None:
    gate = Expression.parse("reject_rate > 0.01 or empty_count > 0")
    assert gate.holds({"reject_rate": 0.02, "empty_count": 0})
    assert not gate.holds({"reject_rate": 0.0, "empty_count": 0})
    with pytest.raises(CallError, match="not available"):
        gate.holds({"reject_rate": None, "empty_count": 0})
    with pytest.raises(CallError, match="no column reject_rate"):
        gate.holds({"empty_count": 0})


@given(st.text(max_size=60))
def test_any_text_is_understood_or_refused_clearly(text: str) -> None:
    try:
        found = Expression.parse(text)
    except CallError:
        return
    try:
        found.evaluate(lambda name: None, 3)
    except CallError:
        return


words = st.sampled_from(
    [
        "a",
        "1",
        "'t'",
        "and",
        "or",
        "not",
        "in",
        "(",
        ")",
        "<",
        "==",
        "+",
        "-",
        "missing",
        "abs",
        ",",
    ]
)


@given(st.lists(words, max_size=14).map(" ".join))
def test_any_tokens_are_understood_or_refused_clearly(text: str) -> None:
    try:
        rows(text)
    except CallError:
        return


def test_nothing_takes_exponential_time() -> None:
    started = time.monotonic()
    rows(" or ".join(["a < 0.5"] * 400))
    assert time.monotonic() - started < 60
