"""Prompts that a search found best, and what rounds use them for."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from engine_project import Stand
from PIL import Image

import curate
from curate import cli
from curate.common.arrays import BoolArray
from curate.engine import proposal_settings, proposing, round_prompts
from curate.engine.coco_writing import ListedImage, write_coco
from curate.engine.redrawing import redraw_proposals
from curate.engine.round_prompts import RedrawTrial, describe_round_prompts
from curate.engine.round_record import PromptsRecord, RoundRecord, read_round
from curate.errors import AuditError, CallError
from curate.formats.reading import read
from curate.networks.segmenters.prompt_recipes import RECIPES, PromptRecipe, PromptsInUse
from curate.rle import encode_counts, from_dense
from curate.store.engine_folder import find_open_audit, find_round_prompts
from curate.testing.bright_segmenter import BrightSegmenter

SECOND = "rounds/02"
BOX = PromptRecipe("box", box=0.0)
NONE: PromptsRecord = {
    "file": "prompts/one.json",
    "is_own": True,
    "in_use": PromptsInUse(BOX, RECIPES[3]).as_dict(),
    "redraws": False,
    "reason": "",
    "masks": 0,
    "proposed": None,
    "redrawn": None,
    "low": None,
    "high": None,
}


class Killed(BaseException):
    """A process that ends here."""


def die(*_: object, **__: object) -> None:
    raise Killed


def second(stand: Stand) -> RoundRecord:
    record = read_round(stand.project / SECOND)
    assert record is not None
    return record


def prompts_of(stand: Stand) -> PromptsRecord:
    found = second(stand).prompts
    assert found is not None
    return found


@pytest.fixture(scope="module")
def gone_on(begun: Stand, tmp_path_factory: pytest.TempPathFactory) -> Stand:
    """An engine whose prompts were searched before its second round began."""
    folder = tmp_path_factory.mktemp("searched") / "engine"
    shutil.copytree(begun.folder, folder)
    stand = begun.moved(folder)
    stand.work()
    stand.engine.search_prompts(device="cpu")
    status = stand.engine.status()
    assert "from the next round on a click is prompted by" in status.text()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(round_prompts, "MATCH_IOU", 0.01)
        stand.next(another=True)
    return stand


@pytest.fixture
def searched(gone_on: Stand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stand:
    """A copy of it in which that round is to begin; random weights draw no mask near people's."""
    monkeypatch.setattr(round_prompts, "MATCH_IOU", 0.01)
    shutil.copytree(gone_on.folder, tmp_path / "copy")
    stand = gone_on.moved(tmp_path / "copy")
    shutil.rmtree(stand.project / SECOND)
    return stand


def test_a_search_says_what_it_is_used_for(gone_on: Stand) -> None:
    """The round that began next tried it, recorded it, and both status and report say so."""
    found = prompts_of(gone_on)
    assert found["file"].startswith("prompts/")
    assert found["masks"] > 0
    assert found["proposed"] is not None
    assert found["redrawn"] is not None
    status = gone_on.engine.status()
    assert status.prompts == (f"round 2: {describe_round_prompts(found)}",)
    assert status.as_dict()["prompts"] == list(status.prompts)
    assert describe_round_prompts(found) in status.now.text()
    in_use = find_round_prompts(find_open_audit(gone_on.project))
    assert in_use is not None
    again = PromptsInUse.from_dict(in_use)
    assert {again.mask.name, again.click.name} <= {one.name for one in RECIPES}
    page = gone_on.engine.report().read_text()
    assert "Round 2: prompts by prompts/" in page
    assert "Round 2: prompts by" in (gone_on.project / "report.md").read_text()


def test_without_a_search_nothing_is_said_or_tried(stand: Stand) -> None:
    record = read_round(stand.project / "rounds/01")
    assert record is not None
    assert record.prompts is None
    assert "prompts" not in record.steps
    assert stand.engine.status().prompts == ()
    assert find_round_prompts(find_open_audit(stand.project)) is None


