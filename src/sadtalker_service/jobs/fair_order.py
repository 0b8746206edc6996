"""The order in which a worker reads its queues: VIP first, but no queue starves.

Kombu asks an order strategy for the order of the queues before each `BRPOP`. Afterwards it reports which
queue gave a message.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sadtalker_service.jobs.queues import AGAIN, NORMAL, PREPARE, VIP

RANK = (AGAIN, VIP, NORMAL, PREPARE)


class FairOrder:
    """Retried jobs come first, then VIP, then standard ones, then avatars to prepare.

    A queue that was passed over `vip_in_a_row` times in favour of better ones comes first once. Each worker
    counts separately. Kombu creates one instance per connection.
    """

    def __init__(self, vip_in_a_row: int) -> None:
        self._limit = vip_in_a_row
        self._queues: list[str] = []
        self._passed: dict[str, int] = {}
        """Queue -> jobs taken from better queues since its last turn, whether or not it had messages."""

    def update(self, queues: Iterable[str]) -> None:
        """Set the queues to read from now on."""
        self._queues = sorted(queues, key=RANK.index)

    def consume(self, count: int) -> Sequence[str]:
        """The queues in the order in which the next job is looked for."""
        return sorted(self._queues[:count], key=self._class)  # stable: by rank within a class

    def rotate(self, used: str) -> str:
        """Record that a job came from the queue `used`."""
        for queue in self._queues[self._queues.index(used) + 1 :]:
            self._passed[queue] = self._passed.get(queue, 0) + 1
        self._passed[used] = 0
        return used

    def _class(self, queue: str) -> int:
        if queue == AGAIN:
            return 0
        return 1 if self._passed.get(queue, 0) >= self._limit else 2
