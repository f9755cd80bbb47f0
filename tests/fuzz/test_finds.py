"""What ``make fuzz`` found: the smallest input of each kind, and what is right."""

from __future__ import annotations

import base64
import io
import json
import logging
import re
import sqlite3
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from boxes import dataset
from packed_datasets import with_byte
from PIL import Image

import curate
from curate.common.json_values import is_finite_number
from curate.errors import AuditError, SourceError
from curate.formats import format_by_name
from curate.formats.edits import Edits
from curate.formats.fiftyone.fiftyone_samples import path_inside
from curate.formats.png.png_reading import PictureProblem, read_header, read_pixels
from curate.formats.reading import read
from curate.images import ImageFolder
from curate.images.quiet_decoders import silence_decoders
from curate.people.exchange.archives import list_names, read_head
from curate.people.exchange.huggingface import EXPORT
from curate.people.reviews.row_frames import fetch_frame
from curate.people.webapp.leases import Leases
from curate.pipeline.renumbering import renumber
from curate.quality.model_file import from_bytes
from curate.store.audit_info import SCHEMA_VERSION, has_info, read_info
from curate.writing.written_check import check_written
from fuzz import seeds


@pytest.mark.parametrize("name", ["\ud800.jpg", "a\udfffb.png"])
def test_half_a_surrogate_pair_in_a_name_is_written_as_its_escape(
    tmp_path: Path, name: str
) -> None:
    """NaN in the file makes Python's parser read it, which takes what no table can hold."""
    content = dataset()
    content["images"][0] |= {"file_name": name, "own": float("nan")}
    content["categories"][0]["name"] = name
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))
    table = read(path)
    plain = name.encode("utf-8", "backslashreplace").decode()
    assert table.images["file_name"].tolist()[0] == plain
    assert set(table.masks["category"]) == {plain}


@pytest.mark.parametrize(
    ("key", "value", "place"),
    [
        (
            "notes",
            [{"kind": "finding", "text": "x", "count": None, "of": "masks"}],
            "notes[0].count",
        ),
        ("source", [1], "source"),
        ("signals", [{"name": "shape"}], "signals[0].columns"),
        ("models", {"segmenter": 7}, "models.segmenter"),
        ("rules_of_file", [True], "rules_of_file[0]"),
        (
            "references",
            {"quality": {"a_score": {"value": "1"}}},
            "references.quality.a_score.value",
        ),
        ("counts", {"masks": 2.5, "images": 1, "actions": {}, "status": {}}, "counts.masks"),
    ],
)
def test_an_audit_json_with_values_of_other_types_is_refused_with_the_place(
    tmp_path: Path, key: str, value: object, place: str
) -> None:
    info = {"schema_version": SCHEMA_VERSION, "state": "complete", "source": {}}
    (tmp_path / "audit.json").write_text(json.dumps(info))
    found = read_info(tmp_path)
    assert found is not None
    assert found.as_dict() == info
    (tmp_path / "audit.json").write_text(json.dumps(info | {key: value}))
    with pytest.raises(AuditError, match=f"not as curate writes it: {re.escape(place)} is"):
        read_info(tmp_path)
    assert has_info(tmp_path)  # what --restart throws away


@pytest.mark.parametrize("nested", [False, True])
def test_a_parquet_in_which_a_column_stands_twice_is_refused(tmp_path: Path, nested: bool) -> None:
    path = tmp_path / "a.parquet"
    objects: list[object] = [{"id": [1], "segmentation": [{"size": [1, 1], "counts": "01"}]}]
    names = ["file_name", "height", "width", "objects", "objects"]
    again = [objects] if nested else objects
    columns = [pa.array(one) for one in (["a.png"], [1], [1], objects, again)]
    pq.write_table(pa.Table.from_arrays(columns, names), path)
    with pytest.raises(SourceError, match="occurs twice"):
        list(EXPORT.images(path, lambda some: [True] * len(some)))


def test_names_and_heads_of_a_damaged_zip_are_no_errors(tmp_path: Path) -> None:
    """Every byte of its lists of members is put to values that lead anywhere."""
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("annotations.xml", "<annotations/>" * 9)
    whole = path.read_bytes()
    assert list_names(path) == ["annotations.xml"]
    assert read_head(path, "annotations.xml").startswith(b"<annotations/>")
    seen = set()
    for k in range(len(whole)):
        for value in (1, 255):
            path.write_bytes(whole[:k] + bytes([value]) + whole[k + 1 :])
            seen |= {read_head(path, name)[:14] for name in list_names(path)}
    assert {b"", b"<annotations/>"} <= seen


