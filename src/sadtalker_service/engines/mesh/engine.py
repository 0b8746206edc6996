"""Mesh engine: CPU only, nothing to download."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.domain import (
    PREPROCESS_MODES,
    SPEECH_RATE,
    Artefact,
    Avatar,
    Lifetime,
    Motion,
    PreprocessMode,
    Rendering,
    SourceImage,
    Speech,
    SpokenTimeline,
)
from sadtalker_service.engines.detection import detect_face
from sadtalker_service.engines.live_port import LiveDriver
from sadtalker_service.engines.mesh import previews, stages
from sadtalker_service.engines.mesh.faceframe import RestMouth
from sadtalker_service.engines.mesh.framing import window_of
from sadtalker_service.engines.mesh.layout import frame_size, lay_out
from sadtalker_service.engines.mesh.lids import warn_of_covered_eyes
from sadtalker_service.engines.mesh.live import MeshLiveDriver
from sadtalker_service.engines.mesh.motion.drive import drive_windows
from sadtalker_service.engines.mesh.motion.gestures import GESTURES
from sadtalker_service.engines.mesh.renderer import render
from sadtalker_service.engines.mesh.warmup import warm_up_renderer
from sadtalker_service.engines.port import (
    NO_REFERENCES,
    Capabilities,
    Engine,
    References,
    Stage,
)
from sadtalker_service.errors import InvalidOption
from sadtalker_service.faces.landmarker import FaceLandmarker
from sadtalker_service.faces.matting import load_matting
from sadtalker_service.options import RenderOptions
from sadtalker_service.options.seeds import seeded
from sadtalker_service.speech import articulation_windows, recognize_speech, start_word_alignment
from sadtalker_service.speech.articulation import Articulation

_LIFETIMES: dict[str, Lifetime] = {
    "3dmm_coeffs": "forever",
    "face_crop": "month",
    "face_mesh": "month",
    "background": "week",
}


class MeshEngine(Engine):
    """Landmarks -> rig -> mouth, blinks and head motion -> warped source image with a drawn mouth.

    The only state is the face landmarker. It loads on first use and is thread-safe.
    """

    name = "mesh"
    version = "4"
    capabilities = Capabilities(
        preprocess_modes=PREPROCESS_MODES,
        sizes=(128, 1024),
        gestures=tuple(GESTURES),
        backgrounds=True,
        aspect_ratios=True,
        source_type="compositeWithTrainedAlgorithmicMedia",
        live=True,
    )

    @cached_property
    def _landmarker(self) -> FaceLandmarker:
        return FaceLandmarker(self.settings.min_face_pixels)

    def stages_for(self, options: RenderOptions) -> tuple[Stage, ...]:
        """Stages with seed-compatible names. Previews come last and may be deferred.

        The stages are the same for every size, because the rig can be drawn at any size.
        """
        return (
            Stage("face_detection", False, "month", self._detect),
            *(Stage(name, True, _LIFETIMES[name], compute) for name, compute in stages.RIG_STAGES),
            *((Stage("person_matte", True, "week", stages.cut_person),) if options.background else ()),
            Stage("visemes", False, "week", previews.viseme_pictures, essential=False),
            Stage("gestures", False, "week", previews.gesture_clips, essential=False),
        )

    def _detect(
        self, source_image: SourceImage, mode: PreprocessMode, artefacts: Mapping[str, Artefact]
    ) -> Artefact:
        """`face_detection`"""
        del mode, artefacts
        return warn_of_covered_eyes(detect_face(self._landmarker, source_image))

    def warm_up(self) -> None:
        """Load the face and speech models and compile every kernel on a synthetic image."""
        self._landmarker  # noqa: B018
        recognize_speech(Speech("", np.zeros(SPEECH_RATE // 2, np.float32), Path()))
        start_word_alignment()  # only long-lived processes warm up
        warm_up_renderer()

    def prepare_machine(self) -> None:
        """Compile what cuts out persons."""
        load_matting()

    def expect_speech(self) -> None:
        """Start the process that recognises words."""
        start_word_alignment(now=True)

    def extract_speech_features(
        self, sound: Iterator[NDArray[np.float32]], timeline: SpokenTimeline | None = None
    ) -> Iterator[Artefact]:
        """Lip articulation, loudness, pauses and accents of the driven audio."""
        return (window.to_artefact() for window in articulation_windows(sound, timeline=timeline))

    def drive(
        self,
        avatar: Avatar,
        speech_features: Iterator[Artefact] | None,
        options: RenderOptions,
        duration: float | None,
        references: References = NO_REFERENCES,
    ) -> Iterator[Motion]:
        """Controls of the rig, one row per frame. See `motion.drive`."""
        unknown = [cue.name for cue in options.gestures if cue.name not in GESTURES]
        if unknown:
            raise InvalidOption(
                f"unknown gesture {unknown[0]!r}: choose from {', '.join(GESTURES)}", param="gestures"
            )
        mouth = _rest_mouth(avatar)
        windows = None if speech_features is None else map(Articulation.from_artefact, speech_features)
        return drive_windows(windows, mouth, seeded(options, avatar.image_hash), duration)

    def live_driver(self, avatar: Avatar, options: RenderOptions) -> LiveDriver:
        """See `live`. It has a recogniser of its own."""
        return MeshLiveDriver(_rest_mouth(avatar), seeded(options, avatar.image_hash))

    def frame_size(self, avatar: Avatar, options: RenderOptions) -> tuple[int, int]:
        """Size of the video, derived from the window of the source image that is shown."""
        if options.aspect_ratio:
            x0, y0, x1, y1 = window_of(
                lay_out(avatar.artefacts, options), options.aspect_ratio, options.quality
            )
            return x1 - x0, y1 - y0
        return frame_size(avatar.artefacts, options)

    def render(
        self,
        avatar: Avatar,
        motion: Iterator[Motion],
        options: RenderOptions,
    ) -> Rendering:
        """Render the frames of a motion."""
        return render(avatar, motion, options)


def _rest_mouth(avatar: Avatar) -> RestMouth:
    fit = avatar.artefacts["3dmm_coeffs"].record
    return RestMouth(float(fit["rest_opening"]), float(fit["rest_width"]))
