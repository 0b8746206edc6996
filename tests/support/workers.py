"""Real workers for tests, in their own processes, with the pattern engine and real servers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path

import numpy as np
from tests.support.servers import StoreServer

from sadtalker_service.domain import PreprocessMode, SoundReading
from sadtalker_service.jobs.celery_app import make_app
from sadtalker_service.jobs.dispatch import CeleryDispatch
from sadtalker_service.jobs.janitor import run_janitor
from sadtalker_service.media.image import encode_png
from sadtalker_service.options import RenderOptions
from sadtalker_service.settings import Settings
from sadtalker_service.state.avatars import AvatarStore
from sadtalker_service.state.records import AvatarRecord, AvatarState, Lane, Session, SessionState, VideoSpec
from sadtalker_service.state.registry import EngineRegistry, WorkerRegistry
from sadtalker_service.state.result_key import result_key
from sadtalker_service.state.sessions import SessionStore
from sadtalker_service.store.artefact_store import ArtefactStore, artefact_url, source_image_name, speech_name
from sadtalker_service.store.connections import connect, store_urls

SUPPORT = Path(__file__).parent
EXAMPLES = SUPPORT.parents[1] / "examples"
LEASE_SECONDS = 3.0
"""Short, so that tests do not wait long for a lost worker."""


class WorkerProcess:
    """A worker, started as a user would start it."""

    def __init__(self, settings: Settings, queues: str, name: str, log: Path, engine: str) -> None:
        self.name = name
        self.started_at = time.time()
        self._log = log
        given = {name.upper(): str(getattr(settings, name)) for name in settings.model_fields_set}
        environment = {**os.environ, **given, "PYTHONPATH": str(SUPPORT), "ENGINE": engine}
        command = [sys.executable, "-m", "sadtalker_service", "worker", "--queues", queues, "--name", name]
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                command, env=environment, stdout=file, stderr=file, start_new_session=True
            )

    @property
    def child(self) -> int:
        """Process id of the child with the engine."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        (child,) = map(int, children)
        return child

    @property
    def log(self) -> str:
        """Its output."""
        return self._log.read_text()

    def kill(self) -> None:
        """`kill -9` the parent. The child dies with it."""
        self.process.kill()
        self.process.wait(60)

    def kill_child(self) -> None:
        """`kill -9` only the child."""
        os.kill(self.child, signal.SIGKILL)

    def stop(self, seconds: float = 120.0) -> int:
        """Send SIGTERM and return the exit code."""
        self.process.terminate()
        return self.process.wait(seconds)


