"""Masks redrawn from clicks by a segmenter, which is loaded in a thread."""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from curate.common.arrays import ByteArray
from curate.errors import CurateError
from curate.networks.loading import load_segmenter
from curate.networks.runtime.devices import one_torch_thread
from curate.networks.segmenters.embedding_cache import EmbeddingCache
from curate.networks.segmenters.prompt_recipes import PromptRecipe, PromptsInUse
from curate.networks.segmenters.prompting import PromptedMasks, low_res_logits
from curate.networks.segmenters.recipe_answers import answer_recipe, redraw_masks
from curate.networks.segmenters.segmenter import Embedding, Prompts, Segmenter
from curate.people.webapp.answers import DrawnMask
from curate.people.webapp.request_parsing import ClickRequest, RequestError
from curate.rle import Runs, area, decode_counts, encode_counts

BOX = PromptRecipe("box", box=0.0)
"""How a mask is drawn anew unless a search has found better prompts."""

CLICK = PromptRecipe("centre point", points=1, choose="predicted")
"""How one click is answered unless a search has found better: it can mean a part or the whole, and
the answer that the model trusts most is taken."""

MORE_CLICKS = PromptRecipe("clicks", points=1)
"""How more clicks, or those on a mask, are answered: they mean one thing."""

_MOST_KEPT = 4
"""Embeddings in memory: of as many pictures as are edited at the same time."""


class RecentEmbeddings:
    """Embeddings of pictures that were clicked on last, in memory before the cache on disk.

    To find a picture on the disk, all its bytes are hashed and the entry is read and checked, which
    for a photograph takes as long as a step of the decoder. Here it is found by the array itself.

    Args:
        cache: Where embeddings are looked up and kept on disk.
    """

    def __init__(self, cache: EmbeddingCache) -> None:
        self._cache = cache
        self._kept: list[tuple[weakref.ref[ByteArray], Embedding]] = []

    def embed(self, segmenter: Segmenter, pixels: ByteArray) -> Embedding:
        """Return the embedding of a picture.

        Args:
            segmenter: The model, always the same one.
            pixels: RGB, shape (height, width, 3). It must not be changed afterwards.

        Raises:
            CurateError: What the segmenter raises.
        """
        found = next((one for picture, one in self._kept if picture() is pixels), None)
        if found is None:
            found = self._cache.embed(segmenter, [pixels])[0]
        others = [pair for pair in self._kept if pair[0]() is not None and pair[1] is not found]
        self._kept = [(weakref.ref(pixels), found), *others][:_MOST_KEPT]
        return found