def test_the_usual_prompts_can_be_kept(searched: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last search decides; its table is kept in any case."""
    run = ["engine", "prompts", str(searched.project), "--no-use", "--device", "cpu"]
    monkeypatch.setattr("sys.argv", ["curate", *run])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    assert len(list((searched.project / "prompts").iterdir())) == 2
    searched.next(another=True)
    assert second(searched).prompts is None
    assert "nothing is prompted by it, as was asked for" in searched.engine.status().text()


def test_proposals_are_drawn_anew_where_that_is_better(
    searched: Stand, gone_on: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here it is said to be so; the same choice that says it is tested by itself."""
    plain = curate.read(gone_on.project / SECOND / "proposals.json").masks
    (path,) = (searched.project / "prompts").iterdir()
    content = json.loads(path.read_text())
    content["in_use"]["mask"] = asdict(RECIPES[3])  # of a box random weights draw nothing
    path.write_text(json.dumps(content))
    monkeypatch.setattr(round_prompts, "choose_recipe", lambda sums, **_: 1)
    asked = searched.next(another=True)
    assert "proposals are drawn anew from themselves by it too" in asked.text()
    anew = curate.read(searched.project / SECOND / "proposals.json").masks
    assert 0 < len(anew) <= len(plain)
    assert not set(anew["predicted_iou"]) & set(plain["predicted_iou"])
    assert anew[["predicted_iou", "stability_score"]].notna().all().all()


def test_a_killed_step_is_done_again(
    searched: Stand, gone_on: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name in (
        (proposal_settings, "choose_round_prompts"),
        (round_prompts, "choose_recipe"),
        (proposing, "write_coco"),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(module, name, die)
            with pytest.raises(Killed):
                searched.next(another=True)
    searched.next(another=True)
    assert prompts_of(searched) == prompts_of(gone_on)


def test_with_too_few_masks_proposals_stay(
    searched: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("curate.engine.round_cuts.LEAST_MASKS", 10_000)
    assert "it takes" in searched.next(another=True).text()
    found = prompts_of(searched)
    assert not found["redraws"]
    assert found["proposed"] is None


def test_a_search_with_an_earlier_segmenter_is_used_and_named(searched: Stand) -> None:
    (path,) = (searched.project / "prompts").iterdir()
    content = json.loads(path.read_text())
    content["segmenter"]["fingerprint"] = "another"
    path.write_text(json.dumps(content))
    assert "with an earlier segmenter" in searched.next(another=True).text()


@pytest.mark.parametrize(
    "change",
    [
        lambda found: found["in_use"].pop("mask"),
        lambda found: found["in_use"]["click"].update(choose="closest"),
        lambda found: found["in_use"]["click"].update(points=-1),
        lambda found: found.update(in_use=[1]),
    ],
)
def test_a_damaged_search_is_refused(searched: Stand, change: Callable[[Any], object]) -> None:
    (path,) = (searched.project / "prompts").iterdir()
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(AuditError, match="it is damaged"):
        searched.next(another=True)


def test_a_search_of_before_is_shown_and_not_used(searched: Stand) -> None:
    (path,) = (searched.project / "prompts").iterdir()
    content = json.loads(path.read_text())
    del content["use"], content["in_use"]
    path.write_text(json.dumps(content))
    searched.next(another=True)
    assert second(searched).prompts is None
    assert "search again with `curate engine prompts`" in searched.engine.status().text()


def bodies(count: int) -> tuple[np.ndarray, list[BoolArray]]:
    """Return a picture of bright squares, and their masks."""
    picture = np.full((40, 40 * count, 3), 20, np.uint8)
    masks = []
    for k in range(count):
        mask = np.zeros(picture.shape[:2], bool)
        mask[8:30, 40 * k + 8 : 40 * k + 32] = True
        picture[mask] = 220
        masks.append(mask)
    return picture, masks


def write_masks(folder: Path, name: str, masks: list[list[BoolArray]]) -> Any:
    """Write masks of images 1, 2, ... as COCO, and read them."""
    listed = [ListedImage(k, f"{k}.png", *some[0].shape) for k, some in enumerate(masks, 1)]
    rows = [
        {"image_id": k, "segmentation": bytes(encode_counts(from_dense(mask))[0].as_py())}
        for k, some in enumerate(masks, 1)
        for mask in some
    ]
    frame = pd.DataFrame(rows).assign(category=None, predicted_iou=0.9, stability_score=0.9)
    write_coco(folder / name, listed, frame, ("object",))
    return read(folder / name, "coco")


def test_a_trial_tells_whether_redrawing_is_better(tmp_path: Path) -> None:
    """Proposals that lack a half are better drawn anew, and whole ones are not beyond chance."""
    true, half = [], []
    for k in range(1, 9):
        picture, masks = bodies(2)
        Image.fromarray(picture).save(tmp_path / f"{k}.png")
        true.append(masks)
        some = [mask.copy() for mask in masks]
        for mask in some:
            mask[20:] = False
        half.append(some)
    rows = np.arange(16)
    truth = write_masks(tmp_path, "truth.json", true)
    worse = RedrawTrial(write_masks(tmp_path, "half.json", half), truth, rows, rows)
    point = PromptRecipe("centre point", points=1)
    iou = worse.measure(tmp_path, BrightSegmenter(), point, 0, None)
    assert (iou[:, 0] < 0.6).all()
    assert (iou[:, 1] > 0.9).all()
    judged = round_prompts._judge(NONE, worse, iou, 0)
    assert judged["redraws"]
    assert judged["masks"] == 16
    assert judged["proposed"] is not None
    assert judged["redrawn"] is not None
    assert judged["proposed"] < judged["redrawn"]
    assert "drawn anew from themselves by it too" in describe_round_prompts(judged)
    whole = RedrawTrial(truth, truth, rows, rows)
    iou = whole.measure(tmp_path, BrightSegmenter(), BOX, 0, None)
    assert not round_prompts._judge(NONE, whole, iou, 0)["redraws"]
    (tmp_path / "3.png").unlink()
    with pytest.raises(AuditError, match="the picture cannot be read"):
        whole.measure(tmp_path, BrightSegmenter(), BOX, 0, None)


def test_of_proposals_that_become_one_object_one_stays(tmp_path: Path) -> None:
    """A mask where nothing is drawn stays as it is, with its scores."""
    picture, (first, second_one) = bodies(2)
    Image.fromarray(picture).save(tmp_path / "1.png")
    part, dark = first.copy(), np.zeros_like(first)
    part[20:] = False
    dark[34:38, 2:20] = True
    drawn = (part, first, second_one, dark)
    counts = [bytes(encode_counts(from_dense(mask))[0].as_py()) for mask in drawn]
    masks = pd.DataFrame({"image_id": 1, "segmentation": counts, "category": None})
    masks = masks.assign(predicted_iou=[0.5, 0.6, 0.7, 0.8], stability_score=0.25)
    listed = [ListedImage(1, "1.png", *first.shape), ListedImage(2, "2.png", 40, 40)]
    found = redraw_proposals(
        masks,
        listed,
        tmp_path,
        BrightSegmenter(),
        PromptRecipe("centre point", points=1),
        nms_iou=0.7,
        seed=0,
        progress=None,
    )
    assert len(found) == 3
    assert found["predicted_iou"].tolist() == pytest.approx([0.95, 0.95, 0.8])
    assert bytes(found["segmentation"].iloc[2]) == counts[3]
    assert found["stability_score"].iloc[2] == 0.25
    assert (found["stability_score"].iloc[:2] > 0.25).all()
    none = redraw_proposals(
        masks.iloc[:0], listed, tmp_path, BrightSegmenter(), BOX, nms_iou=0.7, seed=0, progress=None
    )
    assert list(none.columns) == list(masks.columns)
    assert not len(none)


def test_prompts_in_use_survive_a_file() -> None:
    in_use = PromptsInUse(RECIPES[0], RECIPES[3], {"cell": RECIPES[9]})
    again = PromptsInUse.from_dict(json.loads(json.dumps(in_use.as_dict())))
    assert again == in_use
    assert again.find("cell") == RECIPES[9]
    assert again.find("other") == again.find(None) == RECIPES[0]
    with pytest.raises(CallError, match="prompts in use are damaged"):
        PromptsInUse.from_dict({"mask": {}})
