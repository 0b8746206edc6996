"""Lua scripts that change the queue server, one per change. The shared files are put in front of each.

A script runs alone on the server, so its changes are atomic. Scripts look up keys by name and never scan the
key space. They compute names of keys, which a cluster would not allow, so queue and sessions must be on one
server.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files

_SHARED = ("common", "transitions")
_OF_LIVE = ("common", "live")
"""In front of the scripts of live sessions, whose names begin with `live_`."""


@lru_cache
def source(name: str) -> str:
    """Text of the script `name`, after the shared functions."""
    folder = files(__name__)
    shared = _OF_LIVE if name.startswith("live_") else _SHARED
    return "".join((folder / f"{part}.lua").read_text(encoding="utf-8") for part in (*shared, name))
