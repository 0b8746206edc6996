"""The engine port: what a talking-head engine must offer to the pipeline.

An engine is a short list of stages (portrait -> artefacts), a way to listen (speech -> what motion needs),
a way to follow (reference video -> what motion takes over), a way to drive (artefacts + what was heard ->
motion) and a way to render (motion -> frames). It knows no cache, no jobs and no HTTP. Third parties add one
through the entry-point group `sadtalker_service.engines`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.domain import (
    Artefact,
    Avatar,
    Lifetime,
    Motion,
    Portrait,
    PreprocessMode,
    Rendering,
    Speech,
    Style,
)


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
    honours: tuple[str, ...] = ()
    """Further options of SadTalker that have an effect here: `batch_size`, `checkpoint_dir`, `face3dvis`."""
    idle: bool = True
    """Can make a video of a length without any speech."""
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
    """One step from a portrait to an avatar: a pure function of the portrait, the mode and earlier stages."""

    name: str
    """Also the prefix of the cache key, e.g. `face_mesh`."""
    per_mode: bool
    """Whether the result depends on the preprocess mode (it is then part of the key)."""
    lifetime: Lifetime
    compute: Callable[[Portrait, PreprocessMode, Mapping[str, Artefact]], Artefact]
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

    def to_artefact(self, **arrays: NDArray[Any]) -> Artefact:
        """As arrays and a record, with further `arrays` of the engine."""
        record = {"names": list(self.names), "letters": dict(self.letters)}
        return Artefact({"pictures": self.pictures, **arrays}, record)

    @classmethod
    def from_artefact(cls, artefact: Artefact) -> MouthShapes:
        """What `to_artefact` gave. Raises `KeyError` for another artefact."""
        record = artefact.record
        return cls(artefact.arrays["pictures"], tuple(record["names"]), record["letters"])


@dataclass(frozen=True, eq=False)
class References:
    """What is taken over from other videos, as `Engine.follow` gave it."""

    eyeblink: Artefact | None = None
    pose: Artefact | None = None


NO_REFERENCES = References()


@dataclass(frozen=True)
class PostProcessing:
    """What is done besides the motion. Names are among the engine's capabilities."""

    enhancer: str | None = None
    """Restores the moving face, frame by frame."""
    background_enhancer: str | None = None
    """Sharpens the picture around it, once."""
    batch_size: int | None = None
    """Frames at once; None: as many as the engine thinks best."""


NO_POST_PROCESSING = PostProcessing()


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


class Engine(Protocol):
    """A talking-head engine."""

    @property
    def name(self) -> str:
        """Short name, as in `ENGINE=mesh`."""

    @property
    def version(self) -> str:
        """Part of every cache key; changes whenever an artefact or its meaning changes."""

    @property
    def capabilities(self) -> Capabilities:
        """What the engine can do."""

    @property
    def stages(self) -> tuple[Stage, ...]:
        """For videos of the default size, in the order in which they are computed."""

    def stages_for(self, size: int) -> tuple[Stage, ...]:
        """For videos of another size: stages whose result depends on it have other names."""

    def warm_up(self) -> None:
        """Compile, load and touch everything, so that the first request is as fast as the second."""

    def extract_speech_features(self, speech: Speech) -> Artefact:
        """What motion needs to know of a recording; depends on the sound alone."""

    def extract_reference_motion(self, video: Path, mode: PreprocessMode) -> Artefact:
        """What motion takes over from a reference video; depends on the two alone.

        Raises `UnreadableVideo`, `NoFaceFound`, and `UnsupportedByEngine` where `capabilities` says so.
        """

    def drive(
        self,
        avatar: Avatar,
        speech_features: Artefact | None,
        style: Style,
        duration: float,
        references: References = NO_REFERENCES,
    ) -> Motion:
        """Coefficients for `duration` seconds. `heard` is None for an idle video."""

    def render(
        self, avatar: Avatar, motion: Motion, style: Style, finish: PostProcessing = NO_POST_PROCESSING
    ) -> Rendering:
        """Frames, one batch at a time: memory does not grow with the length of the video."""


def card_of(engine: Engine) -> EngineCard:
    """What `engine` says of itself."""
    stages = tuple((stage.name, stage.per_mode, stage.essential) for stage in engine.stages)
    return EngineCard(engine.name, engine.version, engine.capabilities, stages)
