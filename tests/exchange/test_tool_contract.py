"""The one contract of every exchange tool; a tool of another package keeps it, too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from added_tool import LINES, ONLY_OUT
from hard_masks import audited

from curate.people.exchange.registry import BUILT_IN, REGISTRY
from curate.store.audit import StoredAudit
from curate.testing import ExchangeContract
from curate.testing.exchange_contract import hard_dataset

WAYS = (False, True)


class Contract(ExchangeContract):
    """The suite, with one audit for all tools: each gets a copy."""

    @pytest.fixture
    def audit(self, tmp_path: Path) -> StoredAudit:
        return audited(hard_dataset(), tmp_path)


class TestCvat(Contract):
    tool = REGISTRY.tool("cvat")
    crops = WAYS


class TestFiftyone(Contract):
    tool = REGISTRY.tool("fiftyone")
    crops = WAYS


class TestHuggingface(Contract):
    tool = REGISTRY.tool("huggingface")
    ending = ".parquet"
    crops = WAYS


class TestCoco(Contract):
    tool = REGISTRY.tool("coco")
    ending = ".json"
    crops = (False,)


class TestCocoOfCrops(Contract):
    tool = REGISTRY.tool("coco")
    crops = (True,)


class TestLabelStudio(Contract):
    tool = REGISTRY.tool("label-studio")
    crops = WAYS
    assume_reviewed = False

    def review(self, out: Path) -> Path:
        """Submit each task as it is."""
        tasks: list[dict[str, Any]] = json.loads((out / "tasks.json").read_bytes())
        for number, task in enumerate(tasks, 1):
            made = {"id": number, "completed_by": 1, "result": task["predictions"][0]["result"]}
            task |= {"id": number, "annotations": [made]}
        export = out / "export.json"
        export.write_text(json.dumps(tasks))
        return export


class TestCsv(Contract):
    tool = REGISTRY.tool("csv")
    ending = ".csv"
    assume_reviewed = False

    def review(self, out: Path) -> Path:
        pd.read_csv(out).assign(decision="accept").to_csv(out, index=False)
        return out


class TestJson(Contract):
    tool = REGISTRY.tool("json")
    ending = ".json"
    assume_reviewed = False

    def review(self, out: Path) -> Path:
        content = json.loads(out.read_bytes())
        content["masks"] = [row | {"decision": "accept"} for row in content["masks"]]
        out.write_text(json.dumps(content))
        return out


class TestLines(Contract):
    tool = LINES
    ending = ".lines"


class TestOnlyOut(Contract):
    tool = ONLY_OUT


def test_every_built_in_tool_is_tested() -> None:
    suites = [one for one in globals().values() if isinstance(one, type)]
    tested = {vars(one)["tool"].name for one in suites if "tool" in vars(one)}
    assert {name for name, _, _ in BUILT_IN} <= tested
