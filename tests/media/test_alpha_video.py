"""Transparent videos, decoded again."""

from __future__ import annotations

import wave
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from sadtalker_service.domain import Rendering
from sadtalker_service.media.audio import stream_sound
from sadtalker_service.media.video import write_video

FRAMES = 25


def rendering() -> Rendering:
    """A second: left half transparent, right half orange; a disc of growing opacity in the box."""
    background = np.zeros((96, 128, 4), np.uint8)
    background[...] = (230, 120, 30, 0)
    background[:, 64:, 3] = 255
    batches = (np.full((5, 32, 32, 4), (30, 60, 200, 50 * n), np.uint8) for n in range(5))
    return Rendering(background, (16, 32, 48, 64), 25, FRAMES, batches)


@pytest.fixture(scope="module")
def beep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of 44.1 kHz: silence, then a tone from 0.5 s on."""
    path = tmp_path_factory.mktemp("beep") / "beep.wav"
    time = np.arange(44_100) / 44_100
    tone = np.where(time >= 0.5, 0.5 * np.sin(2 * np.pi * 440 * time), 0.0)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 44_100, 0, "NONE", ""))
        file.writeframes((tone * 32_767).astype("<i2").tobytes())
    return path


def decoded(path: Path) -> NDArray[np.uint8]:
    """RGBA frames. FFmpeg's own decoder of VP9 leaves alpha out."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        if path.suffix == ".mov":
            return np.array([frame.to_ndarray(format="rgba") for frame in container.decode(stream)])
        decoder = av.CodecContext.create("libvpx-vp9", "r")
        packets = [*container.demux(stream)]
        frames = [frame for packet in packets for frame in decoder.decode(packet)]
        return np.array([frame.to_ndarray(format="rgba") for frame in frames])


@pytest.mark.parametrize("suffix", [".webm", ".mov"])
def test_opacity_and_colours_come_back(tmp_path: Path, beep: Path, suffix: str) -> None:
    path = tmp_path / f"v{suffix}"
    made = write_video(
        rendering(), path, sound=stream_sound(beep, None), quality="high", tags={"comment": "made"}
    )
    assert made.frames == FRAMES
    frames = decoded(path).astype(int)
    assert len(frames) == FRAMES
    assert frames[:, 5:25, 5:55, 3].max() <= 3
    assert frames[:, 10:90, 74:120, 3].min() >= 252
    assert np.abs(frames[:, 10:90, 74:120, :3] - (230, 120, 30)).max() <= 12
    for n in range(5):
        assert np.abs(frames[5 * n + 4, 40:56, 24:40, 3].mean() - 50 * n) <= 6
    with av.open(str(path)) as container:
        assert {key.lower(): text for key, text in container.metadata.items()}["comment"] == "made"


@pytest.mark.parametrize("suffix", [".webm", ".mov"])
def test_sound_begins_with_the_picture(tmp_path: Path, beep: Path, suffix: str) -> None:
    path = tmp_path / f"v{suffix}"
    write_video(rendering(), path, sound=stream_sound(beep, None))
    with av.open(str(path)) as container:
        audio = container.streams.audio[0]
        pieces = [(float(f.pts * f.time_base), f.to_ndarray()) for f in container.decode(audio)]
        rate = audio.rate
    samples = np.concatenate([p.mean(axis=0) for _, p in pieces]).astype(float)
    loud = np.abs(samples) > 0.3 * np.abs(samples).max()
    assert np.argmax(loud) / rate + pieces[0][0] == pytest.approx(0.5, abs=0.02)
    assert len(samples) / rate == pytest.approx(1.0, abs=0.06)
