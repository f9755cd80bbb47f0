"""The version of the dataset that a queue is of travels with it, and is checked when it is back."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pandas as pd
import pytest
from boxes import box, dataset, rle
from hard_masks import audited
from other_tools import TOOLS, Seen

import curate
from curate.dataset.notes import short_version
from curate.errors import AuditError, SourceError
from curate.people.exchange import import_file
from curate.people.exchange.queue_writing import check_version
from curate.people.reviews import open_reviews
from curate.people.webapp.session import ReviewSession
from curate.people.webapp.startup import ReviewSettings
from curate.store.audit import StoredAudit, open_audit
from curate.store.audit_info import COMPLETE, AuditInfo

pytestmark = pytest.mark.filterwarnings(  # pycocotools
    "ignore:__array__ implementation:DeprecationWarning"
)
NAME = "dataset_version"
ALL = ("accept", "review", "reject")


def corrected() -> dict[str, Any]:
    """Return the dataset with one mask drawn anew."""
    source = dataset()
    source["annotations"][4]["segmentation"] = rle(box(2, 2, 9, 9))
    return source


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return the folders of two audits: of a dataset, and of the same with one mask corrected."""
    made = tuple(tmp_path_factory.mktemp(name) for name in ("old", "new"))
    for folder, source in zip(made, (dataset(), corrected()), strict=True):
        audited(source, folder)
    return made[0], made[1]


@pytest.fixture
def old(folders: tuple[Path, Path], tmp_path: Path) -> StoredAudit:
    """Return a copy of the audit of the dataset as it was."""
    shutil.copytree(folders[0] / "audit", tmp_path / "old")
    return open_audit(tmp_path / "old")


@pytest.fixture
def new(folders: tuple[Path, Path], tmp_path: Path) -> StoredAudit:
    """Return a copy of the audit of the corrected dataset, with a draw 1 of all of its masks."""
    shutil.copytree(folders[1] / "audit", tmp_path / "new")
    curate.write_queue(tmp_path / "new", actions=ALL)
    return open_audit(tmp_path / "new")


def version(audit: StoredAudit) -> str:
    return short_version(audit.info.version)


def sent(audit: StoredAudit, folder: Path, to: str, crops: bool | None = None) -> Path:
    """Draw all masks of an audit for a tool."""
    ending = {"csv": ".csv", "json": ".json", "huggingface": ".parquet"}.get(to, "")
    ending = ".json" if to == "coco" and not crops else ending
    out = folder / f"queue{ending}"
    curate.write_queue(audit.path, out, to=to, crops=crops, actions=ALL)
    return out


def in_rows(path: Path, crops: bool) -> Path:
    """Reject mask 2 in a CSV or JSON queue."""
    if path.suffix == ".csv":
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
        frame.assign(decision=["reject" * (one == "2") for one in frame["mask_id"]]).to_csv(path)
        return path
    value = json.loads(path.read_text())
    for row in value["masks"]:
        row["decision"] = "reject" if row["mask_id"] == 2 else None
    path.write_text(json.dumps(value))
    return path


def in_label_studio(path: Path, crops: bool) -> Path:
    """Reject mask 2 in Label Studio's tasks."""
    tasks = json.loads((path / "tasks.json").read_text())
    for number, task in enumerate(tasks, 1):
        result = [one for one in task["predictions"][0]["result"] if one["id"] != "mask_2"]
        task |= {"id": number, "annotations": [{"id": number, "result": result}]}
    back = path.with_name("export.json")
    back.write_text(json.dumps(tasks))
    return back


def in_tool(tool: str) -> Callable[[Path, bool], Path]:
    """Reject mask 2 in another tool."""

    def without(name: str, seen: list[Seen]) -> list[Seen]:
        return [one for one in seen if str(one.mask_id) != "2"]

    return lambda path, crops: TOOLS[tool][1](path, without)


