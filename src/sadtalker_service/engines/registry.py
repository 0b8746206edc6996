"""Finds engines by name: whatever is installed under the entry-point group `sadtalker_service.engines`.

An entry point names a class that is made without arguments and then fulfils `base.Engine`. Making one loads
nothing large. It may have two class methods, neither of which loads anything large:

- `obstacle() -> str | None`: what keeps the engine from running here (checkpoints, packages), None: nothing.
- `recommended() -> bool`: whether `auto` shall prefer it here over the mesh engine, which always can.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import cast

from sadtalker_service.engines.base import Engine
from sadtalker_service.errors import EngineUnavailable

GROUP = "sadtalker_service.engines"
AUTO = "auto"
FALLBACK = "mesh"
"""What `auto` means where no other engine is recommended."""


def load_engine(name: str = AUTO) -> Engine:
    """The engine called `name`, or the best one that can run here for `auto`.

    Raises `EngineUnavailable` with the names that there are, or with the reason why it cannot run.
    """
    installed = installed_engines()
    if name == AUTO:
        name = _choose(installed)
    if name not in installed:
        known = ", ".join([AUTO, *sorted(installed)])
        raise EngineUnavailable(f"There is no engine called {name!r}; there are {known}.", param="engine")
    reason = _obstacle(installed[name])
    if reason:
        raise EngineUnavailable(f"The {name} engine cannot run here: {reason}", param="engine")
    return _load(installed[name])()


def installed_engines() -> Mapping[str, EntryPoint]:
    """Name -> entry point of every installed engine, loaded or not."""
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def obstacles() -> Mapping[str, str]:
    """Name -> what keeps the engine from running here and what to do, for every engine that cannot."""
    found = {name: _obstacle(entry) for name, entry in sorted(installed_engines().items())}
    return {name: reason for name, reason in found.items() if reason}


def _choose(installed: Mapping[str, EntryPoint]) -> str:
    others = sorted(name for name in installed if name != FALLBACK)
    return next((name for name in others if _is_recommended(installed[name])), FALLBACK)


def _is_recommended(entry: EntryPoint) -> bool:
    if _obstacle(entry):
        return False
    recommended = getattr(_load(entry), "recommended", None)
    return recommended is not None and bool(recommended())


def _obstacle(entry: EntryPoint) -> str | None:
    try:
        obstacle = getattr(_load(entry), "obstacle", None)
        return obstacle() if obstacle else None
    except EngineUnavailable as error:
        return error.message


def _load(entry: EntryPoint) -> Callable[[], Engine]:
    try:
        return cast("Callable[[], Engine]", entry.load())
    except (ImportError, AttributeError) as error:
        raise EngineUnavailable(
            f"The engine {entry.name!r} does not load: {error}. Install what it needs, or choose another.",
            param="engine",
        ) from error
