"""HTTP endpoints of the review page: parse the request, call the session, answer in JSON."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from pathlib import Path, PurePath
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from curate.errors import AuditError, CurateError
from curate.people.webapp.events import EventBatch
from curate.people.webapp.middleware import SERVER_ERROR, BodyTooLarge, print_origin
from curate.people.webapp.picture_tiles import Tile
from curate.people.webapp.request_parsing import (
    BulkRequest,
    ClickRequest,
    NextRequest,
    RequestError,
    parse_id,
    parse_items,
    parse_json,
    parse_key,
    parse_levels,
    parse_name,
    parse_number,
    parse_place,
    parse_text,
)
from curate.people.webapp.served_queue import QueueSession
from curate.people.webapp.tokens import COOKIE, COOKIE_S, Tokens

STATIC = Path(__file__).parent / "static"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".webp": "image/webp",
}
CACHE_FOREVER = "private, max-age=31536000, immutable"
MAX_READ_S = 60.0
"""How long a request's body may take to come."""


def read_static(folder: Path = STATIC) -> dict[str, tuple[bytes, str]]:
    """Read the page's own files, by name: no other file is ever served."""
    return {
        path.name: (path.read_bytes(), TYPES[path.suffix])
        for path in sorted(folder.iterdir())
        if path.is_file() and path.suffix in TYPES
    }


