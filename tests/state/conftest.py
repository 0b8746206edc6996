"""Stores on a real server, and a fixed clock."""

from tests.support.state import clock, queue, sessions

__all__ = ["clock", "queue", "sessions"]
