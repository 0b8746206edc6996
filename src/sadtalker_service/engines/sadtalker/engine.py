"""The SadTalker engine: its networks, written anew, with the published checkpoints.

torch is imported when the first network is needed: the engine's card and what it lacks can be asked for
without it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from functools import cached_property, partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.domain import (
    HEIGHT_CAP,
    Artefact,
    Avatar,
    Motion,
    Portrait,
    PreprocessMode,
    Rendering,
    Speech,
    Style,
    Track,
    Uint8Image,
)
from sadtalker_service.engines.base import (
    NO_REFERENCES,
    PLAIN,
    Capabilities,
    Finish,
    References,
    Stage,
)
from sadtalker_service.engines.detection import DETECTION, detect_face
from sadtalker_service.engines.sadtalker import stages
from sadtalker_service.engines.sadtalker.driving import angles
from sadtalker_service.engines.sadtalker.driving.blinking import blinks
from sadtalker_service.engines.sadtalker.driving.coefficients import drive, driving_semantics
from sadtalker_service.engines.sadtalker.driving.mel import (
    VIDEO_RATE,
    idle_windows,
    mel_spectrogram,
    mel_windows,
)
from sadtalker_service.engines.sadtalker.driving.reference import (
    expressions,
    read_reference,
)
from sadtalker_service.engines.sadtalker.driving.reference import (
    motion as head_motion,
)
from sadtalker_service.engines.sadtalker.driving.tracks import at_rate
from sadtalker_service.engines.sadtalker.enhancing.available import available_enhancers
from sadtalker_service.engines.sadtalker.enhancing.window import face_window
from sadtalker_service.engines.sadtalker.inference.choice import choose_inference
from sadtalker_service.engines.sadtalker.inference.process import device_is_lost
from sadtalker_service.engines.sadtalker.pasting import Paste, fill, paste_into
from sadtalker_service.engines.sadtalker.preparation.source import video_size
from sadtalker_service.engines.sadtalker.readiness import Readiness, readiness
from sadtalker_service.errors import FaceTooSmall, NoFaceFound
from sadtalker_service.faces.landmarker import FaceLandmarker
from sadtalker_service.media.footage import read_footage
from sadtalker_service.settings import Settings, get_settings

if TYPE_CHECKING:
    from sadtalker_service.engines.sadtalker.enhancing.port import FaceEnhancer
    from sadtalker_service.engines.sadtalker.inference.port import Inference, Networks

_DEVICE = "sadtalker_service.engines.sadtalker.running.device"
"""A module that needs torch."""

_FIRST_SIZE = 256
"""Names of stages stand for this size; those for another have it in their name."""
_PATIENCE_ON_CPU = 120.0
"""A second of video of 256 takes more than two minutes on two cores, one of 512 four times as long, and twice
that beside other work."""
_NVIDIA_DRIVER = Path("/dev/nvidiactl")
_REFERENCE_SECONDS = 60.0
"""So much of a reference video is looked at; it goes back and forth after that."""


class SadTalkerEngine:
    """Landmarks -> coefficients of a face model -> sound-driven coefficients -> keypoints -> drawn frames.

    The only state are the networks, loaded at the first use, here or in an inference server. Safe to share
    between threads; videos that are rendered at the same time share batches.
    """

    name = "sadtalker"

    def __init__(self, settings: Settings | None = None) -> None:
        """`settings`: those of the process by default."""
        self._settings = settings or get_settings()
        self._ready: Readiness = readiness(self._settings.checkpoints_folder)
        self._last_enlarged: tuple[tuple[str, str, str, int] | None, Uint8Image] = (
            None,
            np.empty(0, np.uint8),
        )

    @classmethod
    def obstacle(cls, settings: Settings | None = None) -> str | None:
        """What keeps the engine from running here, None: nothing."""
        return readiness((settings or get_settings()).checkpoints_folder).obstacle()

    @classmethod
    def recommended(cls, settings: Settings | None = None) -> bool:
        """With a GPU: on a CPU it is far from real time."""
        if (settings or get_settings()).sadtalker_device == "cpu":
            return False
        return bool(import_module(_DEVICE).has_gpu())

    @cached_property
    def version(self) -> str:
        """Changes with the checkpoints too."""
        return f"1-{self._ready.version()}"

    @cached_property
    def capabilities(self) -> Capabilities:
        """By the checkpoints that are there."""
        sizes = self._ready.sizes or (_FIRST_SIZE,)
        return Capabilities(
            preprocess_modes=self._ready.modes,
            sizes=(sizes[0], sizes[-1]),
            only_sizes=sizes,
            default_size=self._ready.default_size,
            enhancers=available_enhancers(self._ready.folder),
            reference_video=True,
            honours=("batch_size", "checkpoint_dir"),
            patience=1.0 if self._expects_gpu else _PATIENCE_ON_CPU,
        )

    @staticmethod
    def is_lost(error: Exception) -> bool:
        """Whether the GPU is of no use to this process any more."""
        return device_is_lost(error)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """For videos of the default size."""
        return self.stages_for(self._ready.default_size)

    def stages_for(self, size: int) -> tuple[Stage, ...]:
        """For videos of 256 or 512."""
        crop, coefficients, mesh = (_named(name, size) for name in ("face_crop", "3dmm_coeffs", "face_mesh"))

        def cut(portrait: Portrait, mode: PreprocessMode, known: Mapping[str, Artefact]) -> Artefact:
            return stages.crop_face(portrait, mode, known, size)

        def regress(_: Portrait, mode: PreprocessMode, known: Mapping[str, Artefact]) -> Artefact:
            return stages.regress_coefficients(known, known[crop], mode, self._networks(size))

        def encode(_: Portrait, mode: PreprocessMode, known: Mapping[str, Artefact]) -> Artefact:
            return stages.encode_face(known[crop], known[coefficients], mode, self._networks(size))

        return (
            Stage(DETECTION, False, "month", self._detect),
            Stage(crop, True, "month", cut),
            Stage(coefficients, True, "forever", regress),
            Stage(mesh, True, "month", encode),
            Stage("background", True, "week", stages.cut_background),
        )

    def warm_up(self) -> None:
        """Load the face landmarker and the networks of the default size, and draw a frame."""
        self._landmarker  # noqa: B018
        self._inference.warm_up(self._ready.default_size, placed=self._ready.places)

    def listen(self, speech: Speech) -> Artefact:
        """Mel features of a recording, (M, 80)."""
        return Artefact({"mel": mel_spectrogram(speech.samples)})

    def follow(self, video: Path, mode: PreprocessMode) -> Artefact:
        """Rows of coefficients of a reference video, (N, 73) at 25 fps.

        Raises `UnreadableVideo`, `ImageTooLarge`, `NoFaceFound`.
        """
        footage = read_footage(
            video, max_seconds=_REFERENCE_SECONDS, max_pixels=self._settings.max_image_pixels
        )
        regress = self._networks(self._ready.default_size).regress
        return Artefact({"rows": read_reference(footage, mode, self._landmarks, regress).at_video_rate()})

    def drive(
        self,
        avatar: Avatar,
        heard: Artefact | None,
        style: Style,
        duration: float,
        references: References = NO_REFERENCES,
    ) -> Motion:
        """Keypoints of every frame, (F, 15, 3)."""
        placed, networks = stages.is_placed(avatar.mode), self._networks(style.size)
        source = avatar.artefacts[_named("3dmm_coeffs", style.size)].arrays["row"]
        frames = _frames(duration, VIDEO_RATE)
        numbers = np.arange(frames)
        windows = idle_windows(frames) if heard is None else mel_windows(heard.arrays["mel"], numbers)
        rows = drive(
            windows,
            source,
            blinks(frames, style.seed),
            expression=networks.expression,
            pose=partial(networks.pose, style=style.pose_style, seed=style.seed),
            reference_expression=_taken_over(expressions, references.eyeblink, frames),
            reference_motion=_taken_over(head_motion, references.pose, frames),
        )
        semantics = driving_semantics(
            rows, source, placed=placed, still=style.still, expression_scale=style.expression_scale
        )
        canonical = avatar.artefacts[_named("face_mesh", style.size)].arrays["canonical"]
        keypoints = networks.keypoints(semantics, canonical, _free_view(style, frames), placed=placed)
        if style.fps != VIDEO_RATE:
            wanted = _frames(duration, style.fps)
            flat = at_rate(keypoints.reshape(frames, -1), VIDEO_RATE, style.fps, wanted)
            keypoints = flat.reshape(wanted, *keypoints.shape[1:])
        return Motion(style.fps, {"keypoints": keypoints})

    def render(self, avatar: Avatar, motion: Motion, style: Style, finish: Finish = PLAIN) -> Rendering:
        """Frames of a motion: drawn, enhanced, pasted."""
        keypoints = motion.coefficients["keypoints"]
        enhance = self._inference.enhancers.of_faces(finish.enhancer) if finish.enhancer else None
        paste = self._paste(avatar, style, enhance.side(style.size) if enhance else style.size, finish)
        return Rendering(
            plate=paste.plate,
            box=paste.box,
            fps=motion.fps,
            frames=len(keypoints),
            batches=self._batches(avatar, keypoints, style, finish, enhance, paste),
        )

    @property
    def _expects_gpu(self) -> bool:
        """As far as it can be told without torch."""
        return self._settings.sadtalker_device != "cpu" and _NVIDIA_DRIVER.exists()

    def _detect(
        self, portrait: Portrait, mode: PreprocessMode, artefacts: Mapping[str, Artefact]
    ) -> Artefact:
        del mode, artefacts
        return detect_face(self._landmarker, portrait)

    def _landmarks(self, pixels: Uint8Image) -> NDArray[np.float32] | None:
        """(478, 3) of the largest face of a frame, None without an upright one."""
        try:
            found = self._landmarker.detect(pixels)
        except (NoFaceFound, FaceTooSmall):
            return None
        return found.landmarks if found.quarter_turns == 0 else None

    def _paste(self, avatar: Avatar, style: Style, side: int, finish: Finish) -> Paste:
        """`side`: of the drawn pictures, in pixels."""
        cap = HEIGHT_CAP[style.quality]
        crop = avatar.artefacts[_named("face_crop", style.size)]
        if not stages.is_placed(avatar.mode):
            size = video_size(stages.crop_of(crop), avatar.mode, min(side, cap))
            return fill(crop.arrays["square"], size)
        background = avatar.artefacts["background"]
        picture, rectangle = background.arrays["picture"], background.record["rectangle"]
        if finish.background_enhancer:
            larger = self._enlarged(avatar, finish.background_enhancer)
            factor = len(larger) / len(picture)
            picture, rectangle = larger, [side * factor for side in rectangle]
        x0, y0, x1, y1 = rectangle
        return paste_into(picture, (x0, y0, x1, y1), (cap * 16 // 9, cap))

    def _enlarged(self, avatar: Avatar, enhancer: str) -> Uint8Image:
        """The whole picture sharpened. That of the last avatar is kept: videos of one often come in a row."""
        key = (avatar.image_hash, avatar.mode, enhancer, avatar.face_index)
        known, picture = self._last_enlarged
        if known != key:
            enhance = self._inference.enhancers.of_backgrounds(enhancer)
            picture = enhance(avatar.artefacts["background"].arrays["picture"])
            self._last_enlarged = key, picture
        return picture

    def _batches(
        self,
        avatar: Avatar,
        keypoints: NDArray[np.float32],
        style: Style,
        finish: Finish,
        enhance: FaceEnhancer | None,
        paste: Paste,
    ) -> Generator[Uint8Image]:
        mesh = avatar.artefacts[_named("face_mesh", style.size)].arrays
        frames = self._inference.frames(
            style.size, mesh["volume"], mesh["keypoints"], keypoints, finish.batch_size
        )
        window = face_window(stages.crop_of(avatar.artefacts[_named("face_crop", style.size)]), avatar.mode)
        with closing(frames):  # who stops early leaves no frames in the queue
            for pictures in frames:
                yield paste.frames(enhance(pictures, window) if enhance else pictures)

    def _networks(self, size: int) -> Networks:
        return self._inference.motion(size)

    @cached_property
    def _landmarker(self) -> FaceLandmarker:
        return FaceLandmarker(self._settings.min_face_pixels)

    @cached_property
    def _inference(self) -> Inference:
        return choose_inference(self._settings, self._ready)


def _named(stage: str, size: int) -> str:
    return stage if size == _FIRST_SIZE else f"{stage}_{size}"


def _frames(duration: float, fps: int) -> int:
    """Whole frames in so many seconds, at least one."""
    return max(1, int(duration * fps + 1e-6))


def _taken_over(
    what: Callable[[NDArray[np.float32], int], NDArray[np.float32]], reference: Artefact | None, frames: int
) -> NDArray[np.float32] | None:
    return None if reference is None else what(reference.arrays["rows"], frames)


def _free_view(style: Style, frames: int) -> dict[str, NDArray[np.float32]]:
    """Angle -> (frames,) degrees, of those that the style gives."""
    tracks: dict[str, Track | None] = {
        "yaw": style.input_yaw,
        "pitch": style.input_pitch,
        "roll": style.input_roll,
    }
    return {name: angles.path(track.degrees, frames) for name, track in tracks.items() if track}
