"""A queue server that is emptied before each test."""

from tests.support.state import queue

__all__ = ["queue"]
