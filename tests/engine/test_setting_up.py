"""Setting up of an engine: pictures, roles, masks that were there before, refusals."""

from __future__ import annotations

import inspect
import json
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from engine_project import ANYTHING, QUICK, Truth, make_engine, masks_of, write_pictures, write_sam
from hand_clock import HandClock

import curate
from curate.cli import engine_commands
from curate.common import files
from curate.common.locks import hold_directory
from curate.engine import setting_up
from curate.errors import AuditError, CallError, SourceError

sys.path.append(str(Path(__file__).parents[1] / "models"))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Truth]:
    folder = tmp_path_factory.mktemp("drawn")
    truth = write_pictures(folder / "pictures", 36)
    write_sam(folder / "sam")
    return folder, truth


def write_dataset(path: Path, truth: Truth, names: list[str], sizes: dict[str, Any]) -> Path:
    """Write the true masks of some pictures as COCO."""
    images, annotations = [], []
    for k, name in enumerate(names):
        height, width = sizes[name]
        images.append({"id": 100 + k, "file_name": name, "height": height, "width": width})
        for counts in truth.get(name, [])[:2]:
            segmentation = {"size": [height, width], "counts": counts.decode()}
            one = {"id": len(annotations), "image_id": 100 + k, "category_id": 3, "iscrowd": 0}
            annotations.append(
                one | {"segmentation": segmentation, "area": 1, "bbox": [0, 0, 1, 1]}
            )
    coco = {"images": images, "annotations": annotations}
    path.write_text(json.dumps(coco | {"categories": [{"id": 3, "name": "shape"}]}))
    return path


def images_of(project: Path) -> Any:
    return pq.read_table(project / "images.parquet").to_pandas()


