"""The whole service on one machine: its processes, their order, and their environment."""

from __future__ import annotations

import hashlib
import http.client
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import structlog

from sadtalker_service.engines.port import Helper
from sadtalker_service.engines.registry import check_engine, helpers
from sadtalker_service.environment import child_environment, worker_environment
from sadtalker_service.errors import EngineUnavailable, StartFailed, StoreUnavailable
from sadtalker_service.jobs.queues import NORMAL, PREPARE, VIP
from sadtalker_service.settings import Settings
from sadtalker_service.state.registry import WorkerRegistry
from sadtalker_service.store.connections import check_queue_server, connect, run_dir, store_urls
from sadtalker_service.supervisor.child import ChildSpec
from sadtalker_service.supervisor.embedded_stores import embedded_servers
from sadtalker_service.supervisor.listener import address_for_clients, is_public, listen
from sadtalker_service.supervisor.live_worker import live_workers
from sadtalker_service.supervisor.lock import only_service
from sadtalker_service.supervisor.supervisor import Supervisor
from sadtalker_service.telemetry.metrics_folder import fresh_metrics_folder

log = structlog.get_logger(__name__)

API = "api"
_API_GRACE = 30.0
"""Seconds for downloads in progress when the service stops."""
_WORKER_GRACE = 15.0
"""Seconds in addition to a worker's own grace period, to hand its job back."""
_WORKER_NICE = 10
"""Rendering takes all processor time it can get. Requests to the API or a store go first."""
_HELPER_GRACE = 10.0
"""Seconds. A helper has nothing to finish, because the workers that use it have already stopped."""
_LIVEZ_SECONDS = 0.3
"""Timeout in seconds. Before the API runs, its socket exists but nothing accepts connections."""


def run_service(settings: Settings, announce: Callable[[str], None], *, at_terminal: bool = False) -> None:
    """Run everything until SIGTERM or SIGINT.

    `announce` receives a line when the API answers, and one when videos can be rendered. If `at_terminal`,
    where only warnings are logged, it also receives the URLs, how to stop, restarts and the shutdown. Raises
    `StartFailed` and `StoreMisconfigured`, before anything starts if possible.
    """
    _check_engine(settings)
    folder = run_dir(settings)
    with only_service(folder), listen(settings.host, settings.port) as listener:
        settings = settings.model_copy(update={"port": listener.getsockname()[1]})
        _warn(settings)
        stages = service_stages(settings, folder, listener.fileno())
        workers = [spec.name for spec in stages[-1] if spec.name != API]
        url = address_for_clients(settings.host, settings.port)
        announcements = _Announcements(url, workers, announce, at_terminal=at_terminal)

        def on_stop() -> None:
            listener.close()  # refuse new connections now, because the API no longer accepts them
            announcements.stopping()

        Supervisor(stages, announcements, on_stop=on_stop).run()


def service_stages(settings: Settings, folder: Path, listener: int) -> tuple[tuple[ChildSpec, ...], ...]:
    """Stages of children: the embedded servers, then the engines' helpers, then API and workers.

    `folder` holds sockets and metrics. `listener` is the file descriptor of the API's listening socket.
    """
    environment = child_environment(
        {
            "DATA_DIR": str(settings.data_dir.expanduser().absolute()),
            "HOST": settings.host,
            "PORT": str(settings.port),
            **_metrics_environment(folder / "metrics"),
        }
    )
    for_workers = worker_environment(environment)
    wanted = helpers(settings, folder) if render_workers(settings) else ()
    found_by = {name: value for helper in wanted for name, value in helper.environment.items()}
    return (
        embedded_servers(settings),
        tuple(_helper(helper, for_workers) for helper in wanted),
        (
            _api(settings, environment, listener),
            *_workers(settings, {**for_workers, **found_by}),
            *live_workers(
                settings,
                {**for_workers, **found_by},
                f"live-{_place(settings)}",
                renders=render_workers(settings) > 0,
            ),
        ),
    )


