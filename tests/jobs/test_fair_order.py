"""The order in which one worker serves its queues."""

from __future__ import annotations

from collections import Counter, deque

from sadtalker_service.jobs.fair_order import FairOrder
from sadtalker_service.jobs.queues import AGAIN, NORMAL, PREPARE, VIP


def served(order: FairOrder, waiting: dict[str, deque[int]], jobs: int) -> list[str]:
    """The queues that give the first `jobs` jobs, as `BRPOP` takes them."""
    taken = []
    for _ in range(jobs):
        queue = next((queue for queue in order.consume(4) if waiting[queue]), None)
        if queue is None:
            break
        waiting[queue].pop()
        order.rotate(queue)
        taken.append(queue)
    return taken


def fair_order(vip_in_a_row: int = 3) -> FairOrder:
    order = FairOrder(vip_in_a_row)
    order.update([NORMAL, PREPARE, VIP, AGAIN])
    return order


def waiting(**jobs: int) -> dict[str, deque[int]]:
    return {queue: deque(range(jobs.get(queue, 0))) for queue in (AGAIN, VIP, NORMAL, PREPARE)}


def test_vip_goes_before_standard_and_preparations_last() -> None:
    assert served(fair_order(9), waiting(vip=2, normal=2, prepare=1), 9) == [VIP] * 2 + [NORMAL] * 2 + [
        PREPARE
    ]


def test_retried_job_goes_first() -> None:
    assert served(fair_order(), waiting(again=1, vip=1, normal=1), 9) == [AGAIN, VIP, NORMAL]


def test_standard_job_has_its_turn_after_some_vip_jobs() -> None:
    assert served(fair_order(), waiting(vip=9, normal=2), 9) == [VIP] * 3 + [NORMAL] + [VIP] * 3 + [
        NORMAL,
        VIP,
    ]


def test_every_queue_is_served_under_constant_load_of_better_ones() -> None:
    taken = Counter(served(fair_order(), waiting(vip=100, normal=100, prepare=100), 100))
    assert taken[VIP] > 2 * taken[NORMAL] > 0
    assert taken[PREPARE] > 10


def test_unused_turn_goes_to_the_next_job() -> None:
    order, jobs = fair_order(), waiting(vip=20)
    assert served(order, jobs, 10) == [VIP] * 10
    jobs[NORMAL].append(1)
    assert served(order, jobs, 2) == [NORMAL, VIP]
