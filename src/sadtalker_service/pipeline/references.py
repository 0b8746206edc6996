"""Reference videos: what of them a video takes over, out of the cache where it is there."""

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
    """A video that is there as a file."""

    video_hash: str
    """sha256 of its bytes."""
    path: Path

    @classmethod
    def of_file(cls, path: Path, param: str) -> ReferenceVideo:
        """The video in a file that somebody named. Raises `UnreadableVideo`, about `param`."""
        try:
            with path.open("rb") as file:
                return cls(hashlib.file_digest(file, "sha256").hexdigest(), path)
        except OSError as error:
            raise UnreadableVideo(f"Cannot read {path}: {error.strerror}.", param=param) from error


@dataclass(frozen=True)
class ReferenceVideos:
    """Those of a request."""

    eyeblink: ReferenceVideo | None = None
    pose: ReferenceVideo | None = None

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self.eyeblink or self.pose)


NO_VIDEOS = ReferenceVideos()


def extract_reference_motion(
    engine: Engine, videos: ReferenceVideos, mode: PreprocessMode, computation: CachedComputation
) -> References:
    """What `engine` takes over from the videos; of one that is both, read once. Raises what it raises."""
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
