"""Crowd masks: regions that nobody judges, or objects where nearly every mask is one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_file_findings import dataset

import curate
from curate.errors import CallError
from curate.pipeline import crowd_masks, scoring
from curate.reporting.summary import summary, summary_text


def mark(file: Path, crowd: list[int]) -> Path:
    """Set ``iscrowd`` of each annotation, and let the last two be the same mask of one image."""
    content = json.loads(file.read_text())
    twins = content["annotations"][-2:]
    twins[1].update({k: twins[0][k] for k in ("segmentation", "bbox", "area", "image_id")})
    for annotation, flag in zip(content["annotations"], crowd, strict=True):
        annotation["iscrowd"] = flag
    file.write_text(json.dumps(content))
    return file


@pytest.mark.parametrize(
    ("crowd", "option", "judged"),
    [
        ([1] * 12, "auto", True),
        ([1] * 11 + [0], "auto", True),
        ([1] * 10 + [0] * 2, "auto", False),
        ([1] * 12, "regions", False),
        ([1] * 10 + [0] * 2, "objects", True),
    ],
)
def test_crowd_masks_are_judged_as_objects_where_all_are_crowd_or_when_asked(
    tmp_path: Path, crowd: list[int], option: str, judged: bool
) -> None:
    source = mark(dataset(tmp_path), crowd)
    audit = curate.audit(source, tmp_path / "out", crowd=option)
    masks = audit.masks()
    assert masks["iscrowd"].tolist() == crowd
    regions = [0] * 12 if judged else crowd
    assert masks["crowd_region"].tolist() == regions
    assert masks["uniqueness_score"].isna().tolist() == [flag == 1 for flag in regions]
    assert audit.info.settings["crowd"] == option
    kinds = [note["kind"] for note in audit.info.notes]
    assert kinds == (["crowd_as_objects"] if judged else [])
    assert masks["duplicate_of"].notna().any() == (regions[-2:] == [0, 0])
    said = summary_text(audit, summary(audit))
    assert ("judged as objects" in said) == judged
    assert (audit.info.counts["actions"].get("reject", 0) == 1) == (regions[-2:] == [0, 0])


def test_a_run_that_is_cut_off_while_it_scores_again_ends_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = mark(dataset(tmp_path), [1] * 12)
    whole = curate.audit(source, tmp_path / "whole").masks()

    def cut_off(out: Path, info: dict[str, object]) -> None:
        crowd_masks.scored_path(out, "masks", 0).unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(scoring, "judge_as_objects", cut_off)
        with pytest.raises(KeyboardInterrupt):
            curate.audit(source, tmp_path / "out")
    again = curate.audit(source, tmp_path / "out").masks()
    assert again["action"].tolist() == whole["action"].tolist()
    assert again["crowd_region"].tolist() == [0] * 12


def test_another_word_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CallError, match="'both' is not one of"):
        curate.audit(dataset(tmp_path), tmp_path / "out", crowd="both")
