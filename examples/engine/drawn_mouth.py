"""An example engine: a drawn mouth that opens with the loudness of the driven audio.

Stages turn a picture into artefacts (cached by the service), `extract_speech_features` turns a recording into
some (cached too), `drive` turns both into motion, and `render` turns motion into frames. The last three go
window by window, so that the first frames are drawn while the rest of the recording is still being read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

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
from sadtalker_service.engines.detection import DETECTION, detect_face, landmarks_of, upright
from sadtalker_service.engines.port import NO_REFERENCES, Capabilities, Engine, References, Stage
from sadtalker_service.faces.landmarker import FaceLandmarker
from sadtalker_service.options import RenderOptions
from sadtalker_service.speech.sound_buffer import in_blocks

LEFT_CORNER, RIGHT_CORNER = 61, 291
"""Landmarks at the corners of the mouth."""
TICK = 160
"""Samples in a hundredth of a second at 16 kHz."""
FULL_LOUDNESS = 0.15
"""Root mean square at which the mouth is wide open."""
SMOOTHED = 9
"""Ticks over which the loudness is averaged. It therefore comes four ticks late."""
BATCH = 8
"""Frames per batch. A cancelled job stops after the current batch."""


class DrawnMouthEngine(Engine):
    """Shows the whole source image; only the mouth moves."""

    name = "drawn"
    version = "1"
    capabilities = Capabilities(preprocess_modes=("full",), sizes=(64, 4096))

    def stages_for(self, options: RenderOptions) -> tuple[Stage, ...]:
        """The detection of the face, and the image with the position of the mouth. No option affects them."""
        return (
            Stage(DETECTION, per_mode=False, lifetime="month", compute=self._detect),
            Stage("drawing", per_mode=True, lifetime="month", compute=_drawing),
        )

    def extract_speech_features(
        self, sound: Iterator[NDArray[np.float32]], timeline: SpokenTimeline | None = None
    ) -> Iterator[Artefact]:
        """Loudness at 100 Hz, float32 (T,), 0..1, a second at a time, and with it the seconds so far."""
        before, seconds = np.zeros(SMOOTHED - 1, np.float32), 0.0
        for block in in_blocks(sound, 100 * TICK):
            ticks = np.resize(block, (-(-len(block) // TICK), TICK))
            loudness = np.minimum(np.sqrt((ticks**2).mean(axis=1)) / FULL_LOUDNESS, 1.0)
            known = np.concatenate([before, loudness]).astype(np.float32)
            before, seconds = known[1 - SMOOTHED :], seconds + len(block) / SPEECH_RATE
            smooth = np.convolve(known, np.ones(SMOOTHED, np.float32) / SMOOTHED, mode="valid")
            yield Artefact({"loudness": smooth}, {"seconds": seconds})

    def drive(
        self,
        avatar: Avatar,
        speech_features: Iterator[Artefact] | None,
        options: RenderOptions,
        duration: float | None,
        references: References = NO_REFERENCES,
    ) -> Iterator[Motion]:
        """How far the mouth is open in each frame, float32 (F,), 0..1."""
        fps = options.fps
        if speech_features is None:
            yield Motion(fps, {"opening": np.zeros(self.frame_count(duration or 0.0, fps), np.float32)})
            return
        first_tick = frame = 0
        for window in speech_features:
            loudness = window.arrays["loudness"] * options.expression_scale
            stop = self.frame_count(window.record["seconds"], fps)
            ticks = np.arange(frame, stop) * 100 // fps + SMOOTHED // 2 - first_tick
            frame, first_tick = stop, first_tick + len(loudness)
            if len(ticks):
                opening = loudness[np.clip(ticks, 0, len(loudness) - 1)]
                yield Motion(fps, {"opening": np.clip(opening, 0, 1).astype(np.float32)})

    def frame_count(self, duration: float, fps: int) -> int:
        """Frames of a video of `duration` seconds."""
        return max(1, round(duration * fps))

    def frame_size(self, avatar: Avatar, options: RenderOptions) -> tuple[int, int]:
        """Size of the scaled image."""
        height, width = avatar.artefacts["drawing"].arrays["picture"].shape[:2]
        return width, height

    def render(self, avatar: Avatar, motion: Iterator[Motion], options: RenderOptions) -> Rendering:
        """The picture, and the box around its mouth for every frame, as the motion comes."""
        drawing = avatar.artefacts["drawing"]
        picture, box = drawing.arrays["picture"], tuple(drawing.record["box"])
        return Rendering(picture, box, options.fps, None, _batches(picture, box, motion))

    def _detect(
        self, source_image: SourceImage, mode: PreprocessMode, artefacts: Mapping[str, Artefact]
    ) -> Artefact:
        return detect_face(FaceLandmarker(self.settings.min_face_pixels), source_image)


def _drawing(source_image: SourceImage, mode: PreprocessMode, artefacts: Mapping[str, Artefact]) -> Artefact:
    """The upright image at no more than 720 lines, and the box of its mouth, both with even sides."""
    pixels = upright(source_image, artefacts)
    scale = min(1.0, 720 / len(pixels))
    width, height = (max(2, int(side * scale) // 2 * 2) for side in pixels.shape[1::-1])
    image = np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))
    corners = landmarks_of(artefacts)[[LEFT_CORNER, RIGHT_CORNER], :2] * scale
    (x, y), half = corners.mean(axis=0), np.linalg.norm(corners[1] - corners[0]) / 2
    x0, y0 = (max(0, int(low) // 2 * 2) for low in (x - half, y - half))
    x1, y1 = (min(side, int(high) // 2 * 2) for side, high in ((width, x + half), (height, y + half)))
    return Artefact({"picture": image}, {"box": [x0, y0, x1, y1]})


def _batches(
    picture: NDArray[np.uint8], box: tuple[int, ...], motion: Iterator[Motion]
) -> Iterator[NDArray[np.uint8]]:
    x0, y0, x1, y1 = box
    rest = Image.fromarray(picture[y0:y1, x0:x1])
    for window in motion:
        for first in range(0, window.frames, BATCH):
            yield np.stack([_mouth(rest, o) for o in window.coefficients["opening"][first : first + BATCH]])


def _mouth(rest: Image.Image, opening: float) -> NDArray[np.uint8]:
    """The box of the mouth with an ellipse that opens downwards, `opening` 0..1. A closed mouth has none."""
    frame = rest.copy()
    width, height = frame.size
    top, bottom = height * (0.52 - 0.08 * opening), height * (0.52 + 0.4 * opening)
    if bottom - top >= 2:
        ImageDraw.Draw(frame).ellipse((width * 0.15, top, width * 0.85, bottom), fill=(60, 15, 20))
    return np.asarray(frame)
