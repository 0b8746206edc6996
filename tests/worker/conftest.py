"""A queue server, emptied for each test."""

from tests.support.state import queue

__all__ = ["queue"]
