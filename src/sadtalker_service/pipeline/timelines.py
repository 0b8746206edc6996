"""Timelines of uploaded driven audio, made in a child process, because the API loads no recogniser."""

from __future__ import annotations

import json
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any

from sadtalker_service.errors import Busy, UnreadableAudio
from sadtalker_service.media.child_process import AnsweringChild

LONGEST_SECONDS = 120.0
"""Longest driven audio of a timeline. Recognising it takes 16 seconds of one core."""
MOST_AT_ONCE = 4
"""Timelines that are made or wait, in one API process."""

_CHILD = "sadtalker_service.speech.timeline_process"
_TIMEOUT = 180.0
"""Seconds for one timeline, after which the audio counts as unreadable."""
_RETRY_SECONDS = 2.0


class Timelines:
    """Makes one timeline after the other. Usable from several threads.

    Its process starts with the first one and stays. It takes 0.3 GB.
    """

    def __init__(self, max_bytes: int) -> None:
        """`max_bytes`: largest file."""
        limits = {"max_bytes": max_bytes, "max_seconds": LONGEST_SECONDS, "timeout": _TIMEOUT}
        self._child = AnsweringChild(_CHILD, json.dumps(limits))
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="timelines")
        self._places = BoundedSemaphore(MOST_AT_ONCE)

    def make(
        self, path: Path, audio_track: int | None, seed: int | None, features: Path
    ) -> Future[dict[str, Any]]:
        """Timeline of the driven audio in `path`, as JSON values of `timeline.Timeline`.

        `features`: a folder with the windows of its speech features. If it does not exist, they are computed
        and written there. Raises `Busy`. The future raises `UnreadableAudio` if the process dies over it.
        """
        if not self._places.acquire(blocking=False):
            raise Busy(
                "Too many recordings are being analysed at the moment. Try again in a moment.",
                retry_after=_RETRY_SECONDS,
            )
        question = {
            "path": str(path),
            "audio_track": audio_track,
            "seed": seed,
            "features": str(features),
        }
        made = self._threads.submit(self._ask, question)
        made.add_done_callback(lambda _: self._places.release())
        return made

    def close(self) -> None:
        """End the process, and drop what waits."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._child.end()

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        answer = self._child.ask(question)
        if answer is None:
            raise UnreadableAudio("The driven audio could not be analysed in time.", param="driven_audio")
        return answer
