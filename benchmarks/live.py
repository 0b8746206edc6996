"""Measure live sessions of the mesh engine, without a network: latency, interruptions, load, memory.

    .venv/bin/python benchmarks/live.py [--seconds 30] [--sessions 2] [--minutes 30] [--json]

A 512x512 close-up at 25 frames per second, encoded as H.264, as a worker does it. The voice is the example's,
in utterances of four seconds with pauses of two, pushed in pieces of 20 ms in real time.

- latency: from the arrival of a piece to the hand-over of the frame in which it begins to be heard.
- interruption: from `clear_buffer` to the first frame with an opening below 0.5 mm.
- sessions: frames that were done after the next one was due, while so many sessions run in one process.
- sound and lips: delay between the loudness of the sound and the opening that the driver wants, by the same
  measure for the live session and for the file with the same voice.
- growth: resident memory after `--minutes` of session compared with that after one minute. This runs faster
  than real time and draws every tenth frame.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from sadtalker_service.bench.machine import this_machine
from sadtalker_service.domain import SPEECH_RATE, Avatar, Motion
from sadtalker_service.engines.live_port import LiveDriver, LiveMoment
from sadtalker_service.engines.mesh import MeshEngine
from sadtalker_service.live.avatar import LIVE_FPS, LIVE_RATE, LiveAvatar, LiveFrame
from sadtalker_service.live.pacing import Pacer
from sadtalker_service.live.resampling import StreamResampler
from sadtalker_service.media.audio import decode_speech
from sadtalker_service.options import RenderOptions
from sadtalker_service.pipeline.pipeline import Pipeline
from sadtalker_service.pipeline.sources import lazy_source_image
from sadtalker_service.store.directory import DirectoryCache

EXAMPLES = Path(__file__).parents[1] / "examples"
OPTIONS = RenderOptions(preprocess="crop", size=512)
LIMITS = {
    "latency p95, ms": 300.0,
    "interruption p95, ms": 150.0,
    "late frames": 0.01,
    "growth, MB": 20.0,
    "sound and lips, ms": 40.0,
}
PIECE = LIVE_RATE // 50
SPEECH, PAUSE = 4.0, 2.0  # seconds
SHUT = 0.5  # mm
LAGS = np.arange(-10, 11)  # frames of 10 ms

Sound = NDArray[np.float32]


def main() -> None:
    options = read_options()
    engine = WatchedEngine()
    voice = decode_speech(EXAMPLES / "speech.wav", max_bytes=10**7, max_seconds=60).samples
    voice24 = StreamResampler(SPEECH_RATE, LIVE_RATE).push(voice)
    with tempfile.TemporaryDirectory() as folder:
        pipeline = Pipeline(engine, DirectoryCache(Path(folder), 10**9))
        image = lazy_source_image(EXAMPLES / "portrait.jpg", engine.settings, pipeline.cache)
        avatar = pipeline.prepare(image, OPTIONS).avatar
    warm_up(engine, avatar, voice24)
    one = run_sessions(engine, avatar, voice24, 1, options.seconds)
    several = run_sessions(engine, avatar, voice24, options.sessions, options.seconds)
    report: dict[str, Any] = {
        "machine": asdict(this_machine()),
        "one session": one,
        f"{options.sessions} sessions": several,
        "interruption, ms": interruptions(engine, avatar, voice24, 20),
        "sound and lips": lip_delay(engine, avatar, voice, voice24),
        "growth": growth(engine, avatar, voice24, options.minutes),
    }
    report["held"] = held(report, several)
    print(json.dumps(report, indent=1) if options.json else "\n".join(lines(report)))
    if not all(report["held"].values()):
        sys.exit("a limit is exceeded")


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n", 1)[0])
    parser.add_argument("--seconds", type=float, default=30.0, help="of each run in real time")
    parser.add_argument("--sessions", type=int, default=2, help="at once")
    parser.add_argument(
        "--minutes", type=float, default=30.0, help="of session for the growth of memory, > 1"
    )
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    options = parser.parse_args()
    if options.minutes <= 1:
        parser.error("--minutes must be more than 1: memory is compared with that after one minute")
    return options


class WatchedEngine(MeshEngine):
    """Notes the opening of each frame and the time that its motion took."""

    def live_driver(self, avatar: Avatar, options: RenderOptions) -> WatchedDriver:
        return WatchedDriver(super().live_driver(avatar, options))


class WatchedDriver(LiveDriver):
    def __init__(self, driver: LiveDriver) -> None:
        self.driver = driver
        self.look_ahead = driver.look_ahead
        self.openings: list[float] = []
        self.seconds: list[float] = []

    def move(self, moment: LiveMoment) -> Motion:
        began = time.perf_counter()
        motion = self.driver.move(moment)
        self.seconds.append(time.perf_counter() - began)
        self.openings.append(float(motion.coefficients["opening"][0]))
        return motion

    def close(self) -> None:
        self.driver.close()


def watched(live: LiveAvatar) -> WatchedDriver:
    driver = live._driver
    assert isinstance(driver, WatchedDriver)
    return driver


def warm_up(engine: MeshEngine, avatar: Avatar, voice: Sound) -> None:
    live = LiveAvatar(engine, avatar, OPTIONS)
    live.push_audio(voice[:LIVE_RATE], LIVE_RATE)
    for _ in range(30):
        live.next_frame()
    live.close()


class Session:
    """One session in real time: a thread that pushes sound, and one that takes frames and encodes them."""

    def __init__(
        self, engine: MeshEngine, avatar: Avatar, voice: Sound, seconds: float, shift: float
    ) -> None:
        self.live = LiveAvatar(engine, avatar, OPTIONS)
        self.pacer = Pacer(LIVE_FPS)
        self.voice = voice
        self.seconds = seconds
        self.shift = shift
        self.pushed: list[tuple[float, bytes]] = []
        """Arrival, and the bytes of each piece."""
        self.shown: list[tuple[float, Sound]] = []
        """Hand-over of each frame, and its sound."""
        self.making: list[float] = []
        self.encoding: list[float] = []
        self.threads = [threading.Thread(target=self.feed), threading.Thread(target=self.take)]

    def feed(self) -> None:
        begin = time.monotonic() + self.shift
        at, number = 0, 0
        while (due := begin + number * (SPEECH + PAUSE)) < begin + self.seconds - SPEECH:
            for k in range(int(SPEECH * 50)):
                time.sleep(max(0.0, due + k / 50 - time.monotonic()))
                piece = self.voice[at : at + PIECE]
                at = at + PIECE if at + 2 * PIECE < len(self.voice) else 0
                self.pushed.append((time.monotonic(), piece.tobytes()))
                self.live.push_audio(piece, LIVE_RATE, f"{number}")
            self.live.end_audio(f"{number}")
            number += 1

    def take(self) -> None:
        encoder = Encoder(self.live.size)
        for _ in range(int(self.seconds * LIVE_FPS)):
            turn = self.pacer.turn()
            time.sleep(turn.wait)
            began = time.perf_counter()
            frame = self.live.next_frame(draw=turn.draw)
            self.shown.append((time.monotonic(), frame.sound))
            made = time.perf_counter()
            encoder.encode(frame)
            self.making.append(made - began)
            self.encoding.append(time.perf_counter() - made)
            self.pacer.done()

    def latencies(self) -> Sound:
        """Of each piece, ms: the pieces come out in their order, each whole."""
        heard = b"".join(sound.tobytes() for _, sound in self.shown)
        size = LIVE_RATE // LIVE_FPS * 4
        found, at = [], 0
        for arrival, piece in self.pushed:
            if not np.frombuffer(piece, np.float32).any():
                continue
            place = heard.find(piece, at)
            if place < 0:  # broken up, because it came late
                continue
            at = place
            found.append(1000 * (self.shown[at // size][0] - arrival))
        return np.array(found, np.float32)


class Encoder:
    """H.264 without delay."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.context = av.CodecContext.create("libx264", "w")
        self.context.width, self.context.height = size
        self.context.pix_fmt = "yuv420p"
        self.context.time_base = Fraction(1, LIVE_FPS)
        self.context.options = {"preset": "veryfast", "tune": "zerolatency", "crf": "23", "threads": "1"}

    def encode(self, frame: LiveFrame) -> None:
        picture = av.VideoFrame.from_ndarray(frame.picture, format="rgb24").reformat(format="yuv420p")
        picture.pts = frame.index
        self.context.encode(picture)


