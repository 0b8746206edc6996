"""flite as a `Voice`, where it is installed: English, robotic, in a hundredth of real time and little
memory."""

from __future__ import annotations

import io
import re
import tempfile
import wave
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray

from sadtalker_service.domain import TimedLabel
from sadtalker_service.speech.phonemes import SILENCE
from sadtalker_service.speech.voices.catalogue import VoiceCard
from sadtalker_service.speech.voices.port import VOICE_RATE, Phrase, Utterance
from sadtalker_service.speech.voices.programs import find_program, run_program
from sadtalker_service.speech.voices.trimming import trimmed
from sadtalker_service.speech.voices.word_times import spread_words

PROGRAM = "flite"


def is_installed() -> bool:
    """Whether the program is there."""
    return find_program(PROGRAM) is not None


class FliteVoice:
    """Speaks with the program flite, which also reports the times of its phonemes."""

    version = "flite-2"

    def speak(self, phrase: Phrase, card: VoiceCard) -> Utterance:
        """Speak a phrase. Raises `EngineUnavailable`."""
        with tempfile.TemporaryDirectory() as folder:
            sound, text = Path(folder, "speech.wav"), Path(folder, "text")
            text.write_text(plain_text(phrase))
            stretch = f"duration_stretch={1.0 / phrase.rate:.3f}"
            arguments = ["-voice", card.id.removeprefix("flite_"), "--setf", stretch, "-psdur"]
            said = run_program(PROGRAM, [*arguments, "-f", str(text), "-o", str(sound)])
            samples = read_wave(sound.read_bytes())
        phonemes = _phonemes(said.decode(errors="replace"), len(samples) / VOICE_RATE)
        return trimmed(Utterance(samples, phonemes, spread_words(phrase.tokens, phonemes)))


def plain_text(phrase: Phrase) -> str:
    """The phrase in words, for programs that read by themselves."""
    return " ".join(f"{token.said or token.written}{token.mark}" for token in phrase.tokens)


def read_wave(data: bytes) -> NDArray[np.float32]:
    """float32 (N,) at `VOICE_RATE` of a mono WAV file with 16 bits. The length in its header may be wrong."""
    with wave.open(io.BytesIO(data)) as file:
        rate = file.getframerate()
        pcm = np.frombuffer(file.readframes(len(data)), "<i2").astype(np.float32) / 32768.0
    return np.asarray(soxr.resample(pcm, rate, VOICE_RATE), np.float32) if rate != VOICE_RATE else pcm


def _phonemes(said: str, length: float) -> tuple[TimedLabel, ...]:
    """The pairs of phoneme and end that flite prints, as `aa:0.42` or `aa 0.42`."""
    found: list[TimedLabel] = []
    start = 0.0
    for name, end in re.findall(r"([a-z]+)[: ](\d+\.\d+)", said):
        label = SILENCE if name == "pau" else name.upper()
        found.append(TimedLabel(label, start, min(float(end), length)))
        start = found[-1].end
    return tuple(found)
