"""A source image, driven audio, and a fast engine with predictable output."""

from __future__ import annotations

import hashlib
import sys
import wave
from pathlib import Path

import numpy as np
import pytest

from sadtalker_service.domain import SourceImage, Speech
from sadtalker_service.engines.port import Engine
from sadtalker_service.engines.registry import load_engine
from sadtalker_service.media.audio import decode_speech

SUPPORT = Path(__file__).parents[1] / "support"


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    monkeypatch.syspath_prepend(str(SUPPORT))
    monkeypatch.delitem(sys.modules, "pattern_engine", raising=False)
    return load_engine("pattern")


@pytest.fixture
def sketch(monkeypatch: pytest.MonkeyPatch) -> Engine:
    """An engine with two sizes, reference videos and enhancers."""
    monkeypatch.syspath_prepend(str(SUPPORT))
    monkeypatch.delitem(sys.modules, "pattern_engine", raising=False)
    return load_engine("sketch")


@pytest.fixture
def source_image() -> SourceImage:
    pixels = np.random.default_rng(1).integers(20, 250, (96, 128, 3), dtype=np.uint8)
    return SourceImage(hashlib.sha256(pixels).hexdigest(), pixels)


@pytest.fixture
def speech(tmp_path_factory: pytest.TempPathFactory) -> Speech:
    """Two seconds: silence, a tone from 0.5 s to 1.0 s, silence."""
    rate = 44_100
    time = np.arange(2 * rate) / rate
    tone = 0.5 * np.sin(2 * np.pi * 440 * time) * ((time >= 0.5) & (time < 1.0))
    path = tmp_path_factory.mktemp("speech") / "tone.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((tone * 32_767).astype("<i2").tobytes())
    return decode_speech(path, max_bytes=10**7, max_seconds=10)
