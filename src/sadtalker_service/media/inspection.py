"""Looks at uploaded pictures and recordings in child processes, which damaged data may crash.

Decoders of media are large programs in C. What makes one of them fail, hang or end its process costs the
upload, never the process that took it: a child that dies is replaced.
"""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import structlog

from sadtalker_service.domain import SoundReading
from sadtalker_service.errors import (
    AudioTooLarge,
    EmptyAudio,
    ImageTooLarge,
    InvalidOption,
    UnreadableAudio,
    UnreadableImage,
)
from sadtalker_service.settings import bare_environment

log = structlog.get_logger(__name__)

_ERRORS = {
    error.code: error
    for error in (AudioTooLarge, EmptyAudio, ImageTooLarge, InvalidOption, UnreadableAudio, UnreadableImage)
}
"""All that a child may answer with."""
_OPTIONS = frozenset({"audio_track"})
"""Options that an answer may be about."""
_PARAMS = {"image": "source_image", "audio": "driven_audio"}


@dataclass(frozen=True)
class Limits:
    """What is looked at, and for how long."""

    max_image_bytes: int
    max_image_pixels: int
    max_audio_bytes: int
    max_audio_seconds: float
    timeout: float = 30.0
    """Seconds for one file, after which it counts as unreadable."""


@dataclass(frozen=True)
class ImageFacts:
    """A picture that can be read."""

    width: int
    """Pixels, upright."""
    height: int
    media_type: str
    """As its bytes say, e.g. `image/jpeg`."""


@dataclass(frozen=True)
class AudioFacts:
    """A recording that can be read."""

    seconds: float
    media_type: str
    """As its bytes say, e.g. `audio/x-wav`; `video/mp4` for the sound of a video."""
    warnings: tuple[str, ...] = ()
    """What of it is left out or guessed."""
    reading: SoundReading | None = None
    """How its sound is read."""


class Inspector:
    """Inspects files in `processes` children. For several threads, and for asyncio with
    `asyncio.wrap_future`."""

    def __init__(self, limits: Limits, processes: int = 1) -> None:
        """Children are started when they are first needed; `start` does it before."""
        self._limits = limits
        self._processes = processes
        self._children: SimpleQueue[_Child] = SimpleQueue()
        for _ in range(processes):
            self._children.put(_Child(limits))
        self._threads = ThreadPoolExecutor(processes, thread_name_prefix="inspector")

    def start(self) -> None:
        """Start the children, in the background: the first upload need not wait for their imports."""
        for _ in range(self._processes):
            self._threads.submit(self._ask, {"kind": "nothing"})

    def inspect_image(self, path: Path) -> Future[ImageFacts]:
        """Decode the picture in `path`. The future raises `UnreadableImage`, `ImageTooLarge`."""
        return self._threads.submit(self._image, path)

    def inspect_audio(
        self, path: Path, audio_track: int | None = None, *, samples: Path | None = None
    ) -> Future[AudioFacts]:
        """Decode the sound in `path`: of a sound track, from 1 on, or of that with the voice. Its samples
        (float32, mono, 16 kHz) go into the file `samples`.

        The future raises `UnreadableAudio`, `AudioTooLarge`, `EmptyAudio`, `InvalidOption`.
        """
        return self._threads.submit(self._audio, path, audio_track, samples)

    def close(self) -> None:
        """End the children; what is being inspected is waited for."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        while not self._children.empty():
            self._children.get().end()

    def _image(self, path: Path) -> ImageFacts:
        answer = self._ask({"kind": "image", "path": str(path)})
        if answer is None:
            raise UnreadableImage(
                "The picture is damaged: its decoder failed. Save or upload it again, for example as PNG.",
                param="source_image",
            )
        return ImageFacts(**answer)

    def _audio(self, path: Path, audio_track: int | None, samples: Path | None) -> AudioFacts:
        answer = self._ask(
            {"kind": "audio", "path": str(path), "audio_track": audio_track, "samples": str(samples or "")}
        )
        if answer is None:
            raise UnreadableAudio(
                "The recording is damaged: its decoder failed. Save it again, for instance as WAV.",
                param="driven_audio",
            )
        reading = SoundReading(**answer["reading"]) if answer["reading"] else None
        return AudioFacts(answer["seconds"], answer["media_type"], tuple(answer["warnings"]), reading)

    def _ask(self, question: dict[str, Any]) -> dict[str, Any] | None:
        child = self._children.get()
        try:
            answer = child.ask(question)
        finally:
            self._children.put(child)
        if answer is not None and "error" in answer:
            error = answer["error"]
            param = error["param"] if error["param"] in _OPTIONS else _PARAMS[question["kind"]]
            raise _ERRORS[error["code"]](error["message"], param=param)
        return answer


class _Child:
    """One process, started again when it has died. For one thread at a time."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, question: dict[str, Any]) -> dict[str, Any] | None:
        """The answer, or None where the process died over it."""
        process = self._running()
        if not _hand_over(process, question):  # it had died before, which may be seen only now
            self.end()
            process = self._running()
            _hand_over(process, question)
        line = _read_line(process)
        if line.endswith(b"\n"):
            answer: dict[str, Any] = json.loads(line)
            return answer
        self.end()
        log.warning("inspection_crashed", kind=question["kind"], exit_code=process.returncode)
        return None

    def end(self) -> None:
        """Kill the process, if there is one."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self.end()
            command = [sys.executable, "-m", _CHILD_MODULE, json.dumps(asdict(self._limits))]
            self._process = subprocess.Popen(  # noqa: S603  this package's own module
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
                env=bare_environment(),
            )
        return self._process


_CHILD_MODULE = "sadtalker_service.media.inspection_process"


def _hand_over(process: subprocess.Popen[bytes], question: dict[str, Any]) -> bool:
    """Whether `process` was alive to take the question."""
    if process.stdin is None:
        raise ValueError("the process was started without pipes")
    try:
        process.stdin.write(json.dumps(question).encode() + b"\n")
        process.stdin.flush()
    except OSError:
        return False
    return _read_line(process) == b"\n"


def _read_line(process: subprocess.Popen[bytes]) -> bytes:
    """What `process` says next, cut short or empty where it died."""
    if process.stdout is None:
        raise ValueError("the process was started without pipes")
    return process.stdout.readline()
