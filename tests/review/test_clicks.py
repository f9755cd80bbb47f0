"""Masks redrawn from clicks, by a segmenter whose answer can be told from the picture."""

from __future__ import annotations

import json
import sys
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from server import Client, Server

from curate.testing.bright_segmenter import BrightSegmenter

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))
import tiny_models
from waiting import until

from curate.networks.segmenters.embedding_cache import EmbeddingCache
from curate.networks.segmenters.prompt_recipes import PromptRecipe, PromptsInUse
from curate.people.webapp.click_prompts import ClickSegmenter, RecentEmbeddings
from curate.people.webapp.request_parsing import ClickRequest, RequestError
from curate.rle import area, decode_counts, encode_counts, from_dense, to_dense
from curate.store.audit import StoredAudit


@pytest.fixture
def redrawing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ClickSegmenter:
    monkeypatch.setattr(
        "curate.people.webapp.click_prompts.load_segmenter", lambda name, device: BrightSegmenter()
    )
    monkeypatch.setenv("CURATE_CACHE", str(tmp_path))
    made = ClickSegmenter("bright")
    for thread in made.threads:
        thread.join(30)
    return made


def picture() -> np.ndarray:
    pixels = np.full((100, 150, 3), 20, np.uint8)
    pixels[20:60, 30:70] = 220
    pixels[70:90, 90:140] = 220
    return pixels


def dense(answer: dict[str, Any]) -> np.ndarray:
    runs, _ = decode_counts([answer["counts"].encode()], np.array([100]), np.array([150]))
    return to_dense(runs, 0)


def test_a_click_draws_what_it_points_at(redrawing: ClickSegmenter) -> None:
    answer = redrawing.draw(picture(), ClickRequest(1, [(45.0, 40.0)], [1], None))
    found = dense(answer)
    want = np.zeros((100, 150), bool)
    want[20:60, 30:70] = True
    assert (found & want).sum() / (found | want).sum() > 0.95
    assert answer["predicted_iou"] == pytest.approx(0.95)


