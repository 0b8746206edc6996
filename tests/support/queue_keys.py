"""The key families on the queue server according to docs/queue-keys.md."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import redis

PAGE = Path(__file__).parents[2] / "docs" / "queue-keys.md"


@cache
def families() -> dict[str, str]:
    """Key, with {names} in it -> type."""
    return dict(re.findall(r"^\| `([^`]+)` \| (\w+) \|", PAGE.read_text(), re.MULTILINE))


def strange_keys(client: redis.Redis) -> list[str]:
    """Keys on the server that belong to no family, or have another type."""
    known = {
        re.compile(re.sub(r"\\{\w+\\}", "[^:]+", re.escape(key))): kind for key, kind in families().items()
    }
    found = [(key.decode(), client.type(key).decode()) for key in client.scan_iter()]
    return [
        f"{key} ({kind})"
        for key, kind in found
        if not any(re.fullmatch(pattern, key) and kind == held for pattern, held in known.items())
    ]
