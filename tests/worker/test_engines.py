"""The engines of a worker: the default one is warm, the others are available."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import redis
from structlog.testing import capture_logs

from sadtalker_service.errors import EngineUnavailable
from sadtalker_service.settings import Settings
from sadtalker_service.state.registry import EngineRegistry
from sadtalker_service.worker.engines import LoadedEngines, load_engines

SUPPORT = Path(__file__).parents[1] / "support"

BRITTLE = """
from pattern_engine import PatternEngine

class Engine(PatternEngine):
    name = "brittle"

    @property
    def version(self):
        raise OSError("its checkpoint cannot be read")
"""


@pytest.fixture
def stocked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, queue: redis.Redis
) -> tuple[LoadedEngines, EngineRegistry, list[Any]]:
    """The loaded engines of a worker (the pattern engine and others), its registry, and the log."""
    (tmp_path / "brittle_engine.py").write_text(BRITTLE)
    info = tmp_path / "brittle_engine-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: brittle-engine\nVersion: 1.0\n")
    points = "[sadtalker_service.engines]\nbrittle = brittle_engine:Engine\n"
    (info / "entry_points.txt").write_text(points)
    for folder in (SUPPORT, tmp_path):
        monkeypatch.syspath_prepend(str(folder))
    for module in ("pattern_engine", "brittle_engine"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    shelf = EngineRegistry(queue)
    settings = Settings(engine="pattern", sadtalker_checkpoints_path=tmp_path / "none")
    with capture_logs() as logs:
        rack = load_engines(settings, shelf)
    rack.publish()
    return rack, shelf, list(logs)


Stocked = tuple[LoadedEngines, EngineRegistry, list[Any]]


def test_every_engine_that_can_run_is_published_and_only_the_default_one_is_warm(stocked: Stocked) -> None:
    rack, shelf, _ = stocked
    assert {"mesh", "pattern", "sketch"} <= set(shelf.all())
    assert shelf.card().name == "pattern"
    assert shelf.card("sketch").capabilities.default_size == 256
    default: Any = rack.default
    assert default.calls["warm_up"] == 1
    sketch: Any = rack.engine("sketch", "2-abc")
    again: Any = rack.engine("sketch", "2-abc")
    assert again is sketch
    assert again.calls["warm_up"] == 1


def test_broken_engine_is_logged_and_does_not_affect_others(stocked: Stocked) -> None:
    rack, shelf, logs = stocked
    assert rack.obstacles.keys() == {"brittle", "sadtalker"}
    assert not rack.obstacles.keys() & shelf.all().keys()
    told = {line["engine"]: line for line in logs if line["event"] == "engine_unavailable"}
    assert told.keys() == {"brittle", "sadtalker"}
    assert told["brittle"]["reason"] == "its checkpoint cannot be read"
    with pytest.raises(EngineUnavailable, match="no engine called 'brittle': its checkpoint cannot be read"):
        rack.engine("brittle", "1")


def test_engine_with_another_version_is_not_warmed_up(stocked: Stocked) -> None:
    rack, _, _ = stocked
    with pytest.raises(EngineUnavailable, match="from 1-old to 2-abc"):
        rack.engine("sketch", "1-old")
    sketch: Any = rack.engine("sketch", "2-abc")
    assert sketch.calls["warm_up"] == 1
