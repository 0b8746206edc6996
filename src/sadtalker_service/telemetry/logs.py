"""Structured logs: one event per line with a name and values, in the same form for every process.

Our own events (`structlog.get_logger(__name__).info("session_ready", frames=250)`) and log lines of libraries
(uvicorn, Celery, warnings) share one path: JSON for machines, colours for people. `bound(request_id=...)`
adds its values to every event within its context, also in other modules.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TextIO

import structlog
from structlog.typing import Processor

from sadtalker_service.settings import Settings

TALKATIVE = (
    "celery", "multiprocessing", "kombu", "httpcore", "httpx", "fsspec", "numba", "PIL", "asyncio", "urllib3",
    "websockets",
)  # fmt: skip
"""Libraries whose routine events only repeat ours. Their warnings are kept."""


def configure_logging(settings: Settings, role: str, stream: TextIO | None = None) -> None:
    """Send every event of this process to `stream`, or to standard error if None. Call it once, at the start.

    `role` (`api`, `worker`, `supervisor`) is in every event. Uvicorn needs `log_config=None` and Celery
    `worker_hijack_root_logger=False`, or they install their own handlers.
    """
    stream = stream or sys.stderr
    shared = _shared(role)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_rendering(settings, stream),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(_level(settings, stream))
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    logging.captureWarnings(capture=True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


@contextmanager
def command_logging(settings: Settings) -> Iterator[None]:
    """Context manager in which our events go to standard error, as text for a person who runs a command.

    Only warnings, unless `LOG_LEVEL` says more. Output of the command goes to standard output.
    """
    before = structlog.get_config()
    level = "warning" if settings.log_level == "auto" else settings.log_level
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_log_level,
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            ),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    try:
        yield
    finally:
        structlog.configure(**before)


def bound(**values: object) -> AbstractContextManager[None]:
    """Context manager that adds `values` (`request_id`, `session_id`) to every event. None is left out.

    It applies to the thread or asyncio task that enters it, and to tasks started from there.
    """
    present = {name: value for name, value in values.items() if value is not None}
    return structlog.contextvars.bound_contextvars(**present)


def _shared(role: str) -> list[Processor]:
    """Processors for every event, whatever its source."""

    def add_role(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event.setdefault("role", role)
        return event

    return [
        structlog.contextvars.merge_contextvars,
        add_role,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]


def _level(settings: Settings, stream: TextIO) -> str:
    if settings.log_level != "auto":
        return settings.log_level.upper()
    return "WARNING" if stream.isatty() else "INFO"


def _rendering(settings: Settings, stream: TextIO) -> list[Processor]:
    people = settings.log_format == "console" or (settings.log_format == "auto" and stream.isatty())
    if people:
        # Use plain tracebacks: rich ones print every local variable, including the pixels of a source image.
        plain = structlog.dev.plain_traceback
        return [
            _without_colours,
            structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=plain),
        ]
    return [
        _without_colours,
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(default=str),
    ]


def _without_colours(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Remove the coloured copy that uvicorn adds to its events."""
    event.pop("color_message", None)
    return event
