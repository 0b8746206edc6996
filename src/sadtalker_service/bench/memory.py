"""Measure the peak memory of the command for a short and a long video."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sadtalker_service.media.audio import open_speech
from sadtalker_service.settings import Settings


@dataclass(frozen=True)
class MemoryUse:
    """Peak resident memory of one run of the command."""

    video_seconds: int
    peak_bytes: int


def measure_memory(source_image: Path, driven_audio: Path, seconds: tuple[int, ...]) -> list[MemoryUse]:
    """Run `sadtalker generate` with the driven audio repeated to each of these lengths."""
    with tempfile.TemporaryDirectory(prefix="sadtalker-bench-") as name:
        folder = Path(name)
        return [
            MemoryUse(s, _peak(source_image, _repeated(driven_audio, s, folder), folder)) for s in seconds
        ]


def _peak(source_image: Path, speech: Path, folder: Path) -> int:
    program = [sys.executable, "-m", "sadtalker_service", "generate", "--engine", "mesh", "--no_cache"]
    files = ["--source_image", source_image, "--driven_audio", speech, "--output", folder / "video.mp4"]
    arguments = [*program, *map(str, files), "--preprocess", "crop"]
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL)  # noqa: S603  this package's own command
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, arguments)
    return usage.ru_maxrss * 1024


def _repeated(driven_audio: Path, seconds: int, folder: Path) -> Path:
    """A WAV file with the driven audio repeated."""
    settings = Settings()
    speech = open_speech(
        driven_audio, max_bytes=settings.max_audio_bytes, max_seconds=settings.max_audio_seconds
    )
    pcm = (np.concatenate(list(speech.pieces())) * 32_767).astype("<i2").tobytes()
    wanted = seconds * 16_000 * 2
    path = folder / f"speech-{seconds}.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes((pcm * (wanted // len(pcm) + 1))[:wanted])
    return path
