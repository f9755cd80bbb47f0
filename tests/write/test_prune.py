from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pycocotools.coco import COCO

import curate
import curate.writing.pruning as module
from curate.common.fingerprint import fingerprint
from curate.errors import AuditError, CallError, SourceError
from curate.formats.format import Format
from curate.formats.reading import detect, read
from curate.people.reviews import Reviews
from curate.writing.pruning import prune

Content = dict[str, Any]


def square(x: int) -> list[list[float]]:
    return [[x, 1.0, x + 4.0, 1, x + 4, 5.5, x, 5]]


@pytest.fixture
def content() -> Content:
    """A COCO file with what careless tools lose: odd ids, unknown fields, numbers as written."""
    return {
        "info": {"x": 1.0, "y": [None, {"z": 1e-7}]},
        "images": [
            {"id": 70, "file_name": "b.jpg", "width": 40, "height": 30, "mine": {"a": 1}},
            {"id": 7, "file_name": "a.jpg", "width": 40, "height": 30},
            {"id": 8, "file_name": "none.jpg", "width": 40, "height": 30},
        ],
        "annotations": [
            {
                "id": 100 - 3 * k,
                "image_id": 70 if k % 2 else 7,
                "category_id": 5,
                "segmentation": square(3 * k),
                "area": 18.0,
                "bbox": [3 * k, 1, 4, 4.5],
                "iscrowd": 0,
                "own": "é" * k,
            }
            for k in range(8)
        ],
        "categories": [{"id": 5, "name": "thing"}],
        "last": True,
    }


@pytest.fixture
def planned(tmp_path: Path, content: Content, make_audit: Any) -> Callable[..., Any]:
    """Return a function that writes the source and an audit that rejects some of its masks."""

    def make(*rejected: int, drop_whole_image: bool = False) -> Any:
        source = tmp_path / "source.json"
        source.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
        masks = read(source).masks
        gone = masks.index.isin(rejected)
        if drop_whole_image:
            gone |= (masks["image_id"] == 70).to_numpy()
        masks["action"] = ["reject" if g else "accept" for g in gone]
        told = {"path": str(source), "format": "coco", "fingerprint": fingerprint(source)}
        return make_audit(masks, source=told)

    return make


def test_a_dry_run_only_counts(planned: Callable[..., Any], tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    result = prune(planned(97, 94))
    assert (result.kept, result.dropped, result.out) == (6, 2, None)
    assert "would drop 2 of 8 masks" in result.text()
    assert result.as_dict()["dry_run"] is True
    assert set(tmp_path.iterdir()) - set(before) == {tmp_path / "source.json", tmp_path / "audit"}


def test_what_is_written_is_the_source_without_the_rejected(
    planned: Callable[..., Any], content: Content, tmp_path: Path
) -> None:
    audit, out = planned(97, 94), tmp_path / "new" / "out.json"
    result = prune(audit, out)
    assert result.out == out
    kept = [a for a in content["annotations"] if a["id"] not in (97, 94)]
    assert json.loads(out.read_text(encoding="utf-8")) == {**content, "annotations": kept}
    assert len(COCO(str(out)).getAnnIds()) == 6
    names = sorted(p.name for p in out.parent.iterdir())
    assert names == ["out.json", "out.json.provenance.parquet"]


def test_keeping_all_gives_equal_content(
    planned: Callable[..., Any], content: Content, tmp_path: Path
) -> None:
    out = tmp_path / "out.json"
    assert prune(planned(), out).dropped == 0
    assert json.loads(out.read_text(encoding="utf-8")) == content


def test_an_image_may_lose_all_its_masks_and_a_dataset_too(
    planned: Callable[..., Any], tmp_path: Path
) -> None:
    audit = planned(drop_whole_image=True)
    assert prune(audit, tmp_path / "out.json").emptied_images == 1
    assert len(json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))["images"]) == 3
    prune(audit, tmp_path / "none.json", drop=("reject", "accept"))
    assert json.loads((tmp_path / "none.json").read_text(encoding="utf-8"))["annotations"] == []


def test_ids_that_stand_twice_are_no_obstacle(
    planned: Callable[..., Any], content: Content, tmp_path: Path
) -> None:
    content["annotations"][3]["id"] = content["annotations"][1]["id"]
    content["annotations"][4]["id"] = content["annotations"][1]["id"]
    assert prune(planned(100, 97), tmp_path / "out.json").kept >= 5


@pytest.mark.parametrize("verb", [curate.prune, curate.write], ids=["prune", "write"])
@pytest.mark.parametrize("gone", [0, 1])
def test_of_two_masks_of_one_id_one_goes(
    content: Content, tmp_path: Path, verb: Any, gone: int
) -> None:
    """The other one then has its id alone, and is no finding any more."""
    annotations = content["annotations"]
    annotations[4]["id"] = annotations[1]["id"]
    source, out = tmp_path / "source.json", tmp_path / "out.json"
    source.write_text(json.dumps(content), encoding="utf-8")
    curate.audit(source, tmp_path / "audit", policy={"name": "all"})
    both = curate.read(source).masks.query("status == 'duplicate_id'")
    assert len(both) == 2
    rows = pd.DataFrame({"mask_id": [both.index[gone]], "action": "reject"})
    Reviews(curate.open_audit(tmp_path / "audit")).add(rows, origin="a test")
    assert verb(tmp_path / "audit", out).version == curate.version(out)
    del annotations[(1, 4)[gone]]
    assert json.loads(out.read_text(encoding="utf-8")) == content
    assert "duplicate_id" not in set(curate.read(out).masks["status"])


