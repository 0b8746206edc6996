"""The fields of a request become a style, and a style with its ingredients becomes the name of a video."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Protocol, TypeVar

from sadtalker_service.domain import PREPROCESS_MODES, QUALITIES, PreprocessMode, Quality, Style, Track
from sadtalker_service.pipeline.fields import (
    parse_angles,
    parse_choice,
    parse_flag,
    parse_gestures,
    parse_number,
    parse_whole,
)
from sadtalker_service.pipeline.wishes import BACKGROUND_ENHANCERS, ENHANCERS

VIDEO_FORMAT = 1
"""Part of every result key: raise it when equal wishes begin to give other videos (encoder, muxer, sound)."""

NONE = "none"
"""How a form says that it wants no enhancer."""

Value = TypeVar("Value")


class Ingredients(Protocol):
    """All that decides how a video looks and sounds; `jobs.records.Wish` has it."""

    @property
    def image_id(self) -> str:
        """sha256 of the portrait's bytes."""

    @property
    def audio_id(self) -> str | None:
        """sha256 of the recording's bytes, None for an idle video."""

    @property
    def audio_seconds(self) -> float:
        """Length; counts for an idle video only, a recording has its own."""

    @property
    def face_index(self) -> int:
        """Which of the portrait's faces it is."""

    @property
    def style(self) -> Style:
        """How it is spoken and shown."""

    @property
    def engine(self) -> str:
        """Name of the engine."""

    @property
    def engine_version(self) -> str:
        """Its version."""

    @property
    def enhancer(self) -> str | None:
        """Enhancer that is applied."""

    @property
    def background_enhancer(self) -> str | None:
        """Background enhancer that is applied."""

    @property
    def ref_eyeblink_id(self) -> str | None:
        """sha256 of a reference video."""

    @property
    def ref_pose_id(self) -> str | None:
        """sha256 of a reference video."""


def result_key(wish: Ingredients) -> str:
    """Name of the video that `wish` becomes: 64 hexadecimal digits, equal for equal videos."""
    facts: dict[str, Any] = {
        "format": VIDEO_FORMAT,
        "image": wish.image_id,
        "audio": wish.audio_id,
        "idle_seconds": wish.audio_seconds if wish.audio_id is None else None,
        "style": asdict(wish.style),
        "engine": [wish.engine, wish.engine_version],
        "enhancers": [wish.enhancer, wish.background_enhancer],
        "references": [wish.ref_eyeblink_id, wish.ref_pose_id],
    }
    if wish.face_index:  # the largest face keeps the names that videos had before there was a choice
        facts["face"] = wish.face_index
    text = json.dumps(_plain(facts), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def style_from_fields(fields: Mapping[str, str], defaults: Style) -> Style:
    """The style that a form's fields describe; an absent or empty field leaves the default.

    Names are those of the API: `preprocess_mode`, `still`, `expression_scale`, `pose_style`, `size`,
    `quality`, `fps`, `seed`, `input_yaw`, `input_pitch`, `input_roll`, `gestures`; others are not looked at.
    Ranges that depend on the engine are checked by `wishes.check_request`.

    Raises:
        InvalidOption: a field that cannot be read, named in `param`.
    """
    given = {name: text.strip() for name, text in fields.items() if text.strip()}

    def read(name: str, parse: Callable[[str, str], Value], default: Value) -> Value:
        return parse(given[name], name) if name in given else default

    return Style(
        preprocess=read("preprocess_mode", _preprocess, defaults.preprocess),
        still=read("still", parse_flag, defaults.still),
        expression_scale=read("expression_scale", parse_number, defaults.expression_scale),
        pose_style=read("pose_style", parse_whole, defaults.pose_style),
        size=read("size", parse_whole, defaults.size),
        quality=read("quality", _quality, defaults.quality),
        fps=read("fps", parse_whole, defaults.fps),
        input_yaw=read("input_yaw", _track, defaults.input_yaw),
        input_pitch=read("input_pitch", _track, defaults.input_pitch),
        input_roll=read("input_roll", _track, defaults.input_roll),
        gestures=read("gestures", parse_gestures, defaults.gestures),
        seed=read("seed", parse_whole, defaults.seed),
    )


def parse_enhancer(text: str | None, default: str | None) -> str | None:
    """Name of an enhancer of faces as SadTalker spells it: None for `none`, `default` for an empty field.

    Raises `InvalidOption`."""
    return _name_or_none(text, "enhancer", ENHANCERS, default)


def parse_background_enhancer(text: str | None) -> str | None:
    """Name of an enhancer of backgrounds; None for `none` and for an empty field. Raises `InvalidOption`."""
    return _name_or_none(text, "background_enhancer", BACKGROUND_ENHANCERS, None)


def _name_or_none(text: str | None, param: str, names: tuple[str, ...], default: str | None) -> str | None:
    if not text or not text.strip():
        return default
    name = parse_choice(text, param, (*names, NONE))
    return None if name == NONE else name


def _preprocess(text: str, param: str) -> PreprocessMode:
    return parse_choice(text, param, PREPROCESS_MODES)


def _quality(text: str, param: str) -> Quality:
    return parse_choice(text, param, QUALITIES)


def _track(text: str, param: str) -> Track | None:
    return parse_angles(text, param)


def _plain(value: Any) -> Any:
    """JSON values in which equal numbers look alike: 1, 1.0 and -0.0, 0."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    return float(value) + 0.0
