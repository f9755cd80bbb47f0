"""Audits with ``--encoder``: categories judged by their pictures, stated, and counted by worth."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import curate
from curate.errors import CallError
from curate.people.webapp import session
from curate.pipeline import deciding
from curate.quality.explanations import explain_columns
from curate.reporting.summary import summary, summary_text
from curate.scorers.category import FEATURES

SIDE = 48
COUNT = 24
WRONG = 1003


def write(folder: Path, names: tuple[str, str] = ("red", "blue"), mode: str = "RGB") -> Path:
    """Two squares an image, a red and a blue one by its place; one has the other's category."""
    rng = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    images, annotations = [], []
    for k in range(COUNT):
        picture = rng.integers(90, 120, (SIDE, SIDE, 3)).astype(np.uint8)
        for j, colour in enumerate(((200, 40, 40), (40, 40, 200))):
            x, y = (int(v) for v in rng.integers(2, 8, 2))
            y += 24 * j
            w, h = (int(v) for v in rng.integers(10, 16, 2))
            picture[y : y + h, x : x + w] = colour
            number = 1000 + 2 * k + j
            given = 1 - j if number == WRONG else j
            annotations.append(
                {
                    "id": number,
                    "image_id": k + 1,
                    "category_id": names.index(names[given]) + 1,
                    "bbox": [x, y, w, h],
                    "area": w * h,
                    "iscrowd": 0,
                    "segmentation": [[x, y, x + w, y, x + w, y + h, x, y + h]],
                }
            )
        drawn = Image.fromarray(picture)
        if mode == "I;16":
            drawn = Image.fromarray(picture[..., 0].astype(np.uint16) * 200)
        elif mode != "RGB":
            drawn = drawn.convert(mode)
        drawn.save(folder / "images" / f"{k + 1}.png")
        images.append({"id": k + 1, "file_name": f"{k + 1}.png", "height": SIDE, "width": SIDE})
    known = [{"id": k + 1, "name": name} for k, name in enumerate(dict.fromkeys(names))]
    document = {"images": images, "annotations": annotations, "categories": known}
    (folder / "masks.json").write_text(json.dumps(document))
    return folder / "masks.json"


def audited(source: Path, out: Path, **more: Any) -> Any:
    images = source.parent / "images"
    return curate.audit(source, out, images=images, encoder="handcrafted", **more)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("colours"))


@pytest.fixture(scope="module")
def done(source: Path) -> Any:
    return audited(source, source.parent / "done.audit")


def test_a_wrong_category_is_found_and_the_right_one_suggested(done: Any) -> None:
    masks = done.masks()
    assert masks["category_score"].idxmin() == WRONG
    wrong = masks.loc[WRONG]
    assert (wrong["category"], wrong["category_suggested"]) == ("blue", "red") or (
        wrong["category"],
        wrong["category_suggested"],
    ) == ("red", "blue")
    assert wrong["reasons"].startswith("weakest signal: category by its picture 0.0")
    (stated,) = explain_columns(masks.loc[[WRONG]], ["category_score"], [False]).stated
    assert stated == (
        f"its picture looks like another category than “{wrong['category']}” "
        f"({wrong['category_probability']:.0%}): “{wrong['category_suggested']}” "
        f"({wrong['category_suggested_probability']:.0%})"
    )
    assert masks["quality_score"].idxmin() == WRONG
    assert FEATURES not in masks


def test_the_review_page_knows_how_often_the_classifier_is_right(done: Any) -> None:
    held_out = done.info.references["category"]["held_out"]
    assert session._accuracy_of_categories(done) == held_out["accuracy"]


