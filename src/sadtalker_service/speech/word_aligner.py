"""A separate process that recognises words while this process recognises phones.

It loads the models of words while this one still imports, and keeps their 0.18 GB apart. Every pass starts
from the same known state, whatever was processed before. The result therefore does not depend on the process
that runs it.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock

import numpy as np
import structlog
from numpy.typing import NDArray

from sadtalker_service.environment import bare_environment
from sadtalker_service.speech.phonemes import Phoneme
from sadtalker_service.speech.word_pipe import LENGTH

log = structlog.get_logger(__name__)

_CHILD = "sadtalker_service.speech.word_alignment_process"


@dataclass(frozen=True)
class Reply:
    """A reply."""

    words: list[Phoneme] | None
    """In the form that `PocketsphinxRecogniser.recognize_words` returns."""


class WordAligner:
    """The parent's side. After a failure of the process it is not used again."""

    def __init__(self) -> None:
        """The first request starts the process, so it costs nothing if there is no recognition."""
        self._busy = Lock()
        self._owner = os.getpid()
        self._closed = False
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process now. The next request waits until it has loaded."""
        with self._busy:
            if self._process is None and not self._closed and os.getpid() == self._owner:
                self._start()

    def ask(self, samples: NDArray[np.float32]) -> Callable[[], Reply | None] | None:
        """Request the words of `samples`, float32 (N,).

        Returns None if the process has just been started (it loads for a second), has ended, or is busy with
        another thread. Otherwise returns a function that must be called exactly once. It waits for the reply
        and returns None if the process died.
        """
        if self._closed or os.getpid() != self._owner:  # a forked child has no aligner of its own
            return None
        if not self._busy.acquire(blocking=False):
            return None
        if self._process is not None and self._sent(self._process, samples):
            return self._read_reply
        if not self._closed:
            self._start()
        self._busy.release()
        return None

    def _start(self) -> None:
        self._process = _started()
        atexit.register(self.close)

    def close(self) -> None:
        """End the process."""
        self._closed = True
        process, self._process = self._process, None
        if process is not None and os.getpid() == self._owner:
            process.kill()
            process.communicate()

    def _sent(self, process: subprocess.Popen[bytes], samples: NDArray[np.float32]) -> bool:
        try:
            _send(process, samples)
        except OSError as error:
            self._give_up(str(error))
            return False
        return True

    def _read_reply(self) -> Reply | None:
        try:
            process = self._process
            line = process.stdout.readline() if process and process.stdout else b""
            if not line.endswith(b"\n"):
                self._give_up("it ended in the middle of a recording")
                return None
            found = json.loads(line)
            return Reply(None if found is None else [Phoneme(*phoneme) for phoneme in found])
        finally:
            self._busy.release()

    def _give_up(self, reason: str) -> None:
        log.warning("word_aligner_lost", reason=reason)
        self.close()


def _started() -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603  this package's own module
        [sys.executable, "-m", _CHILD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=bare_environment(),
        start_new_session=True,  # Ctrl-C in a terminal is for the parent
    )


def _send(process: subprocess.Popen[bytes], samples: NDArray[np.float32]) -> None:
    if process.stdin is None:
        raise ValueError("the process was started without a pipe")
    data = samples.astype("<f4").tobytes()
    process.stdin.write(LENGTH.pack(len(data)) + data)
    process.stdin.flush()


@lru_cache(maxsize=1)
def word_aligner() -> WordAligner:
    """That of the default recogniser."""
    return WordAligner()


def start_word_aligner() -> None:
    """Start the process of the default recogniser, if there is a core for it.

    This module imports little: a command starts it before all that it has to import itself.
    """
    if len(os.sched_getaffinity(0)) > 1:
        word_aligner().start()
