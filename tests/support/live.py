"""A client of live sessions, as a program would be."""

from __future__ import annotations

import base64
import io
import json
import time
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import av
import httpx
import numpy as np
from numpy.typing import NDArray
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

EXAMPLES = Path(__file__).parents[2] / "examples"
ENOUGH = 60.0
"""Seconds; more than any step takes on a busy machine."""

Event = dict[str, Any]


def upload(client: httpx.Client) -> str:
    """Id of the example's source image, with its avatar ready."""
    files = {"image_file": (EXAMPLES / "portrait.jpg").read_bytes()}
    answer = client.post("/api/avatar/upload", files=files, data={"preprocess_mode": "crop"})
    image_id = str(answer.json()["image_id"])
    status = client.get(f"/api/avatar/status/{image_id}?preprocess_mode=crop&wait=60").json()
    assert status["status"] == "ready", status
    return image_id


def start(client: httpx.Client, image_id: str, **fields: Any) -> Event:
    """Start a session."""
    body = {"image_id": image_id, "preprocess_mode": "crop", "size": 128, **fields}
    answer = client.post("/api/live", json=body)
    assert answer.status_code == 201, answer.text
    record: Event = answer.json()
    return record


def speech(seconds: float, begin: float = 0.5) -> tuple[bytes, int]:
    """PCM16 of the example's recording, and its rate."""
    with wave.open(str(EXAMPLES / "speech.wav")) as file:
        rate = file.getframerate()
        file.setpos(round(begin * rate))
        return file.readframes(round(seconds * rate)), rate


class LiveClient:
    """An open session. It collects what comes."""

    def __init__(self, url: str, record: Event) -> None:
        """`url` of the service, `record` from `start`. Its link may lead elsewhere."""
        link = record["links"]["websocket"]
        self.address = link if link.startswith("ws") else url.replace("http", "ws", 1) + link
        self.events: list[Event] = []
        self.video = bytearray()
        """Everything since the beginning: the initialisation segment, and fragments."""
        self.binary = 0
        """Number of binary messages."""
        self.closed: tuple[int, str] | None = None
        """Code and reason of the end."""
        self._opening = connect(
            self.address, max_size=None, compression=None, open_timeout=ENOUGH, close_timeout=1
        )
        self.connection: ClientConnection

    def __enter__(self) -> Self:
        self.connection = self._opening.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def send(self, kind: str, **fields: Any) -> None:
        """Send an event."""
        self.connection.send(json.dumps({"type": kind, **fields}))

    def speak(self, pcm: bytes, rate: int, event_id: str = "", *, end: bool = True) -> None:
        """Send sound at once."""
        self.send("agent.speak", audio=base64.b64encode(pcm).decode(), sample_rate=rate, event_id=event_id)
        if end:
            self.send("agent.speak_end", event_id=event_id)

    def read_until(self, wanted: Callable[[], bool], what: str, seconds: float = ENOUGH) -> None:
        """Read until `wanted`, or fail. The end of the connection is an end of reading too."""
        until = time.monotonic() + seconds
        while not wanted():
            left = until - time.monotonic()
            assert left > 0, f"{what} did not happen: {self.events[-5:]}"
            try:
                message = self.connection.recv(timeout=left)
            except ConnectionClosed as end:
                self.closed = (end.rcvd.code, end.rcvd.reason) if end.rcvd else (1006, "")
                assert wanted(), f"{what} did not happen before {self.closed}: {self.events[-5:]}"
                return
            except TimeoutError:
                continue
            if isinstance(message, str):
                self.events.append(json.loads(message))
            else:
                self.video += message
                self.binary += 1

    def event(self, kind: str, seconds: float = ENOUGH, **fields: Any) -> Event:
        """The first event of this type with these fields; waits for it."""

        def found() -> list[Event]:
            return [
                e
                for e in self.events
                if e["type"] == kind and all(e.get(name) == value for name, value in fields.items())
            ]

        self.read_until(lambda: bool(found()), f"{kind} {fields}", seconds)
        return found()[0]

    def error(self, code: str) -> Event:
        """The error with this code; waits for it."""

        def found() -> list[Event]:
            return [e["error"] for e in self.events if e["type"] == "error" and e["error"]["code"] == code]

        self.read_until(lambda: bool(found()), f"the error {code}")
        return found()[0]

    def connected(self) -> Event:
        """Wait until the picture begins."""
        record = self.event("session.state_updated", state="connected")
        self.read_until(lambda: self.binary > 2, "a picture")
        return record

    def wait_closed(self) -> Event:
        """Wait for the end, and return the last state."""
        self.read_until(lambda: self.closed is not None, "the end")
        return self.event("session.state_updated", state="closed")


def decoded(video: bytes) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Pictures (n, H, W) in grey, and sound (m,) at 48 kHz, of a fragmented mp4."""
    with av.open(io.BytesIO(video)) as file:
        pictures = np.stack([frame.to_ndarray(format="gray") for frame in file.decode(video=0)])
    with av.open(io.BytesIO(video)) as file:
        sound = np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])
    return pictures, sound.astype(np.float32)