def test_clicks_and_a_mask_go_to_the_segmenter(
    redrawing: ClickSegmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    real = BrightSegmenter.segment

    def segment(self: Any, embedding: Any, prompts: Any, *, multimask: bool) -> Any:
        asked.append((prompts, multimask))
        return real(self, embedding, prompts, multimask=multimask)

    monkeypatch.setattr(BrightSegmenter, "segment", segment)
    current = np.zeros((100, 150), bool)
    current[70:90, 90:140] = True
    counts = bytes(encode_counts(from_dense(current)).to_pylist()[0]).decode()
    points = [(100.0, 80.0), (5.0, 5.0)]
    redrawing.draw(picture(), ClickRequest(1, points, [1, 0], counts))
    prompts, multimask = asked[0]
    assert not multimask
    assert prompts.points.tolist() == [[[100.0, 80.0], [5.0, 5.0]]]
    assert prompts.labels.tolist() == [[1, 0]]
    assert prompts.masks.shape == (1, 160, 160)
    assert (prompts.masks > 0).any()


def test_prompts_that_were_found_best_are_used(
    redrawing: ClickSegmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One click and a redraw are prompted by them; more clicks are what they are."""
    asked = []
    real = BrightSegmenter.segment

    def segment(self: Any, embedding: Any, prompts: Any, *, multimask: bool) -> Any:
        asked.append((prompts, multimask))
        return real(self, embedding, prompts, multimask=multimask)

    monkeypatch.setattr(BrightSegmenter, "segment", segment)
    body = np.zeros((100, 150), bool)
    body[20:60, 30:70] = True
    redrawing.redraw(picture(), from_dense(body))
    assert asked[-1][0].boxes.tolist() == [[30, 20, 70, 60]]
    assert asked[-1][0].points is None
    redrawing._in_use = PromptsInUse(
        mask=PromptRecipe("points", points=3),
        click=PromptRecipe("fed back", points=1, feedback=1),
        by_category={"cell": PromptRecipe("both", box=0.1, points=1, choose="predicted")},
    )
    answer = redrawing.redraw(picture(), from_dense(body))
    assert asked[-1][0].boxes is None
    assert asked[-1][0].points.shape == (1, 3, 2)
    assert dense(answer)[20:60, 30:70].all()
    redrawing.redraw(picture(), from_dense(body), "cell")
    assert asked[-1][0].boxes.tolist() == [[30, 20, 70, 60]]
    assert asked[-1][1]
    redrawing.draw(picture(), ClickRequest(1, [(45.0, 40.0)], [1], None))
    (first, is_first_of_three), (second, _) = asked[-2:]
    assert not is_first_of_three
    assert first.masks is None
    assert second.masks.shape == (1, 160, 160)
    redrawing.draw(picture(), ClickRequest(1, [(45.0, 40.0), (5.0, 5.0)], [1, 0], None))
    assert asked[-1][0].masks is None


def test_an_image_is_embedded_once(redrawing: ClickSegmenter) -> None:
    segmenter = redrawing._segmenter
    assert isinstance(segmenter, BrightSegmenter)
    for x in (40.0, 50.0, 60.0):
        redrawing.draw(picture(), ClickRequest(1, [(x, 40.0)], [1], None))
    assert segmenter.images_seen == 1


def test_a_picture_in_use_is_not_looked_up_on_the_disk_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    embed = EmbeddingCache.embed

    def count(self: EmbeddingCache, segmenter: Any, images: Any) -> Any:
        asked.append(len(images))
        return embed(self, segmenter, images)

    monkeypatch.setattr(EmbeddingCache, "embed", count)
    segmenter, recent = BrightSegmenter(), RecentEmbeddings(EmbeddingCache(tmp_path))
    pictures = [np.full((20 + k, 30, 3), 40 * k, np.uint8) for k in range(5)]
    for pixels in (*pictures[:4], *pictures[:4]):
        assert recent.embed(segmenter, pixels).frame.height == len(pixels)
    assert len(asked) == 4
    for pixels in (pictures[4], pictures[3], pictures[0]):  # the fifth takes the first one's place
        assert recent.embed(segmenter, pixels).frame.height == len(pixels)
    assert len(asked) == 6
    again = pictures[4].copy()  # another array may hold other pixels
    recent.embed(segmenter, again)
    assert len(asked) == 7
    assert segmenter.images_seen == 5


def test_embeddings_go_when_their_pictures_go(tmp_path: Path) -> None:
    recent = RecentEmbeddings(EmbeddingCache(tmp_path))
    pixels = picture()
    recent.embed(BrightSegmenter(), pixels)
    gone = weakref.ref(pixels)
    del pixels
    assert gone() is None  # nobody else holds a large picture for an embedding's sake


@pytest.mark.parametrize(
    ("clicks", "why"),
    [
        (ClickRequest(1, [(500.0, 40.0)], [1], None), "is not on the image"),
        (ClickRequest(1, [(5.0, 40.0)], [1], "!!"), "is no mask of this image"),
    ],
)
def test_wrong_clicks_are_refused(
    redrawing: ClickSegmenter, clicks: ClickRequest, why: str
) -> None:
    with pytest.raises(RequestError, match=why):
        redrawing.draw(picture(), clicks)


def test_a_segmenter_that_cannot_be_loaded_is_said_and_the_page_goes_on(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    made = ClickSegmenter(str(tmp_path))
    for thread in made.threads:
        thread.join(60)
    assert not made
    assert "the segmenter cannot be used" in capsys.readouterr().err
    with pytest.raises(RequestError, match="terminal says why"):
        made.draw(picture(), ClickRequest(1, [(5.0, 5.0)], [1], None))
    with pytest.raises(RequestError, match="there is no segmenter"):
        ClickSegmenter(None).draw(picture(), ClickRequest(1, [(5.0, 5.0)], [1], None))


def test_a_saved_sam_answers_clicks_over_http(audit: StoredAudit, tmp_path: Path) -> None:
    model = tiny_models.saved("sam", tmp_path / "sam")
    server = Server(
        *(audit.path, "--segmenter", str(model), "--device", "cpu"),
        env={"CURATE_CACHE": str(tmp_path / "cache")},
    ).start()
    try:
        client = Client(server)
        assert client.get("/api/about")["segmenter"]
        card = client.next(1)["cards"][0]
        size = card["height"], card["width"]
        x, y, w, h = card["bbox"]
        asked = client.who() | {
            "mask_id": card["mask_id"],
            "points": [[x + w / 2, y + h / 2]],
            "labels": [1],
        }

        def answered() -> tuple[int, bytes] | None:
            status, _, body = client.ask("POST", "/api/segment", asked | {"counts": None})
            return None if status == 503 else (status, body)

        # The model is loaded beside the first masks.
        status, body = until(answered, "the segmenter to be loaded")
        answer = json.loads(body)
        assert status == 200, answer
        runs, codes = decode_counts(
            [answer["counts"].encode()], *(np.array([side]) for side in size)
        )
        assert codes[0] == 0
        assert 0 <= area(runs)[0] <= size[0] * size[1]
        asked |= {"points": [*asked["points"], [0.0, 0.0]], "labels": [1, 0]}
        again, _, _ = client.ask("POST", "/api/segment", asked | {"counts": answer["counts"]})
        assert again == 200
    finally:
        server.kill()
