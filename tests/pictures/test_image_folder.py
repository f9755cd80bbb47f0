import os
import pickle
import zlib

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from curate.errors import CallError, SourceError
from curate.images import Box, ImageFolder, worse_status
from curate.images.canvas import TURNS, range_of, stretch_levels


def pixels(height=48, width=64, seed=0):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def save(path, array, orientation=1, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    if orientation != 1:
        exif[0x0112] = orientation
    Image.fromarray(array).save(path, exif=exif, **options)


def status_of(folder, name, size=(48, 64), **options):
    images = pd.DataFrame(
        {"file_name": [name], "height": [size[0]], "width": [size[1]]},
        index=pd.Index([7], name="image_id"),
    )
    checked = ImageFolder(folder, **options).check(images)
    assert checked.index.equals(images.index)
    status, detail = checked.iloc[0]
    assert bool(detail) == (status != "ok")
    return status, detail


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp", "bmp", "gif"])
def test_sound_pictures(tmp_path, suffix):
    save(tmp_path / f"a.{suffix}", pixels())
    assert status_of(tmp_path, f"a.{suffix}") == ("ok", "")
    loaded = ImageFolder(tmp_path).load(f"a.{suffix}", (48, 64))
    assert loaded.shape == (48, 64, 3)
    assert loaded.dtype == np.uint8
    assert ImageFolder(tmp_path).load(f"a.{suffix}", gray=True).shape == (48, 64)


def test_names_are_found_as_people_write_them(tmp_path):
    save(tmp_path / "train" / "a.png", pixels())
    save(tmp_path / "val" / "a.png", pixels())
    save(tmp_path / "val" / "b.PNG", pixels())
    folder = ImageFolder(tmp_path)
    assert folder.find("train/a.png") == tmp_path / "train" / "a.png"
    assert folder.find("train\\a.png") == tmp_path / "train" / "a.png"
    assert folder.find("/data/set/val/a.png") == tmp_path / "val" / "a.png"
    assert folder.find("../set/val/a.png") == tmp_path / "val" / "a.png"
    assert folder.find("other/b.PNG") == tmp_path / "val" / "b.PNG"
    assert folder.find("b") == tmp_path / "val" / "b.PNG"
    assert folder.find("b.jpg") == tmp_path / "val" / "b.PNG"
    assert folder.find("http://host/val/b.PNG") == tmp_path / "val" / "b.PNG"
    assert folder.find("a.png") is None
    assert status_of(tmp_path, "a.png")[1] == "2 files in the folder have this name"
    assert pickle.loads(pickle.dumps(folder)).find("b") == folder.find("b")


def test_each_file_is_the_picture_of_one_image(tmp_path):
    """Two names that could mean one file mean none, where all names are known."""
    for name in ("x.jpg", "train/y.jpg", "z b.png", "q.jpg"):
        save(tmp_path / name, pixels())
    folder = ImageFolder(tmp_path)
    names = ["a/x.jpg", "b/x.jpg", "val/y.jpg", "s3://k/z%20b.jpg", "q.jpg", "c/q.jpg", None]
    known = folder.find_all(names)
    assert known == {
        "a/x.jpg": "",
        "b/x.jpg": "",
        "val/y.jpg": "",
        "s3://k/z%20b.jpg": "z b.png",
        "q.jpg": "q.jpg",
        "c/q.jpg": "",
    }
    found = ImageFolder(tmp_path, known=known)
    assert found.find("a/x.jpg") is None
    assert found.find("s3://k/z%20b.jpg") == tmp_path / "z b.png"
    assert "another image" in found.inspect("b/x.jpg", (48, 64)).detail
    assert "split" in found.inspect("val/y.jpg", (48, 64)).detail


def test_files_of_the_source_itself_are_no_pictures(tmp_path):
    save(tmp_path / "masks" / "x.png", pixels())
    save(tmp_path / "images" / "x.jpg", pixels())
    own = {str((tmp_path / "masks" / "x.png").resolve())}
    folder = ImageFolder(tmp_path)
    assert folder.find_all(["x.png"], own) == {"x.png": "images/x.jpg"}
    assert folder.find_all(["masks/x.png"], own) == {"masks/x.png": "images/x.jpg"}


def test_nothing_outside_is_opened(tmp_path):
    inside = tmp_path / "in"
    inside.mkdir()
    save(tmp_path / "secret.png", pixels())
    save(tmp_path / "other" / "deep.png", pixels())
    (inside / "link.png").symlink_to(tmp_path / "secret.png")
    (inside / "sub").symlink_to(tmp_path / "other")
    (inside / "loop.png").symlink_to(inside / "loop.png")
    os.mkfifo(inside / "pipe.png")
    absolute = str(tmp_path / "secret.png")
    for name in (
        "../secret.png",
        absolute,
        "link.png",
        "link",
        "sub/deep.png",
        "sub/../../secret.png",
    ):
        assert ImageFolder(inside).find(name) is None
        assert ImageFolder(inside).load(name) is None
        assert status_of(inside, name)[0] == "missing"
    assert "link" in status_of(inside, "link.png")[1]
    for name in ("loop.png", "pipe.png", ".", "..", "", "  ", "a\0b", "x" * 5000, None, np.nan, 3):
        assert status_of(inside, name)[0] == "missing"


OUT = "its file is a link that leads out of the folder"
NOWHERE = "its file is a link that leads nowhere"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("out.png", OUT),
        ("sub/deep.png", OUT),
        ("gone.png", NOWHERE),
        ("loop.png", NOWHERE),
        ("none.png", "the folder has no file of this name"),
        ("x" * 5000 + ".png", "the folder has no file of this name"),
    ],
)
@pytest.mark.parametrize("how", ["alone", "all", "exactly"])
def test_why_a_link_is_no_picture_is_said_however_it_is_looked_for(tmp_path, how, name, reason):
    inside = tmp_path / "in"
    inside.mkdir()
    save(tmp_path / "other" / "deep.png", pixels())
    (inside / "out.png").symlink_to(tmp_path / "other" / "deep.png")
    (inside / "sub").symlink_to(tmp_path / "other")
    (inside / "gone.png").symlink_to(inside / "nothing.png")
    (inside / "loop.png").symlink_to(inside / "loop.png")
    folder = ImageFolder(inside)
    if how == "all":
        folder = folder.knowing(folder.find_all([name]))
    if how == "exactly":
        folder = folder.exactly([name])
    found = folder.inspect(name, (1, 1))
    assert (found.status, found.detail) == ("missing", reason)


