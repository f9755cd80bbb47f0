"""The addresses that the page asks: each reads a request, calls the desk, and answers in JSON."""

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
from curate.people.webapp.events import Sent
from curate.people.webapp.middleware import WENT_WRONG, TooLarge, tell
from curate.people.webapp.request_parsing import (
    Clicks,
    Next,
    Refused,
    id_of,
    items_of,
    key_of,
    parsed,
    text_of,
)
from curate.people.webapp.session import Desk
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
FOREVER = "private, max-age=31536000, immutable"
LONGEST_READ_S = 60.0
"""How long a request's body may take to come."""


def read_static(folder: Path = STATIC) -> dict[str, tuple[bytes, str]]:
    """Read the page's own files, by name: what is not in here is never served."""
    return {
        path.name: (path.read_bytes(), TYPES[path.suffix])
        for path in sorted(folder.iterdir())
        if path.is_file() and path.suffix in TYPES
    }


class Pages:
    """Answers requests.

    Args:
        desk: The queue.
        tokens: Who may ask.
        static: The page's own files.
    """

    def __init__(self, desk: Desk, tokens: Tokens, static: dict[str, tuple[bytes, str]]) -> None:
        self.desk, self.tokens, self.static = desk, tokens, static

    def routes(self) -> list[Route]:
        """Return every address that is answered."""
        get: dict[str, Callable[[Request], Awaitable[Response]]] = {
            "/": self.page,
            "/static/{name}": self.page,
            "/api/session": self.session,
            "/api/about": self.about,
            "/api/picture/{mask_id}": self.picture,
            "/api/mask/{mask_id}": self.mask,
            "/api/image/{image_id}": self.image,
            "/api/scene/{image_id}": self.scene,
        }
        post: dict[str, Callable[[Request], Awaitable[Response]]] = {
            "/api/session": self.sign_in,
            "/api/next": self.next,
            "/api/release": self.release,
            "/api/events": self.events,
            "/api/segment": self.segment,
        }
        return [Route(path, _safe(f), methods=["GET"]) for path, f in get.items()] + [
            Route(path, _safe(f), methods=["POST"]) for path, f in post.items()
        ]

    async def page(self, request: Request) -> Response:
        """Answer with one of the page's own files."""
        found = self.static.get(request.path_params.get("name", "index.html"))
        if found is None:
            raise Refused(404, "there is no such page")
        return Response(found[0], media_type=found[1])

    async def session(self, request: Request) -> Response:
        """Say whether this page is signed in."""
        good = self.tokens.is_good(request.cookies.get(COOKIE, ""))
        return _json(
            {
                "signed_in": good,
                "needs_token": self.tokens.needed,
                "reviewer": self.desk.settings.reviewer if good else "",
            }
        )

    async def sign_in(self, request: Request) -> Response:
        """Take a token, and give a cookie for it."""
        token = text_of((await _asked(request)).get("token"), "token", 1000)
        if not self.tokens.needed:
            return _json({})
        good = await self.tokens.try_token(token)
        if good is None:
            raise Refused(429, "too many wrong tokens; try again in a minute")
        if not good:
            raise Refused(403, "this is not the token")
        answer = _json({})
        value = self.tokens.cookie()
        answer.set_cookie(COOKIE, value, COOKIE_S, httponly=True, samesite="strict", path="/")
        return answer

    async def about(self, request: Request) -> Response:
        """Say what the queue is."""
        return _json(await run_in_threadpool(self.desk.about))

    async def next(self, request: Request) -> Response:
        """Give the next masks."""
        asked = await _asked(request)
        wish = Next.of(asked)
        self.desk.check_queue(asked)
        return _json(await run_in_threadpool(self.desk.next, wish))

    async def release(self, request: Request) -> Response:
        """Take masks back undecided."""
        asked = await _asked(request)
        client, masks = key_of(asked.get("client"), "client"), items_of(asked.get("items"), "items")
        self.desk.check_queue(asked)
        await run_in_threadpool(self.desk.dealer.give_back, client, masks)
        return _json({})

    async def events(self, request: Request) -> Response:
        """Record what people did."""
        asked = await _asked(request)
        sent = Sent.of(asked, self.desk.clock.now_us())
        self.desk.check_queue(asked)
        await run_in_threadpool(self.desk.prepare, sent)
        # No thread waits while the writer is at it: many pages may send at once.
        found = await asyncio.shield(asyncio.wrap_future(self.desk.writer.write(sent.events)))
        return _json(await run_in_threadpool(self.desk.record, sent, found))

    async def picture(self, request: Request) -> Response:
        """Give a view of a picture."""
        mask_id, query = id_of(request.path_params["mask_id"]), request.query_params
        asked = mask_id, query.get("view", ""), query.get("v", "")
        future, forever = await run_in_threadpool(self.desk.picture, *asked)
        return await _picture(request, future, forever)

    async def scene(self, request: Request) -> Response:
        """Give the picture of an image without masks."""
        image_id = id_of(request.path_params["image_id"], "image_id")
        future = await run_in_threadpool(self.desk.images.scene, image_id)
        return await _picture(request, future, False)

    async def mask(self, request: Request) -> Response:
        """Give a whole mask."""
        mask_id = id_of(request.path_params["mask_id"])
        return _json(await run_in_threadpool(self.desk.mask, mask_id))

    async def image(self, request: Request) -> Response:
        """Give an image's outlines."""
        image_id = id_of(request.path_params["image_id"], "image_id")
        return _json(await run_in_threadpool(self.desk.images.image, image_id))

    async def segment(self, request: Request) -> Response:
        """Redraw a mask from clicks."""
        asked = await _asked(request)
        clicks = Clicks.of(asked)
        self.desk.check_queue(asked)
        return _json(await run_in_threadpool(self.desk.segment, clicks))