class Cluster:
    """Stores, workers and a janitor, with short methods for the video service."""

    def __init__(self, queue: StoreServer, cache: StoreServer, folder: Path, **changes: object) -> None:
        self.folder = folder
        values = {
            "data_dir": folder / "data",
            "redis_url": cache.url,
            "queue_url": queue.url,
            "lease_seconds": LEASE_SECONDS,
            **changes,
        }
        self.settings = Settings(_env_file=None, **values)  # type: ignore[arg-type]
        self.queue = connect(store_urls(self.settings).queue)
        self.cache = connect(store_urls(self.settings).cache)
        self.sessions = SessionStore(self.queue, self.settings)
        self.avatars = AvatarStore(self.queue)
        self.engines = EngineRegistry(self.queue)
        self.registry = WorkerRegistry(self.queue)
        self.artefacts = ArtefactStore(artefact_url(self.settings))
        self.dispatch = CeleryDispatch(make_app(self.settings), self.settings)
        self._workers: list[WorkerProcess] = []

    # ---------------------------------------------------------------- workers

    def worker(
        self, queues: str = "vip,normal", name: str = "render", *, engine: str = "pattern", warm: bool = True
    ) -> WorkerProcess:
        """Start a worker. If `warm`, wait until it is ready for work."""
        worker = WorkerProcess(self.settings, queues, name, self.folder / f"{name}.log", engine)
        self._workers.append(worker)
        if warm:
            self.wait_until_warm(name)
        return worker

    def wait_until_warm(self, *names: str) -> None:
        """Wait until the workers last started under these names are ready for work."""
        for name in names:
            worker = next(worker for worker in reversed(self._workers) if worker.name == name)
            wait_for(partial(self._is_warm, worker), f"{name} is warm", 180, self.logs)

    def ensure(self, queues: str, name: str, engine: str = "pattern") -> WorkerProcess:
        """The worker of this name, started if necessary."""
        for worker in self._workers:
            if worker.name == name and worker.process.poll() is None:
                return worker
        return self.worker(queues, name, engine=engine)

    def _is_warm(self, worker: WorkerProcess) -> bool:
        return any(
            name.startswith(f"{worker.name}@")
            and facts.engine
            and facts.state == "idle"
            and facts.seen_at > worker.started_at
            for name, facts in self.registry.live().items()
        )

    @contextmanager
    def janitor(self) -> Iterator[None]:
        """Context manager that runs a janitor, as in the API's process."""
        stop = threading.Event()
        thread = threading.Thread(target=run_janitor, args=(self.settings, stop), daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(30)

    def close(self) -> None:
        """Kill the processes that still run."""
        for worker in self._workers:
            if worker.process.poll() is None:
                worker.kill()
        self.queue.close()
        self.cache.close()

    # ---------------------------------------------------------------- requests

    def source_image(
        self, seed: int = 1, *, brightest: int = 250, corner: tuple[int, int, int] | None = None
    ) -> str:
        """Upload an image of noise and return its image id. No worker is told to prepare it."""
        pixels = np.random.default_rng(seed).integers(brightest // 2, brightest, (96, 128, 3), dtype=np.uint8)
        if corner:
            pixels[0, 0] = corner
        return self.upload_image(encode_png(pixels))

    def real_source_image(self) -> str:
        """Upload the example source image and return its image id."""
        return self.upload_image((EXAMPLES / "portrait.jpg").read_bytes(), "crop")

    def upload_image(self, data: bytes, mode: PreprocessMode = "full") -> str:
        """Upload an image file and return its image id."""
        image_id, now = sha256(data).hexdigest(), time.time()
        self.artefacts.put_bytes(data, source_image_name(image_id))
        record = AvatarRecord(image_id, mode, "processing", now, now, 128, 96, len(data), "image/png")
        self.avatars.add(record)
        return image_id

    def speech(self, seconds: float = 1.0, pitch: float = 440.0) -> str:
        """Upload a tone and return its audio id."""
        rate = 16_000
        time_axis = np.arange(round(seconds * rate)) / rate
        tone = (0.3 * np.sin(2 * np.pi * pitch * time_axis) * 32_767).astype("<i2")
        path = self.folder / f"{uuid.uuid4()}.wav"
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(rate)
            file.writeframes(tone.tobytes())
        data = path.read_bytes()
        path.unlink()
        audio_id = sha256(data).hexdigest()
        self.artefacts.put_bytes(data, speech_name(audio_id))
        return audio_id

    def real_speech(self) -> str:
        """Upload the example audio and return its audio id."""
        data = (EXAMPLES / "speech.wav").read_bytes()
        audio_id = sha256(data).hexdigest()
        self.artefacts.put_bytes(data, speech_name(audio_id))
        return audio_id

    def request(
        self,
        image_id: str,
        audio_id: str,
        style: RenderOptions | None = None,
        *,
        lane: Lane = "standard",
        seconds: float = 1.0,
        callback_url: str | None = None,
        send: bool = True,
    ) -> str:
        """Request a video and return its session id. Without `send`, its message to the broker is lost."""
        card = self.engines.card()
        options = style or RenderOptions()
        spec = VideoSpec(
            image_id, audio_id, options, card.name, card.version, seconds, audio_reading=SoundReading()
        )
        session = Session(
            str(uuid.uuid4()), lane, spec, result_key(spec), time.time(), callback_url=callback_url
        )
        accepted = self.sessions.accept(session)
        if send and accepted.state == "queued" and accepted.leader is None:
            self.dispatch.generate(accepted)
        return accepted.session_id

    def wait(self, session_id: str, *states: SessionState, seconds: float = 120.0) -> Session:
        """Wait until the session is in one of these states."""
        wait_for(lambda: self.session(session_id).state in states, f"session {states}", seconds, self.logs)
        return self.session(session_id)

    def wait_for_frame(self, session_id: str, frame: int = 1) -> Session:
        """Wait until this many frames of the session are rendered."""
        wait_for(
            lambda: (moment := self.session(session_id).moment) is not None and moment.frame >= frame,
            "frames",
            120,
            self.logs,
        )
        return self.session(session_id)

    def wait_for_avatar(self, image_id: str, state: AvatarState) -> AvatarRecord:
        """Wait until the avatar, in mode `full`, is in this state."""
        wait_for(lambda: self.avatar(image_id).state == state, f"avatar {state}", 120, self.logs)
        return self.avatar(image_id)

    def avatar(self, image_id: str) -> AvatarRecord:
        """The current avatar record, in mode `full`."""
        found = self.avatars.get(image_id, "full")
        assert found is not None
        return found

    def cached(self, pattern: str) -> list[str]:
        """Keys on the cache server."""
        return sorted(key.decode() for key in self.cache.scan_iter(match=pattern))

    def session(self, session_id: str) -> Session:
        """The current session record."""
        found = self.sessions.get(session_id)
        assert found is not None
        return found

    def videos(self) -> list[str]:
        """Names of all finished videos."""
        return sorted(entry.name for entry in self.artefacts.entries("videos/"))

    def files(self) -> list[Path]:
        """All files in the data folder."""
        return sorted(path for path in self.settings.data_dir.rglob("*") if path.is_file())

    def logs(self) -> str:
        """The logs of all workers."""
        return "\n".join(worker.log for worker in self._workers)


@contextmanager
def open_cluster(
    queue: StoreServer, cache: StoreServer, folder: Path, **changes: object
) -> Iterator[Cluster]:
    """Context manager for a cluster; its workers are killed at the end. `changes` are settings."""
    cluster = Cluster(queue, cache, folder, **changes)
    try:
        yield cluster
    finally:
        cluster.close()


def wait_for(
    condition: Callable[[], bool], what: str, seconds: float = 90.0, logs: Callable[[], str] = str
) -> float:
    """Wait until `condition` is true and return the seconds that it took."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < seconds, f"{what}: not within {seconds} s\n{logs()[-6000:]}"
        time.sleep(0.01)
    return time.monotonic() - start