def test_links_within_the_folder_are_followed(tmp_path):
    save(tmp_path / "real.png", pixels())
    (tmp_path / "link.png").symlink_to("real.png")
    assert status_of(tmp_path, "link.png") == ("ok", "")


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp", "gif"])
@pytest.mark.parametrize("share", [0.3, 0.7, 0.95])
def test_pictures_cut_off(tmp_path, suffix, share):
    path = tmp_path / f"a.{suffix}"
    save(path, np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    status, detail = status_of(tmp_path, path.name)
    assert status == "truncated" or (suffix in ("tif", "webp", "gif") and status == "unreadable")
    assert ImageFolder(tmp_path).load(path.name) is None, detail


def test_progressive_jpeg_cut_off(tmp_path):
    save(tmp_path / "a.jpg", pixels(480, 640), progressive=True)
    data = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(data[: len(data) // 2])
    assert status_of(tmp_path, "a.jpg", (480, 640))[0] == "truncated"


@pytest.mark.parametrize(
    "data", [b"", b"no picture", b"\x89PNG\r\n\x1a\n", b"%!PS-Adobe-3.0 EPSF-3.0\n", bytes(5000)]
)
def test_files_that_are_no_pictures(tmp_path, data):
    (tmp_path / "a.png").write_bytes(data)
    assert status_of(tmp_path, "a.png")[0] in ("unreadable", "truncated")
    assert ImageFolder(tmp_path).load("a.png") is None


def test_a_header_that_claims_too_much_is_not_decoded(tmp_path):
    def chunk(kind, body):
        crc = zlib.crc32(kind + body).to_bytes(4, "big")
        return len(body).to_bytes(4, "big") + kind + body + crc

    for side in (32_000, 2**31 - 1):
        header = side.to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0])
        data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000)))
        (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + data + chunk(b"IEND", b""))
        status, detail = status_of(tmp_path, "a.png", (side, side))
        assert status == "too_large"
        assert "limit" in detail