@pytest.fixture
def audit(tmp_path: Path) -> Path:
    """Return a small audit with decisions, which a test may damage."""
    for name, data in seeds.audited().items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    return tmp_path / "audit"


def _cast(name: str, kind: pa.DataType) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        at = table.column_names.index(name)
        return table.set_column(at, name, table[name].cast(kind))

    return change


def _without_first(name: str) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        at = table.column_names.index(name)
        return table.set_column(at, name, pa.array([None, *table[name].to_pylist()[1:]]))

    return change


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (_cast("mask_id", pa.string()), "mask_id holds string"),
        (_cast("hole_score", pa.string()), "hole_score holds string"),
        (_cast("segmentation", pa.large_string()), "segmentation holds large_string"),
        (_cast("overlap_with", pa.string()), "its description for pandas"),
        (_without_first("height"), "a row has no height"),
        (lambda table: table.append_column("width", table["width"]), "a column occurs twice"),
        (lambda table: table.drop_columns(["mask_id"]), "there is no column mask_id"),
        (lambda table: table.replace_schema_metadata({b"pandas": b"{"}), "description for pandas"),
    ],
)
def test_a_part_that_is_not_as_curate_writes_it_is_refused_by_name(
    audit: Path, change: Callable[[pa.Table], pa.Table], what: str
) -> None:
    path = audit / "masks" / "part-000000.parquet"
    pq.write_table(change(pq.read_table(path)), path)
    with pytest.raises(AuditError, match=what) as raised:
        curate.open_audit(audit).masks()
    assert raised.value.where == str(path)
    assert "--restart" in raised.value.do


@pytest.mark.parametrize("kind", ["masks", "images"])
@pytest.mark.parametrize("damage", ["cut", "zeros", "empty", "gone"])
def test_a_part_that_is_damaged_or_gone_is_told_in_a_sentence(
    audit: Path, kind: str, damage: str
) -> None:
    path = audit / kind / "part-000000.parquet"
    data = path.read_bytes()
    made = {"cut": data[:-9], "zeros": data[:4] + bytes(len(data) - 12) + data[-8:], "empty": b""}
    path.unlink()
    if damage != "gone":
        path.write_bytes(made[damage])
    with pytest.raises(AuditError, match=r"it is damaged|a part of the audit is missing"):
        getattr(curate.open_audit(audit), kind)()


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda table: pa.concat_tables([table, table]), "a mask occurs twice"),
        (lambda table: table.drop_columns(["reasons"]), "there is no column reasons"),
        (_cast("decision_id", pa.string()), None),
        (_cast("mask_id", pa.string()), "mask_id holds string"),
    ],
)
def test_what_people_decided_is_refused_where_its_file_is_damaged_and_made_anew(
    audit: Path, change: Callable[[pa.Table], pa.Table], what: str | None
) -> None:
    path = audit / "people.parquet"
    before = curate.open_audit(audit).masks(["action", "decided_by"])
    pq.write_table(change(pq.read_table(path)), path)
    if what is not None:
        with pytest.raises(AuditError, match=what) as raised:
            curate.open_audit(audit).masks()
        assert "rebuilt" in raised.value.do
        path.unlink()
    assert curate.open_audit(audit).masks(["action", "decided_by"]).equals(before)


def test_leases_of_other_types_or_no_text_are_thrown_away(audit: Path) -> None:
    """They hold nothing worth keeping; a value of another type than its column is damage."""
    path = audit / "leases.sqlite"
    data = path.read_bytes()
    for old, new in ((b"leases", b"le\x8fses"), (b"page", b"pa\xffe"), (b"ann", b"\xff\xff\xff")):
        path.write_bytes(data.replace(old, new))
        leases = Leases(audit)
        with leases.changing():
            leases.live()
            leases.give([1], "page", "eve")
            assert any(one.reviewer == "eve" or one.client == "page" for one in leases.live())
        leases.close()
        for end in ("-wal", "-shm"):
            (audit / f"leases.sqlite{end}").unlink(missing_ok=True)


