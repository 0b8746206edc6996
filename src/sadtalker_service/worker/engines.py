"""The engines that a worker can run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import MappingProxyType

import structlog

from sadtalker_service.domain import SourceType
from sadtalker_service.engines.port import Engine, card_of
from sadtalker_service.engines.registry import installed_engines, load_engine, obstacles
from sadtalker_service.errors import EngineUnavailable
from sadtalker_service.media.stopwatch import Stopwatch
from sadtalker_service.settings import Settings
from sadtalker_service.state.registry import EngineRegistry

log = structlog.get_logger(__name__)


class LoadedEngines:
    """Engines by name. The default one is warm from the start, others after their first use."""

    def __init__(
        self,
        default: Engine,
        shelf: EngineRegistry,
        others: tuple[Engine, ...] = (),
        lacking: Mapping[str, str] | None = None,
    ) -> None:
        """`default` is already warm, `others` are cold. `lacking` maps an engine that cannot run here to the
        reason."""
        self.default = default
        self.obstacles = MappingProxyType(dict(lacking or {}))
        """Installed engine that cannot run here -> the reason, and what to do."""
        self._shelf = shelf
        self._engines = MappingProxyType({engine.name: engine for engine in (default, *others)})
        self._warm = {default.name}

    @property
    def live_names(self) -> tuple[str, ...]:
        """Names of the engines that can talk live."""
        return tuple(name for name, engine in self._engines.items() if engine.capabilities.live)

    def source_type(self, name: str) -> SourceType | None:
        """What the videos of an engine are, or None if it is not loaded."""
        engine = self._engines.get(name)
        return engine.capabilities.source_type if engine else None

    def engine(self, name: str, version: str) -> Engine:
        """Return the engine called `name`, warm. Raises `EngineUnavailable`, also if its version differs."""
        if name not in self._engines:
            reason = self.obstacles.get(name, "it is not installed.")
            raise EngineUnavailable(f"This worker has no engine called {name!r}: {reason}", param="engine")
        engine = self._engines[name]
        if engine.version != version:
            raise EngineUnavailable(
                f"The {name} engine was changed (from {version} to {engine.version}) while the request"
                " waited. Send the request again."
            )
        if name not in self._warm:
            self._warm_up(engine)
        return engine

    def leave_if_lost(self, error: Exception) -> None:
        """End this process if an engine cannot be used in it after `error`; the worker starts a new one."""
        lost = [engine.name for engine in self._engines.values() if engine.is_lost(error)]
        if lost:
            log.critical("engine_lost", engines=lost, reason=str(error), consequence="this process ends")
            os._exit(1)

    def publish(self) -> None:
        """Publish the cards of all engines in the registry. Raises `StoreUnavailable`."""
        for engine in self._engines.values():
            self._shelf.publish(card_of(engine), default=engine is self.default)

    def _warm_up(self, engine: Engine) -> None:
        watch = Stopwatch()
        with watch("warm_up"):
            engine.warm_up()
        self._warm.add(engine.name)
        log.info("engine_warm", engine=engine.name, seconds=round(watch.seconds["warm_up"], 3))


def load_engines(settings: Settings, shelf: EngineRegistry) -> LoadedEngines:
    """Load the default engine and warm it up; load every other one that can run here, cold.

    Engines that cannot run are logged. Raises `EngineUnavailable` if the default one cannot run.
    """
    default = load_engine(settings.engine, settings)
    default.warm_up()
    lacking, others = dict(obstacles(settings)), []
    for name in sorted(installed_engines().keys() - lacking.keys() - {default.name}):
        try:
            engine = load_engine(name, settings)
            card_of(engine)  # reads the engine's files as far as the card needs them
            others.append(engine)
        except (EngineUnavailable, OSError) as error:
            lacking[name] = f"{error}"
    for name, reason in lacking.items():
        log.info("engine_unavailable", engine=name, reason=reason)
    return LoadedEngines(default, shelf, tuple(others), lacking)
