"""Measure the mesh engine by stage and as a whole, compared with the encoder alone on the same frames."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

from sadtalker_service.domain import VideoResult
from sadtalker_service.engines.mesh import MeshEngine
from sadtalker_service.media.audio import open_speech, stream_sound
from sadtalker_service.media.image import encode_png
from sadtalker_service.media.video import write_video
from sadtalker_service.options import RenderOptions
from sadtalker_service.pipeline.from_files import make_video
from sadtalker_service.pipeline.pipeline import Pipeline
from sadtalker_service.pipeline.sources import read_source_image
from sadtalker_service.settings import Settings
from sadtalker_service.store.cache import MemoryCache, NoCache
from sadtalker_service.store.codec import encode

Tell = Callable[[str], None]
"""Called with a description of each measurement."""


@dataclass(frozen=True)
class Case:
    """A kind of video."""

    name: str
    image_size: tuple[int, int] | None
    """Width and height that the source image is resized to, or None to keep its size."""
    options: RenderOptions


CASES = (
    Case("close-up 512x512", None, RenderOptions(preprocess="crop", size=512)),
    Case("full image 1080x1620, medium", (1080, 1620), RenderOptions(preprocess="full", quality="medium")),
    Case("full image 1080x1620, high", (1080, 1620), RenderOptions(preprocess="full", quality="high")),
)


@dataclass(frozen=True)
class Times:
    """Medians over the runs, in seconds."""

    wall: float
    cpu: float
    """Over all threads. Less affected by other work. On two cores the wall time is at least half of this."""


@dataclass(frozen=True)
class Measured:
    """Results of one case."""

    case: str
    video: str
    """Size and frame rate of the video."""
    frames: int
    video_seconds: float
    cold: Times
    """The command `sadtalker generate` from start to end, with an empty cache."""
    warm: Times
    """The same work in a warm process, with an empty cache."""
    cached: Times
    """The same again, with avatar and driven audio cached."""
    writing: Times
    """Writing the same frames and audio without rendering them: the lower limit for any renderer."""
    preparation: float
    """From the decoded source image to the avatar, median seconds."""
    stages: Mapping[str, float]
    """Stage -> median seconds of the warm runs."""
    avatar_bytes: int
    """Cached bytes of an avatar, without previews."""
    preview_bytes: int
    """Additional bytes of the previews."""


def measure(case: Case, source_image: Path, driven_audio: Path, *, repeats: int, tell: Tell) -> Measured:
    """Measure one case. The ways alternate, so that other work on the machine affects all alike."""
    with tempfile.TemporaryDirectory(prefix="sadtalker-bench-") as name:
        folder = Path(name)
        work = _Work(case.options, _resized(source_image, case.image_size, folder), driven_audio, folder)
        work.keep_frames()
        cache = MemoryCache(10**9)
        work.video(cache)
        reports: list[VideoResult] = []
        ways: dict[str, Callable[[], object]] = {
            "cold": work.command,
            "warm": lambda: reports.append(work.video(NoCache())),
            "cached": lambda: work.video(cache),
            "writing": work.write,
        }
        times: dict[str, list[Times]] = {way: [] for way in ways}
        for k in range(repeats):
            for way, run in ways.items():
                tell(f"{case.name}: {way}, {k + 1} of {repeats}")
                times[way].append(_timed(run))
        avatar, previews = work.cache_bytes()
    last = reports[-1]
    prepared = [s.name for s in work.engine.stages if s.essential]
    return Measured(
        case=case.name,
        video=f"{last.width}x{last.height}, {last.fps} fps",
        frames=last.frames,
        video_seconds=last.video_seconds,
        cold=_medians(times["cold"]),
        warm=_medians(times["warm"]),
        cached=_medians(times["cached"]),
        writing=_medians(times["writing"]),
        preparation=median(sum(r.seconds[name] for name in prepared) for r in reports),
        stages={name: median(r.seconds[name] for r in reports) for name in last.seconds},
        avatar_bytes=avatar,
        preview_bytes=previews,
    )


def _timed(run: Callable[[], object]) -> Times:
    cpu, wall = _cpu_seconds(), time.perf_counter()
    run()
    return Times(time.perf_counter() - wall, _cpu_seconds() - cpu)


def _cpu_seconds() -> float:
    """Processor time of this process and its ended children."""
    return sum(os.times()[:4])


def _medians(times: list[Times]) -> Times:
    return Times(median(t.wall for t in times), median(t.cpu for t in times))


class _Work:
    """The work of one case, in all measured ways."""

    def __init__(self, options: RenderOptions, source_image: Path, speech: Path, folder: Path) -> None:
        self._settings = Settings(data_dir=folder)
        self.engine = MeshEngine(self._settings)
        self._options = options
        self._source_image = source_image
        self._speech = speech
        self._output = folder / "video.mp4"

    def command(self) -> None:
        """Run the command in a new process."""
        program = [sys.executable, "-m", "sadtalker_service", "generate", "--engine", "mesh", "--no_cache"]
        files = [
            "--source_image",
            self._source_image,
            "--driven_audio",
            self._speech,
            "--output",
            self._output,
        ]
        options = ["--preprocess", self._options.preprocess, "--size", self._options.side]
        command = [*program, *map(str, files), *map(str, options), "--quality", self._options.quality]
        subprocess.run(command, check=True, capture_output=True)  # noqa: S603  this package's own command

    def video(self, cache: NoCache | MemoryCache) -> VideoResult:
        """Do the whole work in this process."""
        return make_video(
            self.engine, self._source_image, self._speech, self._output, self._options, cache=cache
        )

    def keep_frames(self) -> None:
        """Render all frames into memory, for `write`."""
        settings = self._settings
        source_image = read_source_image(self._source_image, settings)
        speech = open_speech(
            self._speech, max_bytes=settings.max_audio_bytes, max_seconds=settings.max_audio_seconds
        )
        self._reading = speech.reading
        avatar = Pipeline(self.engine, NoCache()).prepare(source_image, self._options).avatar
        features = self.engine.extract_speech_features(speech.pieces())
        motion = self.engine.drive(avatar, features, self._options, None)
        self._rendering = self.engine.render(avatar, motion, self._options)
        self._frames = [batch.copy() for batch in self._rendering.batches]

    def write(self) -> None:
        """Write the kept frames and the audio."""
        again = replace(self._rendering, batches=iter(self._frames))
        sound = stream_sound(self._speech, self._reading)
        write_video(again, self._output, sound=sound, quality=self._options.quality)

    def cache_bytes(self) -> tuple[int, int]:
        """Cached bytes of the avatar: the data for rendering, and the previews."""
        source_image = read_source_image(self._source_image, self._settings)
        made = Pipeline(self.engine, NoCache()).prepare(source_image, self._options, previews=True)
        sizes = {name: len(encode(artefact)) for name, artefact in made.avatar.artefacts.items()}
        needed = sum(sizes[stage.name] for stage in self.engine.stages if stage.essential)
        return needed, sum(sizes.values()) - needed


def _resized(path: Path, size: tuple[int, int] | None, folder: Path) -> Path:
    """The image cropped around its middle to the shape of `size`, and resized to it. Unchanged if `size` is
    None."""
    if size is None:
        return path
    settings = Settings()
    pixels = read_source_image(path, settings).pixels
    height, width = pixels.shape[:2]
    scale = min(width / size[0], height / size[1])
    w, h = round(size[0] * scale), round(size[1] * scale)
    left, top = (width - w) // 2, (height - h) // 2
    cut = Image.fromarray(pixels[top : top + h, left : left + w])
    target = folder / "source_image.png"
    target.write_bytes(encode_png(np.asarray(cut.resize(size, Image.Resampling.LANCZOS))))
    return target
