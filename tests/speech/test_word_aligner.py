"""With a second process the same is heard; without it too."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sadtalker_service.domain import SPEECH_RATE, Speech
from sadtalker_service.speech.recogniser import PocketsphinxRecogniser
from sadtalker_service.speech.word_aligner import WordAligner


def children() -> set[int]:
    """Ids of this process's children, whichever thread started them."""
    lists = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    return {int(pid) for path in lists for pid in path.read_text().split()}


@pytest.fixture
def ear() -> Iterator[WordAligner]:
    ear = WordAligner()
    yield ear
    ear.close()


@pytest.fixture
def helped() -> Iterator[PocketsphinxRecogniser]:
    recogniser = PocketsphinxRecogniser()
    recogniser.start_word_alignment_process()
    yield recogniser
    recogniser.close()


def test_the_same_is_heard_with_it_and_after_it_died(
    helped: PocketsphinxRecogniser, recogniser: PocketsphinxRecogniser, example: Speech
) -> None:
    alone = recogniser.phonemes(example)
    before = children()
    assert helped.phonemes(example) == alone, "while it is being started"
    (child,) = children() - before
    assert helped.phonemes(example) == alone, "with its help"
    assert child in children()
    os.kill(child, signal.SIGKILL)
    assert helped.phonemes(example) == alone, "without it"
    assert children() == before


def test_silence_has_no_words_in_either(ear: WordAligner) -> None:
    silence = np.zeros(SPEECH_RATE, np.float32)
    assert ear.ask(silence) is None, "it is only started"
    answer = ear.ask(silence)
    assert answer is not None
    heard = answer()
    assert heard is not None
    assert heard.words == PocketsphinxRecogniser().recognize_words(silence)


def test_who_finds_it_busy_does_not_wait(ear: WordAligner) -> None:
    sound = np.zeros(SPEECH_RATE, np.float32)
    ear.ask(sound)
    first = ear.ask(sound)
    assert first is not None
    assert ear.ask(sound) is None
    assert first() is not None
    again = ear.ask(sound)
    assert again is not None
    assert again() is not None


def test_death_in_mid_question_is_no_answer(ear: WordAligner) -> None:
    sound = np.zeros(SPEECH_RATE, np.float32)
    before = children()
    ear.ask(sound)
    (child,) = children() - before
    answer = ear.ask(sound)
    os.kill(child, signal.SIGKILL)
    assert answer is not None
    assert answer() is None
    assert ear.ask(sound) is None
    assert children() == before


def test_it_ends_with_its_parent() -> None:
    code = """
        import sys, time, numpy
        from sadtalker_service.speech.word_aligner import WordAligner
        ear = WordAligner()
        ear.ask(numpy.zeros(16000, "f4"))
        print(ear._process.pid, flush=True)
        time.sleep(60)
    """
    program = "\n".join(line.strip() for line in code.splitlines())
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        child = Path(f"/proc/{int(parent.stdout.readline())}/stat")
        assert child.exists()
        parent.kill()
    until = time.monotonic() + 30
    while child.exists() and child.read_text().split()[2] != "Z":
        assert time.monotonic() < until, "it outlives its parent"
        time.sleep(0.05)
