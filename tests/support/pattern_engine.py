"""A small engine for tests: a patch on the source image is as bright as the driven audio is loud.

With this folder on the path, it is installed as the engine `pattern`.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.domain import (
    SPEECH_RATE,
    Artefact,
    Avatar,
    Motion,
    PreprocessMode,
    Rendering,
    SourceImage,
    SpokenTimeline,
)
from sadtalker_service.engines.port import (
    NO_REFERENCES,
    Capabilities,
    Engine,
    MouthShapes,
    References,
    Stage,
)
from sadtalker_service.errors import NoFaceFound
from sadtalker_service.media.video_frames import read_footage
from sadtalker_service.options import RenderOptions
from sadtalker_service.settings import Settings
from sadtalker_service.speech.sound_buffer import in_blocks

BATCH = 8

SLOW = 1000
"""Options with the seed `SLOW + n` take n milliseconds longer for each batch."""
SLOWEST = 10**6
"""Milliseconds. Larger seeds are those that the pipeline derives."""
DEADLY, HANGING, DEFECT, LOST = 40, 41, 42, 43
"""Values of `pose_style`: end the process in the second batch, never return a second batch, raise an
unexpected error, and raise an error that no process survives."""
DEADLY_PIXEL = (13, 14, 15)
"""A source image with this colour in its corner ends the process that prepares it."""


class PatternEngine(Engine):
    """`calls` counts the real computations."""

    name = "pattern"
    version = "1"
    capabilities = Capabilities(
        preprocess_modes=("crop", "full"), sizes=(64, 512), gestures=("nod_yes", "smile"), enhancers=()
    )

    def __init__(self, settings: Settings | None = None) -> None:
        super().__init__(settings)
        self.calls: Counter[str] = Counter()

    def stages_for(self, options: RenderOptions) -> tuple[Stage, ...]:
        return (
            Stage("face_detection", False, "month", self._detect),
            Stage("face_mesh", True, "forever", self._mesh),
            Stage("visemes", False, "week", self._visemes, essential=False),
        )

    def warm_up(self) -> None:
        self.calls["warm_up"] += 1

    def is_lost(self, error: Exception) -> bool:
        return str(error) == "the device is lost"

    def _detect(
        self, source_image: SourceImage, mode: PreprocessMode, artefacts: Mapping[str, Artefact]
    ) -> Artefact:
        self.calls["face_detection"] += 1
        if source_image.pixels.max() < 10:
            raise NoFaceFound("No face was found in the source image.", param="source_image")
        w, h = source_image.size
        return Artefact({}, {"box": [w // 4, h // 4, 3 * w // 4, 3 * h // 4]})

    def _mesh(
        self, source_image: SourceImage, mode: PreprocessMode, artefacts: Mapping[str, Artefact]
    ) -> Artefact:
        self.calls["face_mesh"] += 1
        if tuple(source_image.pixels[0, 0]) == DEADLY_PIXEL:
            os.kill(os.getpid(), signal.SIGKILL)
        x0, y0, x1, y1 = (v // 2 * 2 for v in artefacts["face_detection"].record["box"])
        h, w = source_image.pixels.shape[:2]
        return Artefact(
            {"background": source_image.pixels[: h // 2 * 2, : w // 2 * 2]}, {"box": [x0, y0, x1, y1]}
        )

    def _visemes(
        self, source_image: SourceImage, mode: PreprocessMode, artefacts: Mapping[str, Artefact]
    ) -> Artefact:
        self.calls["visemes"] += 1
        pictures = np.stack([np.full((8, 8, 3), shade, np.uint8) for shade in range(0, 210, 30)])
        names = tuple(f"v{n}" for n in range(len(pictures)))
        return MouthShapes(pictures, names, {"A": "v0", "B": "v6"}).to_artefact()

    def extract_speech_features(
        self, sound: Iterator[NDArray[np.float32]], timeline: SpokenTimeline | None = None
    ) -> Iterator[Artefact]:
        self.calls["speech_features"] += 1
        return self._loudness(sound)

    @staticmethod
    def _loudness(sound: Iterator[NDArray[np.float32]]) -> Iterator[Artefact]:
        seconds = 0.0
        for block in in_blocks(sound, SPEECH_RATE // 2):
            ticks = np.resize(block, (-(-len(block) // 160), 160))
            seconds += len(block) / SPEECH_RATE
            loudness = np.sqrt((ticks**2).mean(axis=1)).astype(np.float32)
            yield Artefact({"loudness": loudness}, {"seconds": seconds})

    def frame_count(self, duration: float, fps: int) -> int:
        return round(duration * fps)

    def drive(
        self,
        avatar: Avatar,
        speech_features: Iterator[Artefact] | None,
        options: RenderOptions,
        duration: float | None,
        references: References = NO_REFERENCES,
    ) -> Iterator[Motion]:
        record = {"warnings": ["input_yaw was limited to 6 degrees."]} if options.input_yaw else {}
        if speech_features is None:
            level = np.zeros(self.frame_count(duration or 0.0, options.fps), np.float32)
            yield Motion(options.fps, {"level": level}, record)
            return
        first_tick = frame = 0
        for window in speech_features:
            loudness = window.arrays["loudness"]
            stop = self.frame_count(window.record["seconds"], options.fps)
            ticks = np.arange(frame, stop) * 100 // options.fps - first_tick
            frame, first_tick = stop, first_tick + len(loudness)
            if len(ticks):
                heard = loudness[np.clip(ticks, 0, len(loudness) - 1)] * options.expression_scale
                yield Motion(options.fps, {"level": heard.astype(np.float32)}, record)

    def frame_size(self, avatar: Avatar, options: RenderOptions) -> tuple[int, int]:
        height, width = avatar.artefacts[self._mesh_name(options)].arrays["background"].shape[:2]
        return width, height

    def _mesh_name(self, options: RenderOptions) -> str:
        return "face_mesh"

    def render(
        self,
        avatar: Avatar,
        motion: Iterator[Motion],
        options: RenderOptions,
    ) -> Rendering:
        mesh = avatar.artefacts["face_mesh"]
        background = mesh.arrays["background"]
        x0, y0, x1, y1 = mesh.record["box"]

        def draw() -> Iterator[NDArray[np.uint8]]:
            pictures = np.empty((BATCH, y1 - y0, x1 - x0, 3), np.uint8)
            for levels in _in_batches(motion):
                for picture, level in zip(pictures, levels, strict=False):
                    picture[:] = min(255, int(16 + 400 * level))
                yield pictures[: len(levels)]
                _misbehave(options)

        return Rendering(background, (x0, y0, x1, y1), options.fps, None, draw())


def _in_batches(motion: Iterator[Motion]) -> Iterator[NDArray[np.float32]]:
    """Whole batches, except for the last one."""
    rest = np.zeros(0, np.float32)
    for window in motion:
        rest = np.concatenate([rest, window.coefficients["level"]])
        while len(rest) >= BATCH:
            yield rest[:BATCH]
            rest = rest[BATCH:]
    if len(rest):
        yield rest


def _misbehave(options: RenderOptions) -> None:
    """Called after the first batch, and after each batch of a slow video."""
    if options.pose_style == DEADLY:
        os.kill(os.getpid(), signal.SIGKILL)
    if options.pose_style == HANGING:
        time.sleep(3600)
    if options.pose_style == DEFECT:
        raise RuntimeError("a defect of the engine")
    if options.pose_style == LOST:
        raise RuntimeError("the device is lost")
    if options.seed is not None and SLOW <= options.seed < SLOW + SLOWEST:
        time.sleep((options.seed - SLOW) / 1000)


class SketchEngine(PatternEngine):
    """Has only two sizes, and reference videos and enhancers, like a neural engine.

    The patch is brighter by a quarter of the mean value of the reference videos. The face enhancer makes it
    black, the background enhancer makes everything around it black.
    """

    name = "sketch"
    version = "2-abc"
    capabilities = Capabilities(
        preprocess_modes=("crop", "full"),
        sizes=(256, 512),
        only_sizes=(256, 512),
        default_size=256,
        enhancers=("gfpgan", "realesrgan"),
        reference_video=True,
        honours=("batch_size", "checkpoint_dir"),
    )

    def __init__(self, settings: Settings | None = None) -> None:
        super().__init__(settings)
        self.batches: list[int | None] = []

    def stages_for(self, options: RenderOptions) -> tuple[Stage, ...]:
        """The mesh depends on the size."""
        detection = Stage("face_detection", False, "month", self._detect)
        return (detection, Stage(_mesh_of(options.side), True, "forever", self._mesh))

    def _mesh_name(self, options: RenderOptions) -> str:
        return _mesh_of(options.side)

    def extract_reference_motion(self, video: Path, mode: PreprocessMode) -> Artefact:
        self.calls["reference_motion"] += 1
        pictures = [picture for _, picture in read_footage(video, max_seconds=5, max_pixels=10**6)]
        return Artefact({"mean": np.array([np.mean(pictures)], np.float32)})

    def drive(
        self,
        avatar: Avatar,
        speech_features: Iterator[Artefact] | None,
        options: RenderOptions,
        duration: float | None,
        references: References = NO_REFERENCES,
    ) -> Iterator[Motion]:
        reference_motion = [video for video in (references.eyeblink, references.pose) if video is not None]
        extra = sum(float(video.arrays["mean"][0]) for video in reference_motion) / 4 / 400
        for motion in super().drive(avatar, speech_features, options, duration):
            yield replace(motion, coefficients={"level": motion.coefficients["level"] + np.float32(extra)})

    def render(
        self,
        avatar: Avatar,
        motion: Iterator[Motion],
        options: RenderOptions,
    ) -> Rendering:
        self.batches.append(options.batch_size)
        mesh = avatar.artefacts[_mesh_of(options.side)]
        plain = super().render(replace(avatar, artefacts={"face_mesh": mesh}), motion, options)
        batches = plain.batches
        if options.enhancer:
            batches = (np.zeros_like(batch) for batch in plain.batches)
        background = np.zeros_like(plain.background) if options.background_enhancer else plain.background
        return replace(plain, background=background, batches=batches)


def _mesh_of(size: int) -> str:
    return "face_mesh" if size == 256 else f"face_mesh_{size}"


class BrokenEngine(PatternEngine):
    """Installed, but cannot run here."""

    name = "broken"

    def warm_up(self) -> None:
        raise RuntimeError("no graphics card")


class DeadlyEngine(PatternEngine):
    """Installed, but ends every process that loads it."""

    name = "deadly"

    def warm_up(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)