def test_the_limit_can_be_lowered(tmp_path):
    save(tmp_path / "a.png", pixels())
    status, detail = status_of(tmp_path, "a.png", max_pixels=1000)
    said = "it is 64 x 48 px, over the limit of 1,000 pixels"
    assert status == "too_large"
    assert detail == f"{said}: set CURATE_PICTURE_MEGAPIXELS=1 if it is sound"
    assert ImageFolder(tmp_path, 1000).load("a.png") is None
    assert ImageFolder(tmp_path, 1000).load_or_why("a.png") == detail


def test_the_limits_are_set_in_the_environment(tmp_path, monkeypatch):
    save(tmp_path / "a.png", pixels())
    save(tmp_path / "a.webp", pixels())
    monkeypatch.setenv("CURATE_PICTURE_MEGAPIXELS", "0.001")
    assert status_of(tmp_path, "a.png")[0] == "too_large"
    monkeypatch.setenv("CURATE_PICTURE_MEGAPIXELS", "0.1")
    assert status_of(tmp_path, "a.png")[0] == "ok"
    monkeypatch.setenv("CURATE_PICTURE_MB", "0.02")
    status, detail = status_of(tmp_path, "a.webp")
    assert status == "too_large"
    assert "CURATE_PICTURE_MB" in detail
    assert ImageFolder(tmp_path, max_bytes=10**9).inspect("a.webp", (48, 64)).status == "too_large"
    monkeypatch.setenv("CURATE_PICTURE_MB", "2")
    assert ImageFolder(tmp_path, max_bytes=1).inspect("a.webp", (48, 64)).status == "ok"
    for wrong in ("much", "-1", "0", "nan", "inf"):
        monkeypatch.setenv("CURATE_PICTURE_MB", wrong)
        with pytest.raises(CallError, match="is no size"):
            ImageFolder(tmp_path)


def _load(folder, name, how):
    return ImageFolder(folder, max_bytes=500_000).load_or_why(name, (400, 640), **how)


def test_the_limit_that_is_told_is_enough(tmp_path, monkeypatch):
    """Whatever is wanted of a picture: with the variable set as it is told, it is there."""
    large = Image.fromarray(pixels(400, 640))
    large.save(tmp_path / "a.jpg", progressive=True)
    large.save(tmp_path / "b.webp")
    ways = ({}, {"box": Box(10, 10, 400, 300)}, {"longest": 100}, {"gray": True})
    for name in ("a.jpg", "b.webp"):
        for how in ways:
            monkeypatch.delenv("CURATE_PICTURE_MB", raising=False)
            monkeypatch.setattr("curate.images.image_folder.WHOLE_BYTES", 500_000)
            tries = 0
            while isinstance(found := _load(tmp_path, name, how), str):
                assert "of 640 x 400 px whole takes" in found or "a piece of" in found
                enough = found.partition("CURATE_PICTURE_MB=")[2].split()[0]
                monkeypatch.setenv("CURATE_PICTURE_MB", enough)
                tries += 1
                assert tries <= 2  # what is drawn, then what decoding takes beside it
            assert tries


def test_why_a_picture_cannot_be_had(tmp_path):
    save(tmp_path / "a.png", pixels())
    (tmp_path / "b.png").write_bytes(b"")
    folder = ImageFolder(tmp_path)
    assert "another size" in folder.load_or_why("a.png", (50, 60))
    assert folder.load_or_why("b.png", (50, 60)) == "its file is empty"
    assert "no file of this name" in folder.load_or_why("c.png", (50, 60))


def test_other_sizes_than_declared(tmp_path):
    save(tmp_path / "a.png", pixels())
    detail = "declared width and height are swapped (picture 64 x 48 px, declared 48 x 64 px)"
    assert status_of(tmp_path, "a.png", (64, 48)) == ("size_mismatch", detail)
    status, detail = status_of(tmp_path, "a.png", (100, 200))
    assert status == "size_mismatch"
    told = "(picture 64 x 48 px, declared 200 x 100 px)"
    assert detail == f"the picture has another size than declared {told}"
    assert ImageFolder(tmp_path).load("a.png", (64, 48)) is None
    assert status_of(tmp_path, "a.png", (0, 10**9))[0] == "ok"  # nothing usable is declared


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
def test_turned_pictures(tmp_path, orientation, suffix):
    array = pixels()
    options = {"quality": 95} if suffix == "jpg" else {}
    save(tmp_path / f"a.{suffix}", array, orientation, **options)
    folder, name = ImageFolder(tmp_path), f"a.{suffix}"
    with Image.open(tmp_path / name) as image:
        shown = np.asarray(ImageOps.exif_transpose(image))
        stored = np.asarray(image) if suffix == "jpg" else array
    status, detail = status_of(tmp_path, name, shown.shape[:2])
    assert status == "exif_rotated"
    np.testing.assert_array_equal(folder.load(name), shown)
    np.testing.assert_array_equal(folder.load(name, shown.shape[:2]), shown)
    if orientation >= 5:
        assert "as displayed" in detail
        assert "as stored" in status_of(tmp_path, name, stored.shape[:2])[1]
        np.testing.assert_array_equal(folder.load(name, stored.shape[:2]), stored)
        assert status_of(tmp_path, name, (10, 10))[0] == "size_mismatch"


