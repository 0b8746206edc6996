"""Stores on a real server, and a clock that stands still."""

from tests.support.state import clock, queue, sessions

__all__ = ["clock", "queue", "sessions"]
