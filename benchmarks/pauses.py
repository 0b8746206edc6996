"""Count the pauses in which a mouth does not shut, and measure how far sounds without speech open it.

    .venv/bin/python benchmarks/pauses.py [--lips FOLDER] [--json]

Voices are the example and three synthetic ones, at -23 dBFS, and with `--lips` the speakers of
`benchmarks/lips.py` too. Each has four pauses of 4 s at quiet moments of its speech, in digital silence and
in hiss of -70 to -50 dBFS. A pause fails if the lips are more than 1 mm apart later than 0.5 s after it began
and earlier than 0.3 s before it ends. All of it is recognised like any recording.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from sadtalker_service.bench.machine import this_machine
from sadtalker_service.domain import SPEECH_RATE, Speech, SpokenText
from sadtalker_service.speech.listening import recognize_speech
from sadtalker_service.speech.visemes import OPENING
from sadtalker_service.speech.voices.port import VOICE_RATE
from sadtalker_service.speech.voices.speaker import read_text, recite

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))
from tests.cases.recordings import (  # noqa: E402  found only from here
    RATE,
    Sound,
    breath,
    noise,
    silence,
    tones,
    tune,
    voice,
    with_pauses,
)

VOICES = ("af_heart", "am_michael", "bf_emma")
TEXT = "My brother brought a map of the harbour. Five ships left, and the team went home by train at last."
HISS = (None, -70, -65, -60, -55, -50)
LEVEL = -23
PAUSE, PAUSES = 4.0, 4
SHUT_AFTER, OPEN_BEFORE = 0.5, 0.3
SHUT, SPEAKING = 1.0, 3.0
"""Millimetres. A mouth that speaks opens wider than the second one in every second."""
LIMITS = {"pauses": 0, "other_mm": 2.0, "switched_on_mm": 1.0}


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n", 1)[0])
    parser.add_argument("--lips", type=Path, metavar="FOLDER", help="real speakers: s*.npz")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    options = parser.parse_args()
    report: dict[str, Any] = {
        "machine": asdict(this_machine()),
        "pauses": {name: pauses(said) for name, said in voices(options.lips).items()},
        "other_mm": others(),
        "switched_on_mm": switched_on(),
        "limits": LIMITS,
    }
    print(json.dumps(report, indent=1) if options.json else table(report))
    if not holds(report):
        sys.exit("a limit is exceeded")


def voices(folder: Path | None) -> dict[str, Sound]:
    """Name -> about 6 s of speech, (n, 1)."""
    found = {"example": voice(6.0)}
    for name in VOICES:
        samples, _ = recite(read_text(SpokenText(TEXT, name)))
        found[name] = soxr.resample(samples, VOICE_RATE, RATE).astype(float)[:, None]
    for path in sorted(folder.glob("s*.npz")) if folder else ():
        with np.load(path) as file:
            found[path.stem] = file["audio16k"].astype(float)[: 6 * RATE, None]
    return {name: said * 10 ** (LEVEL / 20) / said.std() for name, said in found.items()}


def pauses(said: Sound) -> dict[str, list[float]]:
    """Level of the hiss -> the largest opening in each pause, mm. `speech`: in the second before each."""
    sound, spans = with_pauses(said, PAUSE, PAUSES)
    found: dict[str, list[float]] = {"speech": []}
    for dbfs in HISS:
        mouth = opening(sound if dbfs is None else sound + hiss(len(sound), dbfs))
        found["speech"] += [
            float(mouth[max(0, round(100 * a) - 100) : round(100 * a)].max()) for a, _ in spans
        ]
        found[str(dbfs or "silence")] = [
            float(mouth[round(100 * (start + SHUT_AFTER)) : round(100 * (end - OPEN_BEFORE))].max())
            for start, end in spans
        ]
    return found


def others() -> dict[str, list[float]]:
    """Sound without speech -> the largest opening, mm: alone, and in a pause of speech, without and with
    hiss."""
    sounds = {
        "breath, 0.5 s, -50 dBFS": breath(0.5, -50),
        "breath, 1 s, -42 dBFS": breath(1.0, -42, seed=1),
        "breath, 1 s, -35 dBFS": breath(1.0, -35, seed=2),
        "a tone of 440 Hz": tones(1.5, 440),
        "a tone of 150 Hz": tones(1.5, 150),
        "a chord": tones(1.5, 220, 277, 330),
        "a low chord": tones(1.5, 110, 165, 220),
        "a tune": tune(1.5, notes=1),
        "struck chords": tune(1.5, notes=3, seed=2),
    }
    found = {}
    for name, sound in sounds.items():
        alone = np.concatenate([silence(1.2), sound, silence(1.2)])
        spoken, ((start, end),) = with_pauses(voice(5.0), PAUSE, 1)
        at = round((start + 1.6) * RATE)
        spoken[at : at + len(sound)] += sound
        inside = slice(round(100 * (start + SHUT_AFTER)), round(100 * (end - OPEN_BEFORE)))
        rows = [(alone, slice(None)), (spoken, inside)]
        found[name] = [
            float(opening(whole if dbfs is None else whole + hiss(len(whole), dbfs))[part].max())
            for whole, part in rows
            for dbfs in (None, -65)
        ]
    return found


def switched_on() -> dict[str, list[float]]:
    """Noise that begins suddenly -> the largest opening, mm, at -50, -40 and -30 dBFS: in digital silence,
    and in hiss of -75 dBFS."""
    found: dict[str, list[float]] = {}
    for name, slope in (("hiss", 0.0), ("a room", 0.5), ("rumble", 1.0)):
        found[name] = []
        for dbfs in (-50, -40, -30):
            sound = np.concatenate([silence(2.3), noise(5.0, dbfs, slope, seed=-dbfs), silence(1.0)])
            found[name] += [float(opening(x).max()) for x in (sound, sound + hiss(len(sound), -75))]
    return found


def hiss(count: int, dbfs: float) -> Sound:
    """(count, 1) of white noise."""
    return noise(count / RATE, dbfs, 0.0, seed=round(-dbfs))[:count]


def opening(sound: Sound) -> NDArray[np.float32]:
    """float32 (T,): opening of the lips at 100 ticks a second, mm."""
    assert RATE == SPEECH_RATE
    speech = Speech("", sound[:, 0].astype(np.float32), Path())
    return recognize_speech(speech).articulators[:, OPENING]


def failing(report: dict[str, Any]) -> tuple[int, int]:
    """How many pauses fail, of how many."""
    largest = [mm for rows in report["pauses"].values() for k in rows if k != "speech" for mm in rows[k]]
    return sum(mm > SHUT for mm in largest), len(largest)


def holds(report: dict[str, Any]) -> bool:
    """Whether no limit is exceeded."""
    measured = ("other_mm", "switched_on_mm")
    small = all(mm < LIMITS[key] for key in measured for row in report[key].values() for mm in row)
    speaks = all(min(rows["speech"]) > SPEAKING for rows in report["pauses"].values())
    return failing(report)[0] <= LIMITS["pauses"] and small and speaks


def table(report: dict[str, Any]) -> str:
    """The report as readable tables."""
    lines = [report["machine"]["processor"], "", "largest opening in pauses, mm", ""]
    lines += ["| voice | in speech, least | " + " | ".join(str(dbfs or "silence") for dbfs in HISS) + " |"]
    lines.append("|---" * (2 + len(HISS)) + "|")
    for name, rows in report["pauses"].items():
        cells = [min(rows["speech"]), *(max(rows[key]) for key in rows if key != "speech")]
        lines.append(f"| {name} | " + " | ".join(f"{mm:.1f}" for mm in cells) + " |")
    lines += ["", "{} of {} pauses fail".format(*failing(report)), ""]
    for key, head in (
        ("other_mm", "| sound | alone | in hiss | in a pause | in a pause with hiss |"),
        ("switched_on_mm", "| noise | -50 dBFS | in hiss | -40 | in hiss | -30 | in hiss |"),
    ):
        lines += [head, "|---" * (head.count("|") - 1) + "|"]
        lines += [
            f"| {n} | " + " | ".join(f"{mm:.1f}" for mm in row) + " |" for n, row in report[key].items()
        ]
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
