"""The options of a request, held against what the engine can do, before any work begins.

What would make the video another one than asked for is refused. What only would have made it prettier is
left out, and a warning says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass, replace

from sadtalker_service.engines.port import Engine, EngineCard
from sadtalker_service.errors import UnsupportedByEngine
from sadtalker_service.options import RenderOptions
from sadtalker_service.options.refusals import shown
from sadtalker_service.options.render_options import DEFAULTS, IF_HONOURED, OPTION_SCHEMA

_IF_HONOURED = tuple(name for name, schema in OPTION_SCHEMA.items() if schema.get(IF_HONOURED))


HasCapabilities = Engine | EngineCard
"""What says what an engine can do."""


@dataclass(frozen=True)
class Applied:
    """What an engine will do of a request."""

    options: RenderOptions
    """With the engine's size where none was chosen, and without what it leaves out."""
    warnings: tuple[str, ...]
    """What is left out."""


def apply_to_engine(
    engine: HasCapabilities, options: RenderOptions, given: Set[str] = frozenset()
) -> Applied:
    """What `engine` will do. `given` names what was given beside the options: `ref_eyeblink`, `ref_pose`,
    `checkpoint_dir`.

    Raises `UnsupportedByEngine` for what the engine cannot do.
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
                f"The {engine.name} engine cannot follow a reference video; leave {name} out.", param=name
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
        f"The {engine.name} engine does not know {name} {shown(value)}; it knows {known}.", param=name
    )