@pytest.mark.usefixtures("with_report")
def test_the_worth_is_stated_in_the_audit(done: Any, tmp_path: Path) -> None:
    info = json.loads((done.path / "audit.json").read_text())
    held_out = info["references"]["category"]["held_out"]
    assert held_out["masks"] == 2 * COUNT
    assert held_out["accuracy"] > 0.9 > held_out["most_frequent"]
    assert held_out["weight"] == 0.5
    assert info["models"]["encoder"]["name"] == "handcrafted"
    assert info["references"]["quality"]["category_score"]["weight"] == 0.5
    (note,) = [one for one in info["notes"] if one["kind"] == "category_classifier"]
    assert (note["of"], note["examples"]) == ("models", [])
    right = f"the classifier of categories is right for {held_out['accuracy']:.0%} of the masks"
    assert note["text"].startswith(right)
    suggested = int(done.masks()["category_suggested"].notna().sum())
    assert f"it suggests another category for {suggested} masks; were one" in note["text"]
    printed = summary_text(done, summary(done)).splitlines()
    assert f"note: {note['text']}" in printed  # without a count of masks and examples
    page = curate.report(done, tmp_path / "report.html").read_text()
    assert page.count("About the models") == 1
    assert "Findings for the whole file" not in page
    assert page.count(right[1:]) >= 1


def test_a_decision_made_again_keeps_what_the_features_gave(done: Any) -> None:
    before = done.masks()
    curate.decide(done.path, policy="sa1b")
    curate.decide(done.path, policy="default")
    pd.testing.assert_frame_equal(curate.open_audit(done.path).masks(), before)


def test_a_kill_while_deciding_changes_nothing(
    source: Path, done: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    finish: Callable[..., Any] = deciding._finish_images

    def kill(*given: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(deciding, "_finish_images", kill)  # the part's features are gone by then
        with pytest.raises(Killed):
            audited(source, tmp_path / "killed.audit")
    assert deciding._finish_images is finish
    again = audited(source, tmp_path / "killed.audit")
    expected = done.masks()
    pd.testing.assert_frame_equal(again.masks()[expected.columns], expected)
    assert list(again.masks().columns) == list(expected.columns)


def test_copies_of_a_picture_are_on_one_side(tmp_path: Path) -> None:
    source = write(tmp_path)
    shutil.copy(tmp_path / "images" / "1.png", tmp_path / "images" / "9.png")
    done = audited(source, tmp_path / "a.audit")
    reference = done.info.references["category"]
    assert reference["copies"] == {"9": 1}
    masks = done.masks()
    assert masks.loc[masks["image_id"] == 9, "category_score"].notna().all()


def test_a_classifier_no_better_than_a_guess_counts_for_nothing_and_says_so(
    tmp_path: Path,
) -> None:
    source = write(tmp_path)
    document = json.loads(source.read_text())
    rng = np.random.default_rng(4)
    for one in document["annotations"]:
        one["category_id"] = int(rng.integers(1, 3))
    source.write_text(json.dumps(document))
    done = audited(source, tmp_path / "a.audit")
    assert done.info.references["category"]["held_out"]["weight"] == 0.0
    (note,) = [one["text"] for one in done.info.notes if one["kind"] == "category_classifier"]
    assert "does not count in quality_score" in note
    masks = done.masks()
    assert masks["category_suggested"].isna().all()
    plain = curate.audit(source, tmp_path / "b.audit", images=tmp_path / "images").masks()
    pd.testing.assert_series_equal(masks["quality_score"], plain["quality_score"])


def test_one_category_gets_no_score_and_a_note(tmp_path: Path) -> None:
    done = audited(write(tmp_path, ("blob", "blob")), tmp_path / "a.audit")
    assert done.masks()["category_score"].isna().all()
    notes = [note["text"] for note in done.info.notes if note["kind"] == "category_classifier"]
    assert len(notes) == 1
    assert "categories were not judged" in notes[0]


@pytest.mark.parametrize("mode", ["L", "I;16"])
def test_pictures_without_colour_are_judged_too(mode: str, tmp_path: Path) -> None:
    done = audited(write(tmp_path, mode=mode), tmp_path / "a.audit")
    assert done.masks()["category_score"].notna().all()


def test_masks_of_missing_pictures_get_no_score(tmp_path: Path) -> None:
    source = write(tmp_path)
    for k in range(1, 5):
        (tmp_path / "images" / f"{k}.png").unlink()
    masks = audited(source, tmp_path / "a.audit").masks()
    missing = masks["image_id"] <= 4
    assert masks.loc[missing, "category_score"].isna().all()
    assert masks.loc[~missing, "category_score"].notna().all()


def test_an_encoder_without_pictures_is_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(CallError, match="--encoder handcrafted needs pictures"):
        curate.audit(source, tmp_path / "a.audit", images="none", encoder="handcrafted")
