"""The engine port: all that a talking-head engine offers to the pipeline, the workers and the service.

An engine turns a source image into artefacts (its stages), driven audio into speech features, both into
motion, and motion into frames. All but the stages come window by window: nothing waits for the end of the
sound. It knows no cache, no jobs and no HTTP. Third parties add one through the entry-point group
`sadtalker_service.engines`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.domain import (
    Artefact,
    Avatar,
    Lifetime,
    Motion,
    PreprocessMode,
    Rendering,
    SourceImage,
    SourceType,
    SpokenTimeline,
)
from sadtalker_service.engines.live_port import LiveDriver
from sadtalker_service.errors import UnsupportedByEngine
from sadtalker_service.media.h264 import X264, VideoEncoder
from sadtalker_service.options import RenderOptions
from sadtalker_service.settings import Settings, get_settings


@dataclass(frozen=True)
class Capabilities:
    """What an engine can do: a request is refused, or answered with a warning, before work begins."""

    preprocess_modes: tuple[PreprocessMode, ...]
    sizes: tuple[int, int]
    """Smallest and largest `size`."""
    only_sizes: tuple[int, ...] = ()
    """Where not every size between can be made: those that can."""
    default_size: int = 512
    """Where a request does not say."""
    enhancers: tuple[str, ...] = ()
    """Of faces and of backgrounds."""
    gestures: tuple[str, ...] = ()
    reference_video: bool = False
    backgrounds: bool = False
    """Can cut the person out: `render` gives RGBA if `RenderOptions.background` is set, and RGB if it is
    `still`."""
    aspect_ratios: bool = False
    """Can give the video another shape than that of the source image: `RenderOptions.aspect_ratio`."""
    honours: tuple[str, ...] = ()
    """Further options of SadTalker that have an effect here: `batch_size`, `checkpoint_dir`, `face3dvis`."""
    idle: bool = True
    """Can make a video of a length without any speech."""
    source_type: SourceType = "trainedAlgorithmicMedia"
    """How the manifest of a finished video calls what the engine makes."""
    live: bool = False
    """Can talk while its sound arrives, see `Engine.live_driver`."""
    timeout_factor: float = 1.0
    """How many times the usual time a video may take before it counts as hanging."""


@dataclass(frozen=True)
class EngineCard:
    """What can be known of an engine without loading it. Plain values: it travels as JSON."""

    name: str
    version: str
    capabilities: Capabilities
    stages: tuple[tuple[str, bool, bool], ...]
    """(name, per mode, essential) of each stage, in order."""


@dataclass(frozen=True)
class Stage:
    """One step from source image to avatar: a pure function of the image, the mode and earlier stages."""

    name: str
    """Also the prefix of the cache key, e.g. `face_mesh`."""
    per_mode: bool
    """Whether the result depends on the preprocess mode (it is then part of the key)."""
    lifetime: Lifetime
    compute: Callable[[SourceImage, PreprocessMode, Mapping[str, Artefact]], Artefact]
    essential: bool = True
    """False for artefacts that rendering does not need (previews): they may be computed later."""


@dataclass(frozen=True, eq=False)
class MouthShapes:
    """What a stage called `visemes` has to show, whatever else it keeps in its artefact."""

    pictures: NDArray[np.uint8]
    """uint8 (n, S, S, 3) RGB: one small picture of the mouth for each viseme."""
    names: tuple[str, ...]
    """Names of the n visemes."""
    letters: Mapping[str, str]
    """Letter -> name of its viseme: at least A E I O U M B P F V S T L R."""
    closed_eyes: NDArray[np.uint8] | None = None
    """uint8 (S, S, 3) RGB: the picture of the first viseme with closed eyes. None: the engine has none."""

    def to_artefact(self, **arrays: NDArray[Any]) -> Artefact:
        """As arrays and a record, with further `arrays` of the engine."""
        record = {"names": list(self.names), "letters": dict(self.letters)}
        if self.closed_eyes is not None:
            arrays["closed_eyes"] = self.closed_eyes
        return Artefact({"pictures": self.pictures, **arrays}, record)

    @classmethod
    def from_artefact(cls, artefact: Artefact) -> MouthShapes:
        """What `to_artefact` gave. Raises `KeyError` for another artefact."""
        record = artefact.record
        closed_eyes = artefact.arrays.get("closed_eyes")
        return cls(artefact.arrays["pictures"], tuple(record["names"]), record["letters"], closed_eyes)


@dataclass(frozen=True, eq=False)
class References:
    """What is taken over from other videos, as `Engine.extract_reference_motion` gave it."""

    eyeblink: Artefact | None = None
    pose: Artefact | None = None


NO_REFERENCES = References()


@dataclass(frozen=True)
class Helper:
    """A process that an engine wants to have once per machine, beside the workers that use it."""

    name: str
    argv: tuple[str, ...]
    """Its command. It ends on SIGTERM."""
    environment: Mapping[str, str]
    """What workers must have in theirs to find it."""
    is_ready: Callable[[], bool]
    """Whether it listens. Raises nothing."""


HelperFactory = Callable[[Settings, Path], Helper | None]
"""What an entry point of the group `sadtalker_service.helpers` names: the process that an engine wants, with
its sockets in the folder, or None where it cannot run. The first process of a service calls it, so it should
import little."""


class Engine(ABC):
    """A talking-head engine: what it must do is abstract, what it may do has a default.

    A third party inherits from it and names its class as an entry point of the group
    `sadtalker_service.engines`; `examples/engine` is a whole one. Making an engine loads nothing large.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        """`settings`: those of the process by default."""
        self.settings = settings or get_settings()

    @property
    @abstractmethod
    def name(self) -> str:
        """Short name, as in `ENGINE=mesh`."""

    @property
    @abstractmethod
    def version(self) -> str:
        """Part of every cache key; changes whenever an artefact or its meaning changes."""

    @property
    @abstractmethod
    def capabilities(self) -> Capabilities:
        """What the engine can do."""

    @abstractmethod
    def stages_for(self, options: RenderOptions) -> tuple[Stage, ...]:
        """In the order in which they are computed. A stage whose result depends on an option, such as its
        size, has another name for another value."""

    @abstractmethod
    def extract_speech_features(
        self, sound: Iterator[NDArray[np.float32]], timeline: SpokenTimeline | None = None
    ) -> Iterator[Artefact]:
        """What motion needs to know of a recording, window by window, each as soon as it is settled.

        Depends on the sound alone: float32 (n,) pieces, mono, 16 kHz. How the sound is cut must not change
        the result. The next piece is taken when it is needed, and the end is not known before. There is at
        least one window. `timeline`: what is said when, if that is known exactly.
        """

    @abstractmethod
    def drive(
        self,
        avatar: Avatar,
        speech_features: Iterator[Artefact] | None,
        options: RenderOptions,
        duration: float | None,
        references: References = NO_REFERENCES,
    ) -> Iterator[Motion]:
        """Coefficients, window by window: each frame as soon as the speech features decide it.

        `speech_features` is None for an idle video of `duration` seconds. With speech, their end is the end
        of the video, and `duration` is given only if something in `options` depends on it: a track of angles.
        """

    def frame_count(self, duration: float, fps: int) -> int:
        """Frames of a video of `duration` seconds."""
        return max(1, math.ceil(duration * fps - 1e-6))

    @abstractmethod
    def frame_size(self, avatar: Avatar, options: RenderOptions) -> tuple[int, int]:
        """(width, height) of the frames that `render` gives, both even; asked for before there is one."""

    @abstractmethod
    def render(self, avatar: Avatar, motion: Iterator[Motion], options: RenderOptions) -> Rendering:
        """Frames, one batch at a time: memory does not grow with the length of the video.

        The windows of the motion are taken one by one while frames are asked for, none before.
        """

    def live_driver(self, avatar: Avatar, options: RenderOptions) -> LiveDriver:
        """Motion for a live session, drawn by `render`. Angles along a track have no effect.

        Raises `UnsupportedByEngine` where `capabilities.live` is false.
        """
        raise UnsupportedByEngine(
            f"The {self.name} engine cannot run live sessions. Use the mesh engine.", param="engine"
        )

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Those of videos with the default options."""
        return self.stages_for(RenderOptions(size=self.capabilities.default_size))

    @property
    def video_encoder(self) -> VideoEncoder:
        """What encodes the mp4 of its videos."""
        return X264

    def warm_up(self) -> None:  # noqa: B027  an engine need not
        """Compile, load and touch everything, so that the first request is as fast as the second."""

    def prepare_machine(self) -> None:  # noqa: B027  an engine need not
        """Slow work that is done once per machine, at its installation, such as compiling what few need."""

    def expect_speech(self) -> None:  # noqa: B027  an engine need not
        """A recording will be heard soon: start what can load meanwhile. Returns at once."""

    def extract_reference_motion(self, video: Path, mode: PreprocessMode) -> Artefact:
        """Extract the motion of a reference video. Depends on `video` and `mode` only.

        Raises `UnreadableVideo`, `NoFaceFound`, and `UnsupportedByEngine` if `capabilities` excludes it.
        """
        raise UnsupportedByEngine(
            f"The {self.name} engine cannot follow a reference video.", param="ref_pose"
        )

    def is_lost(self, error: Exception) -> bool:
        """Whether after such an error no more videos can be made in this process, only in a new one."""
        return False

    @classmethod
    def obstacle(cls, settings: Settings) -> str | None:
        """What keeps the engine from running here (checkpoints, packages) and what to do; None: nothing.

        Loads nothing large.
        """
        return None

    @classmethod
    def recommended(cls, settings: Settings) -> bool:
        """Whether `auto` shall prefer it here over the mesh engine, which always can. Loads nothing large."""
        return False


def card_of(engine: Engine) -> EngineCard:
    """What `engine` says of itself."""
    stages = tuple((stage.name, stage.per_mode, stage.essential) for stage in engine.stages)
    return EngineCard(engine.name, engine.version, engine.capabilities, stages)
