"""Measure how soon a video begins, and how fast a new recording becomes one.

    .venv/bin/python benchmarks/first_picture.py [--before CHECKOUT] [--seconds 3 10 60 600] [--repeats 3]

Known avatar, new sound, a warm process, as in a worker: from the path of the recording until the first
fragment with a picture, and, for up to 60 seconds, until the finished file. Then the command in a fresh
process without a cache, from its start to its end. The sounds are the example's voice, repeated; each run
gets a new one. `--before` is a checkout of another build: both are measured in turn, so that load on the
machine hits both alike, and the ratio of the medians is shown. It has this benchmark, and its kernels are
compiled.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from sadtalker_service.bench.cores import core_time, stolen_share
from sadtalker_service.bench.machine import this_machine

REPOSITORY = Path(__file__).parents[1]
PORTRAIT = REPOSITORY / "examples" / "portrait.jpg"
VOICE = REPOSITORY / "examples" / "speech.wav"
WHOLE_UP_TO = 60
"""Seconds of sound up to which the whole video is made. Of longer ones only the first picture is awaited."""


def main() -> None:
    options = read_options()
    if options.serve:
        serve()
        return
    builds = {"now": REPOSITORY, **({"before": options.before.resolve()} if options.before else {})}
    before = core_time()
    report: dict[str, Any] = {"machine": asdict(this_machine())}
    with tempfile.TemporaryDirectory() as scratch:
        report["warm"] = warm(builds, options.seconds, options.repeats, Path(scratch))
        report["command"] = commands(builds, options.repeats, Path(scratch))
    report["stolen"] = stolen_share(before, core_time())
    print(json.dumps(report, indent=1) if options.json else table(report))


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n", 1)[0])
    parser.add_argument("--before", type=Path, metavar="CHECKOUT", help="another build to compare with")
    parser.add_argument("--seconds", type=int, nargs="+", default=[3, 10, 60, 600])
    parser.add_argument("--repeats", type=int, default=3, help="runs per median")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def warm(builds: dict[str, Path], lengths: list[int], repeats: int, scratch: Path) -> dict[str, Any]:
    """Length -> build -> medians of the first picture and of the whole."""
    found: dict[str, Any] = {}
    with ExitStack() as stack:
        children = {name: stack.enter_context(child(path)) for name, path in builds.items()}
        for seconds in lengths:
            runs: dict[str, list[dict[str, Any]]] = {name: [] for name in builds}
            for number in range(repeats):
                sound = write_sound(scratch / "sound.wav", seconds, number + 1000 * seconds)
                for name, process in children.items():
                    runs[name].append(ask(process, {"sound": str(sound), "whole": seconds <= WHOLE_UP_TO}))
            found[str(seconds)] = {name: medians(rows) for name, rows in runs.items()}
    return found


def commands(builds: dict[str, Path], repeats: int, scratch: Path) -> dict[str, Any]:
    """Build -> median of wall seconds and of the speed of the command in a fresh process."""
    runs: dict[str, list[float]] = {name: [] for name in builds}
    files = ["--source_image", PORTRAIT, "--driven_audio", VOICE, "--output", scratch / "video.mp4"]
    command = [sys.executable, "-m", "sadtalker_service", "generate", "--engine", "mesh", "--no_cache"]
    for _ in range(repeats):
        for name, path in builds.items():
            began = time.perf_counter()
            subprocess.run([*command, *map(str, files)], check=True, capture_output=True, env=use(path))  # noqa: S603
            runs[name].append(time.perf_counter() - began)
    length = len(samples()) / 16_000
    return {
        name: {"seconds": statistics.median(walls), "speed": length / statistics.median(walls)}
        for name, walls in runs.items()
    }


def samples() -> np.ndarray:
    """int16 (N,) at 16 kHz: the example's voice."""
    with wave.open(str(VOICE)) as file:
        raw = np.frombuffer(file.readframes(file.getnframes()), np.int16)
        step = file.getframerate() // 16_000
        return raw.reshape(-1, file.getnchannels())[:: max(1, step), 0]


def write_sound(path: Path, seconds: int, seed: int) -> Path:
    """The voice from another place, repeated, with noise that makes each file a new one."""
    voice = samples()
    rng = np.random.default_rng(seed)
    start = int(rng.integers(len(voice)))
    sound = np.resize(np.roll(voice, -start), seconds * 16_000) + rng.integers(-2, 3, seconds * 16_000)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(np.clip(sound, -32768, 32767).astype("<i2").tobytes())
    return path


def use(build: Path) -> dict[str, str]:
    """The environment in which Python finds that build first."""
    return {**os.environ, "PYTHONPATH": str(build / "src")}


