from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mask_files import HEIGHT, WIDTH, coco_pixels, load_all, mask_at, shapes, status_at, tree
from pycocotools import mask as coco_mask

from curate.errors import CallError, CurateError, SourceError
from curate.formats.reading import detect, read
from curate.formats.sav import sav_format

MANUAL, AUTO = "sav_000001_manual.json", "sav_000001_auto.json"


def rle_of(mask: np.ndarray) -> dict[str, Any]:
    counts = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"]
    return {"size": list(mask.shape), "counts": counts.decode()}


def video(frames: list[Any], **changed: Any) -> dict[str, Any]:
    return {
        "video_id": "sav_000042",
        "video_frame_count": float(4 * len(frames)),
        "video_height": float(HEIGHT),
        "video_width": float(WIDTH),
        "masklet": frames,
        "masklet_id": [5, 9],
        "masklet_stability_score": [None, None],
        "masklet_num": 2,
        **changed,
    }


def write(path: Path, document: Any) -> Path:
    path.write_text(json.dumps(document))
    return path


# --- the real files ------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "absent"), [(MANUAL, 125), (AUTO, 137)])
def test_real_masklets_are_read_to_the_pixel(data: Path, name: str, absent: int) -> None:
    source = data / "sav" / "example" / name
    table = load_all(sav_format.FORMAT, source)
    document = json.loads(source.read_text())
    frames, tracks = len(document["masklet"]), len(document["masklet_id"])
    assert detect(source).name == "sav"
    assert len(table) == frames * tracks - absent
    assert table.masks["status"].eq("ok").all()
    assert len(table.images) == frames == 121
    assert table.images["file_name"].iloc[[0, 1, 120]].tolist() == [
        "sav_000001/00000.jpg",
        "sav_000001/00004.jpg",
        "sav_000001/00480.jpg",
    ]
    assert table.images[["height", "width"]].iloc[0].tolist() == [848, 480]
    every = [rle for frame in document["masklet"] for rle in frame]
    assert table.masks["area_px"].sum() == sum(int(coco_mask.area(rle)) for rle in every)
    for row in (0, 17, len(table) - 1):
        _, _, t, j = table.masks["source_key"].iloc[row].split("/")
        expected = coco_pixels(document["masklet"][int(t)][int(j)])
        assert (mask_at(table, f"{name}#/masklet/{t}/{j}") == expected).all()
        assert table.masks["track_id"].iloc[row] == document["masklet_id"][int(j)]
        score = table.masks["stability_score"].iloc[row]
        if name == AUTO:
            assert score == document["masklet_stability_score"][int(t)][int(j)]
        else:
            assert np.isnan(score)


def test_real_files_pruned(data: Path, tmp_path: Path) -> None:
    source = data / "sav" / "example"
    sav_format.FORMAT.prune(source, tmp_path / "all", set())
    assert tree(tmp_path / "all") == tree(source)
    drop = {f"{AUTO}#/masklet/0/0", f"{AUTO}#/masklet/0/8", f"{AUTO}#/masklet/120/3"}
    sav_format.FORMAT.prune(source, tmp_path / "some", drop)
    after = tree(tmp_path / "some")
    assert after[MANUAL] == tree(source)[MANUAL]
    old, new = json.loads((source / AUTO).read_text()), json.loads(after[AUTO])
    for t, j in ((0, 0), (0, 8), (120, 3)):
        # The empty RLE is the one that the dataset itself writes for an absent object.
        assert new["masklet"][t][j] == {"size": [848, 480], "counts": "P`]<"}
        old["masklet"][t][j] = new["masklet"][t][j]
    assert new == old
    keys = set(read(source, "sav").masks["source_key"])
    assert set(read(tmp_path / "some", "sav").masks["source_key"]) == keys - drop


# --- made files ----------------------------------------------------------------------------------


def test_every_shape_and_what_absent_means(tmp_path: Path) -> None:
    made = list(shapes().values())
    nothing = rle_of(made[0] & False)
    frames = [[rle_of(mask), nothing] for mask in made] + [[None, rle_of(made[0])], []]
    table = load_all(sav_format.FORMAT, write(tmp_path / "a.json", video(frames)))
    for t, mask in enumerate(made):
        assert (mask_at(table, f"a.json#/masklet/{t}/0") == mask).all()
    assert len(table) == len(made) + 1
    assert len(table.images) == len(frames)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "b.json").write_text("{}")
    assert not sav_format.matches(tmp_path / "other")
    (tmp_path / "0.json").write_text("{}")
    assert sav_format.matches(tmp_path)  # what comes first is not all that is there
    assert table.masks["track_id"].tolist() == [5] * len(made) + [9]


def test_a_video_of_which_every_frame_is_annotated(tmp_path: Path) -> None:
    frames = [[rle_of(shapes()["dot"])]] * 3
    document = video(frames, video_frame_count=3)
    table = load_all(sav_format.FORMAT, write(tmp_path / "a.json", document))
    assert table.images["file_name"].tolist() == [f"sav_000042/0000{i}.jpg" for i in range(3)]


