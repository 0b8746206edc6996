"""The running API: the real application behind a real HTTP server, with real stores and simulated workers."""

from __future__ import annotations

import hashlib
import io
import threading
import time
import wave
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import uvicorn
from fastapi import FastAPI
from PIL import Image
from tests.support.jobs import CARD, OUTCOME, Tickets

from sadtalker_service.api.app import create_app
from sadtalker_service.api.http_protocol import ConnectionLimits, GuardedProtocol, connection_limits
from sadtalker_service.api.services import Services
from sadtalker_service.domain import Artefact, PreprocessMode, Progress, VideoResult
from sadtalker_service.settings import Settings
from sadtalker_service.state.records import Failure, Session, WorkerFacts
from sadtalker_service.store.artefact_store import video_name
from sadtalker_service.store.keys import avatar_keys

VIDEO = b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 40
"""Bytes in place of a video, for code that only transports them."""


@lru_cache
def image_bytes(seed: int = 0, size: tuple[int, int] = (64, 48), kind: str = "PNG") -> bytes:
    """A small image, different for each seed."""
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


@lru_cache
def audio_bytes(seed: int = 0, seconds: float = 0.5) -> bytes:
    """A WAV file, different for each seed."""
    samples = np.random.default_rng(seed).integers(-9000, 9000, int(16_000 * seconds), np.int16)
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(16_000)
        out.writeframes(samples.tobytes())
    return file.getvalue()


@dataclass
class RunningApi:
    """A running API with access to everything behind it."""

    url: str
    app: FastAPI
    tickets: Tickets = field(default_factory=Tickets)

    @property
    def services(self) -> Services:
        """The services that the routes call."""
        services: Services = self.app.state.services
        return services

    def client(self, **options: Any) -> httpx.Client:
        """An HTTP client."""
        return httpx.Client(base_url=self.url, timeout=20, **options)

    def upload(self, client: httpx.Client, image: bytes = b"", **fields: str) -> dict[str, Any]:
        """Upload a source image."""
        files = {"image_file": ("me.png", image or image_bytes(), "image/png")}
        answer = client.post("/api/avatar/upload", files=files, data=fields)
        assert answer.status_code in {200, 202}, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def generate(
        self,
        client: httpx.Client,
        image_id: str,
        sound: bytes = b"",
        lane: str = "vip",
        headers: Mapping[str, str] | None = None,
        **fields: str,
    ) -> httpx.Response:
        """Request a video."""
        files = {"audio_file": ("a.wav", sound or audio_bytes(), "audio/wav")}
        data = {"image_id": image_id, "enhancer": "none", **fields}
        return client.post(f"/api/{lane}/generate", data=data, files=files, headers=headers)

    def accepted(self, client: httpx.Client, sound: bytes = b"", lane: str = "vip", **fields: str) -> str:
        """Id of an accepted session for the source image `image_bytes()`."""
        answer = self.generate(client, self.upload(client)["image_id"], sound, lane, **fields)
        assert answer.status_code == 202, answer.text
        session_id: str = answer.json()["session_id"]
        return session_id

    # ---- simulated worker

    def work(self) -> None:
        """Register a worker with the engine of `CARD`."""
        self.services.engines.publish(CARD, default=True)
        self.services.workers.beat("w1", WorkerFacts(("vip", "normal"), CARD.name, "idle"))

    def prepare(
        self,
        image_id: str,
        mode: PreprocessMode = "full",
        faces: tuple[tuple[float, float, float, float], ...] = (),
        warnings: tuple[str, ...] = (),
        face_index: int = 0,
    ) -> None:
        """Mark an avatar as ready."""
        keys = avatar_keys(CARD.stages, image_id, mode, CARD.name, CARD.version, face_index)
        for stage in ("face_detection", "face_mesh"):
            self.services.cache.put(keys[stage], Artefact({"points": np.zeros(3, np.float32)}), 60)
        self.services.avatars.ready(
            image_id,
            mode,
            stages=("face_detection", "face_mesh"),
            seconds={"face_detection": 0.02, "face_mesh": 0.1},
            face_box=(10.0, 8.0, 40.0, 38.0),
            face_score=0.93,
            faces=faces,
            warnings=warnings,
            face_index=face_index,
        )

    def refuse(self, image_id: str, mode: PreprocessMode = "full") -> None:
        """Mark an avatar as failed."""
        failure = Failure("no_face_found", "No face was found in the source image.", param="source_image")
        self.services.avatars.failed(image_id, mode, failure)

    def begin(self, session_id: str) -> Session:
        """Start the session's job like a worker."""
        session = self.services.sessions.begin(session_id, "w1")
        assert session is not None
        return session

    def move(self, session: Session, frame: int) -> None:
        """Report that `frame` of 50 frames are rendered."""
        moment = Progress("render", frame, 50, 100.0, (50 - frame) / 100)
        assert self.services.sessions.move(session.session_id, session.attempt, moment)

    def finish(self, session: Session, video: bytes = VIDEO, outcome: VideoResult = OUTCOME) -> None:
        """Publish the video."""
        self.services.artefacts.put_bytes(video, video_name(session.result_key))
        outcome = replace(outcome, size_bytes=len(video))
        assert self.services.sessions.finish(session.session_id, session.attempt, outcome)

    def make(self, session_id: str, video: bytes = VIDEO, outcome: VideoResult = OUTCOME) -> Session:
        """Run the whole job."""
        session = self.begin(session_id)
        self.finish(session, video, outcome)
        return session

    def fail(self, session: Session) -> None:
        """End the job with an error."""
        failure = Failure("time_limit_exceeded", "The video took longer than its time limit.", retryable=True)
        assert self.services.sessions.fail(session.session_id, session.attempt, failure)

    # ---- what remains in the stores

    def kept(self) -> set[str]:
        """Names in the artefact store."""
        return {entry.name for entry in self.services.artefacts.entries("")}

    def unfinished(self) -> list[Path]:
        """Files left behind by uploads."""
        return list(self.services.uploads.iterdir())

    def known_sessions(self) -> set[bytes]:
        """Keys of sessions on the queue server."""
        keys: Any = self.services.queue.keys("session:*")
        return set(keys)


@contextmanager
def running_api(
    settings: Settings, limits: ConnectionLimits | None = None, **options: Any
) -> Iterator[RunningApi]:
    """Context manager that runs the API of `settings` in a thread."""
    tickets = Tickets()
    app = create_app(settings, dispatch=tickets, **options)
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=0,
        log_config=None,
        access_log=False,
        ws="none",
        http=partial(GuardedProtocol, limits=limits or connection_limits(settings)),  # type: ignore[arg-type]
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until = time.monotonic() + 120
    while not server.started:
        assert thread.is_alive(), "the API did not start"
        assert time.monotonic() < until
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield RunningApi(f"http://127.0.0.1:{port}", app, tickets)
    finally:
        server.should_exit = server.force_exit = True
        thread.join(30)
        assert not thread.is_alive()


def sha256(data: bytes) -> str:
    """SHA-256 of bytes, as used in ids."""
    return hashlib.sha256(data).hexdigest()
