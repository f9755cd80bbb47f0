"""What holds for a file as a whole: counted once, kept in the audit, shown everywhere."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa
import pytest

from curate.dataset.notes import Note, Notes, as_dicts, count_text, merge_notes, replace_notes
from curate.dataset.table import concat, finish
from curate.reporting.summary import _note_lines
from curate.store.audit_files import notes_of_parts, scored_path, with_notes, write_scored


def test_notes_of_one_kind_are_counted_together() -> None:
    notes = Notes()
    for number in range(5):
        notes.add("flat_polygon", "polygons are lists of numbers", f"a.json#{number}")
    notes.add("utf16", "the file is UTF-16", "a.json", of="files")
    flat, wide = notes.list()
    assert (flat.count, flat.examples) == (5, ("a.json#0", "a.json#1", "a.json#2"))
    assert (wide.count, wide.of) == (1, "files")
    assert merge_notes([flat, wide, flat])[0].count == 10


def test_shares_are_known_where_the_whole_is() -> None:
    notes = [Note("a", "text", 3), Note("b", "text", 1, "files")]
    found = as_dicts(notes, {"masks": 12, "images": 0})
    assert [one["share"] for one in found] == [pytest.approx(0.25), None]
    assert count_text(found[0], 12) == "3 of 12 masks"
    assert count_text(found[1]) == "1 file"


def test_notes_replace_those_of_their_kind() -> None:
    notes = replace_notes([], as_dicts([Note("a", "first", 3), Note("b", "text", 1)], {}))
    notes = replace_notes(notes, as_dicts([Note("a", "second", 4)], {}))
    assert [(n["kind"], n["text"]) for n in notes] == [("b", "text"), ("a", "second")]


def test_notes_of_parts_come_back(tmp_path) -> None:
    for index in range(3):
        images = pa.table({"image_id": [index]})
        found = [Note("a", "text", index, "masks", (f"key {index}",))] if index else []
        for kind in ("images", "masks"):
            write_scored(scored_path(tmp_path, kind, index), with_notes(images, found))
    assert notes_of_parts(tmp_path) == (Note("a", "text", 3, "masks", ("key 1", "key 2")),)


def test_tables_carry_their_notes() -> None:
    columns = ("source_key", "image_id", "height", "width", "segmentation")
    masks = pd.DataFrame({name: [] for name in columns})
    images = pd.DataFrame({name: [] for name in ("file_name", "height", "width")})
    table = finish(masks, images, (Note("a", "text", 1),))
    assert concat([table, table]).notes == (Note("a", "text", 2),)
    assert table[:0].notes == ()


def test_the_summary_has_a_line_for_each_and_no_control_characters() -> None:
    notes = as_dicts([Note("a", "rings are open", 3, "masks", ("x\x1b[2J.json#1",))], {"masks": 4})
    lines = _note_lines(notes, {"mask_count": 4, "image_count": 1})
    assert lines == ["note: rings are open: 3 of 4 masks (for example x\ufffd[2J.json#1)"]