def run_sessions(
    engine: MeshEngine, avatar: Avatar, voice: Sound, count: int, seconds: float
) -> dict[str, float]:
    """Several sessions at once, for some seconds."""
    sessions = [Session(engine, avatar, voice, seconds, 0.7 * k) for k in range(count)]
    began = time.process_time(), time.monotonic()
    for thread in (thread for session in sessions for thread in session.threads):
        thread.start()
    for thread in (thread for session in sessions for thread in session.threads):
        thread.join()
    cpu, wall = time.process_time() - began[0], time.monotonic() - began[1]
    latency = np.concatenate([session.latencies() for session in sessions])
    pieces = sum(bool(np.frombuffer(p, np.float32).any()) for s in sessions for _, p in s.pushed)
    frames = sum(session.pacer.frames for session in sessions)
    drift = max(abs(s.shown[-1][0] - s.shown[0][0] - (s.pacer.frames - 1) / LIVE_FPS) for s in sessions)
    moving = np.concatenate([watched(session.live).seconds for session in sessions])
    making = np.concatenate([session.making for session in sessions])
    encoding = np.concatenate([session.encoding for session in sessions])
    for session in sessions:
        session.live.close()
    return {
        "latency p50, ms": float(np.percentile(latency, 50)),
        "latency p95, ms": float(np.percentile(latency, 95)),
        "latency max, ms": float(latency.max()),
        "pieces found": float(len(latency) / pieces),
        "late frames": sum(session.pacer.late for session in sessions) / frames,
        "frames not drawn": sum(session.pacer.skipped for session in sessions) / frames,
        "drift at the end, frames": drift * LIVE_FPS,
        "motion, ms": 1000 * float(np.median(moving)),
        "motion p95, ms": 1000 * float(np.percentile(moving, 95)),
        "motion and picture, ms": 1000 * float(np.median(making)),
        "motion and picture p95, ms": 1000 * float(np.percentile(making, 95)),
        "encoding, ms": 1000 * float(np.median(encoding)),
        "share of a frame's 40 ms": 25 * float(np.median(making + encoding)),
        "processor cores": cpu / wall,
    }