WAYS: dict[str, tuple[str, Callable[[Path, bool], Path], tuple[bool | None, ...]]] = {
    "CSV": ("csv", in_rows, (None,)),
    "JSON": ("json", in_rows, (None,)),
    "Label Studio": ("label-studio", in_label_studio, (False, True)),
    **{tool: (to, in_tool(tool), (False, True)) for tool, (to, _) in TOOLS.items()},
}


@pytest.mark.parametrize(("way", "crops"), [(way, crops) for way in WAYS for crops in WAYS[way][2]])
def test_decisions_on_another_version_are_refused(
    old: StoredAudit, new: StoredAudit, tmp_path: Path, way: str, crops: bool | None
) -> None:
    """Ids and the draw's number are the same in both audits."""
    to, fill, _ = WAYS[way]
    came = fill(sent(old, tmp_path, to, crops), bool(crops))
    before = {p.name: p.read_bytes() for p in new.path.glob("reviews.sqlite*")}
    with pytest.raises(SourceError) as refused:
        import_file(new, came, reviewer="ann")
    said = f"it was made from version {version(old)} of the dataset, and the audit is of version "
    assert refused.value.what == said + version(new)
    assert refused.value.where.startswith(came.name)
    assert refused.value.do.startswith("import it into the audit that it was made from")
    reviews = open_reviews(new)
    assert not len(reviews.decisions()) + len(reviews.missing()) + len(reviews.reviewed_images())
    assert before.keys() >= {"reviews.sqlite"}
    import_file(old, came, reviewer="ann")
    kept = open_reviews(old).decisions()
    assert kept.loc[kept["action"] == "reject", "mask_id"].tolist() == [2]
    assert set(kept["draw_id"]) == {1}


def test_every_row_and_the_draw_name_the_version(old: StoredAudit, tmp_path: Path) -> None:
    text = curate.write_queue(old.path, kind="estimate", budget=4)
    sent(old, tmp_path, "csv")
    for lines in (text.splitlines(), (tmp_path / "queue.csv").read_text().splitlines()):
        rows = list(csv.DictReader(lines))
        assert {"draw_id", NAME} <= set(rows[0])
        assert {row[NAME] for row in rows} == {version(old)}
    alone = curate.write_queue(old.path, record=False, actions=ALL).splitlines()
    assert NAME in alone[0].split(",")  # also where no draw is recorded
    assert [s[NAME] for s in open_reviews(old).draws()["settings"]] == [version(old)] * 2


def test_what_a_tool_must_be_told_of_the_version(old: StoredAudit, tmp_path: Path) -> None:
    """CVAT drops attributes that a label does not declare; COCO has a place of its own."""
    labels = json.loads((sent(old, tmp_path, "cvat") / "labels.json").read_text())
    assert NAME in [one["name"] for one in labels[0]["attributes"]]
    info = json.loads(sent(old, tmp_path, "coco").read_text())["info"]
    assert info["version"] == version(old)
    (tmp_path / "in").mkdir()
    folder = sent(old, tmp_path / "in", "fiftyone")
    assert json.loads((folder / "labels.json").read_text())["info"]["version"] == version(old)


def test_coco_without_attributes_is_known_by_its_info(
    old: StoredAudit, new: StoredAudit, tmp_path: Path
) -> None:
    path = sent(old, tmp_path, "coco")
    value = json.loads(path.read_text())
    value["annotations"] = [
        {key: one[key] for key in one if key != "attributes"}
        for one in value["annotations"]
        if one["id"] != 2
    ]
    path.write_text(json.dumps(value))
    with pytest.raises(SourceError, match=f"made from version {version(old)} of the dataset"):
        import_file(new, path)
    assert import_file(old, path).added.actions == {"accept": 11, "reject": 1}


