"""Pages of `compare` and `diff`: what changed, in numbers and drawn before and after."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import numpy as np
import pytest
from boxes import HEIGHT, WIDTH, box, dataset, rle
from PIL import Image
from typer.testing import CliRunner

import curate
from curate.cli import app

HOSTILE = "<script>x</script>"


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two datasets, `a.json` and `b.json`, and their pictures."""
    folder = tmp_path_factory.mktemp("two")
    before, after = dataset(), dataset()
    first, second, third, *_ = after["annotations"]
    first["segmentation"] = rle(box(1, 6, 9, 12))
    second["category_id"] = 2
    after["annotations"].remove(third)
    for source in (before, after):
        source["categories"] = [{"id": 1, "name": "cat"}, {"id": 2, "name": HOSTILE}]
    for image in before["images"]:
        pixels = np.full((HEIGHT, WIDTH, 3), 120, np.uint8)
        (folder / "pictures").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(folder / "pictures" / image["file_name"])
    for name, source in (("a", before), ("b", after)):
        (folder / f"{name}.json").write_text(json.dumps(source))
    return folder


def words(page: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page.partition("<body>")[2])).split())


def check_page(page: str) -> None:
    assert "<script" not in page
    assert '<th scope="col"></th>' not in page
    assert "default-src 'none'" in html.unescape(page)
    links = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert all(link.startswith(("#", "data:image/")) for link in links)


def test_a_difference_has_a_page_with_changed_masks_before_and_after(two: Path) -> None:
    target = two / "diff.html"
    found = curate.diff(two / "a.json", two / "b.json", html=target, images=two / "pictures")
    page = target.read_text()
    check_page(page)
    text = words(page)
    assert found.counts["redrawn"] == found.counts["relabelled"] == found.counts["removed"] == 1
    assert "a.json → b.json" in text
    assert "redrawn 1" in text
    assert f"relabelled: cat → {HOSTILE}" in text
    cards = page.split('<article class="card">')[1:]
    assert len(cards) == 3
    (redrawn,) = [card for card in cards if "redrawn" in card]
    assert redrawn.count('class="o-mine"') == redrawn.count('class="o-twin"') == 1
    (removed,) = [card for card in cards if "removed" in card]
    assert (removed.count('class="o-mine"'), removed.count('class="o-twin"')) == (1, 0)
    assert page.count("data:image/webp") == 3


def test_a_comparison_of_audits_has_a_page(two: Path) -> None:
    audits = [curate.audit(two / f"{name}.json", two / f"{name}.audit") for name in "ab"]
    target = two / "compare.html"
    run = CliRunner().invoke(
        app, ["compare", *(str(one.path) for one in audits), "--html", str(target)]
    )
    assert run.exit_code == 0, run.output
    page = target.read_text()
    check_page(page)
    text = words(page)
    for said in ("a.audit → b.audit", "dropped 1", "other pixels 1", "Decisions", "Side by side"):
        assert said in text, said
    assert 'id="plot-actions-' in page
    assert "{fill: var(--accept)" in page
    (card,) = [c for c in page.split('<article class="card">')[1:] if "other pixels" in c]
    assert card.count('class="o-mine"') == card.count('class="o-twin"') == 1


def test_equal_datasets_have_a_page_that_says_so(two: Path) -> None:
    run = CliRunner().invoke(
        app, ["diff", str(two / "a.json"), str(two / "a.json"), "--html", str(two / "same.html")]
    )
    assert run.exit_code == 0, run.output
    assert "No mask changed." in (two / "same.html").read_text()
