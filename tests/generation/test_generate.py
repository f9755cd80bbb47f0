from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow.parquet as pq
import pytest
from PIL import Image
from scene_segmenter import SceneSegmenter, picture

from curate import rle
from curate.errors import AuditError, CallError, SourceError
from curate.formats.reading import detect, read
from curate.networks.generation import generate, generating, open_generation, reselect
from curate.networks.segmenters.segmenter import Answer, Embedding, Prompts

QUICK = {"points_per_side": 16, "crop_layers": 1}
BOXES = [(40, 50, 120, 90), (300, 200, 70, 180), (480, 60, 44, 40)]


def save(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    save(tmp_path / "images" / "one.png", picture(480, 640, BOXES))
    save(tmp_path / "images" / "two.png", picture(480, 640, BOXES[1:]))
    save(tmp_path / "images" / "black.png", picture(60, 90, []))
    return tmp_path / "images"


def written(path: Path) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(path.read_bytes())
    return made


def boxes_of(document: dict[str, Any]) -> list[list[int]]:
    return sorted(a["bbox"] for a in document["annotations"])


def everything(out: Path) -> dict[str, bytes]:
    """All JSON documents but the account, which holds times."""
    return {p.name: p.read_bytes() for p in out.glob("*.json") if p.name != "generation.json"}


def reasons_of(out: Path) -> list[list[str]]:
    return [table["reason"].to_pylist() for table in open_generation(out).candidates()]


@pytest.mark.parametrize("frame", ["longest_side", "stretch"])
@pytest.mark.parametrize(
    ("size", "boxes"),
    [
        ((480, 640), BOXES),
        ((640, 480), [(50, 40, 90, 120), (200, 300, 180, 70), (60, 480, 40, 44)]),
        ((512, 512), [(37, 41, 120, 77)]),
        ((1000, 1), [(0, 300, 1, 200), (0, 700, 1, 110)]),
        ((1, 1000), [(300, 0, 200, 1), (700, 0, 110, 1)]),
    ],
)
def test_planted_rectangles_come_back_where_they_were(
    tmp_path: Path, size: tuple[int, int], boxes: list[tuple[int, ...]], frame: str
) -> None:
    image = picture(*size, boxes)  # type: ignore[arg-type]
    save(tmp_path / "images" / "it.png", image)
    out = tmp_path / "out"
    generate(tmp_path / "images", out, segmenter=SceneSegmenter(frame))
    document = written(out / "it.json")
    assert document["image"] == {
        "image_id": 1,
        "width": size[1],
        "height": size[0],
        "file_name": "it.png",
    }
    found = document["annotations"]
    assert len(found) == len(boxes)
    runs, codes = rle.decode_counts(
        [a["segmentation"]["counts"].encode() for a in found],
        [size[0]] * len(found),
        [size[1]] * len(found),
    )
    assert not codes.any()
    for x, y, w, h in boxes:
        planted = np.zeros(size, bool)
        planted[y : y + h, x : x + w] = True
        dense = [rle.to_dense(runs, k) for k in range(len(found))]
        ious = [(d & planted).sum() / (d | planted).sum() for d in dense]
        best = int(np.argmax(ious))
        assert ious[best] > 0.97
        annotation = found[best]
        point = annotation["point_coords"][0]
        assert planted[min(int(point[1]), size[0] - 1), min(int(point[0]), size[1] - 1)]
        cx, cy, cw, ch = annotation["crop_box"]
        assert cx <= point[0] <= cx + cw
        assert cy <= point[1] <= cy + ch
        assert annotation["area"] == dense[best].sum()
        assert annotation["bbox"] == rle.bbox(runs)[best].tolist()
        assert annotation["predicted_iou"] == pytest.approx(0.95)
        assert 0.95 <= annotation["stability_score"] <= 1


def test_counts_by_reason_are_all_candidates(images: Path, tmp_path: Path) -> None:
    done = generate(images, tmp_path / "out", segmenter=SceneSegmenter())
    assert sum(done.counts.values()) == 3 * 9216
    for reason in ("predicted_iou", "stability", "crop_edge", "coverage"):
        assert done.counts[reason] > 0
    assert done.counts["twin_in_crop"] > 0
    assert done.counts["twin_across_crops"] > 0
    assert done.counts["kept"] == 5
    said = [reason for image in reasons_of(tmp_path / "out") for reason in image]
    assert {r: said.count(r) for r in done.counts} == done.counts
    text = done.text()
    assert "27,648  candidates" in text
    assert "predicted IoU not over 0.88" in text
    about = written(tmp_path / "out" / "generation.json")
    assert about["segmenter"] == {
        "name": "scene",
        "fingerprint": "scene-1",
        "device": "cpu",
        "precision": "float32",
    }
    assert about["timings"]["network_s"] > 0
    assert about["recipe"]["pred_iou"] == 0.88


def test_the_output_is_an_sa1b_dataset(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    generate(images, out, segmenter=SceneSegmenter(), settings=QUICK)
    assert detect(out).name == "sa1b"
    table = read(out)
    assert (table.images["status"] == "ok").all()
    assert sorted(table.images["file_name"]) == ["black.png", "one.png", "two.png"]
    assert len(table.masks) == 5
    assert (table.masks["status"] == "ok").all()
    ids = [a["id"] for p in everything(out) for a in written(out / p)["annotations"]]
    assert sorted(table.masks.index) == sorted(ids)
    assert (table.masks["declared_area"] == table.masks["area_px"]).all()
    assert (table.masks["declared_w"] == table.masks["bbox_w"]).all()
    assert table.masks["prompt_x"].notna().all()


def test_a_generation_can_be_audited(images: Path, tmp_path: Path) -> None:
    import curate

    generate(images, tmp_path / "out", segmenter=SceneSegmenter(), settings=QUICK)
    audit = curate.audit(tmp_path / "out", tmp_path / "audit", images=images)
    assert len(audit.masks()) == 5
    assert len(audit.images()) == 3
    assert audit.masks()["declaration_score"].min() == 1


CUTS = [
    {"pred_iou": 0.92},
    {"pred_iou": 0.96},
    {"stability": 0.9},
    {"nms": "mask", "nms_iou": 0.3},
    {"coverage": 1.0},
    {"crop_margin_px": 0, "min_region_px": 2000},
]


@pytest.mark.parametrize("cuts", CUTS, ids=str)
def test_choosing_again_is_generating_with_that_recipe(
    images: Path, tmp_path: Path, cuts: dict[str, Any]
) -> None:
    generate(images, tmp_path / "a", segmenter=SceneSegmenter(), settings=QUICK)
    done = generate(images, tmp_path / "b", segmenter=SceneSegmenter(), settings=QUICK | cuts)
    again = reselect(tmp_path / "a", settings=cuts)
    assert again.counts == done.counts
    assert again.recipe == done.recipe
    assert everything(tmp_path / "a") == everything(tmp_path / "b")
    assert reasons_of(tmp_path / "a") == reasons_of(tmp_path / "b")
    # And the same command as b's now goes on in a, with nothing left to do.
    model = SceneSegmenter()
    generate(images, tmp_path / "a", segmenter=model, settings=QUICK | cuts)
    assert not model.embedded


def test_ids_stay_when_cuts_move(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    generate(images, out, segmenter=SceneSegmenter(), settings=QUICK)
    before = {a["id"]: a for a in written(out / "one.json")["annotations"]}
    reselect(out, settings={"coverage": 1.0, "nms_iou": 0.9})
    after = {a["id"]: a for a in written(out / "one.json")["annotations"]}
    assert set(before) < set(after)
    assert all(after[k] == before[k] for k in before)


def test_cuts_cannot_go_under_what_was_kept(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    generate(images, out, segmenter=SceneSegmenter(), settings=QUICK | {"keep_pred_iou": 0.85})
    before = everything(out)
    with pytest.raises(CallError, match=r"pred_iou 0.8 is under 0.85.*lower keep_pred_iou"):
        reselect(out, settings={"pred_iou": 0.8})
    with pytest.raises(CallError, match=r"keep_pred_iou was 0\.85 when the network was asked"):
        reselect(out, settings={"keep_pred_iou": 0.5})
    with pytest.raises(CallError, match="points_per_side was 16 when the network was asked"):
        reselect(out, settings={"points_per_side": 8})
    with pytest.raises(CallError, match="points_per_side was 16"):
        reselect(out, recipe="sa1b")
    with pytest.raises(CallError, match="no setting"):
        reselect(out, settings={"points": 8})
    assert everything(out) == before
    assert open_generation(out).counts["kept"] == 5


def test_a_lower_floor_keeps_more(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    settings = QUICK | {"keep_stability": 0}
    generate(images, out, segmenter=SceneSegmenter(), settings=settings)
    assert reselect(out, settings={"stability": 0, "nms": "mask"}).counts["stability"] == 0


class Stops(SceneSegmenter):
    """Fails after some batches, as a machine does that is turned off."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.after = after

    def segment(self, embedding: Embedding, prompts: Prompts, *, multimask: bool) -> Answer:
        if len(self.batches) >= self.after:
            raise KeyboardInterrupt
        return super().segment(embedding, prompts, multimask=multimask)


@pytest.mark.parametrize("after", [0, 2, 9, 17])
def test_an_interrupted_run_goes_on(images: Path, tmp_path: Path, after: int) -> None:
    generate(images, tmp_path / "whole", segmenter=SceneSegmenter(), settings=QUICK)
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        generate(images, out, segmenter=Stops(after), settings=QUICK)
    with pytest.raises(AuditError, match="interrupted"):
        open_generation(out)
    with pytest.raises(AuditError, match="interrupted"):
        reselect(out, settings={"pred_iou": 0.9})
    model = SceneSegmenter()
    done = generate(images, out, segmenter=model, settings=QUICK)
    assert len(model.embedded) == 15 - 5 * (after // 8)  # 8 batches an image: 4 and 4 x 1
    assert everything(out) == everything(tmp_path / "whole")
    assert done.counts == open_generation(tmp_path / "whole").counts
    assert not list(out.rglob("*.tmp"))


def test_an_interrupted_choice_goes_on(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from curate.networks.generation import generating as module

    out = tmp_path / "out"
    generate(images, out, segmenter=SceneSegmenter(), settings=QUICK)
    whole = module.write_image
    calls = []

    def stops(*arguments: Any) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        whole(*arguments)

    monkeypatch.setattr(module, "write_image", stops)
    with pytest.raises(KeyboardInterrupt):
        reselect(out, settings={"coverage": 1.0})
    monkeypatch.undo()
    with pytest.raises(AuditError, match="interrupted"):
        open_generation(out)
    done = reselect(out)
    assert done.recipe.coverage == 1.0
    other = generate(
        images, tmp_path / "b", segmenter=SceneSegmenter(), settings=QUICK | {"coverage": 1.0}
    )
    assert done.counts == other.counts
    assert everything(out) == everything(tmp_path / "b")


def test_another_run_into_the_same_directory_is_refused(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    generate(images, out, segmenter=SceneSegmenter(), settings=QUICK)
    before = everything(out)
    other = SceneSegmenter()
    other.fingerprint = "scene-2"
    with pytest.raises(AuditError, match=r"generated otherwise \(segmenter was"):
        generate(images, out, segmenter=other, settings=QUICK)
    with pytest.raises(
        AuditError, match=r"generated otherwise \(points_per_side was [0-9]+, is 32 now;"
    ):
        generate(images, out, segmenter=SceneSegmenter())
    with pytest.raises(
        AuditError, match=r"otherwise \(pred_iou was [0-9.]+, is 0.9 now\).*--again"
    ):
        generate(images, out, segmenter=SceneSegmenter(), settings=QUICK | {"pred_iou": 0.9})
    save(tmp_path / "others" / "x.png", picture(60, 60, []))
    with pytest.raises(AuditError, match="folder of images was"):
        generate(tmp_path / "others", out, segmenter=SceneSegmenter(), settings=QUICK)
    assert everything(out) == before
    generate(tmp_path / "others", out, segmenter=other, restart=True)
    assert list(everything(out)) == ["x.json"]


def test_new_pictures_are_added(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    generate(images, out, segmenter=SceneSegmenter(), settings=QUICK)
    before = everything(out)
    save(images / "a_new_one.png", picture(60, 90, []))
    model = SceneSegmenter()
    assert generate(images, out, segmenter=model, settings=QUICK).about["images"]["done"] == 4
    assert len(model.embedded) == 5
    assert written(out / "a_new_one.json")["image"]["image_id"] == 4
    assert everything(out).items() > before.items()


def test_pictures_that_do_not_open_are_findings(images: Path, tmp_path: Path) -> None:
    whole = (images / "one.png").read_bytes()
    (images / "cut.png").write_bytes(whole[: len(whole) // 2])
    (images / "text.jpg").write_text("no picture")
    (images / "empty.jpg").write_bytes(b"")
    secret = tmp_path / "secret.png"
    shutil.copy(images / "one.png", secret)
    (images / "link.png").symlink_to(secret)
    out = tmp_path / "out"
    done = generate(images, out, segmenter=SceneSegmenter(), settings=QUICK)
    findings = {f["file_name"]: f["status"] for f in done.about["findings"]}
    assert findings == {
        "cut.png": "truncated",
        "text.jpg": "unreadable",
        "empty.jpg": "unreadable",
        "link.png": "missing",
    }
    assert done.about["images"] == {"done": 3, "not_opened": 4}
    assert "4 could not be opened" in done.text()
    assert sorted(everything(out)) == ["black.json", "one.json", "two.json"]
    # Mended, it is taken up by the same command.
    (images / "cut.png").write_bytes(whole)
    assert generate(images, out, segmenter=SceneSegmenter(), settings=QUICK).about["images"] == {
        "done": 4,
        "not_opened": 3,
    }
    assert reselect(out).about["images"] == {"done": 4, "not_opened": 3}


def test_a_picture_that_goes_away_is_no_other_of_its_name(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    save(images / "deep" / "one.png", picture(100, 100, []))
    with pytest.raises(KeyboardInterrupt):
        generate(images, out, segmenter=Stops(0), settings=QUICK)
    (images / "one.png").unlink()
    done = generate(images, out, segmenter=SceneSegmenter(), settings=QUICK)
    assert [(f["file_name"], f["status"]) for f in done.about["findings"]] == [
        ("one.png", "missing")
    ]


def test_names_of_documents(tmp_path: Path) -> None:
    black = picture(40, 40, [])
    names = [
        "a.png",
        "a.jpg",
        "deep/a.png",
        "deep/b.png",
        "generation.png",
        "A:b?.png",
        " led.png",
    ]
    for name in [*names, "x" * 200 + ".png", "ü ö.png", ".hidden.png", ".git/a.png"]:
        save(tmp_path / "images" / name, black)
    out = tmp_path / "out"
    generate(tmp_path / "images", out, segmenter=SceneSegmenter(), settings=QUICK)
    found = {written(out / name)["image"]["file_name"]: name for name in everything(out)}
    assert len(found) == len(names) + 2
    assert found["a.jpg"] == "a.json"
    assert found["a.png"] == "a_2.json"
    assert found["deep/a.png"] == "deep_a.json"
    assert found["deep/b.png"] == "b.json"
    assert found["generation.png"] == "generation_2.json"
    assert found["A:b?.png"] == "A_b_.json"
    assert found[" led.png"] == "led.json"
    assert found["ü ö.png"] == "ü ö.json"
    assert len(read(out).images) == len(found)


def test_a_name_that_is_no_text_is_a_finding(tmp_path: Path) -> None:
    save(tmp_path / "images" / "good.png", picture(40, 40, []))
    odd = tmp_path / "images" / "\udcff.png"
    try:
        shutil.copy(tmp_path / "images" / "good.png", odd)
    except (OSError, UnicodeEncodeError):
        pytest.skip("this disk takes no such name")
    done = generate(
        tmp_path / "images", tmp_path / "out", segmenter=SceneSegmenter(), settings=QUICK
    )
    assert done.about["images"] == {"done": 1, "not_opened": 1}
    assert done.about["findings"][0]["file_name"] == "\\udcff.png"


def test_one_picture_alone(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    generate(images / "two.png", out, segmenter=SceneSegmenter(), settings=QUICK)
    assert list(everything(out)) == ["two.json"]


class Spoilt(SceneSegmenter):
    """Answers with values that are not finite."""

    def segment(self, embedding: Embedding, prompts: Prompts, *, multimask: bool) -> Answer:
        answer = super().segment(embedding, prompts, multimask=multimask)
        logits, scores = answer.logits.copy(), answer.predicted_iou.copy()
        logits[0, 0, 3, 3], logits[1, :, 0, 0], scores[2] = np.nan, np.inf, np.nan
        scores[:2] = 0.97
        return replace(answer, logits=logits, predicted_iou=scores)


def test_logits_that_are_not_finite_are_counted(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = generate(images, out, segmenter=Spoilt(), settings=QUICK)
    assert done.counts["not_finite"] == 3 * 8 * (1 + 3 + 3)
    assert done.counts["kept"] >= 5
    assert sum(done.counts.values()) == 3 * 3 * (16**2 + 4 * 8**2)
    for name in everything(out):
        assert orjson.loads((out / name).read_bytes()) is not None


class Small(SceneSegmenter):
    """Has memory for some points only."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def segment(self, embedding: Embedding, prompts: Prompts, *, multimask: bool) -> Answer:
        if len(prompts) > self.most:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
        return super().segment(embedding, prompts, multimask=multimask)


def test_out_of_memory_halves_the_batch_and_changes_nothing(images: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    generate(images, tmp_path / "a", segmenter=SceneSegmenter(), settings=QUICK)
    model = Small(20)
    generate(images, tmp_path / "b", segmenter=model, settings=QUICK)
    assert max(model.batches) == 16
    assert everything(tmp_path / "a") == everything(tmp_path / "b")
    with pytest.raises(CallError, match="not enough memory for a single one"):
        generate(images, tmp_path / "c", segmenter=Small(0), settings=QUICK)


@pytest.mark.parametrize("begun", ["generate", "--again"])
def test_a_generation_that_has_not_ended_is_no_dataset(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begun: str
) -> None:
    """Images lack, or some of them were chosen by other cuts than the rest."""
    out = tmp_path / "out"

    def work() -> None:
        if begun == "--again":
            reselect(out, settings={"pred_iou": 0.94})
        else:
            generate(images, out, segmenter=SceneSegmenter(), settings=QUICK)

    if begun == "--again":
        generate(images, out, segmenter=SceneSegmenter(), settings=QUICK)
        read(out)
    write_image, written_before = generating.write_image, []

    def killed(*arguments: Any) -> None:
        if written_before:
            raise KeyboardInterrupt
        written_before.append(arguments)
        write_image(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(generating, "write_image", killed)
        with pytest.raises(KeyboardInterrupt):
            work()
    for look in (read, detect):
        with pytest.raises(SourceError, match=r"out: its generation has not ended; wait .* again"):
            look(out)
    work()
    assert len(read(out).images) == 3


def break_about(out: Path) -> None:
    (out / "generation.json").write_text("{}")


def break_part(out: Path) -> None:
    (out / "candidates" / "part-000001.parquet").write_bytes(b"PAR1 nothing")


def break_head(out: Path) -> None:
    path = out / "candidates" / "part-000001.parquet"
    pq.write_table(pq.read_table(path).replace_schema_metadata({}), path)


@pytest.mark.parametrize("damage", [break_about, break_part, break_head])
def test_a_damaged_directory_is_a_clear_error(
    images: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    out = tmp_path / "out"
    generate(images, out, segmenter=SceneSegmenter(), settings=QUICK)
    damage(out)
    with pytest.raises((AuditError, SourceError), match=r"generation's|cannot be read"):
        reselect(out, settings={"pred_iou": 0.9})
    with pytest.raises((AuditError, SourceError), match=r"generation's|cannot be read|otherwise"):
        generate(images, out, segmenter=SceneSegmenter(), settings=QUICK)


def test_bad_calls_are_clear_errors(images: Path, tmp_path: Path) -> None:
    model = SceneSegmenter()
    out = tmp_path / "out"
    with pytest.raises(SourceError, match="no such folder"):
        generate(tmp_path / "none", out, segmenter=model)
    (tmp_path / "bare").mkdir()
    with pytest.raises(SourceError, match="holds no pictures"):
        generate(tmp_path / "bare", out, segmenter=model)
    with pytest.raises(CallError, match="no recipe"):
        generate(images, out, segmenter=model, recipe="paper")
    with pytest.raises(CallError, match="batch is 0"):
        generate(images, out, segmenter=model, batch=0)
    with pytest.raises(AuditError, match="it holds something else"):
        generate(images, images, segmenter=model)
    with pytest.raises(AuditError, match="it is a file"):
        generate(images, images / "one.png", segmenter=model)
    with pytest.raises(AuditError, match="no generation here"):
        reselect(images)
    with pytest.raises(AuditError, match="no generation here"):
        open_generation(tmp_path / "none")
    assert not out.exists()


def test_a_document_that_was_removed_is_written_again(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    generate(images, out, segmenter=SceneSegmenter(), settings=QUICK)
    before = everything(out)
    (out / "one.json").unlink()
    model = SceneSegmenter()
    generate(images, out, segmenter=model, settings=QUICK)
    assert everything(out) == before
    assert not model.embedded


def test_progress_and_crops_of_the_whole_recipe(images: Path, tmp_path: Path) -> None:
    told: list[tuple[str, int, int, int]] = []
    model = SceneSegmenter()
    generate(
        images / "one.png",
        tmp_path / "out",
        segmenter=model,
        progress=lambda *values: told.append(values),
    )
    assert told == [("generating", 1, 1, 3)]
    assert len(model.embedded) == 21
    assert boxes_of(written(tmp_path / "out" / "one.json"))