class ClickSegmenter:
    """A segmenter that answers clicks; one mask at a time.

    Args:
        name: A folder or a hub name; None for no segmenter.
        device: Where it runs; the first GPU, else the CPU, if None.
        prompts: Those that were found best for it; None: the usual ones.
    """

    def __init__(
        self, name: str | None, device: str | None = None, prompts: PromptsInUse | None = None
    ) -> None:
        self._name, self._device = name, device
        self._in_use = prompts or PromptsInUse(BOX, CLICK)
        self._segmenter: Segmenter | None = None
        self._broken = ""
        self._turn = threading.Lock()
        self.threads: list[threading.Thread] = []
        if name is not None:
            self.threads.append(threading.Thread(target=self._load, name="segmenter", daemon=True))
            self.threads[0].start()

    def __bool__(self) -> bool:
        return self._name is not None and not self._broken

    def _load(self) -> None:
        try:
            self._embeddings = RecentEmbeddings(EmbeddingCache())
            self._segmenter = load_segmenter(str(self._name), device=self._device)
        except Exception as error:
            message = str(error) if isinstance(error, CurateError) else type(error).__name__
            print(f"the segmenter cannot be used: {message}", file=sys.stderr, flush=True)
            self._broken = "the segmenter cannot be used; the server's terminal says why"

    def check(self) -> Segmenter:
        """Return the segmenter.

        Raises:
            Refused: There is none, or it is still loading.
        """
        if self._name is None:
            raise RequestError(404, "there is no segmenter; start with --segmenter NAME")
        if self._broken:
            raise RequestError(503, self._broken)
        if self._segmenter is None:
            raise RequestError(503, "the segmenter is still loading")
        return self._segmenter

    def draw(self, pixels: ByteArray, asked: ClickRequest) -> DrawnMask:
        """Return the mask that clicks ask for.

        Args:
            pixels: The picture, RGB.
            asked: Points and labels, and the current mask if there is one.

        Raises:
            Refused: There is no segmenter, it is still loading, or the clicks are wrong.
        """
        height, width = pixels.shape[:2]
        current = None if asked.counts is None else _decode_current(asked.counts, height, width)
        click = self._in_use.click
        return self._prompt(
            pixels, lambda model, of: _segment_clicks(model, of, asked, current, click)
        )

    def redraw(self, pixels: ByteArray, mask: Runs, category: object = None) -> DrawnMask:
        """Return the mask that the segmenter draws when it is prompted from a mask.

        Args:
            pixels: The picture, RGB.
            mask: One mask on it, with a pixel at least.
            category: Its category; None for none.

        Raises:
            Refused: There is no segmenter, or it is still loading.
        """
        recipe = self._in_use.find(category)
        return self._prompt(pixels, lambda model, of: _redraw(model, of, mask, recipe))

    def draw_box(self, pixels: ByteArray, box: tuple[float, float, float, float]) -> DrawnMask:
        """Return the mask of the object in a box.

        Args:
            pixels: The picture, RGB.
            box: XYWH, pixels of the picture.

        Raises:
            Refused: There is no segmenter, or it is still loading.
        """
        return self._prompt(pixels, lambda model, of: _prompt_box(model, of, box))

    def _prompt(self, pixels: ByteArray, ask: Callable[[Segmenter, Any], DrawnMask]) -> DrawnMask:
        segmenter = self.check()
        with self._turn:
            embedding = self._embeddings.embed(segmenter, pixels)
            try:
                with one_torch_thread():
                    return ask(segmenter, embedding)
            except CurateError as error:
                raise RequestError(400, error.what) from error


def _prompt_box(
    segmenter: Segmenter, embedding: Embedding, box: tuple[float, float, float, float]
) -> DrawnMask:
    frame = embedding.frame
    x, y, w, h = box
    corners = np.array([[x, y, x + w, y + h]], np.float32)
    limit = np.array([frame.width, frame.height] * 2, np.float32)
    prompts = Prompts(boxes=np.clip(corners, 0, limit))
    return _answer(answer_recipe(segmenter, embedding, prompts, BOX))


def _redraw(
    segmenter: Segmenter, embedding: Embedding, mask: Runs, recipe: PromptRecipe
) -> DrawnMask:
    return _answer(redraw_masks(segmenter, embedding, mask, recipe, seed=0)[2])


def _decode_current(counts: str, height: int, width: int) -> Runs | None:
    runs, codes = decode_counts([counts.encode()], np.array([height]), np.array([width]))
    if codes[0] != 0:
        raise RequestError(400, "counts is no mask of this image")
    return runs if int(area(runs)[0]) else None


def _segment_clicks(
    segmenter: Segmenter,
    embedding: Embedding,
    asked: ClickRequest,
    current: Runs | None,
    click: PromptRecipe,
) -> DrawnMask:
    masks = None
    if current is not None:
        masks = low_res_logits(current, 0, embedding.frame, segmenter.low_side)[None]
    points = np.array(asked.points, np.float32)[None]
    prompts = Prompts(points, np.array(asked.labels, np.int8)[None], masks=masks)
    is_one = len(asked.points) == 1 and current is None
    return _answer(answer_recipe(segmenter, embedding, prompts, click if is_one else MORE_CLICKS))


def _answer(found: PromptedMasks) -> DrawnMask:
    """Return the one mask of an answer."""
    return {
        "counts": bytes(encode_counts(found.drawn.runs).to_pylist()[0] or b"").decode("ascii"),
        "predicted_iou": float(found.predicted_iou[0]),
    }
