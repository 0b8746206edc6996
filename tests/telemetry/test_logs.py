"""Every event is one line that a machine can read, whoever wrote it."""

from __future__ import annotations

import json
import logging
import os
import pty
import subprocess
import sys
import warnings
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
import structlog

from sadtalker_service.settings import Settings
from sadtalker_service.telemetry.logs import bound, configure_logging


@pytest.fixture
def stream() -> Iterator[StringIO]:
    """Where events go; what the process had set up before comes back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield StringIO()
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def events(stream: StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def configure(stream: StringIO, **settings: Any) -> None:
    configure_logging(Settings(log_format="json", **settings), "worker", stream)


def test_our_events_carry_name_values_level_time_role_and_logger(stream: StringIO) -> None:
    configure(stream)
    structlog.get_logger("sadtalker_service.jobs").info("session_ready", frames=250, seconds=1.5)
    (event,) = events(stream)
    timestamp = event.pop("timestamp")
    assert timestamp.endswith("Z")
    assert event == {
        "event": "session_ready",
        "frames": 250,
        "seconds": 1.5,
        "level": "info",
        "logger": "sadtalker_service.jobs",
        "role": "worker",
    }


def test_lines_of_libraries_become_events_too(stream: StringIO) -> None:
    configure(stream)
    twice = {"color_message": "Invalid request from \x1b[1m%s"}
    logging.getLogger("uvicorn.error").warning("Invalid request from %s", "a client", extra=twice)
    warnings.warn("something is old", stacklevel=1)
    first, second = events(stream)
    assert (first["event"], first["level"], first["logger"]) == (
        "Invalid request from a client",
        "warning",
        "uvicorn.error",
    )
    assert "color_message" not in first
    assert "something is old" in second["event"]
    assert first["role"] == second["role"] == "worker"


def test_what_is_bound_stands_in_every_event_of_the_block(stream: StringIO) -> None:
    configure(stream)
    with bound(request_id="r-1", session_id=None):
        with bound(session_id="s-1"):
            logging.getLogger("celery").warning("inside")
        structlog.get_logger().info("outside")
    structlog.get_logger().info("after")
    inside, outside, after = events(stream)
    assert (inside["request_id"], inside["session_id"]) == ("r-1", "s-1")
    assert outside["request_id"] == "r-1"
    assert "session_id" not in outside
    assert "request_id" not in after


def divide(pixels: str) -> float:
    return 1 / (len(pixels) - 30)


def test_errors_take_one_line_with_the_traceback_and_no_variables(stream: StringIO) -> None:
    configure(stream)
    pixels = "thirty letters of a photograph"
    try:
        divide(pixels)
    except ZeroDivisionError:
        structlog.get_logger().exception("job_failed", error=object())
    (event,) = events(stream)
    assert "ZeroDivisionError" in event["exception"]
    assert "in divide" in event["exception"]
    assert pixels not in event["exception"]


def test_less_important_events_than_asked_for_are_left_out(stream: StringIO) -> None:
    configure(stream, log_level="warning")
    structlog.get_logger().info("too_much")
    logging.getLogger("celery").info("too much")
    structlog.get_logger().warning("enough")
    assert [event["event"] for event in events(stream)] == ["enough"]


def test_everyday_events_of_talkative_libraries_are_left_out(stream: StringIO) -> None:
    configure(stream, log_level="debug")
    logging.getLogger("httpx").info("HTTP Request: GET ...")
    logging.getLogger("httpx").warning("trouble")
    assert [event["event"] for event in events(stream)] == ["trouble"]


def test_people_get_text_with_colours_and_machines_get_json() -> None:
    program = (
        "import structlog; from sadtalker_service.settings import Settings;"
        "from sadtalker_service.telemetry.logs import configure_logging;"
        "configure_logging(Settings(), 'api'); structlog.get_logger().info('started', port=1)"
    )
    piped = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert json.loads(piped.stderr)["event"] == "started"
    seen = at_terminal(program, LOG_LEVEL="info")
    assert "started" in seen
    assert "\x1b[" in seen
    assert not seen.startswith("{")


def test_people_are_told_of_warnings_only_and_never_of_a_library_twice() -> None:
    program = (
        "import logging, structlog; from sadtalker_service.settings import Settings;"
        "from sadtalker_service.telemetry.logs import configure_logging;"
        "configure_logging(Settings(), 'api'); structlog.get_logger().info('started', port=1);"
        "structlog.get_logger().warning('store_error');"
        "uvicorn = logging.getLogger('uvicorn.error');"
        "uvicorn.info('Started server process [%d]', 7, extra={'color_message': 'Started [%d]'});"
        "uvicorn.warning('Slow [%d]', 8, extra={'color_message': 'Slow in colours [%d]'})"
    )
    quiet, talkative = at_terminal(program), at_terminal(program, LOG_LEVEL="info")
    assert "store_error" in quiet
    assert "Slow [8]" in quiet
    assert "started" not in quiet.lower()
    assert "Started server process [7]" in talkative
    for seen in (quiet, talkative):
        assert "color_message" not in seen
        assert "%d" not in seen


def at_terminal(program: str, **env: str) -> str:
    """What `program` writes to standard error where that is a terminal."""
    ours, theirs = pty.openpty()
    subprocess.run([sys.executable, "-c", program], stderr=theirs, check=True, env={**os.environ, **env})
    os.close(theirs)
    seen = os.read(ours, 10_000).decode()
    os.close(ours)
    return seen
