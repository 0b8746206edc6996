"""Child processes that answer questions: JSON lines on standard input and output.

For work on uploaded data, which may crash a decoder or hang it. The parent survives and starts another child.
An empty line confirms that a question was read. If the child dies before that, the question is not the cause.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from sadtalker_service.environment import bare_environment

log = structlog.get_logger(__name__)

Values = dict[str, Any]


class AnsweringChild:
    """The parent's side. The process starts with the first question. Use it in one thread at a time."""

    def __init__(self, module: str, *arguments: str) -> None:
        """`module` calls `answer_questions`. Its process has no secrets in its environment."""
        self._command = [sys.executable, "-m", module, *arguments]
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, question: Mapping[str, Any]) -> Values | None:
        """The answer, or None if the process died over the question."""
        process = self._running()
        if not _send(process, question):  # it had died before, which is noticed only now
            self.end()
            process = self._running()
            _send(process, question)
        line = _read_line(process)
        if line.endswith(b"\n"):
            answer: Values = json.loads(line)
            return answer
        self.end()
        log.warning("child_crashed", module=self._command[2], exit_code=process.returncode)
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
            self._process = subprocess.Popen(  # noqa: S603  this package's own module
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
                env=bare_environment(),
            )
        return self._process


def answer_questions(answer: Callable[[Values], Values], seconds: float) -> None:
    """The child's side: until standard input ends, which happens when the parent exits.

    A timer ends the process if an answer takes more than `seconds`, whatever the decoder is doing.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is for the parent
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)  # output of libraries goes to standard error
        for line in sys.stdin.buffer:
            answers.write(b"\n")
            answers.flush()
            # SIGALRM is not handled, so it ends the process even inside C code.
            signal.setitimer(signal.ITIMER_REAL, seconds)
            text = json.dumps(answer(json.loads(line)))
            signal.setitimer(signal.ITIMER_REAL, 0)
            answers.write(text.encode() + b"\n")
            answers.flush()


def _send(process: subprocess.Popen[bytes], question: Mapping[str, Any]) -> bool:
    """Write the question to `process` and return whether it was alive to read it."""
    if process.stdin is None:
        raise ValueError("the process was started without pipes")
    try:
        process.stdin.write(json.dumps(question).encode() + b"\n")
        process.stdin.flush()
    except OSError:
        return False
    return _read_line(process) == b"\n"


def _read_line(process: subprocess.Popen[bytes]) -> bytes:
    """The next line of `process`, cut short or empty if it died."""
    if process.stdout is None:
        raise ValueError("the process was started without pipes")
    return process.stdout.readline()
