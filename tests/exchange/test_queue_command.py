"""``curate queue --to`` and ``curate import`` with other tools' formats, as people type them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from boxes import HEIGHT, WIDTH, box, dataset, rle
from hard_masks import audited
from PIL import Image
from typer.testing import CliRunner

import curate
from curate.cli import app
from curate.errors import CallError, CurateError, SourceError
from curate.people.exchange import count_left_out, queue_images, write_queue
from curate.people.exchange.queue_images import save_picture
from curate.people.exchange.registry import ExportOptions
from curate.people.reviews import has_reviews, open_reviews
from curate.store.audit import StoredAudit

TOOLS = ("cvat", "fiftyone", "coco", "huggingface")


def run(*words: object) -> str:
    """Run a command; return what it prints."""
    done = CliRunner().invoke(app, [str(word) for word in words])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.stdout


@pytest.fixture
def pictured(tmp_path: Path) -> StoredAudit:
    """Return an audit with pictures, and three masks that no picture can show."""
    source = dataset()
    nothing = {"size": [HEIGHT, WIDTH], "counts": rle(box(0, 0, 0, 0))["counts"]}
    for number, segmentation in ((30, None), (31, {"size": [9, 9], "counts": "zz"}), (32, nothing)):
        source["annotations"].append(
            {"id": number, "image_id": 1, "category_id": 1, "segmentation": segmentation}
        )
    return audited(source, tmp_path)


@pytest.mark.parametrize("way", ["--crops", "--whole"])
@pytest.mark.parametrize("tool", TOOLS)
def test_what_cannot_be_carried_is_told(
    pictured: StoredAudit, tmp_path: Path, tool: str, way: str
) -> None:
    out = tmp_path / "queue"
    rows = curate.queue(pictured.path, actions=("accept", "review", "reject"))
    written = write_queue(pictured, rows, out, tool, how=ExportOptions(way == "--crops"))
    why = count_left_out(pictured, rows, written)
    if tool == "coco" and way == "--whole":  # an empty mask can stand there
        assert (written, why) == (13, {"without a mask": 1, "unreadable": 1})
    else:
        assert written == 12
        assert why == {"without a mask": 1, "unreadable": 1, "without a pixel": 1}


@pytest.mark.parametrize("tool", TOOLS)
def test_out_and_back_by_command(pictured: StoredAudit, tmp_path: Path, tool: str) -> None:
    out = tmp_path / "queue"
    said = run("queue", pictured.path, "--kind", "estimate", "--budget", 6, "--overlap", 0.5,
               "--to", tool, "--crops", "--out", out)  # fmt: skip
    assert said.splitlines() == [f"4 masks in {out}", f"2 masks in {out}.second"]
    for path, masks in ((out, 4), (Path(f"{out}.second"), 2)):
        told = json.loads(
            run(
                "import",
                path,
                "--audit",
                pictured.path,
                "--reviewer",
                path.name,
                "--assume-reviewed",
                "--json",
            )
        )
        assert told["format"] == tool
        assert told["actions"] == {"accept": masks, "reject": 0, "fix": 0}
        assert told["left_as_they_were"] == masks
    assert set(open_reviews(pictured).decisions()["queue_kind"]) == {"estimate"}


def test_pictures_may_be_named_later(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    audited(dataset(), folder)
    bare = curate.audit(folder / "source.json", tmp_path / "bare")
    words = ["queue", bare.path, "--kind", "estimate", "--budget", 4, "--to", "fiftyone"]
    with pytest.raises(CallError, match="give their folder with --images DIR"):
        run(*words, "--out", tmp_path / "one")
    assert not has_reviews(bare)  # no draw is recorded that nobody sees
    said = run(*words, "--out", tmp_path / "two", "--images", folder / "pictures")
    assert said.startswith("4 masks in ")
    gone = sorted((folder / "pictures").iterdir())
    for path in gone[1:]:
        path.unlink()
    said = run(*words[:5], 8, *words[6:], "--out", tmp_path / "3", "--images", folder / "pictures")
    assert "without a picture that can be shown" in said


@pytest.mark.parametrize("tool", TOOLS)
def test_what_went_out_says_nothing(pictured: StoredAudit, tmp_path: Path, tool: str) -> None:
    """The very file that was written is no review, whatever sample it is of."""
    out = tmp_path / "queue"
    run("queue", pictured.path, "--kind", "estimate", "--budget", 6, "--to", tool, "--out", out)
    words = ["import", out, "--audit", pictured.path, "--reviewer", "ann"]
    with pytest.raises(
        SourceError, match=r"may be the exported file itself; add --assume-reviewed"
    ):
        run(*words)
    assert not len(open_reviews(pictured).decisions())
    said = run(*words, "--assume-reviewed")
    assert "6 accepted (6 left as they were), 0 rejected, 0 fixed" in said


def test_old_spellings_of_options_still_work(pictured: StoredAudit, tmp_path: Path) -> None:
    out = tmp_path / "queue"
    run("queue", pictured.path, "--kind", "estimate", "--budget", 6, "--to", "coco", "--out", out)
    words = ["import", out, "--audit", pictured.path, "--reviewer", "ann", "--json"]
    for option in ("--exported", "--given"):
        with pytest.raises(CallError, match="there is no draw 9"):
            run(*words, option, 9)
        with pytest.raises(SourceError, match="may be the exported file itself"):
            run(*words, f"{option}=1")
    done = [json.loads(run(*words, way)) for way in ("--all-looked", "--assume-reviewed")]
    assert [one["actions"]["accept"] for one in done] == [6, 6]
    said = run("import", "--help")
    assert all(option in said for option in ("--exported", "--assume-reviewed"))
    assert not any(option in said for option in ("--given", "--all-looked"))


def test_who_says_something_of_each_mask_is_not_asked(
    pictured: StoredAudit, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text("mask_id,decision\n1,accept\n")
    words = ["import", tmp_path / "a.csv", "--audit", pictured.path]
    with pytest.raises(
        CallError, match="in CSV rows, every reviewed mask has a decision of its own"
    ):
        run(*words, "--assume-reviewed")
    assert "1 accepted, 0 rejected, 0 fixed" in run(*words)


@pytest.mark.parametrize("tool", ["fiftyone", "cvat", "huggingface", "coco", "label-studio"])
def test_a_queue_that_shows_nothing_uses_up_no_sample(
    pictured: StoredAudit, tmp_path: Path, tool: str
) -> None:
    (tmp_path / "empty").mkdir()
    words = ["queue", pictured.path, "--kind", "estimate", "--budget", 12, "--to", tool, "--crops"]
    out = tmp_path / ("q.parquet" if tool == "huggingface" else "q")
    with pytest.raises(CallError, match=r"no mask .*--images DIR"):
        run(*words, "--out", out, "--images", tmp_path / "empty")
    assert not out.exists()
    assert not has_reviews(pictured)
    assert run(*words, "--out", out) == f"12 masks in {out}\n"


def test_a_write_that_fails_uses_up_no_sample(
    pictured: StoredAudit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first person's folder is there when the second one's fails; nobody shall get it."""
    out, calls = tmp_path / "queue", []

    def full(*given: object) -> bool:
        calls.append(given)
        if len(calls) > 8:
            raise OSError(28, "No space left on device")
        return save_picture(*given)  # type: ignore[arg-type]

    words = ["queue", pictured.path, "--kind", "estimate", "--budget", 12, "--to", "fiftyone"]
    words += ["--crops", "--overlap", 0.5, "--out", out]
    with monkeypatch.context() as patch:
        patch.setattr("curate.people.exchange.image_names.save_picture", full)
        with pytest.raises(CurateError, match="no space left"):
            run(*words)
    assert len(calls) == 9
    assert not list(tmp_path.glob("queue*"))
    assert not has_reviews(pictured)
    assert run(*words).startswith("8 masks in ")


