"""The `wait` parameter of routes that support long polling."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

MOST_WAIT_SECONDS = 60.0
"""Proxies close a connection that stays silent for longer."""

WaitQuery = Annotated[
    float,
    Query(
        ge=0,
        le=MOST_WAIT_SECONDS,
        description="Wait up to this many seconds for the work to end, then return the current state.",
    ),
]
