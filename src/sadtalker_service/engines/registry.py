"""Finds engines by name: whatever is installed under the entry-point group `sadtalker_service.engines`.

An entry point names a class that is made without arguments and then fulfils `base.Engine`. It may have a
class method `available() -> bool` that says, without loading anything large, whether the engine can run
here (checkpoints, GPU); `auto` prefers such an engine over the mesh engine, which always can.
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
"""What `auto` means where no other engine is available."""


def load_engine(name: str = AUTO) -> Engine:
    """The engine called `name`, or the best one that can run here for `auto`.

    Raises `EngineUnavailable` with the names that there are, or with the reason why it does not load.
    """
    installed = installed_engines()
    if name == AUTO:
        name = _choose(installed)
    if name not in installed:
        known = ", ".join([AUTO, *sorted(installed)])
        raise EngineUnavailable(f"There is no engine called {name!r}; there are {known}.", param="engine")
    return _load(installed[name])()


def installed_engines() -> Mapping[str, EntryPoint]:
    """Name -> entry point of every installed engine, loaded or not."""
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def _choose(installed: Mapping[str, EntryPoint]) -> str:
    others = sorted(name for name in installed if name != FALLBACK)
    return next((name for name in others if _is_available(installed[name])), FALLBACK)


def _is_available(entry: EntryPoint) -> bool:
    try:
        available = getattr(_load(entry), "available", None)
    except EngineUnavailable:
        return False
    return available is not None and bool(available())


def _load(entry: EntryPoint) -> Callable[[], Engine]:
    try:
        return cast("Callable[[], Engine]", entry.load())
    except (ImportError, AttributeError) as error:
        raise EngineUnavailable(
            f"The engine {entry.name!r} does not load: {error}. Install what it needs, or choose another.",
            param="engine",
        ) from error
