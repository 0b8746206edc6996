"""A lease is renewed until its job ends, whatever the store and the job do meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from tests.support.workers import wait_for

from sadtalker_service.errors import StoreUnavailable
from sadtalker_service.worker.lease import RENEWALS_PER_LEASE, Lease

SECONDS = 0.25


class Store:
    """Answers renewals from a list, then with True."""

    def __init__(self, *answers: bool | StoreUnavailable) -> None:
        self._answers: Iterator[bool | StoreUnavailable] = iter(answers)
        self.asked = 0

    def renew(self) -> bool:
        self.asked += 1
        answer = next(self._answers, True)
        if isinstance(answer, StoreUnavailable):
            raise answer
        return answer


def test_it_is_renewed_several_times_before_expiry_and_not_after_the_job() -> None:
    store = Store()
    with Lease(store.renew, SECONDS) as lease:
        wait_for(lambda: store.asked >= 2 * RENEWALS_PER_LEASE, "renewals")
    asked = store.asked
    time.sleep(SECONDS)
    assert store.asked == asked
    assert not lease.lost


def test_it_is_lost_when_the_store_says_so_and_then_not_renewed() -> None:
    store = Store(True, False)
    with Lease(store.renew, SECONDS) as lease:
        wait_for(lambda: lease.lost, "the loss")
        time.sleep(SECONDS)
    assert store.asked == 2


def test_a_short_outage_of_the_store_does_not_end_the_job() -> None:
    away = StoreUnavailable("away")
    store = Store(True, away, away, away, True)
    with Lease(store.renew, SECONDS) as lease:
        wait_for(lambda: store.asked > 6, "renewals after the store is back")
        assert not lease.lost


def test_the_end_of_the_job_does_not_wait_for_the_next_renewal() -> None:
    start = time.monotonic()
    with Lease(Store().renew, 3_600):
        pass
    assert time.monotonic() - start < 60
    assert not [thread for thread in threading.enumerate() if thread.name == "lease"]


@pytest.mark.parametrize("work", [lambda: sum(range(3_000_000)), lambda: time.sleep(0.1)])
def test_it_is_renewed_while_other_threads_compute_or_wait(work: Callable[[], object]) -> None:
    store = Store()
    with Lease(store.renew, SECONDS):
        end = time.monotonic() + 60
        while store.asked < 2 * RENEWALS_PER_LEASE:
            assert time.monotonic() < end, "the others keep it from being renewed"
            work()
