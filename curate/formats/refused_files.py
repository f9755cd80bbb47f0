"""Files that are not read: the kind of each, by its content, and the way to one that is read."""

from __future__ import annotations

import os
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from curate.archives.unpacking import MOST_LIST_BYTES
from curate.archives.zip_listing import open_zip
from curate.common import files
from curate.formats.parquet.mask_pictures import holds_pictures
from curate.formats.parquet.object_rows import is_list, schema_of
from curate.images.tiff_tags import read_directory

_HEAD = 1 << 10
_MOST_LISTED = 300  # files of a folder that are looked at
_MOST_NAMES = 20_000

_LABELS = "save the ids of each image as a label image (.tif, .png or .npy) and give the folder"


class RefusedFile(NamedTuple):
    """A kind of file that is not read.

    Attributes:
        what: The kind, to stand behind "it is" and "they are".
        do: How to get something that is read.
    """

    what: str
    do: str


PICKLE = RefusedFile(
    "a Python pickle (.pkl, .pt, .pth, joblib), which can run code when it is opened",
    "of Detectron2 give coco_instances_results.json, of MMDetection results.segm.json "
    "(outfile_prefix); else save the masks with np.save and give the .npy",
)
_TORCH = RefusedFile(
    "a PyTorch file (.pt, .pth), whose pickle can run code when it is opened",
    "of Detectron2 give coco_instances_results.json; else save the masks with "
    "np.save('masks.npy', masks.cpu().numpy()) and give the .npy",
)
_WEIGHTS = RefusedFile(
    "a network's weights, not masks", "give the masks; --segmenter and --detector take networks"
)
_DICOM = RefusedFile(
    "DICOM (medical images)",
    f"export the segmentation from its tool, or read it with pydicom, and {_LABELS}",
)
_VOLUME = "a volume of {} (medical images), and masks are of flat images here"
_NIFTI = RefusedFile(
    _VOLUME.format("NIfTI"), f"cut it into slices, nibabel.load(f).dataobj[..., z], and {_LABELS}"
)
_NRRD = RefusedFile(
    _VOLUME.format("NRRD or MetaImage"), f"cut it into slices, with SimpleITK, and {_LABELS}"
)
_MAPS = RefusedFile(
    "a map in geographic coordinates, not in pixels",
    "burn its objects into tiles (gdal_rasterize -a id), one TIFF of ids a tile, and give the "
    "folder; of QuPath export label images",
)
_GEOTIFF = RefusedFile(
    "a GeoTIFF without ids of objects",
    "cut the mosaic into tiles (gdal_retile.py) and give TIFFs of instance ids, one a tile",
)
_GEOTIFF_TAGS = frozenset((33550, 33922, 34264, 34735))
_PAGES = RefusedFile(
    "a TIFF of several pages, and an image is one", f"split it into its pages, and {_LABELS}"
)
_HDF5 = RefusedFile("HDF5", f"of ilastik export 'tiff'; else read it with h5py and {_LABELS}")
_MATLAB = RefusedFile(
    "MATLAB data", f"imwrite(uint16(ids), 'x.png') in MATLAB, or scipy.io.loadmat, and {_LABELS}"
)
_TFRECORD = RefusedFile(
    "TFRecord", "give the COCO JSON that it was made from; Roboflow exports 'COCO Segmentation'"
)
_VIDEO = RefusedFile(
    "a video, not masks",
    "give its masks, as SA-V, CVAT or PNGs of ids by frame; `ffmpeg -i VIDEO frames/%05d.png` "
    "makes pictures for --images",
)
_PACKED = RefusedFile(
    "an archive that is not read (only zip, tar, tar.gz and gz are)",
    "unpack it and give the folder, or pack it as a zip",
)
_LMDB = RefusedFile("an LMDB database", "export COCO or label images from what wrote it")
_SQLITE = RefusedFile("an SQLite database", "export COCO or label images from the tool that has it")
_ARROW = RefusedFile(
    "an Arrow file of Hugging Face datasets or of Datumaro",
    "write Parquet: dataset.to_parquet('data.parquet'); of Datumaro export 'datumaro', its JSON",
)
_DATUMARO = RefusedFile(
    "Datumaro's binary format, whose masks only Datumaro unpacks",
    "export it as JSON: Dataset.import_from('FOLDER', 'datumaro_binary').export('OUT', 'datumaro')",
)
LABELME_XML = RefusedFile(
    "MIT LabelMe's XML of polygons and masks",
    "convert it with datumaro, Dataset.import_from('FOLDER', 'label_me').export('OUT', "
    "'coco_instances'), and give the JSON in OUT",
)
BOX_XML = RefusedFile(
    "Pascal VOC's XML of boxes, without masks",
    "give the folder that has SegmentationObject, or a dataset with masks",
)
_VOTT = RefusedFile(
    "VoTT's JSON, of which datumaro reads the boxes",
    "write COCO: a polygon's segmentation is the x and y of its points in turn",
)
BMP = RefusedFile(
    "a BMP picture",
    "save masks as PNG (magick mogrify -format png *.bmp) and give their folder; white is "
    "--void 16777215 where it is the background, as in ICDAR's text segmentation",
)
_ROI = RefusedFile(
    "ROIs of ImageJ",
    f"in Fiji make label images of them (LaRoMe, 'ROIs to Label Image'): {_LABELS}",
)
_VIA_3 = RefusedFile(
    "a project of VIA 3", "open it in VIA 3 and export COCO, or annotate with VIA 2"
)
_OFFICE = RefusedFile("an office document", "save the sheet as CSV, or export the masks as COCO")
_JPEG = RefusedFile(
    "a JPEG picture, which cannot hold masks: packing it changes pixels",
    "give the annotations, and the pictures with --images",
)

