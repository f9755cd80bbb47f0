"""What is not read is named, with the way to something that is."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import small_datasets
from PIL import Image

from curate.errors import CurateError, SourceError
from curate.formats.reading import detect, read
from curate.formats.refused_files import refused_file


def zip_of(*names: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return made.getvalue()


def geotiff() -> bytes:
    made = io.BytesIO()
    tags = Image.Exif()
    tags[33550] = (0.5, 0.5, 0.0)
    pixels = np.random.default_rng(0).integers(0, 255, (60, 60, 3), np.uint8)
    Image.fromarray(pixels).save(made, "TIFF", exif=tags)
    return made.getvalue()


def pages() -> bytes:
    made = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (3, 60, 60), np.uint8)
    images = [Image.fromarray(page) for page in noise]
    images[0].save(made, "TIFF", save_all=True, append_images=images[1:])
    return made.getvalue()


def at(place: int, mark: bytes) -> Callable[[], bytes]:
    return lambda: b"\0" * place + mark + b"\0" * 1000


def tfrecord() -> bytes:
    """Return a record as TensorFlow writes it: length, its masked CRC-32C, content."""
    length = struct.pack("<Q", 5)
    checksum = 0xFFFFFFFF
    for byte in length:
        checksum ^= byte
        for _ in range(8):
            checksum = (checksum >> 1) ^ (0x82F63B78 * (checksum & 1))
    checksum ^= 0xFFFFFFFF
    masked = (((checksum >> 15) | (checksum << 17)) + 0xA282EAD8) & 0xFFFFFFFF
    return length + struct.pack("<I", masked) + b"hello\0\0\0\0"


CASES: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "model.pth": (lambda: zip_of("archive/data.pkl", "archive/data/0"), "PyTorch", "np.save"),
    "old.pt": (at(0, b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."), "PyTorch", "np.save"),
    "results.pkl": (lambda: pickle.dumps([1]), "pickle", "results.segm.json"),
    "masks.joblib": (lambda: b"x\x9cabc", "pickle", "np.save"),
    "any": (lambda: pickle.dumps([1], 4), "pickle", "np.save"),
    "x.safetensors": (at(0, b"\5"), "weights", "--segmenter"),
    "0001": (at(128, b"DICM"), "DICOM", "pydicom"),
    "brain.nii": (at(344, b"n+1\0"), "NIfTI", "nibabel"),
    "brain.nii.gz": (lambda: b"\x1f\x8b\x08rest", "NIfTI", "nibabel"),
    "brain.nrrd": (at(0, b"NRRD0004\n"), "NRRD", "SimpleITK"),
    "mosaic.tif": (geotiff, "GeoTIFF", "gdal_retile.py"),
    "stack.tif": (pages, "several pages", "split it"),
    "fields.kml": (
        lambda: b'<?xml version="1.0"?>\n<kml><Document/></kml>',
        "map",
        "gdal_rasterize",
    ),
    "fields.kmz": (lambda: zip_of("doc.kml"), "map", "gdal_rasterize"),
    "f.geojson": (lambda: b'{"type": "FeatureCollection", "features": []}', "map", "gdal_ras"),
    "fields.shp": (at(0, b"\0\0\x27\x0a"), "map", "gdal_rasterize"),
    "masks.h5": (at(0, b"\x89HDF\r\n\x1a\n"), "HDF5", "h5py"),
    "new.mat": (
        lambda: b"MATLAB 7.3 MAT-file" + b" " * 493 + b"\x89HDF\r\n\x1a\n",
        "MATLAB",
        "imw",
    ),
    "old.mat": (at(0, b"MATLAB 5.0 MAT-file"), "MATLAB", "scipy.io.loadmat"),
    "train.tfrecord": (tfrecord, "TFRecord", "COCO Segmentation"),
    "train-00000-of-00010": (tfrecord, "TFRecord", "COCO Segmentation"),
    "clip.mp4": (at(4, b"ftypisom"), "video", "ffmpeg"),
    "clip": (lambda: b"RIFF\0\0\0\0AVI LIST", "video", "ffmpeg"),
    "data.rar": (at(0, b"Rar!\x1a\x07\1\0"), "archive that is not read", "as a zip"),
    "data.7z": (at(0, b"7z\xbc\xaf\x27\x1c"), "archive that is not read", "unpack it"),
    "data.tar.xz": (at(0, b"\xfd7zXZ\0"), "archive that is not read", "unpack it"),
    "data.tar.bz2": (at(0, b"BZh91AY"), "archive that is not read", "unpack it"),
    "data.mdb": (at(16, b"\xde\xc0\xef\xbe"), "LMDB", "export COCO"),
    "cvat.sqlite": (at(0, b"SQLite format 3\0"), "SQLite", "export COCO"),
    "data.arrow": (at(0, b"ARROW1\0\0"), "Arrow", "to_parquet"),
    "RoiSet.zip": (lambda: zip_of("1.roi", "2.roi"), "ImageJ", "ROIs to Label Image"),
    "table.xlsx": (lambda: zip_of("[Content_Types].xml"), "office", "CSV"),
    "via3.json": (
        lambda: (
            b'{"project": {"pid": "__VIA_PROJECT_ID__", "rev": "1", "pname": "mine", '
            b'"creator": "VGG", "vid_list": ["1"]}, "config": {}, "metadata": {}}'
        ),
        "VIA 3",
        "export COCO",
    ),
    "photo.jpg": (at(0, b"\xff\xd8\xff\xe0"), "JPEG", "--images"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_file_is_named_with_the_way_out(name: str, tmp_path: Path) -> None:
    make, what, do = CASES[name]
    path = tmp_path / name
    path.write_bytes(make())
    for format in (None, "coco"):
        with pytest.raises(SourceError) as caught:
            detect(path, format)
        assert what in caught.value.what
        assert do in caught.value.do
        assert str(caught.value).startswith(f"{path}: it is ")
        assert len(str(caught.value)) < 400 + len(str(path))


def test_a_folder_of_them_is_named_too(tmp_path: Path) -> None:
    for k in range(5):
        (tmp_path / f"{k}").write_bytes(at(128, b"DICM")())
    (tmp_path / "readme.txt").write_text("hello")
    with pytest.raises(SourceError, match="most of its files are not read: each is DICOM"):
        detect(tmp_path)


def test_a_pickle_of_cellpose_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "x_seg.npy", np.array({"masks": np.ones((3, 3))}, object))
    for path in (tmp_path, tmp_path / "x_seg.npy"):
        with pytest.raises(SourceError, match="save the masks alone"):
            read(path)


@pytest.mark.parametrize("kind", small_datasets.KINDS)
def test_no_dataset_is_refused(kind: str, tmp_path: Path) -> None:
    source = small_datasets.build(kind, tmp_path / "source")
    assert refused_file(source) is None


CONTRADICTIONS = [
    ("coco", "sa1b", "COCO instances", "SA-1B"),
    ("coco", "cvat", "COCO instances", "CVAT"),
    ("sa1b", "coco", "SA-1B", "COCO"),
    ("cvat", "yolo", "CVAT", "YOLO"),
    ("yolo", "png-folder", "YOLO", "one PNG or TIFF a mask"),
    ("png-folder", "coco", "one PNG or TIFF a mask", "COCO"),
]


@pytest.mark.parametrize(("kind", "forced", "is_like", "is_not"), CONTRADICTIONS)
def test_a_forced_format_that_the_content_contradicts(
    kind: str, forced: str, is_like: str, is_not: str, tmp_path: Path
) -> None:
    source = small_datasets.build(kind, tmp_path / "source")
    with pytest.raises(CurateError) as caught:
        read(source, forced)
    told = str(caught.value)
    assert "\n" not in told
    assert told.startswith(f"{source}: it looks like ")
    like, _, unlike = told.partition("not like")
    assert is_like in like
    assert is_not in unlike
    assert f"give --format {small_datasets.KINDS[kind].format}" in told


def test_formats_of_one_family_may_be_forced(tmp_path: Path) -> None:
    source = small_datasets.build("coco-polygons", tmp_path)
    assert len(read(source, "lvis")) == len(read(source))