def interruptions(engine: MeshEngine, avatar: Avatar, voice: Sound, count: int) -> dict[str, float]:
    """From `clear_buffer` to the frame with a shut mouth, in real time."""
    live, pacer = LiveAvatar(engine, avatar, OPTIONS), Pacer(LIVE_FPS)
    random, found = np.random.default_rng(1), []

    def frames(more: Callable[[], bool]) -> None:
        while more():
            turn = pacer.turn()
            time.sleep(turn.wait)
            live.next_frame(draw=turn.draw)
            pacer.done()

    for k in range(count):
        begin = int(random.integers(0, len(voice) - 3 * LIVE_RATE))
        live.push_audio(voice[begin : begin + 3 * LIVE_RATE], LIVE_RATE, str(k))
        until = pacer.frames + int(random.integers(15, 40))
        frames(lambda until=until: pacer.frames < until or watched(live).openings[-1] < 4.0)
        # anywhere between two frames
        timer = threading.Timer(float(random.uniform(0.0, 0.04)), live.clear_buffer)
        timer.start()
        frames(timer.is_alive)
        cleared = time.monotonic() if not live.queued_seconds else 0.0
        frames(lambda: watched(live).openings[-1] >= SHUT)
        found.append(1000 * (time.monotonic() - cleared))
    live.close()
    return {"p50": float(np.percentile(found, 50)), "p95": float(np.percentile(found, 95)), "max": max(found)}


