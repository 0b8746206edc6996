"""Errors of the running service: its servers, workers, engines and disks."""

from __future__ import annotations

from sadtalker_service.errors.base import SadTalkerError


class LaneFull(SadTalkerError):
    """The lane has reached its limit of waiting requests."""

    code = "lane_full"
    status = 429
    retryable = True


class LiveSlotsFull(SadTalkerError):
    """Every slot for live sessions is taken, or the machines are too busy for another one."""

    code = "live_slots_full"
    status = 429
    retryable = True


class LiveUnavailable(SadTalkerError):
    """No live worker is running that could carry the session."""

    code = "live_unavailable"
    status = 503
    retryable = True


class LiveSessionLost(SadTalkerError):
    """The process that carried the live session has ended. A new session continues where it stopped."""

    code = "live_session_lost"
    status = 503
    retryable = True


class NotInstalled(SadTalkerError):
    """An optional package that the request needs is not installed on the server."""

    code = "not_installed"
    status = 501


class Busy(SadTalkerError):
    """As many requests of this kind are being processed as is allowed."""

    code = "busy"
    status = 503
    retryable = True


class StoreUnavailable(SadTalkerError):
    """The queue server does not answer. No request is accepted, and no accepted request is lost."""

    code = "store_unavailable"
    status = 503
    retryable = True


class Draining(SadTalkerError):
    """This instance is shutting down. Another instance, or this one after its restart, accepts requests."""

    code = "draining"
    status = 503
    retryable = True


class StoreMisconfigured(SadTalkerError):
    """A server or setting is misconfigured. This is found at the start, before any work is accepted."""

    code = "store_misconfigured"
    exit_code = 3


class StartFailed(SadTalkerError):
    """A part of the service does not start. The message says which one and why."""

    code = "start_failed"
    exit_code = 3


class WorkerLost(SadTalkerError):
    """The worker died repeatedly while it rendered this video."""

    code = "worker_lost"
    retryable = True


class TimeLimitExceeded(SadTalkerError):
    """Rendering the video took longer than its time limit."""

    code = "time_limit_exceeded"
    retryable = True


class EngineUnavailable(SadTalkerError):
    """The chosen engine is not installed, or its checkpoints are missing."""

    code = "engine_unavailable"
    status = 503
    exit_code = 3
    tells_paths = True


class EngineStarting(EngineUnavailable):
    """The workers are starting, and none has loaded an engine yet."""

    code = "engine_starting"
    retryable = True


class OutputError(SadTalkerError):
    """The file could not be written. The disk is full, a permission or the folder is missing."""

    code = "output_error"
    status = 507
    retryable = True
    exit_code = 4
    tells_paths = True


class MarkingFailed(SadTalkerError):
    """The video could not be marked as synthetic. Its key or certificate is missing, wrong or expired."""

    code = "marking_failed"
    status = 503
    exit_code = 3
    tells_paths = True


class Cancelled(SadTalkerError):
    """The work was cancelled on request."""

    code = "cancelled"
    status = 409
    exit_code = 130
