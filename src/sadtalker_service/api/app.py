"""The application: its routes, middleware and lifespan."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import structlog
from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from sadtalker_service import __version__
from sadtalker_service.api.access.origins import AllowedCallers, listed
from sadtalker_service.api.access.rate_limit import RateLimit
from sadtalker_service.api.access.security import Admitted, Gate, KeyRing, load_keys
from sadtalker_service.api.access.wrong_keys import WrongKeys
from sadtalker_service.api.errors import install_error_handlers
from sadtalker_service.api.health import Health
from sadtalker_service.api.presenters.stats import DESCRIPTION
from sadtalker_service.api.requests import RequestAccount
from sadtalker_service.api.routes import (
    avatars,
    cache,
    captions,
    health,
    home,
    images,
    live,
    media,
    previews,
    reference,
    speech,
    timeline,
    videos,
    voices,
)
from sadtalker_service.api.services import Services
from sadtalker_service.api.shutdown import Drain
from sadtalker_service.api.threads import allow_threads
from sadtalker_service.jobs.dispatch import Dispatch
from sadtalker_service.live.ice import ice_servers
from sadtalker_service.settings import Settings

log = structlog.get_logger(__name__)

_EXPOSED = ("X-Request-ID", "Retry-After", "Content-Range", "Content-Disposition", "ETag")
"""Headers that scripts of other origins may read."""
_JANITOR_SECONDS = 10.0

Janitor = Callable[[Settings, threading.Event], None]


def create_app(
    settings: Settings, *, dispatch: Dispatch | None = None, janitor: Janitor | None = None
) -> FastAPI:
    """The application for `settings`. It connects to nothing before it starts.

    `dispatch` replaces sending work through Celery. `janitor` runs in a thread until its event is set, which
    happens when the application stops. Raises `StoreMisconfigured` for API keys that cannot be read.
    """
    keys = KeyRing(load_keys(settings))
    ice_servers(settings)  # an error now, not in every answer
    app = FastAPI(
        title="SadTalker microservice",
        version=__version__,
        description=DESCRIPTION,
        lifespan=_lifespan,
        docs_url=None,  # routes/reference.py has these two pages
        redoc_url=None,
        redirect_slashes=False,  # a trailing slash makes a path unknown instead of a redirect
        openapi_tags=[
            {"name": "avatars", "description": "Source images and the avatars prepared from them."},
            {"name": "videos", "description": "Requests for videos in two lanes; `vip` is served first."},
            {"name": "live", "description": "Avatars that talk while their sound arrives."},
            {"name": "speech", "description": "Driven audio for programs that draw the face themselves."},
            {"name": "voices", "description": "Texts as speech."},
            {"name": "operation", "description": "Health, statistics and metrics of the service."},
        ],
    )
    app.state.settings, app.state.drain, app.state.keys = settings, Drain(), keys
    app.state.dispatch, app.state.janitor = dispatch, janitor
    install_error_handlers(app)
    _add_routes(app, protected=bool(keys))
    origins = list(listed(settings.cors_origins))
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["*"],
            expose_headers=_EXPOSED,
        )
    app.add_middleware(AllowedCallers, settings=settings, open_to_all=bool(keys))
    app.add_middleware(RequestAccount)
    return app


def _add_routes(app: FastAPI, *, protected: bool) -> None:
    needed = [Admitted] if protected else []
    # fixed paths come before those with a lane in the same place
    for module in (
        avatars,
        previews,
        images,
        cache,
        voices,
        speech,
        timeline,
        videos,
        media,
        captions,
        live,
        health,
    ):
        app.include_router(module.router, dependencies=needed)
    app.include_router(health.open_router)
    app.include_router(live.open_router)
    app.include_router(home.open_router)
    app.include_router(reference.open_router)
    if home.STUDIO.is_dir():
        app.mount("/studio", _Page(directory=home.STUDIO, html=True), name="studio")


class _Page(StaticFiles):
    """The studio's files, with the security headers of its page."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send a file."""

        async def send_marked(message: dict[str, object]) -> None:
            if message["type"] == "http.response.start":
                extra = [(name.lower().encode(), text.encode()) for name, text in home.PAGE_HEADERS.items()]
                message["headers"] = [*message["headers"], *extra]  # type: ignore[misc]  # ASGI: a list of pairs
            await send(message)

        await super().__call__(scope, receive, send_marked)  # type: ignore[arg-type]  # as above


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    allow_threads()
    settings: Settings = app.state.settings
    services = Services(settings, app.state.drain, app.state.dispatch)
    app.state.services = services
    app.state.gate = Gate(app.state.keys, RateLimit(services.queue_async), WrongKeys(time.monotonic))
    app.state.health = Health(services, time.monotonic)
    services.inspector.start()
    stop = threading.Event()
    thread = _start_janitor(app, stop)
    log.info("api_started", version=__version__)
    try:
        yield
    finally:
        stop.set()
        await _close(services, thread)
        log.info("api_stopped")


def _start_janitor(app: FastAPI, stop: threading.Event) -> threading.Thread | None:
    janitor: Janitor | None = app.state.janitor
    if janitor is None:
        return None
    thread = threading.Thread(target=janitor, args=(app.state.settings, stop), name="janitor", daemon=True)
    thread.start()
    return thread


async def _close(services: Services, janitor: threading.Thread | None) -> None:
    if janitor is not None:
        await asyncio.to_thread(janitor.join, _JANITOR_SECONDS)
    await services.aclose()
