"""An engine with several classes: no proposal says of which it is, and people do."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
from engine_project import Stand, open_round

import curate
from curate.engine.rounds import EngineRounds
from curate.engine.settings import read_settings
from curate.engine.stage_ends import why_not_automatic


def test_masks_without_a_class_are_counted_until_the_dataset(stand: Stand, tmp_path: Path) -> None:
    """Status and `engine write` say how many people took without naming one."""
    path = stand.project / "engine.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"classes": ["object", "debris"]}))
    stand.work()
    stand.next(another=True)
    proposals = curate.read(stand.project / "rounds/02/proposals.json").masks
    assert proposals["category"].isna().all()
    first, second, *_ = proposals.index.tolist()
    rows = [{"mask_id": first, "action": "accept"}, {"mask_id": second, "action": "fix"}]
    named = pd.DataFrame(rows).assign(category=[None, "debris"], seconds=1.0, reviewer="ann")
    open_round(stand.project, stand.clock).add(named, origin="test")
    assert "of no class yet: 1 of the masks that were taken" in stand.engine.status().now.text()
    stand.engine.close_round()
    stand.next(another=True)
    said = stand.engine.write()
    assert said.nameless == 1
    assert said.as_dict()["masks_without_class"] == 1
    assert "1 mask has no class: people took them and named none" in said.text()
    stand.engine.write(tmp_path / "all.json")
    table = curate.read(tmp_path / "all.json")
    assert table.masks["category"].isna().sum() == 1
    assert "debris" in set(table.masks["category"].dropna())
    rounds = EngineRounds(stand.project, read_settings(stand.project))
    assert "there are several classes" in why_not_automatic(rounds)


def test_with_one_class_every_mask_is_of_it(stand: Stand) -> None:
    stand.work()
    assert "of no class" not in stand.engine.status().now.text()
    said = stand.engine.write()
    assert said.nameless == 0
    assert "no class" not in said.text()
