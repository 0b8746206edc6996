"""Recordings that were left behind become videos, as soon as that is possible."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.support.live import decoded
from tests.support.manifests import manifest_of
from tests.support.servers import StoreServer

from sadtalker_service.jobs.stores import Stores
from sadtalker_service.media.live_encoder import LiveEncoder
from sadtalker_service.options import RenderOptions
from sadtalker_service.settings import Settings
from sadtalker_service.state.live_records import LiveSpec, LiveWorker, recording_key
from sadtalker_service.state.records import AvatarRecord
from sadtalker_service.store.artefact_store import video_name
from sadtalker_service.worker.live.recording import FolderLock
from sadtalker_service.worker.live.recordings import Recordings

IMAGE = "ab" * 32
FRAMES = 8


@pytest.fixture
def stores(
    queue_server: StoreServer, cache_server: StoreServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Stores]:
    monkeypatch.setenv("DATA_DIR", str(tmp_path))  # for the child process
    settings = Settings(
        _env_file=None, data_dir=tmp_path, queue_url=queue_server.url, redis_url=cache_server.url
    )
    stores = Stores(settings)
    stores.avatars.add(AvatarRecord(IMAGE, "crop", "ready", 0.0, 0.0, 64, 64, 10, "image/jpeg"), "shop")
    yield stores
    stores.close()


@pytest.fixture
def recordings(stores: Stores) -> Recordings:
    return Recordings(stores.settings, stores, lambda _: "compositeWithTrainedAlgorithmicMedia")


def left_behind(stores: Stores, recordings: Recordings, name: str, *, ended: bool = True) -> Path:
    """A session that was recorded by a process that is dead now."""
    stores.live.beat("one", LiveWorker("unix:///x", 9, 0.0, ("mesh",)))
    spec = LiveSpec(IMAGE, RenderOptions(preprocess="crop"), "mesh", "1", record=True)
    session = stores.live.claim(name, "digest", "shop", spec)
    recording = recordings.open(session)
    assert recording is not None
    encoder = LiveEncoder((64, 48), 25)
    recording.begin(encoder.initialisation)
    for _ in range(FRAMES):
        recording.add(encoder.encode(np.zeros((48, 64, 3), np.uint8), np.zeros(960, np.float32)))
    recording.pause(encoder.close())
    recording.let_go()
    if ended:
        stores.live.end(name, "worker_lost")
    return recording.folder


def status(stores: Stores, name: str) -> str | None:
    session = stores.live.get(name)
    assert session is not None
    return session.saved.status if session.saved else None


def test_what_a_dead_process_left_becomes_a_video(stores: Stores, recordings: Recordings) -> None:
    folder = left_behind(stores, recordings, "one")
    unknown = left_behind(stores, recordings, "unknown")
    stores.queue.delete("live_session:unknown")
    running = left_behind(stores, recordings, "running", ended=False)
    busy = left_behind(stores, recordings, "busy")
    lock = FolderLock(busy)
    assert lock.take()
    recordings.save_all()
    assert status(stores, "one") == "ready"
    assert not folder.exists()
    assert not unknown.exists(), "nobody can ask for it any more"
    assert running.exists(), "its lease has not ended"
    assert busy.exists(), "somebody else works on it"
    lock.release()
    video = stores.sessions.get("one")
    assert video is not None
    assert video.outcome is not None
    assert (video.state, video.outcome.frames, video.lane) == ("ready", FRAMES, "standard")
    with stores.artefacts.open(video_name(recording_key("one"))) as file:
        data = file.read()
    assert len(data) == video.outcome.size_bytes
    assert len(decoded(data)[0]) == FRAMES
    assert manifest_of(data)["validation_state"] == "Valid"


def test_store_that_cannot_be_written_is_tried_again(stores: Stores, recordings: Recordings) -> None:
    folder = left_behind(stores, recordings, "one")
    (stores.settings.data_dir / "artefacts").mkdir()
    blocked = stores.settings.data_dir / "artefacts" / "videos"
    blocked.write_bytes(b"")
    recordings.save_all()
    assert status(stores, "one") is None
    assert folder.exists()
    blocked.unlink()
    recordings.save_all()
    assert status(stores, "one") == "ready"
    assert not folder.exists()


def test_recording_without_a_frame_or_an_avatar_is_lost(stores: Stores, recordings: Recordings) -> None:
    empty = left_behind(stores, recordings, "empty")
    (empty / "000.mp4").write_bytes(bytes(100))
    recordings.save_all()
    assert status(stores, "empty") == "lost"
    deleted = left_behind(stores, recordings, "deleted")
    stores.avatars.delete(IMAGE)
    recordings.save_all()
    assert status(stores, "deleted") == "lost"
    assert not empty.exists()
    assert not deleted.exists()
    assert not stores.artefacts.exists(video_name(recording_key("deleted")))