def test_more_than_eight_bit_is_stretched(tmp_path):
    ramp = np.linspace(100, 4000, 48 * 64).reshape(48, 64)
    save(tmp_path / "a.png", ramp.astype(np.uint16))
    save(tmp_path / "b.tif", ramp.astype(np.float32))
    save(tmp_path / "flat.png", np.full((48, 64), 900, np.uint16))
    for name in ("a.png", "b.tif"):
        loaded = ImageFolder(tmp_path).load(name, gray=True)
        assert loaded[0, 0] == 0
        assert loaded[-1, -1] == 255
        assert abs(int(loaded[24, 0]) - 127) < 3
        assert ImageFolder(tmp_path).load(name).shape == (48, 64, 3)
        assert status_of(tmp_path, name) == ("ok", "")
    assert not ImageFolder(tmp_path).load("flat.png").any()
    assert range_of(np.full((4, 4), np.nan)) is None
    values = np.array([[np.nan, np.inf, 0.0, 1.0]])
    assert stretch_levels(values, *range_of(values)).tolist() == [[0, 255, 0, 255]]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16"])
def test_every_mode_becomes_gray_or_colour(tmp_path, mode):
    image = Image.fromarray(pixels())
    image = (
        Image.fromarray(pixels()[:, :, 0].astype(np.uint16))
        if mode == "I;16"
        else image.convert(mode)
    )
    image.save(tmp_path / "a.tif")
    folder = ImageFolder(tmp_path)
    assert folder.load("a.tif").shape == (48, 64, 3)
    assert folder.load("a.tif", gray=True).shape == (48, 64)


def test_what_the_source_knows_stays_where_it_is_graver(tmp_path):
    images = pd.DataFrame(
        {
            "file_name": ["no.png"] * 3,
            "height": 1,
            "width": 1,
            "status": ["ok", "invalid_size", "exif_rotated"],
            "status_detail": ["", "known", "known"],
        },
        index=pd.Index([3, 1, 2], name="image_id"),
    )
    checked = ImageFolder(tmp_path).check(images)
    assert checked["status"].tolist() == ["missing", "invalid_size", "missing"]
    assert checked["status_detail"].iloc[1] == "known"
    assert worse_status(images, checked)["status"].tolist() == checked["status"].tolist()
    assert ImageFolder(tmp_path).check(images.iloc[:0]).empty


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(SourceError, match="no such folder"):
        ImageFolder(tmp_path / "nowhere")


@given(st.binary(max_size=200), st.integers(0, 2**32 - 1))
def test_damaged_files_never_raise(tmp_path_factory, junk, seed):
    folder = tmp_path_factory.mktemp("damaged")
    rng = np.random.default_rng(seed)
    for suffix in ("jpg", "png", "tif", "gif", "webp", "bmp"):
        path = folder / f"a.{suffix}"
        save(path, pixels(16, 16))
        data = bytearray(path.read_bytes())
        for place in rng.integers(0, len(data), 5):
            data[place] = rng.integers(256)
        cut = int(rng.integers(0, len(data)))
        path.write_bytes(bytes(data[:cut]) + junk + bytes(data[cut:]))
        status_of(folder, path.name, (16, 16))
        ImageFolder(folder).load(path.name, (16, 16))


def test_upright_does_not_change_the_stored_pixels():
    array = pixels()
    for orientation in range(1, 9):
        turned = TURNS[orientation](array)
        assert sorted(turned.ravel()) == sorted(array.ravel())
