"""NumPy arrays of masks as scripts, segmenters and cellpose leave them."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mask_files import counts_of, save_png
from random_cases import draws

from curate.errors import CallError, CurateError, SourceError
from curate.formats.edits import Addition, Change, Edits
from curate.formats.npy import stored_arrays
from curate.formats.npy.label_npy_format import FORMAT
from curate.formats.reading import detect, read
from curate.rle import to_dense

H, W = 60, 90


def box(k: int) -> np.ndarray:
    mask = np.zeros((H, W), bool)
    mask[5 + 15 * k : 15 + 15 * k, 10 + 5 * k : 50 + 5 * k] = True
    return mask


def ids(dtype: Any = np.int32) -> np.ndarray:
    made = np.zeros((H, W), dtype)
    for k in range(3):
        made[box(k)] = 7 * (k + 1)
    return made


def stack() -> np.ndarray:
    return np.stack([box(k) for k in range(3)])


@pytest.mark.parametrize("kind", ["u1", "<u2", ">u4", "<i8", ">i2"])
@pytest.mark.parametrize("fortran", [False, True])
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_whole_numbers_are_ids(tmp_path: Path, kind: str, fortran: bool, suffix: str) -> None:
    values = np.asfortranarray(ids(kind)) if fortran else ids(kind)
    path = tmp_path / f"a{suffix}"
    if suffix == ".npy":
        np.save(path, values)
    else:
        np.savez_compressed(path, masks=values, scores=np.zeros(3))
    assert detect(path).name == "label-npy"
    name = path.name if suffix == ".npy" else "a.npz/masks"
    table = read(path)
    assert table.masks["source_key"].tolist() == [f"{name}#{k}" for k in (7, 14, 21)]
    for row in range(3):
        assert (to_dense(table.runs, row) == box(row)).all()
    new = np.zeros((H, W), bool)
    new[55:, 80:] = True
    edits = Edits(
        drop=frozenset({f"{name}#7"}),
        change={f"{name}#14": Change(counts_of(box(0)))},
        add=[Addition(name, counts_of(new), H, W)],
    )
    out = tmp_path / f"b{suffix}"
    FORMAT.write(path, out, edits)
    assert FORMAT.check_unedited(path, out, edits) == ""
    after = np.load(out)
    made = after if suffix == ".npy" else after["masks"]
    expected = np.select([box(0), box(2), new], [14, 21, 22], 0)
    assert (made == expected).all()
    assert made.dtype == values.dtype
    assert made.flags.f_contiguous == fortran
    if suffix == ".npy":
        assert len(out.read_bytes()) == len(path.read_bytes())
        assert out.read_bytes()[:128] == path.read_bytes()[:128]


@pytest.mark.parametrize("how", ["bool", "bytes", "of 255", "of SAM"])
def test_a_mask_a_layer(tmp_path: Path, how: str) -> None:
    values: Any = stack()
    values = values.astype(np.uint8) if how != "bool" else values
    values = values * np.uint8(255) if how == "of 255" else values
    values = stack()[:, None] if how == "of SAM" else values
    np.save(tmp_path / "a.npy", values)
    table = read(tmp_path / "a.npy")
    assert table.masks["source_key"].tolist() == ["a.npy[0]", "a.npy[1]", "a.npy[2]"]
    over = box(0) | box(1)  # layers overlap as they like
    edits = Edits(
        drop=frozenset({"a.npy[1]"}),
        change={"a.npy[0]": Change(counts_of(over))},
        add=[Addition("a.npy", counts_of(over), H, W)],
    )
    FORMAT.write(tmp_path / "a.npy", tmp_path / "b.npy", edits)
    after = np.load(tmp_path / "b.npy")
    assert after.dtype == values.dtype
    assert ((after.reshape(-1, H, W) > 0) == np.stack([over, box(2), over])).all()
    assert set(np.unique(after).tolist()) == {0, int(values.max())}
    assert FORMAT.check_unedited(tmp_path / "a.npy", tmp_path / "b.npy", edits) == ""


def test_entries_beside_a_layer_go_with_it(tmp_path: Path) -> None:
    scores = np.array([0.1, np.nan, 0.3])
    path, out = tmp_path / "a.npz", tmp_path / "b.npz"
    np.savez(path, masks=stack(), scores=scores, boxes=np.eye(3, 4), image=np.zeros((H, W, 3)))
    edits = Edits(drop=frozenset({"a.npz/masks[1]"}))
    FORMAT.write(path, out, edits)
    with np.load(out) as after:
        assert after["scores"].tolist() == [0.1, 0.3]
        assert (after["boxes"] == np.eye(3, 4)[[0, 2]]).all()
        assert after["image"].shape == (H, W, 3)
        assert (after["masks"] == stack()[[0, 2]]).all()
    assert FORMAT.check_unedited(path, out, edits) == ""
    add = Edits(add=[Addition("a.npz/masks", counts_of(box(0)), H, W)])
    with pytest.raises(CallError, match="an entry a mask, and none for a new one"):
        FORMAT.write(path, None, add)
    np.savez(path, masks=stack(), mystery=np.zeros(3))
    with pytest.raises(CallError, match="3 entries of the array mystery"):
        FORMAT.write(path, None, edits)


def test_several_arrays_of_a_file_are_images(tmp_path: Path) -> None:
    two: dict[str, Any] = {"x/masks": ids(), "y/masks": ids(np.uint8)}
    np.savez(tmp_path / "a.npz", **two)
    table = read(tmp_path / "a.npz")
    assert table.images["file_name"].tolist() == ["a.npz/x/masks", "a.npz/y/masks"]
    edits = Edits(drop=frozenset({"a.npz/y/masks#14"}))
    FORMAT.write(tmp_path / "a.npz", tmp_path / "b.npz", edits)
    with np.load(tmp_path / "b.npz") as after:
        assert (after["x/masks"] == ids()).all()
        assert (after["y/masks"] == np.where(ids() == 14, 0, ids())).all()
    assert FORMAT.check_unedited(tmp_path / "a.npz", tmp_path / "b.npz", edits) == ""


@pytest.mark.parametrize(
    ("masks", "picture"),
    [("a.npy", "a.png"), ("a_masks.npy", "a.png"), ("masks/a.npy", "images/a.png")],
)
def test_pictures_beside_are_found(tmp_path: Path, masks: str, picture: str) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (H, W, 3)).astype(np.uint8)
    save_png(tmp_path / picture, noise)
    (tmp_path / masks).parent.mkdir(exist_ok=True)
    np.save(tmp_path / masks, ids())
    assert detect(tmp_path).name == "label-npy"
    assert read(tmp_path).images["file_name"].tolist() == [picture]
    assert FORMAT.pictures is not None
    assert FORMAT.pictures(tmp_path) is not None


class Bomb:
    def __reduce__(self) -> Any:
        return print, ("opened",)


@pytest.mark.parametrize("whole", [True, False])
def test_pickles_are_refused_with_what_helps(tmp_path: Path, whole: bool, capsys: Any) -> None:
    save_png(tmp_path / "a.png", np.random.default_rng(1).integers(0, 255, (H, W)).astype("u1"))
    path = tmp_path / "a_seg.npy"
    if whole:
        path.write_bytes(pickle.dumps(Bomb()))
    else:
        with path.open("wb") as file:
            np.lib.format.write_array(file, np.array(Bomb(), object), allow_pickle=True)
    for source in (path, tmp_path):
        with pytest.raises(SourceError, match=r"pickle.*save the masks alone"):
            read(source)
    np.save(tmp_path / "b_masks.npy", ids())
    table = read(tmp_path)
    assert len(table) == 3
    assert "pickle" in table.images["status_detail"].iloc[0]
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("values", "what"),
    [
        (np.random.default_rng(1).random((H, W)), "it holds float64"),
        (np.zeros((4, H, W), np.int32), "save ids as"),
        (np.random.default_rng(1).integers(0, 255, (H, W)).astype(np.uint8), "no picture of ids"),
        (ids(np.uint32) + np.uint32(2**31), "ids end at"),
    ],
)
def test_what_is_no_masks_is_said(tmp_path: Path, values: np.ndarray, what: str) -> None:
    np.save(tmp_path / "a.npy", values)
    assert not FORMAT.matches(tmp_path / "a.npy")
    try:
        said = str(read(tmp_path / "a.npy", "label-npy").images["status_detail"].iloc[0])
    except SourceError as error:
        said = str(error)
    assert what in said


def test_sizes_are_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "a.npy", ids())
    data = (tmp_path / "a.npy").read_bytes()
    for name, shape in (("a", b"(60, 90)"), ("b", b"(9999999999, 9)")):
        head = data[:128].replace(b"(60, 90)", shape)
        (tmp_path / f"{name}.npy").write_bytes((head + data[128:])[: len(data) - 10])
    with zipfile.ZipFile(tmp_path / "c.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("masks.npy", data + bytes(100))
    statuses = read(tmp_path, "label-npy").images["status"].tolist()
    assert statuses == ["unreadable", "invalid_size", "ok"]
    monkeypatch.setattr(stored_arrays, "MOST_BYTES", 1_000)
    detail = read(tmp_path / "c.npz", "label-npy").images["status_detail"].iloc[0]
    assert "over the limit" in detail


@draws(60)
@given(st.integers(0, 300), st.binary(min_size=1, max_size=8), st.booleans())
def test_any_array_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, at: int, junk: bytes, packed: bool
) -> None:
    path = tmp_path_factory.mktemp("ids") / ("a.npz" if packed else "a.npy")
    if packed:
        np.savez_compressed(path, masks=ids(), scores=np.zeros(3))
    else:
        np.save(path, stack())
    data = path.read_bytes()
    at = at if at < 200 else len(data) - (at - 199)
    path.write_bytes(data[:at] + junk + data[at + len(junk) :])
    key = "a.npz/masks#7" if packed else "a.npy[1]"
    try:
        read(path, "label-npy")
        FORMAT.prune(path, path.with_name("out.np"), {key})
    except CurateError:
        assert not path.with_name("out.np").exists()
