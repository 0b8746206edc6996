"""Reads a source image from a file. From an animation or a video, one frame is chosen, once."""

from __future__ import annotations

import hashlib
from functools import lru_cache, partial
from pathlib import Path

from sadtalker_service.domain import Artefact, LazySourceImage, SourceImage
from sadtalker_service.errors import ImageTooLarge, UnreadableImage
from sadtalker_service.faces.best_frame import best_of_animation, best_of_video
from sadtalker_service.faces.landmarker import FaceLandmarker
from sadtalker_service.media.animation import animation_frames, is_animation
from sadtalker_service.media.clip import VIDEO_ADVICE, clip_frames, is_video
from sadtalker_service.media.image import check_bytes, decode_image, is_picture
from sadtalker_service.pipeline.cached import CachedComputation, CacheTerms
from sadtalker_service.settings import Settings
from sadtalker_service.store.cache import ArtefactCache, NoCache
from sadtalker_service.store.keys import stage_key

FRAME = "source_frame"
"""Kind of the artefact that holds the chosen frame."""
_CHOICE_VERSION = "1"
"""Raise this whenever the choice of frames changes."""

_VIDEO = (
    "The source is a video. The frame at {seconds:.1f} s was used, the best of {count} examined "
    "(sharp, mouth closed, eyes open)."
)
_landmarker = lru_cache(maxsize=1)(FaceLandmarker)
"""`min_face_pixels` -> landmarker. Loaded for the first animation or video; most processes never need it."""
_ANIMATION = "The source image is an animation that starts without a clear face. Frame {number} was used."


def lazy_source_image(path: Path, settings: Settings, cache: ArtefactCache | None = None) -> LazySourceImage:
    """Read and hash the source image in `path` now, and decode it only when it is needed.

    Raises `UnreadableImage`; opening it raises the errors of `read_source_image`.
    """
    data = _read(path, settings)
    image_hash = hashlib.sha256(data).hexdigest()
    return LazySourceImage(image_hash, lambda: _source_image(path, data, image_hash, settings, cache, None))


def read_source_image(
    path: Path,
    settings: Settings,
    image_hash: str | None = None,
    *,
    cache: ArtefactCache | None = None,
    terms: CacheTerms | None = None,
) -> SourceImage:
    """Read and decode the source image in `path`; `image_hash` is its sha256, if known.

    From an animation the first frame is used, or a later one if that is blank or faded; from a video, the
    best frame. `cache` keeps the choice. Raises `UnreadableImage`, `ImageTooLarge`, and for a video
    `NoFaceFound` and `FaceTooSmall`.
    """
    data = _read(path, settings)
    return _source_image(path, data, image_hash or hashlib.sha256(data).hexdigest(), settings, cache, terms)


def read_backdrop(path: Path, settings: Settings, image_hash: str | None = None) -> SourceImage:
    """Read and decode the picture of a background. A video is refused; an animation gives its first frame.

    Raises `UnreadableImage`, `ImageTooLarge`, with the parameter `background`.
    """
    try:
        return decode_image(
            _read(path, settings),
            max_bytes=settings.max_image_bytes,
            max_pixels=settings.max_image_pixels,
            image_hash=image_hash,
        )
    except (UnreadableImage, ImageTooLarge) as error:
        message = error.message.replace("The source image", "The picture of the background")
        raise type(error)(message, param="background") from error


def _source_image(
    path: Path,
    data: bytes,
    image_hash: str,
    settings: Settings,
    cache: ArtefactCache | None,
    terms: CacheTerms | None,
) -> SourceImage:
    is_clip = is_video(data) and not is_picture(data)
    if is_clip:
        check_bytes(data, settings.max_image_bytes, VIDEO_ADVICE)
    elif not is_animation(data):
        return decode_image(
            data,
            max_bytes=settings.max_image_bytes,
            max_pixels=settings.max_image_pixels,
            image_hash=image_hash,
        )

    def choose() -> Artefact:
        landmarker = _landmarker(settings.min_face_pixels)
        if is_clip:
            frames = clip_frames(path, max_pixels=settings.max_image_pixels)
            frame, count = best_of_video(frames, landmarker)
            words = [_VIDEO.format(seconds=frame.seconds or 0.0, count=count)]
        else:
            opened = partial(animation_frames, data, max_pixels=settings.max_image_pixels)
            # without a face, use the first one; the engine reports that it has none
            frame = best_of_animation(opened(), landmarker) or next(opened())
            words = [] if frame.number == 1 else [_ANIMATION.format(number=frame.number)]
        return Artefact({"pixels": frame.pixels}, {"warnings": words})

    key = stage_key(FRAME, image_hash, None, "faces", _CHOICE_VERSION)
    chosen = CachedComputation(cache or NoCache(), terms).artefact(FRAME, key, "week", choose)
    return SourceImage(image_hash, chosen.arrays["pixels"], warnings=tuple(chosen.record["warnings"]))


def _read(path: Path, settings: Settings) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(
                settings.max_image_bytes + 1
            )  # one byte over the limit, so that decoding notices
    except OSError as error:
        raise UnreadableImage(f"Cannot read {path}: {error.strerror}.", param="source_image") from error
