"""The end of a process, in order: it says that it is not ready, takes no new work, ends its streams."""

from __future__ import annotations

import asyncio

from sadtalker_service.errors import Draining


class Drain:
    """Whether this process is about to stop. `begin` belongs to the event loop's thread."""

    def __init__(self) -> None:
        self._begun = asyncio.Event()

    def begin(self) -> None:
        """From now on no work is taken."""
        self._begun.set()

    @property
    def begun(self) -> bool:
        """Whether it has begun."""
        return self._begun.is_set()

    async def wait(self) -> None:
        """Return when it begins."""
        await self._begun.wait()

    def check(self) -> None:
        """Raises `Draining` when it has begun."""
        if self.begun:
            raise Draining("This instance is being shut down; try again in a moment.", retry_after=2.0)