class Endpoints:
    """Handlers of the HTTP requests.

    Args:
        review: The session that serves the queue.
        tokens: Tokens that are accepted.
        static: The page's own files.
    """

    def __init__(
        self, review: QueueSession, tokens: Tokens, static: dict[str, tuple[bytes, str]]
    ) -> None:
        self.review, self.tokens, self.static = review, tokens, static

    def routes(self) -> list[Route]:
        """Return all routes."""
        get: dict[str, Callable[[Request], Awaitable[Response]]] = {
            "/": self.page,
            "/static/{name}": self.page,
            "/api/session": self.session,
            "/api/about": self.about,
            "/api/picture/{mask_id}": self.picture,
            "/api/tile/{mask_id}": self.tile,
            "/api/levels/{mask_id}": self.levels,
            "/api/mask/{mask_id}": self.mask,
            "/api/image/{image_id}": self.image,
            "/api/scene/{image_id}": self.scene,
            "/api/guidelines": self.guidelines,
            "/api/guidelines/{number}": self.guideline_picture,
        }
        post: dict[str, Callable[[Request], Awaitable[Response]]] = {
            "/api/session": self.sign_in,
            "/api/next": self.next,
            "/api/release": self.release,
            "/api/alive": self.alive,
            "/api/last": self.last,
            "/api/end": self.end,
            "/api/events": self.events,
            "/api/segment": self.segment,
            "/api/redraw": self.redraw,
            "/api/bulk/preview": self.preview_bulk,
            "/api/bulk": self.decide_bulk,
            "/api/bulk/undo": self.undo_bulk,
        }
        return [Route(path, _translate_errors(f), methods=["GET"]) for path, f in get.items()] + [
            Route(path, _translate_errors(f), methods=["POST"]) for path, f in post.items()
        ]

    async def page(self, request: Request) -> Response:
        """Answer with one of the page's own files."""
        found = self.static.get(request.path_params.get("name", "index.html"))
        if found is None:
            raise RequestError(404, "there is no such page")
        return Response(found[0], media_type=found[1])

    async def session(self, request: Request) -> Response:
        """Answer whether this page is signed in."""
        good = self.tokens.is_good(request.cookies.get(COOKIE, ""))
        return _json_response(
            {
                "signed_in": good,
                "needs_token": self.tokens.needed,
                "reviewer": self.review.settings.reviewer if good else "",
            }
        )

    async def sign_in(self, request: Request) -> Response:
        """Check a token, and set a cookie for it."""
        token = parse_text((await _read_json(request)).get("token"), "token", 1000)
        if not self.tokens.needed:
            return _json_response({})
        good = await self.tokens.try_token(token)
        if good is None:
            raise RequestError(429, "too many wrong tokens; try again in a minute")
        if not good:
            raise RequestError(403, "this is not the token")
        answer = _json_response({})
        value = self.tokens.cookie()
        answer.set_cookie(COOKIE, value, COOKIE_S, httponly=True, samesite="strict", path="/")
        return answer

    async def about(self, request: Request) -> Response:
        """Answer with a description of the queue."""
        return _json_response(await run_in_threadpool(self.review.about))

    async def next(self, request: Request) -> Response:
        """Answer with the next masks."""
        arrived = self.review.clock.elapsed_ms()
        asked = await _read_json(request)
        wish = NextRequest.of(asked, arrived)
        self.review.check_queue(asked)
        return _json_response(await run_in_threadpool(self.review.next, wish))

    async def release(self, request: Request) -> Response:
        """Release masks that were not decided on."""
        asked = await _read_json(request)
        client, masks = (
            parse_key(asked.get("client"), "client"),
            parse_items(asked.get("items"), "items"),
        )
        self.review.check_queue(asked)
        keep = parse_items(asked.get("keep", []), "keep")
        if asked.get("leave") is True:
            await run_in_threadpool(self.review.assigner.leave, client, keep)
        else:
            await run_in_threadpool(self.review.assigner.give_back, client, masks)
        return _json_response({})

    async def alive(self, request: Request) -> Response:
        """Renew the leases of an open page."""
        arrived = self.review.clock.elapsed_ms()
        asked = await _read_json(request)
        client = parse_key(asked.get("client"), "client")
        reviewer = parse_name(asked.get("reviewer", ""))
        holding = parse_items(asked.get("holding", []), "holding")
        self.review.check_queue(asked)
        found = await run_in_threadpool(self.review.alive, client, reviewer, holding, arrived)
        return _json_response(found)

    async def last(self, request: Request) -> Response:
        """Answer with a person's last decision."""
        return await self._answer_person(request, self.review.last)

    async def end(self, request: Request) -> Response:
        """Answer with what comes next once a person is done."""
        return await self._answer_person(request, self.review.end)

    async def _answer_person(self, request: Request, ask: Callable[[str], object]) -> Response:
        asked = await _read_json(request)
        reviewer = parse_name(asked.get("reviewer", ""))
        self.review.check_queue(asked)
        return _json_response(await run_in_threadpool(ask, reviewer))

    async def events(self, request: Request) -> Response:
        """Record a batch of events."""
        asked = await _read_json(request)
        sent = EventBatch.of(asked, self.review.clock.now_us())
        self.review.check_queue(asked)
        await run_in_threadpool(self.review.prepare, sent)
        # No thread waits while the writer is at it: many pages may send at once.
        found = await asyncio.shield(asyncio.wrap_future(self.review.writer.write(sent.events)))
        return _json_response(await run_in_threadpool(self.review.record, sent, found))

    async def picture(self, request: Request) -> Response:
        """Answer with a view of a picture."""
        mask_id, query = parse_id(request.path_params["mask_id"]), request.query_params
        levels = parse_levels(query.get("low"), query.get("high"))
        asked = mask_id, query.get("view", ""), query.get("v", ""), levels
        future, forever = await run_in_threadpool(self.review.picture, *asked)
        return await _picture_response(request, future, forever)

    async def tile(self, request: Request) -> Response:
        """Answer with a tile of the picture of a mask."""
        mask_id, query = parse_id(request.path_params["mask_id"]), request.query_params
        levels = parse_levels(query.get("low"), query.get("high"))
        tile = Tile(*(parse_place(query.get(name), name) for name in ("level", "x", "y")))
        asked = mask_id, tile, query.get("v", ""), levels
        future, forever = await run_in_threadpool(self.review.tile, *asked)
        return await _picture_response(request, future, forever)

    async def levels(self, request: Request) -> Response:
        """Answer with the values of the picture of a mask."""
        mask_id = parse_id(request.path_params["mask_id"])
        return _json_response(await run_in_threadpool(self.review.levels, mask_id))

    async def scene(self, request: Request) -> Response:
        """Answer with the picture of an image without masks."""
        image_id = parse_id(request.path_params["image_id"], "image_id")
        levels = parse_levels(*map(request.query_params.get, ("low", "high")))
        future = await run_in_threadpool(self.review.scene, image_id, levels)
        return await _picture_response(request, future, False)

    async def mask(self, request: Request) -> Response:
        """Answer with a whole mask."""
        mask_id = parse_id(request.path_params["mask_id"])
        return _json_response(await run_in_threadpool(self.review.mask, mask_id))

    async def image(self, request: Request) -> Response:
        """Answer with an image's outlines."""
        image_id = parse_id(request.path_params["image_id"], "image_id")
        return _json_response(await run_in_threadpool(self.review.image, image_id))

    async def segment(self, request: Request) -> Response:
        """Redraw a mask from clicks."""
        asked = await _read_json(request)
        clicks = ClickRequest.of(asked)
        self.review.check_queue(asked)
        return _json_response(await run_in_threadpool(self.review.segment, clicks))

    async def redraw(self, request: Request) -> Response:
        """Draw a mask anew, without a click."""
        asked = await _read_json(request)
        mask_id = parse_id(asked.get("mask_id"))
        self.review.check_queue(asked)
        return _json_response(await run_in_threadpool(self.review.redraw, mask_id))

    async def guidelines(self, request: Request) -> Response:
        """Answer with the guidelines of the project."""
        del request
        return _json_response(self.review.find_guidelines().answer())

    async def guideline_picture(self, request: Request) -> Response:
        """Answer with a picture of the guidelines."""
        number = parse_id(request.path_params["number"], "number")
        found = await run_in_threadpool(self.review.find_guidelines().picture, number)
        return Response(found[0], media_type=found[1])

    async def preview_bulk(self, request: Request) -> Response:
        """Show what a decision in bulk would be made on."""
        asked = await _read_json(request)
        wish = BulkRequest.of(asked)
        self.review.check_queue(asked)
        return _json_response(await run_in_threadpool(self.review.bulk().preview, wish))

    async def decide_bulk(self, request: Request) -> Response:
        """Decide on all masks that fit a filter."""
        asked = await _read_json(request)
        wish = BulkRequest.of(asked)
        self.review.check_queue(asked)
        return _json_response(await run_in_threadpool(self.review.bulk().decide, wish))

    async def undo_bulk(self, request: Request) -> Response:
        """Undo a decision in bulk."""
        asked = await _read_json(request)
        number = int(parse_number(asked.get("number"), "number", 1))
        reviewer = parse_name(asked.get("reviewer", ""))
        self.review.check_queue(asked)
        return _json_response(await run_in_threadpool(self.review.bulk().undo, number, reviewer))