def _changed_tag(data: bytes, wanted: int, value: int) -> bytes:
    """Return a TIFF with another value of one tag."""
    made = bytearray(data)
    (first,) = struct.unpack_from("<I", made, 4)
    for k in range(struct.unpack_from("<H", made, first)[0]):
        tag = first + 2 + 12 * k
        if struct.unpack_from("<H", made, tag)[0] == wanted:
            struct.pack_into("<I", made, tag + 8, value)
    return bytes(made)


@pytest.mark.parametrize("tag", [279, 277])  # bytes of a strip, samples of a pixel
def test_a_broken_tiff_prints_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], tag: int
) -> None:
    """libtiff prints on standard error by itself; what Pillow logs Python prints there."""
    pixels = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.tif", compression="tiff_lzw")
    data = _changed_tag((tmp_path / "a.tif").read_bytes(), tag, 13_000)
    (tmp_path / "a.tif").write_bytes(data)
    logging.getLogger("PIL").handlers.clear()
    silence_decoders.cache_clear()
    assert ImageFolder(tmp_path).inspect("a.tif", (40, 60)).status in ("unreadable", "truncated")
    assert capfd.readouterr().err == ""
    assert logging.getLogger("PIL").handlers


def test_a_png_with_a_broken_animation_is_read_without_a_warning(tmp_path: Path) -> None:
    """Pillow warns of an animation's count of frames, though it reads the picture itself."""
    image, mask = tmp_path / "a/images/a.png", tmp_path / "a/masks/1.png"
    pixels = np.zeros((6, 8), np.uint8)
    pixels[2:4, 3:6] = 255
    for path in (image, mask):
        path.parent.mkdir(parents=True)
        Image.fromarray(pixels).save(path)
        data = path.read_bytes()
        control = b"acTL" + (0).to_bytes(4, "big") + bytes(4)  # an animation of no frame
        chunk = (8).to_bytes(4, "big") + control + zlib.crc32(control).to_bytes(4, "big")
        path.write_bytes(data[:33] + chunk + data[33:])
    with pytest.warns(UserWarning, match="Invalid APNG"), Image.open(mask):
        pass
    table = read(tmp_path)
    assert table.masks["area_px"].tolist() == [6]
    assert ImageFolder(tmp_path / "a/images").inspect("a.png", (6, 8)).status == "ok"


def test_a_model_with_arrays_of_python_2_is_refused_without_a_warning() -> None:
    data = seeds.models()[0].files["model.skops"]
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {one.filename: archive.read(one) for one in archive.infolist()}
    name = next(name for name in members if name.endswith(".npy"))
    members[name] = re.sub(rb"\((\d)\d*,\), }", rb"(\1L,),}", members[name], count=1)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for inner, content in members.items():
            archive.writestr(inner, content)
    from_bytes(data, "model.skops")
    with pytest.raises(AuditError, match=r"no quality model of curate's \(UserWarning\)"):
        from_bytes(packed.getvalue(), "model.skops")


@pytest.mark.parametrize("place", [26, 27, 28])  # compression, filter, interlacing
def test_a_png_packed_in_no_known_way_is_undecodable(tmp_path: Path, place: int) -> None:
    """Else its ids were read, and lost where it was written again with one mask fewer."""
    folder = tmp_path / "ids"
    folder.mkdir()
    ids = np.zeros((40, 60), np.uint8)
    ids[5:15, 5:15], ids[20:30, 30:50] = 1, 2
    for name in ("a.png", "b.png"):
        Image.fromarray(ids).save(folder / name)
    assert len(read(folder, "label-png")) == 4
    data = bytearray((folder / "a.png").read_bytes())
    data[place] = 4
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    (folder / "a.png").write_bytes(data)
    table = read(folder, "label-png")
    assert len(table) == 2
    assert table.images["status"].tolist() == ["unreadable", "ok"]


def test_ids_that_stand_twice_in_an_audit_are_told(audit: Path) -> None:
    path = audit / "masks" / "part-000000.parquet"
    table = pq.read_table(path)
    pq.write_table(pa.concat_tables([table, table]), path)
    with pytest.raises(AuditError, match="a mask_id occurs twice"):
        curate.open_audit(audit).masks()


def test_a_parquet_whose_height_is_a_list_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    objects = [{"id": [1], "segmentation": [{"size": [1, 1], "counts": "01"}]}]
    columns = {"file_name": ["a.png"], "height": [{"x": 1}], "width": [1], "objects": objects}
    pq.write_table(pa.table(columns), path)
    with pytest.raises(SourceError, match="its height and width are no whole numbers"):
        list(EXPORT.images(path, lambda some: [True] * len(some)))


