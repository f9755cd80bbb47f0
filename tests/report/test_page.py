from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from random_cases import some_of
from scenes import HOSTILE, HandMade, write_audit
from small_datasets import KINDS, build
from test_sections import minimal

import curate
from curate.errors import AuditError
from curate.reporting.first_screen import REVIEW_PAGE
from curate.reporting.page import render, write_report
from curate.store.audit_info import SCHEMA_VERSION

LINKS = {"a": (REVIEW_PAGE,), "image": ("data:image/png;base64,",)}
"""What else than places of the page and crops an element may name."""


class Tags(HTMLParser):
    """Collects tags with their attributes, and the text."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def tags(report: Path) -> Tags:
    parser = Tags()
    parser.feed(report.read_text(encoding="utf-8"))
    return parser


def test_nothing_is_fetched_from_anywhere(tags: Tags) -> None:
    for tag, attributes in tags.found:
        for name in ("src", "href", "action", "srcset", "data"):
            value = attributes.get(name) or ""
            known = ("#", "data:image/webp;base64,", *LINKS.get(tag, ()))
            assert value == "" or value.startswith(known), (tag, value)


def test_the_page_allows_only_its_own_style_and_script(tags: Tags) -> None:
    (header,) = [a["content"] for t, a in tags.found if a.get("http-equiv")]
    assert header is not None
    assert "default-src 'none'" in header
    assert "unsafe" not in header
    assert not [a for _, a in tags.found if "style" in a or any(n.startswith("on") for n in a)]
    scripts = [a.get("type") for t, a in tags.found if t == "script"]
    assert scripts == ["application/json", None]  # the first is data, and never run


def test_foreign_names_stay_text(tags: Tags) -> None:
    for name in (HOSTILE[0], HOSTILE[1], HOSTILE[4], HOSTILE[5], HOSTILE[7]):
        assert name in tags.text
    assert "two⏎lines" in tags.text
    # No override reaches the page: the name of the source has one in front of "co.json".
    assert "<i>scenes & \N{REPLACEMENT CHARACTER}co.json" in tags.text
    assert "\u202e" not in tags.text


def test_rules_that_could_not_speak_are_told(tags: Tags) -> None:
    assert "Rules without effect" in tags.text
    assert "stability_score < 0.5" in tags.text


def test_every_picture_has_words(tags: Tags) -> None:
    for tag, attributes in tags.found:
        if tag == "img":
            assert "alt" in attributes
        if tag == "svg":
            assert attributes.keys() & {"aria-hidden", "aria-label"}


def test_ids_are_unique(tags: Tags) -> None:
    ids = [a["id"] for _, a in tags.found if a.get("id")]
    assert len(ids) == len(set(ids))
    links = [a.get("href") or "" for _, a in tags.found]
    targets = {link[1:] for link in links if link.startswith("#") and link[1:2] != "?"}
    assert targets <= set(ids)


def test_it_is_small(report: Path) -> None:
    assert report.stat().st_size < 1_500_000


def test_the_same_audit_gives_the_same_page(
    scenes: tuple[HandMade, Path], report: Path, tmp_path: Path
) -> None:
    again = tmp_path / "again.html"
    write_report(scenes[0], again, images=scenes[1])
    assert again.read_bytes() == report.read_bytes()


def test_without_pictures_masks_stand_on_a_neutral_ground(
    scenes: tuple[HandMade, Path], tmp_path: Path
) -> None:
    write_report(scenes[0], tmp_path / "bare.html")
    text = (tmp_path / "bare.html").read_text(encoding="utf-8")
    assert "<img" not in text
    assert text.count('class="o-mine"') > 20


@pytest.mark.usefixtures("with_plots")
@pytest.mark.parametrize("kind", some_of(KINDS, 3))
def test_an_audit_of_a_dataset_of_every_kind_has_its_report(tmp_path: Path, kind: str) -> None:
    audit = curate.audit(build(kind, tmp_path / "source"), tmp_path / "audit")
    text = (audit.path / "report.html").read_text(encoding="utf-8")
    assert text.count('class="o-mine"') > 1


def test_an_audit_with_the_fewest_columns(tmp_path: Path) -> None:
    write_report(minimal(tmp_path), tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "No policy has been applied" in text
    assert "undecodable" in text


def test_an_audit_without_masks(tmp_path: Path) -> None:
    full = minimal(tmp_path / "full")
    masks, images = full.query("select * from masks"), full.query("select * from images")
    audit = write_audit(
        tmp_path / "none", masks.iloc[:0], images, {"schema_version": SCHEMA_VERSION}
    )
    write_report(audit, tmp_path / "report.html")
    assert "There is no mask in this dataset" in (tmp_path / "report.html").read_text()


def test_an_audit_without_images(tmp_path: Path) -> None:
    full = minimal(tmp_path / "full")
    masks, images = full.query("select * from masks"), full.query("select * from images")
    audit = write_audit(tmp_path / "none", masks.iloc[:0], images.iloc[:0], {})
    write_report(audit, tmp_path / "report.html")
    assert "There is no image" in (tmp_path / "report.html").read_text()


def test_broken_and_huge_values_are_shown_and_not_raised(tmp_path: Path) -> None:
    audit = minimal(
        tmp_path,
        quality_score=[float("nan"), float("inf")],
        predicted_iou=[1e300, -5.0],
        action=["review", "reject"],
        reasons=["", "it is undecodable"],
        priority=[0.5, 1.0],
        prompt_x=[1e30, float("nan")],
        prompt_y=[-1e30, 0.0],
        duplicate_of=[99, None],
    )
    write_report(audit, tmp_path / "report.html")
    assert "it is undecodable" in (tmp_path / "report.html").read_text()


def test_a_report_that_cannot_be_written_leaves_the_old_one(
    scenes: tuple[HandMade, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(AuditError, match="no space left"):
        write_report(scenes[0], path)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_text_without_script_still_says_everything(report: Path) -> None:
    text = report.read_text(encoding="utf-8")
    body = re.sub(r"<script>.*?</script>", "", text, flags=re.S)
    for words in ("What is wrong", "ranked suspicions, not probabilities", "How it was made"):
        assert words in body


def lead(page: str) -> str:
    (found,) = re.findall(r'<p class="lead">(.*?)</p>', page, re.S)
    return " ".join(re.sub(r"<[^>]+>", "", found).split())


def test_the_headline_tells_rules_oddities_and_the_quota_apart(tmp_path: Path) -> None:
    plan: dict[str, list[object]] = {"decided_by": ["policy"] * 2, "priority": [0.5, 0.1]}
    reasons = ["weakest signal: freedom from holes 0.98", ""]
    quota = minimal(
        tmp_path / "quota",
        action=["review", "accept"],
        flagged_by=["lowest_share", ""],
        reasons=reasons,
        **plan,
    )
    page = render(quota)
    assert lead(page) == (
        "No mask breaks a rule, and none is below the quality limit. 1 needs review."
    )
    assert "1</b> of these is only in the lowest" in page
    assert "The policy found nothing wrong with any mask" in page
    assert "weakest signal: freedom from holes 0.98" in page
    wrong = minimal(
        tmp_path / "wrong",
        action=["reject", "review"],
        flagged_by=["rule", "quality"],
        reasons=["holes", "pieces"],
        **plan,
    )
    assert lead(render(wrong)) == (
        "1 mask (50.0%) breaks a rule, 1 (50.0%) is below the quality limit. 1 needs review, and "
        "1 is rejected."
    )
    old = minimal(tmp_path / "old", action=["review", "accept"], reasons=reasons, **plan)
    assert lead(render(old)) == "1 needs review."


def test_a_million_categories_do_not_make_a_million_rows(tmp_path: Path) -> None:
    n = 3000
    one = minimal(tmp_path / "one").query("select * from masks").iloc[:1]
    masks = pd.concat([one] * n, ignore_index=True)
    masks = masks.assign(mask_id=range(n), category=[f"c{i}" for i in range(n)])
    images = minimal(tmp_path / "two").query("select * from images")
    write_report(write_audit(tmp_path / "many", masks, images, {}), tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "The 1,500 largest of 3,000 categories" in text


def test_the_page_counts_one_as_one_and_speaks_plainly(tmp_path: Path) -> None:
    page = render(minimal(tmp_path, action=["accept", "accept"], hole_score=[0.5, None]))
    assert "signals were available.</p>" in page
    assert "Masks with invalid data" in page
    assert "broken in themselves" not in page
    assert "1 mask, 1 not available" in page


def test_the_first_screen_says_what_how_good_what_is_wrong_and_what_next(tags: Tags) -> None:
    text = " ".join(tags.text.split())
    start = text.partition("How sure is this?")[0]
    for words in ("masks78", "images6", "Good masksnot measured"):
        assert words in start, words
    assert "curate review" in start
    assert "--kind estimate --budget 78" in start
    kinds = re.findall(r"(\d+) [\d.]+% ([a-z ]+?)(?: \(IoU 0.91\))? see them", start)
    assert kinds == [
        ("6", "has no pixel"),
        ("6", "is a copy of another mask"),
        ("12", "is unlike the others of its category"),
    ]
    assert re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", start)