def lip_delay(engine: MeshEngine, avatar: Avatar, voice: Sound, voice24: Sound) -> dict[str, float]:
    """Delay of the sound after the lips, ms, live and in a file; and r of both openings."""
    live = LiveAvatar(engine, avatar, OPTIONS)
    live.push_audio(voice24, LIVE_RATE)
    live.end_audio()
    made = [live.next_frame(draw=False) for _ in range(int(len(voice24) / LIVE_RATE * LIVE_FPS) + 20)]
    sound = np.concatenate([frame.sound for frame in made])
    begin = int(np.flatnonzero(sound)[0] - np.flatnonzero(voice24)[0])
    features = engine.extract_speech_features(iter([voice]))
    file = Motion.joined(engine.drive(avatar, features, OPTIONS, None)).coefficients["opening"]
    opening = np.array(watched(live).openings)
    live.close()
    return {
        "live, ms": delay(opening, sound),
        "file, ms": delay(file, voice24),
        "r of both": best_correlation(file, opening, begin / LIVE_RATE),
    }


def delay(opening: NDArray[Any], sound: Sound) -> float:
    """Lag, ms, at which the level of the sound and the opening agree best. The same measure for both."""
    ticks = LIVE_RATE // 100
    level = np.log10(np.square(sound[: len(sound) // ticks * ticks].reshape(-1, ticks)).mean(axis=1) + 1e-6)
    at = (np.arange(len(opening)) + 0.5) / LIVE_FPS
    times = np.arange(len(level)) / 100 + 0.005
    curve = np.interp(times, at, opening)
    r = [np.corrcoef(np.roll(level, -lag)[20:-20], curve[20:-20])[0, 1] for lag in LAGS]
    return 10.0 * float(LAGS[int(np.argmax(r))])


def best_correlation(file: NDArray[Any], live: NDArray[Any], begin: float) -> float:
    """Of the opening of a file, and of the live session that begins to speak it after `begin` seconds."""
    times = (np.arange(len(file)) + 0.5) / LIVE_FPS
    shown = np.interp(times + begin, (np.arange(len(live)) + 0.5) / LIVE_FPS, live)
    return float(np.corrcoef(file, shown)[0, 1])


def growth(engine: MeshEngine, avatar: Avatar, voice: Sound, minutes: float) -> dict[str, float]:
    """Resident memory, MB, and samples of sound that are missing at the end."""
    live = LiveAvatar(engine, avatar, OPTIONS)
    frames, samples, first = int(minutes * 60 * LIVE_FPS), 0, 0.0
    utterances = talk(voice)
    for n in range(frames):
        if n % int((SPEECH + PAUSE) * LIVE_FPS) == 0:
            live.push_audio(next(utterances), LIVE_RATE, str(n))
            live.end_audio(str(n))
            if n % 7 == 6:
                live.clear_buffer()
        samples += len(live.next_frame(draw=n % 10 == 0).sound)
        if n == 60 * LIVE_FPS:
            first = resident()
    last = resident()
    live.close()
    return {
        "minutes": minutes,
        "after one minute, MB": first,
        "at the end, MB": last,
        "growth, MB": last - first,
        "drift, samples": float(samples - frames * LIVE_RATE // LIVE_FPS),
    }


def talk(voice: Sound) -> Iterator[Sound]:
    """Utterances without end, never the same ones in a row."""
    at, length = 0, int(SPEECH * LIVE_RATE)
    while True:
        yield voice[at : at + length]
        at = (at + 12_347) % (len(voice) - length)


def resident() -> float:
    """Memory of this process, MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def held(report: dict[str, Any], several: dict[str, float]) -> dict[str, bool]:
    lips = report["sound and lips"]
    found = {
        "latency p95, ms": max(report["one session"]["latency p95, ms"], several["latency p95, ms"]),
        "interruption p95, ms": report["interruption, ms"]["p95"],
        "late frames": several["late frames"],
        "growth, MB": report["growth"]["growth, MB"],
        "sound and lips, ms": abs(lips["live, ms"] - lips["file, ms"]),
    }
    return {name: value <= LIMITS[name] for name, value in found.items()}


def lines(report: dict[str, Any]) -> Iterator[str]:
    machine = report["machine"]
    yield f"{machine['processor']}, {machine['cores']} cores, load {machine['load']} before"
    for name, part in report.items():
        if name in {"machine", "held"}:
            continue
        yield f"\n{name}"
        yield from (f"  {key:32} {value:9.2f}" for key, value in part.items())
    yield "\nheld: " + ", ".join(f"{name} {'yes' if ok else 'NO'}" for name, ok in report["held"].items())


if __name__ == "__main__":
    main()
