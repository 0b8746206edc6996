"""Finds engines by name: whatever is installed under the entry-point group `sadtalker_service.engines`.

An entry point of it names a subclass of `engines.port.Engine`. One of the group `sadtalker_service.helpers`
names an `engines.port.HelperFactory`.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import structlog

from sadtalker_service.engines.port import Engine, Helper, HelperFactory
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
    """Raise `EngineUnavailable` if `load_engine` would, without loading. `auto` always finds an engine."""
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
    """The processes that engines want beside the workers of this machine."""
    found: list[Helper | None] = []
    for entry in sorted(entry_points(group=HELPERS), key=lambda entry: entry.name):
        try:
            make: HelperFactory = entry.load()
            found.append(make(settings, folder))
        except (ImportError, AttributeError, OSError) as error:  # its engine cannot run here either
            log.warning("helper_passed_over", helper=entry.name, reason=str(error))
    return tuple(helper for helper in found if helper)


def _is_recommended(entry: EntryPoint, settings: Settings) -> bool:
    if _obstacle(entry, settings):
        return False
    try:
        return _load(entry).recommended(settings)
    except (ImportError, OSError) as error:  # a package is there that does not load on this machine
        log.warning("engine_passed_over", engine=entry.name, reason=str(error))
        return False


def _obstacle(entry: EntryPoint, settings: Settings) -> str | None:
    try:
        return _load(entry).obstacle(settings)
    except EngineUnavailable as error:
        return error.message
    except OSError as error:  # its files cannot even be looked for
        return f"{error}."


def _load(entry: EntryPoint) -> type[Engine]:
    try:
        engine = entry.load()
    except (ImportError, AttributeError, OSError) as error:
        raise EngineUnavailable(
            f"The engine {entry.name!r} does not load: {error}. Install what it needs, or choose another.",
            param="engine",
        ) from error
    if not (isinstance(engine, type) and issubclass(engine, Engine)):
        raise EngineUnavailable(
            f"The engine {entry.name!r} does not load: {entry.value} is not a subclass of"
            " sadtalker_service.engines.port.Engine.",
            param="engine",
        )
    lacking = ", ".join(sorted(engine.__abstractmethods__))
    if lacking:
        raise EngineUnavailable(
            f"The engine {entry.name!r} does not load: {entry.value} lacks {lacking}.", param="engine"
        )
    return engine
