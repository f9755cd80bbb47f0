from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mask_files import (
    HEIGHT,
    WIDTH,
    bomb,
    counts_of,
    load_all,
    mask_at,
    save_png,
    shapes,
    tree,
)
from PIL import Image
from random_cases import draws

from curate.errors import CallError, CurateError, SourceError
from curate.formats.edits import Addition, Change, Edits
from curate.formats.png import id_masks, label_png_format
from curate.formats.png.id_rewriting import CHANNELS, write_ids
from curate.formats.reading import detect, read

IDS = (1, 2, 7, 15)


def scene(ids: tuple[int, ...] = IDS, dtype: Any = np.uint8) -> np.ndarray:
    labels = np.zeros((HEIGHT, WIDTH), dtype)
    made = shapes()
    for value, name in zip(ids, ("ring", "parts", "dot", "corner"), strict=True):
        labels[made[name]] = value
    return labels


def chunk(kind: bytes, body: bytes) -> bytes:
    crc = struct.pack(">I", zlib.crc32(kind + body))
    return struct.pack(">I", len(body)) + kind + body + crc


def raw_png(samples: np.ndarray, depth: int, color: int, interlaced: bool = False) -> bytes:
    """Write a PNG of any depth, colour and interlacing, with all filters and odd chunks in it."""
    height, width = samples.shape[:2]
    samples = samples.reshape(height, width, -1)
    data = b""
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2)]
    for x, y, dx, dy in [*passes, (0, 1, 1, 2)] if interlaced else [(0, 0, 1, 1)]:
        part = samples[y::dy, x::dx]
        if part.shape[0] == 0 or part.shape[1] == 0:
            continue
        step = max(1, depth * samples.shape[2] // 8)
        above = np.zeros(-(-part.shape[1] * samples.shape[2] * depth // 8), np.uint8)
        for i, row in enumerate(part):
            if depth == 16:
                packed = np.frombuffer(row.astype(">u2").tobytes(), np.uint8)
            elif depth == 8:
                packed = row.astype(np.uint8).ravel()
            else:
                bits = row.astype(np.uint8).reshape(-1, 1) >> np.arange(depth - 1, -1, -1)
                packed = np.packbits((bits & 1).astype(np.uint8).ravel())
            data += bytes([i % 5]) + filtered(i % 5, packed, above, step)
            above = packed
    head = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, int(interlaced))
    palette = [chunk(b"PLTE", bytes(range(48)))] if color == 3 else []
    stream = zlib.compress(data)
    pieces = [
        chunk(b"IHDR", head),
        *palette,
        chunk(b"tEXt", b"Comment\0made by hand"),
        chunk(b"IDAT", stream[:20]),
        chunk(b"IDAT", stream[20:]),
        chunk(b"prVt", b"private"),
        chunk(b"IEND", b""),
        b"behind the end",
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(pieces)


def filtered(kind: int, row: np.ndarray, above: np.ndarray, step: int) -> bytes:
    out = bytearray()
    for i, value in enumerate(row.tolist()):
        a = int(row[i - step]) if i >= step else 0
        b = int(above[i])
        c = int(above[i - step]) if i >= step else 0
        near = min((abs(b - c), 0, a), (abs(a - c), 1, b), (abs(a + b - 2 * c), 2, c))[2]
        out.append((value - (0, a, b, (a + b) // 2, near)[kind]) % 256)
    return bytes(out)


def blanked(png: bytes, ids: set[int], tmp_path: Path) -> bytes:
    source = tmp_path / "in.png"
    source.write_bytes(png)
    out = io.BytesIO()
    write_ids(source, out, ids)
    return out.getvalue()


# --- reading -------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["L", "I;16", "P", "RGB", "RGBA"])
def test_every_id_is_a_mask(tmp_path: Path, mode: str) -> None:
    big = mode in ("I;16", "RGB", "RGBA")
    ids = (1, 255, 256, 65_535) if big else IDS
    labels = scene(ids, np.int64)
    path = tmp_path / "cells.png"
    if mode == "I;16":
        save_png(path, labels.astype(np.uint16))
    elif mode in ("RGB", "RGBA"):
        ids = (*ids[:3], 70_000)
        labels = scene(ids, np.int64)
        channels = [labels % 256, labels // 256 % 256, labels // 65536]
        channels += [np.full_like(labels, 9)] if mode == "RGBA" else []
        save_png(path, np.stack(channels, axis=2).astype(np.uint8))
    else:
        picture = Image.fromarray(labels.astype(np.uint8))
        if mode == "P":
            picture = picture.convert("P")
            picture.putdata(labels.ravel().tolist())
        picture.save(path)
    table = load_all(label_png_format.FORMAT, path)
    assert table.masks["source_key"].tolist() == [f"cells.png#{i}" for i in ids]
    assert table.masks.index.tolist() == list(ids)
    for value in ids:
        assert (mask_at(table, f"cells.png#{value}") == (labels == value)).all()
    assert detect(path).name == "label-png"


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(("depth", "color"), [(1, 0), (2, 0), (4, 0), (8, 0), (16, 0), (4, 3)])
def test_every_depth(tmp_path: Path, depth: int, color: int, interlaced: bool) -> None:
    labels = scene(dtype=np.int64) % 2**depth
    (tmp_path / "a.png").write_bytes(raw_png(labels, depth, color, interlaced))
    table = load_all(label_png_format.FORMAT, tmp_path / "a.png")
    ids = sorted(set(np.unique(labels).tolist()) - {0})
    assert table.masks.index.tolist() == ids
    for value in ids:
        assert (mask_at(table, f"a.png#{value}") == (labels == value)).all()


def test_a_mask_across_strips_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.random.default_rng(3).integers(0, 5, (HEIGHT, WIDTH)).astype(np.uint8)
    labels[:, 10:30] = 3  # a run over several strips
    save_png(tmp_path / "a.png", labels)
    whole = read(tmp_path / "a.png", "label-png").masks["segmentation"].tolist()
    monkeypatch.setattr(id_masks, "_STRIP_PIXELS", 3 * HEIGHT)
    strips = read(tmp_path / "a.png", "label-png").masks["segmentation"].tolist()
    assert strips == whole


def test_a_folder_with_pictures_beside(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    for name in ("a", "b"):
        save_png(tmp_path / "images" / f"{name}.png", noise)
        save_png(tmp_path / "labels" / "deep" / f"{name}.png", scene())
    save_png(tmp_path / "labels" / "empty.png", scene() * 0)
    table = load_all(label_png_format.FORMAT, tmp_path)
    assert table.images["file_name"].tolist() == [
        "labels/deep/a.png",
        "labels/deep/b.png",
        "labels/empty.png",
    ]
    assert len(table) == 8
    assert table.masks["source_key"].is_unique


def test_photos_are_not_taken(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    save_png(tmp_path / "a.png", noise)
    save_png(tmp_path / "b.png", noise[..., 0])
    assert not label_png_format.FORMAT.matches(tmp_path)
    assert not label_png_format.FORMAT.matches(tmp_path / "b.png")
    (tmp_path / "none").mkdir()
    with pytest.raises(SourceError, match="there is no PNG"):
        read(tmp_path / "none", "label-png")


def test_broken_pngs_are_images_with_a_status(tmp_path: Path) -> None:
    save_png(tmp_path / "a.png", scene())
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:90])
    (tmp_path / "c.png").write_text("no")
    bomb(tmp_path / "d.png", 40_000, 40_000)
    bomb(tmp_path / "e.png", 2**31 - 1, 3)
    (tmp_path / "f.png").write_bytes(raw_png(np.zeros((5, 5, 3)), 16, 2))
    rng = np.random.default_rng(1)
    save_png(tmp_path / "g.png", rng.integers(0, 255, (400, 400, 3)).astype(np.uint8))
    table = read(tmp_path, "label-png")
    assert table.images["status"].tolist() == [
        "ok",
        "unreadable",
        "unreadable",
        "unreadable",
        "invalid_size",
    ]
    note = table.notes[0]
    assert (note.kind, note.count, note.of, note.examples) == ("no_ids", 2, "files", NO_IDS)
    assert len(table) == 4
    alone = read(tmp_path / "g.png", "label-png")
    assert alone.images["status"].tolist() == ["unreadable"]
    assert "no picture of ids" in alone.images["status_detail"].iloc[0]


NO_IDS = ("f.png", "g.png")


# --- pruning -------------------------------------------------------------------------------------


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(
    ("depth", "color"),
    [(d, 0) for d in (1, 2, 4, 8, 16)] + [(d, 3) for d in (1, 2, 4, 8)] + [(8, 2), (8, 4), (8, 6)],
)
def test_only_pixels_change(tmp_path: Path, depth: int, color: int, interlaced: bool) -> None:
    labels = scene() % np.uint8(min(2**depth, 16))
    channels = CHANNELS[color]
    samples = np.stack([labels] + [labels * 0] * (channels - 1), axis=2)
    png = raw_png(samples, depth, color, interlaced)
    value = int(labels.max())
    after = blanked(png, {value}, tmp_path)
    samples[labels == value, 0] = 0
    expected = raw_png(samples, depth, color, interlaced)
    (tmp_path / "after.png").write_bytes(after)
    (tmp_path / "expected.png").write_bytes(expected)
    with Image.open(tmp_path / "after.png") as a, Image.open(tmp_path / "expected.png") as b:
        assert a.mode == b.mode
        assert a.info == b.info
        assert a.getpalette() == b.getpalette()
        assert (np.asarray(a) == np.asarray(b)).all()
    for piece in (b"tEXtComment\0made by hand", b"prVtprivate", png[16:29], b"behind the end"):
        assert piece in after


def test_prune_touches_only_pngs_that_lose_a_mask(tmp_path: Path) -> None:
    source = tmp_path / "in"
    for name in ("a#1.png", "sub/b.png", "c.png"):
        save_png(source / name, scene(), optimize=True)
    (source / "notes.txt").write_text("x")
    before = tree(source)
    label_png_format.FORMAT.prune(source, tmp_path / "all", set())
    assert tree(tmp_path / "all") == before
    label_png_format.FORMAT.prune(
        source, tmp_path / "some", {"a#1.png#7", "sub/b.png#1", "sub/b.png#15"}
    )
    after = tree(tmp_path / "some")
    assert {n for n in before if before[n] != after[n]} == {"a#1.png", "sub/b.png"}
    keys = set(read(source, "label-png").masks["source_key"])
    left = set(read(tmp_path / "some", "label-png").masks["source_key"])
    assert keys - left == {"a#1.png#7", "sub/b.png#1", "sub/b.png#15"}
    assert left <= keys


def test_prune_of_one_file(tmp_path: Path) -> None:
    save_png(tmp_path / "a.png", scene())
    label_png_format.FORMAT.prune(tmp_path / "a.png", tmp_path / "b.png", {"a.png#2"})
    after = np.asarray(Image.open(tmp_path / "b.png"))
    assert (after == np.where(scene() == 2, 0, scene())).all()
    with pytest.raises(CallError, match="exists already"):
        label_png_format.FORMAT.prune(tmp_path / "a.png", tmp_path / "b.png", set())
    with pytest.raises(CallError, match="names no mask"):
        label_png_format.FORMAT.prune(tmp_path / "a.png", tmp_path / "c.png", {"a.png#x"})


@given(
    st.integers(1, 9),
    st.integers(1, 9),
    st.sampled_from([1, 2, 4, 8, 16]),
    st.booleans(),
    st.data(),
)
def test_any_picture_blanked(
    tmp_path_factory: pytest.TempPathFactory,
    height: int,
    width: int,
    depth: int,
    interlaced: bool,
    data: st.DataObject,
) -> None:
    top = 2**depth - 1
    values = data.draw(
        st.lists(st.integers(0, top), min_size=height * width, max_size=height * width)
    )
    labels = np.array(values).reshape(height, width)
    ids = set(data.draw(st.lists(st.sampled_from(values), max_size=4)))
    folder = tmp_path_factory.mktemp("ids")
    after = blanked(raw_png(labels, depth, 0, interlaced), ids, folder)
    (folder / "a.png").write_bytes(after)
    kept = np.where(np.isin(labels, list(ids)), 0, labels)
    table = read(folder / "a.png", "label-png")
    assert table.masks.index.tolist() == sorted(set(kept.ravel().tolist()) - {0})
    for value in table.masks.index:
        assert (mask_at(table, f"a.png#{value}") == (kept == value)).all()


@given(st.integers(8, 200), st.binary(min_size=1, max_size=8))
def test_any_png_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, at: int, junk: bytes
) -> None:
    path = tmp_path_factory.mktemp("ids") / "a.png"
    png = raw_png(scene(), 8, 0)
    path.write_bytes(png[:at] + junk + png[at + len(junk) :])
    assert len(read(path, "label-png").images) == 1
    try:
        label_png_format.FORMAT.prune(path, path.with_name("out.png"), {"a.png#1"})
    except CurateError:
        assert not path.with_name("out.png").exists()


# --- edits ---------------------------------------------------------------------------------------

KINDS = [(4, 0), (8, 0), (16, 0), (4, 3), (8, 2), (8, 4), (8, 6)]  # depth and colour
TOP = {
    (4, 0): 15,
    (8, 0): 255,
    (16, 0): 65535,
    (4, 3): 15,
    (8, 2): 70_000,
    (8, 4): 255,
    (8, 6): 300,
}


def samples_of(labels: np.ndarray, color: int) -> np.ndarray:
    if color in (2, 6):
        channels = [labels % 256, labels // 256 % 256, labels // 65536, labels * 0 + 9]
        return np.stack(channels[: CHANNELS[color]], axis=2)
    return np.stack([labels, labels * 0 + 5][: CHANNELS[color]], axis=2)


def boxes(height: int, width: int) -> st.SearchStrategy[np.ndarray]:
    def drawn(corners: tuple[int, int, int, int]) -> np.ndarray:
        mask = np.zeros((height, width), bool)
        y, x, h, w = corners
        mask[y : y + h, x : x + w] = True
        return mask

    sides = (
        st.integers(0, height - 1),
        st.integers(0, width - 1),
        st.integers(1, 6),
        st.integers(1, 6),
    )
    return st.tuples(*sides).map(drawn)


def divided(
    labels: np.ndarray, gone: set[int], claims: list[tuple[int, np.ndarray]], overlap: str | None
) -> tuple[np.ndarray, bool]:
    """Paint pixel by pixel, in the plainest way; also whether two masks wanted the same pixel."""
    after, clash = np.where(np.isin(labels, list(gone)), 0, labels), False
    for value, mask in claims:
        for at in map(tuple, np.argwhere(mask)):
            clash |= after[at] != 0
            if after[at] == 0 or overlap != "old":
                after[at] = value
    return after, clash


@draws(40)
@given(
    st.sampled_from(KINDS),
    st.booleans(),
    st.tuples(st.integers(6, 13), st.integers(6, 13)),
    st.sampled_from([None, "new", "old"]),
    st.data(),
)
def test_any_edits_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory,
    kind: tuple[int, int],
    interlaced: bool,
    size: tuple[int, int],
    overlap: str | None,
    data: st.DataObject,
) -> None:
    folder = tmp_path_factory.mktemp("ids")
    source, out = folder / "in" / "a#b.png", folder / "out"
    source.parent.mkdir()
    values = data.draw(st.sampled_from([(1, 2, 3), (1, 3, TOP[kind] - 1), (2, 4, TOP[kind])]))
    labels = np.zeros(size, np.int64)
    for value in values:
        labels[data.draw(boxes(*size))] = value
    source.write_bytes(raw_png(samples_of(labels, kind[1]), *kind, interlaced))
    save_png(source.with_name("other.png"), scene())
    present = sorted(set(labels.ravel().tolist()) - {0})
    drop = set(data.draw(st.lists(st.sampled_from(present), max_size=1)))
    redrawn = set(data.draw(st.lists(st.sampled_from(present), max_size=2))) - drop
    claims = [(value, data.draw(boxes(*size))) for value in sorted(redrawn)]
    new = data.draw(st.lists(boxes(*size), max_size=2))
    largest = 2**24 - 1 if kind[1] in (2, 6) else 2 ** kind[0] - 1
    ids = [i for i in range(max(present) + 1, max(present) + 3) if i <= largest]
    ids += [i for i in range(1, 9) if i not in present and i < max(present)]
    every = [*claims, *zip(ids, new, strict=False)]
    gone = drop | redrawn
    after, clash = divided(labels, gone, every, overlap)
    edits = Edits(
        frozenset(f"a#b.png#{value}" for value in drop),
        {f"a#b.png#{value}": Change(counts_of(mask)) for value, mask in claims},
        [Addition("a#b.png", counts_of(mask), *size) for mask in new],
        overlap=overlap,
    )
    left = {*present, *(value for value, _ in every)} - drop
    if (overlap is None and clash) or left - set(after.ravel().tolist()):
        with pytest.raises(CallError, match="--overlap"):
            label_png_format.FORMAT.write(source.parent, out, edits)
        assert not out.exists()
        return
    stored = label_png_format.FORMAT.write(source.parent, out, edits)
    assert stored.runs == len(claims) + len(new)
    expected = raw_png(samples_of(after, kind[1]), *kind, interlaced)
    (folder / "expected.png").write_bytes(expected)
    with Image.open(out / "a#b.png") as a, Image.open(folder / "expected.png") as b:
        assert (a.mode, a.info, a.getpalette()) == (b.mode, b.info, b.getpalette())
        assert (np.asarray(a) == np.asarray(b)).all()
    if drop or every:
        for piece in (b"tEXtComment\0made by hand", b"prVtprivate", b"behind the end"):
            assert piece in (out / "a#b.png").read_bytes()
    else:
        assert (out / "a#b.png").read_bytes() == source.read_bytes()
    assert (out / "other.png").read_bytes() == source.with_name("other.png").read_bytes()
    meant: dict[str | int, np.ndarray] = {f"a#b.png#{v}": labels == v for v in present}
    meant |= {f"a#b.png#{v}": mask for v, mask in claims} | dict(enumerate(new))
    owners = {f"a#b.png#{v}": v for v in present} | dict(enumerate(ids))
    held = {
        key: counts_of(after == owners[key])
        for key, mask in meant.items()
        if owners[key] not in drop and (after != owners[key])[mask].any()
    }
    assert stored.held == held


def test_clashes_say_how_many_and_where(tmp_path: Path) -> None:
    save_png(tmp_path / "in" / "a.png", scene())
    corner, dot = shapes()["corner"], shapes()["dot"]
    edits = Edits(
        change={"a.png#7": Change(counts_of(corner | dot))},
        add=[Addition("a.png", counts_of(dot), HEIGHT, WIDTH)],
    )
    with pytest.raises(CallError) as caught:
        label_png_format.FORMAT.write(tmp_path / "in", tmp_path / "out", edits)
    assert caught.value.what == (
        "2 changed or added masks cover pixels of other masks, such as a.png#7, "
        "which covers 15 of the id 15"
    )


@pytest.mark.parametrize(("depth", "color", "ids", "new"), [(8, 3, (1, 15), 2), (2, 0, (2, 3), 1)])
def test_an_id_beyond_depth_or_palette_is_not_taken(
    tmp_path: Path, depth: int, color: int, ids: tuple[int, int], new: int
) -> None:
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    labels[:4, :4], labels[9:, 9:] = ids
    (tmp_path / "a.png").write_bytes(raw_png(labels, depth, color))  # its palette has 16 colours
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[5, 5] = True
    add = [Addition("a.png", counts_of(mask), HEIGHT, WIDTH)]
    label_png_format.FORMAT.write(tmp_path / "a.png", tmp_path / "b.png", Edits(add=add))
    assert (mask_at(read(tmp_path / "b.png"), f"b.png#{new}") == mask).all()


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        ({"drop": frozenset({"a.png#9"})}, "no mask with the id 9"),
        ({"change": {"a.png#9": Change(b"0")}}, "no mask with the id 9"),
        ({"change": {"z.png#1": Change(b"0")}}, "names no mask"),
        ({"change": {"a.png#1": Change(b"0")}}, "does not fit the image"),
        (
            {"change": {"a.png#1": Change(category="cat")}},
            "no categories; write COCO with --to coco",
        ),
        ({"change": {"a.png#1": Change(attributes={"a": "b"})}}, "no place for attributes"),
        ({"change": {"a.png#1": Change(b"0")}, "masks": "polygon"}, "no polygons"),
        ({"add": [Addition("z.png", b"0", HEIGHT, WIDTH)]}, "names no image"),
        ({"add": [Addition("a.png", b"0", 1, 1)]}, "its image 53 x 37"),
        (
            {"add": [Addition("bit.png", counts_of(shapes()["dot"]), HEIGHT, WIDTH)]},
            "no id is left",
        ),
    ],
)
def test_edits_that_are_refused(tmp_path: Path, edits: dict[str, Any], message: str) -> None:
    save_png(tmp_path / "in" / "a.png", scene())
    save_png(tmp_path / "in" / "bit.png", shapes()["corner"], "1")
    with pytest.raises(CallError, match=message):
        label_png_format.FORMAT.write(tmp_path / "in", tmp_path / "out", Edits(**edits))
    assert not (tmp_path / "out").exists()