def test_two_who_draw_at_once_never_share_a_number(
    pictured: StoredAudit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    masks = pd.DataFrame({"mask_id": [1, 2], "inclusion_probability": 0.5})

    def slow(audit: StoredAudit, rows: pd.DataFrame, out: Path, *how: Any, **more: Any) -> int:
        open_reviews(pictured, create=True).record_draw("estimate", masks, {})
        return write_queue(audit, rows, out, *how, **more)

    out = tmp_path / "queue.csv"
    words = ["queue", pictured.path, "--kind", "estimate", "--budget", 4, "--out", out]
    with monkeypatch.context() as patch:
        patch.setattr("curate.api.queues.write_rows", slow)
        with pytest.raises(CallError, match="another process has recorded draw 1 in the meantime"):
            run(*words)
    assert not out.exists()
    assert len(open_reviews(pictured).draws()) == 1
    run(*words)
    assert set(pd.read_csv(out)["draw_id"]) == {2}
    assert (
        open_reviews(pictured).read_draw(2)["mask_id"].tolist()
        == pd.read_csv(out)["mask_id"].tolist()
    )


@pytest.mark.parametrize("option", [["--crops"], ["--whole"], ["--images", "."]])
@pytest.mark.parametrize("out", [["--out", "q.csv"], ["--out", "q.json"], []])
def test_what_has_no_pictures_is_asked_for_none(
    pictured: StoredAudit, tmp_path: Path, option: list[str], out: list[str]
) -> None:
    target = [out[0], tmp_path / out[1]] if out else []
    words = ["queue", pictured.path, "--kind", "estimate", "--budget", 4, *target]
    with pytest.raises(CallError, match="has no pictures; leave it out"):
        run(*words, *option)
    assert not has_reviews(pictured)
    run(*words)
    assert has_reviews(pictured)


def test_whole_images_as_coco_take_no_pictures(pictured: StoredAudit, tmp_path: Path) -> None:
    words = ["queue", pictured.path, "--kind", "estimate", "--budget", 4, "--to", "coco"]
    words += ["--images", tmp_path / "pictures", "--out", tmp_path / "q"]
    with pytest.raises(CallError, match="without pictures; leave it out, or add --crops"):
        run(*words)
    assert run(*words, "--crops").startswith("4 masks in ")


def test_no_such_way_to_match(pictured: StoredAudit, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(dataset()))
    words = ["import", tmp_path / "a.json", "--audit", pictured.path]
    with pytest.raises(CallError, match="'name' is not one of iou"):
        run(*words, "--match", "name")
    (tmp_path / "a.csv").write_text("mask_id,decision\n1,accept\n")
    with pytest.raises(CallError, match="are for corrected datasets"):
        run("import", tmp_path / "a.csv", "--audit", pictured.path, "--match", "iou")


def test_crops_as_coco_are_a_folder(pictured: StoredAudit, tmp_path: Path) -> None:
    out = tmp_path / "queue.json"
    words = ["queue", pictured.path, "--kind", "estimate", "--budget", 4, "--to", "coco"]
    with pytest.raises(CallError, match=r"give a name without \.json"):
        run(*words, "--crops", "--out", out)
    assert not out.exists()


def test_nothing_to_review_is_said(pictured: StoredAudit, tmp_path: Path) -> None:
    found = curate.queue(pictured.path)["mask_id"].tolist()
    one, none = tmp_path / "one.json", tmp_path / "none.json"
    assert run("queue", pictured.path, "--budget", 1, "--out", one) == f"1 mask in {one}\n"
    rows = pd.DataFrame({"mask_id": found, "action": "accept", "reviewer": "ann"})
    open_reviews(pictured).add(rows, origin="a table")
    said = run("queue", pictured.path, "--to", "coco", "--out", none)
    why = "people decided on all masks with the action review, or a random sample has them"
    assert said.startswith(f"nothing to review: {why}; no mask in {none}\n`curate queue ")
    assert "--kind estimate" in said
    assert json.loads(none.read_text())["annotations"] == []


@pytest.mark.parametrize("tool", ["cvat", "label-studio"])
def test_deep_pictures_are_written_as_they_are_seen(tmp_path: Path, tool: str) -> None:
    """A browser shows the upper 8 of 16 bit: a microscope's 12 bit would be black."""
    folder = tmp_path / "a"
    audited(dataset(), folder)
    for path in (folder / "pictures").iterdir():
        gray = np.asarray(Image.open(path).convert("L")).astype(np.uint16)
        Image.fromarray(gray * 8).save(path)
    made = curate.audit(folder / "source.json", tmp_path / "new", images=folder / "pictures")
    for way in ("--whole", "--crops"):
        out = tmp_path / way
        run("queue", made.path, "--to", tool, way, "--budget", 9, "--out", out)
        written = sorted((out / "images").rglob("*.png"))
        assert written
        for path in written:
            with Image.open(path) as image:
                assert image.mode in ("L", "RGB")
                if way == "--whole":
                    assert image.getextrema()[0][1] == 255
                    assert image.getextrema()[0][0] == 0


def test_large_pictures_are_written_in_bands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "a"
    audited(dataset(), folder)
    wanted = {}
    for path in sorted((folder / "pictures").iterdir()):
        image = Image.open(path).convert("RGB")
        wanted[path.stem] = np.asarray(image)
        path.unlink()
        image.save(path.with_suffix(".tif"))
    made = curate.audit(folder / "source.json", tmp_path / "new", images=folder / "pictures")
    monkeypatch.setattr(queue_images, "CACHED_PIXELS", 100)
    monkeypatch.setattr(queue_images, "BAND_PIXELS", 200)
    run("queue", made.path, "--to", "cvat", "--whole", "--budget", 99, "--out", tmp_path / "out")
    written = sorted((tmp_path / "out" / "images").rglob("*.png"))
    assert written
    for path in written:
        assert np.array_equal(np.asarray(Image.open(path)), wanted[path.stem])
    # one of them breaks after the audit: it is left out, and said
    (folder / "pictures" / f"{written[0].stem}.tif").write_bytes(b"II*\0")
    out = tmp_path / "less"
    run("queue", made.path, "--to", "cvat", "--whole", "--budget", 99, "--out", out)
    assert len(list((out / "images").rglob("*.png"))) == len(written) - 1


def test_pictures_over_a_limit_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "a"
    audited(dataset(), folder)
    monkeypatch.setenv("CURATE_PICTURE_MEGAPIXELS", "0.0001")
    made = curate.audit(folder / "source.json", tmp_path / "new", images=folder / "pictures")
    words = ("queue", made.path, "--kind", "estimate", "--budget", 9)
    with pytest.raises(CallError, match="no mask of the queue can be shown"):
        run(*words, "--to", "label-studio", "--out", tmp_path / "out")
    with pytest.raises(CallError, match="9 whose picture is over a limit that can be raised"):
        run(*words, "--to", "cvat", "--crops", "--out", tmp_path / "out")
