"""Gauges of live sessions, read from the queue server at each metrics request, as in `jobs.gauges`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from sadtalker_service.errors import StoreUnavailable
from sadtalker_service.state.live_sessions import LiveSessionStore


class LiveGauges:
    """A collector for `telemetry.metrics.render`. One collection costs one round trip."""

    def __init__(self, live: LiveSessionStore) -> None:
        self._live = live

    def collect(self) -> Iterable[Metric]:
        """The current gauges, one series per live worker."""
        with suppress(StoreUnavailable):  # `sadtalker_store_up` reports it
            yield from self._gauges()

    def _gauges(self) -> Iterator[Metric]:
        slots = _gauge("sadtalker_live_slots", "Live sessions that a worker carries at once.")
        taken = _gauge("sadtalker_live_sessions_open", "Live sessions that have a slot.")
        load = _gauge("sadtalker_live_load", "Measured load of a live worker, 0 to 1.")
        for name, (worker, sessions) in self._live.workers().items():
            slots.add_metric([name], worker.slots)
            taken.add_metric([name], sessions)
            load.add_metric([name], worker.load)
        yield from (slots, taken, load)


def _gauge(name: str, meaning: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, meaning, labels=["worker"])
