"""Tools that other packages add by an entry point."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from boxes import dataset
from hard_masks import audited

import curate
from curate.errors import CallError
from curate.people.exchange import import_file
from curate.people.exchange.registry import BUILT_IN, REGISTRY
from curate.people.reviews import open_reviews


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Install a distribution that adds tools, one under a name that is taken."""
    info = tmp_path / "site" / "added_tool-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: added-tool\nVersion: 1.0\n")
    entries = "".join(f"{name.lower()} = added_tool:{name}\n" for name in ("LINES", "ONLY_OUT"))
    text = f"[curate.exchange]\n{entries}coco = added_tool:TAKEN\n"
    (info / "entry_points.txt").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    REGISTRY.__dict__.pop("_added", None)
    yield
    REGISTRY.__dict__.pop("_added", None)


@pytest.mark.usefixtures("installed")
def test_an_added_tool_is_written_and_read_like_others(tmp_path: Path) -> None:
    audit = audited(dataset(), tmp_path)
    out = tmp_path / "queue.lines"
    curate.write_queue(audit.path, out, kind="estimate", budget=12)
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    lines[0]["ids"].pop()
    gone = lines[0]["counts"].pop()
    lines[0]["counts"][0] = gone  # the first mask is now drawn like the last one
    out.write_text("\n".join(map(json.dumps, lines)))
    done = import_file(audit, out, reviewer="ann")
    assert (done.format, done.added.actions) == ("lines", {"accept": 10, "fix": 1, "reject": 1})
    assert set(open_reviews(audit).decisions()["reviewer"]) == {"ann"}
    assert import_file(audit, out, format="lines", reviewer="ann").added.decisions == 0


@pytest.mark.usefixtures("installed")
def test_added_names_stand_where_names_are_listed(tmp_path: Path) -> None:
    built_in = [name for name, _, _ in BUILT_IN]
    assert REGISTRY.writer_names() == (*built_in, "lines", "only-out")
    assert REGISTRY.reader_names() == (*built_in, "lines")
    assert REGISTRY.writer(Path("a"), "coco").title == "COCO instances"
    with pytest.raises(CallError, match="lines, only-out"):
        REGISTRY.writer(Path("a.xyz"))
    with pytest.raises(CallError, match="no decisions are read from 'only-out'"):
        REGISTRY.reader(tmp_path, "only-out")
    audit = audited(dataset(), tmp_path)
    with pytest.raises(CallError, match="label-studio, lines, only-out"):
        curate.write_queue(audit.path, tmp_path / "a", to="voc")
    curate.write_queue(audit.path, tmp_path / "a", to="only-out", kind="estimate", budget=3)
    assert (tmp_path / "a").read_text().startswith('{"name"')


def test_without_other_packages_there_are_the_built_in_ones() -> None:
    for name, _, _ in BUILT_IN:
        tool = REGISTRY.tool(name)
        assert tool.name == name
        assert tool.writer is not None
        assert tool.reader is not None
