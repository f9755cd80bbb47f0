"""The audit directory: claimed, written whole, read back, refused where it is not ours."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.common import files
from curate.errors import AuditError, CallError
from curate.store.audit import claim, open_audit
from curate.store.audit_files import part_path, read_part, write_json, write_part, writing
from curate.store.audit_info import COMPLETE, INFO, SCHEMA_VERSION, SCORING


def make_audit(root: Path, state: str = COMPLETE) -> Path:
    for index in range(2):
        masks = pd.DataFrame(
            {"action": ["accept", "reject"], "priority": [0.1, float("nan")]},
            index=pd.Index([2 * index, 2 * index + 1], name="mask_id"),
        )
        images = pd.DataFrame({"file_name": ["a"]}, index=pd.Index([index], name="image_id"))
        write_part(part_path(root, "masks", index), pa.Table.from_pandas(masks))
        write_part(part_path(root, "images", index), pa.Table.from_pandas(images))
    write_json(
        root / INFO, {"schema_version": SCHEMA_VERSION, "state": state, "identity": {"a": 1}}
    )
    return root


def test_read_back_by_pandas_and_sql(tmp_path: Path) -> None:
    audit = open_audit(make_audit(tmp_path / "it's a.audit"))
    assert audit.masks().index.tolist() == [0, 1, 2, 3]
    assert audit.masks().index.name == "mask_id"
    assert audit.masks(["action"])["action"].tolist() == ["accept", "reject"] * 2
    assert audit.images().index.tolist() == [0, 1]
    rejected = audit.query("select count(*) as n from masks where action = ?", ["reject"])
    assert rejected["n"].tolist() == [2]
    by_pandas = pd.read_parquet(audit.path / "masks")
    assert len(by_pandas) == 4


def test_what_is_asked_wrongly(tmp_path: Path) -> None:
    audit = open_audit(make_audit(tmp_path / "x"))
    with pytest.raises(CallError, match="no column nothing"):
        audit.masks(["nothing"])
    with pytest.raises(CallError, match="the query fails"):
        audit.query("selec")


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_json(path, {"old": 1})

    def fail() -> None:
        with writing(path) as temporary:
            temporary.write_text("half")
            raise OSError(28, "No space left on device")

    with pytest.raises(AuditError, match="no space left on device; what is done so far is kept"):
        fail()
    assert orjson.loads(path.read_bytes()) == {"old": 1}
    assert os.listdir(tmp_path) == ["file"]


def test_json_takes_nan(tmp_path: Path) -> None:
    write_json(tmp_path / "a", {"x": float("nan"), "y": np.float64(2)})
    assert orjson.loads((tmp_path / "a").read_bytes()) == {"x": None, "y": 2.0}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"",
            "audit.json: it is damaged or cut short; restore it from a copy, or run `curate audit`",
        ),
        (b"{", "it is damaged or cut short"),
        (b"\0" * 4096, "it is damaged or cut short"),
        (b"thesis", "it is not an audit's"),
        (b"{}", "it is not an audit's"),
        (b"[]", "it is not an audit's"),
        (b'{"schema_version": 99}', "schema version 99"),
    ],
)
def test_audit_json_of_somebody_else(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / INFO).write_bytes(content)
    with pytest.raises(AuditError, match=message):
        open_audit(tmp_path)


@pytest.mark.parametrize("content", [b"", b'{"schema_version": 2, "sta', b"\0" * 100])
def test_a_damaged_audit_can_be_made_anew(tmp_path: Path, content: bytes) -> None:
    root = make_audit(tmp_path / "old", SCORING)
    (root / INFO).write_bytes(content)
    (root / "reviews.sqlite").write_bytes(b"people's")
    with pytest.raises(AuditError, match=r"damaged or cut short; .* with --restart"):
        claim(root, {"a": 1}, restart=False)
    assert claim(root, {"a": 1}, restart=True) is None
    assert [path.name for path in root.iterdir()] == ["reviews.sqlite"]
    (root / INFO).write_bytes(b"somebody's notes")
    with pytest.raises(AuditError, match="it is not an audit's; choose another directory"):
        claim(root, {"a": 1}, restart=True)


def test_open_needs_a_finished_audit(tmp_path: Path) -> None:
    with pytest.raises(AuditError, match="there is no audit here"):
        open_audit(tmp_path / "nothing")
    with pytest.raises(AuditError, match="was interrupted"):
        open_audit(make_audit(tmp_path / "half", SCORING))


def test_claim_new_and_continued(tmp_path: Path) -> None:
    assert claim(tmp_path / "new", {"a": 1}, restart=False) is None
    root = make_audit(tmp_path / "old", SCORING)
    info = claim(root, {"a": 1}, restart=False)
    assert info is not None
    assert info.state == SCORING


def test_claim_refuses_what_is_not_its_own(tmp_path: Path) -> None:
    (tmp_path / "thesis.docx").touch()
    with pytest.raises(AuditError, match=r"holds something else \(thesis.docx\)"):
        claim(tmp_path, {}, restart=True)
    assert (tmp_path / "thesis.docx").exists()
    with pytest.raises(AuditError, match="it is a file"):
        claim(tmp_path / "thesis.docx", {}, restart=False)
    only_masks = tmp_path / "dataset"
    (only_masks / "masks").mkdir(parents=True)
    with pytest.raises(AuditError, match="holds something else"):
        claim(only_masks, {}, restart=True)


def test_claim_refuses_another_audit_unless_told(tmp_path: Path) -> None:
    root = make_audit(tmp_path / "a")
    with pytest.raises(
        AuditError, match=r"else \(a was 1, is 2 now\); choose another .* --restart"
    ):
        claim(root, {"a": 2}, restart=False)
    assert claim(root, {"a": 2}, restart=True) is None
    assert os.listdir(root) == []


def test_where_nothing_can_be_written_or_removed_the_file_itself_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read-only file system refuses to remove even what is not there."""

    def refuse(path: Path, **_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(Path, "unlink", refuse)
    monkeypatch.setattr(files, "_hook", lambda _, path: refuse(path))
    with pytest.raises(AuditError, match="read-only file system") as refused:
        write_json(tmp_path / "audit.json", {})
    assert refused.value.where == str(tmp_path / "audit.json")


@pytest.mark.parametrize("kind", ["masks", "images"])
@pytest.mark.parametrize("index", [0, 1])
def test_an_audit_that_lacks_a_part_is_refused(tmp_path: Path, kind: str, index: int) -> None:
    audit = make_audit(tmp_path / "x")
    path = part_path(audit, kind, index)
    path.unlink()
    with pytest.raises(AuditError, match=f"{path.name}: a part of the audit is missing"):
        open_audit(audit)


def test_a_pipe_in_place_of_a_part_is_not_waited_for(tmp_path: Path) -> None:
    audit = make_audit(tmp_path / "x")
    path = part_path(audit, "masks", 0)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(AuditError, match=f"{path.name}: a part of the audit is missing"):
        open_audit(audit)


def test_too_little_memory_for_a_query_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import duckdb

    def fail(*_: object) -> None:
        raise duckdb.OutOfMemoryException("failed to allocate\n\nPossible solutions: ...")

    audit = open_audit(make_audit(tmp_path / "x"))
    monkeypatch.setattr(type(audit), "_connection", fail)
    with pytest.raises(CallError, match="there is not enough memory for the query; use a l"):
        audit.query("select 1")


def test_an_audit_without_any_part_is_refused(tmp_path: Path) -> None:
    write_json(tmp_path / INFO, {"schema_version": SCHEMA_VERSION, "state": COMPLETE})
    with pytest.raises(AuditError, match="a part of the audit is missing"):
        open_audit(tmp_path)


def with_counts(root: Path, counts: dict[str, int]) -> Path:
    """Let an audit's file say how many parts, masks or images there are."""
    counts = dict(counts)
    info = orjson.loads((root / INFO).read_bytes())
    parts = {name: counts.pop(name) for name in ("parts",) if name in counts}
    told = {"actions": {}, "status": {}, "masks": 4, "images": 2, **counts}
    write_json(root / INFO, info | parts | {"counts": told})
    return root


@pytest.mark.parametrize("counts", [{"parts": 2}, {}], ids=["parts", "of an earlier curate"])
@pytest.mark.parametrize("kinds", [("masks",), ("images",), ("masks", "images")], ids="+".join)
def test_a_last_part_that_is_missing_is_noticed(
    tmp_path: Path, counts: dict[str, int], kinds: tuple[str, ...]
) -> None:
    root = with_counts(make_audit(tmp_path / "a"), counts)
    assert len(open_audit(root).masks()) == 4
    for kind in kinds:
        part_path(root, kind, 1).unlink()
    with pytest.raises(AuditError, match=r"part is missing|of the audit is missing|parts hold 2 m"):
        open_audit(root)


def test_a_part_too_many_is_noticed(tmp_path: Path) -> None:
    root = with_counts(make_audit(tmp_path / "a"), {"parts": 1})
    with pytest.raises(AuditError, match=r"part-000001.parquet: it does not belong to this audit"):
        open_audit(root)
    root = with_counts(make_audit(tmp_path / "b"), {"masks": 5})
    with pytest.raises(AuditError, match="masks: its parts hold 4 masks, and 5 were written"):
        open_audit(root)
    with_counts(root, {"parts": 10**15})  # no loop over what a file says
    with pytest.raises(AuditError, match=r"part-000002.parquet: a part of the audit is missing"):
        open_audit(root)


@pytest.mark.parametrize("column", ["priority", "action", "mask_id"])
def test_a_flipped_bit_is_noticed_where_a_part_is_read(tmp_path: Path, column: str) -> None:
    """Lengths, types and statistics stay as they were: only the checksum of the page tells."""
    root = make_audit(tmp_path / "a")
    path = part_path(root, "masks", 1)
    about = pq.read_metadata(path).row_group(0)
    found = next(k for k in range(about.num_columns) if about.column(k).path_in_schema == column)
    chunk = about.column(found)
    data = bytearray(path.read_bytes())
    start = chunk.dictionary_page_offset or chunk.data_page_offset
    data[start + chunk.total_compressed_size - 1] ^= 1
    path.write_bytes(data)
    with pytest.raises(AuditError, match=r"part-000001.parquet: it is damaged \(.*checksum"):
        open_audit(root).masks()
    with pytest.raises(AuditError, match=r"part-000001.parquet: it is damaged \(.*checksum"):
        read_part(root, "masks", 1)


FORKS = """
import gc, os, sys, warnings
import curate
warnings.simplefilter("ignore")  # newer Pythons warn of any fork beside threads
audit = curate.open_audit(sys.argv[1])
audit.query("select count(*) from masks")
child = os.fork()
if not child:
    del audit
    gc.collect()
    os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_process_does_not_wait_for_its_parents_database(tmp_path: Path) -> None:
    """It has none of its threads, and waited for them without end once the audit was collected."""
    command = [sys.executable, "-c", FORKS, str(make_audit(tmp_path / "audit"))]
    assert subprocess.check_output(command, text=True, timeout=120).strip() == "7"
