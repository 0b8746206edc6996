"""The engines that a worker keeps warm."""

from __future__ import annotations

from sadtalker_service.engines.base import Engine, card_of
from sadtalker_service.engines.registry import load_engine
from sadtalker_service.errors import EngineUnavailable
from sadtalker_service.jobs.boards import EngineShelf
from sadtalker_service.jobs.patience import best_effort


class EngineRack:
    """Loaded engines by name. The default one is there from the start, others when they are asked for."""

    def __init__(self, default: Engine, shelf: EngineShelf) -> None:
        """`default` is warm already."""
        self.default = default
        self._shelf = shelf
        self._engines = {default.name: default}

    def engine(self, name: str, version: str) -> Engine:
        """The engine called `name`, warm. Raises `EngineUnavailable`, also for another version of it."""
        engine = self._engines.get(name) or self._load(name)
        if engine.version != version:
            raise EngineUnavailable(
                f"The {name} engine was changed (from {version} to {engine.version}) while the request"
                " waited. Send it again."
            )
        return engine

    def publish(self) -> None:
        """Tell everybody which engines there are. Raises `StoreUnavailable`."""
        for engine in self._engines.values():
            self._shelf.publish(card_of(engine), default=engine is self.default)

    def _load(self, name: str) -> Engine:
        engine = load_engine(name)
        engine.warm_up()
        self._engines[name] = engine
        best_effort(self.publish)
        return engine
