"""An example engine: a drawn mouth that opens with the loudness of the driven audio.

Stages turn a source image into artefacts, and `extract_speech_features` turns driven audio into one. The
service caches both. `drive` turns them into motion, and `render` turns motion into frames.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from sadtalker_service.domain import Artefact, Avatar, Motion, PreprocessMode, Rendering, SourceImage, Speech
from sadtalker_service.engines.detection import DETECTION, detect_face, landmarks_of, upright
from sadtalker_service.engines.port import NO_REFERENCES, Capabilities, Engine, References, Stage
from sadtalker_service.faces.landmarker import FaceLandmarker
from sadtalker_service.options import RenderOptions

LEFT_CORNER, RIGHT_CORNER = 61, 291
"""Landmarks at the corners of the mouth."""
TICK = 160
"""Samples in a hundredth of a second at 16 kHz."""
FULL_LOUDNESS = 0.15
"""Root mean square at which the mouth is wide open."""
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

    def extract_speech_features(self, speech: Speech) -> Artefact:
        """Loudness at 100 Hz, float32 (T,), 0..1."""
        ticks = np.resize(speech.samples, (max(1, len(speech.samples) // TICK), TICK))
        loudness = np.sqrt((ticks**2).mean(axis=1)) / FULL_LOUDNESS
        return Artefact({"loudness": np.minimum(loudness, 1.0).astype(np.float32)})

    def drive(
        self,
        avatar: Avatar,
        speech_features: Artefact | None,
        options: RenderOptions,
        duration: float,
        references: References = NO_REFERENCES,
    ) -> Motion:
        """Opening of the mouth in each frame, float32 (F,), 0..1."""
        opening = np.zeros(max(1, round(duration * options.fps)), np.float32)
        if speech_features is not None:
            loudness = speech_features.arrays["loudness"]
            smooth = np.convolve(loudness, np.ones(9) / 9, mode="same")
            ticks = np.arange(len(opening)) * 100 // options.fps
            opening = smooth[np.minimum(ticks, len(smooth) - 1)] * options.expression_scale
        return Motion(options.fps, {"opening": np.clip(opening, 0, 1).astype(np.float32)})

    def frame_size(self, avatar: Avatar, options: RenderOptions) -> tuple[int, int]:
        """Size of the scaled image."""
        height, width = avatar.artefacts["drawing"].arrays["picture"].shape[:2]
        return width, height

    def render(self, avatar: Avatar, motion: Motion, options: RenderOptions) -> Rendering:
        """The image, and the box around its mouth for every frame."""
        drawing = avatar.artefacts["drawing"]
        image, box = drawing.arrays["picture"], tuple(drawing.record["box"])
        return Rendering(image, box, motion.fps, motion.frames, _batches(image, box, motion))

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


def _batches(image: NDArray[np.uint8], box: tuple[int, ...], motion: Motion) -> Iterator[NDArray[np.uint8]]:
    x0, y0, x1, y1 = box
    rest = Image.fromarray(image[y0:y1, x0:x1])
    for first in range(0, motion.frames, BATCH):
        yield np.stack([_mouth(rest, o) for o in motion.coefficients["opening"][first : first + BATCH]])


def _mouth(rest: Image.Image, opening: float) -> NDArray[np.uint8]:
    """The box of the mouth with an ellipse that opens downwards, `opening` 0..1. A closed mouth has none."""
    frame = rest.copy()
    width, height = frame.size
    top, bottom = height * (0.52 - 0.08 * opening), height * (0.52 + 0.4 * opening)
    if bottom - top >= 2:
        ImageDraw.Draw(frame).ellipse((width * 0.15, top, width * 0.85, bottom), fill=(60, 15, 20))
    return np.asarray(frame)
