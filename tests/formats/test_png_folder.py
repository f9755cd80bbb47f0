from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mask_files import (
    HEIGHT,
    WIDTH,
    counts_of,
    load_all,
    mask_at,
    save_png,
    shapes,
    status_at,
    tree,
)
from PIL import Image
from random_cases import draws

from curate.errors import CallError, SourceError
from curate.formats.edits import Addition, Change, Edits
from curate.formats.png import png_folder_format
from curate.formats.reading import detect, read

GRAY = np.zeros((HEIGHT, WIDTH), np.uint8)


def bowl(root: Path, image: str, masks: dict[str, np.ndarray], picture: bool = True) -> Path:
    """Make an image in the Data Science Bowl's layout."""
    for name, mask in masks.items():
        save_png(root / image / "masks" / f"{name}.png", mask)
    if picture:
        save_png(root / image / "images" / f"{image}.png", GRAY, "RGBA")
    return root


def test_every_shape_in_both_layouts(tmp_path: Path) -> None:
    made = shapes()
    bowl(tmp_path / "bowl", "a1", made)
    bowl(tmp_path / "bowl", "b2", {"x": made["ring"]}, picture=False)
    for name, mask in made.items():
        save_png(tmp_path / "named" / "masks" / "a1" / f"{name}.PNG", mask)
    Image.fromarray(GRAY).save(tmp_path / "named" / "masks" / "thumbs.jpg")
    bowl_table = load_all(png_folder_format.FORMAT, tmp_path / "bowl")
    named_table = load_all(png_folder_format.FORMAT, tmp_path / "named")
    for name, mask in made.items():
        assert (mask_at(bowl_table, f"a1/masks/{name}.png") == mask).all()
        assert (mask_at(named_table, f"masks/a1/{name}.PNG") == mask).all()
    assert bowl_table.images["file_name"].tolist() == ["a1/images/a1.png", "b2"]
    assert named_table.images["file_name"].tolist() == ["a1"]
    assert detect(tmp_path / "bowl").name == detect(tmp_path / "named").name == "png-folder"


def test_one_image_of_the_bowl_alone(tmp_path: Path) -> None:
    bowl(tmp_path, "a1", {"x": shapes()["dot"]})
    table = load_all(png_folder_format.FORMAT, tmp_path / "a1")
    assert table.masks["source_key"].tolist() == ["masks/x.png"]
    assert table.images["file_name"].tolist() == ["images/a1.png"]


def test_pictures_by_name_and_images_without_masks(tmp_path: Path) -> None:
    save_png(tmp_path / "masks" / "a" / "0.png", shapes()["dot"])
    (tmp_path / "masks" / "empty").mkdir()
    for name in ("a.jpg", "unmasked.jpg"):
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.fromarray(GRAY).save(tmp_path / "images" / name)
    table = load_all(png_folder_format.FORMAT, tmp_path)
    assert table.images["file_name"].tolist() == ["images/a.jpg", "empty", "images/unmasked.jpg"]
    assert table.images["height"].tolist() == [HEIGHT, 0, HEIGHT]


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "I;16"])
def test_every_kind_of_png(tmp_path: Path, mode: str) -> None:
    mask = shapes()["parts"]
    if mode == "I;16":
        save_png(tmp_path / "a" / "masks" / "0.png", mask.astype(np.uint16) * 300)
    else:
        save_png(tmp_path / "a" / "masks" / "0.png", mask, mode)
    assert (mask_at(load_all(png_folder_format.FORMAT, tmp_path), "a/masks/0.png") == mask).all()


def test_a_transparent_pixel_is_background(tmp_path: Path) -> None:
    mask = shapes()["ring"]
    white = np.full((HEIGHT, WIDTH, 4), 255, np.uint8)
    white[..., 3] = mask * 255
    save_png(tmp_path / "a" / "masks" / "0.png", white)
    assert (mask_at(load_all(png_folder_format.FORMAT, tmp_path), "a/masks/0.png") == mask).all()


