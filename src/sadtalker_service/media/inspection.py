"""Inspect uploaded images and audio in child processes, which damaged data may crash.

Media decoders are large C programs. If one fails, hangs or crashes, the upload is rejected, but the process
that received it survives. A dead child is replaced.
"""

from __future__ import annotations

import json
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from sadtalker_service.domain import SoundReading
from sadtalker_service.errors import (
    AudioTooLarge,
    EmptyAudio,
    ImageTooLarge,
    InvalidOption,
    UnreadableAudio,
    UnreadableImage,
)
from sadtalker_service.media.child_process import AnsweringChild

_ERRORS = {
    error.code: error
    for error in (AudioTooLarge, EmptyAudio, ImageTooLarge, InvalidOption, UnreadableAudio, UnreadableImage)
}
"""All exceptions that a child may report."""
_CHILD_MODULE = "sadtalker_service.media.inspection_process"
_OPTIONS = frozenset({"audio_track"})
"""Options that a reported error may refer to."""
_PARAMS = {"image": "source_image", "audio": "driven_audio"}


@dataclass(frozen=True)
class Limits:
    """What is accepted, and how long an inspection may take."""

    max_image_bytes: int
    max_image_pixels: int
    max_audio_bytes: int
    max_audio_seconds: float
    timeout: float = 30.0
    """Seconds for one file, after which it counts as unreadable."""


@dataclass(frozen=True)
class ImageFacts:
    """A readable image."""

    width: int
    """Pixels, upright."""
    height: int
    media_type: str
    """From its content, for example `image/jpeg`."""


@dataclass(frozen=True)
class AudioFacts:
    """A readable audio file."""

    seconds: float
    media_type: str
    """From its content, for example `audio/x-wav`, or `video/mp4` for the audio of a video."""
    warnings: tuple[str, ...] = ()
    """What is left out or guessed."""
    reading: SoundReading | None = None
    """Settings for reading the audio."""


class Inspector:
    """Inspects files in `processes` children.

    Usable from several threads, and from asyncio with `asyncio.wrap_future`.
    """

    def __init__(self, limits: Limits, processes: int = 1) -> None:
        """Children start when they are first needed. `start` starts them earlier."""
        self._processes = processes
        self._children: SimpleQueue[AnsweringChild] = SimpleQueue()
        for _ in range(processes):
            self._children.put(AnsweringChild(_CHILD_MODULE, json.dumps(asdict(limits))))
        self._threads = ThreadPoolExecutor(processes, thread_name_prefix="inspector")

    def start(self) -> None:
        """Start the children in the background, so that the first upload need not wait for their imports."""
        for _ in range(self._processes):
            self._threads.submit(self._ask, {"kind": "nothing"})

    def inspect_image(self, path: Path) -> Future[ImageFacts]:
        """Decode the image in `path`. The future raises `UnreadableImage`, `ImageTooLarge`."""
        return self._threads.submit(self._image, path)

    def inspect_audio(
        self, path: Path, audio_track: int | None = None, *, samples: Path | None = None
    ) -> Future[AudioFacts]:
        """Decode the audio in `path` and write its samples (float32, mono, 16 kHz) to the file `samples`.

        Uses the given audio track, starting at 1, or the one with the voice. The future raises
        `UnreadableAudio`, `AudioTooLarge`, `EmptyAudio`, `InvalidOption`.
        """
        return self._threads.submit(self._audio, path, audio_track, samples)

    def close(self) -> None:
        """End the children after the inspections in progress."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        while not self._children.empty():
            self._children.get().end()

    def _image(self, path: Path) -> ImageFacts:
        answer = self._ask({"kind": "image", "path": str(path)})
        if answer is None:
            raise UnreadableImage(
                "The source image is damaged: its decoder failed. Save it again, for example as PNG.",
                param="source_image",
            )
        return ImageFacts(**answer)

    def _audio(self, path: Path, audio_track: int | None, samples: Path | None) -> AudioFacts:
        answer = self._ask(
            {"kind": "audio", "path": str(path), "audio_track": audio_track, "samples": str(samples or "")}
        )
        if answer is None:
            raise UnreadableAudio(
                "The driven audio is damaged: its decoder failed. Save it again, for example as WAV.",
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