def test_videos_in_folders(tmp_path: Path) -> None:
    for name in ("sav_000/x_manual.json", "sav_001/y_auto.json"):
        (tmp_path / name).parent.mkdir()
        document = video([[rle_of(shapes()["dot"])]])
        document.pop("video_id")
        write(tmp_path / name, document)
    write(tmp_path / "other.json", {"images": []})  # one of three
    table = load_all(sav_format.FORMAT, tmp_path)
    assert table.images["file_name"].tolist() == ["x/00000.jpg", "y/00000.jpg"]
    assert table.masks["source_key"].tolist() == [
        "sav_000/x_manual.json#/masklet/0/0",
        "sav_001/y_auto.json#/masklet/0/0",
    ]


def test_findings(tmp_path: Path) -> None:
    ring = shapes()["ring"]
    good = rle_of(ring)
    frames = [
        [good, "text"],
        "text",
        [rle_of(ring.T), {"size": [HEIGHT, WIDTH], "counts": "!"}],
        [good, {"size": "big", "counts": "1"}],
        [good, good],
    ]
    scores = [[0.5, 0.5], None, [], [1, "high"], [float("nan")]]
    document = video(frames, masklet_stability_score=scores, masklet_id=[3, "x"])
    table = load_all(sav_format.FORMAT, write(tmp_path / "a.json", document))
    assert table.masks["status"].tolist() == [
        "ok",
        "wrong_type",
        "wrong_type",
        "size_mismatch",
        "undecodable",
        "ok",
        "wrong_type",
        "ok",
        "ok",
    ]
    assert status_at(table, "a.json#/masklet/1")[1] == "the frame is a string, not a list of masks"
    assert table.masks["track_id"].tolist()[-2:] == [3, 1]
    sav_format.FORMAT.prune(
        tmp_path / "a.json", tmp_path / "b.json", set(table.masks["source_key"])
    )
    assert len(read(tmp_path / "b.json", "sav")) == 0
    assert len(read(tmp_path / "b.json", "sav").images) == 5


@pytest.mark.parametrize(
    "size", [(None, None), ("x", 3), (0.0, 0.0), (1e9, 1e9), (float("inf"), 3)]
)
def test_a_size_that_is_not_usable(tmp_path: Path, size: tuple[Any, Any]) -> None:
    frames = [[rle_of(shapes()["ring"])]]
    document = video(frames, video_height=size[0], video_width=size[1])
    table = load_all(sav_format.FORMAT, write(tmp_path / "a.json", document))
    assert (mask_at(table, "a.json#/masklet/0/0") == shapes()["ring"]).all()


def test_broken_files_say_where(tmp_path: Path) -> None:
    text = json.dumps(video([[rle_of(shapes()["ring"])]]))
    source = tmp_path / "a.json"
    source.write_text(text[:250])
    with pytest.raises(SourceError, match="byte 250"):
        read(source, "sav")
    source.write_text(json.dumps(video([]) | {"masklet": 3}))
    with pytest.raises(SourceError, match="masklet is a number"):
        read(source, "sav")
    (tmp_path / "void").mkdir()
    with pytest.raises(SourceError, match="no SA-V JSON"):
        read(tmp_path / "void", "sav")


def test_prune_changes_only_the_dropped(tmp_path: Path) -> None:
    dot = rle_of(shapes()["dot"])
    document = video([[dot, dot], [dot, dot]])
    source = tmp_path / "a.json"
    source.write_text(json.dumps(document, indent=2) + "\n")
    sav_format.FORMAT.prune(source, tmp_path / "b.json", {"a.json#/masklet/1/0"})
    document["masklet"] = [[dot, dot], [rle_of(shapes()["dot"] & False), dot]]
    assert json.loads((tmp_path / "b.json").read_text()) == document
    before, after = source.read_text(), (tmp_path / "b.json").read_text()
    start = next(i for i in range(len(before)) if before[i] != after[i])
    assert after[-200:] == before[-200:]
    assert before[:start].endswith("[\n      {")
    for key in ("a.json#/masklet/9/0", "a.json#/masklet/1/2"):
        with pytest.raises(CallError, match="not in it"):
            sav_format.FORMAT.prune(source, tmp_path / "c.json", {key})
    with pytest.raises(CallError, match="names no mask"):
        sav_format.FORMAT.prune(source, tmp_path / "c.json", {"a.json#/masklet/x"})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["size", "counts", "x"]), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(JSON, JSON, JSON)
def test_any_values_are_findings_or_errors(
    tmp_path_factory: pytest.TempPathFactory, frame: Any, size: Any, other: Any
) -> None:
    dot = rle_of(shapes()["dot"])
    document = video(
        [[dot, frame], frame],
        video_height=size,
        video_frame_count=other,
        masklet_id=other,
        masklet_stability_score=frame,
        video_id=other,
    )
    source = write(tmp_path_factory.mktemp("sav") / "a.json", document)
    with suppress(CurateError):
        table = load_all(sav_format.FORMAT, source)
        assert table.masks["source_key"].iloc[0] == "a.json#/masklet/0/0"
        sav_format.FORMAT.prune(source, source.with_name("b.json"), set(table.masks["source_key"]))
        assert len(read(source.with_name("b.json"), "sav")) == 0
