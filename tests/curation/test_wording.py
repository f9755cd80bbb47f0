from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import CallError
from curate.scorers.reason_template import Wording


def test_fields_are_filled() -> None:
    wording = Wording.parse("same as {twin} (IoU {iou:.2f}, {share:.0%}, {big:,})")
    columns = {"twin": [17.0, None], "iou": [0.931, 1.0], "share": [0.5, 2], "big": [12345, 1]}
    assert wording.fill(columns, 2) == [
        "same as 17 (IoU 0.93, 50%, 12,345)",
        "same as unknown (IoU 1.00, 200%, 1)",
    ]
    assert wording.columns == ("twin", "iou", "share", "big")


def test_text_cannot_break_out_of_its_reason() -> None:
    found = Wording.parse("called {category}").fill({"category": ["a; b\nc" + "x" * 999]}, 1)[0]
    assert ";" not in found
    assert "\n" not in found
    assert len(found) < 200


@pytest.mark.parametrize(
    "text",
    ["{a", "a}", "{}", "{a.b}", "{a[0]}", "{a!r}", "{a:99999999d}", "{a:>9}", "{{a}}", "{a:{b}}"],
)
def test_only_columns_and_number_formats_are_fields(text: str) -> None:
    with pytest.raises(CallError, match=r"p\.toml"):
        Wording.parse(text, "p.toml")


@given(st.text(max_size=40), st.floats() | st.integers() | st.text() | st.none())
def test_any_wording_is_refused_or_filled(text: str, value: object) -> None:
    try:
        wording = Wording.parse(text)
    except CallError:
        return
    found = wording.fill({name: [value] for name in wording.columns}, 1)
    assert len(found) == 1
    assert ";" not in found[0]


@given(st.floats() | st.integers() | st.text() | st.none())
def test_any_value_can_be_shown_in_any_format(value: object) -> None:
    for spec in ("", ":d", ":.2f", ":.0%", ":,", ":g", ":e"):
        Wording.parse(f"{{a{spec}}}").fill({"a": [value]}, 1)