def application(desk: Desk, tokens: Tokens) -> Starlette:
    """Return the application that answers for a desk, without its guard."""
    handlers: dict[Any, Any] = {HTTPException: _http_error}
    app = Starlette(routes=Pages(desk, tokens, read_static()).routes(), exception_handlers=handlers)
    app.router.redirect_slashes = False  # it would answer with the Host that was claimed
    return app


async def _http_error(request: Request, error: HTTPException) -> Response:
    sentence = "there is no such page" if error.status_code == 404 else "this cannot be asked so"
    return _json({"error": sentence}, error.status_code)


def _safe(
    answer: Callable[[Request], Awaitable[Response]],
) -> Callable[[Request], Awaitable[Response]]:
    """Turn what goes wrong on purpose into a status and a sentence without a path."""

    async def answering(request: Request) -> Response:
        try:
            return await answer(request)
        except Refused as error:
            return _json({"error": error.sentence}, error.status)
        except AuditError as error:
            return _json({"error": _unavailable(error)}, 503)
        except CurateError as error:
            return _json({"error": f"{error.what}; {error.do}" if error.do else error.what}, 400)
        except ClientDisconnect:
            return _json({"error": "the page went away"}, 400)
        except TooLarge:
            return _json({"error": "the request is too large"}, 413)
        except Exception as error:
            tell(error)
            return _json({"error": WENT_WRONG}, 500)

    return answering


def _unavailable(error: AuditError) -> str:
    """Say which file cannot be used, without its folder, and what helps."""
    name, sentence = PurePath(error.where).name, error.what
    if name:
        is_it = sentence.startswith("it ")
        sentence = f"{name} {sentence.removeprefix('it ')}" if is_it else f"{name}: {sentence}"
    # The page asks again by itself: what a command's user would be told is not for its people.
    do = error.do.removesuffix(" and run the same command again")
    return sentence if not do or "same command" in do else f"{sentence}; {do}"


async def _picture(request: Request, future: Future[bytes | None], forever: bool) -> Response:
    packed = await asyncio.shield(asyncio.wrap_future(future))
    if packed is None:
        raise Refused(404, "there is no picture, or it cannot be read")
    headers = {}
    if forever:
        request.scope["curate.cached"] = True
        headers["cache-control"] = FOREVER
    return Response(packed, media_type="image/jpeg", headers=headers)


async def _asked(request: Request) -> dict[str, Any]:
    try:
        async with asyncio.timeout(LONGEST_READ_S):
            return parsed(await request.body())
    except TimeoutError as error:
        raise Refused(408, "the request took too long to come") from error


def _json(value: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status, media_type="application/json")
