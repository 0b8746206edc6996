"""The front page (JSON for programs, the studio for browsers) and the page that explains errors."""

from __future__ import annotations

import inspect
import time
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path

import redis
from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.concurrency import run_in_threadpool

from sadtalker_service.api.access.security import admit, viewer_of
from sadtalker_service.api.presenters.stats import home as rendered
from sadtalker_service.api.queue_stats import measure_queues
from sadtalker_service.api.schemas.problem import problems
from sadtalker_service.api.schemas.stats import ErrorEntry, ErrorPage, Home
from sadtalker_service.api.services import Services, services_of
from sadtalker_service.engines.port import EngineCard
from sadtalker_service.errors import EngineUnavailable, StoreUnavailable, all_errors
from sadtalker_service.state.viewer import Viewer

open_router = APIRouter(tags=["operation"])

STUDIO = Path(__file__).parents[1] / "studio"
PAGE_HEADERS: Mapping[str, str] = {
    # only files of the service itself, and images and videos that the page created
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self';"
    " img-src 'self' blob: data:; media-src 'self' blob:; connect-src 'self'; manifest-src 'self';"
    " base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
_HTML = {"text/html": {"schema": {"type": "string"}}}


@open_router.get(
    "/",
    response_model=Home,
    responses={200: {"content": _HTML}, **problems()},
    summary="Overview of the service",
)
async def home(request: Request) -> Response:
    """The overview as JSON. A browser gets the studio page."""
    page = STUDIO / "index.html"
    if wants_page(request) and page.is_file():
        return HTMLResponse(
            await run_in_threadpool(page.read_bytes), headers={**PAGE_HEADERS, "Vary": "Accept"}
        )
    await admit(request)
    answer = await run_in_threadpool(_home, services_of(request), viewer_of(request))
    return JSONResponse(answer.model_dump(mode="json"), headers={"Vary": "Accept"})


@open_router.get(
    "/docs/errors",
    response_model=ErrorPage,
    responses={200: {"content": _HTML}},
    summary="List the error codes",
)
async def error_page(request: Request) -> Response:
    """Every error code with its status and meaning."""
    entries = {entry.code: entry for entry in error_catalogue()}
    if wants_page(request):
        return HTMLResponse(_error_html(entries), headers=dict(PAGE_HEADERS))
    return JSONResponse(ErrorPage(errors=entries).model_dump(mode="json"))


def wants_page(request: Request) -> bool:
    """Whether the client is a browser: `Accept` has `text/html` but not JSON."""
    accept = request.headers.get("accept", "")
    return "text/html" in accept and "application/json" not in accept


def error_catalogue() -> Iterator[ErrorEntry]:
    """Every error of the service, ordered by status."""
    seen: dict[str, ErrorEntry] = {}
    for kind in all_errors():
        meaning = " ".join((inspect.getdoc(kind) or "").split())
        entry = ErrorEntry(code=kind.code, status=kind.status, retryable=kind.retryable, meaning=meaning)
        seen.setdefault(kind.code, entry)
    return iter(sorted(seen.values(), key=lambda entry: (entry.status, entry.code)))


def _error_html(entries: Mapping[str, ErrorEntry]) -> str:
    rows = "\n".join(
        f'<dt id="{escape(entry.code)}"><code>{escape(entry.code)}</code> ({entry.status}'
        f"{', try again' if entry.retryable else ''})</dt><dd>{escape(entry.meaning)}</dd>"
        for entry in entries.values()
    )
    return f'<!doctype html><html lang="en"><title>Errors</title><h1>Errors</h1><dl>{rows}</dl></html>'


def _home(services: Services, viewer: Viewer) -> Home:
    try:
        figures, queue_stats = services.statistics.snapshot(), measure_queues(services.sessions)
        images = services.avatars.count(viewer)
    except StoreUnavailable:
        figures, queue_stats, images = None, None, 0
    return rendered(
        figures,
        queue_stats,
        images,
        viewer,
        _default_engine(services),
        draining=services.drain.begun,
        cache_up=_answers(services.cache_client),
        now=time.time(),
    )


def _default_engine(services: Services) -> EngineCard | None:
    try:
        return services.engines.card()
    except (EngineUnavailable, StoreUnavailable):  # none is loaded yet, or the store is away
        return None


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


open_router.add_api_route("/", home, methods=["HEAD"], include_in_schema=False)