def test_a_whole_number_beyond_floats_is_no_size_of_a_video(tmp_path: Path) -> None:
    """``math.isfinite`` fails on it; the frames' own size counts then."""
    packed = {"size": [2, 3], "counts": "06"}
    video = {"video_id": "sav_1", "video_height": 10**400, "video_width": 3, "masklet_num": 1}
    video |= {"video_frame_count": 1.0, "masklet_id": [0], "masklet": [[packed]]}
    path = tmp_path / "sav_1_manual.json"
    path.write_text(json.dumps(video))
    table = read(path)
    assert table.images[["height", "width"]].to_numpy().tolist() == [[2, 3]]
    assert table.masks["area_px"].tolist() == [6]


@pytest.mark.parametrize(
    "value", [10**400, -(10**400), float("inf"), float("nan"), True, "1", None]
)
def test_what_no_float_holds_is_no_finite_number(value: object) -> None:
    assert not is_finite_number(value)
    assert is_finite_number(10**300)


def test_a_key_without_a_character_is_no_list_of_the_whole_file(tmp_path: Path) -> None:
    """Its images were read as masks, as if the file were a list of results."""
    content = dataset()
    count = len(content["annotations"])
    content[""] = content.pop("images")
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))
    with_name = content | {"images": content[""], "": [{"id": 1}]}
    (tmp_path / "b.json").write_text(json.dumps(with_name))
    assert len(read(tmp_path / "b.json").masks) == count
    assert len(read(path).masks) == count


_BEYOND_FLOATS = 2**53 + 1


def test_ids_beyond_floats_stay_exact_where_others_are_missing(audit: Path, tmp_path: Path) -> None:
    """As floats they were rounded: a duplicate was of a mask that is not there."""
    opened = curate.open_audit(audit)
    asked = opened.query(f"select * from (values ({_BEYOND_FLOATS}), (null)) as t(id)")
    assert asked["id"].dropna().tolist() == [_BEYOND_FLOATS]
    asked = opened.query(f"select * from (values ({_BEYOND_FLOATS}::double), (null)) as t(x)")
    assert asked["x"].dropna().tolist() == [2.0**53]
    with sqlite3.connect(":memory:") as connection:
        sql = f"select {_BEYOND_FLOATS} union all select null"
        rows = fetch_frame(connection, sql, ["draw_id"])
    assert rows["draw_id"].dropna().tolist() == [_BEYOND_FLOATS]
    table = pa.table({"mask_id": [7, 8], "duplicate_of": pa.array([None, _BEYOND_FLOATS])})
    moved = pa.table({"mask_id": [_BEYOND_FLOATS], "duplicate_of": pa.array([None], pa.int64())})
    together = pa.concat_tables([moved, table])
    renumbered = renumber(together, "mask_id", ("duplicate_of",), first=0)
    assert renumbered["duplicate_of"].to_pylist() == [None, None, 0]


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**30])
def test_a_mask_id_beyond_64_bits_is_refused_without_a_warning(
    audit: Path, tmp_path: Path, number: int
) -> None:
    """NumPy's warning stood beside the sentence (warnings are errors here)."""
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"decisions": [{"mask_id": number, "decision": "reject"}]}))
    with pytest.raises(SourceError, match="64 bits"):
        curate.import_decisions(path, audit)


def test_an_audit_json_that_is_nested_too_deeply_is_refused(audit: Path) -> None:
    """It could be read, but not written again, which every verb does."""
    path = audit / "audit.json"
    whole = json.loads(path.read_text())
    whole["policy"] = {"name": "p", "deep": json.loads("[" * 400 + "]" * 400)}
    path.write_text(json.dumps(whole))
    with pytest.raises(AuditError, match="nested too deeply"):
        curate.open_audit(audit).masks()


def test_a_parquet_whose_column_names_are_no_text_is_refused(audit: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"objects": [1], "file_name": ["a"], "marked": [1]}), path)
    path.write_bytes(path.read_bytes().replace(b"marked", b"mar\xaaed"))
    with pytest.raises(SourceError):
        curate.import_decisions(path, audit)
    with pytest.raises(SourceError, match="broken"):
        curate.import_decisions(path, audit, format="huggingface")