def test_other_files_name_no_version(new: StoredAudit, tmp_path: Path) -> None:
    """What stands in the info of a dataset is not ours, whatever it looks like."""
    value = corrected() | {"info": {"description": "cats and dogs", "version": "202401011200"}}
    del value["annotations"][1]
    (tmp_path / "a.json").write_text(json.dumps(value))
    assert import_file(new, tmp_path / "a.json").added.actions == {"accept": 11, "reject": 1}
    (tmp_path / "a.csv").write_text("mask_id,decision\n1,reject\n")
    assert import_file(new, tmp_path / "a.csv", reviewer="ann").added.actions == {"reject": 1}


def test_rows_of_two_versions(old: StoredAudit, new: StoredAudit, tmp_path: Path) -> None:
    """Only rows with a decision count, and empty cells say nothing."""
    path, head = tmp_path / "a.csv", f"mask_id,decision,{NAME}\n"
    own, other = version(new), version(old)
    path.write_text(f"{head}1,accept,\n2,reject,{own}\n3,accept,{other}\n4,,{other}\n")
    what = f"a part of it was made from version {other} of the dataset, and the audit is of"
    with pytest.raises(SourceError, match=what):
        import_file(new, path)
    assert not len(open_reviews(new).decisions())
    path.write_text(f"{head}1,accept,\n2,reject,{own}\n3,accept, \n4,,{other}\n")
    assert import_file(new, path).added.actions == {"accept": 2, "reject": 1}


def test_what_no_version_is_says_nothing() -> None:
    """A spreadsheet rounds an id that looks like a number, and other tools write it in full."""
    own = "123456789012" + "0" * 20
    audit = StoredAudit(Path("a"), AuditInfo(COMPLETE, version=own))
    same = [own[:12], own, own[:12].upper(), 123456789012, f" {own[:12]} "]
    nothing = ["", " ", None, float("nan"), 1.23456789012e11, "1.23457E+11", "2", [], {}, True]
    check_version(audit, [*same, *nothing], "f")
    with pytest.raises(SourceError, match="f: a part of it was made from version aaaaaaaaaaaa "):
        check_version(audit, [*same, *nothing, "A" * 12], "f")
    many = [f"{k:012x}" for k in range(5)]
    with pytest.raises(SourceError, match=f"version {' and '.join(many[:3])} and others of the"):
        check_version(audit, many, "f")


def test_an_audit_without_a_version_names_none(
    old: StoredAudit, new: StoredAudit, tmp_path: Path
) -> None:
    """Audits of earlier versions of curate have none."""
    came = in_rows(sent(old, tmp_path, "csv"), False)
    info = {key: value for key, value in new.info.as_dict().items() if key != "version"}
    (new.path / "audit.json").write_bytes(orjson.dumps(info))
    assert NAME not in curate.write_queue(new.path, record=False, actions=ALL)
    assert import_file(open_audit(new.path), came).added.actions == {"reject": 1}


def test_an_audit_started_anew_on_another_version_has_no_use_for_the_decisions(
    tmp_path: Path,
) -> None:
    audit = audited(dataset(), tmp_path)
    (tmp_path / "a.csv").write_text("mask_id,decision\n1,reject\n")
    import_file(audit, tmp_path / "a.csv")
    (tmp_path / "source.json").write_text(json.dumps(corrected()))
    refused = r"reviews.sqlite: it holds the decisions of another audit .* move it away"
    with pytest.raises(AuditError, match=refused):
        curate.audit(tmp_path / "source.json", audit.path, restart=True)
    assert version(open_audit(audit.path)) == version(audit)  # nothing was thrown away
    reviews = {path: path.read_bytes() for path in audit.path.glob("reviews.sqlite*")}
    for path in reviews:
        path.unlink()
    again = curate.audit(tmp_path / "source.json", audit.path, restart=True)
    assert version(again) != version(audit)
    assert set(again.masks()["decided_by"]) == {"policy"}
    for path, content in reviews.items():  # put back where they do not belong
        path.write_bytes(content)
    for use in (
        lambda: ReviewSession(again, ReviewSettings()),
        lambda: import_file(again, tmp_path / "a.csv"),
        lambda: curate.open_audit(audit.path).masks(),
    ):
        with pytest.raises(AuditError, match=refused):
            use()