def test_a_dark_palette_colour_is_foreground(tmp_path: Path) -> None:
    mask = shapes()["ring"]
    picture = Image.fromarray(mask.astype(np.uint8), "L").convert("P")
    picture.putdata(mask.astype(np.uint8).ravel().tolist())
    picture.putpalette([0, 0, 0, 1, 0, 0])
    (tmp_path / "a" / "masks").mkdir(parents=True)
    picture.save(tmp_path / "a" / "masks" / "0.png")
    assert (mask_at(load_all(png_folder_format.FORMAT, tmp_path), "a/masks/0.png") == mask).all()


def test_findings(tmp_path: Path) -> None:
    mask = shapes()["ring"]
    bowl(tmp_path, "a", {"good": mask, "turned": mask.T, "empty": mask & False, "cut": mask})
    masks = tmp_path / "a" / "masks"
    cut = masks / "cut.png"
    cut.write_bytes(cut.read_bytes()[:60])
    (masks / "text.png").write_text("hello")
    (masks / "nothing.png").write_bytes(b"")
    (masks / "gone.png").symlink_to(tmp_path / "absent")
    (masks / ".DS_Store").write_text("x")
    table = load_all(png_folder_format.FORMAT, tmp_path)
    found = {key.split("/")[-1]: status_at(table, key)[0] for key in table.masks["source_key"]}
    assert found == {
        "good.png": "ok",
        "turned.png": "size_mismatch",
        "empty.png": "empty",
        "cut.png": "undecodable",
        "text.png": "undecodable",
        "nothing.png": "undecodable",
        "gone.png": "no_segmentation",
    }
    kept = tmp_path.with_name(f"{tmp_path.name}-kept")
    png_folder_format.FORMAT.prune(tmp_path, kept, {"a/masks/gone.png"})
    assert len(read(kept, "png-folder")) == len(table) - 1


def test_a_broken_picture_leaves_the_masks_their_size(tmp_path: Path) -> None:
    bowl(tmp_path, "a", {"x": shapes()["ring"]})
    (tmp_path / "a" / "images" / "a.png").write_text("no picture")
    table = read(tmp_path, "png-folder")
    assert table.images["status"].tolist() == ["unreadable"]
    assert table.masks["status"].tolist() == ["ok"]


def test_masks_drawn_on_a_picture_that_exif_turns(tmp_path: Path) -> None:
    mask = shapes()["ring"]
    bowl(tmp_path, "a", {"x": mask}, picture=False)
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "a" / "images").mkdir()
    Image.new("L", (HEIGHT, WIDTH)).save(tmp_path / "a" / "images" / "a.jpg", exif=exif)
    table = read(tmp_path, "png-folder")
    assert table.images["status"].tolist() == ["exif_rotated"]
    assert (mask_at(table, "a/masks/x.png") == mask).all()


def test_prune_drops_only_the_pngs(tmp_path: Path) -> None:
    source = tmp_path / "source"
    bowl(source, "a", shapes())
    bowl(source, 'שלום "b"\n', {"x": shapes()["dot"], "y": shapes()["dot"]})
    (source / "notes.txt").write_text("keep me")
    (source / "void").mkdir()
    before = tree(source)
    png_folder_format.FORMAT.prune(source, tmp_path / "all", set())
    assert tree(tmp_path / "all") == before
    assert (tmp_path / "all" / "void").is_dir()
    drop = {"a/masks/ring.png", 'שלום "b"\n/masks/x.png'}
    png_folder_format.FORMAT.prune(source, tmp_path / "some", drop)
    assert tree(tmp_path / "some") == {n: c for n, c in before.items() if n not in drop}
    for key in ("a/masks/absent.png", "a/images/a.png"):
        with pytest.raises(CallError):
            png_folder_format.FORMAT.prune(source, tmp_path / "other", {key})
    assert not (tmp_path / "other").exists()
    after = read(tmp_path / "some", "png-folder")
    assert set(after.masks["source_key"]) == set(read(source).masks["source_key"]) - drop


