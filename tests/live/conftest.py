"""An avatar of the example source image, and the example's voice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from sadtalker_service.domain import Avatar
from sadtalker_service.engines.mesh import MeshEngine
from sadtalker_service.live.avatar import LiveAvatar
from sadtalker_service.media.audio import decode_speech
from sadtalker_service.options import RenderOptions
from sadtalker_service.pipeline.pipeline import Pipeline
from sadtalker_service.pipeline.sources import lazy_source_image
from sadtalker_service.store.directory import DirectoryCache

EXAMPLES = Path(__file__).parents[2] / "examples"
OPTIONS = RenderOptions(size=128)


@pytest.fixture(scope="session")
def engine() -> MeshEngine:
    return MeshEngine()


@pytest.fixture(scope="session")
def avatar(engine: MeshEngine, tmp_path_factory: pytest.TempPathFactory) -> Avatar:
    pipeline = Pipeline(engine, DirectoryCache(tmp_path_factory.mktemp("cache"), 10**9))
    image = lazy_source_image(EXAMPLES / "portrait.jpg", engine.settings, pipeline.cache)
    return pipeline.prepare(image, OPTIONS).avatar


@pytest.fixture(scope="session")
def voice() -> NDArray[np.float32]:
    """float32, 16 kHz: ten seconds of speech that begin at once."""
    return decode_speech(EXAMPLES / "speech.wav", max_bytes=10**7, max_seconds=60).samples


class Clock:
    """Time that passes when a test says so."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def live(engine: MeshEngine, avatar: Avatar, clock: Clock) -> Iterator[LiveAvatar]:
    opened = LiveAvatar(engine, avatar, OPTIONS, clock=clock)
    yield opened
    opened.close()


@pytest.fixture
def frames(live: LiveAvatar, clock: Clock) -> Callable:
    """The next n frames, 40 ms apart."""

    def take(count: int, draw: bool = False) -> list:
        found = []
        for _ in range(count):
            clock.now += 0.04
            found.append(live.next_frame(draw=draw))
        return found

    return take