_BY_HEAD: tuple[tuple[int, bytes, RefusedFile], ...] = (
    (128, b"DICM", _DICOM),
    (344, b"n+1\0", _NIFTI),
    (344, b"ni1\0", _NIFTI),
    (4, b"n+2\0", _NIFTI),
    (0, b"NRRD0", _NRRD),
    (0, b"ObjectType = Image", _NRRD),
    (0, b"MATLAB ", _MATLAB),
    (0, b"\x89HDF\r\n\x1a\n", _HDF5),
    (512, b"\x89HDF\r\n\x1a\n", _HDF5),
    (4, b"ftyp", _VIDEO),
    (8, b"AVI ", _VIDEO),
    (0, b"\x1aE\xdf\xa3", _VIDEO),
    (0, b"Rar!\x1a\x07", _PACKED),
    (0, b"7z\xbc\xaf\x27\x1c", _PACKED),
    (0, b"\xfd7zXZ\0", _PACKED),
    (0, b"BZh", _PACKED),
    (0, b"\x28\xb5\x2f\xfd", _PACKED),
    (16, b"\xde\xc0\xef\xbe", _LMDB),
    (0, b"SQLite format 3\0", _SQLITE),
    (0, b"ARROW1\0", _ARROW),
    (0, b"signature:datumaro_binary", _DATUMARO),
    (0, b"Iout", _ROI),
    (0, b"\0\0\x27\x0a", _MAPS),
    (0, b"\xff\xd8\xff", _JPEG),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", _OFFICE),
    *((0, b"\x80" + bytes([protocol]), PICKLE) for protocol in range(2, 6)),
)
"""Where in a file which bytes stand, and what it is then."""

_PARQUET = b"PAR1"
_VIA_3_NAMES = frozenset((b"project", b"pid", b"pname", b"vid_list"))

_VOTT_MARK = re.compile(rb'"securityToken"|"assets?":.*"regions"', re.DOTALL)
_TORCH_OLD = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."

_BY_NAME: tuple[tuple[tuple[str, ...], RefusedFile], ...] = (
    ((".pkl", ".pickle", ".joblib"), PICKLE),
    ((".pt", ".pth", ".ckpt"), _TORCH),
    ((".safetensors", ".onnx"), _WEIGHTS),
    ((".dcm", ".dicom"), _DICOM),
    ((".nii", ".nii.gz"), _NIFTI),
    ((".nrrd", ".mha", ".mhd"), _NRRD),
    ((".kml", ".kmz", ".shp", ".gpkg", ".geojson"), _MAPS),
    ((".h5", ".hdf5"), _HDF5),
    ((".mat",), _MATLAB),
    ((".tfrecord", ".tfrecords"), _TFRECORD),
    ((".mp4", ".mov", ".avi", ".mkv", ".webm"), _VIDEO),
    ((".mdb",), _LMDB),
    ((".xlsx", ".docx", ".ods"), _OFFICE),
)
"""What a file is by the end of its name, where its content does not tell."""

