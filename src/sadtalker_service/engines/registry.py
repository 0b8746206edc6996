"""Finds engines by name: whatever is installed under the entry-point group `sadtalker_service.engines`.

An entry point names a class that is made with the settings and then fulfils `base.Engine`. Making one loads
nothing large. It may have these methods besides, the first two of the class, none of which loads anything
large:

- `obstacle(settings) -> str | None`: what keeps the engine from running here (checkpoints, packages) and what
  to do, None: nothing.
- `recommended(settings) -> bool`: whether `auto` shall prefer it here over the mesh engine, which always can.
- `is_lost(error) -> bool`: whether after such an error no more videos can be made in this process, only in a
  new one.

An engine that wants a process of its own beside the workers of a machine has a function
`(settings, folder) -> Helper | None` in the group `sadtalker_service.helpers`: None where that process cannot
run. Sockets may lie in `folder`. The service's first process calls it, so it should import little.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import cast

import structlog

from sadtalker_service.engines.port import Engine, Helper
from sadtalker_service.errors import EngineUnavailable
from sadtalker_service.settings import Settings, get_settings

log = structlog.get_logger(__name__)

GROUP = "sadtalker_service.engines"
HELPERS = "sadtalker_service.helpers"
AUTO = "auto"
FALLBACK = "mesh"
"""What `auto` means where no other engine is recommended."""


def load_engine(name: str = AUTO, settings: Settings | None = None) -> Engine:
    """The engine called `name`, or the best one that can run here for `auto`; cold. `settings`: those of the
    process by default.

    Raises `EngineUnavailable` with the names that there are, or with the reason why it cannot run.
    """
    settings = settings or get_settings()
    if name == AUTO:
        name = best_engine(settings)
    check_engine(name, settings)
    return _load(installed_engines()[name])(settings)


def check_engine(name: str, settings: Settings) -> None:
    """Raises `EngineUnavailable` where `load_engine` would; makes nothing. `auto` always finds one."""
    if name == AUTO:
        return
    installed = installed_engines()
    if name not in installed:
        known = ", ".join([AUTO, *sorted(installed)])
        raise EngineUnavailable(f"There is no engine called {name!r}; there are {known}.", param="engine")
    if name == FALLBACK:  # it always can, and who only asks need not import it
        return
    reason = _obstacle(installed[name], settings)
    if reason:
        raise EngineUnavailable(f"The {name} engine cannot run here: {reason}", param="engine")


def best_engine(settings: Settings) -> str:
    """What `auto` means here."""
    others = {name: entry for name, entry in installed_engines().items() if name != FALLBACK}
    return next((name for name in sorted(others) if _is_recommended(others[name], settings)), FALLBACK)


def installed_engines() -> Mapping[str, EntryPoint]:
    """Name -> entry point of every installed engine, loaded or not."""
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def obstacles(settings: Settings | None = None) -> Mapping[str, str]:
    """Name -> what keeps the engine from running here and what to do, for every engine that cannot."""
    settings = settings or get_settings()
    installed = installed_engines()
    found = {name: _obstacle(installed[name], settings) for name in sorted(installed)}
    return {name: reason for name, reason in found.items() if reason}


def helpers(settings: Settings, folder: Path) -> tuple[Helper, ...]:
    """The processes that engines want beside the workers of this machine; see above."""
    found: list[Helper | None] = []
    for entry in sorted(entry_points(group=HELPERS), key=lambda entry: entry.name):
        try:
            found.append(entry.load()(settings, folder))
        except (ImportError, AttributeError, OSError) as error:  # its engine cannot run here either
            log.warning("helper_passed_over", helper=entry.name, reason=str(error))
    return tuple(helper for helper in found if helper)


def _is_recommended(entry: EntryPoint, settings: Settings) -> bool:
    if _obstacle(entry, settings):
        return False
    recommended = getattr(_load(entry), "recommended", None)
    try:
        return recommended is not None and bool(recommended(settings))
    except (ImportError, OSError) as error:  # a package is there that does not load on this machine
        log.warning("engine_passed_over", engine=entry.name, reason=str(error))
        return False


def _obstacle(entry: EntryPoint, settings: Settings) -> str | None:
    try:
        obstacle = getattr(_load(entry), "obstacle", None)
        return obstacle(settings) if obstacle else None
    except EngineUnavailable as error:
        return error.message
    except OSError as error:  # its files cannot even be looked for
        return f"{error}."


def _load(entry: EntryPoint) -> Callable[[Settings], Engine]:
    try:
        return cast("Callable[[Settings], Engine]", entry.load())
    except (ImportError, AttributeError, OSError) as error:
        raise EngineUnavailable(
            f"The engine {entry.name!r} does not load: {error}. Install what it needs, or choose another.",
            param="engine",
        ) from error
