"""The report as values: their schema, the pages drawn from them, one number for one thing."""

from __future__ import annotations

import re
import types
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints, is_typeddict

import numpy as np
import orjson
import pandas as pd
import pytest
from counted_audit import ANN, NUMBERS, counted
from scenes import HandMade

import curate
from curate.reporting import worst_images
from curate.reporting.markdown_report import render_markdown
from curate.reporting.page import render, render_page
from curate.reporting.plain_values import as_plain, member_names
from curate.reporting.report_values import ReportValues, gather_report
from curate.reporting.summary import summary
from curate.store.audit import StoredAudit

__all__ = ["counted"]

DOCS = Path(__file__).resolve().parents[2] / "docs" / "reference" / "audit-directory.md"


@pytest.fixture(scope="module")
def values(counted: StoredAudit) -> dict[str, Any]:
    return gather_report(counted.pin())


def check_type(value: Any, kind: Any, place: str) -> None:
    """Check that a plain value is of a type of Python, as JSON has it."""
    origin, inner = get_origin(kind), get_args(kind)
    if kind is object or kind is Any:
        return
    if origin in (Union, types.UnionType):
        fits = [one for one in inner if (one is types.NoneType) == (value is None)]
        assert fits, (place, value)
        for one in fits if value is not None else ():
            check_type(value, one, place)
    elif is_dataclass(kind) or is_typeddict(kind):
        assert isinstance(value, dict), place
        hints = get_type_hints(kind)
        if is_dataclass(kind):
            assert set(value) == set(member_names(kind)), place
        for name in value:
            hint = hints.get(name) or get_type_hints(getattr(kind, name).fget)["return"]
            check_type(value[name], hint, f"{place}.{name}")
    elif origin is tuple:
        kinds = inner[:1] * len(value) if len(inner) == 2 and inner[1] is Ellipsis else inner
        for k, (one, of) in enumerate(zip(value, kinds, strict=True)):
            check_type(one, of, f"{place}[{k}]")
    elif origin in (list, Sequence):
        assert isinstance(value, list), place
        for k, one in enumerate(value):
            check_type(one, inner[0], f"{place}[{k}]")
    elif origin in (dict, Mapping):
        assert isinstance(value, dict), place
        for name, one in value.items():
            check_type(one, inner[1], f"{place}.{name}")
    else:
        # A number of a float that was NaN is None.
        known = (int, float, types.NoneType) if kind is float else kind
        assert isinstance(value, known), (place, value, kind)


def test_every_value_is_of_the_type_that_the_schema_gives_it(
    values: dict[str, Any], scenes: tuple[HandMade, Path]
) -> None:
    check_type(values, ReportValues, "report")
    check_type(gather_report(scenes[0], scenes[1]), ReportValues, "report")


def test_the_reference_names_every_key(values: dict[str, Any]) -> None:
    table = DOCS.read_text().partition("## report.json")[2]
    named = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (.*?) \|", table, re.M))))
    assert named == set(values)


def test_the_page_is_drawn_from_what_the_file_holds(scenes: tuple[HandMade, Path]) -> None:
    found = gather_report(scenes[0], scenes[1])
    again = orjson.loads(orjson.dumps(found))
    assert again == found
    assert render_page(again) == render(scenes[0], scenes[1])
    assert all(uri.startswith("data:image/webp;base64,") for uri in found["pictures"].values())


def test_plain_values_hold_what_json_can() -> None:
    mixed = {1: np.float64("nan"), "a": np.int64(3), "b": (pd.NA, b"raw", float("inf"))}
    mixed |= {"c": np.array([[1.5, 2.0]]), "d": pd.Timestamp("2026-01-02"), "e": True}
    assert as_plain(mixed) == {
        "1": None,
        "a": 3,
        "b": [None, None, None],
        "c": [[1.5, 2.0]],
        "d": "2026-01-02 00:00:00",
        "e": True,
    }