def test_a_png_with_a_second_header_of_another_kind_is_undecodable(tmp_path: Path) -> None:
    """Its colours were taken for ids, or were no ids at all: a traceback."""
    colours = np.arange(40 * 50 * 3, dtype=np.uint8).reshape(40, 50, 3)
    packed = io.BytesIO()
    Image.fromarray(colours).save(packed, "PNG")
    data = packed.getvalue()
    indexed = data[12:25] + b"\x03" + data[26:29]  # IHDR of a palette image of the same size
    first = struct.pack(">I", 13) + indexed + struct.pack(">I", zlib.crc32(indexed))
    path = tmp_path / "ids.png"
    path.write_bytes(data[:8] + first + data[8:])
    header = read_header(path)
    assert header.color == 3
    with pytest.raises(PictureProblem, match="kind"):
        read_pixels(path, header)


def test_a_part_described_for_pandas_with_an_unknown_type_is_damaged(audit: Path) -> None:
    path = next((audit / "masks").glob("*.parquet"))
    table = pq.read_table(path)
    metadata = dict(table.schema.metadata)
    metadata[b"pandas"] = (
        metadata[b"pandas"].replace(b'"Int64"', b'"Iyt64"').replace(b'"int64"', b'"imt64"')
    )
    pq.write_table(table.replace_schema_metadata(metadata), path)
    with pytest.raises(AuditError, match="description for pandas"):
        curate.open_audit(audit).masks()


def test_a_region_of_via_whose_shape_is_no_object_is_a_finding(tmp_path: Path) -> None:
    whole = {
        "a.png1": {
            "filename": "a.png",
            "size": 1,
            "regions": [{"shape_attributes": "polygon", "region_attributes": {}}],
            "file_attributes": {},
        }
    }
    path = tmp_path / "via.json"
    path.write_text(json.dumps(whole))
    assert read(path, "via").masks["status"].tolist() == ["wrong_type"]


