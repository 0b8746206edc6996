"""The load of a live worker is measured."""

from __future__ import annotations

import pytest

from sadtalker_service.worker.live.load import WINDOW_SECONDS, LoadMeter


class Machine:
    """A clock and the processor time that was taken."""

    now = 0.0
    spent = 0.0

    def passes(self, seconds: float, cores: float) -> None:
        self.now += seconds
        self.spent += cores * seconds


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def meter(machine: Machine) -> LoadMeter:
    return LoadMeter(lambda: machine.now, lambda: machine.spent, cores=2)


def test_share_of_the_processors(machine: Machine, meter: LoadMeter) -> None:
    machine.passes(1, cores=0.5)
    assert meter.measure(25, 0) == pytest.approx(0.25)


def test_share_of_late_frames_counts_if_it_is_larger(machine: Machine, meter: LoadMeter) -> None:
    machine.passes(1, cores=0.5)
    assert meter.measure(20, 16) == pytest.approx(0.8)


def test_only_the_last_seconds_count(machine: Machine, meter: LoadMeter) -> None:
    for _ in range(3):
        machine.passes(1, cores=2)
        meter.measure(0, 0)
    for _ in range(round(WINDOW_SECONDS) + 1):
        machine.passes(1, cores=0.2)
        load = meter.measure(0, 0)
    assert load == pytest.approx(0.1)
