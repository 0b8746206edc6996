"""Fields of the service's forms from Python values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypedDict

from sadtalker_service.client.exchange import Source
from sadtalker_service.client.records import PreprocessMode
from sadtalker_service.errors import InvalidOption

Angles: TypeAlias = Sequence[float] | str
Gestures: TypeAlias = Sequence[tuple[str, float]] | str

_FILES = ("ref_eyeblink", "ref_pose", "background_file")


class VideoOptions(TypedDict, total=False):
    """Options of a video: the fields of the service's form. An absent one has the service's default."""

    text: str
    """To be spoken, in place of a recording: plain, or with SSML."""
    voice: str
    """Id of a voice for `text`."""
    rate: float
    """How fast `text` is spoken, 0.5 to 2."""
    language: str
    """Of `text`, in place of a voice: `en-gb`, `es`."""
    transcript: str
    """The words of the recording, for captions."""
    preprocess_mode: PreprocessMode
    """A mode in which the source image was uploaded."""
    face_index: int
    """The face that speaks: 0 is the largest."""
    still: bool
    expression_scale: float
    pose_style: int
    size: int | None
    input_yaw: Angles | None
    """Degrees, spread evenly over the video: `(0, 30, 0)` or `"0,30,0"`."""
    input_pitch: Angles | None
    input_roll: Angles | None
    audio_track: int | None
    gestures: Gestures
    """`[("nod_yes", 1.5)]` or `"nod_yes@1.5"`, times in seconds."""
    quality: Literal["low", "medium", "high"]
    captions: Literal["track", "burned", "none"]
    background: str
    """`"#1e90ff"`, `"transparent"`, `"still"` or `"none"`."""
    background_file: Source
    """A picture behind the person."""
    aspect_ratio: Literal["16:9", "9:16", "1:1", "none"]
    format: Literal["mp4", "webm", "mov", "none"]
    fps: Literal[24, 25, 30, 50, 60]
    seed: int
    enhancer: Literal["gfpgan", "RestoreFormer", "none"]
    background_enhancer: Literal["realesrgan", "none"]
    engine: str
    callback_url: str
    user_data: str
    ref_eyeblink: Source
    ref_pose: Source


def split_options(options: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, Source]]:
    """Texts and files of a form. Raises `InvalidOption` for an option that is not in `VideoOptions`."""
    unknown = options.keys() - VideoOptions.__annotations__.keys()
    if unknown:
        name = min(unknown)
        raise InvalidOption(f"There is no option {name}.", param=name)
    given = {name: value for name, value in options.items() if value is not None}
    files = {name: checked(given.pop(name), name) for name in _FILES if name in given}
    return {name: field_text(value) for name, value in given.items()}, files


def field_text(value: Any) -> str:
    """`value` as the text of a field: true, 0,30,0 or nod_yes@1.5,smile@3."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return str(value)
    return ",".join(f"{e[0]}@{e[1]}" if isinstance(e, tuple | list) else str(e) for e in value)


def checked(source: Source, name: str) -> Source:
    """`source`, if it can be read. Raises `InvalidOption` with `name` as its param."""
    if isinstance(source, bytes):
        return source
    path = Path(source)
    try:
        with path.open("rb"):
            return path
    except OSError as error:
        raise InvalidOption(f"{path} cannot be read: {error.strerror}.", param=name) from error
