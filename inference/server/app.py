"""The page and the JSON interface over HTTP, on Starlette. Nothing that a client sends is trusted."""

import asyncio
import json
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inference.figures import STYLE, png_uri
from inference.server.description import OPENAPI, described
from inference.server.gallery import MOST_RESULTS, Gallery

MOST_JSON = 1 << 16  # bytes
UPLOADS_AT_ONCE, UPLOADS_WAITING = 2, 8
MOST_SECONDS = 30.0  # that the body of a request may take to arrive
_PAGE_ITEMS = 24
_HERE = Path(__file__).parent
_OWN = "script-src", "style-src", "media-src", "connect-src"
_NONE = "default-src", "base-uri", "form-action", "frame-ancestors"
_HEADERS = {  # the film of an upload is in the answer itself
    "content-security-policy": "; ".join([*(f"{what} 'none'" for what in _NONE), *(f"{what} 'self'" for what in _OWN),
                                          "img-src 'self' data:"]),
    "x-content-type-options": "nosniff", "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin"}


def make_app(gallery: Gallery, *, most_bytes: int, hosts: list[str]) -> Starlette:
    """The program that answers.

    Args:
        most_bytes: of an uploaded video. hosts: names by which the server may be called; others are refused, so that no
            page of elsewhere reads from it under a name of its own.
    """
    desk = _Desk(gallery, most_bytes)
    style = STYLE + (_HERE.parent / "page/page.css").read_text(encoding="utf-8") + _text("serve.css")
    files = {"/": (_text("serve.html"), "text/html"), "/serve.css": (style, "text/css"),
             "/serve.js": (_text("serve.js"), "text/javascript"), "/docs": (described(), "text/html")}
    routes = [Route(path, _constant(*file)) for path, file in files.items()]
    routes += [Route("/openapi.json", lambda request: JSONResponse(OPENAPI)),
               Route("/items", desk.items), Route("/items/{id:path}", desk.item), Route("/film", desk.film),
               Route("/video", desk.video), Route("/search", desk.search, methods=["POST"]),
               Route("/favicon.ico", lambda request: Response(status_code=204))]
    return Starlette(routes=routes, exception_handlers={HTTPException: _told, Exception: _fault},
                     middleware=[Middleware(_Headers), Middleware(TrustedHostMiddleware, allowed_hosts=hosts)])


