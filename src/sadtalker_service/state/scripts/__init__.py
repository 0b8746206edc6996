"""Lua scripts that change the queue's server, one per change; `common.lua` is put in front of each.

A script runs alone on the server: what it does is done whole or not at all, whatever else happens at the
same time. All of them look keys up by name, none walks through the key space. They make up names of keys,
which a cluster would not allow: queue and sessions live on one server.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files


@lru_cache
def source(name: str) -> str:
    """Text of the script called `name`, the common functions before it."""
    folder = files(__name__)
    return "".join((folder / f"{part}.lua").read_text(encoding="utf-8") for part in ("common", name))
