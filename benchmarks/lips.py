"""Measure how accurately and how fast the speech package moves lips, on ten real speakers.

    .venv/bin/python benchmarks/lips.py [--lips FOLDER] [--repeats 3] [--json]

FOLDER holds s01.npz .. s10.npz. It defaults to reference/lips in the shared folder, which is set by the
environment variable SADTALKER_SHARED or is ../shared. Each file has frame times `t` in seconds, `open_mm`,
`width_mm`, `jaw_mm`, the audio `audio16k`, and `av_lag_s`, the delay of the audio relative to the lips in
that file.

Scoring: a prediction is sampled at `t + av_lag_s` plus one constant shift for opening, width and chin
together. The shift is chosen for each clip on the other clips. The score is Pearson r per clip, the mean over
the clips, and a 95 % bootstrap interval over clips. Chance is the same for the prediction of another clip,
with the best shift within 0.4 s for each pair. Ten clips are few, so differences below 0.05 mean nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.bench.machine import this_machine
from sadtalker_service.domain import SPEECH_RATE, Speech
from sadtalker_service.media.voice_activity import TICK
from sadtalker_service.speech.articulation import Articulation, articulate
from sadtalker_service.speech.ctc_recogniser import CtcRecogniser
from sadtalker_service.speech.listening import recognize_phonemes
from sadtalker_service.speech.live_articulation import LiveArticulator
from sadtalker_service.speech.live_hearing import LOOK_AHEAD
from sadtalker_service.speech.phonemes import PhonemeTrack, Segmentation
from sadtalker_service.speech.recogniser import SPEEDS, PocketsphinxRecogniser
from sadtalker_service.speech.running import RunningSignal, RunningSource, running_source
from sadtalker_service.speech.signal_source import SignalSource

Signal = NDArray[np.float64]

REPOSITORY = Path(__file__).parents[1]
MEASURES = ("opening", "width", "chin")
COLUMNS = ("open_mm", "width_mm", "jaw_mm")
LIMITS = {"opening": 0.50, "width": 0.58, "real_time_factor": 0.25}
SHIFTS = np.arange(-0.2, 0.2001, 0.01)
WIDE_SHIFTS = np.arange(-0.4, 0.4001, 0.02)
FRAME = 0.04  # seconds: lip speed is stated per frame at 25 fps


@dataclass(frozen=True)
class Clip:
    """A speaker: the audio, and the lips in mm at the frame times."""

    name: str
    speech: Speech
    times: Signal
    lips: Signal
    """(F, 3): opening, width, chin."""


@dataclass(frozen=True)
class Timing:
    """Processor seconds of this thread per second of audio, the minimum over the repeats, and wall
    seconds."""

    cpu: float
    wall: float


def main() -> None:
    options = read_options()
    clips = load(options.lips)
    began = time.perf_counter()
    recogniser = PocketsphinxRecogniser()
    loading = time.perf_counter() - began
    recogniser.phonemes(clips[0].speech)
    tracks = [recognize_phonemes(clip.speech, recogniser) for clip in clips]
    motions = predictions(clips, tracks)
    report: dict[str, Any] = {
        "clips": len(clips),
        "seconds": round(sum(clip.speech.duration for clip in clips), 1),
        "scores": {name: score(clips, motion) for name, motion in motions.items()},
        "chance": chance(clips, motions["all passes"]),
        "motion": {
            "predicted": liveliness([(np.arange(len(m)) / 100, m[:, 0]) for m in motions["all passes"]]),
            "real": liveliness([(clip.times, clip.lips[:, 0]) for clip in clips]),
        },
        "loading_seconds": loading,
        "real_time_factor": {k: vars(v) for k, v in timings(clips, recogniser, options.repeats).items()},
        "machine": asdict(this_machine()),
        "limits": LIMITS,
    }
    write = json.dumps(report, indent=1) if options.json else table(report, [clip.name for clip in clips])
    print(write)
    if not holds(report):
        sys.exit("a limit is exceeded")


def read_options() -> argparse.Namespace:
    shared = Path(os.environ.get("SADTALKER_SHARED", REPOSITORY.parent / "shared"))
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n", 1)[0])
    parser.add_argument("--lips", type=Path, default=shared / "reference" / "lips", metavar="FOLDER")
    parser.add_argument("--repeats", type=int, default=3, help="timed runs; the fastest counts")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    return parser.parse_args()


def load(folder: Path) -> list[Clip]:
    """All clips of a folder, by name."""
    clips = []
    for path in sorted(folder.glob("s*.npz")):
        with np.load(path) as file:
            times = file["t"] + file["av_lag_s"]
            speech = Speech(path.stem, file["audio16k"].astype(np.float32), path)
            clips.append(Clip(path.stem, speech, times, np.stack([file[c] for c in COLUMNS], axis=1)))
    if not clips:
        sys.exit(f"no clips in {folder}")
    return clips


def predictions(clips: list[Clip], tracks: list[PhonemeTrack]) -> dict[str, list[Signal]]:
    """Opening, width and chin at 100 ticks per second, by method and clip."""

    def say(tracks: Iterable[PhonemeTrack]) -> list[Signal]:
        spoken = (articulate(track, clip.speech) for track, clip in zip(tracks, clips, strict=True))
        return [articulation.articulators[:, :3].astype(float) for articulation in spoken]

    def only(*passes: int) -> list[Signal]:
        return say(PhonemeTrack(tuple(pick(t.segmentations, passes))) for t in tracks)

    def pick(segmentations: tuple[Segmentation, ...], passes: tuple[int, ...]) -> Iterable[Segmentation]:
        return (segmentations[i] for i in passes)

    loops, network = range(1, 1 + len(SPEEDS)), CtcRecogniser()
    return {
        "all passes": say(tracks),
        "word pass": only(0),
        "phone passes": only(*loops),
        **{f"phones at {speed:.3f}": only(i) for i, speed in zip(loops, SPEEDS, strict=True)},
        "live, 140 ms ahead": live(clips, running_source()),
        "live, signal alone": live(clips, RunningSignal()),
        "network alone": say(PhonemeTrack.exact(tuple(network.recognize(c.speech.samples))) for c in clips),
        "signal alone": say(SignalSource().phonemes(clip.speech) for clip in clips),
        "loudness": [np.repeat(loudness_of(clip)[:, None], 3, axis=1) for clip in clips],
    }


def live(clips: list[Clip], source: RunningSource, look_ahead: int = LOOK_AHEAD) -> list[Signal]:
    """As in a live session: 40 ms at a time, each decided with `look_ahead` ticks more."""
    found = []
    for clip in clips:
        speaking = LiveArticulator(source, look_ahead)
        ticks = -(-len(clip.speech.samples) // TICK)
        frames = -(-(ticks + look_ahead) // 4)
        sound = np.pad(clip.speech.samples, (0, frames * 4 * TICK - len(clip.speech.samples)))
        rows = [speaking.speak(piece).articulators for piece in sound.reshape(frames, 4 * TICK)]
        found.append(np.concatenate(rows)[look_ahead : look_ahead + ticks, :3].astype(float))
        speaking.close()
    return found


def loudness_of(clip: Clip) -> Signal:
    articulation: Articulation = articulate(SignalSource().phonemes(clip.speech), clip.speech)
    return articulation.loudness.astype(float)


def sampled(motion: Signal, times: Signal) -> Signal:
    """(F, 3) of a motion (T, 3) at times in seconds."""
    at = np.arange(len(motion)) / 100
    return np.stack([np.interp(times, at, column) for column in motion.T], axis=1)


def correlation(predicted: Signal, real: Signal) -> Signal:
    """Pearson r of each column; 0 for one that does not move."""
    a, b = predicted - predicted.mean(axis=0), real - real.mean(axis=0)
    norm = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
    return np.asarray(np.where(norm > 1e-9, (a * b).sum(axis=0) / np.maximum(norm, 1e-9), 0.0))


def score(clips: list[Clip], motions: list[Signal]) -> dict[str, Any]:
    """r per clip with the shift that is best for the other clips, its mean, and a bootstrap interval."""
    r = np.array(
        [
            [correlation(sampled(motion, clip.times + shift), clip.lips) for shift in SHIFTS]
            for clip, motion in zip(clips, motions, strict=True)
        ]
    )  # (clips, shifts, measures)
    chosen = [int(np.delete(r[..., :2], i, axis=0).mean(axis=(0, 2)).argmax()) for i in range(len(clips))]
    per_clip = np.array([r[i, shift] for i, shift in enumerate(chosen)])
    draws = np.random.default_rng(0).integers(len(clips), size=(4000, len(clips)))
    low, high = np.percentile(per_clip[draws].mean(axis=1), [2.5, 97.5], axis=0)
    unshifted = r[:, int(np.abs(SHIFTS).argmin())].mean(axis=0)
    ratio = [
        float(
            np.mean(
                [
                    sampled(m, c.times)[:, k].std() / c.lips[:, k].std()
                    for c, m in zip(clips, motions, strict=True)
                ]
            )
        )
        for k in range(len(MEASURES))
    ]
    return {
        "shift_seconds": float(np.median(SHIFTS[chosen])),
        **{
            name: {
                "r": float(per_clip[:, k].mean()),
                "interval": [float(low[k]), float(high[k])],
                "r_without_shift": float(unshifted[k]),
                "sd_ratio": ratio[k],
                "clips": per_clip[:, k].tolist(),
            }
            for k, name in enumerate(MEASURES)
        },
    }


def chance(clips: list[Clip], motions: list[Signal]) -> dict[str, Any]:
    """Result for another speaker's motion with a free shift: mean and 95th percentile of r."""
    best = np.array(
        [
            np.max([correlation(sampled(motion, clip.times + s), clip.lips) for s in WIDE_SHIFTS], axis=0)
            for i, clip in enumerate(clips)
            for j, motion in enumerate(motions)
            if i != j
        ]
    )
    return {
        name: {"mean": float(best[:, k].mean()), "p95": float(np.percentile(best[:, k], 95))}
        for k, name in enumerate(MEASURES)
    }