def test_every_picture_has_a_role(tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    truth = write_pictures(pictures, 34)
    (pictures / "broken.png").write_bytes(b"no picture")
    (pictures / "copy.png").write_bytes((pictures / "00.png").read_bytes())
    (pictures / "below").mkdir()
    (pictures / "33.png").rename(pictures / "below" / "33.png")
    clock = HandClock().clock
    engine = curate.new_engine(tmp_path / "project", images=pictures, clock=clock, seed=4)
    table = images_of(engine.path)
    assert set(table["file_name"]) == {
        *(name for name in truth if name != "33.png"),
        *("below/33.png", "broken.png", "copy.png"),
    }
    left_out = table[table["role"] == "left_out"].set_index("file_name")["reason"]
    assert sorted(left_out.index) == ["broken.png", "copy.png"]
    assert "another name" in left_out["copy.png"]
    assert table["role"].value_counts().to_dict() == {"pool": 18, "validation": 16, "left_out": 2}
    assert "broken.png: " in engine.note
    settings = json.loads((engine.path / "engine.json").read_text())
    assert settings["segmenter"] is None
    assert settings["classes"] == ["object"]
    assert settings["created"].endswith("Z")
    again = curate.new_engine(tmp_path / "again", images=pictures, seed=4)
    assert images_of(again.path).equals(table)
    other = curate.new_engine(tmp_path / "other", images=pictures, seed=5)
    assert not images_of(other.path)["role"].equals(table["role"])
    assert {path.name for path in tmp_path.iterdir()} == {"pictures", "project", "again", "other"}


def test_masks_that_were_there_count_as_decided(drawn: tuple[Path, Truth], tmp_path: Path) -> None:
    folder, truth = drawn
    first = curate.new_engine(tmp_path / "first", images=folder / "pictures", seed=1)
    table = images_of(first.path).set_index("file_name")
    held = table.index[table["role"] == "validation"].tolist()[:2]
    free = table.index[table["role"] == "pool"].tolist()[:3]
    sizes = {name: (row["height"], row["width"]) for name, row in table.iterrows()}
    sizes = {name: (int(h), int(w)) for name, (h, w) in sizes.items()} | {"none.png": (64, 64)}
    source = write_dataset(tmp_path / "start.json", truth, [*held, *free, "none.png"], sizes)
    engine = curate.new_engine(
        tmp_path / "second", images=folder / "pictures", seed=1, masks=source, classes=["dirt"]
    )
    assert engine.settings.classes == ("dirt", "shape")
    roles = images_of(engine.path).set_index("file_name")["role"]
    assert roles[free].tolist() == ["start"] * 3
    assert roles[held].tolist() == ["validation"] * 2
    taken = {(name, one) for name in free for one in truth[name][:2]}
    assert masks_of(engine.path / "start/masks.json") == taken
    taken = {(name, one) for name in held for one in truth[name][:2]}
    assert masks_of(engine.path / "validation/start/masks.json") == taken
    asked = engine.next(device="cpu")
    assert "14 images of 14 to draw masks on" in asked.text()
    assert set((engine.path / "validation/images.txt").read_text().splitlines()).isdisjoint(held)
    text = engine.status().text()
    assert "3 annotated before" in text


def test_what_cannot_be_set_up(drawn: tuple[Path, Truth], tmp_path: Path) -> None:
    folder, _ = drawn
    pictures = folder / "pictures"

    def refuse(message: str, error: type[Exception] = CallError, **call: Any) -> None:
        given: dict[str, Any] = {"images": pictures, "segmenter": str(folder / "sam")} | call
        with pytest.raises(error, match=message):
            curate.new_engine(tmp_path / "new", **given)
        assert not (tmp_path / "new").exists()

    (tmp_path / "empty").mkdir()
    refuse("it holds no pictures", SourceError, images=tmp_path / "empty")
    refuse("there is no such folder of images", SourceError, images=tmp_path / "nowhere")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.png").write_bytes(b"nothing")
    refuse("none of its 1 pictures opens", SourceError, images=tmp_path / "broken")
    (tmp_path / "links").mkdir()
    for path in pictures.iterdir():
        (tmp_path / "links" / path.name).symlink_to(path)
    refuse("its 36 pictures are links that lead out", SourceError, images=tmp_path / "links")
    refuse("8 validation images cannot tell rounds apart; set 16 or more", validation_images=8)
    refuse("36 pictures are too few to set 20 aside", validation_images=20)
    refuse("--rounds is 0", rounds=0)
    refuse("--epochs is 0", epochs=0)
    refuse("a class of 2 classes has no name", classes=["a", " "])
    refuse("there is no setting 'points'", settings={"points": 3})
    refuse("leave out the size, or the segmenter", size=128)
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx" / "encoder.onnx").write_bytes(b"")
    refuse("it holds ONNX exports, which have no weights", segmenter=str(tmp_path / "onnx"))
    refuse("there is no such file or folder", SourceError, masks=tmp_path / "none.json")
    source = write_dataset(tmp_path / "other.json", {}, ["x.png"], {"x.png": (9, 9)})
    refuse("none of its 0 masks lies on a picture", masks=source)


def test_a_directory_is_set_up_once(drawn: tuple[Path, Truth], tmp_path: Path) -> None:
    pictures = drawn[0] / "pictures"
    curate.new_engine(tmp_path / "project", images=pictures)
    with pytest.raises(AuditError, match="there is an engine here already"):
        curate.new_engine(tmp_path / "project", images=pictures)
    (tmp_path / "mine").mkdir()
    busy = pytest.raises(AuditError, match="is writing here")
    with hold_directory(tmp_path / "mine", "audit"), busy:
        curate.new_engine(tmp_path / "mine", images=pictures)
    (tmp_path / "mine" / "text").write_text("mine")
    with pytest.raises(AuditError, match="it holds something else"):
        curate.new_engine(tmp_path / "mine", images=pictures)
    with pytest.raises(AuditError, match="there is no engine here"):
        curate.open_engine(tmp_path / "mine")
    settings = tmp_path / "project" / "engine.json"
    settings.write_bytes(settings.read_bytes()[:100])
    with pytest.raises(AuditError, match="it is damaged or cut short"):
        curate.open_engine(tmp_path / "project")


def test_a_killed_set_up_leaves_nothing(
    drawn: tuple[Path, Truth], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(setting_up, "write_images", die)
        with pytest.raises(KeyboardInterrupt):
            curate.new_engine(tmp_path / "project", images=drawn[0] / "pictures")
    assert list(tmp_path.iterdir()) == []
    left = tmp_path / f".project.{files.process_tag().rpartition('-')[0]}-99999999.tmp"
    left.mkdir()  # of a process that was killed
    curate.new_engine(tmp_path / "project", images=drawn[0] / "pictures")
    assert [path.name for path in tmp_path.iterdir()] == ["project"]


def test_a_cold_start(tmp_path: Path) -> None:
    """No segmenter: people draw all masks of the first round, and a small SAM is trained."""
    from engine_project import work

    clock = HandClock().clock
    options = {"segmenter": None, "size": 64, "rounds": 1, "clock": clock}
    engine, truth = make_engine(tmp_path, **options)
    asked = engine.next(device="cpu")
    assert "16 images of 16 to draw masks on" in asked.text()
    with pytest.raises(CallError, match="no mask is proposed in this round"):
        engine.next(to="csv")
    work(engine.path, truth, clock)
    assert engine.next(device="cpu").round == 1
    work(engine.path, truth, clock)
    assert engine.next(device="cpu").needs == ""
    status = engine.status()
    assert status.segmenter == "rounds/01/segmenter"
    assert "the first segmenter" in status.text()
    assert 0 < (status.iou or 0) < 1
    assert QUICK["settings"] == ANYTHING


def test_images_are_chosen_by_chance_unless_another_rule_is_named(tmp_path: Path) -> None:
    """No rule was found to need fewer images; the command has the same default."""
    engine, _ = make_engine(tmp_path)
    assert engine.settings.image_rule == "random"
    assert inspect.signature(engine_commands.new).parameters["image_rule"].default == "random"
    named, _ = make_engine(tmp_path / "named", image_rule="diverse")
    assert named.settings.image_rule == "diverse"
