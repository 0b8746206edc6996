"""Measure the voice: speed and memory on one and two threads, its phoneme times, and the first picture of a
text.

    .venv/bin/python benchmarks/voices.py [--json]

Each number of threads runs in a process of its own, so that the memory is its own. Phoneme times are compared
with pocketsphinx's forced alignment of the same text, which knows nothing of the voice.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from sadtalker_service.bench.machine import this_machine
from sadtalker_service.domain import SPEECH_RATE, Speech, SpokenText
from sadtalker_service.engines.mesh import MeshEngine
from sadtalker_service.media.image import decode_image
from sadtalker_service.options import RenderOptions
from sadtalker_service.pipeline.cached import CachedComputation
from sadtalker_service.pipeline.pipeline import Pipeline
from sadtalker_service.pipeline.spoken import speak_text
from sadtalker_service.speech.articulation import articulate
from sadtalker_service.speech.phonemes import Phoneme, PhonemeTrack
from sadtalker_service.speech.voices.kokoro import KokoroVoice
from sadtalker_service.speech.voices.kokoro_model import KokoroModel
from sadtalker_service.speech.voices.port import VOICE_RATE
from sadtalker_service.speech.voices.speaker import read_text, recite
from sadtalker_service.store.cache import MemoryCache

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

TEXTS = (
    "my brother brought a big map of the old bay bridge",
    "bob made a problem bigger but mom helped him fix it",
    "please remember to bring the blue umbrella back home",
    "maybe the number of members will improve by spring",
)
OTHERS = (
    "the lamp by the pump is broken",
    "my mother may bake an apple pie",
    "jump up and grab the rope",
    "he wrote a poem about the autumn",
    "put the soap back in the tub please",
    "a warm room",
    "we saw a film at home",
)
"""Sentences that no time was corrected by."""
VOICES = ("af_heart", "am_michael", "bf_emma", "bm_george")
SHUT = 0.5
"""Millimetres."""
SENTENCE = "Hello, and welcome to this short demonstration."


def speed(threads: int) -> dict[str, Any]:
    """Seconds to load, seconds of work per second of speech, megabytes; in this process."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    model = KokoroModel(threads)
    voice = KokoroVoice(lambda: model)
    loaded = time.perf_counter() - start
    factors = []
    for text in TEXTS:
        start = time.perf_counter()
        samples, _ = recite(read_text(SpokenText(text, "af_heart")), voice)
        factors.append((time.perf_counter() - start) / (len(samples) / VOICE_RATE))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "threads": threads,
        "load_seconds": loaded,
        "work_per_second": float(np.median(factors)),
        "megabytes": (peak - before) / 1000,
    }


def phoneme_times(voice: str, texts: tuple[str, ...]) -> dict[str, Any]:
    """Offsets of the starts of p, b and m from where the recogniser hears them, milliseconds.

    `beyond` lists those over 40 ms: word, offset, and for how long the recogniser hears the sound. More than
    200 ms means that it put a pause into it. `shut_ms` is the largest distance from where a sound is heard to
    begin to a time at which the lips are shut.
    """
    from tests.support.forced_alignment import aligned_phonemes  # noqa: PLC0415  only found from here

    found: list[tuple[str, float, float]] = []
    skipped, shut_ms = [], 0.0
    for text in texts:
        samples, timeline = recite(read_text(SpokenText(text, voice)))
        heard = [one for one in aligned_phonemes(samples, VOICE_RATE, text) if one.label in {"P", "B", "M"}]
        ours = [one for one in timeline.phonemes if one.label in {"p", "b", "m"}]
        if [one.label.upper() for one in ours] != [one.label for one in heard]:
            skipped.append(text)  # the dictionaries do not agree on the pronunciation
            continue
        found += [
            (b.word, 1000 * (a.start - b.start), 1000 * (b.end - b.start))
            for a, b in zip(ours, heard, strict=True)
        ]
        shut = shut_times(samples, timeline.phonemes)
        shut_ms = max(shut_ms, *(1000 * float(np.abs(shut - one.start).min()) for one in heard))
    offsets = np.array([offset for _, offset, _ in found])
    return {
        "voice": voice,
        "count": len(found),
        "mean_ms": float(offsets.mean()),
        "deviation_ms": float(offsets.std()),
        "within_40_ms": float(np.mean(np.abs(offsets) <= 40.001)),
        "beyond": [one for one in found if abs(one[1]) > 40.001],
        "shut_ms": shut_ms,
        "skipped": skipped,
    }