def make_application(review: QueueSession, tokens: Tokens) -> Starlette:
    """Return the ASGI application of a session, without its middleware."""
    handlers: dict[Any, Any] = {HTTPException: _http_error}
    app = Starlette(
        routes=Endpoints(review, tokens, read_static()).routes(), exception_handlers=handlers
    )
    app.router.redirect_slashes = False  # it would answer with the Host that was claimed
    return app


async def _http_error(request: Request, error: HTTPException) -> Response:
    sentence = "there is no such page" if error.status_code == 404 else "this cannot be asked so"
    return _json_response({"error": sentence}, error.status_code)


def _translate_errors(
    answer: Callable[[Request], Awaitable[Response]],
) -> Callable[[Request], Awaitable[Response]]:
    """Turn expected errors into a status and a sentence without a path."""

    async def answering(request: Request) -> Response:
        try:
            return await answer(request)
        except RequestError as error:
            return _json_response({"error": error.sentence}, error.status)
        except AuditError as error:
            return _json_response({"error": _describe_file_error(error)}, 503)
        except CurateError as error:
            return _json_response(
                {"error": f"{error.what}; {error.do}" if error.do else error.what}, 400
            )
        except ClientDisconnect:
            return _json_response({"error": "the page went away"}, 400)
        except BodyTooLarge:
            return _json_response({"error": "the request is too large"}, 413)
        except Exception as error:
            print_origin(error)
            return _json_response({"error": SERVER_ERROR}, 500)

    return answering


def _describe_file_error(error: AuditError) -> str:
    """Return a sentence that names the unusable file, without its folder, and the remedy."""
    name, sentence = PurePath(error.where).name, error.what
    if name:
        is_it = sentence.startswith("it ")
        sentence = f"{name} {sentence.removeprefix('it ')}" if is_it else f"{name}: {sentence}"
    # The page asks again by itself: what a command's user would be told is not for its people.
    do = error.do.removesuffix(" and run the same command again")
    return sentence if not do or "same command" in do else f"{sentence}; {do}"


async def _picture_response(
    request: Request, future: Future[bytes | str], forever: bool
) -> Response:
    packed = await asyncio.shield(asyncio.wrap_future(future))
    if isinstance(packed, str):
        raise RequestError(404, f"the picture cannot be shown: {packed}")
    headers = {}
    if forever:
        request.scope["curate.cached"] = True
        headers["cache-control"] = CACHE_FOREVER
    return Response(packed, media_type="image/jpeg", headers=headers)


async def _read_json(request: Request) -> dict[str, object]:
    try:
        async with asyncio.timeout(MAX_READ_S):
            return parse_json(await request.body())
    except TimeoutError as error:
        raise RequestError(408, "the request took too long to come") from error


def _json_response(value: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status, media_type="application/json")