def liveliness(openings: list[tuple[Signal, Signal]]) -> dict[str, float]:
    """Mean over clips of the statistics of an opening curve at 25 fps, mm."""
    curves = [np.interp(np.arange(t[0], t[-1], FRAME), t, opening) for t, opening in openings]
    return {
        "mean": float(np.mean([c.mean() for c in curves])),
        "sd": float(np.mean([c.std() for c in curves])),
        "change_per_frame": float(np.mean([np.abs(np.diff(c)).mean() for c in curves])),
        "share_closed": float(np.mean([(c < 0.5).mean() for c in curves])),
    }


def timings(clips: list[Clip], recogniser: PocketsphinxRecogniser, repeats: int) -> dict[str, Timing]:
    """Time of each step per second of audio."""
    speeches, network = [clip.speech for clip in clips], CtcRecogniser()
    tracks = [recogniser.phonemes(speech) for speech in speeches]
    steps: dict[str, Callable[[], object]] = {
        "network": lambda: [network.recognize(s.samples) for s in speeches],
        "word pass": lambda: [recogniser.recognize_words(s.samples) for s in speeches],
        **{
            f"phones at {speed:.3f}": lambda speed=speed: [
                recogniser.recognize_phones(s.samples, speed) for s in speeches
            ]
            for speed in SPEEDS
        },
        "articulation": lambda: [articulate(t, s) for t, s in zip(tracks, speeches, strict=True)],
        "speech to motion": lambda: [articulate(recognize_phonemes(s, recogniser), s) for s in speeches],
        "signal alone": lambda: [SignalSource().phonemes(s) for s in speeches],
    }
    seconds = sum(len(s.samples) for s in speeches) / SPEECH_RATE
    return {name: timed(step, seconds, repeats) for name, step in steps.items()}