def test_a_changed_source_is_refused(planned: Callable[..., Any], tmp_path: Path) -> None:
    audit = planned(97)
    source = tmp_path / "source.json"
    source.write_text(source.read_text(encoding="utf-8") + " ", encoding="utf-8")
    with pytest.raises(SourceError, match="changed since it was audited"):
        prune(audit)
    source.unlink()
    with pytest.raises(SourceError, match="not there any more"):
        prune(audit)


def test_places_that_would_harm_something_are_refused(
    planned: Callable[..., Any], tmp_path: Path
) -> None:
    audit = planned(97)
    (tmp_path / "there.json").write_text("{}")
    (tmp_path / "link.json").symlink_to(tmp_path / "nowhere")
    for name in ("source.json", "there.json", "audit/out.json", "link.json"):
        with pytest.raises(CallError, match=name.split("/")[0]):
            prune(audit, tmp_path / name)
    with pytest.raises(AuditError, match="cannot be written"):
        prune(audit, tmp_path / "there.json" / "out.json")


def lose_one(form: Format) -> Format:
    def wrong(source: Path, out: Path, edits: Any) -> Any:
        keys = read(source).masks["source_key"]
        more = next(k for k in keys if k not in edits.drop)
        return form.write(source, out, replace(edits, drop={*edits.drop, more}))

    return replace(form, write=wrong)


def edited(change: Callable[[Content], None]) -> Callable[[Format], Format]:
    def with_change(form: Format) -> Format:
        def wrong(source: Path, out: Path, edits: Any) -> Any:
            stored = form.write(source, out, edits)
            content = json.loads(out.read_text(encoding="utf-8"))
            change(content)
            out.write_text(json.dumps(content))
            return stored

        return replace(form, write=wrong)

    return with_change


def move(content: Content) -> None:
    content["annotations"][2]["segmentation"][0][0] += 2


def renumber(content: Content) -> None:
    content["annotations"][2]["id"] = 1000


def reorder(content: Content) -> None:
    content["annotations"].reverse()


def rename(content: Content) -> None:
    content["images"][2]["file_name"] = "other.jpg"


def recrowd(content: Content) -> None:
    content["annotations"][2]["iscrowd"] = 1


def forget(content: Content) -> None:
    del content["info"]


def disown(content: Content) -> None:
    del content["annotations"][2]["own"]


@pytest.mark.parametrize(
    ("fault", "rejected", "said"),
    [
        (lose_one, (97,), "lacks|holds|another"),
        (edited(move), (97,), "another segmentation"),
        (edited(renumber), (97,), "another id"),
        (edited(reorder), (97,), "another"),
        (edited(rename), (97,), "images"),
        (edited(recrowd), (97,), "another iscrowd"),
        (edited(forget), (), "info is not as it was"),
        (edited(forget), (97,), "info is not as it was"),
        (edited(disown), (97,), "element 2 of annotations is not as it was"),
    ],
)
def test_a_faulty_writer_is_caught_and_nothing_is_left(
    planned: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: Callable[[Format], Format],
    rejected: tuple[int, ...],
    said: str,
) -> None:
    audit = planned(*rejected)
    form = fault(detect(tmp_path / "source.json", "coco"))
    monkeypatch.setattr(module, "detect", lambda *told: form)
    before = set(tmp_path.iterdir())
    with pytest.raises(AuditError, match=said):
        prune(audit, tmp_path / "out.json")
    assert set(tmp_path.iterdir()) == before


def test_real_masks_are_pruned(data: Path, make_audit: Any, tmp_path: Path) -> None:
    source = data / "coco_val2017" / "instances.json"
    masks = read(source).masks
    masks["action"] = ["reject" if k % 5 == 0 else "accept" for k in range(len(masks))]
    audit = make_audit(masks, source={"path": str(source), "format": "coco"})
    result = prune(audit, tmp_path / "out.json")
    before, after = COCO(str(source)), COCO(str(tmp_path / "out.json"))
    assert len(after.anns) == result.kept
    for number, annotation in after.anns.items():
        assert annotation == before.anns[number]


def test_a_change_of_the_source_that_its_fingerprint_does_not_show_is_found_on_reading(
    tmp_path: Path, content: Content, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fingerprint samples large files; the content id of the audit knows every mask."""
    source, out = tmp_path / "source.json", tmp_path / "out.json"
    source.write_text(json.dumps(content))
    audit = curate.audit(source, tmp_path / "audit")
    content["annotations"][2]["segmentation"][0][0] += 2
    source.write_text(json.dumps(content))
    monkeypatch.setattr("curate.writing.naming.fingerprint", lambda path: fingerprint_before)
    fingerprint_before = audit.info.source["fingerprint"]
    for verb in (curate.prune, curate.write):
        with pytest.raises(SourceError, match="it has changed since it was audited"):
            verb(audit.path, out)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["audit", "source.json"]


def test_one_mask_and_one_image_are_said_in_the_singular(tmp_path: Path, content: Content) -> None:
    content["annotations"] = content["annotations"][:1]
    (tmp_path / "source.json").write_text(json.dumps(content), encoding="utf-8")
    curate.audit(tmp_path / "source.json", tmp_path / "audit", policy={"name": "all"})
    texts = [curate.prune(tmp_path / "audit").text(), curate.write(tmp_path / "audit").text()]
    rows = pd.DataFrame({"mask_id": [100], "action": "reject"})
    Reviews(curate.open_audit(tmp_path / "audit")).add(rows, origin="a test")
    texts += [
        verb(tmp_path / "audit", tmp_path / f"{verb.__name__}.json").text()
        for verb in (curate.prune, curate.write)
    ]
    assert "1 of 1 mask" in texts[2]
    assert "1 mask before" in texts[3]
    assert not [text for text in texts if "1 masks" in text or "1 images" in text]