def test_links_in_a_circle_are_no_picture_of_a_sample(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert path_inside(tmp_path, "a/x.png") is None


def test_a_row_of_a_csv_goes_with_its_own_line_end(tmp_path: Path) -> None:
    """It went with that of the row before, whose line end became another one."""
    path = tmp_path / "train.csv"
    rows = [
        b"ImageId,EncodedPixels,Height,Width\r\n",
        b"a,1 3,5,5\r\n",
        b"a,6 2,5,5\n",
        b"a,9 1,5,5",
    ]
    path.write_bytes(b"".join(rows))
    for gone in (2, 3, 4):
        out = tmp_path / f"{gone}.csv"
        format_by_name("kaggle-csv").prune(path, out, {f"train.csv:{gone}"})
        assert out.read_bytes() == b"".join(rows[: gone - 1] + rows[gone:])


def test_a_tar_that_ends_behind_an_extended_header_is_refused_before_it_is_written(
    tmp_path: Path,
) -> None:
    """It was written, and not read again; so are headers that are invalid to Python."""
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for name in ("a.json", "last.csv"):
            content = json.dumps(dataset()).encode() if name == "a.json" else b""
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    whole = path.read_bytes()
    assert len(read(path).masks) > 0
    last = whole.index(b"last.csv")
    for header, at, value, what in (
        (last, 156, b"x", "ends behind an extended header"),
        (last, 156, b"g", "ends behind an extended header"),
        (last, 136, b"9", "no header here"),  # a time in octal digits
        (0, 108, b"z", "no header here"),
    ):
        path.write_bytes(with_byte(whole, header, at, value))
        with pytest.raises(SourceError, match=what):
            read(path)


def test_a_parquet_whose_columns_names_are_no_utf8_is_refused_in_a_sentence(tmp_path: Path) -> None:
    """Arrow leaves it to Python to notice, which says it as another error."""
    path = tmp_path / "train.parquet"
    table = pa.table({"image_id": [1], "objects": [[{"segmentation": [[0, 0, 9, 0, 9, 9]]}]]})
    pq.write_table(table, path, store_schema=False)
    path.write_bytes(path.read_bytes().replace(b"segmentation", b"segmentati\xd8n"))
    with pytest.raises(SourceError, match="the Parquet is broken"):
        read(path, format="huggingface")


def test_a_parquet_whose_statistics_contradict_its_schema_is_refused(tmp_path: Path) -> None:
    """Arrow ended the process where the metadata of the column was asked for."""
    path = tmp_path / "train.parquet"
    objects = pa.array([[{"segmentation": [[0, 0, 9, 0, 9, 9]]}]] * 3)
    side = pa.array([10, 11, 12], pa.int64())
    table = pa.table({"objects": objects, "height": side, "width": side})
    pq.write_table(table, path, store_schema=False)
    whole = path.read_bytes()
    at = whole.rindex(b"width")  # the schema stands first in the footer: this is the column's path
    first = whole.index(b"width", len(whole) - int.from_bytes(whole[-8:-4], "little") - 8)
    assert first < at
    optional = whole.rindex(b"\x25\x02", 0, first)  # repetition_type of the element: OPTIONAL
    path.write_bytes(whole[:optional] + b"\x25\x00" + whole[optional + 2 :])
    with pytest.raises(SourceError, match="the Parquet is broken"):
        read(path, format="huggingface")


def test_lists_in_a_parquet_keep_what_they_call_their_elements(tmp_path: Path) -> None:
    """Arrow renames it on writing, and the check found that the columns were others."""
    path, out = tmp_path / "train.parquet", tmp_path / "out.parquet"
    kind = pa.struct(
        [
            pa.field("id", pa.list_(pa.field("item", pa.int64()))),
            pa.field("segmentation", pa.list_(pa.field("item", pa.list_(pa.float64())))),
        ]
    )
    ring = [0.0, 0.0, 9.0, 0.0, 9.0, 9.0]
    rows = pa.array([{"id": [1, 2], "segmentation": [ring, ring]}], kind)
    pq.write_table(pa.table({"objects": rows}), path, use_compliant_nested_type=False)
    tested = format_by_name("huggingface")
    tested.write(path, out, Edits(drop=frozenset({"train.parquet#0/0"})))
    assert pq.read_schema(out).equals(pq.read_schema(path), check_metadata=True)
    assert tested.check_unedited(path, out, Edits(drop=frozenset({"train.parquet#0/0"}))) == ""


def test_an_empty_list_may_be_given_any_format_of_lists(tmp_path: Path) -> None:
    """All masks of an amg file were removed, and the rest was taken for COCO results."""
    path = tmp_path / "a.json"
    path.write_text("[]\n")
    assert len(read(path, format="amg").masks) == 0


def test_an_amg_csv_without_a_column_of_ids_stays_as_it_is(tmp_path: Path) -> None:
    """Its records are about no mask, and the check asked for them to go with the masks."""
    folder, out = tmp_path / "amg" / "x", tmp_path / "out"
    folder.mkdir(parents=True)
    for name in ("0.png", "1.png"):
        Image.fromarray(np.eye(9, dtype=np.uint8) * 255).save(folder / name)
    (folder / "metadata.csv").write_text("number,area\n0,9\n1,9\n")
    tested, edits = format_by_name("amg"), Edits(drop=frozenset({"x/1.png"}))
    tested.write(tmp_path / "amg", out, edits)
    assert sorted(p.name for p in (out / "x").iterdir()) == ["0.png", "metadata.csv"]
    assert tested.check_unedited(tmp_path / "amg", out, edits) == ""
    (out / "x" / "metadata.csv").write_text("number,area\n0,9\n")
    problem = tested.check_unedited(tmp_path / "amg", out, edits)
    assert problem == "x/metadata.csv: its records are not as they were"


def test_of_two_values_under_one_name_in_json_the_last_may_change(tmp_path: Path) -> None:
    """The last is the one that is read; the check asked for the edit in the first as well."""
    path, out = tmp_path / "export.json", tmp_path / "out.json"
    mask = {"type": "polygon", "value": {"points": [[0, 0], [50, 0], [50, 50]], "closed": True}}
    mask |= {"original_width": 20, "original_height": 20}
    done = json.dumps([{"id": 1, "result": [mask | {"id": "a"}, mask | {"id": "b"}]}])
    task = (
        f'[{{"id": 1, "data": {{"image": "a.png"}}, "annotations": {done}, "annotations": {done}}}]'
    )
    path.write_text(task)
    tested = format_by_name("label-studio")
    edits = Edits(drop=frozenset({"export.json#/0/annotations/0/result/1"}))
    assert sorted(read(path).masks["source_key"])[1] in edits.drop
    tested.write(path, out, edits)
    assert tested.check_unedited(path, out, edits) == ""
    assert len(read(out).masks) == 1
    out.write_text(out.read_text().replace('"a"', '"c"', 1))
    assert tested.check_unedited(path, out, edits)


@pytest.mark.parametrize("name", ["iscrowd", "track_id"])
@pytest.mark.parametrize("number", [-(2**63), 2**63 - 1, -(2**64)])
def test_the_lowest_integer_of_64_bits_is_no_crowd_and_no_track(
    tmp_path: Path, name: str, number: int
) -> None:
    """It has no absolute value in 64 bits, and passed for a small number."""
    path = tmp_path / "a.json"
    images = [{"id": 1, "file_name": "a.png", "height": 9, "width": 9}]
    ring = {"image_id": 1, "category_id": 1, "segmentation": [[0, 0, 9, 0, 9, 9]]}
    masks = [ring | {"id": 1, name: number}, ring | {"id": 2, name: 1}]
    categories = [{"id": 1, "name": "cell"}]
    whole = {"images": images, "annotations": masks, "categories": categories}
    path.write_text(json.dumps(whole))
    read_column = read(path).masks[name]
    assert read_column.isna().tolist() == [True, False]
    assert read_column.tolist()[1] == 1


def test_decisions_lie_over_a_plan_that_is_stored_as_categories(audit: Path) -> None:
    """Reading it ended in pandas' own error, since a category was new to the column."""
    before = curate.open_audit(audit).masks(["action", "decided_by"])
    assert (before["decided_by"] == "person").any()
    for path in (audit / "masks").glob("part-*.parquet"):
        table = pq.read_table(path)
        never = pa.array(["never"] * len(table)).dictionary_encode()
        at = table.schema.get_field_index("action")
        pq.write_table(table.set_column(at, "action", never), path)
    now = curate.open_audit(audit).masks(["action"])["action"]
    by_people = before["decided_by"] == "person"
    assert now[by_people].tolist() == before.loc[by_people, "action"].tolist()
    assert set(now[~by_people]) <= {"never"}


def test_a_bitmask_that_stays_has_the_size_that_only_the_removed_one_stated(
    tmp_path: Path,
) -> None:
    """Its own PNG has it too: the mask that stayed was without pixels after writing."""
    path, out = tmp_path / "export.json", tmp_path / "out" / "export.json"
    mask = np.zeros((20, 30), np.uint8)
    mask[4:9, 5:25] = 255
    packed = io.BytesIO()
    Image.fromarray(mask).save(packed, "PNG")
    url = "data:image/png;base64," + base64.b64encode(packed.getvalue()).decode()
    region = {
        "from_name": "bits",
        "to_name": "image",
        "type": "bitmasklabels",
        "value": {"imageDataURL": url, "bitmasklabels": ["x"]},
    }
    sized = region | {"id": "r0", "original_width": 30, "original_height": 20}
    annotation = {"id": 1, "result": [sized, region | {"id": "r1"}]}
    path.write_text(
        json.dumps([{"id": 1, "data": {"image": "a.png"}, "annotations": [annotation]}])
    )
    tested = format_by_name("label-studio")
    before = read(path).masks
    gone = next(key for key in before["source_key"] if key.endswith("result/0"))
    edits = Edits(drop=frozenset({gone}))
    stored = tested.write(path, out, edits)
    assert check_written(tested, path, out, edits, stored).problem == ""
    after = read(out).masks
    assert (after["status"] == "ok").all()
    assert after["area_px"].tolist() == [100]


def test_metadata_under_a_name_of_arrows_own_describe_no_column(tmp_path: Path) -> None:
    """Arrow leaves them out when it writes, so each such Parquet was refused after writing."""
    path, out = tmp_path / "train.parquet", tmp_path / "out" / "train.parquet"
    (data,) = seeds.mask_pictures()[0].files.values()
    path.write_bytes(data.replace(b"ARROW:schema", b"ARROW:sche~a"))
    assert b"ARROW:sche~a" in pq.read_schema(path).metadata
    tested = format_by_name("huggingface")
    edits = Edits(drop=frozenset(read(path).masks["source_key"][:1]))
    tested.write(path, out, edits)
    assert tested.check_unedited(path, out, edits) == ""
    renamed = pq.read_table(out).replace_schema_metadata({b"mine": b"1"})
    pq.write_table(renamed, out)
    assert tested.check_unedited(path, out, edits) == "its columns are not as they were"
