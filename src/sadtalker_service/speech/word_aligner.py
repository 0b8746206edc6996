"""A process of its own that hears words, while this one hears phones.

The decoder keeps Python's lock as long as it works, so threads would only take turns. Every pass begins from
the same known state, whatever was heard before: where it runs makes no difference to what it hears.
"""

from __future__ import annotations

import atexit
import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

import numpy as np
import structlog
from numpy.typing import NDArray

from sadtalker_service.settings import bare_environment
from sadtalker_service.speech.phonemes import Phoneme

log = structlog.get_logger(__name__)

LENGTH = struct.Struct("<I")
"""Before each question: how many bytes of samples follow. An answer is a line of JSON."""
_CHILD = "sadtalker_service.speech.word_alignment_process"


@dataclass(frozen=True)
class Heard:
    """An answer."""

    words: list[Phoneme] | None
    """As `PocketsphinxRecogniser.hear_words` gives them."""


class WordAligner:
    """The parent's side. When something goes wrong with the process, nobody is asked any more."""

    def __init__(self) -> None:
        """The process is started by the first question: who never listens needs none."""
        self._busy = Lock()
        self._owner = os.getpid()
        self._closed = False
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, samples: NDArray[np.float32]) -> Callable[[], Heard | None] | None:
        """Have `samples`, float32 (N,), heard. None where the process has just been started, as it loads for
        a second, where it is gone, or busy for another thread.

        What is returned must be called, once: it waits for the answer, None where the process died over it.
        """
        if self._closed or os.getpid() != self._owner:  # a forked child has no ear of its own
            return None
        if not self._busy.acquire(blocking=False):
            return None
        if self._process is not None and self._sent(self._process, samples):
            return self._answer
        if not self._closed:
            self._process = _started()
            atexit.register(self.close)
        self._busy.release()
        return None

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

    def _answer(self) -> Heard | None:
        try:
            process = self._process
            line = process.stdout.readline() if process and process.stdout else b""
            if not line.endswith(b"\n"):
                self._give_up("it ended in the midst of a recording")
                return None
            found = json.loads(line)
            return Heard(None if found is None else [Phoneme(*phoneme) for phoneme in found])
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
