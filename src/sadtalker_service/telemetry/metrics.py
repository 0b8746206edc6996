"""All metrics that the processes of the service count, in one place.

Names begin with `sadtalker_`, units are seconds and bytes, and label values come from a short list. Routes
are labelled by their template, never by a path, and errors by their code. No label holds a session, an image
or an address. `jobs.gauges` reads the state of the stores (waiting jobs, heartbeats) on each request.

API and workers are separate processes. They share a folder of small files (`metrics_folder.py`), so each of
them can report the sums over all. Without that folder a process reports only its own values.
"""

from __future__ import annotations

from collections.abc import Mapping
from wsgiref.simple_server import WSGIServer

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    generate_latest,
    multiprocess,
    start_http_server,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
"""Media type of the output of `render`."""

METHODS = frozenset({"GET", "HEAD", "POST", "DELETE", "OPTIONS"})
"""Methods with their own series. A client may send any other word."""

_ANSWERS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0)
"""Seconds, from a status in a few milliseconds to an upload over a slow connection."""
_STAGES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Seconds, from loading an artefact to rendering ten minutes."""
_JOBS = (0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0)
_WAITS = (0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0)
_FACTORS = (0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 32.0)
"""Seconds of video per second of work."""

_MANY_VIDEOS = 4
"""Batches with this many videos or more share one label."""

REGISTRY = CollectorRegistry(auto_describe=True)
"""Only the metrics below, without those that libraries add to the default registry."""

_requests = Counter(
    "sadtalker_http_requests", "Requests answered.", ("method", "route", "status"), registry=REGISTRY
)
_request_seconds = Histogram(
    "sadtalker_http_request_duration_seconds",
    "Time from the first byte of a request to the last byte of its response.",
    ("route",),
    buckets=_ANSWERS,
    registry=REGISTRY,
)
_jobs = Counter("sadtalker_jobs", "Ended jobs by outcome.", ("lane", "outcome"), registry=REGISTRY)
_failures = Counter("sadtalker_job_failures", "Failed sessions by error code.", ("code",), registry=REGISTRY)
_job_seconds = Histogram(
    "sadtalker_job_duration_seconds",
    "Time from the start of a job to its published video; kind: first, cached_avatar, repeated.",
    ("kind",),
    buckets=_JOBS,
    registry=REGISTRY,
)
_waited = Histogram(
    "sadtalker_job_wait_seconds",
    "Time from the acceptance of a session to the start of its job.",
    ("lane",),
    buckets=_WAITS,
    registry=REGISTRY,
)
_attempts = Counter(
    "sadtalker_job_attempts",
    "Job starts. There are more starts than sessions if workers die.",
    ("lane",),
    registry=REGISTRY,
)
_requeued = Counter(
    "sadtalker_jobs_requeued", "Jobs put back into the queue by reason.", ("reason",), registry=REGISTRY
)
_first_bytes = Histogram(
    "sadtalker_stream_first_bytes_seconds",
    "Time from the start of a job to the first bytes of its stream.",
    buckets=_ANSWERS,
    registry=REGISTRY,
)
_real_time_factor = Histogram(
    "sadtalker_real_time_factor",
    "Seconds of video per second of work. Above 1 is faster than real time.",
    buckets=_FACTORS,
    registry=REGISTRY,
)
_frames = Counter("sadtalker_frames", "Frames of published videos.", registry=REGISTRY)
_video_seconds = Counter("sadtalker_video_seconds", "Duration of published videos.", registry=REGISTRY)
_stage_seconds = Histogram(
    "sadtalker_stage_duration_seconds",
    "Duration of a stage of preparation or rendering.",
    ("stage",),
    buckets=_STAGES,
    registry=REGISTRY,
)
_preparations = Counter(
    "sadtalker_avatar_preparations",
    "Avatars prepared after their upload by outcome.",
    ("outcome",),
    registry=REGISTRY,
)
_preparation_seconds = Histogram(
    "sadtalker_avatar_preparation_duration_seconds",
    "Time to prepare an avatar.",
    buckets=_STAGES,
    registry=REGISTRY,
)
_cache = Counter(
    "sadtalker_cache_requests",
    "Cache lookups of artefacts by kind and result (hit, miss).",
    ("kind", "result"),
    registry=REGISTRY,
)
_batches = Counter(
    "sadtalker_inference_batches",
    "Batches of frames drawn by an inference server by number of videos in the batch (1, 2, 3, 4+).",
    ("videos",),
    registry=REGISTRY,
)
_batch_frames = Counter(
    "sadtalker_inference_frames", "Frames drawn by an inference server.", registry=REGISTRY
)
_callbacks = Counter(
    "sadtalker_callbacks",
    "Callbacks by result (delivered, refused, given_up).",
    ("result",),
    registry=REGISTRY,
)
_removed = Counter(
    "sadtalker_artefacts_removed",
    "Files removed from the artefact store by kind and reason (age, size).",
    ("kind", "reason"),
    registry=REGISTRY,
)


_cut = Counter(
    "sadtalker_connections_cut",
    "Connections ended by the service by reason (head, body, rest_of_body, pipeline, stray_bytes, unread,"
    " malformed).",
    ("reason",),
    registry=REGISTRY,
)
_refused = Counter(
    "sadtalker_requests_refused",
    "Requests refused before processing by reason (host, origin, no_key, wrong_key, many_wrong_keys,"
    " lane, live, rate).",
    ("reason",),
    registry=REGISTRY,
)


def connection_cut(reason: str) -> None:
    """Count a connection that the service ended."""
    _cut.labels(reason).inc()


def request_refused(reason: str) -> None:
    """Count a request that was refused before any processing."""
    _refused.labels(reason).inc()


def observe_request(method: str, route: str, status: int, seconds: float) -> None:
    """Record an answered request. `route` is the template of the path, or `unmatched` if there is none."""
    _requests.labels(method if method in METHODS else "other", route, str(status)).inc()
    _request_seconds.labels(route).observe(seconds)


def job_started(lane: str, waited_seconds: float) -> None:
    """Record that a worker started a job, for the first time or again."""
    _attempts.labels(lane).inc()
    _waited.labels(lane).observe(waited_seconds)


def job_ended(lane: str, outcome: str, code: str | None = None) -> None:
    """Record that a job ended `ready`, `failed` or `cancelled`. `code` is the error code of a failed job."""
    _jobs.labels(lane, outcome).inc()
    if code is not None:
        _failures.labels(code).inc()


def observe_job(kind: str, seconds: float, *, video_seconds: float, frames: int) -> None:
    """Record a video published after `seconds` of work. `kind`: `first`, `cached_avatar` or `repeated`."""
    _job_seconds.labels(kind).observe(seconds)
    _frames.inc(frames)
    _video_seconds.inc(video_seconds)
    if seconds > 0:
        _real_time_factor.observe(video_seconds / seconds)


def observe_first_bytes(seconds: float) -> None:
    """Record the time from the start of a job to the first bytes of its stream."""
    _first_bytes.observe(seconds)


def observe_stage(stage: str, seconds: float) -> None:
    """Record the duration of a stage (of the engine, or `speech_features`, `drive`, `render`, `encode`)."""
    _stage_seconds.labels(stage).observe(seconds)


def observe_stages(seconds: Mapping[str, float]) -> None:
    """Record several stages, as listed in a report."""
    for stage, duration in seconds.items():
        observe_stage(stage, duration)


def avatar_prepared(outcome: str, seconds: float) -> None:
    """Record that the preparation of an uploaded avatar ended, `ready` or `failed`."""
    _preparations.labels(outcome).inc()
    _preparation_seconds.observe(seconds)


def job_requeued(reason: str) -> None:
    """Count a job that went back into the queue.

    The reasons are `child_lost` (its process died), `lease` (its worker died), `forgotten` (its message was
    lost) and `handed_back` (its worker was shut down).
    """
    _requeued.labels(reason).inc()


def cache_request(kind: str, hit: bool) -> None:
    """Count a cache lookup of an artefact of this kind."""
    _cache.labels(kind, "hit" if hit else "miss").inc()


def inference_batch(videos: int, frames: int) -> None:
    """Record a batch of frames that an inference server drew for a number of videos."""
    _batches.labels(str(videos) if videos < _MANY_VIDEOS else f"{_MANY_VIDEOS}+").inc()
    _batch_frames.inc(frames)


def callback(result: str) -> None:
    """Count a callback: `delivered`, `refused` by its receiver (and to be retried) or `given_up`."""
    _callbacks.labels(result).inc()


def artefact_removed(kind: str, reason: str) -> None:
    """Count a removed file. `kind` is the store's folder, `reason` is `age` or `size`."""
    _removed.labels(kind, reason).inc()


def render(*more: Collector) -> bytes:
    """Prometheus text with the metrics of every process in the folder, and the current ones of `more`."""
    return generate_latest(_everything(*more))


def serve(host: str, port: int, *more: Collector) -> WSGIServer:
    """Serve `GET /metrics` on a separate port from a thread, for processes without an HTTP server.

    Call `shutdown` and `server_close` of the result to end it. Raises `OSError` if the port is taken.
    """
    server, _thread = start_http_server(port, host, _everything(*more))
    return server


def _everything(*more: Collector) -> CollectorRegistry:
    registry = CollectorRegistry()
    try:
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # it has no types
    except ValueError:  # no shared folder, so only this process is reported
        registry.register(REGISTRY)
    for collector in more:
        registry.register(collector)
    return registry
