"""Metrics of live sessions. They are in the registry of `telemetry.metrics`, and follow its rules."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

from sadtalker_service.telemetry.metrics import REGISTRY

_LATENCIES = (0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1.0, 2.0, 5.0)
"""Seconds. A conversation needs less than 0.3."""

_live_sessions = Counter(
    "sadtalker_live_sessions", "Ended live sessions by reason.", ("reason",), registry=REGISTRY
)
_live_frames = Counter(
    "sadtalker_live_frames",
    "Frames of live sessions by timing (on_time, late).",
    ("timing",),
    registry=REGISTRY,
)
_live_latency = Histogram(
    "sadtalker_live_latency_seconds",
    "Time from the arrival of sound in a live session to the frame that begins to speak it.",
    buckets=_LATENCIES,
    registry=REGISTRY,
)


def session_ended(reason: str) -> None:
    """Count a live session that has ended in a live worker."""
    _live_sessions.labels(reason).inc()


def frames_drawn(on_time: int, late: int) -> None:
    """Count frames of live sessions."""
    _live_frames.labels("on_time").inc(on_time)
    _live_frames.labels("late").inc(late)


def observe_latency(seconds: float) -> None:
    """Record the latency of an utterance."""
    _live_latency.observe(seconds)
