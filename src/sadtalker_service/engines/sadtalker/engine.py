"""The SadTalker engine: our own implementation of its networks, with the published checkpoints.

torch is imported when the first network is needed. The engine's capabilities and its missing files can be
read without it.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.domain import (
    Artefact,
    Avatar,
    Motion,
    PreprocessMode,
    Rendering,
    SourceImage,
    SpokenTimeline,
    Uint8Image,
)
from sadtalker_service.engines.detection import DETECTION, detect_face
from sadtalker_service.engines.port import (
    NO_REFERENCES,
    Capabilities,
    Engine,
    References,
    Stage,
)
from sadtalker_service.engines.sadtalker import stages
from sadtalker_service.engines.sadtalker.canvas import Canvas
from sadtalker_service.engines.sadtalker.driving.mel import (
    mel_columns,
)
from sadtalker_service.engines.sadtalker.driving.pieces import whole_frames
from sadtalker_service.engines.sadtalker.driving.reference import (
    read_reference,
)
from sadtalker_service.engines.sadtalker.enhancing.available import available_enhancers
from sadtalker_service.engines.sadtalker.enhancing.window import face_window
from sadtalker_service.engines.sadtalker.inference_server.choice import choose_inference
from sadtalker_service.engines.sadtalker.inference_server.process import device_is_lost
from sadtalker_service.engines.sadtalker.pasting import Paste
from sadtalker_service.engines.sadtalker.readiness import Readiness, readiness
from sadtalker_service.engines.sadtalker.speaking import spoken_motion
from sadtalker_service.errors import FaceTooSmall, NoFaceFound
from sadtalker_service.faces.landmarker import FaceLandmarker
from sadtalker_service.media.h264 import X264, VideoEncoder, nvenc
from sadtalker_service.media.h264_trial import usable_encoder
from sadtalker_service.media.video_frames import read_footage
from sadtalker_service.options import RenderOptions
from sadtalker_service.options.seeds import seeded
from sadtalker_service.settings import Settings

if TYPE_CHECKING:
    from sadtalker_service.engines.sadtalker.enhancing.port import FaceEnhancer
    from sadtalker_service.engines.sadtalker.inference_port import Inference, Networks

_DEVICE = "sadtalker_service.engines.sadtalker.device"
"""Name of a module that imports torch."""

_CPU_TIMEOUT_FACTOR = 120.0
"""One second of video at 256 takes more than two minutes on two cores. At 512 it takes four times as long,
and beside other work twice as long again."""
_NVIDIA_DRIVER = Path("/dev/nvidiactl")
_REFERENCE_SECONDS = 60.0
"""Length of a reference video that is read. A longer video than this repeats it back and forth."""


class SadTalkerEngine(Engine):
    """Landmarks -> coefficients of a face model -> audio-driven coefficients -> keypoints -> drawn frames.

    The only state is the networks. They load on first use, in this process or in an inference server. The
    engine can be shared between threads. Videos rendered at the same time share batches.
    """

    name = "sadtalker"

    def __init__(self, settings: Settings | None = None) -> None:
        """`settings` defaults to the settings of the process."""
        super().__init__(settings)
        self._ready: Readiness = readiness(self.settings.checkpoints_folder)
        self._canvas = Canvas(lambda: self._inference.enhancers)

    @classmethod
    def obstacle(cls, settings: Settings) -> str | None:
        """Why the engine cannot run here, or None if it can."""
        return readiness(settings.checkpoints_folder).obstacle()

    @classmethod
    def recommended(cls, settings: Settings) -> bool:
        """Only with a GPU. On a CPU the engine is far slower than real time."""
        if settings.sadtalker_device == "cpu":
            return False
        return bool(import_module(_DEVICE).has_gpu())

    @cached_property
    def version(self) -> str:
        """Also changes with the checkpoints."""
        return f"1-{self._ready.version()}"

    @cached_property
    def capabilities(self) -> Capabilities:
        """Capabilities according to the checkpoints in the folder."""
        sizes = self._ready.sizes or (stages.FIRST_SIZE,)
        return Capabilities(
            preprocess_modes=self._ready.modes,
            sizes=(sizes[0], sizes[-1]),
            only_sizes=sizes,
            default_size=self._ready.default_size,
            enhancers=available_enhancers(self._ready.folder),
            reference_video=True,
            honours=("batch_size", "checkpoint_dir"),
            timeout_factor=1.0 if self._expects_gpu else _CPU_TIMEOUT_FACTOR,
        )

    @cached_property
    def video_encoder(self) -> VideoEncoder:
        """NVENC or x264, by the setting `SADTALKER_ENCODER`. NVENC is tried once, in a second at most."""
        chosen = self.settings.sadtalker_encoder
        if chosen == "x264" or (chosen == "auto" and not self._expects_gpu):
            return X264
        _, _, gpu = self.settings.sadtalker_device.partition(":")
        return usable_encoder(nvenc(int(gpu or 0)))

    def is_lost(self, error: Exception) -> bool:
        """Whether this process can no longer use the GPU."""
        return device_is_lost(error)

    def stages_for(self, options: RenderOptions) -> tuple[Stage, ...]:
        """The stages for videos of 256 or 512."""
        size = options.side
        crop, coefficients, mesh = (
            stages.named(name, size) for name in ("face_crop", "3dmm_coeffs", "face_mesh")
        )

        def cut(source_image: SourceImage, mode: PreprocessMode, known: Mapping[str, Artefact]) -> Artefact:
            return stages.crop_face(source_image, mode, known, size)

        def regress(_: SourceImage, mode: PreprocessMode, known: Mapping[str, Artefact]) -> Artefact:
            return stages.regress_coefficients(known, known[crop], mode, self._networks(size))

        def encode(_: SourceImage, mode: PreprocessMode, known: Mapping[str, Artefact]) -> Artefact:
            return stages.encode_face(known[crop], known[coefficients], mode, self._networks(size))

        return (
            Stage(DETECTION, False, "month", self._detect),
            Stage(crop, True, "month", cut),
            Stage(coefficients, True, "forever", regress),
            Stage(mesh, True, "month", encode),
            Stage("background", True, "week", stages.cut_background),
        )

    def warm_up(self) -> None:
        """Load the face landmarker and the networks of the default size, draw a frame, choose the encoder."""
        self._landmarker  # noqa: B018
        self.video_encoder  # noqa: B018
        self._inference.warm_up(self._ready.default_size, full_frame=self._ready.full_frame)

    def extract_speech_features(
        self, sound: Iterator[NDArray[np.float32]], timeline: SpokenTimeline | None = None
    ) -> Iterator[Artefact]:
        """Mel features of driven audio, some columns (m, 80) at a time."""
        for columns, end in mel_columns(sound):
            yield Artefact({"mel": columns}, {"end": end})

    def extract_reference_motion(self, video: Path, mode: PreprocessMode) -> Artefact:
        """Rows of coefficients of a reference video, (N, 73) at 25 fps.

        Raises `UnreadableVideo`, `ImageTooLarge` or `NoFaceFound`.
        """
        footage = read_footage(
            video, max_seconds=_REFERENCE_SECONDS, max_pixels=self.settings.max_image_pixels
        )
        regress = self._networks(self._ready.default_size).regress
        return Artefact({"rows": read_reference(footage, mode, self._landmarks, regress).at_video_rate()})

    def drive(
        self,
        avatar: Avatar,
        speech_features: Iterator[Artefact] | None,
        options: RenderOptions,
        duration: float | None,
        references: References = NO_REFERENCES,
    ) -> Iterator[Motion]:
        """Keypoints, (F, 15, 3) in each part, as soon as what they depend on has been heard."""
        options = seeded(options, avatar.image_hash)
        networks = self._networks(options.side)
        return spoken_motion(avatar, networks, speech_features, options, duration, references)

    def frame_count(self, duration: float, fps: int) -> int:
        """Whole frames only, as in the original."""
        return whole_frames(duration, fps)

    def frame_size(self, avatar: Avatar, options: RenderOptions) -> tuple[int, int]:
        """Size of the source image or of its moving part. Runs the background enhancer if there is one."""
        return self._canvas.frame_size(avatar, options, self._side(options))

    def render(self, avatar: Avatar, motion: Iterator[Motion], options: RenderOptions) -> Rendering:
        """Draw, enhance and paste the frames of a motion."""
        paste = self._canvas.paste(avatar, options, self._side(options))
        return Rendering(
            background=paste.background,
            box=paste.box,
            fps=options.fps,
            frames=None,
            batches=self._batches(avatar, motion, options, paste),
        )

    def _face_enhancer(self, options: RenderOptions) -> FaceEnhancer | None:
        return self._inference.enhancers.of_faces(options.enhancer) if options.enhancer else None

    def _side(self, options: RenderOptions) -> int:
        """Side of the drawn frames, in pixels."""
        enhance = self._face_enhancer(options)
        return enhance.side(options.side) if enhance else options.side

    @property
    def _expects_gpu(self) -> bool:
        """Whether a GPU will be used, as far as this is known without torch."""
        return self.settings.sadtalker_device != "cpu" and _NVIDIA_DRIVER.exists()

    def _detect(
        self, source_image: SourceImage, mode: PreprocessMode, artefacts: Mapping[str, Artefact]
    ) -> Artefact:
        del mode, artefacts
        return detect_face(self._landmarker, source_image)

    def _landmarks(self, pixels: Uint8Image) -> NDArray[np.float32] | None:
        """(478, 3) landmarks of the largest face in a frame, or None if there is no upright face."""
        try:
            found = self._landmarker.detect(pixels)
        except (NoFaceFound, FaceTooSmall):
            return None
        return found.landmarks if found.quarter_turns == 0 else None

    def _batches(
        self, avatar: Avatar, motion: Iterator[Motion], options: RenderOptions, paste: Paste
    ) -> Generator[Uint8Image]:
        mesh, enhance = (
            avatar.artefacts[stages.named("face_mesh", options.side)].arrays,
            self._face_enhancer(options),
        )
        window = face_window(
            stages.crop_of(avatar.artefacts[stages.named("face_crop", options.side)]), avatar.mode
        )
        for part in motion:
            frames = self._inference.frames(
                options.side,
                mesh["volume"],
                mesh["keypoints"],
                part.coefficients["keypoints"],
                options.batch_size,
            )
            with closing(frames):  # a consumer that stops early leaves no frames in the queue
                for pictures in frames:
                    yield paste.frames(enhance(pictures, window) if enhance else pictures)

    def _networks(self, size: int) -> Networks:
        return self._inference.motion(size)

    @cached_property
    def _landmarker(self) -> FaceLandmarker:
        return FaceLandmarker(self.settings.min_face_pixels)

    @cached_property
    def _inference(self) -> Inference:
        return choose_inference(self.settings, self._ready)
