"""What a request asks for, held against what the engine can do, before any work begins.

What would make the video another one than asked for is refused. What only would have made it prettier is
left out, and a warning says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sadtalker_service.domain import PREPROCESS_MODES, QUALITIES, Style, Track
from sadtalker_service.engines.port import Capabilities, PostProcessing
from sadtalker_service.errors import InvalidOption, UnsupportedByEngine

FRAME_RATES = (24, 25, 30, 50, 60)
POSE_STYLES = 46
ENHANCERS = ("gfpgan", "RestoreFormer")
BACKGROUND_ENHANCERS = ("realesrgan",)
_LATEST_CUE = 86_400.0
"""Seconds; a day is longer than any video."""


_MOST_ANGLES, _MOST_CUES = 1_000, 500
"""More than this is a mistake, and every record would carry it."""


class HasCapabilities(Protocol):
    """Whatever says what an engine can do: the engine itself, or its card."""

    @property
    def name(self) -> str:
        """Short name."""

    @property
    def capabilities(self) -> Capabilities:
        """What the engine can do."""


@dataclass(frozen=True)
class EngineOptions:
    """SadTalker's options that are no matter of style. None and False where they were not given."""

    enhancer: str | None = None
    """Restores the face after rendering."""
    background_enhancer: str | None = None
    """Sharpens what is not the face."""
    ref_eyeblink: Path | str | None = None
    """A video whose blinks are taken over."""
    ref_pose: Path | str | None = None
    """A video whose head motion is taken over."""
    batch_size: int | None = None
    """Frames rendered at once by a neural engine."""
    checkpoint_dir: Path | None = None
    """Where a neural engine finds its networks."""
    face3dvis: bool = False
    """Draw the face model beside the video."""


def check_request(engine: HasCapabilities, style: Style, engine_options: EngineOptions) -> tuple[str, ...]:
    """Warnings about what will be left out.

    Raises `InvalidOption` for a value out of its range, `UnsupportedByEngine` for what the engine cannot do.
    """
    check_style(style)
    _refuse(engine, style, engine_options)
    return tuple(_warnings(engine, engine_options))


def applied(engine: HasCapabilities, wanted: str | None) -> str | None:
    """The enhancer that will be applied: `wanted`, or None where the engine does not have it."""
    return wanted if wanted in engine.capabilities.enhancers else None


def post_processing_of(engine: HasCapabilities, engine_options: EngineOptions) -> PostProcessing:
    """What of `engine_options` the engine applies besides motion; `check_request` warns of the rest."""
    return PostProcessing(
        enhancer=applied(engine, engine_options.enhancer),
        background_enhancer=applied(engine, engine_options.background_enhancer),
        batch_size=engine_options.batch_size if "batch_size" in engine.capabilities.honours else None,
    )


def check_style(style: Style) -> None:
    """Raises `InvalidOption` for the first value out of its range."""
    _one_of("preprocess", style.preprocess, PREPROCESS_MODES)
    _one_of("quality", style.quality, QUALITIES)
    _one_of("fps", style.fps, FRAME_RATES)
    _within("expression_scale", style.expression_scale, 0.0, 3.0)
    _within("pose_style", style.pose_style, 0, POSE_STYLES - 1)
    for name in ("input_yaw", "input_pitch", "input_roll"):
        track: Track | None = getattr(style, name)
        if track is not None and not track.degrees:
            raise InvalidOption(f"{name} needs at least one angle.", param=name)
        _at_most(name, len(track.degrees) if track else 0, _MOST_ANGLES)
        for angle in track.degrees if track else ():
            _within(name, angle, -180.0, 180.0)
    _at_most("gestures", len(style.gestures), _MOST_CUES)
    for cue in style.gestures:
        _within("gestures", cue.at, 0.0, _LATEST_CUE)


def _refuse(engine: HasCapabilities, style: Style, engine_options: EngineOptions) -> None:
    can = engine.capabilities
    smallest, largest = can.sizes
    if style.preprocess not in can.preprocess_modes:
        raise _unsupported(engine, "preprocess", style.preprocess, _names(can.preprocess_modes))
    if not smallest <= style.size <= largest:
        raise _unsupported(engine, "size", style.size, f"{smallest} to {largest}")
    if can.only_sizes and style.size not in can.only_sizes:
        raise _unsupported(engine, "size", style.size, _names(can.only_sizes))
    for cue in style.gestures:
        if cue.name not in can.gestures:
            raise _unsupported(engine, "gestures", cue.name, _names(can.gestures) or "none")
    for name in ("ref_eyeblink", "ref_pose"):
        if getattr(engine_options, name) is not None and not can.reference_video:
            raise UnsupportedByEngine(
                f"The {engine.name} engine cannot follow a reference video; leave {name} out.", param=name
            )


def _warnings(engine: HasCapabilities, engine_options: EngineOptions) -> Iterator[str]:
    can = engine.capabilities
    for name in ("enhancer", "background_enhancer"):
        wanted = getattr(engine_options, name)
        if wanted is not None and wanted not in can.enhancers:
            known = _names(can.enhancers) or "none"
            yield f"{name} {wanted} was not applied: the {engine.name} engine has {known}."
    for name in ("batch_size", "checkpoint_dir", "face3dvis"):
        if getattr(engine_options, name) and name not in can.honours:
            yield f"{name} has no effect with the {engine.name} engine."


def _one_of(name: str, value: object, choices: tuple[object, ...]) -> None:
    if value not in choices:
        raise InvalidOption(f"{name} is {value}, but must be one of {_names(choices)}.", param=name)


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise InvalidOption(f"{name} is {value:g}, but must be between {low:g} and {high:g}.", param=name)


def _at_most(name: str, count: int, most: int) -> None:
    if count > most:
        raise InvalidOption(f"{name} has {count:,} entries, but may have at most {most:,}.", param=name)


def _names(values: tuple[object, ...]) -> str:
    return ", ".join(str(value) for value in values)


def _unsupported(engine: HasCapabilities, name: str, value: object, known: str) -> UnsupportedByEngine:
    return UnsupportedByEngine(
        f"The {engine.name} engine does not know {name} {_shown(value)}; it knows {known}.", param=name
    )


def _shown(value: object) -> str:
    """At most forty characters of it."""
    text = repr(value)
    return text if len(text) <= 40 else text[:40] + "..."
