"""A live worker: a process with warm engines and slots for live sessions."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray
from websockets.asyncio.server import serve, unix_serve

from sadtalker_service.domain import SpokenText, SpokenTimeline
from sadtalker_service.errors import SadTalkerError, StartFailed, StoreUnavailable
from sadtalker_service.jobs.stores import Stores
from sadtalker_service.live.avatar import LiveAvatar
from sadtalker_service.live.ice import ice_servers
from sadtalker_service.media.encoder import NO_TAGS
from sadtalker_service.media.marking.tags import SOURCE_TYPES, tags_of
from sadtalker_service.pipeline.cached import CachedComputation, CacheTerms
from sadtalker_service.pipeline.pipeline import Pipeline
from sadtalker_service.pipeline.spoken import spoken_sentences
from sadtalker_service.settings import Settings
from sadtalker_service.speech.voices.choice import resolve
from sadtalker_service.speech.voices.speaker import read_text
from sadtalker_service.state.live_records import LiveSession, LiveSpec, LiveWorker
from sadtalker_service.state.retry import best_effort, retry_while_unavailable
from sadtalker_service.store.connections import run_dir
from sadtalker_service.store.keys import lifetimes
from sadtalker_service.store.redis_single_flight import RedisSingleFlight
from sadtalker_service.telemetry import metrics
from sadtalker_service.telemetry.logs import configure_logging
from sadtalker_service.worker.engines import LoadedEngines, load_engines
from sadtalker_service.worker.live.carried import Carried
from sadtalker_service.worker.live.inbox import Inbox
from sadtalker_service.worker.live.messages import CUT_BYTES
from sadtalker_service.worker.live.recording import Recording
from sadtalker_service.worker.live.recordings import Recordings
from sadtalker_service.worker.live.server import LiveServer
from sadtalker_service.worker.originals import original_image

log = structlog.get_logger(__name__)

_EVERYWHERE = {"0.0.0.0", "::", ""}  # noqa: S104  compared with, not listened on
_SAVE_SECONDS = 30.0
"""How often recordings are looked for that were left behind."""
_PING_SECONDS = 10.0
"""A client that does not answer a ping for so long is gone."""


def run_live_worker(settings: Settings, name: str | None = None) -> int:
    """Carry live sessions until SIGTERM or SIGINT, and return the exit code of the process.

    `name` must be unique among the live workers of this machine. A restarted worker with the same name ends
    the sessions that died with it. Raises `EngineUnavailable`, `StartFailed`.
    """
    configure_logging(settings, "worker")
    worker = f"{name or f'live-{os.getpid()}'}@{socket.gethostname()}"
    LiveProcess(settings, worker).run()
    return 0


class LiveProcess:
    """The stores and engines of a live worker."""

    def __init__(self, settings: Settings, worker: str) -> None:
        self._settings = settings
        self._worker = worker
        self._stores = Stores(settings)
        self._live = self._stores.live
        self._engines: LoadedEngines
        self._recordings: Recordings
        self._saver = ThreadPoolExecutor(1, "live-saver")

    def run(self) -> None:
        """Load the engines and serve."""
        ice_servers(self._settings)  # an error now, not with the first viewer
        retry_while_unavailable(lambda: self._live.leave(self._worker, "worker_lost"))
        self._engines = load_engines(self._settings, self._stores.engines)
        self._recordings = Recordings(self._settings, self._stores, self._engines.source_type)
        try:
            asyncio.run(self._serve())
        finally:
            best_effort(lambda: self._live.leave(self._worker, "worker_stopped"))

    async def _serve(self) -> None:
        stopped = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
        facts = LiveWorker(
            address=live_address(self._settings, self._worker),
            slots=self._settings.slots_for_live,
            load=0.0,
            engines=self._engines.live_names,
            public_url=self._settings.live_public_url.rstrip("/"),
        )
        server = LiveServer(self._worker, facts, self._live, self._settings, self._carry, self._save)
        async with _listening(self._settings, self._worker, server):
            log.info("live_worker_ready", worker=self._worker, **facts.to_json())
            saving = asyncio.create_task(self._save_all_until(stopped))
            await server.beat_until(stopped)
            await server.stop("worker_stopped")
            await saving

    async def _save(self, recording: Recording) -> None:
        await self._in_saver(lambda: self._recordings.save(recording))

    async def _save_all_until(self, stopped: asyncio.Event) -> None:
        """Make the videos of recordings that were left behind, again and again."""
        while not stopped.is_set():
            await self._in_saver(self._recordings.save_all)
            with suppress(TimeoutError):
                async with asyncio.timeout(_SAVE_SECONDS):
                    await stopped.wait()

    async def _in_saver(self, work: Callable[[], None]) -> None:
        try:
            await asyncio.get_running_loop().run_in_executor(self._saver, work)
        except StoreUnavailable as error:  # the next round tries it again
            log.warning("live_recording_waits", reason=error.message)
        except Exception:  # whatever it is, sessions go on
            log.exception("live_recording_failed")

    def _carry(self, session: LiveSession) -> Carried:
        source_type = self._engines.source_type(session.spec.engine)
        facts: dict[str, object] = {
            "synthetic": True,
            "digital_source_type": source_type and f"{SOURCE_TYPES}{source_type}",
        }
        recording = self._recordings.open(session)
        if recording:
            facts["recording"] = {"status": "recording", "longest": self._settings.live_recording_seconds}
        return Carried(
            session,
            self._make_avatar,
            self._make_inbox,
            self._tags(session.spec),
            {**facts, "max_seconds": self._settings.live_max_seconds},
            recording,
        )

    def _tags(self, spec: LiveSpec) -> Mapping[str, str]:
        """Metadata that marks the stream as synthetic."""
        source_type = self._engines.source_type(spec.engine)
        return tags_of(source_type) if source_type and self._settings.mark_videos else NO_TAGS

    def _make_avatar(self, session: LiveSession) -> LiveAvatar:
        """In a thread. Raises the errors of preparing an avatar, `EngineUnavailable`,
        `UnsupportedByEngine`."""
        spec = session.spec
        engine = self._engines.engine(spec.engine, spec.engine_version)
        terms = self._terms()
        image = original_image(
            self._stores.artefacts, spec.image_id, self._settings, self._stores.cache, terms
        )
        prepared = Pipeline(engine, self._stores.cache, terms).prepare(image, spec.options)
        return LiveAvatar(
            engine, prepared.avatar, spec.options, queue_seconds=self._settings.live_queue_seconds
        )

    def _make_inbox(
        self, session: LiveSession, avatar: LiveAvatar, on_error: Callable[[SadTalkerError], None]
    ) -> Inbox:
        speak = partial(self._speak, session.spec.voice)
        return Inbox(avatar, self._settings.live_queue_seconds, speak, on_error)

    def _speak(self, voice: str, spoken: SpokenText) -> Iterator[tuple[NDArray[np.float32], SpokenTimeline]]:
        """In a thread. Raises `InvalidOption`, `TextTooLong`, `EngineUnavailable`."""
        wanted = SpokenText(spoken.text, spoken.voice or voice, spoken.rate)
        script = read_text(resolve(wanted, "", self._settings.voice))
        computation = CachedComputation(self._stores.cache, self._terms())
        return spoken_sentences(script, computation, self._settings.voice_threads)

    def _terms(self) -> CacheTerms:
        return CacheTerms(
            lifetimes(self._settings),
            RedisSingleFlight(self._stores.cache_client),
            metrics.cache_request,
            None,
        )


def _socket(settings: Settings, worker: str) -> Path:
    return run_dir(settings) / f"{worker.partition('@')[0]}.sock"


def live_address(settings: Settings, worker: str) -> str:
    """Where the API reaches this worker."""
    if settings.live_port:
        host = settings.host
        if host in _EVERYWHERE:  # no address to connect to; the name is that of the machine or container
            host = socket.gethostname()
        host = f"[{host}]" if ":" in host else host
        return f"tcp://{settings.live_address or f'{host}:{settings.live_port}'}"
    return f"unix://{_socket(settings, worker)}"


@asynccontextmanager
async def _listening(settings: Settings, worker: str, server: LiveServer) -> AsyncIterator[None]:
    options: dict[str, Any] = {
        "process_request": server.admit,
        "max_size": CUT_BYTES,
        "compression": None,  # video and sound do not get smaller
        "ping_interval": _PING_SECONDS,
        "ping_timeout": _PING_SECONDS,
        "server_header": None,
    }
    path = _socket(settings, worker)
    path.unlink(missing_ok=True)
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(unix_serve(server.serve, str(path), **options))
            if settings.live_port:
                await stack.enter_async_context(
                    serve(server.serve, settings.host, settings.live_port, **options)
                )
        except OSError as error:
            raise StartFailed(f"The live worker cannot listen: {error.strerror}.") from error
        yield