def test_names_that_are_no_text(tmp_path: Path) -> None:
    bowl(tmp_path / "in", "a", {"x": shapes()["dot"]})
    odd = (tmp_path / "in" / "a" / "masks").as_posix().encode() + b"/\xff.png"
    Path(odd.decode("utf-8", "surrogateescape")).write_bytes(
        (tmp_path / "in" / "a" / "masks" / "x.png").read_bytes()
    )
    keys = read(tmp_path / "in", "png-folder").masks["source_key"].tolist()
    assert keys == ["a/masks/x.png", "a/masks/\\udcff.png"]
    png_folder_format.FORMAT.prune(tmp_path / "in", tmp_path / "out", {keys[1]})
    assert read(tmp_path / "out", "png-folder").masks["source_key"].tolist() == keys[:1]


@pytest.mark.parametrize("split", ["train", "val2017", "x"])
@pytest.mark.parametrize("pictures", [True, False])
def test_splits_between(tmp_path: Path, split: str, pictures: bool) -> None:
    made = shapes()
    for part in (split, "test"):
        for name in ("a", "b"):
            save_png(tmp_path / "masks" / part / name / "0.png", made["ring"])
            save_png(tmp_path / "masks" / part / name / "1.png", made["dot"])
            if pictures or split == "x":
                save_png(tmp_path / "images" / part / f"{name}.png", made["full"])
    table = load_all(png_folder_format.FORMAT, tmp_path)
    assert len(table.images) == 4
    assert (mask_at(table, f"masks/{split}/b/1.png") == made["dot"]).all()
    if pictures:
        assert f"images/{split}/a.png" in table.images["file_name"].tolist()


def test_other_folders_are_not_taken(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):  # label images with their pictures
        save_png(tmp_path / "masks" / name, GRAY)
        save_png(tmp_path / "images" / name, GRAY)
    assert not png_folder_format.matches(tmp_path)
    assert not png_folder_format.matches(tmp_path / "absent")
    with pytest.raises(SourceError, match="there is no <image>/masks/"):
        read(tmp_path / "images", "png-folder")


@given(st.binary(max_size=200))
def test_any_file_is_a_finding(tmp_path_factory: pytest.TempPathFactory, junk: bytes) -> None:
    root = bowl(tmp_path_factory.mktemp("bowl"), "a", {"x": shapes()["dot"]})
    (root / "a" / "masks" / "junk.png").write_bytes(junk)
    (root / "a" / "images" / "a.png").write_bytes(junk)
    table = read(root, "png-folder")
    assert len(table) == 2
    assert (mask_at(table, "a/masks/x.png") == shapes()["dot"]).all()


# --- edits ---------------------------------------------------------------------------------------


def added(key: str, shape: str, **more: Any) -> Addition:
    return Addition(key, counts_of(shapes()[shape]), HEIGHT, WIDTH, **more)


@draws(15)
@given(
    st.dictionaries(
        st.tuples(st.sampled_from(["a", "b"]), st.sampled_from(["3", "12", "cell"])),
        st.tuples(st.sampled_from([*shapes()]), st.sampled_from(["", "drop", *shapes()])),
        min_size=1,
    ),
    st.lists(st.tuples(st.sampled_from(["a", "b"]), st.sampled_from([*shapes()])), max_size=3),
    st.booleans(),
)
def test_any_edits_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory,
    masks: dict[tuple[str, str], tuple[str, str]],
    new: list[tuple[str, str]],
    by_name: bool,
) -> None:
    source = tmp_path_factory.mktemp("bowl") / "in"
    folders = {name: f"masks/{name}" if by_name else f"{name}/masks" for name in ("a", "b")}
    for name, folder in folders.items():
        picture = f"images/{name}.png" if by_name else f"{name}/images/{name}.png"
        save_png(source / picture, GRAY)
        (source / folder).mkdir(parents=True)
    meant: dict[str, np.ndarray] = {}
    drop, change = set[str](), dict[str, Change]()
    for (name, stem), (shape, edit) in masks.items():
        key = f"{folders[name]}/{stem}.png"
        save_png(source / key, shapes()[shape])
        if edit == "drop":
            drop.add(key)
            continue
        meant[key] = shapes()[edit or shape]
        if edit:
            change[key] = Change(counts_of(shapes()[edit]))
    for name in folders:
        stems = [stem for owner, stem in masks if owner == name]
        numbers = bool(stems) and "cell" not in stems
        first = max(map(int, stems)) + 1 if numbers else 1
        for i, shape in enumerate(shape for owner, shape in new if owner == name):
            stem = str(first + i) if numbers else f"added_{first + i:04d}"
            meant[f"{folders[name]}/{stem}.png"] = shapes()[shape]
    out = source.with_name("out")
    add = [added(folders[name], shape) for name, shape in new]
    stored = png_folder_format.FORMAT.write(source, out, Edits(frozenset(drop), change, add))
    assert (stored.runs, stored.polygons) == (len(change) + len(new), 0)
    before, after = tree(source), tree(out)
    assert set(after) == set(before) - drop | set(meant)
    for key, content in before.items():
        assert key in drop or key in change or after[key] == content
    for key, mask in meant.items():
        with Image.open(out / key) as picture:
            assert (np.asarray(picture) == mask * np.uint8(255)).all()
    table = read(out, "png-folder")
    assert set(table.masks["source_key"]) == set(meant)
    assert all((mask_at(table, key) == mask).all() for key, mask in meant.items())