def shut_times(samples: NDArray[np.float32], phonemes: tuple[Phoneme, ...]) -> NDArray[np.float64]:
    """Times, seconds, at which the lips are less than half a millimetre apart."""
    sound = soxr.resample(samples, VOICE_RATE, SPEECH_RATE).astype(np.float32)
    spoken = articulate(PhonemeTrack.exact(phonemes), Speech("-", sound, Path("-")))
    return np.flatnonzero(spoken.articulators[:, 0] < SHUT) / spoken.rate


def first_picture() -> dict[str, float]:
    """Seconds from a sentence to its sound, and to the first piece of its video; avatar and voice are
    warm."""
    engine, cache = MeshEngine(), MemoryCache(10**9)
    engine.warm_up()
    picture = (REPOSITORY / "examples/portrait.jpg").read_bytes()
    source = decode_image(picture, max_bytes=10**8, max_pixels=10**8)
    style = RenderOptions(preprocess="crop")
    pipeline = Pipeline(engine, cache)
    with TemporaryDirectory() as folder:
        prepared = pipeline.prepare(source, style)
        for text in ("Yes, of course.", SENTENCE):  # the first one warms up
            first = _First()
            start = time.perf_counter()
            speech = speak_text(SpokenText(text, "af_heart"), Path(folder, "a.wav"), CachedComputation(cache))
            spoken = time.perf_counter() - start
            pipeline.render(prepared, speech, style, Path(folder, "a.mp4"), stream=first)
    return {"spoken": spoken, "first_picture": (first.at or start) - start, "speech_seconds": speech.duration}


class _First:
    """When the first piece with a picture came: the second one, after the header."""

    def __init__(self) -> None:
        self.at: float | None = None
        self._pieces = 0

    def write(self, data: bytes, /) -> int:
        """A piece."""
        self._pieces += 1
        if self._pieces == 2:
            self.at = time.perf_counter()
        return len(data)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--times", action="store_true", help="only the times of phonemes")
    parser.add_argument("--threads", type=int, help="only the speed, with so many threads")
    given = parser.parse_args()
    if given.threads:
        print(json.dumps(speed(given.threads)))
        return
    speeds: list[dict[str, Any]] = []
    for threads in () if given.times else (1, 2):
        command = [sys.executable, __file__, "--threads", str(threads)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603  this file
        speeds.append(json.loads(done.stdout))
    report = {
        "machine": this_machine(),
        "speed": speeds,
        "times": [phoneme_times(voice, TEXTS) for voice in VOICES],
        "other_times": [phoneme_times(voice, OTHERS) for voice in VOICES],
    }
    if not given.times:
        report["first"] = first_picture()
    if given.json:
        print(json.dumps(report, default=str))
        return
    print(report["machine"])
    for row in speeds:
        print(
            f"{row['threads']} threads: {row['work_per_second']:.2f} s of work per second of speech,"
            f" loaded in {row['load_seconds']:.2f} s, {row['megabytes']:.0f} MB"
        )
    for row in report["times"] + report["other_times"]:
        beyond = ", ".join(f"{word} {ms:+.0f} (heard for {long:.0f})" for word, ms, long in row["beyond"])
        print(
            f"{row['voice']:10} p b m: {row['count']} at {row['mean_ms']:+.0f} ms in the mean,"
            f" deviation {row['deviation_ms']:.0f}, {100 * row['within_40_ms']:.1f} % within 40 ms,"
            f" lips shut within {row['shut_ms']:.0f} ms"
            f"{'; beyond: ' + beyond if beyond else ''}"
            f"{'; skipped: ' + '; '.join(row['skipped']) if row['skipped'] else ''}"
        )
    if given.times:
        return
    first = report["first"]
    print(
        f"a sentence of {first['speech_seconds']:.1f} s: spoken after {first['spoken']:.2f} s,"
        f" first picture after {first['first_picture']:.2f} s"
    )


if __name__ == "__main__":
    main()