def test_one_number_for_one_thing(counted: StoredAudit, values: dict[str, Any]) -> None:
    numbers, over, decided = summary(counted), values["overview"], values["people"]["decided"]
    state = curate.status(counted.path)
    for action in ("accept", "review", "reject"):
        expected = NUMBERS[f"{action}_count"]
        assert over[action] == numbers[f"{action}_count"] == state.actions[action] == expected
    assert over["masks"] == numbers["mask_count"] == state.masks
    assert decided["masks"] == numbers["person_count"] == state.decided
    assert decided["added"] == numbers["person_added_count"] == state.added
    assert over["rule"] == numbers["rule_count"]
    assert over["odd"] == numbers["odd_count"]
    steps = [step["command"] for step in values["next_steps"]]
    others = [step.command for step in state.next_steps() if " report " not in step.command]
    assert steps == others  # where there is no report yet, writing it is a step as well
    text = render_markdown(values)
    assert "**10** accept, **1** review, **3** reject." in text
    assert "People decided on 6 masks: 2 accepted, 2 rejected, 1 redrawn" in text


def test_the_worst_images_are_drawn_with_all_their_masks(
    scenes: tuple[HandMade, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    audit, pictures = scenes
    order = ["accept", "review", "reject"]
    found = gather_report(audit, pictures)
    assert 1 <= len(found["worst_images"]) <= worst_images.MOST_SHOWN
    for one in found["worst_images"]:
        sql = f"select mask_id, action, area_px from masks where image_id = {one['image_id']}"
        masks = audit.query(sql).set_index("mask_id")
        counted = masks["action"].value_counts()
        assert (one["masks"], one["reject"], one["review"]) == (
            len(masks),
            counted.get("reject", 0),
            counted.get("review", 0),
        )
        drawn = {mask["mask_id"]: mask["action"] for mask in one["outlined"]}
        assert drawn == masks["action"][masks["area_px"] > 0].to_dict()
        assert list(drawn.values()) == sorted(drawn.values(), key=order.index)
        name, why = one["drawing"]["picture"], one["drawing"]["why"]
        assert why or found["pictures"][name].startswith("data:image/webp")
        assert found["index"]["image_ids"].count(one["image_id"]) == 1
    assert any(one["drawing"]["picture"] for one in found["worst_images"])
    longest = max(len(mask["path"]) for one in found["worst_images"] for mask in one["outlined"])
    monkeypatch.setattr(worst_images, "PATH_CHARACTERS", longest)
    for one, all_of in zip(
        gather_report(audit, None)["worst_images"], found["worst_images"], strict=True
    ):
        assert one["drawing"]["picture"] == ""
        assert one["outlined"] == all_of["outlined"][-len(one["outlined"]) :]


def test_the_summary_in_markdown_says_all_four_things(values: dict[str, Any]) -> None:
    text = render_markdown(values)
    assert text.startswith("## Mask audit of `source.json`\n")
    assert "14 masks in 3 images" in text
    assert "| Good masks | **not measured** | nobody has reviewed a random sample" in text
    assert "--kind estimate --budget 14`" in text
    assert re.search(r"^\| no usable mask.* \| 1 \|$", text, re.M)
    assert values["next_steps"][0]["command"] in text
    assert len(text.splitlines()) < 40


def test_names_mean_nothing_in_markdown(values: dict[str, Any]) -> None:
    hostile = "a`b|c\n# <img src=x> @everyone [x](http://e.vil) **b**"
    worst = values["worst"][0] | {"text": hostile}
    text = render_markdown(values | {"name": hostile, "format": hostile, "worst": [worst]})
    assert "``" in text.splitlines()[0]  # a longer fence around a name with a backtick
    rest = [re.sub(r"`+[^`]+`+", "", line) for line in text.splitlines()[1:]]
    for line in rest:
        assert not re.search(r"(?<!\\)(<|@|\[|\*\*b)", line), line
    (row,) = [line for line in rest if line.startswith("| a")]
    assert len(re.findall(r"(?<!\\)\|", row)) == 3
    assert ANN not in text


@pytest.mark.usefixtures("with_plots")
def test_the_verb_writes_by_the_ending(counted: StoredAudit, tmp_path: Path) -> None:
    page = curate.report(counted.path)
    assert page == counted.path / "report.html"
    assert page.read_text().startswith("<!doctype html>")
    values = orjson.loads((counted.path / "report.json").read_bytes())
    assert render_page(values) == page.read_text()
    assert (counted.path / "report.md").read_text() == render_markdown(values)
    for name, start in (("a.json", "{"), ("b.MD", "## "), ("c.html", "<!doctype"), ("d", "<!doc")):
        found = curate.report(counted.path, tmp_path / name)
        assert found == tmp_path / name
        assert found.read_text().startswith(start)