@pytest.mark.parametrize("kind", ["gray", "palette", "two values", "broken", "16 bits"])
def test_a_redrawn_png_is_of_the_old_ones_kind(tmp_path: Path, kind: str) -> None:
    ring, dot = shapes()["ring"], shapes()["dot"]
    path = bowl(tmp_path / "in", "a", {"x": ring}) / "a" / "masks" / "x.png"
    values = {"gray": ring * np.uint8(7), "two values": ring * np.uint8(7) + dot}
    values["16 bits"] = ring * np.uint16(700)
    if kind in values:
        save_png(path, values[kind])
    elif kind == "palette":
        save_png(path, ring, "P")
    else:
        path.write_bytes(path.read_bytes()[:-30])
    change = {"a/masks/x.png": Change(counts_of(dot))}
    png_folder_format.FORMAT.write(tmp_path / "in", tmp_path / "out", Edits(change=change))
    with Image.open(tmp_path / "out" / "a" / "masks" / "x.png") as picture:
        assert picture.mode == "L"
        assert (np.asarray(picture) == dot * np.uint8(7 if kind == "gray" else 255)).all()


def test_new_masks_of_images_that_had_none(tmp_path: Path) -> None:
    save_png(tmp_path / "in" / "masks" / "a" / "007.png", shapes()["dot"])
    for name in ("a", "unmasked"):
        save_png(tmp_path / "in" / "images" / f"{name}.png", GRAY)
    table = read(tmp_path / "in", "png-folder")
    assert table.images["source_key"].tolist() == ["masks/a", "masks/unmasked"]
    edits = Edits(add=[added(key, "ring") for key in table.images["source_key"]])
    png_folder_format.FORMAT.write(tmp_path / "in", tmp_path / "out", edits)
    keys = ["masks/a/007.png", "masks/a/008.png", "masks/unmasked/added_0001.png"]
    assert read(tmp_path / "out", "png-folder").masks["source_key"].tolist() == keys


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        ({"change": {"a/masks/z.png": Change(b"0")}}, "names no mask"),
        ({"change": {"b/masks/x.png": Change(b"0")}}, "names no mask"),
        ({"change": {"a/masks/x.png": Change(b"0")}}, "does not fit the image"),
        (
            {"change": {"a/masks/x.png": Change(category="cat")}},
            "no categories; write COCO with --to coco",
        ),
        ({"add": [added("a/masks", "dot", attributes={"a": "b"})]}, "no place for attributes"),
        ({"add": [added("a/masks", "dot")], "masks": "polygon"}, "no polygons"),
        ({"add": [added("b/masks", "dot")]}, "names no image"),
        ({"add": [Addition("a/masks", b"0", 1, 1)]}, "its image 53 x 37"),
    ],
)
def test_edits_that_are_refused(tmp_path: Path, edits: dict[str, Any], message: str) -> None:
    bowl(tmp_path / "in", "a", {"x": shapes()["dot"]})
    with pytest.raises(CallError, match=message):
        png_folder_format.FORMAT.write(tmp_path / "in", tmp_path / "out", Edits(**edits))
    assert not (tmp_path / "out").exists()