@contextmanager
def child(build: Path) -> Iterator[subprocess.Popen[str]]:
    """A warm process of a build, which runs its own version of this script."""
    command = [sys.executable, str(build / "benchmarks" / "first_picture.py"), "--serve"]
    with subprocess.Popen(  # noqa: S603  this script
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=use(build)
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


def ask(process: subprocess.Popen[str], request: dict[str, Any]) -> dict[str, Any]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(request) + "\n")
    process.stdin.flush()
    line = process.stdout.readline()
    if not line:
        sys.exit("a build ended without an answer")
    reply: dict[str, Any] = json.loads(line)
    return reply


def medians(rows: list[dict[str, Any]]) -> dict[str, float]:
    return {
        name: statistics.median(row[name] for row in rows) for name in rows[0] if rows[0][name] is not None
    }


def serve() -> None:
    """Make a video for each line on standard input, and answer with its times."""
    from sadtalker_service.engines.mesh import MeshEngine  # noqa: PLC0415
    from sadtalker_service.options import RenderOptions  # noqa: PLC0415
    from sadtalker_service.pipeline.pipeline import Pipeline  # noqa: PLC0415
    from sadtalker_service.pipeline.sources import read_source_image  # noqa: PLC0415
    from sadtalker_service.settings import Settings  # noqa: PLC0415
    from sadtalker_service.store.cache import MemoryCache  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder))
        engine, cache = MeshEngine(settings), MemoryCache(10**9)
        engine.warm_up()
        options = RenderOptions(preprocess="crop", size=512)
        image = read_source_image(PORTRAIT, settings)
        Pipeline(engine, cache).prepare(image, options)
        for seconds in (2, 3):  # the second one finds the recogniser's other process ready
            make(engine, cache, image, options, write_sound(Path(folder) / "w.wav", seconds, seconds), True)
            time.sleep(1.5)
        for line in sys.stdin:
            request = json.loads(line)
            reply = make(engine, cache, image, options, Path(request["sound"]), request["whole"])
            sys.stdout.write(json.dumps(reply) + "\n")
            sys.stdout.flush()


def make(
    engine: Any, cache: Any, image: Any, options: Any, sound: Path, whole: bool
) -> dict[str, float | None]:
    from sadtalker_service.errors import Cancelled  # noqa: PLC0415
    from sadtalker_service.media.audio import open_speech  # noqa: PLC0415
    from sadtalker_service.pipeline.pipeline import Pipeline  # noqa: PLC0415
    from sadtalker_service.pipeline.progress import Reporter  # noqa: PLC0415

    viewer = Viewer()
    reporter = Reporter(cancelled=lambda: not whole and viewer.picture is not None)
    pipeline = Pipeline(engine, cache, reporter=reporter)
    began = viewer.began = time.perf_counter()
    limits = engine.settings
    speech = open_speech(sound, max_bytes=limits.max_audio_bytes, max_seconds=limits.max_audio_seconds)
    prepared = pipeline.prepare(image, options)
    total = None
    try:
        result = pipeline.render(prepared, speech, options, sound.with_suffix(".mp4"), stream=viewer)
        total = time.perf_counter() - began
    except Cancelled:
        return {"picture": viewer.picture, "total": None, "speed": None}
    return {"picture": viewer.picture, "total": total, "speed": result.video_seconds / total}


class Viewer:
    """Notes when the first fragment with a picture comes."""

    began = 0.0
    picture: float | None = None

    def write(self, data: bytes, /) -> int:
        if self.picture is None and b"moof" in data[:512]:
            self.picture = time.perf_counter() - self.began
        return len(data)


def table(report: dict[str, Any]) -> str:
    machine = report["machine"]
    lines = [
        f"{machine['processor']}, {machine['cores']} cores, Python {machine['python']}.",
        f"Load {machine['load']:.1f} before; the host took {100 * report['stolen']:.0f}% meanwhile. Medians.",
        "",
        "| sound | first picture | before | sooner | speed | before |",
        "|---|---|---|---|---|---|",
    ]
    for seconds, builds in report["warm"].items():
        now, old = builds["now"], builds.get("before", {})
        sooner = f"{old['picture'] / now['picture']:.1f}x" if old else ""
        cells = [_seconds(now), _seconds(old), sooner, _speed(now), _speed(old)]
        lines.append(f"| {seconds} s | {' | '.join(cells)} |")
    lines += ["", "| the command, fresh process | seconds | speed |", "|---|---|---|"]
    lines += [f"| {n} | {c['seconds']:.2f} | {c['speed']:.1f}x |" for n, c in report["command"].items()]
    return "\n".join(lines)


def _seconds(row: dict[str, float]) -> str:
    return f"{row['picture']:.2f} s" if row else ""


def _speed(row: dict[str, float]) -> str:
    return f"{row['speed']:.1f}x" if "speed" in row else ""


if __name__ == "__main__":
    main()
