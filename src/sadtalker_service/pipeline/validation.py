"""Checks the options of a request against the engine's capabilities before any work begins.

An unsupported option that would change the content of the video is refused. One that would only improve its
look is dropped with a warning.
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass, replace

from sadtalker_service.engines.port import Engine, EngineCard
from sadtalker_service.errors import InvalidOption, UnsupportedByEngine
from sadtalker_service.options import RenderOptions
from sadtalker_service.options.refusals import shown
from sadtalker_service.options.render_options import DEFAULTS, IF_HONOURED, OPTION_SCHEMA

_IF_HONOURED = tuple(name for name, schema in OPTION_SCHEMA.items() if schema.get(IF_HONOURED))


HasCapabilities = Engine | EngineCard
"""Anything with an engine's capabilities."""


@dataclass(frozen=True)
class Applied:
    """The part of a request that an engine can carry out."""

    options: RenderOptions
    """With the engine's default size if none was chosen, and without the dropped options."""
    warnings: tuple[str, ...]
    """One per dropped option."""


def apply_to_engine(
    engine: HasCapabilities, options: RenderOptions, given: Set[str] = frozenset()
) -> Applied:
    """Reduce `options` to what `engine` can do.

    `given` names further inputs of the request: `ref_eyeblink`, `ref_pose`, `checkpoint_dir`. Raises
    `UnsupportedByEngine` if the engine cannot do what was asked.
    """
    can = engine.capabilities
    chosen = replace(options, size=options.size or can.default_size)
    _refuse(engine, chosen, given)
    return Applied(
        options=replace(
            chosen,
            enhancer=options.enhancer if options.enhancer in can.enhancers else None,
            background_enhancer=options.background_enhancer
            if options.background_enhancer in can.enhancers
            else None,
            **{name: getattr(DEFAULTS, name) for name in _IF_HONOURED if name not in can.honours},
        ),
        warnings=tuple(_warnings(engine, chosen, given)),
    )


def _refuse(engine: HasCapabilities, options: RenderOptions, given: Set[str]) -> None:
    can = engine.capabilities
    if options.background and not can.backgrounds:
        raise UnsupportedByEngine(
            f"The {engine.name} engine cannot replace the background. Leave out background, or choose the "
            "engine mesh.",
            param="background",
        )
    if options.aspect_ratio and not can.aspect_ratios:
        raise UnsupportedByEngine(
            f"The {engine.name} engine cannot choose the shape of the video. Leave out aspect_ratio, or "
            "choose the engine mesh.",
            param="aspect_ratio",
        )
    if options.transparent and options.container == "mp4":
        raise InvalidOption("A transparent video cannot be mp4. Use format webm or mov.", param="format")
    if options.container != "mp4" and not options.transparent:
        raise InvalidOption(
            f"{options.container} is for transparent videos. Leave out format, or set background to "
            "transparent.",
            param="format",
        )
    if options.transparent and options.captions == "track":
        raise InvalidOption(
            "A transparent video has no text track. Use captions=burned, or leave out captions.",
            param="captions",
        )
    smallest, largest = can.sizes
    if options.preprocess not in can.preprocess_modes:
        raise _unsupported(engine, "preprocess", options.preprocess, _names(can.preprocess_modes))
    if not smallest <= options.side <= largest:
        raise _unsupported(engine, "size", options.side, f"{smallest} to {largest}")
    if can.only_sizes and options.side not in can.only_sizes:
        raise _unsupported(engine, "size", options.side, _names(can.only_sizes))
    for cue in options.gestures:
        if cue.name not in can.gestures:
            raise _unsupported(engine, "gestures", cue.name, _names(can.gestures) or "none")
    for name in ("ref_eyeblink", "ref_pose"):
        if name in given and not can.reference_video:
            raise UnsupportedByEngine(
                f"The {engine.name} engine does not support reference videos. Leave out {name}.", param=name
            )


def _warnings(engine: HasCapabilities, options: RenderOptions, given: Set[str]) -> Iterator[str]:
    can = engine.capabilities
    for name in ("enhancer", "background_enhancer"):
        wanted = getattr(options, name)
        if wanted is not None and wanted not in can.enhancers:
            known = _names(can.enhancers) or "none"
            yield f"{name} {wanted} was not applied: the {engine.name} engine has {known}."
    changed = [name for name in _IF_HONOURED if getattr(options, name) != getattr(DEFAULTS, name)]
    for name in (*changed, *(given & {"checkpoint_dir"})):
        if name not in can.honours:
            yield f"{name} has no effect with the {engine.name} engine."


def _names(values: tuple[object, ...]) -> str:
    return ", ".join(str(value) for value in values)


def _unsupported(engine: HasCapabilities, name: str, value: object, known: str) -> UnsupportedByEngine:
    return UnsupportedByEngine(
        f"The {engine.name} engine does not support {name} {shown(value)}. Supported: {known}.", param=name
    )