_MEMBERS: tuple[tuple[Callable[[str], bool], RefusedFile], ...] = (
    (lambda name: name.endswith("/data.pkl"), _TORCH),
    (lambda name: name == "doc.kml", _MAPS),
    (lambda name: name == "[Content_Types].xml", _OFFICE),
    (lambda name: name.endswith(".roi"), _ROI),
)
"""What a zip is by one of the files in it."""


def refused_file(path: Path) -> RefusedFile | None:
    """Return the kind of a file that is not read, or of most files of a folder; never raises.

    Returns:
        None where nothing is known of it.
    """
    try:
        if path.is_dir():
            return _refused_folder(path)
        return _refused(path) if path.is_file() else None
    except (OSError, ValueError):
        return None


def _refused(path: Path) -> RefusedFile | None:
    with files.open_to_read(path) as file:
        head = file.read(_HEAD)
    if head.startswith(_TORCH_OLD):
        return _TORCH
    for at, mark, kind in _BY_HEAD:
        if head[at : at + len(mark)] == mark:
            return kind
    if head.startswith(b"PK\3\4"):
        return _refused_zip(path)
    if head.startswith(_PARQUET):
        return _refused_parquet(path)
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return _refused_tiff(path)
    if b"<annotation>" in head and (b"<sourceImage" in head or b"<bndbox>" in head):
        return LABELME_XML if b"<sourceImage" in head else BOX_XML
    if head.lstrip()[:1] == b"{" and _VOTT_MARK.search(head):
        return _VOTT
    if b"<kml" in head or (head.lstrip()[:1] == b"{" and b'"FeatureCollection"' in head):
        return _MAPS
    if _VIA_3_NAMES.issubset(re.findall(rb'"(\w+)"\s*:', head)):
        return _VIA_3
    if _is_tfrecord(head):
        return _TFRECORD
    if head[:2] == b"BM" and head[6:10] == b"\0\0\0\0":
        return BMP
    name = path.name.lower()
    return next((kind for ends, kind in _BY_NAME if name.endswith(ends)), None)


def _refused_zip(path: Path) -> RefusedFile | None:
    try:
        with open_zip(path, MOST_LIST_BYTES) as archive:
            names = archive.namelist()[:_MOST_NAMES]
    except (zipfile.BadZipFile, NotImplementedError, ValueError):
        return None
    for holds, kind in _MEMBERS:
        if any(map(holds, names)):
            return kind
    return None


def _refused_folder(folder: Path) -> RefusedFile | None:
    """Return the kind of most of a folder's files."""
    kinds = Counter(_refused(path) for path in _first_files(folder, _MOST_LISTED))
    for pictures in (_JPEG, BMP):
        kinds.pop(pictures, None)
    found = kinds.most_common(1)
    return found[0][0] if found and 2 * found[0][1] > kinds.total() else None


def _first_files(folder: Path, most: int) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            most -= 1
            path = Path(root, name)
            if most < 0:
                return
            if path.is_file() and not name.startswith("."):
                yield path


def _refused_tiff(path: Path) -> RefusedFile | None:
    """Return the kind of a TIFF: one of a map, or of several pages."""
    with files.open_to_read(path) as file:
        directory = read_directory(file)
    if not _GEOTIFF_TAGS.isdisjoint(entry.tag for entry in directory.entries):
        return _GEOTIFF
    return _PAGES if directory.following else None


def _refused_parquet(path: Path) -> RefusedFile | None:
    """Return the kind of a Parquet whose masks are pictures in a column of their own."""
    schema = schema_of(path)
    for column in schema or ():
        kind = column.type.value_type if is_list(column.type) else column.type
        if column.name != "image" and holds_pictures(kind):
            name = column.name[:60]
            return RefusedFile(
                f"a Parquet whose masks are pictures in a column of their own ({name})",
                f"write row[{name!r}]['bytes'] of each row to a folder as PNGs of ids, and give "
                "that; or make it a list objects with a picture a mask in its field mask",
            )
    return None


def _is_tfrecord(head: bytes) -> bool:
    """Whether the first record's length has the checksum that TFRecord gives it."""
    if len(head) < 12:
        return False
    checksum = 0xFFFFFFFF
    for byte in head[:8]:  # CRC-32C
        checksum ^= byte
        for _ in range(8):
            checksum = checksum >> 1 ^ (0x82F63B78 if checksum & 1 else 0)
    checksum ^= 0xFFFFFFFF
    masked = ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF
    return masked == int.from_bytes(head[8:12], "little")
