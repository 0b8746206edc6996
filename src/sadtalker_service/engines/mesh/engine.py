"""The mesh engine: CPU only, nothing to download."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import numpy as np

from sadtalker_service.domain import (
    PREPROCESS_MODES,
    SPEECH_RATE,
    Artefact,
    Avatar,
    Motion,
    Portrait,
    PreprocessMode,
    Rendering,
    Speech,
    Style,
)
from sadtalker_service.engines.base import (
    NO_REFERENCES,
    PLAIN,
    Capabilities,
    Finish,
    Lifetime,
    References,
    Stage,
)
from sadtalker_service.engines.detection import detect_face
from sadtalker_service.engines.mesh import previews, stages
from sadtalker_service.engines.mesh.faceframe import RestMouth
from sadtalker_service.engines.mesh.lids import with_covered_eyes_told
from sadtalker_service.engines.mesh.motion.drive import drive
from sadtalker_service.engines.mesh.motion.gestures import GESTURES
from sadtalker_service.engines.mesh.renderer import render
from sadtalker_service.engines.mesh.warmup import warm_up_renderer
from sadtalker_service.errors import InvalidOption, UnsupportedByEngine
from sadtalker_service.faces.landmarker import FaceLandmarker
from sadtalker_service.settings import Settings, get_settings
from sadtalker_service.speech import listen, listen_with_two_cores
from sadtalker_service.speech.articulation import Articulation

_LIFETIMES: dict[str, Lifetime] = {
    "3dmm_coeffs": "forever",
    "face_crop": "month",
    "face_mesh": "month",
    "background": "week",
}


class MeshEngine:
    """Landmarks -> rig -> phoneme-driven mouth, blinks, head motion -> the warped photo with a drawn mouth.

    The only state is the face landmarker, loaded at the first use and safe to share between threads.
    """

    name = "mesh"
    version = "2"
    capabilities = Capabilities(
        preprocess_modes=PREPROCESS_MODES,
        sizes=(128, 1024),
        gestures=tuple(GESTURES),
    )

    def __init__(self, settings: Settings | None = None) -> None:
        """`settings`: those of the process by default."""
        self._settings = settings

    @cached_property
    def _landmarker(self) -> FaceLandmarker:
        return FaceLandmarker((self._settings or get_settings()).min_face_pixels)

    @cached_property
    def stages(self) -> tuple[Stage, ...]:
        """Seed-compatible names; previews come last and may be left for later."""
        return (
            Stage("face_detection", False, "month", self._detect),
            *(Stage(name, True, _LIFETIMES[name], compute) for name, compute in stages.RIG_STAGES),
            Stage("visemes", False, "week", previews.viseme_pictures, essential=False),
            Stage("gestures", False, "week", previews.gesture_clips, essential=False),
        )

    def _detect(
        self, portrait: Portrait, mode: PreprocessMode, artefacts: Mapping[str, Artefact]
    ) -> Artefact:
        """`face_detection`"""
        del mode, artefacts
        return with_covered_eyes_told(detect_face(self._landmarker, portrait))

    def stages_for(self, size: int) -> tuple[Stage, ...]:
        """The same for every size: the rig is drawn at any."""
        del size
        return self.stages

    def warm_up(self) -> None:
        """Load the models of face and speech and compile every kernel, on a drawn picture."""
        self._landmarker  # noqa: B018
        listen(Speech("", np.zeros(SPEECH_RATE // 2, np.float32), Path()))
        listen_with_two_cores()  # only who stays warms up
        warm_up_renderer()

    def listen(self, speech: Speech) -> Artefact:
        """Lip articulation, loudness, pauses and accents of a recording."""
        return listen(speech).to_artefact()

    def follow(self, video: Path, mode: PreprocessMode) -> Artefact:
        """Not here: raises `UnsupportedByEngine`."""
        raise UnsupportedByEngine("The mesh engine cannot follow a reference video.", param="ref_pose")

    def drive(
        self,
        avatar: Avatar,
        heard: Artefact | None,
        style: Style,
        duration: float,
        references: References = NO_REFERENCES,
    ) -> Motion:
        """Controls of the rig, one row per frame; see `motion.drive`."""
        del references
        unknown = [cue.name for cue in style.gestures if cue.name not in GESTURES]
        if unknown:
            raise InvalidOption(
                f"unknown gesture {unknown[0]!r}: choose from {', '.join(GESTURES)}", param="gestures"
            )
        fit = avatar.artefacts["3dmm_coeffs"].record
        mouth = RestMouth(float(fit["rest_opening"]), float(fit["rest_width"]))
        articulation = None if heard is None else Articulation.from_artefact(heard)
        return drive(articulation, mouth, style, duration)

    def render(self, avatar: Avatar, motion: Motion, style: Style, finish: Finish = PLAIN) -> Rendering:
        """Frames of a motion."""
        del finish
        return render(avatar, motion, style)
