"""Reference videos, and the motion that is taken from them (cached)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sadtalker_service.domain import Artefact, PreprocessMode
from sadtalker_service.engines.port import Engine, References
from sadtalker_service.errors import UnreadableVideo
from sadtalker_service.pipeline.cached import CachedComputation
from sadtalker_service.store.keys import reference_key


@dataclass(frozen=True)
class ReferenceVideo:
    """A reference video in a file."""

    video_hash: str
    """sha256 of its bytes."""
    path: Path

    @classmethod
    def of_file(cls, path: Path, param: str) -> ReferenceVideo:
        """Hash the video in a file that a user named. Raises `UnreadableVideo` naming `param`."""
        try:
            with path.open("rb") as file:
                return cls(hashlib.file_digest(file, "sha256").hexdigest(), path)
        except OSError as error:
            raise UnreadableVideo(f"Cannot read {path}: {error.strerror}.", param=param) from error


@dataclass(frozen=True)
class ReferenceVideos:
    """The reference videos of a request."""

    eyeblink: ReferenceVideo | None = None
    pose: ReferenceVideo | None = None

    def __bool__(self) -> bool:
        """True if there is at least one."""
        return bool(self.eyeblink or self.pose)


NO_VIDEOS = ReferenceVideos()


def extract_reference_motion(
    engine: Engine, videos: ReferenceVideos, mode: PreprocessMode, computation: CachedComputation
) -> References:
    """Extract the motion that `engine` uses from the videos. Raises the errors of the engine.

    A video that serves as both references is read once.
    """
    seen: dict[str, Artefact] = {}

    def artefact(video: ReferenceVideo | None) -> Artefact | None:
        if video is None:
            return None
        if video.video_hash not in seen:
            key = reference_key(video.video_hash, mode, engine.name, engine.version)
            seen[video.video_hash] = computation.artefact(
                "reference", key, "week", partial(engine.extract_reference_motion, video.path, mode)
            )
        return seen[video.video_hash]

    return References(artefact(videos.eyeblink), artefact(videos.pose))
