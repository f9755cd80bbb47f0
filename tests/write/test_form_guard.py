"""Masks that would go for how they are written: nothing is written until somebody agrees."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from small_audit import frame
from typer.testing import CliRunner

import curate
from curate.cli import app
from curate.errors import CallError
from curate.people.reviews import Reviews
from curate.store.audit import open_audit
from curate.writing.format_losses import form_loss

BAD = {"size": [30, 40], "counts": "~~~"}
VERBS = pytest.mark.parametrize("verb", [curate.prune, curate.write], ids=["prune", "write"])
CODES = {curate.prune: "prune", curate.write: "write"}


def square(x: float) -> list[list[float]]:
    return [[x, 1, x + 4, 1, x + 4, 6, x, 6]]


@pytest.fixture
def audited(tmp_path: Path) -> Callable[[list[list[Any]]], Path]:
    """Return a function that audits images of given segmentations."""

    def make(images: list[list[Any]]) -> Path:
        content = {
            "images": [
                {"id": k, "file_name": f"{k}.jpg", "width": 40, "height": 30}
                for k in range(len(images))
            ],
            "annotations": [
                {"id": 10 * k + i, "image_id": k, "category_id": 1, "segmentation": one}
                for k, some in enumerate(images)
                for i, one in enumerate(some)
            ],
            "categories": [{"id": 1, "name": "cell"}],
        }
        (tmp_path / "source.json").write_text(json.dumps(content))
        return curate.audit(tmp_path / "source.json", tmp_path / "audit").path

    return make


MOST = [[square(1), BAD, BAD], [BAD, square(9)], [BAD]]
"""More than half of all masks."""

WHOLE = [[square(1), square(9), square(19)]] * 9 + [[BAD, BAD]]
"""All masks of one image of ten."""


@VERBS
@pytest.mark.parametrize("images", [MOST, [*WHOLE, [BAD, BAD]]], ids=["masks", "images"])
def test_much_that_is_badly_written_goes_only_with_a_yes(
    audited: Callable[..., Path], tmp_path: Path, verb: Any, images: list[list[Any]]
) -> None:
    audit, out = audited(images), tmp_path / "out.json"
    said = r"mask \d+: undecodable .*; .*undecodable.*; .*undecodable.*--yes"
    dry = verb(audit)
    assert "writing needs --yes" in dry.text()
    assert dry.as_dict()["form"]["needs_yes"] is True
    assert len(dry.as_dict()["form"]["examples"]) == 3
    with pytest.raises(CallError, match=said):
        verb(audit, out)
    assert not out.exists()
    refused = CliRunner().invoke(app, [CODES[verb], str(audit), "--out", str(out)])
    only_said = CliRunner().invoke(app, [CODES[verb], str(audit)])
    assert isinstance(refused.exception, CallError)  # which ends with 2, see curate.cli.main
    assert only_said.exit_code == 2
    assert only_said.output.count("would be removed for format errors") == 1
    agreed = CliRunner().invoke(app, [CODES[verb], str(audit), "--yes"])
    assert agreed.exit_code == 0
    assert "--yes" not in agreed.output
    done = CliRunner().invoke(app, [CODES[verb], str(audit), "--out", str(out), "--yes"])
    assert done.exit_code == 0, done.output
    left = json.loads(out.read_text())["annotations"]
    assert not [one for one in left if one["segmentation"] == BAD]
    assert verb(audit, tmp_path / "again.json", yes=True).out is not None


@VERBS
def test_a_tenth_of_the_images_or_half_of_the_masks_is_not_much(
    audited: Callable[..., Path], tmp_path: Path, verb: Any
) -> None:
    audit = audited(WHOLE)
    assert "--yes" not in verb(audit).text()
    assert verb(audit, tmp_path / "out.json").as_dict()["form"] == {
        "masks": 2,
        "images_with_several": 10,
        "images_that_lose_all": 1,
        "reasons": {"undecodable": 2},
        "examples": [
            {
                "file_name": "9.jpg",
                "mask_id": 90 + k,
                "status": "undecodable",
                "detail": curate.read(tmp_path / "source.json").masks["status_detail"].iloc[-1],
            }
            for k in range(2)
        ],
        "needs_yes": False,
    }


@VERBS
def test_what_people_decided_and_duplicates_take_no_yes(
    audited: Callable[..., Path], tmp_path: Path, verb: Any
) -> None:
    audit = audited([[square(1), square(1), square(9)], [BAD, BAD], [square(20)] * 3])
    rows = pd.DataFrame({"mask_id": [10, 11, 2], "action": "reject", "reviewer": "ada"})
    Reviews(open_audit(audit)).add(rows, origin="test")
    result = verb(audit, tmp_path / "out.json")
    assert result.as_dict()["form"]["masks"] == 0
    assert len(json.loads((tmp_path / "out.json").read_text())["annotations"]) == 2


def test_a_stored_box_that_is_another_is_form_too(make_audit: Any) -> None:
    masks = frame(6).assign(
        action=["review"] * 5 + ["accept"], declaration_score=[0.1, 0.2, 0.4, 0.1, 0.9, 1]
    )
    audit = make_audit(masks)
    found = form_loss(audit, "action in ('review')")
    assert found.reasons == {"declaration": 4}
    words = "stored box or area is not the mask's"
    said = f"would be removed for format errors, not for what they show ({words}: 4)"
    assert said in found.text()
    assert f"mask 11: {words};" in found.text()
    assert form_loss(audit, "action in ('reject')").masks == 0


@VERBS
def test_to_drop_what_is_to_review_drops_the_rejected_too(
    audited: Callable[..., Path], tmp_path: Path, verb: Any
) -> None:
    path = audited([[square(1), None, square(19), square(29)]])
    rows = pd.DataFrame({"mask_id": [0], "action": "reject", "reviewer": "ada"})
    Reviews(open_audit(path)).add(rows, origin="test")
    actions = curate.open_audit(path).masks(["action"])["action"]
    assert actions.tolist() == ["reject", "review", "accept", "accept"]
    verb(path, tmp_path / "out.json", drop=("review",))
    left = [one["id"] for one in json.loads((tmp_path / "out.json").read_text())["annotations"]]
    assert left == [2, 3]
    command = [CODES[verb], str(path), "--out", str(tmp_path / "cli.json"), "--drop", "review"]
    assert CliRunner().invoke(app, command).exit_code == 0
    assert (tmp_path / "cli.json").read_text() == (tmp_path / "out.json").read_text()


@VERBS
def test_images_that_become_empty_are_counted(
    audited: Callable[..., Path], tmp_path: Path, verb: Any
) -> None:
    path = audited([[square(1), square(9)], [square(3)], [square(5)]])
    rows = pd.DataFrame({"mask_id": [0, 10, 20], "action": "reject", "reviewer": "ada"})
    Reviews(open_audit(path)).add(rows, origin="test")
    for result in (verb(path), verb(path, tmp_path / "out.json")):
        said = [result.text()]
        if verb is curate.prune and result.out is not None:  # said before it is written
            said.append(result.effect_text())
        assert sum(one.count("2 images have no masks left") for one in said) == 1
        assert result.as_dict()["emptied_images"] == 2
