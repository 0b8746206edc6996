"""A client of the service: sync and async, typed, with retries. It needs httpx and nothing of the server.

    from sadtalker_service.client import Client

    with Client("http://127.0.0.1:8000") as client:
        client.make_video("portrait.jpg", "speech.wav", "talking.mp4")

`AsyncClient` has the same methods. docs/client.md is the guide.
"""

from __future__ import annotations

from sadtalker_service.client.async_client import AsyncClient
from sadtalker_service.client.errors import ApiError, ClientError, Unfinished, Unreachable, WorkFailed
from sadtalker_service.client.exchange import Answer
from sadtalker_service.client.forms import VideoOptions
from sadtalker_service.client.records import Avatar, Lane, Problem, Progress, Session
from sadtalker_service.client.retrying import Retries
from sadtalker_service.client.sync_client import Client

__all__ = [
    "Answer",
    "ApiError",
    "AsyncClient",
    "Avatar",
    "Client",
    "ClientError",
    "Lane",
    "Problem",
    "Progress",
    "Retries",
    "Session",
    "Unfinished",
    "Unreachable",
    "VideoOptions",
    "WorkFailed",
]