def timed(step: Callable[[], object], seconds: float, repeats: int) -> Timing:
    cpu, wall = [], []
    for _ in range(repeats):
        began = time.thread_time(), time.perf_counter()
        step()
        cpu.append(time.thread_time() - began[0])
        wall.append(time.perf_counter() - began[1])
    return Timing(min(cpu) / seconds, min(wall) / seconds)


def holds(report: dict[str, Any]) -> bool:
    ours = report["scores"]["all passes"]
    fast = report["real_time_factor"]["speech to motion"]["cpu"] < LIMITS["real_time_factor"]
    return bool(fast and all(ours[name]["r"] >= LIMITS[name] for name in ("opening", "width")))


def table(report: dict[str, Any], names: list[str]) -> str:
    """The report as a readable table."""
    lines = [f"{report['clips']} speakers, {report['seconds']} s; {report['machine']['processor']}", ""]
    lines.append("| method | opening r | width r | chin r | sd ratio opening / width | shift |")
    lines.append("|---|---|---|---|---|---|")
    for name, ours in report["scores"].items():
        cells = [
            f"{ours[m]['r']:.2f} [{ours[m]['interval'][0]:.2f}, {ours[m]['interval'][1]:.2f}]"
            for m in MEASURES
        ]
        ratios = " / ".join(f"{ours[m]['sd_ratio']:.2f}" for m in MEASURES[:2])
        lines.append(f"| {name} | {' | '.join(cells)} | {ratios} | {1000 * ours['shift_seconds']:.0f} ms |")
    by_chance = [f"{c['mean']:.2f} (p95 {c['p95']:.2f})" for c in report["chance"].values()]
    lines.append(f"| chance, shift free | {' | '.join(by_chance)} | | |")
    lines += ["", "| clip | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for measure in MEASURES:
        values = report["scores"]["all passes"][measure]["clips"]
        lines.append(f"| {measure} | " + " | ".join(f"{v:.2f}" for v in values) + " |")
    lines += [
        "",
        "| opening, mm | mean | sd | change per frame at 25 fps | share below 0.5 mm |",
        "|---|---|---|---|---|",
    ]
    for name, m in report["motion"].items():
        cells = [
            f"{m['mean']:.1f}",
            f"{m['sd']:.1f}",
            f"{m['change_per_frame']:.2f}",
            f"{m['share_closed']:.2f}",
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += ["", "| step | processor time per second of sound | wall |", "|---|---|---|"]
    for name, t in report["real_time_factor"].items():
        lines.append(f"| {name} | {t['cpu']:.3f} | {t['wall']:.3f} |")
    lines.append(f"| loading, once | | {report['loading_seconds']:.2f} s |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
