"""The order in which a worker looks into its queues: VIP first, yet nobody waits for ever.

Kombu asks an order strategy before each `BRPOP` in which order to name the queues, and tells it afterwards
which of them gave a message.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sadtalker_service.jobs.queues import AGAIN, NORMAL, PREPARE, VIP

RANK = (AGAIN, VIP, NORMAL, PREPARE)


class FairOrder:
    """Jobs to be run again, then VIP, then standard ones, then avatars to be prepared.

    A queue that was passed over `vip_in_a_row` times in favour of better ones is looked into first, once.
    Each worker counts for itself. Kombu makes one of these for each connection that it opens.
    """

    def __init__(self, vip_in_a_row: int) -> None:
        self._limit = vip_in_a_row
        self._queues: list[str] = []
        self._passed: dict[str, int] = {}
        """Queue -> jobs taken from better ones since its last turn, whether or not anything waited in it."""

    def update(self, queues: Iterable[str]) -> None:
        """These queues are consumed from now on."""
        self._queues = sorted(queues, key=RANK.index)

    def consume(self, count: int) -> Sequence[str]:
        """The queues in the order in which the next job is looked for."""
        return sorted(self._queues[:count], key=self._class)  # stable: by rank within a class

    def rotate(self, used: str) -> str:
        """A job came out of the queue `used`."""
        for queue in self._queues[self._queues.index(used) + 1 :]:
            self._passed[queue] = self._passed.get(queue, 0) + 1
        self._passed[used] = 0
        return used

    def _class(self, queue: str) -> int:
        if queue == AGAIN:
            return 0
        return 1 if self._passed.get(queue, 0) >= self._limit else 2