def render_workers(settings: Settings) -> int:
    """Number of processes that render videos."""
    if settings.workers is not None:
        return settings.workers
    return max(1, len(os.sched_getaffinity(0)) // 2)


def _api(settings: Settings, environment: dict[str, str], listener: int) -> ChildSpec:
    url = address_for_clients(settings.host, settings.port)
    return ChildSpec(
        name=API,
        argv=(sys.executable, "-m", "sadtalker_service.api", "--fd", str(listener)),
        env=environment,
        pass_fds=(listener,),
        ready=lambda: _is_alive(url),
        grace=_API_GRACE,
    )


def _helper(helper: Helper, environment: dict[str, str]) -> ChildSpec:
    return ChildSpec(
        name=helper.name,
        argv=helper.argv,
        env={**environment, **helper.environment},
        ready=helper.is_ready,
        grace=_HELPER_GRACE,
        nice=_WORKER_NICE,
    )


def _workers(settings: Settings, environment: dict[str, str]) -> list[ChildSpec]:
    """The render workers and, if there are any, one worker that prepares avatars. So an avatar never waits
    for a video to finish."""
    count, place = render_workers(settings), _place(settings)
    queues = {f"render-{number + 1}": f"{VIP},{NORMAL}" for number in range(count)}
    if count:
        queues["prepare"] = PREPARE
    registry = WorkerRegistry(connect(store_urls(settings).queue, retries=False))
    return [_worker(settings, environment, registry, f"{name}-{place}", queues[name]) for name in queues]


def _worker(
    settings: Settings, environment: dict[str, str], registry: WorkerRegistry, name: str, queues: str
) -> ChildSpec:
    heartbeat = _Heartbeat(registry, f"{name}@{socket.gethostname()}")
    return ChildSpec(
        name=name,
        argv=(sys.executable, "-m", "sadtalker_service", "worker", "--queues", queues, "--name", name),
        env=environment,
        prepare=heartbeat.ignore_earlier,
        ready=heartbeat.ready,
        grace=settings.shutdown_grace_seconds + _WORKER_GRACE,
        nice=_WORKER_NICE,
    )


def _place(settings: Settings) -> str:
    """Part of the workers' names: another service on this machine may use the same queue. The same after a
    restart."""
    return hashlib.sha256(os.fsencode(settings.data_dir.expanduser().absolute())).hexdigest()[:6]


class _Heartbeat:
    """Whether a worker has a warm engine, according to its heartbeat."""

    def __init__(self, registry: WorkerRegistry, worker: str) -> None:
        self._registry = registry
        self._worker = worker
        self._earlier = 0.0

    def ignore_earlier(self) -> None:
        """Ignore earlier heartbeats, which came from a dead process."""
        self._earlier = max(self._earlier, self._seen_at(warm=False))

    def ready(self) -> bool:
        """Whether the new process has reported a warm engine."""
        return self._seen_at(warm=True) > self._earlier

    def _seen_at(self, *, warm: bool) -> float:
        try:
            facts = self._registry.live().get(self._worker)
        except StoreUnavailable:
            return 0.0
        return 0.0 if facts is None or (warm and facts.state == "starting") else facts.seen_at


class _Announcements:
    """Announces once that the API answers, and once that everything is warm. At a terminal, also prints hints
    for the user."""

    def __init__(
        self, url: str, workers: list[str], announce: Callable[[str], None], *, at_terminal: bool
    ) -> None:
        self._url = url
        self._awaited = set(workers)
        self._known: set[str] = set()
        self._announce = announce
        self._at_terminal = at_terminal

    def __call__(self, name: str) -> None:
        """A child has become ready."""
        if name in self._known:
            if self._at_terminal:  # its exit was logged as a warning
                self._announce(f"{name} is ready again.")
            return
        self._known.add(name)
        if name == API:
            rest = "the workers are warming up." if self._awaited else "workers join from elsewhere."
            self._announce(f"Listening on {self._url}; {rest}")
        elif name in self._awaited:
            self._awaited.remove(name)
        else:  # a store
            return
        if not self._awaited and API in self._known:
            self._announce(f"Ready: {self._url}")
            if self._at_terminal:
                self._announce(f"  Studio, in a browser: {self._url}/")
                self._announce(f"  API documentation:    {self._url}/docs")
                self._announce(
                    "  Stop with Ctrl-C. Only warnings are shown. LOG_LEVEL=info shows everything."
                )

    def stopping(self) -> None:
        """The service is stopping."""
        if self._at_terminal and API in self._known:
            self._announce("Stopping after the current video. Press Ctrl-C again to stop at once.")


def _metrics_environment(folder: Path) -> dict[str, str]:
    try:
        return fresh_metrics_folder(folder)
    except OSError as error:
        raise StartFailed(f"Cannot make the folder {folder}: {error.strerror}.") from error


def _check_engine(settings: Settings) -> None:
    """Raise `StartFailed`, with what to do, if no worker could load its engine."""
    if not render_workers(settings):  # the workers run elsewhere, where another engine may be set
        return
    try:
        check_engine(settings.engine, settings)
    except EngineUnavailable as error:
        raise StartFailed(f"The service does not start. {error.message}") from error


def _warn(settings: Settings) -> None:
    """Warn about external problems: public access and weak servers. Raises `StoreMisconfigured`."""
    if (
        is_public(settings.publish_address or settings.host)
        and not settings.api_keys
        and settings.api_keys_file is None
    ):
        log.warning(
            "service_unprotected",
            host=settings.host,
            advice="Anyone who reaches this address can use the service. Set API_KEYS, or HOST to 127.0.0.1.",
        )
    urls = store_urls(settings)
    if not urls.embedded_queue:
        with connect(urls.queue) as queue:
            for reason in check_queue_server(queue, shared=urls.shared):
                log.warning("queue_server_weak", advice=reason)
    if urls.embedded_cache and not urls.embedded_queue:
        log.warning(
            "cache_not_shared",
            advice="Workers on other machines have their own cache, so their videos cannot be streamed"
            " during rendering. Set REDIS_URL too.",
        )


def _is_alive(url: str) -> bool:
    """Whether the API answers `GET /livez`."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=_LIVEZ_SECONDS)
    try:
        connection.request("GET", "/livez")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