class _Desk:
    """Takes the requests about one gallery."""

    def __init__(self, gallery: Gallery, most_bytes: int) -> None:
        self._gallery, self._most_bytes = gallery, most_bytes
        self._uploads, self._slots = 0, asyncio.Semaphore(UPLOADS_AT_ONCE)

    async def items(self, request: Request) -> Response:
        label = self._label(request.query_params.get("label"))
        start = _whole(request.query_params.get("start", "0"), "start", 0, 1 << 40)
        names, total = self._gallery.names(label, start, _PAGE_ITEMS)
        return JSONResponse({"items": [self._gallery.item(name) for name in names], "total": total, "start": start,
                             "labels": self._gallery.labels, "bits": self._gallery.num_bits,
                             "uploads": self._gallery.encode is not None, "most_bytes": self._most_bytes})

    async def item(self, request: Request) -> Response:
        return JSONResponse(self._gallery.item(self._known(request.path_params["id"])))

    async def film(self, request: Request) -> Response:
        name = self._known(request.query_params.get("id"))
        film = await run_in_threadpool(self._gallery.film, name)
        if film is None:
            raise HTTPException(404, "this video cannot be shown")
        return Response(film, media_type="image/png", headers={"cache-control": "max-age=3600"})

    async def video(self, request: Request) -> Response:
        place = self._gallery.place(self._known(request.query_params.get("id")))
        if place is None or not place.is_file():
            raise HTTPException(404, "this video is not here")
        return FileResponse(place)

    async def search(self, request: Request) -> Response:
        """By id or code in JSON, or by a video that is the whole body."""
        is_json = request.headers.get("content-type", "").partition(";")[0].strip() == "application/json"
        asked = _object(await _body(request, MOST_JSON)) if is_json else dict(request.query_params)
        label, k = self._label(asked.get("label")), _whole(asked.get("k", 10), "k", 1, MOST_RESULTS)
        shown = _whole(asked.get("film", 0), "film", 0, 1)
        query = await (run_in_threadpool(self._asked, asked) if is_json else self._uploaded(request, bool(shown)))
        bits = self._gallery.bits_of_text(query["code"])
        found = await run_in_threadpool(self._gallery.nearest, bits, k, label, query["id"])
        return JSONResponse({"query": query, "results": found})

    def _asked(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        name, code = asked.get("id"), asked.get("code")
        if (name is None) == (code is None):
            raise HTTPException(422, "give an id or a code")
        if name is not None:
            return self._gallery.item(self._known(name))
        length = self._gallery.num_bits
        if not isinstance(code, str) or len(code) != length or set(code) - set("01"):
            raise HTTPException(422, f"a code is {length} signs 0 and 1")
        return {"id": None, "code": code}

    async def _uploaded(self, request: Request, shown: bool) -> dict[str, Any]:
        """What there is to say of the video in the body, with its film where it is to be `shown`; a few are read at
        once, a few wait, and others are turned away."""
        if self._gallery.encode is None:
            raise HTTPException(501, "no model is here to encode videos with")
        if self._uploads >= UPLOADS_AT_ONCE + UPLOADS_WAITING:
            raise HTTPException(503, "too many uploads at once; try again", {"retry-after": "5"})
        self._uploads += 1
        try:
            async with self._slots:
                with tempfile.NamedTemporaryFile() as file:
                    await _body(request, self._most_bytes, file.write)
                    file.flush()
                    codes, why = await run_in_threadpool(self._gallery.encode, Path(file.name))
                    film = await run_in_threadpool(self._gallery.strip, Path(file.name)) if shown and codes else None
        finally:
            self._uploads -= 1
        if codes is None:
            raise HTTPException(422, f"this video cannot be used: {why}")
        return {"id": None, "code": self._gallery.bits_as_text(codes.bits[:1]),
                "film": None if film is None else png_uri(film)}

    def _known(self, name: object) -> str:
        if not isinstance(name, str) or name not in self._gallery:
            raise HTTPException(404, "no such item")
        return name

    def _label(self, label: object) -> str | None:
        if label in (None, ""):
            return None
        if label not in self._gallery.labels:
            raise HTTPException(422, "no such label")
        return str(label)


async def _body(request: Request, most: int, put: Callable[[bytes], object] | None = None) -> bytes:
    """The body, or nothing where `put` takes its parts; one that is too long or comes too slowly is refused."""
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(MOST_SECONDS):
            async for part in request.stream():
                size += len(part)
                if size > most:
                    raise HTTPException(413, f"more than {most:,} bytes")
                (put or parts.append)(part)
    except TimeoutError:
        raise HTTPException(408, "the request came too slowly") from None
    return b"".join(parts)


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise HTTPException(422, "the body is not a JSON object")
    return found


def _whole(value: object, name: str, least: int, most: int) -> int:
    text = str(value)
    if isinstance(value, bool) or len(text) > 15 or not (text.isascii() and text.isdigit()) or not (
            least <= int(text) <= most):
        raise HTTPException(422, f"{name} is a whole number from {least} to {most}")
    return int(text)


def _text(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _constant(content: str, kind: str) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        return Response(content, media_type=kind)
    return answer


async def _told(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


async def _fault(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": "a fault of the server"}, 500)


class _Headers:
    """Adds what tells a browser to load nothing from elsewhere."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"],
                                      *((name.encode(), value.encode()) for name, value in _HEADERS.items())]
            await send(message)

        await self._app(scope, receive, with_headers)
