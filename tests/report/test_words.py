from __future__ import annotations

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.render import formatting


@given(st.text())
def test_shown_text_has_nothing_invisible_that_steers_a_page(text: str) -> None:
    shown = formatting.display_text(text)
    assert not any(ord(c) < 0x20 or 0x202A <= ord(c) <= 0x202E for c in shown)
    assert len(shown) <= formatting.LONGEST_NAME + 1
    shown.encode("utf-8")


def test_shown_text_keeps_what_people_wrote() -> None:
    assert formatting.display_text('<b>"a" & b</b>') == '<b>"a" & b</b>'
    assert formatting.display_text("two\nlines") == "two⏎lines"
    assert formatting.display_text("قطة") == "قطة"
    assert formatting.display_text("\ud800") == "\N{REPLACEMENT CHARACTER}"
    assert formatting.display_text(None) == formatting.display_text(float("nan")) == "–"


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (0, 10, "0%"),
        (10, 10, "100%"),
        (1, 3, "33.3%"),
        (1, 10**6, "<\u202f0.1%"),
        (10**6 - 1, 10**6, ">\u202f99.9%"),
        (0, 0, "–"),
    ],
)
def test_shares_are_never_rounded_to_all_or_nothing(part: int, whole: int, text: str) -> None:
    assert formatting.share(part, whole) == text


def test_numbers() -> None:
    assert formatting.count(1234567) == "1,234,567"
    assert formatting.number(0.12345) == "0.123"
    assert formatting.number(12.345) == "12.3"
    assert formatting.number(float("inf")) == "–"
    assert formatting.score(0.9987) == "0.999"
    assert formatting.score(1.0) == "1.00"
    assert formatting.seconds(0.21) == "210 ms"
    assert formatting.seconds(3725) == "1 h 2 min"
    assert formatting.seconds("soon") == "soon"


REASONS = st.lists(
    st.sampled_from(["same object as mask ", "12", "0.93", "-4.5", " (IoU ", ")", "é", "…", " "])
)


@given(REASONS)
def test_sql_and_python_agree_on_what_kind_a_reason_is(pieces: list[str]) -> None:
    reason = "".join(pieces).strip()
    found = duckdb.execute(f"select {formatting.KIND_SQL.format('?')}", [reason]).fetchone()
    assert found is not None
    assert found[0] == formatting.kind_of(reason)


def test_only_numbers_that_differ_are_blanked() -> None:
    said = ["quality 0.12, under 0.5: holes", "quality 0.31, under 0.5: holes"]
    assert formatting.merge_reasons(said) == "quality …, under 0.5: holes"
    assert formatting.merge_reasons(["no number"]) == "no number"
    assert formatting.merge_reasons(["7 of 7", "7 of 7"]) == "7 of 7"


@pytest.mark.parametrize(
    ("merged", "plain"),
    [
        ("it has holes (… px in all, quality …)", "it has holes"),
        ("weakest signal: edge evidence …", "weakest signal: edge evidence"),
        ("is a copy of mask … (IoU 0.91)", "is a copy of another mask (IoU 0.91)"),
        ("holes (7 px)", "holes (7 px)"),
    ],
)
def test_what_stands_for_many_masks_has_no_place_of_a_number(merged: str, plain: str) -> None:
    assert formatting.plain_reason(merged) == plain
    assert formatting.plain_reason(plain) == plain


def test_reasons_that_differ_in_numbers_are_of_one_kind() -> None:
    assert formatting.kind_of("same as mask 12 (IoU 0.93)") == formatting.kind_of(
        "same as mask 7 (IoU 0.9)"
    )
