"""The order in which a worker looks into its queues: VIP first, yet nobody waits for ever.

Kombu asks an order strategy before each `BRPOP` in which order to name the queues, and tells it afterwards
which of them gave a message.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sadtalker_service.jobs.queues import AGAIN, NORMAL, VIP

_RANK = {AGAIN: 0, VIP: 1, NORMAL: 2}
_RANK_IN_TURN = {AGAIN: 0, NORMAL: 1, VIP: 2}


class FairOrder:
    """Jobs to be run again, then VIP; after `vip_in_a_row` VIP jobs the next waiting standard one.

    Each worker counts for itself. Kombu makes one for each connection that it opens.
    """

    def __init__(self, vip_in_a_row: int) -> None:
        self._vip_in_a_row = vip_in_a_row
        self._queues: list[str] = []
        self._streak = 0
        """VIP jobs taken since the last standard one."""

    def update(self, queues: Iterable[str]) -> None:
        """These queues are consumed from now on."""
        self._queues = list(queues)

    def consume(self, count: int) -> Sequence[str]:
        """The queues in the order in which the next job is looked for."""
        ranks = _RANK_IN_TURN if self._streak >= self._vip_in_a_row else _RANK
        return sorted(self._queues[:count], key=lambda queue: ranks.get(queue, len(ranks)))

    def rotate(self, used: str) -> str:
        """A job came out of the queue `used`."""
        if used == VIP:
            self._streak += 1
        elif used == NORMAL:
            self._streak = 0
        return used
