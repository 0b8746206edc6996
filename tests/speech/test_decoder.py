"""The decoder through its C interface finds what the package's own one does, and keeps nobody waiting."""

from __future__ import annotations

import time
from threading import Thread

import numpy as np
import pocketsphinx
import pytest
from pocketsphinx import get_model_path

from sadtalker_service.domain import SPEECH_RATE, Speech
from sadtalker_service.speech.decoder import Decoder

MODELS = {
    "hmm": get_model_path("en-us/en-us"),
    "lm": get_model_path("en-us/en-us.lm.bin"),
    "dict": get_model_path("en-us/cmudict-en-us.dict"),
    "loglevel": "FATAL",
}
SEARCH = {"ds": 2, "maxhmmpf": 1000, "maxwpf": 5, "fwdflat": False, "bestpath": False}
PHONES = get_model_path("en-us/en-us-phone.lm.bin")


@pytest.fixture(scope="module")
def ours() -> Decoder:
    return Decoder(**MODELS, **SEARCH)


def pcm(example: Speech, seconds: float) -> bytes:
    samples = example.samples[: int(seconds * SPEECH_RATE)]
    return (samples * 30_000).astype(np.int16).tobytes()


def phone_loop() -> Decoder:
    decoder = Decoder(hmm=MODELS["hmm"], loglevel="FATAL", **SEARCH)
    decoder.add_phone_loop("loop", PHONES, lw=2.0, beam=1e-15, pbeam=1e-10)
    decoder.activate_search("loop")
    return decoder


def test_words_and_their_phones_are_those_of_the_package(ours: Decoder, example: Speech) -> None:
    theirs = pocketsphinx.Decoder(**MODELS, **SEARCH)
    sound = pcm(example, 2.0)
    for decoder in (ours, theirs):
        decoder.start_utt()
        decoder.process_raw(sound, full_utt=True)
        decoder.end_utt()
    expected = [(s.word, s.start_frame, s.end_frame + 1) for s in theirs.seg()]
    assert len(expected) > 3
    assert ours.has_words()
    assert list(ours.segments()) == expected
    ours.align_words()
    theirs.set_alignment()
    for decoder in (ours, theirs):
        decoder.start_utt()
        decoder.process_raw(sound, full_utt=True)
        decoder.end_utt()
    phones = [(p.name, p.start, p.start + p.duration) for word in theirs.get_alignment() for p in word]
    assert len(phones) > 8
    assert list(ours.aligned_phones()) == phones


def test_phones_of_a_loop_come_while_the_sound_does(example: Speech) -> None:
    decoder = phone_loop()
    decoder.start_utt()
    sound, found = pcm(example, 2.0), []
    for begin in range(0, len(sound), 16_000):
        decoder.process_raw(sound[begin : begin + 16_000])
        found.append(list(decoder.segments()))
    decoder.end_utt()
    assert 0 < len(found[1]) < len(found[-1])
    assert {label for label, *_ in found[-1]} & {"AH", "L", "OW", "AE", "N", "D"}


def test_other_threads_go_on_while_it_searches(example: Speech) -> None:
    """The package's own decoder lets none of them run before the search has ended."""
    decoder = phone_loop()
    sound = pcm(example, example.duration) * 2
    found: list[tuple[str, int, int]] = []

    def search() -> None:
        decoder.start_utt()
        decoder.process_raw(sound, full_utt=True)
        decoder.end_utt()
        found.extend(decoder.segments())

    thread, turns = Thread(target=search), 0
    thread.start()
    while thread.is_alive():
        turns += 1
        time.sleep(0.001)
    assert len(found) > 100
    assert turns > 20


def test_what_cannot_be_done_is_an_error(ours: Decoder) -> None:
    with pytest.raises(RuntimeError, match="options"):
        Decoder(no_such_option=1)
    with pytest.raises(RuntimeError, match="models"):
        Decoder(hmm="/no/such/folder", loglevel="FATAL")
    with pytest.raises(RuntimeError):
        ours.activate_search("no such search")
    with pytest.raises(RuntimeError):
        ours.end_utt()
