"""The parameter of routes that can answer later."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

MOST_WAIT_SECONDS = 60.0
"""Proxies close a connection on which nothing comes for longer."""

WaitQuery = Annotated[
    float,
    Query(
        ge=0,
        le=MOST_WAIT_SECONDS,
        description="Answer as soon as the work has ended, or after so many seconds with what is there then.",
    ),
]
