"""What a job works with: the warm engine and all stores."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import structlog

from sadtalker_service.errors import StoreUnavailable
from sadtalker_service.jobs.dispatch import CeleryDispatch
from sadtalker_service.jobs.stores import Stores
from sadtalker_service.media.marking.marker import Marker
from sadtalker_service.pipeline.cached import CacheTerms
from sadtalker_service.pipeline.marking import marker_of
from sadtalker_service.settings import Settings
from sadtalker_service.state.retry import best_effort
from sadtalker_service.store.cache import CacheUnavailable
from sadtalker_service.store.keys import lifetimes
from sadtalker_service.store.redis_single_flight import RedisSingleFlight
from sadtalker_service.telemetry import metrics
from sadtalker_service.worker.engines import LoadedEngines, load_engines
from sadtalker_service.worker.scratch import scratch_folder
from sadtalker_service.worker.shared_state import SharedState

log = structlog.get_logger(__name__)


class WorkerContext(Stores):
    """Everything that the jobs need. Created once per process."""

    def __init__(
        self,
        settings: Settings,
        worker: str,
        dispatch: CeleryDispatch,
        shared: SharedState,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """`worker`: its name, unique among all running workers. `clock`: returns seconds, for durations."""
        super().__init__(settings)
        self.worker = worker
        self.dispatch = dispatch
        self.shared = shared
        self.clock = clock

    @cached_property
    def scratch(self) -> Path:
        """Folder for unfinished files, used by this process alone."""
        return scratch_folder(self.settings, self.worker)

    @cached_property
    def loaded(self) -> LoadedEngines:
        """The engines; the default one is warm. Raises `EngineUnavailable`."""
        return load_engines(self.settings, self.engines)

    @cached_property
    def marker(self) -> Marker | None:
        """Marks videos as synthetic; None if that is switched off. Raises `MarkingFailed`."""
        return marker_of(self.settings)

    def cache_terms(self, on_wait: Callable[[], None] | None = None) -> CacheTerms:
        """Return how jobs use the cache: equal work is done once across all workers, lookups are counted.

        `on_wait` is called while another worker computes the artefact; it may raise `Cancelled`.
        """
        return CacheTerms(
            lifetimes(self.settings), RedisSingleFlight(self.cache_client), self._count_lookup, on_wait
        )

    def forget_if_deleted(self, image_id: str) -> None:
        """Remove the cached artefacts of a source image that was deleted while the job ran."""
        try:
            if not self.avatars.modes(image_id):
                self.cache.forget(image_id)
        except (StoreUnavailable, CacheUnavailable) as error:
            log.warning("artefacts_not_forgotten", image_id=image_id, reason=str(error))

    def _count_lookup(self, kind: str, hit: bool) -> None:
        metrics.cache_request(kind, hit)
        best_effort(lambda: self.statistics.count_cache(kind, hit))
